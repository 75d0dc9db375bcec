//! What the lab itself answers for: its names, its addresses, nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::{A, AAAA, NS, PTR, SOA};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use ipnet::{IpNet, Ipv4Net};

use crate::plan::ServicePlan;

/// Seconds for which an answer may be kept. Short: labs come and go.
const TTL: u32 = 30;

/// The zones of a network.
#[derive(Debug, Clone)]
pub(in crate::serve) struct Zones {
    domain: Name,
    /// The server's own name, `ns` in the domain.
    server: Name,
    names: BTreeMap<Name, Vec<IpAddr>>,
    /// Names within the domain that have no records but names below them.
    between: BTreeSet<Name>,
    addresses: BTreeMap<IpAddr, Vec<Name>>,
    subnets: Vec<Ipv4Net>,
    pub(super) upstream: Vec<std::net::SocketAddr>,
}

/// What is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    /// By the lab.
    Lab(Box<Own>),
    /// By whoever knows.
    Upstream,
}

/// An answer of the lab's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Own {
    pub(super) code: ResponseCode,
    pub(super) authoritative: bool,
    pub(super) answers: Vec<Record>,
    /// Start of authority, which says for how long a "no" is believed.
    pub(super) soa: Option<Record>,
}

impl Own {
    /// An answer without records that nobody has authority for.
    pub(super) fn bare(code: ResponseCode) -> Self {
        Self { code, authoritative: false, answers: Vec::new(), soa: None }
    }
}

impl Zones {
    /// Takes from a plan what it answers for.
    pub(in crate::serve) fn new(plan: &ServicePlan) -> Self {
        Self::of(&plan.dns, plan.address.addr())
    }

    fn of(dns: &crate::plan::DnsPlan, address: Ipv4Addr) -> Self {
        let domain = absolute(&dns.domain).unwrap_or_else(Name::root);
        let server = domain.prepend_label("ns").unwrap_or_else(|_| domain.clone());
        let mut names: BTreeMap<Name, Vec<IpAddr>> = BTreeMap::new();
        let mut addresses: BTreeMap<IpAddr, Vec<Name>> = BTreeMap::new();
        for (name, of_name) in &dns.records {
            let Some(name) = absolute(name) else { continue };
            for address in of_name {
                addresses.entry(*address).or_default().push(name.clone());
            }
            names.entry(name).or_default().extend(of_name);
        }
        names.entry(server.clone()).or_insert_with(|| vec![address.into()]);
        let below = |name: &&Name| domain.zone_of(name);
        let parents = |name: &Name| {
            let domain = domain.clone();
            std::iter::successors(Some(name.base_name()), |name| Some(name.base_name()))
                .take_while(move |name| domain.zone_of(name) && !name.is_root())
                .collect::<Vec<_>>()
        };
        let between = names.keys().filter(below).flat_map(parents).collect();
        Self {
            domain,
            server,
            names,
            between,
            addresses,
            subnets: dns.reverse.clone(),
            upstream: dns.upstream.clone(),
        }
    }

    /// Answers a question.
    pub(super) fn answer(&self, name: &Name, class: DNSClass, record: RecordType) -> Answer {
        if class != DNSClass::IN || matches!(record, RecordType::AXFR | RecordType::IXFR) {
            return Answer::Lab(Box::new(Own::bare(ResponseCode::Refused)));
        }
        let name = name.to_lowercase();
        match name.parse_arpa_name() {
            Ok(net) => self.reverse(&name, net, record),
            Err(_) => self.forward(&name, record),
        }
    }

    fn forward(&self, name: &Name, record: RecordType) -> Answer {
        let apex = if self.domain.zone_of(name) { &self.domain } else { name };
        let known = self.names.get(name);
        if known.is_none() && apex != &self.domain {
            return self.elsewhere();
        }
        let wanted = |address: &&IpAddr| match record {
            RecordType::A => address.is_ipv4(),
            RecordType::AAAA => address.is_ipv6(),
            RecordType::ANY => true,
            _ => false,
        };
        let data = known.into_iter().flatten().filter(wanted).map(|address| match address {
            IpAddr::V4(address) => RData::A(A(*address)),
            IpAddr::V6(address) => RData::AAAA(AAAA(*address)),
        });
        let exists = known.is_some() || name == apex || self.between.contains(name);
        self.own(name, apex, record, data.collect(), exists)
    }

