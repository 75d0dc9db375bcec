//! A rack for one test: our services and machines in a network namespace, real clients in others.
//!
//! The test runs in its own process and namespaces, with or without root: all that
//! it starts or creates ends with it, and is invisible from outside.

mod client;
mod log;

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use dryrack::config::Source;
use dryrack::fault::Faults;
use dryrack::image::{Freshness, Library};
use dryrack::lab::Isolation;
use dryrack::lab::{FileRef, Lab, LabEnvironment, TlsFault, resolve};
use dryrack::name::{ImageName, Mac, NodeName};
use dryrack::node::qemu::Machine;
use dryrack::plan::{BridgePlan, Plan, ServicePlan, Step, plan};
use dryrack::run::authority::{self, Authority};
use dryrack::serve::{Addresses, Boots, KeyRing, Resources, serve};
use dryrack::system::file_watch::FileWatches;
use dryrack::system::netlink::Netlink;
use dryrack::system::process::{Spawner, find_program};
use dryrack::system::{facts, sockets};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub(crate) use client::Client;
pub(crate) use log::Log;

/// Set in the process of a test inside its namespaces.
const INSIDE: &str = "DRYRACK_TEST_INSIDE";

/// Timeout of a test on a busy machine.
const DEADLINE: Duration = Duration::from_secs(600);

/// Programs that tests need, with their Debian packages.
const PACKAGES: &[(&str, &str)] = &[
    ("ip", "iproute2"),
    ("ss", "iproute2"),
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
    ("setpriv", "util-linux"),
    ("udhcpc", "udhcpc"),
    ("dhclient", "isc-dhcp-client"),
    ("dhcpcd", "dhcpcd-base"),
    ("dhcrelay", "isc-dhcp-relay"),
    ("perfdhcp", "kea-admin"),
    ("dnsmasq", "dnsmasq-base"),
    ("busybox", "busybox"),
    ("dig", "dnsutils"),
    ("rdate", "rdate"),
    ("logger", "bsdextrautils"),
    ("ntpdig", "ntpsec-ntpdig"),
    ("curl", "curl"),
    ("wget", "wget"),
    ("cmp", "diffutils"),
    ("rdisc6", "ndisc6"),
    ("tftp", "tftp-hpa"),
    ("atftp", "atftp"),
    ("qemu-system-x86_64", "qemu-system-x86"),
];

/// Returns the path of a program, or fails with the package to install.
pub(crate) fn program(name: &str) -> PathBuf {
    find_program(name).unwrap_or_else(|| {
        let package = PACKAGES.iter().find(|(program, _)| *program == name).map(|(_, package)| *package);
        panic!("this test needs `{name}`: install the package `{}`", package.unwrap_or(name))
    })
}

/// Runs a test in its own process and namespaces. Must be called by the test function itself with a closure.
pub(crate) fn alone<F: AsyncFnOnce()>(test: F) {
    run(&[], test);
}

/// Runs a test that boots machines from images. They are built first, while the network is available.
pub(crate) fn alone_with<F: AsyncFnOnce()>(images: &[&str], test: F) {
    run(images, test);
}

