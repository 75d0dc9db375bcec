//! One machine without a VM: namespaces that are plugged into networks.
//!
//! On means that its first process runs; off, that the kernel has ended all its processes. What it changed is then
//! gone, as on a machine without a disk, except for what the lab file keeps in the run folder.

mod lease;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::event::{Emitter, Known, PowerCause, Source};
use crate::hint::Hint;
use crate::lab::Firmware;
use crate::name::{DiskName, IfName, NicName, NodeName};
use crate::node::file_system::FileSought;
use crate::node::screen::ScreenReading;
use crate::node::{
    Attachment, Block, BootOverride, Capabilities, Device, DiskContents, Effect, FirmwareVariables,
    InspectError, Node, NodeCommand, NodeError, Power, Work,
};
use crate::plan::{HostMachinePlan, HostNicPlan};
use crate::system::host::{EnteredNetwork, GivenFile, HostNamespaces, HostOrders, write_below};
use crate::system::netlink::{Netlink, NetlinkError};
use crate::system::{nft, sysctl};
use crate::wire::dhcp::Lease;

/// The name of the file with the PID of a host that is on, in its folder.
const PID: &str = "pid";

/// The namespaces of a host that is on.
#[derive(Debug)]
pub struct Space {
    namespaces: HostNamespaces,
    netlink: Netlink,
    /// Its folder in the run folder.
    folder: PathBuf,
    addresses: Mutex<BTreeSet<Ipv4Addr>>,
    /// The lab file gives its `/etc/resolv.conf`.
    has_resolver: bool,
}

impl Space {
    /// Returns the PID of its first process.
    pub fn pid(&self) -> i32 {
        self.namespaces.pid()
    }

    /// Returns its folder in the run folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Returns the addresses that it has.
    pub fn addresses(&self) -> Vec<Ipv4Addr> {
        lock(&self.addresses).iter().copied().collect()
    }

    /// Returns the path of its root, as seen by us. Links below it lead out of it; see [`is_below`].
    ///
    /// [`is_below`]: crate::system::host::is_below
    pub fn root(&self) -> PathBuf {
        self.namespaces.root()
    }

    /// Tells whether its first process still runs.
    pub fn is_alive(&self) -> bool {
        self.namespaces.is_alive()
    }

    /// Returns its network.
    pub fn network(&self) -> &EnteredNetwork {
        &self.namespaces.network
    }

    /// Sets a leased address, with its route and name servers.
    async fn set_address(&self, nic: &HostNicPlan, lease: &Lease) -> io::Result<()> {
        let failed = |error: NetlinkError| io::Error::other(crate::hint::chain(&error));
        self.netlink.add_address(&nic.interface, lease.address).await.map_err(failed)?;
        if let Some(router) = lease.router {
            self.netlink.default_route(router).await.map_err(failed)?;
        }
        lock(&self.addresses).insert(lease.address.addr());
        if lease.nameservers.is_empty() || self.has_resolver {
            return Ok(());
        }
        let mut text: String =
            lease.nameservers.iter().map(|server| format!("nameserver {server}\n")).collect();
        if let Some(domain) = &lease.domain {
            text.extend(["search ", domain.as_str(), "\n"]);
        }
        write_below(&self.namespaces.root(), Path::new("etc"), "resolv.conf", &text)
    }

    /// Takes a leased address away.
    async fn take_address(&self, nic: &HostNicPlan, lease: &Lease) {
        lock(&self.addresses).remove(&lease.address.addr());
        // The interface may be gone with its network.
        self.netlink.delete_address(&nic.interface, lease.address).await.ok();
    }
}

/// The state of a host over its whole life.
pub type SpaceWatch = watch::Receiver<Option<Arc<Space>>>;

/// A host. It is off at first.
pub struct HostMachine {
    body: Arc<Body>,
    /// What goes on while it is on.
    tasks: Mutex<JoinSet<()>>,
    /// One command at a time.
    busy: tokio::sync::Mutex<()>,
}

