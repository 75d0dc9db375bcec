//! Asks a Kubernetes cluster whether it is ready.
//!
//! ```text
//! client.rs     one connection to an API server, and what it answers
//! source.rs     a kubeconfig from where the lab file says that it is
//! ```
//!
//! `/readyz` and `/version` need no credentials. With a kubeconfig, nodes, leases, API services and workloads follow, and
//! [`readiness`](crate::kubernetes::readiness) judges them. Only if a link is missing, events of the cluster and the last
//! lines of a kubelet are fetched, too.

mod client;
mod source;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use hyper::StatusCode;
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use self::client::{Api, Reply, User};
use super::{Answer, Shared, network_of};
use crate::event::RunTime;
use crate::kubernetes::kubeconfig::{Kubeconfig, Server};
use crate::kubernetes::objects::{
    ApiService, Cluster, Event, Lease, Node, Objects, Status, Version, Workloads,
};
use crate::kubernetes::readiness::{Link, Missing, Wanted, WantedNode, judge};
use crate::lab::{Check, KubeconfigSource, KubernetesCheck, ProbedCheck};
use crate::name::{ExpectName, LabName, NodeName};
use crate::run::dns;
use crate::run::no_kubeconfig::NoKubeconfig;

/// How long one answer may take: an API server that just started is slow.
const LIMIT: Duration = Duration::from_secs(10);
/// How long the lines of a kubelet are used again.
const LINES_AGE: Duration = Duration::from_secs(10);
/// How many lines of evidence are reported.
const EVIDENCE: usize = 24;
/// The maximum of characters of a line of evidence.
const WIDEST: usize = 300;
/// The units in which kubelets run, of kubeadm, k3s, rke2, k0s and microk8s.
const KUBELETS: &str = "-u kubelet -u k3s -u k3s-agent -u rke2-server -u rke2-agent -u k0scontroller -u k0sworker \
                        -u snap.microk8s.daemon-kubelite";

/// What is kept from one attempt to the next.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// The kubeconfig, as long as it works.
    kubeconfig: Option<Kubeconfig>,
    /// The last lines of a kubelet, and when they were read.
    lines: Option<(NodeName, RunTime, Vec<String>)>,
}

/// Makes one attempt.
pub(super) async fn probe(
    shared: &Shared,
    nodes: &[NodeName],
    check: &KubernetesCheck,
    memory: &mut Memory,
) -> Answer {
    let mut missing = match attempt(shared, check, memory).await {
        Ok(seen) => return Answer::yes(seen),
        Err(missing) => missing,
    };
    if matches!(missing.link, Link::Tls | Link::Authentication | Link::Kubeconfig) {
        // A cluster that is made anew has a new one.
        memory.kubeconfig = None;
    }
    if matches!(missing.link, Link::Nodes | Link::Leases) {
        missing.evidence.extend(kubelet(shared, nodes, check, &missing, memory).await);
    }
    let seen = missing.to_string();
    let mut evidence: Vec<String> = missing.evidence.iter().map(|line| brief(line)).collect();
    let rest = evidence.len().saturating_sub(EVIDENCE);
    if rest > 0 {
        evidence.truncate(EVIDENCE);
        evidence.push(format!("… and {rest} more lines"));
    }
    Answer::no(brief(&seen)).with_evidence(evidence)
}