fn run<F: AsyncFnOnce()>(images: &[&str], test: F) {
    if std::env::var_os(INSIDE).is_some() {
        shelter();
        let ip = Command::new(program("ip")).args(["link", "set", "lo", "up"]).status();
        assert!(ip.unwrap().success());
        // A test that hangs reports it and exits.
        std::thread::spawn(|| {
            std::thread::sleep(DEADLINE);
            let words = format!("the test took longer than {} s\n", DEADLINE.as_secs());
            std::io::stderr().write_all(words.as_bytes()).ok();
            std::process::abort();
        });
        Runtime::new().unwrap().block_on(test());
        return;
    }
    for image in images {
        let image = ImageName::new(image).unwrap();
        let built = library().build(&image, Freshness::Reuse, &mut |_| {});
        built.unwrap_or_else(|error| panic!("{error}: {error:#?}"));
    }
    // `services::services::dns::dig_is_answered::{{closure}}`: the only way to get the name of the test.
    let closure = std::any::type_name::<F>();
    let name = closure.strip_suffix("::{{closure}}").and_then(|path| path.split_once("::")).unwrap().1;
    // If the test is killed, all its processes must end: without the death signal, `unshare` and its children would
    // survive.
    let mut command = Command::new(program("setpriv"));
    command.args(["--pdeathsig", "KILL", "--"]).arg(program("unshare"));
    if !nix::unistd::geteuid().is_root() {
        command.args(["--user", "--map-root-user"]);
    }
    let output = command
        .args(["--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}\n{complaints}");
}

/// Protects the host's own files from clients that write them: dhcpcd writes `resolv.conf`.
fn shelter() {
    use nix::mount::{MsFlags, mount};
    let none = None::<&str>;
    for folder in ["/run", "/var/lib/dhcpcd"].into_iter().filter(|folder| Path::new(folder).is_dir()) {
        mount(none, folder, Some("tmpfs"), MsFlags::empty(), none).unwrap();
    }
    let own = Path::new("/run/resolv.conf");
    std::fs::write(own, "").unwrap();
    if let Ok(theirs) = std::fs::canonicalize("/etc/resolv.conf") {
        mount(Some(own), &theirs, none, MsFlags::MS_BIND, none).unwrap();
    }
}

/// The images, in the cache that tests share.
fn library() -> Library {
    let shared = std::env::var_os("DRYRACK_CACHE").map(PathBuf::from);
    let cache = shared.unwrap_or_else(|| PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("cache"));
    Library::new(cache, Vec::new())
}

/// A lab with its bridges and services up. Machines are started by `boot`.
pub(crate) struct Rack {
    pub(crate) plan: Plan,
    pub(crate) log: Log,
    /// The folder of the lab, where machines have their files.
    pub(crate) folder: tempfile::TempDir,
    netlink: Netlink,
    spawner: Spawner,
    addresses: Addresses,
    pub(crate) faults: Faults,
    stop: CancellationToken,
    services: JoinSet<()>,
}

impl Rack {
    /// Brings up a lab. `prepare` creates files in its folder first.
    pub(crate) async fn of(text: &str, prepare: impl FnOnce(&Path)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        prepare(folder.path());
        let lab = lab(text, folder.path());
        let plan = plan(&lab, &facts::gather(Isolation::Private, facts::QemuDevices::NotAsked)).unwrap();
        let log = Log::default();
        let faults = Faults::new(plan.faults.values(), &log.emitter());
        faults.begin(&BTreeSet::new());
        let mut rack = Self {
            plan,
            log,
            folder,
            netlink: Netlink::open().unwrap(),
            spawner: Spawner::start().unwrap(),
            addresses: Addresses::default(),
            faults,
            stop: CancellationToken::new(),
            services: JoinSet::new(),
        };
        for step in rack.plan.steps.clone() {
            match step {
                Step::Bridge(bridge) => rack.netlink.bridge(&bridge).await.unwrap(),
                Step::Serve(plan) => rack.serve(*plan),
                _ => {}
            }
        }
        rack
    }

    fn serve(&mut self, plan: ServicePlan) {
        let run_dir = self.folder.path().to_owned();
        let mut identity = None;
        if let Some(https) = &plan.https {
            let lab = run_dir.join("lab.toml");
            let authority = Authority::open(&run_dir.join("kept"), &lab).unwrap();
            authority.lay_out(&run_dir).unwrap();
            identity = Some(authority.issue(https, &TlsFault::ALL).unwrap());
        }
        let resolve = Arc::new(move |file: &FileRef| match file {
            FileRef::Path(path) => Some(path.clone()),
            FileRef::Url { .. } => None,
            FileRef::Lab(file) => Some(authority::path(&run_dir, *file)),
            FileRef::Image { image, file } => {
                library().built(image).and_then(|built| Some(built.files.get(file)?.path.clone()))
            }
        });
        let key_ring = plan.matchbox.as_ref().and_then(|matchbox| matchbox.key_ring.as_ref());
        let key_ring = key_ring.map(|path| Arc::new(KeyRing::read(path, "").unwrap()));
        let resources = Resources {
            resolve,
            ssh_public_key: "ssh-ed25519 KEY".to_owned(),
            addresses: self.addresses.clone(),
            folder: self.folder.path().to_owned(),
            boots: Boots::default(),
            faults: self.faults.clone(),
            identity,
            key_ring,
        };
        let sockets = sockets::bind(&plan).unwrap();
        self.services.spawn(serve(sockets, plan, resources, self.log.emitter(), self.stop.clone()));
    }

    /// Connects a client to the network `lan`: a namespace with one NIC, up, without an address.
    pub(crate) fn client(&self, mac: Mac) -> Client {
        self.client_on("lan", mac)
    }

    /// Connects a client to a network.
    pub(crate) fn client_on(&self, network: &str, mac: Mac) -> Client {
        let bridge = self.bridge(network);
        Client::plug(&bridge.interface, bridge.mtu, mac)
    }

    /// Returns the bridge of a network.
    pub(crate) fn bridge(&self, network: &str) -> &BridgePlan {
        let bridge = self.plan.steps.iter().find_map(|step| match step {
            Step::Bridge(bridge) if bridge.network.as_str() == network => Some(bridge),
            _ => None,
        });
        bridge.expect("a network of the lab")
    }

    /// Returns the services of the first network.
    pub(crate) fn service(&self) -> &ServicePlan {
        let service = self.plan.steps.iter().find_map(|step| match step {
            Step::Serve(service) => Some(service),
            _ => None,
        });
        service.expect("a lab has a network")
    }

    /// Returns the hardware address of a node.
    pub(crate) fn mac(&self, node: &str) -> Mac {
        let host = self.plan.steps.iter().find_map(|step| match step {
            Step::Serve(plan) => plan.hosts.iter().find(|host| host.node.as_str() == node),
            _ => None,
        });
        host.expect("a node of the lab").mac
    }

    /// Powers a node on.
    pub(crate) async fn boot(&self, node: &str) -> Machine {
        program("qemu-system-x86_64");
        let node = NodeName::new(node).unwrap();
        let folder = self.folder.path().join("node").join(node.as_str());
        std::fs::create_dir_all(&folder).unwrap();
        for step in &self.plan.steps {
            match step {
                Step::Variables { node: of, template, path } if *of == node => {
                    std::fs::write(self.folder.path().join(path), std::fs::read(template).unwrap()).unwrap();
                }
                Step::Tap(tap) if tap.node == node => self.netlink.tap(tap).await.unwrap(),
                Step::Machine { node: of } if *of == node => {
                    let machine = &self.plan.nodes[&node];
                    let watches = FileWatches::new().unwrap();
                    let (spawner, events) = (&self.spawner, self.log.emitter());
                    let (faults, media) = (self.faults.clone(), BTreeMap::new());
                    let machine = Machine::start(machine, folder, media, spawner, &watches, events, faults);
                    let machine = machine.await.unwrap();
                    machine.power_on().await.unwrap();
                    return machine;
                }
                _ => {}
            }
        }
        panic!("the plan has no machine for `{node}`")
    }

    /// Stops the services, and keeps everything else.
    pub(crate) async fn without_services(mut self) -> Self {
        self.stop.cancel();
        while let Some(ended) = self.services.join_next().await {
            ended.unwrap();
        }
        self
    }

    /// Stops the services as a run does, and waits for their end.
    pub(crate) async fn end(mut self) -> Log {
        self.stop.cancel();
        while let Some(ended) = self.services.join_next().await {
            ended.unwrap();
        }
        self.log.clone()
    }
}

impl Drop for Rack {
    fn drop(&mut self) {
        // The TFTP service has a blocking thread, for which the runtime waits.
        self.stop.cancel();
    }
}

fn lab(text: &str, folder: &Path) -> Lab {
    let names = |recipe: &dryrack::config::recipe::Recipe| recipe.files.keys().cloned().collect();
    let images = library().recipes().map(|(name, recipe)| (name, names(&recipe.unwrap()))).collect();
    let around = LabEnvironment {
        file: folder.join("lab.toml"),
        folder: folder.to_owned(),
        images,
        existing: &|path| path.exists(),
        free_memory: None,
        other_ids: true,
    };
    let text = format!("dryrack = 1\nname = \"services\"\naccel = \"tcg\"\n{text}");
    let outcome = resolve(&Source::new("lab.toml", text), &[], &[], &around);
    outcome.lab.unwrap_or_else(|| panic!("{:#?}", outcome.diagnostics))
}