struct Body {
    plan: HostMachinePlan,
    /// The files that it is given, by the path at which it sees them.
    files: BTreeMap<PathBuf, GivenFile>,
    folder: PathBuf,
    netlink: Arc<Netlink>,
    events: Emitter,
    /// The link states of its NICs. They are kept over power cycles.
    links: Mutex<BTreeMap<NicName, bool>>,
    on: watch::Sender<Option<Arc<Space>>>,
    /// Why it is being powered off.
    intent: Mutex<Option<PowerCause>>,
}

/// Why a host could not be powered on.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what}")]
struct PowerError {
    what: &'static str,
    hint: Option<String>,
    #[source]
    source: Box<dyn std::error::Error + Send + Sync>,
}

impl PowerError {
    fn new(what: &'static str, source: impl Hint + Send + Sync + 'static) -> Self {
        Self { what, hint: source.hint().map(Into::into), source: Box::new(source) }
    }
}

impl Hint for PowerError {
    fn hint(&self) -> Option<std::borrow::Cow<'static, str>> {
        self.hint.clone().map(Into::into)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Every change is a single operation, so a panic leaves nothing half done.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl HostMachine {
    /// Creates a host that is off. `folder` is its folder in the run folder, `files` are those of its plan.
    pub fn new(
        plan: HostMachinePlan,
        files: BTreeMap<PathBuf, GivenFile>,
        folder: PathBuf,
        netlink: Arc<Netlink>,
        events: &Emitter,
    ) -> Self {
        let links = plan.nics.iter().map(|nic| (nic.nic.clone(), true)).collect();
        let body = Body {
            plan,
            files,
            folder,
            netlink,
            events: events.of(Source::Process),
            links: Mutex::new(links),
            on: watch::Sender::new(None),
            intent: Mutex::new(None),
        };
        Self { body: Arc::new(body), tasks: Mutex::default(), busy: tokio::sync::Mutex::default() }
    }

    /// Returns whether it is on, and its namespaces, now and later.
    pub fn space(&self) -> SpaceWatch {
        self.body.on.subscribe()
    }

    async fn power(&self, power: Power) -> Result<(), NodeError> {
        let _alone = self.busy.lock().await;
        match power {
            Power::On => self.power_on().await,
            Power::Off | Power::ForceOff => {
                self.power_off(PowerCause::Power).await;
                Ok(())
            }
            Power::Cycle | Power::Reset => {
                self.power_off(PowerCause::Power).await;
                self.power_on().await
            }
            Power::Nmi => Err(self.cannot("nmi")),
        }
    }

    async fn power_on(&self) -> Result<(), NodeError> {
        if self.body.on.borrow().is_some() {
            return Ok(());
        }
        let made = self.body.make().await;
        let (space, log) = made.map_err(|error| NodeError::failed("power on", self.name(), error))?;
        let space = Arc::new(space);
        self.body.events.emit_of(self.name(), Known::PoweredOn {});
        let mut tasks = lock(&self.tasks);
        *tasks = JoinSet::new();
        self.body.on.send_replace(Some(Arc::clone(&space)));
        tasks.spawn(Arc::clone(&self.body).read_log(log));
        for nic in self.body.plan.nics.iter().filter(|nic| nic.address.is_none()) {
            let events = self.body.events.clone();
            let keep = lease::keep(self.name().clone(), nic.clone(), Arc::clone(&space), events);
            let mut on = self.body.on.subscribe();
            // It must not keep the namespaces of a host that is off.
            tasks.spawn(async move {
                tokio::select! {
                    () = keep => {}
                    _ = on.wait_for(Option::is_none) => {}
                }
            });
        }
        tasks.spawn(Arc::clone(&self.body).watch_over(space));
        Ok(())
    }

    async fn power_off(&self, why: PowerCause) {
        let mut on = self.body.on.subscribe();
        let Some(space) = on.borrow().clone() else { return };
        *lock(&self.body.intent) = Some(why);
        space.namespaces.kill();
        drop(space);
        // Its task notices the end.
        on.wait_for(Option::is_none).await.ok();
    }

    async fn set_link(&self, nic: &NicName, up: bool) -> Result<(), NodeError> {
        let Some(plan) = self.body.plan.nics.iter().find(|plan| plan.nic == *nic) else {
            return Err(NodeError::NoSuchNic { node: self.name().clone(), nic: nic.clone() });
        };
        if self.body.on.borrow().is_some() {
            let set = self.body.netlink.set_up(&plan.port, up).await;
            set.map_err(|error| NodeError::failed("set a link of", self.name(), error))?;
        }
        lock(&self.body.links).insert(nic.clone(), up);
        self.body.events.emit_of(self.name(), Known::LinkSet { nic: nic.to_string(), up });
        Ok(())
    }

    fn cannot(&self, what: &str) -> NodeError {
        let why = "it is a host, which is made of namespaces, not of a machine".to_owned();
        NodeError::Unsupported { node: self.name().clone(), what: what.to_owned(), why }
    }
}

impl Body {
    /// Makes the namespaces, and plugs them into the networks.
    async fn make(&self) -> Result<(Space, File), PowerError> {
        let HostMachinePlan {
            host,
            nics,
            network: _,
            gateway,
            router,
            masquerade,
            hosts,
            nameserver,
            search,
            files: _,
            power: _,
        } = &self.plan;
        let io_error = |what: &'static str| move |source: io::Error| PowerError::new(what, source);
        let orders = HostOrders {
            name: host.to_string(),
            folder: self.folder.clone(),
            hosts: hosts.clone(),
            nameserver: *nameserver,
            search: search.clone(),
            files: self.files.clone(),
        };
        std::fs::create_dir_all(&self.folder).map_err(io_error("make the folder of the host"))?;
        let making = tokio::task::spawn_blocking(move || HostNamespaces::make(&orders));
        let made = making.await.map_err(|error| io_error("make the host")(io::Error::other(error)))?;
        let (namespaces, log) = made.map_err(|error| PowerError::new("make the host", error))?;
        let what = "set up the network of the host";
        let opened = namespaces.network.run(|| Ok(Netlink::open())).await.map_err(io_error(what))?;
        let netlink = opened.map_err(|error| PowerError::new(what, error))?;
        let failed = |error: NetlinkError| PowerError::new(what, error);
        netlink.loopback_up().await.map_err(failed)?;
        for nic in nics {
            let up = lock(&self.links).get(&nic.nic).copied().unwrap_or(true);
            self.netlink.cable(nic, namespaces.pid(), up).await.map_err(failed)?;
            netlink.bring_up(&nic.interface).await.map_err(failed)?;
            if let Some(address) = nic.address {
                netlink.add_address(&nic.interface, address).await.map_err(failed)?;
            }
        }
        if let Some(gateway) = gateway {
            netlink.default_route(*gateway).await.map_err(failed)?;
        }
        let (router, masquerade) = (*router, masquerade.clone());
        let interfaces: Vec<IfName> = nics.iter().map(|nic| nic.interface.clone()).collect();
        let settings = namespaces.network.run(move || {
            // A DHCP client without an address gets answers from servers that it has no route to.
            if let Err(error) = sysctl::accept_any_source(&interfaces) {
                tracing::debug!(%error, "packets of some sources are dropped");
            }
            if router {
                sysctl::set_ip_forward(true).map_err(|error| error.source)?;
            }
            if !masquerade.is_empty() {
                nft::masquerade_out(&masquerade)?;
            }
            Ok(())
        });
        settings.await.map_err(io_error(what))?;
        let pid = self.folder.join(PID);
        std::fs::write(&pid, namespaces.pid().to_string()).map_err(io_error("write the PID of the host"))?;
        let addresses = nics.iter().filter_map(|nic| nic.address).map(|net| net.addr()).collect();
        let resolver = Path::new("/etc/resolv.conf");
        let space = Space {
            namespaces,
            netlink,
            folder: self.folder.clone(),
            addresses: Mutex::new(addresses),
            has_resolver: self.files.keys().any(|given| resolver.starts_with(given)),
        };
        Ok((space, log))
    }