    fn reverse(&self, name: &Name, net: IpNet, record: RecordType) -> Answer {
        let subnet = self.subnets.iter().find(|subnet| IpNet::V4(**subnet).contains(&net));
        let names =
            (net.prefix_len() == net.max_prefix_len()).then(|| self.addresses.get(&net.addr())).flatten();
        let apex = match (subnet, names) {
            (Some(subnet), _) => apex_of(*subnet),
            (None, Some(_)) => name.clone(),
            (None, None) => return self.elsewhere(),
        };
        let pointers =
            names.into_iter().flatten().filter(|_| matches!(record, RecordType::PTR | RecordType::ANY));
        let data = pointers.map(|name| RData::PTR(PTR(name.clone())));
        let exists = names.is_some() || net.prefix_len() < net.max_prefix_len();
        self.own(name, &apex, record, data.collect(), exists)
    }

    fn own(
        &self,
        name: &Name,
        apex: &Name,
        record: RecordType,
        mut data: Vec<RData>,
        exists: bool,
    ) -> Answer {
        if name == apex && matches!(record, RecordType::SOA | RecordType::ANY) {
            data.push(RData::SOA(self.soa()));
        }
        if name == apex && matches!(record, RecordType::NS | RecordType::ANY) {
            data.push(RData::NS(NS(self.server.clone())));
        }
        let answers: Vec<Record> =
            data.into_iter().map(|data| Record::from_rdata(name.clone(), TTL, data)).collect();
        let code = if exists { ResponseCode::NoError } else { ResponseCode::NXDomain };
        let soa = answers.is_empty().then(|| Record::from_rdata(apex.clone(), TTL, RData::SOA(self.soa())));
        Answer::Lab(Box::new(Own { code, authoritative: true, answers, soa }))
    }

    fn elsewhere(&self) -> Answer {
        if self.upstream.is_empty() {
            Answer::Lab(Box::new(Own::bare(ResponseCode::NXDomain)))
        } else {
            Answer::Upstream
        }
    }

    fn soa(&self) -> SOA {
        let hostmaster = self.domain.prepend_label("hostmaster").unwrap_or_else(|_| self.domain.clone());
        let seconds = 3600;
        SOA::new(self.server.clone(), hostmaster, 1, seconds, seconds, seconds, TTL)
    }
}

fn absolute(name: &str) -> Option<Name> {
    let mut name = Name::from_ascii(name).ok()?.to_lowercase();
    name.set_fqdn(true);
    Some(name)
}

