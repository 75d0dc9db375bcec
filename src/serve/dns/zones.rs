//! The zones of the lab: its names and addresses, nothing else.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::{A, AAAA, CNAME, HINFO, NS, PTR, SOA, SRV, TXT};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use ipnet::IpNet;

use super::message::{self, OwnAnswer};
use super::rule::Rule;
use crate::name::{NetworkName, NodeName};
use crate::plan::{DnsPlan, NodeRecord, ServicePlan};
use crate::serve::allowed_sources::AllowedSources;
use crate::serve::clients::Addresses;

/// TTL in seconds. Short: labs come and go.
const TTL: u32 = 30;
/// TTL of addresses that the next lease may change.
const LENT: u32 = 1;
/// The longest chain of aliases that is followed.
const FOLLOWED: usize = 16;
/// The maximum length of one string within a TXT record (RFC 1035, section 3.3).
const STRING: usize = 255;

/// The zones of a network.
#[derive(Debug, Clone)]
pub(in crate::serve) struct Zones {
    /// The server's own name, `ns` in the domain.
    server: Name,
    /// The zones for which the lab is authoritative.
    apexes: Vec<Name>,
    names: HashMap<Name, Entry>,
    /// Empty non-terminals: names without records that have names below them.
    between: HashSet<Name>,
    /// Names by static address.
    pointers: HashMap<IpAddr, Vec<Name>>,
    /// Names of nodes with dynamic addresses.
    of_nodes: HashMap<(NetworkName, NodeName), Name>,
    subnets: Vec<IpNet>,
    allowed_sources: AllowedSources,
    addresses: Addresses,
    pub(super) upstream: Vec<SocketAddr>,
}

/// The records of a name.
#[derive(Debug, Clone, Default)]
struct Entry {
    data: Vec<RData>,
    nodes: Vec<NodeRecord>,
}

/// The result of a lookup.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Answer {
    /// An authoritative answer of the lab.
    Lab(Box<OwnAnswer>),
    /// Upstream servers must be queried for `name`, the target of `aliases`; without aliases it is the name of the
    /// query.
    Upstream { name: Name, aliases: Vec<Record> },
}

/// The records that were found for a name.
struct Found<'a> {
    entry: Option<&'a Entry>,
    rule: Rule,
    exists: bool,
}

/// A query as [`Zones::own`] needs it.
struct ZoneQuery<'a> {
    name: &'a Name,
    /// The name in lower case.
    lower: &'a Name,
    /// The apex of its zone.
    apex: &'a Name,
    record: RecordType,
}

impl Zones {
    /// Builds the zones of a plan.
    pub(in crate::serve) fn new(plan: &ServicePlan, addresses: Addresses) -> Self {
        Self {
            allowed_sources: AllowedSources::new(plan),
            // Without an address nobody can ask.
            ..Self::of(&plan.dns, plan.server().unwrap_or(Ipv4Addr::UNSPECIFIED).into(), addresses)
        }
    }

    pub(super) fn of(dns: &DnsPlan, address: IpAddr, addresses: Addresses) -> Self {
        let domain = absolute(&dns.domain).unwrap_or_else(Name::root);
        let server = domain.prepend_label("ns").unwrap_or_else(|_| domain.clone());
        let mut names: HashMap<Name, Entry> = HashMap::new();
        let mut pointers: HashMap<IpAddr, Vec<Name>> = HashMap::new();
        let mut of_nodes = HashMap::new();
        let mut add = |name: &Name, data: RData| {
            if let (Some(address), false) = (address_of(&data), name.is_wildcard()) {
                pointers.entry(address).or_default().push(name.clone());
            }
            names.entry(name.clone()).or_default().data.push(data);
        };
        for (name, all) in &dns.records {
            let Some(name) = absolute(name) else { continue };
            all.iter().for_each(|address| add(&name, RData::from(*address)));
        }
        for (name, target) in &dns.aliases {
            if let (Some(name), Some(target)) = (absolute(name), absolute(target)) {
                add(&name, RData::CNAME(CNAME(target)));
            }
        }
        for (name, services) in &dns.services {
            let Some(name) = absolute(name) else { continue };
            for service in services {
                let Some(target) = absolute(&service.target) else { continue };
                add(&name, RData::SRV(SRV::new(service.priority, service.weight, service.port, target)));
            }
        }
        for (name, texts) in &dns.texts {
            let Some(name) = absolute(name) else { continue };
            for text in texts {
                let strings: Vec<&[u8]> = match text.is_empty() {
                    true => vec![b""],
                    false => text.as_bytes().chunks(STRING).collect(),
                };
                add(&name, RData::TXT(TXT::from_bytes(strings)));
            }
        }
        for record in &dns.nodes {
            let Some(name) = absolute(&record.name) else { continue };
            record
                .addresses
                .iter()
                .for_each(|address| pointers.entry(*address).or_default().push(name.clone()));
            names.entry(name.clone()).or_default().nodes.push(record.clone());
            of_nodes.insert((record.network.clone(), record.node.clone()), name);
        }
        names
            .entry(server.clone())
            .or_insert_with(|| Entry { data: vec![RData::from(address)], nodes: Vec::new() });
        let apexes: Vec<Name> =
            std::iter::once(&dns.domain).chain(&dns.domains).filter_map(|name| absolute(name)).collect();
        let between = names.keys().flat_map(parents).chain(apexes.iter().cloned());
        Self {
            server,
            between: between.filter(|name| !names.contains_key(name)).collect(),
            apexes,
            names,
            pointers,
            of_nodes,
            subnets: dns.reverse.clone(),
            allowed_sources: AllowedSources::of(dns.reverse.iter().copied()),
            addresses,
            upstream: dns.upstream.clone(),
        }
    }

