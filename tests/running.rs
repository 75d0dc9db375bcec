//! Commands on labs that are up, and how they find theirs. No machine boots here.

#![expect(clippy::disallowed_methods, reason = "a test waits on the clock and starts what it needs")]

#[expect(dead_code, reason = "each test binary uses a part of it")]
mod common;

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use common::{Home, build, run, stderr, stdout, wait_for};
use serde_json::Value;

/// Labs that are up; torn down whatever the result of the test is.
struct World {
    home: Home,
}

impl World {
    fn new() -> Self {
        Self { home: Home::new() }
    }

    /// Brings up a lab in a folder, with these nodes, which are never powered on, and returns its file.
    fn up(&self, folder: &str, nodes: &[&str], more: &str) -> PathBuf {
        let folder = self.home.path().join(folder);
        fs::create_dir_all(&folder).expect("a folder");
        let mut text = "dryrack = 1\naccel = \"tcg\"\nnetwork.lan.address = \"10.73.0.1/24\"\n".to_owned();
        if !nodes.is_empty() {
            build(&["tiny"]);
            text += "profile.tiny = { kernel = \"image:tiny/kernel\", initrd = \"image:tiny/initrd\" }\n";
        }
        for node in nodes {
            for line in ["memory = \"64MiB\"", "profile = \"tiny\"", "start = \"manual\""] {
                text.extend(["node.", *node, ".", line, "\n"]);
            }
        }
        fs::write(folder.join("lab.toml"), text + more).expect("a lab file");
        let up = run(&mut self.home.dryrack(["up", "--detach", folder.to_str().expect("text")]));
        assert!(up.status.success(), "{}", stderr(&up));
        fs::canonicalize(folder.join("lab.toml")).expect("a lab file")
    }

    /// Runs a command; returns both outputs and the exit code, if it is not 0.
    fn says(&self, args: &[&str]) -> String {
        let output = run(self.home.dryrack(args.iter().copied()).current_dir(self.home.path()));
        let mut text = stdout(&output) + &stderr(&output);
        if let Some(code) = output.status.code().filter(|code| *code != 0) {
            text.extend(["--- exit code ", &code.to_string(), "\n"]);
        }
        let home = fs::canonicalize(self.home.path()).expect("a folder").display().to_string();
        text.replace(&home, "[HOME]")
    }
}

impl Drop for World {
    fn drop(&mut self) {
        run(&mut self.home.dryrack(["down", "--all"]));
    }
}

#[test]
fn a_name_that_means_several_labs_takes_none() {
    let world = World::new();
    world.up("a/first", &["one", "web"], "");
    world.up("b/first", &["one", "db"], "");
    let both = "[HOME]/a/first/lab.toml, [HOME]/b/first/lab.toml";
    let which = "\n\nhint: name one by its path, as in `--lab PATH`\n--- exit code 2\n";
    for verb in ["down", "status"] {
        let named = format!("error: 2 labs that are up are called `first`: {both}{which}");
        assert_eq!(world.says(&[verb, "first"]), named);
        assert_eq!(world.says(&[verb, "--lab", "first"]), named);
    }
    for args in [&["down"][..], &["exec", "--", "true"], &["ssh-config"]] {
        assert_eq!(world.says(args), format!("error: 2 labs are up: {both}{which}"), "{args:?}");
    }
    assert!(world.says(&["logs"]).starts_with(&format!("error: 2 labs are up: {both}\n")));
    // The only lab that has the node is meant.
    assert_eq!(world.says(&["link", "down", "db"]), "lan of db is down\n");
    assert_eq!(world.says(&["power", "off", "--force", "web"]), "web is off\n");
    assert_eq!(
        world.says(&["link", "down", "one"]),
        format!("error: 2 labs that are up have node `one`: {both}{which}")
    );
    assert_eq!(
        world.says(&["console", "dp"]),
        format!(
            "error: no lab that is up has node `dp`\n\nhint: labs that are up: {both}\n--- exit code 2\n"
        )
    );
    assert_eq!(
        world.says(&["power", "off", "web", "db"]),
        format!(
            "error: no lab that is up has nodes `web`, `db`\n\nhint: labs that are up: {both}\n--- exit code 2\n"
        )
    );
    assert_eq!(
        world.says(&["power", "off", "--force", "all"]),
        format!("error: 2 labs are up: {both}{which}")
    );
    assert_eq!(
        world.says(&["power", "off", "--force", "all", "--lab", "b/first"]),
        "db is off\none is off\n"
    );

    assert_eq!(world.home.completed(&["dryrack", "console", "w"]), ["web"]);
    assert_eq!(world.home.completed(&["dryrack", "power", "on", "one", "d"]), ["db"]);
    let [a, b] = ["a", "b"].map(|folder| world.home.path().join(folder).join("first").display().to_string());
    assert_eq!(world.home.completed(&["dryrack", "down", &a[..a.len() - 1]])[0], a);
    assert_eq!(world.home.completed(&["dryrack", "logs", "--lab", &b[..b.len() - 1]])[0], b);

    assert_eq!(world.says(&["down", "a/first"]), "lab first is down\n");
    assert_eq!(world.home.completed(&["dryrack", "down", "f"]), ["first"]);
    // A path never means another lab, whatever that is called.
    fs::create_dir(world.home.path().join("first")).expect("a folder");
    fs::copy(world.home.path().join("a/first/lab.toml"), world.home.path().join("first/lab.toml"))
        .expect("a file");
    assert_eq!(
        world.says(&["down", "first"]),
        "error: lab [HOME]/first/lab.toml is not up\n\nhint: another lab of this name is up: \
         [HOME]/b/first/lab.toml\n--- exit code 2\n"
    );
    world.up("a/first", &["one", "web"], "");
    assert_eq!(world.says(&["down", "--all"]), "lab first is down\nlab first is down\n");
    assert_eq!(world.says(&["down", "--all"]), "no lab is up\n");
    let left: Vec<_> = fs::read_dir(world.home.path().join("r")).expect("the runtime folder").collect();
    assert!(left.is_empty(), "{left:?}");
    world.home.assert_clean("after `dryrack down --all`");
}

