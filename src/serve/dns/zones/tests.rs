use super::*;
use crate::event::{LearnedBy, LearnedFrom};
use crate::lab::Service;
use crate::serve::boots::Boots;
use crate::serve::clients::Clients;
use crate::serve::example;

const NETWORK: &str = "lan";

fn zones(upstream: bool) -> Zones {
    let addresses = |text: &str| text.split(' ').map(|address| address.parse().unwrap()).collect();
    let node = |name: &str, text: Option<&str>| NodeRecord {
        name: format!("{name}.lab.test"),
        network: NetworkName::new(NETWORK).unwrap(),
        node: NodeName::new(name).unwrap(),
        addresses: text.map(addresses).unwrap_or_default(),
    };
    let service = |port, target: &str| Service { priority: 0, weight: 5, port, target: target.to_owned() };
    let records = [
        ("x.deep.lab.test", "10.0.0.12"),
        ("matchbox.local", "10.0.0.1"),
        ("*.apps.lab.test", "10.0.0.5 fd00::5"),
        ("own.apps.lab.test", "10.0.0.6"),
        ("*.tenant.example", "10.0.0.7"),
    ];
    let aliases = [
        ("www.lab.test", "a.lab.test"),
        ("twice.lab.test", "www.lab.test"),
        ("shop.apps.lab.test", "any.apps.lab.test"),
        ("*.mirror.lab.test", "deb.debian.org"),
        ("lost.lab.test", "nobody.lab.test"),
        ("*.round.lab.test", "x.round.lab.test"),
    ];
    let text = |text: &str| text.to_owned();
    let dns = DnsPlan {
        port: Some(53),
        domain: "lab.test".to_owned(),
        domains: vec![text("lab.test"), text("storage.test")],
        nodes: vec![node("a", Some("10.0.0.11 fd00::11")), node("lent", None)],
        records: records.map(|(name, all)| (text(name), addresses(all))).into(),
        aliases: aliases.map(|(name, target)| (text(name), text(target))).into(),
        services: [(text("_etcd._tcp.lab.test"), vec![service(2380, "a.lab.test"), service(0, "")])].into(),
        texts: [(text("note.lab.test"), vec!["x".repeat(300), text("")])].into(),
        reverse: vec!["10.0.0.0/24".parse().unwrap(), "fd00::/64".parse().unwrap()],
        upstream: if upstream { vec!["192.0.2.53:53".parse().unwrap()] } else { Vec::new() },
    };
    Zones::of(&dns, "10.0.0.1".parse().unwrap(), Addresses::default())
}

fn check(zones: &Zones, question: &str) -> String {
    let (name, record) = question.split_once(' ').unwrap();
    let summary = |answers: &[Record]| {
        let summary = |record: &Record| match record.data.to_string() {
            long if long.len() > 80 => format!("{} characters", long.len()),
            short => short,
        };
        answers.iter().map(summary).collect::<Vec<_>>().join(" ")
    };
    match zones.answer(&Name::from_ascii(name).unwrap(), DNSClass::IN, record.parse().unwrap()) {
        Answer::Upstream { name, aliases } => format!("{} upstream {name}", summary(&aliases)),
        Answer::Lab(own) => {
            let OwnAnswer { code, authoritative, authentic: _, answers, authorities, rule } = *own;
            let code = crate::wire::dns::code_name(code);
            let apex =
                authorities.iter().map(|soa| format!("soa {} {}", soa.name, soa.ttl)).collect::<String>();
            let authoritative = if authoritative { "aa" } else { "--" };
            format!("{code} {authoritative} {}{apex} ({rule})", summary(&answers))
        }
    }
}

