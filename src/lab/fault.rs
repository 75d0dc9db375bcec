//! Faults: what goes wrong on purpose.

use serde::{Deserialize, Serialize};

pub use crate::config::{
    BmcFault, ClockTime, DhcpFault, DnsFault, FaultKind, HttpFault, LinkFault, MachineFault, PayloadFault,
    TftpFault, TlsFault,
};
use crate::name::{FaultName, NodeName, Trigger};

/// The smallest MTU of IPv4 (RFC 791, section 3.2).
const LEAST_MTU: u16 = 68;
/// The least memory with which a firmware starts to speak, in bytes.
const LEAST_MEMORY: u64 = 2 << 20;

/// Something that goes wrong on purpose.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Fault {
    /// Its name.
    pub name: FaultName,
    /// The nodes and hosts to which it happens.
    pub nodes: Vec<NodeName>,
    /// What it comes after; the lab's start if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Trigger>,
    /// How often it happens to each node; every time if `None`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<u32>,
    /// What goes wrong.
    #[serde(rename = "do")]
    pub kind: FaultKind,
}

/// Returns what is wrong with the values of a fault, and what would help.
pub fn out_of_range(kind: &FaultKind) -> Option<(String, &'static str)> {
    let wrong = |what: String, help| Some((what, help));
    match kind {
        FaultKind::Http(HttpFault::Status(status)) if !(400..600).contains(status) => {
            wrong(format!("{status} is no status of an error"), "use a number from 400 to 599")
        }
        FaultKind::Http(HttpFault::Slow(rate)) if rate.0.0 == 0 => {
            wrong("nothing would ever come".to_owned(), "use \"silent\", or at least \"1B\"")
        }
        FaultKind::Tftp(TftpFault::Error(code)) if *code > 8 => {
            wrong(format!("{code} is no code of an error"), "use a number from 0 to 8")
        }
        FaultKind::Dhcp(DhcpFault::BootFile(file)) if file.is_empty() || file.len() > 255 => {
            let what = format!("a boot file has 1 to 255 bytes, not {}", file.len());
            wrong(what, "use \"no-boot-file\" for none")
        }
        FaultKind::Link(LinkFault::Loss(share) | LinkFault::Reorder(share)) if !(1..=100).contains(share) => {
            wrong(format!("{share} of a hundred frames is no share"), "use a number from 1 to 100")
        }
        FaultKind::Link(LinkFault::Mtu(mtu)) if *mtu < LEAST_MTU => {
            wrong(format!("no network has an MTU of {mtu}"), "use at least 68")
        }
        FaultKind::Bmc(BmcFault::DropSessions(0)) => {
            wrong("a session has at least one command".to_owned(), "use at least 1")
        }
        FaultKind::Bmc(BmcFault::SlowPower(time) | BmcFault::Busy(time)) if time.0.0.as_secs() == 0 => {
            wrong(format!("{} is no time of a BMC", time.0), "use at least \"1s\"")
        }
        FaultKind::Bmc(BmcFault::ForgetUser(user)) if user.is_empty() => {
            wrong("nobody has an empty name".to_owned(), "name a user of the BMC")
        }
        FaultKind::Machine(MachineFault::Memory(memory)) if memory.0.0 < LEAST_MEMORY => {
            wrong(format!("no machine starts with {}", memory.0), "use at least \"2MiB\"")
        }
        _ => None,
    }
}
