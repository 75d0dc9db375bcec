//! Classifies clients.

use super::Request;
use crate::event::DhcpClient;
use crate::lab::Architecture;

pub(crate) const PXE: &[u8] = b"PXEClient";
pub(crate) const HTTP: &[u8] = b"HTTPClient";
const IPXE: &[u8] = b"iPXE";
/// The vendor class of U-Boot begins with it; the processor follows.
const U_BOOT: &[u8] = b"U-Boot";

/// What kind of program sent a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Client {
    /// A network boot firmware that is not iPXE, with its architecture (RFC 4578).
    Firmware(u16),
    /// A firmware that boots by HTTP.
    HttpFirmware(u16),
    /// iPXE, as ROM or as a loaded program.
    Ipxe,
    /// Anything else: an operating system.
    Os,
}

impl Client {
    /// Classifies the sender of a request. User classes in `classes` count as iPXE.
    pub(crate) fn of(request: &Request, classes: &[String]) -> Self {
        let class = |wanted: &[u8]| has_user_class(&request.user_class, wanted);
        if request.ipxe_options || class(IPXE) || classes.iter().any(|own| class(own.as_bytes())) {
            Self::Ipxe
        } else if request.vendor_class.starts_with(PXE) {
            let number = architecture(request, PXE);
            Self::Firmware(if is_raspberry_pi(request, number) { Architecture::RASPBERRY_PI } else { number })
        } else if request.vendor_class.starts_with(HTTP) {
            Self::HttpFirmware(architecture(request, HTTP))
        } else if let Some(number) = request.architectures.first() {
            // No system sends its architecture (RFC 4578).
            Self::Firmware(*number)
        } else if let Some(processor) = request.vendor_class.strip_prefix(U_BOOT) {
            let is_64_bit = processor.starts_with(b".armv8");
            Self::Firmware(if is_64_bit { Architecture::U_BOOT_ARM64 } else { Architecture::U_BOOT_ARM32 })
        } else {
            Self::Os
        }
    }

    /// Returns the client as the event has it.
    pub(crate) fn word(self) -> DhcpClient {
        match self {
            Self::Firmware(_) | Self::HttpFirmware(_) => DhcpClient::Firmware,
            Self::Ipxe => DhcpClient::Ipxe,
            Self::Os => DhcpClient::Os,
        }
    }
}

/// Tells whether a user class is among those of option 77, in the form of RFC 3004 (each with its length) or plain.
fn has_user_class(option: &[u8], wanted: &[u8]) -> bool {
    let mut rest = option;
    while let Some((&length, tail)) = rest.split_first() {
        let Some((class, tail)) = tail.split_at_checked(usize::from(length)) else { break };
        if class == wanted {
            return true;
        }
        rest = tail;
    }
    option == wanted
}

/// Returns the first architecture of option 93, else the one in the vendor class (`PXEClient:Arch:00007:…`).
pub(crate) fn architecture(request: &Request, class: &[u8]) -> u16 {
    let in_class = || {
        let rest = request.vendor_class.strip_prefix(class)?.strip_prefix(b":Arch:")?;
        std::str::from_utf8(rest.get(..5)?).ok()?.parse().ok()
    };
    request.architectures.first().copied().or_else(in_class).unwrap_or(0)
}

/// Tells whether a PXE client is a Raspberry Pi: older ones call themselves BIOS, with a machine identifier of the boot
/// ROM.
fn is_raspberry_pi(request: &Request, architecture: u16) -> bool {
    let by_id = |id: &[u8]| id.starts_with(b"\0RPi") || id == [&[0][..], &[0x44; 16]].concat();
    architecture == Architecture::RASPBERRY_PI
        || (architecture == 0 && request.machine_id.as_deref().is_some_and(by_id))
}
