//! The same firmware with stock dnsmasq and with our server: both lead to the same boot.

use std::net::Ipv4Addr;

use dryrack::name::{IfName, Mac};

use super::dhcp::Running;
use super::firmware::{Boots, Firmware, Reply};
use crate::rack::{Client, Rack, alone, program};
use crate::{LAB, kernel};

/// The address of dnsmasq on its own segment.
const PEER: Ipv4Addr = Ipv4Addr::new(10, 5, 0, 1);
const OURS: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);

const BOTH: &str = "\
dhcp-match=set:bios,option:client-arch,0
dhcp-match=set:efi64,option:client-arch,7
dhcp-userclass=set:ipxe,iPXE
";

const PLAIN: &str = "\
dhcp-range=10.5.0.50,10.5.0.99,255.255.255.0,1h
dhcp-boot=tag:bios,tag:!ipxe,ipxe/undionly.kpxe
dhcp-boot=tag:efi64,tag:!ipxe,ipxe/snponly.efi
dhcp-boot=tag:ipxe,http://10.5.0.1/boot/one.ipxe
dhcp-vendorclass=set:http,HTTPClient
dhcp-option-force=tag:http,60,HTTPClient
dhcp-boot=tag:http,http://10.5.0.1/ipxe/snponly.efi
";

const PROXY: &str = "\
dhcp-range=10.5.0.0,proxy,255.255.255.0
pxe-service=tag:!ipxe,x86PC,\"undionly\",ipxe/undionly.kpxe
pxe-service=tag:ipxe,x86PC,\"script\",http://10.5.0.1/boot/one.ipxe
pxe-service=tag:!ipxe,X86-64_EFI,\"snponly\",ipxe/snponly.efi
";

/// Starts dnsmasq on its own segment; returns it with a client.
fn dnsmasq(rack: &Rack, config: &str, own: Ipv4Addr) -> (Running, Client) {
    for words in ["link add peer0 type bridge forward_delay 0", "link set peer0 up"] {
        let status = std::process::Command::new(program("ip")).args(words.split(' ')).status();
        assert!(status.unwrap().success(), "ip {words}");
    }
    let segment = IfName::new("peer0").unwrap();
    let server = Client::plug(&segment, 1400, Mac([2, 0, 0, 0, 7, 1])).with_address("10.5.0.1/24");
    let file = rack.folder.path().join("dnsmasq.conf");
    std::fs::write(
        &file,
        format!("port=0\ninterface=eth0\nbind-interfaces\nno-ping\nleasefile-ro\n{BOTH}{config}"),
    )
    .unwrap();
    let config = format!("--conf-file={}", file.display());
    let child = server.start("dnsmasq", &["--no-daemon", "--pid-file=", &config]);
    let client = Client::plug(&segment, 1400, rack.mac("one"));
    (Running(child), client.with_address(&format!("{own}/24")))
}

/// Retries until dnsmasq answers, as firmware does.
fn patiently(firmware: Firmware, client: &Client, rack: &Rack, own: Ipv4Addr) -> Option<Boots> {
    (0..5).find_map(|_| firmware.boots(client, rack.mac("one"), own))
}

/// Replaces the addresses of dnsmasq by ours.
fn as_ours(boots: Boots) -> Boots {
    match boots {
        Boots::Tftp { server: PEER, file } => Boots::Tftp { server: OURS, file },
        Boots::Tftp { server, .. } => panic!("whose server is {server}?"),
        Boots::Url(url) => Boots::Url(url.replace(&PEER.to_string(), &OURS.to_string())),
    }
}

/// A lab in which node `one` must fetch its boot program.
fn lab() -> String {
    LAB.replace("address = \"10.0.0.11\" }", "address = \"10.0.0.11\", rom = false }\nfirmware = \"uefi\"")
}

fn wanted(firmware: Firmware) -> Boots {
    match firmware {
        Firmware::Bios => Boots::Tftp { server: OURS, file: "ipxe/undionly.kpxe".to_owned() },
        Firmware::Uefi => Boots::Tftp { server: OURS, file: "ipxe/snponly.efi".to_owned() },
        Firmware::Ipxe => Boots::Url("http://10.0.0.1/boot/one.ipxe".to_owned()),
        Firmware::Http => Boots::Url("http://10.0.0.1/ipxe/snponly.efi".to_owned()),
    }
}

#[test]
fn firmware_boots_the_same_by_dnsmasq_and_by_us() {
    alone(async || {
        let rack = Rack::of(&lab(), kernel).await;
        let (here, there) = ([10, 0, 0, 11].into(), [10, 5, 0, 11].into());
        let ours = rack.client(rack.mac("one")).with_address("10.0.0.11/24");
        let (_dnsmasq, theirs) = dnsmasq(&rack, PLAIN, there);
        for firmware in Firmware::ALL {
            let boots = firmware.boots(&ours, rack.mac("one"), here);
            assert_eq!(boots, Some(wanted(firmware)), "{firmware:?} by us\n{}", rack.log.text());
            let boots = patiently(firmware, &theirs, &rack, there).map(as_ours);
            assert_eq!(boots, Some(wanted(firmware)), "{firmware:?} by dnsmasq");
        }
    });
}

