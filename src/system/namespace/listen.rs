//! Binds published ports on the host before the namespaces exist, so that a port in use is reported at once.

use std::fs;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;

use nix::sys::socket::{
    AddressFamily, Backlog, SockFlag, SockType, UnixAddr, bind, listen as listen_on, socket,
};
use nix::sys::stat::{Mode, fchmod};

use super::{NamespaceError, failed};

/// Listens on TCP ports of the host.
pub(super) fn published(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, NamespaceError> {
    addresses.iter().map(|address| publish(*address)).collect()
}

fn publish(address: SocketAddr) -> Result<TcpListener, NamespaceError> {
    TcpListener::bind(address).map_err(|source| {
        let hint = match source.kind() {
            io::ErrorKind::AddrInUse => Some(format!(
                "`ss -ltnp sport = :{}` shows which process uses it; publish another port",
                address.port()
            )),
            io::ErrorKind::PermissionDenied => {
                Some("ports below 1024 need root; publish a higher port".to_owned())
            }
            _ => None,
        };
        let error = NamespaceError::new(
            format!("cannot publish port {} on {}", address.port(), address.ip()),
            source,
        );
        match hint {
            Some(hint) => error.with_hint(hint),
            None => error,
        }
    })
}

/// Listens on a Unix socket that only its owner can access.
pub(super) fn control(path: &Path) -> Result<OwnedFd, NamespaceError> {
    let what = format!("cannot listen on the control socket {}", path.display());
    let address = UnixAddr::new(path).map_err(|e| {
        NamespaceError::new(what.clone(), e.into()).with_hint(
            "the path of a socket is limited to 107 bytes; set DRYRACK_RUNTIME or XDG_RUNTIME_DIR to a shorter folder",
        )
    })?;
    match UnixStream::connect(path) {
        Ok(_) => {
            return Err(NamespaceError::plain(what).with_hint("the lab is already up: see `dryrack status`"));
        }
        // A stale socket of a supervisor that was killed.
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(failed(what.clone()))?;
        }
        Err(_) => {}
    }
    let open = || -> nix::Result<OwnedFd> {
        let fd = socket(AddressFamily::Unix, SockType::Stream, SockFlag::SOCK_CLOEXEC, None)?;
        // Before `bind`, so that the file never exists with another mode.
        fchmod(&fd, Mode::from_bits_truncate(0o600))?;
        bind(std::os::fd::AsRawFd::as_raw_fd(&fd), &address)?;
        listen_on(&fd, Backlog::MAXCONN)?;
        Ok(fd)
    };
    open().map_err(|e| NamespaceError::new(what, e.into()))
}
