//! The kinds of event that this crate emits, with their fields.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;

use ipnet::Ipv6Net;
use serde::{Deserialize, Deserializer, Serialize};

use super::finding::Finding;
use super::stage::{BootSources, BootedFrom, Stage};
use super::waits::Waits;
use super::words::{
    DhcpClient, DhcpMessage, DnsCode, Facility, FileFormat, FileRole, LearnedBy, PowerCause, RpcCode,
    ScreenMode, Service, Severity, Source, StopState, TftpMode, TftpOutcome, Transport, UnreachableCause,
};
use crate::name::{ActionName, ExpectName, FaultName, Mac, NetworkName, NodeName, ProcessName};

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
        /// What each node can boot from.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        nodes: BTreeMap<NodeName, BootSources>,
        /// The machines without a VM.
        #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
        hosts: BTreeSet<NodeName>,
        /// What waits for what.
        #[serde(default, skip_serializing_if = "Waits::is_empty")]
        waits: Box<Waits>,
    },
    /// A step of the plan took effect.
    StepDone {
        /// Index of the step in the plan.
        step: usize,
        /// The step as text.
        text: String,
    },
    /// A step of the plan failed.
    StepFailed {
        /// Index of the step in the plan; absent if what failed is no step of it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        step: Option<usize>,
        /// The step as text.
        text: String,
        /// The error with its causes.
        error: String,
    },
    /// Every step of the plan took effect.
    LabUp {},
    /// The lab began to be torn down.
    TearDownStarted {
        /// Who or what requested it.
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
        /// Who powered it off.
        why: PowerCause,
    },
    /// A machine restarted.
    Reset {
        /// Who reset it.
        why: PowerCause,
    },
    /// A machine ended unexpectedly.
    MachineDied {
        /// How the process ended.
        status: String,
        /// The last lines of its standard error.
        stderr: Vec<String>,
    },
    /// QEMU stopped a machine by itself (`io-error`, `internal-error`, …).
    MachineStopped {
        /// QMP run state.
        state: StopState,
        /// The message of QEMU.
        detail: String,
        /// Whether the host ran out of space for a disk.
        #[serde(default, skip_serializing_if = "is_false")]
        nospace: bool,
    },
    /// A guest reported a panic (pvpanic).
    GuestPanicked {},
    /// A machine printed a line on its serial console, control sequences removed. A prompt such as `login:` has no
    /// newline; it counts as a line once it has not changed for a moment.
    ConsoleLine {
        /// The line.
        text: String,
    },
    /// A key press skipped the banner of a firmware.
    BannerSkipped {},
    /// The state of a link was changed.
    LinkSet {
        /// Name of the NIC.
        nic: String,
        /// Whether it is up now.
        up: bool,
    },
    /// A medium was inserted or ejected, by a command or by the guest.
    MediumSet {
        /// The drive, as in the lab file: `cd.NAME` or `disk.NAME`; `cd` if the lab file has none.
        drive: String,
        /// The image that is in it now; empty if none is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        medium: Option<String>,
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
        /// The kind of client.
        client: DhcpClient,
        /// The rule that applied.
        rule: String,
        /// The server, if another one than the lab's replied.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        server: Option<IpAddr>,
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
        /// The reason.
        rule: String,
        /// Microseconds from the request to the decision.
        #[serde(default)]
        us: u64,
    },
    /// Unknown clients sent more DHCP requests than are reported individually.
    #[serde(alias = "dhcp-crowded")]
    DhcpOmitted {
        /// The network that they came from.
        network: NetworkName,
        /// Further requests that were answered, within about a second.
        replied: u64,
        /// Further requests that were ignored.
        ignored: u64,
    },
    /// A node turned out to have an address.
    AddressLearned {
        /// The network that it is on.
        network: NetworkName,
        /// The address.
        address: IpAddr,
        /// How it was learned.
        by: LearnedBy,
        /// The server or node it was learned from.
        from: LearnedFrom,
    },
    /// A router advertisement was sent: by the lab to answer a solicitation, or by another router.
    RouterAdvertised {
        /// The network that it is on.
        network: NetworkName,
        /// The other router.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        router: Option<RouterSeen>,
    },
    /// A client requested a file by TFTP.
    TftpServed {
        /// The requested file.
        path: String,
        /// How it ended.
        outcome: TftpOutcome,
        /// Bytes read by the client.
        bytes: u64,
        /// Duration in milliseconds.
        ms: u64,
        /// The role of the file for the node; `None` if none was found.
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "maybe_role")]
        role: Option<FileRole>,
        /// The rule that selected the file, or the reason why none is served.
        #[serde(default)]
        rule: String,
        /// The transfer mode.
        #[serde(default = "octet")]
        mode: TftpMode,
        /// Negotiated block size in bytes; `None` if nothing was sent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        blksize: Option<u32>,
        /// Negotiated window size in blocks; `None` if nothing was sent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        windowsize: Option<u16>,
        /// What the file is, by its first bytes, if any were seen.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        format: Option<FileFormat>,
        /// Packets that were retransmitted.
        #[serde(default)]
        retransmits: u32,
        /// The server, if it is another one than the lab's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        server: Option<IpAddr>,
    },
    /// Progress of a transfer by TFTP or HTTP. At most one per transfer and second, none for short transfers.
    Fetching {
        /// The requested file.
        path: String,
        /// Bytes sent so far.
        bytes: u64,
        /// Size of the whole file in bytes, if known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        total: Option<u64>,
    },
    /// An HTTP request was answered: the body was sent completely, or aborted.
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
        /// The role of the body for the node; `None` if nothing was found.
        #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "maybe_role")]
        role: Option<FileRole>,
        /// The rule that applied: `plan`, `text`, `root`, `default`, or the reason why nothing is served.
        #[serde(default)]
        rule: String,
        /// What the body is, by its first bytes, if any were seen.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        format: Option<FileFormat>,
        /// The ranges that were requested and sent, as `bytes 0-99/1000`; `None` for the whole body.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        range: Option<String>,
        /// The negotiated version and cipher suite, such as `TLSv1_3 TLS13_AES_256_GCM_SHA384`; `None` for HTTP.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tls: Option<String>,
        /// The server, if it is another one than the lab's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        server: Option<SocketAddr>,
    },
    /// matchbox could not answer a request. The client got 404 or an empty Ignition config, without a reason.
    MatchboxFailed {
        /// Path and query of the request; empty if it concerns no request.
        path: String,
        /// The file that it concerns, such as `groups/node1.json`; empty if it concerns no file.
        file: String,
        /// The line in the file, if known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        line: Option<usize>,
        /// The problem.
        reason: String,
    },
    /// A TLS handshake failed on an HTTPS port.
    HttpsFailed {
        /// The reason, as TLS reports it: `received fatal alert: UnknownCA`. Firmware sends none and closes the
        /// connection.
        error: String,
    },
    /// A client called a method of the gRPC API of matchbox.
    RpcServed {
        /// The method: `rpcpb.Groups/GroupPut`.
        method: String,
        /// The status code of the answer.
        code: RpcCode,
        /// Why it was refused; empty if it was not.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        message: String,
        /// The subject of the client's certificate: `CN=client`.
        client: String,
        /// The address of the client.
        from: IpAddr,
        /// Duration in microseconds.
        us: u64,
    },
    /// A TLS handshake failed on the gRPC port of matchbox.
    RpcRefused {
        /// The address of the client.
        from: IpAddr,
        /// The reason, as TLS reports it: `peer sent no certificates`.
        error: String,
    },
    /// A DNS query was answered. Repeats within a second are one further event with their number.
    DnsAnswered {
        /// The queried name; empty if the message is not a query.
        name: String,
        /// The queried record type.
        record: String,
        /// Response code.
        code: DnsCode,
        /// What answered: `node`, `lab record`, `wildcard`, `reverse`, `lab zone`, `cache`, `upstream ADDRESS`, ….
        rule: String,
        /// The records of the answer; if there are many, only the first ones.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        answer: Vec<String>,
        /// Bytes of the answer.
        #[serde(default)]
        bytes: u64,
        /// Duration in microseconds; with repeats, that of the slowest.
        #[serde(default)]
        us: u64,
        /// The number of repeats of the same client.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        count: Option<u64>,
        /// The server, if it is another one than the lab's.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        server: Option<IpAddr>,
    },
    /// An NTP request was answered. Repeats within a second are one further event with their number.
    NtpAnswered {
        /// Version of NTP.
        version: u8,
        /// Offset of the served time from the clock of the host, in milliseconds; negative if it is behind.
        offset: i64,
        /// Duration in microseconds; with repeats, that of the slowest.
        us: u64,
        /// The number of repeats of the same client.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        count: Option<u64>,
    },
    /// A node sent a syslog message.
    SyslogLine {
        /// The facility.
        facility: Facility,
        /// The severity.
        severity: Severity,
        /// The program; empty if the message has none.
        app: String,
        /// The text, control characters removed, at most 2 KiB.
        text: String,
    },
    /// More happened within a second than is reported.
    Omitted {
        /// The service.
        service: Service,
        /// The number of answers or lines left out.
        count: u64,
    },
    /// A boot service failed.
    ServiceFailed {
        /// The service.
        service: Service,
        /// The error.
        error: String,
    },

    /// A machine started to boot, as the first request of its firmware shows. Only where nothing tells that it was
    /// powered on or reset: in captures of other racks.
    BootSeen {},
    /// A client sent a DHCP request; repetitions of the same one are not reported again.
    DhcpAsked {
        /// The network it came from.
        network: NetworkName,
        /// The hardware address of the client.
        mac: Mac,
        /// Message type of the request.
        request: DhcpMessage,
        /// The kind of client.
        client: DhcpClient,
        /// The architecture that the client names (RFC 4578, option 93; RFC 5970, option 61), if any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        architecture: Option<u16>,
        /// The vendor class (option 60, or option 16 of DHCPv6), if any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        vendor_class: Option<String>,
        /// The relay agent that forwarded it, if any.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        relay: Option<IpAddr>,
    },
    /// A client asked for a router (RFC 4861, section 4.1).
    RouterSolicited {
        /// The network it came from.
        network: NetworkName,
    },
    /// Nobody answered a request.
    Unanswered {
        /// The network it came from.
        network: NetworkName,
        /// The protocol of the request.
        service: Service,
        /// What was asked: a message type of DHCP, a path, a name, an address.
        what: String,
        /// Who was asked; `None` if it was a broadcast.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        server: Option<IpAddr>,
        /// How often it was sent.
        times: u64,
    },
    /// A packet of a client was refused or could not be delivered.
    Unreachable {
        /// The network it came from.
        network: NetworkName,
        /// The protocol of the packet.
        protocol: Transport,
        /// Where it was sent to; the port is 0 if the protocol has none.
        destination: SocketAddr,
        /// Who says so.
        by: IpAddr,
        /// The reason.
        why: UnreachableCause,
        /// The size that fits, if the packet was too big.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mtu: Option<u32>,
    },
    /// A client offered to encrypt a connection (RFC 8446, section 4.1.2).
    TlsOffered {
        /// The server.
        server: SocketAddr,
        /// Whether it is the lab's own.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        to_lab: bool,
        /// The name that it asked for (RFC 6066, section 3).
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<String>,
        /// The highest version that it offers.
        version: String,
        /// The cipher suites, in its order; if there are many, only the first ones.
        ciphers: Vec<String>,
    },
    /// One side of a connection refused to encrypt it (RFC 8446, section 6).
    TlsAlerted {
        /// The server.
        server: SocketAddr,
        /// Whether the client refused.
        by_client: bool,
        /// The description of the alert: `unknown_ca`.
        alert: String,
    },
    /// A switch speaks a spanning tree protocol (IEEE 802.1D), so a port may take its time until it forwards.
    StpSeen {
        /// The network.
        network: NetworkName,
        /// The protocol: `STP`, `RSTP`, `MSTP`.
        protocol: String,
        /// The root bridge: priority and hardware address.
        root: String,
        /// The bridge that sent it, in the same form.
        bridge: String,
        /// The state of its port, where the protocol tells it: `discarding`, `learning`, `forwarding`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        state: Option<String>,
    },
    /// A switch or host offers to aggregate links (LACP, IEEE 802.1AX).
    LacpSeen {
        /// The network.
        network: NetworkName,
        /// The system that sent it.
        system: Mac,
        /// The system that it sees at the other end; `None` if nobody answers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        partner: Option<Mac>,
    },
    /// The file with the frames of a run, or what is concluded from them, lacks something.
    CaptureIncomplete {
        /// What, and why.
        why: String,
        /// How many frames were lost before they could be read.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        lost: Option<u64>,
    },
    /// The screen of a machine changed.
    ScreenShown {
        /// The mode.
        mode: ScreenMode,
        /// The number of characters after which a longer line continues in the next one.
        #[serde(default)]
        columns: u16,
        /// The lines that can be read, without spaces at their ends and without empty lines at the end.
        lines: Vec<String>,
        /// The picture in the run folder, if it could not be read.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        picture: Option<PathBuf>,
    },
    /// A machine wrote to its disks. Reported only where an expectation limits how long its nodes may make no progress.
    DiskWritten {
        /// How many bytes it has written since QEMU started.
        bytes: u64,
    },

    /// A process beside the nodes was started.
    ProcessStarted {
        /// Its name.
        process: ProcessName,
    },
    /// A process beside the nodes is ready, as its `ready` says.
    ProcessReady {
        /// Its name.
        process: ProcessName,
        /// What shows it.
        by: String,
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
        /// How it ended, as text.
        status: String,
    },

    /// A node reached another stage.
    StageReached {
        /// The stage.
        stage: Stage,
    },
    /// The boot source of a node became known, for the boot since it was last powered on or reset.
    Booted {
        /// The boot source.
        from: BootedFrom,
        /// The evidence: the file that it fetched, or the line that a kernel from its disk printed.
        by: String,
    },
    /// A probe of an expectation returned.
    Probed {
        /// The expectation.
        expect: ExpectName,
        /// Whether it saw what the expectation asks for.
        ok: bool,
        /// What it saw.
        seen: String,
        /// The file in the run folder with the whole output of a failed attempt.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        output: Option<PathBuf>,
        /// Lines that show why it failed, of a check that collects them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        evidence: Vec<String>,
        /// The node that leads the cluster, if the probe is of one and a node of the lab leads it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        leader: Option<NodeName>,
    },
    /// An expectation was decided for a node (or for the lab, without node).
    ExpectationDecided {
        /// The expectation.
        expect: ExpectName,
        /// Whether it was met.
        met: bool,
        /// What was seen last, or why the expectation failed early.
        seen: String,
    },
    /// It became clear why a boot does not go on.
    Diagnosed {
        /// The failure, with its evidence.
        finding: Box<Finding>,
    },
    /// Every expectation that time can decide is decided.
    Judged {
        /// Whether none was missed.
        met: bool,
    },
    /// The time of an action has come, and its nodes were chosen.
    ActionStarted {
        /// The action.
        action: ActionName,
        /// What is done.
        what: String,
        /// The nodes to which it is done; empty for a command in the lab's network namespace.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        nodes: Vec<NodeName>,
    },
    /// An action took effect on all its nodes.
    ActionDone {
        /// The action.
        action: ActionName,
    },
    /// An action failed, which ends a run that nobody operates by hand.
    ActionFailed {
        /// The action.
        action: ActionName,
        /// The reason.
        why: String,
    },
    /// The time of a fault has come.
    FaultBegan {
        /// The fault.
        fault: FaultName,
        /// What goes wrong.
        what: String,
    },
    /// A fault happened.
    FaultStruck {
        /// The fault.
        fault: FaultName,
        /// What went wrong.
        what: String,
    },
    /// A fault does not happen any more.
    FaultEnded {
        /// The fault.
        fault: FaultName,
    },
    /// A BMC wrote an entry into its system event log.
    BmcLogged {
        /// The number of the entry.
        entry: u16,
        /// What it says.
        what: String,
    },
    /// A client sent a command to the control socket or to a BMC.
    Commanded {
        /// The command.
        what: String,
    },
}

