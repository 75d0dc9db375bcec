//! A kill while clients command the BMC of a machine.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use dryrack::node::{FirmwareChange, NodeCommand};
use nix::sys::signal::Signal;

use crate::common::{Home, run, stderr, stdout, wait, wait_for};
use crate::delays;

/// Number of kills, unless `DRYRACK_KILLS` is set.
const KILLS: u32 = 4;
/// Maximum delay of a kill after the first command; clients start the machine several times meanwhile.
const SPREAD: u64 = 4000;
/// Timeout for a lab to be up and its first client at work.
const AT_WORK: Duration = Duration::from_secs(60);

/// The address of the BMC.
const HOST: &str = "10.67.1.10";
/// What client and clerk note in the home.
const NOTES: [&str; 2] = ["client", "clerk"];

fn lab(home: &Home) -> String {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kill");
    let process = |name| {
        let (script, notes) = (scripts.join(format!("{name}.sh")), home.path().join(name));
        format!("[process.{name}]\nrun = \"exec sh {} {HOST} {}\"\n", script.display(), notes.display())
    };
    format!(
        r#"
        dryrack = 1
        name = "kill"
        accel = "tcg"
        network.lan.address = "10.67.0.1/24"

        [network.mgmt]
        address = "10.67.1.1/24"
        dhcp = "off"
        bmc = {{}}

        [node.one]
        firmware = "uefi-secure"
        memory = "256MiB"
        nic.lan = {{}}
        start = "manual"
        boot = ["disk"]
        disk.root.size = "16MiB"
        bmc.address = "{HOST}"

        {}
        "#,
        NOTES.map(process).concat()
    )
}

/// The variables that are in force, by name.
type Variables = BTreeMap<String, Vec<u8>>;

/// Reads a store of variables as edk2 lays it out; fails if anything of it is torn.
fn variables(flash: &[u8]) -> Variables {
    const HEADER: usize = 60;
    const ADDED: u8 = 0x3f;
    let number = |at: usize| {
        let bytes = flash[at..at + 4].try_into().expect("four bytes");
        usize::try_from(u32::from_le_bytes(bytes)).expect("64 bits")
    };
    assert_eq!(&flash[0x28..0x2c], b"_FVH", "the volume");
    assert_eq!(number(0x20), flash.len(), "the length of the volume");
    let store = usize::from(u16::from_le_bytes([flash[0x30], flash[0x31]]));
    let end = store + number(store + 16);
    let mut at = store + 28;
    let mut found = Variables::new();
    while at + HEADER <= end && flash[at..at + 2] == [0xaa, 0x55] {
        let (state, name, data) = (flash[at + 2], number(at + 36), number(at + 40));
        let begin = at + HEADER;
        let next = (begin + name + data).next_multiple_of(4);
        assert!(next <= end, "the record at {at:#x} is longer than the store");
        // The firmware writes a header, then the rest, and clears a bit of the state after each.
        assert!(
            matches!(state, 0x3f | 0x3d | 0x3c | 0x7f | 0x7d | 0xff),
            "record at {at:#x}: state {state:#x}"
        );
        if state == ADDED {
            let units: Vec<u16> = flash[begin..begin + name]
                .chunks_exact(2)
                .map(|pair| u16::from_le_bytes([pair[0], pair[1]]))
                .collect();
            let (zero, units) = units.split_last().expect("a name");
            assert_eq!(*zero, 0, "the end of a name at {at:#x}");
            let text = String::from_utf16(units).expect("UTF-16");
            let before = found.insert(text.clone(), flash[begin + name..begin + name + data].to_vec());
            assert_eq!(before, None, "{text} is there twice");
        }
        at = next;
    }
    assert!(
        flash[at..end].iter().all(|byte| *byte == 0xff),
        "there is something after the record at {at:#x}"
    );
    found
}

/// Returns the round with which the machine has started last. A BMC says that it is on before that.
fn started(events: &str) -> usize {
    let (before, _) = events.rsplit_once(" powered on").unwrap_or_default();
    let command = NodeCommand::Firmware(FirmwareChange::HttpBoot(None)).to_string();
    before.matches(&command).count()
}

