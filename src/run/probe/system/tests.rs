//! What scripts print, and what is judged from it; the scripts themselves run in a shell of this machine.

use std::process::Command;
use std::str::FromStr as _;

use insta::assert_snapshot;

use super::*;
use crate::lab::{CloudInitStatus, NodeFile, Pattern};

fn shown(answer: Answer) -> String {
    format!("{}: {}", answer.ok, answer.seen)
}

/// Runs a script as on a node, in this machine.
fn here(script: &str, variables: &[(&str, &str)]) -> String {
    let script = format!("{AS_ROOT}{script}\nexit 0");
    let run = format!("sh -c {}", quoted(&script));
    #[expect(clippy::disallowed_methods, reason = "runs the script as sshd would")]
    let output = Command::new("/bin/sh")
        .args(["-c", &run])
        .envs(variables.iter().copied())
        .stdin(std::process::Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn cloud_init_is_done_or_says_its_errors() {
    let done = |said: &str| shown(cloud_init::judge(said, CloudInitStatus::Done, false));
    // As canonical/cloud-init#5903 has it, of Oracle Linux, with the stages cut.
    let error = r#"{"boot_status_code": "enabled-by-generator", "datasource": "oracle",
        "detail": "DataSourceOracle", "errors": [], "extended_status": "error",
        "last_update": "Mon, 25 Nov 2024 15:16:40 +0000", "recoverable_errors": {}, "stage": null, "status": "error"}"#;
    assert_snapshot!(done(error), @"false: status error: DataSourceOracle");
    // From the unit tests of cloud-init (tests/unittests/cmd/test_status.py).
    let running = r#"{"boot_status_code": "enabled-by-kernel-command-line", "datasource": "",
        "detail": "Running in stage: init", "errors": [], "status": "running", "extended_status": "running",
        "init": {"finished": null, "start": 124.456}, "recoverable_errors": {}, "stage": "init"}"#;
    assert_snapshot!(done(running), @"false: status running: Running in stage: init");
    // With the fields of 23.4; the texts are such as others report of Alpine and Ubuntu 24.04.
    let degraded = |level: &str, text: &str| {
        format!(
            r#"{{"status": "done", "extended_status": "degraded done", "errors": [],
            "recoverable_errors": {{"{level}": ["{text}", "{text}"]}}}}"#
        )
    };
    let warned = degraded("WARNING", "Failed to run module keys_to_console");
    assert_snapshot!(done(&warned), @"false: status done, but degraded: WARNING: Failed to run module keys_to_console, and 1 more");
    assert_snapshot!(shown(cloud_init::judge(&warned, CloudInitStatus::Done, true)), @"true: status done, 2 recovered errors");
    let deprecated = degraded("DEPRECATED", "'user' of type string is deprecated in 22.2");
    assert_snapshot!(done(&deprecated), @"true: status done, 2 deprecations");
    // Texts of `status --long`: launchpad 1889291 (20.2), and the same form without an error.
    let old = "status: error\ntime: Tue, 28 Jul 2020 15:12:48 +0000\ndetail:\n('timezone', OSError('Invalid timezone'))\n";
    assert_snapshot!(done(old), @"false: status error: ('timezone', OSError('Invalid timezone'))");
    assert_snapshot!(done("status: done\ntime: Tue, 28 Jul 2020 15:12:48 +0000\ndetail:\nDataSourceNoCloud\n"), @"true: status done");
    assert_snapshot!(done("status: disabled\n"), @"false: status disabled");
    assert_snapshot!(shown(cloud_init::judge("status: disabled\n", CloudInitStatus::Disabled, false)), @"true: status disabled");
    assert_snapshot!(done("Traceback (most recent call last):\n"), @"false: cloud-init says no status: `Traceback (most recent call last):`");
    assert_snapshot!(done("none\n"), @"false: cloud-init is not installed there");
}

#[test]
fn failed_units_are_named_with_what_they_said_last() {
    let judge = |said: &str, allowed: &[&str]| {
        let allowed: Vec<String> = allowed.iter().map(|unit| (*unit).to_owned()).collect();
        shown(units::judge(said, &allowed))
    };
    let good = "@@dryrack state\nrunning\n@@dryrack failed\n\n";
    assert_snapshot!(judge(good, &[]), @"true: no failed units");
    // Written by hand in the form of the script, with the line that systemd logs for a unit that ended with an error.
    let bad = "@@dryrack state\ndegraded\n@@dryrack failed\nkubelet.service\nnfs.mount\n\
        @@dryrack log kubelet.service\nStarted kubelet.service.\nkubelet.service: Failed with result 'exit-code'.\n\
        @@dryrack log nfs.mount\n";
    assert_snapshot!(judge(bad, &[]), @"false: failed units: kubelet.service (`kubelet.service: Failed with result 'exit-code'.`), nfs.mount");
    assert_snapshot!(judge(bad, &["kubelet.service"]), @"false: failed unit: nfs.mount");
    assert_snapshot!(judge(bad, &["kubelet.service", "nfs.mount"]), @"true: no failed units but kubelet.service, nfs.mount");
    assert_snapshot!(judge("@@dryrack state\nstarting\n@@dryrack failed\n\n", &[]), @"false: the system is starting");
    assert_snapshot!(judge("@@dryrack state\noffline\n@@dryrack failed\n\n", &[]), @"false: systemd does not run there");
    assert_snapshot!(judge("", &[]), @"false: systemd is not installed there");
}

