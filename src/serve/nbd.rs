//! A disk that is only read, by NBD over a Unix socket: how a machine sees an image that is elsewhere.

use std::io;
use std::pin::Pin;
use std::sync::Arc;

use bytes::{Buf as _, Bytes, BytesMut};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::wire::nbd::{EIO, Export, Handshake, Next, REQUEST_SIZE, Request, Verdict, reply_head};

/// How many clients are served at the same time: the machine, and whoever looks at its disks.
const CLIENTS: usize = 8;
/// How many requests of a client are carried out at the same time.
const REQUESTS: usize = 16;

/// A read that is going on.
pub(crate) type Reading<'a> = Pin<Box<dyn Future<Output = io::Result<Bytes>> + Send + 'a>>;

/// The content of a disk.
pub(crate) trait DiskSource: Send + Sync + 'static {
    /// Returns its size in bytes.
    fn size(&self) -> u64;

    /// Reads a range, which is within the size.
    fn read(&self, offset: u64, length: u32) -> Reading<'_>;
}

/// Serves a disk by a name, as long as it is polled; returns only if no client can be accepted any more.
pub(crate) async fn serve_nbd(
    listener: UnixListener,
    name: String,
    source: Arc<dyn DiskSource>,
) -> io::Error {
    let export = Arc::new(Export { name, size: source.size() });
    let mut clients = JoinSet::new();
    loop {
        while clients.try_join_next().is_some() {}
        if clients.len() >= CLIENTS {
            clients.join_next().await;
        }
        match listener.accept().await {
            Ok((stream, _)) => {
                let (export, source) = (Arc::clone(&export), Arc::clone(&source));
                clients.spawn(async move {
                    if let Err(error) = client(stream, &export, source).await {
                        tracing::debug!(%error, "a client of an NBD server is gone");
                    }
                });
            }
            // For example, out of file descriptors: a client that ends gives some back.
            Err(error) => {
                if clients.join_next().await.is_none() {
                    return error;
                }
            }
        }
    }
}

async fn client(mut stream: UnixStream, export: &Export, source: Arc<dyn DiskSource>) -> io::Result<()> {
    let Some(input) = shake_hands(&mut stream, export).await? else { return Ok(()) };
    let (reader, writer) = stream.into_split();
    let (replies, outbox) = mpsc::channel(REQUESTS);
    // Replies that are still due are sent after the last request.
    tokio::try_join!(requests(reader, input, source, replies), send(writer, outbox))?;
    Ok(())
}

/// Performs the handshake; returns the first bytes of requests, or `None` if the client only looked.
async fn shake_hands(stream: &mut UnixStream, export: &Export) -> io::Result<Option<BytesMut>> {
    stream.write_all(&Handshake::greeting()).await?;
    let mut handshake = Handshake::new(export);
    let mut input = BytesMut::new();
    loop {
        match handshake.answer(&input).map_err(io::Error::other)? {
            Some(answer) => {
                input.advance(answer.taken);
                stream.write_all(&answer.bytes).await?;
                match answer.next {
                    Next::Option => {}
                    Next::Transmission => return Ok(Some(input)),
                    Next::Close => return Ok(None),
                }
            }
            None => {
                if stream.read_buf(&mut input).await? == 0 {
                    return Ok(None);
                }
            }
        }
    }
}

/// A reply: its head, and the data of a read.
type Reply = ([u8; 16], Bytes);

/// Reads requests to their end and carries them out.
async fn requests(
    reader: OwnedReadHalf,
    input: BytesMut,
    source: Arc<dyn DiskSource>,
    replies: mpsc::Sender<Reply>,
) -> io::Result<()> {
    let mut reader = io_chain(input, reader);
    let slots = Arc::new(Semaphore::new(REQUESTS));
    let mut reads = JoinSet::new();
    loop {
        while reads.try_join_next().is_some() {}
        let mut head = [0; REQUEST_SIZE];
        match reader.read_exact(&mut head).await {
            Ok(_) => {}
            // Nobody waits for what is still being read.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Err(error) => return Err(error),
        }
        let request = Request::decode(&head).map_err(io::Error::other)?;
        let error = match request.judge(source.size()) {
            Verdict::Disconnect => break,
            Verdict::Done => 0,
            Verdict::Refused { error, payload } => {
                let mut payload = (&mut reader).take(payload.into());
                tokio::io::copy(&mut payload, &mut tokio::io::sink()).await?;
                error
            }
            Verdict::Read => {
                // An error would mean that it was closed, which nobody does.
                let slot = Arc::clone(&slots).acquire_owned().await.map_err(io::Error::other)?;
                let (source, replies) = (Arc::clone(&source), replies.clone());
                reads.spawn(async move {
                    let reply = read(&*source, request).await;
                    // The client may be gone.
                    replies.send(reply).await.ok();
                    drop(slot);
                });
                continue;
            }
        };
        if replies.send((reply_head(request.cookie, error), Bytes::new())).await.is_err() {
            break;
        }
    }
    while reads.join_next().await.is_some() {}
    Ok(())
}

fn io_chain(input: BytesMut, reader: OwnedReadHalf) -> impl tokio::io::AsyncRead + Unpin {
    tokio::io::AsyncReadExt::chain(io::Cursor::new(input), reader)
}

async fn read(source: &dyn DiskSource, request: Request) -> Reply {
    let Request { cookie, offset, length, command: _ } = request;
    match source.read(offset, length).await {
        Ok(bytes) if bytes.len() == length as usize => (reply_head(cookie, 0), bytes),
        Ok(_) => (reply_head(cookie, EIO), Bytes::new()),
        Err(error) => {
            tracing::debug!(%error, offset, length, "a read of a disk failed");
            (reply_head(cookie, EIO), Bytes::new())
        }
    }
}

async fn send(mut writer: OwnedWriteHalf, mut replies: mpsc::Receiver<Reply>) -> io::Result<()> {
    while let Some((head, data)) = replies.recv().await {
        writer.write_all(&head).await?;
        writer.write_all(&data).await?;
    }
    Ok(())
}
