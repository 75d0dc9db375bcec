//! sushy, with which Ironic manages machines.

use std::fs;

use crate::common::boot_media::{bootable_cd, uefi_disk};
use crate::terminal::{FROM_DISK, FROM_NETWORK, SYSTEM_IS_UP, Terminal};
use crate::{open_with, version};

/// What the CD prints.
const FROM_CD: &str = "from the CD";

/// A machine with UEFI whose disk comes first.
const NODE_D: &str = r#"
[node.d]
firmware = "uefi"
memory = "384MiB"
nic.lan = {}
profile = "tiny"
start = "manual"
boot = ["disk", "network"]
disk.root = { size = "16MiB", source = "uefi.img" }
bmc = { address = "10.91.1.53" }
"#;

#[test]
fn manages_machines() {
    let mut terminal = open_with(NODE_D, &["sushy_client.py"], &[("uefi.img", &uefi_disk(FROM_DISK))]);
    let cd = terminal.home.path().join("served/cd.iso");
    fs::write(cd, bootable_cd(FROM_CD)).expect("an image");
    let of = |address: &str, command: &str| {
        format!("python3 sushy_client.py https://{address} $PASSWORD {command}")
    };
    let a = |command: &str| of("10.91.1.10", command);
    let wrong = terminal.ask("python3 sushy_client.py https://10.91.1.10 wrong describe");
    assert!(wrong.code == 1 && wrong.said.contains("AccessError"), "{wrong:?}");

    // It boots while the others are at work.
    let d = |command: &str| of("10.91.1.53", command);
    assert_eq!(terminal.succeeds(&d("boot Pxe Once")), "override: Once Pxe UEFI\n");
    assert_eq!(terminal.succeeds(&d("reset On On")), "power: On\n");

    let described = terminal.succeeds(&a("describe"));
    let identity = terminal.plan("a")["kind"]["qemu"]["identity"].clone();
    for (name, value) in [
        ("sessions", "admin"),
        ("serial", identity["serial"].as_str().expect("text")),
        ("uuid", identity["uuid"].as_str().expect("text")),
        ("boots from", "Cd Hdd None Pxe Usb"),
        ("disks", "16777216"),
        ("override", "Disabled None Legacy"),
    ] {
        assert!(described.lines().any(|line| line == format!("{name}: {value}")), "{name}: {described}");
    }
    assert_eq!(described.matches("\nNIC: ").count(), 1, "{described}");

    // Once from the network, and then from the disk as before.
    assert_eq!(terminal.succeeds(&a("boot Pxe Once")), "override: Once Pxe Legacy\n");
    assert_eq!(terminal.succeeds(&a("reset On On")), "power: On\n");
    terminal.until_printed("a", FROM_NETWORK, 1);
    assert_eq!(terminal.succeeds(&a("override")), "override: Disabled None Legacy\n");
    assert_eq!(terminal.succeeds(&a("reset ForceRestart On")), "power: On\n");
    terminal.until_printed("a", FROM_DISK, 1);
    assert_eq!(terminal.printed("a", FROM_NETWORK), 1);
    terminal.until_printed("d", SYSTEM_IS_UP, 1);
    assert_eq!(terminal.succeeds(&d("override")), "override: Disabled None UEFI\n");
    assert_eq!(terminal.succeeds(&d("reset ForceRestart On")), "power: On\n");
    // A continuous one stays.
    assert_eq!(terminal.succeeds(&a("boot Pxe Continuous")), "override: Continuous Pxe Legacy\n");
    assert_eq!(terminal.succeeds(&a("reset ForceRestart On")), "power: On\n");
    terminal.until_printed("a", FROM_NETWORK, 2);
    assert_eq!(terminal.succeeds(&a("override")), "override: Continuous Pxe Legacy\n");
    assert_eq!(terminal.succeeds(&a("boot None Disabled")), "override: Disabled None Legacy\n");
    assert_eq!(terminal.succeeds(&a("reset ForceOff Off")), "power: Off\n");
    // Off again is no error; to interrupt a machine that is off is one.
    assert_eq!(terminal.succeeds(&a("reset ForceOff Off")), "power: Off\n");
    let refused = terminal.ask(&a("reset Nmi Off"));
    assert!(
        refused.code == 1 && refused.said.contains("Base.1.21.ActionParameterValueConflict"),
        "{refused:?}"
    );

    terminal.until_printed("d", FROM_DISK, 1);
    assert_eq!(terminal.printed("d", SYSTEM_IS_UP), 1);
    assert_eq!(terminal.succeeds(&d("reset ForceOff Off")), "power: Off\n");
    let legacy = terminal.succeeds(&of("10.91.1.50", "legacy"));
    assert!(legacy.starts_with("refused: Base.1.21.PropertyValueNotInList "), "{legacy}");
    assert!(legacy.ends_with("override: Disabled None UEFI\n"), "{legacy}");

    let slots = terminal.succeeds(&a("media"));
    assert_eq!(slots.matches("/VirtualMedia/Cd CD DVD empty None\n").count(), 2, "{slots}");
    assert_eq!(slots.matches("/VirtualMedia/Usb USBStick empty None\n").count(), 2, "{slots}");
    boots_from_virtual_media(&mut terminal);

    let secure = terminal.succeeds(&of("10.91.1.51", "secure-boot"));
    let wanted = "Secure Boot: True Enabled UserMode\nSecure Boot: False Enabled UserMode\n\
                  Secure Boot: True Enabled UserMode\ndatabases: PK KEK db dbx\n";
    assert_eq!(secure, wanted);

    terminal.compare("redfish/sushy", &version("sushy"));
    terminal.close();
}

