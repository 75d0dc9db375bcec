//! Which client gets which address, and for how long.

use super::*;

/// A system that sends no client identifier.
fn system(mac: Mac) -> Lessee {
    Lessee { mac, client_id: Some([].into()) }
}

#[test]
fn the_pool_lends_what_is_free() {
    let mut handler = TestServer::of(&plan());
    let mac = |last| Mac([2, 0, 0, 0, 0, last]);
    let mut lines = Vec::new();
    let mut say = |what: &str, line: String| lines.push(format!("{what:24} {line}"));
    say("the lowest", handler.line(&ask(mac(1), DISCOVER)));
    say("the same again", handler.line(&ask(mac(1), DISCOVER)));
    say("taken", handler.line(&ask(mac(1), REQUEST).wanting([10, 0, 0, 30]).choosing(SERVER)));
    say("not a reserved one", handler.line(&ask(mac(2), DISCOVER).wanting([10, 0, 0, 31])));
    say("as it wishes", handler.line(&ask(mac(3), DISCOVER).wanting([10, 0, 0, 33])));
    say("a wish outside the pool", handler.line(&ask(mac(2), DISCOVER).wanting([10, 0, 0, 99])));
    say("used up", handler.line(&ask(mac(4), DISCOVER)));
    handler.now += OFFER;
    say("an offer that ran out", handler.line(&ask(mac(4), DISCOVER)));
    say("whose it was gets others", handler.line(&ask(mac(2), DISCOVER)));
    say("lent ones stay", handler.line(&ask(mac(5), DISCOVER)));
    handler.now += Duration::from_secs(3600);
    say("a lease that ran out", handler.line(&ask(mac(5), DISCOVER)));
    insta::assert_snapshot!(lines.join("\n"), @"
    the lowest               offer 10.0.0.30 to the hardware address and 10.0.0.30 [os: pool]
    the same again           offer 10.0.0.30 to the hardware address and 10.0.0.30 [os: pool]
    taken                    ack 10.0.0.30 to the hardware address and 10.0.0.30 [os: pool]
    not a reserved one       offer 10.0.0.32 to the hardware address and 10.0.0.32 [os: pool]
    as it wishes             offer 10.0.0.33 to the hardware address and 10.0.0.33 [os: pool]
    a wish outside the pool  offer 10.0.0.32 to the hardware address and 10.0.0.32 [os: pool]
    used up                  - [os: pool exhausted]
    an offer that ran out    offer 10.0.0.32 to the hardware address and 10.0.0.32 [os: pool]
    whose it was gets others offer 10.0.0.33 to the hardware address and 10.0.0.33 [os: pool]
    lent ones stay           - [os: pool exhausted]
    a lease that ran out     offer 10.0.0.32 to the hardware address and 10.0.0.32 [os: pool]
    ");
}

#[test]
fn a_request_is_for_one_address() {
    let plan = plan();
    let other = Ipv4Addr::new(10, 0, 0, 2);
    let renewing = |mac, ciaddr| Ask { ciaddr, ..ask(mac, REQUEST) };
    let table = [
        ("selecting", ask(FAST, REQUEST).wanting([10, 0, 0, 11]).choosing(SERVER)),
        ("init-reboot", ask(FAST, REQUEST).wanting([10, 0, 0, 11])),
        ("renewing", renewing(FAST, [10, 0, 0, 11])),
        ("the address of before", ask(FAST, REQUEST).wanting([192, 168, 1, 5])),
        ("renewing a wrong one", renewing(FAST, [10, 0, 0, 77])),
        ("no address", ask(FAST, REQUEST).choosing(SERVER)),
        ("another server", ask(FAST, REQUEST).wanting([10, 0, 0, 11]).choosing(other)),
        ("a stranger, from the pool", ask(STRANGER, REQUEST).wanting([10, 0, 0, 33])),
        ("a stranger, reserved", ask(STRANGER, REQUEST).wanting([10, 0, 0, 31])),
        ("the server's own", ask(STRANGER, REQUEST).wanting([10, 0, 0, 1])),
        ("a server's message", ask(FAST, 2)),
    ];
    let lines: Vec<String> =
        table.iter().map(|(name, ask)| format!("{name:26} {}", check(&plan, ask))).collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    selecting                  ack 10.0.0.11 to the hardware address and 10.0.0.11 [os: reserved]
    init-reboot                ack 10.0.0.11 to the hardware address and 10.0.0.11 [os: reserved]
    renewing                   ack 10.0.0.11 to 10.0.0.11 [os: reserved]
    the address of before      nak 0.0.0.0 to all [os: 192.168.1.5 is not this client's address, 10.0.0.11 is]
    renewing a wrong one       nak 0.0.0.0 to all [os: 10.0.0.77 is not this client's address, 10.0.0.11 is]
    no address                 - [os: no address requested]
    another server             - [os: client chose another server]
    a stranger, from the pool  ack 10.0.0.33 to the hardware address and 10.0.0.33 [os: pool]
    a stranger, reserved       nak 0.0.0.0 to all [os: 10.0.0.31 is not this client's address, 10.0.0.30 is]
    the server's own           nak 0.0.0.0 to all [os: 10.0.0.1 is not this client's address, 10.0.0.30 is]
    a server's message         - [os: unexpected message type]
    ");
}

#[test]
fn strangers_get_nothing_without_a_pool() {
    let plan = without_pool();
    let request = ask(STRANGER, REQUEST).wanting([10, 0, 0, 30]);
    let table = [
        ("discover", ask(STRANGER, DISCOVER)),
        ("a node without address", ask(REAL, DISCOVER)),
        ("somebody else's client", request.clone()),
        ("it chose us", request.choosing(SERVER)),
        ("reserved all the same", ask(FAST, DISCOVER)),
    ];
    let lines: Vec<String> =
        table.iter().map(|(name, ask)| format!("{name:22} {}", check(&plan, ask))).collect();
    insta::assert_snapshot!(lines.join("\n"), @r"
    discover               - [os: unknown MAC address, and no pool]
    a node without address - [os: no address for this node, and no pool]
    somebody else's client - [os: unknown MAC address, and no pool]
    it chose us            nak 0.0.0.0 to all [os: unknown MAC address, and no pool]
    reserved all the same  offer 10.0.0.11 to the hardware address and 10.0.0.11 [os: reserved]
    ");
}

#[test]
fn no_is_said_to_all_and_alone() {
    let mut handler = TestServer::of(&plan());
    let wrong = ask(FAST, REQUEST).wanting([192, 168, 1, 5]);
    let reply = handler.answer(&wrong).reply.unwrap();
    assert!(reply.flags.broadcast());
    assert_eq!(handler.options(&wrong), "53 [6]\n54 10.0.0.1");
    assert_eq!(handler.options(&wrong.with(61, b"rack")), "53 [6]\n54 10.0.0.1\n61 rack", "RFC 6842");
}

#[test]
fn an_address_comes_back() {
    let mut handler = TestServer::of(&plan());
    let lent = Ipv4Addr::new(10, 0, 0, 30);
    let take = |handler: &mut TestServer, mac| {
        let line = handler.line(&ask(mac, REQUEST).wanting(lent.octets()).choosing(SERVER));
        assert!(line.starts_with("ack 10.0.0.30"), "{line}");
    };
    take(&mut handler, STRANGER);
    let release = Ask { ciaddr: lent.octets(), ..ask(STRANGER, RELEASE) };
    assert_eq!(handler.line(&release), "- [os: released]");
    assert_eq!(handler.line(&release), "- [os: nothing to release]");
    take(&mut handler, REAL);

    let decline = |mac| ask(mac, DECLINE).wanting(lent.octets()).choosing(SERVER);
    let line = handler.line(&decline(STRANGER));
    assert_eq!(line, "- [os: declined an address that it was not offered]");
    assert_eq!(handler.state.of(&Lessee::machine(REAL)), Some(lent), "nobody takes an address from another");
    let line = handler.line(&decline(REAL));
    assert_eq!(line, "- [os: address conflict, address set aside]");
    assert!(handler.line(&ask(REAL, DISCOVER)).starts_with("offer 10.0.0.32"));
    let wish = ask(STRANGER, DISCOVER).wanting(lent.octets());
    assert!(handler.line(&wish).starts_with("offer 10.0.0.33"));
    handler.now += SET_ASIDE;
    assert!(handler.line(&wish).starts_with("offer 10.0.0.30"));

    // A client that requests another server's offer frees ours.
    let other = Ipv4Addr::new(10, 0, 0, 2);
    let line = handler.line(&ask(STRANGER, REQUEST).wanting([10, 0, 0, 50]).choosing(other));
    assert_eq!(line, "- [os: client chose another server]");
    assert_eq!(handler.state.of(&system(STRANGER)), None);
}

#[test]
fn a_lease_survives_a_new_discover() {
    let mut handler = TestServer::of(&plan());
    let request = ask(STRANGER, REQUEST).wanting([10, 0, 0, 33]).choosing(SERVER);
    assert!(handler.line(&request).starts_with("ack 10.0.0.33"));
    // It restarts, is offered the same address, and never requests it: the lease continues.
    assert!(handler.line(&ask(STRANGER, DISCOVER)).starts_with("offer 10.0.0.33"));
    handler.now += OFFER;
    assert!(!handler.state.is_free_for([10, 0, 0, 33].into(), &Lessee::machine(REAL), handler.now));
}

#[test]
fn reservations_hold_without_a_node() {
    let mut plan = plan();
    plan.dhcp.as_mut().unwrap().reserve = [(STRANGER, [10, 0, 0, 33].into())].into();
    let mut handler = TestServer::of(&plan);
    insta::assert_snapshot!(handler.line(&ask(STRANGER, DISCOVER)), @"offer 10.0.0.33 to the hardware address and 10.0.0.33 [os: reserved]");
    insta::assert_snapshot!(handler.line(&bootp(STRANGER)), @"bootp 10.0.0.33 to the hardware address and 10.0.0.33 [os: reserved]");
    // No other client gets it, even on request.
    let mac = |last| Mac([2, 0, 0, 0, 1, last]);
    let wish = |last| ask(mac(last), DISCOVER).wanting([10, 0, 0, 33]);
    let lines: Vec<String> = (0..3).map(|last| handler.line(&wish(last))).collect();
    insta::assert_snapshot!(lines.join("\n"), @"
    offer 10.0.0.30 to the hardware address and 10.0.0.30 [os: pool]
    offer 10.0.0.32 to the hardware address and 10.0.0.32 [os: pool]
    - [os: pool exhausted]
    ");
}

#[test]
fn strangers_are_left_to_others_where_the_lab_says_so() {
    let mut plan = plan();
    let dhcp = plan.dhcp.as_mut().unwrap();
    (dhcp.unknown_clients, dhcp.authoritative) = (UnknownClients::Ignore, false);
    dhcp.reserve = [(Mac([2, 0, 0, 0, 0, 7]), [10, 0, 0, 40].into())].into();
    let table = [
        ("a stranger", ask(STRANGER, DISCOVER)),
        ("its request", ask(STRANGER, REQUEST).wanting([10, 0, 0, 30]).choosing(SERVER)),
        ("its question", Ask { ciaddr: [10, 0, 0, 99], ..ask(STRANGER, INFORM) }),
        ("a node", ask(FAST, DISCOVER)),
        ("a node without address", ask(REAL, DISCOVER)),
        ("a reservation", ask(Mac([2, 0, 0, 0, 0, 7]), DISCOVER)),
    ];
    let lines: Vec<String> =
        table.iter().map(|(name, ask)| format!("{name:22} {}", check(&plan, ask))).collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    a stranger             - [os: unknown client, and `unknown-clients` is "ignore"]
    its request            - [os: unknown client, and `unknown-clients` is "ignore"]
    its question           - [os: unknown client, and `unknown-clients` is "ignore"]
    a node                 offer 10.0.0.11 to the hardware address and 10.0.0.11 [os: reserved]
    a node without address offer 10.0.0.30 to the hardware address and 10.0.0.30 [os: pool]
    a reservation          offer 10.0.0.40 to the hardware address and 10.0.0.40 [os: reserved]
    "#);
}

#[test]
fn only_the_authority_says_no_to_clients_of_others() {
    let mut plan = plan();
    let wrong = |mac| ask(mac, REQUEST).wanting([192, 168, 1, 5]);
    let table = [
        ("a stranger elsewhere", wrong(STRANGER)),
        ("a stranger from here", ask(STRANGER, REQUEST).wanting([10, 0, 0, 30])),
        ("it chose us", wrong(STRANGER).choosing(SERVER)),
        ("a node elsewhere", wrong(FAST)),
        ("a node's address", ask(FAST, REQUEST).wanting([10, 0, 0, 11])),
    ];
    let lines = |plan: &ServicePlan| {
        let line = |(name, ask): &(&str, Ask)| format!("{name:20} {}", check(plan, ask));
        table.iter().map(line).collect::<Vec<_>>().join("\n")
    };
    insta::assert_snapshot!(lines(&plan), @"
    a stranger elsewhere nak 0.0.0.0 to all [os: 192.168.1.5 is not this client's address, 10.0.0.30 is]
    a stranger from here ack 10.0.0.30 to the hardware address and 10.0.0.30 [os: pool]
    it chose us          nak 0.0.0.0 to all [os: 192.168.1.5 is not this client's address, 10.0.0.30 is]
    a node elsewhere     nak 0.0.0.0 to all [os: 192.168.1.5 is not this client's address, 10.0.0.11 is]
    a node's address     ack 10.0.0.11 to the hardware address and 10.0.0.11 [os: reserved]
    ");
    plan.dhcp.as_mut().unwrap().authoritative = false;
    insta::assert_snapshot!(lines(&plan), @"
    a stranger elsewhere - [os: the address was not leased by this server]
    a stranger from here - [os: the address was not leased by this server]
    it chose us          nak 0.0.0.0 to all [os: 192.168.1.5 is not this client's address, 10.0.0.30 is]
    a node elsewhere     nak 0.0.0.0 to all [os: 192.168.1.5 is not this client's address, 10.0.0.11 is]
    a node's address     ack 10.0.0.11 to the hardware address and 10.0.0.11 [os: reserved]
    ");
    // A server recognises its own leases.
    let mut handler = TestServer::of(&plan);
    handler.line(&ask(STRANGER, REQUEST).wanting([10, 0, 0, 30]).choosing(SERVER));
    assert!(handler.line(&ask(STRANGER, REQUEST).wanting([10, 0, 0, 30])).starts_with("ack 10.0.0.30"));
}

#[test]
fn an_address_is_lent_for_as_long_as_is_asked_and_allowed() {
    let lease = |seconds: u32| {
        let ask = ask(FAST, DISCOVER).with(51, &seconds.to_be_bytes());
        let options = TestServer::of(&plan()).options(&ask);
        options
            .lines()
            .filter(|line| ["51 ", "58 ", "59 "].iter().any(|code| line.starts_with(code)))
            .collect::<Vec<_>>()
            .join(", ")
    };
    insta::assert_snapshot!([0, 60, 3600, u32::MAX].map(lease).join("\n"), @"
    51 0.0.0.10, 58 0.0.0.5, 59 0.0.0.8
    51 0.0.0.60, 58 0.0.0.30, 59 0.0.0.52
    51 0.0.14.16, 58 0.0.7.8, 59 0.0.12.78
    51 0.0.14.16, 58 0.0.7.8, 59 0.0.12.78
    ");
}

#[test]
fn nodes_boot_however_many_strangers_came_first() {
    let mut handler = TestServer::of(&plan());
    for stranger in 0..100 {
        handler.answer(&ask(Mac([2, 0, 0, 0, 9, stranger]), DISCOVER));
    }
    assert_eq!(handler.line(&ask(STRANGER, DISCOVER)), "- [os: pool exhausted]");
    assert!(handler.line(&ask(FAST, DISCOVER)).starts_with("offer 10.0.0.11"), "a reservation");
    assert!(
        handler.line(&ask(REAL, DISCOVER)).starts_with("offer 10.0.0.30"),
        "an offer that waited for a stranger"
    );
    assert!(
        handler
            .line(&ask(REAL, REQUEST).wanting([10, 0, 0, 30]).choosing(SERVER))
            .starts_with("ack 10.0.0.30")
    );
    // Existing leases are kept.
    for (stranger, address) in [(1, 32), (2, 33)] {
        let request =
            ask(Mac([2, 0, 0, 0, 9, stranger]), REQUEST).wanting([10, 0, 0, address]).choosing(SERVER);
        assert!(handler.line(&request).starts_with("ack"));
    }
    handler.now += OFFER;
    assert_eq!(handler.line(&ask(STRANGER, DISCOVER)), "- [os: pool exhausted]");
}

#[test]
fn a_reserved_address_in_use_is_set_aside_too() {
    let mut handler = TestServer::of(&plan());
    let mut lines = Vec::new();
    let request = ask(FAST, REQUEST).wanting([10, 0, 0, 11]).choosing(SERVER);
    lines.push(handler.line(&request));
    lines.push(handler.line(&ask(FAST, DECLINE).wanting([10, 0, 0, 11]).choosing(SERVER)));
    lines.push(handler.line(&ask(FAST, DISCOVER)));
    handler.now += SET_ASIDE;
    lines.push(handler.line(&ask(FAST, DISCOVER)));
    insta::assert_snapshot!(lines.join("\n"), @"
    ack 10.0.0.11 to the hardware address and 10.0.0.11 [os: reserved]
    - [os: address conflict, address set aside]
    offer 10.0.0.30 to the hardware address and 10.0.0.30 [os: address conflict on the reserved address]
    offer 10.0.0.11 to the hardware address and 10.0.0.11 [os: reserved]
    ");
}

/// DISCOVER and REQUEST of a client with an identifier, with and without the architecture of a firmware.
fn lease(handler: &mut TestServer, mac: Mac, id: &[u8], is_firmware: bool) -> String {
    let ask = |kind: u8| {
        let ask = if id.is_empty() { ask(mac, kind) } else { ask(mac, kind).with(61, id) };
        if is_firmware { ask.with(60, b"PXEClient:Arch:00007:UNDI:003001").with(93, &[0, 7]) } else { ask }
    };
    let Some(offer) = handler.answer(&ask(DISCOVER)).reply else { return "no offer".to_owned() };
    let request = ask(REQUEST).wanting(offer.yiaddr.octets()).choosing(SERVER);
    match handler.answer(&request).reply {
        Some(reply) if reply.kind == Some(MessageType::Ack) => reply.yiaddr.to_string(),
        reply => format!("{reply:?}"),
    }
}

#[test]
fn several_clients_behind_one_mac_are_told_apart_by_their_ids() {
    let outcome = |identity, mac| {
        let mut plan = plan();
        plan.dhcp.as_mut().unwrap().identity = identity;
        let mut handler = TestServer::of(&plan);
        [&b"\0one"[..], b"\0two", b"\0three", b"\0one"]
            .map(|id| lease(&mut handler, mac, id, false))
            .join(" ")
    };
    let by_id = Some(Identity::ClientId);
    let lines = [
        ("stranger", outcome(None, STRANGER)),
        ("stranger, \"mac\"", outcome(Some(Identity::Mac), STRANGER)),
        ("stranger, \"client-id\"", outcome(by_id, STRANGER)),
        ("node", outcome(None, FAST)),
        ("node, \"mac\"", outcome(Some(Identity::Mac), FAST)),
        ("node, \"client-id\"", outcome(by_id, FAST)),
    ];
    let lines: Vec<String> = lines.iter().map(|(who, line)| format!("{who:21} {line}")).collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    stranger              10.0.0.30 10.0.0.32 10.0.0.33 10.0.0.30
    stranger, "mac"       10.0.0.30 10.0.0.30 10.0.0.30 10.0.0.30
    stranger, "client-id" 10.0.0.30 10.0.0.32 10.0.0.33 10.0.0.30
    node                  10.0.0.11 10.0.0.11 10.0.0.11 10.0.0.11
    node, "mac"           10.0.0.11 10.0.0.11 10.0.0.11 10.0.0.11
    node, "client-id"     10.0.0.11 10.0.0.30 10.0.0.32 10.0.0.11
    "#);
}

#[test]
fn a_machine_keeps_its_address_from_firmware_to_system() {
    let outcome = |identity, mac| {
        let mut plan = plan();
        plan.dhcp.as_mut().unwrap().identity = identity;
        let mut handler = TestServer::of(&plan);
        let mut steps = vec![lease(&mut handler, mac, b"\0a UUID", true)];
        steps.push(lease(&mut handler, mac, b"\xff a DUID", false));
        steps.push(lease(&mut handler, mac, b"\0a UUID", true));
        steps.push(lease(&mut handler, mac, b"\xff a DUID", false));
        steps.push(lease(&mut handler, mac, b"\xff a container", false));
        steps.join(" ")
    };
    let by_id = Some(Identity::ClientId);
    assert_eq!(outcome(None, FAST), "10.0.0.11 10.0.0.11 10.0.0.11 10.0.0.11 10.0.0.11");
    assert_eq!(outcome(by_id, FAST), "10.0.0.11 10.0.0.11 10.0.0.11 10.0.0.11 10.0.0.30");
    assert_eq!(outcome(None, STRANGER), "10.0.0.30 10.0.0.30 10.0.0.30 10.0.0.30 10.0.0.32");
    assert_eq!(outcome(Some(Identity::Mac), STRANGER), "10.0.0.30 10.0.0.30 10.0.0.30 10.0.0.30 10.0.0.30");
}

#[test]
fn the_client_id_of_a_nic_says_who_its_address_is_for() {
    let mut plan = plan();
    plan.dhcp.as_mut().unwrap().identity = Some(Identity::ClientId);
    plan.hosts[0].client_id = Some(crate::lab::options::Octets(b"host".to_vec()));
    let mut handler = TestServer::of(&plan);
    assert_eq!(lease(&mut handler, FAST, b"\0pod", false), "10.0.0.30", "although nobody has it yet");
    assert_eq!(lease(&mut handler, FAST, b"\0 a UUID", true), "10.0.0.11", "the firmware");
    assert_eq!(lease(&mut handler, FAST, b"\0host", false), "10.0.0.11");
    assert_eq!(lease(&mut handler, FAST, b"\0pod", false), "10.0.0.30");
}

#[test]
fn bootp_is_refused_an_address_that_another_client_uses() {
    let mut plan = plan();
    plan.hosts[0].client_id = Some(crate::lab::options::Octets(b"host".to_vec()));
    let mut handler = TestServer::of(&plan);
    let other = Mac([2, 0, 0, 0, 1, 6]);
    assert_eq!(lease(&mut handler, other, b"\0host", false), "10.0.0.11", "another NIC of the same system");
    insta::assert_snapshot!(handler.line(&bootp(FAST)), @"- [os: another client uses the address of this NIC]");
    handler.now += Duration::from_secs(86_400);
    assert!(handler.line(&bootp(FAST)).starts_with("bootp 10.0.0.11"));
}

#[test]
fn two_machines_with_one_uuid_have_two_addresses() {
    let mut handler = TestServer::of(&plan());
    let uuid = [&[0][..], &plan().hosts[0].uuid.into_bytes()].concat();
    let clone = |last| Mac([2, 0, 0, 0, 7, last]);
    let take = |handler: &mut TestServer, mac| {
        let offer = handler.answer(&firmware(mac, 7).with(97, &uuid)).reply.unwrap().yiaddr;
        let request = ask(mac, REQUEST).with(93, &[0, 7]).with(97, &uuid);
        handler.line(&request.wanting(offer.octets()).choosing(SERVER))
    };
    assert!(take(&mut handler, clone(1)).starts_with("ack 10.0.0.11"));
    assert!(take(&mut handler, clone(2)).starts_with("ack 10.0.0.30"));
    assert!(take(&mut handler, FAST).starts_with("ack 10.0.0.11"), "it is its own");
}
