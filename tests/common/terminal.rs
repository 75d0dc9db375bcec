//! A terminal in a lab whose nodes have BMCs: runs clients of others, and keeps what was typed and printed.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::Signal;
use regex::Regex;
use serde_json::Value;

use crate::common::dialogue::Dialogue;
use crate::common::{Home, build, cache, run, signal, stderr, stdout, wait, wait_for};

/// Timeout for the boot of an emulated machine on a busy host.
pub(crate) const BOOT: Duration = Duration::from_secs(120);
/// Timeout of what a BMC does at once.
pub(crate) const SOON: Duration = Duration::from_secs(10);

const NETWORKS: &str = r#"
dryrack = 1
name = "bmc"
accel = "tcg"
network.lan.address = "10.91.0.1/24"
network.lan.root = "served"

[network.mgmt]
address = "10.91.1.1/24"
dhcp = "off"
bmc = {}

[profile.tiny]
kernel = "image:tiny/kernel"
initrd = ["image:tiny/initrd"]
args = ["console=ttyS0", "no_timer_check"]
"#;

/// What differs between runs, versions and packages of the clients, by how it looks.
const PLACEHOLDERS: [(&str, &str); 11] = [
    (r"\d\d/\d\d/\d\d \| \d\d:\d\d:\d\d UTC", "DATE     | TIME        "),
    (r"[A-Z][a-z][a-z]-\d\d-\d{4} \| \d\d:\d\d:\d\d", "DATE        | TIME    "),
    (r"(message_tag|rq_seq)=\d+", "$1=N"),
    (r"(Firmware Revision +:) .*", "$1 VERSION"),
    (r"(Last (?:Add|Del) Time +:) \d.*", "$1 DATE TIME"),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "TIME"),
    (r"(?im)^(date:) .*", "$1 DATE"),
    (r#"\\?"[0-9a-f]{16}\\?""#, "ETAG"),
    (r"(?i)(x-auth-token: )[0-9a-f]{32}", "${1}TOKEN"),
    (r#"("Context":)"[0-9a-f]{16}""#, "${1}ID"),
    // A terminal of `script` ends lines for a terminal.
    ("\r", ""),
];

/// A terminal in the network of a lab. It keeps what was typed and printed.
pub(crate) struct Terminal {
    pub(crate) home: Home,
    pub(crate) password: String,
    transcript: String,
}

/// What a command did.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) code: i32,
    pub(crate) said: String,
}

impl Terminal {
    /// Brings a lab up; its machines stay off.
    pub(crate) fn open(lab: &str, files: &[(&str, &[u8])]) -> Self {
        build(&["tiny"]);
        Self::open_in(Home::with_host(), lab, files)
    }

    /// The same in a folder that has something already.
    pub(crate) fn open_in(home: Home, lab: &str, files: &[(&str, &[u8])]) -> Self {
        fs::create_dir(home.path().join("served")).expect("a folder");
        for (name, bytes) in files {
            fs::write(home.path().join(name), bytes).expect("a file");
        }
        let lab = home.lab("bmc", &format!("{NETWORKS}{lab}"));
        let mut terminal = Self { home, password: String::new(), transcript: String::new() };
        terminal.dryrack(&["up", "--detach", lab.to_str().expect("a path")]);
        terminal.password = fs::read_to_string(terminal.file("bmc-password")).expect("a password");
        terminal
    }

    /// Runs `dryrack` with success; returns both outputs.
    #[track_caller]
    pub(crate) fn dryrack(&self, args: &[&str]) -> String {
        let output = run(self.home.dryrack(args.iter().copied()).current_dir(self.home.path()));
        assert_eq!(output.status.code(), Some(0), "{args:?}: {}{}", stdout(&output), stderr(&output));
        stdout(&output) + &stderr(&output)
    }

