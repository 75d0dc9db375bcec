//! Reports which files of some folders have changed, without reading them.
//!
//! The kernel queues an event before the call that changed a file returns, so a request that drains the queue first
//! has missed nothing. Two kinds of change cause no event: a folder that is replaced by another one, which its inode
//! shows, and changes on network file systems or through another hard link. Such files are checked on each request.

use std::collections::HashSet;
use std::ffi::OsString;
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use nix::errno::Errno;
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, InotifyEvent, WatchDescriptor};
use nix::sys::statfs::{FsType, statfs};

/// Changes in a folder since the last call.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// Nothing.
    None,
    /// The files with these names.
    Names(HashSet<OsString>),
    /// The folder was replaced, or events were lost.
    All,
    /// Events are not available: every file must be checked.
    Unknown,
}

/// Watches folders, which may be missing.
#[derive(Debug)]
pub(super) struct Watcher {
    inotify: Option<Inotify>,
    folders: Vec<Folder>,
    /// Why a folder cannot be watched although its file system would allow it.
    failure: Option<String>,
}

#[derive(Debug)]
struct Folder {
    path: PathBuf,
    /// Device and inode of the folder when it was last found.
    is: Option<(u64, u64)>,
    watch: Option<WatchDescriptor>,
    lost: bool,
    names: HashSet<OsString>,
}

impl Watcher {
    /// Watches folders, which are identified by their index from here on.
    pub(super) fn new(folders: impl IntoIterator<Item = PathBuf>) -> Self {
        let (inotify, failure) = match Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC) {
            Ok(inotify) => (Some(inotify), None),
            Err(error) => (None, Some(no_watch(error))),
        };
        let folder = |path| Folder { path, is: None, watch: None, lost: true, names: HashSet::new() };
        Self { inotify, folders: folders.into_iter().map(folder).collect(), failure }
    }

    /// Returns once why files are checked on each request.
    pub(super) fn take_warning(&mut self) -> Option<String> {
        self.failure.take()
    }

    /// Returns the changes in a folder since the last call.
    pub(super) fn look(&mut self, at: usize) -> Change {
        self.drain();
        let folder = &mut self.folders[at];
        let is = identity(&folder.path);
        if is != folder.is || folder.lost {
            self.begin(at);
            return Change::All;
        }
        match (folder.is, folder.watch) {
            (None, _) => Change::None,
            (Some(_), None) => Change::Unknown,
            (Some(_), Some(_)) if folder.names.is_empty() => Change::None,
            (Some(_), Some(_)) => Change::Names(std::mem::take(&mut folder.names)),
        }
    }

    fn drain(&mut self) {
        let Some(inotify) = &self.inotify else { return };
        loop {
            match inotify.read_events() {
                Ok(events) => events.into_iter().for_each(|event| note(&mut self.folders, event)),
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => return,
                // After any error, events may be lost.
                Err(error) => {
                    self.failure = Some(no_watch(error));
                    self.inotify = None;
                    for folder in &mut self.folders {
                        folder.watch = None;
                        folder.lost = true;
                    }
                    return;
                }
            }
        }
    }

    /// Starts to watch a folder.
    fn begin(&mut self, at: usize) {
        self.end(at);
        let folder = &mut self.folders[at];
        folder.names.clear();
        folder.lost = false;
        let Some(inotify) = &self.inotify else {
            folder.is = identity(&folder.path);
            return;
        };
        let what = AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_ATTRIB
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_DELETE_SELF
            | AddWatchFlags::IN_MOVE_SELF
            | AddWatchFlags::IN_ONLYDIR;
        loop {
            folder.is = identity(&folder.path);
            if folder.is.is_none() || !is_seen(&folder.path) {
                return;
            }
            match inotify.add_watch(&folder.path, what) {
                Ok(watch) => folder.watch = Some(watch),
                Err(Errno::ENOENT | Errno::ENOTDIR) => {}
                Err(error) => self.failure = Some(no_watch(error)),
            }
            // The folder may have been replaced meanwhile.
            if folder.is == identity(&folder.path) {
                return;
            }
        }
    }

    /// Removes the watch of a folder. Folders with the same inode share a watch.
    fn end(&mut self, at: usize) {
        let Some(watch) = self.folders[at].watch.take() else { return };
        if let Some(inotify) = &self.inotify
            && !self.folders.iter().any(|folder| folder.watch == Some(watch))
        {
            // A deleted folder has lost its watch already.
            inotify.rm_watch(watch).ok();
        }
    }
}

