//! Who gets which MAC and IP address.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::network::bounds;
use super::node::{Draft, NicDraft};
use super::{Check, Span};
use crate::config::RawAddress;
use crate::diag::{Code, Diagnostic};
use crate::lab::{Dhcp, Network};
use crate::name::{Mac, NetworkName};

/// Derived addresses begin at this host of a network that is large enough, so that
/// the low ones stay free for what people write by hand.
const FIRST: u32 = 10;

/// A claim of an address, for whoever claims it again.
struct Claim<'a> {
    span: &'a Span,
    draft: &'a Draft<'a>,
    nic: &'a NicDraft<'a>,
}

impl Claim<'_> {
    /// Says whose it is, to somebody of that node.
    fn whose(&self, asking: &Draft<'_>) -> String {
        match self.draft.key == asking.key {
            true => format!("NIC `{}` of the same node", self.nic.name),
            false => format!("`{}`", self.draft.key),
        }
    }

    /// Points a diagnostic at the first claim, and says what to do about both.
    fn settle(&self, again: Diagnostic, key: &str, help: &str) -> Diagnostic {
        match again.span.as_ref() == Some(self.span) {
            // The nodes of a group share the line.
            true => again.help(format!(
                "the nodes of a group cannot share one `{key}`: leave it out, or write one for each, as in [node.NAME-2]"
            )),
            false => again.related(self.span.clone(), "first used here").help(help),
        }
    }
}

