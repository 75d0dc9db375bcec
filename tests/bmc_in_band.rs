//! The BMC of a node from within: a Linux with its own IPMI drivers and `ipmitool`, and the same BMC from the network.
//!
//! The transcript in `tests/bmc/in_band.txt` has commands as typed, on the machine (`a#`) and outside (`$`), and what
//! they print. `DRYRACK_BLESS=1` writes it.

#![expect(clippy::disallowed_methods, reason = "a test waits on the clock and starts what it needs")]

#[expect(dead_code, reason = "each test binary uses a part of it")]
mod common;
#[path = "common/terminal.rs"]
#[expect(dead_code, reason = "each test binary uses a part of it")]
mod terminal;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use common::{Home, build, cache, run, signal, stderr, stdout, wait_for};
use nix::sys::signal::Signal;
use terminal::{BOOT, Done, Terminal, field, ipmitool};

const LAB: &str = r#"
[profile.ipmi]
kernel = "image:ipmi/kernel"
initrd = ["image:ipmi/initrd"]
args = ["console=ttyS0", "no_timer_check"]

[node.a]
memory = "224MiB"
nic.lan = { address = "10.91.0.10" }
profile = "ipmi"
start = "manual"
bmc = { address = "10.91.1.10" }

[node.old]
machine = "pc"
firmware = "uefi"
memory = "256MiB"
nic.lan = { address = "10.91.0.11" }
profile = "ipmi"
start = "manual"
bmc = { address = "10.91.1.11" }
"#;

/// The beginning of commands of `ipmitool` to the BMC of node `old`.
const TO_OLD: &str = "ipmitool -I lanplus -H 10.91.1.11 -U admin -E";

/// Brings the lab up; its machines stay off.
fn open() -> Terminal {
    build(&["metal", "tiny"]);
    let home = Home::with_host();
    let images = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bmc/images");
    // Before the lab is up, while the host's network is there.
    let mut built = Command::new(common::DRYRACK);
    built.args(["image", "build", "ipmi", "--images"]).arg(&images).env("DRYRACK_CACHE", cache());
    let built = run(built);
    assert!(built.status.success(), "{}", stderr(&built));
    std::os::unix::fs::symlink(&images, home.path().join("images")).expect("a link");
    Terminal::open_in(home, LAB, &[])
}

/// Runs a command on a machine. If the machine does not answer, that is what the command did.
fn ask_on(terminal: &Terminal, node: &str, command: &str) -> Done {
    fs::write(terminal.home.path().join("commands"), format!("{command}\n")).expect("a file");
    let address = if node == "a" { "10.91.0.10" } else { "10.91.0.11" };
    let curl = "curl -sS -m 50 --data-binary @commands";
    let Done { code, mut said } = terminal.ask(&format!("{curl} http://{address}/cgi-bin/run"));
    let end = said.rfind("exit code ").filter(|_| code == 0);
    let Some(end) = end else { return Done { code: -1, said } };
    let code = said[end..].trim_end().rsplit(' ').next().and_then(|code| code.parse().ok());
    said.truncate(end);
    Done { code: code.expect("an exit code"), said }
}

/// Runs a command on machine `a` that must succeed.
#[track_caller]
fn inside(terminal: &mut Terminal, command: &str) -> String {
    let done = ask_on(terminal, "a", command);
    terminal.keep("a#", command, &done);
    assert_eq!(done.code, 0, "{command}: {}", done.said);
    done.said
}

/// Runs `ipmitool` outside as the user that the system has made; it must succeed.
#[track_caller]
fn as_guest(terminal: &mut Terminal, command: &str) -> String {
    terminal.succeeds(&format!("ipmitool -I lanplus -H 10.91.1.10 -U guest -P from-the-guest {command}"))
}

#[test]
fn a_system_reaches_the_bmc_of_its_machine() {
    let mut terminal = open();
    terminal.succeeds(&ipmitool("chassis bootdev pxe options=persistent"));
    terminal.succeeds(&ipmitool("power on"));
    let other = terminal.ask(&format!("{TO_OLD} power on"));
    assert_eq!(other.code, 0, "{other:?}");
    terminal.until_printed("a", "a> ", 1);
    finds_it(&mut terminal);
    sees_what_the_network_set(&mut terminal);
    sets_what_the_network_sees(&mut terminal);
    is_told_when_the_bmc_does_not_answer(&terminal);
    survives_a_power_cycle(&mut terminal);
    is_there_on_another_machine(&terminal);
    let tools = ask_on(&terminal, "a", "ipmitool -V; dmidecode -V").said;
    let versions = format!("{}; on the machine {}", terminal.ask("ipmitool -V").said.trim(), tools.trim());
    terminal.compare("bmc/in_band", &versions.replace('\n', ", dmidecode "));
    terminal.close();
}

