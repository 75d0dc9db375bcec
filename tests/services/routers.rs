//! Router advertisements with Linux and rdisc6; services at IPv6 addresses.

use dryrack::event::Known;

use crate::rack::{Client, Rack, alone};
use crate::{LAB, STRANGER, kernel};

/// The network of [`LAB`] with IPv6.
pub(crate) fn lab_with_ipv6() -> String {
    LAB.replace("address = \"10.0.0.1/24\"", "address = \"10.0.0.1/24\"\nipv6 = \"fd00:83::1/64\"")
}

/// Returns the lines that contain a word, trimmed.
fn lines(text: &str, word: &str) -> Vec<String> {
    let squeezed = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    text.lines().filter(|line| line.contains(word)).map(squeezed).collect()
}

/// Waits until the kernel of a client has configured an address of the prefix that is no longer tentative.
pub(crate) async fn configured(rack: &Rack, client: &Client) -> String {
    let addresses =
        || client.run("ip", &["-6", "address", "show", "dev", "eth0", "scope", "global", "-tentative"]);
    rack.log.until_now("an address of the prefix", || addresses().contains("fd00:83:")).await;
    addresses()
}

#[test]
fn linux_hears_that_there_is_no_router() {
    alone(async || {
        let rack = Rack::of(LAB, kernel).await;
        // The kernel of a client solicits routers by itself.
        let one = rack.client(rack.mac("one"));
        rack.log.until("an advertisement", 15, |known| matches!(known, Known::RouterAdvertised { .. })).await;
        let event =
            rack.log.events().into_iter().find(|event| event.kind.to_string().contains("router")).unwrap();
        assert_eq!(event.node.map(|node| node.to_string()).as_deref(), Some("one"));
        assert_eq!(one.run("ip", &["-6", "route", "show", "default"]), "", "no default route came of it");
        assert_eq!(one.run("ip", &["-6", "address", "show", "scope", "global"]), "", "and no address");
    });
}

#[test]
fn linux_configures_itself_where_there_is_ipv6() {
    alone(async || {
        let rack = Rack::of(&lab_with_ipv6(), kernel).await;
        let one = rack.client(rack.mac("one"));
        let text = configured(&rack, &one).await;
        assert!(text.contains("fd00:83::5054:ff:fe00:1/64"), "{text}");
        assert_eq!(one.run("ip", &["-6", "route", "show", "default"]), "", "nobody leads out");
        assert_eq!(lines(&one.run("ip", &["-6", "route"]), "fd00:83::/64").len(), 1);
        one.run("busybox", &["ping", "-6", "-c", "1", "-W", "2", "fd00:83::1"]);
        // The lab's namespace ignores advertisements of other routers.
        let bridge = &rack.service().interface;
        let setting = format!("/proc/sys/net/ipv6/conf/{bridge}/accept_ra");
        assert_eq!(std::fs::read_to_string(setting).unwrap().trim(), "0");
    });
}

#[test]
fn rdisc6_reads_the_whole_advertisement() {
    alone(async || {
        let rack = Rack::of(&lab_with_ipv6(), kernel).await;
        let one = rack.client(STRANGER);
        configured(&rack, &one).await;
        let text = one.run("rdisc6", &["-1", "-w", "3000", "eth0"]);
        let told: Vec<String> = text
            .lines()
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| format!("{}: {}", name.trim(), value.trim()))
            .collect();
        insta::assert_snapshot!(told.join("\n"), @"
        Soliciting ff02: :2 (ff02::2) on eth0...
        Hop limit: 64 (      0x40)
        Stateful address conf.: Yes
        Stateful other conf.: Yes
        Mobile home agent: No
        Router preference: medium
        Neighbor discovery proxy: No
        Router lifetime: 0 (0x00000000) seconds
        Reachable time: unspecified (0x00000000)
        Retransmit time: unspecified (0x00000000)
        Source link-layer address: 52:54:00:91:5B:4E
        MTU: 1400 bytes (valid)
        Prefix: fd00:83::/64
        On-link: Yes
        Autonomous address conf.: Yes
        Valid time: 2592000 (0x00278d00) seconds
        Pref. time: 604800 (0x00093a80) seconds
        Recursive DNS server: fd00:83::1
        DNS server lifetime: 600 (0x00000258) seconds
        DNS search list: lab.test
        DNS search list lifetime: 600 (0x00000258) seconds
        from fe80: :5054:ff:fe91:5b4e
        ");
    });
}

#[test]
fn services_answer_over_ipv6() {
    alone(async || {
        let rack = Rack::of(&lab_with_ipv6(), kernel).await;
        let one = rack.client(rack.mac("one"));
        configured(&rack, &one).await;
        let expected = std::fs::read(rack.folder.path().join("kernel")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        for (program, arguments) in [
            ("curl", &["-fsS", "-o", "http", "http://[fd00:83::1]/profile/install/kernel"][..]),
            ("curl", &["-fsS", "-o", "tftp", "tftp://[fd00:83::1]/profile/install/kernel"]),
        ] {
            let output = one.run_in(folder.path(), program, arguments);
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            assert!(std::fs::read(folder.path().join(arguments[2])).unwrap() == expected, "{program}");
        }
        // Both are attributed to the node.
        for event in rack.log.events() {
            if event.kind.to_string().contains("kernel") {
                assert_eq!(event.node.as_ref().map(ToString::to_string).as_deref(), Some("one"), "{event:?}");
            }
        }
        assert_eq!(rack.log.count(|known| matches!(known, Known::HttpServed { status: 200, .. })), 1);
        for (question, answer) in [
            ("one.lab.test A", "10.0.0.11\n"),
            ("one.lab.test A +tcp", "10.0.0.11\n"),
            // The address that the node made up from the advertised prefix.
            ("one.lab.test AAAA", "fd00:83::5054:ff:fe00:1\n"),
            ("-x 10.0.0.12", "two.lab.test.\n"),
            ("-x fd00:83::99", ""),
        ] {
            let always = ["@fd00:83::1", "+short", "+tries=1", "+time=5"];
            let words: Vec<&str> = always.into_iter().chain(question.split(' ')).collect();
            assert_eq!(one.run("dig", &words), answer, "{question}");
        }
    });
}