impl Check<'_> {
    /// Reports two NICs with one MAC address.
    pub(super) fn macs(&mut self, drafts: &[Draft<'_>], networks: &BTreeMap<NetworkName, Network>) {
        const HELP: &str = "leave `mac` out: each NIC then gets one of its own, the same in every run";
        let mut seen: BTreeMap<Mac, Claim<'_>> = BTreeMap::new();
        for (draft, nic) in drafts.iter().flat_map(|draft| draft.nics.iter().map(move |nic| (draft, nic))) {
            let Some(mac) = nic.mac else { continue };
            let span = nic.mac_span.as_ref().unwrap_or(nic.home);
            let taken = |whose: &str| {
                let what = format!("{mac} is already the MAC address of {whose}");
                Diagnostic::new(Code::MacTaken, span.clone(), what)
            };
            if mac == Mac([0; 6]) {
                let what = format!("{mac} is the address of nothing");
                self.report(Diagnostic::new(Code::MacGroup, span.clone(), what).help(HELP));
            } else if mac.is_group() {
                self.report(
                    Diagnostic::new(
                        Code::MacGroup,
                        span.clone(),
                        format!("{mac} is the address of a group, not of a NIC"),
                    )
                    .help("the first byte of a NIC's address is even, as in 52:54:00:12:34:56"),
                );
            } else if let Some(first) = seen.get(&mac) {
                // Where both follow from names, which is as rare as a lottery win, one has to be written.
                let derived = nic.mac_span.is_none() && first.nic.mac_span.is_none();
                let help = if derived { "write another `mac` for one of them" } else { HELP };
                self.report(first.settle(taken(&first.whose(draft)), "mac", help));
            } else if let Some(network) = networks.values().find(|network| network.mac == mac) {
                self.report(taken(&format!("the bridge of network `{}`", network.name)).help(HELP));
            } else {
                seen.insert(mac, Claim { span, draft, nic });
            }
        }
    }

    /// Checks the addresses that were written, then gives one to every NIC that wants one.
    pub(super) fn addresses(&mut self, drafts: &mut [Draft<'_>], networks: &BTreeMap<NetworkName, Network>) {
        let mut taken: BTreeMap<NetworkName, BTreeSet<Ipv4Addr>> = BTreeMap::new();
        self.reservations(drafts, networks, &mut taken);
        // In the order of names, so that the order of the file does not matter.
        let mut order: Vec<_> = (0..drafts.len()).collect();
        order.sort_by_key(|index| drafts[*index].key);
        let mut full: BTreeMap<NetworkName, usize> = BTreeMap::new();
        for draft in order {
            for nic in &mut drafts[draft].nics {
                let Some(network) = nic.network.as_ref().and_then(|name| networks.get(name)) else {
                    continue;
                };
                // Another server, or nobody, gives addresses there: we know only what was written.
                let Dhcp::Server { pool, .. } = network.dhcp else { continue };
                if nic.address.is_some() || nic.written || nic.from_pool {
                    continue;
                }
                let used = taken.entry(network.name.clone()).or_default();
                match free(network, pool, used) {
                    Some(address) => {
                        used.insert(address);
                        nic.address = Some(address);
                    }
                    None => *full.entry(network.name.clone()).or_default() += 1,
                }
            }
        }
        for (name, homeless) in full {
            let home = self.raw.network.entries.iter().find(|(key, _)| key.value == name.as_str());
            let nics = if homeless == 1 { "one NIC".to_owned() } else { format!("{homeless} NICs") };
            let what = format!("network `{name}` has no address left for {nics}");
            self.report(
                Diagnostic::new(Code::NetworkFull, home.map(|(key, _)| key.span.clone()), what)
                    .help("give it a shorter prefix, a smaller pool, or let nodes take theirs from the pool"),
            );
        }
    }

    fn reservations(
        &mut self,
        drafts: &[Draft<'_>],
        networks: &BTreeMap<NetworkName, Network>,
        taken: &mut BTreeMap<NetworkName, BTreeSet<Ipv4Addr>>,
    ) {
        let mut seen: BTreeMap<Ipv4Addr, Claim<'_>> = BTreeMap::new();
        for (draft, nic) in drafts.iter().flat_map(|draft| draft.nics.iter().map(move |nic| (draft, nic))) {
            let Some(network) = nic.network.as_ref().and_then(|name| networks.get(name)) else { continue };
            let span = nic.raw.and_then(|raw| raw.address.span()).unwrap_or(nic.home);
            if nic.from_pool && !matches!(network.dhcp, Dhcp::Server { pool: Some(_), .. }) {
                self.no_pool(network, span);
            }
            let Some(address) = nic.address else { continue };
            if self.fits(address, span, network) {
                if let Some(first) = seen.get(&address) {
                    let what = format!("{address} is already the address of {}", first.whose(draft));
                    let again = Diagnostic::new(Code::AddressTaken, span.clone(), what);
                    let help = "give each NIC its own address, or leave `address` out";
                    self.report(first.settle(again, "address", help));
                }
                if let Dhcp::Server { pool: Some((first, last)), .. } = network.dhcp
                    && (first..=last).contains(&address)
                {
                    let pool = self.pool_span(&network.name).cloned();
                    self.pool_holds(address, span, &format!("the address of `{}`", draft.key), pool.as_ref());
                }
            }
            seen.entry(address).or_insert(Claim { span, draft, nic });
            taken.entry(network.name.clone()).or_default().insert(address);
        }
    }

    fn no_pool(&mut self, network: &Network, span: &Span) {
        let what = format!("network `{}` has no pool to take an address from", network.name);
        let help = match network.dhcp {
            Dhcp::Proxy | Dhcp::Off => "its addresses come from elsewhere: leave `address` out".into(),
            Dhcp::Server { .. } => {
                let (low, high) = bounds(network.address);
                let (low, high) = (u32::from(low), u32::from(high));
                // The upper half, which derived addresses reach last.
                let (first, last) = (Ipv4Addr::from(low + (high - low) / 2 + 1), Ipv4Addr::from(high));
                format!("add one: network.{}.dhcp.server.pool = [\"{first}\", \"{last}\"]", network.name)
            }
        };
        self.report(Diagnostic::new(Code::NoPool, span.clone(), what).help(help));
    }

    fn fits(&mut self, address: Ipv4Addr, span: &Span, network: &Network) -> bool {
        let net = network.address;
        let (low, high) = bounds(net);
        let hosts = format!("hosts of this network are {low} to {high}");
        let (code, what) = if !net.contains(&address) {
            (
                Code::AddressOutside,
                format!("{address} lies outside network `{}`, {}", network.name, net.trunc()),
            )
        } else if address == net.addr() {
            (
                Code::AddressReserved,
                format!("{address} is the bridge's own address on network `{}`", network.name),
            )
        } else if address == net.network() || address == net.broadcast() {
            (
                Code::AddressReserved,
                format!("{address} is the first or last of {}, which no host has", net.trunc()),
            )
        } else {
            return true;
        };
        let home = self.raw.network.entries.iter().find(|(key, _)| key.value == network.name.as_str());
        let place = home.and_then(|(_, raw)| raw.as_ref()?.address.span().cloned());
        let diagnostic = Diagnostic::new(code, span.clone(), what).help(hosts);
        self.report(match place {
            Some(place) => diagnostic.related(place, "the network"),
            None => diagnostic,
        });
        false
    }

    fn pool_span(&self, name: &NetworkName) -> Option<&Span> {
        use crate::config::RawDhcp;
        let (_, raw) = self.raw.network.entries.iter().find(|(key, _)| key.value == name.as_str())?;
        match raw.as_ref()?.dhcp.value()? {
            RawDhcp::Server(server) => server.value()?.pool.span.as_ref(),
            RawDhcp::Proxy | RawDhcp::Off => None,
        }
    }
}

/// What a NIC's `address` says.
pub(super) fn written(address: Option<&RawAddress>) -> (Option<Ipv4Addr>, bool) {
    match address {
        Some(RawAddress::Fixed(address)) => (Some(*address), false),
        Some(RawAddress::Pool) => (None, true),
        None => (None, false),
    }
}

/// Finds the lowest free address from the tenth on, else the lowest free one.
fn free(
    network: &Network,
    pool: Option<(Ipv4Addr, Ipv4Addr)>,
    taken: &BTreeSet<Ipv4Addr>,
) -> Option<Ipv4Addr> {
    let net = network.address;
    let (low, high) = bounds(net);
    let (low, high) = (u32::from(low), u32::from(high));
    let tenth = u32::from(net.network()).saturating_add(FIRST);
    let lowest = |from: u32, to: u32| {
        let mut candidate = from;
        while candidate <= to {
            let address = Ipv4Addr::from(candidate);
            candidate = match pool {
                Some((first, last)) if (first..=last).contains(&address) => u32::from(last),
                _ if address != net.addr() && !taken.contains(&address) => return Some(address),
                _ => candidate,
            } + 1;
        }
        None
    };
    lowest(tenth, high).or_else(|| lowest(low, high))
}
