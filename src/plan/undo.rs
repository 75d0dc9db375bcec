//! The reverse of each step, written down before the step is tried.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{ForeignAccept, Step};
use crate::name::{IfName, NodeName, ProcessName};

/// The reverse of one effect. What is already gone counts as undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Undo {
    /// Deletes a network interface of ours.
    DeleteLink(IfName),
    /// Unplugs an interface of the host from a bridge of ours.
    Unplug {
        /// The interface.
        interface: IfName,
        /// The bridge. Plugged in elsewhere, the interface stays there.
        bridge: IfName,
        /// Whether it was up before.
        up: bool,
    },
    /// Sets whether IPv4 is forwarded.
    SetForwarding(bool),
    /// Deletes an nftables table of ours.
    DeleteTable(String),
    /// Deletes our rule from somebody else's chain.
    DeleteForeignRule(ForeignAccept),
    /// Ends the machine of a node.
    EndMachine(NodeName),
    /// Ends a process beside the nodes, with what it has started.
    EndProcess(ProcessName),
    /// Deletes a file of the run folder.
    DeleteFile(PathBuf),
}

impl Step {
    /// Returns what reverses the step; empty where its effect ends with the processes of the lab.
    pub fn undo(&self) -> Vec<Undo> {
        match self {
            Self::BuildImage { .. }
            | Self::MakeNamespaces { .. }
            | Self::Publish { .. }
            | Self::NameFiles { .. }
            | Self::Serve(_)
            | Self::PowerOn { .. } => Vec::new(),
            Self::Bridge(bridge) => vec![Undo::DeleteLink(bridge.interface.clone())],
            Self::Port(port) => vec![Undo::Unplug {
                interface: port.interface.clone(),
                bridge: port.bridge.clone(),
                up: port.was_up,
            }],
            Self::Forward { was } => vec![Undo::SetForwarding(*was)],
            Self::Firewall(firewall) => vec![Undo::DeleteTable(firewall.table.clone())],
            Self::ForeignAccept(accept) => vec![Undo::DeleteForeignRule(accept.clone())],
            Self::Disk(disk) => vec![Undo::DeleteFile(disk.path.clone())],
            Self::Variables { path, .. } => vec![Undo::DeleteFile(path.clone())],
            Self::Seed(seed) => vec![Undo::DeleteFile(seed.path.clone())],
            Self::Tap(tap) => vec![Undo::DeleteLink(tap.interface.clone())],
            Self::Process(process) => vec![Undo::EndProcess(process.process.clone())],
            Self::Machine(machine) => vec![Undo::EndMachine(machine.node.clone())],
        }
    }
}

impl fmt::Display for Undo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DeleteLink(interface) => write!(f, "delete link {interface}"),
            Self::Unplug { interface, bridge, up } => {
                write!(f, "unplug {interface} from {bridge}{}", if *up { "" } else { ", and bring it down" })
            }
            Self::SetForwarding(on) => write!(f, "set IPv4 forwarding {}", if *on { "on" } else { "off" }),
            Self::DeleteTable(table) => write!(f, "delete nftables table ip {table}"),
            Self::DeleteForeignRule(rule) => {
                write!(f, "delete our rule from nftables chain {} {} {}", rule.family, rule.table, rule.chain)
            }
            Self::EndMachine(node) => write!(f, "end the machine of {node}"),
            Self::EndProcess(process) => write!(f, "end process {process}"),
            Self::DeleteFile(path) => write!(f, "delete {}", path.display()),
        }
    }
}
