//! The root of a host: the programs of the user's machine, and everything else of its own.
//!
//! ```text
//! /usr /opt …          as on the user's machine, read-only
//! /etc                 a copy of what can be read there
//! /var                 the same folders, empty
//! /run /tmp /home …    empty
//! ```
//!
//! An overlay over the whole root would be simpler, but the kernel refuses it in a user namespace, and files of the
//! real root would belong to nobody there.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};

use nix::mount::{MntFlags, MsFlags, umount2};
use nix::unistd::pivot_root;

use super::files::{GivenFile, give};
use super::mounts::{MountPoints, Point, bind, make_read_only, mount_new, remount_read_only};
use crate::system::namespace::{NamespaceError, failed};

/// Where the root of the user's machine is while the files of a host are put into place.
pub(super) const ORIGINAL: &str = "/.original";
/// Where file systems are prepared.
pub(super) const WORKSHOP: &str = "/.workshop";

/// Folders with programs.
const PROGRAMS: &[&str] =
    &["usr", "opt", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "nix", "gnu", "snap"];
/// Folders that are empty, with their modes.
const EMPTY: &[(&str, u32)] = &[
    ("proc", 0o555),
    ("sys", 0o555),
    ("dev", 0o755),
    ("home", 0o755),
    ("root", 0o700),
    ("mnt", 0o755),
    ("media", 0o755),
    ("srv", 0o755),
    ("tmp", 0o1777),
    ("run", 0o755),
    ("run/lock", 0o1777),
    ("run/sshd", 0o755),
    ("var", 0o755),
    ("var/tmp", 0o1777),
    ("var/empty", 0o755),
    (".original", 0o700),
    (".workshop", 0o700),
];
/// How deep the folders of `/var` are made again, and how many at most.
const VAR_DEPTH: usize = 4;
const VAR_MOST: usize = 5000;
/// Larger files of `/etc` are not copied: they are caches.
const LARGEST: u64 = 16 << 20;
/// Settings of the whole machine beside `/proc/sys`.
const SETTINGS: &[&str] =
    &["/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs", "/proc/acpi", "/proc/scsi"];
/// Devices that every machine has.
const DEVICES: &[&str] = &["null", "zero", "full", "random", "urandom", "tty", "net/tun"];

/// What differs from one host to the other.
pub(super) struct Tree<'a> {
    /// A folder of the run, on which the root is mounted.
    pub(super) at: &'a Path,
    /// Texts of files in `/etc`.
    pub(super) texts: &'a BTreeMap<String, String>,
    /// Files of the user's machine.
    pub(super) files: &'a BTreeMap<PathBuf, GivenFile>,
    /// The folder of the run for copies of them.
    pub(super) copies: &'a Path,
    /// The socket that is `/dev/log`.
    pub(super) log: &'a Path,
}

impl Tree<'_> {
    /// Builds the root and enters it. The process must be alone in its mount namespace, and the first in its PID
    /// namespace.
    pub(super) fn enter(&self) -> Result<(), NamespaceError> {
        self.build().map_err(failed("cannot build the root of the host"))?;
        pivot(self.at).map_err(failed("cannot change to the root of the host"))?;
        devices(Some(self.log)).map_err(failed("cannot make the devices of the host"))?;
        let points = MountPoints::new(WORKSHOP.into()).own(Path::new("/"));
        let mut points = points.map_err(failed("cannot prepare the files of the host"))?;
        give(self.files, Path::new(ORIGINAL), self.copies, &mut points)?;
        leave().map_err(failed("cannot leave the root of the user's machine"))
    }

    fn build(&self) -> io::Result<()> {
        mount_new("tmpfs", self.at, MsFlags::MS_NODEV, "mode=755")?;
        for name in PROGRAMS {
            let (from, to) = (Path::new("/").join(name), self.at.join(name));
            match fs::symlink_metadata(&from) {
                Ok(of) if of.is_symlink() => symlink(fs::read_link(&from)?, &to)?,
                Ok(of) if of.is_dir() => {
                    fs::create_dir(&to)?;
                    bind(&from, &to)?;
                    make_read_only(&to)?;
                }
                _ => {}
            }
        }
        for (name, mode) in EMPTY {
            make_folder(&self.at.join(name), *mode)?;
        }
        let mut left = VAR_MOST;
        // Each level before the next one, so that what is deep and wide is what is left out.
        for depth in 1..=VAR_DEPTH {
            copy_folders(Path::new("/var"), &self.at.join("var"), depth, &mut left)?;
        }
        for (name, to) in [("run", "/run"), ("lock", "/run/lock")] {
            replace_by_link(&self.at.join("var").join(name), to)?;
        }
        for folder in folders_of_services() {
            make_folder(&self.at.join(folder), 0o755)?;
        }
        copy_readable(Path::new("/etc"), &self.at.join("etc"))?;
        for (name, text) in self.texts {
            write_anew(&self.at.join("etc").join(name), text, 0o644)?;
        }
        let users = fs::read_to_string(self.at.join("etc/passwd")).unwrap_or_default();
        write_anew(&self.at.join("etc/shadow"), &shadow(&users), 0o600)
    }
}

