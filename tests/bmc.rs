//! Virtual BMCs with clients of others: `ipmitool`, FreeIPMI, pyghmi and ruipmi, each in a lab of its own.
//!
//! Each client on the command line has a transcript in `tests/bmc/`: commands as typed and what they print.
//! `DRYRACK_BLESS=1` writes them.

#![expect(clippy::disallowed_methods, reason = "a test waits on the clock and starts what it needs")]

#[expect(dead_code, reason = "each test binary uses a part of it")]
mod common;
#[path = "common/terminal.rs"]
mod terminal;
mod bmc {
    mod ruipmi;
    pub(crate) mod sol;
}

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use bmc::sol;
use common::boot_media::{bootable_disk, uefi_disk};
use common::wait_for;
use serde_json::Value;
use terminal::{FROM_DISK, FROM_NETWORK, NODE_A, SOON, SYSTEM_IS_UP, Terminal, field, ipmitool};

/// How long boot flags are valid without a power command, and a bit.
const FLAGS_END: Duration = Duration::from_secs(63);

/// The options of every tool of FreeIPMI, as administrator of the BMC of node `a`.
const FREEIPMI: &str = "-D LAN_2_0 -h 10.91.1.10 -u admin -p $PASSWORD";

/// Beside node `a`.
const IPMITOOL: &str = r#"
[node.expires]
memory = "160MiB"
nic.lan = {}
profile = "tiny"
start = "manual"
bmc = { address = "10.91.1.50" }

[node.keeps]
memory = "160MiB"
nic.lan = {}
profile = "tiny"
start = "manual"
bmc = { address = "10.91.1.51" }

[node.noisy]
memory = "160MiB"
nic.lan = {}
profile = "tiny"
start = "manual"
bmc = { address = "10.91.1.52" }

[process.clerk]
run = "stat -c %a \"$DRYRACK_BMC_PASSWORD_FILE\"; exec ipmitool -I lanplus -H 10.91.1.10 -U admin -f \"$DRYRACK_BMC_PASSWORD_FILE\" power status"
ready.log = "Chassis Power is off"
"#;

#[test]
fn ipmitool_manages_machines() {
    let mut terminal =
        Terminal::open(&format!("{NODE_A}{IPMITOOL}"), &[("disk.img", &bootable_disk(FROM_DISK))]);
    let of = |address: &str, command: &str| format!("ipmitool -I lanplus -H {address} -U admin -E {command}");
    for (address, command) in [
        ("10.91.1.50", "chassis bootdev pxe"),
        ("10.91.1.51", "raw 0x00 0x08 0x03 0x08"),
        ("10.91.1.51", "chassis bootdev pxe"),
        ("10.91.1.52", "power on"),
    ] {
        assert_eq!(terminal.ask(&of(address, command)).code, 0);
    }
    let flags_set = Instant::now();
    // A console of a machine that is off, and a client that is gone without a word.
    let active = of("10.91.1.51", "raw 0x06 0x4a 0x01");
    let lost = terminal.start(&of("10.91.1.51", "sol activate"));
    terminal.until(&active, "01 01 00");
    terminal.kill("ipmitool", lost);
    assert!(terminal.ask(&active).said.contains("01 01 00"), "it did not say that it goes");
    keeps_the_password(&terminal);
    logs_in(&mut terminal);
    has_accounts(&mut terminal);
    // It takes a minute, of which the client waits most.
    let console = sol::starts_to_print(&terminal);
    says_what_it_is(&mut terminal);
    keeps_boot_flags(&mut terminal);
    boots_once_from_the_network(&mut terminal);
    controls_power(&mut terminal);
    sol::arrives_whole(&terminal, console);
    sol::sends_breaks(&terminal);
    sol::works_behind_a_forward(&mut terminal);
    // Nobody has told these two machines anything meanwhile.
    std::thread::sleep(FLAGS_END.saturating_sub(flags_set.elapsed()));
    let valid = |address| terminal.ask(&of(address, "chassis bootparam get 5")).said;
    assert!(valid("10.91.1.50").contains("Boot Flag Invalid"), "{}", valid("10.91.1.50"));
    assert!(valid("10.91.1.51").contains("Boot Flag Valid"), "{}", valid("10.91.1.51"));
    // Its session has ended by itself, and its console with it.
    terminal.until(&active, "01 00 00");
    let version = terminal.ask("ipmitool -V").said.trim().to_owned();
    terminal.compare("bmc/ipmitool", &version);
    terminal.close();
}

