//! DHCP: server settings, options, client identifiers.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::time::Duration;

use ipnet::Ipv4Net;

use super::Check;
use super::node::Draft;
use super::service::{are_off, boots_from_network, is_switch};
use crate::config::{
    Field, Keyed, List, Located, RawDhcp, RawDhcpRelay, RawDhcpServer, RawNetwork, RawOption, RawScalar,
    Short, Text,
};
use crate::diag::{Code, Diagnostic, Span, nearest};
use crate::lab::options::{self, Known, NoOption, OPTIONS, Octets, Written};
use crate::lab::{
    Dhcp, DhcpOptions, DhcpRelay, DhcpServer, Host, Network, Node, Process, RelayTo, UnknownClients,
};
use crate::name::{Mac, NetworkName, NodeName, ProcessName};

const LEASE: Duration = Duration::from_hours(1);

/// With a shorter lease time, clients renew faster than they boot.
const SHORTEST_LEASE: Duration = Duration::from_secs(10);

/// More than fits in a lab file.
const MOST_RESERVED: usize = 25_000;

/// The longest value that fits into a reply.
const LONGEST: usize = 1024;

impl Check<'_> {
    pub(super) fn dhcp(&mut self, raw: &RawNetwork, address: Option<Ipv4Net>) -> Dhcp {
        let settings = match raw.dhcp.value() {
            // A server that cannot be there was reported.
            _ if is_switch(raw) => return Dhcp::Off,
            Some(RawDhcp::Proxy) => return Dhcp::Proxy,
            Some(RawDhcp::Off) => return Dhcp::Off,
            Some(RawDhcp::Server(settings)) => settings.value(),
            Some(RawDhcp::Relay(relay)) => return self.relay(raw, relay.value(), address),
            None if are_off(raw) => return Dhcp::Off,
            None => None,
        };
        Dhcp::Server(self.dhcp_server(raw, settings, address))
    }

    /// Returns a relay. Whether the lab's own server answers is decided when all networks are known.
    fn relay(
        &mut self,
        raw: &RawNetwork,
        relay: Option<&Short<RawDhcpRelay>>,
        address: Option<Ipv4Net>,
    ) -> Dhcp {
        // A relay that leads nowhere was reported.
        let Some(Short(relay)) = relay else { return Dhcp::Off };
        let Some(to) = relay.to.value() else { return Dhcp::Off };
        let to = match to.parse::<Ipv4Addr>() {
            Ok(server) => RelayTo::Server(server),
            Err(_) => match NetworkName::new(to) {
                Ok(network) => RelayTo::Network(network),
                // An unknown network is reported by `relays`.
                Err(_) => return Dhcp::Off,
            },
        };
        let server = self.dhcp_server(raw, relay.server.value(), address);
        let agent = relay.agent.value().copied().unwrap_or_default();
        Dhcp::Relay(DhcpRelay { to, agent, server: Some(server) })
    }

    /// Checks where relays lead, and decides which of them lead to the lab's own server.
    pub(super) fn relays(&mut self, networks: &mut BTreeMap<NetworkName, Network>) {
        let raw = self.raw;
        for (key, network) in &raw.network.entries {
            let Some(RawDhcp::Relay(Field::Given(relay))) =
                network.as_ref().and_then(|network| network.dhcp.value())
            else {
                continue;
            };
            let Short(relay) = &relay.value;
            let Some(to) = self.needed(&relay.to, "to = \"servers\"", &key.span) else { continue };
            let ours = match to.value.parse::<Ipv4Addr>() {
                Ok(server) => {
                    self.relay_to_address(&key.value, server, &to.span, networks);
                    false
                }
                Err(_) => match self.relay_to_network(&key.value, to, networks) {
                    Some(ours) => ours,
                    None => continue,
                },
            };
            if let (false, Some(settings)) = (ours, relay.server.span()) {
                let what = "these settings have no effect: another DHCP server answers";
                let diagnostic = Diagnostic::new(Code::BadRelay, settings.clone(), what);
                self.report(
                    diagnostic.help("remove `server`, or relay to a network with the built-in server"),
                );
            }
            let network = networks.values_mut().find(|network| network.name.as_str() == key.value);
            if let Some(Network { dhcp: Dhcp::Relay(relay), .. }) = network
                && !ours
            {
                relay.server = None;
            }
        }
    }

    fn relay_to_address(
        &mut self,
        from: &str,
        server: Ipv4Addr,
        span: &Span,
        networks: &BTreeMap<NetworkName, Network>,
    ) {
        let known = |network: &&Network| network.subnet.contains(&server);
        let what = match networks.values().find(known) {
            Some(network) if network.name.as_str() == from => {
                format!("{server} is on the network itself, where no relay is needed")
            }
            Some(network) if network.address.is_none() => {
                format!(
                    "{server} is on network `{}`, where nobody of Dryrack is to relay to it",
                    network.name
                )
            }
            Some(network) if network.server() == Some(server) && network.leases().is_some() => {
                format!("{server} is the lab's own server on network `{}`", network.name)
            }
            None => format!("{server} is on no network of the lab"),
            Some(_) => return,
        };
        self.report(
            Diagnostic::new(Code::BadRelay, span.clone(), what)
                .help("name the network whose server answers, as in dhcp = { relay = \"servers\" }"),
        );
    }

    /// Returns whether the DHCP server of a network is the lab's own; `None` if there can be none.
    fn relay_to_network(
        &mut self,
        from: &str,
        to: &Located<String>,
        networks: &BTreeMap<NetworkName, Network>,
    ) -> Option<bool> {
        let name = self.network_named(&to.value, &to.span)?;
        let target = networks.get(&name)?;
        let (what, help) = match &target.dhcp {
            _ if to.value == from => {
                (format!("`{from}` relays to itself"), "name the network whose server answers".to_owned())
            }
            _ if target.address.is_none() => (
                format!("nobody of Dryrack is on network `{name}`, to relay to a server there"),
                format!("give it an address: network.{name}.address"),
            ),
            Dhcp::Server(_) => return Some(true),
            Dhcp::Off => return Some(false),
            Dhcp::Proxy => (
                format!("network `{name}` has no DHCP server that a relay could ask: `dhcp = \"proxy\"`"),
                "name the address of the server that assigns addresses there".to_owned(),
            ),
            Dhcp::Relay(_) => (
                format!("network `{name}` is itself served by a relay"),
                "name the network whose server answers".to_owned(),
            ),
        };
        self.report(Diagnostic::new(Code::BadRelay, to.span.clone(), what).help(help));
        None
    }

    fn dhcp_server(
        &mut self,
        raw: &RawNetwork,
        settings: Option<&RawDhcpServer>,
        address: Option<Ipv4Net>,
    ) -> DhcpServer {
        // Other clients may be connected to an interface of the host.
        let alone = raw.interface.is_missing();
        let unknown_clients = settings.and_then(|settings| settings.unknown_clients.value().copied());
        let otherwise = if alone { UnknownClients::Answer } else { UnknownClients::Ignore };
        DhcpServer {
            pool: settings.and_then(|settings| self.pool(settings, address)),
            lease_time: settings.map_or(LEASE, |settings| self.lease_time(settings)),
            authoritative: settings
                .and_then(|settings| settings.authoritative.value().copied())
                .unwrap_or(alone),
            unknown_clients: unknown_clients.unwrap_or(otherwise),
            identity: settings.and_then(|settings| settings.identity.value().copied()),
            ipxe_classes: settings.map_or_else(Vec::new, |settings| self.classes(&settings.ipxe_classes)),
            reservations: settings
                .map_or_else(BTreeMap::new, |settings| self.reserved_addresses(&settings.reservations)),
        }
    }

    fn lease_time(&mut self, raw: &RawDhcpServer) -> Duration {
        match raw.lease_time.given() {
            Some(Located { value: Text(lease), span }) if lease.0 < SHORTEST_LEASE => {
                self.malformed(span, "this lease time is shorter than a boot".into(), "use 10s or more");
                LEASE
            }
            Some(lease) => lease.value.0.0,
            None => LEASE,
        }
    }

    fn classes(&mut self, raw: &List<String>) -> Vec<String> {
        for class in &raw.items {
            if class.value.is_empty() || class.value.len() > 254 {
                let what = format!("{:?} is not a valid user class", class.value);
                self.malformed(&class.span, what, "a user class has 1 to 254 bytes, as in \"pixiecore\"");
            }
        }
        raw.values().cloned().collect()
    }

    /// Checks the reservations of clients that are not nodes. Their addresses are checked together with those of nodes.
    fn reserved_addresses(&mut self, raw: &Keyed<Located<Text<Ipv4Addr>>>) -> BTreeMap<Mac, Ipv4Addr> {
        let mut reserve = BTreeMap::new();
        if self.too_many("the network", raw, MOST_RESERVED, "reservations") {
            return reserve;
        }
        for (key, address) in &raw.entries {
            let Some(Located { value: Text(address), .. }) = address else { continue };
            match key.value.parse::<Mac>() {
                Ok(mac) if mac.is_group() || mac == Mac([0; 6]) => {
                    let what = format!("{mac} is not the address of a NIC");
                    self.report(
                        Diagnostic::new(Code::MacGroup, key.span.clone(), what)
                            .help("the first byte of a NIC's address is even, as in 52:54:00:12:34:56"),
                    );
                }
                Ok(mac) => {
                    if reserve.insert(mac, *address).is_some() {
                        let what = format!("{mac} already has a reservation");
                        self.report(
                            Diagnostic::new(Code::MacTaken, key.span.clone(), what)
                                .help("keep one of the reservations"),
                        );
                    }
                }
                Err(error) => {
                    self.malformed(&key.span, error.0, "a MAC address is written 52:54:00:12:34:56")
                }
            }
        }
        reserve
    }

    /// Reports networks over which nodes boot, and on which nothing can assign addresses, in a lab without processes.
    pub(super) fn nobody_leases(
        &mut self,
        networks: &BTreeMap<NetworkName, Network>,
        nodes: &BTreeMap<NodeName, Node>,
        hosts: &BTreeMap<NodeName, Host>,
        processes: &BTreeMap<ProcessName, Process>,
    ) {
        let raw = self.raw;
        for (key, raw) in &raw.network.entries {
            let network = networks.values().find(|network| network.name.as_str() == key.value);
            let Some((network, raw)) = network.zip(raw.as_ref()) else { continue };
            let off = match network.dhcp {
                Dhcp::Server(_) | Dhcp::Relay(_) => continue,
                Dhcp::Proxy => "with `dhcp = \"proxy\"`",
                Dhcp::Off if network.address.is_none() => "where nobody of Dryrack is",
                Dhcp::Off if raw.dhcp.is_missing() => "with `services = \"off\"`",
                Dhcp::Off => "with `dhcp = \"off\"`",
            };
            if processes.values().any(|process| process.may_answer_on(network, hosts)) {
                continue;
            }
            let here = |node: &&Node| node.nics.iter().any(|nic| nic.network == network.name);
            let mut nodes = nodes.values().filter(here).peekable();
            // A node that has its system from elsewhere may be a DHCP server.
            let depends = |node: &Node| {
                boots_from_network(node)
                    && node.nics.iter().all(|nic| nic.network == network.name)
                    && node.disks.iter().all(|disk| disk.source.is_none() && !disk.keep)
            };
            if network.interface.is_none() && nodes.peek().is_some() && nodes.all(depends) {
                let span = raw
                    .dhcp
                    .span()
                    .or(raw.services.span())
                    .or(raw.subnet.span())
                    .unwrap_or(&key.span)
                    .clone();
                let what = format!("nobody assigns addresses on network `{}` {off}", key.value);
                let diagnostic = Diagnostic::new(Code::NobodyLeases, span, what);
                self.report(diagnostic.help(
                    "use `dhcp = \"server\"`, or start the other DHCP server in the lab, as in `[process.NAME]`",
                ));
            }
        }
    }

    /// Checks the options of a network, and reports those that have no effect.
    pub(super) fn network_options(&mut self, raw: &RawNetwork, dhcp: &Dhcp) -> DhcpOptions {
        if let (Dhcp::Proxy | Dhcp::Off, Some((key, _))) = (dhcp, raw.options.entries.first()) {
            self.report(
                Diagnostic::new(
                    Code::OptionUnused,
                    key.span.clone(),
                    "this option has no effect: another server assigns addresses and options here",
                )
                .help("remove `options`, or remove `dhcp` to use the built-in server"),
            );
        }
        self.options(&raw.options)
    }

    /// Checks DHCP options, and reports invalid ones.
    pub(super) fn options(&mut self, raw: &Keyed<RawOption>) -> DhcpOptions {
        let mut found: BTreeMap<u8, (Octets, &Span)> = BTreeMap::new();
        for (key, value) in &raw.entries {
            let (Some(option), Some(value)) = (self.option(key), value) else { continue };
            let Some(octets) = self.option_value(key, option, value) else { continue };
            if let Some((_, before)) = found.insert(option.code, (octets, &key.span)) {
                let what = format!("option {} is set twice", option.code);
                self.report(
                    Diagnostic::new(Code::BadOption, key.span.clone(), what)
                        .related(before.clone(), "first set here")
                        .help("set it once, by name or by number"),
                );
            }
        }
        found.into_iter().map(|(code, (octets, _))| (code, octets)).collect()
    }

    fn option(&mut self, key: &Located<String>) -> Option<Known> {
        let diagnostic = match options::find(&key.value) {
            Ok(option) => return Some(option),
            Err(NoOption::Own { code, why, help }) => {
                let name = match key.value == code.to_string() {
                    true => format!("option {code}"),
                    false => format!("`{}` (option {code})", key.value),
                };
                let what = format!("{name} is set by the server: {why}");
                Diagnostic::new(Code::OwnOption, key.span.clone(), what).help(help)
            }
            Err(NoOption::Unknown) => {
                let names = OPTIONS.iter().flat_map(|option| option.names.iter().copied());
                let help = match nearest(&key.value, names) {
                    Some(name) => format!("did you mean `{name}`?"),
                    None => "use the number for options without a name, 1 to 254".to_owned(),
                };
                let what = format!("unknown DHCP option `{}`", key.value);
                Diagnostic::new(Code::UnknownOption, key.span.clone(), what).help(help)
            }
        };
        self.report(diagnostic);
        None
    }

    fn option_value(&mut self, key: &Located<String>, option: Known, value: &RawOption) -> Option<Octets> {
        let values: Vec<Written<'_>> = match value {
            RawOption::One(one) => vec![written(one)],
            RawOption::Many(many) if many.bad => return None,
            RawOption::Many(many) => many.values().map(written).collect(),
        };
        let diagnostic = |what: String| Diagnostic::new(Code::BadOption, key.span.clone(), what);
        let Some(bytes) = option.holds.encode(&values) else {
            let what = format!("`{}` holds {}", key.value, option.holds.wanted());
            self.report(diagnostic(what).help("use such a value, or raw bytes: \"hex:0a000002\""));
            return None;
        };
        if bytes.len() > LONGEST {
            let what = format!("`{}` has {} bytes, which do not fit into a reply", key.value, bytes.len());
            self.report(diagnostic(what).help(format!("the maximum is {LONGEST} bytes")));
            return None;
        }
        Some(Octets(bytes))
    }

    /// Checks the DHCP client identifier of a NIC.
    pub(super) fn client_id(&mut self, raw: &Field<String>) -> Option<Octets> {
        let Located { value, span } = raw.given()?;
        let octets = match value.contains(':').then(|| value.parse::<Octets>()) {
            Some(Ok(octets)) => octets,
            Some(Err(_)) | None => Octets(value.clone().into_bytes()),
        };
        if octets.0.is_empty() || octets.0.len() > 255 {
            self.malformed(
                span,
                "a client id has 1 to 255 bytes".into(),
                "use bytes like \"01:52:54:00:12:34:56\" or a string",
            );
            return None;
        }
        Some(octets)
    }

    /// Reports duplicate client ids on a network.
    pub(super) fn client_ids(&mut self, drafts: &[Draft<'_>]) {
        let mut seen: BTreeMap<(&NetworkName, &str), &Span> = BTreeMap::new();
        for nic in drafts.iter().flat_map(|draft| &draft.nics) {
            let (Some(network), Some(Located { value, span })) =
                (&nic.network, nic.raw.and_then(|raw| raw.client_id.given()))
            else {
                continue;
            };
            if let Some(first) = seen.insert((network, value), span) {
                let what =
                    format!("`{value}` is already the client id of another NIC of network `{network}`");
                let again = Diagnostic::new(Code::ClientIdTaken, span.clone(), what);
                let again =
                    if first == span { again } else { again.related(first.clone(), "first used here") };
                self.report(again.help("give each NIC its own client id, or none"));
            }
        }
    }

    /// Returns the reserved addresses of clients that are not nodes, with their positions.
    pub(super) fn reserved_for_others(&self, network: &Network) -> Vec<(Mac, Ipv4Addr, &Span)> {
        let raw = self.raw.network.get(network.name.as_str()).and_then(|(_, raw)| raw.as_ref());
        let settings = match raw.and_then(|raw| raw.dhcp.value()) {
            Some(RawDhcp::Server(settings)) => settings.value(),
            Some(RawDhcp::Relay(relay)) => relay.value().and_then(|Short(relay)| relay.server.value()),
            Some(RawDhcp::Proxy | RawDhcp::Off) | None => None,
        };
        let entries = settings.into_iter().flat_map(|settings| &settings.reservations.entries);
        entries
            .filter_map(|(key, address)| {
                let Located { value: Text(address), span } = address.as_ref()?;
                Some((key.value.parse().ok()?, *address, span))
            })
            .collect()
    }
}

fn written(scalar: &RawScalar) -> Written<'_> {
    match scalar {
        RawScalar::Flag(truth) => Written::Flag(*truth),
        RawScalar::Number(number) => Written::Number(*number),
        RawScalar::Text(text) => Written::Text(text),
    }
}
