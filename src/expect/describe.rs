//! Descriptions of expectations.

use super::count;
use crate::event::Ago;
use crate::lab::{Check, Expectation, Installed, Polarity};

/// Returns the description of an expectation: `stage os within 15m`, `never console /Kernel panic/`.
pub fn describe(expectation: &Expectation) -> String {
    let check = match expectation.sense {
        Polarity::Must => check(&expectation.check),
        Polarity::Never => format!("never {}", check(&expectation.check)),
    };
    let within = expectation.within.map(|within| format!(" within {}", Ago(within))).unwrap_or_default();
    let holds = Some(expectation.holds).filter(|holds| !holds.is_zero());
    let holds = holds.map(|holds| format!(" for {}", Ago(holds))).unwrap_or_default();
    format!("{check}{within}{holds}")
}

fn check(check: &Check) -> String {
    match check {
        Check::Console(regex) => format!("console /{regex}/"),
        Check::Stage(stage) => format!("stage {stage}"),
        Check::Tcp { port } => format!("tcp {port}"),
        Check::Http { port, path, status, body, headers } => {
            let body = body.as_ref().map(|body| format!(", body /{body}/")).unwrap_or_default();
            let headers: String = headers.iter().map(|(name, regex)| format!(", {name} /{regex}/")).collect();
            format!("http :{port}{path} with {status}{body}{headers}")
        }
        Check::Dns { name, answer: _ } => match name {
            Some(name) => format!("dns {name}"),
            None => "dns for its own name".to_owned(),
        },
        Check::Ssh { user, run, .. } => match run {
            Some(run) => format!("ssh {user}: {run}"),
            None => format!("ssh {user}"),
        },
        Check::Etcd { members, port: _ } => format!("etcd with {members} healthy members and one leader"),
        Check::Boots(boots) => count::boots_wanted(boots),
        Check::Fetched(fetched) => count::fetched_wanted(fetched),
        Check::Installed(Installed { disks: _, table, partitions }) => {
            let table = table.map(|table| format!(", {}", table.as_str())).unwrap_or_default();
            let count = partitions.map(|count| format!(", {count} partitions")).unwrap_or_default();
            format!("installed{table}{count}")
        }
        Check::Process { process, exit } => format!("process {process} ended with exit code {exit}"),
        Check::Command { run, .. } => format!("command {run}"),
    }
}