#[test]
fn ignition_ran_with_a_config_of_the_user_or_without() {
    let judge = |said: &str| shown(ignition::judge(said, true));
    // The names of the fields are those that Ignition's users read: provisioningBootID (Fedora CoreOS), provisioningDate
    // (machine-config-operator).
    let result = |provided| {
        format!(
            "@@dryrack result\n{{\"provisioningBootID\": \"a4bb1cbf-0e3a-4d3a-a2c5-3b1e8a2f9b1c\", \
             \"provisioningDate\": \"2024-10-22T01:11:33Z\", \"userConfigProvided\": {provided}}}\n\
             @@dryrack configs\n@@dryrack log\n"
        )
    };
    assert_snapshot!(judge(&result(true)), @"true: finished at 2024-10-22T01:11:33Z, with a config of the user");
    assert_snapshot!(judge(&result(false)), @"false: finished at 2024-10-22T01:11:33Z, but without a config of the user");
    assert_snapshot!(shown(ignition::judge(&result(false), false)), @"true: finished at 2024-10-22T01:11:33Z, without a config of the user");
    // The last lines of Ignition in a journal of Flatcar, as its users publish them, without a result.
    let journal = "INFO     : files: files passed\nINFO     : Ignition finished successfully\n";
    let old = |configs| format!("@@dryrack result\n\n@@dryrack configs\n{configs}@@dryrack log\n{journal}");
    assert_snapshot!(judge(&old("fetched user config from \"cmdline\"\n")), @"true: finished, as the journal says");
    assert_snapshot!(judge(&old("")), @"false: it finished, but without a config of the user");
    assert_snapshot!(judge("@@dryrack result\n\n@@dryrack configs\n@@dryrack log\n"), @"false: it left no result, and nothing in the journal");
    assert_snapshot!(judge(&here(ignition::SCRIPT, &[("PATH", "/usr/bin:/bin")])), @"false: it left no result, and nothing in the journal");
}

#[test]
fn the_command_line_has_some_arguments_and_others_not() {
    let judge = |has: &[&str], without: &[&str]| {
        let said =
            "BOOT_IMAGE=/vmlinuz root=/dev/vda1 ro console=tty0 console=ttyS0,115200 dyndbg=\"file x +p\"\n";
        let list = |list: &[&str]| -> Vec<String> { list.iter().map(|word| (*word).to_owned()).collect() };
        shown(cmdline::judge(said, &list(has), &list(without)))
    };
    assert_snapshot!(judge(&["ro", "console=ttyS0,115200", "root", "dyndbg=file x +p"], &["quiet"]), @"true: the command line is as expected");
    assert_snapshot!(judge(&["console=ttyS1"], &[]), @"false: the command line has no console=ttyS1, but console=tty0");
    assert_snapshot!(judge(&["quiet"], &[]), @"false: the command line has no quiet");
    assert_snapshot!(judge(&[], &["root"]), @"false: the command line has root=/dev/vda1");
    assert_snapshot!(judge(&[], &["root=/dev/sda"]), @"true: the command line is as expected");
    assert_snapshot!(shown(cmdline::judge("", &[], &["x".to_owned()])), @"false: the kernel has no command line, or it cannot be read");
}

#[test]
fn interfaces_are_found_by_mac_address() {
    let nic = |name: &str| NicName::new(name).unwrap();
    let macs = [
        (nic("lan"), Mac::from_str("52:54:00:00:00:01").unwrap()),
        (nic("bmc"), Mac::from_str("52:54:00:00:00:02").unwrap()),
    ];
    let judge = |said: &str, names: &[(&str, &str)]| {
        let names = names.iter().map(|(name, is)| (nic(name), (*is).to_owned())).collect();
        shown(nics::judge(said, &names, &macs.clone().into()))
    };
    let said = "lo 00:00:00:00:00:00\neno1 52:54:00:00:00:01\neno1.5 52:54:00:00:00:01\n";
    assert_snapshot!(judge(said, &[("lan", "eno1")]), @"true: lan is eno1");
    assert_snapshot!(judge(said, &[("lan", "eth0")]), @"false: NIC lan (52:54:00:00:00:01) is eno1, eno1.5, not eth0");
    assert_snapshot!(judge(said, &[("bmc", "eno2")]), @"false: no interface has the address 52:54:00:00:00:02 of NIC bmc");
    assert!(here(nics::SCRIPT, &[]).lines().any(|line| line == "lo 00:00:00:00:00:00"));
}

