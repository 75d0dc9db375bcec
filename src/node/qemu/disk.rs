//! Disks of a node: qcow2 files, blank or with a backing image.
//!
//! ```text
//! RUN/node/NODE/DISK.qcow2      the disk, or a link to the one that is kept
//! KEPT/disks/NODE/DISK.qcow2    a disk that is kept; complete, without a backing file
//! ```

use std::borrow::Cow;
use std::ffi::OsString;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::hint::Hint;
use crate::name::{Bytes, DiskName, NodeName};
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
    /// A file operation on a kept disk failed.
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
    /// A kept disk is larger than in the plan.
    #[error("cannot make disk `{disk}` of `{node}`: {words}")]
    Shrinks {
        /// The disk.
        disk: String,
        /// The node.
        node: String,
        /// The output of `qemu-img`.
        words: String,
        /// Its file.
        path: PathBuf,
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
            Self::Shrinks { path, .. } => {
                let path = path.display();
                let hint =
                    format!("a kept disk cannot shrink: give it at least its present size, or delete {path}");
                return Some(hint.into());
            }
            Self::Refused { words, .. } if words.contains("smaller than") => {
                Some("give the disk at least the size of what it starts from")
            }
            Self::NoBacking { .. } => Some("build the image again: `dryrack image build NAME`"),
            Self::Wait(_) | Self::Files { .. } | Self::Refused { .. } => None,
        };
        hint.map(Cow::Borrowed)
    }
}

/// Where disks are.
#[derive(Debug, Clone, Copy)]
pub struct DiskFolders<'a> {
    /// The run folder.
    pub run: &'a Path,
    /// The folder that the lab keeps between runs.
    pub kept: &'a Path,
}

/// Creates a disk in the run folder, or links the one that is kept. `backing` is its backing file, already resolved.
pub async fn create(
    plan: &DiskPlan,
    folders: DiskFolders<'_>,
    backing: Option<PathBuf>,
    spawner: &Spawner,
) -> Result<(), DiskError> {
    if let (Some(named), None) = (&plan.backing, &backing) {
        return Err(DiskError::NoBacking {
            name: named.to_string(),
            disk: plan.disk.to_string(),
            node: plan.node.to_string(),
        });
    }
    let path = folders.run.join(&plan.path);
    let image = QemuImg { plan, spawner };
    if !plan.keep {
        return image.create(&path, backing.as_deref()).await;
    }
    let folder = folders.kept.join("disks").join(plan.node.as_str());
    let kept = folder.join(format!("{}.qcow2", plan.disk));
    if !kept.exists() {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&folder);
        made.map_err(failed("create", &folder))?;
        // Whatever ends this, a disk under its own name is complete.
        let draft = kept.with_extension("new");
        let made = image.draft(&draft, backing.as_deref()).await;
        let made = made.and_then(|()| std::fs::rename(&draft, &kept).map_err(failed("create", &kept)));
        if made.is_err() {
            // What stays nevertheless is removed by `dryrack runs prune --disks`.
            std::fs::remove_file(&draft).ok();
        }
        made?;
    }
    image.resize(&kept).await?;
    std::os::unix::fs::symlink(&kept, &path).map_err(failed("create", &path))
}

/// Creates a disk over a file, which is not written to.
pub(super) async fn overlay(
    node: &NodeName,
    disk: &DiskName,
    path: &Path,
    backing: &Path,
    spawner: &Spawner,
) -> Result<(), DiskError> {
    let (node, disk) = (node.clone(), disk.clone());
    let plan = DiskPlan { node, disk, path: path.to_owned(), size: Bytes(0), backing: None, keep: false };
    let mut args: Vec<OsString> =
        ["create", "-q", "-f", "qcow2", "-F", format_of(backing), "-b"].map(Into::into).into();
    args.extend([backing.as_os_str().to_owned(), path.as_os_str().to_owned()]);
    QemuImg { plan: &plan, spawner }.run(args).await
}

/// Creates an empty disk that takes what is written over an image of a size in bytes, which may be odd.
pub(super) async fn over_image(
    node: &NodeName,
    disk: &DiskName,
    path: &Path,
    size: u64,
    spawner: &Spawner,
) -> Result<(), DiskError> {
    let (node, disk, size) = (node.clone(), disk.clone(), Bytes(size.next_multiple_of(512)));
    let plan = DiskPlan { node, disk, path: path.to_owned(), size, backing: None, keep: false };
    QemuImg { plan: &plan, spawner }.create(path, None).await
}

fn failed(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> DiskError {
    let path = path.to_owned();
    move |source| DiskError::Files { verb, path, source }
}

/// `qemu-img`, for one disk.
struct QemuImg<'a> {
    plan: &'a DiskPlan,
    spawner: &'a Spawner,
}

