//! DHCP with udhcpc.

use std::path::Path;
use std::process::Child;

use dryrack::event::{DhcpClient, DhcpMessage, Known};
use dryrack::hint::Hint;
use dryrack::name::Mac;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::rack::{Client, Rack, alone};
use crate::{LAB, STRANGER, kernel};

/// The variables of a lease in udhcpc's script.
pub(crate) struct Lease(Vec<(String, String)>);

/// A script for udhcpc that sets the address and prints its variables.
fn script(folder: &Path) -> String {
    let script = folder.join("udhcpc.sh");
    let text = "#!/bin/sh\ncase $1 in bound | renew) ;; *) exit 0 ;; esac\n\
                ip address replace $ip/$mask dev $interface\nexport -p\n";
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    script.to_str().unwrap().to_owned()
}

impl Lease {
    /// Requests an address with udhcpc and sets it.
    pub(crate) fn ask(rack: &Rack, client: &Client, options: &[&str]) -> Option<Self> {
        Self::ask_in(rack.folder.path(), client, options)
    }

    /// The same, with a folder for udhcpc's script.
    pub(crate) fn ask_in(folder: &Path, client: &Client, options: &[&str]) -> Option<Self> {
        let script = script(folder);
        let always = ["-i", "eth0", "-f", "-n", "-q", "-t", "30", "-T", "1", "-s", &script];
        let output = client.try_run("udhcpc", &[&always, options].concat());
        let text = String::from_utf8(output.stdout).unwrap();
        let value = |line: &str| {
            let (name, value) = line.strip_prefix("export ")?.split_once('=')?;
            Some((name.to_owned(), value.trim_matches('\'').to_owned()))
        };
        output.status.success().then(|| Self(text.lines().filter_map(value).collect()))
    }

    /// Asserts that nobody gives it an address.
    #[track_caller]
    pub(crate) fn none(folder: &Path, client: &Client) {
        assert!(Self::ask_in(folder, client, &["-t", "2"]).is_none(), "somebody gives it an address");
    }

    pub(crate) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("-", |(_, value)| value)
    }
}

#[test]
fn udhcpc_is_given_an_address() {
    alone(async || {
        let rack = Rack::of(LAB, kernel).await;
        let one = rack.client(rack.mac("one"));
        let lease = Lease::ask(&rack, &one, &["-O", "mtu", "-O", "bootfile"]).expect("a lease");
        for (name, value) in [
            ("ip", "10.0.0.11"),
            ("mask", "24"),
            ("broadcast", "10.0.0.255"),
            ("dns", "10.0.0.1"),
            ("router", "-"),
            ("hostname", "one"),
            ("domain", "lab.test"),
            ("serverid", "10.0.0.1"),
            ("lease", "3600"),
            ("mtu", "1400"),
            ("bootfile", "-"),
        ] {
            assert_eq!(lease.get(name), value, "{name}");
        }
        one.run("busybox", &["ping", "-c", "1", "-W", "2", "10.0.0.1"]);
        // Requests an address of another network, and gets a DHCPNAK.
        let lease = Lease::ask(&rack, &one, &["-r", "192.168.1.5"]).expect("a lease");
        assert_eq!(lease.get("ip"), "10.0.0.11");

        let stranger = rack.client(STRANGER);
        let lease = Lease::ask(&rack, &stranger, &["-B"]).expect("a lease");
        assert_eq!((lease.get("ip"), lease.get("hostname")), ("10.0.0.30", "-"));
        assert!(rack.log.has(|known| matches!(known, Known::DhcpReplied { mac, request, reply, client, .. }
            if *mac == STRANGER && *request == DhcpMessage::Request && *reply == DhcpMessage::Ack && *client == DhcpClient::Os)));
    });
}

#[test]
fn firmware_is_told_what_to_load() {
    alone(async || {
        // Without a ROM it must fetch its boot program.
        let bare = "address = \"10.0.0.11\", rom = false }\nfirmware = \"uefi\"";
        let rack = Rack::of(&LAB.replace("address = \"10.0.0.11\" }", bare), kernel).await;
        let one = rack.client(rack.mac("one"));
        // The header names the TFTP server also where the boot file is a URL, option 66 does not.
        for (class, option, file, server) in [
            ("PXEClient:Arch:00000:UNDI:002001", "0x5d:0000", "ipxe/undionly.kpxe", "10.0.0.1"),
            ("PXEClient:Arch:00007:UNDI:003001", "0x5d:0007", "ipxe/snponly.efi", "10.0.0.1"),
            ("PXEClient:Arch:00000:UNDI:002001", "0x4d:69505845", "http://10.0.0.1/boot/one.ipxe", "-"),
            ("PXEClient:Arch:00007:UNDI:003001", "0x4d:0469505845", "http://10.0.0.1/boot/one.ipxe", "-"),
        ] {
            let lease = Lease::ask(&rack, &one, &["-V", class, "-x", option, "-O", "bootfile", "-O", "tftp"]);
            let lease = lease.expect("a lease");
            assert_eq!((lease.get("bootfile"), lease.get("boot_file")), (file, file), "{class} {option}");
            assert_eq!((lease.get("tftp"), lease.get("siaddr")), (server, "10.0.0.1"), "{class} {option}");
        }
    });
}

