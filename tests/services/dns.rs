//! DNS with dig.

use std::net::UdpSocket;

use dryrack::event::{DnsCode, Known};

use super::dhcp::Lease;
use crate::rack::{Client, Rack, alone};
use crate::{LAB, STRANGER, kernel};

/// Queries with dig; returns status, relevant flags and data in one line.
pub(crate) fn dig(client: &Client, question: &str) -> String {
    let always = ["@10.0.0.1", "+tries=1", "+time=30", "+noall", "+comments", "+answer"];
    let words: Vec<&str> = always.into_iter().chain(question.split(' ')).collect();
    let text = client.run("dig", &words);
    let header = text.lines().find(|line| line.contains("status: ")).unwrap_or(&text);
    let status = header.split("status: ").nth(1).unwrap().split(',').next().unwrap();
    let flags = text.lines().find(|line| line.starts_with(";; flags:")).unwrap();
    let flag = |flag: &'static str| {
        if flags.split(';').nth(2).unwrap().contains(&format!(" {flag}")) { flag } else { "--" }
    };
    let data = text.lines().filter(|line| !line.starts_with(';') && !line.is_empty());
    let data: Vec<String> = data
        .map(|line| {
            let fields: Vec<&str> = line.split_whitespace().skip(4).collect();
            fields.join(" ")
        })
        .collect();
    format!("{status} {} {} {}", flag("aa"), flag("ra"), data.join(" ")).trim_end().to_owned()
}

#[test]
pub(crate) fn dig_is_answered() {
    alone(async || {
        let rack = Rack::of(LAB, kernel).await;
        let one = rack.client(rack.mac("one")).with_address("10.0.0.11/24");
        for (question, answer) in [
            ("one.lab.test A", "NOERROR aa -- 10.0.0.11"),
            ("ONE.Lab.Test A", "NOERROR aa -- 10.0.0.11"),
            ("one.lab.test A +tcp", "NOERROR aa -- 10.0.0.11"),
            ("one.lab.test A +noedns", "NOERROR aa -- 10.0.0.11"),
            ("one.lab.test AAAA", "NOERROR aa --"),
            ("three.lab.test A", "NXDOMAIN aa --"),
            ("matchbox.local A", "NOERROR aa -- 10.0.0.1"),
            ("-x 10.0.0.12", "NOERROR aa -- two.lab.test."),
            ("-x 10.0.0.99", "NXDOMAIN aa --"),
            ("example.com A", "NXDOMAIN -- --"),
            ("version.bind TXT CH", "REFUSED -- --"),
            ("one.lab.test A +edns=1 +noednsnegotiation", "BADVERS -- --"),
        ] {
            assert_eq!(dig(&one, question), answer, "{question}");
        }
        let text = one.run("dig", &["@10.0.0.1", "lab.test", "AXFR"]);
        assert!(text.contains("Transfer failed"), "{text}");
        let Known::DnsAnswered { code, rule, record, .. } = rack
            .log
            .until(
                "the question in the log",
                5,
                |known| matches!(known, Known::DnsAnswered { name, .. } if name.starts_with("three")),
            )
            .await
        else {
            unreachable!()
        };
        assert_eq!((code.as_str(), rule.as_str(), record.as_str()), ("NXDOMAIN", "lab zone", "A"));
    });
}

