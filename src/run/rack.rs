//! The rack: the effects of a plan's steps, in the network namespace of this process.

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::authority::Authority;
use super::bmc::{BmcStart, Bmcs, VirtualMedia};
use super::environment;
use super::executor::{Failure, Host, Site};
use super::journal::Journal;
use super::plug::Plug;
use super::process::{self, AskHttp, ProcessContext, Running};
use super::reach::{Hosts, Reaching};
use super::strays::end_strays;
use super::wire::Wire;
use crate::capture::{Recording, RecordingNotes};
use crate::dissect::Segment;
use crate::event::{Emitter, Event, Kind, Known, Service, Source};
use crate::fault::Faults;
use crate::hint::{Hint, chain};
use crate::lab::{Access, ProcessFile, Secret, TlsFault};
use crate::name::{DiskName, IfName, NetworkName, NodeName, ProcessName, digest};
use crate::node::host::HostMachine;
use crate::node::qemu::{self, Machine, disk, seed};
use crate::node::{Node, NodeCommand, Power};
use crate::plan::{HostMachinePlan, MediumPlan, NodePlan, ProcessPlan, ServicePlan, Step, Undo};
use crate::serve::{self, Addresses, Boots, KeyRing, Resolve, Resources};
use crate::system::MAKE_ROOM;
use crate::system::file_watch::FileWatches;
use crate::system::host::{GivenFile, ImageRoot};
use crate::system::impaired_link::{ImpairedLink, Impairment, LinkInterfaces};
use crate::system::netlink::Netlink;
use crate::system::process::{OURSELVES_ON_HOSTS, Spawner};
use crate::system::station::Station;
use crate::system::{namespace, nft, sockets, sysctl};

/// How long a link may take to come up: copper negotiates in about three seconds.
const CABLE: Duration = Duration::from_secs(5);

/// The inputs of a rack.
pub struct RackParts {
    /// The run folder.
    pub run_dir: PathBuf,
    /// The folder that the lab keeps between runs.
    pub kept: PathBuf,
    /// Starts programs.
    pub spawner: Spawner,
    /// Receives the events.
    pub events: Emitter,
    /// Decides what goes wrong on purpose.
    pub faults: Faults,
    /// Resolves the files of the plan.
    pub resolve: Resolve,
    /// The public SSH key of the run; empty if the lab needs none.
    pub ssh_public_key: String,
    /// The CA for HTTPS; `None` if the lab has none.
    pub authority: Option<Authority>,
    /// The passphrases of matchbox's key rings.
    pub passphrases: BTreeMap<NetworkName, Secret>,
    /// The nodes of the plan.
    pub nodes: BTreeMap<NodeName, NodePlan>,
    /// The hosts of the plan.
    pub hosts: BTreeMap<NodeName, HostMachinePlan>,
    /// From where nodes are reached.
    pub reaching: Reaching,
    /// The images whose files processes see.
    pub images: BTreeMap<ProcessName, ImageRoot>,
    /// What asks servers by HTTP.
    pub ask_http: AskHttp,
    /// What is known of the networks that are captured, in the order of the capture.
    pub segments: Vec<Segment>,
    /// Listeners of published ports, in the order of the plan.
    pub published: Vec<TcpListener>,
}

/// Everything that is up.
pub struct Rack {
    parts: RackParts,
    netlink: Arc<Netlink>,
    watches: FileWatches,
    published: Mutex<VecDeque<TcpListener>>,
    addresses: Addresses,
    services: Mutex<JoinSet<()>>,
    stop: CancellationToken,
    nodes: Mutex<BTreeMap<NodeName, Arc<dyn Node>>>,
    hosts: Hosts,
    bmcs: Option<Bmcs>,
    /// The virtual media of nodes with a BMC.
    virtual_media: Mutex<BTreeMap<NodeName, Arc<VirtualMedia>>>,
    boots: Boots,
    processes: Mutex<BTreeMap<ProcessName, Running>>,
    recording: Mutex<Option<Recording>>,
    /// The images in the CD drives of nodes at their first start.
    media: Mutex<BTreeMap<NodeName, BTreeMap<DiskName, PathBuf>>>,
    notes: RecordingNotes,
    /// The links that faults impair, by port.
    impaired: tokio::sync::Mutex<BTreeMap<IfName, ImpairedLink>>,
}

