//! The kernels that the self-test boots: always our own, and a Linux kernel if one is available.
//!
//! Our own decides on a host without any kernel file. It does what Linux does before its first line (real mode to long
//! mode, page faults, timer interrupts, vector instructions), and enough of it that a hypervisor which interprets
//! single instructions fails or times out.

use std::cmp::Reverse;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// `payload.S`, assembled.
pub(super) const PAYLOAD: &[u8] = include_bytes!("payload.bin");
/// Its output.
pub(super) const PAYLOAD_LINE: &str = "DRYRACK 64-bit kernel runs";

/// The command line of Linux: print to the serial port as early as possible.
pub(super) const LINUX_ARGUMENTS: &str = "console=ttyS0 earlyprintk=ttyS0,115200 panic=-1";
/// The first line of every Linux.
pub(super) const LINUX_LINE: &str = "Linux version ";

/// Finds a readable Linux kernel for PCs: of a built image, or of the host.
pub(super) fn find(cache: &Path) -> Option<PathBuf> {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = release.trim();
    let own = [
        format!("/boot/vmlinuz-{release}"),
        format!("/usr/lib/modules/{release}/vmlinuz"),
        format!("/lib/modules/{release}/vmlinuz"),
        "/run/booted-system/kernel".to_owned(),
    ];
    let boot =
        newest(entries(Path::new("/boot")).into_iter().filter(|path| {
            path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz"))
        }));
    of_images(cache)
        .into_iter()
        .chain(own.into_iter().map(PathBuf::from))
        .chain(boot)
        .find(|path| is_kernel(path))
}

/// Lists the kernels of built images, those of `tiny` first: they are known to print to the serial port.
fn of_images(cache: &Path) -> Vec<PathBuf> {
    let images = entries(&cache.join("images"));
    let kernels = images.iter().flat_map(|image| {
        let builds = entries(image).into_iter().filter(|build| !is_hidden(build));
        newest(builds.map(|build| build.join("kernel")).filter(|kernel| kernel.is_file()))
    });
    let mut kernels: Vec<PathBuf> = kernels.collect();
    kernels.sort_by_key(|kernel| !kernel.starts_with(cache.join("images/tiny")));
    kernels
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths
}

/// Tells whether a build is in progress or was aborted.
fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

fn newest(paths: impl Iterator<Item = PathBuf>) -> Vec<PathBuf> {
    let modified = |path: &PathBuf| {
        fs::metadata(path).and_then(|metadata| metadata.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
    };
    let mut paths: Vec<PathBuf> = paths.collect();
    paths.sort_by_key(|path| Reverse(modified(path)));
    paths
}

/// Tells whether a file is readable and holds a 64-bit kernel as defined by the Linux boot protocol.
fn is_kernel(path: &Path) -> bool {
    let mut head = [0; 0x240];
    let read = File::open(path).and_then(|mut file| file.read_exact(&mut head));
    // Version 2.12 added the flag for a 64-bit entry point.
    let version = u16::from_le_bytes([head[0x206], head[0x207]]);
    read.is_ok() && head[0x202..0x206] == *b"HdrS" && version >= 0x020c && head[0x236] & 1 == 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kernels_of_images_are_found_and_checked() {
        let cache = tempfile::tempdir().unwrap();
        let put = |path: &str, version: u8, flags: u8| {
            let path = cache.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            let mut head = [0; 0x400];
            head[0x202..0x206].copy_from_slice(b"HdrS");
            (head[0x206], head[0x207], head[0x236]) = (version, 2, flags);
            fs::write(path, head).unwrap();
        };
        let found = || {
            let found = of_images(cache.path()).into_iter().filter(|path| is_kernel(path));
            found
                .map(|path| path.strip_prefix(cache.path()).unwrap().display().to_string())
                .collect::<Vec<_>>()
        };
        assert!(found().is_empty());
        put("images/etcd/aaaa/kernel", 15, 1);
        put("images/tiny/bbbb/kernel", 15, 1);
        put("images/tiny/.build-1/kernel", 15, 1);
        put("images/old/cccc/kernel", 11, 1);
        put("images/narrow/dddd/kernel", 15, 0);
        put("images/tiny/eeee/initrd", 15, 1);
        assert_eq!(found(), ["images/tiny/bbbb/kernel", "images/etcd/aaaa/kernel"]);
    }
}
