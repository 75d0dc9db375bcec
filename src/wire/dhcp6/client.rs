//! Classifies clients (RFC 5970).

use super::Request;
use crate::event::DhcpClient;

const PXE: &[u8] = b"PXEClient";
pub(crate) const HTTP: &[u8] = b"HTTPClient";
const IPXE: &[u8] = b"iPXE";

/// What kind of program sent a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Client {
    /// A network boot firmware that is not iPXE, with its architecture.
    Firmware(u16),
    /// A firmware that boots by HTTP.
    HttpFirmware(u16),
    /// iPXE, as ROM or as a loaded program.
    Ipxe(u16),
    /// Anything else: an operating system.
    Os,
}

impl Client {
    /// Classifies the sender of a request. User classes in `classes` count as iPXE.
    pub(crate) fn of(request: &Request, classes: &[String]) -> Self {
        let class = |class: &[u8]| request.vendor_classes.iter().any(|known| known.starts_with(class));
        let is_ipxe = |known: &Vec<u8>| known == IPXE || classes.iter().any(|own| own.as_bytes() == known);
        if request.user_classes.iter().any(is_ipxe) {
            Self::Ipxe(architecture(request, PXE))
        } else if class(HTTP) {
            Self::HttpFirmware(architecture(request, HTTP))
        } else if class(PXE) {
            Self::Firmware(architecture(request, PXE))
        } else {
            Self::Os
        }
    }

    /// Returns the client as the event has it.
    pub(crate) fn word(self) -> DhcpClient {
        match self {
            Self::Firmware(_) | Self::HttpFirmware(_) => DhcpClient::Firmware,
            Self::Ipxe(_) => DhcpClient::Ipxe,
            Self::Os => DhcpClient::Os,
        }
    }
}

/// Returns the first architecture of option 61, else the one in the vendor class (`PXEClient:Arch:00007:…`).
fn architecture(request: &Request, class: &[u8]) -> u16 {
    let in_class = |known: &Vec<u8>| {
        let rest = known.strip_prefix(class)?.strip_prefix(b":Arch:")?;
        std::str::from_utf8(rest.get(..5)?).ok()?.parse().ok()
    };
    let in_classes = || request.vendor_classes.iter().find_map(in_class);
    request.architectures.first().copied().or_else(in_classes).unwrap_or(0)
}
