//! The project's own labs, and error handling of runs, with the real program and real machines.
#![expect(clippy::disallowed_methods, reason = "a test starts programs and has a clock of its own")]

#[path = "labs/broken.rs"]
mod broken;
#[expect(dead_code, reason = "each test binary uses a part of it")]
mod common;
#[path = "labs/gallery.rs"]
mod gallery;
#[path = "common/gpg.rs"]
mod gpg;
#[path = "labs/kubernetes.rs"]
mod kubernetes;

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::time::Duration;

use common::{Home, build, labs, run, stderr, stdout, wait, wait_for};
use nix::sys::signal::Signal;

/// Timeout for the boot of an emulated machine on a busy host.
const BOOT: Duration = Duration::from_secs(120);

/// A lab with one small machine that netboots, and additions of the test.
fn small(name: &str, rest: &str) -> String {
    format!(
        r#"
        dryrack = 1
        name = "{name}"
        network.lan.address = "10.67.0.1/24"

        [profile.tiny]
        kernel = "image:tiny/kernel"
        initrd = "image:tiny/initrd"
        args = ["console=ttyS0", "no_timer_check"]

        [node.one]
        memory = "128MiB"
        profile = "tiny"

        [expect.up]
        within = "3m"
        that = {{ stage = "os" }}
        {rest}
        "#
    )
}

fn path(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

/// Runs a lab of processes without nodes; returns the exit code and the output.
fn processes(name: &str, rest: &str) -> (Option<i32>, String) {
    let home = Home::new();
    let text = format!("dryrack = 1\nname = \"{name}\"\nnetwork.lan.address = \"10.68.0.1/24\"\n{rest}");
    let lab = home.lab(name, &text);
    let tried = run(&mut home.dryrack(["test", path(&lab)]));
    home.assert_clean(name);
    (tried.status.code(), format!("{}{}", stdout(&tried), stderr(&tried)))
}

#[test]
fn processes_run_in_the_place_and_in_their_turn() {
    let (code, said) = processes(
        "turns",
        r#"
        # The network is there, and its names; the folder is the lab's.
        process.first.run = "ip -br address | grep -F $DRYRACK_SERVER/24 && ls *.toml && echo $DRYRACK_DOMAIN >said"
        process.second = { run = "test lab = $(cat said) && test second = $DRYRACK_PROCESS && exit 3", after = "first" }
        # One that lasts keeps no lab from its end.
        process.lasting.run = "exec sleep 1000"
        expect.first.that.process = "first"
        expect.second.that.process = { name = "second", exit = 3 }
        "#,
    );
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("all 2 expectations met"), "{said}");
}

/// Two stations at ports of the bridge: one sends a tagged frame to the other, which the bridge alone forwards.
const STATIONS: &str = r#"
    [process.stations]
    run = """
    set -eu
    bridge=$(ip -br link show type bridge | awk '{ print $1 }')
    for station in x y; do
        ip link add $station type veth peer name ${station}p
        ip link set ${station}p master $bridge up
        ip link set $station up
    done
    until ip -d link show dev xp | grep -q "state forwarding" && ip -d link show dev yp | grep -q "state forwarding"; do
        sleep 0.05
    done
    exec python3 send.py
    """
    [expect]
    sent.that.process = "stations"
"#;
const SEND: &str = r#"
import socket
sender = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)
sender.bind(("x", 0))
sender.send(bytes.fromhex("020000000002 020000000001 81002005 88b5") + b"between two ports" + bytes(60))
sender.send(bytes.fromhex("ffffffffffff 020000000001 88b5") + b"to everybody" + bytes(60))
"#;

/// Returns type and body of each block of a pcapng file.
fn blocks(mut bytes: &[u8]) -> Vec<(u32, Vec<u8>)> {
    let mut blocks = Vec::new();
    while let Some((head, _)) = bytes.split_first_chunk::<8>() {
        let word = |at: usize| u32::from_le_bytes(head[at..at + 4].try_into().expect("four bytes"));
        let (block, rest) = bytes.split_at(word(4) as usize);
        blocks.push((word(0), block[8..block.len() - 4].to_vec()));
        bytes = rest;
    }
    blocks
}

