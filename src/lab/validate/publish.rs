//! Published ports: ports of the host that are forwarded to a node or to the boot services of a network.

use std::collections::BTreeMap;

use super::Check;
use super::reach::{address_help, unreachable};
use crate::diag::{Code, Diagnostic, Span};
use crate::lab::{Host, HostNic, Isolation, Network, Node, Publish};
use crate::name::{NetworkName, NodeName};

impl Check<'_> {
    pub(super) fn published(
        &mut self,
        nodes: &BTreeMap<NodeName, Node>,
        hosts: &BTreeMap<NodeName, Host>,
        networks: &BTreeMap<NetworkName, Network>,
    ) -> Vec<Publish> {
        let raw = self.raw;
        let mut published = Vec::new();
        let mut seen: BTreeMap<u16, &Span> = BTreeMap::new();
        if let (Some((key, _)), Some(Isolation::None)) = (raw.publish.entries.first(), raw.isolation.value())
        {
            let diagnostic = Diagnostic::new(
                Code::PublishInHost,
                key.span.clone(),
                "ports cannot be published with isolation = \"none\"",
            )
            .help("the host reaches the nodes directly: remove [publish], or remove `isolation`");
            self.report(match raw.isolation.span() {
                Some(position) => diagnostic.related(position.clone(), "`isolation` is set here"),
                None => diagnostic,
            });
            return published;
        }
        for (key, target) in &raw.publish.entries {
            let port = self.published_port(&key.value, &key.span);
            if let Some(port) = port {
                if let Some(first) = seen.get(&port) {
                    self.report(
                        Diagnostic::new(
                            Code::PublishTwice,
                            key.span.clone(),
                            format!("port {port} of the host is already published"),
                        )
                        .related((*first).clone(), "first here")
                        .help("use another port"),
                    );
                }
                seen.entry(port).or_insert(&key.span);
            }
            let Some(target) = target else { continue };
            let Some((name, to)) = target.value.rsplit_once(':') else {
                self.bad_publish(&target.span, format!("`{}` is not NODE:PORT", target.value));
                continue;
            };
            let Some(to) = self.published_port(to, &target.span) else { continue };
            let network = networks.values().find(|network| network.name.as_str() == name);
            if let Some(network) = network.filter(|_| raw.node.get(name).is_none()) {
                let Some(address) = network.server() else {
                    let what =
                        format!("nobody of Dryrack is on network `{name}`, so it has no port to publish");
                    let diagnostic = Diagnostic::new(Code::Unreachable, target.span.clone(), what);
                    self.report(diagnostic.help(address_help(network)));
                    continue;
                };
                published.extend(port.map(|port| Publish { port, node: None, address, to }));
                continue;
            }
            let (name, first, nics): (_, _, Vec<_>) =
                match hosts.values().find(|host| host.name.as_str() == name) {
                    Some(host) => {
                        let fixed = |nic: &HostNic| nic.address.map(|net| net.addr());
                        let first =
                            host.nics.first().map(|nic| format!("host.{}.nic.{}", host.name, nic.name));
                        let nics = host.nics.iter().map(|nic| (&nic.network, fixed(nic))).collect();
                        (host.name.clone(), first, nics)
                    }
                    None => {
                        let Some(name) = self.node_named(name, &target.span) else { continue };
                        let Some(node) = nodes.get(&name) else { continue };
                        let first = node.nics.first().map(|nic| format!("node.{name}.nic.{}", nic.name));
                        let nics = node.nics.iter().map(|nic| (&nic.network, nic.address)).collect();
                        (name, first, nics)
                    }
                };
            if let Some(network) = unreachable(nics.iter().map(|(network, _)| *network), networks) {
                let what = format!(
                    "nothing of the lab reaches `{name}`: its network `{}` has no address",
                    network.name
                );
                let diagnostic = Diagnostic::new(Code::Unreachable, target.span.clone(), what);
                self.report(diagnostic.help(address_help(network)));
                continue;
            }
            let mut reachable =
                nics.iter().filter(|(network, _)| networks.get(*network).is_none_or(Network::is_reachable));
            let Some(address) = reachable.find_map(|(_, address)| *address) else {
                self.report(
                    Diagnostic::new(
                        Code::PublishNowhere,
                        target.span.clone(),
                        format!("`{name}` has no fixed address, so its port cannot be published"),
                    )
                    .help(match first {
                        Some(nic) => format!("add one: {nic}.address = \"…\""),
                        None => "give it a NIC with an `address`".into(),
                    }),
                );
                continue;
            };
            if let Some(port) = port {
                published.push(Publish { port, node: Some(name), address, to });
            }
        }
        published.sort_by_key(|publish| publish.port);
        published
    }

    fn published_port(&mut self, text: &str, span: &Span) -> Option<u16> {
        let digits = text.chars().all(|c| c.is_ascii_digit());
        let port = text.parse().ok().filter(|port| digits && *port != 0);
        if port.is_none() {
            self.bad_publish(span, format!("`{text}` is not a port"));
        }
        port
    }

    fn bad_publish(&mut self, span: &Span, what: String) {
        self.report(
            Diagnostic::new(Code::BadPublish, span.clone(), what)
                .help("use the form \"2222\" = \"node1:22\": the port of the host, then node and port"),
        );
    }
}
