//! Shared by tests of the whole program: a separate home, labs in it, and views of the host.
//!
//! The views are `ip`, `nft` and `/proc`, never the program's own records.

pub(crate) mod boot_media;
pub(crate) mod dialogue;

use std::borrow::BorrowMut;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// The program under test.
pub(crate) const DRYRACK: &str = env!("CARGO_BIN_EXE_dryrack");

/// Time after which nothing may be left of a lab. An end takes a tenth of a second, unless the host is busy.
const GRACE: Duration = Duration::from_secs(20);

/// Separate folders for runs and sockets; images are shared by all tests.
pub(crate) struct Home {
    dir: tempfile::TempDir,
    host: Option<PlayedHost>,
}

/// A network namespace in place of the host's, so that tests do not affect each other.
enum PlayedHost {
    /// If root: its name for `ip netns`.
    Named(String),
    /// Otherwise: one in a user namespace; the child keeps both open.
    Held(Child),
}

impl PlayedHost {
    fn make(name: String) -> Self {
        if nix::unistd::geteuid().is_root() {
            let made = run(Command::new("ip").args(["netns", "add", &name]));
            assert!(made.status.success(), "{}", stderr(&made));
            return Self::Named(name);
        }
        let mut holder = Command::new("unshare");
        holder.args([
            "--user",
            "--map-root-user",
            "--map-auto",
            "--net",
            "sh",
            "-c",
            "echo ready; read line",
        ]);
        holder.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut holder = holder.spawn().expect("unshare");
        let mut ready = [0; 6];
        let told = holder.stdout.as_mut().expect("a pipe").read_exact(&mut ready);
        told.expect("a namespace for a normal user");
        Self::Held(holder)
    }

    /// Creates a command inside it, in a new mount namespace.
    fn command(&self, program: &str) -> Command {
        match self {
            Self::Named(name) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", name, program]);
                command
            }
            Self::Held(holder) => {
                let mut command = Command::new("nsenter");
                command.args(["--target", &holder.id().to_string(), "--user", "--net"]);
                command.args(["unshare", "--mount", program]);
                command
            }
        }
    }
}

impl Drop for PlayedHost {
    fn drop(&mut self) {
        match self {
            Self::Named(name) => {
                run(Command::new("ip").args(["netns", "del", name]));
            }
            Self::Held(holder) => {
                holder.kill().expect("a child");
                holder.wait().expect("a child");
            }
        }
    }
}

impl Home {
    /// Creates a home.
    pub(crate) fn new() -> Self {
        // Short, because socket paths are limited to 107 bytes.
        let dir = tempfile::Builder::new().prefix("dr").tempdir_in("/tmp").expect("a temporary folder");
        Self { dir, host: None }
    }

    /// Creates a home in which everything runs in a network namespace in place of the host's.
    pub(crate) fn with_host() -> Self {
        let mut home = Self::new();
        let name = format!("{}-host", home.path().file_name().expect("a name").to_string_lossy());
        home.host = Some(PlayedHost::make(name));
        // An uplink without a peer: pasta requires a default route.
        for line in [
            "link set lo up",
            "link add up0 type veth peer name up1",
            "address add 198.51.100.2/24 dev up0",
            "link set up1 up",
            "link set up0 up",
            "route add default via 198.51.100.1",
        ] {
            let done = home.host("ip", &line.split(' ').collect::<Vec<_>>());
            assert!(done.status.success(), "ip {line}: {}", stderr(&done));
        }
        home
    }

    /// Returns its folder.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// Writes a lab file and returns its path.
    pub(crate) fn lab(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(format!("{name}.toml"));
        fs::write(&path, text).expect("a lab file");
        path
    }

