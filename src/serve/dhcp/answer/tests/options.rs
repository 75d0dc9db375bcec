//! Parsing and encoding of options.

use super::*;
use crate::wire::dhcp::Options;

#[test]
fn options_in_overloaded_fields_count() {
    let mut packet = ask(FAST, DISCOVER).with(52, &[3]).packet();
    packet[108..115].copy_from_slice(&[77, 4, b'i', b'P', b'X', b'E', 255]);
    packet[44..50].copy_from_slice(&[50, 4, 10, 0, 0, 33]);
    let request = Request::decode(&packet).unwrap();
    assert_eq!(Client::of(&request, &[]), Client::Ipxe);
    assert_eq!(request.requested, Some(Ipv4Addr::new(10, 0, 0, 33)));
    // Option 52 says which fields hold options: without it they are text.
    packet[245] = 0;
    assert_eq!(Client::of(&Request::decode(&packet).unwrap(), &[]), Client::Os);
}

/// Lengths on which dhcproto's decoder asserts in debug builds or stops silently.
#[test]
fn an_option_that_is_broken_costs_itself_only() {
    for (code, value) in
        [(80, &b"x"[..]), (81, b"a"), (94, b""), (94, b"12345"), (12, b"\xff\xfe"), (50, b"abc")]
    {
        let ask = Ask { options: Vec::new(), ..ask(FAST, DISCOVER) }.with(code, value).with(53, &[DISCOVER]);
        assert!(check(&plan(), &ask).starts_with("offer 10.0.0.11"), "option {code}");
    }
    // Long options are split (RFC 3396); a message type of the wrong length is ignored.
    let ask = bootp(FAST).with(77, b"iP").with(77, b"XE").with(53, &[1, 1]);
    let request = Request::decode(&ask.packet()).unwrap();
    assert_eq!(Client::of(&request, &[]), Client::Ipxe);
}