/// Checks that the variables are those of one start: the last one, or one that was asked for since.
fn check_variables(flash: &[u8], notes: &str, events: &str, why: &str) -> usize {
    let variables = variables(flash);
    let (started, wanted) = (started(events), notes.matches("wants").count());
    let round = variables.get("Boot4854").map_or(0, |option| {
        let text = String::from_utf8_lossy(option);
        let (_, rest) = text.split_once("http://10.67.0.1/").expect("the URL of a boot entry");
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().expect("the number of a round")
    });
    assert!((started..=wanted).contains(&round), "{why}: round {round} of {started} to {wanted}");
    // Written together with the URL; a new machine has it on.
    let secure = variables.get("SecureBootEnable").map(Vec::as_slice);
    assert_eq!(secure, Some(&[u8::from(round.is_multiple_of(2))][..]), "{why}: half of round {round}");
    round
}

/// Checks that the record has all entries that were acknowledged; returns how many.
fn check_log(events: &str, notes: &str, why: &str) -> usize {
    let mut others = 0;
    for line in notes.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["entry", low, high, data] => {
                let id = u16::from_str_radix(&format!("{high}{low}"), 16).expect("an ID");
                let entry = format!("log entry {id}: added by a client: type e0h, {data}");
                assert!(events.contains(&entry), "{why}: {entry} was acknowledged:\n{events}");
            }
            ["event"] => others += 1,
            _ => panic!("{why}: {line}"),
        }
    }
    let recorded = events.matches("added by a client: type 02h").count();
    assert!(recorded >= others, "{why}: {others} events were acknowledged, {recorded} recorded:\n{events}");
    notes.lines().count()
}

/// Kills the supervisor of a lab while a client and a clerk command a BMC.
pub(crate) fn check() {
    let home = Home::with_host();
    let lab = home.lab("kill", &lab(&home));
    let lab = lab.to_str().expect("a path");
    let read = |name: &str| fs::read_to_string(home.path().join(name)).unwrap_or_default();
    let (seed, delays) = delays("BMC commands", KILLS, SPREAD);
    let (mut starts, mut entries) = (0, 0);
    for (kill, delay) in delays.enumerate() {
        let why = format!("kill {kill} after {delay:?} (seed {seed})");
        for name in NOTES {
            fs::write(home.path().join(name), "").expect("a file of notes");
        }
        let mut command = home.start(["up", lab]);
        wait_for("the first command", AT_WORK, || {
            assert_eq!(command.try_wait().expect("a child"), None, "{why}: {}", home.said());
            (!read("client").is_empty()).then_some(())
        });
        std::thread::sleep(delay);
        let supervisor = home.process("dryrack-inner").expect("a supervisor");
        if kill % 2 == 1 {
            // At the instant at which variables are being written, which chance hardly ever meets.
            let draft = home.run_dir().join("node/one/vars.draft");
            let deadline = Instant::now() + AT_WORK;
            while !draft.exists() {
                assert!(Instant::now() < deadline, "{why}: no variables are written: {}", read("client"));
                std::hint::spin_loop();
            }
        }
        crate::common::signal(supervisor, Signal::SIGKILL);
        assert!(wait(&mut command, Duration::from_secs(10)).is_some(), "{why}: the command hangs");
        home.assert_clean(&why);

        let flash = fs::read(home.run_dir().join("node/one/vars.fd")).expect("variables");
        let client = read("client");
        // The kill may be what the last command failed of.
        let failed: Vec<&str> =
            client.lines().rev().skip(1).filter(|line| line.starts_with("failed")).collect();
        assert!(failed.is_empty(), "{why}: {failed:?}");
        let trace = run(&mut home.dryrack(["trace", "--events"]));
        assert!(trace.status.success(), "{why}: {}", stderr(&trace));
        let events = stdout(&trace);
        starts += check_variables(&flash, &client, &events, &why);
        entries += check_log(&events, &read("clerk"), &why);
    }
    let seen = format!("BMC commands: {starts} changes of variables, {entries} entries acknowledged\n");
    std::io::stderr().write_all(seen.as_bytes()).expect("stderr");
    assert!(entries > 0, "no kill came after an entry");
}