#[test]
fn every_kind_of_record_is_served() {
    alone(async || {
        let records = r#"domain = "lab.test",
            cname = { www = "one", "*.mirror" = "deb.example." },
            srv = { "_etcd-server._tcp" = ["0 0 2380 one", "0 0 2380 two"] },
            txt = { note = "lab one" },
            records = { "*.apps" = ["10.0.0.5", "fd00::5"], "own.apps" = "10.0.0.6", "#;
        let lab = LAB.replace("domain = \"lab.test\", records = { ", &records.replace('\n', ""));
        let rack = Rack::of(&lab, kernel).await;
        let one = rack.client(rack.mac("one")).with_address("10.0.0.11/24");
        for (question, answer) in [
            ("www.lab.test A", "NOERROR aa -- one.lab.test. 10.0.0.11"),
            ("www.lab.test CNAME +tcp", "NOERROR aa -- one.lab.test."),
            ("any.apps.lab.test A", "NOERROR aa -- 10.0.0.5"),
            ("deep.any.apps.lab.test AAAA", "NOERROR aa -- fd00::5"),
            ("own.apps A +search +domain=lab.test", "NOERROR aa -- 10.0.0.6"),
            ("apps.lab.test A", "NOERROR aa --"),
            ("x.mirror.lab.test A", "NOERROR -- -- deb.example."),
            ("_etcd-server._tcp.lab.test SRV", "NOERROR aa -- 0 0 2380 one.lab.test. 0 0 2380 two.lab.test."),
            ("note.lab.test TXT", "NOERROR aa -- \"lab one\""),
        ] {
            assert_eq!(dig(&one, question), answer, "{question}");
        }
    });
}

#[test]
fn a_node_has_a_name_once_the_pool_has_lent_it_an_address() {
    alone(async || {
        let lab = LAB.replace("address = \"10.0.0.12\"", "address = \"pool\"");
        let rack = Rack::of(&lab, kernel).await;
        let one = rack.client(rack.mac("one")).with_address("10.0.0.11/24");
        assert_eq!(dig(&one, "two.lab.test A"), "NOERROR aa --", "the name exists, the address does not");
        assert_eq!(dig(&one, "-x 10.0.0.30"), "NXDOMAIN aa --");
        let two = rack.client(rack.mac("two"));
        let lease = Lease::ask(&rack, &two, &[]).expect("a lease");
        assert_eq!(lease.get("ip"), "10.0.0.30");
        assert_eq!(dig(&one, "two.lab.test A"), "NOERROR aa -- 10.0.0.30");
        assert_eq!(dig(&one, "-x 10.0.0.30"), "NOERROR aa -- two.lab.test.");
    });
}

#[test]
fn what_does_not_fit_into_a_datagram_comes_by_tcp() {
    alone(async || {
        let text = "x".repeat(2000);
        let lab = LAB
            .replace("domain = \"lab.test\"", &format!("domain = \"lab.test\", txt = {{ long = '{text}' }}"));
        let rack = Rack::of(&lab, kernel).await;
        let one = rack.client(rack.mac("one")).with_address("10.0.0.11/24");
        let cut = one.run("dig", &["@10.0.0.1", "long.lab.test", "TXT", "+ignore", "+bufsize=4096"]);
        assert!(cut.contains("flags: qr aa tc rd") && cut.contains("ANSWER: 0"), "{cut}");
        let whole = one.run("dig", &["@10.0.0.1", "long.lab.test", "TXT", "+short"]);
        assert_eq!(whole.replace(['"', ' '], "").trim(), text, "dig asks again by itself");
        rack.log
            .until("the long answer", 5, |known| matches!(known, Known::DnsAnswered { bytes: 2000.., .. }))
            .await;
    });
}

#[test]
fn what_is_asked_again_is_told_as_a_number() {
    alone(async || {
        let rack = Rack::of(LAB, kernel).await;
        let one = rack.client(rack.mac("one")).with_address("10.0.0.11/24");
        one.within(|| {
            let socket = UdpSocket::bind("10.0.0.11:0").unwrap();
            let mut packet = b"\0\0\x01\0\0\x01\0\0\0\0\0\0\x03two\x03lab\x04test\0\0\x01\0\x01".to_vec();
            for id in 0..500_u16 {
                packet[..2].copy_from_slice(&id.to_be_bytes());
                socket.send_to(&packet, "10.0.0.1:53").unwrap();
                let mut reply = [0; 512];
                let length = socket.recv(&mut reply).unwrap();
                assert_eq!(reply[..2], id.to_be_bytes());
                assert_eq!(reply[length - 4..length], [10, 0, 0, 12]);
            }
        });
        let log = rack.end().await;
        let told = |known: &Known| match known {
            Known::DnsAnswered { name, rule, answer, bytes: 46, count, .. } => {
                assert_eq!(
                    (name.as_str(), rule.as_str(), answer.join(" ").as_str()),
                    ("two.lab.test.", "node", "10.0.0.12")
                );
                count.unwrap_or(1)
            }
            _ => 0,
        };
        let events: Vec<u64> = log
            .events()
            .iter()
            .filter_map(|event| match &event.kind {
                dryrack::event::Kind::Known(known) => Some(told(known)),
                dryrack::event::Kind::Unknown { .. } => None,
            })
            .filter(|count| *count > 0)
            .collect();
        assert_eq!(events.iter().sum::<u64>(), 500, "nothing is lost: {events:?}");
        assert!(events.len() < 100, "{events:?}");
    });
}

#[test]
fn who_connects_and_keeps_silent_keeps_nobody_out() {
    alone(async || {
        let rack = Rack::of(LAB, kernel).await;
        let one = rack.client(rack.mac("one")).with_address("10.0.0.11/24");
        let silent = rack.client(STRANGER).with_address("10.0.0.50/24");
        let held = silent.within(|| {
            let connect = |_| std::net::TcpStream::connect("10.0.0.1:53").unwrap();
            (0..100).map(connect).collect::<Vec<_>>()
        });
        assert_eq!(dig(&one, "one.lab.test A +tcp"), "NOERROR aa -- 10.0.0.11");
        drop(held);
    });
}

/// A name server that answers everything with 192.0.2.7.
fn upstream(socket: &UdpSocket) {
    let mut packet = [0; 1500];
    loop {
        let (length, from) = socket.recv_from(&mut packet).unwrap();
        let name = packet[12..length].iter().position(|byte| *byte == 0).unwrap();
        let end = 12 + name + 5;
        let record = [packet[end - 4], packet[end - 3]];
        let mut reply = packet[..end].to_vec();
        reply[2..12].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0]);
        if record == [0, 1] {
            reply[7] = 1;
            reply.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 7]);
        }
        socket.send_to(&reply, from).unwrap();
    }
}

