//! The validators of DMTF: all of the tree against the schemas, the protocol, profiles and use cases.

use std::os::unix::fs::symlink;

use crate::terminal::Done;
use crate::{B, boot_of, curl, open_with, pair, version};

/// A machine whose BMC the validator of the protocol has for itself: it adds sessions and accounts, which the others
/// would see.
const MACHINE: &str = r#"
[node.p]
profile = "tiny"
memory = "128MiB"
nic.lan = {}
start = "manual"
bmc = { address = "10.91.1.52" }
"#;

/// What a validator says of all it has tried.
#[derive(Debug)]
struct Verdict {
    passed: u32,
    failed: u32,
}

impl Verdict {
    /// Reads the table that the validators of DMTF end with, or the line of the one for protocols.
    fn of(said: &str) -> Self {
        let numbers = |text: &str| -> Vec<u32> {
            text.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect()
        };
        let found = match said.lines().find(|line| line.starts_with("Summary - ")) {
            Some(line) => numbers(line),
            None => {
                let after = said.lines().skip_while(|line| !line.contains("|     PASS     |"));
                after.skip(2).map(numbers).next().unwrap_or_default()
            }
        };
        // In this order: passed, warnings, failed, not tested.
        let [passed, _, failed, _] = found[..] else { panic!("it says nothing in the end:\n{said}") };
        Self { passed, failed }
    }
}

/// Leaves of what a validator prints only what it has tested; numbers, times and the names of reports are left out.
fn tested(said: &str) -> String {
    let lines = said.lines().map(str::trim_end);
    let lines =
        lines.filter(|line| ["Validating ", "Performing ", "-- "].iter().any(|word| line.starts_with(word)));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn find_no_failure() {
    // What Ironic demands of a service, from its release 39.0.0 (Apache-2.0).
    const PROFILE: &str = "OpenStackIronicProfile.v1_2_0.json";
    let mut terminal = open_with(MACHINE, &[PROFILE], &[]);
    symlink(nv_redfish_schema::REDFISH_CSDL_DIR, terminal.home.path().join("csdl")).expect("a link");
    let login = "-u admin -p $PASSWORD";
    let service = |address: &str| {
        format!(
            "rf_service_validator -i https://{address} {login} --authtype Session \
             --skipschema --schema_directory csdl --logdir reports"
        )
    };
    let interop = |address: &str| {
        format!(
            "rf_interop_validator {PROFILE} -r https://{address} {login} --authtype Session --logdir reports"
        )
    };
    let protocol =
        format!("rf_protocol_validator -r https://10.91.1.52 {login} --ca-bundle $CA --report-dir protocol");
    let cases = format!("rf_use_case_checkers -r https://10.91.1.50 {login} --report-dir reports");
    // Most of the time, two of them wait; the others compute meanwhile.
    let shared = &terminal;
    let ran: Vec<(String, Done, u32)> = std::thread::scope(|scope| {
        let waiting = [(protocol, 350), (cases, 60)]
            .map(|(command, least)| scope.spawn(move || (shared.ask(&command), command, least)));
        let computing = [
            (service("10.91.1.10"), 2000),
            (service("10.91.1.51"), 2000),
            (interop("10.91.1.10"), 90),
            (interop("10.91.1.51"), 100),
        ]
        .map(|(command, least)| (shared.ask(&command), command, least));
        let waited = waiting.map(|thread| thread.join().expect("a validator"));
        computing.into_iter().chain(waited).map(|(done, command, least)| (command, done, least)).collect()
    });
    for (command, done, least) in ran {
        let verdict = Verdict::of(&done.said);
        // Fewer would mean that it has not seen most of the tree.
        assert!(
            done.code == 0 && verdict.failed == 0 && verdict.passed >= least,
            "{command}: {verdict:?}\n{}",
            done.said
        );
        let said = match command.starts_with("rf_protocol_validator") {
            true => terminal.ask("cut --fields 1,5 protocol/*.tsv | LC_ALL=C sort --unique").said,
            false => tested(&done.said),
        };
        terminal.keep("$", &command, &Done { code: done.code, said });
    }
    // The checkers have set overrides, and have powered the machine on and off, which has booted from the network.
    terminal.until_printed("b", "b> ", 1);
    let log = terminal.ask(&curl(&format!("{B}/Systems/1/LogServices/Sel/Entries"))).said;
    for key in ["PxeRequested", "PowerOn", "PowerOff", "BootInitiated"] {
        assert!(log.contains(&format!("Dryrack.1.0.{key}")), "{key}: {log}");
    }
    assert_eq!(boot_of(&terminal, &format!("{B}/Systems/1")), pair("Disabled", "None"));
    let names = ["service-validator", "interop-validator", "protocol-validator", "use-case-checkers"];
    let versions = names.map(|name| version(&format!("redfish-{name}")));
    terminal.compare("redfish/validators", &versions.join(", "));
    terminal.close();
}