/// A router that is not the lab's, as its advertisement describes it (RFC 4861, section 4.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct RouterSeen {
    /// Its link-local address.
    pub address: Ipv6Addr,
    /// Its lifetime as a default router, in seconds; 0 if it is none.
    pub lifetime: u16,
    /// Whether addresses come from DHCPv6 (flag M).
    pub managed: bool,
    /// Whether other configuration comes from DHCPv6 (flag O).
    pub other: bool,
    /// The prefixes that it announces.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prefixes: Vec<Ipv6Net>,
}

/// The server or node that the address of a node was learned from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LearnedFrom {
    /// Our own DHCP server assigned it.
    ThisServer,
    /// Another DHCP server assigned it; its address, if known.
    AnotherServer(Option<IpAddr>),
    /// The packets of the node itself.
    Node,
}

/// A file or text that was sent completely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery<'a> {
    /// The path, with the query.
    pub path: &'a str,
    /// Its role for the node.
    pub role: Option<&'a FileRole>,
    /// Bytes sent.
    pub bytes: u64,
    /// The protocol, with its own fields.
    pub by: Protocol<'a>,
    /// The server, if it is another one than the lab's.
    pub server: Option<IpAddr>,
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
    /// Tells whether the node has received the whole content, by one request or in ranges.
    pub fn is_fetch(&self) -> bool {
        match self.by {
            Protocol::Tftp => true,
            Protocol::Http { method, status } => method == "GET" && matches!(status, 200 | 206),
        }
    }
}