fn check_all(zones: &Zones, questions: &[&str]) -> String {
    let lines: Vec<String> =
        questions.iter().map(|question| format!("{question:30} {}", check(zones, question))).collect();
    lines.join("\n")
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
        "1.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa. PTR",
        "2.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa. PTR",
        "nobody.storage.test. A",
        "storage.test. SOA",
        "lent.lab.test. A",
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
    A.Lab.Test. A                  NOERROR aa 10.0.0.11 (node)
    a.lab.test. AAAA               NOERROR aa fd00::11 (node)
    a.lab.test. MX                 NOERROR aa soa lab.test. 30 (node)
    nobody.lab.test. A             NXDOMAIN aa soa lab.test. 30 (lab zone)
    deep.lab.test. A               NOERROR aa soa lab.test. 30 (lab zone)
    lab.test. SOA                  NOERROR aa ns.lab.test. hostmaster.lab.test. 1 3600 3600 3600 30 (lab zone)
    lab.test. NS                   NOERROR aa ns.lab.test. (lab zone)
    lab.test. A                    NOERROR aa soa lab.test. 30 (lab zone)
    ns.lab.test. A                 NOERROR aa 10.0.0.1 (lab record)
    matchbox.local. A              NOERROR aa 10.0.0.1 (lab record)
    matchbox.local. AAAA           NOERROR aa soa matchbox.local. 30 (lab record)
    other.local. A                 NXDOMAIN --  (no upstream) |  upstream other.local.
    11.0.0.10.in-addr.arpa. PTR    NOERROR aa a.lab.test. (reverse)
    99.0.0.10.in-addr.arpa. PTR    NXDOMAIN aa soa 0.0.10.in-addr.arpa. 30 (lab zone)
    1.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa. PTR NOERROR aa a.lab.test. (reverse)
    2.1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa. PTR NXDOMAIN aa soa 0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa. 30 (lab zone)
    nobody.storage.test. A         NXDOMAIN aa soa storage.test. 30 (lab zone)
    storage.test. SOA              NOERROR aa ns.lab.test. hostmaster.storage.test. 1 3600 3600 3600 30 (lab zone)
    lent.lab.test. A               NOERROR aa soa lab.test. 1 (node)
    0.0.10.in-addr.arpa. SOA       NOERROR aa ns.lab.test. hostmaster.0.0.10.in-addr.arpa. 1 3600 3600 3600 30 (lab zone)
    1.0.168.192.in-addr.arpa. PTR  NXDOMAIN --  (no upstream) |  upstream 1.0.168.192.in-addr.arpa.
    example.com. A                 NXDOMAIN --  (no upstream) |  upstream example.com.
    ");
}