/// Enters a new root, with the old one below it.
pub(super) fn pivot(root: &Path) -> io::Result<()> {
    std::env::set_current_dir(root)?;
    pivot_root(".", ORIGINAL.trim_start_matches('/'))?;
    std::env::set_current_dir("/")
}

/// Mounts the file systems of the kernel, and makes the devices. `log` is the socket for `/dev/log`.
pub(super) fn devices(log: Option<&Path>) -> io::Result<()> {
    let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    let original = Path::new(ORIGINAL);
    // Containers mask parts of these; the kernel then refuses complete ones.
    if mount_new("proc", Path::new("/proc"), quiet, "").is_err() {
        bind(&original.join("proc"), Path::new("/proc"))?;
    }
    keep_settings()?;
    if mount_new("sysfs", Path::new("/sys"), quiet | MsFlags::MS_RDONLY, "").is_err() {
        bind(&original.join("sys"), Path::new("/sys"))?;
        make_read_only(Path::new("/sys"))?;
    }
    mount_new("tmpfs", Path::new("/dev"), MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC, "mode=755")?;
    let mut points = MountPoints::new(WORKSHOP.into()).own(Path::new("/dev"))?;
    for device in DEVICES {
        let (from, to) = (original.join("dev").join(device), Path::new("/dev").join(device));
        if fs::symlink_metadata(&from).is_ok() {
            points.make(&to, Point::File)?;
            bind(&from, &to)?;
        }
    }
    if let Some(log) = log {
        points.make(Path::new("/dev/log"), Point::File)?;
        bind(&original.join(log.strip_prefix("/").unwrap_or(log)), Path::new("/dev/log"))?;
    }
    for folder in ["/dev/pts", "/dev/shm"] {
        fs::create_dir(folder)?;
    }
    let terminals = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    mount_new("devpts", Path::new("/dev/pts"), terminals, "newinstance,ptmxmode=0666,mode=0620")?;
    mount_new("tmpfs", Path::new("/dev/shm"), MsFlags::MS_NOSUID | MsFlags::MS_NODEV, "mode=1777")?;
    for (link, to) in [
        ("ptmx", "pts/ptmx"),
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
    ] {
        symlink(to, Path::new("/dev").join(link))?;
    }
    Ok(())
}

/// Makes the settings of the whole machine read-only, apart from those of networks, of which a host has its own.
///
/// Root of the machine could change them from a host.
fn keep_settings() -> io::Result<()> {
    let own = Path::new("/proc/sys/net");
    let settings = Path::new("/proc/sys");
    bind(settings, settings)?;
    bind(own, own)?;
    remount_read_only(settings)?;
    for path in SETTINGS.iter().map(Path::new).filter(|path| path.exists()) {
        bind(path, path)?;
        make_read_only(path)?;
    }
    Ok(())
}

/// Takes the root of the user's machine out of sight.
pub(super) fn leave() -> io::Result<()> {
    umount2(ORIGINAL, MntFlags::MNT_DETACH)?;
    fs::remove_dir(ORIGINAL)?;
    fs::remove_dir(WORKSHOP)
}

pub(super) fn make_folder(at: &Path, mode: u32) -> io::Result<()> {
    fs::create_dir_all(at)?;
    fs::set_permissions(at, fs::Permissions::from_mode(mode))
}

/// Makes the folders below one again, without their files.
fn copy_folders(from: &Path, to: &Path, depth: usize, left: &mut usize) -> io::Result<()> {
    // What cannot be read is empty.
    let Ok(entries) = fs::read_dir(from) else { return Ok(()) };
    for entry in entries.flatten() {
        let Ok(of) = entry.metadata() else { continue };
        if !of.is_dir() || depth == 0 || *left == 0 {
            continue;
        }
        let copy = to.join(entry.file_name());
        if !copy.exists() {
            *left -= 1;
            make_folder(&copy, of.mode() & 0o7777)?;
            give_to_owner(&copy, &of);
        }
        copy_folders(&entry.path(), &copy, depth - 1, left)?;
    }
    Ok(())
}

