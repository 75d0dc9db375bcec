//! Runs the checks of expectations that need a probe: connections, requests, logins, commands.
//!
//! Decides nothing: [`Judge::wanted`](crate::expect::Judge::wanted) says which probes run, and their results are
//! emitted as [`Known::Probed`]. Sockets and programs use the network namespace of the calling thread, which is that of
//! the lab. Results never contain a key or a password.
//!
//! Each probe repeats single attempts. It reports the first result, each change, an unchanged result every ten seconds,
//! and the first success that completes a hold; so a long wait does not flood the record.

mod certificate;
mod dns;
mod etcd;
mod file;
mod http;
mod kubernetes;
mod program;
mod system;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::event::{Ago, Emitter, Known, RunTime, Service, Source};
use crate::expect::WantedProbe;
use crate::hint::chain;
use crate::lab::{Check, DiskFile, Expectation, Firmware, Installed, Isolation, Login, ProbedCheck};
use crate::name::{ExpectName, LabName, Mac, NetworkName, NicName, NodeName};
use crate::node::Node;
use crate::node::host::Space;
use crate::observe::AddressBook;
use crate::plan::{NetworkPlan, Plan, Step};
pub use crate::run::dns::Dns;
use crate::run::environment;
use crate::run::no_kubeconfig::NoKubeconfig;
use crate::run::process::AskHttp;
use crate::run::reach::Reaching;
use crate::run::ssh::{self, KeyFile};
use crate::system::host::EnteredNetwork;
use crate::system::process::Spawner;

/// Time between the starts of two attempts, unless one takes longer.
const PACE: Duration = Duration::from_millis(500);
/// The same for a cluster, which is asked for several lists.
const CLUSTER_PACE: Duration = Duration::from_secs(1);
/// Timeout of one attempt over the network.
const NETWORK_LIMIT: Duration = Duration::from_secs(10);
/// How long the command of an action may take.
const ACTION_LIMIT: Duration = Duration::from_mins(10);
/// Timeout of one attempt with a program: some wait themselves (`cloud-init status --wait`).
const PROGRAM_LIMIT: Duration = Duration::from_secs(300);
/// Timeout of one look at a running system: the login, and what its script waits for.
const SYSTEM_LIMIT: Duration = Duration::from_secs(60);
/// When an unchanged result is reported again.
const SIGN_OF_LIFE: Duration = Duration::from_secs(10);
/// How long a changed text with the same outcome is held back, so that a text with a time in it does not flood the
/// record.
const OTHER_WORDS: Duration = Duration::from_secs(2);

/// The folder of outputs in the run folder.
const OUTPUTS: &str = "probe";

/// The context of probes.
#[derive(Debug)]
pub struct ProbeContext {
    /// The lab.
    pub lab: LabName,
    /// Its expectations.
    pub expectations: BTreeMap<ExpectName, Expectation>,
    /// How to reach each node.
    pub nodes: BTreeMap<NodeName, Target>,
    /// The DNS server for names that belong to no node.
    pub dns: Option<Dns>,
    /// The machines, to inspect their disks.
    pub machines: Machines,
    /// From where nodes are reached.
    pub reaching: Reaching,
    /// The run folder, which keeps the output of the last failed attempt of each probe that was reported.
    pub run_dir: PathBuf,
    /// The runtime folder, for copies of keys.
    pub runtime: PathBuf,
    /// Starts programs.
    pub spawner: Spawner,
    /// Receives the results.
    pub emitter: Emitter,
}

/// How to reach a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// Its address in the lab file; without one, the address is taken from events.
    pub address: Option<IpAddr>,
    /// Its first network.
    pub network: Option<NetworkName>,
    /// Its firmware.
    pub firmware: Firmware,
    /// The hardware addresses of its NICs.
    pub macs: BTreeMap<NicName, Mac>,
    /// The DNS server of its first network, if that has one.
    pub dns: Option<Dns>,
}

/// A function that finds the machine of a node.
type Find = dyn Fn(&NodeName) -> Option<Arc<dyn Node>> + Send + Sync;

/// Finds the machine of a started node.
#[derive(Clone)]
pub struct Machines(Arc<Find>);