/// The other chipset, and the other firmware: what SMBIOS says there is what the BMC says, within and outside.
fn is_there_on_another_machine(terminal: &Terminal) {
    terminal.until_printed("old", "old> ", 1);
    let succeeds = |Done { code, said }: Done| {
        assert_eq!(code, 0, "{said}");
        said
    };
    let inside = |command: &str| succeeds(ask_on(terminal, "old", command));
    let table = inside("ipmitool lan print 1; dmidecode -t 38");
    assert!(table.contains("10.91.1.11") && table.contains("KCS"), "{table}");
    let outside = |command: &str| succeeds(terminal.ask(&format!("{TO_OLD} {command}")));
    let identity = terminal.plan("old")["kind"]["qemu"]["identity"].clone();
    for (planned, keyword, command, name) in [
        ("serial", "system-serial-number", "fru print", "Product Serial"),
        ("asset_tag", "chassis-asset-tag", "fru print", "Product Asset Tag"),
        ("uuid", "system-uuid", "mc guid smbios", "System GUID"),
    ] {
        let seen = inside(&format!("dmidecode -s {keyword}"));
        assert_eq!(identity[planned].as_str(), Some(seen.trim()), "{keyword}");
        for said in [inside(&format!("ipmitool {command}")), outside(command)] {
            assert_eq!(field(&said, name), Some(seen.trim()), "{said}");
        }
    }
}

fn finds_it(terminal: &mut Terminal) {
    assert_eq!(inside(terminal, "ls /dev/ipmi0"), "/dev/ipmi0\n");
    let table = inside(terminal, "dmidecode -t 38");
    for fact in ["KCS", "Specification Version: 2.0", "0x0000000000000CA2 (I/O)", "Interrupt Number: 5"] {
        assert!(table.contains(fact), "{fact}: {table}");
    }
    assert!(inside(terminal, "ipmitool mc info").contains("IPMI Version              : 2.0"));
    assert!(inside(terminal, "ipmitool channel info").contains("System Interface"));
    assert!(inside(terminal, "ipmitool channel getciphers ipmi 1").contains("hmac_sha256"));
    // Without a channel the tool looks for that of the network, so it asks for each.
    let lan = inside(terminal, "ipmitool lan print");
    assert!(lan.contains("10.91.1.10") && lan.contains("10.91.1.1\n"), "{lan}");
    assert_eq!(inside(terminal, "ipmitool raw 6 0x57 1"), " 00 00 ff\n");
    let serial = inside(terminal, "dmidecode -s system-serial-number");
    assert!(inside(terminal, "ipmitool fru print").contains(serial.trim()), "{serial}");
}

fn sees_what_the_network_set(terminal: &mut Terminal) {
    assert!(inside(terminal, "ipmitool chassis status").contains("System Power         : on"));
    assert!(inside(terminal, "ipmitool sel elist").contains("PXE boot completed"));
    assert!(inside(terminal, "ipmitool chassis bootparam get 5").contains("data: c004000000"));
    assert!(inside(terminal, "ipmitool sdr elist").contains("42 degrees C"));
}

fn sets_what_the_network_sees(terminal: &mut Terminal) {
    inside(terminal, "ipmitool user set name 4 guest");
    inside(terminal, "ipmitool user set password 4 from-the-guest");
    inside(terminal, "ipmitool channel setaccess 1 4 link=on ipmi=on callin=on privilege=4");
    inside(terminal, "ipmitool user enable 4");
    inside(terminal, "ipmitool event 1");
    inside(terminal, "ipmitool chassis bootdev pxe options=efiboot");
    assert_eq!(as_guest(terminal, "power status"), "Chassis Power is on\n");
    let users = as_guest(terminal, "user list 1");
    assert!(users.lines().any(|line| line.starts_with("4   guest") && line.contains("ADMINISTRATOR")));
    let log = as_guest(terminal, "sel elist");
    assert!(log.contains("Upper Critical going high"), "{log}");
    let events = fs::read_to_string(terminal.file("events.jsonl")).expect("events");
    assert!(events.contains("added by a client: type 02h"), "an entry is an event");
    assert!(as_guest(terminal, "chassis bootparam get 5").contains("data: a004000000"));
}