#[test]
fn other_names_are_asked_of_others() {
    alone(async || {
        let lab = LAB.replace("domain = \"lab.test\"", "domain = \"lab.test\", upstream = [\"10.0.0.200\"]");
        let rack = Rack::of(&lab, kernel).await;
        let one = rack.client(rack.mac("one")).with_address("10.0.0.11/24");
        // There is no upstream server yet: the answer arrives before the client's timeout.
        assert_eq!(dig(&one, "example.com A"), "SERVFAIL -- ra");

        let other = rack.client(STRANGER).with_address("10.0.0.200/24");
        let socket = other.within(|| UdpSocket::bind("10.0.0.200:53").unwrap());
        std::thread::spawn(move || upstream(&socket));
        assert_eq!(dig(&one, "example.com A"), "NOERROR -- ra 192.0.2.7");
        assert_eq!(dig(&one, "www.example.com AAAA"), "NOERROR -- ra");
        assert_eq!(dig(&one, "one.lab.test A"), "NOERROR aa ra 10.0.0.11");
        assert_eq!(
            dig(&one, "nobody.lab.test A"),
            "NXDOMAIN aa ra",
            "our own zone is never asked for elsewhere"
        );
        // Cached answers need no upstream server: it is gone.
        drop(other);
        assert_eq!(dig(&one, "Example.com A"), "NOERROR -- ra 192.0.2.7");
        assert!(rack.log.has(|known| matches!(known, Known::DnsAnswered { rule, .. } if rule == "cache")));
        assert!(rack.log.has(|known| matches!(known, Known::DnsAnswered { rule, code, .. }
            if rule == "upstream 10.0.0.200:53" && *code == DnsCode::NoError)));
    });
}

#[test]
fn a_dead_server_does_not_cost_every_question_its_time() {
    alone(async || {
        let upstream_of = "domain = \"lab.test\", upstream = [\"10.0.0.201\", \"10.0.0.200\"]";
        let rack = Rack::of(&LAB.replace("domain = \"lab.test\"", upstream_of), kernel).await;
        let one = rack.client(rack.mac("one")).with_address("10.0.0.11/24");
        // The first server is on the segment and drops all queries.
        let dead = rack.client(rack.mac("two")).with_address("10.0.0.201/24");
        let silent = dead.within(|| UdpSocket::bind("10.0.0.201:53").unwrap());
        let other = rack.client(STRANGER).with_address("10.0.0.200/24");
        let socket = other.within(|| UdpSocket::bind("10.0.0.200:53").unwrap());
        std::thread::spawn(move || upstream(&socket));
        for number in 0..10 {
            assert_eq!(dig(&one, &format!("n{number}.example.com A")), "NOERROR -- ra 192.0.2.7");
        }
        let slow = rack.log.count(|known| matches!(known, Known::DnsAnswered { us: 350_000.., .. }));
        assert!(slow < 5, "{}", rack.log.text());
        drop(silent);
    });
}
