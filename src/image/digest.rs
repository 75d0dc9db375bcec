//! SHA-256 digests of files, and locks on them.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};
use sha2::{Digest, Sha256};

use super::error::{BuildError, Doing};

/// Formats bytes as lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns size and digest of a file.
pub(crate) fn of_file(path: &Path) -> io::Result<(u64, String)> {
    let mut file = File::open(path)?;
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 1 << 18];
    let mut size = 0;
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok((size, hex(&digest.finalize()))),
            count => {
                size += count as u64;
                digest.update(&buffer[..count]);
            }
        }
    }
}

/// Waits for an exclusive lock on a file.
pub(super) fn lock(path: &Path, waiting: &mut dyn FnMut()) -> Result<Flock<File>, BuildError> {
    let open = || OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path);
    let file = open().doing("open", path)?;
    let file = match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => return Ok(lock),
        Err((file, _)) => file,
    };
    waiting();
    Flock::lock(file, FlockArg::LockExclusive).map_err(|(_, error)| error.into()).doing("lock", path)
}
