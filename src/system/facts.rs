//! Facts about this host: programs, firmware, memory, addresses, resolvers.
//!
//! Read-only. Anything that cannot be read counts as missing: a plan that needs it
//! reports that.

mod firmware;
mod links;
mod memory;
mod routes;

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::{fs, thread};

use super::process::{command, find_program};
use super::{nft, sysctl};
use crate::lab::Isolation;
use crate::plan::{Accel, HostFacts, Qemu};

/// Where systemd-resolved and NetworkManager write the upstream servers if `resolv.conf` names only the local stub.
const REAL_RESOLVERS: [&str; 2] =
    ["/run/systemd/resolve/resolv.conf", "/run/NetworkManager/no-stub-resolv.conf"];

/// The devices by which the system of a machine reaches its BMC.
const IPMI_DEVICES: [&str; 2] = ["ipmi-bmc-extern", "isa-ipmi-kcs"];

/// Whether QEMU is asked for the devices that it was built with. That takes longer than everything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QemuDevices {
    /// It is asked, because the lab has BMCs.
    Asked,
    /// It counts as complete.
    NotAsked,
}

/// Gathers the facts that a plan needs, in some 20 ms, or 100 ms if QEMU is asked for its devices.
///
/// Two facts are not gathered here, because they take longer or belong to other modules: `accel` is [`Accel::Tcg`]
/// until the caller sets the result of `node::qemu::accel`, and `built` is empty until it lists the images of its
/// cache. Foreign firewalls and the host's interfaces are gathered only for [`Isolation::None`], which alone needs
/// them.
pub fn gather(place: Isolation, devices: QemuDevices) -> HostFacts {
    let qemu = find_program("qemu-system-x86_64");
    // QEMU takes most of the time, so the rest is read in parallel.
    let (version, lacks_ipmi, mut facts) = thread::scope(|scope| {
        let requested = scope.spawn(|| qemu.as_deref().and_then(qemu_version));
        let asked = qemu.as_deref().filter(|_| devices == QemuDevices::Asked);
        let devices = asked.map(|qemu| scope.spawn(|| qemu_devices(qemu)));
        let facts = HostFacts {
            root: nix::unistd::geteuid().is_root(),
            cpus: thread::available_parallelism()
                .map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX)),
            free_memory: memory::free(),
            qemu: None,
            firmware: firmware::find(&firmware::folders(qemu.as_deref())),
            accel: Accel::Tcg,
            pasta: find_program("pasta"),
            nft: find_program("nft"),
            qemu_img: find_program("qemu-img"),
            swtpm: find_program("swtpm"),
            ip_forward: sysctl::ip_forward().unwrap_or(false),
            subnets: routes::subnets(&read("/proc/net/fib_trie"), &read("/proc/net/ipv6_route")),
            links: match place {
                Isolation::Private => Vec::new(),
                Isolation::None => links::links(),
            },
            resolvers: resolvers(&read("/etc/resolv.conf"), &REAL_RESOLVERS.map(read)),
            forward_drops: match place {
                Isolation::Private => Vec::new(),
                Isolation::None => nft::forward_drops().unwrap_or_default(),
            },
            built: Vec::new(),
        };
        let devices = devices.and_then(|devices| devices.join().ok().flatten());
        (requested.join().ok().flatten(), devices.is_some_and(|list| lacks_ipmi(&list)), facts)
    });
    facts.qemu = qemu.zip(version).map(|(program, version)| Qemu { program, version, lacks_ipmi });
    facts
}

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

fn qemu_version(program: &Path) -> Option<(u32, u32, u32)> {
    let output =
        command(program).arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    parse_version(&String::from_utf8_lossy(&output.stdout))
}