impl Known {
    /// Returns the file or text that was sent completely, if the event reports one.
    pub fn delivery(&self) -> Option<Delivery<'_>> {
        match self {
            // EDK2 first requests the size of a file and aborts, so only bytes that were sent count.
            Self::TftpServed { path, outcome: TftpOutcome::Sent, role, bytes, server, .. } => {
                let (role, bytes, by) = (role.as_ref(), *bytes, Protocol::Tftp);
                Some(Delivery { path, role, bytes, by, server: *server })
            }
            Self::HttpServed { method, path, status, complete: true, role, bytes, server, .. } => {
                let by = Protocol::Http { method, status: *status };
                let server = server.map(|server| server.ip());
                Some(Delivery { path, role: role.as_ref(), bytes: *bytes, by, server })
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
            | Self::MediumSet { .. }
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
            | Self::CaptureIncomplete { .. }
            | Self::ServiceFailed { .. }
            | Self::BootSeen {}
            | Self::DhcpAsked { .. }
            | Self::RouterSolicited { .. }
            | Self::Unanswered { .. }
            | Self::Unreachable { .. }
            | Self::TlsOffered { .. }
            | Self::TlsAlerted { .. }
            | Self::StpSeen { .. }
            | Self::LacpSeen { .. }
            | Self::ScreenShown { .. }
            | Self::DiskWritten { .. }
            | Self::ProcessStarted { .. }
            | Self::ProcessReady { .. }
            | Self::ProcessPrinted { .. }
            | Self::ProcessEnded { .. }
            | Self::StageReached { .. }
            | Self::Booted { .. }
            | Self::Probed { .. }
            | Self::ExpectationDecided { .. }
            | Self::Diagnosed { .. }
            | Self::Judged { .. }
            | Self::ActionStarted { .. }
            | Self::ActionDone { .. }
            | Self::ActionFailed { .. }
            | Self::FaultBegan { .. }
            | Self::FaultStruck { .. }
            | Self::FaultEnded { .. }
            | Self::BmcLogged { .. }
            | Self::Commanded { .. } => None,
        }
    }

