//! DNS zones: the records of each name, and the targets of aliases and services.

use std::collections::{BTreeMap, BTreeSet};

use super::node::Draft;
use super::service::dns_settings;
use super::{Check, names};
use crate::config::{self, Keyed, Located, Many, RawDns, Text};
use crate::diag::{Code, Diagnostic, Span, nearest};
use crate::lab::{Dns, Network, Service};
use crate::name::{NetworkName, NodeName};

/// The longest TXT record that fits a packet over TCP with its name.
const LONGEST_TEXT: usize = 4096;

/// Other data of the same name as an alias.
const AGAIN: &str = "another alias";

/// All names of a lab.
#[derive(Default)]
struct Names<'a> {
    /// Names with data of their own: the kind of data, and its position.
    own: BTreeMap<String, (&'static str, Option<&'a Span>)>,
    aliases: BTreeMap<String, Alias<'a>>,
    /// Names without data that have names below them.
    between: BTreeSet<String>,
}

struct Alias<'a> {
    target: String,
    at: &'a Span,
}

/// The target of a name.
enum Found<'n> {
    Data,
    Alias(&'n str),
    Nothing,
}

impl<'a> Names<'a> {
    fn own(&mut self, name: String, what: &'static str, at: Option<&'a Span>) {
        self.own.entry(name).or_insert((what, at));
    }

    fn owners<T>(&mut self, entries: &'a Keyed<T>, domain: &str, what: &'static str) {
        for (key, _) in &entries.entries {
            if let Ok(name) = names::owner(&key.value, domain) {
                self.own(name, what, Some(&key.span));
            }
        }
    }

    /// Completes the collection.
    fn complete(&mut self) {
        let all = self.own.keys().chain(self.aliases.keys());
        self.between = all.flat_map(|name| parents(name)).map(str::to_owned).collect();
    }

    /// Looks a name up as the name server does.
    fn find(&self, name: &str) -> Found<'_> {
        if let Some(found) = self.at(name) {
            return found;
        }
        if self.between.contains(name) {
            return Found::Nothing;
        }
        let exists = |name: &&str| self.at(name).is_some() || self.between.contains(*name);
        let encloser = parents(name).find(exists);
        encloser.and_then(|encloser| self.at(&format!("*.{encloser}"))).unwrap_or(Found::Nothing)
    }

    fn at(&self, name: &str) -> Option<Found<'_>> {
        match self.aliases.get(name) {
            Some(alias) => Some(Found::Alias(&alias.target)),
            None => self.own.contains_key(name).then_some(Found::Data),
        }
    }
}

/// Returns the names above a name, nearest first.
fn parents(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(name), |name| Some(name.split_once('.')?.1)).skip(1)
}

impl<'a> Check<'a> {
    /// Adds the names of the lab file.
    pub(super) fn names(&mut self, dns: &mut Dns, raw: &RawDns) {
        let domain = dns.domain.clone();
        for (key, addresses) in &raw.records.entries {
            let name = self.taken(names::owner(&key.value, &domain), &key.span);
            let (Some(name), Some(Many(addresses))) = (name, addresses) else { continue };
            if addresses.items.is_empty() && !addresses.bad {
                let what = format!("`{name}` has no address");
                self.malformed(&key.span, what, "add one or more addresses");
            }
            dns.records.entry(name).or_default().extend(addresses.values().map(|address| address.0));
        }
        for (key, target) in &raw.cname.entries {
            let name = self.taken(names::owner(&key.value, &domain), &key.span);
            let Some(target) = target else { continue };
            let target = self.taken(names::host(&target.value, &domain), &target.span);
            if let (Some(name), Some(target)) = (name, target) {
                dns.aliases.insert(name, target);
            }
        }
        for (key, services) in &raw.srv.entries {
            let name = self.taken(names::owner(&key.value, &domain), &key.span);
            for Located { value: Text(service), span } in services.iter().flat_map(|many| &many.0.items) {
                let target = self.taken(target(service, &domain), span);
                let (Some(name), Some(target)) = (&name, target) else { continue };
                let config::Service { priority, weight, port, .. } = *service;
                let service = Service { priority, weight, port, target };
                dns.services.entry(name.clone()).or_default().push(service);
            }
        }
        for (key, texts) in &raw.txt.entries {
            let name = self.taken(names::owner(&key.value, &domain), &key.span);
            for text in texts.iter().flat_map(|many| &many.0.items) {
                if text.value.len() > LONGEST_TEXT {
                    let what = format!("this TXT record has {} bytes", text.value.len());
                    self.malformed(&text.span, what, "the maximum is 4096");
                }
                if let Some(name) = &name {
                    dns.texts.entry(name.clone()).or_default().push(text.value.clone());
                }
            }
        }
    }

    /// Accepts a name, or reports why it is invalid.
    fn taken(&mut self, name: Result<String, String>, span: &Span) -> Option<String> {
        name.map_err(|why| {
            self.report(
                Diagnostic::new(Code::BadDomain, span.clone(), why)
                    .help("use labels of letters, digits and inner dashes, separated by dots"),
            );
        })
        .ok()
    }

