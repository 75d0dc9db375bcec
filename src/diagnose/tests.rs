//! The catalogue, and findings from events.

use std::collections::BTreeSet;

use super::catalogue::CATALOGUE;
use super::sign::VALUES;
use super::template::placeholders;
use super::*;
use crate::event::examples::{console, event};
use crate::event::{DhcpClient, FileRole, PowerCause, Service, Source, TftpMode, Transport};
use crate::name::NetworkName;

#[test]
fn every_entry_can_be_found_and_helps() {
    let ids: BTreeSet<&str> = entries().iter().map(|entry| entry.id.as_str()).collect();
    assert_eq!(ids.len(), entries().len(), "names are unique");
    let mut wrong = Vec::new();
    for entry in entries() {
        let mut check = |ok: bool, what: &str| {
            if !ok {
                wrong.push(format!("{}: {what}", entry.id));
            }
        };
        check(entry.channels() > 0, "it has no sign");
        check(entry.needs <= entry.channels(), "it needs more channels than it has");
        check(!entry.fix.lab.is_empty() || !entry.fix.other.is_empty(), "nothing helps");
        check(entry.title.chars().count() <= 72 && !entry.title.ends_with('.'), "its title");
        check(entry.cause.ends_with('.'), "its cause is a sentence");
        for other in &entry.instead_of {
            check(ids.contains(other.as_str()), &format!("there is no `{other}`"));
        }
        for sign in &entry.network {
            for value in sign.same.iter().chain(&sign.different) {
                check(VALUES.contains(&value.as_str()), &format!("no sign gives `{value}`"));
            }
        }
        let patterns = entry.screen.iter().chain(&entry.log);
        let groups: BTreeSet<&str> = patterns.flat_map(|pattern| pattern.capture_names().flatten()).collect();
        let texts = [&entry.title, &entry.cause].into_iter().chain(&entry.fix.lab).chain(&entry.fix.other);
        for (name, _) in texts.chain(&entry.fix.at).flat_map(|text| placeholders(text)) {
            let is_known = VALUES.contains(&name) || groups.contains(name);
            check(is_known, &format!("nothing gives `{{{name}}}`"));
        }
    }
    assert_eq!(wrong, [""; 0]);
    assert!(CATALOGUE.entries.len() > 100);
}

/// What a client of DHCP says about itself.
#[derive(Clone, Copy)]
struct Client {
    kind: &'static str,
    architecture: Option<u16>,
    class: &'static str,
}

const UEFI: Client =
    Client { kind: "firmware", architecture: Some(7), class: "PXEClient:Arch:00007:UNDI:003001" };
const HTTP: Client =
    Client { kind: "firmware", architecture: Some(16), class: "HTTPClient:Arch:00016:UNDI:003001" };
const BIOS: Client =
    Client { kind: "firmware", architecture: Some(0), class: "PXEClient:Arch:00000:UNDI:002001" };
/// iPXE in the ROM of a NIC of a BIOS machine, and iPXE as a program of UEFI.
const ROM: Client = Client { kind: "ipxe", architecture: Some(0), class: "PXEClient:Arch:00000:UNDI:002001" };
const IPXE: Client =
    Client { kind: "ipxe", architecture: Some(7), class: "PXEClient:Arch:00007:UNDI:003001" };
const SYSTEM: Client = Client { kind: "os", architecture: None, class: "udhcp 1.36" };

fn lan() -> NetworkName {
    NetworkName::new("lan").unwrap()
}

fn asks(client: Client, request: &str) -> Known {
    Known::DhcpAsked {
        network: lan(),
        mac: "52:54:00:00:00:01".parse().unwrap(),
        request: request.into(),
        client: client.kind.into(),
        architecture: client.architecture,
        vendor_class: Some(client.class.to_owned()),
        relay: None,
    }
}

