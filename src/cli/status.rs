//! `dryrack status`: how the labs stand that are up.

use std::fmt::Write;
use std::path::PathBuf;

use super::lab::find;
use super::output::{self, Stop};
use super::progress::line;
use super::up::block_on;
use crate::event::Ago;
use crate::expect::Outcome;
use crate::report::exit;
use crate::run::client::{Client, Status};
use crate::run::{Locations, registered};

/// Show how a lab stands
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Lab file, its folder or its name; all that are up where left out
    lab: Option<PathBuf>,
    /// Print JSON: a list of labs
    #[arg(long)]
    json: bool,
}

/// Runs the verb.
pub(super) fn run(args: Args, locations: &Locations) -> Result<u8, Stop> {
    let labs = match &args.lab {
        Some(lab) => vec![find(locations, Some(lab))?],
        None => registered(locations),
    };
    let statuses = block_on(async {
        let mut statuses = Vec::new();
        for lab in &labs {
            statuses.push(Client::new(&lab.socket).status().await);
        }
        statuses.into_iter().collect::<Result<Vec<Status>, _>>()
    })?;
    let statuses = statuses.map_err(|error| Stop::host(&error, error.hint()))?;
    if args.json {
        output::json(&statuses)?;
        return Ok(exit::MET);
    }
    if statuses.is_empty() {
        output::note("no lab is up");
    }
    for status in &statuses {
        output::data(&text(status));
    }
    Ok(exit::MET)
}

fn text(status: &Status) -> String {
    let mut text = String::new();
    let now = status.snapshot.now;
    let state = serde_json::to_value(status.snapshot.lab).ok();
    let state = state.as_ref().and_then(|state| state.as_str()).unwrap_or_default().replace('-', " ");
    // Writing to a string cannot fail.
    writeln!(text, "{} is {state}, for {}, under {}", status.lab, Ago(now), status.accel.as_str()).ok();
    writeln!(text, "  {}", status.file.display()).ok();
    let widest = status.snapshot.nodes.keys().map(|node| node.as_str().len()).max().unwrap_or(0);
    for (node, view) in &status.snapshot.nodes {
        let addresses = status.addresses.get(node).into_iter().flatten();
        let addresses: Vec<String> = addresses.map(ToString::to_string).collect();
        writeln!(text, "  {node:widest$}  {:15}  {}", addresses.join(" "), line(view, now)).ok();
    }
    for port in &status.published {
        writeln!(text, "  {} leads to {} ({})", port.listen, port.node, port.to).ok();
    }
    for verdict in &status.verdicts {
        let node = verdict.node.as_ref().map(|node| format!(" of {node}")).unwrap_or_default();
        let why = match &verdict.outcome {
            Outcome::Pending { .. } | Outcome::Missed { .. } | Outcome::NotReached { .. } => {
                format!(": {}", verdict.outcome.explain(now))
            }
            Outcome::Met { .. } => String::new(),
        };
        writeln!(text, "  {:11}  {}{node}: {}{why}", verdict.outcome.word(), verdict.expect, verdict.what)
            .ok();
    }
    text
}
