//! Commands on a lab that is up: one lab, one real machine, every command.

#![expect(clippy::disallowed_methods, reason = "a test waits on the clock and starts what it needs")]

#[expect(dead_code, reason = "each test binary uses a part of it")]
mod common;

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::Duration;

use common::boot_media::bootable_cd;
use common::dialogue::Dialogue;
use common::{Home, build, run, stderr, stdout, wait, wait_for};
use nix::pty::openpty;
use nix::sys::signal::Signal;
use nix::sys::termios::{LocalFlags, tcgetattr};
use serde_json::Value;

/// Timeout for the boot of an emulated machine on a busy host.
const BOOT: Duration = Duration::from_secs(120);
/// Timeout of a command.
const SOON: Duration = Duration::from_secs(20);

const LAB: &str = r#"
dryrack = 1
name = "verbs"
accel = "tcg"
network.lan.address = "10.71.0.1/24"
network.far.address = "10.72.0.1/24"

[profile.tiny]
kernel = "image:tiny/kernel"
initrd = "image:tiny/initrd"
args = ["console=ttyS0", "no_timer_check"]

[node.one]
memory = "128MiB"
profile = "tiny"
nic.lan = {}

[node.two]
memory = "128MiB"
profile = "tiny"
start = "manual"
nic.lan = {}
nic.far = {}

[expect.up]
nodes = ["one"]
within = "3m"
that = { stage = "os" }

[expect.never]
nodes = ["one"]
never = { console = "Kernel panic" }
"#;

/// A lab that is up; torn down whatever the result of the test is.
struct Up {
    home: Home,
}

impl Up {
    fn bring() -> Self {
        build(&["tiny"]);
        let up = Self { home: Home::new() };
        let lab = up.home.lab("lab", LAB);
        let said = up.succeed(&["up", "--detach", lab.to_str().expect("a path")]);
        assert!(
            said.ends_with("the lab is up; `dryrack status` shows its state, `dryrack down` tears it down\n"),
            "{said}"
        );
        up
    }

    /// Runs a command that must succeed; returns both outputs.
    fn succeed(&self, args: &[&str]) -> String {
        let output = run(self.home.dryrack(args.iter().copied()).current_dir(self.home.path()));
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}{}", stdout(&output), stderr(&output));
        stdout(&output) + &stderr(&output)
    }

    /// Runs a command that must fail with an exit code; returns its output.
    fn fail(&self, code: i32, args: &[&str]) -> String {
        let output = run(self.home.dryrack(args.iter().copied()).current_dir(self.home.path()));
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}{}", stdout(&output), stderr(&output));
        stderr(&output)
    }

    fn status(&self) -> Value {
        let list: Value = serde_json::from_str(&self.succeed(&["status", "--json"])).expect("JSON");
        list[0].clone()
    }

    /// Waits until a node has reached a stage.
    fn wait_for_stage(&self, node: &str, stage: &str) {
        wait_for(&format!("{node} to reach {stage}"), BOOT, || {
            (self.status()["snapshot"]["nodes"][node]["stage"] == stage).then_some(())
        });
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        // Already down if the test has passed.
        run(&mut self.home.dryrack(["down"]));
    }
}

#[test]
fn a_lab_that_is_up_can_be_looked_at_and_handled() {
    let up = Up::bring();
    is_up_once(&up);
    up.wait_for_stage("one", "os");
    shows_itself(&up);
    consoles(&up);
    powers(&up);
    refuses(&up);
    boots_a_cd(&up);
    plugs(&up);
    types(&up);
    takes_pictures(&up);
    runs_commands(&up);
    tells_ssh_the_way(&up);
    prints_logs(&up);
    goes_down(&up);
}

fn is_up_once(up: &Up) {
    let again = up.fail(2, &["up", "lab.toml"]);
    assert!(again.starts_with("error: lab `verbs` is up already\n\nhint: `dryrack status "), "{again}");
    let plan = up.succeed(&["plan", "lab.toml"]);
    assert!(plan.contains("start machine two, paused"), "a plan disturbs no lab: {plan}");
}

