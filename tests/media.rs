//! Virtual media by URL: the BMC of a machine fetches what its firmware reads, and nothing is left of it.

#![expect(clippy::disallowed_methods, reason = "a test waits on the clock")]

#[expect(dead_code, reason = "each test binary uses a part of it")]
mod common;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use common::boot_media::{bootable_cd, bootable_stick};
use common::{Home, run, stderr, stdout, wait_for};
use serde_json::{Value, json};

/// Timeout for the boot of an emulated machine on a busy host.
const BOOT: Duration = Duration::from_secs(120);

const LAB: &str = r#"
dryrack = 1
name = "media"
accel = "tcg"

[network.mgmt]
address = "10.93.0.1/24"
root = "files"
bmc = {}

[node.bios]
disk.root = { size = "16MiB" }
boot = ["disk"]
memory = "128MiB"
nic.mgmt = {}
start = "manual"

[node.uefi]
disk.root = { size = "16MiB" }
boot = ["disk"]
firmware = "uefi"
memory = "256MiB"
nic.mgmt = {}
start = "manual"

[node.plain]
disk.root = { size = "16MiB" }
boot = ["disk"]
bmc = "off"
nic.mgmt = {}
start = "manual"
"#;

/// A lab that is up.
struct Up(Home);

impl Up {
    fn start(files: &[(&str, &[u8])]) -> Self {
        let home = Home::with_host();
        let folder = home.path().join("files");
        fs::create_dir(&folder).expect("a folder");
        for (name, bytes) in files {
            fs::write(folder.join(name), bytes).expect("a file");
        }
        let lab = home.lab("media", LAB);
        let up = Self(home);
        up.succeed(&["up", "--detach", lab.to_str().expect("a path")]);
        up
    }

    /// Runs `dryrack`; returns its code and both outputs.
    fn said(&self, args: &[&str]) -> (Option<i32>, String) {
        let output = run(self.0.dryrack(args.iter().copied()).current_dir(self.0.path()));
        (output.status.code(), stdout(&output) + &stderr(&output))
    }

    #[track_caller]
    fn succeed(&self, args: &[&str]) -> String {
        let (code, said) = self.said(args);
        assert_eq!(code, Some(0), "{args:?}: {said}");
        said
    }

    #[track_caller]
    fn fail(&self, args: &[&str]) -> String {
        let (code, said) = self.said(args);
        assert!(matches!(code, Some(2 | 3)), "{args:?}: {code:?}, {said}");
        said
    }

    fn media(&self, node: &str) -> Value {
        let status: Value = serde_json::from_str(&self.succeed(&["status", "--json"])).expect("JSON");
        status[0]["media"][node].clone()
    }

    /// Waits until a node has printed a text a number of times.
    #[track_caller]
    fn until_printed(&self, node: &str, text: &str, times: usize) {
        let log = self.0.run_dir().join(format!("node/{node}/console.log"));
        wait_for(&format!("{text} from {node}"), BOOT, || {
            std::thread::sleep(Duration::from_millis(50));
            let printed = fs::read(&log).unwrap_or_default();
            (String::from_utf8_lossy(&printed).matches(text).count() >= times).then_some(())
        });
    }

    /// Returns the files in the folder of a node that are there for media.
    fn left(&self, node: &str) -> Vec<PathBuf> {
        let folder = fs::read_dir(self.0.run_dir().join("node").join(node)).expect("a folder");
        let paths = folder.map(|entry| entry.expect("an entry").path());
        paths
            .filter(|path| {
                let name = path.file_name().expect("a name").to_string_lossy();
                ["media-", "image-", "usb-"].iter().any(|prefix| name.starts_with(prefix))
            })
            .collect()
    }
}

