//! The names of interfaces, found by MAC address.

use std::collections::BTreeMap;

use super::Answer;
use crate::name::{Mac, NicName};

/// One line for each interface: its name and its address. A bond has the address of one of its members, which then have
/// their own as permanent address.
pub(super) const SCRIPT: &str = r#"for device in /sys/class/net/*; do
[ -e "$device/address" ] || continue
address=$(cat "$device/address")
[ -e "$device/bonding_slave/perm_hwaddr" ] && address=$(cat "$device/bonding_slave/perm_hwaddr")
echo "${device##*/} $address"
done"#;

/// Judges the names.
///
/// A bridge, a bond or a VLAN may share the address with the NIC: one of the interfaces must have the name.
pub(super) fn judge(said: &str, wanted: &BTreeMap<NicName, String>, macs: &BTreeMap<NicName, Mac>) -> Answer {
    let interfaces: Vec<(&str, Mac)> = said
        .lines()
        .filter_map(|line| {
            let (name, address) = line.split_once(' ')?;
            Some((name, address.trim().parse().ok()?))
        })
        .collect();
    for (nic, name) in wanted {
        let Some(mac) = macs.get(nic) else { return Answer::no(format!("it has no NIC {nic}")) };
        let found: Vec<&str> = interfaces.iter().filter(|(_, is)| is == mac).map(|(name, _)| *name).collect();
        if !found.contains(&name.as_str()) {
            return Answer::no(match found.as_slice() {
                [] => format!("no interface has the address {mac} of NIC {nic}"),
                names => format!("NIC {nic} ({mac}) is {}, not {name}", names.join(", ")),
            });
        }
    }
    let all: Vec<String> = wanted.iter().map(|(nic, name)| format!("{nic} is {name}")).collect();
    Answer::yes(all.join(", "))
}