fn shows_itself(up: &Up) {
    let status = up.status();
    assert_eq!(status["lab"], "verbs");
    assert_eq!((&status["isolation"], &status["accel"]), (&"private".into(), &"tcg".into()));
    assert_eq!(status["addresses"]["two"].as_array().map(Vec::len), Some(2), "{status}");
    assert_eq!(status["snapshot"]["lab"], "up");
    let verdicts = status["verdicts"].as_array().expect("verdicts").iter();
    let outcomes: Vec<_> = verdicts.map(|verdict| (&verdict["expect"], &verdict["outcome"])).collect();
    assert_eq!(outcomes, [(&"never".into(), &"pending".into()), (&"up".into(), &Value::from("met"))]);
    let text = up.succeed(&["status", "verbs"]);
    assert!(text.starts_with("verbs is up, for "), "{text}");
    assert!(text.contains("\n  one   os     10.71.0.10"), "{text}");
    assert!(text.contains("\n  two   off    "), "{text}");
    assert!(text.contains("  up on one: stage os within 3m\n"), "{text}");
}

/// Starts `dryrack console` with a pipe as standard input.
fn console(up: &Up, node: &str) -> Dialogue {
    Dialogue::start(up.home.dryrack(["console", node]).stderr(Stdio::piped()))
}

fn consoles(up: &Up) {
    let mut attached = console(up, "one");
    // The node reads its console slowly.
    attached.type_in("echo $((20 + 3))x\r");
    attached.until("23x");
    let (code, said) = attached.end("lost\x1dlost");
    assert!(code == Some(0) && said.ends_with("left one\n"), "{code:?}: {said}");

    for leave in ["Ctrl-]", "SIGTERM", "SIGHUP"] {
        terminal(up, leave);
    }
    let stranger = up.fail(2, &["console", "on"]);
    assert_eq!(stranger, "error: lab verbs has no node `on`\n\nhint: did you mean `one`?\n");
}

/// Attaches with a terminal as standard input, and detaches.
fn terminal(up: &Up, leave: &str) {
    let pty = openpty(None, None).expect("a terminal");
    let mut screen = File::from(pty.master.try_clone().expect("a descriptor"));
    let screen = std::thread::spawn(move || {
        let mut shown = Vec::new();
        let mut chunk = [0; 4096];
        // The end of a terminal that nobody uses is an error.
        while let Ok(count @ 1..) = screen.read(&mut chunk) {
            shown.extend_from_slice(&chunk[..count]);
        }
        shown
    });
    let flags = |fd: &OwnedFd| tcgetattr(fd.as_fd()).expect("a terminal").local_flags;
    let before = flags(&pty.slave);
    assert!(before.contains(LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG));
    let end = || Stdio::from(pty.slave.try_clone().expect("a descriptor"));
    let mut command = up.home.dryrack(["console", "one"]);
    let mut child = command.stdin(end()).stdout(end()).stderr(Stdio::null()).spawn().expect("a child");
    let raw = LocalFlags::ICANON | LocalFlags::ECHO | LocalFlags::ISIG;
    wait_for("the terminal to be raw", SOON, || (!flags(&pty.slave).intersects(raw)).then_some(()));
    let pid = i32::try_from(child.id()).expect("a process id");
    let expected = match leave {
        "Ctrl-]" => {
            File::from(pty.master.try_clone().expect("a descriptor")).write_all(b"\x1d").expect("a terminal");
            0
        }
        "SIGTERM" => {
            common::signal(pid, Signal::SIGTERM);
            130
        }
        _ => {
            common::signal(pid, Signal::SIGHUP);
            130
        }
    };
    let status = wait(&mut child, SOON).expect("it leaves");
    assert_eq!(status.code(), Some(expected), "{leave}");
    assert_eq!(flags(&pty.slave), before, "{leave} restores the terminal");
    // Nothing of the node comes after what resets the modes of the terminal.
    drop((pty.slave, command));
    let shown = screen.join().expect("what the terminal shows");
    let shown = String::from_utf8_lossy(&shown);
    assert!(shown.ends_with("\x1b[?2004l\x1b[?2026l"), "{leave}: {shown:?}");
    for mode in ["\x1b[?1049l", "\x1b[?7h", "\x1b[?25h", "\x1b[0m", "\x1b[?1l\x1b>", "\x1b[?1000l"] {
        assert!(shown.contains(mode), "{leave}: {mode:?} in {shown:?}");
    }
}