#[test]
fn the_status_shows_links_in_the_width_of_the_terminal() {
    let world = World::new();
    world.up(
        "lab",
        &["one"],
        "network.far.address = \"10.74.0.1/24\"\nnode.one.nic = { lan = {}, far = { link = \"down\" } }\n",
    );
    let row = |status: &str| {
        let row = status.lines().find(|line| line.starts_with("  one ")).expect("a row");
        row.split_whitespace().map(str::to_owned).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(row(&world.says(&["status"])), "one off 10.74.0.10 10.73.0.10 far down");
    world.says(&["link", "down", "one", "lan"]);
    assert_eq!(row(&world.says(&["status"])), "one off 10.74.0.10 10.73.0.10 down");
    let status: Value = serde_json::from_str(&world.says(&["status", "--json"])).expect("JSON");
    assert_eq!(status[0]["links"]["one"], serde_json::json!({ "far": false, "lan": false }));
    world.says(&["link", "up", "one", "lan"]);
    world.says(&["link", "up", "one", "far"]);
    assert_eq!(row(&world.says(&["status"])), "one off 10.74.0.10 10.73.0.10 up");
}

#[test]
fn expectations_are_waited_for() {
    let world = World::new();
    let more = "process.quick = { run = \"exit 0\" }\nprocess.wrong = { run = \"exit 3\" }\nprocess.slow = { run = \"echo $$ > slow.pid; exec sleep 1000\" }\n\
                expect.good = { within = \"1m\", that = { process = \"quick\" } }\n\
                expect.bad = { within = \"1m\", that = { process = \"wrong\" } }\n\
                expect.ends = { within = \"30d\", that = { process = \"slow\" } }\n";
    world.up("lab", &[], more);
    let met = world.says(&["wait", "lab", "good"]);
    assert!(met.starts_with("  met ") && met.contains("good: ") && met.lines().count() == 1, "{met}");
    let missed = world.says(&["wait", "--lab", "lab", "good", "bad"]);
    assert!(
        missed.contains("  met ") && missed.contains("  missed ") && missed.ends_with("--- exit code 1\n"),
        "{missed}"
    );
    let late = world.says(&["wait", "lab", "--timeout", "10ms"]);
    assert!(
        late.contains("  pending ") && late.contains("error: not everything is decided; lab lab goes on\n"),
        "{late}"
    );
    assert!(late.ends_with("--- exit code 1\n"), "{late}");
    let json: Value = serde_json::from_str(&world.says(&["wait", "lab", "good", "--json"])).expect("JSON");
    assert_eq!((&json[0]["expect"], &json[0]["outcome"]), (&"good".into(), &"met".into()));
    assert_eq!(
        world.says(&["wait", "lab", "god"]),
        "error: lab lab has no expectation `god`\n\nhint: did you mean `good`?\n--- exit code 2\n"
    );
    let mut waiting =
        world.home.start(["wait", "--lab", world.home.path().join("lab").to_str().expect("text")]);
    // Its number in the lab, which `exec` joins.
    let slow = wait_for("the process", Duration::from_secs(20), || {
        let text = fs::read_to_string(world.home.path().join("lab/slow.pid")).ok()?;
        text.trim().parse::<u32>().ok()
    });
    assert_eq!(world.says(&["exec", "--lab", "lab", "sh", "-c", &format!("kill {slow}")]), "");
    // With the last process everything is decided.
    assert_eq!(common::wait(&mut waiting, Duration::from_secs(20)).and_then(|status| status.code()), Some(1));
    assert!(world.home.said().contains("  missed "), "{}", world.home.said());
    assert_eq!(world.says(&["down"]), "lab lab is down\n");

    // The same at once, and the lab stays up.
    let text = "dryrack = 1\nnetwork.lan.address = \"10.73.0.1/24\"\nprocess.quick = { run = \"exit 0\" }\n\
                expect.good = { within = \"1m\", that = { process = \"quick\" } }\n";
    world.home.lab("good", text);
    let up = world.says(&["up", "--wait", "good.toml"]);
    assert!(up.contains("  met ") && up.contains("the lab is up; ") && !up.contains("--- exit code"), "{up}");
    assert!(world.says(&["status"]).contains(" is up, for "));
}

#[test]
fn the_lab_with_a_grpc_api_is_the_server_that_is_meant() {
    let world = World::new();
    let port = TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("an address").port();
    let folder = world.home.path().join("api");
    fs::create_dir_all(folder.join("profiles")).expect("a folder");
    let text = "dryrack = 1\nnetwork.lan.address = \"10.73.0.1/24\"\n\
                network.lan.matchbox = { data = \".\", rpc = { tls = \"tls\" } }\n";
    fs::write(folder.join("lab.toml"), text).expect("a lab file");
    world.home.lab("port", &format!("publish.\"{port}\" = \"lan:8081\"\n"));
    assert!(!world.says(&["tls", "init", "api"]).contains("--- exit code"));
    let before = world.says(&["profile", "list"]);
    assert!(before.contains("/etc/matchbox") && before.contains("--- exit code 3"), "{before}");
    let up = world.says(&["up", "--detach", "api", "--on", "port.toml"]);
    assert!(!up.contains("--- exit code"), "{up}");
    world.up("other", &[], "");
    // What is served follows from the run, not from what the file says meanwhile.
    for text in [text, "this is no lab"] {
        fs::write(folder.join("lab.toml"), text).expect("a lab file");
        for args in [&["profile", "list"][..], &["profile", "list", "--lab", "api"]] {
            let list = world.says(args);
            assert_eq!(list.lines().next(), Some("ID  PROFILE NAME  IGNITION  CLOUD"), "{args:?}: {list}");
        }
    }
    // A run that cannot tell what it serves is no reason to ask another server silently.
    let registered = fs::read_dir(world.home.path().join("runs")).expect("runs").flatten();
    let api = registered.map(|run| run.path()).find(|run| run.display().to_string().ends_with("-api"));
    fs::write(api.expect("the run").join("request.json"), "{}").expect("a file");
    let unknown = world.says(&["profile", "list"]);
    assert!(unknown.starts_with("error: cannot read the request of the run "), "{unknown}");
}

#[test]
fn a_lab_without_expectations_cannot_be_tested() {
    let world = World::new();
    world.home.lab("bare", "dryrack = 1\nnetwork.lan.address = \"10.73.0.1/24\"\n");
    assert_eq!(
        world.says(&["test", "bare.toml"]),
        "error: [HOME]/bare.toml has no expectation to test\n\n\
         hint: add `[expect.NAME]`, or bring the lab up with `dryrack up`\n--- exit code 2\n"
    );
}

#[test]
fn a_command_for_a_lab_needs_no_dashes() {
    let world = World::new();
    world.up("lab", &[], "");
    let addresses = world.says(&["exec", "--lab", "lab", "ip", "-br", "address"]);
    assert!(addresses.contains("10.73.0.1/24"), "{addresses}");
    assert_eq!(world.says(&["exec", "echo", "--lab", "--", "x"]), "--lab -- x\n");
    assert_eq!(world.says(&["exec", "--", "echo", "--", "x"]), "-- x\n");
}

#[test]
fn a_start_that_failed_has_a_report_and_a_trace() {
    let world = World::new();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = taken.local_addr().expect("an address").port();
    let folder = world.home.path().join("lab");
    fs::create_dir_all(&folder).expect("a folder");
    build(&["tiny"]);
    let text = format!(
        "dryrack = 1\naccel = \"tcg\"\nnetwork.lan.address = \"10.73.0.1/24\"\nprofile.tiny.kernel = \"image:tiny/kernel\"\n\
         node.one = {{ memory = \"64MiB\", profile = \"tiny\" }}\npublish = {{ \"{port}\" = \"one:22\" }}\n\
         expect.up = {{ within = \"1m\", that = {{ stage = \"os\" }} }}\n"
    );
    fs::write(folder.join("lab.toml"), text).expect("a lab file");
    let up = world.says(&["up", "lab"]);
    assert!(up.contains("Address already in use") && up.ends_with("--- exit code 3\n"), "{up}");
    let runs = world.says(&["runs"]);
    assert!(runs.contains("  lab  exit code 3  "), "{runs}");
    let report = world.says(&["report"]);
    assert!(report.contains("error: ") && report.contains("Address already in use"), "{report}");
    assert!(report.contains("\nlab: 0 of 1 expectations met, 1 pending; "), "{report}");
    assert!(report.contains("  one   off           0  "), "{report}");
    let trace = world.says(&["trace", "--events", "lab"]);
    assert!(trace.contains("started lab lab under tcg\n"), "{trace}");
    assert!(
        trace.contains("failed: start the supervisor: ") && trace.contains("Address already in use"),
        "{trace}"
    );
    assert!(trace.ends_with("ended with exit code 3\n"), "{trace}");
}

#[test]
fn several_labs_have_a_line_each_and_logs_show_processes() {
    let world = World::new();
    let more =
        "process.talk = { run = \"echo hello; echo world >&2\" }\nexpect.said.that.process = \"talk\"\n";
    world.up("one", &[], more);
    world.says(&["wait"]);
    assert!(world.says(&["status"]).starts_with("one is up, for "));
    let line = world.says(&["status", "--short"]);
    let fields = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(
        fields(line.lines().next().expect("a heading")),
        ["lab", "state", "for", "nodes", "expectations", "file"]
    );
    let line = fields(line.lines().nth(1).expect("a line"));
    assert_eq!(
        (&line[..2], &line[3..]),
        (
            &["one".into(), "up".into()][..],
            &["none", "1", "of", "1", "met", "[HOME]/one/lab.toml"].map(String::from)[..]
        )
    );
    world.up("two", &[], "");
    let lines = world.says(&["status"]);
    assert_eq!(lines.lines().count(), 3, "{lines}");

    let logs = world.says(&["logs", "talk"]);
    let words: Vec<&str> =
        logs.lines().map(|line| line.split_once("  talk      ").expect("a name").1).collect();
    assert_eq!(words, ["hello", "world"]);
    assert_eq!(world.says(&["logs", "--lab", "one"]), logs);
    assert_eq!(
        world.says(&["logs", "--lab", "one", "tlak"]),
        "error: lab one has no node and no process `tlak`\n\nhint: did you mean `talk`?; \
         `dryrack logs --run RUN` shows a run that has ended\n--- exit code 2\n"
    );
    world.says(&["down", "one"]);
    assert_eq!(world.says(&["logs", "--run", "one", "talk"]), logs);
}

/// Sends a frame, given its bytes, from an interface.
const SEND: &str = "import socket, sys\ns = socket.socket(socket.AF_PACKET, socket.SOCK_RAW)\ns.bind((sys.argv[1], 0))\ns.send(bytes.fromhex(sys.argv[2]).ljust(64, bytes(1)))";

/// The header of a broadcast in VLAN 5 with priority 1.
const TAGGED: &str = "ffffffffffff0200000000988100200588b5";

#[test]
fn frames_are_captured_until_somebody_ends_it() {
    let world = World::new();
    world.up("lab", &["one"], "");
    let folder = world.home.path().to_owned();
    let start = |what: &str, file: &str| {
        let path = folder.join(file);
        let child = world.home.start(["capture", what, "-w", path.to_str().expect("text")]);
        // The head is written as soon as frames are kept.
        wait_for("the capture", Duration::from_secs(20), || {
            fs::metadata(&path).ok().filter(|file| file.len() > 0)
        });
        (child, path)
    };
    let shown = |path: &Path| {
        let read = run(Command::new("tcpdump").args(["-n", "-e", "-r"]).arg(path));
        assert!(read.status.success(), "{}", stderr(&read));
        stdout(&read)
    };
    // With a known neighbour, one query is one frame, which the bridge sends to all its ports.
    let addresses = world.says(&["exec", "ip", "-br", "-4", "address"]);
    let bridge = addresses.lines().find(|line| line.contains("10.73.0.1/24")).expect("the bridge");
    let bridge = bridge.split([' ', '@']).next().expect("a name");
    let neighbour = ["neigh", "replace", "10.73.0.10", "lladdr", "02:00:00:00:00:99", "dev", bridge];
    assert_eq!(world.says(&[&["exec", "ip"][..], &neighbour].concat()), "");
    let queries = |text: &str| text.matches(" > 10.73.0.10.53: ").count();
    let (mut network, lan) = start("lan", "lan.pcapng");
    let (mut node, one) = start("one", "one.pcapng");
    // The kernel takes the VLAN tag out of a frame that enters the bridge.
    let enters = [
        "ip link add in type veth peer name port",
        &format!("ip link set port up master {bridge}"),
        "ip link set in up",
        &format!("exec python3 -c '{SEND}' in {TAGGED}"),
    ];
    let entered = world.says(&["exec", "sh", "-ec", &enters.join("\n")]);
    assert_eq!(entered, "");
    wait_for("the tagged frame", Duration::from_secs(20), || {
        shown(&one).contains("ethertype 802.1Q (0x8100), length 64: vlan 5, p 1, ").then_some(())
    });
    // The node is off, so nobody answers.
    world.says(&["exec", "dig", "+time=1", "+tries=1", "@10.73.0.10", "nobody"]);
    for path in [&lan, &one] {
        wait_for("a frame", Duration::from_secs(20), || (queries(&shown(path)) > 0).then_some(()));
    }
    common::signal(i32::try_from(network.id()).expect("a process id"), nix::sys::signal::Signal::SIGINT);
    assert_eq!(common::wait(&mut network, Duration::from_secs(20)).and_then(|status| status.code()), Some(0));
    // Each frame is in it once, although it was seen on the bridge and on the port of the node.
    let frames = shown(&lan);
    assert_eq!(queries(&frames), 1, "{frames}");
    assert_eq!(
        world.says(&["capture", "lam"]),
        "error: lab lab has no network and no node `lam`\n\nhint: did you mean `lan`?\n--- exit code 2\n"
    );
    // A reader that closes its pipe ends the capture.
    let mut piped = world.home.dryrack(["capture", "lan", "-w", "-"]);
    let mut piped = piped.stdout(Stdio::piped()).spawn().expect("a child");
    let mut first = [0; 4];
    piped.stdout.take().expect("a pipe").read_exact(&mut first).expect("the head");
    assert_eq!(first, [0x0a, 0x0d, 0x0d, 0x0a]);
    world.says(&["exec", "dig", "+time=1", "+tries=1", "@10.73.0.11", "nobody"]);
    assert_eq!(common::wait(&mut piped, Duration::from_secs(20)).and_then(|status| status.code()), Some(0));
    // So does the end of the lab, and the file is complete.
    assert_eq!(world.says(&["down"]), "lab lab is down\n");
    assert_eq!(common::wait(&mut node, Duration::from_secs(20)).and_then(|status| status.code()), Some(0));
    shown(&one);
    world.home.assert_clean("after a capture");
    // A run that is killed does not end it: frames may be missing.
    world.up("lab", &["one"], "");
    let (mut broken, _) = start("lan", "broken.pcapng");
    let supervisor = world.home.process("dryrack-inner").expect("the supervisor");
    common::signal(supervisor, nix::sys::signal::Signal::SIGKILL);
    assert_eq!(common::wait(&mut broken, Duration::from_secs(20)).and_then(|status| status.code()), Some(3));
    let said = world.home.said();
    assert!(said.contains("error: the capture of lan broke off: ") && !said.contains("wrote "), "{said}");
}
