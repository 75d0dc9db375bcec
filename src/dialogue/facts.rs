//! What events tell about a dialogue.

use std::net::{IpAddr, SocketAddr};

use crate::event::{
    DhcpClient, DhcpMessage, DnsCode, Event, FileRole, Kind, Known, RunTime, Service, TftpOutcome,
    UnreachableCause,
};

/// What one event tells about a dialogue.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fact {
    pub(super) at: RunTime,
    pub(super) told: Told,
}

/// What an event tells.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Told {
    /// The machine sent a DHCP request.
    Asked { asker: Asker, request: DhcpMessage },
    /// A server replied.
    Replied {
        asker: Asker,
        reply: DhcpMessage,
        address: bool,
        boot_file: Option<String>,
        server: Option<IpAddr>,
    },
    /// A file was asked for, and an answer came.
    File { path: String, role: Option<FileRole>, by: By, outcome: Outcome, server: Option<IpAddr> },
    /// A name was asked for, and an answer came.
    Name { name: String, code: DnsCode },
    /// Nobody answered.
    Silence { service: Service, what: String, server: Option<IpAddr>, times: u64 },
    /// A packet was refused on the way to a port.
    Refused { destination: SocketAddr, by: IpAddr, why: UnreachableCause },
    /// The machine asked for a router.
    Solicited,
    /// A router told of itself.
    Advertised,
}

/// Who sends a DHCP request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asker {
    pub(super) client: Client,
    pub(super) version: Version,
}

/// A kind of DHCP client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Client {
    /// PXE of a BIOS machine.
    BiosPxe,
    /// PXE of another machine.
    Pxe,
    /// HTTP boot of UEFI.
    HttpBoot,
    /// iPXE.
    Ipxe,
    /// U-Boot.
    UBoot,
    /// The boot ROM of a Raspberry Pi.
    RaspberryPi,
    /// An operating system.
    System,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Version {
    V4,
    V6,
}

/// By which protocol a file was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum By {
    Tftp,
    Http,
}

/// How a request for a file ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    /// The machine has the file.
    Whole,
    /// It only wanted to know the size.
    Size,
    /// The server does not give it, and says so.
    No(String),
    /// It ended in the middle.
    Broken(String),
}

/// Prefixes of the hardware addresses of Raspberry Pis.
const RASPBERRY_PI: [[u8; 3]; 6] = [
    [0x28, 0xcd, 0xc1],
    [0x2c, 0xcf, 0x67],
    [0xb8, 0x27, 0xeb],
    [0xd8, 0x3a, 0xdd],
    [0xdc, 0xa6, 0x32],
    [0xe4, 0x5f, 0x01],
];

