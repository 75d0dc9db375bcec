//! Disks of a node: qcow2 files, blank or with a backing image.

use std::borrow::Cow;
use std::io;
use std::path::{Path, PathBuf};

use crate::hint::Hint;
use crate::plan::DiskPlan;
use crate::system::MAKE_ROOM;
use crate::system::process::{SpawnError, SpawnSpec, Spawner, find_program};

/// Why a disk could not be created.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// `qemu-img` is not installed.
    #[error("this host has no `qemu-img`")]
    NoProgram,
    /// `qemu-img` could not be started.
    #[error(transparent)]
    Spawn(SpawnError),
    /// `qemu-img` could not be waited for.
    #[error("cannot wait for `qemu-img`")]
    Wait(#[source] io::Error),
    /// The backing file does not exist.
    #[error("`{name}`, which disk `{disk}` of `{node}` starts from, does not exist")]
    NoBacking {
        /// The file, as the plan names it.
        name: String,
        /// The disk.
        disk: String,
        /// The node.
        node: String,
    },
    /// `qemu-img` failed.
    #[error("cannot make disk `{disk}` of `{node}`: {words}")]
    Refused {
        /// The disk.
        disk: String,
        /// The node.
        node: String,
        /// The output of `qemu-img`.
        words: String,
    },
}

impl Hint for DiskError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        let hint = match self {
            Self::NoProgram => Some(
                "install it (Debian, Ubuntu: `qemu-utils`, with `qemu-system-x86` in one command; \
                 Fedora, Arch: `qemu-img`; openSUSE: `qemu-tools`)",
            ),
            Self::Spawn(error) => return error.hint(),
            Self::Refused { words, .. } if words.contains("No space left") => Some(MAKE_ROOM),
            Self::Refused { words, .. } if words.contains("smaller than") => {
                Some("give the disk at least the size of what it starts from")
            }
            Self::NoBacking { .. } => Some("build the image again: `dryrack image build NAME`"),
            Self::Wait(_) | Self::Refused { .. } => None,
        };
        hint.map(Cow::Borrowed)
    }
}

/// Creates a disk in the run folder. `backing` is its backing file, already resolved.
pub async fn create(
    plan: &DiskPlan,
    run_dir: &Path,
    backing: Option<PathBuf>,
    spawner: &Spawner,
) -> Result<(), DiskError> {
    let program = find_program("qemu-img").ok_or(DiskError::NoProgram)?;
    let mut args: Vec<std::ffi::OsString> = ["create", "-q", "-f", "qcow2"].map(Into::into).into();
    if let Some(named) = &plan.backing {
        let Some(path) = backing else {
            return Err(DiskError::NoBacking {
                name: named.to_string(),
                disk: plan.disk.to_string(),
                node: plan.node.to_string(),
            });
        };
        args.extend(["-b".into(), path.as_os_str().to_owned(), "-F".into(), format_of(&path).into()]);
    }
    args.extend([run_dir.join(&plan.path).into_os_string(), plan.size.0.to_string().into()]);
    let mut child = spawner.spawn(SpawnSpec::new(program).args(args)).await.map_err(DiskError::Spawn)?;
    let status = child.wait().await.map_err(DiskError::Wait)?;
    if status.success() {
        return Ok(());
    }
    Err(DiskError::Refused {
        disk: plan.disk.to_string(),
        node: plan.node.to_string(),
        words: child.stderr().lines().join("; "),
    })
}

/// Returns the format of a disk image by its magic; a raw image may start with anything else.
fn format_of(path: &Path) -> &'static str {
    let mut magic = [0; 4];
    let read = std::fs::File::open(path).and_then(|mut file| io::Read::read_exact(&mut file, &mut magic));
    if read.is_ok() && &magic == b"QFI\xfb" { "qcow2" } else { "raw" }
}
