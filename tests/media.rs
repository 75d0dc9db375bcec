//! Virtual media by URL: the BMC of a machine fetches what its firmware reads, and nothing is left of it.

#![expect(clippy::disallowed_methods, reason = "a test waits on the clock and starts what it needs")]

#[expect(dead_code, reason = "each test binary uses a part of it")]
mod common;
#[path = "common/terminal.rs"]
#[expect(dead_code, reason = "each test binary uses a part of it")]
mod terminal;

use std::fs;
use std::path::{Path, PathBuf};

use common::boot_media::{bootable_cd, bootable_disk};
use common::{run, stderr};
use serde_json::{Value, json};
use terminal::Terminal;

const LAB: &str = r#"
[node.bios]
disk.root = { size = "16MiB" }
boot = ["disk"]
memory = "128MiB"
nic.lan = {}
start = "manual"

[node.uefi]
disk.root = { size = "16MiB" }
boot = ["disk"]
firmware = "uefi"
memory = "256MiB"
nic.lan = {}
start = "manual"

[node.plain]
disk.root = { size = "16MiB" }
boot = ["disk"]
bmc = "off"
nic.lan = {}
start = "manual"
"#;

/// Runs `dryrack`, which must refuse; returns why.
#[track_caller]
fn fails(terminal: &Terminal, args: &[&str]) -> String {
    let output = run(terminal.home.dryrack(args.iter().copied()).current_dir(terminal.home.path()));
    assert!(matches!(output.status.code(), Some(2 | 3)), "{args:?}: {output:?}");
    stderr(&output)
}

fn media(terminal: &Terminal, node: &str) -> Value {
    let status: Value = serde_json::from_str(&terminal.dryrack(&["status", "--json"])).expect("JSON");
    status[0]["media"][node].clone()
}

/// Returns the files in the folder of a node that are there for media.
fn left(folder: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    paths
        .filter(|path| {
            let name = path.file_name().expect("a name").to_string_lossy();
            ["media-", "image-", "usb-"].iter().any(|prefix| name.starts_with(prefix))
        })
        .collect()
}

#[test]
fn a_machine_boots_from_urls() {
    let (iso, stick) = (bootable_cd("the CD was booted"), bootable_disk("the stick was booted"));
    let terminal = Terminal::open(LAB, &[("served/rescue.iso", &iso), ("served/stick.img", &stick)]);
    // As large as that of an installer.
    let served = fs::File::options().write(true).open(terminal.home.path().join("served/rescue.iso"));
    served.and_then(|served| served.set_len(3 << 30)).expect("a file with a hole");
    let succeed = |args: &[&str]| terminal.dryrack(args);
    let (iso, stick) = ("http://10.91.0.1/rescue.iso", "http://10.91.0.1/stick.img");

    // While it is off, and after a power cycle.
    let inserted = succeed(&["media", "insert", "bios", iso]);
    assert_eq!(inserted, format!("{iso} is in the drive of bios from its next start on\n"));
    succeed(&["boot", "cd", "--always", "bios"]);
    succeed(&["power", "on", "bios"]);
    terminal.until_printed("bios", "the CD was booted", 1);
    assert_eq!(media(&terminal, "bios"), json!({ "cd": iso }));
    succeed(&["power", "cycle", "bios"]);
    terminal.until_printed("bios", "the CD was booted", 2);

    // While it runs: another one in its place, a stick, and nothing.
    let inserted = succeed(&["media", "insert", "bios", iso]);
    assert_eq!(inserted, format!("{iso} is in the drive of bios\n"));
    succeed(&["power", "reset", "bios"]);
    terminal.until_printed("bios", "the CD was booted", 3);
    succeed(&["media", "eject", "bios"]);
    let inserted = succeed(&["media", "insert", "bios", stick, "--drive", "usb"]);
    assert_eq!(inserted, format!("{stick} is in drive usb of bios\n"));
    succeed(&["boot", "usb", "--always", "bios"]);
    succeed(&["power", "reset", "bios"]);
    terminal.until_printed("bios", "the stick was booted", 1);
    assert_eq!(media(&terminal, "bios"), json!({ "cd": null, "usb": stick }));
    succeed(&["power", "cycle", "bios"]);
    terminal.until_printed("bios", "the stick was booted", 2);
    // A socket, and what the machine may write.
    assert_eq!(left(&terminal.file("node/bios")).len(), 2);
    succeed(&["media", "eject", "bios", "--drive", "usb"]);
    succeed(&["power", "off", "--force", "bios"]);

    // UEFI finds both, too, though nothing on them that it can start.
    succeed(&["power", "on", "uefi"]);
    succeed(&["media", "insert", "uefi", iso]);
    succeed(&["media", "insert", "uefi", stick, "--drive", "usb"]);
    for (target, name) in [("cd", "UEFI QEMU DVD-ROM"), ("usb", "UEFI QEMU QEMU USB HARDDRIVE")] {
        succeed(&["boot", target, "uefi"]);
        succeed(&["power", "reset", "uefi"]);
        terminal.until_printed("uefi", name, 1);
    }

    // All that was read of the images in these starts.
    let fetched = fetched(&terminal);
    assert!((1..64 << 20).contains(&fetched), "{fetched} bytes");

    refuses(&terminal, iso);
    let folders = ["node/bios", "node/uefi"].map(|folder| terminal.file(folder));
    terminal.dryrack(&["down"]);
    for folder in folders.iter().filter(|folder| folder.exists()) {
        assert_eq!(left(folder), Vec::<PathBuf>::new());
    }
    terminal.home.assert_clean("the lab is down");
}

/// Returns how many bytes the server of the images has sent.
fn fetched(terminal: &Terminal) -> u64 {
    let events = fs::read_to_string(terminal.file("events.jsonl")).expect("events");
    let events = events.lines().map(|line| serde_json::from_str::<Value>(line).expect("an event"));
    events
        .filter(|event| event["kind"] == "http-served")
        .map(|event| event["fields"]["bytes"].as_u64().expect("a number"))
        .sum()
}

fn refuses(terminal: &Terminal, iso: &str) {
    let missing = fails(terminal, &["media", "insert", "bios", "http://10.91.0.1/none.iso"]);
    assert_eq!(
        missing,
        "error: cannot fetch http://10.91.0.1/none.iso: its server answers with status 404\n"
    );
    let loopback = fails(terminal, &["media", "insert", "bios", "http://127.0.0.1/rescue.iso"]);
    assert!(loopback.starts_with("error: the URL cannot be used: it is a loopback address\n"), "{loopback}");
    let plain = fails(terminal, &["media", "insert", "plain", iso]);
    assert!(plain.starts_with("error: `plain` has no BMC, which would fetch the image\n"), "{plain}");
    let drive = fails(terminal, &["media", "insert", "bios", iso, "--drive", "floppy"]);
    assert!(drive.starts_with("error: the BMC of `bios` inserts images into cd and usb\n"), "{drive}");
    let insecure = fails(terminal, &["media", "eject", "bios", "--insecure"]);
    assert!(insecure.starts_with("error: `--insecure` is only for URLs\n"), "{insecure}");
}