/// A reply of a server with a last number, or of the lab's if that is 0.
fn reply(client: Client, request: &str, reply: &str, file: &str, server: u8) -> Known {
    Known::DhcpReplied {
        network: lan(),
        mac: "52:54:00:00:00:01".parse().unwrap(),
        request: request.into(),
        reply: reply.into(),
        address: Some([10, 0, 0, 20].into()),
        boot_file: Some(file.to_owned()).filter(|file| !file.is_empty()),
        client: DhcpClient::from(client.kind),
        rule: String::new(),
        server: (server > 0).then(|| [10, 0, 0, server].into()),
        bytes: 342,
        us: 100,
    }
}

/// A reply without an address, as ProxyDHCP sends it.
fn proxy(client: Client, file: &str) -> Known {
    let Known::DhcpReplied { network, mac, request, reply, boot_file, client, rule, bytes, us, .. } =
        reply(client, "discover", "offer", file, 9)
    else {
        unreachable!("it is one")
    };
    let server = Some([10, 0, 0, 9].into());
    Known::DhcpReplied {
        network,
        mac,
        request,
        reply,
        address: None,
        boot_file,
        client,
        rule,
        server,
        bytes,
        us,
    }
}

/// A whole dialogue of DHCP with another server than the lab's.
fn leases(client: Client, file: &str) -> Vec<Known> {
    vec![
        asks(client, "discover"),
        reply(client, "discover", "offer", file, 2),
        asks(client, "request"),
        reply(client, "request", "ack", file, 2),
    ]
}

fn tftp(path: &str, outcome: &str, format: &str) -> Known {
    let is_sent = outcome == "sent" && format != "empty";
    Known::TftpServed {
        path: path.to_owned(),
        outcome: outcome.into(),
        bytes: if is_sent { 100_000 } else { 0 },
        ms: 20,
        role: (outcome == "sent").then_some(match format {
            "linux" => FileRole::Kernel,
            "script" => FileRole::Script,
            _ => FileRole::Loader,
        }),
        format: (!format.is_empty()).then(|| format.into()),
        rule: String::new(),
        mode: TftpMode::Octet,
        blksize: None,
        windowsize: None,
        retransmits: 0,
        server: Some([10, 0, 0, 2].into()),
    }
}

fn silence(service: &str, what: &str) -> Known {
    let (service, what) = (Service::from(service), what.to_owned());
    Known::Unanswered { network: lan(), service, what, server: None, times: 4 }
}

fn uefi() -> MachineFacts {
    MachineFacts {
        firmware: Firmware::Uefi,
        memory: Bytes::mebi(512),
        rng: true,
        disks: BTreeSet::new(),
        link_down: false,
        macs: Vec::new(),
        places: BTreeMap::from([("node.a".to_owned(), "lab.toml:7".to_owned())]),
    }
}

fn bios() -> MachineFacts {
    MachineFacts { firmware: Firmware::Bios, ..uefi() }
}

fn secure() -> MachineFacts {
    MachineFacts { firmware: Firmware::UefiSecure, ..uefi() }
}

/// A boot: what was seen of it, how far it came, and on what machine.
struct Boot {
    events: Vec<Known>,
    stage: Stage,
    machine: Option<MachineFacts>,
}

fn boot(stage: Stage, machine: MachineFacts, events: impl IntoIterator<Item = Vec<Known>>) -> Boot {
    Boot { events: events.into_iter().flatten().collect(), stage, machine: Some(machine) }
}

fn screen(lines: &[&str]) -> Vec<Known> {
    lines.iter().map(|line| console(line)).collect()
}

/// Returns the findings of a boot.
fn findings(boot: &Boot) -> Vec<Finding> {
    let node = NodeName::new("a").unwrap();
    let machines = boot.machine.iter().map(|machine| (node.clone(), machine.clone())).collect();
    let mut diagnosis = Diagnosis::new(machines, BTreeSet::from([[10, 0, 0, 1].into()]));
    let mut sure = BTreeSet::new();
    let begin = [Known::PoweredOn {}];
    for (second, known) in (0..).zip(begin.iter().chain(&boot.events)) {
        let source = if matches!(known, Known::ConsoleLine { .. }) { Source::Console } else { Source::Wire };
        let event = Event { source, ..event(second * 1000, Some("a"), known.clone()) };
        sure.extend(diagnosis.apply(&event, boot.stage, &[]).into_iter().map(|(_, finding)| finding.id));
    }
    let found = diagnosis.findings(&node);
    for finding in found.iter().filter(|finding| finding.certainty == Certainty::Sure) {
        assert!(sure.contains(&finding.id), "{} was told when it was sure", finding.id);
    }
    found
}

