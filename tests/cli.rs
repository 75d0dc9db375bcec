//! The command line: transcripts of commands that need no machine.

#![expect(clippy::disallowed_methods, reason = "a test waits on the clock and starts what it needs")]

#[expect(dead_code, reason = "each test binary uses a part of it")]
mod common;

use std::fs::{self, File};
use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use common::{Home, labs, run, stderr, stdout};
use insta::assert_snapshot;
use nix::pty::{Winsize, openpty};
use serde_json::Value;

/// Runs `dryrack` in the home's folder; returns both outputs and the exit code.
fn check(home: &Home, args: &[&str]) -> String {
    let mut command = home.dryrack(args.iter().copied());
    let output = run(command.current_dir(home.path()).env_remove("COLUMNS"));
    let mut text = stdout(&output);
    if !output.stderr.is_empty() {
        text.extend(["--- stderr\n", &stderr(&output)]);
    }
    if let Some(code) = output.status.code().filter(|code| *code != 0) {
        text.extend(["--- exit code ", &code.to_string(), "\n"]);
    }
    text.replace(&home.path().display().to_string(), "[HOME]")
}

/// Runs `dryrack`, which must succeed, and returns its standard output as JSON.
fn json(home: &Home, args: &[&str]) -> Value {
    let output = run(home.dryrack(args.iter().copied()).current_dir(home.path()));
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{args:?}: {error}"))
}

/// Returns the subcommands in the help.
fn verbs(home: &Home) -> Vec<String> {
    let help = check(home, &["--help"]);
    let (_, verbs) = help.split_once("Commands:\n").expect("a list of verbs");
    let (verbs, _) = verbs.split_once("\n\n").expect("an end of the list");
    let verbs = verbs.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    verbs.map(|line| line.trim().split(' ').next().expect("a verb").to_owned()).collect()
}

/// A lab with three errors.
const WRONG: &str = r#"dryrack = 1
name = "wrong"

[network.lan]
address = "10.0.0.1/24"

[profile.tiny]
kernel = "image:tiny/kernel"

[node.a]
profile = "tiny"
nic.lan = { address = "10.0.1.7" }
memroy = "1GiB"

[node.b]
profile = "tinny"
"#;

