//! TFTP, read-only: boot loaders for firmware.
//!
//! A [`Backend`] implements the protocol. Our own [`engine`] serves network boots;
//! [`library`] (async-tftp) is the alternative. Both open files through the same
//! [`handler`], which handles files and events but no packets.

mod engine;
#[cfg(any(test, fuzzing))]
pub(in crate::serve) mod fuzz;
mod handler;
mod library;
mod machine;
mod packet;
mod source;

use std::io;
use std::net::{IpAddr, UdpSocket};

use tokio_util::sync::CancellationToken;

use self::handler::TftpHandler;
use super::content::{ContentStore, Missing};
use super::context::Context;
use super::failure::failed;
use crate::event::Service;
use crate::lab::TftpBackend;

/// An implementation of the protocol. It answers requests until the token is cancelled, and blocks its thread.
type Backend = fn(Vec<Listener>, TftpHandler, CancellationToken) -> io::Result<()>;

/// A socket that receives requests.
struct Listener {
    socket: UdpSocket,
    /// The largest block size that fits the MTU.
    largest: usize,
}

/// Answers requests until `stop` is cancelled. Blocks its thread, which must be a thread of a runtime.
pub(super) fn run(
    sockets: Vec<UdpSocket>,
    backend: TftpBackend,
    mtu: u16,
    content: ContentStore,
    context: Context,
    stop: CancellationToken,
) {
    let serve: Backend = match backend {
        TftpBackend::Builtin => engine::serve,
        TftpBackend::AsyncTftp => library::serve,
        TftpBackend::Off => return,
    };
    let listeners =
        sockets.into_iter().map(|socket| Ok(Listener { largest: largest(&socket, mtu)?, socket }));
    let ended = listeners
        .collect::<io::Result<Vec<_>>>()
        .and_then(|listeners| serve(listeners, TftpHandler::new(content, context.clone()), stop));
    if let Err(error) = ended {
        failed(&context.events, Service::Tftp, &error.to_string());
    }
}

/// Returns the largest block size that fits the MTU after the headers of IP, UDP and TFTP.
fn largest(socket: &UdpSocket, mtu: u16) -> io::Result<usize> {
    let ip = match socket.local_addr()?.ip() {
        IpAddr::V4(_) => 20,
        IpAddr::V6(_) => 40,
    };
    Ok(usize::from(mtu) - ip - 8 - packet::HEAD)
}

/// Returns the ERROR packet for a path that is not served.
fn refusal(missing: &Missing) -> Vec<u8> {
    match missing {
        Missing::Refused(_) => packet::error(packet::ACCESS, "access violation"),
        Missing::Unknown | Missing::Gone(_) => packet::error(packet::NOT_FOUND, "file not found"),
    }
}

#[cfg(test)]
mod tests;
