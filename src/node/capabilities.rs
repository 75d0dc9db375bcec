//! The capabilities of a node.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::{NodeCommand, NodeError, Power};
use crate::name::NodeName;
use crate::plan::BootTarget;

/// The capabilities of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Capabilities {
    /// Supported power actions.
    pub power: BTreeSet<Power>,
    /// Supported boot overrides.
    pub boot: BTreeSet<BootTarget>,
    /// Why the other boot overrides are not supported.
    pub boot_refused: BTreeMap<BootTarget, String>,
    /// Whether media can be inserted and ejected.
    pub media: bool,
    /// Whether the links of its NICs can be set.
    pub links: bool,
    /// Whether it has a serial console.
    pub console: bool,
    /// Whether its screen can be read, and keys pressed.
    pub screen: bool,
    /// Whether its disks can be read.
    pub inspection: bool,
}

impl Capabilities {
    /// Rejects a command that a node does not support.
    pub fn check(&self, node: &NodeName, command: &NodeCommand) -> Result<(), NodeError> {
        let refused =
            |why: String| Err(NodeError::Unsupported { node: node.clone(), what: command.to_string(), why });
        match command {
            NodeCommand::Power(power) if !self.power.contains(power) => {
                let can: Vec<&str> = self.power.iter().map(|power| power.as_str()).collect();
                refused(match can.is_empty() {
                    true => "its power cannot be controlled".to_owned(),
                    false => format!("it supports {}", can.join(", ")),
                })
            }
            NodeCommand::Boot(boot) => match boot.target() {
                Some(target) if !self.boot.contains(&target) => refused(
                    self.boot_refused
                        .get(&target)
                        .cloned()
                        .unwrap_or_else(|| "its boot order cannot be overridden".to_owned()),
                ),
                Some(_) | None => Ok(()),
            },
            NodeCommand::Media(_) if !self.media => refused("it has no drive for media".to_owned()),
            NodeCommand::Link { .. } if !self.links => refused("its links cannot be set".to_owned()),
            NodeCommand::Keys(_) if !self.screen => refused("it has no screen and no keyboard".to_owned()),
            NodeCommand::Break if !self.console => refused("it has no serial console".to_owned()),
            NodeCommand::Power(_)
            | NodeCommand::Media(_)
            | NodeCommand::Link { .. }
            | NodeCommand::Keys(_)
            | NodeCommand::Break
            | NodeCommand::Firmware(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::{BootOverride, MediaCommand};

    fn check(capabilities: &Capabilities, command: NodeCommand) -> String {
        use crate::hint::Hint;
        let node = NodeName::new("a").unwrap();
        match capabilities.check(&node, &command) {
            Ok(()) => "can".to_owned(),
            Err(error) => format!("{error}; {}", error.hint().unwrap_or_default()),
        }
    }

    #[test]
    fn what_a_node_cannot_do_is_refused_with_the_reason() {
        let wake_on_lan = Capabilities { power: BTreeSet::from([Power::On]), ..Capabilities::default() };
        let why = BTreeMap::from([(BootTarget::Setup, "SeaBIOS has no setup menu".to_owned())]);
        let bios = Capabilities {
            boot: BTreeSet::from([BootTarget::Disk]),
            boot_refused: why,
            ..wake_on_lan.clone()
        };
        let boot = |target| NodeCommand::Boot(BootOverride::Once(target));
        let seen = [
            check(&wake_on_lan, NodeCommand::Power(Power::On)),
            check(&wake_on_lan, NodeCommand::Power(Power::Cycle)),
            check(&Capabilities::default(), NodeCommand::Power(Power::On)),
            check(&wake_on_lan, boot(BootTarget::Network)),
            check(&wake_on_lan, NodeCommand::Boot(BootOverride::Default)),
            check(&wake_on_lan, NodeCommand::Media(MediaCommand::Eject { drive: None })),
            check(&wake_on_lan, NodeCommand::Link { nic: "lan".parse().unwrap(), up: true }),
            check(&bios, boot(BootTarget::Disk)),
            check(&bios, boot(BootTarget::Setup)),
        ];
        insta::assert_snapshot!(seen.join("\n"), @"
        can
        `a` does not support `power cycle`; it supports on
        `a` does not support `power on`; its power cannot be controlled
        `a` does not support `boot network once`; its boot order cannot be overridden
        can
        `a` does not support `eject`; it has no drive for media
        `a` does not support `link lan up`; its links cannot be set
        can
        `a` does not support `boot setup once`; SeaBIOS has no setup menu
        ");
    }
}