#[test]
fn firmware_boots_the_same_beside_another_server() {
    alone(async || {
        let lab = lab().replace(
            "dhcp = { server = { pool = [\"10.0.0.30\", \"10.0.0.32\"], lease-time = \"1h\" } }",
            "dhcp = \"proxy\"",
        );
        let rack = Rack::of(&lab, kernel).await;
        let (here, there) = ([10, 0, 0, 11].into(), [10, 5, 0, 11].into());
        let ours = rack.client(rack.mac("one")).with_address("10.0.0.11/24");
        let (_dnsmasq, theirs) = dnsmasq(&rack, PROXY, there);
        for firmware in Firmware::ALL {
            let boots = firmware.boots(&ours, rack.mac("one"), here);
            assert_eq!(boots, Some(wanted(firmware)), "{firmware:?} by us\n{}", rack.log.text());
            // dnsmasq has no ProxyDHCP for HTTP Boot.
            if firmware != Firmware::Http {
                let boots = patiently(firmware, &theirs, &rack, there).map(as_ours);
                assert_eq!(boots, Some(wanted(firmware)), "{firmware:?} by dnsmasq");
            }
        }
        // An unknown client gets no answer.
        let stranger = rack.client(crate::STRANGER);
        assert_eq!(Firmware::Uefi.boots(&stranger, crate::STRANGER, here), None);
    });
}

/// A recorded reply of another server to a firmware.
struct Captured {
    of: &'static str,
    firmware: Firmware,
    yiaddr: [u8; 4],
    siaddr: [u8; 4],
    file: &'static [u8],
    options: &'static [(u8, &'static [u8])],
}

const SERVER: [u8; 4] = [192, 0, 2, 1];
const LEASED: [u8; 4] = [192, 0, 2, 21];
const NONE: [u8; 4] = [0; 4];

/// Replies of dnsmasq 2.90, pixiecore and Tinkerbell to a node, with the file names of their configurations.
const CAPTURED: &[Captured] = &[
    Captured {
        of: "dnsmasq, BIOS",
        firmware: Firmware::Bios,
        yiaddr: LEASED,
        siaddr: SERVER,
        file: b"",
        options: &[(54, &SERVER), (67, b"undionly.kpxe\0")],
    },
    Captured {
        of: "dnsmasq, UEFI",
        firmware: Firmware::Uefi,
        yiaddr: LEASED,
        siaddr: SERVER,
        file: b"",
        options: &[(54, &SERVER), (67, b"ipxe.efi\0")],
    },
    Captured {
        of: "dnsmasq, iPXE",
        firmware: Firmware::Ipxe,
        yiaddr: LEASED,
        siaddr: SERVER,
        file: b"",
        options: &[(54, &SERVER), (67, b"http://192.0.2.1/boot.ipxe\0")],
    },
    Captured {
        of: "pixiecore, BIOS",
        firmware: Firmware::Bios,
        yiaddr: NONE,
        siaddr: SERVER,
        file: b"undionly.kpxe",
        options: &[(43, &[6, 1, 8, 255]), (54, &SERVER), (60, b"PXEClient")],
    },
    Captured {
        of: "Tinkerbell, BIOS",
        firmware: Firmware::Bios,
        yiaddr: LEASED,
        siaddr: SERVER,
        file: b"undionly.kpxe",
        options: &[
            (43, b"\x06\x01\x08E\x1a\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
            (54, &SERVER),
        ],
    },
    Captured {
        of: "Tinkerbell, UEFI over HTTP",
        firmware: Firmware::Http,
        yiaddr: LEASED,
        siaddr: SERVER,
        file: b"http://192.0.2.1/ipxe.efi",
        options: &[(54, &SERVER), (60, b"HTTPClient")],
    },
    Captured {
        of: "Tinkerbell beside another server, UEFI",
        firmware: Firmware::Uefi,
        yiaddr: NONE,
        siaddr: SERVER,
        file: b"ipxe.efi",
        options: &[(43, &[6, 1, 8]), (54, &SERVER), (60, b"PXEClient")],
    },
    Captured {
        of: "Tinkerbell beside another server, UEFI over HTTP",
        firmware: Firmware::Http,
        yiaddr: NONE,
        siaddr: SERVER,
        file: b"http://192.0.2.1/ipxe.efi",
        options: &[(43, &[6, 1, 8]), (54, &SERVER), (60, b"HTTPClient")],
    },
];

#[test]
fn firmware_boots_the_same_as_by_servers_that_were_captured() {
    alone(async || {
        let rack = Rack::of(&lab(), kernel).await;
        let own = [10, 0, 0, 11].into();
        let client = rack.client(rack.mac("one")).with_address("10.0.0.11/24");
        for Captured { of, firmware, yiaddr, siaddr, file, options } in CAPTURED {
            let reply = Reply::captured(*yiaddr, *siaddr, file, options);
            let theirs = firmware.boots_from(&client, rack.mac("one"), own, &reply).expect(of);
            let ours = firmware.boots(&client, rack.mac("one"), own).expect(of);
            // File names depend on the configuration; only the method must be the same.
            match (&theirs, &ours) {
                (Boots::Tftp { server, file }, Boots::Tftp { server: own, file: ours }) => {
                    assert_eq!((server.octets(), *own), (SERVER, OURS), "{of}");
                    let same = |name: &str| name.replace("ipxe/", "").replace("ipxe.efi", "snponly.efi");
                    assert_eq!(same(file), same(ours), "{of}");
                }
                (Boots::Url(theirs), Boots::Url(ours)) => {
                    assert!(
                        theirs.starts_with("http://192.0.2.1/") && ours.starts_with("http://10.0.0.1/"),
                        "{of}"
                    );
                }
                _ => panic!("{of}: {theirs:?} and {ours:?}"),
            }
        }
    });
}
