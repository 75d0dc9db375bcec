//! Processes of the lab, and their environment.

use std::collections::BTreeMap;

use super::{ProcessPlan, Step};
use crate::lab::Lab;

/// How long a process may take until it is ready.
const READY_WITHIN: u64 = 120;

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
            host: process.host.clone(),
            image: process.image.clone(),
            run: process.run.clone(),
            // The folder of the lab is not on a host, and not in an image.
            folder: if process.host.is_some() || process.image.is_some() {
                "/".into()
            } else {
                lab.folder.clone()
            },
            environment,
            after: process.after.clone(),
            // A host is given those of its processes, apart from those with a root of their own.
            files: if process.is_given_by_host() { BTreeMap::new() } else { process.files.clone() },
            ready: process.ready.clone(),
            restart: process.restart,
        }
    })
}

/// Returns the step that waits for a process, if it says when it is ready.
pub(super) fn ready(process: &ProcessPlan) -> Option<Step> {
    let by = process.ready.as_ref()?.to_string();
    Some(Step::Ready { process: process.process.clone(), by, seconds: READY_WITHIN })
}

/// Returns the environment of every process: the lab, and the reserved addresses of its nodes.
fn environment(lab: &Lab) -> BTreeMap<String, String> {
    let nodes = lab.nodes.values().filter_map(|node| {
        let address = node.nics.iter().find_map(|nic| nic.address)?;
        Some((&node.name, address))
    });
    let hosts = lab.hosts.values().filter_map(|host| {
        let address = host.nics.iter().find_map(|nic| nic.address)?;
        Some((&host.name, address.addr()))
    });
    let address = nodes.chain(hosts).map(|(name, address)| {
        let name = name.as_str().to_uppercase().replace('-', "_");
        (format!("DRYRACK_ADDRESS_{name}"), address.to_string())
    });
    std::iter::once(("DRYRACK_LAB".to_owned(), lab.name.to_string())).chain(address).collect()
}
