//! The BMC of a node from within: a Linux with its own IPMI drivers and `ipmitool`, and the same BMC from the network.
//!
//! The transcript in `tests/bmc/in_band.txt` has commands as typed, on the machine (`a#`) and outside (`$`), and what
//! they print. `DRYRACK_BLESS=1` writes it.

#![expect(clippy::disallowed_methods, reason = "a test waits on the clock and starts what it needs")]

#[expect(dead_code, reason = "each test binary uses a part of it")]
mod common;

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use common::{Home, build, cache, run, signal, stderr, stdout, wait_for};
use nix::sys::signal::Signal;
use regex::Regex;

/// Timeout for the boot of an emulated machine on a busy host.
const BOOT: Duration = Duration::from_secs(240);

const LAB: &str = r#"
dryrack = 1
name = "in-band"
accel = "tcg"
network.lan.address = "10.91.0.1/24"

[network.mgmt]
address = "10.91.1.1/24"
dhcp = "off"
bmc = {}

[profile.ipmi]
kernel = "image:ipmi/kernel"
initrd = ["image:ipmi/initrd"]
args = ["console=ttyS0"]

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

/// What differs between runs and versions.
const PLACEHOLDERS: [(&str, &str); 3] = [
    (r"\d\d/\d\d/\d\d \| \d\d:\d\d:\d\d UTC", "DATE     | TIME        "),
    (r"(Firmware Revision +:) .*", "$1 VERSION"),
    ("\r", ""),
];

/// A terminal in the network of the lab, and one on its machines.
struct Terminal {
    home: Home,
    password: String,
    transcript: String,
}

/// What a command did.
#[derive(Debug)]
struct Done {
    code: i32,
    said: String,
}

impl Terminal {
    /// Brings the lab up; its machines stay off.
    fn open() -> Self {
        build(&["metal"]);
        let home = Home::with_host();
        let images = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bmc/images");
        // Before the lab is up, while the host's network is there.
        let mut built = Command::new(common::DRYRACK);
        built.args(["image", "build", "ipmi", "--images"]).arg(&images).env("DRYRACK_CACHE", cache());
        let built = run(built);
        assert!(built.status.success(), "{}", stderr(&built));
        std::os::unix::fs::symlink(&images, home.path().join("images")).expect("a link");
        let lab = home.lab("in-band", LAB);
        let mut terminal = Self { home, password: String::new(), transcript: String::new() };
        let up = run(terminal.home.dryrack(["up", "--detach", lab.to_str().expect("a path")]));
        assert_eq!(up.status.code(), Some(0), "{}{}", stdout(&up), stderr(&up));
        terminal.password = fs::read_to_string(terminal.file("bmc-password")).expect("a password");
        terminal
    }

    /// Returns the path of a file in the run folder.
    fn file(&self, name: &str) -> PathBuf {
        self.home.run_dir().join(name)
    }

    /// Runs a command in the network of the lab.
    fn ask(&self, command: &str) -> Done {
        const SHELL: &str = r#"export IPMI_PASSWORD="$1" TZ=UTC LC_ALL=C; eval "$2""#;
        let words = ["exec", "--lab", "in-band", "--", "timeout", "60", "sh", "-c", SHELL, "sh"];
        let mut dryrack = self.home.dryrack(words);
        let output = run(dryrack.args([&self.password, &format!("{{ {command}\n}} 2>&1")]));
        Done { code: output.status.code().expect("an exit code"), said: stdout(&output) + &stderr(&output) }
    }

    /// Runs a command on a machine. If the machine does not answer, that is what the command did.
    fn ask_on(&self, node: &str, command: &str) -> Done {
        let body = self.home.path().join("commands");
        fs::write(&body, format!("{command}\n")).expect("a file");
        let address = if node == "a" { "10.91.0.10" } else { "10.91.0.11" };
        let curl = "curl -sS -m 50 --data-binary";
        let Done { code, mut said } =
            self.ask(&format!("{curl} @{} http://{address}/cgi-bin/run", body.display()));
        let end = said.rfind("exit code ").filter(|_| code == 0);
        let Some(end) = end else { return Done { code: -1, said } };
        let code = said[end..].trim_end().rsplit(' ').next().and_then(|code| code.parse().ok());
        said.truncate(end);
        Done { code: code.expect("an exit code"), said }
    }