    /// Returns the address that the event shows for its node, with the network and how it was learned.
    pub fn learned(&self) -> Option<(&NetworkName, IpAddr, LearnedBy)> {
        match self {
            Self::AddressLearned { network, address, by, from: _ } => Some((network, *address, by.clone())),
            // Format 1 reports leases by nothing else.
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
            | Self::MediumSet { .. }
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
            | Self::CaptureIncomplete { .. }
            | Self::ServiceFailed { .. }
            | Self::BootSeen {}
            | Self::DhcpAsked { .. }
            | Self::RouterSolicited { .. }
            | Self::Unanswered { .. }
            | Self::Unreachable { .. }
            | Self::TlsOffered { .. }
            | Self::TlsAlerted { .. }
            | Self::StpSeen { .. }
            | Self::LacpSeen { .. }
            | Self::ScreenShown { .. }
            | Self::DiskWritten { .. }
            | Self::ProcessStarted { .. }
            | Self::ProcessReady { .. }
            | Self::ProcessPrinted { .. }
            | Self::ProcessEnded { .. }
            | Self::StageReached { .. }
            | Self::Booted { .. }
            | Self::Probed { .. }
            | Self::ExpectationDecided { .. }
            | Self::Diagnosed { .. }
            | Self::Judged { .. }
            | Self::ActionStarted { .. }
            | Self::ActionDone { .. }
            | Self::ActionFailed { .. }
            | Self::FaultBegan { .. }
            | Self::FaultStruck { .. }
            | Self::FaultEnded { .. }
            | Self::BmcLogged { .. }
            | Self::Commanded { .. } => None,
        }
    }