impl Machines {
    /// Creates it from a function.
    pub fn new(find: impl Fn(&NodeName) -> Option<Arc<dyn Node>> + Send + Sync + 'static) -> Self {
        Self(Arc::new(find))
    }
}

impl std::fmt::Debug for Machines {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Machines")
    }
}

impl ProbeContext {
    /// Creates the context of probes from a plan.
    pub fn new(
        plan: &Plan,
        machines: Machines,
        reaching: Reaching,
        run_dir: PathBuf,
        runtime: PathBuf,
        spawner: Spawner,
        emitter: Emitter,
    ) -> Self {
        let dns =
            |network: &NetworkPlan| network.dns.map(|server| Dns { server, domain: network.domain.clone() });
        let nodes = plan.nodes.iter().map(|(name, node)| {
            let network = node.network.as_ref().and_then(|network| plan.networks.get(network));
            let address = node.address.map(IpAddr::from);
            (
                name.clone(),
                Target {
                    address,
                    network: node.network.clone(),
                    firmware: node.firmware,
                    macs: node.nics.iter().map(|nic| (nic.nic.clone(), nic.mac)).collect(),
                    dns: network.and_then(dns),
                },
            )
        });
        let hosts = plan.hosts.values().map(|host| {
            let network = host.network.clone();
            let server = network.as_ref().and_then(|network| plan.networks.get(network));
            let mut there = host.nics.iter().filter(|nic| Some(&nic.network) == network.as_ref());
            let address = there.find_map(|nic| nic.address).map(|net| net.addr().into());
            let (firmware, dns) = (Firmware::default(), server.and_then(dns));
            let macs = host.nics.iter().map(|nic| (nic.nic.clone(), nic.mac)).collect();
            (host.host.clone(), Target { address, network, firmware, macs, dns })
        });
        Self {
            lab: plan.lab.clone(),
            expectations: plan.expectations.clone(),
            nodes: nodes.chain(hosts).collect(),
            dns: plan.networks.values().find_map(dns),
            machines,
            reaching,
            run_dir,
            runtime,
            spawner,
            emitter: emitter.of(Source::Probe),
        }
    }
}

/// The result of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Answer {
    ok: bool,
    seen: String,
    /// The output, up to a limit, if there is more than the text.
    output: Option<String>,
    /// Lines that show why it failed.
    evidence: Vec<String>,
    /// The node of the lab that leads the cluster.
    leader: Option<NodeName>,
}

impl Answer {
    fn yes(seen: impl Into<String>) -> Self {
        Self { ok: true, seen: seen.into(), output: None, evidence: Vec::new(), leader: None }
    }

    fn no(seen: impl Into<String>) -> Self {
        Self { ok: false, seen: seen.into(), output: None, evidence: Vec::new(), leader: None }
    }

    fn with_leader(self, leader: Option<NodeName>) -> Self {
        Self { leader, ..self }
    }

    fn with_output(self, output: String) -> Self {
        Self { output: Some(output), ..self }
    }

    fn with_evidence(self, evidence: Vec<String>) -> Self {
        Self { evidence, ..self }
    }
}

/// Runs the requested probes.
#[derive(Debug)]
pub struct Prober {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
    running: BTreeMap<(ExpectName, Option<NodeName>), Running>,
}

/// The shared state of all probes.
#[derive(Debug)]
struct Shared {
    context: ProbeContext,
    /// The current addresses of nodes without a fixed one.
    seen_at: Mutex<BTreeMap<NodeName, IpAddr>>,
}

#[derive(Debug)]
struct Running {
    abort: AbortHandle,
    /// From when on a success is reported although nothing changed.
    confirm_at: Arc<AtomicU64>,
}

impl Prober {
    /// Creates a prober without probes.
    pub fn new(context: ProbeContext) -> Self {
        let shared = Shared { context, seen_at: Mutex::new(BTreeMap::new()) };
        Self { shared: Arc::new(shared), tasks: JoinSet::new(), running: BTreeMap::new() }
    }

    /// Sets the current address of a node without a fixed one.
    pub fn learn(&self, addresses: &AddressBook, node: &NodeName) {
        let network = self.shared.context.nodes.get(node).and_then(|target| target.network.as_ref());
        if let Some(address) = addresses.reach(network, node) {
            let mut seen_at = self.shared.seen_at.lock().unwrap_or_else(PoisonError::into_inner);
            seen_at.insert(node.clone(), address);
        }
    }

