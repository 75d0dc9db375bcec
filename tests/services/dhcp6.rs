//! DHCPv6 with the clients of common systems.

use std::path::PathBuf;
use std::process::Child;

use dryrack::event::Known;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::dhcp_clients::perfdhcp;
use super::routers::{configured, lab_with_ipv6};
use crate::rack::{Client, Rack, alone};
use crate::{STRANGER, kernel};

/// ISC's dhclient with its files.
struct Dhclient<'a> {
    rack: &'a Rack,
    client: &'a Client,
    name: &'a str,
}

impl Dhclient<'_> {
    fn file(&self, suffix: &str) -> String {
        self.rack.folder.path().join(format!("{}.{suffix}", self.name)).to_str().unwrap().to_owned()
    }

    /// Starts it, with a script that records its variables and sets the address.
    fn start(&self, options: &[&str], config: &str) -> Running {
        let script = PathBuf::from(self.file("sh"));
        let told = self.file("told");
        let text = format!(
            "#!/bin/sh\nenv | grep -E '^(reason|new_)' | sort >>{told}\n\
             if [ -n \"$new_ip6_address\" ]; then\n\
             ip -6 address replace $new_ip6_address/$new_ip6_prefixlen dev $interface nodad\nfi\n"
        );
        std::fs::write(&script, text).unwrap();
        std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::write(self.file("conf"), config).unwrap();
        let (leases, pid, conf) = (self.file("leases"), self.file("pid"), self.file("conf"));
        let always = ["-6", "-d", "-lf", &leases, "-pf", &pid, "-cf", &conf, "-sf", script.to_str().unwrap()];
        Running(self.client.start("dhclient", &[&always, options, &["eth0"]].concat()))
    }

    /// Returns the last value of a variable.
    fn told(&self, name: &str) -> String {
        let text = std::fs::read_to_string(self.file("told")).unwrap_or_default();
        let value = |line: &str| Some(line.strip_prefix(name)?.strip_prefix('=')?.to_owned());
        text.lines().filter_map(value).next_back().unwrap_or_default()
    }
}

/// A client that keeps running.
struct Running(Child);

