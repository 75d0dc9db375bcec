//! The server under test, and curl.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

pub(crate) const DRYRACK: &str = env!("CARGO_BIN_EXE_dryrack");

/// The data with which the real server was recorded.
pub(crate) fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/matchbox")
}

/// A running server. It is terminated when this is dropped.
pub(crate) struct Server {
    child: Child,
    log: BufReader<std::process::ChildStderr>,
    /// Its log until it was listening.
    before: String,
    /// Its address.
    pub(crate) at: String,
    /// Its gRPC address.
    pub(crate) rpc: Option<String>,
}

impl Server {
    /// Starts it with a data directory on a free port of the loopback interface.
    pub(crate) fn start<A: AsRef<OsStr>>(data: &Path, flags: &[A]) -> Self {
        let mut command = Command::new(DRYRACK);
        command.args(["matchbox", "-address", "127.0.0.1:0", "-data-path"]).arg(data).args(flags);
        Self::of(&mut command)
    }

    /// Starts it with a command, and waits until it listens.
    pub(crate) fn of(command: &mut Command) -> Self {
        let mut child = command.stdin(Stdio::null()).stderr(Stdio::piped()).spawn().expect("it starts");
        let mut log = BufReader::new(child.stderr.take().expect("a pipe"));
        let (mut before, mut rpc) = (String::new(), None);
        loop {
            let from = before.len();
            let read = log.read_line(&mut before).expect("its log");
            assert!(read > 0, "it ended before it listened: {:?}", child.wait());
            let line = &before[from..];
            match line.trim_end_matches("\"\n").split_once(" server on ") {
                Some((of, at)) if of.ends_with("gRPC") => rpc = Some(at.to_owned()),
                Some((_, at)) => {
                    let at = at.to_owned();
                    return Self { at, rpc, child, log, before };
                }
                None => {}
            }
        }
    }

    /// Sends a signal; returns the exit status and the log.
    pub(crate) fn end(&mut self, signal: Signal) -> (ExitStatus, String) {
        kill(self.pid(), signal).expect("it runs");
        let mut log = std::mem::take(&mut self.before);
        self.log.read_to_string(&mut log).expect("its log");
        (self.child.wait().expect("it was started"), log)
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.child.id()).expect("a pid"))
    }

    /// Requests a path with curl and its options.
    pub(crate) fn ask(&self, options: &[&str], path: &str) -> Reply {
        ask(&format!("http://{}{path}", self.at), options)
    }

    /// Requests a path; returns the status and body as one text.
    pub(crate) fn get(&self, path: &str) -> String {
        let reply = self.ask(&[], path);
        format!("{} {}", reply.status, String::from_utf8_lossy(&reply.body))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.child.kill().ok();
            self.child.wait().ok();
        }
    }
}

/// A response as curl received it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    /// With names in lower case, sorted.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    /// Parses head and body.
    pub(crate) fn read(bytes: &[u8]) -> Self {
        let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("an end of the head");
        let head = str::from_utf8(&bytes[..end]).expect("a head of text");
        let mut lines = head.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status");
        let header = |line: &str| {
            let (name, value) = line.split_once(": ").expect("a header");
            (name.to_ascii_lowercase(), value.to_owned())
        };
        let mut headers: Vec<_> = lines.map(header).collect();
        headers.sort();
        Self { status: status.parse().expect("a number"), headers, body: bytes[end + 4..].to_vec() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

pub(crate) fn ask(url: &str, options: &[&str]) -> Reply {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--include", "--globoff", "--max-time", "20", "--noproxy", "*"]);
    let output = curl.args(options).arg(url).output().expect("curl");
    assert!(output.status.success(), "{url}: {}", String::from_utf8_lossy(&output.stderr));
    Reply::read(&output.stdout)
}

/// Copies a folder.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let to = to.join(entry.file_name());
        match entry.file_type().expect("a type").is_dir() {
            true => copy(&entry.path(), &to),
            false => drop(fs::copy(entry.path(), to).expect("a copy")),
        }
    }
}
