//! Faults: what goes wrong, to which nodes, and after what.

use std::collections::BTreeMap;

use super::action::Machines;
use super::{Check, Span};
use crate::config::{Field, Firmware, RawFault, TftpBackend};
use crate::diag::{Code, Diagnostic};
use crate::lab::{Dhcp, Fault, FaultKind, LinkFault, MachineFault, Network, out_of_range};
use crate::name::{FaultName, NetworkName, NodeName};

/// More than a hand-written file needs.
const MOST_FAULTS: usize = 1000;

impl Check<'_> {
    pub(super) fn faults(
        &mut self,
        machines: Machines<'_>,
        networks: &BTreeMap<NetworkName, Network>,
    ) -> BTreeMap<FaultName, Fault> {
        let raw = self.raw;
        let mut faults = BTreeMap::new();
        if self.too_many("the lab", &raw.fault, MOST_FAULTS, "faults") {
            return faults;
        }
        for (key, fault) in &raw.fault.entries {
            let name = self.name::<FaultName>(key);
            let Some(fault) = fault else { continue };
            if let Some(fault) = self.fault(name, fault, &key.span, machines, networks) {
                faults.insert(fault.name.clone(), fault);
            }
        }
        faults
    }

    fn fault(
        &mut self,
        name: Option<FaultName>,
        raw: &RawFault,
        home: &Span,
        machines: Machines<'_>,
        networks: &BTreeMap<NetworkName, Network>,
    ) -> Option<Fault> {
        let after = raw.after.given().and_then(|after| self.after(after));
        let kind = self.needed(&raw.kind, "do = { dhcp = \"drop\" }", home)?;
        let mut nodes = self.nodes_of_fault(raw, home, machines)?;
        if let FaultKind::Bmc(fault) = &kind.value {
            let lacks = |node: &NodeName| match machines.nodes.get(node).and_then(|node| node.bmc.as_ref()) {
                None => Some("no BMC".to_owned()),
                Some(bmc) => {
                    let lack = fault.lacks(bmc.ipmi, bmc.redfish.is_some());
                    lack.map(|lack| format!("a BMC with {lack}"))
                }
            };
            if raw.nodes.is_missing() {
                nodes.retain(|node| lacks(node).is_none());
            }
            let without = nodes.iter().find_map(|node| Some(format!("`{node}` has {}", lacks(node)?)));
            let nobody = "no node has a BMC that could fail in this way";
            if let Some(what) = without.or(nodes.is_empty().then(|| nobody.to_owned())) {
                let help = "add `bmc` to the node or to its network, with `ipmi` and `redfish` as the fault needs them";
                self.bad_fault(&kind.span, what, help);
                return None;
            }
        }
        if let Some((what, help)) = out_of_range(&kind.value) {
            self.bad_fault(&kind.span, what, help);
            return None;
        }
        let times = match &raw.times {
            Field::Given(times) if times.value == 0 => {
                self.bad_fault(&times.span, "this would never happen", "use at least 1");
                return None;
            }
            times => times.value().copied(),
        };
        if let FaultKind::Machine(MachineFault::PowerCut) = kind.value
            && raw.after.is_missing()
        {
            let what = "the power would fail before any machine is on";
            self.bad_fault(&kind.span, what, "say after what in `after`");
            return None;
        }
        if let FaultKind::Machine(MachineFault::Firmware(wrong)) = &kind.value {
            let is_bios = |firmware: Firmware| firmware == Firmware::Bios;
            let has_mode = |node: &&NodeName| {
                let has = machines.nodes.get(*node).map(|node| node.firmware);
                has.is_some_and(|has| is_bios(has) == is_bios(*wrong))
            };
            if let Some(node) = nodes.iter().find(has_mode) {
                let mode = if is_bios(*wrong) { "a BIOS" } else { "UEFI" };
                let what = format!("`{node}` has {mode} already");
                self.bad_fault(&kind.span, what, "set `firmware` of the node, or use the other mode here");
                return None;
            }
        }
        if let (Some(times), Some(why)) = (raw.times.given(), uncounted(&kind.value)) {
            self.idle(&times.span, why, "remove `times`");
        }
        let host = nodes.iter().find(|node| machines.hosts.contains_key(*node));
        if let (FaultKind::Machine(fault), Some(host)) = (&kind.value, host)
            && *fault != MachineFault::PowerCut
        {
            let what = format!("`{host}` is a host: it has no machine");
            self.bad_fault(&kind.span, what, "use do.machine = \"power-cut\" for a host, or name nodes");
            return None;
        }
        if let Some((server, help)) = server(&kind.value) {
            let is_on = |network: &NetworkName, node: &NodeName| {
                let nics = machines.nodes.get(node).map(|node| &node.nics[..]).unwrap_or_default();
                let mut of_node = nics.iter().map(|nic| &nic.network);
                let of_host = || {
                    let nics = machines.hosts.get(node).map(|host| &host.nics[..]).unwrap_or_default();
                    nics.iter().any(|nic| nic.network == *network)
                };
                of_node.any(|of| of == network) || of_host()
            };
            let serves = |network: &Network| serves(network, &kind.value);
            let mut serving = networks.values().filter(|network| serves(network));
            if !serving.any(|network| nodes.iter().any(|node| is_on(&network.name, node))) {
                let what = format!("no network of {} has {server} of the lab", list(&nodes));
                self.bad_fault(&kind.span, what, help);
                return None;
            }
        }
        Some(Fault { name: name?, nodes, after, times, kind: kind.value.clone() })
    }

    fn nodes_of_fault(
        &mut self,
        raw: &RawFault,
        home: &Span,
        machines: Machines<'_>,
    ) -> Option<Vec<NodeName>> {
        let mut nodes = Vec::new();
        for word in &raw.nodes.items {
            let name = self.subject_named(&word.value, &word.span)?;
            if !nodes.contains(&name) {
                nodes.push(name);
            }
        }
        if raw.nodes.bad {
            return None;
        }
        if raw.nodes.is_missing() {
            nodes = machines.nodes.keys().cloned().collect();
        }
        if nodes.is_empty() {
            let at = raw.nodes.span.as_ref().unwrap_or(home).clone();
            self.bad_fault(&at, "this fault happens to no node", "list at least one in `nodes`");
            return None;
        }
        Some(nodes)
    }

    fn bad_fault(&mut self, span: &Span, what: impl Into<String>, help: &str) {
        self.report(Diagnostic::new(Code::BadFault, span.clone(), what).help(help));
    }
}