#[test]
fn wildcards_cover_what_has_nothing_of_its_own() {
    insta::assert_snapshot!(check_all(&zones(true), &[
        "any.apps.lab.test. A",
        "deep.any.apps.lab.test. AAAA",
        "any.apps.lab.test. MX",
        "own.apps.lab.test. A",
        "own.apps.lab.test. AAAA",
        "below.own.apps.lab.test. A",
        "apps.lab.test. A",
        "*.apps.lab.test. A",
        "any.tenant.example. A",
        "tenant.example. A",
        "any.example. A",
        "5.0.0.10.in-addr.arpa. PTR",
    ]), @r"
    any.apps.lab.test. A           NOERROR aa 10.0.0.5 (wildcard)
    deep.any.apps.lab.test. AAAA   NOERROR aa fd00::5 (wildcard)
    any.apps.lab.test. MX          NOERROR aa soa lab.test. 30 (wildcard)
    own.apps.lab.test. A           NOERROR aa 10.0.0.6 (lab record)
    own.apps.lab.test. AAAA        NOERROR aa soa lab.test. 30 (lab record)
    below.own.apps.lab.test. A     NXDOMAIN aa soa lab.test. 30 (lab zone)
    apps.lab.test. A               NOERROR aa soa lab.test. 30 (lab zone)
    *.apps.lab.test. A             NOERROR aa 10.0.0.5 (lab record)
    any.tenant.example. A          NOERROR aa 10.0.0.7 (wildcard)
    tenant.example. A               upstream tenant.example.
    any.example. A                  upstream any.example.
    5.0.0.10.in-addr.arpa. PTR     NXDOMAIN aa soa 0.0.10.in-addr.arpa. 30 (lab zone)
    ");
}

#[test]
fn aliases_are_followed() {
    insta::assert_snapshot!(check_all(&zones(true), &[
        "www.lab.test. A",
        "WWW.lab.test. CNAME",
        "twice.lab.test. AAAA",
        "shop.apps.lab.test. A",
        "x.mirror.lab.test. A",
        "lost.lab.test. A",
        "y.round.lab.test. A",
    ]), @r"
    www.lab.test. A                NOERROR aa a.lab.test. 10.0.0.11 (lab record)
    WWW.lab.test. CNAME            NOERROR aa a.lab.test. (lab record)
    twice.lab.test. AAAA           NOERROR aa www.lab.test. a.lab.test. fd00::11 (lab record)
    shop.apps.lab.test. A          NOERROR aa any.apps.lab.test. 10.0.0.5 (lab record)
    x.mirror.lab.test. A           deb.debian.org. upstream deb.debian.org.
    lost.lab.test. A               NXDOMAIN aa nobody.lab.test.soa lab.test. 30 (lab record)
    y.round.lab.test. A            SERVFAIL --  (lab zone)
    ");
    let closed = check(&zones(false), "x.mirror.lab.test. A");
    assert_eq!(closed, "NOERROR -- deb.debian.org. (no upstream)");
}

#[test]
fn services_and_texts() {
    insta::assert_snapshot!(check_all(&zones(false), &[
        "_etcd._tcp.lab.test. SRV",
        "_etcd._tcp.lab.test. A",
        "_tcp.lab.test. SRV",
        "note.lab.test. TXT",
    ]), @r"
    _etcd._tcp.lab.test. SRV       NOERROR aa 0 5 2380 a.lab.test. 0 5 0 . (lab record)
    _etcd._tcp.lab.test. A         NOERROR aa soa lab.test. 30 (lab record)
    _tcp.lab.test. SRV             NOERROR aa soa lab.test. 30 (lab zone)
    note.lab.test. TXT             NOERROR aa 300 characters  (lab record)
    ");
}

#[test]
fn who_asks_for_everything_gets_one_kind() {
    insta::assert_snapshot!(check_all(&zones(true), &[
        "a.lab.test. ANY",
        "lab.test. ANY",
        "example.com. ANY",
        "11.0.0.10.in-addr.arpa. ANY",
    ]), @r"
    a.lab.test. ANY                NOERROR aa 10.0.0.11 (node)
    lab.test. ANY                  NOERROR aa ns.lab.test. hostmaster.lab.test. 1 3600 3600 3600 30 (lab zone)
    example.com. ANY               NOERROR -- RFC8482  (protocol)
    11.0.0.10.in-addr.arpa. ANY    NOERROR aa a.lab.test. (reverse)
    ");
}

#[test]
fn a_lent_address_is_known_at_once() {
    let zones = zones(true);
    let before = check(&zones, "lent.lab.test. A");
    let plan = example::plan();
    let plan = ServicePlan { network: NetworkName::new(NETWORK).unwrap(), ..plan };
    let clients = Clients::among(&plan, zones.addresses.clone(), Boots::default());
    let changes = zones.changes();
    clients.learn([10, 0, 0, 99], &NodeName::new("lent").unwrap(), LearnedBy::Dhcp, LearnedFrom::ThisServer);
    assert!(zones.changes() > changes);
    let after = check_all(&zones, &["lent.lab.test. A", "99.0.0.10.in-addr.arpa. PTR"]);
    insta::assert_snapshot!(format!("{before}\n{after}"), @r"
    NOERROR aa soa lab.test. 1 (node)
    lent.lab.test. A               NOERROR aa 10.0.0.99 (node)
    99.0.0.10.in-addr.arpa. PTR    NOERROR aa lent.lab.test. (reverse)
    ");
}

#[test]
fn transfers_and_other_classes_are_refused() {
    let name = Name::from_ascii("lab.test.").unwrap();
    for (class, record) in [(DNSClass::IN, RecordType::AXFR), (DNSClass::CH, RecordType::TXT)] {
        let refused = OwnAnswer::bare(ResponseCode::Refused, Rule::Protocol);
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
        ("fd00:1::/64", "0.0.0.0.0.0.0.0.1.0.0.0.0.0.d.f.ip6.arpa."),
        ("fd00::/9", "d.f.ip6.arpa."),
    ] {
        assert_eq!(apex_of(subnet.parse().unwrap()).to_string(), apex);
    }
}