fn keeps_the_password(terminal: &Terminal) {
    let mode = fs::metadata(terminal.file("bmc-password")).expect("a file").permissions().mode();
    assert_eq!((mode & 0o777, terminal.password.len()), (0o600, 16));
    let said = terminal.dryrack(&["logs", "clerk"]);
    assert!(said.contains("600\n") && said.contains("Chassis Power is off\n"), "{said}");
    // What it says of itself names the file and not what is in it.
    for file in ["plan.json", "events.jsonl", "processes.json", "request.json", "journal.jsonl"] {
        let text = fs::read_to_string(terminal.file(file)).expect("a file");
        assert!(!text.contains(&terminal.password), "{file} has the password");
    }
}

fn logs_in(terminal: &mut Terminal) {
    let verbose = terminal.ask(&ipmitool("-v mc info"));
    assert!(
        verbose.code == 0 && verbose.said.contains("Using best available cipher suite 17"),
        "{verbose:?}"
    );
    let info = terminal.succeeds(&ipmitool("mc info"));
    assert!(info.contains("IPMI Version              : 2.0"), "{info}");
    let suites = terminal.succeeds(&ipmitool("channel getciphers ipmi 1"));
    let suites: Vec<Vec<&str>> =
        suites.lines().skip(1).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(
        suites,
        [
            ["3", "N/A", "hmac_sha1", "hmac_sha1_96", "aes_cbc_128"],
            ["17", "N/A", "hmac_sha256", "sha256_128", "aes_cbc_128"]
        ]
    );
    for suite in [3, 17] {
        assert_eq!(
            terminal.succeeds(&ipmitool(&format!("-C {suite} power status"))),
            "Chassis Power is off\n"
        );
    }
    for suite in [0, 1, 2, 6, 7, 8, 15, 16] {
        terminal.fails(&ipmitool(&format!("-C {suite} mc info")), "no matching cipher suite");
    }
    let wrong = "ipmitool -I lanplus -H 10.91.1.10 -U";
    terminal.fails(&format!("{wrong} admin -P wrong -C 17 -v mc info"), "RAKP 2 HMAC is invalid");
    terminal.fails(&format!("{wrong} nobody -P wrong -C 17 -v mc info"), "unauthorized name");
}

fn has_accounts(terminal: &mut Terminal) {
    for (id, name, privilege) in [(3, "operator", 3), (4, "user", 2)] {
        terminal.succeeds(&ipmitool(&format!("user set name {id} {name}")));
        terminal.succeeds(&ipmitool(&format!("user set password {id} {name}-secret")));
        terminal.succeeds(&ipmitool(&format!("user enable {id}")));
        let access = format!("channel setaccess 1 {id} link=on ipmi=on privilege={privilege}");
        terminal.succeeds(&ipmitool(&access));
    }
    let users = terminal.succeeds(&ipmitool("user list 1"));
    for (name, privilege) in [("admin", "ADMINISTRATOR"), ("operator", "OPERATOR"), ("user", "USER")] {
        let line = users.lines().find(|line| line.split_whitespace().nth(1) == Some(name));
        assert!(line.is_some_and(|line| line.ends_with(privilege)), "{users}");
    }
    terminal.succeeds(&ipmitool("user test 3 16 operator-secret"));
    terminal.fails(&ipmitool("user test 3 16 user-secret"), "password incorrect");

    let operator = "ipmitool -I lanplus -H 10.91.1.10 -U operator -P operator-secret";
    let console = format!("{operator} -L OPERATOR sol activate </dev/null");
    terminal.fails(&console, "SOL payload disabled");
    terminal.succeeds(&ipmitool("sol payload enable 1 3"));
    let access = terminal.succeeds(&ipmitool("sol payload status 1 3"));
    assert_eq!(access, "User 3 on channel 1 is enabled\n");
    let done = terminal.ask(&console);
    assert!(done.said.contains("[SOL Session operational."), "{done:?}");
    terminal.fails(
        &format!("{operator} -L ADMINISTRATOR -C 17 -v power status"),
        "RAKP 2 message indicates an error : unauthorized role",
    );
    let status = terminal.succeeds(&format!("{operator} -L OPERATOR power status"));
    assert_eq!(status, "Chassis Power is off\n");
    terminal.fails(&format!("{operator} -L OPERATOR user set name 5 other"), "Insufficient privilege level");
    let user = "ipmitool -I lanplus -H 10.91.1.10 -U user -P user-secret -L USER";
    assert_eq!(terminal.succeeds(&format!("{user} power status")), "Chassis Power is off\n");
    terminal.fails(&format!("{user} power on"), "Insufficient privilege level");
    assert_eq!(terminal.ask(&ipmitool("power status")).said, "Chassis Power is off\n");
    terminal.succeeds(&ipmitool("user disable 4"));
    terminal.fails(&format!("{user} power status"), "Unable to establish IPMI v2 / RMCP+ session");
}

