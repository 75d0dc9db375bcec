//! An image on a server: parts are fetched when somebody reads them, and kept.
//!
//! One fetch at a time, over one connection; whoever reads what is being fetched already waits for it. Reads one after
//! the other are followed by larger and larger parts. An image that is no longer the one that was inserted cannot be
//! read any more at all, so its reader never sees parts of two.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::Path;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use futures_util::future::{Either, select};
use tokio::sync::watch;

use super::client::{BmcClient, FetchError, Link, Version};
use crate::bmc::media::Image;
use crate::hint::chain;
use crate::serve::nbd::{DiskSource, Reading};

/// The size of the parts that are kept.
const CHUNK: u64 = 128 << 10;
/// How many chunks are fetched at once when they are read one after the other.
const AHEAD: u64 = 32;
/// When no further attempt begins. A guest waits half a minute for its drive.
const ATTEMPTS: Duration = Duration::from_secs(12);
/// The pauses before further attempts.
const PAUSES: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(250), Duration::from_secs(1), Duration::from_secs(3)];

/// Why a part of an image cannot be read.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    /// It cannot be fetched.
    #[error(transparent)]
    Fetch(FetchError),
    /// It cannot be kept.
    #[error("cannot keep what was fetched")]
    Keep(#[source] io::Error),
}

/// Reports why an image cannot be read.
pub(super) type Report = Box<dyn Fn(String) + Send + Sync>;

/// An image on a server.
pub(super) struct RemoteImage {
    client: BmcClient,
    image: Image,
    version: Version,
    /// What was fetched. Its name is removed at once.
    kept: Arc<File>,
    state: Mutex<State>,
    /// Changes when a chunk has arrived.
    arrived: watch::Sender<()>,
    fetcher: tokio::sync::Mutex<Fetcher>,
    report: Report,
}

#[derive(Default)]
struct State {
    /// The chunks that are kept.
    chunks: BTreeSet<u64>,
    is_changed: bool,
    /// Why the last read failed.
    reported: Option<String>,
}

struct Fetcher {
    link: Option<Link>,
    /// The chunk after the last one that was fetched, and how many are fetched if that one is next.
    next: u64,
    ahead: u64,
}

impl RemoteImage {
    /// Asks for the first bytes of an image. What is fetched later is kept in a file in `folder` without a name.
    pub(super) async fn open(
        client: BmcClient,
        image: Image,
        folder: &Path,
        report: Report,
    ) -> Result<Self, FetchError> {
        let (version, link) = client.first(&image).await?;
        let kept = nameless(folder).map_err(|error| FetchError::Keep(folder.to_owned(), error))?;
        Ok(Self {
            client,
            image,
            version,
            kept: Arc::new(kept),
            state: Mutex::default(),
            arrived: watch::Sender::new(()),
            fetcher: tokio::sync::Mutex::new(Fetcher { link, next: 0, ahead: 1 }),
            report,
        })
    }

    /// Returns how many bytes of it are kept.
    #[cfg(test)]
    fn kept_bytes(&self) -> u64 {
        self.state().chunks.len() as u64 * CHUNK
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // After a panic it is still consistent: every change is a single operation.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn range(&self, offset: u64, length: u32) -> Result<Bytes, ReadError> {
        let end = offset + u64::from(length);
        for chunk in offset / CHUNK..end.div_ceil(CHUNK) {
            self.provide(chunk).await?;
        }
        let kept = Arc::clone(&self.kept);
        let read = move || {
            let mut bytes = BytesMut::zeroed(length as usize);
            kept.read_exact_at(&mut bytes, offset).map(|()| bytes.freeze())
        };
        let bytes = blocking(read).await?;
        // It may have changed meanwhile.
        self.is_kept(offset / CHUNK).map(|_| bytes)
    }

    /// Returns whether a chunk is kept.
    fn is_kept(&self, chunk: u64) -> Result<bool, ReadError> {
        let state = self.state();
        match state.is_changed {
            true => Err(ReadError::Fetch(FetchError::Changed)),
            false => Ok(state.chunks.contains(&chunk)),
        }
    }

    /// Returns when a chunk is kept.
    async fn provide(&self, chunk: u64) -> Result<(), ReadError> {
        let mut arrived = self.arrived.subscribe();
        while !self.is_kept(chunk)? {
            let lock = pin!(self.fetcher.lock());
            let other = pin!(arrived.changed());
            if let Either::Left((mut fetcher, _)) = select(lock, other).await
                && !self.is_kept(chunk)?
            {
                self.fetch(&mut fetcher, chunk).await?;
            }
        }
        Ok(())
    }