fn note(folders: &mut [Folder], event: InotifyEvent) {
    let overflow = event.mask.contains(AddWatchFlags::IN_Q_OVERFLOW);
    for folder in folders {
        if overflow {
            folder.lost = true;
        } else if folder.watch == Some(event.wd) {
            match &event.name {
                Some(name) => drop(folder.names.insert(name.clone())),
                // About the folder itself: moved, deleted, unmounted, or permissions changed.
                None => folder.lost = true,
            }
        }
    }
}

fn no_watch(error: Errno) -> String {
    format!("file notifications ({}): files are checked for each request", error.desc())
}

/// Returns device and inode of a folder.
fn identity(path: &Path) -> Option<(u64, u64)> {
    fs::metadata(path).ok().filter(Metadata::is_dir).map(|data| (data.dev(), data.ino()))
}

/// File systems that are written only by this kernel, under the same inodes.
const SEEN: &[FsType] = &[
    nix::sys::statfs::EXT4_SUPER_MAGIC,
    nix::sys::statfs::XFS_SUPER_MAGIC,
    nix::sys::statfs::BTRFS_SUPER_MAGIC,
    nix::sys::statfs::TMPFS_MAGIC,
    // F2FS, ZFS, bcachefs, ramfs, squashfs, erofs.
    FsType(0xf2f5_2010),
    FsType(0x2fc1_2fc1),
    FsType(0xca45_1a4e),
    FsType(0x8584_58f6),
    FsType(0x7371_7368),
    FsType(0xe0f5_e1e2),
];

/// Tells whether the kernel reports every change in a folder.
fn is_seen(path: &Path) -> bool {
    statfs(path).is_ok_and(|found| SEEN.contains(&found.filesystem_type()))
}

/// Minimum age of a file for which an unchanged timestamp proves that it was not written again.
const SETTLED: Duration = Duration::from_millis(100);

/// Distinguishes one version of a file from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct State {
    of: Option<(u64, u64, u64, i64, i64, i64, i64)>,
    /// Whether the timestamp is old enough to differ from that of the next write.
    settled: bool,
}

impl State {
    /// Returns the state of a missing file.
    fn missing() -> Self {
        Self { of: None, settled: true }
    }

    #[expect(clippy::disallowed_methods, reason = "files have the time of this clock")]
    fn of(data: &Metadata) -> Self {
        let of = (
            data.dev(),
            data.ino(),
            data.size(),
            data.mtime(),
            data.mtime_nsec(),
            data.ctime(),
            data.ctime_nsec(),
        );
        let changed = u64::try_from(data.ctime()).map_or(SystemTime::UNIX_EPOCH, |seconds| {
            SystemTime::UNIX_EPOCH + Duration::new(seconds, u32::try_from(data.ctime_nsec()).unwrap_or(0))
        });
        let settled = SystemTime::now().duration_since(changed).is_ok_and(|age| age > SETTLED);
        Self { of: Some(of), settled }
    }

    /// Tells whether a file is unchanged. It is opened, so that a network file system asks its server.
    pub(super) fn is_still(&self, path: &Path) -> bool {
        let now = open(path).map_or_else(|_| Self::missing(), |(_, data)| Self::of(&data));
        self.settled && self.of == now.of
    }
}

/// A file that was read.
#[derive(Debug)]
pub(super) struct Looked {
    /// Its content.
    pub(super) bytes: io::Result<Vec<u8>>,
    /// Its state before it was read.
    pub(super) state: State,
    /// Whether it may change without an event in its folder.
    pub(super) elsewhere: bool,
}

/// Reads a file.
pub(super) fn read(path: &Path) -> Looked {
    let linked = fs::symlink_metadata(path).is_ok_and(|data| data.is_symlink() || data.nlink() > 1);
    let (mut file, data) = match open(path) {
        Ok(opened) => opened,
        Err(error) => return Looked { bytes: Err(error), state: State::missing(), elsewhere: linked },
    };
    let mounted = path
        .parent()
        .and_then(|folder| fs::metadata(folder).ok())
        .is_some_and(|folder| folder.dev() != data.dev());
    let mut bytes = Vec::with_capacity(usize::try_from(data.len()).unwrap_or_default());
    let bytes = file.read_to_end(&mut bytes).map(|_| bytes);
    Looked { bytes, state: State::of(&data), elsewhere: linked || mounted }
}

/// Opens a file. A FIFO without a writer does not block and counts as missing.
fn open(path: &Path) -> io::Result<(File, Metadata)> {
    let file = File::options().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path)?;
    let data = file.metadata()?;
    match data.is_file() {
        true => Ok((file, data)),
        false if data.is_dir() => Err(io::ErrorKind::IsADirectory.into()),
        false => Err(io::Error::other("it is no file")),
    }
}
