//! The supervisor's side: receives the handover and waits for its network.

use std::fs;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::prctl;
use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket,
};

use super::handover::{Handover, InheritedFds, Report};
use super::outer::note;
use super::{NamespaceError, NamespaceIds, ProcessId, SharedNetwork, failed};
use crate::hint::Hint;
use crate::lab::Isolation;
use crate::plan::Uplink;
use crate::system::netlink::Netlink;

/// Timeout for pasta; it takes some 20 ms.
const PASTA_DEADLINE: Duration = Duration::from_secs(10);

/// What a supervisor inherits when it starts.
#[derive(Debug)]
pub struct Inherited {
    /// The listening control socket.
    pub control: UnixListener,
    /// Listeners of published ports, in the order of the request.
    pub published: Vec<TcpListener>,
    /// End-of-file when the outer half is gone or, without isolation, the command that owns the lab.
    pub parent: OwnedFd,
    /// The run folder.
    pub run_dir: PathBuf,
    /// The isolation of this lab.
    pub isolation: Isolation,
}

/// Turns the inner half into a supervisor: brings up its loopback interface and waits for its uplink.
///
/// Must be called first in the process, if its first argument is `@inner`. Errors are also reported to the command.
pub fn inner_enter() -> Result<Inherited, NamespaceError> {
    enter(c"dryrack-inner", |handover, parent| {
        let tools = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let tools = tools.map_err(failed("cannot start a runtime"))?;
        tools.block_on(async {
            let what = "cannot bring up the loopback interface of the lab";
            let netlink = Netlink::open().map_err(|e| NamespaceError::new(what, io::Error::other(e)))?;
            netlink.loopback_up().await.map_err(|e| {
                let hint = e.hint();
                let error = NamespaceError::new(what, e.source);
                hint.map_or_else(|| NamespaceError::plain(what), |hint| error.with_hint(hint))
            })
        })?;
        if let Some((_, uplink)) = &handover.uplink {
            await_uplink(uplink)?;
        }
        Ok((Isolation::Private, parent))
    })
}

/// Turns this process into a supervisor in the host's own namespaces.
///
/// Must be called first in the process, if its first argument is `@supervisor`.
pub fn supervisor_enter() -> Result<Inherited, NamespaceError> {
    enter(c"dryrack-host", |handover, parent| {
        let us = i32::try_from(std::process::id()).map_err(io::Error::other).and_then(ProcessId::of);
        let supervisor = us.map_err(failed("cannot identify the supervisor"))?;
        let shared = SharedNetwork::ours().map_err(failed("cannot identify the network of the host"))?;
        let ids = NamespaceIds {
            isolation: Isolation::None,
            outer: None,
            supervisor,
            inside: None,
            shared: Some(shared),
        };
        ids.write(&handover.run_dir)?;
        Ok((Isolation::None, parent))
    })
}

type EnteredNamespaces = (Isolation, OwnedFd);

fn enter(
    name: &std::ffi::CStr,
    settle: impl FnOnce(&Handover, OwnedFd) -> Result<EnteredNamespaces, NamespaceError>,
) -> Result<Inherited, NamespaceError> {
    prctl::set_name(name).ok();
    let handover = Handover::inherited()?;
    let InheritedFds { report, parent, control, published } = InheritedFds::inherited(&handover)?;
    match settle(&handover, parent) {
        Ok((isolation, parent)) => {
            Report::Ready.send(&report);
            Ok(Inherited {
                control: control.into(),
                published: published.into_iter().map(TcpListener::from).collect(),
                parent,
                run_dir: handover.run_dir,
                isolation,
            })
        }
        Err(error) => {
            note(&error);
            Report::Failed(error.reported()).send(&report);
            Err(error)
        }
    }
}

/// Waits until pasta has configured the uplink, woken by netlink notifications.
#[expect(
    clippy::disallowed_methods,
    reason = "the deadline of a wait for the kernel's own notices, before any director"
)]
fn await_uplink(uplink: &Uplink) -> Result<(), NamespaceError> {
    let what = format!("cannot wait for the uplink `{}`", uplink.interface);
    let fails = |e: Errno| NamespaceError::new(what.clone(), e.into());
    let notices =
        socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)
            .map_err(fails)?;
    // RTMGRP_LINK, RTMGRP_IPV4_IFADDR and RTMGRP_IPV4_ROUTE.
    let groups = 0x1 | 0x10 | 0x40;
    bind(notices.as_raw_fd(), &NetlinkAddr::new(0, groups)).map_err(fails)?;
    let deadline = Instant::now() + PASTA_DEADLINE;
    // Checked after subscribing, so that no change is missed.
    while !has_default_route(uplink.interface.as_str()) {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut fds = [PollFd::new(notices.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(left.as_millis()).unwrap_or(PollTimeout::MAX);
        match poll(&mut fds, timeout) {
            Ok(0) => {
                return Err(NamespaceError::plain(format!(
                    "pasta did not configure the uplink `{}` within {} s",
                    uplink.interface,
                    PASTA_DEADLINE.as_secs()
                ))
                .with_hint("its messages are in supervisor.log of the run folder"));
            }
            Ok(_) => {
                // ENOBUFS only means that notifications were lost; the route is checked anyway.
                recv(notices.as_raw_fd(), &mut [0; 8192], MsgFlags::MSG_DONTWAIT).ok();
            }
            Err(Errno::EINTR) => {}
            Err(error) => return Err(fails(error)),
        }
    }
    Ok(())
}

/// Tells whether the IPv4 default route uses the interface; pasta sets it last.
fn has_default_route(interface: &str) -> bool {
    let routes = fs::read_to_string("/proc/self/net/route").unwrap_or_default();
    routes.lines().skip(1).any(|line| {
        let mut fields = line.split_ascii_whitespace();
        fields.next() == Some(interface) && fields.next() == Some("00000000")
    })
}
