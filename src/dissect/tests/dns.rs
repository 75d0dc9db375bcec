//! DNS over TCP.

use super::*;

/// A query of the address of a name.
fn query(id: u8, name: &str) -> Vec<u8> {
    let mut message = vec![0, id, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        message.push(label.len() as u8);
        message.extend(label.as_bytes());
    }
    message.extend([0, 0, 1, 0, 1]);
    message
}

/// Its answer: 10.0.0.`address`.
fn answer(id: u8, name: &str, address: u8) -> Vec<u8> {
    let mut message = query(id, name);
    message[2..4].copy_from_slice(&[0x81, 0x80]);
    message[7] = 1;
    message.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, address]);
    message
}

fn over_tcp(message: &[u8]) -> Vec<u8> {
    [&(message.len() as u16).to_be_bytes(), message].concat()
}

/// The events of names, with their exchanges.
fn names(seen: &[Seen]) -> String {
    let of_names = seen.iter().filter(|seen| matches!(seen.known, Known::DnsAnswered { .. }));
    let lines = of_names.map(|seen| format!("{} {}", seen.exchange.as_ref().unwrap(), line(seen)));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn tcp_tells_the_same_as_udp() {
    let asked = [(1, "boot.lab", 7), (2, "other.lab", 8)];
    let mut udp = Script::default();
    let mut tcp = Script::default();
    for (id, name, address) in asked {
        udp.datagram("10.0.0.30:4000", "10.0.0.9:53", &query(id, name));
        udp.datagram("10.0.0.9:53", "10.0.0.30:4000", &answer(id, name, address));
    }
    let mut connection = Connection::open(&mut tcp, 4000, 53);
    for (id, name, address) in asked {
        connection.client(&over_tcp(&query(id, name))).server(&over_tcp(&answer(id, name, address)));
    }
    connection.close();
    let facts = |script: &Script| -> Vec<_> {
        let seen = script.seen().into_iter();
        seen.map(|Seen { node, exchange, mut known, .. }| {
            if let Known::DnsAnswered { us, .. } = &mut known {
                *us = 0;
            }
            (node, exchange, known)
        })
        .collect()
    };
    assert_eq!(facts(&tcp), facts(&udp));
    assert_snapshot!(names(&tcp.seen()), @r"
    dns 10.0.0.30:4000 0001 a: 10.0.0.9 answered NOERROR for boot.lab. A: 10.0.0.7
    dns 10.0.0.30:4000 0002 a: 10.0.0.9 answered NOERROR for other.lab. A: 10.0.0.8
    ");
}

#[test]
fn messages_come_together_and_in_pieces() {
    let mut script = Script::default();
    let mut connection = Connection::open(&mut script, 4000, 53);
    let asked = [1, 2, 3, 4].map(|id| (id, format!("n{id}.lab")));
    let queries: Vec<u8> = asked.iter().flat_map(|(id, name)| over_tcp(&query(*id, name))).collect();
    // All at once, but the first byte; the answers in another order, one of them byte by byte.
    connection.client(&queries[..1]).client(&queries[1..]);
    connection.server(&[over_tcp(&answer(3, "n3.lab", 3)), over_tcp(&answer(1, "n1.lab", 1))].concat());
    for byte in over_tcp(&answer(4, "n4.lab", 4)) {
        connection.server(&[byte]);
    }
    // Its second half comes first.
    let last = over_tcp(&answer(2, "n2.lab", 2));
    let (received, sent) = (connection.received, connection.sent);
    connection.segment(false, "A", received + 20, sent, &last[20..]);
    connection.segment(false, "A", received, sent, &last[..20]);
    connection.missed(last.len()).close();
    assert_snapshot!(script.told(), @r"
    a: 10.0.0.9 answered NOERROR for n3.lab. A: 10.0.0.3
    a: 10.0.0.9 answered NOERROR for n1.lab. A: 10.0.0.1
    a: 10.0.0.9 answered NOERROR for n4.lab. A: 10.0.0.4
    a: 10.0.0.9 answered NOERROR for n2.lab. A: 10.0.0.2
    ");
}

#[test]
fn gaps_cost_the_messages_in_them() {
    let mut script = Script::default();
    let mut connection = Connection::open(&mut script, 4000, 53);
    for id in 1..=6 {
        connection.client(&over_tcp(&query(id, &format!("n{id}.lab"))));
    }
    let replies: Vec<Vec<u8>> = (1..=6).map(|id| over_tcp(&answer(id, &format!("n{id}.lab"), id))).collect();
    // The end of the first is missing, the whole third, and between both is an empty message.
    connection.server(&replies[0][..20]).missed(replies[0].len() - 20);
    connection.server(&[0, 0]).server(&replies[1]).missed(replies[2].len()).server(&replies[3]);
    // A transfer of a zone is not read.
    let zone = over_tcp(&[7; 60_000]);
    for part in zone.chunks(1400) {
        connection.server(part);
    }
    connection.server(&replies[4]);
    // What is in no order cannot be read; what follows can.
    connection.missed(5).server(&[9; 50]).server(&replies[5]).close();
    assert_snapshot!(script.told(), @r"
    a: 10.0.0.9 answered NOERROR for n2.lab. A: 10.0.0.2
    a: 10.0.0.9 answered NOERROR for n4.lab. A: 10.0.0.4
    a: 10.0.0.9 answered NOERROR for n5.lab. A: 10.0.0.5
    a: 10.0.0.9 answered NOERROR for n6.lab. A: 10.0.0.6
    a: dns n1.lab. A was not answered by 10.0.0.9
    a: dns n3.lab. A was not answered by 10.0.0.9
    ");
}

#[test]
fn a_connection_from_before_the_capture_is_read_from_its_next_query_on() {
    let mut script = Script::default();
    let mut connection = Connection::unseen(&mut script, 4000, 53);
    connection.server(&over_tcp(&answer(1, "n1.lab", 1))).client(b"\0\x20no query");
    connection.client(&over_tcp(&query(2, "n2.lab"))).server(&over_tcp(&answer(2, "n2.lab", 2))).close();
    assert_snapshot!(script.told(), @"a: 10.0.0.9 answered NOERROR for n2.lab. A: 10.0.0.2");
}

#[test]
fn an_answer_that_is_too_long_for_udp_is_another_one() {
    let mut script = Script::default();
    script.datagram("10.0.0.30:4000", "10.0.0.9:53", &query(1, "boot.lab"));
    let mut cut = query(1, "boot.lab");
    cut[2..4].copy_from_slice(&[0x83, 0x80]);
    script.datagram("10.0.0.9:53", "10.0.0.30:4000", &cut);
    let mut connection = Connection::open(&mut script, 4001, 53);
    connection.client(&over_tcp(&query(1, "boot.lab"))).server(&over_tcp(&answer(1, "boot.lab", 7))).close();
    assert_snapshot!(names(&script.seen()), @r"
    dns 10.0.0.30:4000 0001 a: 10.0.0.9 answered NOERROR for boot.lab. A
    dns 10.0.0.30:4001 0001 a: 10.0.0.9 answered NOERROR for boot.lab. A: 10.0.0.7
    ");
}

#[test]
fn our_own_answers_have_no_server_and_our_own_queries_are_nobodys() {
    let mut script = Script::default();
    for (client, server) in [(30, 5), (30, 6), (5, 30)] {
        let addresses = |from: u8, to: u8| ([10, 0, 0, from].into(), [10, 0, 0, to].into());
        let mut segment = |from_client: bool, sequence: u32, flag: &str, payload: &[u8]| {
            let (from, to) = if from_client { addresses(client, server) } else { addresses(server, client) };
            let (from_port, to_port) = if from_client { (4000, 53) } else { (53, 4000) };
            let step = ethernet(from, to).tcp(from_port, to_port, sequence, 1000);
            let step = if flag == "S" { step.syn() } else { step.ack(1) };
            let mut frame = Vec::new();
            step.write(&mut frame, payload).unwrap();
            script.frame(frame);
        };
        segment(true, 0, "S", b"");
        segment(true, 1, "A", &over_tcp(&query(1, "boot.lab")));
        segment(false, 1, "A", &over_tcp(&answer(1, "boot.lab", 7)));
    }
    assert_snapshot!(names(&read(lab(), Link::Ethernet, &script.frames)), @r"
    dns 10.0.0.30:4000 0001 a: answered NOERROR for boot.lab. A: 10.0.0.7
    dns 10.0.0.30:4000 0001 a: 10.0.0.6 answered NOERROR for boot.lab. A: 10.0.0.7
    ");
}