    /// Creates a command in the host's network namespace.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = match &self.host {
            None => Command::new(program),
            Some(host) => host.command(program),
        };
        command
            .env("DRYRACK_STATE", self.path())
            .env("DRYRACK_RUNTIME", self.path().join("r"))
            .env("DRYRACK_CACHE", cache())
            .stdin(Stdio::null());
        command
    }

    /// Creates a command that runs `dryrack`.
    pub(crate) fn dryrack<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = self.command(DRYRACK);
        command.args(args);
        command
    }

    /// Returns what a shell completes: the words before the cursor, the last one incomplete.
    pub(crate) fn completed(&self, words: &[&str]) -> Vec<String> {
        let mut command = self.dryrack(["--"].into_iter().chain(words.iter().copied()));
        let index = (words.len() - 1).to_string();
        command.envs([("_DRYRACK_COMPLETE", "bash"), ("_CLAP_COMPLETE_INDEX", &index), ("_CLAP_IFS", "\n")]);
        command.envs([("_CLAP_COMPLETE_COMP_TYPE", "9"), ("_CLAP_COMPLETE_SPACE", "true")]);
        let output = run(command.current_dir(self.path()));
        assert_eq!((output.status.code(), stderr(&output).as_str()), (Some(0), ""));
        stdout(&output).lines().map(str::to_owned).collect()
    }

    /// Runs a program in the host's network namespace.
    pub(crate) fn host(&self, program: &str, args: &[&str]) -> Output {
        run(self.command(program).args(args))
    }

    /// Starts `dryrack` in the background with its output in a file.
    pub(crate) fn start<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Child {
        let log = fs::File::create(self.path().join("output")).expect("a file");
        let errors = log.try_clone().expect("a descriptor");
        self.dryrack(args).stdout(log).stderr(errors).spawn().expect("dryrack starts")
    }

    /// Returns the output of the last started `dryrack`.
    pub(crate) fn said(&self) -> String {
        fs::read_to_string(self.path().join("output")).unwrap_or_default()
    }

    /// Returns the running processes of this home's labs and commands, by name.
    pub(crate) fn processes(&self) -> Vec<(i32, String)> {
        let mark = format!("DRYRACK_STATE={}\0", self.path().display());
        let processes = fs::read_dir("/proc").expect("/proc").flatten().filter_map(|entry| {
            let pid: i32 = entry.file_name().to_str()?.parse().ok()?;
            let environment = fs::read(entry.path().join("environ")).ok()?;
            let ours = environment.windows(mark.len()).any(|window| window == mark.as_bytes());
            let stat = fs::read_to_string(entry.path().join("stat")).ok()?;
            // Zombies do not count.
            let alive = !stat.rsplit(") ").next()?.starts_with(['Z', 'X']);
            let name = fs::read_to_string(entry.path().join("comm")).ok()?.trim().to_owned();
            (ours && alive).then_some((pid, name))
        });
        processes.collect()
    }

    /// Returns a process of this home by its name.
    pub(crate) fn process(&self, name: &str) -> Option<i32> {
        self.processes().into_iter().find(|(_, found)| found == name).map(|(pid, _)| pid)
    }

    /// Returns everything that labs of this home have created on the host and that still exists.
    pub(crate) fn traces(&self) -> Vec<String> {
        let mut traces: Vec<String> =
            self.processes().into_iter().map(|(pid, name)| format!("process {pid} {name}")).collect();
        if self.host.is_some() {
            let links = stdout(&self.host("ip", &["-o", "link"]));
            let foreign = |line: &&str| ![": lo: ", ": up0@", ": up1@"].iter().any(|own| line.contains(own));
            traces.extend(links.lines().filter(foreign).map(|line| format!("link {line}")));
            let tables = stdout(&self.host("nft", &["list", "tables"]));
            traces.extend(tables.lines().map(str::to_owned));
        }
        let mounts = fs::read_to_string("/proc/self/mounts").expect("mounts");
        let here = self.path().display().to_string();
        traces.extend(mounts.lines().filter(|line| line.contains(&here)).map(|line| format!("mount {line}")));
        for entry in fs::read_dir(self.path().join("r")).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_some_and(|extension| extension == "lock") {
                let file = fs::File::open(&path).expect("a lock file");
                if file.try_lock().is_err() {
                    traces.push(format!("lock {}", path.display()));
                }
            }
        }
        traces
    }

    /// Waits until nothing of this home's labs is left on the host.
    pub(crate) fn assert_clean(&self, why: &str) {
        let deadline = Instant::now() + GRACE;
        loop {
            let traces = self.traces();
            if traces.is_empty() {
                return;
            }
            assert!(Instant::now() < deadline, "{why}: left after {GRACE:?}: {traces:#?}\n{}", self.said());
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Returns the folder of the latest run.
    pub(crate) fn run_dir(&self) -> PathBuf {
        let runs = fs::read_dir(self.path().join("runs")).expect("runs").flatten();
        runs.map(|entry| entry.path()).max().expect("a run")
    }
}

/// Returns the image cache of tests: `DRYRACK_CACHE`, otherwise a folder below the target folder.
pub(crate) fn cache() -> PathBuf {
    let shared = std::env::var_os("DRYRACK_CACHE").map(PathBuf::from);
    shared.unwrap_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cache"))
}

/// Builds images while the host's network is available.
pub(crate) fn build(images: &[&str]) {
    for image in images {
        let built = run(Command::new(DRYRACK).args(["image", "build", image]).env("DRYRACK_CACHE", cache()));
        assert!(built.status.success(), "{}", stderr(&built));
    }
}

/// Returns the folder of the project's own labs.
pub(crate) fn labs() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("labs")
}

/// Runs a program until it exits.
pub(crate) fn run(mut command: impl BorrowMut<Command>) -> Output {
    let command = command.borrow_mut();
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Returns what a program wrote to standard output.
pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Returns what a program wrote to standard error.
pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Waits for a child to exit; kills it after a timeout.
pub(crate) fn wait(child: &mut Child, within: Duration) -> Option<std::process::ExitStatus> {
    let deadline = Instant::now() + within;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().expect("a child") {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().expect("a child");
    child.wait().expect("a child");
    None
}

/// Waits until `look` returns a value.
pub(crate) fn wait_for<T>(what: &str, within: Duration, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + within;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {within:?} for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Sends a signal to a process.
pub(crate) fn signal(pid: i32, signal: nix::sys::signal::Signal) {
    // It may have exited meanwhile.
    nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).ok();
}