/// Returns the names of the findings of a boot, and whether they are sure.
fn check(boot: &Boot) -> String {
    let found = findings(boot);
    found.iter().map(|finding| format!("{} {}", finding.certainty, finding.id)).collect::<Vec<_>>().join(", ")
}

const NO_OFFER: &str = "  PXE-E16: No valid offer received.";
const TIMEOUT: &str = "  PXE-E18: Server response timeout.";
const NOTHING_LEFT: &[&str] = &[
    "BdsDxe: failed to load Boot0001 \"UEFI PXEv4 (MAC:525400123456)\" from \
     PciRoot(0x0)/Pci(0x2,0x0)/MAC(525400123456,0x1): Not Found",
    "BdsDxe: No bootable option or device was found.",
];
const FETCHED: &[&str] =
    &["  NBP filename is x.efi", "  NBP filesize is 1000 Bytes", "  NBP file downloaded successfully."];

/// What UEFI tries in vain beside PXE over IPv4.
fn beside() -> Vec<Known> {
    vec![silence("dhcpv6", "solicit"), asks(HTTP, "discover"), silence("dhcp", "discover")]
}

#[test]
fn healthy_boots_have_no_finding() {
    let snponly = || vec![tftp("snponly.efi", "probed", "pe-x64"), tftp("snponly.efi", "sent", "pe-x64")];
    let boots = [
        boot(
            Stage::Nbp,
            uefi(),
            [
                vec![silence("dhcpv6", "solicit")],
                screen(&[NO_OFFER]),
                leases(UEFI, "snponly.efi"),
                screen(FETCHED),
                snponly(),
                vec![tftp("autoexec.ipxe", "not-found", "")],
                screen(&["tftp://10.0.0.2/autoexec.ipxe... not found (https://ipxe.org/2d1261)"]),
                leases(IPXE, "http://10.0.0.2/boot"),
            ],
        ),
        boot(
            Stage::Nbp,
            secure(),
            [
                leases(UEFI, "shimx64.efi"),
                screen(FETCHED),
                vec![
                    tftp("shimx64.efi", "probed", "pe-x64"),
                    tftp("shimx64.efi", "sent", "pe-x64"),
                    tftp("revocations.efi", "not-found", ""),
                    tftp("grubx64.efi", "sent", "pe-x64"),
                    tftp("grub/grub.cfg-01-52-54-00", "not-found", ""),
                ],
                screen(&["Unable to fetch TFTP image: TFTP Error"]),
            ],
        ),
        boot(
            Stage::Nbp,
            bios(),
            [
                leases(ROM, "undionly.kpxe"),
                screen(&["tftp://10.0.0.2/undionly.kpxe... ok"]),
                vec![tftp("undionly.kpxe", "sent", "unknown")],
                leases(ROM, "http://10.0.0.2/boot"),
            ],
        ),
        boot(
            Stage::Nbp,
            bios(),
            [
                leases(BIOS, "pxelinux.0"),
                vec![
                    tftp("pxelinux.0", "sent", "unknown"),
                    tftp("ldlinux.c32", "sent", "elf"),
                    tftp("pxelinux.cfg/01-52-54-00", "not-found", ""),
                    tftp("pxelinux.cfg/default", "sent", "text"),
                ],
            ],
        ),
        boot(
            Stage::Nbp,
            uefi(),
            [
                vec![
                    asks(UEFI, "discover"),
                    reply(UEFI, "discover", "offer", "", 2),
                    proxy(UEFI, "snponly.efi"),
                    asks(UEFI, "request"),
                    reply(UEFI, "request", "ack", "", 2),
                ],
                screen(FETCHED),
                snponly(),
            ],
        ),
        // The disk is first in the boot order, and blank.
        boot(
            Stage::Loader,
            bios(),
            [
                screen(&["Boot failed: not a bootable disk"]),
                leases(IPXE, "http://10.0.0.2/boot.ipxe"),
                vec![web("/boot.ipxe", 200, FileRole::Script)],
            ],
        ),
        boot(Stage::Os, uefi(), [leases(UEFI, "x.efi"), vec![reply(SYSTEM, "request", "nak", "", 2)]]),
    ];
    for (index, boot) in boots.iter().enumerate() {
        assert_eq!(check(boot), "", "boot {index}");
    }
}

