//! Keeps disk I/O off the threads that serve: uncached pages are read by a blocking thread.

use std::fs::File;
use std::future::Future;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::task::JoinHandle;

use crate::system::read_cached;

/// How much of a file is fetched at a time: much for a disk, little if the client aborts.
const AHEAD: u64 = 1 << 20;

/// How much is read at a time.
const CHUNK: usize = 128 << 10;

/// How much of a file is in the page cache, for a sequential reader.
#[derive(Default)]
pub(super) struct Ahead {
    until: u64,
    coming: Option<JoinHandle<()>>,
}

impl Ahead {
    /// Returns how many of the next `left` bytes can be read without waiting for a disk; at least one.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, file: &Arc<File>, at: u64, left: u64) -> Poll<u64> {
        if let Some(coming) = &mut self.coming {
            // The result does not matter: the next read reports the error.
            drop(ready!(Pin::new(coming).poll(cx)));
            self.coming = None;
        }
        if at >= self.until {
            let length = left.min(AHEAD);
            self.until = at + length;
            if !is_cached(file, at, length) {
                let file = Arc::clone(file);
                let mut coming = tokio::task::spawn_blocking(move || fetch(&file, at, length));
                if Pin::new(&mut coming).poll(cx).is_pending() {
                    self.coming = Some(coming);
                    return Poll::Pending;
                }
            }
        }
        Poll::Ready(left.min(self.until - at))
    }
}

/// Tells whether a range of a file is in the page cache, by its first and last byte: the kernel reads ahead what lies
/// between.
///
/// If a file system cannot tell, it counts as cached.
fn is_cached(file: &File, at: u64, length: u64) -> bool {
    let waits = |at| match read_cached(file.as_fd(), &mut [0], at) {
        Err(error) => error.kind() == io::ErrorKind::WouldBlock,
        Ok(_) => false,
    };
    !waits(at) && !waits(at + length.saturating_sub(1))
}

/// Reads a range of a file into the page cache. Disk errors are reported when it is sent.
fn fetch(file: &File, at: u64, length: u64) {
    let (mut at, end) = (at, at + length);
    let mut chunk = vec![0; CHUNK];
    while at < end {
        match file.read_at(&mut chunk, at) {
            Ok(0) | Err(_) => return,
            Ok(read) => at += read as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::io::Write;

    use nix::fcntl::{PosixFadviseAdvice, posix_fadvise};

    use super::*;

    #[tokio::test]
    async fn what_only_the_disk_has_is_fetched_first() {
        // On a disk: `/tmp` may be a tmpfs.
        let folder = tempfile::tempdir_in(env!("CARGO_MANIFEST_DIR").to_owned() + "/target").unwrap();
        let mut file =
            File::options().create_new(true).read(true).write(true).open(folder.path().join("a")).unwrap();
        let length = 3 * AHEAD + 5;
        file.write_all(&vec![7; length as usize]).unwrap();
        file.sync_all().unwrap();
        // The kernel keeps a page that something else holds at that moment.
        for _ in 0..100 {
            posix_fadvise(&file, 0, 0, PosixFadviseAdvice::POSIX_FADV_DONTNEED).unwrap();
            if !is_cached(&file, 0, AHEAD) {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        let file = Arc::new(file);
        assert!(!is_cached(&file, 0, AHEAD), "the test needs a file system that forgets and tells");
        let (mut ahead, mut at, mut steps) = (Ahead::default(), 0, Vec::new());
        while at < length {
            let ready = poll_fn(|cx| ahead.poll(cx, &file, at, length - at)).await;
            assert!(is_cached(&file, at, ready));
            steps.push(ready);
            at += ready;
        }
        assert_eq!(steps, [AHEAD, AHEAD, AHEAD, 5]);
        assert!(ahead.coming.is_none());
    }

    #[tokio::test]
    async fn what_is_in_memory_is_there_at_once() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        let (mut ahead, file) = (Ahead::default(), Arc::new(file));
        let mut cx = Context::from_waker(std::task::Waker::noop());
        for (at, left) in [(0, 10), (4, 6), (9, 1)] {
            assert_eq!(ahead.poll(&mut cx, &file, at, left), Poll::Ready(left));
        }
    }
}
