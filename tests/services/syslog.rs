//! Syslog with util-linux' logger and busybox' syslogd.

use std::net::UdpSocket;
use std::time::Duration;

use dryrack::event::{Facility, Known, Service, Severity};

use crate::rack::{Rack, alone};
use crate::{LAB, STRANGER, kernel};

#[test]
fn what_nodes_say_becomes_events_of_theirs() {
    alone(async || {
        let rack = Rack::of(LAB, kernel).await;
        let one = rack.client(rack.mac("one")).with_address("10.0.0.11/24");
        let stranger = rack.client(STRANGER).with_address("10.0.0.50/24");
        let logger = ["--server", "10.0.0.1", "--udp", "--priority", "daemon.warning", "--tag", "worker"];
        for format in ["--rfc3164", "--rfc5424"] {
            one.run("logger", &[&logger[..], &[format, "--id=7", &format!("hello by {format}")]].concat());
        }
        stranger.run("logger", &[&logger[..], &["hello from outside"]].concat());
        let said = async |words: &str| {
            let is_it = |known: &Known| matches!(known, Known::SyslogLine { text, .. } if text == words);
            rack.log.until(words, 5, is_it).await
        };
        for words in ["hello by --rfc3164", "hello by --rfc5424", "hello from outside"] {
            let Known::SyslogLine { facility, severity, app, .. } = said(words).await else { unreachable!() };
            assert_eq!(
                (facility, severity, &*app),
                (Facility::Daemon, Severity::Warning, "worker"),
                "{words}"
            );
        }
        let nodes: Vec<_> =
            rack.log.events().into_iter().filter(|event| event.kind.topic() == "syslog").collect();
        let nodes: Vec<_> = nodes.iter().map(|event| event.node.as_ref().map(|node| node.as_str())).collect();
        assert_eq!(nodes, [Some("one"), Some("one"), None]);
    });
}

#[test]
fn busybox_forwards_what_programs_log() {
    alone(async || {
        let rack = Rack::of(LAB, kernel).await;
        let one = rack.client(rack.mac("one")).with_address("10.0.0.11/24");
        // A separate /dev: syslogd creates /dev/log, which must not be the host's.
        let script = "cd $(mktemp -d) && mkdir dev && touch dev/null && mount --bind /dev/null dev/null && mount --rbind dev /dev && \
            busybox syslogd -R 10.0.0.1 && \
            until [ -S /dev/log ]; do sleep 0.1; done && \
            busybox logger -p auth.err -t login 'no such user' && sleep 60";
        let system = ["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script];
        let mut system = one.start("unshare", &system);
        let is_it = |known: &Known| matches!(known, Known::SyslogLine { text, .. } if text == "no such user");
        let line = rack.log.until("the line", 20, is_it).await;
        assert_eq!(line.to_string(), "auth.err login: no such user");
        system.kill().unwrap();
        system.wait().unwrap();
    });
}

#[test]
fn a_flood_of_lines_is_told_as_a_number() {
    alone(async || {
        let rack = Rack::of(LAB, kernel).await;
        let one = rack.client(rack.mac("one")).with_address("10.0.0.11/24");
        one.within(|| {
            let socket = UdpSocket::bind("10.0.0.11:0").unwrap();
            for number in 0..2_000 {
                socket.send_to(format!("<13>app: line {number}").as_bytes(), "10.0.0.1:514").unwrap();
                if number % 50 == 0 {
                    // If the host does not permit a larger buffer, the kernel holds some hundred.
                    std::thread::sleep(Duration::from_millis(2));
                }
            }
        });
        rack.log
            .until(
                "the number",
                5,
                |known| matches!(known, Known::Omitted { service, .. } if *service == Service::Syslog),
            )
            .await;
        let log = rack.end().await;
        let told = log.count(|known| matches!(known, Known::SyslogLine { .. }));
        let counted: u64 = log
            .events()
            .iter()
            .filter_map(|event| match &event.kind {
                dryrack::event::Kind::Known(Known::Omitted { count, .. }) => Some(*count),
                _ => None,
            })
            .sum();
        assert!(told <= 400, "{told} lines were told");
        // The kernel may have dropped some of a flood, the service none.
        assert!((1_000..=2_000).contains(&(told as u64 + counted)), "{told} told, {counted} counted");
    });
}