#[test]
fn failures_are_named() {
    let refused = |why: &str| Known::Unreachable {
        network: lan(),
        protocol: Transport::Udp,
        destination: "10.0.0.2:69".parse().unwrap(),
        by: [10, 0, 0, 2].into(),
        why: why.into(),
        mtu: None,
    };
    let failures = [
        (
            "nobody answers UEFI",
            boot(
                Stage::Firmware,
                uefi(),
                [
                    vec![asks(UEFI, "discover"), silence("dhcp", "discover")],
                    beside(),
                    screen(&[NO_OFFER]),
                    screen(NOTHING_LEFT),
                ],
            ),
        ),
        (
            "nobody answers a ROM",
            boot(
                Stage::Firmware,
                bios(),
                [
                    vec![asks(ROM, "discover"), silence("dhcp", "discover")],
                    screen(&[
                        "Configuring (net0 52:54:00:12:34:56)...... No configuration methods succeeded (https://ipxe.org/040ee119)",
                        "No more network devices",
                        "No bootable device.",
                    ]),
                ],
            ),
        ),
        (
            "no boot file, UEFI",
            boot(
                Stage::Firmware,
                uefi(),
                [
                    vec![asks(UEFI, "discover"), reply(UEFI, "discover", "offer", "", 2)],
                    beside(),
                    screen(&[NO_OFFER]),
                    screen(NOTHING_LEFT),
                ],
            ),
        ),
        (
            "no boot file, iPXE",
            boot(
                Stage::Dhcp,
                bios(),
                [
                    leases(ROM, ""),
                    screen(&[
                        "Nothing to boot: No such file or directory (http://ipxe.org/2d03e13b)",
                        "No bootable device.",
                    ]),
                ],
            ),
        ),
        (
            "ProxyDHCP alone",
            boot(
                Stage::Firmware,
                uefi(),
                [
                    vec![asks(UEFI, "discover"), proxy(UEFI, "snponly.efi")],
                    beside(),
                    screen(&[NO_OFFER]),
                    screen(NOTHING_LEFT),
                ],
            ),
        ),
        (
            "nobody on port 4011",
            boot(
                Stage::Dhcp,
                uefi(),
                [
                    leases(UEFI, ""),
                    vec![silence("dhcp", "request")],
                    screen(&[TIMEOUT]),
                    screen(NOTHING_LEFT),
                ],
            ),
        ),
        (
            "a URL over PXE",
            boot(
                Stage::Dhcp,
                uefi(),
                [
                    leases(UEFI, "http://10.0.0.2/boot.ipxe"),
                    screen(&[
                        "  NBP filename is http://10.0.0.2/boot.ipxe",
                        "  NBP filesize is 0 Bytes",
                        "  PXE-E99: Unexpected network error.",
                    ]),
                    beside(),
                    screen(NOTHING_LEFT),
                ],
            ),
        ),
        (
            "no TFTP",
            boot(
                Stage::Dhcp,
                uefi(),
                [
                    leases(UEFI, "snponly.efi"),
                    vec![silence("tftp", "snponly.efi")],
                    screen(&["  NBP filesize is 0 Bytes", TIMEOUT]),
                    screen(NOTHING_LEFT),
                ],
            ),
        ),
        (
            "port 69 closed",
            boot(
                Stage::Dhcp,
                uefi(),
                [
                    leases(UEFI, "snponly.efi"),
                    vec![refused("port unreachable")],
                    screen(&[
                        "  NBP filesize is 0 Bytes",
                        "  PXE-E22: Client received ICMP error from server.",
                    ]),
                    screen(NOTHING_LEFT),
                ],
            ),
        ),
        (
            "data from another port is blocked",
            boot(
                Stage::Dhcp,
                uefi(),
                [
                    leases(UEFI, "snponly.efi"),
                    vec![tftp("snponly.efi", "vanished", "")],
                    screen(&["  NBP filesize is 0 Bytes", TIMEOUT]),
                    screen(NOTHING_LEFT),
                ],
            ),
        ),
        (
            "blocks do not fit",
            boot(
                Stage::Dhcp,
                uefi(),
                [
                    leases(UEFI, "snponly.efi"),
                    vec![tftp("snponly.efi", "probed", ""), tftp("snponly.efi", "vanished", "")],
                    screen(&["  NBP filesize is 1000 Bytes", TIMEOUT]),
                    screen(NOTHING_LEFT),
                ],
            ),
        ),
        (
            "no such file",
            boot(
                Stage::Dhcp,
                uefi(),
                [
                    leases(UEFI, "x.efi"),
                    vec![tftp("x.efi", "not-found", "")],
                    screen(&[
                        "  NBP filesize is 0 Bytes",
                        "  PXE-E23: Client received TFTP error from server.",
                    ]),
                    screen(NOTHING_LEFT),
                ],
            ),
        ),
        (
            "a file that may not be read",
            boot(
                Stage::Dhcp,
                uefi(),
                [
                    leases(UEFI, "x.efi"),
                    vec![tftp("x.efi", "refused", "")],
                    screen(&[
                        "  NBP filesize is 0 Bytes",
                        "  PXE-E23: Client received TFTP error from server.",
                    ]),
                    screen(NOTHING_LEFT),
                ],
            ),
        ),
        (
            "a server that is not there",
            boot(
                Stage::Dhcp,
                uefi(),
                [
                    leases(UEFI, "x.efi"),
                    vec![silence("arp", "10.0.0.77")],
                    screen(&["  NBP filesize is 0 Bytes", TIMEOUT]),
                    screen(NOTHING_LEFT),
                ],
            ),
        ),
        (
            "a loader for BIOS on UEFI",
            boot(
                Stage::Nbp,
                uefi(),
                [
                    leases(UEFI, "undionly.kpxe"),
                    vec![tftp("undionly.kpxe", "probed", ""), tftp("undionly.kpxe", "sent", "unknown")],
                    screen(FETCHED),
                    beside(),
                    screen(NOTHING_LEFT),
                ],
            ),
        ),
        (
            "a loader for UEFI on BIOS",
            boot(
                Stage::Nbp,
                bios(),
                [
                    leases(ROM, "snponly.efi"),
                    vec![tftp("snponly.efi", "sent", "pe-x64")],
                    screen(&[
                        "tftp://10.0.0.2/snponly.efi... ok",
                        "Could not boot image: Exec format error (https://ipxe.org/2e008081)",
                        "No bootable device.",
                    ]),
                ],
            ),
        ),
        (
            "iPXE gets itself",
            boot(
                Stage::Nbp,
                bios(),
                (0..3).map(|_| {
                    [
                        leases(ROM, "undionly.kpxe"),
                        vec![tftp("undionly.kpxe", "sent", "unknown")],
                        screen(&["tftp://10.0.0.2/undionly.kpxe... ok"]),
                    ]
                    .concat()
                }),
            ),
        ),
        (
            "an unsigned loader",
            boot(
                Stage::Nbp,
                secure(),
                [
                    leases(UEFI, "snponly.efi"),
                    vec![tftp("snponly.efi", "sent", "pe-x64")],
                    screen(FETCHED),
                    screen(&[
                        "BdsDxe: failed to load Boot0001 \"UEFI PXEv4 (MAC:525400123456)\" from PciRoot(0x0)/Pci(0x2,0x0): Access Denied -- rejected probably by Secure Boot",
                    ]),
                ],
            ),
        ),
        (
            "a link that is down",
            boot(
                Stage::Firmware,
                bios(),
                [
                    vec![Known::LinkSet { nic: "lan".to_owned(), up: false }],
                    screen(&[
                        "Waiting for link-up on net0..... Down (https://ipxe.org/38086101)",
                        "No bootable device.",
                    ]),
                ],
            ),
        ),
        (
            "no random numbers",
            boot(
                Stage::Firmware,
                MachineFacts { rng: false, ..uefi() },
                [screen(&["BdsDxe: No bootable option or device was found."])],
            ),
        ),
        (
            "no ROM",
            boot(Stage::Firmware, bios(), [screen(&["Booting from Hard Disk...", "No bootable device."])]),
        ),
        (
            "two servers",
            boot(
                Stage::Firmware,
                uefi(),
                [vec![
                    asks(UEFI, "discover"),
                    reply(UEFI, "discover", "offer", "a.efi", 2),
                    reply(UEFI, "discover", "offer", "", 3),
                ]],
            ),
        ),
        (
            "spanning tree",
            boot(
                Stage::Firmware,
                bios(),
                [
                    vec![
                        Known::StpSeen {
                            network: lan(),
                            protocol: "STP".to_owned(),
                            root: "32768/02".to_owned(),
                            bridge: "32768/02".to_owned(),
                            state: None,
                        },
                        asks(ROM, "discover"),
                        silence("dhcp", "discover"),
                    ],
                    screen(&["No configuration methods succeeded (https://ipxe.org/040ee119)"]),
                ],
            ),
        ),
        (
            "restarted for ever",
            boot(
                Stage::Kernel,
                MachineFacts { disks: BTreeSet::from(["virtio".to_owned()]), ..bios() },
                [vec![
                    tftp("/vmlinuz", "sent", "linux"),
                    Known::Reset { why: PowerCause::Guest },
                    tftp("/vmlinuz", "sent", "linux"),
                ]],
            ),
        ),
        (
            "no initrd= under UEFI",
            boot(
                Stage::Kernel,
                uefi(),
                [
                    vec![web("/vmlinuz", 200, FileRole::Kernel), web("/initrd", 200, FileRole::Initrd)],
                    screen(&[
                        "[    1.2] Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)",
                    ]),
                ],
            ),
        ),
        (
            "a certificate of the future",
            boot(
                Stage::Loader,
                uefi(),
                [
                    vec![Known::TlsAlerted {
                        server: "10.0.0.2:443".parse().unwrap(),
                        by_client: true,
                        alert: "bad_certificate".to_owned(),
                    }],
                    screen(&["https://10.0.0.2/boot... Permission denied (https://ipxe.org/0216e48f)"]),
                ],
            ),
        ),
        (
            "a disk that is not there",
            boot(
                Stage::Os,
                MachineFacts { disks: BTreeSet::from(["virtio".to_owned()]), ..uefi() },
                [screen(&["Error: checking whether /dev/sda is a device: No such file or directory"])],
            ),
        ),
        (
            "too little memory",
            boot(
                Stage::Kernel,
                bios(),
                [
                    vec![web("/initrd", 200, FileRole::Initrd)],
                    screen(&["[    2.1] Initramfs unpacking failed: write error"]),
                ],
            ),
        ),
    ];
    let lines = failures.iter().map(|(what, boot)| format!("{what}: {}", check(boot)));
    insta::assert_snapshot!(lines.collect::<Vec<_>>().join("\n"));
}

