//! `dryrack down`: tears a lab down.

use std::time::Duration;

use super::lab::NamedUpArgs;
use super::output::{self, Stop};
use super::runtime::block_on;
use crate::report::exit;
use crate::run::client::Client;
use crate::run::{Locations, RegisteredLab, await_end, recover, registered, store};
use crate::system::namespace::NamespaceIds;

/// Timeout of a teardown, after which the lab is killed.
const PATIENCE: Duration = Duration::from_secs(30);

/// Time in which the kernel ends the processes of a lab that was killed.
const KILL_PATIENCE: Duration = Duration::from_secs(5);

/// Tear a lab down
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    lab: NamedUpArgs,
    /// Tear down all labs that are up
    #[arg(long, conflicts_with_all = ["name", "lab"])]
    all: bool,
}

/// Runs the command.
pub(super) fn run(args: &Args, locations: &Locations) -> Result<u8, Stop> {
    if !args.all {
        return take_down(&args.lab.find(locations)?, locations);
    }
    let labs = registered(locations);
    if labs.is_empty() {
        output::note("no lab is up");
    }
    // A failure of one lab does not affect the others.
    let codes = labs.iter().map(|up| {
        take_down(up, locations).unwrap_or_else(|stop| {
            output::stop(&stop);
            stop.code
        })
    });
    Ok(exit::worst(codes.collect::<Vec<_>>()))
}

/// Tears one lab down.
fn take_down(up: &RegisteredLab, locations: &Locations) -> Result<u8, Stop> {
    let ids = NamespaceIds::read(&up.run_dir).map_err(|error| Stop::host(&error))?;
    let client = Client::new(&up.socket);
    let ended = block_on(async {
        client.down("dryrack down", false).await?;
        // The stream ends when the run has ended.
        if let Ok(mut events) = client.events(None).await {
            let all = async { while events.next().await.is_some() {} };
            tokio::time::timeout(PATIENCE, all).await.ok();
        }
        Ok::<_, crate::run::client::ClientError>(())
    })?;
    if ended.is_err() {
        ids.root().terminate().map_err(|error| Stop::host(&error))?;
    }
    if !await_end(locations, up, PATIENCE) {
        output::note("the teardown timed out; killing the lab");
        ids.root().kill().map_err(|error| Stop::host(&error))?;
        if !await_end(locations, up, KILL_PATIENCE) {
            // Inside another lab, its processes are out of sight and out of reach.
            let hint = (!ids.is_alive()).then_some("run `dryrack down` on the host, outside of other labs");
            return Err(Stop::new(exit::LEFT, format!("lab {} is still up", up.lab), hint));
        }
    }
    let mut leaks = recover(locations);
    if let Ok(report) = store::report(&up.run_dir) {
        leaks.extend(report.leaks);
    }
    for leak in &leaks {
        output::error(&format!("cleanup incomplete: {leak}"), None);
    }
    output::note(&format!("lab {} is down", up.lab));
    Ok(if leaks.is_empty() { exit::MET } else { exit::LEFT })
}
