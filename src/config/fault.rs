//! Faults as written in the lab file, and what they do: the same types from the file to the plan.

use std::fmt;
use std::str::FromStr;

use jiff::civil::DateTime;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::alternatives::Firmware;
use super::value::{Field, List, Text, Word};
use super::word::Span;
use crate::name::{Bytes, Malformed};

/// Something that goes wrong on purpose.
#[derive(Debug, Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "fault")]
pub struct RawFault {
    /// The nodes to which it happens. Default: all nodes of the lab.
    #[serde(default)]
    pub nodes: List<String>,
    /// The expectation (`expect.NAME` or `NAME`), action (`action.NAME`) or process (`process.NAME`) after which it
    /// happens. Default: none; from the start.
    #[serde(default)]
    pub after: Field<String>,
    /// How often it happens to each node: requests that are answered wrongly, starts of a machine. Default: every time.
    #[serde(default)]
    #[schemars(range(min = 1))]
    pub times: Field<u32>,
    /// What goes wrong.
    #[serde(rename = "do")]
    pub kind: Field<FaultKind>,
}

/// What goes wrong; exactly one of these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", rename = "fault-kind")]
pub enum FaultKind {
    /// The lab's DHCP server.
    Dhcp(DhcpFault),
    /// The lab's TFTP server.
    Tftp(TftpFault),
    /// The lab's HTTP and HTTPS server.
    Http(HttpFault),
    /// The lab's name server.
    Dns(DnsFault),
    /// The certificate of the lab's HTTPS server.
    Tls(TlsFault),
    /// The NICs of the node, whoever serves it.
    Link(LinkFault),
    /// The machine itself.
    Machine(MachineFault),
    /// The files that the lab's TFTP and HTTP servers send.
    Payload(PayloadFault),
    /// The BMC of the node.
    Bmc(BmcFault),
}

/// What goes wrong with DHCP over IPv4.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", rename = "dhcp-fault")]
pub enum DhcpFault {
    /// Requests are not answered.
    Drop,
    /// Answers come that much later.
    Delay(Text<Span>),
    /// Answers name no boot file.
    NoBootFile,
    /// Answers name this boot file.
    BootFile(String),
    /// iPXE is answered as the firmware before it, so it loads itself again.
    NoUserClass,
    /// Firmware and iPXE are answered as those of another architecture (RFC 4578, section 2.1): 0 for a BIOS, 7 for UEFI on x86-64.
    Architecture(u16),
    /// The pool has no free address.
    PoolEmpty,
    /// Requests for an address are refused (DHCPNAK).
    Nak,
    /// A second server, at the last address of the network, offers an address without a boot file first.
    SecondServer,
    /// Answers lack the relay agent information (option 82) of the request.
    NoRelayInformation,
}

/// What goes wrong with TFTP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", rename = "tftp-fault")]
pub enum TftpFault {
    /// No file is found.
    Missing,
    /// Requests are answered with an error of this code (RFC 1350, section 5), from 0 to 8.
    Error(u16),
    /// Transfers stop before this block: 0 for no answer at all, as behind a firewall that drops the port of the data.
    Stall(u32),
    /// The size of a file is said to be this (option `tsize`).
    Size(Text<Bytes>),
    /// Options of requests are ignored, so blocks have 512 bytes and the size of a file is not known.
    NoOptions,
}

/// What goes wrong with HTTP and HTTPS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", rename = "http-fault")]
pub enum HttpFault {
    /// Requests are answered with this status, from 400 to 599.
    Status(u16),
    /// Requests are redirected to HTTPS (status 301).
    ToHttps,
    /// The connection is closed in the middle of a body.
    Short,
    /// Bodies come at so many bytes per second.
    Slow(Text<Bytes>),
    /// The connection is reset in the middle of a body.
    Reset,
    /// Requests are not answered.
    Silent,
    /// `Content-Length` is half of the length, and so is the body.
    WrongLength,
    /// Ranges are not supported: the whole file comes.
    NoRanges,
}

/// What goes wrong with DNS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", rename = "dns-fault")]
pub enum DnsFault {
    /// No name exists (NXDOMAIN).
    NoSuchName,
    /// Each name has the address 192.0.2.1, which nobody has (RFC 5737).
    WrongAddress,
    /// Queries are not answered.
    Silent,
    /// Names have no addresses of IPv4.
    Ipv6Only,
}

/// What goes wrong with TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", rename = "tls-fault")]
pub enum TlsFault {
    /// The certificate has expired.
    Expired,
    /// The certificate is not valid yet.
    NotYetValid,
    /// The certificate is signed by an authority that nobody knows.
    UnknownAuthority,
    /// The certificate is for another name.
    WrongName,
    /// Only TLS 1.3 is spoken.
    OnlyTls13,
}

impl TlsFault {
    /// Every fault.
    pub const ALL: [Self; 5] =
        [Self::Expired, Self::NotYetValid, Self::UnknownAuthority, Self::WrongName, Self::OnlyTls13];
}

