//! Processes that outlived whoever should have ended them.

use std::io;
use std::path::Path;

use nix::errno::Errno;

use super::executor::Failure;
use crate::system::namespace;

/// How often the processes are looked through: one may start another one while it is being killed.
const PASSES: usize = 10;

/// Kills every process that matches a test of its folder in `/proc`.
pub(super) fn end_strays(is_ours: impl Fn(&Path) -> bool) -> Result<(), Failure> {
    for _ in 0..PASSES {
        if end_once(&is_ours).map_err(Failure::new)? == 0 {
            break;
        }
    }
    Ok(())
}

/// Kills the current matches, and returns their number.
fn end_once(is_ours: impl Fn(&Path) -> bool) -> io::Result<usize> {
    let listed = std::fs::read_dir("/proc")
        .map_err(|error| io::Error::new(error.kind(), format!("cannot read /proc: {error}")))?;
    let (mut killed, mut left) = (0, Vec::new());
    for entry in listed.flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        // Processes of other users, and those that are ending, cannot be read.
        if !is_ours(&entry.path()) {
            continue;
        }
        killed += 1;
        if let Err(error) = namespace::ProcessId::of(pid).and_then(namespace::ProcessId::kill)
            && !has_ended(&error)
        {
            left.push(format!("process {pid}: {error}"));
        }
    }
    if left.is_empty() { Ok(killed) } else { Err(io::Error::other(left.join("; "))) }
}

/// Tells whether a process could not be killed because it has ended.
fn has_ended(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(Errno::ESRCH as i32)
}