#[test]
fn every_frame_of_a_network_is_in_the_capture_of_the_run() {
    let (home, name) = (Home::new(), "wire");
    let text = format!("dryrack = 1\nname = \"{name}\"\nnetwork.lan.address = \"10.68.0.1/24\"\n{STATIONS}");
    let lab = home.lab(name, &text);
    fs::write(lab.with_file_name("send.py"), SEND).expect("a file");
    let tried = run(&mut home.dryrack(["test", path(&lab)]));
    assert_eq!(tried.status.code(), Some(0), "{}{}", stdout(&tried), stderr(&tried));
    let file = home.run_dir().join("capture.pcapng");
    let mode = fs::metadata(&file).expect("a capture").permissions();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&mode) & 0o777, 0o600);
    let blocks = blocks(&fs::read(&file).expect("a capture"));
    let kinds: Vec<u32> = blocks.iter().map(|(kind, _)| *kind).collect();
    assert_eq!((&kinds[..2], kinds.last()), (&[0x0a0d_0d0a, 1][..], Some(&5)), "{kinds:?}");
    assert_eq!(blocks[1].1[8..15], *b"\x02\0\x03\0lan");
    let has = |block: &[u8], text: &[u8]| block.windows(text.len()).any(|window| window == text);
    for text in [&b"\x02\0\0\0\0\x01\x81\0\x20\x05\x88\xb5between two ports"[..], b"to everybody"] {
        let count = blocks.iter().filter(|(kind, block)| *kind == 6 && has(block, text)).count();
        assert_eq!(count, 1, "{}", String::from_utf8_lossy(text));
    }
    // Statistics: nothing was lost.
    let dropped = blocks.last().map(|(_, block)| block[24..36].to_vec());
    assert_eq!(dropped.as_deref(), Some(&[5, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0][..]));
    let without = run(&mut home.dryrack(["test", "--set", "capture=off", path(&lab)]));
    assert_eq!(without.status.code(), Some(0), "{}", stderr(&without));
    assert!(!home.run_dir().join("capture.pcapng").exists());
    home.assert_clean(name);
}

#[test]
fn a_lab_unlocks_its_key_ring_and_signs() {
    let gpg = gpg::Gpg::make(&format!(
        "Key-Type: RSA\nKey-Length: 2048\nKey-Usage: sign\nName-Email: m@lab.test\nExpire-Date: 0\nPassphrase: {}",
        gpg::PASSPHRASE
    ));
    fs::write(gpg.path("words"), gpg::PASSPHRASE.to_owned() + "\n").expect("a file");
    let (ring, words) = (gpg.key_ring(), gpg.path("words"));
    let (text, signature) = (gpg.path("text"), gpg.path("signed"));
    let lab = format!(
        r#"
        network.lan.matchbox = {{ data = ".", key-ring = "{}", passphrase = {{ file = "{}" }} }}
        process.ask.run = "curl -fsS http://$DRYRACK_SERVER/boot.ipxe >{} && curl -fsS http://$DRYRACK_SERVER/boot.ipxe.sig >{}"
        expect.requested.that.process = "ask"
        "#,
        path(&ring),
        path(&words),
        path(&text),
        path(&signature)
    );
    let (code, said) = processes("ring", &lab);
    assert_eq!(code, Some(0), "{said}");
    gpg.verify(&fs::read(&signature).expect("a signature"), &fs::read(&text).expect("a text"));
    fs::write(&words, "other words").expect("a file");
    let (code, said) = processes("ring-locked", &lab);
    assert!(code == Some(3) && said.contains("does not unlock"), "{code:?} {said}");
}