#[test]
fn options_of_the_lab_file_count_and_those_of_a_node_most() {
    let plan = with_options(
        &[(26, &[5, 0]), (42, &[10, 0, 0, 2]), (58, &[0, 0, 0, 5]), (67, b"net.efi"), (150, &[10, 0, 0, 3])],
        &[(42, &[10, 0, 0, 9]), (12, b"other"), (224, b"")],
    );
    let mut handler = TestServer::of(&plan);
    insta::assert_snapshot!(handler.options(&firmware(FAST, 7)), @"
    53 [2]
    54 10.0.0.1
    51 0.0.14.16
    59 0.0.12.78
    1 255.255.255.0
    28 10.0.0.255
    3 10.0.0.1
    6 10.0.0.1
    12 other
    15 lab.test
    26 [5, 0]
    42 10.0.0.9
    58 0.0.0.5
    67 net.efi
    150 10.0.0.3
    224 []
    60 PXEClient
    43 6.1.8.255
    66 10.0.0.1
    ");
    insta::assert_snapshot!(handler.options(&ask(STRANGER, DISCOVER)), @"
    53 [2]
    54 10.0.0.1
    51 0.0.14.16
    59 0.0.12.78
    1 255.255.255.0
    28 10.0.0.255
    3 10.0.0.1
    6 10.0.0.1
    15 lab.test
    26 [5, 0]
    42 10.0.0.2
    58 0.0.0.5
    67 net.efi
    150 10.0.0.3
    ");
    let packet = handler.answer(&firmware(FAST, 7)).reply.map(packet).unwrap();
    assert!(packet[108..].starts_with(b"net.efi\0"), "the header says the same");
    let inform = Ask { ciaddr: [10, 0, 0, 99], ..ask(STRANGER, INFORM) };
    assert!(!handler.options(&inform).contains("58 "), "no times without a lease");
}

#[test]
fn long_options_are_sent_in_pieces() {
    let value: Vec<u8> = (0..=255).chain(0..=255).collect();
    let mut handler = TestServer::of(&with_options(&[(224, &value)], &[]));
    let large = ask(STRANGER, DISCOVER).with(57, &1500_u16.to_be_bytes());
    let packet = handler.answer(&large).reply.map(packet).unwrap();
    let read = Options::split(&packet);
    assert_eq!(read.get(224), Some(&value[..]));
    let pieces = packet.windows(2).filter(|window| [[224, 255], [224, 2]].contains(&[window[0], window[1]]));
    assert_eq!(pieces.count(), 3, "255, 255 and 2 bytes");
}

#[test]
fn replies_fit_what_the_client_takes() {
    let value = [7; 100];
    let many: Vec<(u8, &[u8])> = (200..210).map(|code| (code, &value[..])).collect();
    let plan = with_options(&many, &[]);
    let size = |ask: &Ask| {
        let reply = TestServer::of(&plan).answer(ask).reply.unwrap();
        let mut packet = Vec::new();
        let left = reply.encode(&mut packet).unwrap();
        (packet.len(), left.len())
    };
    let taking = |ask: Ask, bytes: u16| ask.with(57, &bytes.to_be_bytes());
    let os = || ask(STRANGER, DISCOVER);
    // The UDP and IP headers count too; what does not fit is left out, and 576 is the minimum.
    let table = [
        ("says nothing", size(&os())),
        ("takes little", size(&taking(os(), 100))),
        ("takes 1000", size(&taking(os(), 1000))),
        ("takes a frame", size(&taking(os(), 1500))),
        ("takes more", size(&taking(os(), 65535))),
        ("firmware", size(&firmware(FAST, 7))),
        ("firmware takes 1260", size(&taking(firmware(FAST, 7), 1260))),
        ("bootp", size(&bootp(FAST))),
    ];
    insta::assert_debug_snapshot!(table, @r#"
    [
        (
            "says nothing",
            (
                513,
                7,
            ),
        ),
        (
            "takes little",
            (
                513,
                7,
            ),
        ),
        (
            "takes 1000",
            (
                921,
                3,
            ),
        ),
        (
            "takes a frame",
            (
                1326,
                0,
            ),
        ),
        (
            "takes more",
            (
                1326,
                0,
            ),
        ),
        (
            "firmware",
            (
                461,
                9,
            ),
        ),
        (
            "firmware takes 1260",
            (
                1175,
                2,
            ),
        ),
        (
            "bootp",
            (
                300,
                10,
            ),
        ),
    ]
    "#);
    // Requested options come first.
    let decision = TestServer::of(&plan).answer(&os().with(55, &[209, 208]));
    let packet = packet(decision.reply.unwrap());
    let read = Options::split(&packet);
    assert!([208, 209, 54, 51, 1].iter().all(|code| read.get(*code).is_some()));
    assert_eq!(read.get(205), None);
}

#[test]
fn header_fields_hold_options_only_for_operating_systems() {
    let value = [7; 60];
    let many: Vec<(u8, &[u8])> = (200..208).map(|code| (code, &value[..])).collect();
    let plan = with_options(&many, &[]);
    let reply = |ask: &Ask| TestServer::of(&plan).answer(ask).reply.map(packet).unwrap();
    let os = reply(&ask(STRANGER, DISCOVER));
    let read = Options::split(&os);
    assert_eq!(read.get(52), Some(&[3][..]), "both of them");
    let found = (200..208).filter(|code| read.get(*code) == Some(&value[..])).count();
    let firmware = reply(&firmware(FAST, 7));
    let read = Options::split(&firmware);
    assert_eq!(read.get(52), None);
    assert!(found > (200..208).filter(|code| read.get(*code).is_some()).count());
    assert_eq!(read.get(67), Some(&b"ipxe/snponly.efi"[..]), "what it boots from is there");
    assert!(firmware[108..].starts_with(b"ipxe/snponly.efi\0"));
}

proptest! {
    /// Options survive encoding and parsing, long ones too, wherever they fit.
    #[test]
    fn options_survive_a_round_trip(values in proptest::collection::btree_map(160..240_u8, proptest::collection::vec(any::<u8>(), 0..400), 0..6)) {
        let options: Vec<(u8, &[u8])> = values.iter().map(|(code, value)| (*code, &value[..])).collect();
        let mut handler = TestServer::of(&with_options(&options, &[]));
        let reply = handler.answer(&ask(STRANGER, DISCOVER).with(57, &1500_u16.to_be_bytes())).reply.unwrap();
        let mut packet = Vec::new();
        let left = reply.encode(&mut packet).unwrap();
        let read = Options::split(&packet);
        for (code, value) in &options {
            let wanted = (!left.contains(code)).then_some(*value);
            prop_assert_eq!(read.get(*code), wanted, "option {}", code);
        }
    }
}

/// Requested options do not displace server, address and lease time.
#[test]
fn a_reply_without_room_is_still_a_reply() {
    let plan = with_options(&[(67, &[b'x'; 255])], &[]);
    let ask = firmware(FAST, 0).with(97, &[0; 17]).with(55, &[67, 66, 60, 43, 97]);
    let mut handler = TestServer::of(&plan);
    for line in ["54 10.0.0.1", "51 0.0.14.16", "1 255.255.255.0"] {
        assert!(handler.has_option(&ask, line), "{line} is not in\n{}", handler.options(&ask));
    }
}