/// What goes wrong with the link of each NIC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", rename = "link-fault")]
pub enum LinkFault {
    /// The cable is disconnected.
    Down,
    /// The cable is disconnected for this long, each time that the node is powered on.
    DownFor(Text<Span>),
    /// The link is up, but no frame passes for this long, each time that the node is powered on: as a switch port does
    /// it with STP or LACP.
    Silence(Text<Span>),
    /// So many of a hundred frames are lost.
    Loss(u8),
    /// Longer IP packets are lost, in bytes.
    Mtu(u16),
    /// Frames take this long in each direction.
    Delay(Text<Span>),
    /// So many of a hundred frames arrive after later ones.
    Reorder(u8),
}

/// What goes wrong with the machine, from its next start on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", rename = "machine-fault")]
pub enum MachineFault {
    /// The power fails, at once.
    PowerCut,
    /// It has so much memory.
    Memory(Text<Bytes>),
    /// It has no disk.
    NoDisk,
    /// Its disks cannot be read or written.
    DiskError,
    /// It has no random number generator.
    NoRng,
    /// It has this firmware.
    Firmware(Firmware),
    /// Its clock starts at this time (UTC).
    Clock(Text<ClockTime>),
}

/// What goes wrong with the files that a node is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", rename = "payload-fault")]
pub enum PayloadFault {
    /// The initrd is not there.
    InitrdMissing,
    /// The script gives the kernel no `initrd=`.
    NoInitrdArgument,
    /// The kernel is for another architecture.
    WrongArchitecture,
    /// Kernel and initrd end after their first half.
    Truncated,
    /// The script gives the kernel a console that does not exist.
    WrongConsole,
    /// The script gives the kernel a root file system that does not exist.
    WrongRoot,
}

/// What goes wrong with a BMC.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", rename = "bmc-fault")]
pub enum BmcFault {
    /// A boot device for one start is taken and shown, and the machine boots as always.
    IgnoreBootOnce,
    /// Power commands have their effect that much later.
    SlowPower(Text<Span>),
    /// A session ends after so many commands of IPMI; the sessions of Redfish end with every so many requests.
    DropSessions(u32),
    /// Redfish answers every request with 503; clients are to wait that long.
    Busy(Text<Span>),
    /// The certificate of Redfish is for another name.
    WrongName,
    /// Redfish is there without TLS only.
    HttpOnly,
    /// There is no Serial over LAN.
    NoSol,
    /// The only cipher suite of IPMI is 3.
    #[serde(rename = "only-suite-3")]
    OnlySuite3,
    /// A client that asks for the highest privilege gets 0 back, for which FreeIPMI needs `-W opensesspriv`.
    EchoPrivilege,
    /// There is no user of this name any more.
    ForgetUser(String),
    /// Its clock began in 1970, with the lab.
    #[serde(rename = "clock-1970")]
    Clock1970,
}

impl BmcFault {
    /// Returns what a BMC lacks for it, by the ways in that it has.
    pub fn lacks(&self, ipmi: bool, redfish: bool) -> Option<&'static str> {
        match self {
            Self::Busy(_) | Self::WrongName | Self::HttpOnly => (!redfish).then_some("no Redfish"),
            Self::NoSol | Self::OnlySuite3 | Self::EchoPrivilege => (!ipmi).then_some("no IPMI over LAN"),
            Self::DropSessions(_) => (!ipmi && !redfish).then_some("neither IPMI over LAN nor Redfish"),
            Self::IgnoreBootOnce | Self::SlowPower(_) | Self::ForgetUser(_) | Self::Clock1970 => None,
        }
    }
}

impl FaultKind {
    /// Returns it as written after `do` in a dotted key: `dhcp = "drop"`, `http.status = 404`.
    pub fn text(&self) -> String {
        let json = serde_json::to_value(self).unwrap_or_default();
        let mut path = String::new();
        let mut at = &json;
        while let Some((key, value)) = at.as_object().and_then(|table| table.iter().next()) {
            path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            at = value;
        }
        format!("{path} = {at}")
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

/// A date, or a date with a time, of a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClockTime(pub DateTime);

impl FromStr for ClockTime {
    type Err = Malformed;

    fn from_str(text: &str) -> Result<Self, Malformed> {
        // A clock of a PC has no years before 1970 in QEMU.
        let time = text.parse::<DateTime>().ok().filter(|time| (1970..2100).contains(&time.year()));
        time.map(Self).ok_or_else(|| Malformed(format!("`{text}` is not a date like 2001-01-01")))
    }
}

impl fmt::Display for ClockTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.strftime("%Y-%m-%dT%H:%M:%S"))
    }
}

impl Word for ClockTime {
    const WANTED: &'static str =
        "a date like \"2001-01-01\", with or without a time like \"2001-01-01T12:00:00\"";
    const PATTERN: &'static str = "^[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2})?)?$";
    const EXAMPLES: &'static [&'static str] = &["2001-01-01", "2001-01-01T12:00:00"];
}
