//! The state machine of a boot: the next stage, by the clue in an event.

use crate::event::{Delivery, DhcpClient, FileRole, Known, Protocol, Stage};

/// A clue in an event about the stage of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Clue {
    /// It was powered on.
    PoweredOn,
    /// It is off, or ended unexpectedly.
    PoweredOff,
    /// It restarted.
    Reset,
    /// Its firmware, or iPXE, got an address.
    FirmwareLeased,
    /// It fetched a network boot program.
    LoaderTaken,
    /// It fetched our boot script.
    ScriptTaken,
    /// It fetched a whole kernel.
    KernelTaken,
    /// A kernel printed to its console.
    KernelSpoke,
    /// Its operating system got an address.
    SystemLeased,
    /// Its operating system printed to its console.
    SystemSpoke,
    /// It uses the network, as firmware, loaders and systems do.
    NetworkUsed,
}

/// Returns the stage that follows from a clue. `kernel_spoke`: a kernel has printed to the console in this boot.
pub(super) fn next(stage: Stage, kernel_spoke: bool, clue: Clue) -> Stage {
    match (stage, clue) {
        (_, Clue::PoweredOff) => Stage::Off,
        (_, Clue::PoweredOn) => Stage::Firmware,
        // Output from before the power-off may arrive late and must not change the stage.
        (Stage::Off, _) => Stage::Off,
        (_, Clue::Reset) => Stage::Firmware,
        (_, Clue::FirmwareLeased) => stage.max(Stage::Dhcp),
        (_, Clue::LoaderTaken) => stage.max(Stage::Nbp),
        (_, Clue::ScriptTaken) => stage.max(Stage::Loader),
        (_, Clue::KernelTaken | Clue::KernelSpoke) => stage.max(Stage::Kernel),
        // Before a kernel, a client that is neither PXE firmware nor iPXE is a loader with its own DHCP client.
        (Stage::Kernel | Stage::Os, Clue::SystemLeased) => Stage::Os,
        (Stage::Firmware | Stage::Dhcp | Stage::Nbp | Stage::Loader, Clue::SystemLeased) => stage,
        (_, Clue::SystemSpoke) => Stage::Os,
        // While a kernel is only fetched, it is the loader that uses the network.
        (Stage::Kernel, Clue::NetworkUsed) if kernel_spoke => Stage::Os,
        (_, Clue::NetworkUsed) => stage,
    }
}

impl Clue {
    /// Returns the clue in an event about the stage of its node, if any.
    pub(super) fn from_event(known: &Known) -> Option<Self> {
        match known {
            Known::PoweredOn {} | Known::BootSeen {} => Some(Self::PoweredOn),
            Known::PoweredOff { .. } | Known::MachineDied { .. } => Some(Self::PoweredOff),
            Known::Reset { .. } => Some(Self::Reset),
            Known::ConsoleLine { text } => Self::from_console(text),
            // An offer is not a lease: a firmware may choose another server.
            Known::DhcpReplied { reply, address: Some(_), client, .. } if reply.gives_address() => {
                match client {
                    DhcpClient::Firmware | DhcpClient::Ipxe => Some(Self::FirmwareLeased),
                    DhcpClient::Os => Some(Self::SystemLeased),
                    DhcpClient::Other(_) => None,
                }
            }
            // Beside other DHCP servers, no lease is seen.
            Known::AddressLearned { .. }
            | Known::DnsAnswered { .. }
            | Known::NtpAnswered { .. }
            | Known::SyslogLine { .. } => Some(Self::NetworkUsed),
            Known::TftpServed { .. } | Known::HttpServed { .. } => {
                known.delivery().filter(Delivery::is_fetch).and_then(Self::from_delivery)
            }
            Known::RunStarted { .. }
            | Known::StepDone { .. }
            | Known::StepFailed { .. }
            | Known::LabUp {}
            | Known::TearDownStarted { .. }
            | Known::RunEnded { .. }
            | Known::MachineStopped { .. }
            | Known::GuestPanicked {}
            | Known::BannerSkipped {}
            | Known::LinkSet { .. }
            | Known::MediumSet { .. }
            | Known::DhcpReplied { .. }
            | Known::DhcpIgnored { .. }
            | Known::DhcpOmitted { .. }
            | Known::RouterAdvertised { .. }
            | Known::Fetching { .. }
            | Known::MatchboxFailed { .. }
            | Known::HttpsFailed { .. }
            | Known::RpcServed { .. }
            | Known::RpcRefused { .. }
            | Known::Omitted { .. }
            | Known::CaptureIncomplete { .. }
            | Known::ServiceFailed { .. }
            | Known::DhcpAsked { .. }
            | Known::RouterSolicited { .. }
            | Known::Unanswered { .. }
            | Known::Unreachable { .. }
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
            | Known::Commanded { .. } => None,
        }
    }

    fn from_delivery(delivery: Delivery<'_>) -> Option<Self> {
        match delivery.role {
            Some(FileRole::Loader) => Some(Self::LoaderTaken),
            Some(FileRole::Script) => Some(Self::ScriptTaken),
            Some(FileRole::Kernel) => Some(Self::KernelTaken),
            None
            | Some(
                FileRole::Initrd
                | FileRole::Seed
                | FileRole::Certificate
                | FileRole::Listing
                | FileRole::Signature
                | FileRole::File
                | FileRole::Other(_),
            ) => match delivery.by {
                // A firmware runs every file that it fetches by TFTP.
                Protocol::Tftp => Some(Self::LoaderTaken),
                Protocol::Http { .. } => None,
            },
        }
    }

    fn from_console(line: &str) -> Option<Self> {
        if line.starts_with("DRYRACK ") || is_prompt(line) {
            Some(Self::SystemSpoke)
        } else if line.contains("Linux version ") || line.contains("EFI stub") {
            Some(Self::KernelSpoke)
        } else {
            None
        }
    }
}

/// Tells whether a line has the prompt of getty, `HOST login: `; output of services may follow on the same line.
fn is_prompt(line: &str) -> bool {
    let asks = |(host, _): (&str, &str)| !host.is_empty() && !host.contains(char::is_whitespace);
    line.trim_end().ends_with("login:") || line.split_once(" login: ").is_some_and(asks)
}
