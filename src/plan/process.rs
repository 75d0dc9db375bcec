//! Processes of the lab, and their environment.

use std::collections::BTreeMap;

use super::ProcessPlan;
use crate::lab::Lab;

/// Returns the processes of a lab, ordered by name.
pub(super) fn processes(lab: &Lab) -> impl Iterator<Item = ProcessPlan> {
    lab.processes.values().map(|process| {
        let mut environment = environment(lab);
        environment.insert("DRYRACK_PROCESS".to_owned(), process.name.to_string());
        if let Some(network) = process.network.as_ref().and_then(|name| lab.networks.get(name)) {
            environment.insert("DRYRACK_NETWORK".to_owned(), network.name.to_string());
            let server = network.server().map(|server| server.to_string());
            environment.extend(server.map(|server| ("DRYRACK_SERVER".to_owned(), server)));
            environment.insert("DRYRACK_DOMAIN".to_owned(), network.dns.domain.clone());
        }
        ProcessPlan {
            process: process.name.clone(),
            run: process.run.clone(),
            folder: lab.folder.clone(),
            environment,
            after: process.after.clone(),
        }
    })
}

/// Returns the environment of every process: the lab, and the reserved addresses of its nodes.
fn environment(lab: &Lab) -> BTreeMap<String, String> {
    let address = lab.nodes.values().filter_map(|node| {
        let address = node.nics.iter().find_map(|nic| nic.address)?;
        let name = node.name.as_str().to_uppercase().replace('-', "_");
        Some((format!("DRYRACK_ADDRESS_{name}"), address.to_string()))
    });
    std::iter::once(("DRYRACK_LAB".to_owned(), lab.name.to_string())).chain(address).collect()
}
