//! `dryrack status`: shows the labs that are up.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use super::lab::NamedUpArgs;
use super::output::{self, Stop};
use super::runtime::block_on;
use super::table::Table;
use crate::event::{Ago, Known, RunTime, Stage};
use crate::name::NicName;
use crate::observe::{LabState, NodeView, Power, Sighting, Snapshot};
use crate::report::{self, exit};
use crate::run::client::{Client, NetworkServices, Published, Status};
use crate::run::{Locations, registered};

/// Show the state of labs that are up
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    lab: NamedUpArgs,
    /// Show one line per lab [default: if several labs are shown]
    #[arg(long, short, conflicts_with = "json")]
    short: bool,
    /// Print a JSON list of objects with `lab`, `file`, `isolation`, `accel`, `networks`, `services`, `addresses`, `links`,
    /// `media`, `published`, `snapshot` (the nodes: stage, power, boots, timeline, last sighting; hosts and processes)
    /// and `verdicts`
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(super) fn run(args: &Args, locations: &Locations) -> Result<u8, Stop> {
    let labs = match args.lab.named() {
        Some(_) => vec![args.lab.find(locations)?],
        None => registered(locations),
    };
    let statuses = block_on(async {
        let mut statuses = Vec::new();
        for lab in &labs {
            statuses.push(Client::new(&lab.socket).status().await);
        }
        statuses.into_iter().collect::<Result<Vec<Status>, _>>()
    })?;
    let statuses = statuses.map_err(|error| Stop::host(&error))?;
    if args.json {
        output::json(&statuses)?;
        return Ok(exit::MET);
    }
    if statuses.is_empty() {
        output::note("no lab is up");
    }
    let width = output::width();
    match &statuses[..] {
        [] => {}
        [status] if !args.short => output::data(&output::painted(&text(status, width))),
        statuses => output::data(&lines(statuses, width)),
    }
    Ok(exit::MET)
}

/// Returns a line for each lab.
fn lines(statuses: &[Status], width: usize) -> String {
    let mut table = Table::new(["lab", "state", "for", "nodes", "expectations", "file"]);
    for Status { lab, file, snapshot, verdicts, .. } in statuses {
        table.row([
            lab.to_string(),
            state(snapshot.lab).to_owned(),
            snapshot.now.to_string(),
            nodes(snapshot),
            report::tally(verdicts, "met"),
            file.display().to_string(),
        ]);
    }
    table.wrapped(width)
}

/// Returns how many nodes are at each stage, the latest first: `2 os, 1 dhcp`.
fn nodes(snapshot: &Snapshot) -> String {
    let mut counts: BTreeMap<Reverse<Stage>, usize> = BTreeMap::new();
    for view in snapshot.nodes.values() {
        *counts.entry(Reverse(view.stage)).or_default() += 1;
    }
    let counts: Vec<String> =
        counts.iter().map(|(Reverse(stage), count)| format!("{count} {stage}")).collect();
    if counts.is_empty() { "none".to_owned() } else { counts.join(", ") }
}

fn state(lab: LabState) -> &'static str {
    match lab {
        LabState::Starting => "starting",
        LabState::Up => "up",
        LabState::TearingDown => "being torn down",
        LabState::Ended => "ended",
    }
}

/// How many findings of a node are shown.
const SHOWN_FINDINGS: usize = 3;