/// Arguments of dnsmasq that is only a DHCP server, apart from what it assigns.
pub(crate) const DNSMASQ: [&str; 7] = [
    "--no-daemon",
    "--user=",
    "--conf-file=/dev/null",
    "--pid-file=",
    "--port=0",
    "--leasefile-ro",
    "--no-ping",
];

/// A udhcpc that keeps running.
pub(crate) struct Running(pub(crate) Child);

impl Running {
    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(i32::try_from(self.0.id()).unwrap()), signal).unwrap();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.kill().ok();
        self.0.wait().ok();
    }
}

#[test]
fn udhcpc_renews_declines_and_releases() {
    alone(async || {
        let rack = Rack::of(LAB, kernel).await;
        // Another host uses the pool's first address without a lease.
        let _squatter = rack.client(Mac([2, 0, 0, 0, 0, 8])).with_address("10.0.0.30/24");
        let client = rack.client(STRANGER);
        let script = script(rack.folder.path());
        let arguments = ["-i", "eth0", "-f", "-a", "-A", "1", "-t", "3", "-T", "1", "-s", &script];
        let udhcpc = Running(client.start("udhcpc", &arguments));

        rack.log
            .until("a decline", 20, |known| {
                matches!(known, Known::DhcpIgnored { request, rule, .. }
            if *request == DhcpMessage::Decline && rule.contains("set aside"))
            })
            .await;
        let is_ack = |known: &Known, wanted: &str| {
            matches!(known, Known::DhcpReplied { reply, address, .. }
            if *reply == DhcpMessage::Ack && address.is_some_and(|address| address.to_string() == wanted))
        };
        rack.log.until("another address", 20, |known| is_ack(known, "10.0.0.31")).await;

        let acks = || rack.log.count(|known| is_ack(known, "10.0.0.31"));
        rack.log
            .until_now("the address in use", || client.run("ip", &["address"]).contains("10.0.0.31/"))
            .await;
        let before = acks();
        udhcpc.signal(Signal::SIGUSR1);
        rack.log.until_now("a renewal", || acks() > before).await;
        udhcpc.signal(Signal::SIGUSR2);
        rack.log
            .until("a release", 10, |known| {
                matches!(known, Known::DhcpIgnored { request, rule, .. }
            if *request == DhcpMessage::Release && rule == "released")
            })
            .await;
    });
}

#[test]
fn two_networks_keep_to_themselves() {
    alone(async || {
        let lab = format!(
            "{LAB}{}",
            r#"
[network.store]
address = "10.7.0.1/24"
dhcp = { server = { pool = ["10.7.0.50", "10.7.0.60"] } }
dns = { domain = "store.test" }
"#
        );
        let rack = Rack::of(&lab, kernel).await;
        let (here, there) = (rack.client(STRANGER), rack.client_on("store", STRANGER));
        let lease = Lease::ask(&rack, &here, &[]).expect("a lease");
        assert_eq!((lease.get("ip"), lease.get("domain")), ("10.0.0.30", "lab.test"));
        let lease = Lease::ask(&rack, &there, &[]).expect("a lease");
        assert_eq!((lease.get("ip"), lease.get("domain")), ("10.7.0.50", "store.test"));
        // A node of one network is an unknown client in the other.
        let astray = rack.client_on("store", rack.mac("one"));
        assert_eq!(Lease::ask(&rack, &astray, &[]).expect("a lease").get("ip"), "10.7.0.51");
    });
}

#[test]
fn a_port_that_somebody_holds_is_told_with_its_holder() {
    alone(async || {
        let rack = Rack::of(LAB, kernel).await;
        let error = dryrack::system::sockets::bind(rack.service()).expect_err("the services hold the ports");
        let bridge = &rack.service().interface;
        assert_eq!(error.to_string(), format!("cannot open UDP port 67 for DHCP on {bridge}"));
        let hint = error.hint().expect("a hint");
        assert!(hint.contains(&format!("(pid {})", std::process::id())), "{hint}");

        let mut elsewhere = rack.service().clone();
        elsewhere.dhcp = None;
        elsewhere.address = Some("10.9.9.1/24".parse().unwrap());
        let error = dryrack::system::sockets::bind(&elsewhere).expect_err("nobody has this address");
        assert_eq!(error.hint().as_deref(), Some("the network's bridge does not have its address"));
    });
}