#[test]
fn a_slip_of_the_command_line_is_said_with_a_hint() {
    let home = Home::new();
    assert_snapshot!(check(&home, &["chekc"]), @r"
    --- stderr
    error: unrecognized subcommand 'chekc'

      tip: some similar subcommands exist: 'schema', 'check'

    Usage: dryrack <COMMAND>

    For more information, try '--help'.
    --- exit code 2
    ");
    assert_snapshot!(check(&home, &["check", "--jsn"]), @"
    --- stderr
    error: unexpected argument '--jsn' found

      tip: a similar argument exists: '--json'

    Usage: dryrack check --json [LAB]...

    For more information, try '--help'.
    --- exit code 2
    ");
    assert_snapshot!(check(&home, &["power", "explode", "a"]), @"
    --- stderr
    error: invalid value 'explode' for '<ACTION>'
      [possible values: on, off, cycle, reset, nmi]

    For more information, try '--help'.
    --- exit code 2
    ");
    assert_snapshot!(check(&home, &["console", "No-Node"]), @r"
    --- stderr
    error: invalid value 'No-Node' for '<NODE>': `No-Node` is not a valid name: `N` is not a lower-case letter, a digit or a dash

    For more information, try '--help'.
    --- exit code 2
    ");
}

#[test]
fn without_a_verb_there_is_help() {
    let home = Home::new();
    let output = run(&mut home.dryrack([]));
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("Usage: dryrack <COMMAND>"));
}

#[test]
fn the_help_names_every_verb() {
    let home = Home::new();
    assert_snapshot!(check(&home, &["-h"]), @"
    Rehearses bare metal: builds a rack of netbooting machines from one TOML file and tests whether it
    becomes ready

    Usage: dryrack <COMMAND>

    Commands:
      init          Write a small commented lab to start from
      import        Make a lab of configuration files of other programs
      lint          Find in configuration files of other programs what is known to break boots
      check         Report all errors in lab files, with line numbers
      plan          Show the steps to bring labs up on this host, without changing anything
      up            Bring a lab up; Ctrl-C tears it down
      down          Tear a lab down
      status        Show the state of labs that are up
      wait          Wait until expectations of a lab are decided
      test          Bring labs up, check their expectations, tear them down
      console       Attach to a node's serial console; Ctrl-] detaches
      power         Power nodes on or off, cycle or reset them
      boot          Override what nodes boot from, once or at every start
      boot-next     Override what a node boots from at its next start
      bmc           Speak to a BMC by IPMI over LAN: of a node in a lab, or of any machine
      bmc-list      Print the BMCs of a lab for a program that uses them
      media         Insert an image into a drive of a node, or eject it
      link          Set the link of a node's NIC up or down
      fault         Let something go wrong with nodes on purpose
      screen        Type on the keyboard of a node, or print where a VNC viewer connects
      screenshot    Save a screenshot of a node as PNG, or print the text on its screen
      capture       Capture the frames of a network or a node, as pcapng for Wireshark; Ctrl-C ends the
                    capture
      kubeconfig    Print the kubeconfig of the Kubernetes cluster in a lab, for use on this machine
      exec          Run a command in the network of a lab
      ssh           Log in to a node over ssh
      ssh-config    Print an ssh configuration for ssh, scp and rsync to the nodes of a lab
      logs          Show serial console output, output of processes and syslog messages of a lab
      trace         Show the timeline of a run: stages, and what was asked and answered
      diff          Compare what the nodes of two runs asked and what was answered
      explain-pcap  Show what a capture of a network says about the machines that booted there
      report        Show the report of a run
      runs          List runs, or remove old ones
      matchbox      Serve a data directory as a drop-in replacement for matchbox
      doctor        Check whether this host can run labs, and how to fix what is missing
      image         List, build and prune the images that nodes boot
      tls           Create certificates for matchbox's gRPC
      profile       List, show, create or delete the profiles of a matchbox
      group         List, show, create or delete the groups of a matchbox
      ignition      Show, create or delete the Ignition configs and Butane templates of a matchbox
      generic       Show, create or delete the generic templates of a matchbox
      schema        Print the JSON Schema of the lab file, with every key and its default
      guide         Print a guide, as in `dryrack guide networks`, or list the topics
      explain       Explain a diagnostic (`L105`), a key of the lab file (`node.disk`), or what a
                    machine printed
      completions   Print the completion script of a shell
      man           Print a manual page, or write all of them into a folder

    Options:
      -h, --help     Print help (see more with '--help')
      -V, --version  Print version
    ");
    for verb in verbs(&home) {
        let help = check(&home, &[&verb, "--help"]);
        // It has the flags and help of another program.
        if verb == "matchbox" {
            assert!(help.contains("Usage of dryrack matchbox:\n  -address string"), "{help}");
            continue;
        }
        assert!(help.contains(&format!("Usage: dryrack {verb}")), "{verb}: {help}");
        assert!(help.lines().all(|line| line.chars().count() <= 100), "{verb}: {help}");
    }
}

#[test]
fn a_new_lab_has_nothing_wrong() {
    let home = Home::new();
    assert_snapshot!(check(&home, &["init", "new"]), @"
    --- stderr
    wrote new/lab.toml, and lab.schema.json for editors

    next: `dryrack check new`, then `dryrack up new`
    ");
    assert_snapshot!(check(&home, &["check", "new"]), @r"
    --- stderr
    [HOME]/new/lab.toml: no problems found
    ");
    assert_snapshot!(check(&home, &["check", "new/lab.toml", "--json"]), @"[]");
    assert_snapshot!(check(&home, &["init", "new"]), @r"
    --- stderr
    error: cannot write new/lab.toml: File exists (os error 17)

    hint: choose another folder, or edit the existing file
    --- exit code 2
    ");
    // A refusal changes nothing, and a schema that is there is used.
    let file = |name: &str| home.path().join("new").join(name);
    fs::remove_file(file("lab.schema.json")).expect("a schema");
    check(&home, &["init", "new"]);
    assert!(!file("lab.schema.json").exists());
    fs::write(file("lab.schema.json"), "{}").expect("a file");
    check(&home, &["init", "new"]);
    fs::remove_file(file("lab.toml")).expect("a lab file");
    let written = check(&home, &["init", "new"]);
    assert!(written.contains("wrote new/lab.toml; kept the existing lab.schema.json\n"), "{written}");
    assert_eq!(fs::read_to_string(file("lab.schema.json")).expect("a schema"), "{}");
}

#[test]
fn a_new_lab_is_called_like_its_folder() {
    let home = Home::new();
    for (folder, name) in [("new", "new"), ("My Rack (2)", "my-rack--2"), ("ä", "lab")] {
        check(&home, &["init", folder]);
        let text = fs::read_to_string(home.path().join(folder).join("lab.toml")).expect("a lab");
        assert!(text.contains(&format!("\nname = \"{name}\" ")), "{text}");
        assert_eq!(json(&home, &["plan", "--json", folder, "--set", "accel=\"tcg\""])["lab"], name);
    }
}

#[test]
fn a_lab_is_looked_for_here() {
    let home = Home::new();
    assert_snapshot!(check(&home, &["check"]), @r"
    --- stderr
    error: cannot read ./lab.toml: No such file or directory (os error 2)

    hint: name a lab file, or a folder with a `lab.toml`; `dryrack init` writes one
    --- exit code 2
    ");
    assert_snapshot!(check(&home, &["init"]), @"
    --- stderr
    wrote ./lab.toml, and lab.schema.json for editors

    next: `dryrack check .`, then `dryrack up .`
    ");
    assert_snapshot!(check(&home, &["check"]), @r"
    --- stderr
    [HOME]/lab.toml: no problems found
    ");
}

#[test]
fn everything_that_is_wrong_is_said_at_its_place() {
    let home = Home::new();
    home.lab("wrong", WRONG);
    assert_snapshot!(check(&home, &["check", "wrong.toml"]), @r#"
    error[L103]: 10.0.1.7 lies outside network `lan`, 10.0.0.0/24
      --> wrong.toml:12:23
       |
     5 | address = "10.0.0.1/24"
       |           ------------- the network
    ...
    12 | nic.lan = { address = "10.0.1.7" }
       |                       ^^^^^^^^^^
       |
       = help: its host addresses are 10.0.0.1 to 10.0.0.254

    error[L007]: unknown key `memroy`
      --> wrong.toml:13:1
       |
    13 | memroy = "1GiB"
       | ^^^^^^
       |
       = help: did you mean `memory`?

    error[L304]: there is no profile `tinny`
      --> wrong.toml:16:11
       |
    16 | profile = "tinny"
       |           ^^^^^^^
       |
       = help: did you mean `tiny`?

    3 errors; for more, run `dryrack explain L103`
    --- exit code 2
    "#);
    assert_snapshot!(check(&home, &["up", "wrong.toml", "--set", "node.b.memory=12"]), @r#"
    --- stderr
    error[L103]: 10.0.1.7 lies outside network `lan`, 10.0.0.0/24
      --> wrong.toml:12:23
       |
     5 | address = "10.0.0.1/24"
       |           ------------- the network
    ...
    12 | nic.lan = { address = "10.0.1.7" }
       |                       ^^^^^^^^^^
       |
       = help: its host addresses are 10.0.0.1 to 10.0.0.254

    error[L007]: unknown key `memroy`
      --> wrong.toml:13:1
       |
    13 | memroy = "1GiB"
       | ^^^^^^
       |
       = help: did you mean `memory`?

    error[L304]: there is no profile `tinny`
      --> wrong.toml:16:11
       |
    16 | profile = "tinny"
       |           ^^^^^^^
       |
       = help: did you mean `tiny`?

    error[L008]: `memory` must be a size like "512MiB" or "4GiB", not the number 12
     --> --set:1:15
      |
    1 | node.b.memory=12
      |               ^^
      |
      = help: add quotes

    4 errors; for more, run `dryrack explain L103`
    --- exit code 2
    "#);
    assert!(!home.path().join("runs").exists(), "a lab that is wrong has no run");
}

#[test]
fn several_labs_are_checked_and_planned_at_once() {
    let home = Home::new();
    home.lab("wrong", WRONG);
    check(&home, &["init", "one"]);
    check(&home, &["init", "two"]);
    let said = check(&home, &["check", "one", "wrong.toml", "none", "two"]);
    assert!(said.starts_with("error[L103]: ") && said.ends_with("--- exit code 2\n"), "{said}");
    for lab in ["one", "two"] {
        assert!(said.contains(&format!("[HOME]/{lab}/lab.toml: no problems found\n")), "{said}");
    }
    assert!(said.contains("error: cannot read none: "), "{said}");
    let output = run(home.dryrack(["check", "--json", "one", "wrong.toml"]).current_dir(home.path()));
    let list: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((list.as_array().map(Vec::len), &list[0]["file"]), (Some(3), &"wrong.toml".into()));
    let unreadable = check(&home, &["check", "--json", "one", "none", "wrong.toml"]);
    assert!(
        unreadable.starts_with("--- stderr\n") && unreadable.ends_with("--- exit code 2\n"),
        "{unreadable}"
    );
    let tcg = ["--set", "accel=\"tcg\""];
    let plans = check(&home, &[&["plan", "one", "two"][..], &tcg].concat());
    assert!(plans.starts_with("lab one, ") && plans.contains("\n\nlab two, "), "{plans}");
    let plans = json(&home, &[&["plan", "--json", "one", "two"][..], &tcg].concat());
    assert_eq!((&plans[0]["lab"], &plans[1]["lab"]), (&"one".into(), &"two".into()));
    let refused = check(&home, &["plan", "--json", "one", "none", "--set", "accel=\"tcg\""]);
    assert!(refused.starts_with("--- stderr\n") && refused.ends_with("--- exit code 2\n"), "{refused}");
}

#[test]
fn programs_read_what_is_wrong_as_json() {
    let home = Home::new();
    home.lab("wrong", WRONG);
    let output = run(home.dryrack(["check", "--json", "wrong.toml"]).current_dir(home.path()));
    assert_eq!(output.status.code(), Some(2));
    let list: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_snapshot!(serde_json::to_string_pretty(&list[0]).expect("text"), @r#"
    {
      "code": "L103",
      "severity": "error",
      "file": "wrong.toml",
      "line": 12,
      "column": 23,
      "end_line": 12,
      "end_column": 33,
      "message": "10.0.1.7 lies outside network `lan`, 10.0.0.0/24",
      "help": "its host addresses are 10.0.0.1 to 10.0.0.254",
      "related": [
        {
          "file": "wrong.toml",
          "line": 5,
          "column": 11,
          "end_line": 5,
          "end_column": 24,
          "label": "the network"
        }
      ]
    }
    "#);
    assert_eq!(list.as_array().map(Vec::len), Some(3));
}

#[test]
fn overlays_and_single_keys_are_laid_over_a_lab() {
    let home = Home::new();
    check(&home, &["init", "new"]);
    home.lab("more", "[node.old]\nmemory = \"1KiB\"\n");
    assert_snapshot!(check(&home, &["check", "new", "--on", "more.toml"]), @r#"
    error[L201]: `old` cannot boot with 1KiB
     --> more.toml:2:10
      |
    2 | memory = "1KiB"
      |          ^^^^^^
      |
      = help: a BIOS node needs at least 64MiB

    1 error; for more, run `dryrack explain L201`
    --- exit code 2
    "#);
    assert_snapshot!(check(&home, &["check", "new", "--on", "more.toml", "--set", "node.old.memory=256MiB"]), @r"
    --- stderr
    [HOME]/new/lab.toml: no problems found
    ");
    assert_snapshot!(check(&home, &["check", "new", "--on", "none.toml"]), @r"
    --- stderr
    error: cannot read none.toml: No such file or directory (os error 2)

    hint: name a lab file, or a folder with a `lab.toml`; `dryrack init` writes one
    --- exit code 2
    ");
}

#[test]
fn the_labs_of_the_house_have_nothing_wrong() {
    let home = Home::new();
    // The schema is in the same folder.
    let labs = fs::read_dir(labs()).expect("labs").flatten();
    let labs = labs.filter(|entry| entry.path().join("lab.toml").exists());
    for lab in labs {
        let path = lab.path().display().to_string();
        assert_eq!(json(&home, &["check", "--json", &path]), Value::Array(Vec::new()), "{path}");
    }
}

#[test]
fn no_file_is_too_odd_to_be_checked() {
    let home = Home::new();
    let deep = format!("a = {}1{}", "[".repeat(20_000), "]".repeat(20_000));
    let large = "# nothing\n".repeat(1 << 20);
    let odd: [(&str, &[u8]); 6] = [
        ("empty", b""),
        ("binary", b"\x7fELF\x02\x01\x00\xff\xfe"),
        ("deep", deep.as_bytes()),
        ("large", large.as_bytes()),
        ("types", b"dryrack = []\nnode = 7\nnetwork = \"a\"\nexpect = [[]]\n"),
        ("torn", b"[node.a"),
    ];
    for (name, bytes) in odd {
        let path = home.path().join(name);
        fs::write(&path, bytes).expect("a file");
        let output = run(home.dryrack(["check"]).arg(&path));
        assert_eq!(output.status.code(), Some(2), "{name}: {}", stderr(&output));
        assert!(stdout(&output).contains("error[L0"), "{name}: {}", stdout(&output));
    }
    assert_snapshot!(check(&home, &["check", "no/such"]), @r"
    --- stderr
    error: cannot read no/such: No such file or directory (os error 2)

    hint: name a lab file, or a folder with a `lab.toml`; `dryrack init` writes one
    --- exit code 2
    ");
    assert_snapshot!(check(&home, &["plan", "binary"]), @r"
    --- stderr
    error[L002]: `binary` is not text: line 1 has a byte that is not UTF-8 (byte 8 of the line)
     |
     = help: a lab file is TOML in UTF-8; is this the right file?

    1 error; for more, run `dryrack explain L002`
    --- exit code 2
    ");
}

#[test]
fn what_a_machine_printed_is_explained() {
    let home = Home::new();
    assert_snapshot!(check(&home, &["explain", "040ee119"]));
    assert_snapshot!(check(&home, &["explain", "pxe-e23"]));
    assert_snapshot!(check(&home, &["explain", "  NBP filesize is 0 Bytes"]));
    assert_snapshot!(check(
        &home,
        &["explain", "Could not boot image: Exec format error (https://ipxe.org/2e008081)"]
    ));
    assert_snapshot!(check(&home, &["explain", "tftp-not-found"]));
    assert!(
        check(&home, &["explain", "first-missing"]).starts_with("first-missing\n\nNo failure that is known")
    );
    let all = check(&home, &["explain", "findings"]);
    assert!(all.lines().count() > 100 && all.contains("no-dhcp-answer  "), "{all}");
}

#[test]
fn guides_are_listed_and_printed() {
    let home = Home::new();
    assert_snapshot!(check(&home, &["guide"]), @"
    lab-file         The lab file
    networks         Networks and boot services
    images           Images
    installs         Installs
    media            Media
    boot-paths       Boot paths
    bmc              A BMC for your lab
    matchbox         matchbox
    processes        Processes
    hosts            Run your own servers
    expectations     Expectations
    kubernetes       Kubernetes
    lives            Lives of labs
    findings         Findings
    faults           Faults
    ci               Continuous integration
    without-root     Without root
    traces           Traces
    import           From dnsmasq.conf to a lab
    troubleshooting  Troubleshooting
    ");
    let page = check(&home, &["guide", "boot-paths"]);
    assert!(page.starts_with("# Boot paths\n\n") && !page.contains("<!--"), "{page}");
    assert_snapshot!(check(&home, &["guide", "labs"]), @"
    --- stderr
    error: invalid value 'labs' for '[TOPIC]'
      [possible values: lab-file, networks, images, installs, media, boot-paths, bmc, matchbox, processes, hosts, expectations, kubernetes, lives, findings, faults, ci, without-root, traces, import, troubleshooting]

      tip: a similar value exists: 'lab-file'

    For more information, try '--help'.
    --- exit code 2
    ");
}

#[test]
fn codes_are_explained() {
    let home = Home::new();
    let page = check(&home, &["explain", "l105"]);
    assert!(page.starts_with("L105: two NICs have the same address\n\n"), "{page}");
    assert!(page.contains("```toml"), "{page}");
    assert_snapshot!(check(&home, &["explain", "L999"]), @r"
    --- stderr
    error: unknown code `L999`

    hint: `dryrack explain` lists every code
    --- exit code 2
    ");
    let all = check(&home, &["explain"]);
    for line in all.lines() {
        let (number, title) = line.split_once("  ").expect("number and title");
        assert!(check(&home, &["explain", number]).starts_with(&format!("{number}: {title}\n\n")), "{line}");
    }
    assert!(all.lines().count() > 50, "{all}");
}

#[test]
fn keys_are_explained() {
    let home = Home::new();
    assert_snapshot!(check(&home, &["explain", "node.db.disk"]), @r#"
    node.NAME.disk

    Disks by name.

    type     table
    default  none
    example  node.big.disk = { root = { size = "10GB", bus = "nvme", serial = "ROOT", source =
             "image:debian/disk" }, data = { size = "1TiB", bus = "scsi" }, key = { size = "4GiB",
             bus = "usb", source = "files/stick.img" } }

    key     what it is
    size    Its size. Required.
    bus     How it is attached. Default: virtio.
    serial  Its serial number, at most 20 ASCII characters. Default: derived from lab, node and disk
            name.
    source  Initial contents: `image:NAME/FILE`, or a path relative to the lab's folder. Default:
            blank.
    keep    Whether it survives the lab, and is used again the next time that the lab is up.
            `source` then counts only when it is created. Default: false.
    "#);
    assert_snapshot!(check(&home, &["explain", "node.disk.bus"]), @r#"
    node.NAME.disk.NAME.bus

    How it is attached.

    type     "virtio", "sata", "scsi", "nvme" or "usb"
    default  virtio
    example  node.big.disk.root.bus = "nvme"

      "virtio"  virtio-blk.
      "sata"    AHCI.
      "scsi"    virtio-scsi.
      "nvme"    NVMe.
      "usb"     A USB stick, which can be unplugged.
    "#);
    assert_snapshot!(check(&home, &["explain", "expect.never.tcp"]), @"
    expect.NAME.that.tcp

    A TCP port accepts connections: `tcp = 22`.

    type     integer, 0 to 65535 or table
    default  none
    example  expect.tcp.that.tcp = { port = 22 }

    key   what it is
    port  The port. Required.
    ");
    assert_snapshot!(check(&home, &["explain", "nodes"]), @"
    --- stderr
    error: `nodes` is no code, no key of the lab file, and no sign of a failure that is known

    hint: keys of this name: `expect.NAME.nodes`, `expect.NAME.that.kubernetes.nodes`, `action.NAME.nodes`, `fault.NAME.nodes`
    --- exit code 2
    ");
    let all = check(&home, &["explain", "keys"]);
    for key in ["network.NAME.dhcp.server.pool", "node.NAME.disk.NAME.size", "expect.NAME.that.http.status"] {
        assert!(all.lines().any(|line| line.starts_with(&format!("{key}  "))), "{key}: {all}");
    }
}

#[test]
fn the_schema_knows_the_keys_of_a_lab() {
    let home = Home::new();
    let schema = json(&home, &["schema"]);
    assert_eq!(schema["title"], "Dryrack lab");
    for key in ["dryrack", "name", "network", "profile", "node", "publish", "expect", "remove"] {
        assert!(schema["properties"].get(key).is_some(), "{key}");
    }
}

#[test]
fn a_plan_is_the_same_every_time() {
    let home = Home::new();
    check(&home, &["init", "new"]);
    let plan = || check(&home, &["plan", "new", "--set", "accel=\"tcg\""]);
    let text = plan();
    assert!(text.starts_with("lab new, ") && text.contains("\n   1  "), "{text}");
    assert!(text.trim_end().ends_with("power on old"), "{text}");
    assert_eq!(plan(), text);
    let value = json(&home, &["plan", "--json", "new", "--set", "accel=\"tcg\""]);
    assert_eq!(value["lab"], "new");
    let steps = value["steps"].as_array().expect("steps");
    assert!(text.starts_with(&format!("lab new, {} steps, machines under tcg\n", steps.len())), "{text}");
    assert!(!home.path().join("runs").exists(), "a plan changes nothing");
}

#[test]
fn a_lab_that_this_host_cannot_run_is_refused() {
    let home = Home::new();
    check(&home, &["init", "new"]);
    let refused =
        check(&home, &["plan", "new", "--set", "node.old.memory=\"4096GiB\"", "--set", "accel=\"tcg\""]);
    assert!(refused.contains("error: the nodes need 4194816MiB of memory, but this host has "), "{refused}");
    assert!(refused.contains("\n\nhint: reduce the memory of nodes"), "{refused}");
    assert!(refused.ends_with("--- exit code 3\n"), "{refused}");
}

#[test]
fn shells_complete_verbs_runs_images_codes_and_keys() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = check(&home, &["completions", shell]);
        assert!(script.contains("_DRYRACK_COMPLETE"), "{shell}: {script}");
        // If the shell is installed, it must parse its script.
        let path = home.path().join(shell);
        fs::write(&path, &script).expect("a file");
        if shell == "bash" {
            let read = run(Command::new("bash").arg("-n").arg(&path));
            assert!(read.status.success(), "{}", stderr(&read));
        }
    }
    let known = home.completed(&["dryrack", ""]);
    for verb in verbs(&home) {
        assert!(known.contains(&verb), "{verb}: {known:?}");
    }
    assert!(!known.iter().any(|word| word.contains('@')), "{known:?}");
    // As bash does it.
    let path = std::env::var("PATH").expect("a PATH");
    let folder = Path::new(common::DRYRACK).parent().expect("a folder").display().to_string();
    let script = "source ./bash; COMP_WORDS=(dryrack che); COMP_CWORD=1; COMP_TYPE=9; _clap_complete_dryrack dryrack che dryrack; \
                  echo \"${COMPREPLY[@]}\"";
    let mut bash = home.command("bash");
    let bash = bash.args(["-c", script]).env("PATH", format!("{folder}:{path}")).current_dir(home.path());
    let shown = run(bash);
    assert_eq!(stdout(&shown).trim(), "check", "{}", stderr(&shown));

    record(&home, "20261121-093403-etcd", EVENTS, Some(REPORT));
    assert_eq!(home.completed(&["dryrack", "trace", "2"]), ["20261121-093403-etcd"]);
    assert_eq!(home.completed(&["dryrack", "report", "e"]), ["etcd"]);
    assert_eq!(home.completed(&["dryrack", "image", "build", "pxe"]), ["pxelinux"]);
    assert_eq!(home.completed(&["dryrack", "explain", "L105"]), ["L105"]);
    assert_eq!(
        home.completed(&["dryrack", "explain", "node.NAME.disk.NAME.si"]),
        ["node.NAME.disk.NAME.size"]
    );
    check(&home, &["init", "mine"]);
    assert_eq!(home.completed(&["dryrack", "status", "mi"]), ["mine/"]);
}

#[test]
fn there_is_a_manual_page_for_each_verb() {
    let home = Home::new();
    check(&home, &["man", "--into", "man"]);
    let mut expected: Vec<String> =
        verbs(&home).into_iter().map(|verb| format!("dryrack-{verb}.1")).collect();
    expected.extend(["dryrack.1".to_owned(), "dryrack-lab.5".to_owned()]);
    for name in expected {
        let path = home.path().join("man").join(&name);
        let page = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(page.contains(".TH ") && page.contains(".SH NAME"), "{name}: {page}");
    }
    let main = check(&home, &["man"]);
    assert!(main.contains("Exit codes:") && main.contains("DRYRACK_STATE"), "{main}");
    let lab = check(&home, &["man", "lab"]);
    assert!(lab.contains("node.NAME.disk.NAME.size") && lab.contains("Example: "), "{lab}");
    // groff reports errors in a page.
    let pages = fs::read_dir(home.path().join("man")).expect("pages").flatten().map(|entry| entry.path());
    let groff = run(Command::new("groff").args(["-man", "-Tutf8", "-ww", "-z"]).args(pages));
    assert!(groff.status.success() && groff.stderr.is_empty(), "{}", stderr(&groff));
}

#[test]
fn verbs_of_a_running_lab_say_that_there_is_none() {
    let home = Home::new();
    check(&home, &["init", "new"]);
    assert_snapshot!(check(&home, &["status"]), @r"
    --- stderr
    no lab is up
    ");
    assert_snapshot!(check(&home, &["status", "--json"]), @"[]");
    for args in [
        &["down"][..],
        &["console", "a"],
        &["power", "on", "a"],
        &["link", "up", "a"],
        &["fault", "a", "dhcp=drop"],
        &["fault", "a", "--end"],
        &["screenshot", "a"],
        &["exec", "--", "true"],
        &["exec", "true"],
        &["ssh", "a"],
        &["ssh", "a", "uname", "-a"],
        &["ssh", "root@a", "-v", "--", "true"],
        &["wait"],
        &["wait", "--timeout", "1s"],
        &["capture", "lan"],
        &["screen", "a", "--vnc"],
        &["ssh-config"],
        &["logs"],
    ] {
        let said = check(&home, args);
        assert!(
            said.starts_with("--- stderr\nerror: no lab is up\n\nhint: start it with `dryrack up LAB`"),
            "{said}"
        );
        assert!(said.ends_with("--- exit code 2\n"), "{args:?}: {said}");
    }
    assert_snapshot!(check(&home, &["down", "new"]), @r"
    --- stderr
    error: lab new is not up

    hint: start it with `dryrack up LAB`
    --- exit code 2
    ");
}

#[test]
fn images_are_listed_and_misspelt_ones_named() {
    let home = Home::new();
    let list = json(&home, &["image", "list", "--json"]);
    // Container images are those that other tests fetched.
    let recipes = list.as_array().expect("a list").iter().filter(|one| one["state"] != "fetched");
    let names: Vec<&str> = recipes.filter_map(|one| one["image"].as_str()).collect();
    assert_eq!(
        names,
        [
            "debian",
            "debian-installer",
            "dnsmasq",
            "dnsmasq-container",
            "etcd",
            "grub",
            "installer",
            "ipxe",
            "kubernetes",
            "live",
            "metal",
            "pxelinux",
            "shim",
            "tiny",
            "tiny-disk",
            "uki"
        ]
    );
    assert!(list[0]["state"] == "built" || list[0]["state"] == "unbuilt", "{list}");
    assert_snapshot!(check(&home, &["image", "build", "tinny"]), @r"
    --- stderr
    error: there is no image `tinny`

    hint: did you mean `tiny`?
    --- exit code 2
    ");
    assert_snapshot!(check(&home, &["image", "list", "--images", "none"]), @r"
    --- stderr
    error: cannot read none: No such file or directory (os error 2)

    hint: `--images` takes a folder of recipes: DIR/NAME/recipe.toml
    --- exit code 2
    ");
}

#[test]
fn an_image_of_files_is_built_and_pruned() {
    let home = Home::new();
    let recipe = home.path().join("images/mine/recipe.toml");
    fs::create_dir_all(recipe.parent().expect("a folder")).expect("a folder");
    fs::write(home.path().join("images/mine/vmlinuz"), "kernel").expect("a file");
    fs::write(&recipe, "about = \"my own\"\nfiles.kernel.path = \"vmlinuz\"\n").expect("a recipe");
    let cache = home.path().join("cache");
    let image = |args: &[&str]| {
        let args = ["image"].into_iter().chain(args.iter().copied()).chain(["--images", "images"]);
        let output = run(home.dryrack(args).env("DRYRACK_CACHE", &cache).current_dir(home.path()));
        assert!(output.status.success(), "{}", stderr(&output));
        stdout(&output)
    };
    let built = image(&["build", "mine"]);
    assert_eq!(fs::read_to_string(built.trim()).expect("the file that was named"), "kernel");
    let again: Value = serde_json::from_str(&image(&["build", "--json", "mine"])).expect("JSON");
    assert_eq!(again[0]["files"]["kernel"]["size"], 6);
    assert!(
        image(&["list"])
            .lines()
            .any(|line| line.split_whitespace().take(2).eq(["mine", "built"]) && line.ends_with("my own"))
    );
    fs::write(home.path().join("images/mine/vmlinuz"), "kernel 2").expect("a file");
    fs::write(&recipe, "about = \"my own\"\nfiles.kernel.path = \"vmlinuz\"\nfiles.k.path = \"vmlinuz\"\n")
        .expect("a recipe");
    let pruned: Value = serde_json::from_str(&image(&["prune", "--json"])).expect("JSON");
    assert!(pruned.as_array().is_some_and(|gone| !gone.is_empty()), "{pruned}");
    assert!(!Path::new(built.trim()).exists());
}

/// Writes the run folder of a run that has ended.
fn record(home: &Home, id: &str, events: &str, report: Option<&str>) {
    let folder = home.path().join("runs").join(id);
    fs::create_dir_all(&folder).expect("a folder");
    fs::write(folder.join("events.jsonl"), events).expect("a file");
    if let Some(report) = report {
        fs::write(folder.join("report.json"), report).expect("a file");
    }
}

const EVENTS: &str = r#"{"dryrack_events":1,"version":"0.1.0","started":"2026-11-21T09:34:03Z"}
{"at":1000000,"wall":"2026-11-21T09:34:03Z","kind":"run-started","fields":{"lab":"etcd","accel":"tcg"}}
{"at":2000000,"wall":"2026-11-21T09:34:03Z","node":"a","kind":"powered-on","fields":{}}
{"at":900000000,"wall":"2026-11-21T09:34:03.9Z","node":"a","kind":"console-line","fields":{"text":"Linux version 6.1"}}
{"at":950000000,"wall":"2026-11-21T09:34:03.9Z","node":"b","kind":"from-the-future","fields":{"x":1}}
{"at":990000000,"wall":"2026-11-21T09:"#;

const REPORT: &str = r#"{
  "schema": 1, "version": "0.1.0", "run": "20261121-093403-etcd", "lab": "etcd", "file": "/labs/etcd/lab.toml",
  "accel": "tcg", "started": "2026-11-21T09:34:03Z", "ended": 61000000000, "exit": 1,
  "verdicts": [{
    "expect": "up", "node": "a", "what": "stage os within 1m", "since": 1000000000, "outcome": "missed",
    "at": 61000000000, "why": "os was not reached within 1m (it is at kernel)",
    "seen": [{ "of": "last seen:", "what": "console line `Linux version 6.1`", "at": 900000000 }]
  }],
  "nodes": { "a": {
    "stage": "kernel", "boots": 1, "address": null, "timeline": [["firmware", 2000000], ["kernel", 900000000]],
    "booted": [],
    "last": { "at": 900000000, "what": "console line `Linux version 6.1`" }
  } },
  "errors": [], "leaks": [], "parts": { "qemu": "7.2.22" }
}"#;

#[test]
fn runs_are_kept_and_shown() {
    let home = Home::new();
    assert_snapshot!(check(&home, &["trace"]), @r"
    --- stderr
    error: there is no run yet in [HOME]/runs

    hint: `dryrack test LAB` makes one; DRYRACK_STATE says where they are kept
    --- exit code 2
    ");
    assert_snapshot!(check(&home, &["runs"]), @"run  lab  ended  size");
    record(&home, "20261121-093403-etcd", EVENTS, Some(REPORT));
    record(&home, "20261121-100000-quick", EVENTS, None);
    assert_snapshot!(check(&home, &["trace", "etcd", "--events"]), @r#"
    started 2026-11-21T09:34:03Z by dryrack 0.1.0

        0.001     run              started lab etcd under tcg
        0.002  a  power            powered on
        0.002  a  stage            ▶ firmware
        0.900  a  console          Linux version 6.1
        0.900  a  stage            ▶ kernel
        0.900  a  boot             ▶ booted from its disk: `Linux version 6.1`
        0.950  b  from-the-future  {"x":1}

    the last line is incomplete: the run was killed while writing it
    "#);
    assert_snapshot!(check(&home, &["trace", "etcd"]), @r#"
    etcd under tcg, started 2026-11-21 09:34:03 UTC by dryrack 0.1.0: no end recorded, 0.9s so far

    a: booted from its disk: `Linux version 6.1`
        0.002   898 ms  firmware
        0.900   50 ms…  kernel
        0.900             console last line `Linux version 6.1`

    b: no boot seen
        0.950             from-the-future {"x":1}

    the last line is incomplete: the run was killed while writing it
    "#);
    assert_snapshot!(check(&home, &["trace", "etcd", "--critical-path"]), @"
    950 ms from the start of the lab until the end of the run

        0.000     2 ms    0.2%  lab  wait: before the first event
        0.002   898 ms   94.5%  a    firmware
        0.900    50 ms    5.3%  a    kernel
    ");
    // A run that has ended is shown to its end.
    assert_snapshot!(check(&home, &["trace", "etcd", "--follow"]), @r#"
    0.001    run     started lab etcd under tcg
    0.002  a  ▶ firmware
    0.900  a  ▶ kernel (firmware took 898 ms)
    0.900  a  ▶ booted from its disk: `Linux version 6.1`
    0.950  b  from-the-future {"x":1}
    "#);
    assert_snapshot!(check(&home, &["trace", "etcd", "--follow", "--json"]), @"
    --- stderr
    error: a timeline is JSON only as a whole

    hint: `--follow --events --json` prints events as JSON
    --- exit code 2
    ");
    let path = json(&home, &["trace", "etcd", "--critical-path", "--json"]);
    assert_eq!(path["links"][0]["kind"], "wait");
    let timeline = json(&home, &["trace", "etcd", "--json"]);
    assert_eq!(timeline["nodes"]["a"]["boots"][0]["stages"][1]["stage"], "kernel");
    assert_snapshot!(check(&home, &["logs", "--run", "etcd", "a"]), @"    0.900  a         Linux version 6.1");
    assert_snapshot!(check(&home, &["report", "20261121-093403-etcd"]), @"
      node  stage     boots  address  stages
      a     kernel        1           firmware 0s, kernel 0.9s
                                      last seen: console line `Linux version 6.1`, 1m before the end

      missed       1m 01s  up on a: stage os within 1m
                           os was not reached within 1m (it is at kernel); last seen: console line
                           `Linux version 6.1`, 1m ago

    etcd: 0 of 1 expectations met, 1 missed; 1m 01s under tcg (run 20261121-093403-etcd, exit code
      1)
    ");
    assert_snapshot!(check(&home, &["report"]), @r"
    --- stderr
    error: run 20261121-100000-quick has no report

    hint: it is still up (`dryrack status`), or it was killed (`dryrack trace` shows the stages reached)
    --- exit code 2
    ");
    assert_snapshot!(check(&home, &["trace", "nothing"]), @r"
    --- stderr
    error: there is no run `nothing`

    hint: `dryrack runs` lists them
    --- exit code 2
    ");
    assert_eq!(
        json(&home, &["report", "--json", "etcd"]),
        serde_json::from_str::<Value>(REPORT).expect("JSON")
    );
    let events = check(&home, &["trace", "etcd", "--events", "--json"]);
    let kept = EVENTS.lines().take(5);
    for (printed, kept) in events.lines().zip(kept.clone()) {
        let read = |line| serde_json::from_str::<Value>(line).expect("JSON");
        let (printed, mut kept) = (read(printed), read(kept));
        // It is printed in the present format, which says who tells of an event.
        match printed.get("source") {
            Some(source) => kept["source"] = source.clone(),
            None => kept["dryrack_events"] = 2.into(),
        }
        assert_eq!(printed, kept);
    }
    assert_eq!(events.lines().count(), kept.count());
    let runs = json(&home, &["runs", "--json"]);
    assert_eq!(
        (&runs[0]["lab"], &runs[0]["exit"], &runs[0]["up"]),
        (&"etcd".into(), &1.into(), &false.into())
    );
    assert_eq!(runs[1]["exit"], Value::Null);
    let gone = json(&home, &["runs", "prune", "--keep", "1", "--json"]);
    assert_eq!(gone.as_array().map(Vec::len), Some(1));
    assert_eq!(json(&home, &["runs", "--json"]).as_array().map(Vec::len), Some(1));
}

#[test]
fn a_trace_opens_in_a_viewer() {
    let home = Home::new();
    record(&home, "20261121-093403-etcd", EVENTS, None);
    let printed = json(&home, &["trace", "--perfetto", "-"]);
    let file = home.path().join("trace.json");
    assert_snapshot!(check(&home, &["trace", "--perfetto", file.to_str().expect("UTF-8")]), @"
    --- stderr
    wrote [HOME]/trace.json: open it at https://ui.perfetto.dev
    ");
    let written: Value = serde_json::from_slice(&fs::read(&file).expect("a file")).expect("JSON");
    assert_eq!(printed, written);
    let slices = printed["traceEvents"].as_array().expect("a list");
    assert!(slices.iter().any(|slice| slice["name"] == "kernel" && slice["ts"] == 900_000.0), "{printed}");
    assert_snapshot!(check(&home, &["trace", "--perfetto", "/nowhere/trace.json"]), @"
    --- stderr
    error: cannot write /nowhere/trace.json: No such file or directory (os error 2)

    hint: the folder does not exist
    --- exit code 2
    ");
}

#[test]
fn two_runs_are_compared() {
    let home = Home::new();
    let served = |path: &str| {
        let line = r#"{"at":800000000,"wall":"2026-11-21T09:34:03Z","node":"a","kind":"http-served","fields":{"method":"GET","path":"PATH","status":200,"bytes":9,"complete":true,"ms":1}}"#;
        let lines: Vec<&str> = EVENTS.lines().take(3).collect();
        format!("{}\n{}\n", lines.join("\n"), line.replace("PATH", path))
    };
    record(&home, "20261121-093403-etcd", &served("/one"), None);
    record(&home, "20261121-100000-etcd", &served("/one"), None);
    record(&home, "20261121-110000-etcd", &served("/two"), None);
    let runs = |second| ["diff", "20261121-093403-etcd", second];
    assert_snapshot!(check(&home, &runs("20261121-100000-etcd")), @"a: same dialogue");
    assert_snapshot!(check(&home, &runs("etcd")), @"
    --- 20261121-093403-etcd
    +++ 20261121-110000-etcd
    a: first difference
      boot 1
    - http    GET /one → 200
    + http    GET /two → 200
    --- exit code 1
    ");
    assert_snapshot!(check(&home, &runs("nothing")), @"
    --- stderr
    error: there is no run `nothing`

    hint: `dryrack runs` lists them
    --- exit code 2
    ");
    let output = run(&mut home.dryrack(["diff", "--json", "20261121-093403-etcd", "etcd"]));
    assert_eq!(output.status.code(), Some(1));
    let found: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    assert_eq!((&found["same"], &found["runs"][1]), (&false.into(), &"20261121-110000-etcd".into()));
    let line =
        |of: &str, path: &str| serde_json::json!({ "of": of, "text": format!("http    GET {path} → 200") });
    assert_eq!(found["nodes"]["a"]["first"][1], line("first", "/one"));
    assert_eq!(found["nodes"]["a"]["first"][2], line("second", "/two"));
}

#[test]
fn a_record_that_is_damaged_is_named() {
    let home = Home::new();
    record(&home, "20261121-093403-etcd", &EVENTS.replace("\"kind\":\"powered-on\"", "\"kind\":"), None);
    assert_snapshot!(check(&home, &["trace"]), @r"
    --- stderr
    error: [HOME]/runs/20261121-093403-etcd/events.jsonl: line 3 is not an event: expected value at line 1 column 63
    --- exit code 2
    ");
    record(&home, "20261121-093403-etcd", &EVENTS.replace("dryrack_events\":1", "dryrack_events\":7"), None);
    assert_snapshot!(check(&home, &["trace"]), @r"
    --- stderr
    error: [HOME]/runs/20261121-093403-etcd/events.jsonl: the events are in format 7, this version of dryrack reads formats 1 to 2

    hint: it was written by dryrack 0.1.0: use that version
    --- exit code 2
    ");
}

#[test]
fn whoever_closes_the_pipe_has_seen_enough() {
    let home = Home::new();
    let mut schema =
        home.dryrack(["schema"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("a child");
    drop(schema.stdout.take());
    let output = schema.wait_with_output().expect("an end");
    assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
    // The error cannot be printed either, but the exit code is still the right one.
    let mut check = home.dryrack(["check", "none"]).stderr(Stdio::piped()).spawn().expect("a child");
    drop(check.stderr.take());
    assert_eq!(check.wait().expect("an end").code(), Some(2));
}

#[test]
fn colour_is_for_terminals() {
    let home = Home::new();
    home.lab("wrong", WRONG);
    let plain = check(&home, &["check", "wrong.toml"]);
    assert!(!plain.contains('\u{1b}'));
    let forced =
        run(home.dryrack(["check", "wrong.toml"]).env("CLICOLOR_FORCE", "1").current_dir(home.path()));
    assert!(stdout(&forced).contains("\u{1b}["));
    let none = home
        .dryrack(["check", "wrong.toml"])
        .env("CLICOLOR_FORCE", "1")
        .env("NO_COLOR", "1")
        .current_dir(home.path())
        .output()
        .expect("an end");
    assert!(!stdout(&none).contains('\u{1b}'));
}

#[test]
fn an_empty_variable_is_none() {
    let home = Home::new();
    let mut command = home.dryrack(["runs", "--json"]);
    command.env("DRYRACK_STATE", "").env("XDG_STATE_HOME", home.path().join("xdg"));
    assert_eq!(stdout(&run(&mut command)), "[]\n");
    record(&home, "20261121-093403-etcd", EVENTS, None);
    std::os::unix::fs::symlink(home.path(), home.path().join("dryrack")).expect("a link");
    let found = stdout(&run(command.env("XDG_STATE_HOME", home.path())));
    assert!(found.contains("20261121-093403-etcd"), "{found}");
}

#[test]
fn the_version_is_that_of_the_package() {
    let home = Home::new();
    assert_eq!(check(&home, &["--version"]), format!("dryrack {}\n", env!("CARGO_PKG_VERSION")));
}

#[test]
fn a_plan_that_is_handed_back_is_checked_first() {
    let home = Home::new();
    let lab = "dryrack = 1\naccel = \"tcg\"\nnetwork.lan.address = \"10.0.0.1/24\"\n\
               profile.tiny.kernel = \"image:tiny/kernel\"\nnode.a = { profile = \"tiny\", memory = \"64MiB\" }\n\
               expect.up.that.stage = \"os\"\n";
    home.lab("planned", lab);
    let mut plan = json(&home, &["plan", "planned.toml", "--json"]);
    let write = |plan: &Value| fs::write(home.path().join("p"), plan.to_string()).expect("a file");
    write(&plan);
    for further in
        [&["planned.toml"][..], &["--on", "x.toml"], &["--set", "clock.offset=1s"], &["--images", "x"]]
    {
        for verb in ["up", "test"] {
            let said = check(&home, &[&[verb, "--plan", "p"], further].concat());
            assert!(said.contains("cannot be used with") && said.ends_with("--- exit code 2\n"), "{said}");
        }
    }
    plan["host"]["qemu"]["version"] = Value::from(vec![1, 2, 3]);
    write(&plan);
    for verb in ["up", "test"] {
        let said = check(&home, &[verb, "--plan", "p"]);
        assert!(
            said.contains("error: this host is not as it was when the plan was made: QEMU is "),
            "{said}"
        );
        assert!(said.contains("(1.2.3)") && said.ends_with("--- exit code 3\n"), "{said}");
    }
    plan["dryrack_plan"] = 7.into();
    write(&plan);
    assert_snapshot!(check(&home, &["test", "--plan", "p"]), @"
    --- stderr
    error: p: the plan has schema 7; this version of Dryrack reads schema 1

    hint: make it again with this version: `dryrack plan LAB --json > FILE`
    --- exit code 2
    ");
    assert_snapshot!(check(&home, &["up", "--plan", "planned.toml"]), @"
    --- stderr
    error: planned.toml: this is not a plan of Dryrack: expected value at line 1 column 1

    hint: `dryrack plan LAB --json > FILE` writes a plan
    --- exit code 2
    ");
    assert!(check(&home, &["up", "--plan", "nowhere"]).contains("error: cannot read the plan nowhere: "));
}

#[test]
fn a_report_is_as_wide_as_the_terminal() {
    let home = Home::new();
    record(&home, "20261121-093403-etcd", EVENTS, Some(REPORT));
    let widest = |columns: u16| {
        let size = Winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(&size, None).expect("a terminal");
        let mut report = home.dryrack(["report", "etcd"]);
        let mut child = report.stdout(pty.slave).spawn().expect("a child");
        // The slave is closed in this process with the command.
        drop(report);
        let mut shown = Vec::new();
        // EIO is the end of a terminal.
        File::from(pty.master).read_to_end(&mut shown).ok();
        assert!(child.wait().expect("an end").success());
        let shown = String::from_utf8(shown).expect("text");
        let plain = anstream::adapter::strip_str(&shown).to_string();
        plain.lines().map(|line| line.trim_end().chars().count()).max().expect("lines")
    };
    let (narrow, wide) = (widest(70), widest(200));
    assert!((50..=70).contains(&narrow) && (97..=200).contains(&wide), "{narrow} {wide}");
}

#[test]
fn other_programs_are_told_the_bmcs_of_a_lab() {
    let home = Home::new();
    let text = r#"
dryrack = 1
name = "racked"
network.lan.address = "10.0.2.1/24"
network.mgmt = { address = "10.0.3.1/24", dhcp = "off", bmc = {} }
profile.tiny.kernel = "image:tiny/kernel"

[node.a]
profile = "tiny"
nic.lan = {}

[node.b]
firmware = "uefi"
memory = "1GiB"
profile = "tiny"
nic.lan = {}
bmc = { address = "10.0.3.12", user = "root", password = { env = "BMC_PASSWORD" } }

[node.c]
profile = "tiny"
nic.lan = {}
bmc = { address = "10.0.3.13", ipmi = false, personality = "openbmc" }
"#;
    let racked = home.lab("racked", text);
    let bare = home.lab("bare", "dryrack = 1\nname = \"bare\"\nnetwork.lan.address = \"10.0.2.1/24\"\nnode.a.disk.root = { size = \"1GiB\" }\nnode.a.boot = [\"disk\"]\n");
    let list = |format: &str| check(&home, &["bmc-list", racked.to_str().unwrap(), "--format", format]);
    assert_snapshot!(list("csv"), @r#"
    node,bmc,port,redfish,user,mac,firmware,cpus,memory-mib
    a,10.0.3.10,623,https://10.0.3.10/redfish/v1/Systems/1,"admin",52:54:00:b2:2c:6b,bios,1,512
    b,10.0.3.12,623,https://10.0.3.12/redfish/v1/Systems/1,"root",52:54:00:ee:d7:91,uefi,1,1024
    c,10.0.3.13,,https://10.0.3.13/redfish/v1/Systems/system,"admin",52:54:00:df:50:3a,bios,1,512
    "#);
    assert_snapshot!(list("baremetalhost"), @r#"
    # kubectl create secret generic a-bmc --from-literal=username='admin' --from-literal=password="$(cat "$DRYRACK_BMC_PASSWORD_FILE")"
    # kubectl create secret generic b-bmc --from-literal=username='root' --from-literal=password="$BMC_PASSWORD"
    # kubectl create secret generic c-bmc --from-literal=username='admin' --from-literal=password="$(cat "$DRYRACK_BMC_PASSWORD_FILE")"
    apiVersion: metal3.io/v1alpha1
    kind: BareMetalHost
    metadata:
      name: a
    spec:
      online: false
      bootMACAddress: "52:54:00:b2:2c:6b"
      bootMode: legacy
      bmc:
        address: redfish-virtualmedia+https://10.0.3.10/redfish/v1/Systems/1
        disableCertificateVerification: true
        credentialsName: a-bmc
    ---
    apiVersion: metal3.io/v1alpha1
    kind: BareMetalHost
    metadata:
      name: b
    spec:
      online: false
      bootMACAddress: "52:54:00:ee:d7:91"
      bootMode: UEFI
      bmc:
        address: redfish-virtualmedia+https://10.0.3.12/redfish/v1/Systems/1
        disableCertificateVerification: true
        credentialsName: b-bmc
    ---
    apiVersion: metal3.io/v1alpha1
    kind: BareMetalHost
    metadata:
      name: c
    spec:
      online: false
      bootMACAddress: "52:54:00:df:50:3a"
      bootMode: legacy
      bmc:
        address: redfish+https://10.0.3.13/redfish/v1/Systems/system
        disableCertificateVerification: true
        credentialsName: c-bmc
    "#);
    assert_snapshot!(list("maas"), @r#"
    maas "$PROFILE" machines create hostname=a architecture=amd64 \
      mac_addresses=52:54:00:b2:2c:6b \
      power_type=ipmi power_parameters_power_driver=LAN_2_0 power_parameters_power_boot_type=auto \
      power_parameters_cipher_suite_id=17 power_parameters_power_address=10.0.3.10 \
      power_parameters_power_user='admin' \
      power_parameters_power_pass="$(cat "$DRYRACK_BMC_PASSWORD_FILE")"
    maas "$PROFILE" machines create hostname=b architecture=amd64 \
      mac_addresses=52:54:00:ee:d7:91 \
      power_type=ipmi power_parameters_power_driver=LAN_2_0 power_parameters_power_boot_type=efi \
      power_parameters_cipher_suite_id=17 power_parameters_power_address=10.0.3.12 \
      power_parameters_power_user='root' \
      power_parameters_power_pass="$BMC_PASSWORD"
    maas "$PROFILE" machines create hostname=c architecture=amd64 \
      mac_addresses=52:54:00:df:50:3a \
      power_type=redfish power_parameters_power_address=10.0.3.13 power_parameters_node_id=system \
      power_parameters_power_user='admin' \
      power_parameters_power_pass="$(cat "$DRYRACK_BMC_PASSWORD_FILE")"
    "#);
    assert_snapshot!(list("tinkerbell"), @r#"
    # kubectl create secret generic a-bmc --from-literal=username='admin' --from-literal=password="$(cat "$DRYRACK_BMC_PASSWORD_FILE")"
    # kubectl create secret generic b-bmc --from-literal=username='root' --from-literal=password="$BMC_PASSWORD"
    # kubectl create secret generic c-bmc --from-literal=username='admin' --from-literal=password="$(cat "$DRYRACK_BMC_PASSWORD_FILE")"
    apiVersion: bmc.tinkerbell.org/v1alpha1
    kind: Machine
    metadata:
      name: a
    spec:
      connection:
        host: 10.0.3.10
        port: 623
        insecureTLS: true
        authSecretRef:
          name: a-bmc
          namespace: default
        providerOptions:
          ipmitool:
            cipherSuite: "17"
          redfish:
            port: 443
    ---
    apiVersion: bmc.tinkerbell.org/v1alpha1
    kind: Machine
    metadata:
      name: b
    spec:
      connection:
        host: 10.0.3.12
        port: 623
        insecureTLS: true
        authSecretRef:
          name: b-bmc
          namespace: default
        providerOptions:
          ipmitool:
            cipherSuite: "17"
          redfish:
            port: 443
    ---
    apiVersion: bmc.tinkerbell.org/v1alpha1
    kind: Machine
    metadata:
      name: c
    spec:
      connection:
        host: 10.0.3.13
        port: 623
        insecureTLS: true
        authSecretRef:
          name: c-bmc
          namespace: default
        providerOptions:
          redfish:
            port: 443
    "#);
    assert_snapshot!(check(&home, &["bmc-list", bare.to_str().unwrap()]), @"
    --- stderr
    error: no node of bare has a BMC

    hint: give nodes one: `bmc = {}` in `[network.NAME]` or `[node.NAME]`
    --- exit code 2
    ");
}

#[test]
fn a_bmc_needs_an_address_and_a_password() {
    let home = Home::new();
    assert_snapshot!(check(&home, &["bmc", "127.0.0.1:1", "status"]), @"
    --- stderr
    error: there is no password

    hint: set --password-file, or DRYRACK_BMC_PASSWORD_FILE
    --- exit code 2
    ");
    assert_snapshot!(check(&home, &["bmc", "127.0.0.1:1", "status", "-p", "none"]), @"
    --- stderr
    error: cannot read the password in `none`: No such file or directory (os error 2)
    --- exit code 2
    ");
}
