//! Tries to create namespaces as `up` does: nested namespaces, then a bridge, a TAP and a table inside.
//!
//! Some kernels let a user create namespaces and then refuse everything inside
//! them (Ubuntu since 23.10), so every step is tried. The trial executes this program
//! in a hidden role, because such rules depend on the path of the program.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::AsFd;

use nix::mount::{MsFlags, mount};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::CloneFlags;
use nix::sys::prctl;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use serde::{Deserialize, Serialize};

use crate::name::{IfName, Mac, NetworkName, NicName, NodeName};
use crate::plan::{BridgePlan, FirewallPlan, Masquerade, TapPlan};
use crate::system::namespace::{OURSELVES, has_other_ids, map_ids};
use crate::system::netlink::Netlink;
use crate::system::nft;
use crate::system::sys::{self, Exec};

/// Timeout of the trial; it takes some 50 ms.
/// The address of the bridge that is tried.
const SUBNET: &str = "192.0.2.1/24";

const DEADLINE_MS: u16 = 5000;

/// Exit code if the role is started in another way; only developers see it.
const MISUSED: u8 = 70;

/// A refused operation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Refused {
    /// The operation and the kernel's error.
    pub(super) why: String,
    /// The error number, if there is one.
    pub(super) errno: Option<i32>,
}

impl Refused {
    fn new(what: &str, source: &io::Error) -> Self {
        Self { why: format!("{what}: {source}"), errno: source.raw_os_error() }
    }
}

/// The result of the trial. Each step is tried only if the one before it succeeded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Trial {
    /// The namespaces could not be created.
    NoNamespaces(Refused),
    /// They could, but no bridge inside.
    NoBridge(Refused),
    /// Namespaces with a bridge work.
    Stands {
        /// Whether processes inside can become other users.
        ids: bool,
        /// Whether a TAP could be created and attached to the bridge.
        tap: Result<(), Refused>,
        /// Whether nftables accepted a table.
        nft: Result<(), Refused>,
    },
}

/// Creates the namespaces, tries what they permit, and removes them.
pub(super) fn attempt() -> Trial {
    match first_namespaces() {
        Ok(trial) => trial,
        Err(refused) => Trial::NoNamespaces(refused),
    }
}

/// Runs the role `@trial`: the processes inside the namespaces.
///
/// Must be called first in the process.
pub fn trial_main() -> u8 {
    // Even if it hangs, it ends with its parent.
    prctl::set_pdeathsig(Signal::SIGKILL).ok();
    let mut args = std::env::args_os().skip(2);
    let (level, left) = (args.next(), args.next());
    // The trial must not run in the host's network namespace.
    let elsewhere = left.is_some_and(|left| network().is_some_and(|here| here != left));
    let trial = match level.as_deref().and_then(OsStr::to_str) {
        Some("outer") => second_namespaces().unwrap_or_else(Trial::NoNamespaces),
        Some("inner") if elsewhere => inside(),
        _ => return MISUSED,
    };
    match serde_json::to_string(&trial) {
        Ok(text) => io::Write::write_all(&mut io::stdout(), text.as_bytes()).map_or(MISUSED, |()| 0),
        Err(_) => MISUSED,
    }
}

/// Returns the identity of this process's network namespace.
fn network() -> Option<std::ffi::OsString> {
    fs::read_link("/proc/self/ns/net").ok().map(Into::into)
}

fn first_namespaces() -> Result<Trial, Refused> {
    spawn(CloneFlags::CLONE_NEWUSER | CloneFlags::CLONE_NEWNS, &[OsStr::new("outer")])
}

fn second_namespaces() -> Result<Trial, Refused> {
    // The first step of a real start: detach the mounts.
    mount(None::<&str>, "/", None::<&str>, MsFlags::MS_SLAVE | MsFlags::MS_REC, None::<&str>)
        .map_err(|errno| Refused::new("cannot mount in a namespace", &errno.into()))?;
    let network = network().unwrap_or_default();
    let flags = CloneFlags::CLONE_NEWUSER
        | CloneFlags::CLONE_NEWPID
        | CloneFlags::CLONE_NEWNET
        | CloneFlags::CLONE_NEWNS;
    spawn(flags, &[OsStr::new("inner"), &network])
}

