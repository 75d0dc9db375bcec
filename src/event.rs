//! One thing that happened, in the past tense, at one instant.
//!
//! Everything between `run::up` and `run::down` is one stream of events; the
//! timeline, the expectations, the terminal and the report are folds over it. An
//! event never carries a secret.

#[cfg(test)]
pub(crate) mod examples;
mod read;
mod text;

pub use read::{ReadError, Recorded, read};
pub use text::{Ago, Size};

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::name::{ExpectName, Mac, NetworkName, NodeName, ProcessName};

/// The version of the format of `events.jsonl`.
pub const SCHEMA: u32 = 1;

/// The first line of `events.jsonl`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`SCHEMA`] of the writer.
    pub dryrack_events: u32,
    /// Version of the program that wrote the file.
    pub version: String,
    /// Wall-clock time of nanosecond 0.
    pub started: Timestamp,
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Nanoseconds since the run's start, monotonic.
    pub at: u64,
    /// The same instant on the wall clock.
    pub wall: Timestamp,
    /// The node that it concerns, if it concerns one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<NodeName>,
    /// What happened.
    #[serde(flatten)]
    pub kind: Kind,
}

/// How far a node has come on its way up.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// Not running.
    Off,
    /// Powered on; the firmware has not yet asked for anything.
    Firmware,
    /// The firmware has an address.
    Dhcp,
    /// The firmware fetches or runs a network boot program.
    Nbp,
    /// A boot loader (iPXE with our script, GRUB, …) is at work.
    Loader,
    /// A kernel was handed over or has printed its first line.
    Kernel,
    /// The operating system is up: a login prompt, or its own DHCP client was answered.
    Os,
}

impl Stage {
    /// Every stage, in order.
    pub const ALL: [Self; 7] =
        [Self::Off, Self::Firmware, Self::Dhcp, Self::Nbp, Self::Loader, Self::Kernel, Self::Os];

    /// Returns the word of the lab file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Firmware => "firmware",
            Self::Dhcp => "dhcp",
            Self::Nbp => "nbp",
            Self::Loader => "loader",
            Self::Kernel => "kernel",
            Self::Os => "os",
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What a machine booted from.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase", rename = "booted-from")]
pub enum BootedFrom {
    /// It fetched its kernel.
    Network,
    /// A kernel came up that it had not fetched.
    Disk,
}

impl BootedFrom {
    /// Returns the word of the lab file.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Network => "network",
            Self::Disk => "disk",
        }
    }

    /// Returns it as it reads after "from".
    pub fn with_article(self) -> &'static str {
        match self {
            Self::Network => "the network",
            Self::Disk => "its disk",
        }
    }
}

impl fmt::Display for BootedFrom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// What happened. Serialised as `"kind": "dhcp-replied", "fields": {…}`.
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// A kind that this crate knows.
    Known(Known),
    /// A kind of another version, kept as it came.
    Unknown {
        /// Its name.
        kind: String,
        /// Its fields.
        fields: Map<String, Value>,
    },
}

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
        /// `guest` (it shut down), `power` (we were asked to), `down` (the lab is torn down).
        why: String,
    },
    /// A machine restarted.
    Reset {
        /// `guest` or `power`.
        why: String,
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
        state: String,
        /// What QEMU said of it.
        detail: String,
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
        /// Message type of the request, e.g. `discover`.
        request: String,
        /// Message type of the reply, e.g. `offer`.
        reply: String,
        /// Address offered or acknowledged.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        address: Option<IpAddr>,
        /// Boot file named in the reply.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        boot_file: Option<String>,
        /// Who asked: `firmware` (PXEClient without iPXE), `ipxe`, `os`.
        client: String,
        /// The rule that decided.
        rule: String,
        /// Bytes of the reply.
        #[serde(default)]
        bytes: u64,
        /// Microseconds from the request to the reply.
        #[serde(default)]
        us: u64,
    },
    /// A DHCP request was left without an answer.
    DhcpIgnored {
        /// The network it came from.
        network: NetworkName,
        /// The hardware address of the client.
        mac: Mac,
        /// Message type of the request.
        request: String,
        /// Why.
        rule: String,
        /// Microseconds that it took to decide so.
        #[serde(default)]
        us: u64,
    },
    /// More DHCP requests came from clients that are no node than are told of one by one.
    DhcpCrowded {
        /// The network that they came from.
        network: NetworkName,
        /// Further requests that were answered, in about a second.
        replied: u64,
        /// Further requests that were not.
        ignored: u64,
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
        /// `sent`, `probed` (the client only wanted to know the size), `aborted` (the client gave up), `vanished` (the
        /// client fell silent), `failed` (we could not read on), `not-found`, `refused`.
        outcome: String,
        /// Bytes read by the client.
        bytes: u64,
        /// Duration in milliseconds.
        ms: u64,
        /// What the file is to the node, as in [`Known::HttpServed`].
        #[serde(default)]
        role: String,
        /// The rule that decided what is served, or why nothing is.
        #[serde(default)]
        rule: String,
        /// `octet` or `netascii`.
        #[serde(default)]
        mode: String,
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
        /// What the body is to the node: `script`, `kernel`, `initrd`, `loader`, `seed`, `file`.
        role: String,
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
        /// The code that answered it, by gRPC's own name: `OK`, `NOT_FOUND`.
        code: String,
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
        /// Response code, e.g. `NOERROR`.
        code: String,
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
    /// A client was told the time. Repeats within a second are one further event, with their number.
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
        /// Who says it: `kern`, `user`, `daemon`, …
        facility: String,
        /// How bad it is: `emerg`, `alert`, `crit`, `err`, `warning`, `notice`, `info`, `debug`.
        severity: String,
        /// The program; empty if the line names none.
        app: String,
        /// What it says, control characters removed, at most 2 KiB.
        text: String,
    },
    /// More happened within a second than is told.
    Omitted {
        /// The service.
        service: String,
        /// How many answers or lines were left out.
        count: u64,
    },
    /// A boot service hit an error of its own.
    ServiceFailed {
        /// The service.
        service: String,
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

impl From<Known> for Kind {
    fn from(known: Known) -> Self {
        Self::Known(known)
    }
}

impl Serialize for Kind {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Other<'a> {
            kind: &'a str,
            fields: &'a Map<String, Value>,
        }
        match self {
            Self::Known(known) => known.serialize(to),
            Self::Unknown { kind, fields } => Other { kind, fields }.serialize(to),
        }
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        struct Other {
            kind: String,
            #[serde(default)]
            fields: Map<String, Value>,
        }
        // Through a value, so that what does not fit a known kind can be kept.
        let value = Value::deserialize(from)?;
        if let Ok(known) = Known::deserialize(&value) {
            return Ok(Self::Known(known));
        }
        let Other { kind, fields } = Other::deserialize(value).map_err(serde::de::Error::custom)?;
        Ok(Self::Unknown { kind, fields })
    }
}

