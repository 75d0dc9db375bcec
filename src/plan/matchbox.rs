//! matchbox content: the lab file's profiles and groups as entries of a data directory.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::boot::{Netboots, boots_from_network};
use super::loader::ServedProfile;
use super::{DataEntry, MatchboxPlan};
use crate::lab::{Group, Lab, Loader, Metadata, Network, Node};

/// Returns the matchbox settings of a network, if it has matchbox.
pub fn matchbox(netboots: &Netboots<'_>, network: &Network) -> Option<MatchboxPlan> {
    let lab = netboots.lab;
    let matchbox = network.matchbox.as_ref()?;
    let mut entries = BTreeMap::new();
    for served in netboots.profiles.values() {
        entries.extend(of_profile(served));
    }
    for group in lab.groups.values() {
        if group.network.as_ref().is_none_or(|only| *only == network.name) {
            entries.extend([of_group(lab, group)]);
        }
    }
    for node in lab.nodes.values() {
        entries.extend(of_node(lab, node, network));
    }
    Some(MatchboxPlan {
        data: matchbox.data.clone(),
        assets: matchbox.assets.clone(),
        port: matchbox.port,
        key_ring: matchbox.key_ring.clone(),
        newest: matchbox.newest,
        rpc: matchbox.rpc.clone(),
        entries,
    })
}

/// Returns a profile in the format of matchbox, with the files that it refers to.
fn of_profile(served: &ServedProfile<'_>) -> Vec<(String, DataEntry)> {
    let profile = &served.profile;
    let contents =
        [("ignition", &profile.ignition), ("cloud", &profile.cloud), ("generic", &profile.generic)];
    let mut document = Map::from_iter([("id".to_owned(), json!(profile.name))]);
    document.insert("boot".to_owned(), Value::Object(net_boot(served)));
    let mut entries = Vec::new();
    for (kind, path) in contents {
        let Some(path) = path else { continue };
        // The extension tells whether an Ignition config is a template.
        let extension = path.extension().map(|end| format!(".{}", end.display())).unwrap_or_default();
        let name = format!("{}{extension}", profile.name);
        document.insert(format!("{kind}_id"), json!(name));
        entries.push((format!("{kind}/{name}"), DataEntry::File(path.clone())));
    }
    entries.push(text(format!("profiles/{}.json", profile.name), document));
    entries
}

/// Returns the boot section of a profile in the format of matchbox: empty if it boots nothing.
fn net_boot(served: &ServedProfile<'_>) -> Map<String, Value> {
    let ServedProfile { profile, kernel, initrds, .. } = served;
    if profile.kernel.is_none() {
        return Map::new();
    }
    // A kernel started by UEFI finds its initrds by name; GRUB passes them itself.
    let names = match profile.loader {
        Loader::Grub | Loader::Shim => &[],
        Loader::Ipxe | Loader::Chainload | Loader::Pxelinux | Loader::Kernel => initrds.as_slice(),
    };
    let named =
        names.iter().filter_map(|path| Some(format!("initrd={}", Path::new(path).file_name()?.display())));
    let args: Vec<String> = named.chain(profile.args.iter().cloned()).collect();
    Map::from_iter([
        ("kernel".to_owned(), json!(format!("/{kernel}"))),
        ("initrd".to_owned(), initrds.iter().map(|path| json!(format!("/{path}"))).collect()),
        ("args".to_owned(), json!(args)),
    ])
}

fn of_group(lab: &Lab, group: &Group) -> (String, DataEntry) {
    let profile = lab.profiles.values().find(|profile| profile.name.as_str() == group.profile);
    let mut metadata = profile.map(|profile| profile.metadata.clone()).unwrap_or_default();
    metadata.extend(group.metadata.clone());
    let id = group.name.as_str();
    group_entry(id, &group.profile, &json!(group.selector), metadata)
}

/// Returns the groups of a node with a profile: one for each of its NICs. A profile without a kernel has none, so that
/// other groups apply.
fn of_node(lab: &Lab, node: &Node, network: &Network) -> Vec<(String, DataEntry)> {
    let profile = node.profile.as_ref().and_then(|name| lab.profiles.get(name));
    let Some(profile) = profile.filter(|profile| profile.kernel.is_some()) else {
        return Vec::new();
    };
    let here = node.nics.iter().filter(|nic| nic.network == network.name && boots_from_network(node));
    here.map(|nic| {
        // A dot cannot occur in a group of the file.
        let id = format!("{}.{}", node.name, nic.name);
        group_entry(&id, profile.name.as_str(), &json!({ "mac": nic.mac }), profile.metadata.clone())
    })
    .collect()
}

fn group_entry(id: &str, profile: &str, selector: &Value, metadata: Metadata) -> (String, DataEntry) {
    let mut document = Map::from_iter([("id".to_owned(), json!(id)), ("profile".to_owned(), json!(profile))]);
    document.insert("selector".to_owned(), selector.clone());
    document.insert("metadata".to_owned(), Value::Object(metadata));
    text(format!("groups/{id}.json"), document)
}

fn text(path: String, document: Map<String, Value>) -> (String, DataEntry) {
    (path, DataEntry::Text(Value::Object(document).to_string()))
}