fn says_what_it_is(terminal: &mut Terminal) {
    let plan = terminal.plan("a");
    let identity = &plan["kind"]["qemu"]["identity"];
    let fru = terminal.succeeds(&ipmitool("fru print"));
    let serial = identity["serial"].as_str();
    for name in ["Product Serial", "Chassis Serial", "Board Serial"] {
        assert_eq!(field(&fru, name), serial, "{fru}");
    }
    assert_eq!(field(&fru, "Product Asset Tag"), identity["asset_tag"].as_str(), "{fru}");
    let guid = terminal.succeeds(&ipmitool("mc guid smbios"));
    assert_eq!(field(&guid, "System GUID"), identity["uuid"].as_str(), "{guid}");
    let lan = terminal.succeeds(&ipmitool("lan print 1"));
    assert!(!lan.contains("failed") && !lan.contains("not supported"), "{lan}");
    let value = |name| field(&lan, name);
    assert_eq!(value("IP Address  "), Some("10.91.1.10"), "{lan}");
    assert_eq!(value("Subnet Mask"), Some("255.255.255.0"), "{lan}");
    assert_eq!(value("RMCP+ Cipher Suites"), Some("3,17"), "{lan}");
    assert!(value("Cipher Suite Priv Max").is_some_and(|levels| levels.starts_with("aa")), "{lan}");
    assert_eq!(value("MAC Address"), plan["bmc"]["nic"]["mac"].as_str(), "{lan}");
    for command in ["channel info 1", "sol info 1", "mc selftest", "mc watchdog get", "chassis policy list"] {
        terminal.succeeds(&ipmitool(command));
    }
    let sensors = terminal.succeeds(&ipmitool("sdr elist"));
    assert!(sensors.contains("| No Reading"), "a fan of a machine that is off: {sensors}");
    let log = terminal.succeeds(&ipmitool("sel elist"));
    assert_eq!(log, "SEL has no entries\n");
}

fn keeps_boot_flags(terminal: &mut Terminal) {
    for (command, flags) in [
        ("pxe options=efiboot", "a004000000"),
        ("disk options=persistent,efiboot", "e008000000"),
        ("pxe options=persistent", "c004000000"),
        ("none", "8000000000"),
    ] {
        terminal.succeeds(&ipmitool(&format!("chassis bootdev {command}")));
        let shown = terminal.succeeds(&ipmitool("chassis bootparam get 5"));
        assert!(shown.contains(&format!("Boot parameter data: {flags}\n")), "{command}: {shown}");
        assert!(shown.contains("Boot Flag Valid\n"), "{command}: {shown}");
    }
}