#[test]
fn a_process_fills_matchbox_and_powers_on_what_boots_from_it() {
    build(&["tiny"]);
    let home = Home::new();
    let dryrack = env!("CARGO_BIN_EXE_dryrack");
    let text = format!(
        r#"
        dryrack = 1
        name = "applied"
        network.lan.address = "10.68.0.1/24"
        network.lan.matchbox = {{ data = "matchbox", rpc = {{ tls = "tls" }} }}
        network.lan.files = {{ "assets/kernel" = "image:tiny/kernel", "assets/initrd" = "image:tiny/initrd" }}
        node.one = {{ memory = "128MiB", start = "manual" }}

        [process.apply]
        run = """
        set -eu
        for kind in profile group; do
            {dryrack} $kind create -f $kind.json --tls tls --endpoint $DRYRACK_SERVER:8081
        done
        {dryrack} power on one
        """

        [expect]
        applied.that.process = "apply"
        up = {{ within = "3m", that.stage = "os" }}
        way = {{ within = "3m", that.boots = ["network"] }}
        "#
    );
    let lab = home.lab("applied", &text);
    let folder = lab.parent().expect("a folder");
    fs::create_dir(folder.join("matchbox")).expect("a folder");
    let boot = r#"{ "kernel": "/assets/kernel", "initrd": ["/assets/initrd"], "args": ["initrd=initrd", "console=ttyS0"] }"#;
    fs::write(folder.join("profile.json"), format!(r#"{{ "id": "tiny", "boot": {boot} }}"#)).expect("a file");
    fs::write(folder.join("group.json"), r#"{ "id": "all", "profile": "tiny" }"#).expect("a file");
    let made = run(&mut home.dryrack(["tls", "init", path(&lab)]));
    assert!(made.status.success(), "{}", stderr(&made));
    let tried = run(&mut home.dryrack(["test", path(&lab)]));
    assert_eq!(tried.status.code(), Some(0), "{}{}", stdout(&tried), stderr(&tried));
    let wrote = |file: &str| folder.join("matchbox").join(file).is_file();
    assert!(
        wrote("profiles/tiny.json") && wrote("groups/all.json"),
        "what the process made is there to stay"
    );
    home.assert_clean("applied");
}

#[test]
fn a_node_is_probed_at_the_address_that_another_server_gave_it() {
    build(&["tiny"]);
    let home = Home::new();
    // dnsmasq leases the address and serves every file; the lab only sees it.
    let text = r#"
        dryrack = 1
        name = "lent"
        network.lan = { address = "10.69.0.1/24", dhcp = "off", tftp = "off" }
        profile.tiny = { kernel = "image:tiny/kernel", initrd = ["image:tiny/initrd"], args = ["console=ttyS0", "no_timer_check"] }
        node.one = { memory = "128MiB", profile = "tiny" }

        [process.dnsmasq]
        run = """
        mkdir served && cd served
        for file in kernel initrd0; do curl -fsS -o $file http://$DRYRACK_SERVER/profile/tiny/$file; done
        printf '#!ipxe\\nkernel kernel console=ttyS0\\ninitrd initrd0\\nboot\\n' >boot.ipxe
        exec dnsmasq --no-daemon --user= --conf-file=/dev/null --pid-file= --port=0 --bind-dynamic \\
            --leasefile-ro --listen-address=$DRYRACK_SERVER --dhcp-range=10.69.0.60,10.69.0.60,1h \\
            --enable-tftp --tftp-root=$PWD --dhcp-boot=boot.ipxe
        """

        [expect]
        system = { within = "3m", that.stage = "os" }
        web = { within = "3m", that.tcp = 80 }
        facts = { within = "3m", that.http = { path = "/facts", body = "DRYRACK" } }
        name = { within = "3m", that.dns = { answer = "10.69.0.60" } }
        way = { within = "3m", that.boots = ["network"] }
        script = { within = "3m", that.fetched = { path = "boot.ipxe$", times = 1 } }
        kernel = { within = "3m", that.fetched = { path = "kernel$", times = 1 } }
        "#;
    let lab = home.lab("lent", text);
    let tried = run(&mut home.dryrack(["test", path(&lab)]));
    assert_eq!(tried.status.code(), Some(0), "{}{}", stdout(&tried), stderr(&tried));
    let trace = stdout(&run(&mut home.dryrack(["trace", "--events"])));
    for word in ["▶ dhcp", "▶ loader", "▶ kernel", "▶ os", "kernel` by TFTP from 10.69.0.1"] {
        assert!(trace.contains(word), "{word} is not in {trace}");
    }
    assert!(trace.contains("▶ booted from the network"), "{trace}");
    assert!(trace.contains("leased by 10.69.0.1"), "{trace}");
    home.assert_clean("lent");
    // Without a capture, nobody sees it.
    let unseen = r#"
        dryrack = 1
        capture = "off"
        remove = ["expect.way", "expect.script", "expect.kernel"]
        "#;
    let overlay = home.lab("unseen", unseen);
    let tried = run(&mut home.dryrack(["test", "--on", path(&overlay), path(&lab)]));
    assert_eq!(tried.status.code(), Some(0), "{}{}", stdout(&tried), stderr(&tried));
    let trace = stdout(&run(&mut home.dryrack(["trace", "--events"])));
    assert!(trace.contains("booted from an unknown source"), "{trace}");
    assert!(trace.contains("the node has no disk"), "{trace}");
    home.assert_clean("unseen");
}

#[test]
fn every_loader_passes_the_same_arguments() {
    build(&["tiny", "ipxe"]);
    let home = Home::new();
    let args = r#"["console=ttyS0", "try.map=64K$0x1e000000", 'dyndbg="file drivers/net/* +p"', "panic=7 net.ifnames=0", "ds=nocloud;s=http://10.69.2.1/x/", "end=1"]"#;
    let files = r#"kernel = "image:tiny/kernel", initrd = "image:tiny/initrd""#;
    // GRUB moves the quotes, which the kernel reads alike.
    let told = r#"Kernel command line:.* try\.map=64K\$0x1e000000 ("dyndbg=|dyndbg=")file drivers/net/\* \+p" panic=7 net\.ifnames=0 ds=nocloud;s=http://10\.69\.2\.1/x/ end=1"#;
    let of = |loader: &str| {
        format!(
            "profile.by-{loader} = {{ {files}, loader = \"{loader}\", args = {args} }}\n\
             node.{loader} = {{ memory = \"192MiB\", profile = \"by-{loader}\" }}\n"
        )
    };
    let text = format!(
        "dryrack = 1\nname = \"words\"\nnetwork.lan.address = \"10.69.2.1/24\"\n{}{}{}\
         expect.told = {{ within = \"4m\", that.console = '{told}' }}\n",
        of("ipxe"),
        of("pxelinux"),
        of("grub")
    );
    let lab = home.lab("words", &text);
    let tried = run(&mut home.dryrack(["test", path(&lab)]));
    assert_eq!(tried.status.code(), Some(0), "{}{}", stdout(&tried), stderr(&tried));
    home.assert_clean("words");
}

#[test]
fn a_boot_over_ipv6_from_another_server_is_seen() {
    build(&["tiny", "ipxe"]);
    let home = Home::new();
    // The advertisements are those of dnsmasq: iPXE follows the first one only.
    let text = r#"
        dryrack = 1
        name = "lent6"
        network.lan = { address = "10.69.1.1/24", ipv6 = "fd00:69::1/64", dhcp = "off", tftp = "off", ra = "off" }
        node.one = { firmware = "uefi", memory = "256MiB", profile = "tiny" }

        [profile.tiny]
        loader = "chainload"
        via = "pxe6"
        kernel = "image:tiny/kernel"
        initrd = ["image:tiny/initrd"]
        args = ["console=ttyS0", "no_timer_check"]

        [process.dnsmasq]
        run = """
        mkdir served && cd served
        for file in kernel initrd0; do curl -fsS -o $file http://$DRYRACK_SERVER/profile/tiny/$file; done
        curl -fsS -o snponly.efi http://$DRYRACK_SERVER/ipxe/snponly.efi
        printf '#!ipxe\nkernel kernel console=ttyS0 initrd=initrd0\ninitrd initrd0\nboot\n' >boot.ipxe
        exec dnsmasq --no-daemon --user= --conf-file=/dev/null --pid-file= --port=0 --bind-dynamic \
            --leasefile-ro --enable-ra --dhcp-range=fd00:69::60,fd00:69::9f,64,1h --dhcp-userclass=set:ipxe,iPXE \
            --dhcp-option=tag:!ipxe,option6:bootfile-url,tftp://[fd00:69::1]/snponly.efi \
            --dhcp-option=tag:ipxe,option6:bootfile-url,tftp://[fd00:69::1]/boot.ipxe \
            --enable-tftp --tftp-root=$PWD
        """

        [expect]
        system = { within = "5m", that.stage = "os" }
        way = { within = "5m", that.boots = ["network"] }
        loader = { within = "5m", that.fetched = { path = "snponly.efi$", times = 1 } }
        kernel = { within = "5m", that.fetched = { path = "kernel$", times = 1 } }
        "#;
    let lab = home.lab("lent6", text);
    let tried = run(&mut home.dryrack(["test", path(&lab)]));
    assert_eq!(tried.status.code(), Some(0), "{}{}", stdout(&tried), stderr(&tried));
    let trace = stdout(&run(&mut home.dryrack(["trace", "--events"])));
    for word in ["▶ dhcp", "▶ nbp", "▶ loader", "▶ kernel", "▶ os", "kernel` by TFTP from fd00:69::1"]
    {
        assert!(trace.contains(word), "{word} is not in {trace}");
    }
    assert!(trace.contains("has address fd00:69::"), "{trace}");
    home.assert_clean("lent6");
}

#[test]
fn a_process_that_fails_is_a_missed_expectation() {
    let failing = "process.apply.run = \"echo out; echo 'no such provider' >&2; exit 4\"\n";
    let expected = "expect.applied.that.process = \"apply\"\n\
                    process.then = { run = \"true\", after = \"applied\" }\n\
                    expect.then.that.process = \"then\"\n";
    let (code, said) = processes("fails", &format!("{failing}{expected}"));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("`apply` ended: exit code 4, `no such provider`"), "{said}");
    assert!(said.contains("`applied` was missed"), "what comes after is not waited for: {said}");
    // Also without an expectation about the process.
    let waits = "expect.later = { within = \"1m\", that.command = \"sleep 1\" }\n";
    let (code, said) = processes("fails-too", &format!("{failing}{waits}"));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("process `apply` failed"), "{said}");
}

#[test]
fn a_misspelt_peer_is_a_missed_expectation() {
    build(&["etcd"]);
    let home = Home::new();
    let text = fs::read_to_string(labs().join("etcd/lab.toml")).expect("the lab");
    let wrong = text.replace("member-3.etcd.lab:2380\"", "member-33.etcd.lab:2380\"");
    assert_ne!(wrong, text, "the lab was changed, this test with it");
    let lab = home.lab("etcd", &wrong);
    let sets = ["--set", "expect.cluster.within=25s"];
    let tried = run(home.dryrack(["test", path(&lab)]).args(sets));
    let said = stdout(&tried);
    assert_eq!(tried.status.code(), Some(1), "{said}\n{}", stderr(&tried));
    let (_, missed) = said.rsplit_once("  missed  ").expect(&said);
    let (missed, _) = missed.split_once("  met  ").expect(&said);
    assert!(missed.contains("cluster: etcd with 3 healthy members"), "{said}");
    assert!(missed.contains("last probe saw") && missed.contains("ago"), "{said}");
    home.assert_clean("after the cluster");
}

#[test]
fn a_normal_user_gets_the_same() {
    let home = Home::new();
    let program = home.path().join("dryrack");
    fs::copy(common::DRYRACK, &program).expect("a copy");
    let lab = home.lab("user", &small("user", ""));
    let mut command = run_as_nobody(&home, &program);
    let tried = run(command.args(["test", path(&lab)]));
    assert_eq!(tried.status.code(), Some(0), "{}\n{}", stdout(&tried), stderr(&tried));
    home.assert_clean("after a normal user's lab");
}

/// Creates a command for an unprivileged user, with images that it builds itself.
fn run_as_nobody(home: &Home, program: &Path) -> std::process::Command {
    let mut command = std::process::Command::new(program);
    let own = home.path().join("nobody");
    fs::create_dir(&own).expect("a folder");
    if nix::unistd::geteuid().is_root() {
        let nobody = 65_534;
        std::os::unix::fs::chown(&own, Some(nobody), Some(nobody)).expect("root may");
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(home.path(), open).expect("our folder");
        command.uid(nobody).gid(nobody);
    }
    command.env("HOME", &own).env("DRYRACK_STATE", home.path()).env("DRYRACK_CACHE", own.join("c"));
    command.env("DRYRACK_RUNTIME", own.join("r")).current_dir("/");
    // Runs are in a folder of that user; the test still finds its processes by the home's path.
    fs::create_dir(home.path().join("runs")).expect("a folder");
    if nix::unistd::geteuid().is_root() {
        std::os::unix::fs::chown(home.path().join("runs"), Some(65_534), Some(65_534)).expect("root may");
    }
    command
}

#[test]
fn signals_tear_down_in_order() {
    build(&["tiny"]);
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let home = Home::new();
        let lab = home.lab("signal", &small("signal", ""));
        let mut up = home.start(["up", path(&lab)]);
        wait_for("the lab to be up", BOOT, || home.said().contains("lab is up").then_some(()));
        common::signal(i32::try_from(up.id()).expect("a process id"), signal);
        let status = wait(&mut up, Duration::from_secs(10)).expect("it ends");
        assert_eq!(status.code(), Some(130), "{signal}: {}", home.said());
        home.assert_clean(signal.as_str());
        let events = fs::read_to_string(home.run_dir().join("events.jsonl")).expect("events");
        assert!(events.contains(r#""kind":"tear-down-started""#), "{signal}: {events}");
        assert!(
            events.trim_end().ends_with(r#""kind":"run-ended","fields":{"exit":130}}"#),
            "{signal}: {events}"
        );
    }
}

#[test]
fn two_labs_with_one_subnet_run_at_once() {
    build(&["tiny"]);
    let home = Home::new();
    let page = r#"
        [expect.page]
        after = "up"
        within = "1m"
        that = { http = { port = 80, path = "/", body = "node=one" } }
    "#;
    let (one, two) = (home.lab("one", &small("one", page)), home.lab("two", &small("two", page)));
    let up = run(home.dryrack(["up", "--detach", path(&one)]));
    assert!(up.status.success(), "{}", stderr(&up));
    let tried = run(home.dryrack(["test", path(&two)]));
    assert_eq!(tried.status.code(), Some(0), "{}\n{}", stdout(&tried), stderr(&tried));
    let status = stdout(&run(home.dryrack(["status", path(&one)])));
    assert!(status.contains("one is up"), "{status}");

    // A second `up` reports that the lab is up and how to use it.
    let again = run(home.dryrack(["up", path(&one)]));
    assert_eq!(again.status.code(), Some(2));
    assert!(stderr(&again).contains("is up already") && stderr(&again).contains("dryrack status"));

    let down = run(home.dryrack(["down", path(&one)]));
    assert!(down.status.success(), "{}", stderr(&down));
    home.assert_clean("after both");
}

#[test]
fn several_labs_are_tried_at_once() {
    build(&["tiny"]);
    let home = Home::new();
    let (one, two) = (home.lab("one", &small("one", "")), home.lab("two", &small("two", "")));
    let missed = "\n[expect.never-comes]\nwithin = \"1s\"\nthat = { console = \"no such line\" }\n";
    let three = home.lab("three", &small("three", missed));
    let tried = run(home.dryrack(["test", "--jobs", "2", "--json", path(&one), path(&two), path(&three)]));
    assert_eq!(tried.status.code(), Some(1), "{}", stderr(&tried));
    let reports: serde_json::Value = serde_json::from_str(&stdout(&tried)).expect("JSON");
    let codes: Vec<_> =
        reports.as_array().expect("a list").iter().map(|report| report["exit"].clone()).collect();
    assert_eq!(codes.len(), 3, "{reports}");
    assert_eq!(codes.iter().filter(|code| **code == 0).count(), 2, "{codes:?}");
    home.assert_clean("after all three");
}

#[test]
fn a_lab_that_failed_is_kept_on_request() {
    build(&["tiny"]);
    let home = Home::new();
    let missed = "\n[expect.never-comes]\nwithin = \"1s\"\nthat = { console = \"no such line\" }\n";
    let lab = home.lab("kept", &small("kept", missed));
    let junit = home.path().join("out.xml");
    let tried = run(home.dryrack(["test", "--keep", "on-failure", "--junit", path(&junit), path(&lab)]));
    assert_eq!(tried.status.code(), Some(1), "{}", stderr(&tried));
    let xml = fs::read_to_string(&junit).expect("JUnit");
    assert!(
        xml.contains("<testcase name=\"never-comes on one\"") && xml.contains("type=\"missed\""),
        "{xml}"
    );
    assert!(stderr(&tried).contains("dryrack down"), "{}", stderr(&tried));
    let status = stdout(&run(home.dryrack(["status", "--json"])));
    let status: serde_json::Value = serde_json::from_str(&status).expect("JSON");
    assert_eq!(status[0]["lab"], "kept");
    assert!(run(home.dryrack(["down"])).status.success());
    home.assert_clean("after `down`");
}

#[test]
fn a_machine_that_crashes_says_its_last_words() {
    build(&["tiny"]);
    let home = Home::new();
    let lab = home.lab("crash", &small("crash", ""));
    let mut tried = home.start(["test", path(&lab)]);
    wait_for("the machine to run", BOOT, || home.said().contains("reached dhcp").then_some(()));
    let qemu = home.process("qemu-system-x86").expect("a machine");
    common::signal(qemu, Signal::SIGSEGV);
    // Expectations that can no longer be met are not awaited.
    let status = wait(&mut tried, Duration::from_secs(15)).expect("it ends at once");
    let said = home.said();
    assert_eq!(status.code(), Some(1), "{said}");
    assert!(said.contains("died: killed by signal 11"), "{said}");
    assert!(said.contains("missed") && said.contains("up on one"), "{said}");
    home.assert_clean("after the crash");
}

/// Runs `dryrack test` on a host from which a shell script has removed something; expects exit code 3.
fn check_unfit(home: &Home, lab: &Path, take_away: &str, words: &[&str]) {
    let script = format!("{take_away}\nexec \"$0\" test --junit \"$2\" \"$1\"");
    let mut command = home.command("unshare");
    // Outside the home, over which a script may mount something.
    let reports = tempfile::tempdir().expect("a folder");
    let junit = reports.path().join("out.xml");
    let tried =
        run(command.args(["--mount", "sh", "-ec", &script, common::DRYRACK, path(lab), path(&junit)]));
    let said = format!("{}{}", stdout(&tried), stderr(&tried));
    assert_eq!(tried.status.code(), Some(3), "{take_away}: {said}");
    for word in words {
        assert!(said.contains(word), "{take_away}: `{word}` is missing in: {said}");
    }
    let xml = fs::read_to_string(&junit).expect("JUnit");
    assert!(xml.contains("<error message=") && xml.contains("type=\"host\""), "{take_away}: {xml}");
    home.assert_clean(take_away);
}

#[test]
fn what_a_host_lacks_is_named_with_its_remedy() {
    build(&["tiny"]);
    let home = Home::with_host();
    let bios = home.lab("bios", &small("bios", ""));
    let uefi = home.lab("uefi", &small("uefi", "\n[node.two]\nfirmware = \"uefi\"\nprofile = \"tiny\"\n"));
    let hide = "for file in /usr/bin/qemu-system-x86_64 /usr/local/bin/qemu-system-x86_64; do \
                if test -e $file; then mount --bind /dev/null $file; fi; done";
    check_unfit(&home, &bios, hide, &["qemu-system-x86_64", "hint:", "qemu-system-x86"]);
    let hide = "for folder in /usr/share/qemu/firmware /etc/qemu/firmware; do \
                if test -d $folder; then mount -t tmpfs none $folder; fi; done";
    check_unfit(&home, &uefi, hide, &["UEFI firmware", "hint:", "ovmf"]);
    check_unfit(&home, &bios, "mount -t tmpfs none /dev/net", &["cannot make TAP", "hint:", "modprobe tun"]);
}

#[test]
fn a_full_disk_is_named_with_its_remedy() {
    build(&["installer", "tiny-disk"]);
    let home = Home::with_host();
    let lab = r#"
        dryrack = 1
        name = "full"
        network.lan.address = "10.67.0.1/24"
        network.lan.files = { "SHA256SUMS" = "image:tiny-disk/SHA256SUMS", "disk.raw" = "image:tiny-disk/disk.raw" }
        [profile.install]
        kernel = "image:installer/kernel"
        initrd = "image:installer/initrd"
        args = ["console=ttyS0", "image.url=http://10.67.0.1/disk.raw", "image.disk=/dev/vda"]
        [node.one]
        memory = "512MiB"
        profile = "install"
        boot = ["network"]
        disk.root = { size = "1GiB" }
        [expect.up]
        within = "5m"
        that = { console = "no such line" }
    "#;
    let lab = home.lab("full", lab);
    // Room for the run, but not for the installation.
    let full = format!("mount -t tmpfs -o size=3m none {}", home.path().display());
    let lab_elsewhere = format!(
        "cp {0} /tmp/dr-full-$$.toml; {full}; cp /tmp/dr-full-$$.toml {0}; rm /tmp/dr-full-$$.toml",
        path(&lab)
    );
    check_unfit(&home, &lab, &lab_elsewhere, &["disk is full", "hint: free some disk space"]);
}

#[test]
fn a_port_in_use_on_the_host_is_named_with_its_holder() {
    build(&["tiny"]);
    let home = Home::with_host();
    let lab = home.lab("port", &format!("isolation = \"none\"\n{}", small("port", "")));
    let script = "import socket, sys\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.bind(('0.0.0.0', 69))\nsys.stdin.read()";
    let mut holder = home
        .command("python3")
        .args(["-c", script])
        .stdin(std::process::Stdio::piped())
        .env_remove("DRYRACK_STATE")
        .spawn()
        .expect("python3");
    wait_for("the port to be taken", Duration::from_secs(10), || {
        stdout(&home.host("ss", &["-lun"])).contains(":69 ").then_some(())
    });
    let tried = run(home.dryrack(["test", path(&lab)]));
    let said = format!("{}{}", stdout(&tried), stderr(&tried));
    holder.kill().expect("a child");
    holder.wait().expect("a child");
    assert_eq!(tried.status.code(), Some(3), "{said}");
    assert!(said.contains("UDP port 69") && said.contains("python3"), "{said}");
    home.assert_clean("after the refusal");
}

#[test]
fn a_run_can_be_replayed_from_its_events_alone() {
    build(&["tiny"]);
    let home = Home::new();
    let lab = home.lab("replay", &small("replay", ""));
    let tried = run(home.dryrack(["test", path(&lab)]));
    assert_eq!(tried.status.code(), Some(0), "{}\n{}", stdout(&tried), stderr(&tried));
    let elsewhere = home.path().join("elsewhere");
    fs::create_dir(&elsewhere).expect("a folder");
    fs::copy(home.run_dir().join("events.jsonl"), elsewhere.join("events.jsonl")).expect("events");
    let trace = stdout(&run(home.dryrack(["trace", "--events", path(&elsewhere)])));
    for word in ["powered on", "leased 10.67.0.10", "▶ kernel", "lab is up", "Linux version", "▶ os"] {
        assert!(trace.contains(word), "`{word}` is missing in {trace}");
    }
}
