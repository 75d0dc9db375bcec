//! Nothing that a machine prints is lost, however rarely its supervisor gets to run.

#![expect(clippy::disallowed_methods, reason = "a test waits on the clock and starts what it needs")]

#[expect(dead_code, reason = "each test binary uses a part of it")]
mod common;

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use common::{Home, build, run, signal, stderr};
use dryrack::event::{Event, Kind, Known};
use nix::sys::signal::Signal;

/// The kernel names every function that it calls at boot, which makes some 1,500 lines.
const LAB: &str = r#"
dryrack = 1
name = "console"
accel = "tcg"
network.lan.address = "10.74.0.1/24"

[profile.report]
kernel = "image:tiny/kernel"
initrd = ["image:tiny/initrd", "report.cpio"]
args = ["console=ttyS0", "initcall_debug", "ignore_loglevel", "log_buf_len=4M", "rdinit=/report"]

[node.one]
memory = "256MiB"
profile = "report"
start = "manual"
"#;

/// Prints the log of the kernel, which is true: what a process prints waits for the serial port. What the kernel logs
/// later must not be printed in between.
const REPORT: &str = "#!/bin/sh
mount -t devtmpfs dev /dev
mount -t sysfs sys /sys
echo BOOT-ENDS >/dev/kmsg
echo N >/sys/module/printk/parameters/ignore_loglevel
dmesg -n 1
exec >/dev/ttyS0 2>&1
echo REPORT-BEGINS
dmesg -r | sed 's/^<[0-9]*>//'
echo REPORT-ENDS
while :; do sleep 1000; done
";

/// How long the supervisor is stopped, and how long it runs in between.
const STALL: Duration = Duration::from_millis(150);

/// How long it is stopped once in each boot: longer than any buffer lasts.
const LONG_STALL: Duration = Duration::from_secs(2);

#[test]
fn every_line_of_a_boot_is_on_the_console() {
    check(1);
}

#[test]
#[ignore = "takes minutes: ci/nightly slow/every_line_of_twenty_boots_is_on_the_console"]
fn every_line_of_twenty_boots_is_on_the_console() {
    check(20);
}

fn check(boots: usize) {
    build(&["tiny"]);
    let home = Home::new();
    let lab = home.lab("lab", LAB);
    let archive = File::create(home.path().join("report.cpio")).expect("a file");
    let entry = cpio::newc::Builder::new("report").mode(0o100_755);
    let mut entry = entry.write(archive, u32::try_from(REPORT.len()).expect("a short text"));
    entry.write_all(REPORT.as_bytes()).expect("an entry");
    cpio::newc::trailer(entry.finish().expect("an entry")).expect("an archive");

    let succeed = |args: &[&str]| {
        let done = run(home.dryrack(args.iter().copied()).current_dir(home.path()));
        assert!(done.status.success(), "{args:?}: {}", stderr(&done));
    };
    succeed(&["up", "--detach", lab.to_str().expect("a path")]);
    let supervisor = home.process("dryrack-inner").expect("a supervisor");
    let log = home.run_dir().join("node/one/console.log");
    let (mut printed_before, mut reported_before) = (0, 0);
    for boot in 1..=boots {
        succeed(&["power", "on", "one"]);
        stall_until_reported(supervisor, &log, boot);
        succeed(&["power", "off", "--force", "one"]);

        let text = fs::read(&log).expect("a log");
        let printed = String::from_utf8_lossy(&text[printed_before..]).replace('\r', "");
        printed_before = text.len();
        let (printed, report) = printed.split_once("BOOT-ENDS\n").expect("the end of the boot");
        let (_, report) = report.split_once("REPORT-BEGINS\n").expect("a report");
        let (report, _) = report.split_once("BOOT-ENDS\n").expect("a whole report");
        assert!(report.lines().count() > 1000, "{report}");
        assert_whole(&format!("boot {boot}, console.log"), report, printed.lines());

        let events = fs::read_to_string(home.run_dir().join("events.jsonl")).expect("events");
        let events: Vec<&str> = events.lines().collect();
        let lines: Vec<String> = events[reported_before..].iter().copied().filter_map(console_line).collect();
        reported_before = events.len();
        let printed = lines.split(|line| line.ends_with("BOOT-ENDS")).next().unwrap_or_default();
        assert_whole(&format!("boot {boot}, events"), report, printed.iter().map(String::as_str));
    }
    succeed(&["down"]);
    home.assert_clean("after `down`");
}

/// Stops the supervisor now and then, until the latest boot has printed its report.
fn stall_until_reported(supervisor: i32, log: &Path, boot: usize) {
    let deadline = Instant::now() + Duration::from_secs(180);
    // In another part of each boot.
    let long_one = 4 + boot % 8;
    for stall in 0.. {
        signal(supervisor, Signal::SIGSTOP);
        std::thread::sleep(if stall == long_one { LONG_STALL } else { STALL });
        signal(supervisor, Signal::SIGCONT);
        std::thread::sleep(STALL);
        let text = fs::read(log).unwrap_or_default();
        if String::from_utf8_lossy(&text).matches("REPORT-ENDS").count() == boot {
            return;
        }
        assert!(Instant::now() < deadline, "no report: {}", String::from_utf8_lossy(&text));
    }
}

/// Returns the text of a line of the console, if a recorded event is one.
fn console_line(recorded: &str) -> Option<String> {
    let event: Event = serde_json::from_str(recorded).ok()?;
    match event.kind {
        Kind::Known(Known::ConsoleLine { text }) => Some(text),
        Kind::Known(_) | Kind::Unknown { .. } => None,
    }
}

/// Checks that every line of the kernel's own log was printed as it is there, apart from the width of spaces.
fn assert_whole<'a>(place: &str, report: &str, printed: impl Iterator<Item = &'a str>) {
    let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
    let printed: HashSet<String> = printed.map(words).collect();
    // The last line is the beginning of the one that marks the end of the boot.
    let of_kernel = report.lines().rev().skip(1).map(words);
    // The last words of the loader may be before the first line.
    let is_whole = |line: &str| printed.contains(line) || printed.iter().any(|seen| seen.ends_with(line));
    let lost: Vec<String> = of_kernel.filter(|line| !is_whole(line)).collect();
    assert_eq!(lost, [""; 0], "{place}: broken or missing");
}
