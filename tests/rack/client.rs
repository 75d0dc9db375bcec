//! One client: a network namespace with one NIC.

use std::fs::File;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use dryrack::name::{IfName, Mac};
use nix::sched::{CloneFlags, setns, unshare};

use super::program;

/// A network namespace with one NIC, `eth0`. It ends with the test.
pub(crate) struct Client {
    namespace: OwnedFd,
}

impl Client {
    /// Connects a new client to a bridge.
    pub(crate) fn plug(bridge: &IfName, mtu: u16, mac: Mac) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let port = format!("c{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let client = Self::across(&port, mtu, mac);
        ip(&format!("link set {port} master {bridge} up"));
        client
    }

    /// Connects the client to a second bridge, by its NIC `eth1`.
    pub(crate) fn plug_also(&self, bridge: &IfName, mtu: u16, mac: Mac) {
        let port = format!("d{:02x}{:02x}", mac.0[4], mac.0[5]);
        let namespace = self.path();
        ip(&format!(
            "link add {port} mtu {mtu} type veth peer eth1 address {mac} mtu {mtu} netns {namespace}"
        ));
        self.run("ip", &["link", "set", "eth1", "up"]);
        ip(&format!("link set {port} master {bridge} up"));
    }

    /// Connects a new client by a veth pair. Our end is not up yet.
    pub(crate) fn across(port: &str, mtu: u16, mac: Mac) -> Self {
        let made = std::thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            OwnedFd::from(File::open("/proc/thread-self/ns/net").unwrap())
        });
        let client = Self { namespace: made.join().unwrap() };
        let namespace = client.path();
        ip(&format!(
            "link add {port} mtu {mtu} type veth peer eth0 address {mac} mtu {mtu} netns {namespace}"
        ));
        for words in ["link set lo up", "link set eth0 up"] {
            client.run("ip", &words.split(' ').collect::<Vec<_>>());
        }
        client
    }

    fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.namespace.as_raw_fd())
    }

    /// Sets a static address.
    pub(crate) fn with_address(self, address: &str) -> Self {
        self.run("ip", &["address", "add", address, "dev", "eth0"]);
        self
    }

    fn command(&self, name: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(program("nsenter"));
        command.arg(format!("--net={}", self.path())).arg("--").arg(program(name)).args(arguments);
        command.stdin(Stdio::null());
        command
    }

    /// Runs a program of the client.
    pub(crate) fn try_run(&self, name: &str, arguments: &[&str]) -> Output {
        self.command(name, arguments).output().unwrap()
    }

    /// Runs a program of the client that must succeed, and returns its output.
    pub(crate) fn run(&self, name: &str, arguments: &[&str]) -> String {
        let output = self.try_run(name, arguments);
        let complaints = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name} {arguments:?}: {}\n{complaints}", output.status);
        String::from_utf8(output.stdout).unwrap()
    }

    /// Runs a program of the client in a folder.
    pub(crate) fn run_in(&self, folder: &Path, name: &str, arguments: &[&str]) -> Output {
        self.command(name, arguments).current_dir(folder).output().unwrap()
    }

    /// Starts a program of the client in the background.
    pub(crate) fn start(&self, name: &str, arguments: &[&str]) -> Child {
        self.command(name, arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Runs a closure in the client's namespace.
    pub(crate) fn within<T: Send>(&self, code: impl FnOnce() -> T + Send) -> T {
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                setns(&self.namespace, CloneFlags::CLONE_NEWNET).unwrap();
                code()
            });
            thread.join().unwrap()
        })
    }
}

fn ip(words: &str) {
    let output = Command::new(program("ip")).args(words.split(' ')).output().unwrap();
    assert!(output.status.success(), "ip {words}: {}", String::from_utf8_lossy(&output.stderr));
}