    /// Checks that aliases have no other data, and that the targets of aliases and services exist.
    pub(super) fn zones(&mut self, networks: &BTreeMap<NetworkName, Network>, drafts: &[Draft<'a>]) {
        let mut zones = Vec::new();
        for (key, raw) in &self.raw.network.entries {
            let network = key.value.parse::<NetworkName>().ok().and_then(|name| networks.get(&name));
            if let (Some(network), Some(raw)) = (network, raw) {
                zones.push((network.dns.domain.as_str(), dns_settings(raw)));
            }
        }
        let domains: Vec<&str> = zones.iter().map(|(domain, _)| *domain).collect();
        let written: Vec<(&str, &RawDns)> =
            zones.into_iter().filter_map(|(domain, dns)| Some((domain, dns?))).collect();

        let mut names = Names::default();
        for domain in &domains {
            names.own((*domain).to_owned(), "the domain itself", None);
            names.own(format!("ns.{domain}"), "the name server", None);
        }
        for draft in drafts {
            let attached = draft.nics.iter().filter_map(|nic| networks.get(nic.network.as_ref()?));
            for network in attached {
                names.own(format!("{}.{}", draft.name, network.dns.domain), "a node", Some(draft.home));
            }
        }
        for (domain, dns) in &written {
            names.owners(&dns.records, domain, "an address");
            names.owners(&dns.srv, domain, "a service");
            names.owners(&dns.txt, domain, "a TXT record");
        }
        for (domain, dns) in &written {
            self.aliases(&mut names, dns, domain);
        }
        names.complete();
        self.circles(&names);

        // A reported record may be the missing one.
        let bad = |dns: &RawDns| dns.records.bad || dns.cname.bad || dns.srv.bad || dns.txt.bad;
        let nodes = &self.raw.node;
        if nodes.bad
            || nodes.names().any(|name| name.parse::<NodeName>().is_err())
            || written.iter().any(|(_, dns)| bad(dns))
        {
            return;
        }
        for (domain, dns) in written {
            for target in dns.cname.entries.iter().filter_map(|(_, target)| target.as_ref()) {
                let Ok(full) = names::host(&target.value, domain) else { continue };
                self.leads(&names, &domains, &full, &target.span);
            }
            let services = dns.srv.entries.iter().filter_map(|(_, services)| services.as_ref());
            for Located { value: Text(service), span } in services.flat_map(|many| &many.0.items) {
                let Ok(full) = target(service, domain) else { continue };
                self.leads(&names, &domains, &full, span);
                if let Found::Alias(alias) = names.find(&full) {
                    let what = format!("`{full}` is an alias of `{alias}`");
                    self.report(
                        Diagnostic::new(Code::AliasedTarget, span.clone(), what)
                            .help("use the name of the host itself"),
                    );
                }
            }
        }
    }

    /// Collects the aliases of a network, and reports those with other data of the same name.
    fn aliases(&mut self, names: &mut Names<'a>, dns: &'a RawDns, domain: &str) {
        for (key, value) in &dns.cname.entries {
            let Ok(name) = names::owner(&key.value, domain) else { continue };
            let beside = match (names.own.get(&name), names.aliases.get(&name)) {
                (Some((what, at)), _) => Some((*what, *at)),
                (None, Some(other)) => Some((AGAIN, Some(other.at))),
                (None, None) => None,
            };
            if let Some((what, at)) = beside {
                let message = match what {
                    AGAIN => format!("`{name}` is defined as an alias twice"),
                    _ => format!("`{name}` is both an alias and {what}"),
                };
                let mut diagnostic = Diagnostic::new(Code::AliasBeside, key.span.clone(), message)
                    .help("a name with an alias can have no other records: remove one of them");
                if let Some(at) = at {
                    diagnostic = diagnostic.related(at.clone(), format!("{what} is here"));
                }
                self.report(diagnostic);
            } else if let Some(Ok(target)) = value.as_ref().map(|value| names::host(&value.value, domain)) {
                names.aliases.insert(name, Alias { target, at: &key.span });
            }
        }
    }

    /// Reports each loop of aliases once.
    fn circles(&mut self, names: &Names<'a>) {
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        for (first, alias) in &names.aliases {
            let mut way = vec![first.as_str()];
            let mut next = alias.target.as_str();
            while let Found::Alias(target) = names.find(next)
                && !way.contains(&next)
                && !seen.contains(next)
            {
                way.push(next);
                next = target;
            }
            let begin = way.iter().position(|name| *name == next).filter(|_| !seen.contains(first.as_str()));
            seen.extend(way.iter().copied());
            if let Some(begin) = begin {
                way.push(next);
                let what = format!("these aliases form a loop: {}", way[begin..].join(", "));
                self.report(
                    Diagnostic::new(Code::AliasLoop, alias.at.clone(), what)
                        .help("point the last one to a node or to a name with an address"),
                );
            }
        }
    }

    /// Reports a name within the lab's domains that does not exist.
    fn leads(&mut self, names: &Names<'_>, domains: &[&str], target: &str, span: &Span) {
        let ours = domains.iter().any(|domain| parents(target).any(|parent| parent == *domain));
        if !ours || !matches!(names.find(target), Found::Nothing) {
            return;
        }
        let known = names.own.keys().chain(names.aliases.keys()).map(String::as_str);
        let help = match nearest(target, known) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "write a name outside the lab with a trailing dot".to_owned(),
        };
        let what = format!("the lab has no name `{target}`");
        self.report(Diagnostic::new(Code::UnknownTarget, span.clone(), what).help(help));
    }
}

/// Returns the host of a service; empty if the service is declared not available.
fn target(service: &config::Service, domain: &str) -> Result<String, String> {
    match service.target.as_str() {
        "." => Ok(String::new()),
        host => names::host(host, domain),
    }
}
