//! NTP with rdate and ntpdig.

use std::net::UdpSocket;

use dryrack::event::{Known, Service};
use socket2::{Domain, Socket, Type};

use crate::rack::{Client, Rack, alone, program};
use crate::{LAB, kernel};

const HOUR: f64 = 3600.0;

/// Length of an NTP era in seconds; neither client handles eras.
const ERA: f64 = 4_294_967_296.0;

/// Runs rdate; returns by how many seconds it would set the clock.
///
/// On a busy host rdate may receive an answer too late, take it for the answer to its next request, and finally give
/// up; then it is started again.
fn rdate(client: &Client) -> f64 {
    let ask = || {
        let output = client.try_run("rdate", &["-n", "-p", "-v", "10.0.0.1"]);
        String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
    };
    let late = |text: &String| text.contains("Too many bad or lost packets");
    let text = (0..10).map(|_| ask()).find(|text| !late(text)).expect("an answer in time");
    let wrong = text.split("adjust local clock by ").nth(1).unwrap_or_else(|| panic!("{text}"));
    wrong.split(' ').next().unwrap().parse().unwrap()
}

/// Runs ntpdig; returns its output line.
fn ntpdig(client: &Client) -> String {
    client.run("ntpdig", &["-t", "10", "10.0.0.1"])
}

#[test]
fn clients_hear_what_time_it_is() {
    alone(async || {
        let rack = Rack::of(LAB, kernel).await;
        let one = rack.client(rack.mac("one")).with_address("10.0.0.11/24");
        let wrong = rdate(&one);
        assert!(wrong.abs() < 1.0, "{wrong}");
        let line = ntpdig(&one);
        assert!(line.contains("10.0.0.1 s3 no-leap"), "{line}");
        let told = rack.log.until("an answer", 5, |known| matches!(known, Known::NtpAnswered { .. })).await;
        assert!(matches!(told, Known::NtpAnswered { version: 4, offset: 0, .. }), "{told:?}");
        let node =
            rack.log.events().into_iter().find(|event| event.kind.to_string().contains("sent the time"));
        assert_eq!(node.unwrap().node.unwrap().as_str(), "one");
    });
}

#[test]
fn a_lab_may_have_a_wrong_clock() {
    alone(async || {
        for (offset, hours) in [("-2h", -2.0), ("+1d", 24.0), ("-10y", -87_600.0), ("+30y", 262_800.0)] {
            let rack = Rack::of(&format!("clock.offset = \"{offset}\"\n{LAB}"), kernel).await;
            let one = rack.client(rack.mac("one")).with_address("10.0.0.11/24");
            let wrong = |told: f64| (told - hours * HOUR + ERA / 2.0).rem_euclid(ERA) - ERA / 2.0;
            let told = rdate(&one);
            assert!(wrong(told).abs() < 1.0, "{offset}: {told}");
            let line = ntpdig(&one);
            let told: f64 = line.split(' ').nth(3).unwrap().parse().unwrap();
            assert!(wrong(told).abs() < 1.0, "{offset}: {line}");
            rack.end().await;
            // Remove the bridge, which the next lab needs.
            let links = std::process::Command::new(program("ip"))
                .args(["-br", "link", "show", "type", "bridge"])
                .output();
            for bridge in String::from_utf8(links.unwrap().stdout).unwrap().lines() {
                let name = bridge.split(' ').next().unwrap();
                let gone = std::process::Command::new(program("ip")).args(["link", "delete", name]).status();
                assert!(gone.unwrap().success());
            }
        }
    });
}

#[test]
fn a_daemon_of_the_host_on_the_port_is_no_reason_to_fail() {
    alone(async || {
        let daemon = UdpSocket::bind("0.0.0.0:123").unwrap();
        let rack = Rack::of(LAB, kernel).await;
        let failed = rack
            .log
            .until(
                "word of it",
                5,
                |known| matches!(known, Known::ServiceFailed { service, .. } if *service == Service::Ntp),
            )
            .await;
        assert!(failed.to_string().contains("cannot open UDP port 123 for NTP"), "{failed}");
        assert!(failed.to_string().contains("used by"), "{failed}");
        drop(daemon);
    });
}

#[test]
fn a_daemon_that_shares_the_port_does_not_hear_what_is_ours() {
    alone(async || {
        let daemon = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
        daemon.set_reuse_address(true).unwrap();
        daemon.bind(&"0.0.0.0:123".parse::<std::net::SocketAddr>().unwrap().into()).unwrap();
        let rack = Rack::of(LAB, kernel).await;
        let one = rack.client(rack.mac("one")).with_address("10.0.0.11/24");
        assert!(ntpdig(&one).contains("10.0.0.1 s3 no-leap"));
    });
}
