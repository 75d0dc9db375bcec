//! The locks of labs that are up: one for each lab, held by all its processes.
//!
//! A lab is identified by the user (who owns the runtime folder) and the canonical path of its file. The lock is
//! inherited by the supervisor and everything it starts, so it is released when the last of them is gone, for whatever
//! reason.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::fs::{self, File, TryLockError};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::{Locations, store};
use crate::hint::Hint;
use crate::name::{LabName, digest};
use crate::system::namespace::NamespaceIds;
use crate::system::process::inheritable;

/// How long a lab may take to end before it counts as up.
const ENDING: Duration = Duration::from_secs(8);

/// A lab that is up, or was according to its last supervisor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisteredLab {
    /// Its name.
    pub lab: LabName,
    /// The canonical path of its file.
    pub file: PathBuf,
    /// Its run folder.
    pub run_dir: PathBuf,
    /// Its control socket.
    pub socket: PathBuf,
}

/// The lock of a lab.
#[derive(Debug)]
pub struct LabLock {
    // The lock is held as long as any copy of this descriptor is open.
    lock: File,
    record: PathBuf,
    socket: PathBuf,
}

/// Why a lab cannot be locked.
#[derive(Debug, thiserror::Error)]
pub enum LabLockError {
    /// It is up.
    #[error("lab `{}` is up already", .0.lab)]
    Up(RegisteredLab),
    /// An unknown process holds the lock.
    #[error("lab {} is being brought up or taken down by another command", file.display())]
    Busy {
        /// The canonical path of its file.
        file: PathBuf,
    },
    /// The runtime folder belongs to another user.
    #[error("{} belongs to another user", path.display())]
    Foreign {
        /// The folder.
        path: PathBuf,
    },
    /// A file operation failed.
    #[error("cannot {verb} {}", path.display())]
    Files {
        /// The operation.
        verb: &'static str,
        /// The path.
        path: PathBuf,
        /// The error.
        #[source]
        source: io::Error,
    },
}

impl Hint for LabLockError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        let hint = match self {
            Self::Up(RegisteredLab { lab, file, .. }) => {
                format!(
                    "`dryrack status {0}` shows it, `dryrack down {0}` takes {lab} down",
                    lab_argument(file).display()
                )
            }
            Self::Busy { .. } => "wait a moment and try again".to_owned(),
            Self::Foreign { .. } | Self::Files { .. } => {
                "set DRYRACK_RUNTIME to a folder of your own, with a short path".to_owned()
            }
        };
        Some(hint.into())
    }
}

/// Returns the path that names a lab in a command: its folder, if its file has the usual name.
pub fn lab_argument(file: &Path) -> &Path {
    file.parent().filter(|_| file.ends_with("lab.toml")).unwrap_or(file)
}