fn web(path: &str, status: u16, role: FileRole) -> Known {
    Known::HttpServed {
        method: "GET".to_owned(),
        path: path.to_owned(),
        status,
        bytes: 6_000_000,
        complete: true,
        ms: 30,
        role: Some(role),
        format: None,
        rule: String::new(),
        range: None,
        tls: None,
        server: Some("10.0.0.2:80".parse().unwrap()),
    }
}

#[test]
fn a_finding_has_its_evidence_and_the_line_of_the_lab_file() {
    let of_lab = |known: Known| match known {
        Known::DhcpReplied {
            network,
            mac,
            request,
            reply,
            address,
            boot_file,
            client,
            rule,
            bytes,
            us,
            ..
        } => {
            let server = None;
            Known::DhcpReplied {
                network,
                mac,
                request,
                reply,
                address,
                boot_file,
                client,
                rule,
                server,
                bytes,
                us,
            }
        }
        other => other,
    };
    let url = |leases: Vec<Known>| {
        boot(
            Stage::Dhcp,
            uefi(),
            [leases, screen(&["  NBP filesize is 0 Bytes", "  PXE-E99: Unexpected network error."])],
        )
    };
    let other = url(leases(UEFI, "http://10.0.0.2/boot.ipxe"));
    insta::assert_json_snapshot!(findings(&other));
    let own = url(leases(UEFI, "http://10.0.0.1/boot.ipxe").into_iter().map(of_lab).collect());
    let [finding] = &findings(&own)[..] else { panic!("one finding") };
    assert!(finding.cause.contains("The lab's server"), "{}", finding.cause);
    assert_eq!(finding.place.as_deref(), Some("lab.toml:7 (node.a.profile)"));
}