/// The disk comes first, unless the BMC says otherwise.
fn boots_once_from_the_network(terminal: &mut Terminal) {
    let is_valid = |terminal: &Terminal| {
        terminal.ask(&ipmitool("chassis bootparam get 5")).said.contains("Boot Flag Valid")
    };
    terminal.succeeds(&ipmitool("power on"));
    terminal.until_printed("a", FROM_DISK, 1);
    terminal.succeeds(&ipmitool("chassis bootdev pxe"));
    terminal.succeeds(&ipmitool("power reset"));
    terminal.until_printed("a", FROM_NETWORK, 1);
    let shown = terminal.succeeds(&ipmitool("chassis bootparam get 5"));
    assert!(shown.contains("Boot Flag Invalid"), "once is over: {shown}");
    terminal.succeeds(&ipmitool("power reset"));
    terminal.until_printed("a", FROM_DISK, 2);
    assert_eq!(terminal.printed("a", FROM_NETWORK), 1);

    // Off and on is a start like any other.
    terminal.succeeds(&ipmitool("power off"));
    terminal.succeeds(&ipmitool("chassis bootdev pxe"));
    assert!(is_valid(terminal));
    terminal.succeeds(&ipmitool("power on"));
    terminal.until_printed("a", FROM_NETWORK, 2);
    assert!(!is_valid(terminal));
    terminal.succeeds(&ipmitool("power off"));
    terminal.succeeds(&ipmitool("power on"));
    terminal.until_printed("a", FROM_DISK, 3);

    terminal.succeeds(&ipmitool("chassis bootdev pxe options=persistent"));
    terminal.succeeds(&ipmitool("power reset"));
    // What it prints first is its prompt.
    terminal.until_printed("a", FROM_NETWORK, 3);
    assert!(is_valid(terminal), "a persistent override stays");
    // The watchdog for an operating system, which resets the machine after half a second.
    terminal.succeeds(&ipmitool("raw 0x06 0x24 0x04 0x01 0 0x10 5 0"));
    terminal.succeeds(&ipmitool("mc watchdog reset"));
    terminal.until_printed("a", FROM_NETWORK, 4);
    assert!(is_valid(terminal), "a persistent override stays");
    let cause = terminal.succeeds(&ipmitool("chassis restart_cause"));
    assert_eq!(cause, "System restart cause: watchdog expired\n");
    let log = terminal.succeeds(&ipmitool("sel elist"));
    let count = |text: &str| log.matches(text).count();
    assert_eq!(count("| User requested PXE boot | Asserted"), 4, "{log}");
    assert_eq!(count("| Initiated by power up | Asserted"), 3, "{log}");
    assert_eq!(count("| Initiated by hard reset | Asserted"), 4, "{log}");
    assert_eq!(count("| PXE boot completed | Asserted"), 4, "{log}");
    assert_eq!(count("| Power off/down | Asserted"), 2, "{log}");
    assert_eq!(count("| Watchdog2 Watchdog | Hard reset | Asserted"), 1, "{log}");
    let of_others = terminal.ask(&format!("ipmi-sel {FREEIPMI}")).said;
    let expired = |line: &&str| line.contains("| Watchdog ") && line.ends_with("| Hard Reset");
    assert_eq!(of_others.lines().filter(expired).count(), 1, "{of_others}");
    let events = terminal.dryrack(&["trace", "--events"]);
    for id in 1..=log.lines().count() {
        assert!(events.contains(&format!("  bmc      log entry {id}: ")), "{id}: {events}");
    }
    terminal.succeeds(&ipmitool("chassis bootdev disk options=persistent"));
}