    fn note(&mut self, prompt: &str, command: &str, done: &Done) {
        let transcript = &mut self.transcript;
        writeln!(transcript, "{prompt} {command}").expect("text");
        for line in done.said.trim_end().lines() {
            writeln!(transcript, "{}", line.trim_end()).expect("text");
        }
        if done.code != 0 {
            writeln!(transcript, "[exit code {}]", done.code).expect("text");
        }
        transcript.push('\n');
    }

    /// Runs `ipmitool` outside as a user; it must succeed.
    #[track_caller]
    fn outside(&mut self, user: &str, command: &str) -> String {
        let command = format!("ipmitool -I lanplus -H 10.91.1.10 -U {user} {command}");
        let done = self.ask(&command);
        self.note("$", &command, &done);
        assert_eq!(done.code, 0, "{command}: {}", done.said);
        done.said
    }

    /// Runs a command on machine `a` that must succeed.
    #[track_caller]
    fn inside(&mut self, command: &str) -> String {
        let done = self.ask_on("a", command);
        self.note("a#", command, &done);
        assert_eq!(done.code, 0, "{command}: {}", done.said);
        done.said
    }

    /// Waits until a node has booted a number of times.
    #[track_caller]
    fn until_up(&self, node: &str, times: usize) {
        wait_for(&format!("the system of {node}"), BOOT, || {
            std::thread::sleep(Duration::from_millis(100));
            let log = fs::read(self.file(&format!("node/{node}/console.log"))).unwrap_or_default();
            let log = String::from_utf8_lossy(&log);
            (log.matches(&format!("{node}> ")).count() >= times).then_some(())
        });
    }