fn powers(up: &Up) {
    assert_eq!(up.succeed(&["power", "off", "one"]), "one is off\n");
    up.wait_for_stage("one", "off");
    let kernels = || up.succeed(&["logs", "one"]).matches("Linux version ").count();
    let before = kernels();
    assert_eq!(up.succeed(&["power", "on", "one"]), "one is on\n");
    wait_for("its kernel", BOOT, || (kernels() > before).then_some(()));
    assert_eq!(up.succeed(&["power", "reset", "one"]), "one was reset\n");
    assert_eq!(up.succeed(&["power", "cycle", "one"]), "one was power-cycled\n");
    assert_eq!(up.succeed(&["power", "off", "--force", "one", "two"]), "one is off\ntwo is off\n");
    let off = up.fail(3, &["power", "cycle", "one"]);
    assert_eq!(off, "error: `one` is off\n\nhint: power it on first\n");
    assert_eq!(up.succeed(&["power", "on", "one"]), "one is on\n");
    assert_eq!(up.status()["snapshot"]["nodes"]["one"]["boots"], 5);
    let force = up.fail(2, &["power", "on", "--force", "one"]);
    assert_eq!(force, "error: `--force` is only for `off`\n");
    up.fail(2, &["power", "on", "one", "three"]);
    up.wait_for_stage("one", "os");
    assert_eq!(up.succeed(&["power", "nmi", "one"]), "one was interrupted\n");
    wait_for("the kernel to tell", SOON, || {
        up.succeed(&["logs", "one"]).contains("NMI received").then_some(())
    });
}

fn refuses(up: &Up) {
    let setup = up.fail(3, &["boot", "setup", "one"]);
    let why = "its firmware, SeaBIOS, has no setup menu";
    assert_eq!(setup, format!("error: `one` does not support `boot setup once`\n\nhint: {why}\n"));
    let disk = up.fail(3, &["boot", "disk", "one"]);
    assert_eq!(disk, "error: `one` does not support `boot disk once`\n\nhint: it has no disk\n");
    let usb = up.fail(3, &["boot", "usb", "one"]);
    assert!(usb.ends_with("hint: it has no disk with `bus = \"usb\"`\n"), "{usb}");
    let drive = up.fail(3, &["media", "eject", "one", "--drive", "stick"]);
    assert!(drive.starts_with("error: `one` has no drive `stick`\n"), "{drive}");
    let empty = up.fail(3, &["media", "insert", "one"]);
    assert_eq!(empty, "error: the lab file has no image for cd of `one`\n\nhint: name a file\n");
    up.fail(2, &["media", "eject", "one", "no.iso"]);
    let missing = up.fail(2, &["media", "insert", "one", "no.iso"]);
    assert_eq!(missing, "error: cannot find no.iso: No such file or directory (os error 2)\n");
    up.fail(2, &["boot", "default", "--always", "one"]);
    let capabilities = &up.status()["capabilities"]["one"];
    assert_eq!(capabilities["boot"], serde_json::json!(["network", "cd"]));
}

/// One console client sees what a node boots over power cycles: a CD once, then the network again.
fn boots_a_cd(up: &Up) {
    let image = up.home.path().join("rescue.iso");
    fs::write(&image, bootable_cd("the CD was booted")).expect("a file");
    let path = image.canonicalize().expect("a file");
    let path = path.to_str().expect("text");
    let held = console(up, "one");
    let inserted = up.succeed(&["media", "insert", "one", "rescue.iso"]);
    assert_eq!(inserted, format!("{path} is in the drive of one from its next start on\n"));
    assert_eq!(up.succeed(&["boot-next", "one", "cd"]), "one boots from cd at its next start\n");
    assert_eq!(up.succeed(&["power", "off", "--force", "one"]), "one is off\n");
    up.wait_for_stage("one", "off");
    screen_is_off(up);
    assert_eq!(up.succeed(&["power", "on", "one"]), "one is on\n");
    held.until("the CD was booted");
    // The drive is there now.
    assert_eq!(up.status()["media"]["one"], serde_json::json!({ "cd": path }));
    let shown = up.succeed(&["status"]);
    assert!(shown.contains(&format!("  cd of one has {path}\n")), "{shown}");
    // Node and action in the other order.
    assert_eq!(up.succeed(&["media", "one", "eject"]), "the drive of one is empty\n");
    assert_eq!(up.status()["media"]["one"], serde_json::json!({ "cd": null }));
    assert_eq!(
        up.succeed(&["media", "insert", "one", "rescue.iso"]),
        format!("{path} is in the drive of one\n")
    );
    let before = held.times("Linux version");
    assert_eq!(up.succeed(&["power", "reset", "one"]), "one was reset\n");
    held.until_printed("Linux version", before + 1);
    up.wait_for_stage("one", "os");
    drop(held);
    assert_eq!(
        up.succeed(&["boot", "network", "--always", "one"]),
        "one boots from network from its next start on\n"
    );
    assert_eq!(
        up.succeed(&["boot", "default", "one"]),
        "one follows its boot order from its next start on\n"
    );
}