    /// Returns the path of a file in the run folder.
    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.home.run_dir().join(name)
    }

    /// Creates a command in the network of the lab. `$PASSWORD` is that of the BMCs, `$CA` the file with the certificate
    /// that theirs are signed with.
    pub(crate) fn command(&self, command: &str) -> Command {
        const SHELL: &str = r#"
            export HOME="$1" PASSWORD="$2" IPMI_PASSWORD="$2" CA="$3" REQUESTS_CA_BUNDLE="$3" TZ=UTC LC_ALL=C
            export PATH="$4:$PATH:/usr/sbin:/sbin"
            cd "$1" && eval "$5"
        "#;
        let words = ["exec", "--lab", "bmc", "--", "timeout", "600", "sh", "-c", SHELL, "sh"];
        let mut dryrack = self.home.dryrack(words);
        dryrack.arg(self.home.path()).arg(&self.password).arg(self.file("authority/ca.pem"));
        dryrack.arg(clients()).arg(format!("{{ {command}\n}} 2>&1"));
        dryrack
    }

    /// Starts a program whose input does not end.
    pub(crate) fn start(&self, command: &str) -> Child {
        let mut command = self.command(command);
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("a child")
    }

    /// Starts a program that is talked to while it runs.
    pub(crate) fn talk_to(&self, command: &str) -> Dialogue {
        Dialogue::start(self.command(command).stderr(Stdio::null()))
    }

    /// Activates Serial over LAN with a command of `ipmitool`.
    #[track_caller]
    pub(crate) fn activate(&self, command: &str) -> Dialogue {
        // Without a terminal it would keep its first lines.
        let console = self.talk_to(&format!("stdbuf --output=L {command}"));
        console.until("[SOL Session operational.");
        console
    }

    /// Kills a program that was started, as if its machine had lost its power.
    pub(crate) fn kill(&self, program: &str, mut child: Child) {
        if let Some(pid) = self.home.process(program) {
            signal(pid, Signal::SIGKILL);
        }
        wait(&mut child, SOON).expect("the end of what was killed");
    }

    /// Runs a command in the network of the lab.
    pub(crate) fn ask(&self, command: &str) -> Done {
        let output = run(self.command(command));
        Done { code: output.status.code().expect("an exit code"), said: stdout(&output) + &stderr(&output) }
    }

    /// Runs a command for the transcript.
    pub(crate) fn types(&mut self, command: &str) -> Done {
        let done = self.ask(command);
        self.keep("$", command, &done);
        done
    }

    /// Keeps for the transcript what a command did, and at which prompt it was typed.
    pub(crate) fn keep(&mut self, prompt: &str, command: &str, done: &Done) {
        let transcript = &mut self.transcript;
        writeln!(transcript, "{prompt} {command}").expect("text");
        for line in done.said.trim_end().lines() {
            writeln!(transcript, "{}", line.trim_end()).expect("text");
        }
        if done.code != 0 {
            writeln!(transcript, "[exit code {}]", done.code).expect("text");
        }
        transcript.push('\n');
    }

    /// Runs commands for the transcript that must succeed; returns what the last one printed.
    #[track_caller]
    pub(crate) fn succeeds(&mut self, command: &str) -> String {
        let done = self.types(command);
        assert_eq!(done.code, 0, "{command}: {}", done.said);
        done.said
    }

    /// Runs a command for the transcript that must fail and say why.
    #[track_caller]
    pub(crate) fn fails(&mut self, command: &str, why: &str) {
        let done = self.types(command);
        assert!(done.code == 1 && done.said.contains(why), "{command}: {done:?}");
    }

    /// Waits until a command prints a text.
    #[track_caller]
    pub(crate) fn until(&self, command: &str, text: &str) {
        self.wait(command, text, |said| said.contains(text));
    }

    /// Waits until a text is the last that a command prints.
    #[track_caller]
    pub(crate) fn until_last(&self, command: &str, text: &str) {
        self.wait(command, text, |said| said.trim_end().ends_with(text));
    }

    #[track_caller]
    pub(crate) fn wait(&self, command: &str, text: &str, is_there: impl Fn(&str) -> bool) {
        wait_for(&format!("`{text}` from {command}"), BOOT, || {
            let is_there = is_there(&self.ask(command).said);
            if !is_there {
                std::thread::sleep(Duration::from_millis(200));
            }
            is_there.then_some(())
        });
    }

    /// Counts how often a node has printed a text.
    pub(crate) fn printed(&self, node: &str, text: &str) -> usize {
        let log = fs::read(self.file(&format!("node/{node}/console.log"))).unwrap_or_default();
        String::from_utf8_lossy(&log).matches(text).count()
    }

    /// Waits until a node has printed a text a number of times.
    #[track_caller]
    pub(crate) fn until_printed(&self, node: &str, text: &str, times: usize) {
        wait_for(&format!("{text} from {node}"), BOOT, || {
            std::thread::sleep(Duration::from_millis(50));
            (self.printed(node, text) >= times).then_some(())
        });
    }

    /// Returns the plan of a node.
    pub(crate) fn plan(&self, node: &str) -> Value {
        let plan: Value =
            serde_json::from_slice(&fs::read(self.file("plan.json")).expect("a plan")).expect("JSON");
        plan["nodes"][node].clone()
    }

    /// Compares the transcript with that of a client below `tests/`, if it is of the same version of the client.
    pub(crate) fn compare(&self, client: &str, version: &str) {
        let mut text = self.transcript.replace(&self.password, "PASSWORD");
        text = text.replace(&self.home.path().display().to_string(), "HOME");
        for (pattern, placeholder) in PLACEHOLDERS {
            text = Regex::new(pattern).expect("a pattern").replace_all(&text, placeholder).into_owned();
        }
        let text = format!("{version}\n\n{}\n", text.trim_end());
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/{client}.txt"));
        if std::env::var_os("DRYRACK_BLESS").is_some() {
            fs::write(&path, &text).expect("a folder of tests");
        }
        let kept = fs::read_to_string(&path).unwrap_or_default();
        if kept.lines().next().is_some_and(|of| of != version) {
            // Other versions print other texts; what matters has been asserted.
            return;
        }
        if let Some((line, (was, is))) =
            (1..).zip(kept.lines().zip(text.lines())).find(|(_, (was, is))| was != is)
        {
            panic!("{client}.txt:{line}: DRYRACK_BLESS=1 writes it\n- {was}\n+ {is}\n\n{text}");
        }
        assert_eq!(
            kept.lines().count(),
            text.lines().count(),
            "{client}.txt: DRYRACK_BLESS=1 writes it\n{text}"
        );
    }

    /// Takes the lab down and checks that nothing is left of it: no process, no link, no mount.
    pub(crate) fn close(self) {
        self.dryrack(&["down"]);
        self.home.assert_clean("after the lab");
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Already down if the test has passed.
        run(&mut self.home.dryrack(["down"]));
    }
}