impl QemuImg<'_> {
    /// Creates a disk to keep, and waits until it is on the disk of the host.
    async fn draft(&self, path: &Path, source: Option<&Path>) -> Result<(), DiskError> {
        match source {
            // No backing file: an image may be gone the next time.
            Some(source) => self.copy(source, path).await?,
            None => self.create(path, None).await?,
        }
        let file = tokio::fs::File::open(path).await.map_err(failed("open", path))?;
        file.sync_all().await.map_err(failed("sync", path))
    }

    async fn create(&self, path: &Path, backing: Option<&Path>) -> Result<(), DiskError> {
        let mut args: Vec<OsString> = ["create", "-q", "-f", "qcow2"].map(Into::into).into();
        if let Some(backing) = backing {
            args.extend([
                "-b".into(),
                backing.as_os_str().to_owned(),
                "-F".into(),
                format_of(backing).into(),
            ]);
        }
        args.extend([path.as_os_str().to_owned(), self.plan.size.0.to_string().into()]);
        self.run(args).await
    }

    async fn copy(&self, from: &Path, to: &Path) -> Result<(), DiskError> {
        let mut args: Vec<OsString> = ["convert", "-q", "-O", "qcow2", "-f"].map(Into::into).into();
        args.extend([format_of(from).into(), from.as_os_str().to_owned(), to.as_os_str().to_owned()]);
        self.run(args).await
    }

    /// Grows a disk to its size in the plan; does nothing if it has it.
    async fn resize(&self, path: &Path) -> Result<(), DiskError> {
        let mut args: Vec<OsString> = ["resize", "-q", "-f", "qcow2"].map(Into::into).into();
        args.extend([path.as_os_str().to_owned(), self.plan.size.0.to_string().into()]);
        self.run(args).await.map_err(|error| match error {
            DiskError::Refused { disk, node, words } if words.contains("--shrink") => {
                DiskError::Shrinks { disk, node, words, path: path.to_owned() }
            }
            error => error,
        })
    }

    async fn run(&self, args: Vec<OsString>) -> Result<(), DiskError> {
        let program = find_program("qemu-img").ok_or(DiskError::NoProgram)?;
        let spec = SpawnSpec::new(program).args(args);
        let mut child = self.spawner.spawn(spec).await.map_err(DiskError::Spawn)?;
        let status = child.wait().await.map_err(DiskError::Wait)?;
        if status.success() {
            return Ok(());
        }
        Err(DiskError::Refused {
            disk: self.plan.disk.to_string(),
            node: self.plan.node.to_string(),
            words: child.stderr().lines().join("; "),
        })
    }
}

/// Returns the format of a disk image by its magic; a raw image may start with anything else.
fn format_of(path: &Path) -> &'static str {
    let mut magic = [0; 4];
    let read = std::fs::File::open(path).and_then(|mut file| io::Read::read_exact(&mut file, &mut magic));
    if read.is_ok() && &magic == b"QFI\xfb" { "qcow2" } else { "raw" }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Step;
    use crate::plan::tests::{facts, lab};

    fn kept_disk(size: &str) -> DiskPlan {
        let text = format!(
            "dryrack = 1\nnetwork.lan.address = \"10.0.2.1/24\"\n\
             node.a.disk.root = {{ size = \"{size}\", keep = true }}"
        );
        let plan = crate::plan::plan(&lab(&text), &facts()).unwrap();
        let mut disks = plan.steps.into_iter().filter_map(|step| match step {
            Step::Disk(disk) => Some(disk),
            _ => None,
        });
        disks.next().unwrap()
    }

    #[tokio::test]
    async fn a_disk_that_could_not_be_made_leaves_no_draft() {
        let dir = tempfile::tempdir().unwrap();
        let folders = DiskFolders { run: &dir.path().join("run"), kept: &dir.path().join("kept") };
        let spawner = Spawner::start().unwrap();
        let disks = folders.kept.join("disks/a");
        std::fs::create_dir_all(&disks).unwrap();
        std::fs::write(disks.join("root.new"), "half of it").unwrap();
        let error = create(&kept_disk("1MiB"), folders, Some(dir.path().join("gone")), &spawner).await;
        assert!(matches!(error, Err(DiskError::Refused { .. })), "{error:?}");
        assert_eq!(std::fs::read_dir(&disks).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn a_kept_disk_that_should_shrink_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let folders = DiskFolders { run: dir.path(), kept: &dir.path().join("kept") };
        let spawner = Spawner::start().unwrap();
        let larger = kept_disk("2MiB");
        let link = folders.run.join(&larger.path);
        std::fs::create_dir_all(link.parent().unwrap()).unwrap();
        create(&larger, folders, None, &spawner).await.unwrap();
        let kept = folders.kept.join("disks/a/root.qcow2");
        assert_eq!(std::fs::read_link(link).unwrap(), kept);
        let error = create(&kept_disk("1MiB"), folders, None, &spawner).await.unwrap_err();
        assert!(error.hint().unwrap().ends_with(&format!("or delete {}", kept.display())), "{error:?}");
    }
}
