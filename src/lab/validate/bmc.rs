//! BMCs of nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv4Addr;

use super::Check;
use super::address::Free;
use crate::config::{Field, Located, RawBmc, RawBmcSettings, RawNetworkBmcs, RawSecret, Text};
use crate::diag::{Code, Diagnostic, Span, enumerate};
use crate::lab::{Bmc, Host, Network, Node, Redfish, Secret};
use crate::name::{Mac, NetworkName, NodeName};

/// The name of an administrator whom the lab file does not name.
const USER: &str = "admin";
/// The longest name of a user (IPMI 2.0, section 22.28).
const LONGEST_USER: usize = 16;

impl Check<'_> {
    /// Gives nodes the BMCs that they or their networks ask for.
    pub(super) fn bmcs(
        &mut self,
        nodes: &mut BTreeMap<NodeName, Node>,
        hosts: &BTreeMap<NodeName, Host>,
        networks: &BTreeMap<NetworkName, Network>,
    ) {
        let mut taken = Taken::new(nodes, hosts, networks);
        let raw = self.raw;
        let written = raw.node.entries.iter().filter_map(|(key, raw)| Some((key, raw.as_ref()?)));
        // In the order of names, so that the order of the file does not matter.
        let written: BTreeMap<&str, _> = written.map(|(key, raw)| (key.value.as_str(), (key, raw))).collect();
        // First the addresses of the lab file, then those that are free.
        for (_, raw) in written.values() {
            let given = settings(&raw.bmc).and_then(|settings| settings.address.value());
            taken.addresses.extend(given.map(|Text(address)| *address));
        }
        for (name, (key, raw)) in written {
            let Some(node) = NodeName::new(name).ok().and_then(|name| nodes.get_mut(&name)) else { continue };
            node.bmc = self.bmc(&node.name, key, &raw.bmc, networks, &mut taken);
        }
    }

    fn bmc(
        &mut self,
        node: &NodeName,
        key: &Located<String>,
        raw: &Field<RawBmc>,
        networks: &BTreeMap<NetworkName, Network>,
        taken: &mut Taken,
    ) -> Option<Bmc> {
        let none = RawBmcSettings::default();
        let (settings, home) = match raw {
            Field::Given(Located { value: RawBmc::On(settings), span }) => (settings, span),
            Field::Given(Located { value: RawBmc::Off, .. }) | Field::Bad => return None,
            Field::Missing if self.networks_of_bmcs().is_empty() => return None,
            Field::Missing => (&none, &key.span),
        };
        let network = match &settings.network {
            Field::Given(word) => self.network_named(&word.value, &word.span),
            Field::Missing => self.network_of_bmc(&key.value, home),
            Field::Bad => None,
        };
        let network = networks.get(&network?)?;
        let of_network = self.raw.network.get(network.name.as_str());
        let of_network = of_network.and_then(|(_, raw)| raw.as_ref()?.bmc.value());
        let personality = settings.personality.value();
        let personality = personality.or(of_network.and_then(|bmcs| bmcs.personality.value()));
        let user = self.bmc_user(&settings.user, of_network);
        let password = self.bmc_password(&settings.password, of_network);
        let address = match settings.address.value() {
            Some(Text(address)) => *address,
            None => match taken.free(network) {
                Some(address) => address,
                None => {
                    let what = format!("network `{}` has no free address for a BMC", network.name);
                    let help = "use a shorter prefix or a smaller pool";
                    self.report(Diagnostic::new(Code::NetworkFull, home.clone(), what).help(help));
                    return None;
                }
            },
        };
        let mac = self.bmc_mac(node, settings, taken)?;
        let ipmi = switch(&settings.ipmi, of_network.map(|bmcs| &bmcs.ipmi), true);
        let redfish = self.redfish(settings, of_network);
        Some(Bmc {
            network: network.name.clone(),
            address,
            mac,
            personality: personality.copied().unwrap_or_default(),
            user,
            password: password?,
            ipmi,
            redfish,
        })
    }

    /// Returns the networks whose nodes have BMCs.
    fn networks_of_bmcs(&self) -> Vec<&str> {
        let networks = self.raw.network.entries.iter();
        let has_bmcs = |raw: &Option<_>| {
            raw.as_ref().is_some_and(|raw: &crate::config::RawNetwork| !raw.bmc.is_missing())
        };
        networks.filter(|(_, raw)| has_bmcs(raw)).map(|(key, _)| key.value.as_str()).collect()
    }

    /// Returns the network of a BMC that names none.
    fn network_of_bmc(&mut self, node: &str, home: &Span) -> Option<NetworkName> {
        let with_bmcs = self.networks_of_bmcs();
        let all: Vec<&str> = self.raw.network.names().collect();
        let candidates = if with_bmcs.is_empty() { all } else { with_bmcs };
        match candidates.as_slice() {
            [] => None,
            // An invalid name is reported where the network is defined.
            [one] => NetworkName::new(one).ok(),
            [first, ..] => {
                let what = format!("the network of the BMC of `{node}` is not clear");
                let help = format!(
                    "choose one of {}: bmc.network = \"{first}\"",
                    enumerate(candidates.iter().copied())
                );
                self.report(Diagnostic::new(Code::WhichNetwork, home.clone(), what).help(help));
                None
            }
        }
    }

    fn bmc_user(&mut self, own: &Field<String>, of_network: Option<&RawNetworkBmcs>) -> String {
        let given = own.given().or_else(|| of_network.and_then(|bmcs| bmcs.user.given()));
        let Some(Located { value, span }) = given else { return USER.to_owned() };
        if value.is_empty()
            || value.len() > LONGEST_USER
            || !value.bytes().all(|byte| byte.is_ascii_graphic())
        {
            let what = format!("`{value}` cannot be the name of a user of a BMC");
            self.malformed(span, what, "use 1 to 16 letters, digits and signs of ASCII, as in \"admin\"");
        }
        value.clone()
    }

    /// Returns where the password is; the outer `None` follows a complaint.
    #[expect(clippy::option_option, reason = "a bad password is not a password that is made")]
    fn bmc_password(
        &mut self,
        own: &Field<RawSecret>,
        of_network: Option<&RawNetworkBmcs>,
    ) -> Option<Option<Secret>> {
        let given = own.value().or_else(|| of_network.and_then(|bmcs| bmcs.password.value()));
        match given {
            None => Some(None),
            Some(secret) => self.secret(secret).map(Some),
        }
    }

    fn redfish(&mut self, settings: &RawBmcSettings, of_network: Option<&RawNetworkBmcs>) -> Option<Redfish> {
        let by_https = switch(&settings.redfish, of_network.map(|bmcs| &bmcs.redfish), true);
        let by_http = switch(&settings.http, of_network.map(|bmcs| &bmcs.http), false);
        // What a network says of HTTP is for those that have Redfish.
        if !by_https && let Some(Located { value: true, span }) = settings.http.given() {
            let what = "a BMC without Redfish has nothing to answer by HTTP".to_owned();
            self.malformed(span, what, "remove `http`, or `redfish = false`");
        }
        match (by_https, by_http) {
            (false, _) => None,
            (true, false) => Some(Redfish::Https),
            (true, true) => Some(Redfish::HttpsAndHttp),
        }
    }

    fn bmc_mac(&mut self, node: &NodeName, settings: &RawBmcSettings, taken: &mut Taken) -> Option<Mac> {
        const HELP: &str = "remove `mac`: each BMC then gets its own, the same in every run";
        let Some(Located { value: Text(mac), span }) = settings.mac.given() else {
            let lab = self.lab.clone()?;
            let derived = (1u32..)
                .map(|round| Mac::derive(&[lab.as_str(), node.as_str(), "", "bmc", &round.to_string()]));
            return derived.into_iter().find(|mac| taken.macs.insert(*mac));
        };
        if mac.is_group() {
            let what = format!("{mac} is a multicast address, not the address of a BMC");
            self.report(Diagnostic::new(Code::MacGroup, span.clone(), what).help(HELP));
        } else if !taken.macs.insert(*mac) {
            let what = format!("{mac} is already the MAC address of another station");
            self.report(Diagnostic::new(Code::MacTaken, span.clone(), what).help(HELP));
        }
        Some(*mac)
    }

    /// Returns the addresses of BMCs on a network as written, with their positions.
    pub(super) fn addresses_of_bmcs(&self, network: &Network) -> Vec<(String, Ipv4Addr, &Span)> {
        let with_bmcs = self.networks_of_bmcs();
        let all: Vec<&str> = self.raw.network.names().collect();
        let default = if with_bmcs.is_empty() { all } else { with_bmcs };
        let mut addresses = Vec::new();
        for (key, raw) in &self.raw.node.entries {
            let Some(settings) = raw.as_ref().and_then(|raw| settings(&raw.bmc)) else { continue };
            let is_here = match settings.network.value() {
                Some(named) => named == network.name.as_str(),
                None => default == [network.name.as_str()],
            };
            if let (true, Some(Located { value: Text(address), span })) = (is_here, settings.address.given())
            {
                addresses.push((key.value.clone(), *address, span));
            }
        }
        addresses
    }
}

