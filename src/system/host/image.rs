//! The root of a process from an image: the files of the image below, changes in memory above.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, open, openat2};
use nix::mount::MsFlags;
use nix::sys::stat::Mode;
use nix::unistd::{Gid, Uid, fchownat, setgid, setgroups, setuid};
use serde::{Deserialize, Serialize};

use super::files::{GivenFile, give};
use super::mounts::{MountPoints, mount_new};
use super::tree::{ORIGINAL, WORKSHOP, devices, leave, make_folder, pivot, write_anew};
use crate::system::namespace::{NamespaceError, failed};

/// A container image that was unpacked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRoot {
    /// The folder with its files, which is never changed.
    pub lower: PathBuf,
    /// What it starts, and how.
    pub container: Container,
}

/// What a container image starts, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Container {
    /// Program and arguments, from entrypoint and command; empty if the image names none.
    pub args: Vec<String>,
    /// The environment, as `NAME=VALUE`.
    pub environment: Vec<String>,
    /// The working folder.
    pub folder: PathBuf,
    /// The user.
    pub user: u32,
    /// The group.
    pub group: u32,
    /// Further groups.
    pub groups: Vec<u32>,
    /// Files that do not belong to root.
    pub owners: Vec<Owner>,
}

/// The owner of a file in a container image.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The file, relative to the root folder.
    pub path: PathBuf,
    /// The user.
    pub user: u32,
    /// The group.
    pub group: u32,
}

/// Files of the machine that an image does not know.
pub(super) const NAME_FILES: &[&str] = &["hosts", "hostname", "resolv.conf"];

impl ImageRoot {
    /// Enters the root, with files of the user's machine. `folder` is one of the run, for mounts and copies.
    ///
    /// The process must be alone in its mount namespace.
    pub(super) fn enter(
        &self,
        files: &BTreeMap<PathBuf, GivenFile>,
        folder: &Path,
        names: &[(&str, String)],
        log: Option<&Path>,
    ) -> Result<(), NamespaceError> {
        let at = folder.join("root");
        let what = "cannot build the root of the image";
        let root = self.build(&at).map_err(failed(what))?;
        pivot(&root).map_err(failed("cannot change to the root of the image"))?;
        devices(log).map_err(failed("cannot make the devices of the image"))?;
        let points = MountPoints::new(WORKSHOP.into()).own(Path::new("/"));
        let mut points = points.map_err(failed("cannot prepare the files of the process"))?;
        self.give_to_owners();
        give(files, Path::new(ORIGINAL), folder, &mut points)?;
        leave().map_err(failed("cannot leave the root of the user's machine"))?;
        // Only now: `/etc` of an image may be a link, which must not lead out of it.
        let etc = Path::new("/etc");
        if fs::metadata(etc).is_err() {
            make_folder(etc, 0o755).map_err(failed(what))?;
        }
        let write = |(name, text): &(&str, String)| {
            let file = etc.join(name);
            // What the process is given there stays.
            match files.keys().any(|given| file.starts_with(given)) {
                true => Ok(()),
                false => write_anew(&file, text, 0o644),
            }
        };
        names.iter().try_for_each(write).map_err(failed(what))
    }

    /// Mounts the image, and returns where.
    fn build(&self, at: &Path) -> io::Result<PathBuf> {
        fs::create_dir_all(at)?;
        mount_new("tmpfs", at, MsFlags::MS_NODEV, "mode=755")?;
        let (upper, work, root) = (at.join("upper"), at.join("work"), at.join("root"));
        for folder in [&upper, &work, &root] {
            fs::create_dir(folder)?;
        }
        // The root folder of the overlay is that of the upper one.
        let mode = fs::metadata(&self.lower)?.permissions();
        fs::set_permissions(&upper, mode)?;
        let options = [("lowerdir=", &self.lower), (",upperdir=", &upper), (",workdir=", &work)];
        let mut text = OsString::new();
        for (key, path) in options {
            text.push(key);
            text.push(escaped(path));
        }
        let mut with_user = text.clone();
        // In a user namespace, xattrs of the overlay can only be those of a user.
        with_user.push(",userxattr");
        if mount_overlay(&root, &with_user).is_err() {
            mount_overlay(&root, &text)?;
        }
        for folder in ["proc", "sys", "dev", "tmp", "run", "var", &ORIGINAL[1..], &WORKSHOP[1..]] {
            if fs::symlink_metadata(root.join(folder)).is_err() {
                make_folder(&root.join(folder), if folder == "tmp" { 0o1777 } else { 0o755 })?;
            }
        }
        Ok(root)
    }

    /// Returns the program with its arguments.
    pub(super) fn command(&self, run: Option<&str>) -> Result<Vec<String>, NamespaceError> {
        let argv: Vec<String> = match run {
            Some(run) => ["/bin/sh", "-c", run].map(str::to_owned).into(),
            None => self.container.args.clone(),
        };
        match argv.is_empty() {
            false => Ok(argv),
            true => Err(NamespaceError::plain("the image starts nothing by itself").with_hint("set `run`")),
        }
    }

    /// Gives files to their owners. Must be called in its root.
    fn give_to_owners(&self) {
        for Owner { path, user, group } in &self.container.owners {
            // Where there are no other users, everything stays root's.
            if let Err(error) = give_to(path, *user, *group) {
                tracing::debug!(path = %path.display(), %error, "a file of an image stays root's");
            }
        }
    }

    /// Becomes the user of the image.
    pub(super) fn become_user(&self) -> Result<(), NamespaceError> {
        let Container { user, group, groups, .. } = &self.container;
        if (*user, *group) == (0, 0) && groups.is_empty() {
            return Ok(());
        }
        let all: Vec<Gid> = [*group].iter().chain(groups).map(|group| Gid::from_raw(*group)).collect();
        let done = setgroups(&all)
            .and_then(|()| setgid(Gid::from_raw(*group)))
            .and_then(|()| setuid(Uid::from_raw(*user)));
        done.map_err(|e| failed(format!("cannot become the user {user} of the image"))(e.into()))
    }
}

/// Gives a file of the image to its owner. Links do not lead out of the image.
fn give_to(path: &Path, user: u32, group: u32) -> io::Result<()> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else { return Ok(()) };
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    let root = open("/", flags, Mode::empty())?;
    // The root of the user's machine is another file system.
    let how =
        OpenHow::new().flags(flags).resolve(ResolveFlag::RESOLVE_IN_ROOT | ResolveFlag::RESOLVE_NO_XDEV);
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let folder = openat2(&root, folder, how)?;
    let owner = (Some(Uid::from_raw(user)), Some(Gid::from_raw(group)));
    Ok(fchownat(&folder, name, owner.0, owner.1, AtFlags::AT_SYMLINK_NOFOLLOW)?)
}

fn mount_overlay(at: &Path, options: &OsString) -> io::Result<()> {
    let options = Some(options.as_os_str());
    Ok(nix::mount::mount(Some("overlay"), at, Some("overlay"), MsFlags::MS_NODEV, options)?)
}

/// Escapes what separates paths in the options of an overlay.
fn escaped(path: &Path) -> OsString {
    let mut bytes = Vec::new();
    for byte in path.as_os_str().as_bytes() {
        if matches!(byte, b'\\' | b':' | b',') {
            bytes.push(b'\\');
        }
        bytes.push(*byte);
    }
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_with_separators_are_escaped() {
        assert_eq!(escaped(Path::new("/a:b,c\\d")), OsString::from("/a\\:b\\,c\\\\d"));
    }
}
