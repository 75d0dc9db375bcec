//! Descriptions of expectations.

use super::count;
use crate::event::Ago;
use crate::lab::{
    Action, CertificateCheck, Check, Chosen, Deed, Expectation, HttpCheck, Installed, KubernetesCheck, Login,
    ObservedCheck, Polarity, ProbedCheck,
};
use crate::name::NodeName;

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
    let progress = expectation.progress.map(|progress| format!(", and progress every {}", Ago(progress)));
    let progress = progress.unwrap_or_default();
    format!("{check}{quorum}{within}{holds}{progress}")
}

/// Returns what an action does, without its nodes: `power force-off`, `reinstall with blank disks`.
pub fn deed(deed: &Deed) -> String {
    match deed {
        Deed::Power(power) => format!("power {}", power.as_str()),
        Deed::Link { nics, up } => {
            let nics: std::collections::BTreeSet<_> = nics.values().map(|nic| nic.as_str()).collect();
            let nics: Vec<_> = nics.into_iter().collect();
            format!("link {} {}", nics.join(", "), if *up { "up" } else { "down" })
        }
        Deed::Media { drive, file, eject } => {
            let drive = drive.as_ref().map(|drive| format!(" ({drive})")).unwrap_or_default();
            let file = file.as_ref().map(|file| format!(" {}", file.display())).unwrap_or_default();
            format!("{}{file}{drive}", if *eject { "eject" } else { "insert" })
        }
        Deed::BootNext(target) => format!("boot {} once", target.as_str()),
        Deed::Reinstall { wipe: false } => "reinstall".to_owned(),
        Deed::Reinstall { wipe: true } => "reinstall with new disks".to_owned(),
        Deed::Command { run, host } => format!("run {run}{}", on_host(host.as_ref())),
        Deed::Ssh { login, run } => format!("run by ssh as {}: {run}", login.user),
    }
}

/// Returns where a command runs, if it is a host.
fn on_host(host: Option<&NodeName>) -> String {
    host.map(|host| format!(" on host {host}")).unwrap_or_default()
}

/// Returns the description of an action: `power force-off of the leader that three saw, 5s after expectation three`.
pub fn describe_action(action: &Action) -> String {
    let of = match &action.nodes {
        Chosen::Nodes(nodes) if nodes.is_empty() => String::new(),
        Chosen::Nodes(nodes) => {
            let nodes: Vec<_> = nodes.iter().map(|node| node.as_str()).collect();
            format!(" of {}", nodes.join(", "))
        }
        Chosen::Leader(expect) => format!(" of the leader that `{expect}` saw"),
        Chosen::Any(count) => format!(" of the first {count} that are on"),
    };
    let delay = Some(action.delay).filter(|delay| !delay.is_zero());
    let delay = delay.map(|delay| format!(" {}", Ago(delay))).unwrap_or_default();
    let after = match &action.after {
        Some(after) => format!("{delay} after `{after}`"),
        None if delay.is_empty() => String::new(),
        None => format!("{delay} after the lab is up"),
    };
    format!("{}{of}{after}", deed(&action.deed))
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
        ObservedCheck::Finding(id) => format!("finding {id}"),
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
        ProbedCheck::Certificate(check) => {
            let CertificateCheck { port, ca, names, valid_for, issuer } = &**check;
            let names: String = names.iter().map(|name| format!(", for {name}")).collect();
            let ca = ca.as_ref().map(|ca| format!(", signed by {}", ca.display())).unwrap_or_default();
            let lasts = Some(*valid_for).filter(|valid_for| !valid_for.is_zero());
            let lasts = lasts.map(|lasts| format!(", valid for {}", Ago(lasts))).unwrap_or_default();
            let issuer = issuer.as_ref().map(|issuer| format!(", issuer /{issuer}/")).unwrap_or_default();
            format!("certificate :{port}{names}{ca}{lasts}{issuer}")
        }
        ProbedCheck::Dns { name, answer: _, server: _ } => match name {
            Some(name) => format!("dns {name}"),
            None => "dns for its own name".to_owned(),
        },
        ProbedCheck::OnNode(check) => check.system.to_string(),
        ProbedCheck::Ssh { login: Login { user, .. }, run, json, .. } => match run {
            Some(run) => format!("ssh {user}: {run}{json}"),
            None => format!("ssh {user}"),
        },
        ProbedCheck::Etcd { members, healthy: Some(healthy), port: _ } => {
            format!("etcd with {healthy} of {members} members healthy and one leader")
        }
        ProbedCheck::Etcd { members, healthy: None, port: _ } => {
            format!("etcd with {members} healthy members and one leader")
        }
        ProbedCheck::Kubernetes(check) => kubernetes(check),
        ProbedCheck::Installed(Installed { disks: _, table, partitions }) => {
            let table = table.map(|table| format!(", {}", table.as_str())).unwrap_or_default();
            let count = partitions.map(|count| format!(", {count} partitions")).unwrap_or_default();
            format!("installed{table}{count}")
        }
        ProbedCheck::DiskFile(check) => format!("{} on disk {}", check.file, check.disk),
        ProbedCheck::Command { run, host, json, .. } => {
            format!("command {run}{}{json}", on_host(host.as_ref()))
        }
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