fn controls_power(terminal: &mut Terminal) {
    let is_on = |terminal: &Terminal| terminal.ask(&ipmitool("power status")).said == "Chassis Power is on\n";
    for command in ["sdr elist", "sensor", "chassis restart_cause", "chassis status"] {
        terminal.succeeds(&ipmitool(command));
    }
    // The operator may do this, and the machine begins again.
    let times = terminal.printed("a", FROM_DISK);
    let operator = "ipmitool -I lanplus -H 10.91.1.10 -U operator -P operator-secret -L OPERATOR";
    terminal.succeeds(&format!("{operator} power cycle"));
    terminal.until_printed("a", FROM_DISK, times + 1);
    // A guest without ACPI.
    terminal.succeeds(&ipmitool("power soft"));
    std::thread::sleep(Duration::from_secs(1));
    assert!(is_on(terminal), "it does not listen");
    terminal.succeeds(&ipmitool("power diag"));
    terminal.succeeds(&ipmitool("power off"));
    wait_for("the machine to be off", SOON, || (!is_on(terminal)).then_some(()));
    let status = |terminal: &Terminal| -> Value {
        let list: Value = serde_json::from_str(&terminal.dryrack(&["status", "--json"])).expect("JSON");
        list[0]["snapshot"]["nodes"]["a"]["stage"].clone()
    };
    wait_for("the machine to be off", SOON, || (status(terminal) == "off").then_some(()));
    for command in ["reset", "cycle", "diag"] {
        terminal.fails(&ipmitool(&format!("power {command}")), "Command not supported in present state");
    }
    assert_eq!((is_on(terminal), status(terminal)), (false, "off".into()));
    terminal.succeeds(&ipmitool("power off"));
    terminal.until_last(&ipmitool("sel elist"), "| Power Unit Power Unit | Power off/down | Asserted");
    terminal.succeeds(&ipmitool("sel clear"));
    let log = terminal.ask(&ipmitool("sel elist")).said;
    assert!(log.lines().count() == 1 && log.contains("Log area reset/cleared"), "{log}");
}

const TWO_FIRMWARES: &str = r#"
[node.a]
memory = "160MiB"
nic.lan = {}
profile = "tiny"
start = "manual"

[node.b]
firmware = "uefi"
memory = "384MiB"
nic.lan = {}
profile = "tiny"
start = "manual"
boot = ["disk", "network"]
disk.root = { size = "16MiB", source = "disk.img" }
bmc = { address = "10.91.1.50" }
"#;

/// Starts of node `b`, whose disk comes first: what is ordered, and from where it boots then.
const STARTS_OF_B: [(&[&str], &str); 4] = [
    (&["chassis bootdev pxe options=efiboot", "power on"], SYSTEM_IS_UP),
    (&["power reset"], FROM_DISK),
    (&["chassis bootdev pxe options=efiboot", "power reset"], SYSTEM_IS_UP),
    (&["power off", "power on"], FROM_DISK),
];

#[test]
fn freeipmi_manages_machines() {
    let mut terminal = Terminal::open(TWO_FIRMWARES, &[("disk.img", &uefi_disk(FROM_DISK))]);
    // The machine with UEFI boots meanwhile.
    order_start_of_b(&terminal, 0);
    is_found(&mut terminal);
    logs_in_with_every_option(&mut terminal);
    is_described(&mut terminal);
    has_started_b(&terminal, 0);
    order_start_of_b(&terminal, 1);
    is_switched(&mut terminal);
    has_started_b(&terminal, 1);
    order_start_of_b(&terminal, 2);
    has_a_console(&mut terminal);
    shows_its_log(&mut terminal);
    has_started_b(&terminal, 2);
    let mut console = terminal.activate(&of_b("sol activate"));
    console.type_in("\rhelp\r");
    console.until("anything else is run by sh");
    console.end("~.");
    order_start_of_b(&terminal, 3);
    has_started_b(&terminal, 3);
    let log = terminal.ask(&of_b("sel elist")).said;
    let events: Vec<&str> = log.lines().filter_map(|line| line.rsplit(" | ").nth(1)).collect();
    let powered_on = ["S0/G0: working", "Initiated by power up"];
    let from_network = ["User requested PXE boot", "PXE boot completed"];
    let expected = [
        &powered_on[..],
        &from_network,
        &["Initiated by hard reset", "Initiated by hard reset"],
        &from_network,
        &["Power off/down"],
        &powered_on,
    ];
    assert_eq!(events, expected.concat(), "{log}");

    let version = terminal.ask("ipmipower --version").said;
    let version = version.lines().next().unwrap_or_default().replace("ipmipower - ", "FreeIPMI ");
    terminal.compare("bmc/freeipmi", &version);
    terminal.close();
}

