//! Unix sockets in a folder whose path may exceed the 108 bytes of a socket address.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use tokio::net::{UnixListener, UnixStream};

fn open(folder: &Path) -> io::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
    Ok(nix::fcntl::open(folder, flags, Mode::empty())?)
}

/// Listens on a socket in a folder, replacing an existing socket.
pub(crate) fn listen(folder: &Path, name: &str) -> io::Result<UnixListener> {
    let listener = bind(folder, name)?;
    listener.set_nonblocking(true)?;
    UnixListener::from_std(listener)
}

/// Makes a listening socket in a folder for another program, replacing an existing socket.
pub(crate) fn bind(folder: &Path, name: &str) -> io::Result<std::os::unix::net::UnixListener> {
    match std::fs::remove_file(folder.join(name)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let folder = open(folder)?;
    std::os::unix::net::UnixListener::bind(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd()))
}

/// Connects to a socket in a folder.
pub(crate) async fn connect(folder: &Path, name: &str) -> io::Result<UnixStream> {
    let folder = open(folder)?;
    UnixStream::connect(format!("/proc/self/fd/{}/{name}", folder.as_raw_fd())).await
}
