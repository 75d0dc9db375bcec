use proptest::prelude::*;

use super::*;

const NODE: Mac = Mac([0x52, 0x54, 0, 1, 2, 3]);
const STRANGER: Mac = Mac([2, 0, 0, 0, 0, 9]);

fn router(mtu: u16, skip_delays: bool) -> Router {
    Router {
        network: NetworkName::new("lan").unwrap(),
        mac: Mac([2, 0, 0, 0, 0, 1]),
        mtu,
        ipv6: None,
        hosts: vec![Host { node: NodeName::new("a").unwrap(), mac: NODE, skip_delays }],
    }
}

fn with_ipv6(managed: bool) -> Router {
    let address = "fd00:83::1/64".parse().unwrap();
    Router {
        ipv6: Some(Ipv6 { address, managed, domain: Some("lab.test".to_owned()), to_all: true }),
        ..router(1500, false)
    }
}

/// The solicitation of the `virtio-net-pci` ROM of iPXE 2019-01.
fn solicitation() -> Vec<u8> {
    let mut packet = vec![SOLICITATION, 0, 0x12, 0x34, 0, 0, 0, 0, code::SOURCE_ADDRESS, 1];
    packet.extend(NODE.0);
    packet
}

fn from(from: Ipv6Addr, packet: &[u8]) -> Received<'_> {
    Received { packet, from, hop_limit: Some(255) }
}

#[test]
fn a_solicitation_is_answered_to_its_sender() {
    let packet = solicitation();
    let requested_by = requested(&router(1500, true), from(NODE.link_local(), &packet)).unwrap();
    assert_eq!(requested_by.by, Some(NODE.link_local()));
    assert_eq!(requested_by.node, Some(NodeName::new("a").unwrap()));
    // A sender without an address is answered by multicast.
    let unnamed = requested(&router(1500, true), from(Ipv6Addr::UNSPECIFIED, &packet[..8])).unwrap();
    assert_eq!(unnamed, Solicitation { by: None, node: None });
}

#[test]
fn without_ipv6_there_is_nothing_to_tell() {
    let nothing = [134, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 0, 0, 0, 0, 1];
    assert_eq!(router(1500, true).advertisement(), nothing);
    assert_eq!(router(1400, true).advertisement()[24..], [5, 1, 0, 0, 0, 0, 5, 120]);
}

#[test]
fn with_ipv6_the_prefix_and_the_name_server_are_told() {
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let options = |packet: &[u8]| {
        let (head, mut rest) = packet.split_at(16);
        let mut lines = vec![hex(head)];
        while !rest.is_empty() {
            let (option, tail) = rest.split_at(usize::from(rest[1]) * 8);
            lines.push(hex(option));
            rest = tail;
        }
        lines.join("\n")
    };
    insta::assert_snapshot!(options(&with_ipv6(true).advertisement()), @"
    8600000040c000000000000000000000
    0101020000000001
    05010000000005dc
    030440c000278d0000093a8000000000fd000083000000000000000000000000
    1903000000000258fd000083000000000000000000000001
    1f03000000000258036c6162047465737400000000000000
    ");
    assert_eq!(with_ipv6(true).advertisement_for(30)[..8], [134, 0, 0, 0, 64, 0xc0, 0, 30]);
    // Without a DHCP server of the lab, no host is referred to DHCPv6.
    assert_eq!(with_ipv6(false).advertisement()[..8], [134, 0, 0, 0, 64, 0, 0, 0]);
}

#[test]
fn some_solicitations_are_left_unanswered() {
    let packet = solicitation();
    let known = from(NODE.link_local(), &packet);
    assert_eq!(requested(&router(1500, false), known), None, "a node at real pace");
    let unnamed = from(Ipv6Addr::UNSPECIFIED, &packet[..8]);
    assert_eq!(requested(&router(1500, false), unnamed), None, "it may be that node, which would hear it");
    assert!(
        requested(&router(1500, false), from(STRANGER.link_local(), &packet[..8])).is_some(),
        "only it hears"
    );
    for answered in [known, unnamed] {
        assert!(
            requested(&with_ipv6(true), answered).is_some(),
            "a network with IPv6 has no waits to leave in"
        );
    }

    let router = router(1500, true);
    assert_eq!(requested(&router, Received { hop_limit: Some(64), ..known }), None, "crossed a router");
    assert_eq!(requested(&router, Received { hop_limit: None, ..known }), None);
    let global = "fd00:83::5".parse().unwrap();
    assert_eq!(requested(&router, from(global, &packet)), None, "nobody on this link has such an address");
    assert!(requested(&with_ipv6(true), from(global, &packet)).is_some());
    assert_eq!(requested(&with_ipv6(true), from("fd00:84::5".parse().unwrap(), &packet)), None);
    let nameless = from(Ipv6Addr::UNSPECIFIED, &packet);
    assert_eq!(requested(&router, nameless), None, "no address, but a card: RFC 4861, section 6.1.1");
    let mut endless = packet.clone();
    endless[9] = 0;
    assert_eq!(requested(&router, from(NODE.link_local(), &endless)), None);
}

/// Returns at which seconds advertisements are multicast, if a host without an address solicits at others.
fn reported(router: &Router, requested: &[u64], until: u64) -> Vec<u64> {
    let mut rounds = AdvertisementTimer::new(router.ipv6.as_ref(), RunTime::START);
    let due = |second: u64| {
        if requested.contains(&second) {
            rounds.send_soon(Duration::from_secs(second).into());
        }
        rounds.due(Duration::from_secs(second).into()).then_some(second)
    };
    (0..=until).filter_map(due).collect()
}

#[test]
fn on_a_wire_of_others_only_nodes_of_the_lab_are_told() {
    let mut router = with_ipv6(true);
    router.ipv6.as_mut().unwrap().to_all = false;
    let packet = solicitation();
    assert!(requested(&router, from(NODE.link_local(), &packet)).is_some());
    assert_eq!(requested(&router, from(STRANGER.link_local(), &packet[..8])), None);
    assert_eq!(
        requested(&router, from(Ipv6Addr::UNSPECIFIED, &packet[..8])),
        None,
        "all would hear the answer"
    );
    assert_eq!(reported(&router, &[], 500), [0_u64; 0]);
}

#[test]
fn everybody_is_told_from_time_to_time_and_never_too_often() {
    assert_eq!(reported(&with_ipv6(true), &[], 500), [0, 16, 32, 232, 432]);
    assert_eq!(reported(&with_ipv6(true), &[1, 2, 50, 51], 60), [0, 3, 19, 50, 53]);
    assert_eq!(reported(&router(1500, true), &[], 500), [0], "without IPv6 there is nothing to repeat");
    assert_eq!(reported(&router(1500, true), &[10, 11, 12, 13, 14], 500), [0, 10, 13, 16]);
}

proptest! {
    #[test]
    fn no_packet_panics(packet in proptest::collection::vec(any::<u8>(), 0..64), head in any::<bool>()) {
        let packet = if head { [&[SOLICITATION, 0, 0, 0, 0, 0, 0, 0], packet.as_slice()].concat() } else { packet };
        for router in [router(1500, true), with_ipv6(true)] {
            let _asked = requested(&router, from(NODE.link_local(), &packet));
        }
    }

    #[test]
    fn every_advertisement_is_whole(mtu in 1280_u16.., domain in "[a-z.]{0,80}") {
        let mut router = with_ipv6(true);
        router.mtu = mtu;
        router.ipv6.as_mut().unwrap().domain = Some(domain);
        let packet = router.advertisement();
        prop_assert_eq!(source_address(&packet[16..]), Some(Some(router.mac)));
    }
}
