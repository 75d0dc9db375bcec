//! After a kill at any instant, nothing is left of the lab, and the next one starts.
#![expect(clippy::disallowed_methods, reason = "a test starts programs and has a clock of its own")]

#[expect(dead_code, reason = "each test binary uses a part of it")]
mod common;
mod kill {
    pub(crate) mod bmc;
}

use std::io::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use common::{Home, stderr, wait, wait_for};
use nix::sys::signal::Signal;

/// Number of kills of each kind, unless `DRYRACK_KILLS` is set.
const KILLS: u32 = 10;
/// Maximum delay of a kill after its victim was found; a lab is up after some 200 ms.
const SPREAD: u64 = 450;

/// A lab with everything that leaves traces: bridge, NAT, uplink, disk, UEFI variables, process, running machine.
fn lab(isolation: &str) -> String {
    format!(
        r#"
        dryrack = 1
        name = "kill"
        isolation = "{isolation}"
        accel = "tcg"

        [network.lan]
        address = "10.66.0.1/24"
        nat = true

        [profile.tiny]
        kernel = "image:tiny/kernel"
        initrd = "image:tiny/initrd"

        # It leaves its group, as daemons do.
        [process.lasting]
        run = "setsid sh -c 'sleep 1000' & exec sleep 1000"

        [node.one]
        memory = "128MiB"
        profile = "tiny"
        disk.root = {{ size = "1GiB" }}

        [node.two]
        firmware = "uefi"
        memory = "256MiB"
        profile = "tiny"
        start = "manual"
        "#
    )
}

/// The victim of a kill.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victim {
    Command,
    Outer,
    Supervisor,
}

fn forwards(home: &Home) -> String {
    common::stdout(&home.host("cat", &["/proc/sys/net/ipv4/ip_forward"]))
}

/// Returns a number from the environment.
fn number(variable: &str) -> Option<u32> {
    std::env::var(variable).ok().map(|text| text.parse().expect(variable))
}

/// Returns a seed, which it prints, and the random delays that follow from it; as many as `DRYRACK_KILLS` says.
fn delays(what: &str, kills: u32, spread: u64) -> (u32, impl Iterator<Item = Duration> + use<>) {
    let (kills, seed) = (number("DRYRACK_KILLS").unwrap_or(kills), number("DRYRACK_SEED"));
    let fresh = || SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").subsec_nanos();
    let seed = seed.unwrap_or_else(fresh);
    // Not with a macro: that output is captured if the test passes.
    let seeded = format!("{what}: DRYRACK_KILLS={kills} DRYRACK_SEED={seed}\n");
    std::io::stderr().write_all(seeded.as_bytes()).expect("stderr");
    let mut random = u64::from(seed);
    let delays = (0..kills).map(move |_| {
        // Knuth's MMIX generator: the instants only need to differ.
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        Duration::from_millis((random >> 33) % spread)
    });
    (seed, delays)
}

fn check(isolation: &str, victim: Victim) {
    common::build(&["tiny"]);
    let home = Home::with_host();
    let lab = home.lab("kill", &lab(isolation));
    let lab = lab.to_str().expect("a path");
    let before = forwards(&home);
    let comes_up = |why: &str| {
        let up = common::run(&mut home.dryrack(["up", "--detach", lab]));
        assert!(up.status.success(), "{why}: {}", stderr(&up));
        let down = common::run(&mut home.dryrack(["down", lab]));
        assert!(down.status.success(), "{why}: {}", stderr(&down));
        home.assert_clean(why);
    };
    comes_up("before any kill");

    let (seed, delays) = delays(&format!("{victim:?}, isolation {isolation}"), KILLS, SPREAD);
    for (kill, delay) in delays.enumerate() {
        let why = format!("isolation {isolation}, {victim:?}, kill {kill} after {delay:?} (seed {seed})");
        let mut command = home.start(["up", lab]);
        let pid = match victim {
            Victim::Command => i32::try_from(command.id()).expect("a process id"),
            Victim::Outer => {
                wait_for("the outer half", Duration::from_secs(10), || home.process("dryrack-outer"))
            }
            Victim::Supervisor => {
                let name = if isolation == "none" { "dryrack-host" } else { "dryrack-inner" };
                wait_for("the supervisor", Duration::from_secs(10), || home.process(name))
            }
        };
        std::thread::sleep(delay);
        assert_eq!(command.try_wait().expect("a child"), None, "{why}: ended by itself: {}", home.said());
        common::signal(pid, Signal::SIGKILL);
        assert!(wait(&mut command, Duration::from_secs(10)).is_some(), "{why}: the command hangs");
        home.assert_clean(&why);
        assert_eq!(forwards(&home), before, "{why}");
    }
    comes_up("after all kills");
    assert_eq!(forwards(&home), before);
}

#[test]
fn the_command_of_a_private_lab_is_killed() {
    check("private", Victim::Command);
}

#[test]
fn the_outer_half_is_killed() {
    check("private", Victim::Outer);
}

#[test]
fn the_supervisor_of_a_private_lab_is_killed() {
    check("private", Victim::Supervisor);
}

#[test]
fn the_command_of_a_lab_on_the_host_is_killed() {
    check("none", Victim::Command);
}

#[test]
fn the_supervisor_of_a_lab_on_the_host_is_killed() {
    check("none", Victim::Supervisor);
}

#[test]
fn the_supervisor_is_killed_while_bmc_commands_run() {
    kill::bmc::check();
}