impl Fact {
    /// Returns what an event tells about a dialogue, if anything.
    pub(super) fn of(event: &Event) -> Option<Self> {
        let Kind::Known(known) = &event.kind else { return None };
        let version = || {
            let exchange = event.exchange.as_ref().map(ToString::to_string);
            if exchange.is_some_and(|exchange| exchange.starts_with("dhcpv6 ")) {
                Version::V6
            } else {
                Version::V4
            }
        };
        let told = match known {
            Known::DhcpAsked { mac, request, client, architecture, vendor_class, .. } => {
                let class = vendor_class.as_deref().unwrap_or_default();
                let client = match client {
                    _ if class.starts_with("U-Boot") => Client::UBoot,
                    _ if class.starts_with("HTTPClient") => Client::HttpBoot,
                    DhcpClient::Ipxe => Client::Ipxe,
                    DhcpClient::Firmware if RASPBERRY_PI.iter().any(|prefix| mac.0.starts_with(prefix)) => {
                        Client::RaspberryPi
                    }
                    DhcpClient::Firmware if *architecture == Some(0) => Client::BiosPxe,
                    DhcpClient::Firmware => Client::Pxe,
                    DhcpClient::Os | DhcpClient::Other(_) => Client::System,
                };
                Told::Asked { asker: Asker { client, version: version() }, request: request.clone() }
            }
            Known::DhcpReplied { reply, address, boot_file, client, server, .. } => {
                let client = match client {
                    DhcpClient::Ipxe => Client::Ipxe,
                    DhcpClient::Firmware => Client::Pxe,
                    DhcpClient::Os | DhcpClient::Other(_) => Client::System,
                };
                let version = match address {
                    Some(IpAddr::V6(_)) => Version::V6,
                    Some(IpAddr::V4(_)) => Version::V4,
                    None => version(),
                };
                Told::Replied {
                    asker: Asker { client, version },
                    reply: reply.clone(),
                    address: address.is_some_and(|address| !address.is_unspecified()),
                    boot_file: boot_file.clone().filter(|file| !file.is_empty()),
                    server: *server,
                }
            }
            Known::TftpServed { path, outcome, role, server, .. } => {
                let outcome = match outcome {
                    TftpOutcome::Sent => Outcome::Whole,
                    TftpOutcome::Probed => Outcome::Size,
                    TftpOutcome::NotFound => Outcome::No("no such file".to_owned()),
                    TftpOutcome::Refused => Outcome::No("refused".to_owned()),
                    TftpOutcome::Aborted => Outcome::Broken("the machine aborted the transfer".to_owned()),
                    TftpOutcome::Vanished => Outcome::Broken("the machine stopped answering".to_owned()),
                    TftpOutcome::Failed => Outcome::Broken("the server stopped".to_owned()),
                    TftpOutcome::Other(word) => Outcome::Broken(word.clone()),
                };
                Told::File { path: path.clone(), role: role.clone(), by: By::Tftp, outcome, server: *server }
            }
            Known::HttpServed { method, path, status, complete, role, server, .. } => {
                let outcome = match status {
                    200..300 if method == "HEAD" => Outcome::Size,
                    200..300 if *complete => Outcome::Whole,
                    200..300 => Outcome::Broken("the body ended early".to_owned()),
                    _ => Outcome::No(format!("status {status}")),
                };
                let server = server.map(|server| server.ip());
                Told::File { path: path.clone(), role: role.clone(), by: By::Http, outcome, server }
            }
            Known::DnsAnswered { name, code, .. } => Told::Name { name: domain(name), code: code.clone() },
            Known::Unanswered { service, what, server, times, .. } => {
                // As the answer names it.
                let what = match service {
                    Service::Dns => domain(what),
                    Service::Http => what.split_once(' ').map_or(what.as_str(), |(_, path)| path).to_owned(),
                    _ => what.clone(),
                };
                Told::Silence { service: service.clone(), what, server: *server, times: *times }
            }
            Known::Unreachable { destination, by, why, .. } => {
                Told::Refused { destination: *destination, by: *by, why: why.clone() }
            }
            Known::RouterSolicited { .. } => Told::Solicited,
            Known::RouterAdvertised { .. } => Told::Advertised,
            Known::RunStarted { .. }
            | Known::StepDone { .. }
            | Known::StepFailed { .. }
            | Known::LabUp {}
            | Known::TearDownStarted { .. }
            | Known::RunEnded { .. }
            | Known::PoweredOn {}
            | Known::PoweredOff { .. }
            | Known::Reset { .. }
            | Known::MachineDied { .. }
            | Known::MachineStopped { .. }
            | Known::GuestPanicked {}
            | Known::ConsoleLine { .. }
            | Known::BannerSkipped {}
            | Known::LinkSet { .. }
            | Known::MediumSet { .. }
            | Known::DhcpIgnored { .. }
            | Known::DhcpOmitted { .. }
            | Known::AddressLearned { .. }
            | Known::Fetching { .. }
            | Known::MatchboxFailed { .. }
            | Known::HttpsFailed { .. }
            | Known::RpcServed { .. }
            | Known::RpcRefused { .. }
            | Known::NtpAnswered { .. }
            | Known::SyslogLine { .. }
            | Known::Omitted { .. }
            | Known::CaptureIncomplete { .. }
            | Known::ServiceFailed { .. }
            | Known::BootSeen {}
            | Known::TlsOffered { .. }
            | Known::TlsAlerted { .. }
            | Known::StpSeen { .. }
            | Known::LacpSeen { .. }
            | Known::ScreenShown { .. }
            | Known::DiskWritten { .. }
            | Known::ProcessStarted { .. }
            | Known::ProcessReady { .. }
            | Known::ProcessPrinted { .. }
            | Known::ProcessEnded { .. }
            | Known::StageReached { .. }
            | Known::Booted { .. }
            | Known::Probed { .. }
            | Known::ExpectationDecided { .. }
            | Known::Diagnosed { .. }
            | Known::Judged { .. }
            | Known::ActionStarted { .. }
            | Known::ActionDone { .. }
            | Known::ActionFailed { .. }
            | Known::FaultBegan { .. }
            | Known::FaultStruck { .. }
            | Known::FaultEnded { .. }
            | Known::BmcLogged { .. }
            | Known::Commanded { .. } => return None,
        };
        Some(Self { at: event.at, told })
    }
}

/// Returns a name without the type of the record and the dot at its end.
fn domain(what: &str) -> String {
    let name = what.split_whitespace().find(|word| word.contains('.')).unwrap_or(what);
    name.trim_end_matches('.').to_owned()
}

impl Client {
    /// Tells whether a reply to one kind of client may be for another: a reply does not say everything.
    pub(super) fn takes(self, reply_for: Self) -> bool {
        match (self, reply_for) {
            (Self::BiosPxe | Self::Pxe | Self::HttpBoot | Self::RaspberryPi, Self::Pxe) => true,
            (Self::UBoot | Self::System, Self::System) => true,
            (own, other) => own == other,
        }
    }
}

impl Told {
    /// Tells whether it is an answer of a server.
    pub(super) fn is_answer(&self) -> bool {
        match self {
            Self::Replied { .. } | Self::File { by: By::Http, .. } | Self::Name { .. } | Self::Advertised => {
                true
            }
            Self::File { by: By::Tftp, .. }
            | Self::Asked { .. }
            | Self::Silence { .. }
            | Self::Refused { .. }
            | Self::Solicited => false,
        }
    }
}
