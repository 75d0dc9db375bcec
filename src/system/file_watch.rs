//! Tells when files were written to.
//!
//! A user has 128 inotify instances by default, but many thousand watches, so one instance serves all files of a
//! process.

use std::collections::HashMap;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::sys;

/// Watches files. Cheap to clone; watching ends with the last clone.
#[derive(Debug, Clone)]
pub struct FileWatches {
    shared: Arc<Shared>,
    // Holds the task that reads the events.
    _task: Arc<JoinSet<()>>,
}

#[derive(Debug)]
struct Shared {
    inotify: Inotify,
    // A file that is watched twice has one descriptor.
    watched: Mutex<HashMap<WatchDescriptor, Vec<Arc<Notify>>>>,
}

/// A file that is watched until this value is dropped.
#[derive(Debug)]
pub struct FileWatch {
    shared: Arc<Shared>,
    descriptor: WatchDescriptor,
    changed: Arc<Notify>,
}

impl FileWatches {
    /// Creates the inotify instance. Must be called inside a tokio runtime.
    pub fn new() -> io::Result<Self> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)
            .map_err(|error| limited(error, Errno::EMFILE, "fs.inotify.max_user_instances"))?;
        let ready = sys::watch(inotify.as_fd().try_clone_to_owned()?)?;
        let shared = Arc::new(Shared { inotify, watched: Mutex::default() });
        let mut task = JoinSet::new();
        task.spawn(deliver(ready, Arc::clone(&shared)));
        Ok(Self { shared, _task: Arc::new(task) })
    }

    /// Watches a file. Every write from now on is noticed.
    pub fn watch(&self, path: &Path) -> io::Result<FileWatch> {
        let shared = Arc::clone(&self.shared);
        let changed = Arc::new(Notify::new());
        let mut watched = shared.watched();
        let descriptor = shared
            .inotify
            .add_watch(path, AddWatchFlags::IN_MODIFY)
            .map_err(|error| limited(error, Errno::ENOSPC, "fs.inotify.max_user_watches"))?;
        watched.entry(descriptor).or_default().push(Arc::clone(&changed));
        drop(watched);
        Ok(FileWatch { shared, descriptor, changed })
    }
}

/// Returns the error of a call, with the name of the limit that it has reached.
fn limited(error: Errno, full: Errno, limit: &str) -> io::Error {
    if error == full {
        return io::Error::other(format!(
            "the limit `{limit}` of this user is reached: raise it with sysctl"
        ));
    }
    error.into()
}

impl FileWatch {
    /// Waits until the file was written to since the last call, or since it is watched, or is gone: another one may have
    /// its name. Cancel-safe.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }
}

impl Drop for FileWatch {
    fn drop(&mut self) {
        let mut watched = self.shared.watched();
        let Some(watchers) = watched.get_mut(&self.descriptor) else { return };
        watchers.retain(|watcher| !Arc::ptr_eq(watcher, &self.changed));
        if watchers.is_empty() {
            watched.remove(&self.descriptor);
            // A deleted file has lost its watch already.
            self.shared.inotify.rm_watch(self.descriptor).ok();
        }
    }
}

impl Shared {
    fn watched(&self) -> MutexGuard<'_, HashMap<WatchDescriptor, Vec<Arc<Notify>>>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads events and wakes the watchers of their files.
async fn deliver(ready: AsyncFd<OwnedFd>, shared: Arc<Shared>) {
    loop {
        let mut guard = match ready.readable().await {
            Ok(guard) => guard,
            Err(error) => return tracing::error!(%error, "files are no longer watched"),
        };
        let events = match shared.inotify.read_events() {
            Ok(events) => events,
            Err(Errno::EAGAIN) => {
                guard.clear_ready();
                continue;
            }
            Err(Errno::EINTR) => continue,
            Err(error) => return tracing::error!(%error, "files are no longer watched"),
        };
        let watched = shared.watched();
        for event in events {
            if event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW) {
                // Events were lost: any file may have changed.
                watched.values().flatten().for_each(|watcher| watcher.notify_one());
            }
            watched.get(&event.wd).into_iter().flatten().for_each(|watcher| watcher.notify_one());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::io::Write as _;
    use std::time::Duration;

    use futures_util::FutureExt as _;

    use super::*;

    async fn is_noticed(watch: &FileWatch) -> bool {
        tokio::time::timeout(Duration::from_secs(20), watch.changed()).await.is_ok()
    }

    #[tokio::test]
    async fn a_write_before_the_wait_is_noticed_too_and_only_by_its_watchers() {
        let folder = tempfile::tempdir().unwrap();
        let mut files = ["a", "b"].map(|name| File::create(folder.path().join(name)).unwrap());
        let watches = FileWatches::new().unwrap();
        let [a, b] = ["a", "b"].map(|name| watches.watch(&folder.path().join(name)).unwrap());
        let second = watches.watch(&folder.path().join("a")).unwrap();
        files[0].write_all(b"x").unwrap();
        assert!(is_noticed(&a).await && is_noticed(&second).await);
        assert_eq!(b.changed().now_or_never(), None);
        // The watch of a file stays as long as one of its watchers.
        drop(second);
        files[0].write_all(b"y").unwrap();
        files[1].write_all(b"y").unwrap();
        assert!(is_noticed(&a).await && is_noticed(&b).await);
        drop((a, b));
        assert_eq!(watches.shared.watched().len(), 0);
    }

    #[tokio::test]
    async fn a_file_that_is_replaced_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let [a, b] = ["a", "b"].map(|name| folder.path().join(name));
        for path in [&a, &b] {
            File::create(path).unwrap();
        }
        let watches = FileWatches::new().unwrap();
        let watch = watches.watch(&a).unwrap();
        std::fs::rename(&b, &a).unwrap();
        assert!(is_noticed(&watch).await);
        // The new one is watched by whoever looks for it.
        drop(watch);
        let watch = watches.watch(&a).unwrap();
        std::fs::write(&a, "x").unwrap();
        assert!(is_noticed(&watch).await);
    }

    #[test]
    fn a_reached_limit_has_its_name() {
        let error = limited(Errno::EMFILE, Errno::EMFILE, "fs.inotify.max_user_instances");
        assert!(error.to_string().contains("`fs.inotify.max_user_instances`"), "{error}");
        assert_eq!(
            limited(Errno::ENOENT, Errno::ENOSPC, "fs.inotify.max_user_watches").kind(),
            io::ErrorKind::NotFound
        );
    }
}