fn of_b(command: &str) -> String {
    format!("ipmitool -I lanplus -H 10.91.1.50 -U admin -E {command}")
}

fn order_start_of_b(terminal: &Terminal, start: usize) {
    for command in STARTS_OF_B[start].0 {
        assert_eq!(terminal.ask(&of_b(command)).code, 0, "{command}");
    }
}

/// Waits until node `b` has booted from where it was to, and from nowhere else; an override is for one start.
fn has_started_b(terminal: &Terminal, start: usize) {
    let begun = &STARTS_OF_B[..=start];
    let times = |text: &str| begun.iter().filter(|(_, from)| *from == text).count();
    terminal.until_printed("b", STARTS_OF_B[start].1, times(STARTS_OF_B[start].1));
    for from in [SYSTEM_IS_UP, FROM_DISK] {
        assert_eq!(terminal.printed("b", from), times(from), "{from} at start {start}");
    }
    let flags = terminal.ask(&of_b("chassis bootparam get 5")).said;
    assert!(flags.contains("Boot Flag Invalid"), "{flags}");
}

fn is_found(terminal: &mut Terminal) {
    for (tool, found) in [
        ("rmcpping", "2 pings transmitted, 2 pongs received in time, 0.0% packet loss"),
        ("ipmiping", "2 requests transmitted, 2 responses received in time, 0.0% packet loss"),
    ] {
        let said = terminal.succeeds(&format!("{tool} -c 2 10.91.1.10"));
        assert!(said.contains(found), "{said}");
    }
}

fn logs_in_with_every_option(terminal: &mut Terminal) {
    for suite in ["", " -I 3", " -I 17"] {
        for workaround in ["", " -W opensesspriv"] {
            for level in ["", " -l USER", " -l ADMIN"] {
                let said =
                    terminal.succeeds(&format!("ipmipower {FREEIPMI}{suite}{workaround}{level} --stat"));
                assert_eq!(said, "10.91.1.10: off\n");
            }
        }
    }
    for suite in [0, 1, 8] {
        terminal.fails(&format!("ipmipower {FREEIPMI} -I {suite} --stat"), "cipher suite id unavailable");
    }
    let wrong = "ipmipower -D LAN_2_0 -h 10.91.1.10 -p wrong -u";
    terminal.fails(&format!("{wrong} admin --stat"), "password invalid");
    terminal.fails(&format!("{wrong} nobody --stat"), "username invalid");
}