#[test]
fn a_machine_boots_from_urls() {
    let (iso, stick) = (bootable_cd("the CD was booted"), bootable_stick("the stick was booted"));
    let up = Up::start(&[("rescue.iso", &iso), ("stick.img", &stick)]);
    let (iso, stick) = ("http://10.93.0.1/rescue.iso", "http://10.93.0.1/stick.img");

    // While it is off, and after a power cycle.
    let inserted = up.succeed(&["media", "insert", "bios", iso]);
    assert_eq!(inserted, format!("{iso} is in the drive of bios from its next start on\n"));
    up.succeed(&["boot", "cd", "--always", "bios"]);
    up.succeed(&["power", "on", "bios"]);
    up.until_printed("bios", "the CD was booted", 1);
    assert_eq!(up.media("bios"), json!({ "cd": iso }));
    up.succeed(&["power", "cycle", "bios"]);
    up.until_printed("bios", "the CD was booted", 2);

    // While it runs: another one in its place, a stick, and nothing.
    let inserted = up.succeed(&["media", "insert", "bios", iso]);
    assert_eq!(inserted, format!("{iso} is in the drive of bios\n"));
    up.succeed(&["power", "reset", "bios"]);
    up.until_printed("bios", "the CD was booted", 3);
    up.succeed(&["media", "eject", "bios"]);
    let inserted = up.succeed(&["media", "insert", "bios", stick, "--drive", "usb"]);
    assert_eq!(inserted, format!("{stick} is in drive usb of bios\n"));
    up.succeed(&["boot", "usb", "--always", "bios"]);
    up.succeed(&["power", "reset", "bios"]);
    up.until_printed("bios", "the stick was booted", 1);
    assert_eq!(up.media("bios"), json!({ "cd": null, "usb": stick }));
    up.succeed(&["power", "cycle", "bios"]);
    up.until_printed("bios", "the stick was booted", 3);
    // A socket, and what the machine may write.
    assert_eq!(up.left("bios").len(), 2);
    up.succeed(&["media", "eject", "bios", "--drive", "usb"]);
    up.succeed(&["power", "off", "--force", "bios"]);

    // UEFI finds both, too, though nothing on them that it can start.
    up.succeed(&["power", "on", "uefi"]);
    up.succeed(&["media", "insert", "uefi", iso]);
    up.succeed(&["media", "insert", "uefi", stick, "--drive", "usb"]);
    for (target, name) in [("cd", "UEFI QEMU DVD-ROM"), ("usb", "UEFI QEMU QEMU USB HARDDRIVE")] {
        up.succeed(&["boot", target, "uefi"]);
        up.succeed(&["power", "reset", "uefi"]);
        up.until_printed("uefi", name, 1);
    }

    refuses(&up, iso);
    let folders: Vec<PathBuf> = ["bios", "uefi"].map(|node| up.0.run_dir().join("node").join(node)).to_vec();
    up.succeed(&["down"]);
    for folder in folders {
        let name = folder.file_name().expect("a name").to_string_lossy().into_owned();
        assert!(!folder.exists() || up.left(&name).is_empty(), "{:?}", up.left(&name));
    }
    up.0.assert_clean(Duration::from_secs(2), "the lab is down");
}

fn refuses(up: &Up, iso: &str) {
    let missing = up.fail(&["media", "insert", "bios", "http://10.93.0.1/none.iso"]);
    assert_eq!(
        missing,
        "error: cannot fetch http://10.93.0.1/none.iso: its server answers with status 404\n"
    );
    let loopback = up.fail(&["media", "insert", "bios", "http://127.0.0.1/rescue.iso"]);
    assert!(loopback.starts_with("error: the URL cannot be used: it is a loopback address\n"), "{loopback}");
    let plain = up.fail(&["media", "insert", "plain", iso]);
    assert!(plain.starts_with("error: `plain` has no BMC, which would fetch the image\n"), "{plain}");
    let drive = up.fail(&["media", "insert", "bios", iso, "--drive", "floppy"]);
    assert!(drive.starts_with("error: the BMC of `bios` inserts images into cd and usb\n"), "{drive}");
    let insecure = up.fail(&["media", "eject", "bios", "--insecure"]);
    assert!(insecure.starts_with("error: `--insecure` is only for URLs\n"), "{insecure}");
}
