//! `dryrack doctor`: checks this host, and says how to fix what is missing.

use super::output::{self, Stop};
use crate::lab::Isolation;
use crate::node::qemu::accel;
use crate::report::exit;
use crate::run::Locations;
use crate::system::doctor::{self, Check, State};
use crate::system::facts;

/// Check whether this host can run labs, and how to fix what is missing
///
/// Exit code 0 if this host can run labs, 3 if something required is missing.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Repeat the KVM self-test, even if its result is known since the host booted
    #[arg(long)]
    fresh: bool,
    /// Print a JSON list of objects with `name`, `state` (ok, warn, fail), `detail` and `remedy`
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(super) fn run(args: &Args, locations: &Locations) -> Result<u8, Stop> {
    // Problems of labs without isolation are checked, too.
    let mut facts = facts::gather(Isolation::None, facts::QemuDevices::Asked);
    let freshness = if args.fresh { accel::Freshness::Fresh } else { accel::Freshness::Cached };
    let verdict = accel::answer(&facts, &locations.cache, freshness);
    facts.accel = verdict.accel;
    let checks = doctor::examine(&facts, verdict.accel, &verdict.why);
    match args.json {
        true => output::json(&checks)?,
        false => output::data(&output::painted(&text(&checks))),
    }
    let fit = checks.iter().all(|check| check.state != State::Fail);
    Ok(if fit { exit::MET } else { exit::UNFIT })
}

fn word(state: State) -> &'static str {
    match state {
        State::Ok => "ok",
        State::Warn => "warn",
        State::Fail => "fail",
    }
}

fn text(checks: &[Check]) -> String {
    let width = checks.iter().map(|check| check.name.chars().count()).max().unwrap_or(0);
    let indent = format!("\n{:1$}", "", width + 8);
    let lines = checks.iter().map(|Check { name, state, detail, remedy }| {
        let remedy = remedy.as_ref().map(|remedy| format!("\n{remedy}")).unwrap_or_default();
        let words = format!("{detail}{remedy}").replace('\n', &indent);
        format!("{:4}  {name:width$}  {words}\n", word(*state))
    });
    lines.collect()
}
