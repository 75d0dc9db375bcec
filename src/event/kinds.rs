//! The kinds of event that this crate emits, with their fields.

use std::net::IpAddr;

use serde::{Deserialize, Deserializer, Serialize};

use super::stage::{BootedFrom, Stage};
use super::words::{
    DhcpClient, DhcpMessage, DnsCode, Facility, FileRole, LearnedBy, PowerCause, RpcCode, Service, Severity,
    Source, StopState, TftpMode, TftpOutcome,
};
use crate::name::{ExpectName, Mac, NetworkName, ProcessName};

/// The kinds of event that this crate emits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", content = "fields", rename_all = "kebab-case")]
pub enum Known {
    /// The run began.
    RunStarted {
        /// Name of the lab.
        lab: String,
        /// Accelerator that the machines run under, `kvm` or `tcg`.
        accel: String,
    },
    /// A step of the plan took effect.
    StepDone {
        /// Index of the step in the plan.
        step: usize,
        /// The step as people read it.
        text: String,
    },
    /// A step of the plan failed.
    StepFailed {
        /// Index of the step in the plan.
        step: usize,
        /// The step as people read it.
        text: String,
        /// Why, with its causes.
        error: String,
    },
    /// Every step of the plan took effect.
    LabUp {},
    /// The lab began to be torn down.
    TearDownStarted {
        /// Who or what asked for it.
        why: String,
    },
    /// The run ended.
    RunEnded {
        /// Exit code.
        exit: u8,
    },

    /// A machine was powered on.
    PoweredOn {},
    /// A machine is off.
    PoweredOff {
        /// Who switched it off.
        why: PowerCause,
    },
    /// A machine restarted.
    Reset {
        /// Who reset it.
        why: PowerCause,
    },
    /// A machine died without being asked to.
    MachineDied {
        /// How the process ended.
        status: String,
        /// The last lines of its standard error.
        stderr: Vec<String>,
    },
    /// QEMU stopped a machine for a reason of its own (`io-error`, `internal-error`, …).
    MachineStopped {
        /// QMP run state.
        state: StopState,
        /// What QEMU said of it.
        detail: String,
        /// Whether the host had no space left for a disk.
        #[serde(default, skip_serializing_if = "is_false")]
        nospace: bool,
    },
    /// A guest reported a panic (pvpanic).
    GuestPanicked {},
    /// A line was completed on a machine's serial console, control sequences removed. A prompt such as `login:`, which
    /// no newline completes, is a line as soon as it has stood still for a moment.
    ConsoleLine {
        /// The line.
        text: String,
    },
    /// A firmware's banner was cut short by a key press.
    BannerSkipped {},
    /// The state of a link was changed.
    LinkSet {
        /// Name of the NIC.
        nic: String,
        /// Whether it is up now.
        up: bool,
    },

