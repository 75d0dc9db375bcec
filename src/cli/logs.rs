//! `dryrack logs`: console output, syslog and events of a lab.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use super::lab::UpArgs;
use super::output::{self, Stop};
use super::runtime::block_on;
use crate::event::{self, Event, Kind, Known};
use crate::hint::{Hint, chain};
use crate::name::NodeName;
use crate::report::exit;
use crate::run::client::Client;
use crate::run::{Locations, store};

/// Show serial console output and syslog messages of a lab's nodes
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Show only these nodes
    #[arg(value_name = "NODE")]
    nodes: Vec<NodeName>,
    /// Follow new output until the lab is torn down
    #[arg(long, short)]
    follow: bool,
    /// Show all events, not only console output and syslog
    #[arg(long, short)]
    events: bool,
    /// Show a run that has ended: run name, run folder, or lab name for its latest run
    #[arg(long, value_name = "RUN", conflicts_with_all = ["follow", "lab"])]
    run: Option<String>,
    #[command(flatten)]
    lab: UpArgs,
    /// Print the events as JSON, one per line
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(super) fn run(args: &Args, locations: &Locations) -> Result<u8, Stop> {
    if let Some(run) = &args.run {
        let folder = store::find(locations, Some(run)).map_err(|error| Stop::wrong(&error))?;
        return replay(args, &folder);
    }
    let up = args.lab.find_with(&args.nodes, locations).map_err(|stop| {
        let hint = "`dryrack logs --run RUN` shows a run that has ended".to_owned();
        Stop { hint: stop.hint.map(|first| format!("{first}; {hint}")), ..stop }
    })?;
    if !args.follow {
        return replay(args, &up.run_dir);
    }
    let client = Client::new(&up.socket);
    block_on(async {
        let mut events = client.events(None).await.map_err(|error| Stop::host(&error))?;
        while let Some(event) = events.next().await {
            show(args, &event)?;
        }
        Ok(exit::MET)
    })?
}

/// Prints the recorded events.
fn replay(args: &Args, run_dir: &Path) -> Result<u8, Stop> {
    let path = run_dir.join("events.jsonl");
    let failed = |error: &dyn Hint| {
        Stop::new(exit::WRONG, format!("{}: {}", path.display(), chain(error)), error.hint())
    };
    let file = File::open(&path).map_err(|error| failed(&error))?;
    let recorded = event::read(BufReader::new(file)).map_err(|error| failed(&error))?;
    let there: BTreeSet<&NodeName> = recorded.events.iter().filter_map(|event| event.node.as_ref()).collect();
    if let Some(stranger) = args.nodes.iter().find(|node| !there.contains(node)) {
        let there: Vec<&str> = there.into_iter().map(NodeName::as_str).collect();
        let hint = format!("nodes with events: {}", there.join(", "));
        return Err(Stop::new(exit::WRONG, format!("no events of node `{stranger}`"), Some(hint)));
    }
    recorded.events.iter().try_for_each(|event| show(args, event))?;
    Ok(exit::MET)
}

fn show(args: &Args, event: &Event) -> Result<(), Stop> {
    let printed = matches!(event.kind, Kind::Known(Known::ConsoleLine { .. } | Known::SyslogLine { .. }));
    let of_interest =
        args.nodes.is_empty() || event.node.as_ref().is_some_and(|node| args.nodes.contains(node));
    if of_interest && (printed || args.events) {
        output::data(&if args.json { output::json_line(event)? } else { line(event, args.events) });
    }
    Ok(())
}

fn line(event: &Event, with_topic: bool) -> String {
    let node = event.node.as_ref().map(NodeName::as_str).unwrap_or_default();
    let elapsed = event.at.elapsed();
    let (seconds, millis) = (elapsed.as_secs(), elapsed.subsec_millis());
    let topic = if with_topic { format!("{:8}", event.kind.topic()) } else { String::new() };
    format!("{}\n", format!("{seconds:>5}.{millis:03}  {node:8}  {topic}{}", event.kind).trim_end())
}
