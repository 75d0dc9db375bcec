//! Mounts in a mount namespace of our own.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use nix::mount::{MsFlags, mount};
use nix::sys::statvfs::{FsFlags, statvfs};

/// Keeps all mounts of this namespace from others, and theirs from us.
pub(super) fn keep_private() -> io::Result<()> {
    let flags = MsFlags::MS_PRIVATE | MsFlags::MS_REC;
    Ok(mount(None::<&str>, "/", None::<&str>, flags, None::<&str>)?)
}

/// Mounts a new file system.
pub(super) fn mount_new(kind: &str, at: &Path, flags: MsFlags, options: &str) -> io::Result<()> {
    Ok(mount(Some(kind), at, Some(kind), flags, Some(options))?)
}

/// Shows a file or folder, with everything that is mounted in it, at another path.
pub(super) fn bind(from: &Path, to: &Path) -> io::Result<()> {
    // In a user namespace the kernel refuses to leave out what is mounted below.
    Ok(mount(Some(from), to, None::<&str>, MsFlags::MS_BIND | MsFlags::MS_REC, None::<&str>)?)
}

/// Moves a mount.
fn move_mount(from: &Path, to: &Path) -> io::Result<()> {
    Ok(mount(Some(from), to, None::<&str>, MsFlags::MS_MOVE, None::<&str>)?)
}

/// Makes a mount, and all mounts below it, read-only.
pub(super) fn make_read_only(at: &Path) -> io::Result<()> {
    let table = fs::read("/proc/self/mountinfo")?;
    let below = mount_points(&table).into_iter().filter(|point| point.starts_with(at) && *point != at);
    for point in std::iter::once(at.to_owned()).chain(below) {
        match remount_read_only(&point) {
            // Mounts below may be hidden by others, and then have no path.
            Err(error) if point != at && error.kind() == io::ErrorKind::NotFound => {}
            done => done?,
        }
    }
    Ok(())
}

/// Makes a mount read-only, but not those below it.
pub(super) fn remount_read_only(at: &Path) -> io::Result<()> {
    let mut flags = MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY;
    let now = statvfs(at)?.flags();
    // The kernel does not let a user namespace drop these.
    for (is, stays) in [
        (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
        (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
        (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
    ] {
        if now.contains(is) {
            flags |= stays;
        }
    }
    Ok(mount(None::<&str>, at, None::<&str>, flags, None::<&str>)?)
}

/// Returns the mount points in the text of `/proc/self/mountinfo`.
fn mount_points(table: &[u8]) -> Vec<PathBuf> {
    let lines = table.split(|byte| *byte == b'\n');
    let point = |line: &[u8]| Some(unescape(line.split(|byte| *byte == b' ').nth(4)?));
    lines.filter_map(point).collect()
}

/// Decodes the octal escapes of spaces and backslashes.
fn unescape(text: &[u8]) -> PathBuf {
    let mut path = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        let code = tail.get(..3).and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|code| u8::from_str_radix(code, 8).ok()).filter(|_| *first == b'\\') {
            Some(byte) => {
                path.push(byte);
                rest = &tail[3..];
            }
            None => {
                path.push(*first);
                rest = tail;
            }
        }
    }
    OsString::from_vec(path).into()
}

/// What is needed at a mount point.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Point {
    /// A file.
    File,
    /// A folder.
    Folder,
}

/// Makes mount points where there is nothing yet, without a change to a file system of the host.
///
/// A folder of the host in which one is missing is replaced by a temporary file system that shows the same entries.
#[derive(Debug)]
pub(super) struct MountPoints {
    /// An empty folder in which file systems are prepared.
    workshop: PathBuf,
    /// The devices of the file systems in which we may create what we like.
    ours: BTreeSet<u64>,
    /// Folders in which a process may create what it likes, and we for it.
    writable: Vec<PathBuf>,
}

impl MountPoints {
    /// Starts without a file system of our own. The folder exists.
    pub(super) fn new(workshop: PathBuf) -> Self {
        Self { workshop, ours: BTreeSet::new(), writable: Vec::new() }
    }

    /// Adds the file system at a path to those that are ours.
    pub(super) fn own(mut self, at: &Path) -> io::Result<Self> {
        self.ours.insert(fs::metadata(at)?.dev());
        Ok(self)
    }

    /// Adds a folder with everything in it to those in which mount points may be made, too.
    pub(super) fn allow(&mut self, folder: PathBuf) {
        self.writable.push(folder);
    }

