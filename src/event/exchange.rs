//! A request with its replies, whichever source saw it.

use std::fmt;
use std::net::{Ipv6Addr, SocketAddr};

use serde::{Deserialize, Serialize};

use super::Known;
use crate::name::Mac;

/// Identifies a request with its replies. Our service and a capture use the same identifier for the same exchange.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Exchange(String);

impl Exchange {
    /// A DHCP transaction: the client, and the transaction ID that it chose.
    pub fn dhcp(mac: Mac, xid: u32) -> Self {
        Self(format!("dhcp {mac} {xid:08x}"))
    }

    /// A DHCPv6 transaction: the client, and the transaction ID that it chose.
    pub fn dhcpv6(client: Ipv6Addr, xid: [u8; 3]) -> Self {
        let [a, b, c] = xid;
        Self(format!("dhcpv6 {client} {a:02x}{b:02x}{c:02x}"))
    }

    /// A TFTP transfer: the client uses a new port for each.
    pub fn tftp(client: SocketAddr) -> Self {
        Self(format!("tftp {client}"))
    }

    /// A DNS query: the client, and the ID that it chose.
    pub fn dns(client: SocketAddr, id: u16) -> Self {
        Self(format!("dns {client} {id:04x}"))
    }

    /// The requests of one HTTP connection.
    pub fn http(client: SocketAddr) -> Self {
        Self(format!("http {client}"))
    }
}

impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Known {
    /// Returns what happened within an exchange, in the same words for every source; `None` if no other source reports
    /// it.
    pub fn fact(&self) -> Option<String> {
        match self {
            // Several servers may give the same answer.
            Self::DhcpReplied { request, reply, server, .. } => {
                let server = server.map(|server| format!(" {server}")).unwrap_or_default();
                Some(format!("{request} {reply}{server}"))
            }
            Self::DhcpIgnored { request, .. } => Some(request.to_string()),
            Self::TftpServed { path, outcome, .. } => Some(format!("{outcome} {path}")),
            Self::HttpServed { method, path, status, complete, .. } => {
                Some(format!("{method} {path} {status} {complete}"))
            }
            Self::DnsAnswered { name, record, code, .. } => Some(format!("{name} {record} {code}")),
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
            | Self::DhcpOmitted { .. }
            | Self::AddressLearned { .. }
            | Self::RouterAdvertised { .. }
            | Self::Fetching { .. }
            | Self::MatchboxFailed { .. }
            | Self::HttpsFailed { .. }
            | Self::RpcServed { .. }
            | Self::RpcRefused { .. }
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
}