async fn attempt(shared: &Shared, check: &KubernetesCheck, memory: &mut Memory) -> Result<String, Missing> {
    let wanted_version = check.version.as_deref();
    let address = shared.address(&check.on);
    let address =
        address.ok_or_else(|| Missing::new(Link::Tcp, format!("`{}` has no address yet", check.on)))?;
    let open = Api::connect(shared, SocketAddr::new(address, check.port), User::anonymous(&check.on)).await;
    let mut open = open.map_err(|missing| on(&check.on, missing))?;
    let anonymous = ready(&mut open).await;
    // An API server may answer nothing without credentials.
    let refused = matches!(&anonymous, Err(missing) if missing.link == Link::Authentication);
    if !refused {
        anonymous.map_err(|missing| on(&check.on, missing))?;
    }
    let Some(source) = &check.kubeconfig else {
        if refused {
            let what =
                "it answers nothing without credentials, as while it starts; if that stays, add `kubeconfig`";
            return Err(Missing::new(Link::Authentication, what));
        }
        let version: Version = open.object("/version").await?;
        let cluster = Cluster { version, ..Cluster::default() };
        let is = &cluster.version.git_version;
        return match wanted_version {
            Some(wanted) if !crate::kubernetes::readiness::is_version(is, wanted) => {
                Err(Missing::new(Link::Version, format!("the API server is {is}, not {wanted}")))
            }
            _ => Ok(format!("Kubernetes {is}, the API server is ready")),
        };
    };
    let kubeconfig = match memory.kubeconfig.take() {
        Some(kubeconfig) => kubeconfig,
        None => source::read(shared, source, &check.on)
            .await
            .map_err(|what| Missing::new(Link::Kubeconfig, what))?,
    };
    let to = endpoint(shared, &kubeconfig.server, &check.on, address).await?;
    let user = User::of(shared, &kubeconfig, check.exec_plugins).await?;
    let api = Api::connect(shared, to, user).await;
    let mut api = api.map_err(|missing| on(&check.on, missing))?;
    memory.kubeconfig = Some(kubeconfig);
    if refused {
        ready(&mut api).await.map_err(|missing| on(&check.on, missing))?;
    }
    let cluster = read_cluster(&mut api, check).await?;
    let wanted = Wanted {
        nodes: check.nodes.as_ref().map(|nodes| {
            let node = |name: &NodeName| WantedNode {
                name: name.to_string(),
                addresses: shared.address(name).into_iter().collect(),
            };
            nodes.iter().map(node).collect()
        }),
        version: check.version.clone(),
        namespaces: check.namespaces.clone(),
    };
    match judge(&cluster, &wanted) {
        Ok(seen) => Ok(seen),
        Err(missing) if missing.about.is_empty() => Err(missing),
        Err(mut missing) => {
            // They are further evidence: that they cannot be read is no reason of its own.
            if let Ok(events) =
                api.list::<Event>("/api/v1/events?fieldSelector=type%3DWarning&limit=500").await
            {
                missing.add_warnings(&events);
            }
            Err(missing)
        }
    }
}

/// Adds whose API server it is.
fn on(node: &NodeName, missing: Missing) -> Missing {
    Missing { what: format!("{node}: {}", missing.what), ..missing }
}

/// Asks whether the API server is ready.
async fn ready(api: &mut Api) -> Result<(), Missing> {
    let mut path = "/readyz";
    let mut answered = api.get(path).await?;
    if answered.status == StatusCode::NOT_FOUND {
        // Before 1.16.
        path = "/healthz";
        answered = api.get(path).await?;
    }
    match answered.status {
        StatusCode::OK => Ok(()),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Err(Missing::new(Link::Authentication, format!("{path} answers {}", answered.status.as_u16())))
        }
        status => {
            let verbose = api.get(&format!("{path}?verbose")).await?;
            let text = String::from_utf8_lossy(&verbose.body).into_owned();
            let failed: Vec<String> = text
                .lines()
                .filter(|line| line.starts_with("[-]"))
                .map(|line| line[3..].to_owned())
                .collect();
            let what = match failed.first() {
                Some(first) => format!("it is not ready: {first}"),
                None => format!("{path} answers {}", status.as_u16()),
            };
            let mut missing = Missing::new(Link::ApiServer, what);
            missing.evidence = failed;
            Err(missing)
        }
    }
}

/// Returns where the server of a kubeconfig is reached from here.
async fn endpoint(
    shared: &Shared,
    server: &Server,
    node: &NodeName,
    address: IpAddr,
) -> Result<SocketAddr, Missing> {
    let host = match server.host.parse::<IpAddr>() {
        // It was meant for the node itself.
        _ if server.is_loopback() => address,
        Ok(host) => host,
        Err(_) => resolve(shared, &server.host, node).await?,
    };
    Ok(SocketAddr::new(host, server.port))
}