impl Running {
    fn stop(&self) {
        kill(Pid::from_raw(i32::try_from(self.0.id()).unwrap()), Signal::SIGTERM).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

/// Waits for an answered request, and returns the address in the reply.
async fn answered(rack: &Rack, wanted: &str, with: &str) -> String {
    let what = format!("a {with} to a {wanted}");
    let is_it = |known: &Known| matches!(known, Known::DhcpReplied { request, reply, .. } if request.as_str() == wanted && reply.as_str() == with);
    match rack.log.until(&what, 20, is_it).await {
        Known::DhcpReplied { address, .. } => address.map(|address| address.to_string()).unwrap_or_default(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn dhclient_is_given_an_address() {
    alone(async || {
        let lab = lab_with_ipv6().replace("lease-time = \"1h\"", "lease-time = \"10s\"");
        let rack = Rack::of(&lab, kernel).await;
        let one = rack.client(rack.mac("one"));
        configured(&rack, &one).await;
        let dhclient = Dhclient { rack: &rack, client: &one, name: "one" };
        let running = dhclient.start(&[], "");
        assert_eq!(answered(&rack, "solicit", "advertise").await, "fd00:83::1:b");
        assert_eq!(answered(&rack, "request", "reply").await, "fd00:83::1:b");
        rack.log.until_now("the script", || dhclient.told("reason") == "BOUND6").await;
        for (name, value) in [
            ("new_ip6_address", "fd00:83::1:b"),
            ("new_life_starts", ""),
            ("new_max_life", "10"),
            ("new_preferred_life", "10"),
            ("new_dhcp6_name_servers", "fd00:83::1"),
            ("new_dhcp6_domain_search", "lab.test."),
            ("new_dhcp6_server_id", ""),
        ] {
            if value.is_empty() {
                assert_ne!(dhclient.told(name), "", "{name}");
            } else {
                assert_eq!(dhclient.told(name), value, "{name}");
            }
        }
        // From now on its name resolves to the address too.
        let dig = |question: &str| {
            let words = ["@fd00:83::1", "+short", "+tries=1"];
            one.run("dig", &words.into_iter().chain(question.split(' ')).collect::<Vec<_>>())
        };
        assert_eq!(dig("one.lab.test AAAA"), "fd00:83::1:b\n");
        assert_eq!(dig("-x fd00:83::1:b"), "one.lab.test.\n");
        assert_eq!(answered(&rack, "renew", "reply").await, "fd00:83::1:b");
        running.stop();
        drop(running);
        // It restarts, and confirms that its address is still valid on this link.
        let running = dhclient.start(&[], "");
        answered(&rack, "confirm", "reply").await;
        drop(running);
        let released = dhclient.start(&["-r"], "");
        answered(&rack, "release", "reply").await;
        drop(released);
    });
}

#[test]
fn a_system_with_another_duid_and_a_private_address_is_the_same_node() {
    alone(async || {
        let rack = Rack::of(&lab_with_ipv6(), kernel).await;
        let one = rack.client(rack.mac("one"));
        configured(&rack, &one).await;
        one.run("ip", &["-6", "address", "flush", "dev", "eth0", "scope", "link"]);
        one.run("ip", &["-6", "address", "add", "fe80::5d2:8b1:77aa:1234/64", "dev", "eth0", "nodad"]);
        let dhclient = Dhclient { rack: &rack, client: &one, name: "private" };
        // A DUID-UUID of its machine ID, as NetworkManager has it.
        let duid = r#"default-duid "\000\004\252\273\314\335\356\377@\021\210\231\000\021\"3DU";"#;
        std::fs::write(dhclient.file("leases"), format!("{duid}\n")).unwrap();
        let _running = dhclient.start(&[], "");
        assert_eq!(answered(&rack, "solicit", "advertise").await, "fd00:83::1:b");
        assert_eq!(answered(&rack, "request", "reply").await, "fd00:83::1:b");
        let of_node =
            |known: &Known| matches!(known, Known::DhcpReplied { mac, .. } if *mac == rack.mac("one"));
        assert!(rack.log.has(of_node));
    });
}

#[test]
fn dhclient_may_be_hasty_or_want_no_address() {
    alone(async || {
        let rack = Rack::of(&lab_with_ipv6(), kernel).await;
        let one = rack.client(rack.mac("one"));
        configured(&rack, &one).await;
        let hasty = Dhclient { rack: &rack, client: &one, name: "hasty" };
        let running = hasty.start(&[], "send dhcp6.rapid-commit;\n");
        assert_eq!(answered(&rack, "solicit", "reply").await, "fd00:83::1:b");
        rack.log.until_now("the script", || hasty.told("new_ip6_address") == "fd00:83::1:b").await;
        drop(running);
        let settled = Dhclient { rack: &rack, client: &one, name: "settled" };
        let _running = settled.start(&["-S"], "");
        assert_eq!(answered(&rack, "information-request", "reply").await, "");
        rack.log.until_now("the script", || settled.told("new_dhcp6_domain_search") == "lab.test.").await;
        assert_eq!(settled.told("new_ip6_address"), "");
    });
}

#[test]
fn dhcpcd_is_given_an_address() {
    alone(async || {
        let rack = Rack::of(&lab_with_ipv6(), kernel).await;
        let stranger = rack.client(STRANGER);
        configured(&rack, &stranger).await;
        let (config, script) = (rack.folder.path().join("dhcpcd.conf"), rack.folder.path().join("dhcpcd.sh"));
        std::fs::write(&config, "noipv6rs\nia_na 1\noption dhcp6_name_servers, dhcp6_domain_search\n")
            .unwrap();
        let told = rack.folder.path().join("told");
        let text = format!("#!/bin/sh\nenv | grep -E '^(reason|new_)' | sort >>{}\n", told.display());
        std::fs::write(&script, text).unwrap();
        std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let (config, script) = (config.to_str().unwrap(), script.to_str().unwrap());
        let options = ["-6", "-1", "-B", "-t", "20", "-d", "-f", config, "-c", script, "eth0"];
        let output = stranger.try_run("dhcpcd", &options);
        let told = std::fs::read_to_string(&told).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let address = answered(&rack, "request", "reply").await;
        assert!(address.starts_with("fd00:83::d:"), "{address} is not of the pool");
        for line in [
            &format!("new_dhcp6_ia_na1_ia_addr1={address}"),
            "new_dhcp6_ia_na1_ia_addr1_vltime=3600",
            "new_dhcp6_ia_na1_t1=1800",
            "new_dhcp6_name_servers=fd00:83::1",
            "new_dhcp6_domain_search=lab.test",
        ] {
            assert!(told.lines().any(|known| known == line), "{line} is not in\n{told}");
        }
    });
}

#[test]
fn perfdhcp_is_answered_every_time() {
    alone(async || {
        let rack = Rack::of(&lab_with_ipv6(), kernel).await;
        let stranger = rack.client(STRANGER);
        configured(&rack, &stranger).await;
        // The same through a relay. perfdhcp may send some more exchanges than specified.
        let many = ["-6", "-l", "eth0", "-r", "50", "-n", "200", "-R", "50"];
        for options in [&[][..], &["-A", "1"]] {
            let (exchanges, drops) = perfdhcp(&stranger, &[&many, options, &["all"]].concat());
            assert!(exchanges >= 200 && drops == 0, "{exchanges} exchanges, {drops} drops, {options:?}");
        }
    });
}