/// The instant of an event, read from both clocks at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Instant {
    /// Nanoseconds since the run's start.
    pub at: u64,
    /// Wall-clock time.
    pub wall: Timestamp,
}

/// Stamps what happened with the run's clock and hands it on.
///
/// The clock and the sink come from outside, so that services and machines read
/// no clock of their own and tests decide what time it is.
#[derive(Clone)]
pub struct Emitter {
    clock: Arc<dyn Fn() -> Instant + Send + Sync>,
    sink: Arc<dyn Fn(Event) + Send + Sync>,
}

impl Emitter {
    /// Makes an emitter from a clock and a sink.
    pub fn new(
        clock: impl Fn() -> Instant + Send + Sync + 'static,
        sink: impl Fn(Event) + Send + Sync + 'static,
    ) -> Self {
        Self { clock: Arc::new(clock), sink: Arc::new(sink) }
    }

    /// Returns an emitter of which each event is shown to somebody before it is handed on.
    pub fn tap(&self, look: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        let sink = Arc::clone(&self.sink);
        let sink = move |event: Event| {
            look(&event);
            sink(event);
        };
        Self { clock: Arc::clone(&self.clock), sink: Arc::new(sink) }
    }

    /// Emits an event of the lab.
    pub fn emit(&self, kind: impl Into<Kind>) {
        self.send(None, kind.into());
    }

    /// Emits an event of one node.
    pub fn emit_of(&self, node: &NodeName, kind: impl Into<Kind>) {
        self.send(Some(node.clone()), kind.into());
    }

    /// Emits an event of a node if it is known which.
    pub fn emit_maybe(&self, node: Option<&NodeName>, kind: impl Into<Kind>) {
        self.send(node.cloned(), kind.into());
    }

    /// Returns the present instant on the run's clock.
    pub fn now(&self) -> Instant {
        (self.clock)()
    }

    fn send(&self, node: Option<NodeName>, kind: Kind) {
        let Instant { at, wall } = (self.clock)();
        (self.sink)(Event { at, wall, node, kind });
    }
}

impl fmt::Debug for Emitter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Emitter")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(kind: &str) -> String {
        format!(r#"{{"at":5,"wall":"2026-11-20T00:00:00Z","node":"a",{kind}}}"#)
    }

    #[test]
    fn known_and_unknown_kinds_survive_a_round_trip() {
        for text in [
            line(r#""kind":"console-line","fields":{"text":"hello"}"#),
            line(r#""kind":"lab-up","fields":{}"#),
            line(r#""kind":"from-the-future","fields":{"x":[1,2]}"#),
        ] {
            let event: Event = serde_json::from_str(&text).unwrap();
            assert_eq!(serde_json::to_string(&event).unwrap(), text);
        }
    }
}