    /// Compares the transcript with the one that is kept, if it is of the same versions.
    fn compare(&self, versions: &str) {
        let mut text = self.transcript.replace(&self.password, "PASSWORD");
        for (pattern, placeholder) in PLACEHOLDERS {
            text = Regex::new(pattern).expect("a pattern").replace_all(&text, placeholder).into_owned();
        }
        let text = format!("{versions}\n\n{}\n", text.trim_end());
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bmc/in_band.txt");
        if std::env::var_os("DRYRACK_BLESS").is_some() {
            fs::write(&path, &text).expect("tests/bmc");
        }
        let kept = fs::read_to_string(&path).unwrap_or_default();
        // Other versions print other texts; what matters has been asserted.
        if kept.lines().next().is_none_or(|of| of == versions) {
            assert_eq!(kept, text, "DRYRACK_BLESS=1 writes it");
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Already down if the test has passed.
        run(&mut self.home.dryrack(["down"]));
    }
}

#[test]
fn a_system_reaches_the_bmc_of_its_machine() {
    let mut terminal = Terminal::open();
    terminal.outside("admin -E", "chassis bootdev pxe options=persistent");
    terminal.outside("admin -E", "power on");
    let other = terminal.ask("ipmitool -I lanplus -H 10.91.1.11 -U admin -E power on");
    assert_eq!(other.code, 0, "{other:?}");
    terminal.until_up("a", 1);
    finds_it(&mut terminal);
    sees_what_the_network_set(&mut terminal);
    sets_what_the_network_sees(&mut terminal);
    is_told_when_the_bmc_does_not_answer(&terminal);
    survives_a_power_cycle(&mut terminal);
    // The other chipset, and the other firmware.
    terminal.until_up("old", 1);
    let found = terminal.ask_on("old", "ipmitool lan print 1 && dmidecode -t 38");
    assert!(found.code == 0 && found.said.contains("10.91.1.11") && found.said.contains("KCS"), "{found:?}");
    let tools = terminal.ask_on("a", "ipmitool -V; dmidecode -V").said;
    let versions = format!("{}; on the machine {}", terminal.ask("ipmitool -V").said.trim(), tools.trim());
    terminal.compare(&versions.replace('\n', ", dmidecode "));
    let down = run(terminal.home.dryrack(["down"]));
    assert_eq!(down.status.code(), Some(0), "{}{}", stdout(&down), stderr(&down));
    terminal.home.assert_clean(Duration::from_secs(2), "after the lab");
}

fn finds_it(terminal: &mut Terminal) {
    assert_eq!(terminal.inside("ls /dev/ipmi0"), "/dev/ipmi0\n");
    let table = terminal.inside("dmidecode -t 38");
    for fact in ["KCS", "Specification Version: 2.0", "0x0000000000000CA2 (I/O)", "Interrupt Number: 5"] {
        assert!(table.contains(fact), "{fact}: {table}");
    }
    assert!(terminal.inside("ipmitool mc info").contains("IPMI Version              : 2.0"));
    assert!(terminal.inside("ipmitool channel info").contains("System Interface"));
    assert!(terminal.inside("ipmitool channel getciphers ipmi 1").contains("hmac_sha256"));
    // Without a channel the tool looks for that of the network, so it asks for each.
    let lan = terminal.inside("ipmitool lan print");
    assert!(lan.contains("10.91.1.10") && lan.contains("10.91.1.1\n"), "{lan}");
    assert_eq!(terminal.inside("ipmitool raw 6 0x57 1"), " 00 00 ff\n");
    let serial = terminal.inside("dmidecode -s system-serial-number");
    assert!(terminal.inside("ipmitool fru print").contains(serial.trim()), "{serial}");
}

fn sees_what_the_network_set(terminal: &mut Terminal) {
    assert!(terminal.inside("ipmitool chassis status").contains("System Power         : on"));
    assert!(terminal.inside("ipmitool sel elist").contains("PXE boot completed"));
    assert!(terminal.inside("ipmitool chassis bootparam get 5").contains("data: c004000000"));
    assert!(terminal.inside("ipmitool sdr elist").contains("42 degrees C"));
}

fn sets_what_the_network_sees(terminal: &mut Terminal) {
    terminal.inside("ipmitool user set name 4 guest");
    terminal.inside("ipmitool user set password 4 from-the-guest");
    terminal.inside("ipmitool channel setaccess 1 4 link=on ipmi=on callin=on privilege=4");
    terminal.inside("ipmitool user enable 4");
    terminal.inside("ipmitool event 1");
    terminal.inside("ipmitool chassis bootdev pxe options=efiboot");
    let guest = "guest -P from-the-guest";
    assert_eq!(terminal.outside(guest, "power status"), "Chassis Power is on\n");
    let users = terminal.outside(guest, "user list 1");
    assert!(users.lines().any(|line| line.starts_with("4   guest") && line.contains("ADMINISTRATOR")));
    let log = terminal.outside(guest, "sel elist");
    assert!(log.contains("Upper Critical going high"), "{log}");
    let events = fs::read_to_string(terminal.file("events.jsonl")).expect("events");
    assert!(events.contains("added by a client: type 02h"), "an entry is an event");
    assert!(terminal.outside(guest, "chassis bootparam get 5").contains("data: a004000000"));
}

/// While the supervisor is stopped, QEMU answers in place of the BMC; what comes too late is no answer to anything.
fn is_told_when_the_bmc_does_not_answer(terminal: &Terminal) {
    let script = "(for i in 1 2 3 4 5 6; do ipmitool raw 6 4; done; ipmitool raw 6 1) > /run/asked 2>&1 &";
    let supervisor = supervisor(terminal);
    let asked = terminal.ask_on("a", &format!("(sleep 1; {script}) > /dev/null 2>&1 < /dev/null &"));
    assert_eq!(asked.code, 0, "{asked:?}");
    signal(supervisor, Signal::SIGSTOP);
    std::thread::sleep(Duration::from_secs(10));
    signal(supervisor, Signal::SIGCONT);
    let asked = wait_for("the end of the commands", BOOT, || {
        let said = terminal.ask_on("a", "cat /run/asked").said;
        said.contains(" 20 81 ").then_some(said)
    });
    // A late answer is not taken for that of the next command.
    let (failed, answered): (Vec<&str>, Vec<&str>) = asked.lines().partition(|line| line.contains("Timeout"));
    assert!(!failed.is_empty(), "{asked}");
    let (last, tests) = answered.split_last().expect("an answer");
    assert!(last.starts_with(" 20 81 ") && tests.len() > 1, "{asked}");
    assert!(tests.iter().all(|answer| *answer == " 55 00"), "{asked}");
    assert!(terminal.ask_on("a", "ipmitool mc info").said.contains("IPMI Version"));
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
    terminal.ask_on("a", "ipmitool power cycle");
    terminal.until_up("a", 2);
    assert!(terminal.inside("ipmitool chassis restart_cause").contains("chassis power control command"));
    assert!(terminal.inside("ipmitool user list 1").contains("guest"));
    assert!(terminal.inside("ipmitool sel elist").contains("Upper Critical going high"));
}
