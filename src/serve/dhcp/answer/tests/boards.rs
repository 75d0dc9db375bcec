//! Embedded boards: they read the header, and have no boot program of ours.

use super::*;
use crate::wire::dhcp::Options;

/// U-Boot on 64-bit Arm, with the options that it sends.
fn u_boot(mac: Mac) -> Ask {
    ask(mac, DISCOVER).with(57, &[2, 64]).with(93, &[0, 22]).with(94, &[1, 0, 0]).with(60, b"U-Boot.armv8")
}

/// A Raspberry Pi as its EEPROM (41) or its boot ROM (0) calls it.
fn raspberry_pi(mac: Mac, architecture: u8, id: &[u8]) -> Ask {
    firmware(mac, architecture).with(97, id)
}

/// `siaddr`, `sname` and `file` of a reply.
fn header(plan: &ServicePlan, ask: &Ask) -> String {
    let packet = TestServer::of(plan).answer(ask).reply.map(packet).unwrap();
    let text = |field: &[u8]| {
        let end = field.iter().position(|byte| *byte == 0).unwrap();
        String::from_utf8(field[..end].to_vec()).unwrap()
    };
    let siaddr = Ipv4Addr::from([packet[20], packet[21], packet[22], packet[23]]);
    format!("{siaddr} {:?} {:?}", text(&packet[44..108]), text(&packet[108..236]))
}

