//! The enums of events: sources, roles, outcomes, message types.
//!
//! The compiler checks that matches are exhaustive. An unknown value (of the outside world, or of another version) is
//! kept in `Other`.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Defines an enum that is serialised as strings.
macro_rules! words {
    ($($(#[$meta:meta])* $name:ident { $($(#[$doc:meta])* $variant:ident = $word:literal,)+ })+) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$doc])* $variant,)+
            /// A value that this version does not know.
            Other(String),
        }

        impl $name {
            /// Returns the value as a string.
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$variant => $word,)+
                    Self::Other(word) => word,
                }
            }
        }

        impl From<&str> for $name {
            fn from(word: &str) -> Self {
                match word {
                    $($word => Self::$variant,)+
                    other => Self::Other(other.to_owned()),
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(self.as_str())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                Ok(Self::from(String::deserialize(from)?.as_str()))
            }
        }

        impl $name {
            /// Every value that this version knows.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];
        }
    )+};
}

words! {
    /// Who powered a machine off, or reset it.
    PowerCause {
        /// The machine itself.
        Guest = "guest",
        /// A user, by a power command.
        Power = "power",
        /// The teardown of the lab.
        Down = "down",
    }

    /// The state in which QEMU stopped a machine (QMP `RunState`).
    StopState {
        /// A disk could not be read or written.
        IoError = "io-error",
        /// QEMU or the accelerator cannot go on.
        InternalError = "internal-error",
        /// The guest reported a panic.
        GuestPanicked = "guest-panicked",
        /// The guest's watchdog expired.
        Watchdog = "watchdog",
    }

    /// A message type of DHCP (RFC 2132, option 53) or DHCPv6 (RFC 8415, section 7.3).
    DhcpMessage {
        /// No message type: BOOTP.
        Bootp = "bootp",
        /// DHCPDISCOVER.
        Discover = "discover",
        /// DHCPOFFER.
        Offer = "offer",
        /// DHCPREQUEST, and REQUEST of DHCPv6.
        Request = "request",
        /// DHCPDECLINE, and DECLINE of DHCPv6.
        Decline = "decline",
        /// DHCPACK.
        Ack = "ack",
        /// DHCPNAK.
        Nak = "nak",
        /// DHCPRELEASE, and RELEASE of DHCPv6.
        Release = "release",
        /// DHCPINFORM.
        Inform = "inform",
        /// SOLICIT.
        Solicit = "solicit",
        /// ADVERTISE.
        Advertise = "advertise",
        /// CONFIRM.
        Confirm = "confirm",
        /// RENEW.
        Renew = "renew",
        /// REBIND.
        Rebind = "rebind",
        /// REPLY.
        Reply = "reply",
        /// INFORMATION-REQUEST.
        InformationRequest = "information-request",
    }

    /// The kind of DHCP client, from its vendor and user classes.
    DhcpClient {
        /// A PXE firmware other than iPXE.
        Firmware = "firmware",
        /// iPXE, in ROM or as a downloaded program.
        Ipxe = "ipxe",
        /// Anything else: an operating system.
        Os = "os",
    }

    /// Who reports an event.
    Source {
        /// The run itself: its steps, and conclusions from other events.
        Run = "run",
        /// A boot service.
        Service = "service",
        /// A capture on a network.
        Wire = "wire",
        /// A machine's serial console.
        Console = "console",
        /// A machine's screen.
        Screen = "screen",
        /// QEMU, over QMP, or its process.
        Qmp = "qmp",
        /// A probe of an expectation.
        Probe = "probe",
        /// A process of the lab.
        Process = "process",
        /// A user, through the control socket.
        User = "user",
        /// A BMC, or a client of one.
        Bmc = "bmc",
    }

    /// How the address of a node was learned.
    LearnedBy {
        /// The lab file sets or reserves it.
        Plan = "plan",
        /// The node took a DHCP lease.
        Dhcp = "dhcp",
        /// The node took a DHCPv6 lease.
        Dhcpv6 = "dhcpv6",
        /// The node sent ARP from it.
        Arp = "arp",
        /// The node sent neighbour discovery of IPv6 from it.
        Ndp = "ndp",
        /// The kernel has it in its neighbour table.
        Neighbour = "neighbour-table",
    }

    /// How a TFTP transfer ended.
    TftpOutcome {
        /// The client has the whole file.
        Sent = "sent",
        /// The client only requested the size.
        Probed = "probed",
        /// The client aborted the transfer.
        Aborted = "aborted",
        /// The client stopped answering.
        Vanished = "vanished",
        /// The file could not be read completely.
        Failed = "failed",
        /// There is no such file.
        NotFound = "not-found",
        /// The request is not allowed.
        Refused = "refused",
    }

    /// A protocol above IP.
    Transport {
        /// UDP.
        Udp = "udp",
        /// TCP.
        Tcp = "tcp",
        /// ICMP of IPv4 or IPv6.
        Icmp = "icmp",
    }

    /// Why a packet was refused or could not be delivered (RFC 792, RFC 4443; RFC 9293, section 3.5.2).
    UnreachableCause {
        /// Nobody listens on the port.
        Port = "port unreachable",
        /// The host does not answer.
        Host = "host unreachable",
        /// There is no route.
        Network = "network unreachable",
        /// The host does not know the protocol.
        Protocol = "protocol unreachable",
        /// A filter refuses it.
        Prohibited = "administratively prohibited",
        /// It does not fit into a link on the way and must not be cut.
        TooBig = "packet too big",
        /// It passed too many routers.
        TimeExceeded = "time exceeded",
        /// TCP answered with RST.
        Reset = "connection refused",
    }

    /// What a screen shows.
    ScreenMode {
        /// Characters.
        Text = "text",
        /// Pixels.
        Graphics = "graphics",
    }

    /// How sure a finding is.
    Certainty {
        /// Two channels show it.
        Sure = "sure",
        /// One channel shows it.
        Possible = "possible",
        /// The catalogue knows nothing like it: the first step of the usual dialogue that did not come.
        Unexplained = "unexplained",
    }

    /// Where evidence of a failure is seen.
    Channel {
        /// What was asked and answered on the network.
        Network = "network",
        /// The serial console and the screen.
        Screen = "screen",
        /// The machine itself: its power, its process, what it is made of.
        Machine = "machine",
        /// What a server printed.
        Log = "log",
    }

    /// What a file is, by its first bytes.
    FileFormat {
        /// A program of UEFI on x86-64.
        PeX64 = "pe-x64",
        /// A program of UEFI on 32-bit x86.
        PeIa32 = "pe-ia32",
        /// A program of UEFI on 64-bit ARM.
        PeArm64 = "pe-arm64",
        /// A kernel of Linux for x86 (bzImage), which may be a program of UEFI as well.
        Linux = "linux",
        /// A script of iPXE.
        Script = "script",
        /// An HTML page.
        Html = "html",
        /// Compressed by gzip, Zstandard, xz or LZ4.
        Compressed = "compressed",
        /// A cpio archive.
        Cpio = "cpio",
        /// A program of an operating system.
        Elf = "elf",
        /// Text.
        Text = "text",
        /// Nothing.
        Empty = "empty",
        /// Anything else; a loader for a BIOS has no mark.
        Unknown = "unknown",
    }

    /// The transfer mode of TFTP (RFC 1350).
    TftpMode {
        /// Byte by byte.
        Octet = "octet",
        /// As text.
        Netascii = "netascii",
    }

    /// The role of a file for the node that fetches it.
    FileRole {
        /// A boot script or menu.
        Script = "script",
        /// A kernel.
        Kernel = "kernel",
        /// An initrd.
        Initrd = "initrd",
        /// A network boot program, or a part of one.
        Loader = "loader",
        /// A configuration: cloud-init, Ignition, metadata.
        Seed = "seed",
        /// A certificate.
        Certificate = "certificate",
        /// A directory listing.
        Listing = "listing",
        /// A signature of one of the others.
        Signature = "signature",
        /// A file without a known role.
        File = "file",
    }

    /// A response code of DNS, as `dig` names it.
    DnsCode {
        /// An answer, or an empty one.
        NoError = "NOERROR",
        /// The question could not be read.
        FormErr = "FORMERR",
        /// No server could answer.
        ServFail = "SERVFAIL",
        /// There is no such name.
        NxDomain = "NXDOMAIN",
        /// The kind of question is not implemented.
        NotImp = "NOTIMP",
        /// The question is not allowed.
        Refused = "REFUSED",
        /// The EDNS version is not supported.
        BadVers = "BADVERS",
    }

    /// A status code of gRPC.
    RpcCode {
        /// Success.
        Ok = "OK",
        /// The caller cancelled.
        Cancelled = "CANCELLED",
        /// An unknown error.
        Unknown = "UNKNOWN",
        /// An argument is wrong.
        InvalidArgument = "INVALID_ARGUMENT",
        /// The deadline expired.
        DeadlineExceeded = "DEADLINE_EXCEEDED",
        /// The entity was not found.
        NotFound = "NOT_FOUND",
        /// The entity exists already.
        AlreadyExists = "ALREADY_EXISTS",
        /// Not allowed.
        PermissionDenied = "PERMISSION_DENIED",
        /// A resource is exhausted.
        ResourceExhausted = "RESOURCE_EXHAUSTED",
        /// The state does not allow it.
        FailedPrecondition = "FAILED_PRECONDITION",
        /// Aborted.
        Aborted = "ABORTED",
        /// Out of range.
        OutOfRange = "OUT_OF_RANGE",
        /// The method is not implemented.
        Unimplemented = "UNIMPLEMENTED",
        /// An internal error.
        Internal = "INTERNAL",
        /// Not available.
        Unavailable = "UNAVAILABLE",
        /// Data was lost.
        DataLoss = "DATA_LOSS",
        /// The caller is not authenticated.
        Unauthenticated = "UNAUTHENTICATED",
    }

    /// A part of the run that serves or observes, or a protocol of the wire.
    Service {
        /// DHCP for IPv4.
        Dhcp = "dhcp",
        /// DHCPv6.
        Dhcpv6 = "dhcpv6",
        /// Router advertisements.
        Ra = "ra",
        /// TFTP.
        Tftp = "tftp",
        /// HTTP.
        Http = "http",
        /// HTTPS.
        Https = "https",
        /// DNS.
        Dns = "dns",
        /// NTP.
        Ntp = "ntp",
        /// syslog.
        Syslog = "syslog",
        /// matchbox's gRPC.
        Grpc = "grpc",
        /// matchbox over HTTP.
        Matchbox = "matchbox",
        /// The observer of addresses that nodes use on the wire.
        Neighbours = "neighbours",
        /// A probe of an expectation.
        Probe = "probe",
        /// A published port.
        Port = "published port",
        /// ARP (RFC 826).
        Arp = "arp",
        /// Neighbour discovery of IPv6 (RFC 4861).
        Ndp = "ndp",
        /// A TCP connection.
        Tcp = "tcp",
        /// The capture of frames.
        Capture = "capture",
        /// The reader of screens.
        Screen = "screen",
        /// A BMC.
        Bmc = "bmc",
    }

    /// The facility of a syslog line (RFC 5424).
    Facility {
        /// 0.
        Kern = "kern",
        /// 1.
        User = "user",
        /// 2.
        Mail = "mail",
        /// 3.
        Daemon = "daemon",
        /// 4.
        Auth = "auth",
        /// 5.
        Syslog = "syslog",
        /// 6.
        Lpr = "lpr",
        /// 7.
        News = "news",
        /// 8.
        Uucp = "uucp",
        /// 9.
        Cron = "cron",
        /// 10.
        Authpriv = "authpriv",
        /// 11.
        Ftp = "ftp",
        /// 12.
        Ntp = "ntp",
        /// 13.
        Audit = "audit",
        /// 14.
        Alert = "alert",
        /// 15.
        Clock = "clock",
        /// 16.
        Local0 = "local0",
        /// 17.
        Local1 = "local1",
        /// 18.
        Local2 = "local2",
        /// 19.
        Local3 = "local3",
        /// 20.
        Local4 = "local4",
        /// 21.
        Local5 = "local5",
        /// 22.
        Local6 = "local6",
        /// 23.
        Local7 = "local7",
    }

    /// The severity of a syslog line (RFC 5424).
    Severity {
        /// 0.
        Emerg = "emerg",
        /// 1.
        Alert = "alert",
        /// 2.
        Crit = "crit",
        /// 3.
        Err = "err",
        /// 4.
        Warning = "warning",
        /// 5.
        Notice = "notice",
        /// 6.
        Info = "info",
        /// 7.
        Debug = "debug",
    }
}

