//! When the machines of a foreign capture begin to boot: nothing else tells it there.

use super::bounded::Bounded;
use super::news::Topic;
use super::{Context, Hop};
use crate::event::{DhcpClient, DhcpMessage, FileRole, Known};
use crate::name::NodeName;

/// Machines whose boots are followed.
const MOST: usize = 4096;

/// How far each machine has come in its boot.
#[derive(Debug)]
pub(super) struct Boots {
    machines: Bounded<NodeName, Progress>,
}

impl Default for Boots {
    fn default() -> Self {
        Self { machines: Bounded::new(MOST) }
    }
}

/// How far a boot has come, as far as that tells whether a firmware begins anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Progress {
    /// Its firmware asks for an address.
    Firmware,
    /// iPXE runs, from a ROM or as a program.
    Ipxe,
    /// A kernel or a system runs.
    System,
}

impl Context<'_> {
    /// Follows a DHCP request; reports a boot if a firmware begins anew.
    pub(super) fn booted(
        &mut self,
        hop: Hop,
        node: Option<&NodeName>,
        client: &DhcpClient,
        message: &DhcpMessage,
    ) {
        let Some(node) = node.filter(|_| self.world.is_foreign()) else { return };
        let now = match client {
            DhcpClient::Firmware => Progress::Firmware,
            DhcpClient::Ipxe => Progress::Ipxe,
            DhcpClient::Os | DhcpClient::Other(_) => Progress::System,
        };
        let begins = matches!(message, DhcpMessage::Discover | DhcpMessage::Solicit | DhcpMessage::Bootp);
        let before = self.boots.machines.get(node).copied();
        let is_boot = begins
            && match (before, now) {
                (_, Progress::System) => false,
                (None | Some(Progress::System), _) => true,
                (Some(before), now) => now < before,
            };
        if is_boot {
            self.tell(hop.at, Topic::Boot, Some(node.clone()), None, Known::BootSeen {});
        }
        if is_boot || before.is_none_or(|before| now > before) {
            *self.boots.machines.entry(node.clone(), || now) = now;
        }
    }

    /// Follows what a machine fetched: after a kernel, a firmware begins anew.
    pub(super) fn fetched(&mut self, node: Option<&NodeName>, role: Option<&FileRole>) {
        let is_kernel = role == Some(&FileRole::Kernel);
        if let Some(progress) = node.filter(|_| is_kernel).and_then(|node| self.boots.machines.get_mut(node))
        {
            *progress = Progress::System;
        }
    }
}