    /// Runs a command once, for an action: in the lab's network namespace, or on a node by ssh. Returns why it failed.
    ///
    /// Does nothing before it is polled.
    pub fn once(
        &self,
        command: ProbedCheck,
        node: Option<NodeName>,
    ) -> impl Future<Output = Result<(), String>> + Send + use<> {
        let shared = Arc::clone(&self.shared);
        async move {
            let mut memory = kubernetes::Memory::default();
            match timeout(ACTION_LIMIT, shared.attempt(&[], &command, node.as_ref(), &mut memory)).await {
                Ok(Answer { ok: true, .. }) => Ok(()),
                Ok(Answer { seen, .. }) => Err(seen),
                Err(_) => Err(format!("it did not end within {}", Ago(ACTION_LIMIT))),
            }
        }
    }

    /// Starts the requested probes that are not running, and stops those that are no longer requested.
    ///
    /// Must be called inside a tokio runtime, any number of times.
    pub fn set_wanted(&mut self, wanted: Vec<WantedProbe>) {
        while let Some(ended) = self.tasks.try_join_next() {
            if let Err(error) = ended
                && error.is_panic()
            {
                let failed = Known::ServiceFailed { service: Service::Probe, error: error.to_string() };
                self.shared.context.emitter.emit(failed);
            }
        }
        let mut kept = BTreeMap::new();
        for WantedProbe { expect, node, confirm_at } in wanted {
            let confirm_at = confirm_at.unwrap_or(RunTime::NEVER);
            let key = (expect, node);
            let running = match self.running.remove(&key) {
                Some(running) => running,
                None => match self.start(&key) {
                    Some(running) => running,
                    None => continue,
                },
            };
            running.confirm_at.store(confirm_at.as_nanos(), Ordering::Relaxed);
            kept.insert(key, running);
        }
        for (_, unwanted) in std::mem::replace(&mut self.running, kept) {
            unwanted.abort.abort();
        }
    }

    /// Reads the kubeconfig of a cluster, and sends one that works on this machine.
    ///
    /// Must be called inside a tokio runtime.
    pub(super) fn kubeconfig(
        &mut self,
        expect: Option<ExpectName>,
        plan: &Plan,
        reply: oneshot::Sender<Result<String, NoKubeconfig>>,
    ) {
        let published = plan.steps.iter().filter_map(|step| match step {
            Step::Publish { listen, to, .. } => Some((*to, *listen)),
            _ => None,
        });
        let place = kubernetes::Place {
            lab: plan.lab.clone(),
            published: published.collect(),
            is_reachable: plan.isolation == Isolation::None,
        };
        let shared = Arc::clone(&self.shared);
        self.tasks.spawn(async move {
            let answer = kubernetes::handed_out(&shared, expect, &place).await;
            // The requester may be gone.
            reply.send(answer).ok();
        });
    }

    fn start(&mut self, (expect, node): &(ExpectName, Option<NodeName>)) -> Option<Running> {
        let expectation = self.shared.context.expectations.get(expect)?.clone();
        let Check::Probed(check) = expectation.check.clone() else { return None };
        let confirm_at = Arc::new(AtomicU64::new(RunTime::NEVER.as_nanos()));
        let (shared, confirm, node) = (Arc::clone(&self.shared), Arc::clone(&confirm_at), node.clone());
        let abort = self
            .tasks
            .spawn(async move { probe(&shared, &expectation, &check, node.as_ref(), &confirm).await });
        Some(Running { abort, confirm_at })
    }
}