/// Returns the reverse zone of a subnet, cut at a whole octet.
fn apex_of(subnet: Ipv4Net) -> Name {
    let octets = usize::from(subnet.prefix_len() / 8);
    let network = subnet.network().octets();
    let labels = network[..octets].iter().rev().map(|octet| format!("{octet}."));
    absolute(&(labels.collect::<String>() + "in-addr.arpa")).unwrap_or_else(Name::root)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zones(upstream: bool) -> Zones {
        let address = |text: &str| vec![text.parse().unwrap()];
        let dns = crate::plan::DnsPlan {
            domain: "lab.test".to_owned(),
            records: BTreeMap::from([
                ("a.lab.test".to_owned(), vec!["10.0.0.11".parse().unwrap(), "fd00::11".parse().unwrap()]),
                ("x.deep.lab.test".to_owned(), address("10.0.0.12")),
                ("matchbox.local".to_owned(), address("10.0.0.1")),
            ]),
            reverse: vec!["10.0.0.0/24".parse().unwrap()],
            upstream: if upstream { vec!["192.0.2.53:53".parse().unwrap()] } else { Vec::new() },
        };
        Zones::of(&dns, Ipv4Addr::new(10, 0, 0, 1))
    }

    fn check(zones: &Zones, question: &str) -> String {
        let (name, record) = question.split_once(' ').unwrap();
        match zones.answer(&Name::from_ascii(name).unwrap(), DNSClass::IN, record.parse().unwrap()) {
            Answer::Upstream => "upstream".to_owned(),
            Answer::Lab(own) => {
                let Own { code, authoritative, answers, soa } = *own;
                let code = super::super::code_name(code);
                let data: Vec<String> = answers.iter().map(|record| record.data.to_string()).collect();
                let apex = soa.map(|soa| format!("soa {}", soa.name)).unwrap_or_default();
                format!("{code} {} {}{apex}", if authoritative { "aa" } else { "--" }, data.join(" "))
            }
        }
    }

    #[test]
    fn questions_and_answers() {
        let (closed, open) = (zones(false), zones(true));
        let table = [
            "A.Lab.Test. A",
            "a.lab.test. AAAA",
            "a.lab.test. MX",
            "nobody.lab.test. A",
            "deep.lab.test. A",
            "lab.test. SOA",
            "lab.test. NS",
            "lab.test. A",
            "ns.lab.test. A",
            "matchbox.local. A",
            "matchbox.local. AAAA",
            "other.local. A",
            "11.0.0.10.in-addr.arpa. PTR",
            "99.0.0.10.in-addr.arpa. PTR",
            "0.0.10.in-addr.arpa. SOA",
            "1.0.168.192.in-addr.arpa. PTR",
            "example.com. A",
        ];
        let lines: Vec<String> = table
            .iter()
            .map(|question| {
                let (one, other) = (check(&closed, question), check(&open, question));
                let other = if one == other { String::new() } else { format!(" | {other}") };
                format!("{question:30} {one}{other}")
            })
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @r"
        A.Lab.Test. A                  NOERROR aa 10.0.0.11
        a.lab.test. AAAA               NOERROR aa fd00::11
        a.lab.test. MX                 NOERROR aa soa lab.test.
        nobody.lab.test. A             NXDOMAIN aa soa lab.test.
        deep.lab.test. A               NOERROR aa soa lab.test.
        lab.test. SOA                  NOERROR aa ns.lab.test. hostmaster.lab.test. 1 3600 3600 3600 30
        lab.test. NS                   NOERROR aa ns.lab.test.
        lab.test. A                    NOERROR aa soa lab.test.
        ns.lab.test. A                 NOERROR aa 10.0.0.1
        matchbox.local. A              NOERROR aa 10.0.0.1
        matchbox.local. AAAA           NOERROR aa soa matchbox.local.
        other.local. A                 NXDOMAIN --  | upstream
        11.0.0.10.in-addr.arpa. PTR    NOERROR aa a.lab.test.
        99.0.0.10.in-addr.arpa. PTR    NXDOMAIN aa soa 0.0.10.in-addr.arpa.
        0.0.10.in-addr.arpa. SOA       NOERROR aa ns.lab.test. hostmaster.lab.test. 1 3600 3600 3600 30
        1.0.168.192.in-addr.arpa. PTR  NXDOMAIN --  | upstream
        example.com. A                 NXDOMAIN --  | upstream
        ");
    }

    #[test]
    fn transfers_and_other_classes_are_refused() {
        let name = Name::from_ascii("lab.test.").unwrap();
        for (class, record) in [(DNSClass::IN, RecordType::AXFR), (DNSClass::CH, RecordType::TXT)] {
            let refused = Own::bare(ResponseCode::Refused);
            assert_eq!(zones(true).answer(&name, class, record), Answer::Lab(Box::new(refused)));
        }
    }

    #[test]
    fn a_zone_ends_at_a_whole_octet() {
        for (subnet, apex) in [
            ("10.1.2.0/24", "2.1.10.in-addr.arpa."),
            ("10.1.2.128/25", "2.1.10.in-addr.arpa."),
            ("10.1.0.0/16", "1.10.in-addr.arpa."),
            ("10.0.0.0/9", "10.in-addr.arpa."),
        ] {
            assert_eq!(apex_of(subnet.parse().unwrap()).to_string(), apex);
        }
    }
}
