//! Checks of a running system, by a shell script over ssh.
//!
//! Each script prints facts, and a pure function judges them; the script itself decides nothing. It is run by `sh`,
//! whatever the shell of the user is, and reads with `sudo` what only root may read, if that needs no password.

mod clock;
mod cloud_init;
mod cmdline;
mod file;
mod ignition;
mod nics;
mod units;
mod unreachable;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use super::program::{self, Finished, Login};
use super::{Answer, connect};
use crate::lab::{Control, SystemCheck, Target};
use crate::name::{Mac, NicName};
use crate::system::host::EnteredNetwork;
use crate::system::process::Spawner;

/// The beginning of a line that separates what a script prints.
const MARK: &str = "@@dryrack ";

/// Sets `$s` to what reads as root, empty if that is not needed or not possible.
const AS_ROOT: &str = "s=; [ \"$(id -u)\" = 0 ] || ! sudo -n true 2>/dev/null || s='sudo -n'\n";

/// Checks the system of a node.
pub(super) async fn probe(
    spawner: &Spawner,
    login: &Login<'_>,
    check: &SystemCheck,
    macs: &BTreeMap<NicName, Mac>,
    from: Option<&EnteredNetwork>,
) -> Answer {
    let script = match check {
        SystemCheck::Clock(limit) => return clock::probe(spawner, login, *limit).await,
        SystemCheck::CloudInit { .. } => cloud_init::SCRIPT.to_owned(),
        SystemCheck::Units { .. } => units::SCRIPT.to_owned(),
        SystemCheck::Ignition { .. } => ignition::SCRIPT.to_owned(),
        SystemCheck::Cmdline { .. } => "cat /proc/cmdline".to_owned(),
        SystemCheck::NicNames(_) => nics::SCRIPT.to_owned(),
        SystemCheck::File(file) => file::script(file),
        SystemCheck::Unreachable(unreachable) => unreachable::script(&unreachable.target),
    };
    let finished = match run(spawner, login, &script).await {
        Ok(finished) => finished,
        Err(no) => return no,
    };
    let said = &finished.output;
    let answer = match check {
        // Asked above.
        SystemCheck::Clock(_) => Answer::no("the clock was not asked"),
        SystemCheck::CloudInit { status, degraded } => cloud_init::judge(said, *status, *degraded),
        SystemCheck::Units { allow_failed } => units::judge(said, allow_failed),
        SystemCheck::Ignition { user_config } => ignition::judge(said, *user_config),
        SystemCheck::Cmdline { has, without } => cmdline::judge(said, has, without),
        SystemCheck::NicNames(names) => nics::judge(said, names, macs),
        SystemCheck::File(file) => file::judge(said, file),
        SystemCheck::Unreachable(unreachable) => {
            let control = match unreachable.control {
                Control::None => None,
                Control::Lab => Some(reaches(&unreachable.target, from).await),
            };
            unreachable::judge(said, &unreachable.target, control)
        }
    };
    match answer.ok || answer.output.is_some() {
        true => answer,
        false => answer.with_output(finished.whole()),
    }
}

/// Runs a script on a node, and returns what it printed, or why it did not run.
async fn run(spawner: &Spawner, login: &Login<'_>, script: &str) -> Result<Finished, Answer> {
    let script = format!("{AS_ROOT}{script}\nexit 0");
    let finished = program::on_node(spawner, login, &format!("sh -c {}", quoted(&script))).await?;
    match finished.code() {
        Some(0) => Ok(finished),
        _ => {
            let answer = Answer::no(format!("the login works, but no command runs: {}", finished.ended()));
            Err(answer.with_output(finished.whole()))
        }
    }
}

/// Quotes an argument for a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

/// Returns what a script printed after each mark.
fn sections(said: &str) -> BTreeMap<&str, &str> {
    let mut sections = BTreeMap::new();
    for part in said.split(MARK).skip(1) {
        let (name, text) = part.split_once('\n').unwrap_or((part, ""));
        sections.insert(name.trim(), text);
    }
    sections
}

/// Tells whether Dryrack itself can connect to a target, or why not.
async fn reaches(target: &Target, from: Option<&EnteredNetwork>) -> Result<(), String> {
    let to = match target {
        Target::Tcp(to) => *to,
        Target::Url { host, port, .. } => match host.parse::<IpAddr>() {
            Ok(address) => SocketAddr::new(address, *port),
            Err(_) => return Err(format!("`{host}` is a name, which Dryrack does not resolve")),
        },
    };
    connect(to, from).await.map(drop).map_err(|why| format!("port {} {why}", to.port()))
}

#[cfg(test)]
mod tests;
