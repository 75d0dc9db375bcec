//! `dryrack bmc` with BMCs of others: `ipmi_sim` of OpenIPMI and `fakebmc` of pyghmi, beside one of a lab.
//!
//! The transcript in `tests/bmc/dryrack.txt` has commands as typed and what they print. `DRYRACK_BLESS=1` writes it.

#![expect(clippy::disallowed_methods, reason = "a test waits on the clock and starts what it needs")]

#[expect(dead_code, reason = "each test binary uses a part of it")]
mod common;
#[path = "common/terminal.rs"]
#[expect(dead_code, reason = "each test binary uses a part of it")]
mod terminal;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use terminal::{FROM_NETWORK, Terminal};

const LAB: &str = r#"
[node.a]
memory = "160MiB"
nic.lan = {}
profile = "tiny"
start = "manual"
"#;

/// The settings of `ipmi_sim`: a BMC whose chassis is a script, and whose serial line is a TCP port.
const SIMULATOR: &str = r#"
name "sim"
set_working_mc 0x20
startlan 1
 addr 127.0.0.1 9623
 priv_limit admin
 allowed_auths_callback none md2 md5 straight
 allowed_auths_user none md2 md5 straight
 allowed_auths_operator none md2 md5 straight
 allowed_auths_admin none md2 md5 straight
 guid a123456789abcdefa123456789abcdef
endlan
chassis_control "./chassis 0x20"
sol "tcp:127.0.0.1:9625" 115200
user 1 true "" "test" user 10 none md2 md5 straight
user 2 true "admin" "simulated" admin 10 none md2 md5 straight
"#;
const EMULATION: &str = "mc_setbmc 0x20
mc_add 0x20 0 no-device-sdrs 0x23 9 8 0x9f 0x1291 0xf02 persist_sdr
mc_enable 0x20
";
/// Called as `chassis ADDRESS get ITEM …` or `chassis ADDRESS set ITEM VALUE …`; it keeps each item in a file.
const CHASSIS: &str = r#"#!/bin/sh
shift
verb=$1
shift
while [ $# -gt 0 ]; do
	case $verb in
	get) echo "$1:$(cat "chassis-$1" 2>/dev/null || echo 0)" ;;
	set)
		echo "$2" >"chassis-$1"
		shift
		;;
	esac
	shift
done
"#;

/// How each of them is reached; programs of a lab find the password of its BMCs by themselves.
const OURS: &str = "10.91.1.10";
const SIM: &str = "127.0.0.1:9623 -p sim-password";
const FAKE: &str = "127.0.0.1:9624 -p fake-password";

#[test]
fn dryrack_is_a_client_of_any_bmc() {
    let files: [(&str, &[u8]); 5] = [
        ("lan.conf", SIMULATOR.as_bytes()),
        ("emulation", EMULATION.as_bytes()),
        ("chassis", CHASSIS.as_bytes()),
        ("sim-password", b"simulated\n"),
        ("fake-password", b"password"),
    ];
    let mut terminal = Terminal::open(LAB, &files);
    let home = terminal.home.path().to_owned();
    symlink(common::DRYRACK, home.join("dryrack")).expect("a link");
    fs::set_permissions(home.join("chassis"), fs::Permissions::from_mode(0o755)).expect("a file");
    fs::create_dir(home.join("state")).expect("a folder");
    let line = terminal.start("busybox nc -ll -p 9625 -e /bin/cat");
    let simulator = terminal.start("ipmi_sim -c lan.conf -f emulation -s state -n");
    // That of the distribution: others do not see its packages.
    let fake = terminal.start("/usr/bin/python3 -m pyghmi.cmd.fakebmc --port 9624");
    for bmc in [SIM, FAKE] {
        terminal.until(&bmc_command(bmc, "power status"), "off\n");
    }
    says_why_not(&mut terminal);
    overrides_the_boot_order(&mut terminal);
    manages_power(&mut terminal);
    has_consoles(&mut terminal);
    for bmc in [OURS, SIM, FAKE] {
        terminal.succeeds(&bmc_command(bmc, "power off"));
        terminal.until(&bmc_command(bmc, "power status"), "off\n");
    }
    // The last, because it switches its chassis on again some time later.
    terminal.succeeds(&bmc_command(SIM, "power cycle"));
    for (program, child) in [("ipmi_sim", simulator), ("busybox", line), ("python3", fake)] {
        terminal.kill(program, child);
    }
    let versions = terminal.ask("dpkg-query -W -f '${Package} ${Version}, ' openipmi python3-pyghmi").said;
    terminal.compare("bmc/dryrack", &format!("with {}", versions.trim_end_matches(", ")));
    terminal.close();
}