impl Rack {
    /// Creates an empty rack in the network namespace of this thread. Must be called inside a tokio runtime.
    pub fn new(mut parts: RackParts) -> Result<Self, Failure> {
        let netlink = Netlink::open().map_err(Failure::new)?;
        let watches = FileWatches::new().map_err(Failure::new)?;
        let published = Mutex::new(std::mem::take(&mut parts.published).into());
        let hosts = parts.reaching.hosts().clone();
        Ok(Self {
            parts,
            netlink: Arc::new(netlink),
            watches,
            published,
            addresses: Addresses::default(),
            services: Mutex::default(),
            stop: CancellationToken::new(),
            nodes: Mutex::default(),
            hosts,
            bmcs: None,
            virtual_media: Mutex::default(),
            boots: Boots::default(),
            processes: Mutex::default(),
            recording: Mutex::default(),
            media: Mutex::default(),
            notes: RecordingNotes::default(),
            impaired: tokio::sync::Mutex::default(),
        })
    }

    /// Lets nodes have BMCs.
    pub(super) fn with_bmcs(self, bmcs: Bmcs) -> Self {
        Self { bmcs: Some(bmcs), ..self }
    }

    fn folder(&self, node: &NodeName) -> PathBuf {
        self.parts.run_dir.join("node").join(node.as_str())
    }

    fn make_folder(&self, node: &NodeName) -> Result<(), Failure> {
        let folder = self.folder(node);
        std::fs::create_dir_all(&folder).map_err(|source| file_failure("create", &folder, source))
    }

    /// Reads the key ring of matchbox, if a network has one.
    #[expect(clippy::disallowed_methods, reason = "a secret is fetched where it is used, and kept nowhere")]
    fn key_ring(&self, plan: &ServicePlan) -> Result<Option<KeyRing>, Failure> {
        let Some(path) = plan.matchbox.as_ref().and_then(|matchbox| matchbox.key_ring.as_ref()) else {
            return Ok(None);
        };
        let passphrase = match self.parts.passphrases.get(&plan.network) {
            Some(secret) => {
                let fetched = secret.fetch(|name| std::env::var_os(name), |path| std::fs::read(path));
                let revealed = fetched.map_err(Failure::new)?;
                String::from_utf8_lossy(revealed.expose()).trim_end_matches('\n').to_owned()
            }
            None => String::new(),
        };
        KeyRing::read(path, &passphrase).map(Some).map_err(Failure::new)
    }

    async fn start_machine(&self, node: &NodeName) -> Result<(), Failure> {
        let plan = self
            .parts
            .nodes
            .get(node)
            .ok_or_else(|| Failure::new(io::Error::other(format!("the plan has no node `{node}`"))))?;
        self.make_folder(node)?;
        let (boots, node) = (self.boots.clone(), plan.node.clone());
        let events = self.parts.events.tap(move |event| {
            if let Kind::Known(Known::PoweredOn {} | Known::Reset { .. }) = &event.kind {
                boots.began(&node);
            }
        });
        let folder = self.folder(&plan.node);
        let media = lock(&self.media).get(&plan.node).cloned().unwrap_or_default();
        let started = Machine::start(
            plan,
            folder,
            media,
            &self.parts.spawner,
            &self.watches,
            events,
            self.parts.faults.clone(),
        );
        let machine = started.await.map_err(Failure::new)?;
        let machine: Arc<dyn Node> = Arc::new(machine);
        if let Some(bmcs) = &self.bmcs {
            bmcs.attach(&machine);
        }
        lock(&self.nodes).insert(plan.node.clone(), machine);
        Ok(())
    }