#[test]
fn a_machine_that_goes_on_has_no_finding() {
    let mut diagnosis = Diagnosis::default();
    let node = NodeName::new("a").unwrap();
    let events = leases(UEFI, "http://10.0.0.2/boot.ipxe")
        .into_iter()
        .chain(screen(&["  PXE-E99: Unexpected network error."]));
    for (second, known) in (0..).zip(events) {
        diagnosis.apply(&event(second * 1000, Some("a"), known), Stage::Dhcp, &[]);
    }
    assert_eq!(diagnosis.findings(&node).len(), 1);
    diagnosis.apply(&event(60_000, Some("a"), console("Linux version 6.1")), Stage::Kernel, &[]);
    assert_eq!(diagnosis.findings(&node), []);
    // A boot without any explanation keeps the one of the boot before.
    diagnosis.apply(&event(70_000, Some("a"), Known::Reset { why: PowerCause::Guest }), Stage::Firmware, &[]);
    assert_eq!(diagnosis.findings(&node), []);
}

#[test]
fn what_a_server_prints_concerns_the_machine_that_it_names() {
    let mut machine = uefi();
    machine.macs.push("52:54:00:00:00:01".parse().unwrap());
    let node = NodeName::new("a").unwrap();
    let mut diagnosis = Diagnosis::new(BTreeMap::from([(node.clone(), machine)]), BTreeSet::new());
    diagnosis.apply(&event(0, Some("a"), asks(UEFI, "discover")), Stage::Firmware, &[]);
    diagnosis.apply(&event(9, Some("a"), silence("dhcp", "discover")), Stage::Firmware, &[]);
    diagnosis.apply(&event(9, Some("a"), console(NO_OFFER)), Stage::Firmware, &[]);
    let printed = |mac: &str| Known::ProcessPrinted {
        process: "dnsmasq".parse().unwrap(),
        text: format!("dnsmasq-dhcp[7]: DHCPDISCOVER(eth0) {mac} no address available"),
    };
    assert_eq!(
        diagnosis.apply(&event(10, Some("deploy"), printed("52:54:00:00:00:02")), Stage::Off, &[]),
        []
    );
    let found = diagnosis.apply(&event(11, Some("deploy"), printed("52:54:00:00:00:01")), Stage::Off, &[]);
    assert_eq!(
        found.iter().map(|(node, finding)| (node.as_str(), &finding.id[..])).collect::<Vec<_>>(),
        [("a", "dhcp-pool-empty")]
    );
}
