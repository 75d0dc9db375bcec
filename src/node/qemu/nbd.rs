//! Reads a disk through a block export: the newstyle handshake of NBD, and read requests.
//!
//! A disk is read as the guest sees it, with its backing files, and never written.

use std::io;
use std::path::Path;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::system::folder_socket::connect;
use crate::wire::nbd::{
    DISCONNECT, EXPORT_NAME, GREETING, HANDSHAKE_FLAGS, NO_ZEROES, OPTION, READ, REPLY, Request, ZEROES,
};

/// An exported disk.
#[derive(Debug)]
pub(super) struct Export {
    stream: UnixStream,
    size: u64,
}

impl Export {
    /// Connects to a socket in a folder.
    pub(super) async fn open(folder: &Path, socket: &str, name: &str) -> io::Result<Self> {
        Self::shake_hands(connect(folder, socket).await?, name).await
    }

    async fn shake_hands(mut stream: UnixStream, name: &str) -> io::Result<Self> {
        if stream.read_u64().await? != GREETING || stream.read_u64().await? != OPTION {
            return Err(odd("no greeting of NBD"));
        }
        let offered = stream.read_u16().await?;
        let flags = offered & HANDSHAKE_FLAGS;
        stream.write_u32(u32::from(flags)).await?;
        stream.write_u64(OPTION).await?;
        stream.write_u32(EXPORT_NAME).await?;
        let length = u32::try_from(name.len()).map_err(|_| odd("a name too long"))?;
        stream.write_u32(length).await?;
        stream.write_all(name.as_bytes()).await?;
        let size = stream.read_u64().await?;
        stream.read_u16().await?;
        if flags & NO_ZEROES == 0 {
            stream.read_exact(&mut [0; ZEROES]).await?;
        }
        Ok(Self { stream, size })
    }

    /// Returns the size of the disk in bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Reads a range of the disk.
    pub(super) async fn read(&mut self, offset: u64, length: u32) -> io::Result<Vec<u8>> {
        self.ask(READ, offset, length).await?;
        let stream = &mut self.stream;
        if stream.read_u32().await? != REPLY {
            return Err(odd("no reply of NBD"));
        }
        let error = stream.read_u32().await?;
        stream.read_u64().await?;
        if error != 0 {
            return Err(io::Error::from_raw_os_error(i32::try_from(error).unwrap_or(5)));
        }
        let mut bytes = vec![0; length as usize];
        stream.read_exact(&mut bytes).await?;
        Ok(bytes)
    }

    /// Disconnects, after which a server for a single client ends.
    pub(super) async fn close(mut self) -> io::Result<()> {
        self.ask(DISCONNECT, 0, 0).await?;
        self.stream.shutdown().await
    }

    async fn ask(&mut self, command: u16, offset: u64, length: u32) -> io::Result<()> {
        let request = Request { command, cookie: 0, offset, length };
        self.stream.write_all(&request.encode()).await
    }
}

fn odd(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what.to_owned())
}
