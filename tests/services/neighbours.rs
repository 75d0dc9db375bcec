//! Addresses of nodes that no DHCP server of ours gave: from another server, or from nobody.

use std::process::{Command, Stdio};

use dryrack::event::{Kind, Known, LearnedBy, LearnedFrom, Source};

use super::dhcp::{Lease, Running};
use super::dns::dig;
use crate::rack::{Client, Log, Rack, alone, program};
use crate::{LAB, kernel};

/// A lab without DHCP of ours, whose first node has no address of its own.
fn lab(dhcp: &str) -> String {
    let server = "{ server = { pool = [\"10.0.0.30\", \"10.0.0.32\"], lease-time = \"1h\" } }";
    LAB.replace(server, dhcp)
        .replace("\"52:54:00:00:00:01\", address = \"10.0.0.11\"", "\"52:54:00:00:00:01\"")
}

/// Starts dnsmasq where the services of the lab are, as a process of the lab does.
fn dnsmasq(rack: &Rack) -> Running {
    let interface = format!("--interface={}", rack.service().interface);
    let child = Command::new(program("dnsmasq"))
        .args(["--no-daemon", "--conf-file=/dev/null", "--pid-file=", "--port=0", "--bind-dynamic"])
        .args(["--no-ping", "--leasefile-ro", "--dhcp-range=10.0.0.60,10.0.0.60,1h", &interface])
        .stdin(Stdio::null())
        .spawn();
    Running(child.unwrap())
}

/// Asks for an address until dnsmasq answers, and takes it.
fn lease(rack: &Rack, client: &Client) {
    let lease = Lease::ask(rack, client, &[]).expect("a lease of dnsmasq");
    assert_eq!(lease.get("ip"), "10.0.0.60");
}

async fn learned(log: &Log) -> (String, LearnedBy, LearnedFrom) {
    let is_it = |known: &Known| matches!(known, Known::AddressLearned { .. });
    match log.until("an address", 20, is_it).await {
        Known::AddressLearned { address, by, from, network: _ } => (address.to_string(), by, from),
        known => panic!("{known}"),
    }
}

#[test]
fn a_lease_of_a_server_in_the_lab_is_learned_without_dhcp_of_ours() {
    alone(async || {
        let rack = Rack::of(&lab("\"off\""), kernel).await;
        let (_dnsmasq, one) = (dnsmasq(&rack), rack.client(rack.mac("one")));
        // The client takes its lease and says nothing more: only the kernel notes whom dnsmasq answers.
        lease(&rack, &one);
        let seen = ("10.0.0.60".to_owned(), LearnedBy::Neighbour, LearnedFrom::Node);
        assert_eq!(learned(&rack.log).await, seen);
        let other = rack.client(rack.mac("two")).with_address("10.0.0.12/24");
        assert!(dig(&other, "@10.0.0.1 one.lab.test").contains("10.0.0.60"));
    });
}

#[test]
fn an_address_that_a_node_gave_itself_is_learned_from_its_arp() {
    alone(async || {
        let rack = Rack::of(&lab("\"off\""), kernel).await;
        let one = rack.client(rack.mac("one")).with_address("10.0.0.77/24");
        // It looks for its gateway, which is not the lab's.
        assert!(!one.try_run("busybox", &["ping", "-c", "1", "-W", "1", "10.0.0.99"]).status.success());
        let seen = ("10.0.0.77".to_owned(), LearnedBy::Arp, LearnedFrom::Node);
        assert_eq!(learned(&rack.log).await, seen);
    });
}

#[test]
fn what_services_tell_has_its_source_and_its_exchange() {
    alone(async || {
        let rack = Rack::of(LAB, kernel).await;
        let one = rack.client(rack.mac("one"));
        Lease::ask(&rack, &one, &[]).expect("a lease");
        let seen = ("10.0.0.11".to_owned(), LearnedBy::Dhcp, LearnedFrom::ThisServer);
        assert_eq!(learned(&rack.log).await, seen);
        one.run("curl", &["-sf", "-o", "/dev/null", "http://10.0.0.1/boot/one.ipxe"]);
        rack.log.until("a file", 20, |known| matches!(known, Known::HttpServed { .. })).await;
        let events = rack.log.events();
        assert!(events.iter().all(|event| event.source == Source::Service), "{}", rack.log.text());
        let exchanges = |is_it: fn(&Known) -> bool| {
            let of = events.iter().filter(|event| matches!(&event.kind, Kind::Known(known) if is_it(known)));
            of.map(|event| event.exchange.as_ref().map(ToString::to_string).unwrap_or_default())
                .collect::<Vec<_>>()
        };
        // Offer and acknowledgement are of one transaction.
        let dhcp = exchanges(|known| matches!(known, Known::DhcpReplied { .. }));
        assert!(dhcp.len() == 2 && dhcp[0] == dhcp[1], "{dhcp:?}");
        assert!(dhcp[0].starts_with(&format!("dhcp {} ", rack.mac("one"))), "{dhcp:?}");
        let http = exchanges(|known| matches!(known, Known::HttpServed { .. }));
        assert!(http.len() == 1 && http[0].starts_with("http 10.0.0.11:"), "{http:?}");
        assert_eq!(rack.log.count(|known| matches!(known, Known::AddressLearned { .. })), 1);
    });
}
