//! Disks that a lab keeps between its runs.

#![expect(clippy::disallowed_methods, reason = "a test starts what it needs")]

#[expect(dead_code, reason = "each test binary uses a part of it")]
mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Home, run, stderr, stdout};
use serde_json::Value;

const LAB: &str = r#"
dryrack = 1
name = "kept"
accel = "tcg"
network.lan.address = "10.74.0.1/24"

[node.a]
boot = ["disk"]
start = "manual"
disk.root = { size = "16MiB", source = "raw.img", keep = true }
disk.data = { size = "16MiB" }
"#;

/// Runs a command that must succeed, and returns its output.
#[track_caller]
fn succeed(command: &mut Command) -> String {
    let output = run(command);
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
    stdout(&output)
}

/// Writes a byte to the start of a disk.
fn write(disk: &Path, byte: u8) {
    let what = format!("write -P {byte} 0 512");
    succeed(Command::new("qemu-io").args(["-f", "qcow2", "-c", &what]).arg(disk));
}

/// Tells whether a disk starts with a byte.
fn has(disk: &Path, byte: u8) -> bool {
    let what = format!("read -P {byte} 0 512");
    let read = run(Command::new("qemu-io").args(["-r", "-U", "-f", "qcow2", "-c", &what]).arg(disk));
    assert!(stdout(&read).contains("read 512/512"), "{}{}", stdout(&read), stderr(&read));
    !stdout(&read).contains("Pattern verification failed")
}

/// A lab that is up.
struct Up<'a> {
    home: &'a Home,
    lab: String,
    run_dir: PathBuf,
}

impl<'a> Up<'a> {
    #[track_caller]
    fn new(home: &'a Home, lab: &Path, options: &[&str]) -> Self {
        let lab = lab.to_str().expect("a path").to_owned();
        succeed(home.dryrack(["up", "--detach"]).args(options).arg(&lab));
        Self { home, lab, run_dir: home.run_dir() }
    }

    fn disk(&self, name: &str) -> PathBuf {
        self.run_dir.join(format!("node/a/{name}.qcow2"))
    }

    #[track_caller]
    fn down(self) {
        succeed(&mut self.home.dryrack(["down", &self.lab]));
        assert!(!self.disk("root").exists() && !self.disk("data").exists(), "the run keeps no disks");
    }
}

impl Drop for Up<'_> {
    fn drop(&mut self) {
        run(&mut self.home.dryrack(["down", &self.lab]));
    }
}

#[test]
fn a_disk_that_is_kept_is_used_again() {
    let home = Home::new();
    let lab = home.lab("kept", LAB);
    fs::write(home.path().join("raw.img"), [7; 4096]).expect("a file");
    let listed = || -> Vec<String> {
        let disks: Value =
            serde_json::from_str(&succeed(&mut home.dryrack(["runs", "disks", "--json"]))).expect("JSON");
        let name = |disk: &Value| format!("{} {} {}", disk["lab"], disk["node"], disk["disk"]);
        disks.as_array().expect("a list").iter().map(name).collect()
    };
    let (path, root) = (lab.display().to_string(), |path: &str| format!("{path:?} \"a\" \"root\""));

    let up = Up::new(&home, &lab, &[]);
    assert!(has(&up.disk("root"), 7), "a copy of its source");
    let kept = fs::read_link(up.disk("root")).expect("a link");
    assert!(fs::read_link(up.disk("data")).is_err(), "it is not kept");
    succeed(&mut home.dryrack(["runs", "prune", "--disks", "--keep", "0"]));
    assert_eq!(listed(), [root(&path)], "the lab is up");
    up.down();
    write(&kept, 0x5a);

    // It needs its source no longer, and grows.
    fs::write(home.path().join("raw.img"), [8; 4096]).expect("a file");
    let larger = "node.a.disk.root.size=32MiB";
    let up = Up::new(&home, &lab, &["--keep-disks", "--set", larger]);
    assert!(has(&up.disk("root"), 0x5a) && !has(&up.disk("data"), 0x5a));
    let info = succeed(Command::new("qemu-img").args(["info", "-U", "--output=json"]).arg(up.disk("root")));
    let info: Value = serde_json::from_str(&info).expect("JSON");
    assert_eq!((&info["virtual-size"], &info["backing-filename"]), (&(32 << 20).into(), &Value::Null));
    let data = fs::read_link(up.disk("data")).expect("a link");
    up.down();
    write(&data, 0x5b);
    assert_eq!(listed().len(), 2);

    let smaller = run(home.dryrack(["up", "--detach"]).arg(&lab));
    assert!(stderr(&smaller).contains("perform a shrink operation"), "{}", stderr(&smaller));
    let up = Up::new(&home, &lab, &["--keep-disks", "--set", larger]);
    assert!(has(&up.disk("data"), 0x5b));
    up.down();

    succeed(&mut home.dryrack(["runs", "prune", "--disks", "--keep", "0"]));
    assert!(listed().is_empty());
}