/// A CD that the lab serves: in a machine that is off, and taken out of it while it is used.
fn boots_from_virtual_media(terminal: &mut Terminal) {
    let a = |command: &str| format!("python3 sushy_client.py https://10.91.1.10 $PASSWORD {command}");
    for (image, why) in [
        ("http://10.91.0.1/none.iso", "refused: 400 "),
        ("http://10.91.0.1:9/cd.iso", "refused: 400 "),
        ("http://127.0.0.1/cd.iso", "refused: 400 "),
        ("file:///etc/passwd", "refused: 400 "),
    ] {
        let said = terminal.succeeds(&a(&format!("insert {image}")));
        assert!(said.starts_with(why) && said.ends_with("slot: empty None\n"), "{image}: {said}");
    }
    // Its QEMU may still be about to end when the image comes.
    assert_eq!(terminal.succeeds(&a("reset On On")), "power: On\n");
    assert_eq!(terminal.succeeds(&a("reset ForceOff Off")), "power: Off\n");
    let inserted = terminal.succeeds(&a("insert http://10.91.0.1/cd.iso"));
    assert_eq!(inserted, "slot: inserted http://10.91.0.1/cd.iso\n");
    let again = terminal.succeeds(&a("insert http://10.91.0.1/cd.iso"));
    assert!(again.starts_with("refused: 4"), "{again}");
    assert_eq!(terminal.succeeds(&a("boot Cd Once")), "override: Once Cd Legacy\n");
    assert_eq!(terminal.succeeds(&a("reset On On")), "power: On\n");
    terminal.until_printed("a", FROM_CD, 1);
    assert_eq!(terminal.succeeds(&a("override")), "override: Disabled None Legacy\n");
    // `dryrack media` is another face of the same slot.
    terminal.dryrack(&["media", "eject", "a"]);
    terminal.until(&a("media"), "/VirtualMedia/Cd CD DVD empty");
    terminal.dryrack(&["media", "insert", "a", "http://10.91.0.1/cd.iso"]);
    terminal.until(&a("media"), "/VirtualMedia/Cd CD DVD inserted http://10.91.0.1/cd.iso");
    assert_eq!(terminal.succeeds(&a("eject")), "slot: empty None\n");
    assert_eq!(terminal.succeeds(&a("reset ForceOff Off")), "power: Off\n");
}