#[test]
fn a_file_is_looked_at_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("it's @@dryrack missing");
    let plain = || NodeFile { path: path.clone(), exists: true, content: None, mode: None, owner: None };
    let look = |file: &NodeFile| {
        let said = here(&file::script(file), &[]);
        shown(file::judge(&said, file)).replace(&folder.path().display().to_string(), "DIR")
    };
    assert_snapshot!(look(&plain()), @"false: DIR/it's @@dryrack missing does not exist");
    assert_snapshot!(look(&NodeFile { exists: false, ..plain() }), @"true: DIR/it's @@dryrack missing does not exist");
    std::os::unix::fs::symlink("nowhere", &path).unwrap();
    assert_snapshot!(look(&plain()), @"false: DIR/it's @@dryrack missing is a link to nothing");
    std::fs::remove_file(&path).unwrap();
    std::fs::write(&path, "first\n@@dryrack content\nlast\n").unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o640)).unwrap();
    let content = |pattern| Some(Pattern::new(pattern).unwrap());
    let owner = || nix::unistd::User::from_uid(nix::unistd::geteuid()).unwrap().map(|user| user.name);
    let wanted =
        NodeFile { content: content("(?s)^first.*last"), mode: Some(0o640), owner: owner(), ..plain() };
    assert_snapshot!(look(&wanted), @"true: DIR/it's @@dryrack missing is as expected");
    assert_snapshot!(look(&NodeFile { content: content("^second"), ..plain() }), @"false: DIR/it's @@dryrack missing does not match /^second/");
    assert_snapshot!(look(&NodeFile { mode: Some(0o600), ..plain() }), @"false: DIR/it's @@dryrack missing has mode 0640, not 0600");
    assert_snapshot!(look(&NodeFile { exists: false, ..plain() }), @"false: DIR/it's @@dryrack missing exists");
    assert!(look(&NodeFile { owner: Some("nobody:x".to_owned()), ..plain() }).ends_with("not nobody:x"));
    assert_snapshot!(shown(file::judge("", &plain())), @"false: the login works, but no file can be looked for");
}

#[test]
fn what_cannot_be_reached_needs_a_working_program_and_a_living_target() {
    // In place of the ssh server and of the target.
    let ours = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let open = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let connection = format!("127.0.0.1 1 127.0.0.1 {}", ours.local_addr().unwrap().port());
    let tried = |target: &Target, control| {
        let said = here(&unreachable::script(target), &[("SSH_CONNECTION", &connection)]);
        let shown = shown(unreachable::judge(&said, target, control));
        shown
            .replace(&closed.port().to_string(), "CLOSED")
            .replace(&open.local_addr().unwrap().port().to_string(), "OPEN")
    };
    let down = Target::Tcp(closed);
    assert_snapshot!(tried(&Target::Tcp(open.local_addr().unwrap()), None), @"false: bash connects to 127.0.0.1:OPEN");
    assert_snapshot!(tried(&down, Some(Ok(()))), @"true: bash cannot connect to 127.0.0.1:CLOSED, but Dryrack can");
    assert_snapshot!(tried(&down, None), @"true: bash cannot connect to 127.0.0.1:CLOSED");
    assert_snapshot!(tried(&down, Some(Err("port 623 does not answer".to_owned()))), @"false: the node cannot reach 127.0.0.1:CLOSED, but neither can Dryrack: port 623 does not answer");
    // Nothing on the node connects even to its own ssh server.
    drop(ours);
    assert_snapshot!(tried(&down, None), @"false: the node has nothing that connects to its own ssh server (bash, python3, nc), so nothing was tried");
}

#[test]
fn a_url_is_unreachable_if_its_server_refuses_it() {
    let target =
        Target::Url { url: "http://10.0.2.1/secret".to_owned(), host: "10.0.2.1".to_owned(), port: 80 };
    let judge = |said: &str, control| shown(unreachable::judge(said, &target, control));
    assert_snapshot!(judge("@@dryrack fetch\ncurl 200\n@@dryrack how\nbash\n@@dryrack reached\n", None), @"false: curl fetches http://10.0.2.1/secret: status 200");
    assert_snapshot!(judge("@@dryrack fetch\ncurl 403\n@@dryrack how\nbash\n@@dryrack reached\n", None), @"true: http://10.0.2.1/secret answers 403");
    assert_snapshot!(judge("@@dryrack fetch\nwget \n@@dryrack how\nnc\n@@dryrack failed\n", Some(Ok(()))), @"true: nc cannot connect to http://10.0.2.1/secret, but Dryrack can");
    assert_snapshot!(judge("@@dryrack fetch\ncurl 000\n@@dryrack how\nbash\n@@dryrack reached\n", None), @"false: bash connects to port 80 of 10.0.2.1, which does not answer as an HTTP server");
    assert_snapshot!(judge("@@dryrack how\nbash\n@@dryrack failed\n", None), @"false: the node has neither curl nor wget, so nothing was tried");
    assert_snapshot!(judge("@@dryrack fetch\ncurl 000\n@@dryrack how\nnone\n", None), @"false: the node has nothing that connects to its own ssh server (bash, python3, nc), so nothing was tried");
    assert_snapshot!(judge("@@dryrack fetch\ncurl 000\n@@dryrack how\nbash\n", None), @"false: the attempt was not completed");
}

#[test]
fn a_script_survives_every_shell() {
    assert_eq!(here("printf '%s' \"it's $((1 + 1))\"", &[]), "it's 2");
}
