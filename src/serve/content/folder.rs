//! Opens files below a folder and never outside of it, even through symbolic links.

use std::fs::{File, Metadata};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use nix::dir::{Dir, Type};
use nix::errno::Errno;
use nix::fcntl::{OFlag, OpenHow, ResolveFlag, openat2};
use nix::sys::stat::Mode;

/// What checks that a path stays inside its folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Guard {
    /// The kernel, when it opens the file (`openat2`, Linux 5.6 or later, unless blocked).
    Kernel,
    /// Dryrack, before it opens the file.
    Ourselves,
}

/// Opens a path below a folder, if it stays inside. The path has no `..`.
///
/// An error of kind `PermissionDenied` means that it leaves the folder, or is neither a file nor a folder.
pub(super) fn open(folder: &Path, path: &str) -> io::Result<(File, Metadata)> {
    match open_guarded(folder, path, Guard::Kernel) {
        Err(error) if matches!(error.raw_os_error(), Some(nix::libc::ENOSYS | nix::libc::EPERM)) => {
            open_guarded(folder, path, Guard::Ourselves)
        }
        other => other,
    }
}

/// Returns the names in a folder, sorted; names of folders end with a slash.
pub(super) fn names(folder: File) -> io::Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in Dir::from_fd(folder.into())? {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        match entry.file_type() {
            _ if matches!(name, "." | "..") => {}
            Some(Type::Directory) => names.push(format!("{name}/")),
            _ => names.push(name.to_owned()),
        }
    }
    names.sort();
    Ok(names)
}

/// Does not block on a FIFO without a writer.
fn flags() -> OFlag {
    OFlag::O_RDONLY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK | OFlag::O_NOCTTY
}

fn open_guarded(folder: &Path, path: &str, guard: Guard) -> io::Result<(File, Metadata)> {
    let path = if path.is_empty() { "." } else { path };
    let fd = match guard {
        Guard::Kernel => beneath(folder, path)?,
        Guard::Ourselves => canonical(folder, path)?,
    };
    let file = File::from(fd);
    let metadata = file.metadata()?;
    if metadata.is_file() || metadata.is_dir() {
        Ok((file, metadata))
    } else {
        Err(io::ErrorKind::PermissionDenied.into())
    }
}

fn beneath(folder: &Path, path: &str) -> io::Result<OwnedFd> {
    let opened = File::open(folder)?;
    match open_beneath(&opened, Path::new(path), ResolveFlag::RESOLVE_NO_MAGICLINKS) {
        // The kernel rejects every absolute link. Those that stay inside, as in a mirror made by cobbler, are resolved
        // here; the kernel then ensures that the result has no further links.
        Err(Errno::EXDEV) => {
            let folder = folder.canonicalize()?;
            let found = resolve(&folder, path)?;
            let inner = found.strip_prefix(&folder).map_err(|_| io::ErrorKind::PermissionDenied)?;
            let inner = if inner.as_os_str().is_empty() { Path::new(".") } else { inner };
            open_beneath(&opened, inner, ResolveFlag::RESOLVE_NO_SYMLINKS).map_err(denied)
        }
        other => other.map_err(denied),
    }
}

fn open_beneath(folder: &File, path: &Path, links: ResolveFlag) -> Result<OwnedFd, Errno> {
    let how = OpenHow::new().flags(flags()).mode(Mode::empty()).resolve(ResolveFlag::RESOLVE_BENEATH | links);
    loop {
        match openat2(folder, path, how) {
            // A concurrent rename.
            Err(Errno::EAGAIN) => {}
            other => return other,
        }
    }
}

/// A link to the outside, a link of procfs, or a loop of links; a socket, or a device without a driver.
fn denied(error: Errno) -> io::Error {
    match error {
        Errno::EXDEV | Errno::ELOOP | Errno::ENXIO => io::ErrorKind::PermissionDenied.into(),
        other => other.into(),
    }
}

