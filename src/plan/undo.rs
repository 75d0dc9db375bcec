//! The undo of each step, recorded before the step is executed.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{ForeignAccept, Step};
use crate::name::{IfName, NodeName, ProcessName};

/// The undo of one effect. What no longer exists counts as undone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Undo {
    /// Deletes a network interface that Dryrack created.
    DeleteLink(IfName),
    /// Detaches an interface of the host from a bridge that Dryrack created.
    Unplug {
        /// The interface.
        interface: IfName,
        /// The bridge. If the interface was attached to another one meanwhile, it stays there.
        bridge: IfName,
        /// Whether it was up before.
        up: bool,
    },
    /// Restores IPv4 forwarding.
    SetForwarding(bool),
    /// Deletes an nftables table that Dryrack created.
    DeleteTable(String),
    /// Deletes the rule that Dryrack added to a foreign chain.
    DeleteForeignRule(ForeignAccept),
    /// Stops the machine of a node.
    EndMachine(NodeName),
    /// Ends the processes of a host.
    EndHost(NodeName),
    /// Stops a process and its children.
    EndProcess(ProcessName),
    /// Deletes a file of the run folder.
    DeleteFile(PathBuf),
}

impl Step {
    /// Returns the undo of the step; empty if its effect ends with the processes of the lab.
    pub fn undo(&self) -> Vec<Undo> {
        match self {
            Self::BuildImage { .. }
            | Self::Download { .. }
            | Self::Medium(_)
            | Self::MakeNamespaces { .. }
            | Self::Publish { .. }
            | Self::NameFiles { .. }
            | Self::Capture(_)
            | Self::Serve(_)
            | Self::Ready { .. }
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
            // The kernel deletes it with the network of the BMC.
            Self::Bmc { port, .. } => vec![Undo::DeleteLink(port.clone())],
            // The kernel deletes the ports with the host; of a host that could not be ended they are left.
            Self::Host { host, ports } => {
                let ports = ports.iter().map(|port| Undo::DeleteLink(port.clone()));
                ports.chain([Undo::EndHost(host.clone())]).collect()
            }
            Self::Process(process) => vec![Undo::EndProcess(process.process.clone())],
            Self::Machine { node } => vec![Undo::EndMachine(node.clone())],
        }
    }
}

impl fmt::Display for Undo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DeleteLink(interface) => write!(f, "delete link {interface}"),
            Self::Unplug { interface, bridge, up } => {
                write!(f, "detach {interface} from {bridge}{}", if *up { "" } else { ", set it down" })
            }
            Self::SetForwarding(on) => write!(f, "set IPv4 forwarding {}", if *on { "on" } else { "off" }),
            Self::DeleteTable(table) => write!(f, "delete nftables table ip {table}"),
            Self::DeleteForeignRule(rule) => {
                write!(
                    f,
                    "delete the rule of the lab from nftables chain {} {} {}",
                    rule.family, rule.table, rule.chain
                )
            }
            Self::EndMachine(node) => write!(f, "stop machine {node}"),
            Self::EndHost(host) => write!(f, "end host {host}"),
            Self::EndProcess(process) => write!(f, "stop process {process}"),
            Self::DeleteFile(path) => write!(f, "delete {}", path.display()),
        }
    }
}
