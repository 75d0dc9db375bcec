//! Writes files atomically: at every instant, also after a kill, a file is complete or missing.
//!
//! ```text
//! FOLDER/.dryrack-7f3c…   the draft: written, synced, locked for as long as its writer lives
//! FOLDER/NAME             the draft under its own name: the old bytes or the new ones, never some of both
//! ```
//!
//! A symbolic link is written through, as by matchbox: its target is replaced, beside a draft in the target's folder.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use uuid::Uuid;

/// Prefix of the name of each draft. Clients cannot use such names and do not see them.
const PREFIX: &str = ".dryrack-";

/// How often a draft is rewritten if another process removes it as a leftover.
const ATTEMPTS: usize = 3;

/// How many symbolic links are followed, as by the kernel.
const MOST_LINKS: usize = 40;

/// Tells whether a name is that of a draft.
pub(super) fn is_draft(name: &str) -> bool {
    name.starts_with(PREFIX)
}

/// A failed write, with the name that Go has for the operation.
#[derive(Debug)]
pub(super) struct Failed {
    /// `open` or `mkdir`.
    pub(super) verb: &'static str,
    /// The path.
    pub(super) path: PathBuf,
    /// The cause.
    pub(super) source: io::Error,
}

/// Writes a file atomically and creates its parent folders.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<(), Failed> {
    make_folder(path.parent().unwrap_or(Path::new("/")))?;
    let failed = |source| Failed { verb: "open", path: path.to_owned(), source };
    if path.is_dir() {
        return Err(failed(io::Error::from_raw_os_error(nix::libc::EISDIR)));
    }
    let target = target(path).map_err(failed)?;
    let folder = target.parent().unwrap_or(Path::new("/"));
    let mut written = replace(folder, &target, bytes);
    for _ in 1..ATTEMPTS {
        match &written {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                written = replace(folder, &target, bytes)
            }
            _ => break,
        }
    }
    written.map_err(failed)
}

/// Creates a folder and its parents, with the errors of Go's `os.MkdirAll`: they name the path that is in the way.
pub(super) fn make_folder(folder: &Path) -> Result<(), Failed> {
    let failed = |path: &Path, source| Failed { verb: "mkdir", path: path.to_owned(), source };
    let mut missing = Vec::new();
    for path in folder.ancestors() {
        match fs::metadata(path) {
            Ok(metadata) if metadata.is_dir() => break,
            Ok(_) => return Err(failed(path, io::Error::from_raw_os_error(nix::libc::ENOTDIR))),
            // The way to it is missing, or a file is in the way.
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                missing.push(path);
            }
            Err(error) => return Err(failed(path, error)),
        }
    }
    for path in missing.into_iter().rev() {
        match DirBuilder::new().mode(0o755).create(path) {
            // Another request was faster.
            Err(_) if path.is_dir() => {}
            made => made.map_err(|source| failed(path, source))?,
        }
    }
    Ok(())
}

/// Follows symbolic links to the file that they lead to, which may not exist yet.
fn target(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_owned();
    for _ in 0..MOST_LINKS {
        match fs::read_link(&path) {
            Ok(link) => path = path.parent().unwrap_or(Path::new("/")).join(link),
            // No link, or nothing yet.
            Err(_) => return Ok(path),
        }
    }
    Err(io::Error::from_raw_os_error(nix::libc::ELOOP))
}

fn replace(folder: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let draft = folder.join(format!("{PREFIX}{}", Uuid::new_v4().simple()));
    let written = fill(&draft, path, bytes).and_then(|file| {
        fs::rename(&draft, path)?;
        drop(file);
        // The name must survive a power failure as well.
        File::open(folder)?.sync_all()
    });
    if written.is_err() {
        // This may fail for the same reason as the write; the next start tries again.
        fs::remove_file(&draft).ok();
    }
    written
}

/// Writes a draft. It stays locked for as long as the file is open.
fn fill(draft: &Path, path: &Path, bytes: &[u8]) -> io::Result<File> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(draft)?;
    file.lock()?;
    if let Ok(metadata) = fs::metadata(path) {
        // Keep the permissions of the old file.
        file.set_permissions(metadata.permissions())?;
    }
    file.write_all(bytes)?;
    file.sync_all()?;
    Ok(file)
}