/// Resolves all links of a path. `folder` is canonical; the result must be inside of it.
fn resolve(folder: &Path, path: &str) -> io::Result<PathBuf> {
    let found = match folder.join(path).canonicalize() {
        Err(error) if error.raw_os_error() == Some(nix::libc::ELOOP) => {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        other => other?,
    };
    match found.starts_with(folder) {
        true => Ok(found),
        false => Err(io::ErrorKind::PermissionDenied.into()),
    }
}

fn canonical(folder: &Path, path: &str) -> io::Result<OwnedFd> {
    let found = resolve(&folder.canonicalize()?, path)?;
    // `O_NOFOLLOW`: a path that became a link meanwhile is not opened.
    nix::fcntl::open(&found, flags() | OFlag::O_NOFOLLOW, Mode::empty()).map_err(denied)
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::fs::symlink;

    use super::*;

    fn check(folder: &Path, path: &str, guard: Guard) -> String {
        match open_guarded(folder, path, guard) {
            Ok((_, metadata)) if metadata.is_dir() => "a folder".to_owned(),
            Ok((mut file, _)) => {
                let mut text = String::new();
                file.read_to_string(&mut text).unwrap();
                text
            }
            Err(error) => error.kind().to_string(),
        }
    }

    #[test]
    fn links_are_followed_within_the_folder_only() {
        let around = tempfile::tempdir().unwrap();
        let root = around.path().join("www");
        std::fs::create_dir_all(root.join("sub")).unwrap();
        std::fs::write(around.path().join("secret"), "secret").unwrap();
        std::fs::write(root.join("sub/file"), "file").unwrap();
        for (link, to) in [
            ("inside", "sub/file"),
            ("folder", "sub"),
            ("sub/up", "../sub/file"),
            ("out", "../secret"),
            ("absolute", "/etc/hostname"),
            ("within-absolute", root.join("sub/file").to_str().unwrap()),
            ("folder-absolute", root.join("sub").to_str().unwrap()),
            ("chain", "folder-absolute/up"),
            ("root-absolute", root.to_str().unwrap()),
            ("beside-absolute", around.path().join("secret").to_str().unwrap()),
            ("above", ".."),
            ("whole", "/"),
            ("circle", "circle"),
            ("magic", "/proc/self/root/etc/hostname"),
            ("dangling", "nothing"),
        ] {
            symlink(to, root.join(link)).unwrap();
        }
        nix::unistd::mkfifo(&root.join("fifo"), Mode::from_bits_truncate(0o600)).unwrap();
        let _socket = std::os::unix::net::UnixListener::bind(root.join("socket")).unwrap();
        let paths = [
            "",
            "sub",
            "sub/file",
            "inside",
            "folder/file",
            "sub/up",
            "out",
            "absolute",
            "within-absolute",
            "folder-absolute/file",
            "chain",
            "root-absolute",
            "beside-absolute",
            "above/secret",
            "whole/etc/hostname",
            "circle",
            "magic",
            "dangling",
            "fifo",
            "socket",
            "nothing",
            "sub/file/x",
        ];
        let table = |guard| -> Vec<String> {
            paths.iter().map(|path| format!("{path:20} {}", check(&root, path, guard))).collect()
        };
        insta::assert_snapshot!(table(Guard::Kernel).join("\n"), @"
                             a folder
        sub                  a folder
        sub/file             file
        inside               file
        folder/file          file
        sub/up               file
        out                  permission denied
        absolute             permission denied
        within-absolute      file
        folder-absolute/file file
        chain                file
        root-absolute        a folder
        beside-absolute      permission denied
        above/secret         permission denied
        whole/etc/hostname   permission denied
        circle               permission denied
        magic                permission denied
        dangling             entity not found
        fifo                 permission denied
        socket               permission denied
        nothing              entity not found
        sub/file/x           not a directory
        ");
        assert_eq!(table(Guard::Kernel), table(Guard::Ourselves));
    }
}
