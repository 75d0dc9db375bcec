//! What `dryrack explain-pcap` says of the captures in `tests/captures`, which `record.py` there makes.

#![expect(clippy::disallowed_methods, reason = "a test starts what it tests")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use insta::assert_snapshot;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/captures")
}

fn captures() -> Vec<String> {
    let names = folder().read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.contains(".pcap")).collect();
    names.sort();
    names
}

fn explain(args: &[&str], input: Stdio) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dryrack"));
    command.arg("explain-pcap").args(args).current_dir(folder()).env("NO_COLOR", "1").env("COLUMNS", "100");
    command.stdin(input).output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

#[test]
fn every_capture_is_explained() {
    let captures = captures();
    assert!(captures.len() >= 20, "{captures:?}");
    for name in captures {
        let Output { status, stdout, stderr } = explain(&[&name], Stdio::null());
        let shown = format!("{}{}exit code {}\n", text(&stdout), text(&stderr), status.code().unwrap());
        let name = name.split(".pcap").next().unwrap();
        assert_snapshot!(name, shown);
    }
}

#[test]
fn standard_input_and_json_say_the_same() {
    let name = "wrong-name-dnsmasq.pcap";
    let file = || Stdio::from(std::fs::File::open(folder().join(name)).unwrap());
    let piped = text(&explain(&["-"], file()).stdout);
    let named = text(&explain(&[name], Stdio::null()).stdout);
    assert_eq!(piped.replace("standard input", name), named);
    let json: serde_json::Value = serde_json::from_slice(&explain(&["--json", "-"], file()).stdout).unwrap();
    let machine = &json["machines"]["52:54:00:00:00:11"];
    let missing = machine["first_missing"][0]["missing"].as_str().unwrap();
    assert!(named.replace("\n  ", " ").contains(missing), "{missing}");
    assert_eq!(json["servers"][0]["address"], "10.0.0.1");
    let perfetto: serde_json::Value =
        serde_json::from_slice(&explain(&["--perfetto", "-", name], Stdio::null()).stdout).unwrap();
    assert!(perfetto["traceEvents"].as_array().is_some_and(|events| events.len() > 5), "{perfetto}");
}

#[test]
fn what_is_no_capture_is_refused() {
    let Output { status, stderr, .. } = explain(&["record.py"], Stdio::null());
    assert_eq!(status.code(), Some(2));
    assert_snapshot!(text(&stderr), @"
    error: record.py: it is no capture in pcap or pcapng format: it begins with 23 21 2f 75 73 72 2f 62

    hint: write one by `tcpdump -w FILE`, or convert it by Wireshark's `editcap FILE NEW.pcapng`
    ");
    assert_eq!(explain(&["nowhere.pcap"], Stdio::null()).status.code(), Some(2));
}
