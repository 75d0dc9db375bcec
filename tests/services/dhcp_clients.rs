//! DHCP with the clients of common systems, and with many clients at once.

use std::path::PathBuf;

use dryrack::event::{DhcpClient, DhcpMessage, Known};
use dryrack::name::Mac;

use super::dhcp::{Lease, Running};
use crate::rack::{Client, Rack, alone};
use crate::{LAB, STRANGER, kernel};

/// A lab with more settings of its network, and leases so short that a client renews during the test.
fn lab() -> String {
    let lab = LAB.replace("lease-time = \"1h\"", "lease-time = \"10s\"");
    lab.replace("[profile.install]", &format!("{OPTIONS}[profile.install]"))
}

const OPTIONS: &str = r#"
[network.lan.options]
classless-routes = ["10.9.0.0/16 via 10.0.0.7"]
domain-search = ["lab.test", "test"]
time-offset = -3600
"150" = "hex:0a000008"

[node.two.options]
ntp-servers = ["10.0.0.5", "10.0.0.6"]
root-path = "/srv/two"
"#;

/// A client that records its variables.
struct LeaseClient<'a> {
    rack: &'a Rack,
    client: Client,
    name: &'a str,
}

impl<'a> LeaseClient<'a> {
    fn new(rack: &'a Rack, client: Client, name: &'a str) -> Self {
        Self { rack, client, name }
    }

    fn file(&self, suffix: &str) -> String {
        self.rack.folder.path().join(format!("{}.{suffix}", self.name)).to_str().unwrap().to_owned()
    }

    /// Writes the script that the client runs on each event. It sets the address.
    fn script(&self) -> String {
        let script = PathBuf::from(self.file("sh"));
        let text = format!(
            "#!/bin/sh\n[ \"$reason\" != PREINIT ] || exit 0\n\
             [ -z \"$new_ip_address\" ] || ip address replace $new_ip_address/24 dev $interface\n\
             env | grep -E '^(reason|new_)' | sort >>{}\n",
            self.file("told")
        );
        std::fs::write(&script, text).unwrap();
        std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        script.to_str().unwrap().to_owned()
    }

    fn text(&self) -> String {
        std::fs::read_to_string(self.file("told")).unwrap_or_default()
    }

    fn has(&self, line: &str) -> bool {
        self.text().lines().any(|known| known == line)
    }

    fn assert_told(&self, lines: &[&str]) {
        for line in lines {
            assert!(self.has(line), "{line} is not in\n{}", self.text());
        }
    }
}

fn dhclient(client: &LeaseClient<'_>, options: &[&str]) -> Vec<String> {
    let config = "option classless-routes code 121 = array of unsigned integer 8;\n\
                  option tftp-addresses code 150 = array of ip-address;\n\
                  timeout 20;\n\
                  request subnet-mask, broadcast-address, routers, domain-name, domain-name-servers, \
                  host-name, interface-mtu, ntp-servers, log-servers, domain-search, time-offset, \
                  root-path, classless-routes, tftp-addresses;\n";
    std::fs::write(client.file("conf"), config).unwrap();
    let files = [("-lf", "leases"), ("-pf", "pid"), ("-cf", "conf")];
    let files = files.into_iter().flat_map(|(option, suffix)| [option.to_owned(), client.file(suffix)]);
    let script = ["-sf".to_owned(), client.script()];
    let options = options.iter().map(|option| (*option).to_owned());
    ["-4".to_owned()]
        .into_iter()
        .chain(files)
        .chain(script)
        .chain(options)
        .chain(["eth0".to_owned()])
        .collect()
}

fn words(arguments: &[String]) -> Vec<&str> {
    arguments.iter().map(String::as_str).collect()
}