/// Returns why a fault is not counted; `None` if it is.
fn uncounted(kind: &FaultKind) -> Option<&'static str> {
    match kind {
        FaultKind::Link(LinkFault::DownFor(_) | LinkFault::Silence(_)) => None,
        FaultKind::Link(_) | FaultKind::Bmc(_) => Some("this lasts, so it is not counted"),
        FaultKind::Machine(MachineFault::PowerCut) => Some("the power fails once"),
        _ => None,
    }
}

fn list(nodes: &[NodeName]) -> String {
    let names: Vec<String> = nodes.iter().map(|node| format!("`{node}`")).collect();
    names.join(", ")
}

/// Returns the server that fails, and what would help if the lab does not have it; `None` if no server fails.
fn server(kind: &FaultKind) -> Option<(&'static str, &'static str)> {
    let link = "servers of others are cut off with do.link, such as do.link.silence = \"60s\"";
    match kind {
        FaultKind::Dhcp(_) => Some(("the DHCP server", link)),
        FaultKind::Tftp(_) => Some(("the built-in TFTP server", link)),
        FaultKind::Http(_) => Some(("the HTTP server", link)),
        FaultKind::Dns(_) => Some(("the DNS server", link)),
        FaultKind::Tls(_) => Some(("the HTTPS server", "add `https = true` to the network")),
        FaultKind::Payload(_) => Some(("a server for files", "change the files at the other server")),
        FaultKind::Link(_) | FaultKind::Machine(_) | FaultKind::Bmc(_) => None,
    }
}

/// Tells whether the lab's server on a network can fail in this way.
fn serves(network: &Network, kind: &FaultKind) -> bool {
    let is_here = network.address.is_some();
    let tftp = is_here && network.tftp != TftpBackend::Off;
    let own_tftp = is_here && network.tftp == TftpBackend::Builtin;
    let http = is_here && (network.files_port().is_some() || network.https);
    match kind {
        FaultKind::Dhcp(_) => network.leases().is_some() || matches!(network.dhcp, Dhcp::Proxy),
        FaultKind::Tftp(_) => own_tftp,
        FaultKind::Http(_) => http,
        FaultKind::Dns(_) => is_here && network.dns.port.is_some(),
        FaultKind::Tls(_) => is_here && network.https,
        FaultKind::Payload(_) => tftp || http,
        FaultKind::Link(_) | FaultKind::Machine(_) | FaultKind::Bmc(_) => true,
    }
}