/// Repeats attempts forever, and reports relevant results.
async fn probe(
    shared: &Shared,
    of: &Expectation,
    check: &ProbedCheck,
    node: Option<&NodeName>,
    confirm_at: &AtomicU64,
) {
    let emitter = &shared.context.emitter;
    let limit = match check {
        // The kubeconfig may come from a command.
        ProbedCheck::Ssh { .. } | ProbedCheck::Command { .. } | ProbedCheck::Kubernetes(_) => PROGRAM_LIMIT,
        ProbedCheck::OnNode(_) => SYSTEM_LIMIT,
        ProbedCheck::Tcp { .. }
        | ProbedCheck::Certificate(_)
        | ProbedCheck::Dns { .. }
        | ProbedCheck::Etcd { .. }
        | ProbedCheck::Installed(_)
        | ProbedCheck::DiskFile(_) => NETWORK_LIMIT,
        ProbedCheck::Http(http) => http.timeout,
    };
    let file = output_file(&of.name, node);
    let mut pace = interval(match check {
        ProbedCheck::Kubernetes(_) => CLUSTER_PACE,
        _ => PACE,
    });
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut reported: Option<(RunTime, Answer)> = None;
    let mut memory = kubernetes::Memory::default();
    loop {
        pace.tick().await;
        let answer = match timeout(limit, shared.attempt(&of.nodes, check, node, &mut memory)).await {
            Ok(answer) => answer,
            Err(_) => Answer::no(format!("no answer within {}", Ago(limit))),
        };
        let now = emitter.now().at;
        let confirm_at = RunTime::from_nanos(confirm_at.load(Ordering::Relaxed));
        if is_news(reported.as_ref(), &answer, now, confirm_at) {
            let Answer { ok, seen, output, evidence, leader } = answer.clone();
            let output = output.filter(|_| !ok).and_then(|output| {
                let kept = keep(&shared.context.run_dir.join(&file), &output);
                // The result counts even if its output cannot be kept.
                kept.inspect_err(|error| tracing::warn!(%error, "the output of a probe was not kept")).ok()
            });
            let output = output.map(|()| file.clone());
            let expect = of.name.clone();
            emitter.emit_maybe(node, Known::Probed { expect, ok, seen, output, evidence, leader });
            reported = Some((now, answer));
        }
    }
}

/// Returns the file for the output of a probe, relative to the run folder.
fn output_file(expect: &ExpectName, node: Option<&NodeName>) -> PathBuf {
    let node = node.map(|node| format!(".{node}")).unwrap_or_default();
    Path::new(OUTPUTS).join(format!("{expect}{node}.txt"))
}

fn keep(path: &Path, output: &str) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    std::fs::write(path, output)
}

/// Tells whether a result should be reported after the last reported one.
fn is_news(reported: Option<&(RunTime, Answer)>, answer: &Answer, now: RunTime, confirm_at: RunTime) -> bool {
    let Some((at, last)) = reported else { return true };
    let age = now.since(*at);
    let completes = answer.ok && *at < confirm_at && confirm_at <= now;
    answer.ok != last.ok
        || answer.leader != last.leader
        || completes
        || age >= SIGN_OF_LIFE
        || (answer.seen != last.seen && age >= OTHER_WORDS)
}