#[test]
fn dhclient_is_given_an_address_renews_and_gives_it_back() {
    alone(async || {
        let rack = Rack::of(&lab(), kernel).await;
        let two = LeaseClient::new(&rack, rack.client(rack.mac("two")), "two");
        let running = Running(two.client.start("dhclient", &words(&dhclient(&two, &["-d"]))));
        rack.log.until_now("a lease", || two.has("reason=BOUND")).await;
        two.assert_told(&[
            "new_ip_address=10.0.0.12",
            "new_subnet_mask=255.255.255.0",
            "new_broadcast_address=10.0.0.255",
            "new_domain_name=lab.test",
            "new_domain_search=lab.test. test.",
            "new_domain_name_servers=10.0.0.1",
            "new_host_name=two",
            "new_interface_mtu=1400",
            "new_ntp_servers=10.0.0.5 10.0.0.6",
            "new_log_servers=10.0.0.1",
            "new_time_offset=-3600",
            "new_root_path=/srv/two",
            "new_classless_routes=16 10 9 10 0 0 7",
            "new_tftp_addresses=10.0.0.8",
            "new_dhcp_lease_time=10",
            "new_dhcp_renewal_time=5",
            "new_dhcp_rebinding_time=8",
            "new_dhcp_server_identifier=10.0.0.1",
        ]);
        // After 5 s of its server alone, after 8 s, if the host is busy, of anybody.
        let is_renewed = || two.has("reason=RENEW") || two.has("reason=REBIND");
        rack.log.until_now("a renewal", is_renewed).await;
        drop(running);
        two.client.run("dhclient", &words(&dhclient(&two, &["-r"])));
        rack.log
            .until("a release", 10, |known| {
                matches!(known, Known::DhcpIgnored { request, rule, .. } if *request == DhcpMessage::Release && rule == "released")
            })
            .await;
    });
}

/// Without options in the lab file, clients get those of the lab's own services.
#[test]
fn dhclient_hears_of_the_services_of_its_network() {
    alone(async || {
        let rack = Rack::of(LAB, kernel).await;
        let stranger = LeaseClient::new(&rack, rack.client(STRANGER), "stranger");
        let _running = Running(stranger.client.start("dhclient", &words(&dhclient(&stranger, &["-d"]))));
        rack.log.until_now("a lease", || stranger.has("reason=BOUND")).await;
        stranger.assert_told(&[
            "new_ip_address=10.0.0.30",
            "new_ntp_servers=10.0.0.1",
            "new_log_servers=10.0.0.1",
            "new_domain_search=lab.test.",
        ]);
        assert!(!stranger.text().contains("new_classless_routes"), "{}", stranger.text());
    });
}

#[test]
fn dhcpcd_is_given_an_address() {
    alone(async || {
        let rack = Rack::of(&lab(), kernel).await;
        let one = LeaseClient::new(&rack, rack.client(rack.mac("one")), "one");
        // It identifies itself by a DUID, as cloned systems do; the NIC decides.
        let config = "duid\noption domain_name_servers, domain_name, domain_search, host_name, interface_mtu, \
                      ntp_servers, classless_static_routes\nnoipv4ll\n";
        std::fs::write(one.file("conf"), config).unwrap();
        let (config, script) = (one.file("conf"), one.script());
        let options = ["-4", "-1", "-B", "-t", "20", "-d", "-f", &config, "-c", &script, "eth0"];
        let output = one.client.try_run("dhcpcd", &options);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        one.assert_told(&[
            "new_ip_address=10.0.0.11",
            "new_subnet_cidr=24",
            "new_domain_name=lab.test",
            "new_domain_search=lab.test test",
            "new_host_name=one",
            "new_interface_mtu=1400",
            "new_ntp_servers=10.0.0.1",
            "new_classless_static_routes=10.9.0.0/16 10.0.0.7",
        ]);
        let duid = |known: &Known| {
            matches!(known, Known::DhcpReplied { reply, client, rule, bytes, us, .. }
            if *reply == DhcpMessage::Ack && *client == DhcpClient::Os && rule == "reserved" && *bytes >= 300 && *us < 10_000_000)
        };
        rack.log.until("an ack with its size and time", 10, duid).await;
    });
}

#[test]
fn udhcpc_is_known_by_its_client_id_and_by_its_uuid() {
    alone(async || {
        let lab = LAB
            .replace("address = \"10.0.0.11\" }", "address = \"10.0.0.11\", client-id = \"rack-7\" }")
            .replace("[node.two]", "[node.two]\nuuid = \"00112233-4455-6677-8899-aabbccddeeff\"");
        let rack = Rack::of(&lab, kernel).await;
        // `rack-7`, and the UUID as in SMBIOS.
        for (option, address) in [
            ("0x3d:7261636b2d37", "10.0.0.11"),
            ("0x61:00332211005544776688 99aabbccddeeff", "10.0.0.12"),
            ("0x3d:7261636b2d38", "10.0.0.30"),
        ] {
            let client = rack.client(STRANGER);
            let option = option.replace(' ', "");
            let lease = Lease::ask(&rack, &client, &["-C", "-x", &option]).expect("a lease");
            assert_eq!(lease.get("ip"), address, "{option}");
        }
    });
}