/// Returns the list of the devices of a QEMU. One that does not tell it counts as complete.
fn qemu_devices(program: &Path) -> Option<String> {
    let mut qemu = command(program);
    let output = qemu.args(["-device", "help"]).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Tells whether a list of devices, with lines like `name "isa-ipmi-kcs", bus ISA`, has none for IPMI.
fn lacks_ipmi(devices: &str) -> bool {
    let has = |device: &&str| {
        let name = format!("name \"{device}\"");
        devices.lines().any(|line| line.starts_with(&name))
    };
    !IPMI_DEVICES.iter().all(has)
}

/// Parses the version in `QEMU emulator version 7.2.22 (Debian …)`; missing parts count as zero.
fn parse_version(text: &str) -> Option<(u32, u32, u32)> {
    let (_, rest) = text.split_once("version ")?;
    let number = rest.split(|c: char| !(c.is_ascii_digit() || c == '.')).next()?;
    let mut parts = number.split('.').map(str::parse);
    let major = parts.next()?.ok()?;
    let mut next = || parts.next().and_then(Result::ok).unwrap_or(0);
    Some((major, next(), next()))
}

/// Parses the name servers that a lab can reach: those that are not on the host's loopback interface.
///
/// A lab cannot reach a local stub resolver. If there is nothing else, its upstream servers are returned, from the
/// first file that names any.
fn resolvers(conf: &str, behind: &[String]) -> Vec<IpAddr> {
    [conf]
        .into_iter()
        .chain(behind.iter().map(String::as_str))
        .map(nameservers)
        .find(|found| !found.is_empty())
        .unwrap_or_default()
}

fn nameservers(conf: &str) -> Vec<IpAddr> {
    let address = |line: &str| {
        let mut words = line.split_ascii_whitespace();
        let address: IpAddr = (words.next()? == "nameserver").then(|| words.next())??.parse().ok()?;
        (!address.to_canonical().is_loopback() && !address.is_unspecified()).then_some(address)
    };
    conf.lines().filter_map(address).collect()
}

/// Returns the installation prefix of a program (`/usr` for `/usr/bin/qemu-system-x86_64`).
fn prefix(program: &Path) -> Option<PathBuf> {
    let program = fs::canonicalize(program).ok()?;
    Some(program.parent()?.parent()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_qemu_says() {
        let read = |text| parse_version(text);
        assert_eq!(
            read("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)\n"),
            Some((7, 2, 22))
        );
        assert_eq!(read("QEMU emulator version 10.1.0\nCopyright (c) 2003"), Some((10, 1, 0)));
        assert_eq!(read("QEMU emulator version 9.0.50 (v9.0.0-1-gabc)"), Some((9, 0, 50)));
        assert_eq!(read("QEMU emulator version 8.1"), Some((8, 1, 0)));
        assert_eq!(read("something else"), None);
        assert_eq!(read("version ?"), None);
    }

    #[test]
    fn a_qemu_without_ipmi_is_known_by_its_list_of_devices() {
        let list = "Misc devices:\nname \"ipmi-bmc-extern\"\nname \"ipmi-bmc-sim\"\n\
                    name \"isa-ipmi-bt\", bus ISA\nname \"isa-ipmi-kcs\", bus ISA\nname \"pvpanic\", bus ISA\n";
        assert!(!lacks_ipmi(list));
        for device in IPMI_DEVICES {
            let lines = list.lines().filter(|line| !line.contains(device));
            assert!(lacks_ipmi(&lines.collect::<Vec<_>>().join("\n")), "{device}");
        }
        assert!(lacks_ipmi(&list.replace("isa-ipmi-kcs", "isa-ipmi-kcs-2")));
        // A program that has no such list says nothing about devices.
        assert_eq!(qemu_devices(Path::new("/bin/false")), None);
    }

    #[test]
    fn resolvers_on_the_loopback_are_of_no_use_to_a_lab() {
        let list = |conf: &str, behind: &[&str]| {
            let behind: Vec<String> = behind.iter().map(|text| (*text).to_owned()).collect();
            resolvers(conf, &behind).iter().map(IpAddr::to_string).collect::<Vec<_>>().join(" ")
        };
        let plain = "# comment\nsearch example.org\nnameserver 10.0.0.53\nnameserver 2001:db8::53 # second\n";
        assert_eq!(list(plain, &[]), "10.0.0.53 2001:db8::53");
        let stub = "nameserver 127.0.0.53\noptions edns0\n";
        assert_eq!(list(stub, &["", "nameserver 192.0.2.53\n"]), "192.0.2.53");
        assert_eq!(list("nameserver ::1\nnameserver 10.0.0.1\n", &["nameserver 192.0.2.53\n"]), "10.0.0.1");
        assert_eq!(
            list(
                "nameserver fe80::1%eth0\nnameserver ::ffff:127.0.0.1\nnameserver\n;nameserver 1.1.1.1",
                &[]
            ),
            ""
        );
        assert_eq!(list("", &[]), "");
    }

    #[test]
    fn this_host_has_processors_and_memory() {
        let facts = gather(Isolation::Private, QemuDevices::NotAsked);
        assert!(facts.cpus > 0 && facts.free_memory.0 > 0);
        assert!(facts.forward_drops.is_empty() && facts.built.is_empty() && facts.accel == Accel::Tcg);
        assert!(facts.subnets.iter().all(|net| !net.addr().is_loopback()), "{:?}", facts.subnets);
    }
}
