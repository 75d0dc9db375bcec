//! `dryrack logs`: console output, output of processes, syslog and events of a lab.

use std::collections::BTreeSet;
use std::path::Path;

use super::completions;
use super::events;
use super::lab::UpWithArgs;
use super::output::{self, Stop};
use super::runtime::block_on;
use crate::diag::{enumerate, nearest};
use crate::event::{Event, Kind, Known};
use crate::name::{NodeName, ProcessName};
use crate::observe::Snapshot;
use crate::report::exit;
use crate::run::client::Status;
use crate::run::{Locations, RegisteredLab, store};

/// Show serial console output, output of processes and syslog messages of a lab
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Show only these nodes, hosts and processes
    #[arg(value_name = "NAME", add = completions::nodes_and_processes())]
    names: Vec<String>,
    /// Follow new output until the lab is torn down
    #[arg(long, short)]
    follow: bool,
    /// Show all events, not only output and syslog
    #[arg(long, short)]
    events: bool,
    /// Show a run that has ended: run name, run folder, or lab name for its latest run
    #[arg(long, value_name = "RUN", conflicts_with_all = ["follow", "lab"], add = completions::runs())]
    run: Option<String>,
    #[command(flatten)]
    lab: UpWithArgs,
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
    let up = find(args, locations).map_err(|stop| {
        let hint = "`dryrack logs --run RUN` shows a run that has ended".to_owned();
        Stop { hint: stop.hint.map(|first| format!("{first}; {hint}")), ..stop }
    })?;
    if !args.follow {
        return replay(args, &up.run_dir);
    }
    block_on(events::follow(&up, |event| show(args, event)))??;
    Ok(exit::MET)
}

/// Finds the lab that has the nodes and processes.
fn find(args: &Args, locations: &Locations) -> Result<RegisteredLab, Stop> {
    if args.names.is_empty() {
        return args.lab.find(locations);
    }
    let names = enumerate(args.names.iter().map(String::as_str));
    let has = |status: &Status| {
        let Snapshot { nodes, hosts, processes, .. } = &status.snapshot;
        let machines = || nodes.keys().chain(hosts.keys()).map(NodeName::as_str);
        let known = || machines().chain(processes.keys().map(ProcessName::as_str));
        match args.names.iter().find(|name| !known().any(|known| known == *name)) {
            None => Ok(()),
            Some(stranger) => {
                let hint = match nearest(stranger, known()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None => format!("the lab has {}", enumerate(known())),
                };
                let what = format!("lab {} has no node and no process `{stranger}`", status.lab);
                Err(Stop::new(exit::WRONG, what, Some(hint)))
            }
        }
    };
    args.lab.find_where(Some(&names), has, locations).map(|(up, ())| up)
}

/// Returns the process of an event.
fn process(event: &Event) -> Option<&str> {
    match &event.kind {
        Kind::Known(
            Known::ProcessStarted { process, .. }
            | Known::ProcessReady { process, .. }
            | Known::ProcessPrinted { process, .. }
            | Known::ProcessEnded { process, .. },
        ) => Some(process.as_str()),
        _ => None,
    }
}

/// Returns the process of an event, or else the node or host.
fn name(event: &Event) -> Option<&str> {
    process(event).or_else(|| event.node.as_ref().map(NodeName::as_str))
}

/// Tells whether an event is about a node, host or process. A host is what runs on it, too.
fn is_of(event: &Event, name: &str) -> bool {
    process(event) == Some(name) || event.node.as_ref().is_some_and(|node| node.as_str() == name)
}

/// Prints the recorded events.
fn replay(args: &Args, run_dir: &Path) -> Result<u8, Stop> {
    let recorded = events::recorded(run_dir)?;
    let names = |event| [name(event), event.node.as_ref().map(NodeName::as_str)];
    let there: BTreeSet<&str> = recorded.events.iter().flat_map(names).flatten().collect();
    // Of a lab that is up, a node or process may not have done anything yet.
    let strangers = args.run.is_some().then(|| args.names.iter().find(|name| !there.contains(name.as_str())));
    if let Some(stranger) = strangers.flatten() {
        let hint = format!("nodes and processes with events: {}", enumerate(there));
        let what = format!("no events of a node or process `{stranger}`");
        return Err(Stop::new(exit::WRONG, what, Some(hint)));
    }
    recorded.events.iter().try_for_each(|event| show(args, event))?;
    Ok(exit::MET)
}

fn show(args: &Args, event: &Event) -> Result<(), Stop> {
    let printed = matches!(
        event.kind,
        Kind::Known(Known::ConsoleLine { .. } | Known::SyslogLine { .. } | Known::ProcessPrinted { .. })
    );
    let of_interest = args.names.is_empty() || args.names.iter().any(|wanted| is_of(event, wanted));
    if of_interest && (printed || args.events) {
        output::data(&if args.json { output::json_line(event)? } else { line(event, args.events) });
    }
    Ok(())
}

/// Returns the text of an event, without the name that stands before it.
fn words(event: &Event) -> String {
    match &event.kind {
        Kind::Known(Known::ProcessPrinted { text, .. }) => {
            Known::ConsoleLine { text: text.clone() }.to_string()
        }
        kind => kind.to_string(),
    }
}

fn line(event: &Event, with_topic: bool) -> String {
    let node = name(event).unwrap_or_default();
    let elapsed = event.at.elapsed();
    let (seconds, millis) = (elapsed.as_secs(), elapsed.subsec_millis());
    let topic = if with_topic { format!("{:8}", event.kind.topic()) } else { String::new() };
    format!("{}\n", format!("{seconds:>5}.{millis:03}  {node:8}  {topic}{}", words(event)).trim_end())
}