/// Removes drafts that a killed process has left below a folder and beside the targets of links in it, but not those
/// of a running process.
pub(super) fn sweep(folder: &Path) -> io::Result<()> {
    let mut beside = BTreeSet::new();
    sweep_below(folder, &mut beside)?;
    for folder in beside {
        // What others own there is none of ours.
        for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
            if entry.file_name().to_str().is_some_and(is_draft) {
                remove_if_dead(&entry.path()).ok();
            }
        }
    }
    Ok(())
}

fn sweep_below(folder: &Path, beside: &mut BTreeSet<PathBuf>) -> io::Result<()> {
    let entries = match fs::read_dir(folder) {
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(()),
        other => other?,
    };
    for entry in entries {
        let entry = entry?;
        let kind = entry.file_type()?;
        if kind.is_dir() {
            sweep_below(&entry.path(), beside)?;
        } else if kind.is_symlink() {
            let target = target(&entry.path()).ok().filter(|target| !target.is_dir());
            beside.extend(target.and_then(|target| Some(target.parent()?.to_owned())));
        } else if kind.is_file() && entry.file_name().to_str().is_some_and(is_draft) {
            remove_if_dead(&entry.path())?;
        }
    }
    Ok(())
}

fn remove_if_dead(draft: &Path) -> io::Result<()> {
    let lives = match File::open(draft) {
        Ok(file) => file.try_lock().is_err(),
        // It was renamed to its final name meanwhile.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    match lives {
        true => Ok(()),
        false => match fs::remove_file(draft) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn files_and_folders_are_made_as_matchbox_makes_them() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("ignition/sub/a.ign");
        write(&path, b"one").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o644, 0o755));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        write(&path, b"two").unwrap();
        assert_eq!((mode(&path), fs::read(&path).unwrap()), (0o600, b"two".to_vec()));
        let names: Vec<_> =
            fs::read_dir(path.parent().unwrap()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["a.ign"]);
    }

    /// Clients choose names, and only the size of a message limits them.
    #[test]
    fn a_path_that_no_system_takes_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a/".repeat(500_000)).join("x");
        assert_eq!(write(&path, b"").unwrap_err().source.kind(), io::ErrorKind::InvalidFilename);
        assert!(!folder.path().join("a").exists(), "nothing is created");
    }

    #[test]
    fn drafts_of_the_dead_are_removed_and_those_of_the_living_stay() {
        let folder = tempfile::tempdir().unwrap();
        let draft = |name: &str| folder.path().join(name);
        fs::create_dir(draft("sub")).unwrap();
        for name in [".dryrack-1", "sub/.dryrack-2", ".other", "a.json"] {
            fs::write(draft(name), "{").unwrap();
        }
        let alive = fill(&draft(".dryrack-3"), &draft("b.json"), b"{}").unwrap();
        sweep(folder.path()).unwrap();
        let left = |name: &str| draft(name).exists();
        assert_eq!(
            [".dryrack-1", "sub/.dryrack-2", ".other", "a.json", ".dryrack-3"].map(left),
            [false, false, true, true, true]
        );
        drop(alive);
        sweep(folder.path()).unwrap();
        assert!(!left(".dryrack-3"));
        sweep(&draft("none")).unwrap();
    }

    #[test]
    fn a_link_is_written_through() {
        let (folder, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let (link, first) = (folder.path().join("a.ign"), folder.path().join("first"));
        let target = elsewhere.path().join("a.ign");
        fs::write(&target, "old").unwrap();
        std::os::unix::fs::symlink(&target, &first).unwrap();
        std::os::unix::fs::symlink("first", &link).unwrap();
        write(&link, b"new").unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"new");
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink(), "the link is still one");
        fs::remove_file(&target).unwrap();
        write(&link, b"again").unwrap();
        assert_eq!(fs::read(&target).unwrap(), b"again", "a file that the link promised");
        // Drafts beside the target are removed as well.
        fs::write(elsewhere.path().join(".dryrack-1"), "{").unwrap();
        sweep(folder.path()).unwrap();
        assert!(!elsewhere.path().join(".dryrack-1").exists());
        let ring = folder.path().join("ring");
        std::os::unix::fs::symlink("ring", &ring).unwrap();
        let failed = write(&ring, b"").unwrap_err();
        assert_eq!((failed.verb, failed.source.raw_os_error()), ("open", Some(nix::libc::ELOOP)));
    }

    #[test]
    fn a_folder_is_not_written_over() {
        let folder = tempfile::tempdir().unwrap();
        let failed = write(folder.path(), b"").unwrap_err();
        assert_eq!((failed.verb, failed.source.kind()), ("open", io::ErrorKind::IsADirectory));
    }
}
