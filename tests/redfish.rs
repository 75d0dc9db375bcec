//! Redfish of virtual BMCs with clients of others, unmodified: sushy, redfishtool, curl, pyghmi, and validators.
//!
//! Each client has a lab of its own, and most have a transcript in `tests/redfish/`, which `DRYRACK_BLESS=1` writes. `ci/setup`
//! installs the clients in the versions of `ci/redfish-clients.txt`.

#![expect(clippy::disallowed_methods, reason = "a test waits on the clock and starts what it needs")]

#[expect(dead_code, reason = "each test binary uses a part of it")]
mod common;
#[expect(dead_code, reason = "each test binary uses a part of it")]
#[path = "common/terminal.rs"]
mod terminal;
mod redfish {
    mod curl;
    mod firmware;
    mod one_state;
    mod pyghmi;
    mod redfishtool;
    mod sushy;
    mod validators;
}

use std::fs;
use std::path::Path;

use common::boot_media::bootable_disk;
use common::{cache, wait_for};
use serde_json::Value;
use terminal::{FROM_DISK, NODE_A, SOON, Terminal, clients};

/// The service of the BMC of node `a`.
const A: &str = "https://10.91.1.10/redfish/v1";
/// That of node `b`.
const B: &str = "https://10.91.1.50/redfish/v1";
/// The system of node `a`.
const SYSTEM: &str = "https://10.91.1.10/redfish/v1/Systems/1";

/// Beside node `a` two machines with UEFI, of which one has Secure Boot. Nobody powers them on.
const MACHINES: &str = r#"
[node.b]
firmware = "uefi"
memory = "384MiB"
nic.lan = {}
profile = "tiny"
start = "manual"
bmc = { address = "10.91.1.50", http = true }

[node.c]
firmware = "uefi-secure"
memory = "384MiB"
nic.lan = {}
start = "manual"
boot = ["disk"]
disk.root.size = "16MiB"
bmc = { address = "10.91.1.51" }
"#;

/// Opens a terminal in a lab with these machines; files of `tests/redfish` are in its folder.
fn open(files: &[&str]) -> Terminal {
    open_with("", files, &[])
}

/// The same with more machines, and with files that are made for them.
fn open_with(more: &str, files: &[&str], made: &[(&str, &[u8])]) -> Terminal {
    let installed = fs::read_to_string(cache().join("redfish-clients/installed.txt")).unwrap_or_default();
    assert_eq!(
        installed,
        include_str!("../ci/redfish-clients.txt"),
        "the clients are not in {}: please run `ci/setup test`",
        clients().display()
    );
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/redfish");
    let files: Vec<(&str, Vec<u8>)> =
        files.iter().map(|name| (*name, fs::read(folder.join(name)).expect("a file of the tests"))).collect();
    let mut all: Vec<(&str, &[u8])> = files.iter().map(|(name, bytes)| (*name, bytes.as_slice())).collect();
    let disk = bootable_disk(FROM_DISK);
    all.push(("disk.img", &disk));
    all.extend(made);
    Terminal::open(&format!("{NODE_A}{MACHINES}{more}"), &all)
}

/// Returns the version of a client, by its name on PyPI.
fn version(package: &str) -> String {
    let list = include_str!("../ci/redfish-clients.txt");
    let line = list.lines().find(|line| line.split("==").next() == Some(package));
    line.unwrap_or_else(|| panic!("{package} is in ci/redfish-clients.txt")).replace("==", " ")
}

/// A command of curl as administrator.
fn curl(rest: &str) -> String {
    format!("curl --silent --cacert $CA --user admin:$PASSWORD {rest}")
}

/// A command of curl as another user.
fn curl_as(user: &str, rest: &str) -> String {
    format!("curl --silent --cacert $CA --user {user} {rest}")
}

/// The options with which curl sends a body.
fn sends(method: &str, body: &str) -> String {
    format!("--request {method} --header 'Content-Type: application/json' --data '{body}'")
}

/// The options with which curl prints the code of the reply alone.
const CODE: &str = "--output /dev/null --write-out '%{http_code}\\n'";

/// Reads a resource of the BMC of node `a`, as administrator.
#[track_caller]
fn read(terminal: &Terminal, url: &str) -> Value {
    let done = terminal.ask(&curl(url));
    serde_json::from_str(&done.said).unwrap_or_else(|error| panic!("{url}: {error}: {done:?}"))
}

/// Returns the override as Redfish has it: whether it is enabled, and the target.
#[track_caller]
fn boot_of(terminal: &Terminal, system: &str) -> (String, String) {
    let boot = &read(terminal, system)["Boot"];
    let text = |name: &str| boot[name].as_str().unwrap_or_default().to_owned();
    (text("BootSourceOverrideEnabled"), text("BootSourceOverrideTarget"))
}

fn pair(one: &str, other: &str) -> (String, String) {
    (one.to_owned(), other.to_owned())
}

/// Waits until a machine is off or on, as Redfish says.
#[track_caller]
fn until_power(terminal: &Terminal, system: &str, state: &str) {
    wait_for(&format!("{system} to be {state}"), SOON, || {
        (read(terminal, system)["PowerState"] == state).then_some(())
    });
}

/// Types a command of curl whose output is a code.
#[track_caller]
fn answers(terminal: &mut Terminal, command: &str, code: u16) {
    let said = terminal.succeeds(&format!("{command} {CODE}"));
    assert_eq!(said.trim(), code.to_string(), "{command}");
}
