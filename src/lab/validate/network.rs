//! Networks: addresses, pools, names.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};

use ipnet::{IpNet, Ipv4Net};

use super::service::{Services, dns_settings, is_switch};
use super::{Check, names};
use crate::config::{Field, Keyed, Located, RawDhcpServer, RawDns, RawNetwork, RawUpstream, Text};
use crate::diag::{Code, Diagnostic, Span};
use crate::lab::{Dns, FileRef, Isolation, Network, Upstream};
use crate::name::{IfName, Mac, NetworkName, is_served_path};

/// More than one host can run.
const MOST_NETWORKS: usize = 250;

const MTU: i64 = 1500;
const DOMAIN: &str = "lab";
/// The interface of the lab's uplink.
const UPLINK: &str = "wan";

/// Tells whether the kernel takes the name of an interface as it is: it would replace `%d` by a number, and takes
/// neither `:` nor `/`.
pub(super) fn is_plain(name: &IfName) -> bool {
    name.as_str().chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
}

/// Tells whether the kernel has an interface or settings of its own by this name (`/proc/sys/net/ipv4/conf`).
pub(super) fn is_of_kernel(name: &IfName) -> bool {
    matches!(name.as_str(), "lo" | "all" | "default")
}

impl Check<'_> {
    pub(super) fn networks(&mut self, position: Isolation) -> BTreeMap<NetworkName, Network> {
        let mut networks: BTreeMap<NetworkName, Network> = BTreeMap::new();
        let mut seen: Vec<(IpNet, &Span, &str)> = Vec::new();
        let mut plugged: BTreeMap<&IfName, &Span> = BTreeMap::new();
        if self.too_many("the lab", &self.raw.network, MOST_NETWORKS, "networks") {
            return networks;
        }
        for (key, raw) in &self.raw.network.entries {
            let name = self.name::<NetworkName>(key);
            let Some(raw) = raw else { continue };
            if let Some(Located { value: Text(interface), span }) = raw.interface.given() {
                self.interface(interface, span, position, plugged.insert(interface, span));
            }
            if let Some(network) = self.network(name, raw, &key.span, position) {
                let subnets = [
                    (Some(IpNet::V4(network.subnet)), raw.address.span().or(raw.subnet.span())),
                    (network.ipv6.map(IpNet::V6), raw.ipv6.span()),
                ];
                for (subnet, span) in subnets {
                    let Some(subnet) = subnet.map(|net| net.trunc()) else { continue };
                    let span = span.unwrap_or(&key.span);
                    self.overlap(subnet, span, &seen);
                    seen.push((subnet, span, &key.value));
                }
                networks.insert(network.name.clone(), network);
            }
        }
        self.bridges(&networks, position);
        self.relays(&mut networks);
        networks
    }

    /// Reports bridges whose name another interface has.
    fn bridges(&mut self, networks: &BTreeMap<NetworkName, Network>, position: Isolation) {
        let mut seen: BTreeMap<&IfName, (&NetworkName, Span)> = BTreeMap::new();
        let has_uplink = position == Isolation::Private && networks.values().any(|network| network.nat);
        for (key, raw) in &self.raw.network.entries {
            let network = networks.values().find(|network| network.name.as_str() == key.value);
            let Some((network, raw)) = network.zip(raw.as_ref()) else { continue };
            let Some(bridge) = &network.bridge else { continue };
            let span = raw.bridge.span().unwrap_or(&key.span).clone();
            let other = match bridge.as_str() {
                "lo" => Some("the loopback interface".to_owned()),
                UPLINK if has_uplink => Some("the lab's uplink, which `nat = true` needs".to_owned()),
                // Names of the kernel's own in /proc/sys/net/ipv4/conf.
                "all" | "default" => Some("all interfaces".to_owned()),
                _ => seen.get(bridge).map(|(other, _)| format!("the bridge of network `{other}`")),
            };
            if let Some(other) = other {
                let what = format!(
                    "the bridge of network `{}` cannot be called {bridge}: that is {other}",
                    network.name
                );
                let diagnostic = Diagnostic::new(Code::BridgeTaken, span, what);
                let diagnostic = match seen.get(bridge) {
                    Some((_, first)) => diagnostic.related(first.clone(), "the other bridge"),
                    None => diagnostic,
                };
                let free = (0..).map(|number| format!("br{number}")).find(|name| {
                    networks
                        .values()
                        .all(|network| network.bridge.as_ref().is_none_or(|taken| taken.as_str() != name))
                });
                let free = free.unwrap_or_default();
                self.report(diagnostic.help(format!("set network.{}.bridge = \"{free}\"", network.name)));
            } else {
                seen.insert(bridge, (&network.name, span));
            }
        }
    }

    /// Returns the name of a network's bridge, if it is not derived.
    fn bridge_name(&mut self, raw: &RawNetwork, name: &NetworkName, position: Isolation) -> Option<IfName> {
        let Some(Located { value: Text(bridge), span }) = raw.bridge.given() else {
            return IfName::new(name.as_str()).ok().filter(|_| position == Isolation::Private);
        };
        if !is_plain(bridge) {
            let help = "use letters, digits, dots, dashes and underscores, as in \"br0\"";
            self.malformed(span, format!("`{bridge}` is not a name for a bridge"), help);
        }
        Some(bridge.clone())
    }

    /// Reports an interface that cannot be attached; `before` is an earlier use in the same lab.
    fn interface(&mut self, interface: &IfName, span: &Span, position: Isolation, before: Option<&Span>) {
        if position == Isolation::Private {
            let what = format!(
                "{interface} is an interface of the host, but this lab has its own network namespace (isolation = \"private\")"
            );
            let diagnostic = Diagnostic::new(Code::InterfaceInPrivate, span.clone(), what);
            self.report(diagnostic.help("set `isolation = \"none\"`, or remove `interface`"));
        }
        if let Some(before) = before {
            let what = format!("{interface} is already attached to another network");
            let diagnostic = Diagnostic::new(Code::InterfaceTaken, span.clone(), what);
            let diagnostic = diagnostic.related(before.clone(), "first used here");
            self.report(diagnostic.help("give each network its own interface"));
        }
    }

    fn overlap(&mut self, subnet: IpNet, span: &Span, seen: &[(IpNet, &Span, &str)]) {
        let clash: Vec<_> =
            seen.iter().filter(|(other, ..)| other.contains(&subnet) || subnet.contains(other)).collect();
        if clash.is_empty() {
            return;
        }
        let others: Vec<_> =
            clash.iter().map(|(other, _, name)| format!("{other} of network `{name}`")).collect();
        let what = format!("{subnet} overlaps with {}", others.join(" and "));
        let mut diagnostic = Diagnostic::new(Code::NetworksOverlap, span.clone(), what)
            .help("give each network its own subnet");
        for (_, position, name) in clash {
            diagnostic = diagnostic.related((*position).clone(), format!("`{name}` is here"));
        }
        self.report(diagnostic);
    }

    fn network(
        &mut self,
        name: Option<NetworkName>,
        raw: &RawNetwork,
        home: &Span,
        position: Isolation,
    ) -> Option<Network> {
        let (address, subnet) = self.address(raw, home);
        let interface = raw.interface.value().map(|Text(interface)| interface.clone());
        let ipv6 = raw.ipv6.given().and_then(|address| self.bridge_ipv6(address));
        let mtu = self.mtu(&raw.mtu);
        let nat = raw.nat.value().copied().unwrap_or(false);
        let dhcp = self.dhcp(raw, address);
        let options = self.network_options(raw, &dhcp);
        let services = self.services(raw);
        let Services { tftp, http, https, dns: dns_port, ntp, syslog, ra } = services;
        let (root, listing) = self.root(raw);
        let files = self.served(&raw.files);
        self.files_are_served(raw, &services);
        let matchbox =
            raw.matchbox.given().map(|matchbox| self.matchbox(&matchbox.value, &matchbox.span, services));
        let dns = self.dns(dns_settings(raw), dns_port, nat);
        let lab = self.lab.as_ref()?;
        let name = name?;
        let mac = Mac::derive(&[lab.as_str(), name.as_str()]);
        let bridge = self.bridge_name(raw, &name, position);
        Some(Network {
            name,
            address,
            subnet: subnet?,
            // Set when hosts are known.
            probe_from: None,
            bridge,
            ipv6,
            mac,
            interface,
            mtu,
            nat,
            dhcp,
            options,
            tftp,
            root,
            files,
            listing,
            http,
            ntp,
            syslog,
            ra,
            https,
            matchbox,
            dns,
        })
    }

    /// Checks the folder that a network serves, and whether it is listed.
    fn root(&mut self, raw: &RawNetwork) -> (Option<PathBuf>, bool) {
        let listing = raw.listing.value().copied().unwrap_or(false);
        let root = raw.root.given().and_then(|word| {
            let path = self.path(word)?;
            if self.is_folder(&path) {
                return Some(path);
            }
            self.report(
                Diagnostic::new(
                    Code::NoFolder,
                    word.span.clone(),
                    format!("`{}` is not a folder", word.value),
                )
                .help("use the folder that contains the file"),
            );
            None
        });
        if let (true, true, Some(span)) = (listing, raw.root.is_missing(), raw.listing.span()) {
            self.report(
                Diagnostic::new(Code::ListsNothing, span.clone(), "`listing` has no effect without `root`")
                    .help("set a folder, such as root = \"www\", or remove `listing`"),
            );
        }
        (root, listing)
    }

    /// Checks single files, by the path under which they are served.
    fn served(&mut self, raw: &Keyed<Located<String>>) -> BTreeMap<String, FileRef> {
        let mut files = BTreeMap::new();
        for (key, source) in &raw.entries {
            let path = key.value.strip_prefix('/').unwrap_or(&key.value);
            if !is_served_path(path) {
                let what = format!("`{}` is not the path of a file", key.value);
                self.report(
                    crate::config::malformed(key.span.clone(), what)
                        .help("use the path that clients request, such as \"assets/disk.raw\""),
                );
            }
            if let Some(source) = source.as_ref().and_then(|source| self.file(source)) {
                files.insert(path.to_owned(), source);
            }
        }
        files
    }

    /// Returns whether a folder exists.
    pub(super) fn is_folder(&self, path: &Path) -> bool {
        // With a trailing slash, the path exists only for a folder.
        (self.around.existing)(&path.join(""))
    }

    /// Returns the address of a bridge and the subnet of its network, as far as they are valid.
    fn address(&mut self, raw: &RawNetwork, home: &Span) -> (Option<Ipv4Net>, Option<Ipv4Net>) {
        if !is_switch(raw) {
            if let Some(subnet) = raw.subnet.given() {
                let what = "`subnet` is for networks without `address`, from which it follows";
                let diagnostic = Diagnostic::new(Code::BadSubnet, subnet.span.clone(), what);
                self.report(diagnostic.help("remove one of them"));
            }
            let address = self
                .needed(&raw.address, "address = \"10.0.2.1/24\"", home)
                .and_then(|address| self.bridge(address));
            return (address, address.map(|net| net.trunc()));
        }
        self.services_need_an_address(raw);
        let Some(Located { value: Text(net), span }) = raw.subnet.given() else { return (None, None) };
        let subnet = net.trunc();
        let unicast = |address: Ipv4Addr| !address.is_loopback() && (1..224).contains(&address.octets()[0]);
        let (what, help) = if !(8..=30).contains(&net.prefix_len()) {
            let what = format!("the prefix length {} is out of range (8 to 30)", net.prefix_len());
            (what, "use a private subnet, such as \"10.0.2.0/24\"".to_owned())
        } else if !unicast(net.addr()) {
            let what = format!("{subnet} is no subnet for hosts");
            (what, "use a private subnet, such as \"10.0.2.0/24\"".to_owned())
        } else if *net != subnet {
            let what = format!("{} is a host of the subnet {subnet}, not a subnet", net.addr());
            (what, format!("write \"{subnet}\"; for an address of the bridge use `address`"))
        } else {
            return (None, Some(subnet));
        };
        self.report(Diagnostic::new(Code::BadSubnet, span.clone(), what).help(help));
        (None, None)
    }

    /// Accepts the address of a bridge if it is a valid host address.
    fn bridge(&mut self, address: &Located<Text<Ipv4Net>>) -> Option<Ipv4Net> {
        let Text(net) = address.value;
        let host = net.addr();
        let why = if host.is_loopback()
            || host.is_multicast()
            || host.octets()[0] == 0
            || host.octets()[0] >= 240
        {
            format!("{host} cannot be the address of a bridge")
        } else if !(8..=30).contains(&net.prefix_len()) {
            format!("the prefix length {} is out of range (8 to 30)", net.prefix_len())
        } else if host == net.network() {
            format!("{host} is the network address, not a host address")
        } else if host == net.broadcast() {
            format!("{host} is the broadcast address of its subnet")
        } else {
            return Some(net);
        };
        let first = net.hosts().next().unwrap_or(host);
        let help = match net.prefix_len() {
            8..=30 if first != host && !first.is_loopback() && !first.is_unspecified() => {
                format!("use a host address, such as \"{first}/{}\"", net.prefix_len())
            }
            _ => "use a private subnet, such as \"10.0.2.1/24\"".into(),
        };
        self.report(Diagnostic::new(Code::BridgeAddress, address.span.clone(), why).help(help));
        None
    }

    fn mtu(&mut self, mtu: &Field<i64>) -> u16 {
        let value = mtu.value().copied().unwrap_or(MTU);
        match u16::try_from(value) {
            Ok(value) if value >= 1280 => value,
            _ => {
                self.report(
                    Diagnostic::new(
                        Code::MtuRange,
                        mtu.span().cloned(),
                        format!("the MTU {value} is out of range"),
                    )
                    .help("use 1280 (the IPv6 minimum) to 65535"),
                );
                1500
            }
        }
    }

    pub(super) fn pool(
        &mut self,
        raw: &RawDhcpServer,
        address: Option<Ipv4Net>,
    ) -> Option<(Ipv4Addr, Ipv4Addr)> {
        let span = raw.pool.span.clone()?;
        if raw.pool.bad {
            return None;
        }
        let ends: Vec<_> = raw.pool.values().map(|end| end.0).collect();
        let &[first, last] = ends.as_slice() else {
            let help = "write [\"10.0.2.100\", \"10.0.2.199\"]";
            self.malformed(&span, "a pool is a list of its first and last address".into(), help);
            return None;
        };
        if first > last {
            self.report(
                Diagnostic::new(
                    Code::PoolReversed,
                    span,
                    format!("this pool begins at {first} and ends at {last}"),
                )
                .help("write the lower address first"),
            );
            return None;
        }
        let net = address?;
        for end in &raw.pool.items {
            let Text(at) = end.value;
            if !net.contains(&at) || at == net.network() || at == net.broadcast() {
                let (low, high) = bounds(net);
                self.report(
                    Diagnostic::new(
                        Code::PoolOutside,
                        end.span.clone(),
                        format!("{at} is not a host address of {}", net.trunc()),
                    )
                    .help(format!("its host addresses are {low} to {high}")),
                );
                return None;
            }
        }
        if (first..=last).contains(&net.addr()) {
            self.pool_holds(net.addr(), &span, "the network's own address", None);
        }
        Some((first, last))
    }

    /// Reports an address in the pool that is already taken.
    pub(super) fn pool_holds(&mut self, address: Ipv4Addr, at: &Span, whose: &str, pool: Option<&Span>) {
        let diagnostic = Diagnostic::new(
            Code::PoolHoldsAddress,
            at.clone(),
            format!("the pool contains {address}, which is {whose}"),
        )
        .help("exclude every other address from the pool");
        self.report(match pool {
            Some(pool) => diagnostic.related(pool.clone(), "the pool"),
            None => diagnostic,
        });
    }

    fn dns(&mut self, raw: Option<&RawDns>, port: Option<u16>, nat: bool) -> Dns {
        let default = if nat { Upstream::Host } else { Upstream::None };
        let mut dns = Dns { port, domain: DOMAIN.into(), upstream: default, ..Dns::default() };
        let Some(raw) = raw else { return dns };
        if let Some(domain) = raw.domain.given().and_then(|word| self.domain(word)) {
            dns.domain = domain;
        }
        self.names(&mut dns, raw);
        match raw.upstream.value() {
            Some(RawUpstream::Host) => dns.upstream = Upstream::Host,
            Some(RawUpstream::None) => dns.upstream = Upstream::None,
            Some(RawUpstream::Servers(list)) => {
                dns.upstream = Upstream::Servers(list.values().map(|server| server.0.0).collect());
            }
            None => {}
        }
        dns
    }

    /// Parses a domain name, or reports that it is invalid.
    pub(super) fn domain(&mut self, word: &Located<String>) -> Option<String> {
        let domain = names::domain(&word.value);
        if domain.is_none() {
            self.report(
                Diagnostic::new(
                    Code::BadDomain,
                    word.span.clone(),
                    format!("`{}` is not a domain name", word.value),
                )
                .help("use labels of letters, digits and inner dashes, separated by dots"),
            );
        }
        domain
    }
}

/// Returns the first and the last host of a network.
pub(super) fn bounds(net: Ipv4Net) -> (Ipv4Addr, Ipv4Addr) {
    let (low, high) = (u32::from(net.network()), u32::from(net.broadcast()));
    (Ipv4Addr::from(low.saturating_add(1)), Ipv4Addr::from(high.saturating_sub(1)))
}