/// A VNC viewer is told that the node is off.
fn screen_is_off(up: &Up) {
    // The path of a run may be longer than that of a socket may be.
    let folder = File::open(up.home.run_dir().join("node/one")).expect("a folder");
    let mut viewer = UnixStream::connect(format!("/proc/self/fd/{}/vnc.sock", folder.as_raw_fd()))
        .expect("the endpoint of the screen");
    viewer.write_all(b"RFB 003.008\n").expect("a reader");
    let mut said = Vec::new();
    viewer.read_to_end(&mut said).expect("an answer");
    assert_eq!(said, b"RFB 003.008\n\0\0\0\0\x0aone is off");
}

fn plugs(up: &Up) {
    assert_eq!(up.succeed(&["link", "down", "one"]), "lan of one is down\n");
    assert_eq!(up.succeed(&["link", "up", "one", "lan"]), "lan of one is up\n");
    let which = up.fail(2, &["link", "down", "two"]);
    assert_eq!(which, "error: node `two` has 2 NICs: lan, far\n\nhint: name the NIC\n");
}

fn types(up: &Up) {
    let screen = up.succeed(&["screen", "one", "--vnc"]);
    let socket = up.home.run_dir().join("node/one/vnc.sock");
    assert!(
        screen.starts_with(&format!("{}\n", fs::canonicalize(socket).expect("a socket").display())),
        "{screen}"
    );
    assert_eq!(up.succeed(&["screen", "one", "--keys", "Ls -l<enter>"]), "");
    let wrong = up.fail(2, &["screen", "one", "--keys", "<return>"]);
    assert!(wrong.starts_with("error: there is no key `return`; names are enter, "), "{wrong}");
    let off = up.fail(3, &["screen", "two", "--keys", "x"]);
    assert_eq!(off, "error: `two` is off\n\nhint: power it on first\n");
    // What was typed may be a password.
    let events = up.succeed(&["logs", "--events", "one"]);
    assert!(events.contains("  command press 6 keys\n") && !events.contains("Ls -l"), "{events}");
}