fn is_described(terminal: &mut Terminal) {
    let identity = terminal.plan("a")["kind"]["qemu"]["identity"].clone();
    let (serial, uuid) =
        (identity["serial"].as_str().expect("text"), identity["uuid"].as_str().expect("text"));
    let fru = terminal.succeeds(&format!("ipmi-fru {FREEIPMI}"));
    assert!(fru.contains(&format!("FRU Product Serial Number: {serial}")), "{fru}");
    // FreeIPMI prints the bytes in the other order.
    let info = terminal.succeeds(&format!("bmc-info {FREEIPMI} --get-device-guid"));
    let reversed: Vec<String> = uuid::Uuid::parse_str(uuid)
        .expect("a UUID")
        .to_bytes_le()
        .iter()
        .rev()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let shown = info.trim().rsplit([':', ' ']).next().map(|guid| guid.replace('-', ""));
    assert_eq!(shown, Some(reversed.concat()), "{info}");
    terminal.succeeds(&format!("bmc-info {FREEIPMI} --get-device-id"));
    // Exit code 1 is not that of an error here: each key that a BMC does not have counts, such as its cipher suite 0.
    let core = terminal.succeeds(&format!(
        "ipmi-config {FREEIPMI} --category=core --checkout --filename=core; echo \"exit code $?\"; grep -v '##\\|^#' core"
    ));
    for line in [
        "exit code 1\nSection User1\n",
        "IP_Address                                    10.91.1.10",
        "Enable_SOL                                    Yes",
        "Maximum_Privilege_Cipher_Suite_Id_3           Administrator",
    ] {
        assert!(core.contains(line), "{line}: {core}");
    }
    let with_sol = core.matches("SOL_Payload_Access                            Yes").count();
    assert_eq!(with_sol, 1, "the administrator, and nobody who does not exist: {core}");
    terminal.succeeds(&format!("ipmi-chassis {FREEIPMI} --get-chassis-status"));
    let off = terminal.succeeds(&format!("ipmi-sensors {FREEIPMI}"));
    // The cache of its sensors is still right when the machine is on.
    terminal.succeeds(&format!("ipmipower {FREEIPMI} --on --wait-until-on"));
    let on = terminal.succeeds(&format!("ipmi-sensors {FREEIPMI}"));
    terminal.until_printed("a", FROM_NETWORK, 1);
    let fan = |text: &str| text.lines().find(|line| line.contains("| FAN1 ")).map(str::to_owned);
    assert!(fan(&off).is_some_and(|line| line.contains("| N/A ")), "{off}");
    assert!(fan(&on).is_some_and(|line| line.contains(" RPM ") && line.ends_with("| 'OK'")), "{on}");
    let names = |text: &str| -> Vec<String> {
        text.lines()
            .skip(1)
            .filter_map(|line| line.split('|').nth(1))
            .map(|name| name.trim().to_owned())
            .collect()
    };
    assert_eq!(names(&on), names(&off));
    let said = terminal.ask(&ipmitool("sdr elist")).said;
    let of_others: Vec<&str> =
        said.lines().filter_map(|line| line.split('|').next()).map(str::trim).collect();
    assert_eq!(names(&on), of_others);
}

fn is_switched(terminal: &mut Terminal) {
    let stat = |terminal: &Terminal| terminal.ask(&format!("ipmipower {FREEIPMI} --stat")).said;
    terminal.succeeds(&format!("ipmipower {FREEIPMI} --off --wait-until-off"));
    // It refuses, and this tool says nothing of it.
    for command in ["--reset", "--cycle"] {
        assert_eq!(terminal.succeeds(&format!("ipmipower {FREEIPMI} {command}")), "");
        assert_eq!(stat(terminal), "10.91.1.10: off\n", "{command}");
    }
    terminal
        .succeeds(&format!("ipmi-chassis-config {FREEIPMI} --commit -e Chassis_Boot_Flags:Boot_Device=PXE"));
    let flags = terminal.succeeds(&format!(
        "ipmi-chassis-config {FREEIPMI} --checkout --section=Chassis_Boot_Flags | grep -v '#'"
    ));
    for (key, value) in
        [("Boot_Device ", "PXE"), ("BIOS_Boot_Type", "PC-COMPATIBLE"), ("Boot_Flags_Persistent", "No")]
    {
        assert!(flags.lines().any(|line| line.contains(key) && line.ends_with(value)), "{key}: {flags}");
    }
    // What MAAS does.
    let maas = format!("ipmipower {FREEIPMI} -W opensesspriv -I 3 -l OPERATOR --cycle --on-if-off");
    assert_eq!(terminal.succeeds(&maas), "10.91.1.10: ok\n");
    terminal.until_printed("a", FROM_NETWORK, 2);
    assert_eq!(stat(terminal), "10.91.1.10: on\n");
}