    /// Returns the version of the zones; it changes when a node gets an address.
    pub(super) fn changes(&self) -> u64 {
        self.addresses.changes()
    }

    /// Tells whether a query from this address may be answered over UDP.
    pub(super) fn may_answer(&self, to: SocketAddr) -> bool {
        message::may_answer(to) && self.allowed_sources.has(to.ip())
    }

    /// Answers a query.
    pub(super) fn answer(&self, name: &Name, class: DNSClass, record: RecordType) -> Answer {
        if class != DNSClass::IN || matches!(record, RecordType::AXFR | RecordType::IXFR) {
            return Answer::Lab(Box::new(OwnAnswer::bare(ResponseCode::Refused, Rule::Protocol)));
        }
        match name.parse_arpa_name() {
            Ok(net) => self.reverse(name, net, record),
            Err(_) => self.forward(name, record),
        }
    }

    fn forward(&self, requested: &Name, record: RecordType) -> Answer {
        let mut aliases = Vec::new();
        let mut name = requested.clone();
        let mut rule = None;
        loop {
            let lower = name.to_lowercase();
            let apex =
                self.apexes.iter().filter(|apex| apex.zone_of(&lower)).max_by_key(|apex| apex.num_labels());
            let found = match (self.find(&lower), apex) {
                (Some(found), _) if apex.is_some() || found.entry.is_some() => found,
                (_, Some(_)) => Found { entry: None, rule: Rule::Zone, exists: false },
                (_, None) => return self.elsewhere(name, record, aliases),
            };
            let data = found.entry.map(|entry| &*entry.data).unwrap_or_default();
            let target = data.iter().find_map(|data| match data {
                RData::CNAME(CNAME(target)) if record != RecordType::CNAME => Some(target),
                _ => None,
            });
            rule.get_or_insert(found.rule);
            if let Some(target) = target {
                aliases.push(Record::from_rdata(name, TTL, RData::CNAME(CNAME(target.clone()))));
                name = target.clone();
                if aliases.len() == FOLLOWED {
                    // Validation rejects loops; a loop through a wildcard ends here.
                    return Answer::Lab(Box::new(OwnAnswer::bare(ResponseCode::ServFail, Rule::Zone)));
                }
                continue;
            }
            let mut data: Vec<(u32, RData)> = data.iter().map(|data| (TTL, data.clone())).collect();
            for of in found.entry.iter().flat_map(|entry| &entry.nodes) {
                data.extend(self.addresses_of(of));
            }
            let waits = found.entry.is_some_and(|entry| !entry.nodes.is_empty()) && data.is_empty();
            let question = ZoneQuery { name: &name, lower: &lower, apex: apex.unwrap_or(&lower), record };
            let mut own = self.own(question, data, found.exists, rule.unwrap_or(Rule::Zone));
            if waits {
                // The node may get an address at any moment.
                own.authorities.iter_mut().for_each(|soa| soa.ttl = LENT);
            }
            own.answers.splice(0..0, aliases);
            return Answer::Lab(Box::new(own));
        }
    }