fn bmc_command(bmc: &str, command: &str) -> String {
    format!("./dryrack bmc {bmc} {command}")
}

fn says_why_not(terminal: &mut Terminal) {
    for (bmc, command, why) in [
        (OURS, "power reset", "not possible in the present state\n\nhint: power the machine on first"),
        (FAKE, "sol", "refused Serial over LAN: it is disabled\n\nhint: "),
        ("10.91.1.10 -u nobody", "power", "the BMC does not know the user\n\nhint: check the user name"),
        ("10.91.1.10 -p sim-password", "power", "wrong password"),
        ("127.0.0.1:9623 -p fake-password", "power", "wrong password"),
        ("127.0.0.1:9624 -p sim-password", "power", "wrong password"),
    ] {
        let done = terminal.types(&bmc_command(bmc, command));
        assert!(done.code == 3 && done.said.contains(why), "{bmc} {command}: {done:?}");
    }
}

fn overrides_the_boot_order(terminal: &mut Terminal) {
    let mut next = |bmc, command: &str| terminal.succeeds(&bmc_command(bmc, command));
    assert_eq!(next(OURS, "boot-next disk --uefi"), "next boot     disk, once, by UEFI\n");
    for bmc in [OURS, FAKE] {
        assert_eq!(next(bmc, "boot-next network"), "next boot     network, once\n");
        assert!(next(bmc, "status").contains("\nnext boot     network, once\n"));
    }
    // It keeps the device and never says that its flags are valid.
    let kept = next(SIM, "boot-next network");
    assert_eq!(kept, "next boot     boot order; network, once is set, but not valid\n");
    assert_eq!(next(OURS, "boot-next default"), "next boot     boot order\n");
    assert_eq!(next(FAKE, "boot-next default"), "next boot     boot order\n");
}

fn manages_power(terminal: &mut Terminal) {
    for bmc in [OURS, SIM, FAKE] {
        terminal.succeeds(&bmc_command(bmc, "power on"));
        assert_eq!(terminal.succeeds(&bmc_command(bmc, "power status")), "on\n");
    }
    terminal.until_printed("a", FROM_NETWORK, 1);
    for (times, command) in [(2, "power reset"), (3, "power cycle")] {
        terminal.succeeds(&bmc_command(OURS, command));
        terminal.until_printed("a", FROM_NETWORK, times);
    }
    let script = |terminal: &Terminal, item: &str| terminal.ask(&format!("cat chassis-{item}")).said;
    assert_eq!(script(terminal, "power"), "1\n");
    terminal.succeeds(&bmc_command(SIM, "power reset"));
    assert_eq!(script(terminal, "reset"), "1\n");
    assert_eq!(script(terminal, "boot"), "pxe\n");
    terminal.succeeds(&bmc_command(FAKE, "power reset"));
    // It knows no such command.
    let cycled = terminal.types(&bmc_command(FAKE, "power cycle"));
    assert!(cycled.code == 3 && cycled.said.contains("a field of the request is invalid"), "{cycled:?}");
}

fn has_consoles(terminal: &mut Terminal) {
    for (bmc, typed, shown) in
        [(OURS, "echo a$((40+2))b", "\na42b\r\n"), (SIM, "hello", "hello"), (FAKE, "hello", "hello")]
    {
        // Typed when the console is there; it is left when the answer is.
        let console = format!("script -qefc '{}' shown", bmc_command(bmc, "sol"));
        let until = |text: &str| format!("until grep -q '{text}' shown; do sleep 0.1; done");
        let types =
            format!("{}; printf '{typed}\\r'; {}; printf '\\035'", until("detaches"), until(shown.trim()));
        let done = terminal.ask(&format!("rm -f shown; ({types}) | {console}"));
        assert!(done.code == 0 && done.said.contains(shown), "{bmc}: {done:?}");
        let left = format!("left {}", bmc.split(' ').next().expect("a host"));
        assert!(done.said.contains(&left), "{bmc}: {done:?}");
    }
    assert_eq!(terminal.printed("a", "a42b"), 1);
}