impl Shared {
    /// Makes one attempt.
    async fn attempt(
        &self,
        nodes: &[NodeName],
        check: &ProbedCheck,
        node: Option<&NodeName>,
        memory: &mut kubernetes::Memory,
    ) -> Answer {
        let target = node.and_then(|node| self.context.nodes.get(node));
        match check {
            ProbedCheck::Command { run, host, exit, output, json } => {
                let wanted = program::Expected { exit: *exit, output: output.as_deref(), json };
                let spec = program::shell(run, host.as_ref());
                program::command(&self.context.spawner, spec, self.environment(node), wanted).await
            }
            ProbedCheck::Dns { name, answer, server } => {
                let ours = target.and_then(|target| target.dns.as_ref()).or(self.context.dns.as_ref());
                let other = server.map(|server| {
                    // Without a domain of ours, a name is asked as it is.
                    let domain = ours.map(|dns| dns.domain.clone()).unwrap_or_default();
                    Dns { server, domain }
                });
                let Some(dns) = other.as_ref().or(ours) else {
                    return Answer::no("no network of the lab has DNS");
                };
                let Some(name) = name.as_deref().or(node.map(NodeName::as_str)) else {
                    return Answer::no("there is no name to ask for");
                };
                match self.context.reaching.from(dns.server.ip()) {
                    Ok(from) => dns::probe(dns, network_of(from.as_ref()), name, answer.as_deref()).await,
                    Err(off) => Answer::no(off.to_string()),
                }
            }
            ProbedCheck::Etcd { port, members, healthy } => {
                let nodes: Vec<_> = nodes.iter().map(|node| (node, self.address(node))).collect();
                let wanted = etcd::Wanted { members: *members, healthy: healthy.unwrap_or(*members) };
                etcd::probe(&nodes, &self.context.reaching, *port, wanted).await
            }
            ProbedCheck::Kubernetes(check) => kubernetes::probe(self, nodes, check, memory).await,
            ProbedCheck::Installed(installed) => {
                let (Some(node), Some(target)) = (node, target) else {
                    return Answer::no("there is no node to look at");
                };
                self.look(installed, node, target.firmware).await
            }
            ProbedCheck::DiskFile(check) => match node {
                Some(node) => self.sought(check, node).await,
                None => Answer::no("there is no node to look at"),
            },
            ProbedCheck::Tcp { port } => match self.reached(node) {
                Err(no) => no,
                Ok(Reached { address, from, .. }) => {
                    match connect(SocketAddr::new(address, *port), network_of(from.as_ref())).await {
                        Ok(_) => Answer::yes(format!("port {port} open")),
                        Err(why) => Answer::no(format!("port {port} {why}")),
                    }
                }
            },
            ProbedCheck::Http(check) => match self.reached(node) {
                Err(no) => no,
                Ok(Reached { node, address, from }) => {
                    let to = SocketAddr::new(address, check.port);
                    http::probe(to, network_of(from.as_ref()), node.as_str(), check).await
                }
            },
            ProbedCheck::Certificate(check) => match self.reached(node) {
                Err(no) => no,
                Ok(Reached { node, address, from }) => {
                    let (to, now) = (SocketAddr::new(address, check.port), self.context.emitter.now().wall);
                    certificate::probe(to, network_of(from.as_ref()), node.as_str(), check, now).await
                }
            },
            ProbedCheck::Ssh { login, run, exit, output, json } => {
                let (login, _key, _) = match self.login(login, node) {
                    Ok(login) => login,
                    Err(no) => return no,
                };
                let wanted = program::Expected { exit: *exit, output: output.as_deref(), json };
                program::ssh(&self.context.spawner, &login, run.as_deref(), wanted).await
            }
            ProbedCheck::OnNode(check) => {
                let (login, _key, from) = match self.login(&check.login, node) {
                    Ok(login) => login,
                    Err(no) => return no,
                };
                let none = BTreeMap::new();
                let macs = target.map_or(&none, |target| &target.macs);
                let from = network_of(from.as_ref());
                system::probe(&self.context.spawner, &login, &check.system, macs, from).await
            }
        }
    }

