//! `dryrack down`: tears a lab down.

use std::time::{Duration, Instant};

use super::lab::NamedUpArgs;
use super::output::{self, Stop};
use super::runtime::block_on;
use crate::report::exit;
use crate::run::client::Client;
use crate::run::{Locations, RegisteredLab, recover, registered, store};
use crate::system::namespace::NamespaceIds;

/// Timeout of a teardown, after which the lab is killed.
const PATIENCE: Duration = Duration::from_secs(30);

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
#[expect(clippy::disallowed_methods, reason = "a place is not our child: its end is seen by looking")]
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
    let deadline = Instant::now() + PATIENCE;
    while ids.is_alive() {
        if Instant::now() > deadline {
            output::note("the teardown timed out; killing the lab");
            ids.root().kill().map_err(|error| Stop::host(&error))?;
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
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