/// Copies what can be read of a folder.
fn copy_readable(from: &Path, to: &Path) -> io::Result<()> {
    let of = fs::symlink_metadata(from)?;
    if of.is_symlink() {
        return symlink(fs::read_link(from)?, to);
    }
    if of.is_dir() {
        make_folder(to, of.mode() & 0o7777 | 0o700)?;
        if let Ok(entries) = fs::read_dir(from) {
            for entry in entries.flatten() {
                copy_readable(&entry.path(), &to.join(entry.file_name()))?;
            }
        }
    } else if of.is_file() && of.len() <= LARGEST {
        match File::open(from) {
            Ok(mut file) => {
                io::copy(&mut file, &mut File::create(to)?)?;
                fs::set_permissions(to, fs::Permissions::from_mode(of.mode() & 0o7777))?;
            }
            // Other users' secrets.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(()),
            Err(error) => return Err(error),
        }
    } else {
        return Ok(());
    }
    give_to_owner(to, &of);
    Ok(())
}

/// Gives a copy to the owner of the original, if that one exists here.
fn give_to_owner(copy: &Path, of: &fs::Metadata) {
    /// What an owner is called who does not exist in a user namespace.
    const NOBODY: u32 = 65534;
    let known = |id: u32| (id != NOBODY).then_some(id);
    // Without other IDs it stays ours.
    chown(copy, known(of.uid()), known(of.gid())).ok();
}

fn replace_by_link(at: &Path, to: &str) -> io::Result<()> {
    match fs::symlink_metadata(at) {
        Ok(of) if of.is_dir() => fs::remove_dir_all(at)?,
        Ok(_) => fs::remove_file(at)?,
        Err(_) => {}
    }
    symlink(to, at)
}

/// Writes a file that is not the target of a link that was there.
pub(super) fn write_anew(at: &Path, text: &str, mode: u32) -> io::Result<()> {
    match fs::remove_file(at) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::write(at, text)?;
    fs::set_permissions(at, fs::Permissions::from_mode(mode))
}

/// Returns `/etc/shadow` for users without passwords, who may log in by key.
fn shadow(users: &str) -> String {
    let names = users.lines().filter_map(|line| line.split(':').next()).filter(|name| !name.is_empty());
    names.map(|name| format!("{name}:*:19000:0:99999:7:::\n")).collect()
}

/// Returns the folders that systemd would make for the services of this machine.
fn folders_of_services() -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for units in ["/usr/lib/systemd/system", "/lib/systemd/system"] {
        for entry in fs::read_dir(units).into_iter().flatten().flatten() {
            if entry.path().extension().is_some_and(|kind| kind == "service") {
                folders.extend(unit_folders(&fs::read_to_string(entry.path()).unwrap_or_default()));
            }
        }
    }
    folders.sort();
    folders.dedup();
    folders
}

/// Returns the folders that the text of a unit names.
fn unit_folders(unit: &str) -> Vec<PathBuf> {
    let mut folders = Vec::new();
    for line in unit.lines() {
        let Some((key, value)) = line.split_once('=') else { continue };
        let parent = match key.trim() {
            "RuntimeDirectory" => "run",
            "StateDirectory" => "var/lib",
            "CacheDirectory" => "var/cache",
            "LogsDirectory" => "var/log",
            _ => continue,
        };
        let plain =
            |name: &&str| !name.contains(['%', ':', '$']) && !name.split('/').any(|part| part == "..");
        folders.extend(value.split_whitespace().filter(plain).map(|name| Path::new(parent).join(name)));
    }
    folders
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folders_of_a_unit_are_below_those_of_its_kind() {
        let unit = "[Service]\nRuntimeDirectory=kea kea/sockets\nStateDirectory = chrony\nRuntimeDirectory=x-%i ../y\nUser=a\n";
        let folders = unit_folders(unit);
        assert_eq!(folders, ["run/kea", "run/kea/sockets", "var/lib/chrony"].map(PathBuf::from));
    }

    #[test]
    fn nobody_has_a_password() {
        assert_eq!(shadow("root:x:0:0::/root:/bin/sh\n\n"), "root:*:19000:0:99999:7:::\n");
    }

    #[test]
    fn what_cannot_be_read_is_left_out_and_links_stay_links() {
        let folder = tempfile::tempdir().unwrap();
        let from = folder.path().join("etc");
        fs::create_dir_all(from.join("sub")).unwrap();
        fs::write(from.join("sub/a"), "a").unwrap();
        symlink("/nowhere", from.join("link")).unwrap();
        let to = folder.path().join("copy");
        copy_readable(&from, &to).unwrap();
        assert_eq!(fs::read_to_string(to.join("sub/a")).unwrap(), "a");
        write_anew(&to.join("link"), "own", 0o644).unwrap();
        assert_eq!(fs::read_to_string(to.join("link")).unwrap(), "own");
    }
}