    /// Looks up a name: itself, or the wildcard at its closest encloser (RFC 4592, section 3.3.1).
    fn find(&self, name: &Name) -> Option<Found<'_>> {
        if let Some(entry) = self.names.get(name) {
            let rule = if entry.nodes.is_empty() { Rule::Record } else { Rule::Node };
            return Some(Found { entry: Some(entry), rule, exists: true });
        }
        if self.between.contains(name) {
            return Some(Found { entry: None, rule: Rule::Zone, exists: true });
        }
        let encloser =
            parents(name).find(|parent| self.names.contains_key(parent) || self.between.contains(parent))?;
        let entry = self.names.get(&encloser.prepend_label("*").ok()?)?;
        Some(Found { entry: Some(entry), rule: Rule::Wildcard, exists: true })
    }

    /// Returns the addresses of a node with their TTLs.
    fn addresses_of(&self, of: &NodeRecord) -> Vec<(u32, RData)> {
        let reserved = of.addresses.iter().map(|address| (TTL, RData::from(*address)));
        let lent = self.addresses.of(&of.network, &of.node);
        let lent = lent.into_iter().filter(|address| !of.addresses.contains(address));
        reserved.chain(lent.map(|address| (LENT, RData::from(address)))).collect()
    }

    fn reverse(&self, requested: &Name, net: IpNet, record: RecordType) -> Answer {
        let lower = requested.to_lowercase();
        let subnet = self.subnets.iter().find(|subnet| subnet.contains(&net));
        let mut data = Vec::new();
        if net.prefix_len() == net.max_prefix_len() {
            let names = self.pointers.get(&net.addr()).into_iter().flatten();
            data.extend(names.map(|name| (TTL, RData::PTR(PTR(name.clone())))));
            let lent = self.addresses.owner(net.addr()).and_then(|owner| self.of_nodes.get(&owner));
            let lent = lent.map(|name| (LENT, RData::PTR(PTR(name.clone()))));
            data.extend(lent.filter(|(_, pointer)| !data.iter().any(|(_, known)| known == pointer)));
        }
        let apex = match subnet {
            Some(subnet) => apex_of(*subnet),
            None if !data.is_empty() => lower.clone(),
            None => return self.elsewhere(requested.clone(), record, Vec::new()),
        };
        let exists = !data.is_empty() || net.prefix_len() < net.max_prefix_len();
        let rule = if data.is_empty() { Rule::Zone } else { Rule::Reverse };
        let question = ZoneQuery { name: requested, lower: &lower, apex: &apex, record };
        Answer::Lab(Box::new(self.own(question, data, exists, rule)))
    }

    fn own(
        &self,
        requested: ZoneQuery<'_>,
        mut data: Vec<(u32, RData)>,
        exists: bool,
        rule: Rule,
    ) -> OwnAnswer {
        let ZoneQuery { name, lower, apex, record } = requested;
        if lower == apex {
            data.push((TTL, RData::SOA(self.soa(apex))));
            data.push((TTL, RData::NS(NS(self.server.clone()))));
        }
        // ANY gets one kind of record and not all of them (RFC 8482, section 4.1).
        let wanted = match record {
            RecordType::ANY => data.first().map_or(record, |(_, data)| data.record_type()),
            record => record,
        };
        let answers: Vec<Record> = data
            .into_iter()
            .filter(|(_, data)| data.record_type() == wanted)
            .map(|(ttl, data)| Record::from_rdata(name.clone(), ttl, data))
            .collect();
        let code = if exists { ResponseCode::NoError } else { ResponseCode::NXDomain };
        let authorities = match answers.is_empty() {
            true => vec![Record::from_rdata(apex.clone(), TTL, RData::SOA(self.soa(apex)))],
            false => Vec::new(),
        };
        OwnAnswer { code, authoritative: true, authentic: false, answers, authorities, rule }
    }

    fn elsewhere(&self, name: Name, record: RecordType, aliases: Vec<Record>) -> Answer {
        if self.upstream.is_empty() {
            let code = if aliases.is_empty() { ResponseCode::NXDomain } else { ResponseCode::NoError };
            let own = OwnAnswer { answers: aliases, ..OwnAnswer::bare(code, Rule::NoUpstream) };
            return Answer::Lab(Box::new(own));
        }
        if record == RecordType::ANY {
            // ANY is never forwarded (RFC 8482, section 4.2).
            let nothing = RData::HINFO(HINFO::new("RFC8482".to_owned(), String::new()));
            let answers = vec![Record::from_rdata(name, TTL, nothing)];
            return Answer::Lab(Box::new(OwnAnswer {
                answers,
                ..OwnAnswer::bare(ResponseCode::NoError, Rule::Protocol)
            }));
        }
        Answer::Upstream { name, aliases }
    }

    fn soa(&self, apex: &Name) -> SOA {
        let hostmaster = apex.prepend_label("hostmaster").unwrap_or_else(|_| apex.clone());
        let seconds = 3600;
        SOA::new(self.server.clone(), hostmaster, 1, seconds, seconds, seconds, TTL)
    }
}

/// Returns the parents of a name, nearest first, without the root.
fn parents(name: &Name) -> impl Iterator<Item = Name> + use<> {
    let above = std::iter::successors(Some(name.base_name()), |name| Some(name.base_name()));
    above.take_while(|name| !name.is_root())
}

fn absolute(name: &str) -> Option<Name> {
    let mut name = Name::from_ascii(name).ok()?.to_lowercase();
    name.set_fqdn(true);
    Some(name)
}

fn address_of(data: &RData) -> Option<IpAddr> {
    match data {
        RData::A(A(address)) => Some((*address).into()),
        RData::AAAA(AAAA(address)) => Some((*address).into()),
        _ => None,
    }
}

/// Returns the reverse zone of a subnet, cut at a whole octet (IPv4) or nibble (IPv6).
fn apex_of(subnet: IpNet) -> Name {
    let name = match subnet.network() {
        IpAddr::V4(network) => {
            let octets = network.octets();
            let kept = &octets[..usize::from(subnet.prefix_len() / 8)];
            kept.iter().rev().map(|octet| format!("{octet}.")).collect::<String>() + "in-addr.arpa"
        }
        IpAddr::V6(network) => {
            let digits = network.octets().map(|octet| [octet >> 4, octet & 15]).concat();
            let kept = &digits[..usize::from(subnet.prefix_len() / 4)];
            kept.iter().rev().map(|digit| format!("{digit:x}.")).collect::<String>() + "ip6.arpa"
        }
    };
    absolute(&name).unwrap_or_else(Name::root)
}

#[cfg(test)]
mod tests;