    /// Makes a mount point, unless there is one.
    pub(super) fn make(&mut self, at: &Path, kind: Point) -> io::Result<()> {
        if fs::metadata(at).is_ok() {
            return Ok(());
        }
        let there = at.ancestors().skip(1).find(|folder| fs::metadata(folder).is_ok());
        let there = there.ok_or(io::ErrorKind::NotFound)?;
        let real = fs::canonicalize(there)?;
        let is_writable = self.writable.iter().any(|folder| real.starts_with(folder));
        if !is_writable && !self.ours.contains(&fs::metadata(there)?.dev()) {
            if there == Path::new("/") {
                let why =
                    "nothing can be added at the top of this machine; use a path in a folder, or a host";
                return Err(io::Error::other(why));
            }
            self.replace(&real)?;
        }
        if fs::symlink_metadata(at).is_ok() {
            // A link that leads nowhere.
            fs::remove_file(at)?;
        }
        match kind {
            Point::Folder => fs::create_dir_all(at),
            Point::File => {
                at.parent().map_or(Ok(()), fs::create_dir_all)?;
                File::create(at).map(drop)
            }
        }
    }

    /// Replaces a folder of the host by a temporary file system with the same entries.
    fn replace(&mut self, folder: &Path) -> io::Result<()> {
        let copy = self.workshop.join("copy");
        fs::create_dir_all(&copy)?;
        let mode = format!("mode={:o}", fs::metadata(folder)?.permissions().mode() & 0o7777);
        mount_new("tmpfs", &copy, MsFlags::MS_NODEV | MsFlags::MS_NOSUID, &mode)?;
        self.ours.insert(fs::metadata(&copy)?.dev());
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let (from, to) = (entry.path(), copy.join(entry.file_name()));
            let kind = entry.file_type()?;
            if kind.is_symlink() {
                symlink(fs::read_link(&from)?, &to)?;
                continue;
            }
            if kind.is_dir() {
                fs::create_dir(&to)?;
            } else {
                File::create(&to)?;
            }
            bind(&from, &to)?;
        }
        move_mount(&copy, folder)?;
        fs::remove_dir(&copy)
    }
}

/// Copies a file or a folder with everything in it. Sockets and devices are left out. The copy is complete, or there
/// is none.
pub fn copy_all(from: &Path, to: &Path) -> io::Result<()> {
    let mut name = to.file_name().unwrap_or_default().to_owned();
    name.push(".part");
    let part = to.with_file_name(name);
    match fs::symlink_metadata(&part) {
        Ok(of) if of.is_dir() => fs::remove_dir_all(&part)?,
        Ok(_) => fs::remove_file(&part)?,
        Err(_) => {}
    }
    copy_each(from, &part)?;
    fs::rename(&part, to)
}

fn copy_each(from: &Path, to: &Path) -> io::Result<()> {
    copy_one(from, to).map_err(|error| match error.get_ref() {
        // It names the file already.
        Some(_) => error,
        None => io::Error::new(error.kind(), format!("{}: {error}", from.display())),
    })
}

fn copy_one(from: &Path, to: &Path) -> io::Result<()> {
    let metadata = fs::symlink_metadata(from)?;
    let kind = metadata.file_type();
    if kind.is_symlink() {
        symlink(fs::read_link(from)?, to)
    } else if kind.is_dir() {
        fs::create_dir(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy_each(&entry.path(), &to.join(entry.file_name()))?;
        }
        fs::set_permissions(to, metadata.permissions())
    } else if kind.is_file() {
        fs::copy(from, to).map(drop)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mount_points_are_read_with_their_escapes() {
        let table = b"1 2 0:1 / / rw - ext4 /dev/x rw\n3 1 0:2 / /a\\040b\\134 rw - tmpfs t rw\n\nx\n";
        assert_eq!(mount_points(table), [Path::new("/"), Path::new("/a b\\")]);
    }

    #[test]
    fn a_folder_is_copied_with_links_and_modes() {
        let folder = tempfile::tempdir().unwrap();
        let from = folder.path().join("from");
        fs::create_dir_all(from.join("sub")).unwrap();
        fs::write(from.join("sub/script"), "x").unwrap();
        fs::set_permissions(from.join("sub/script"), fs::Permissions::from_mode(0o750)).unwrap();
        symlink("sub/script", from.join("link")).unwrap();
        let to = folder.path().join("to");
        copy_all(&from, &to).unwrap();
        assert_eq!(fs::read_link(to.join("link")).unwrap(), Path::new("sub/script"));
        assert_eq!(fs::metadata(to.join("link")).unwrap().permissions().mode() & 0o777, 0o750);
        assert!(copy_all(&from, &to).is_err(), "nothing is overwritten");
        symlink("a", from.join("sub/b")).unwrap();
        let target = folder.path().join("sub.part");
        fs::create_dir_all(target.join("left over")).unwrap();
        copy_all(&from.join("sub"), &folder.path().join("sub")).unwrap();
        assert!(!target.exists() && !folder.path().join("sub/left over").exists());
    }
}