    /// Starts the BMC of a node.
    async fn start_bmc(&self, node: &NodeName) -> Result<(), Failure> {
        let missing = || Failure::new(io::Error::other(format!("the plan has no BMC of `{node}`")));
        let plan = self.parts.nodes.get(node).ok_or_else(missing)?;
        let bmc = plan.bmc.as_ref().ok_or_else(missing)?;
        let bmcs = self.bmcs.as_ref().ok_or_else(missing)?;
        let password = bmcs.password(bmc).map_err(Failure::new)?;
        let station = Station::plug(&self.netlink, bmc).await.map_err(Failure::new)?;
        let (run_dir, folder) = (&self.parts.run_dir, self.folder(node));
        let media = bmcs.media(plan, bmc, &station, (run_dir, &folder), &self.parts.events);
        lock(&self.virtual_media).insert(node.clone(), Arc::clone(&media));
        let certificate = match (&self.parts.authority, &bmc.redfish) {
            (Some(authority), Some(redfish)) => {
                let issued = authority.issue(&redfish.https, &[TlsFault::WrongName]);
                Some(issued.map_err(Failure::new)?)
            }
            _ => None,
        };
        let events = self.parts.events.clone();
        let devices = &qemu::capabilities(plan).boot;
        let start =
            BmcStart { node: plan, plan: bmc, devices, password, certificate, station, media, events };
        let running = bmcs.start(start).await.map_err(Failure::new)?;
        let stop = self.stop.clone();
        lock(&self.services).spawn(async move {
            stop.run_until_cancelled(running).await;
        });
        Ok(())
    }

    /// Returns the virtual media of a node, if it has a BMC.
    pub(super) fn virtual_media(&self, node: &NodeName) -> Option<Arc<VirtualMedia>> {
        lock(&self.virtual_media).get(node).cloned()
    }

    fn host(&self, host: &NodeName) -> Result<Arc<HostMachine>, Failure> {
        let found = self.hosts.get(host);
        found.ok_or_else(|| Failure::new(io::Error::other(format!("the host `{host}` was not prepared"))))
    }

    fn prepare_host(&self, host: &NodeName) -> Result<(), Failure> {
        let plan = self.parts.hosts.get(host).cloned();
        let plan =
            plan.ok_or_else(|| Failure::new(io::Error::other(format!("the plan has no host `{host}`"))))?;
        let folder = self.parts.run_dir.join("host").join(host.as_str());
        let mut files = self.given(&plan.files)?;
        // So that `dryrack matchbox` runs there, although the folders of the user are not on hosts.
        let ourselves = std::env::current_exe().map_err(Failure::new)?;
        if ourselves.is_file() {
            let given = GivenFile { source: ourselves, access: Access::ReadOnly };
            files.insert(OURSELVES_ON_HOSTS.into(), given);
        }
        for (path, source) in environment::on_hosts(&self.parts.run_dir) {
            files.insert(path, GivenFile { source, access: Access::ReadOnly });
        }
        let machine = HostMachine::new(plan, files, folder, Arc::clone(&self.netlink), &self.parts.events);
        self.hosts.insert(host.clone(), machine);
        Ok(())
    }

    /// Finds the files that a process or host is given.
    fn given(&self, files: &BTreeMap<PathBuf, ProcessFile>) -> Result<BTreeMap<PathBuf, GivenFile>, Failure> {
        let given = |(at, ProcessFile { source, access }): (&PathBuf, &ProcessFile)| {
            let missing = || Failure::new(io::Error::other(format!("there is no file {source}")));
            let source = (self.parts.resolve)(source).ok_or_else(missing)?;
            // Links lead to something else once the process sees other files, and a copy of one to the original.
            let source =
                std::fs::canonicalize(&source).map_err(|error| file_failure("find", &source, error))?;
            Ok((at.clone(), GivenFile { source, access: *access }))
        };
        files.iter().map(given).collect()
    }

    async fn start_process(&self, plan: &ProcessPlan) -> Result<(), Failure> {
        let RackParts { run_dir, spawner, events, ask_http, images, .. } = &self.parts;
        let host = match &plan.host {
            None => None,
            Some(host) => Some(self.host(host)?.space()),
        };
        let image = images.get(&plan.process).cloned();
        let files = self.given(&plan.files)?;
        let context = ProcessContext { run_dir, spawner, events, ask_http, host, image, files };
        let running = process::start(plan, context).await;
        let running = running.map_err(Failure::new)?;
        lock(&self.processes).insert(plan.process.clone(), running);
        Ok(())
    }