/// While the supervisor is stopped, QEMU answers in place of the BMC; what comes too late is no answer to anything.
fn is_told_when_the_bmc_does_not_answer(terminal: &Terminal) {
    // It asks until there is no answer, which it says on its console, and then some more.
    let script = "(until ipmitool raw 6 4 2>&1 | tee -a /run/asked /dev/ttyS0 | grep -q Timeout; do :; done; \
                  for i in 1 2 3; do ipmitool raw 6 4; done; ipmitool raw 6 1) >> /run/asked 2>&1";
    let supervisor = supervisor(terminal);
    let asked = ask_on(terminal, "a", &format!("({script}) > /dev/null 2>&1 < /dev/null &"));
    assert_eq!(asked.code, 0, "{asked:?}");
    signal(supervisor, Signal::SIGSTOP);
    terminal.until_printed("a", "Timeout", 1);
    signal(supervisor, Signal::SIGCONT);
    let asked = wait_for("the end of the commands", BOOT, || {
        let said = ask_on(terminal, "a", "cat /run/asked").said;
        said.contains(" 20 81 ").then_some(said)
    });
    // A late answer is not taken for that of the next command.
    let (failed, answered): (Vec<&str>, Vec<&str>) = asked.lines().partition(|line| line.contains("Timeout"));
    assert!(!failed.is_empty(), "{asked}");
    let (last, tests) = answered.split_last().expect("an answer");
    assert!(last.starts_with(" 20 81 ") && tests.len() > 1, "{asked}");
    assert!(tests.iter().all(|answer| *answer == " 55 00"), "{asked}");
    assert!(ask_on(terminal, "a", "ipmitool mc info").said.contains("IPMI Version"));
}

/// Returns the process ID of the supervisor: the parent of a QEMU.
fn supervisor(terminal: &Terminal) -> i32 {
    let qemu = terminal.home.process("qemu-system-x86").expect("a QEMU");
    let stat = fs::read_to_string(format!("/proc/{qemu}/stat")).expect("a process");
    let (_, rest) = stat.rsplit_once(") ").expect("its name");
    rest.split(' ').nth(1).and_then(|parent| parent.parse().ok()).expect("its parent")
}

fn survives_a_power_cycle(terminal: &mut Terminal) {
    // The machine ends before it says so.
    ask_on(terminal, "a", "ipmitool power cycle");
    terminal.until_printed("a", "a> ", 2);
    assert!(inside(terminal, "ipmitool chassis restart_cause").contains("chassis power control command"));
    assert!(inside(terminal, "ipmitool user list 1").contains("guest"));
    assert!(inside(terminal, "ipmitool sel elist").contains("Upper Critical going high"));
}

/// A QEMU as some distributions build it: it has no devices for IPMI, and does not start with them.
const WITHOUT_IPMI: &str = r#"#!/bin/sh
qemu=$(PATH=${PATH#*:} command -v qemu-system-x86_64)
case "$*" in
"-device help") "$qemu" -device help | grep -v ipmi ;;
*ipmi*) exit 1 ;;
*) exec "$qemu" "$@" ;;
esac
"#;

#[test]
fn a_qemu_without_ipmi_starts_a_machine_with_a_bmc() {
    let home = Home::with_host();
    let programs = home.path().join("bin");
    let qemu = programs.join("qemu-system-x86_64");
    fs::create_dir(&programs).expect("a folder");
    fs::write(&qemu, WITHOUT_IPMI).expect("a file");
    fs::set_permissions(&qemu, fs::Permissions::from_mode(0o755)).expect("a program");
    let path = std::env::var("PATH").expect("a path");
    let dryrack = |args: &[&str]| {
        let mut dryrack = home.dryrack(args.iter().copied());
        run(dryrack.current_dir(home.path()).env("PATH", format!("{}:{path}", programs.display())))
    };
    let network = "[network.lan]\naddress = \"10.91.0.1/24\"\nbmc = {}\n";
    let node =
        "[node.a]\nmemory = \"128MiB\"\nnic.lan = {}\ndisk.root = { size = \"1MiB\" }\nboot = [\"disk\"]\n";
    let lab = home.lab("bmc", &format!("dryrack = 1\nname = \"bmc\"\n{network}{node}"));
    let lab = lab.to_str().expect("a path");
    let up = dryrack(&["up", "--detach", lab]);
    assert_eq!(up.status.code(), Some(0), "{}", stderr(&up));
    let note = format!("nodes reach their BMCs by the network only: {} has no IPMI devices", qemu.display());
    assert!(stderr(&up).contains(&note), "{}", stderr(&up));
    let events = fs::read_to_string(home.run_dir().join("events.jsonl")).expect("events");
    assert!(events.contains("the system of the node has no `/dev/ipmi0`"), "{events}");
    // Its BMC is there all the same.
    let bmcs = stdout(&dryrack(&["bmc-list", lab]));
    let address = bmcs.lines().find_map(|line| line.strip_prefix("a,")?.split(',').next()).expect("a BMC");
    let cycled = dryrack(&["exec", "--lab", "bmc", "--", common::DRYRACK, "bmc", address, "power", "cycle"]);
    assert_eq!(cycled.status.code(), Some(0), "{}{}", stdout(&cycled), stderr(&cycled));
    let doctor = stdout(&dryrack(&["doctor"]));
    assert!(doctor.contains("has no IPMI devices: nodes with a BMC have no `/dev/ipmi0`"), "{doctor}");
    let down = dryrack(&["down", "bmc"]);
    assert_eq!(down.status.code(), Some(0), "{}", stderr(&down));
    home.assert_clean("the lab is down");
}