fn settings(raw: &Field<RawBmc>) -> Option<&RawBmcSettings> {
    match raw.value()? {
        RawBmc::On(settings) => Some(settings),
        RawBmc::Off => None,
    }
}

/// Returns a setting of a BMC, or that of its network.
fn switch(own: &Field<bool>, of_network: Option<&Field<bool>>, default: bool) -> bool {
    *own.value().or_else(|| of_network.and_then(Field::value)).unwrap_or(&default)
}

/// The addresses that are in use.
struct Taken {
    macs: BTreeSet<Mac>,
    addresses: BTreeSet<Ipv4Addr>,
    free: BTreeMap<NetworkName, Free>,
}

impl Taken {
    fn new(
        nodes: &BTreeMap<NodeName, Node>,
        hosts: &BTreeMap<NodeName, Host>,
        networks: &BTreeMap<NetworkName, Network>,
    ) -> Self {
        let of_nodes = || nodes.values().flat_map(|node| &node.nics);
        let of_hosts = || hosts.values().flat_map(|host| &host.nics);
        let reserved =
            || networks.values().filter_map(Network::leases).flat_map(|server| &server.reservations);
        let macs = of_nodes().map(|nic| nic.mac).chain(of_hosts().map(|nic| nic.mac));
        let macs =
            macs.chain(networks.values().map(|network| network.mac)).chain(reserved().map(|(mac, _)| *mac));
        let fixed = of_hosts().filter_map(|nic| nic.address).map(|net| net.addr());
        let addresses = of_nodes().filter_map(|nic| nic.address).chain(fixed);
        let addresses = addresses.chain(reserved().map(|(_, address)| *address));
        Self { macs: macs.collect(), addresses: addresses.collect(), free: BTreeMap::new() }
    }

    /// Takes a free address of a network.
    fn free(&mut self, network: &Network) -> Option<Ipv4Addr> {
        let pool = network.leases().and_then(|server| server.pool);
        let free = self.free.entry(network.name.clone()).or_insert_with(|| Free::new(network, pool));
        let address = free.next(&self.addresses)?;
        self.addresses.insert(address);
        Some(address)
    }
}