    /// Waits until a process is ready.
    async fn await_process(&self, process: &ProcessName, by: &str, seconds: u64) -> Result<(), Failure> {
        let awaited = {
            let processes = lock(&self.processes);
            let running = processes.get(process).ok_or_else(|| {
                Failure::new(io::Error::other(format!("the process `{process}` was not started")))
            })?;
            running.awaited(by, seconds)
        };
        awaited.await.map_err(|error| {
            let output = lock(&self.processes).get(process).map(Running::tail).unwrap_or_default();
            Failure::new(error).of_machine(output)
        })
    }

    fn publish(&self, to: SocketAddr) -> Result<(), Failure> {
        let listener = lock(&self.published).pop_front();
        let listener =
            listener.ok_or_else(|| io::Error::other("its listener was not handed to the supervisor"));
        let listener = listener.and_then(|listener| {
            listener.set_nonblocking(true)?;
            tokio::net::TcpListener::from_std(listener)
        });
        let listener = listener.map_err(Failure::new)?;
        let (events, stop) = (self.parts.events.of(Source::Service), self.stop.clone());
        let reaching = self.parts.reaching.clone();
        lock(&self.services).spawn(async move {
            stop.run_until_cancelled(forward(listener, to, reaching, events)).await;
        });
        Ok(())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // After a panic the map is still consistent: every change is a single operation.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Forwards the connections of a published port to a node, as long as it is polled.
async fn forward(listener: tokio::net::TcpListener, to: SocketAddr, reaching: Reaching, events: Emitter) {
    let mut connections = JoinSet::new();
    loop {
        let mut from = match listener.accept().await {
            Ok((from, _)) => from,
            Err(error) => {
                // For example, out of file descriptors: clients in the backlog are served when other connections have
                // ended.
                let error = format!("to {to}: {error}");
                events.emit(Known::ServiceFailed { service: Service::Port, error });
                connections.join_next().await;
                continue;
            }
        };
        while connections.try_join_next().is_some() {}
        let reaching = reaching.clone();
        connections.spawn(async move {
            // If the node does not answer, the client's connection is closed.
            if let Ok(mut node) = reaching.connect(to).await {
                tokio::io::copy_bidirectional(&mut from, &mut node).await.ok();
            }
        });
    }
}

impl Host for Rack {
    async fn apply(&self, step: &Step) -> Result<(), Failure> {
        let Self { parts, netlink, .. } = self;
        match step {
            // They were done before the supervisor was started.
            Step::BuildImage { .. } | Step::Download { .. } | Step::MakeNamespaces { .. } => Ok(()),
            Step::NameFiles { hosts, nameserver, search } => {
                namespace::name_files(&parts.run_dir, hosts, *nameserver, search).map_err(Failure::new)
            }
            Step::Publish { listen: _, node: _, to } => self.publish(*to),
            Step::Bridge(plan) => netlink.bridge(plan).await.map_err(Failure::new),
            Step::Capture(plan) => {
                let (segments, addresses) = (parts.segments.clone(), self.addresses.clone());
                let wire = Wire::new(plan, segments, parts.nodes.values(), addresses, &parts.events);
                let recording = wire.record(plan, &parts.run_dir, self.notes.clone());
                *lock(&self.recording) = Some(recording.map_err(Failure::new)?);
                Ok(())
            }
            Step::Port(plan) => {
                netlink.plug(plan).await.map_err(Failure::new)?;
                // Without a link the lab still comes up: the cable may be plugged in later.
                netlink.carries(&plan.interface, CABLE).await.map(drop).map_err(Failure::new)
            }
            Step::Forward { was: _ } => sysctl::set_ip_forward(true).map_err(Failure::new),
            Step::Firewall(plan) => nft::load(plan).await.map_err(Failure::new),
            Step::ForeignAccept(rule) => nft::foreign_accept(rule).await.map_err(Failure::new),
            Step::Serve(plan) => {
                let mut sockets = sockets::bind(plan).map_err(Failure::new)?;
                serve::look_for_others(&mut sockets, plan).await.map_err(Failure::new)?;
                let identity = match (&parts.authority, &plan.https) {
                    (Some(authority), Some(https)) => {
                        Some(authority.issue(https, &TlsFault::ALL).map_err(Failure::new)?)
                    }
                    _ => None,
                };
                let key_ring = self.key_ring(plan)?.map(Arc::new);
                let resources = Resources {
                    resolve: parts.resolve.clone(),
                    ssh_public_key: parts.ssh_public_key.clone(),
                    addresses: self.addresses.clone(),
                    folder: parts.run_dir.clone(),
                    boots: self.boots.clone(),
                    faults: parts.faults.clone(),
                    identity,
                    key_ring,
                };
                let (events, stop) = (parts.events.clone(), self.stop.clone());
                lock(&self.services).spawn(serve::serve(sockets, (**plan).clone(), resources, events, stop));
                Ok(())
            }
            Step::Disk(plan) => {
                self.make_folder(&plan.node)?;
                let backing = plan.backing.as_ref().and_then(|file| (parts.resolve)(file));
                let folders = disk::DiskFolders { run: &parts.run_dir, kept: &parts.kept };
                disk::create(plan, folders, backing, &parts.spawner).await.map_err(Failure::new)
            }
            Step::Medium(MediumPlan { node, cd, source }) => {
                let file = (parts.resolve)(source).filter(|file| file.is_file());
                let file = file.ok_or_else(|| {
                    Failure::new(io::Error::other(format!("`{source}`, the image for {cd}, does not exist")))
                })?;
                lock(&self.media).entry(node.clone()).or_default().insert(cd.clone(), file);
                Ok(())
            }
            Step::Variables { node, template, path } => {
                self.make_folder(node)?;
                let to = parts.run_dir.join(path);
                std::fs::copy(template, &to).map_err(|source| file_failure("write", &to, source))?;
                // The template is read-only on some hosts, and a copy inherits its mode.
                let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
                std::fs::set_permissions(&to, mode).map_err(|source| file_failure("unlock", &to, source))
            }
            Step::Seed(plan) => {
                self.make_folder(&plan.node)?;
                seed::write(plan, &parts.run_dir, &parts.ssh_public_key).map_err(Failure::new)
            }
            Step::Tap(plan) => netlink.tap(plan).await.map_err(Failure::new),
            Step::Bmc { node, .. } => self.start_bmc(node).await,
            Step::Machine { node } => self.start_machine(node).await,
            Step::Host { host, ports: _ } => self.prepare_host(host),
            Step::Process(plan) => self.start_process(plan).await,
            Step::Ready { process, by, seconds } => self.await_process(process, by, *seconds).await,
            Step::PowerOn { node, after: _ } => match self.node(node) {
                Some(node) => {
                    node.carry_out(NodeCommand::Power(Power::On)).await.map(drop).map_err(Failure::new)
                }
                None => {
                    let error = io::Error::other(format!("the machine of `{node}` was not started"));
                    Err(Failure::new(error))
                }
            },
        }
    }

    async fn undo(&self, undo: &Undo) -> Result<(), Failure> {
        if let Undo::EndProcess(process) = undo {
            // It is killed with its process group; processes that left the group are found by their environment.
            lock(&self.processes).remove(process);
        }
        if let Undo::EndMachine(node) = undo {
            let node = lock(&self.nodes).remove(node);
            if let Some(node) = node {
                node.end().await;
            }
            return Ok(());
        }
        if let Undo::EndHost(host) = undo {
            let host = self.hosts.remove(host);
            if let Some(host) = host {
                host.end().await;
            }
        }
        reverse(undo, &self.parts.run_dir, &self.netlink).await
    }
}

impl Site for Rack {
    fn node(&self, node: &NodeName) -> Option<Arc<dyn Node>> {
        let host = || {
            let host: Arc<dyn Node> = self.hosts.get(node)?;
            Some(host)
        };
        lock(&self.nodes).get(node).cloned().or_else(host)
    }

    async fn impair(
        &self,
        node: &NodeName,
        plugs: &[Plug],
        impairment: Option<Impairment>,
    ) -> Result<(), String> {
        let mut links = self.impaired.lock().await;
        for plug in plugs {
            if let Some(link) = links.remove(&plug.port) {
                link.end(&self.netlink).await.map_err(|error| chain(&error))?;
            }
            let Some(impairment) = impairment else { continue };
            let interfaces = LinkInterfaces {
                port: plug.port.clone(),
                bridge: plug.bridge.clone(),
                mtu: plug.mtu,
                inner_bridge: plug.port.beside('f'),
                inner_tap: plug.port.beside('i'),
                outer_tap: plug.port.beside('o'),
            };
            // The TAPs end with this process.
            let undo = vec![Undo::DeleteLink(interfaces.inner_bridge.clone())];
            Journal::add(&self.parts.run_dir, undo).map_err(|error| error.to_string())?;
            // The same in every run: a test that loses frames loses the same ones.
            let digest = digest("link", &[node.as_str(), plug.nic.as_str()]);
            let seed = digest.iter().take(8).fold(0, |seed, byte| seed << 8 | u64::from(*byte));
            let started = ImpairedLink::start(&self.netlink, interfaces, impairment, seed).await;
            links.insert(plug.port.clone(), started.map_err(|error| chain(&error))?);
        }
        Ok(())
    }

    async fn end_services(&self) {
        for (port, link) in std::mem::take(&mut *self.impaired.lock().await) {
            if let Err(error) = link.end(&self.netlink).await {
                tracing::warn!(%port, error = chain(&error), "its bridge is removed by the journal");
            }
        }
        self.stop.cancel();
        let mut services = std::mem::take(&mut *lock(&self.services));
        while services.join_next().await.is_some() {}
        let recording = lock(&self.recording).take();
        if let Some(recording) = recording {
            // It reads what the kernel still has, which takes a moment.
            tokio::task::spawn_blocking(|| recording.end()).await.ok();
        }
    }

    fn note(&self, event: &Event) {
        if let (Some(node), Kind::Known(known @ Known::StageReached { .. })) = (&event.node, &event.kind) {
            let since_1970 = event.wall.duration_since(Timestamp::UNIX_EPOCH);
            self.notes.add(since_1970.unsigned_abs(), format!("{node} {known}"));
        }
        if let Some(bmcs) = &self.bmcs {
            bmcs.note(event);
        }
    }
}

/// Reverses an effect on the kernel or in the run folder, whichever process had it.
pub(super) async fn reverse(undo: &Undo, run_dir: &Path, netlink: &Netlink) -> Result<(), Failure> {
    match undo {
        Undo::DeleteLink(interface) => netlink.delete(interface).await.map_err(Failure::new),
        Undo::Unplug { interface, bridge, up } => {
            netlink.unplug(interface, bridge, *up).await.map_err(Failure::new)
        }
        Undo::SetForwarding(on) => sysctl::set_ip_forward(*on).map_err(Failure::new),
        Undo::DeleteTable(table) => nft::remove(table).await.map_err(Failure::new),
        Undo::DeleteForeignRule(rule) => nft::remove_foreign_accept(rule).await.map_err(Failure::new),
        Undo::EndMachine(node) => {
            let folder = run_dir.join("node").join(node.as_str());
            end_strays(|process| std::fs::read_link(process.join("cwd")).is_ok_and(|cwd| cwd == folder))
        }
        // The first process of a host ends with its supervisor, and the others with it.
        Undo::EndHost(_) => Ok(()),
        Undo::EndProcess(name) => {
            let mark = process::mark(run_dir, name);
            end_strays(|process| process::is_marked(process, &mark))
        }
        Undo::DeleteFile(path) => {
            let path = run_dir.join(path);
            match std::fs::remove_file(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                done => done.map_err(|source| file_failure("delete", &path, source)),
            }
        }
    }
}

#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} {}", path.display())]
struct FileError {
    verb: &'static str,
    path: PathBuf,
    #[source]
    source: io::Error,
}

impl Hint for FileError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        (self.source.kind() == io::ErrorKind::StorageFull).then_some(MAKE_ROOM.into())
    }
}

fn file_failure(verb: &'static str, path: &Path, source: io::Error) -> Failure {
    Failure::new(FileError { verb, path: path.to_owned(), source })
}