/// Returns the folder of the clients that `ci/setup` installs from PyPI.
pub(crate) fn clients() -> PathBuf {
    cache().join("redfish-clients/bin")
}

/// What ends a console of `ipmitool`.
pub(crate) const LEAVES: &str = "\r~.";

/// A command of `ipmitool` as administrator of the BMC of node `a`.
pub(crate) fn ipmitool(command: &str) -> String {
    format!("ipmitool -I lanplus -H 10.91.1.10 -U admin -E {command}")
}

/// Returns the value of the line that begins with a name, as clients print tables.
pub(crate) fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let line = text.lines().find(|line| line.trim().starts_with(name))?;
    line.split_once(':').map(|(_, value)| value.trim())
}

/// A machine with BIOS whose disk, which prints [`FROM_DISK`], comes before the network. Nobody powers it on.
pub(crate) const NODE_A: &str = r#"
[node.a]
memory = "160MiB"
nic.lan = {}
profile = "tiny"
start = "manual"
boot = ["disk", "network"]
disk.root = { size = "16MiB", source = "disk.img" }
"#;

pub(crate) const FROM_DISK: &str = "from the disk";
/// What the system from the network prints on node `a` when it takes commands.
pub(crate) const FROM_NETWORK: &str = "a> ";
/// What it prints once in each start, on any node.
pub(crate) const SYSTEM_IS_UP: &str = "login-free console";