/// Resolves the name of a server: a node of the lab, or by the DNS server of the lab.
async fn resolve(shared: &Shared, name: &str, on: &NodeName) -> Result<IpAddr, Missing> {
    let no = |why: String| Missing::new(Link::Kubeconfig, format!("its server `{name}` is not found: {why}"));
    let node = shared.context.nodes.keys().find(|node| node.as_str() == name);
    if let Some(address) = node.and_then(|node| shared.address(node)) {
        return Ok(address);
    }
    let of_node = shared.context.nodes.get(on).and_then(|target| target.dns.as_ref());
    let Some(dns) = of_node.or(shared.context.dns.as_ref()) else {
        return Err(no("no network of the lab has DNS".to_owned()));
    };
    let from = shared.context.reaching.from(dns.server.ip()).map_err(|off| no(off.to_string()))?;
    let found = dns::resolve(dns, network_of(from.as_ref()), name).await.map_err(no)?;
    found.into_iter().next().ok_or_else(|| no("it has no address".to_owned()))
}

/// Reads all that is judged.
async fn read_cluster(api: &mut Api, check: &KubernetesCheck) -> Result<Cluster, Missing> {
    let mut cluster = Cluster { version: api.object("/version").await?, ..Cluster::default() };
    let (nodes, now) = api.list_at::<Node>("/api/v1/nodes").await?;
    (cluster.nodes, cluster.now) = (nodes, now);
    cluster.leases =
        api.maybe_list::<Lease>("/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases").await?;
    cluster.api_services = api.list::<ApiService>("/apis/apiregistration.k8s.io/v1/apiservices").await?;
    for namespace in &check.namespaces {
        let workloads = Workloads {
            pods: api.list(&format!("/api/v1/namespaces/{namespace}/pods")).await?,
            daemon_sets: api.list(&format!("/apis/apps/v1/namespaces/{namespace}/daemonsets")).await?,
            deployments: api.list(&format!("/apis/apps/v1/namespaces/{namespace}/deployments")).await?,
        };
        cluster.namespaces.insert(namespace.clone(), workloads);
    }
    Ok(cluster)
}

impl Api {
    /// Returns an object.
    async fn object<T: DeserializeOwned>(&mut self, path: &str) -> Result<T, Missing> {
        let reply = self.get(path).await?;
        understood(path, &reply)
    }

    /// Returns the objects of a list.
    async fn list<T: DeserializeOwned>(&mut self, path: &str) -> Result<Vec<T>, Missing> {
        self.object::<Objects<T>>(path).await.map(|list| list.items)
    }

    /// Returns the objects of a list, and when the server answered.
    async fn list_at<T: DeserializeOwned>(
        &mut self,
        path: &str,
    ) -> Result<(Vec<T>, Option<jiff::Timestamp>), Missing> {
        let reply = self.get(path).await?;
        let list: Objects<T> = understood(path, &reply)?;
        Ok((list.items, reply.date))
    }

    /// Returns the objects of a list; `None` if the API has no such list.
    async fn maybe_list<T: DeserializeOwned>(&mut self, path: &str) -> Result<Option<Vec<T>>, Missing> {
        let reply = self.get(path).await?;
        if reply.status == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        understood::<Objects<T>>(path, &reply).map(|list| Some(list.items))
    }
}

/// Reads an answer, or returns which link its status says is missing.
fn understood<T: DeserializeOwned>(path: &str, reply: &Reply) -> Result<T, Missing> {
    let said = || serde_json::from_slice::<Status>(&reply.body).map(|status| status.message);
    let path = path.split('?').next().unwrap_or(path);
    match reply.status {
        StatusCode::OK => serde_json::from_slice(&reply.body)
            .map_err(|error| Missing::new(Link::ApiServer, format!("{path} cannot be read: {error}"))),
        StatusCode::UNAUTHORIZED => Err(Missing::new(
            Link::Authentication,
            "the API server does not know the user of the kubeconfig (401)",
        )),
        StatusCode::FORBIDDEN => {
            let what = said().unwrap_or_default();
            Err(Missing::new(Link::Authorization, format!("{path} answers 403: {what}")))
        }
        status => {
            let what = said().map(|said| format!(": {said}")).unwrap_or_default();
            Err(Missing::new(Link::ApiServer, format!("{path} answers {}{what}", status.as_u16())))
        }
    }
}