    /// Returns the source of events of this kind, for records of format 1, which have none.
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
            | Self::Diagnosed { .. }
            | Self::Judged { .. }
            | Self::ActionStarted { .. }
            | Self::ActionDone { .. }
            | Self::ActionFailed { .. }
            | Self::FaultBegan { .. }
            | Self::FaultStruck { .. }
            | Self::FaultEnded { .. } => Source::Run,
            Self::PoweredOn {}
            | Self::PoweredOff { .. }
            | Self::Reset { .. }
            | Self::MachineDied { .. }
            | Self::MachineStopped { .. }
            | Self::GuestPanicked {}
            | Self::BannerSkipped {}
            | Self::LinkSet { .. }
            | Self::MediumSet { .. }
            | Self::DiskWritten { .. } => Source::Qmp,
            Self::ConsoleLine { .. } => Source::Console,
            Self::ProcessStarted { .. }
            | Self::ProcessReady { .. }
            | Self::ProcessPrinted { .. }
            | Self::ProcessEnded { .. } => Source::Process,
            Self::BootSeen {}
            | Self::DhcpAsked { .. }
            | Self::RouterSolicited { .. }
            | Self::Unanswered { .. }
            | Self::Unreachable { .. }
            | Self::TlsOffered { .. }
            | Self::TlsAlerted { .. }
            | Self::StpSeen { .. }
            | Self::LacpSeen { .. } => Source::Wire,
            Self::ScreenShown { .. } => Source::Screen,
            Self::Probed { .. } => Source::Probe,
            Self::BmcLogged { .. } => Source::Bmc,
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
            | Self::CaptureIncomplete { .. }
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

/// Parses a role; format 1 has an empty string instead of none.
fn maybe_role<'de, D: Deserializer<'de>>(from: D) -> Result<Option<FileRole>, D::Error> {
    let role = Option::<FileRole>::deserialize(from)?;
    Ok(role.filter(|role| !role.as_str().is_empty()))
}