impl Facility {
    /// Returns the facility with a number.
    pub fn of_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).cloned()
    }
}

impl Severity {
    /// Returns the severity in the lowest three bits of a priority.
    pub fn of_priority(priority: u8) -> Self {
        Self::ALL[usize::from(priority & 7)].clone()
    }
}

impl LearnedBy {
    /// Tells whether the node only used the address, without an assignment.
    pub fn is_sighting(&self) -> bool {
        match self {
            Self::Arp | Self::Ndp | Self::Neighbour => true,
            Self::Plan | Self::Dhcp | Self::Dhcpv6 | Self::Other(_) => false,
        }
    }
}

impl DhcpMessage {
    /// Tells whether a reply of this type assigns the address to the client.
    pub fn gives_address(&self) -> bool {
        match self {
            Self::Ack | Self::Reply => true,
            Self::Bootp
            | Self::Discover
            | Self::Offer
            | Self::Request
            | Self::Decline
            | Self::Nak
            | Self::Release
            | Self::Inform
            | Self::Solicit
            | Self::Advertise
            | Self::Confirm
            | Self::Renew
            | Self::Rebind
            | Self::InformationRequest
            | Self::Other(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_written_as_they_are_and_others_are_kept() {
        for role in FileRole::ALL {
            assert_eq!(FileRole::from(role.as_str()), *role);
            let json = serde_json::to_string(role).unwrap();
            assert_eq!(json, format!("\"{role}\""));
            assert_eq!(serde_json::from_str::<FileRole>(&json).unwrap(), *role);
        }
        let other = serde_json::from_str::<TftpOutcome>("\"eaten\"").unwrap();
        assert_eq!(other, TftpOutcome::Other("eaten".to_owned()));
        assert_eq!(serde_json::to_string(&other).unwrap(), "\"eaten\"");
    }

    #[test]
    fn facilities_and_severities_have_their_numbers() {
        assert!((0..24).all(|n| Facility::of_number(n).as_ref() == Facility::ALL.get(usize::from(n))));
        assert_eq!(Facility::of_number(24), None);
        assert!((0..=255).all(|n| Severity::of_priority(n) == Severity::ALL[usize::from(n & 7)]));
    }
}