fn text(status: &Status, width: usize) -> String {
    let Status {
        lab,
        file,
        isolation: _,
        networks: _,
        services,
        accel,
        addresses,
        links,
        media,
        published,
        capabilities: _,
        snapshot,
        verdicts,
    } = status;
    let now = snapshot.now;
    let state = match snapshot.lab {
        LabState::Starting => "is starting",
        LabState::Up => "is up",
        LabState::TearingDown => "is being torn down",
        LabState::Ended => "has ended",
    };
    let mut table = Table::new(["  node", "stage", "address", "link", "last seen"]);
    for (node, view) in &snapshot.nodes {
        let addresses = addresses.get(node).into_iter().flatten();
        let addresses: Vec<String> = addresses.map(ToString::to_string).collect();
        let stage = match view.power {
            Power::Off | Power::On => view.stage.to_string(),
            Power::Stopped => "stopped".to_owned(),
            Power::Died => "died".to_owned(),
        };
        let link = links.get(node).map(link).unwrap_or_default();
        table.row([format!("  {node}"), stage, addresses.join(" "), link, last_seen(view, now)]);
    }
    for (host, view) in &snapshot.hosts {
        let addresses = addresses.get(host).into_iter().flatten();
        let addresses: Vec<String> = addresses.map(ToString::to_string).collect();
        let power = match view.power {
            Power::On => "on",
            Power::Off | Power::Stopped => "off",
            Power::Died => "died",
        };
        let link = links.get(host).map(link).unwrap_or_default();
        let logged = view.logged.as_ref().map(|line| {
            let text = Known::ConsoleLine { text: line.text.clone() };
            format!("{text}, {} ago", Ago(now.since(line.at)))
        });
        table.row([
            format!("  {host}"),
            power.to_owned(),
            addresses.join(" "),
            link,
            logged.unwrap_or_default(),
        ]);
    }
    let mut parts = vec![
        format!("{lab} {state}, for {}, under {}: {}\n", now, accel.as_str(), file.display()),
        table.wrapped(width),
    ];
    if !services.is_empty() {
        parts.push(served(services, width));
    }
    let drives = media.iter().flat_map(|(node, drives)| drives.iter().map(move |drive| (node, drive)));
    let drives: String = drives
        .map(|(node, (drive, medium))| match medium {
            Some(medium) => format!("  {drive} of {node} has {medium}\n"),
            None => format!("  {drive} of {node} is empty\n"),
        })
        .collect();
    if !drives.is_empty() {
        parts.push(drives);
    }
    if !published.is_empty() {
        let ports = published.iter().map(|port| {
            let Published { listen, node, to } = port;
            match node {
                Some(node) => format!("  {listen} forwards to {node} ({to})\n"),
                None => format!("  {listen} forwards to the boot services ({to})\n"),
            }
        });
        parts.push(ports.collect());
    }
    let faults = snapshot.faults.iter().filter(|fault| fault.ended.is_none());
    let faults: String = faults.map(|fault| format!("  fault {fault}\n")).collect();
    if !faults.is_empty() {
        parts.push(faults);
    }
    for (node, view) in &snapshot.nodes {
        let findings = view.findings.iter().take(SHOWN_FINDINGS);
        let findings: String = findings.map(|finding| report::finding(finding, width)).collect();
        if !findings.is_empty() {
            parts.push(format!("{node}:\n{findings}"));
        }
    }
    if !verdicts.is_empty() {
        parts.push(report::verdicts(verdicts, now, width));
    }
    parts.join("\n")
}

/// Returns a line for each network: what runs there, and what was switched off.
fn served(services: &[NetworkServices], width: usize) -> String {
    let mut table = Table::new(["  network", "bridge", "address", "services"]);
    for NetworkServices { network, interface, address, on, off } in services {
        let on = if on.is_empty() { "none".to_owned() } else { on.join(", ") };
        let off = if off.is_empty() { String::new() } else { format!("; off: {}", off.join(", ")) };
        table.row([
            format!("  {network}"),
            interface.to_string(),
            address.map_or("none".to_owned(), |address| address.to_string()),
            on + &off,
        ]);
    }
    table.wrapped(width)
}

/// Returns the state of a node's links: those that are down by their names, if there are others.
fn link(links: &BTreeMap<NicName, bool>) -> String {
    let down: Vec<&str> = links.iter().filter(|(_, up)| !**up).map(|(nic, _)| nic.as_str()).collect();
    match (links.len(), down.len()) {
        (0, _) => String::new(),
        (_, 0) => "up".to_owned(),
        (all, some) if all == some => "down".to_owned(),
        _ => format!("{} down", down.join(", ")),
    }
}

fn last_seen(view: &NodeView, now: RunTime) -> String {
    match (&view.fetching, &view.last) {
        (Some(fetch), _) => format!("fetching {fetch}"),
        (None, Some(Sighting { at, what })) => format!("{what}, {} ago", Ago(now.since(*at))),
        (None, None) => String::new(),
    }
}