    /// Returns how to log in to a node, with the file of the key, which is deleted on drop, and the host from which the
    /// node is reached.
    fn login<'a>(
        &self,
        login: &'a Login,
        node: Option<&'a NodeName>,
    ) -> Result<(program::Login<'a>, KeyFile, Option<Arc<Space>>), Answer> {
        let Login { user, port, key } = login;
        let Reached { node, address, from } = self.reached(node)?;
        let run_dir = &self.context.run_dir;
        let key = match key {
            None => Ok(KeyFile::kept(ssh::private_key(run_dir))),
            Some(secret) => KeyFile::of(secret, &self.context.runtime),
        };
        let key = key.map_err(Answer::no)?;
        let pid = from.as_ref().map(|from| from.pid());
        let options = ssh::check_options(run_dir, node.as_str(), address, pid, key.path());
        let login = program::Login { user, port: *port, node: node.as_str(), options };
        Ok((login, key, from))
    }

    /// Returns the node with the address at which it is reachable, and the host from which it is.
    fn reached<'a>(&self, node: Option<&'a NodeName>) -> Result<Reached<'a>, Answer> {
        let node = node.ok_or_else(|| Answer::no("there is no node to try"))?;
        let address = self.address(node).ok_or_else(|| Answer::no("no address yet"))?;
        let from = self.context.reaching.from(address).map_err(|off| Answer::no(off.to_string()))?;
        Ok(Reached { node, address, from })
    }

    /// Looks for a file on a disk of a node.
    async fn sought(&self, check: &DiskFile, node: &NodeName) -> Answer {
        let DiskFile { disk, file } = check;
        let Some(machine) = (self.context.machines.0)(node) else {
            return Answer::no("the machine was not started yet");
        };
        match machine.find_file(disk.clone(), file.path.clone()).await {
            Ok(sought) => file::on_disk(sought, check),
            Err(error) => Answer::no(format!("disk {disk}: {}", chain(&error))),
        }
    }

    /// Inspects the disk of a node.
    async fn look(&self, wanted: &Installed, node: &NodeName, firmware: Firmware) -> Answer {
        let Some(disk) = wanted.disks.get(node) else { return Answer::no("it has no disk") };
        let Some(machine) = (self.context.machines.0)(node) else {
            return Answer::no("the machine was not started yet");
        };
        let found = match machine.inspect(disk.clone(), firmware).await {
            Ok(Ok(found)) => found,
            Ok(Err(why)) => return Answer::no(format!("disk {disk}: {why}")),
            Err(error) => return Answer::no(chain(&error)),
        };
        let words = match found.bootable {
            Ok(words) => words,
            Err(words) => return Answer::no(format!("disk {disk}: {words}")),
        };
        let count = found.layout.partitions.len();
        if wanted.table.is_some_and(|table| table != found.layout.table) {
            return Answer::no(format!("disk {disk}: {words}, another kind of table"));
        }
        match wanted.partitions {
            Some(wanted) if usize::try_from(wanted) != Ok(count) => {
                Answer::no(format!("disk {disk}: {words}, not {wanted}"))
            }
            _ => Answer::yes(format!("disk {disk}: {words}")),
        }
    }

    fn address(&self, node: &NodeName) -> Option<IpAddr> {
        let fixed = self.context.nodes.get(node).and_then(|target| target.address);
        fixed.or_else(|| self.seen_at.lock().unwrap_or_else(PoisonError::into_inner).get(node).copied())
    }

    /// Returns the environment of a command.
    fn environment(&self, node: Option<&NodeName>) -> Vec<(String, String)> {
        let mut variables = vec![("DRYRACK_LAB".to_owned(), self.context.lab.to_string())];
        for name in self.context.nodes.keys() {
            if let Some(address) = self.address(name) {
                let name = name.as_str().to_uppercase().replace('-', "_");
                variables.push((format!("DRYRACK_ADDRESS_{name}"), address.to_string()));
            }
        }
        for (name, file) in environment::variables(&self.context.run_dir, false) {
            variables.push((name.to_owned(), file.display().to_string()));
        }
        if let Some(node) = node {
            variables.push(("DRYRACK_NODE".to_owned(), node.to_string()));
            if let Some(address) = self.address(node) {
                variables.push(("DRYRACK_ADDRESS".to_owned(), address.to_string()));
            }
        }
        variables
    }
}

/// Returns what asks a server by HTTP whether it answers as expected.
pub fn ask_http() -> AskHttp {
    Arc::new(|to, check, from| {
        Box::pin(async move { http::probe(to, from.as_ref(), "localhost", &check).await.ok })
    })
}

/// A node with an address.
struct Reached<'a> {
    node: &'a NodeName,
    address: IpAddr,
    /// The host from which it is reached, if it is not from the bridges.
    from: Option<Arc<Space>>,
}

/// Returns the network of a host, if it is reached from one.
fn network_of(from: Option<&Arc<Space>>) -> Option<&EnteredNetwork> {
    from.map(|space| space.network())
}

/// Connects by TCP, or returns as text why that failed.
async fn connect(to: SocketAddr, from: Option<&EnteredNetwork>) -> Result<TcpStream, &'static str> {
    use std::io::ErrorKind;
    let connected = async {
        match from {
            None => TcpStream::connect(to).await,
            Some(network) => network.connect(to).await,
        }
    };
    let stream = timeout(Duration::from_secs(3), connected).await.map_err(|_| "does not answer")?;
    stream.map_err(|error| match error.kind() {
        ErrorKind::ConnectionRefused => "refuses connections",
        ErrorKind::HostUnreachable => "unreachable: no host has the address",
        ErrorKind::NetworkUnreachable => "cannot be reached: there is no route",
        ErrorKind::TimedOut => "does not answer",
        _ => "cannot be connected to",
    })
}

#[cfg(test)]
mod tests;
