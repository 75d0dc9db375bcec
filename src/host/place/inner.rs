//! The supervisor's side: takes over what it was handed and waits until its network is there.

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

use super::orders::{Handed, Orders, Report};
use super::outer::note;
use super::{PlaceError, PlaceIds, ProcessId, failed};
use crate::host::netlink::Netlink;
use crate::plan::{Place, WayOut};

/// How long pasta may take; it needs some 20 ms.
const PASTA_DEADLINE: Duration = Duration::from_secs(10);

/// What a supervisor finds when it starts.
#[derive(Debug)]
pub struct Inherited {
    /// The control socket, listening.
    pub control: UnixListener,
    /// Listeners of published ports, in the order of the request.
    pub published: Vec<TcpListener>,
    /// Reads end-of-file when the place is lost: its outer half, or on the host the command it lives for, is gone.
    pub parent: OwnedFd,
    /// The run folder.
    pub run_dir: PathBuf,
    /// Where we are.
    pub place: Place,
}

/// Makes the inner half a supervisor: brings up its loopback and waits for its way out.
///
/// To be called first thing in the process, when its first argument is `@inner`.
/// What fails here is told to the command, too.
pub fn inner_enter() -> Result<Inherited, PlaceError> {
    enter(c"dryrack-inner", |orders, parent| {
        let tools = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let tools = tools.map_err(failed("cannot start a runtime"))?;
        tools.block_on(async {
            let what = "cannot bring up the loopback of the private place";
            let netlink = Netlink::open().map_err(|e| PlaceError::new(what, io::Error::other(e)))?;
            netlink.loopback_up().await.map_err(|e| {
                let hint = e.hint();
                let error = PlaceError::new(what, e.source);
                hint.map_or_else(|| PlaceError::plain(what), |hint| error.with_hint(hint))
            })
        })?;
        if let Some((_, way_out)) = &orders.way_out {
            await_way_out(way_out)?;
        }
        Ok((Place::Private, parent))
    })
}

/// Makes this process a supervisor in the host's own namespaces.
///
/// To be called first thing in the process, when its first argument is `@supervisor`.
pub fn supervisor_enter() -> Result<Inherited, PlaceError> {
    enter(c"dryrack-host", |orders, parent| {
        let us = i32::try_from(std::process::id()).map_err(io::Error::other).and_then(ProcessId::of);
        let supervisor = us.map_err(failed("cannot identify the supervisor"))?;
        PlaceIds { place: Place::Host, outer: None, supervisor }.write(&orders.run_dir)?;
        Ok((Place::Host, parent))
    })
}

type Entered = (Place, OwnedFd);

fn enter(
    name: &std::ffi::CStr,
    settle: impl FnOnce(&Orders, OwnedFd) -> Result<Entered, PlaceError>,
) -> Result<Inherited, PlaceError> {
    prctl::set_name(name).ok();
    let orders = Orders::inherited()?;
    let Handed { report, parent, control, published } = Handed::inherited(&orders)?;
    match settle(&orders, parent) {
        Ok((place, parent)) => {
            Report::Ready.send(&report);
            Ok(Inherited {
                control: control.into(),
                published: published.into_iter().map(TcpListener::from).collect(),
                parent,
                run_dir: orders.run_dir,
                place,
            })
        }
        Err(error) => {
            note(&error);
            Report::Failed(error.told()).send(&report);
            Err(error)
        }
    }
}

/// Waits until pasta has configured the way out, woken by the kernel's own notices.
#[expect(
    clippy::disallowed_methods,
    reason = "the deadline of a wait for the kernel's own notices, before any director"
)]
fn await_way_out(way_out: &WayOut) -> Result<(), PlaceError> {
    let what = format!("cannot wait for the way out `{}`", way_out.interface);
    let fails = |e: Errno| PlaceError::new(what.clone(), e.into());
    let notices =
        socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, SockProtocol::NetlinkRoute)
            .map_err(fails)?;
    // RTMGRP_LINK, RTMGRP_IPV4_IFADDR and RTMGRP_IPV4_ROUTE.
    let groups = 0x1 | 0x10 | 0x40;
    bind(notices.as_raw_fd(), &NetlinkAddr::new(0, groups)).map_err(fails)?;
    let deadline = Instant::now() + PASTA_DEADLINE;
    // Looked at after subscribing, so that no change falls between.
    while !has_default_route(way_out.interface.as_str()) {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut fds = [PollFd::new(notices.as_fd(), PollFlags::POLLIN)];
        let timeout = PollTimeout::try_from(left.as_millis()).unwrap_or(PollTimeout::MAX);
        match poll(&mut fds, timeout) {
            Ok(0) => {
                return Err(PlaceError::plain(format!(
                    "pasta has not configured the way out `{}` within {} s",
                    way_out.interface,
                    PASTA_DEADLINE.as_secs()
                ))
                .with_hint("its messages are in supervisor.log of the run folder"));
            }
            Ok(_) => {
                // ENOBUFS only says that notices were lost; the route is looked at anyway.
                recv(notices.as_raw_fd(), &mut [0; 8192], MsgFlags::MSG_DONTWAIT).ok();
            }
            Err(Errno::EINTR) => {}
            Err(error) => return Err(fails(error)),
        }
    }
    Ok(())
}

/// Tells whether IPv4's default route leaves by the interface; pasta sets it last.
fn has_default_route(interface: &str) -> bool {
    let routes = fs::read_to_string("/proc/self/net/route").unwrap_or_default();
    routes.lines().skip(1).any(|line| {
        let mut fields = line.split_ascii_whitespace();
        fields.next() == Some(interface) && fields.next() == Some("00000000")
    })
}
