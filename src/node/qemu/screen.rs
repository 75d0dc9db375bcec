//! The endpoint of the screen of a machine: VNC at a path that stays while the machine is off.
//!
//! QEMU serves the screen only while it runs, and clients of the endpoint are forwarded to it. While the machine is
//! off, clients are refused with a reason (RFC 6143, section 7.1.2).

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::task::JoinSet;

use crate::name::NodeName;
use crate::plan::qemu::SCREEN_SOCKET;
use crate::system::folder_socket::{connect, listen};

/// The endpoint, in the folder of the machine.
const ENDPOINT: &str = "vnc.sock";

/// The protocol version while the machine is off.
const VERSION: &[u8; 12] = b"RFB 003.008\n";

/// How long a client may take to send its version.
const PATIENCE: Duration = Duration::from_secs(10);

/// Serves the endpoint until the returned value is dropped.
pub(super) fn serve(folder: &Path, node: NodeName) -> io::Result<JoinSet<()>> {
    let listener = listen(folder, ENDPOINT)?;
    let folder: PathBuf = folder.to_owned();
    let mut task = JoinSet::new();
    task.spawn(async move {
        let mut clients = JoinSet::new();
        loop {
            match listener.accept().await {
                Ok((client, _)) => {
                    let (folder, reason) = (folder.clone(), format!("{node} is off"));
                    clients.spawn(async move { talk(client, &folder, &reason).await });
                }
                // For example, out of file descriptors: a waiting client is served when another one has left.
                Err(error) => {
                    tracing::warn!(%node, %error, "a client of the screen could not be accepted");
                    if clients.join_next().await.is_none() {
                        return;
                    }
                }
            }
            while clients.try_join_next().is_some() {}
        }
    });
    Ok(task)
}

async fn talk(mut client: UnixStream, folder: &Path, reason: &str) {
    let ended = match connect(folder, SCREEN_SOCKET).await {
        Ok(mut qemu) => tokio::io::copy_bidirectional(&mut client, &mut qemu).await.map(drop),
        Err(_) => tokio::time::timeout(PATIENCE, refuse(&mut client, reason)).await.unwrap_or(Ok(())),
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a client of the screen has gone");
    }
}

/// Refuses a client with a reason, which viewers display.
async fn refuse(client: &mut (impl AsyncRead + AsyncWrite + Unpin), reason: &str) -> io::Result<()> {
    client.write_all(VERSION).await?;
    let mut version = [0; 12];
    client.read_exact(&mut version).await?;
    // Zero security types; in version 3.3 this is a number of four bytes.
    let none: &[u8] = if &version == b"RFB 003.003\n" { &[0; 4] } else { &[0] };
    client.write_all(none).await?;
    let length = u32::try_from(reason.len()).map_err(io::Error::other)?;
    client.write_u32(length).await?;
    client.write_all(reason.as_bytes()).await?;
    client.shutdown().await
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read_to_end(client: &mut UnixStream) -> Vec<u8> {
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.unwrap();
        answer
    }

    #[tokio::test]
    async fn the_endpoint_leads_to_the_screen_and_says_when_the_machine_is_off() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let _serving = serve(folder, NodeName::new("a").unwrap()).unwrap();
        for (version, none) in [(b"RFB 003.008\n", &[0][..]), (b"RFB 003.003\n", &[0; 4])] {
            let mut client = connect(folder, ENDPOINT).await.unwrap();
            client.write_all(version).await.unwrap();
            let wanted = [b"RFB 003.008\n", none, &[0, 0, 0, 8], b"a is off"].concat();
            assert_eq!(read_to_end(&mut client).await, wanted);
        }
        let qemu = listen(folder, SCREEN_SOCKET).unwrap();
        let mut client = connect(folder, ENDPOINT).await.unwrap();
        client.write_all(b"hello").await.unwrap();
        let (mut screen, _) = qemu.accept().await.unwrap();
        let mut said = [0; 5];
        screen.read_exact(&mut said).await.unwrap();
        assert_eq!(&said, b"hello");
        screen.write_all(b"pixels").await.unwrap();
        // The machine is powered off here.
        drop((screen, qemu));
        assert_eq!(read_to_end(&mut client).await, b"pixels");
        let mut client = connect(folder, ENDPOINT).await.unwrap();
        client.write_all(VERSION).await.unwrap();
        assert!(read_to_end(&mut client).await.ends_with(b"a is off"));
    }
}