/// Returns the last lines of the kubelet of the first node that is wrong, if somebody may log in there.
async fn kubelet(
    shared: &Shared,
    nodes: &[NodeName],
    check: &KubernetesCheck,
    missing: &Missing,
    memory: &mut Memory,
) -> Vec<String> {
    let candidates = check.nodes.as_deref().unwrap_or(nodes);
    let wrong = candidates.iter().find(|node| {
        let is_named = |name: &String| name == node.as_str() || name.split('.').next() == Some(node.as_str());
        missing.about.iter().any(is_named)
    });
    let Some(node) = wrong else { return Vec::new() };
    let now = shared.context.emitter.now().at;
    if let Some((whose, at, lines)) = &memory.lines
        && whose == node
        && now.since(*at) < LINES_AGE
    {
        return lines.clone();
    }
    let Some(login) = source::login(shared, check, node) else { return Vec::new() };
    let run = format!("journalctl {KUBELETS} -n 10 --no-pager -o cat 2>&1");
    let logged_in = source::log_in(shared, node, login, &run);
    let lines = match timeout(LIMIT, logged_in).await {
        Ok(Ok(finished)) => {
            finished.output.lines().map(|line| format!("kubelet of {node}: {line}")).collect()
        }
        Ok(Err(why)) => vec![format!("kubelet of {node}: {why}")],
        Err(_) => vec![format!("kubelet of {node}: ssh does not answer")],
    };
    memory.lines = Some((node.clone(), now, lines));
    memory.lines.as_ref().map(|(_, _, lines)| lines.clone()).unwrap_or_default()
}

fn brief(line: &str) -> String {
    let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(WIDEST) {
        Some((at, _)) => format!("{}…", &line[..at]),
        None => line,
    }
}

/// What a kubeconfig for this machine has to know.
pub(super) struct Place {
    /// The lab, whose name the cluster gets.
    pub(super) lab: LabName,
    /// Addresses in the lab, and where they are published on this machine.
    pub(super) published: Vec<(SocketAddr, SocketAddr)>,
    /// Whether the networks of the lab are this machine's.
    pub(super) is_reachable: bool,
}

/// Returns a kubeconfig that works on this machine, with the files that it names in it.
pub(super) async fn handed_out(
    shared: &Shared,
    expect: Option<ExpectName>,
    place: &Place,
) -> Result<String, NoKubeconfig> {
    let all = shared.context.expectations.values().filter_map(|expectation| match &expectation.check {
        Check::Probed(ProbedCheck::Kubernetes(check)) => {
            Some((&expectation.name, &**check, check.kubeconfig.as_ref()?))
        }
        _ => None,
    });
    let mut found: Vec<_> = match &expect {
        Some(named) => all.filter(|(name, ..)| *name == named).collect(),
        None => all.collect(),
    };
    // Usually several expectations judge one cluster.
    let mut distinct: Vec<(&NodeName, &KubeconfigSource)> = Vec::new();
    found.retain(|(_, check, source)| {
        let is_new = !distinct.contains(&(&check.on, *source));
        distinct.push((&check.on, *source));
        is_new
    });
    let (check, source) = match found[..] {
        [(_, check, source)] => (check, source),
        [] => return Err(expect.map_or(NoKubeconfig::NoExpectation, NoKubeconfig::NotNamed)),
        _ => return Err(NoKubeconfig::Several(found.iter().map(|(name, ..)| (*name).clone()).collect())),
    };
    let address = shared.address(&check.on);
    let no_address = || NoKubeconfig::Unreadable(format!("`{}` has no address yet", check.on));
    let address = address.ok_or_else(no_address)?;
    let kubeconfig = source::read(shared, source, &check.on).await.map_err(NoKubeconfig::Unreadable)?;
    let to = endpoint(shared, &kubeconfig.server, &check.on, address).await;
    let to = to.map_err(|missing| NoKubeconfig::Unreadable(missing.what))?;
    let published = place.published.iter().find(|(of, _)| *of == to).map(|(_, listen)| *listen);
    let at = published.or(place.is_reachable.then_some(to));
    let at = at.ok_or_else(|| NoKubeconfig::NotPublished { node: check.on.clone(), to })?;
    let host = if at.ip().is_unspecified() { IpAddr::from(Ipv4Addr::LOCALHOST) } else { at.ip() };
    Ok(kubeconfig.write(place.lab.as_str(), &host.to_string(), at.port()))
}

#[cfg(test)]
mod tests;