fn failed(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LabLockError {
    let path = path.to_owned();
    move |source| LabLockError::Files { verb, path, source }
}

/// Locks a lab; waits for a short time if it is being taken down.
#[expect(
    clippy::disallowed_methods,
    reason = "another process's lock: the kernel tells nobody when it is free"
)]
pub fn lab_lock(locations: &Locations, file: &Path) -> Result<LabLock, LabLockError> {
    make_runtime(&locations.runtime)?;
    let base = locations.runtime.join(identity(file));
    let path = base.with_extension("lock");
    let open = || File::options().create(true).append(true).open(&path).map_err(failed("open", &path));
    let mut lock = open()?;
    let record = base.with_extension("json");
    let deadline = Instant::now() + ENDING;
    loop {
        match lock.try_lock() {
            Ok(()) if is_current(&lock, &path) => {
                return Ok(LabLock { lock, record, socket: base.with_extension("sock") });
            }
            Ok(()) => {
                // Another command has removed the file, which meant nothing any more.
                lock = open()?;
                continue;
            }
            Err(TryLockError::Error(error)) => return Err(failed("lock", &path)(error)),
            Err(TryLockError::WouldBlock) => {}
        }
        let holder = read(&record);
        if let Some(up) = holder.clone().filter(|up| super::client::answers(&up.socket)) {
            return Err(LabLockError::Up(up));
        }
        if Instant::now() > deadline {
            return Err(match holder {
                Some(up) => LabLockError::Up(up),
                None => LabLockError::Busy { file: file.to_owned() },
            });
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Tries to lock a lab that should be free, by its [`identity`], without waiting.
pub(super) fn try_lab_lock(locations: &Locations, identity: &str) -> Option<LabLock> {
    let base = locations.runtime.join(identity);
    let path = base.with_extension("lock");
    let lock = File::options().create(true).append(true).open(&path).ok()?;
    lock.try_lock().ok().filter(|()| is_current(&lock, &path))?;
    Some(LabLock { lock, record: base.with_extension("json"), socket: base.with_extension("sock") })
}

/// Waits until a run of a lab has ended, and tells whether it has.
///
/// Its lock shows that everywhere: another lab sees none of its processes.
#[expect(
    clippy::disallowed_methods,
    reason = "another process's lock: the kernel tells nobody when it is free"
)]
pub fn await_end(locations: &Locations, up: &RegisteredLab, limit: Duration) -> bool {
    let deadline = Instant::now() + limit;
    loop {
        if try_lab_lock(locations, &identity(&up.file)).is_some() {
            return true;
        }
        // The next run of the lab may have taken the lock at once.
        let next = read(&locations.runtime.join(identity(&up.file)).with_extension("json"));
        if next.is_some_and(|next| next.run_dir != up.run_dir) {
            return true;
        }
        if Instant::now() > deadline {
            // A command that brings the lab up again holds the lock without a run, as long as it builds images.
            let alive = NamespaceIds::read(&up.run_dir).is_ok_and(|ids| ids.is_alive());
            return !alive && store::report(&up.run_dir).is_ok();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Removes the files of labs that are down from the runtime folder, and copies of keys that are no longer used.
///
/// A file that cannot be removed affects nothing; the next command tries again.
pub fn forget_ended(locations: &Locations) {
    for entry in fs::read_dir(&locations.runtime).into_iter().flatten().flatten() {
        let path = entry.path();
        // The lock last: whoever has it may create the others.
        let files: &[&str] = match path.extension().and_then(OsStr::to_str) {
            Some("lock") => &["json", "json.new", "sock", "lock"],
            Some("key") => &["key"],
            Some(_) | None => continue,
        };
        let Ok(lock) = File::options().append(true).open(&path) else { continue };
        if lock.try_lock().is_err() || !is_current(&lock, &path) {
            continue;
        }
        for extension in files {
            fs::remove_file(path.with_extension(extension)).ok();
        }
    }
}

/// Tells whether a path still leads to an open file.
pub(super) fn is_current(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(there)) => (open.dev(), open.ino()) == (there.dev(), there.ino()),
        (Ok(_) | Err(_), _) => false,
    }
}

/// Lists the labs that are up.
pub fn registered(locations: &Locations) -> Vec<RegisteredLab> {
    let entries = fs::read_dir(&locations.runtime).into_iter().flatten().flatten();
    let records =
        entries.map(|entry| entry.path()).filter(|path| path.extension().is_some_and(|e| e == "json"));
    let mut up: Vec<RegisteredLab> =
        records.filter_map(|path| read(&path)).filter(|up| super::client::answers(&up.socket)).collect();
    up.sort_by(|a, b| a.file.cmp(&b.file));
    up
}

impl LabLock {
    /// Returns the path of the lab's control socket.
    pub(super) fn socket(&self) -> &Path {
        &self.socket
    }

    /// Records the run. While the returned value lives, started processes share the lock.
    pub(super) fn register(
        &self,
        lab: &LabName,
        file: &Path,
        run_dir: &Path,
    ) -> Result<OwnedFd, LabLockError> {
        let registered = RegisteredLab {
            lab: lab.clone(),
            file: file.to_owned(),
            run_dir: run_dir.to_owned(),
            socket: self.socket.clone(),
        };
        let draft = self.record.with_extension("json.new");
        let text = serde_json::to_vec(&registered).map_err(io::Error::from);
        text.and_then(|text| fs::write(&draft, text))
            .and_then(|()| fs::rename(&draft, &self.record))
            .map_err(failed("write", &self.record))?;
        inheritable(&self.lock).map_err(failed("hand on the lock of", &self.record))
    }
}

fn read(record: &Path) -> Option<RegisteredLab> {
    serde_json::from_slice(&fs::read(record).ok()?).ok()
}

/// Returns the name of a lab's files in the runtime and state folders: short, because a socket path is limited to 107
/// bytes.
pub(super) fn identity(file: &Path) -> String {
    let digest = digest("lab", &[&file.to_string_lossy()]);
    digest[..6].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Creates the runtime folder, readable by its owner only.
pub(super) fn make_runtime(path: &Path) -> Result<(), LabLockError> {
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(failed("create", path))?;
    // In `/tmp` another user could have created it first, and would then own our locks and sockets.
    let metadata = fs::symlink_metadata(path).map_err(failed("look at", path))?;
    if metadata.is_dir() && metadata.uid() == nix::unistd::geteuid().as_raw() {
        Ok(())
    } else {
        Err(LabLockError::Foreign { path: path.to_owned() })
    }
}
