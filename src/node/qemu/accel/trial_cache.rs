//! The result of the self-test, cached until the host boots again.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use super::{Conclusion, Part, Verdict};
use crate::plan::{Accel, HostFacts, qemu};

/// The key of a result. If any of it differs, there is no result.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Key {
    /// Our own version: the test may have changed.
    dryrack: String,
    /// The boot ID of the host.
    boot: String,
    uid: u32,
    qemu: PathBuf,
    version: (u32, u32, u32),
    /// The modification time of the QEMU program, in nanoseconds.
    modified: i128,
    processor: String,
    /// Whether `/dev/kvm` can be opened, which changes when a user joins a group.
    opens: bool,
}

impl Key {
    fn of(facts: &HostFacts, opens: bool) -> io::Result<Self> {
        let qemu = facts.qemu.as_ref().ok_or(io::ErrorKind::NotFound)?;
        let metadata = fs::metadata(&qemu.program)?;
        let (accel, cpu) = qemu::processor(Accel::Kvm);
        Ok(Self {
            dryrack: env!("CARGO_PKG_VERSION").to_owned(),
            boot: fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned(),
            uid: nix::unistd::geteuid().as_raw(),
            qemu: qemu.program.clone(),
            version: qemu.version,
            modified: i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec()),
            processor: format!("{accel} {cpu}"),
            opens,
        })
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Written {
    key: Key,
    accel: Accel,
    why: String,
    tried: Vec<Part>,
}

/// The cache of the result.
pub(super) struct TrialCache {
    folder: PathBuf,
    key: Key,
    lock: Option<Flock<File>>,
}

impl TrialCache {
    /// Opens the cache, and creates it if missing; each user has one.
    pub(super) fn open(cache: &Path, facts: &HostFacts, opens: bool) -> io::Result<Self> {
        let key = Key::of(facts, opens)?;
        let folder = cache.join(format!("accel-{}", key.uid));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
        // QEMU needs absolute paths, because it runs in another folder.
        Ok(Self { folder: folder.canonicalize()?, key, lock: None })
    }

    /// Locks the cache; waits while another process tests.
    pub(super) fn lock(&mut self) -> io::Result<()> {
        let file = File::options().create(true).truncate(false).write(true).open(self.folder.join("lock"))?;
        self.lock = Some(Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, error)| error)?);
        Ok(())
    }

    /// Creates an empty folder for the machines. What a killed test left there is removed.
    pub(super) fn folder(&self) -> io::Result<Machines> {
        let machines = Machines(self.folder.join("machines"));
        machines.clear()?;
        fs::create_dir(machines.path())?;
        Ok(machines)
    }

    /// Reads the result, if it is valid. "Yes" is valid only if everything that can be tested now was tested.
    pub(super) fn read(&self, possible: &[Part]) -> Option<Verdict> {
        let path = self.path();
        // The file of another user is not trusted.
        (fs::symlink_metadata(&path).ok()?.uid() == self.key.uid).then_some(())?;
        let written: Written = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
        let Written { key, accel, why, tried } = written;
        let enough = match accel {
            Accel::Kvm => possible.iter().all(|part| tried.contains(part)),
            Accel::Tcg => true,
        };
        (key == self.key && enough).then_some(Verdict { accel, why, fresh: false })
    }

    /// Stores a result atomically. If that fails, the next command tests again.
    pub(super) fn write(&self, conclusion: &Conclusion) {
        let Conclusion { accel, why, tried, lasts: _ } = conclusion;
        let written =
            Written { key: self.key.clone(), accel: *accel, why: why.clone(), tried: tried.clone() };
        let draft = self.folder.join("answer.json.new");
        let text = serde_json::to_vec(&written).map_err(io::Error::from);
        let done =
            text.and_then(|text| fs::write(&draft, text)).and_then(|()| fs::rename(&draft, self.path()));
        if let Err(error) = done {
            tracing::warn!(%error, folder = %self.folder.display(), "the accelerator's answer is not kept");
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.join("answer.json")
    }
}

/// The folder of the machines, removed on drop.
pub(super) struct Machines(PathBuf);

impl Machines {
    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    fn clear(&self) -> io::Result<()> {
        match fs::remove_dir_all(&self.0) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Ok(()),
        }
    }
}

impl Drop for Machines {
    fn drop(&mut self) {
        if let Err(error) = self.clear() {
            tracing::warn!(%error, folder = %self.0.display(), "the accelerator test's folder is left");
        }
    }
}
