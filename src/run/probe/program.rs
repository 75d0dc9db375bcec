//! Commands: in the namespaces of the lab by `sh -c`, and on a node by `ssh`.

use std::ffi::OsString;
use std::process::{ExitStatus, Stdio};

use regex::Regex;
use tokio::io::AsyncReadExt as _;

use super::Answer;
use crate::lab::JsonValues;
use crate::run::ssh::Options;
use crate::system::process::{SpawnSpec, Spawner, find_program, search_path};

/// Maximum output of a program, and maximum of its standard error.
const OUTPUT_LIMIT: usize = 1 << 20;
/// The exit code with which `ssh` reports its own errors.
const SSH_FAILED: i32 = 255;

/// The expected result of a command.
#[derive(Debug, Clone, Copy)]
pub(super) struct Expected<'a> {
    pub(super) exit: i32,
    pub(super) output: Option<&'a Regex>,
    pub(super) json: &'a JsonValues,
}

/// How to log in to a node.
#[derive(Debug, Clone)]
pub(super) struct Login<'a> {
    pub(super) user: &'a str,
    pub(super) port: u16,
    pub(super) node: &'a str,
    pub(super) options: Options,
}

/// The result of a program.
pub(super) struct Finished {
    pub(super) status: ExitStatus,
    pub(super) output: String,
    /// Its standard error.
    errors: String,
}

impl Finished {
    /// Returns the last non-blank line of its standard error.
    pub(super) fn complaint(&self) -> Option<&str> {
        self.errors.lines().rev().find(|line| !line.trim().is_empty())
    }

    /// Returns standard output and standard error.
    fn whole(&self) -> String {
        let between = if self.output.is_empty() || self.output.ends_with('\n') { "" } else { "\n" };
        [&self.output, between, &self.errors].concat()
    }
}

/// Runs a command in the namespaces of the lab, and compares its result.
pub(super) async fn command(
    spawner: &Spawner,
    run: &str,
    environment: Vec<(String, String)>,
    wanted: Expected<'_>,
) -> Answer {
    match run_command(spawner, run, environment).await {
        Ok(finished) => compare(&finished, wanted),
        Err(why) => Answer::no(why),
    }
}

/// Runs a command in the namespaces of the lab.
pub(super) async fn run_command(
    spawner: &Spawner,
    run: &str,
    environment: Vec<(String, String)>,
) -> Result<Finished, String> {
    run_program(spawner, SpawnSpec::new("/bin/sh").args(["-c", run]), environment).await
}

/// Runs a program in the namespaces of the lab.
pub(super) async fn run_program(
    spawner: &Spawner,
    mut spec: SpawnSpec,
    environment: Vec<(String, String)>,
) -> Result<Finished, String> {
    // So that `dryrack` is found, and programs of root.
    spec.envs.push(("PATH".into(), search_path()));
    spec.envs.extend(environment.into_iter().map(|(name, value)| (name.into(), value.into())));
    finish(spawner, spec).await
}

/// Logs in to a node and runs a command there.
pub(super) async fn ssh(
    spawner: &Spawner,
    login: &Login<'_>,
    run: Option<&str>,
    wanted: Expected<'_>,
) -> Answer {
    // Every shell knows `exit`, so this tries the login alone.
    match run_over_ssh(spawner, login, run.unwrap_or("exit 0")).await {
        Ok(finished) if finished.status.code() == Some(SSH_FAILED) && wanted.exit != SSH_FAILED => {
            Answer::no(refusal(finished.complaint(), login)).with_output(finished.whole())
        }
        Ok(finished) => compare(&finished, wanted),
        Err(why) => Answer::no(why),
    }
}

/// Logs in to a node and runs a command there that does not end with the exit code of `ssh` itself; returns why the
/// login failed, if it did.
pub(super) async fn over_ssh(spawner: &Spawner, login: &Login<'_>, run: &str) -> Result<Finished, String> {
    let finished = run_over_ssh(spawner, login, run).await?;
    if finished.status.code() == Some(SSH_FAILED) {
        return Err(refusal(finished.complaint(), login));
    }
    Ok(finished)
}

