//! `dryrack import` and `dryrack lint` as a user runs them, and the examples in `tests/import` with the real servers.

#![expect(clippy::disallowed_methods, reason = "starts the real servers")]

#[expect(dead_code, reason = "each test binary uses a part of it")]
mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Home, labs, run, stderr, stdout};
use insta::assert_snapshot;

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/import").join(name)
}

/// Copies a folder.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let into = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &into);
        } else {
            fs::copy(&path, &into).unwrap();
        }
    }
}

/// Runs `dryrack` in a copy of an example; returns both outputs and the exit code.
fn check(home: &Home, name: &str, args: &[&str]) -> String {
    let folder = home.path().join(name);
    if !folder.exists() {
        copy(&example(name), &folder);
    }
    let output = run(home.dryrack(args.iter().copied()).current_dir(&folder).env("NO_COLOR", "1"));
    let code = output.status.code().unwrap();
    format!("{}--- stderr\n{}--- exit code {code}\n", stdout(&output), stderr(&output))
}

#[test]
fn the_real_servers_take_the_examples() {
    for name in ["dnsmasq", "walkthrough"] {
        let output =
            run(Command::new("dnsmasq").args(["--test", "-C"]).arg(example(name).join("dnsmasq.conf")));
        assert!(output.status.success(), "{}", stderr(&output));
    }
    let output = run(Command::new("dhcpd").args(["-t", "-cf"]).arg(example("isc/dhcpd.conf")));
    assert!(output.status.success(), "{}", stderr(&output));
    // The included file is where the server of the lab has it.
    let classes = Home::new();
    let options = example("isc-classes/etc/dhcp/options.conf").display().to_string();
    let text = fs::read_to_string(example("isc-classes/dhcpd.conf")).unwrap();
    let file = classes.path().join("dhcpd.conf");
    fs::write(&file, text.replace("/etc/dhcp/options.conf", &options)).unwrap();
    let output = run(Command::new("dhcpd").args(["-t", "-cf"]).arg(&file));
    assert!(output.status.success(), "{}", stderr(&output));
    // Kea wants the interface to exist.
    let home = Home::new();
    let text = fs::read_to_string(example("kea/kea-dhcp4.conf")).unwrap().replace("\"rack0\"", "\"lo\"");
    let file = home.path().join("kea-dhcp4.conf");
    fs::write(&file, text).unwrap();
    let output = run(Command::new("kea-dhcp4").arg("-t").arg(&file));
    assert!(output.status.success(), "{}{}", stdout(&output), stderr(&output));
}

#[test]
fn three_files_become_a_lab_that_passes_check() {
    let home = Home::new();
    let args = ["import", "dnsmasq.conf", "udhcpd.conf", "matchbox", "--as", "services"];
    assert_snapshot!(check(&home, "walkthrough", &args));
    let into = [args.as_slice(), &["--output", "rack"]].concat();
    let written = check(&home, "walkthrough", &into);
    assert!(written.contains("wrote rack/lab.toml") && written.starts_with("--- stderr"), "{written}");
    let checked = check(&home, "walkthrough", &["check", "rack"]);
    assert!(checked.contains("rack/lab.toml: no problems found"), "{checked}");
    let again = check(&home, "walkthrough", &into);
    assert!(again.contains("cannot write rack/lab.toml") && again.ends_with("--- exit code 2\n"), "{again}");
    let json = check(&home, "walkthrough", &[args.as_slice(), &["--json"]].concat());
    let (json, _) = json.split_once("--- stderr").unwrap();
    let json: serde_json::Value = serde_json::from_str(json).unwrap();
    assert!(json["lab"].as_str().unwrap().contains("[network.matchbox]"));
    let port = &json["directives"][0];
    assert_eq!(
        (&port["file"], &port["line"], &port["fate"]),
        (&"dnsmasq.conf".into(), &2.into(), &"carried".into())
    );
}

#[test]
fn lint_says_what_breaks_boots() {
    let home = Home::new();
    assert_snapshot!(check(&home, "udhcpd", &["lint", "udhcpd.conf"]));
    assert!(check(&home, "kea", &["lint", "kea-dhcp4.conf"]).contains("no problems found\n--- exit code 0"));
    let json = check(&home, "udhcpd", &["lint", "--json", "udhcpd.conf"]);
    let (json, _) = json.split_once("--- stderr").unwrap();
    let json: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!((&json[0]["code"], &json[0]["line"]), (&"C101".into(), &8.into()));
}

#[test]
fn what_is_of_no_kind_is_refused() {
    let home = Home::new();
    fs::create_dir_all(home.path().join("odd")).unwrap();
    fs::write(home.path().join("odd/notes.txt"), "hello\n").unwrap();
    fs::write(home.path().join("odd/lab.toml"), "dryrack = 1\n").unwrap();
    assert_snapshot!(check(&home, "odd", &["import", "notes.txt"]));
    assert_snapshot!(check(&home, "odd", &["lint", "lab.toml"]), @"
    --- stderr
    error: lab.toml is a lab file

    hint: use `dryrack check`
    --- exit code 2
    ");
    assert!(check(&home, "odd", &["import", "gone.conf"]).contains("gone.conf does not exist"));
}

#[test]
#[ignore = "takes minutes: ci/nightly slow/the_files_of_the_walkthrough_make_labs_that_tell_the_same"]
fn the_files_of_the_walkthrough_make_labs_that_tell_the_same() {
    let home = Home::new();
    let folder = home.path().join("files");
    copy(&labs().join("walkthrough"), &folder);
    let assets = folder.join("matchbox/assets/tiny");
    fs::create_dir_all(&assets).unwrap();
    let built = run(&mut home.dryrack(["image", "build", "tiny", "--json"]));
    let built: serde_json::Value = serde_json::from_str(&stdout(&built)).unwrap();
    for name in ["kernel", "initrd"] {
        fs::copy(built[0]["files"][name]["path"].as_str().unwrap(), assets.join(name)).unwrap();
    }
    let args = ["import", "dnsmasq.conf", "udhcpd.conf", "matchbox", "--compare", "--output", "labs"];
    let output = run(home.dryrack(args).current_dir(&folder));
    let said = stdout(&output) + &stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.contains("the machines were told the same"), "{said}");
    // Both passed as they were written.
    let labs = fs::read_dir(folder.join("labs")).unwrap().flatten().count();
    assert_eq!((labs, said.matches("all 4 expectations met").count()), (2, 2), "{said}");
}