    /// Emits what programs write to `/dev/log`.
    async fn read_log(self: Arc<Self>, log: File) {
        let pipe = tokio::net::unix::pipe::Receiver::from_file(log);
        let Ok(pipe) = pipe else { return };
        let mut lines = BufReader::new(pipe).split(b'\n');
        while let Ok(Some(line)) = lines.next_segment().await {
            let text = String::from_utf8_lossy(&line).into_owned();
            self.events.emit_of(&self.plan.host, Known::ConsoleLine { text });
        }
    }

    /// Waits for the end of the namespaces, and tells of it.
    async fn watch_over(self: Arc<Self>, space: Arc<Space>) {
        let status = space.namespaces.ended().await.unwrap_or_else(|error| error.to_string());
        drop(space);
        // The kernel deletes the ports once nobody has a socket in the network of the host; a host that is powered on
        // again needs them at once.
        for nic in &self.plan.nics {
            if let Err(error) = self.netlink.delete(&nic.port).await {
                tracing::warn!(%error, "a port of a host was not deleted");
            }
        }
        // A file that is gone already is as good.
        std::fs::remove_file(self.folder.join(PID)).ok();
        let intent = lock(&self.intent).take();
        let known = match intent {
            Some(why) => Known::PoweredOff { why },
            None => Known::MachineDied { status, stderr: Vec::new() },
        };
        self.events.emit_of(&self.plan.host, known);
        self.on.send_replace(None);
    }
}

impl Node for HostMachine {
    fn name(&self) -> &NodeName {
        &self.body.plan.host
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            power: [Power::On, Power::Off, Power::ForceOff, Power::Cycle, Power::Reset].into(),
            links: true,
            ..Capabilities::default()
        }
    }

