//! `dryrack doctor`: what this host has and lacks, and how to get it.

use serde_json::json;

use super::output::{self, Stop};
use crate::host::doctor::{self, Check, State};
use crate::host::facts;
use crate::machine::accel;
use crate::plan::Place;
use crate::report::exit;
use crate::run::Locations;

/// Say what this host has and lacks to run labs, and how to get it
///
/// Exit code 0 if labs run here, 3 if something that they need is missing.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Test again whether KVM boots machines, although that was tested since the host booted
    #[arg(long)]
    fresh: bool,
    /// Print a JSON list of objects with `name`, `state` (ok, warn, fail), `detail` and `remedy`
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub(super) fn run(args: &Args, locations: &Locations) -> Result<u8, Stop> {
    // What would stand in the way of a lab in the host's own network is of interest, too.
    let mut facts = facts::gather(Place::Host);
    let freshness = if args.fresh { accel::Freshness::Fresh } else { accel::Freshness::Cached };
    let verdict = accel::answer(&facts, &locations.cache, freshness);
    facts.accel = verdict.accel;
    let checks = doctor::examine(&facts, verdict.accel, &verdict.why);
    if args.json {
        let list = checks.iter().map(|check| {
            let Check { name, state, detail, remedy } = check;
            json!({ "name": name, "state": word(*state), "detail": detail, "remedy": remedy })
        });
        output::json(&list.collect::<Vec<_>>())?;
    } else {
        output::data(&text(&checks));
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
    let mut text = String::new();
    for Check { name, state, detail, remedy } in checks {
        let indent = format!("\n{:1$}", "", width + 8);
        text += &format!("{:4}  {name:width$}  {}\n", word(*state), detail.replace('\n', &indent));
        if let Some(remedy) = remedy {
            text += &format!("{:1$}{2}\n", "", width + 8, remedy.replace('\n', &indent));
        }
    }
    text
}