async fn run_over_ssh(spawner: &Spawner, login: &Login<'_>, run: &str) -> Result<Finished, String> {
    let Some(program) = find_program("ssh") else {
        return Err("this host has no `ssh`: install openssh-client".to_owned());
    };
    finish(spawner, SpawnSpec::new(program).args(arguments(login)).args([run])).await
}

fn arguments(login: &Login<'_>) -> Vec<OsString> {
    // The user's own configuration must not influence the result.
    let mut arguments: Vec<OsString> = ["-F", "none", "-T", "-n"].map(Into::into).into();
    for (option, value) in &login.options {
        arguments.extend(["-o".into(), format!("{option}={value}").into()]);
    }
    arguments.extend(["-p".into(), login.port.to_string().into()]);
    arguments.extend(["-l".into(), login.user.into(), login.node.into(), "--".into()]);
    arguments
}

/// Returns as text why `ssh` itself failed.
fn refusal(complaint: Option<&str>, login: &Login<'_>) -> String {
    let (user, port) = (login.user, login.port);
    match complaint {
        Some(line) if line.contains("Connection refused") => format!("port {port} refuses connections"),
        Some(line) if line.contains("timed out") => format!("port {port} does not answer"),
        Some(line) if line.contains("No route to host") => {
            format!("port {port} unreachable: no host has the address")
        }
        Some(line) if line.contains("Permission denied") => format!("public key rejected for user {user}"),
        Some(line) => format!("ssh failed: {line}"),
        None => "ssh failed without a message".to_owned(),
    }
}

async fn finish(spawner: &Spawner, mut spec: SpawnSpec) -> Result<Finished, String> {
    let program = spec.program.display().to_string();
    let failed = |error: &dyn std::error::Error| format!("cannot run {program}: {error}");
    spec.stdin = Stdio::null();
    spec.stdout = Stdio::piped();
    spec.stderr_limit = OUTPUT_LIMIT;
    // Dropped, and thereby killed with its process group, when the attempt times out.
    let mut child = spawner.spawn(spec).await.map_err(|error| failed(&error))?;
    let mut output = Vec::new();
    if let Some(stdout) = child.take_stdout() {
        let stdout = tokio::process::ChildStdout::from_std(stdout).map_err(|error| failed(&error))?;
        // Further output is discarded; a program that prints forever ends by SIGPIPE.
        stdout.take(OUTPUT_LIMIT as u64).read_to_end(&mut output).await.map_err(|error| failed(&error))?;
    }
    let status = child.wait().await.map_err(|error| failed(&error))?;
    let errors = child.take_stderr();
    // As `$(…)` does, so that `^active$` matches the output of `systemctl`.
    let output = String::from_utf8_lossy(&output).trim_end_matches('\n').to_owned();
    Ok(Finished { status, output, errors: String::from_utf8_lossy(&errors).into_owned() })
}

fn compare(finished: &Finished, wanted: Expected<'_>) -> Answer {
    let ended = match finished.status.code() {
        Some(code) => format!("exit code {code}"),
        None => finished.status.to_string(),
    };
    let said = if finished.complaint().is_some() { &finished.errors } else { &finished.output };
    let said = outline(said).map(|lines| format!(", {lines}")).unwrap_or_default();
    if finished.status.code() != Some(wanted.exit) {
        return Answer::no(format!("{ended}{said}")).with_output(finished.whole());
    }
    match wanted.output {
        Some(pattern) if !pattern.is_match(&finished.output) => {
            Answer::no(format!("{ended}, but the output does not match /{pattern}/{said}"))
                .with_output(finished.whole())
        }
        _ => match wanted.json.difference(finished.output.as_bytes()) {
            Some(difference) => Answer::no(format!("{ended}, but the output {difference}{said}"))
                .with_output(finished.whole()),
            None => Answer::yes(ended),
        },
    }
}

/// Returns the first and the last non-blank line of a text.
fn outline(text: &str) -> Option<String> {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let first = brief(lines.next()?);
    Some(match lines.next_back() {
        None => format!("`{first}`"),
        Some(last) => format!("`{first}` … `{}`", brief(last)),
    })
}

fn brief(line: &str) -> String {
    const MOST: usize = 120;
    let line = line.trim();
    if line.chars().count() <= MOST {
        line.to_owned()
    } else {
        line.chars().take(MOST - 1).chain(['…']).collect()
    }
}
