//! `dryrack wait`: waits until expectations of a lab that is up are decided.

use std::path::PathBuf;

use super::completions;
use super::lab::find;
use super::output::{self, Stop};
use super::runtime::block_on;
use crate::config::Lasting;
use crate::diag::{enumerate, nearest};
use crate::event::{Kind, Known};
use crate::expect::{Outcome, Verdict};
use crate::name::ExpectName;
use crate::report::{self, exit};
use crate::run::client::{Client, ClientError, Status};
use crate::run::{Locations, RegisteredLab};

/// Wait until expectations of a lab are decided
///
/// Without names, waits for all that can be decided before the lab is torn down, and for the lab to be up. Exit code 0
/// if all of them are met, 1 if one is missed, or undecided when the time is up or the lab ends.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Lab file, its folder or its name [default: the only lab that is up]
    #[arg(value_name = "LAB", add = completions::labs())]
    lab: Option<String>,
    /// Expectations [default: all]
    #[arg(value_name = "EXPECT", add = completions::expectations())]
    expects: Vec<ExpectName>,
    /// The lab; then all other arguments are expectations
    #[arg(long = "lab", short = 'l', value_name = "LAB", add = completions::labs())]
    named: Option<PathBuf>,
    /// Wait no longer than this, as in `90s` or `10m`
    #[arg(long, value_name = "TIME")]
    timeout: Option<Lasting>,
    /// Print a JSON list of the expectations, as in a report
    #[arg(long)]
    json: bool,
}

/// Why a wait ended.
enum End {
    /// Everything is decided.
    Decided(Status),
    /// The time is up.
    Late(Status),
    /// The lab was torn down.
    Gone,
}

/// Runs the command.
pub(super) fn run(args: &Args, locations: &Locations) -> Result<u8, Stop> {
    let mut expects = args.expects.clone();
    let up = match (&args.named, &args.lab) {
        (Some(lab), first) => {
            if let Some(first) = first {
                let first = ExpectName::new(first);
                expects.insert(0, first.map_err(|error| Stop::new(exit::WRONG, error.0, None::<String>))?);
            }
            find(locations, Some(lab))?
        }
        (None, Some(lab)) => find(locations, Some(lab.as_ref()))?,
        (None, None) => find(locations, None)?,
    };
    known(&expects, &super::lab::status(&up)?)?;
    let end = block_on(until_decided(&up, &expects, args.timeout))?;
    let (status, late) = match end.map_err(|error| Stop::host(&error))? {
        End::Decided(status) => (status, false),
        End::Late(status) => (status, true),
        End::Gone => {
            let what = format!("lab {} was torn down before everything was decided", up.lab);
            return Err(Stop::new(exit::MISSED, what, Some("`dryrack report` shows how the run ended")));
        }
    };
    let verdicts = meant(&status, &expects);
    if args.json {
        output::json(&verdicts)?;
    } else {
        let text = report::verdicts(&verdicts, status.snapshot.now, output::width());
        output::data(&output::painted(&text));
    }
    if late {
        let what = format!("not everything is decided; lab {} goes on", up.lab);
        return Err(Stop::new(exit::MISSED, what, None::<String>));
    }
    Ok(if expects.is_empty() { code(&verdicts) } else { strict(&verdicts) })
}

/// Returns the exit code for verdicts: only what can be decided at the end alone may be open.
pub(super) fn code(verdicts: &[Verdict]) -> u8 {
    let missed = |verdict: &Verdict| match verdict.outcome {
        Outcome::Missed { .. } | Outcome::NotReached { .. } => true,
        Outcome::Met { .. } | Outcome::Pending { .. } => false,
    };
    if verdicts.iter().any(missed) { exit::MISSED } else { exit::MET }
}

fn strict(verdicts: &[Verdict]) -> u8 {
    if verdicts.iter().all(|verdict| verdict.outcome.is_met()) { exit::MET } else { exit::MISSED }
}

/// Checks that a lab has these expectations.
fn known(expects: &[ExpectName], status: &Status) -> Result<(), Stop> {
    let names = || status.verdicts.iter().map(|verdict| verdict.expect.as_str());
    let Some(stranger) = expects.iter().find(|name| !names().any(|known| known == name.as_str())) else {
        return Ok(());
    };
    let mut all: Vec<&str> = names().collect();
    all.dedup();
    let hint = match nearest(stranger.as_str(), all.iter().copied()) {
        Some(near) => format!("did you mean `{near}`?"),
        None if all.is_empty() => "the lab has no expectations".to_owned(),
        None => format!("expectations of the lab: {}", enumerate(all)),
    };
    Err(Stop::new(exit::WRONG, format!("lab {} has no expectation `{stranger}`", status.lab), Some(hint)))
}

/// Returns the verdicts on expectations; on all if none is named.
fn meant(status: &Status, expects: &[ExpectName]) -> Vec<Verdict> {
    let is_meant = |verdict: &&Verdict| expects.is_empty() || expects.contains(&verdict.expect);
    status.verdicts.iter().filter(is_meant).cloned().collect()
}

async fn until_decided(
    up: &RegisteredLab,
    expects: &[ExpectName],
    timeout: Option<Lasting>,
) -> Result<End, ClientError> {
    let client = Client::new(&up.socket);
    let wait = decided(&client, expects);
    let Some(Lasting(timeout)) = timeout else { return wait.await };
    match tokio::time::timeout(timeout, wait).await {
        Ok(end) => end,
        Err(_) => client.status().await.map(End::Late),
    }
}

async fn decided(client: &Client, expects: &[ExpectName]) -> Result<End, ClientError> {
    // From the beginning of the run, so that nothing is missed between two requests.
    let mut events = client.events(None).await?;
    let mut all = false;
    while let Some(event) = events.next().await {
        match &event.kind {
            Kind::Known(Known::Judged { .. }) => all = true,
            Kind::Known(Known::ExpectationDecided { expect, .. }) if expects.contains(expect) => {}
            _ => continue,
        }
        let status = client.status().await?;
        let open = |verdict: &Verdict| matches!(verdict.outcome, Outcome::Pending { .. });
        let named = !expects.is_empty();
        if named && !meant(&status, expects).iter().any(open) || !named && all {
            return Ok(End::Decided(status));
        }
    }
    Ok(End::Gone)
}