/// Serial over LAN, of `ipmitool` and of FreeIPMI.
fn has_a_console(terminal: &mut Terminal) {
    let mut console = terminal.activate(&ipmitool("sol activate"));
    console.type_in("help\r");
    console.until("anything else is run by sh");
    let (_, said) = console.end("~.");
    assert!(said.contains("[terminated ipmitool]"), "{said}");
    // Payload 1: its capacity, and whether instance 1 is active.
    let active = ipmitool("raw 0x06 0x4a 0x01");
    terminal.until(&active, "01 00 00");

    // A client is there, and another one is refused.
    let first = terminal.start(&ipmitool("sol activate"));
    terminal.until(&active, "01 01 00");
    terminal.fails(
        &format!("{} </dev/null", ipmitool("sol activate")),
        "SOL payload already active on another session",
    );
    // FreeIPMI takes over.
    is_taken_over(terminal, 3);
    terminal.until(&active, "01 00 00");
    // It does not heed that it has lost the console.
    terminal.kill("ipmitool", first);

    // A client that is gone without a word blocks nobody.
    let killed = terminal.start(&ipmitool("sol activate"));
    terminal.until(&active, "01 01 00");
    terminal.kill("ipmitool", killed);
    assert!(terminal.ask(&active).said.contains("01 01 00"), "it did not say that it goes");
    is_taken_over(terminal, 4);
    terminal.until(&active, "01 00 00");
    // All of them are on the console of the node, too.
    for text in ["a23b", "a24b"] {
        assert_eq!(terminal.printed("a", text), 1, "{text}");
    }
}

/// FreeIPMI takes the console, and has the machine compute.
fn is_taken_over(terminal: &Terminal, sum: u8) {
    let console = "script -qec \"ipmiconsole -h 10.91.1.10 -u admin -p $PASSWORD\" /dev/null";
    let mut console = terminal.talk_to(console);
    console.until("[SOL established]");
    console.type_in(&format!("echo a$((20+{sum}))b\r"));
    console.until(&format!("a2{sum}b\r\n"));
    console.end("&.");
}

fn shows_its_log(terminal: &mut Terminal) {
    // Its system listens to ACPI.
    assert_eq!(terminal.succeeds(&format!("ipmipower {FREEIPMI} --soft")), "10.91.1.10: ok\n");
    terminal.until_last(&ipmitool("sel elist"), "Power off/down | Asserted");
    let log = terminal.succeeds(&format!("ipmi-sel {FREEIPMI}"));
    let events: Vec<&str> =
        log.lines().skip(1).filter_map(|line| line.rsplit('|').next()).map(str::trim).collect();
    let expected = [
        "S0/G0",
        "Initiated by power up",
        "PXE boot completed",
        "Power Off/Power Down",
        "S0/G0",
        "Initiated by power up",
        "User requested PXE boot",
        "PXE boot completed",
        "Power Off/Power Down",
    ];
    assert_eq!(events, expected, "{log}");
    terminal.succeeds(&format!("ipmi-sel {FREEIPMI} --clear"));
    let log = terminal.succeeds(&format!("ipmi-sel {FREEIPMI}"));
    assert!(log.lines().count() == 2 && log.contains("Log Area Reset/Cleared"), "{log}");
}

#[test]
fn pyghmi_manages_machines() {
    let script =
        fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bmc/administrator.py")).expect("a script");
    let node = "[node.a]\nmemory = \"160MiB\"\nnic.lan = {}\nprofile = \"tiny\"\nstart = \"manual\"\n";
    let mut terminal = Terminal::open(node, &[("administrator.py", &script)]);
    // That of the distribution: others do not see its packages.
    let said = terminal.succeeds("/usr/bin/python3 administrator.py 10.91.1.10 $PASSWORD");
    let value = |name: &str| {
        let line = said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_else(|| panic!("{name}: {said}")).to_owned()
    };
    let identity = terminal.plan("a")["kind"]["qemu"]["identity"].clone();
    assert_eq!(Some(value("serial").as_str()), identity["serial"].as_str());
    assert_eq!(Some(value("uuid").to_lowercase().as_str()), identity["uuid"].as_str());
    assert_eq!(
        (value("once"), value("always")),
        ("network False True".to_owned(), "network True False".to_owned())
    );
    assert_eq!((value("power before"), value("power after")), ("off".to_owned(), "on".to_owned()));
    assert_eq!(value("event").as_str(), "System Boot: Power up");
    terminal.succeeds("ipmitool -I lanplus -H 10.91.1.10 -U admin -E power off");
    let version = terminal
        .ask("/usr/bin/python3 -c 'import importlib.metadata as m; print(m.version(\"pyghmi\"))'")
        .said;
    terminal.compare("bmc/pyghmi", &format!("pyghmi {}", version.trim()));
    terminal.close();
}