    /// A DHCP request was answered.
    DhcpReplied {
        /// The network it came from.
        network: NetworkName,
        /// The hardware address of the client.
        mac: Mac,
        /// Message type of the request.
        request: DhcpMessage,
        /// Message type of the reply.
        reply: DhcpMessage,
        /// Address offered or acknowledged.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        address: Option<IpAddr>,
        /// Boot file named in the reply.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        boot_file: Option<String>,
        /// Who asked.
        client: DhcpClient,
        /// The rule that decided.
        rule: String,
        /// Bytes of the reply.
        #[serde(default)]
        bytes: u64,
        /// Microseconds from the request to the reply.
        #[serde(default)]
        us: u64,
    },
    /// A DHCP request was ignored.
    DhcpIgnored {
        /// The network it came from.
        network: NetworkName,
        /// The hardware address of the client.
        mac: Mac,
        /// Message type of the request.
        request: DhcpMessage,
        /// Why.
        rule: String,
        /// Microseconds that it took to decide so.
        #[serde(default)]
        us: u64,
    },
    /// Unknown clients sent more DHCP requests than are reported one by one.
    #[serde(alias = "dhcp-crowded")]
    DhcpOmitted {
        /// The network that they came from.
        network: NetworkName,
        /// Further requests that were answered, in about a second.
        replied: u64,
        /// Further requests that were not.
        ignored: u64,
    },
    /// It became known that a node has an address.
    AddressLearned {
        /// The network that it is on.
        network: NetworkName,
        /// The address.
        address: IpAddr,
        /// By which way.
        by: LearnedBy,
        /// From whom.
        from: LearnedFrom,
    },
    /// A router solicitation was answered.
    RouterAdvertised {
        /// The network it came from.
        network: NetworkName,
    },
    /// A file was asked for by TFTP.
    TftpServed {
        /// The file asked for.
        path: String,
        /// How it ended.
        outcome: TftpOutcome,
        /// Bytes read by the client.
        bytes: u64,
        /// Duration in milliseconds.
        ms: u64,
        /// What the file is to the node; `None` where nothing was found.
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "maybe_role")]
        role: Option<FileRole>,
        /// The rule that decided what is served, or why nothing is.
        #[serde(default)]
        rule: String,
        /// The transfer mode.
        #[serde(default = "octet")]
        mode: TftpMode,
        /// Bytes in a block, as agreed on; `None` where nothing was sent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        blksize: Option<u32>,
        /// Blocks between two acknowledgements, as agreed on.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        windowsize: Option<u16>,
        /// Packets that were sent more than once.
        #[serde(default)]
        retransmits: u32,
    },
    /// A file is on its way to a node, by TFTP or HTTP. At most one per transfer and second, none for short ones.
    Fetching {
        /// The file asked for.
        path: String,
        /// Bytes sent so far.
        bytes: u64,
        /// Bytes of the whole file, where known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        total: Option<u64>,
    },
    /// An HTTP request was answered, its body sent to the end or broken off.
    HttpServed {
        /// Method.
        method: String,
        /// Path and query.
        path: String,
        /// Status code.
        status: u16,
        /// Bytes of the body that were sent.
        bytes: u64,
        /// Whether the whole body was sent.
        complete: bool,
        /// Duration in milliseconds.
        ms: u64,
        /// What the body is to the node; `None` where nothing was found.
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "maybe_role")]
        role: Option<FileRole>,
        /// The rule that decided: `plan`, `text`, `root`, `default`, or why nothing is served.
        #[serde(default)]
        rule: String,
        /// The pieces that were asked for and sent, as `bytes 0-99/1000`; `None` for the whole.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        range: Option<String>,
        /// What was agreed on by HTTPS, such as `TLSv1_3 TLS13_AES_256_GCM_SHA384`; `None` by HTTP.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tls: Option<String>,
    },
    /// matchbox could not answer as it was meant to. The client got 404, or an empty Ignition config, and no reason.
    MatchboxFailed {
        /// Path and query of the request; empty where it is about none.
        path: String,
        /// The file that it is about, as `groups/node1.json`; empty where it is about none.
        file: String,
        /// The line in it, where it is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        line: Option<usize>,
        /// What is wrong.
        reason: String,
    },
    /// A client that wanted HTTPS and we did not come to terms.
    HttpsFailed {
        /// Why, in the words of TLS: `received fatal alert: UnknownCA`. Firmware says nothing and breaks off.
        error: String,
    },
    /// A method of matchbox's gRPC was called.
    RpcServed {
        /// The method: `rpcpb.Groups/GroupPut`.
        method: String,
        /// The status code of the answer.
        code: RpcCode,
        /// Why it was refused; empty where it was not.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        message: String,
        /// The subject of the client's certificate: `CN=client`.
        client: String,
        /// The address that it called from.
        from: IpAddr,
        /// How long it took, in microseconds.
        us: u64,
    },
    /// A client that wanted to call methods of matchbox's gRPC and we did not come to terms.
    RpcRefused {
        /// The address that it called from.
        from: IpAddr,
        /// Why, in the words of TLS: `peer sent no certificates`.
        error: String,
    },
    /// A DNS question was answered. Repeats within a second are one further event, with their number.
    DnsAnswered {
        /// The name asked for; empty for what was no question.
        name: String,
        /// The record type asked for.
        record: String,
        /// Response code.
        code: DnsCode,
        /// What decided: `node`, `lab record`, `wildcard`, `reverse`, `lab zone`, `cache`, `upstream ADDRESS`, ….
        rule: String,
        /// The records of the answer, the first of them where there are many.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        answer: Vec<String>,
        /// Bytes of the answer.
        #[serde(default)]
        bytes: u64,
        /// Duration in microseconds; of the slowest of several.
        #[serde(default)]
        us: u64,
        /// How many more there were of the same for the same client.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        count: Option<u64>,
    },
    /// An NTP request was answered. Repeats within a second are one further event, with their number.
    NtpAnswered {
        /// Version of NTP.
        version: u8,
        /// Milliseconds that the time was ahead of the host's clock; below zero behind.
        offset: i64,
        /// Duration in microseconds; of the slowest of several.
        us: u64,
        /// How many more there were of the same for the same client.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        count: Option<u64>,
    },
    /// A node said something by syslog.
    SyslogLine {
        /// The part of the system that it comes from.
        facility: Facility,
        /// How bad it is.
        severity: Severity,
        /// The program; empty if the line names none.
        app: String,
        /// What it says, control characters removed, at most 2 KiB.
        text: String,
    },
    /// More happened within a second than is told.
    Omitted {
        /// The service.
        service: Service,
        /// How many answers or lines were left out.
        count: u64,
    },
    /// A boot service hit an error of its own.
    ServiceFailed {
        /// The service.
        service: Service,
        /// Why.
        error: String,
    },

    /// A process beside the nodes was started.
    ProcessStarted {
        /// Its name.
        process: ProcessName,
    },
    /// A process beside the nodes printed a line.
    ProcessPrinted {
        /// Its name.
        process: ProcessName,
        /// The line, at most 2 KiB.
        text: String,
    },
    /// A process beside the nodes ended by itself.
    ProcessEnded {
        /// Its name.
        process: ProcessName,
        /// Its exit code; `None` if a signal ended it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        exit: Option<i32>,
        /// How it ended, as people read it.
        status: String,
    },

    /// A node came to another stage.
    StageReached {
        /// The stage.
        stage: Stage,
    },
    /// It is clear what a node booted from, since it was last powered on or reset.
    Booted {
        /// What.
        from: BootedFrom,
        /// What shows it: the file that it fetched, or the line that a kernel of its own printed.
        by: String,
    },
    /// A probe of an expectation came back.
    Probed {
        /// The expectation.
        expect: ExpectName,
        /// Whether it saw what is expected.
        ok: bool,
        /// What it saw.
        seen: String,
    },
    /// An expectation was decided for a node (or for the lab, without node).
    ExpectationDecided {
        /// The expectation.
        expect: ExpectName,
        /// Whether it was met.
        met: bool,
        /// What was seen last, or why it was given up.
        seen: String,
    },
    /// Every expectation that time can decide is decided.
    Judged {
        /// Whether none was missed.
        met: bool,
    },
    /// Somebody asked for something through the control socket.
    Commanded {
        /// What.
        what: String,
    },
}