    /// Fetches a chunk, and those after it if they are likely to be read.
    #[expect(clippy::disallowed_methods, reason = "a server that failed is given some time")]
    async fn fetch(&self, fetcher: &mut Fetcher, wanted: u64) -> Result<(), ReadError> {
        fetcher.ahead = if wanted == fetcher.next { (fetcher.ahead * 2).min(AHEAD) } else { 1 };
        let last = self.version.size.div_ceil(CHUNK);
        let end = {
            let state = self.state();
            let missing =
                (wanted..last.min(wanted + fetcher.ahead)).take_while(|next| !state.chunks.contains(next));
            wanted + missing.count() as u64
        };
        fetcher.next = wanted;
        let began = Instant::now();
        let mut pauses = PAUSES.iter().take_while(|_| began.elapsed() < ATTEMPTS);
        loop {
            let error = match self.transfer(fetcher, end).await {
                Ok(()) => return Ok(()),
                // What is missing is fetched when it is read.
                Err(_) if fetcher.next > wanted => return Ok(()),
                Err(error) => error,
            };
            match (error, pauses.next()) {
                (ReadError::Fetch(error), Some(pause)) if error.is_passing() => {
                    tracing::debug!(error = chain(&error), "a part of an image is fetched again");
                    tokio::time::sleep(*pause).await;
                }
                (error, _) => {
                    fetcher.ahead = 1;
                    if matches!(error, ReadError::Fetch(FetchError::Changed)) {
                        self.state().is_changed = true;
                    }
                    return Err(error);
                }
            }
        }
    }

    /// Fetches the chunks from the next one on, and keeps each as soon as it is complete.
    async fn transfer(&self, fetcher: &mut Fetcher, end: u64) -> Result<(), ReadError> {
        let size = self.version.size;
        let (first, last) = (fetcher.next * CHUNK, (end * CHUNK).min(size) - 1);
        let link = fetcher.link.take();
        let part = self.client.range(&self.image, link, first, last).await;
        let mut part = part.map_err(|error| match error {
            // It became shorter.
            FetchError::Status(416) => ReadError::Fetch(FetchError::Changed),
            error => ReadError::Fetch(error),
        })?;
        if part.version != self.version {
            return Err(ReadError::Fetch(FetchError::Changed));
        }
        let mut arriving = BytesMut::new();
        while let Some(piece) = part.next().await.map_err(ReadError::Fetch)? {
            arriving.extend_from_slice(&piece);
            loop {
                let offset = fetcher.next * CHUNK;
                let length = usize::try_from(CHUNK.min(size.saturating_sub(offset))).unwrap_or(usize::MAX);
                if length == 0 || arriving.len() < length {
                    break;
                }
                self.keep(fetcher.next, arriving.split_to(length).freeze()).await?;
                fetcher.next += 1;
            }
        }
        fetcher.link = part.finish().await;
        Ok(())
    }

    async fn keep(&self, chunk: u64, bytes: Bytes) -> Result<(), ReadError> {
        let kept = Arc::clone(&self.kept);
        blocking(move || kept.write_all_at(&bytes, chunk * CHUNK)).await?;
        self.state().chunks.insert(chunk);
        self.arrived.send_replace(());
        Ok(())
    }
}

impl DiskSource for RemoteImage {
    fn size(&self) -> u64 {
        self.version.size
    }

    fn read(&self, offset: u64, length: u32) -> Reading<'_> {
        Box::pin(async move {
            let read = self.range(offset, length).await;
            let why = read.as_ref().err().map(|error| chain(error));
            let is_news = {
                let mut state = self.state();
                let is_news = state.reported != why;
                state.reported.clone_from(&why);
                is_news
            };
            if let Some(why) = why.filter(|_| is_news) {
                (self.report)(format!("{}: {why}", self.image.url));
            }
            read.map_err(io::Error::other)
        })
    }
}

/// Does what waits for a disk.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, ReadError> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(io::Error::other).and_then(|done| done).map_err(ReadError::Keep)
}

/// Creates a file, and removes its name.
fn nameless(folder: &Path) -> io::Result<File> {
    let mut random = [0; 8];
    crate::system::random(&mut random);
    let path = folder.join(format!("image-{:016x}", u64::from_ne_bytes(random)));
    let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path)?;
    std::fs::remove_file(&path)?;
    Ok(file)
}

#[cfg(test)]
mod tests;