/// Starts the next process of the trial and reads what it found.
fn spawn(flags: CloneFlags, args: &[&OsStr]) -> Result<Trial, Refused> {
    let failed = |what: &'static str| move |error: io::Error| Refused::new(what, &error);
    let what = "cannot prepare the trial";
    let null = File::options().read(true).write(true).open("/dev/null").map_err(failed(what))?;
    let (reported, tell) = nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)
        .map_err(|errno| Refused::new(what, &errno.into()))?;
    let args: Vec<&OsStr> =
        [OsStr::new("dryrack"), OsStr::new("@trial")].into_iter().chain(args.iter().copied()).collect();
    let exec = Exec::new(OsStr::new(OURSELVES), &args, &[null.as_fd(), tell.as_fd(), null.as_fd()], &[])
        .map_err(failed(what))?;
    drop(tell);
    let child = sys::clone_exec(flags, &exec).map_err(failed("cannot create namespaces"))?;
    // Its copy of the writing end would prevent end-of-file.
    drop(exec);
    let pid = child.pid;
    let gone = map_ids(pid).map_err(|error| {
        let source = std::error::Error::source(&error).and_then(|source| source.downcast_ref::<io::Error>());
        source.map_or_else(
            || Refused { why: error.to_string(), errno: None },
            |source| Refused::new("cannot map ids into a user namespace", source),
        )
    });
    // A gated child that is dropped exits.
    let reported = gone.and_then(|()| {
        child.open().map_err(failed("cannot start the trial"))?;
        listen(File::from(reported)).map_err(failed("the trial timed out"))
    });
    kill(pid, Signal::SIGKILL).ok();
    waitpid(pid, None).ok();
    serde_json::from_str(&reported?)
        .map_err(|error| Refused { why: format!("the trial ended early: {error}"), errno: None })
}

/// Reads until end-of-file or timeout.
fn listen(mut from: File) -> io::Result<String> {
    let mut text = Vec::new();
    loop {
        let mut fds = [PollFd::new(from.as_fd(), PollFlags::POLLIN)];
        if poll(&mut fds, PollTimeout::from(DEADLINE_MS))? == 0 {
            return Err(io::ErrorKind::TimedOut.into());
        }
        let mut bytes = [0; 4096];
        match from.read(&mut bytes)? {
            0 => return String::from_utf8(text).map_err(io::Error::other),
            count => text.extend_from_slice(&bytes[..count]),
        }
    }
}

/// Tries the operations in the innermost namespaces.
fn inside() -> Trial {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return Trial::NoNamespaces(Refused::new("cannot start a runtime", &error)),
    };
    let name = |text: &str| IfName::new(text).expect("a short word is an interface's name");
    let bridge = BridgePlan {
        network: NetworkName::new("trial").expect("a word is a name"),
        interface: name("trial0"),
        alias: "dryrack doctor".to_owned(),
        mac: Mac([2, 0, 0, 0, 0, 1]),
        mtu: 1500,
        address: Some(SUBNET.parse().expect("a subnet")),
        ipv6: None,
        link_local: "fe80::1/64".parse().expect("a subnet"),
    };
    let tap = TapPlan {
        node: NodeName::new("trial").expect("a word is a name"),
        nic: NicName::new("trial").expect("a word is a name"),
        interface: name("trial1"),
        alias: "dryrack doctor".to_owned(),
        bridge: bridge.interface.clone(),
        mtu: 1500,
    };
    let table = FirewallPlan {
        table: "dryrack_trial".to_owned(),
        masquerade: vec![Masquerade {
            bridge: bridge.interface.clone(),
            subnet: SUBNET.parse().expect("a subnet"),
        }],
    };
    runtime.block_on(async {
        let netlink = match Netlink::open() {
            Ok(netlink) => netlink,
            Err(error) => return Trial::NoBridge(Refused::new(&error.to_string(), &error.source)),
        };
        let made = async {
            netlink.loopback_up().await?;
            netlink.bridge(&bridge).await
        };
        if let Err(error) = made.await {
            return Trial::NoBridge(Refused::new(&error.to_string(), &error.source));
        }
        let tap = netlink.tap(&tap).await.map_err(|error| Refused::new(&error.to_string(), &error.source));
        let nft = nft::load(&table).await.map_err(|error| Refused::new(&error.to_string(), &error.source));
        Trial::Stands { ids: has_other_ids(), tap, nft }
    })
}