#[test]
fn the_tftp_server_is_named_with_and_without_a_boot_file() {
    let plan = plan();
    let table = [
        ("U-Boot", u_boot(FAST)),
        ("not netbooted", u_boot(DISK)),
        ("a stranger", u_boot(STRANGER)),
        ("a system", ask(FAST, DISCOVER)),
        ("BOOTP", bootp(FAST)),
        ("a firmware with a file", firmware(FAST, 0)),
        ("iPXE", ipxe(FAST)),
    ];
    let lines: Vec<String> =
        table.iter().map(|(name, ask)| format!("{name:22} {}", header(&plan, ask))).collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    U-Boot                 10.0.0.1 "" ""
    not netbooted          10.0.0.1 "" ""
    a stranger             10.0.0.1 "" ""
    a system               10.0.0.1 "" ""
    BOOTP                  10.0.0.1 "" ""
    a firmware with a file 10.0.0.1 "10.0.0.1" "ipxe/undionly.kpxe"
    iPXE                   10.0.0.1 "" "http://10.0.0.1/boot/fast.ipxe"
    "#);
    let off = ServicePlan { tftp: crate::lab::TftpBackend::Off, ..plan };
    assert_eq!(header(&off, &u_boot(FAST)), r#"0.0.0.0 "" """#, "no TFTP server is named if there is none");
    let with_file = r#"10.0.0.1 "10.0.0.1" "ipxe/undionly.kpxe""#;
    assert_eq!(header(&off, &firmware(FAST, 0)), with_file, "somebody else serves the file");
}

#[test]
fn options_66_and_67_of_the_lab_file_are_in_the_header_too() {
    let header = |node: &[(u8, &[u8])]| {
        let mut plan = with_options(&[], node);
        plan.dns.records = [("boot.lab.test".to_owned(), vec!["10.0.0.7".parse().unwrap()])].into();
        header(&plan, &u_boot(FAST))
    };
    let long = [b'x'; 200];
    let table = [
        ("file", header(&[(67, b"boot.scr.uimg")])),
        ("server and file", header(&[(66, b"10.0.0.9"), (67, b"boot.scr.uimg")])),
        ("a name of the lab", header(&[(66, b"boot")])),
        ("an absolute name", header(&[(66, b"Boot.lab.test.")])),
        ("an unknown name", header(&[(66, b"tftp.example.com")])),
        ("too long", header(&[(66, &long), (67, &long)])),
    ];
    let lines: Vec<String> = table.iter().map(|(name, line)| format!("{name:17} {line}")).collect();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    file              10.0.0.1 "" "boot.scr.uimg"
    server and file   10.0.0.9 "10.0.0.9" "boot.scr.uimg"
    a name of the lab 10.0.0.7 "boot" ""
    an absolute name  10.0.0.7 "Boot.lab.test." ""
    an unknown name   0.0.0.0 "tftp.example.com" ""
    too long          0.0.0.0 "" ""
    "#);
}

#[test]
fn u_boot_gets_the_program_of_its_architecture() {
    let mut plan = plan();
    let programs = &mut plan.hosts[0].boot.as_mut().unwrap().programs;
    programs.insert(22, "board/boot.scr".to_owned());
    let without_93 = |class: &[u8]| ask(FAST, DISCOVER).with(60, class);
    let table = [
        ("64-bit Arm", u_boot(FAST)),
        ("without option 93", without_93(b"U-Boot.armv8")),
        ("32-bit Arm", without_93(b"U-Boot.armv7")),
        ("RISC-V", ask(FAST, DISCOVER).with(60, b"U-Boot").with(93, &[0, 27])),
        ("no class", ask(FAST, DISCOVER).with(93, &[0, 22])),
    ];
    let lines: Vec<String> =
        table.iter().map(|(name, ask)| format!("{name:18} {}", check(&plan, ask))).collect();
    insta::assert_snapshot!(lines.join("\n"), @"
    64-bit Arm         offer 10.0.0.11 to the hardware address and 10.0.0.11 [firmware: reserved, program for 64-bit Arm U-Boot by TFTP] board/boot.scr
    without option 93  offer 10.0.0.11 to the hardware address and 10.0.0.11 [firmware: reserved, program for 64-bit Arm U-Boot by TFTP] board/boot.scr
    32-bit Arm         offer 10.0.0.11 to the hardware address and 10.0.0.11 [firmware: reserved, no program for 32-bit Arm U-Boot]
    RISC-V             offer 10.0.0.11 to the hardware address and 10.0.0.11 [firmware: reserved, no program for RISC-V 64-bit UEFI]
    no class           offer 10.0.0.11 to the hardware address and 10.0.0.11 [firmware: reserved, program for 64-bit Arm U-Boot by TFTP] board/boot.scr
    ");
    let options = TestServer::of(&plan).options(&u_boot(FAST));
    assert!(!options.contains("\n60 ") && !options.contains("\n43 "), "it is no PXE client: {options}");
}

#[test]
fn a_raspberry_pi_is_invited_by_name() {
    let (newer, older, pi_3) = (
        b"\0RPi4\x11\xd0\xb1\0\xc0\x03\x14\0\0\0\0",
        b"\0RPi4\0\0\0\0\0\0\0\0\0\0\0\0",
        [&[0][..], &[0x44; 16]].concat(),
    );
    for (who, plan) in [("alone", plan()), ("beside another server", proxy())] {
        let asks =
            [raspberry_pi(FAST, 41, newer), raspberry_pi(FAST, 0, older), raspberry_pi(FAST, 0, &pi_3)];
        for ask in asks {
            let reply = TestServer::of(&plan).answer(&ask).reply.map(packet).unwrap();
            let options = Options::split(&reply);
            assert!(options.get(43).unwrap().windows(17).any(|text| text == b"Raspberry Pi Boot"), "{who}");
            assert_eq!(options.get(60), Some(&b"PXEClient"[..]), "{who}");
            assert_eq!(options.get(66), Some(&b"10.0.0.1"[..]), "{who}");
            assert_eq!(reply[20..24], SERVER.octets(), "{who}");
            assert!(options.get(97).is_some() && options.get(67).is_none(), "{who}: no BIOS program");
        }
    }
    insta::assert_snapshot!(check(&plan(), &raspberry_pi(FAST, 41, newer)), @"offer 10.0.0.11 to the hardware address and 10.0.0.11 [firmware: reserved, a Raspberry Pi fetches its own files by TFTP]");
    for (who, ask) in [
        ("boots from its disk", raspberry_pi(DISK, 41, newer)),
        ("unknown", raspberry_pi(STRANGER, 41, newer)),
        ("a PC", firmware(FAST, 0).with(97, &[0; 17])),
    ] {
        let reply = TestServer::of(&plan()).answer(&ask).reply.map(packet).unwrap();
        let menu = Options::split(&reply).get(43).map(<[u8]>::to_vec).unwrap_or_default();
        assert!(!menu.windows(9).any(|text| text == b"Raspberry"), "{who}");
    }
}

#[test]
fn a_vendor_class_is_sent_as_written_or_with_vendor_options() {
    let options = |node: &[(u8, &[u8])], ask: &Ask| TestServer::of(&with_options(&[], node)).options(ask);
    let own = options(&[(43, b"menu")], &firmware(FAST, 11));
    assert!(own.contains("43 menu") && own.contains("60 PXEClient"), "{own}");
    let system = options(&[(43, b"menu")], &ask(FAST, DISCOVER));
    assert!(system.contains("43 menu") && !system.contains("\n60 "), "{system}");
    for ask in [firmware(FAST, 7), u_boot(FAST), ask(FAST, DISCOVER)] {
        let written = options(&[(60, b"AAPLBSDPC")], &ask);
        assert_eq!(
            written.lines().filter(|line| line.starts_with("60 ")).collect::<Vec<_>>(),
            ["60 AAPLBSDPC"]
        );
    }
}