fn takes_pictures(up: &Up) {
    let shown = run(&mut up.home.dryrack(["screenshot", "one", "-"]));
    assert!(shown.stdout.starts_with(b"\x89PNG\r\n"), "{}", stderr(&shown));
    assert_eq!(up.succeed(&["screenshot", "one"]), "wrote one.png\n");
    assert!(fs::read(up.home.path().join("one.png")).expect("a file").starts_with(b"\x89PNG"));
    assert!(up.succeed(&["screenshot", "one", "--text"]).lines().any(|line| !line.is_empty()));
    let read = up.succeed(&["screenshot", "one", "--text", "--json"]);
    assert!(read.starts_with(r#"{"mode":""#) && read.contains(r#""off":false"#), "{read}");
    let off = up.fail(3, &["screenshot", "two", "--text"]);
    assert_eq!(off, "error: `two` is off\n\nhint: power it on first\n");
}

fn runs_commands(up: &Up) {
    let addresses = up.succeed(&["exec", "--", "ip", "-br", "address"]);
    assert!(addresses.contains("10.71.0.1/24") && addresses.contains("10.72.0.1/24"), "{addresses}");
    up.fail(7, &["exec", "--lab", "lab.toml", "--", "sh", "-c", "exit 7"]);
    up.fail(128 + 9, &["exec", "--", "sh", "-c", "kill -9 $$"]);
    let nothing = up.fail(3, &["exec", "--", "/no/such/program"]);
    assert!(nothing.contains("/no/such/program"), "{nothing}");
}

fn tells_ssh_the_way(up: &Up) {
    let config = up.home.path().join("ssh.config");
    fs::write(&config, up.succeed(&["ssh-config"])).expect("a file");
    // The exact ssh options, as ssh parses them.
    let mut ssh = up.home.command("ssh");
    let read = stdout(&run(ssh.arg("-G").arg("-F").arg(&config).arg("one")));
    assert!(read.contains("\nhostname 10.71.0.10\n") && read.contains("\nhostkeyalias one\n"), "{read}");
    assert!(
        read.contains("\nserveraliveinterval 3\n") && read.contains("\nserveralivecountmax 3\n"),
        "{read}"
    );
    let proxy = read.lines().find_map(|line| line.strip_prefix("proxycommand ")).expect("a way in");
    let proxy = proxy.replace("%h:%p", "10.71.0.10:80");
    // The node has an address a little before its web server listens.
    wait_for("the way in to lead to the node", SOON, || {
        let mut shell = up.home.command("sh");
        let shell = shell.args(["-c", &proxy]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut shell = shell.stderr(Stdio::null()).spawn().expect("a shell");
        shell.stdin.take().expect("a pipe").write_all(b"GET / HTTP/1.0\r\n\r\n").ok();
        let mut answer = String::new();
        shell.stdout.take().expect("a pipe").read_to_string(&mut answer).expect("text");
        wait(&mut shell, SOON).expect("an end");
        answer.starts_with("HTTP/1.").then_some(())
    });
    let stranger = up.fail(2, &["ssh", "root@three"]);
    assert_eq!(stranger, "error: lab verbs has no node `three`\n\nhint: nodes of the lab: `one`, `two`\n");
}

fn prints_logs(up: &Up) {
    let printed = up.succeed(&["logs", "one"]);
    assert!(printed.contains("  one       ") && printed.contains("Linux version "), "{printed}");
    assert!(!printed.contains("leased"), "{printed}");
    let events = up.succeed(&["logs", "--events", "one"]);
    assert!(events.contains("  dhcp    leased 10.71.0.10 to ipxe"), "{events}");
    for line in up.succeed(&["logs", "--json"]).lines() {
        let event: Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(event["kind"], "console-line");
    }
    let follow = Dialogue::start(&mut up.home.dryrack(["logs", "--follow", "--events"]));
    follow.until("started lab verbs under tcg\n");
    up.succeed(&["link", "down", "two", "far"]);
    follow.until("link far is down\n");
}

fn goes_down(up: &Up) {
    let attached = console(up, "one");
    let follow = Dialogue::start(&mut up.home.dryrack(["logs", "--follow"]));
    let trace = Dialogue::start(&mut up.home.dryrack(["trace", "--follow", "verbs"]));
    follow.until("Linux version ");
    trace.until("started lab verbs under tcg");
    wait_for("somebody to be attached", SOON, || (!attached.printed().is_empty()).then_some(()));
    assert_eq!(up.succeed(&["down"]), "lab verbs is down\n");
    // The attached command is notified, and exits.
    let (code, said) = attached.ended();
    assert!(code == Some(0) && said.ends_with("the console of one was closed\n"), "{code:?}: {said}");
    let (code, said) = follow.ended();
    assert!(code == Some(0) && said.contains("Linux version "), "{code:?}: {said}");
    let (code, text) = trace.ended();
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("one  ▶ os (kernel took "), "{text}");
    assert!(text.trim_end().ends_with("ended with exit code 0"), "{text}");
    up.home.assert_clean("after `dryrack down`");
    assert_eq!(up.succeed(&["status"]), "no lab is up\n");
    up.fail(2, &["down"]);
    let report = up.succeed(&["report"]);
    assert!(report.contains("\n  one   os            7  10.71.0.10  network: firmware "), "{report}");
    assert!(report.contains("\n  two   off           0  "), "{report}");
    assert!(report.contains("verbs: all 2 expectations met; "), "{report}");
    assert!(up.succeed(&["runs"]).contains("  verbs  exit code 0  "));
    let trace = up.succeed(&["trace", "--events", "verbs"]);
    assert!(trace.contains("▶ os\n") && trace.trim_end().ends_with("ended with exit code 0"), "{trace}");
}