/// Runs perfdhcp; returns the number of exchanges and of unanswered requests.
pub(super) fn perfdhcp(client: &Client, options: &[&str]) -> (usize, usize) {
    // On a busy host, answers need more than a moment: a late one is not a lost one.
    let output = client.try_run("perfdhcp", &[&["-d", "20", "-W", "6000000"], options].concat());
    let text = String::from_utf8_lossy(&output.stdout);
    let number = |line: &str, name: &str| line.strip_prefix(name)?.trim().parse::<usize>().ok();
    let sum = |name: &str| text.lines().filter_map(|line| number(line, name)).sum::<usize>();
    assert_eq!((sum("rejected leases:"), sum("non unique addresses:")), (0, 0), "{text}");
    (sum("received packets:") / 2, sum("drops:"))
}

#[test]
fn perfdhcp_is_answered_every_time_by_a_relay_and_without() {
    alone(async || {
        let lab = LAB.replace("[\"10.0.0.30\", \"10.0.0.32\"]", "[\"10.0.0.100\", \"10.0.0.250\"]");
        let rack = Rack::of(&lab, kernel).await;
        // A relay has an address, and requests addresses for others.
        let relay = rack.client(STRANGER).with_address("10.0.0.99/24");
        let (exchanges, drops) = perfdhcp(&relay, &["-4", "-r", "200", "-n", "400", "-R", "100", "10.0.0.1"]);
        let replied = |message: DhcpMessage| {
            rack.log.count(|known| matches!(known, Known::DhcpReplied { reply, .. } if *reply == message))
        };
        let (offers, acks) = (replied(DhcpMessage::Offer), replied(DhcpMessage::Ack));
        assert!(
            exchanges >= 400 && drops == 0 && acks >= 400,
            "{exchanges} exchanges, {drops} drops; the server sent {offers} offers and {acks} acks"
        );
    });
}

/// A flood of unknown clients: the pool is exhausted, and nodes boot nevertheless.
#[test]
fn a_flood_leaves_room_for_nodes() {
    alone(async || {
        let lab = LAB.replace(", address = \"10.0.0.12\" }", ", address = \"pool\" }");
        let rack = Rack::of(&lab, kernel).await;
        let flood = rack.client(Mac([2, 0, 0, 0, 9, 9])).with_address("10.0.0.99/24");
        // Only sends DHCPDISCOVER, and never requests the offer.
        let flood = Running(
            flood.start("perfdhcp", &["-4", "-i", "-r", "8000", "-R", "50000", "-p", "20", "10.0.0.1"]),
        );
        rack.log
            .until(
                "the pool to be used up",
                20,
                |known| matches!(known, Known::DhcpIgnored { rule, .. } if rule == "pool exhausted"),
            )
            .await;
        rack.log.until("a crowd to be counted", 20, |known| matches!(known, Known::DhcpOmitted { .. })).await;
        // During the flood: `one` has a reservation, `two` needs an address of the pool.
        let one = rack.client(rack.mac("one"));
        assert_eq!(Lease::ask(&rack, &one, &[]).expect("a lease").get("ip"), "10.0.0.11");
        let two = rack.client(rack.mac("two"));
        let lease = Lease::ask(&rack, &two, &[]).expect("a lease");
        assert!(["10.0.0.30", "10.0.0.31", "10.0.0.32"].contains(&lease.get("ip")), "{}", lease.get("ip"));
        drop(flood);
        // Per second, a thousand events and one summary.
        let seconds = rack.log.events().last().unwrap().at.elapsed().as_secs() + 2;
        let emitted =
            rack.log.count(|known| matches!(known, Known::DhcpIgnored { .. } | Known::DhcpReplied { .. }));
        assert!(emitted as u64 <= 1000 * seconds + 100, "{emitted} events in {seconds} s");
    });
}