    fn carry_out(&self, command: NodeCommand) -> Work<'_, Effect> {
        Box::pin(async move {
            match command {
                NodeCommand::Power(power) => self.power(power).await.map(|()| Effect::Now),
                NodeCommand::Link { nic, up } => self.set_link(&nic, up).await.map(|()| Effect::Now),
                NodeCommand::Boot(_)
                | NodeCommand::Media(_)
                | NodeCommand::Keys(_)
                | NodeCommand::Break
                | NodeCommand::Firmware(_) => Err(self.cannot(&command.to_string())),
            }
        })
    }

    fn boot_override(&self) -> watch::Receiver<BootOverride> {
        watch::Sender::default().subscribe()
    }

    fn firmware_variables(&self) -> Work<'_, Option<FirmwareVariables>> {
        Box::pin(async { Ok(None) })
    }

    fn console(&self) -> Result<Attachment, NodeError> {
        Err(self.cannot("console"))
    }

    fn screenshot(&self) -> Work<'_, Vec<u8>> {
        Box::pin(async { Err(self.cannot("screenshot")) })
    }

    fn screen(&self) -> Work<'_, ScreenReading> {
        Box::pin(async { Err(self.cannot("screen")) })
    }

    fn devices(&self) -> Work<'_, Vec<Device>> {
        Box::pin(async { Err(self.cannot("devices")) })
    }

    fn blocks(&self) -> Work<'_, Vec<Block>> {
        Box::pin(async { Err(self.cannot("blocks")) })
    }

    fn inspect(&self, disk: DiskName, _: Firmware) -> Work<'_, Result<DiskContents, String>, InspectError> {
        Box::pin(async move { Err(InspectError::NoDisk(disk)) })
    }

    fn find_file(&self, disk: DiskName, _: PathBuf) -> Work<'_, FileSought, InspectError> {
        Box::pin(async { Err(InspectError::NoDisk(disk)) })
    }

    fn end(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            let _alone = self.busy.lock().await;
            self.power_off(PowerCause::Down).await;
        })
    }
}

impl Drop for HostMachine {
    fn drop(&mut self) {
        if let Some(space) = self.body.on.borrow().as_ref() {
            space.namespaces.kill();
        }
    }
}
