//! The guardian of a lab in the host's own namespaces, where the kernel does not clean up.
//!
//! It has its own session, so that neither the terminal nor a kill of the supervisor's process group reaches it, and
//! does nothing until the supervisor is gone.

use std::ffi::OsString;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use super::recover::replay;
use crate::system::namespace::{NamespaceError, inherited, spawn_hidden};

/// The descriptor that reads end-of-file when the supervisor is gone.
const SUPERVISOR: i32 = 3;

/// Starts the guardian of a run. It acts when the returned value is closed, however this process ends.
pub(super) fn start(run_dir: &Path) -> Result<OwnedFd, NamespaceError> {
    let (watch, held) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)
        .map_err(|error| NamespaceError::new("cannot make a pipe for the guardian", error.into()))?;
    let args = [OsString::from(run_dir)];
    // Not waited for: it outlives this process.
    drop(spawn_hidden("@guardian", &args, vec![(SUPERVISOR, watch)], true)?);
    Ok(held)
}

/// Runs `@guardian RUN_DIR` to its end and returns its exit code: 4 if the cleanup is incomplete.
///
/// Must be called first in the process.
pub fn guardian_main() -> u8 {
    nix::sys::prctl::set_name(c"dryrack-guard").ok();
    let run_dir = std::env::args_os().nth(2).map(PathBuf::from);
    let (Some(run_dir), Ok(watch)) = (run_dir, inherited(SUPERVISOR)) else {
        return crate::report::exit::UNFIT;
    };
    // An error counts as the end: the other side is closed.
    File::from(watch).read_to_end(&mut Vec::new()).ok();
    match replay(&run_dir).is_empty() {
        true => crate::report::exit::MET,
        false => crate::report::exit::LEFT,
    }
}
