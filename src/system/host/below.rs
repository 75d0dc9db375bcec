//! Files below the root of a host, as seen from outside.
//!
//! Links there are the host's own: an absolute one would lead to a file of the user's machine if we followed it.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, open, openat, openat2};
use nix::sys::stat::Mode;
use nix::unistd::{UnlinkatFlags, unlinkat};

/// Opens a file below a root, where links stay below it, too.
fn open_below(root: &Path, path: &Path, flags: OFlag) -> io::Result<OwnedFd> {
    let root = open(root, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_IN_ROOT);
    Ok(openat2(root, path, how)?)
}

/// Tells whether there is a file below a root.
pub fn is_below(root: &Path, path: &Path) -> bool {
    open_below(root, path, OFlag::O_PATH | OFlag::O_NOFOLLOW).is_ok()
}

/// Reads a text file below a root.
pub fn read_below(root: &Path, path: &Path) -> io::Result<String> {
    let mut text = String::new();
    // A pipe must not block us.
    File::from(open_below(root, path, OFlag::O_RDONLY | OFlag::O_NONBLOCK)?).read_to_string(&mut text)?;
    Ok(text)
}

/// Writes a file below a root that is not the target of a link that was there.
pub fn write_below(root: &Path, folder: &Path, name: &str, text: &str) -> io::Result<()> {
    let folder = open_below(root, folder, OFlag::O_PATH | OFlag::O_DIRECTORY)?;
    match unlinkat(&folder, name, UnlinkatFlags::NoRemoveDir) {
        Ok(()) | Err(Errno::ENOENT) => {}
        Err(error) => return Err(error.into()),
    }
    let new = OFlag::O_WRONLY | OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    let mode = Mode::S_IRUSR | Mode::S_IWUSR | Mode::S_IRGRP | Mode::S_IROTH;
    File::from(openat(&folder, name, new, mode)?).write_all(text.as_bytes())
}

/// Returns the root of a process, given by its folder in `/proc`, once that is not ours.
///
/// While it is made, files of the user's machine are still seen there.
pub(super) fn own_root(process: &Path) -> Option<PathBuf> {
    use std::os::unix::fs::MetadataExt;

    let root = process.join("root");
    let identity = |path: &Path| std::fs::metadata(path).map(|of| (of.dev(), of.ino()));
    let is_own = identity(&root).ok()? != identity(Path::new("/")).ok()?;
    let is_made = !is_below(&root, Path::new(super::tree::ORIGINAL));
    (is_own && is_made).then_some(root)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_stay_below_the_root() {
        let folder = tempfile::tempdir().unwrap();
        let (root, outside) = (folder.path().join("root"), folder.path().join("victim"));
        fs::create_dir_all(root.join("run")).unwrap();
        fs::create_dir(root.join("etc")).unwrap();
        fs::write(&outside, "kept").unwrap();
        fs::write(root.join("run/pid"), "1").unwrap();
        symlink("/run", root.join("var")).unwrap();
        symlink(&outside, root.join("etc/resolv.conf")).unwrap();
        symlink(folder.path(), root.join("away")).unwrap();

        assert!(is_below(&root, Path::new("/var/pid")) && is_below(&root, Path::new("../../run/pid")));
        assert!(!is_below(&root, Path::new("/away/victim")));
        assert_eq!(read_below(&root, Path::new("/var/pid")).unwrap(), "1");
        assert!(read_below(&root, Path::new("/etc/resolv.conf")).is_err());
        write_below(&root, Path::new("etc"), "resolv.conf", "own").unwrap();
        assert_eq!(fs::read_to_string(root.join("etc/resolv.conf")).unwrap(), "own");
        assert!(write_below(&root, Path::new("away"), "victim", "other").is_err());
        assert_eq!(fs::read_to_string(&outside).unwrap(), "kept");
    }
}