/// From whom it is known that a node has an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LearnedFrom {
    /// Our own DHCP server gave it.
    ThisServer,
    /// Another DHCP server gave it, with its address where that is known.
    AnotherServer(Option<IpAddr>),
    /// The node itself, by the packets that it sends.
    Node,
}

/// A file or text that went out to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery<'a> {
    /// The path, with the query.
    pub path: &'a str,
    /// What it is to the node.
    pub role: Option<&'a FileRole>,
    /// Bytes that were sent.
    pub bytes: u64,
    /// The protocol, with what only it has.
    pub by: Protocol<'a>,
}

/// The protocol of a [`Delivery`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol<'a> {
    /// TFTP.
    Tftp,
    /// HTTP or HTTPS.
    Http {
        /// The method.
        method: &'a str,
        /// The status code.
        status: u16,
    },
}

impl Delivery<'_> {
    /// Tells whether the node has got what it asked for, by one request or in pieces.
    pub fn is_fetch(&self) -> bool {
        match self.by {
            Protocol::Tftp => true,
            Protocol::Http { method, status } => method == "GET" && matches!(status, 200 | 206),
        }
    }
}

impl Known {
    /// Returns the file or text that went out to its end, if the event tells of one.
    pub fn delivery(&self) -> Option<Delivery<'_>> {
        match self {
            // EDK2 first asks for a file's size and breaks off, so only what was sent counts.
            Self::TftpServed { path, outcome: TftpOutcome::Sent, role, bytes, .. } => {
                Some(Delivery { path, role: role.as_ref(), bytes: *bytes, by: Protocol::Tftp })
            }
            Self::HttpServed { method, path, status, complete: true, role, bytes, .. } => {
                let by = Protocol::Http { method, status: *status };
                Some(Delivery { path, role: role.as_ref(), bytes: *bytes, by })
            }
            Self::RunStarted { .. }
            | Self::StepDone { .. }
            | Self::StepFailed { .. }
            | Self::LabUp {}
            | Self::TearDownStarted { .. }
            | Self::RunEnded { .. }
            | Self::PoweredOn {}
            | Self::PoweredOff { .. }
            | Self::Reset { .. }
            | Self::MachineDied { .. }
            | Self::MachineStopped { .. }
            | Self::GuestPanicked {}
            | Self::ConsoleLine { .. }
            | Self::BannerSkipped {}
            | Self::LinkSet { .. }
            | Self::DhcpReplied { .. }
            | Self::DhcpIgnored { .. }
            | Self::DhcpOmitted { .. }
            | Self::AddressLearned { .. }
            | Self::RouterAdvertised { .. }
            | Self::TftpServed { .. }
            | Self::Fetching { .. }
            | Self::HttpServed { .. }
            | Self::MatchboxFailed { .. }
            | Self::HttpsFailed { .. }
            | Self::RpcServed { .. }
            | Self::RpcRefused { .. }
            | Self::DnsAnswered { .. }
            | Self::NtpAnswered { .. }
            | Self::SyslogLine { .. }
            | Self::Omitted { .. }
            | Self::ServiceFailed { .. }
            | Self::ProcessStarted { .. }
            | Self::ProcessPrinted { .. }
            | Self::ProcessEnded { .. }
            | Self::StageReached { .. }
            | Self::Booted { .. }
            | Self::Probed { .. }
            | Self::ExpectationDecided { .. }
            | Self::Judged { .. }
            | Self::Commanded { .. } => None,
        }
    }

    /// Returns the address that the event's node is known to have by it, with the network and the way.
    pub fn learned(&self) -> Option<(&NetworkName, IpAddr, LearnedBy)> {
        match self {
            Self::AddressLearned { network, address, by, from: _ } => Some((network, *address, by.clone())),
            // Records of format 1 tell of leases by nothing else.
            Self::DhcpReplied { network, reply: DhcpMessage::Ack, address: Some(address), .. } => {
                Some((network, *address, LearnedBy::Dhcp))
            }
            Self::DhcpReplied { network, reply: DhcpMessage::Reply, address: Some(address), .. } => {
                Some((network, *address, LearnedBy::Dhcpv6))
            }
            Self::RunStarted { .. }
            | Self::StepDone { .. }
            | Self::StepFailed { .. }
            | Self::LabUp {}
            | Self::TearDownStarted { .. }
            | Self::RunEnded { .. }
            | Self::PoweredOn {}
            | Self::PoweredOff { .. }
            | Self::Reset { .. }
            | Self::MachineDied { .. }
            | Self::MachineStopped { .. }
            | Self::GuestPanicked {}
            | Self::ConsoleLine { .. }
            | Self::BannerSkipped {}
            | Self::LinkSet { .. }
            | Self::DhcpReplied { .. }
            | Self::DhcpIgnored { .. }
            | Self::DhcpOmitted { .. }
            | Self::RouterAdvertised { .. }
            | Self::TftpServed { .. }
            | Self::Fetching { .. }
            | Self::HttpServed { .. }
            | Self::MatchboxFailed { .. }
            | Self::HttpsFailed { .. }
            | Self::RpcServed { .. }
            | Self::RpcRefused { .. }
            | Self::DnsAnswered { .. }
            | Self::NtpAnswered { .. }
            | Self::SyslogLine { .. }
            | Self::Omitted { .. }
            | Self::ServiceFailed { .. }
            | Self::ProcessStarted { .. }
            | Self::ProcessPrinted { .. }
            | Self::ProcessEnded { .. }
            | Self::StageReached { .. }
            | Self::Booted { .. }
            | Self::Probed { .. }
            | Self::ExpectationDecided { .. }
            | Self::Judged { .. }
            | Self::Commanded { .. } => None,
        }
    }

    /// Returns who tells of events of this kind, for records of format 1, which do not say it.
    pub(super) fn usual_source(&self) -> Source {
        match self {
            Self::RunStarted { .. }
            | Self::StepDone { .. }
            | Self::StepFailed { .. }
            | Self::LabUp {}
            | Self::TearDownStarted { .. }
            | Self::RunEnded { .. }
            | Self::StageReached { .. }
            | Self::Booted { .. }
            | Self::ExpectationDecided { .. }
            | Self::Judged { .. } => Source::Run,
            Self::PoweredOn {}
            | Self::PoweredOff { .. }
            | Self::Reset { .. }
            | Self::MachineDied { .. }
            | Self::MachineStopped { .. }
            | Self::GuestPanicked {}
            | Self::BannerSkipped {}
            | Self::LinkSet { .. } => Source::Qmp,
            Self::ConsoleLine { .. } => Source::Console,
            Self::ProcessStarted { .. } | Self::ProcessPrinted { .. } | Self::ProcessEnded { .. } => {
                Source::Process
            }
            Self::Probed { .. } => Source::Probe,
            Self::Commanded { .. } => Source::User,
            Self::DhcpReplied { .. }
            | Self::DhcpIgnored { .. }
            | Self::DhcpOmitted { .. }
            | Self::AddressLearned { .. }
            | Self::RouterAdvertised { .. }
            | Self::TftpServed { .. }
            | Self::Fetching { .. }
            | Self::HttpServed { .. }
            | Self::MatchboxFailed { .. }
            | Self::HttpsFailed { .. }
            | Self::RpcServed { .. }
            | Self::RpcRefused { .. }
            | Self::DnsAnswered { .. }
            | Self::NtpAnswered { .. }
            | Self::SyslogLine { .. }
            | Self::Omitted { .. }
            | Self::ServiceFailed { .. } => Source::Service,
        }
    }
}

fn is_false(flag: &bool) -> bool {
    !flag
}

fn octet() -> TftpMode {
    TftpMode::Octet
}

/// Reads a role; format 1 wrote an empty word where there was none.
fn maybe_role<'de, D: Deserializer<'de>>(from: D) -> Result<Option<FileRole>, D::Error> {
    let role = Option::<FileRole>::deserialize(from)?;
    Ok(role.filter(|role| !role.as_str().is_empty()))
}
