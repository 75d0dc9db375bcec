//! Descriptions of expectations.

use super::count;
use crate::event::Ago;
use crate::lab::{
    Check, Expectation, HttpCheck, Installed, KubernetesCheck, ObservedCheck, Polarity, ProbedCheck,
};

/// Returns the description of an expectation: `stage os within 15m`, `never console /Kernel panic/`.
pub fn describe(expectation: &Expectation) -> String {
    let check = match expectation.sense {
        Polarity::Must => check(&expectation.check),
        Polarity::Never => format!("never {}", check(&expectation.check)),
    };
    let quorum =
        expectation.quorum.map(|quorum| format!(" on {quorum} of {} nodes", expectation.nodes.len()));
    let quorum = quorum.unwrap_or_default();
    let within = expectation.within.map(|within| format!(" within {}", Ago(within))).unwrap_or_default();
    let holds = Some(expectation.holds).filter(|holds| !holds.is_zero());
    let holds = holds.map(|holds| format!(" for {}", Ago(holds))).unwrap_or_default();
    format!("{check}{quorum}{within}{holds}")
}

fn check(check: &Check) -> String {
    match check {
        Check::Observed(check) => observed(check),
        Check::Probed(check) => probed(check),
    }
}

fn observed(check: &ObservedCheck) -> String {
    match check {
        ObservedCheck::Console(regex) => format!("console /{regex}/"),
        ObservedCheck::Stage(stage) => format!("stage {stage}"),
        ObservedCheck::Boots(boots) => count::boots_wanted(boots),
        ObservedCheck::Fetched(fetched) => count::fetched_wanted(fetched),
        ObservedCheck::Leased(leased) => count::leased_wanted(leased),
        ObservedCheck::Process { process, exit } => format!("process {process} ended with exit code {exit}"),
    }
}

fn probed(check: &ProbedCheck) -> String {
    match check {
        ProbedCheck::Tcp { port } => format!("tcp {port}"),
        ProbedCheck::Http(check) => {
            let HttpCheck { port, path, tls, method, status, body, headers, json, .. } = &**check;
            let scheme = if tls.is_some() { "https" } else { "http" };
            let method = if method == "GET" { String::new() } else { format!("{method} ") };
            let body = body.as_ref().map(|body| format!(", body /{body}/")).unwrap_or_default();
            let headers: String = headers.iter().map(|(name, regex)| format!(", {name} /{regex}/")).collect();
            format!("{scheme} {method}:{port}{path} with {status}{body}{headers}{json}")
        }
        ProbedCheck::Dns { name, answer: _, server: _ } => match name {
            Some(name) => format!("dns {name}"),
            None => "dns for its own name".to_owned(),
        },
        ProbedCheck::Ssh { user, run, json, .. } => match run {
            Some(run) => format!("ssh {user}: {run}{json}"),
            None => format!("ssh {user}"),
        },
        ProbedCheck::Etcd { members, port: _ } => {
            format!("etcd with {members} healthy members and one leader")
        }
        ProbedCheck::Kubernetes(check) => kubernetes(check),
        ProbedCheck::Installed(Installed { disks: _, table, partitions }) => {
            let table = table.map(|table| format!(", {}", table.as_str())).unwrap_or_default();
            let count = partitions.map(|count| format!(", {count} partitions")).unwrap_or_default();
            format!("installed{table}{count}")
        }
        ProbedCheck::Command { run, json, .. } => format!("command {run}{json}"),
    }
}

fn kubernetes(check: &KubernetesCheck) -> String {
    let KubernetesCheck { on, nodes, version, namespaces, .. } = check;
    let version = version.as_ref().map(|version| format!(" {version}")).unwrap_or_default();
    let nodes = nodes.as_ref().map(|nodes| match nodes.len() {
        1 => " with 1 ready node".to_owned(),
        count => format!(" with {count} ready nodes"),
    });
    let pods =
        if namespaces.is_empty() { String::new() } else { format!(", pods in {}", namespaces.join(", ")) };
    format!("kubernetes{version} on {on}{}{pods}", nodes.unwrap_or_default())
}
