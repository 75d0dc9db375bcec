//! Every step of a plan × {fault before its effect, fault after it}, on a real kernel with real programs: nothing is
//! left.
//!
//! The test runs itself again in new namespaces, in which `ip`, `nft` and `/proc` show everything that exists.
#![expect(clippy::disallowed_methods, reason = "a test starts programs and has a clock of its own")]

#[expect(dead_code, reason = "each test binary uses a part of it")]
mod common;

use std::fs;
use std::io;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use common::{build, run, stderr, stdout};
use dryrack::event::{Emitter, Instant, RunTime};
use dryrack::image::Library;
use dryrack::lab::FileRef;
use dryrack::lab::Isolation;
use dryrack::plan::{HostFacts, Plan, Step, Undo, plan};
use dryrack::run::executor::{self, Failure, Host, Site, UpError};
use dryrack::run::{Journal, LabSources, Rack, RackParts};
use dryrack::system::facts;
use dryrack::system::process::Spawner;
use tokio_util::sync::CancellationToken;

/// Set inside the namespaces.
const INSIDE: &str = "DRYRACK_TEST_INSIDE";

/// A lab whose plan has every kind of step with an undo on the host.
const LAB: &str = r#"
    dryrack = 1
    name = "undo"
    accel = "tcg"

    [network.lan]
    address = "10.68.0.1/24"
    nat = true

    [profile.tiny]
    kernel = "image:tiny/kernel"
    initrd = "image:tiny/initrd"

    [node.one]
    memory = "128MiB"
    profile = "tiny"
    disk.root = { size = "1GiB" }
    seed = "nocloud"

    [node.two]
    firmware = "uefi"
    memory = "256MiB"
    profile = "tiny"
"#;

/// The fault: before or after the effect of the step with this index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Before(usize),
    After(usize),
}

/// A rack that fails at one step.
struct Faulty {
    rack: Rack,
    plan: Plan,
    fault: Fault,
}

impl Host for Faulty {
    async fn apply(&self, step: &Step) -> Result<(), Failure> {
        let index = self.plan.steps.iter().position(|other| other == step);
        let broken = || Failure::new(io::Error::other("a fault"));
        if index.map(Fault::Before) == Some(self.fault) {
            return Err(broken());
        }
        self.rack.apply(step).await?;
        if index.map(Fault::After) == Some(self.fault) { Err(broken()) } else { Ok(()) }
    }

    async fn undo(&self, undo: &Undo) -> Result<(), Failure> {
        self.rack.undo(undo).await
    }
}

/// Runs one of the tests below in new user, network and mount namespaces.
fn run_inside(test: &str) {
    build(&["tiny"]);
    let ourselves = std::env::current_exe().expect("our own path");
    let mut inside = Command::new("unshare");
    inside.args(["--user", "--map-root-user", "--net", "--mount"]).arg(ourselves);
    inside.args(["--exact", test, "--nocapture", "--test-threads", "1"]).env(INSIDE, "yes");
    let done = run(inside);
    assert!(done.status.success(), "{}\n{}", stdout(&done), stderr(&done));
}

fn is_inside() -> bool {
    std::env::var_os(INSIDE).is_some()
}

fn ip(words: &str) -> String {
    let done = run(Command::new("ip").args(words.split(' ')));
    assert!(done.status.success(), "ip {words}: {}", stderr(&done));
    stdout(&done)
}

fn nft(words: &str) -> String {
    let done = run(Command::new("nft").args(words.split(' ')));
    assert!(done.status.success(), "nft {words}: {}", stderr(&done));
    stdout(&done)
}

/// The state of the host, as other programs report it.
fn state(run_dir: &Path) -> String {
    let strays = fs::read_dir("/proc").expect("/proc").flatten().filter_map(|entry| {
        let cwd = fs::read_link(entry.path().join("cwd")).ok()?;
        cwd.starts_with(run_dir).then(|| format!("process in {}\n", cwd.display()))
    });
    let strays: String = strays.collect();
    let nodes = fs::read_dir(run_dir.join("node")).into_iter().flatten().flatten();
    let files = nodes.flat_map(|node| fs::read_dir(node.path()).into_iter().flatten().flatten());
    let bulk = [".qcow2", ".fd", ".img"];
    let files = files.map(|file| file.path().display().to_string());
    let files: String = files.filter(|file| bulk.iter().any(|end| file.ends_with(end))).collect();
    let link = |line: &str| {
        let (name, rest) = line.split_once('<').unwrap_or((line, ""));
        let (flags, rest) = rest.split_once('>').unwrap_or((rest, ""));
        let master = rest.split_once("master ").map_or("nobody's", |(_, master)| master);
        let up = if flags.split(',').any(|flag| flag == "UP") { "up" } else { "down" };
        format!("{name} {up} {}\n", master.split(' ').next().unwrap_or(master))
    };
    let links: String = ip("-o link").lines().map(link).collect();
    let forward = fs::read_to_string("/proc/sys/net/ipv4/ip_forward").expect("a setting");
    let sockets = stdout(&run(Command::new("ss").args(["-Hlntu"])));
    format!("{links}{}forward {forward}{sockets}{strays}{files}", nft("list ruleset"))
}

fn decide(dir: &Path, lab: &str, change: impl Fn(&mut HostFacts)) -> (Plan, Library) {
    let path = dir.join("lab.toml");
    fs::write(&path, lab).expect("a lab file");
    let texts = LabSources::read(&path, &[], Vec::new(), Vec::new()).expect("the texts");
    let library = texts.library(&common::cache());
    let lab = texts.resolve(&library, None).lab.expect("a lab that makes sense");
    let mut facts = facts::gather(Isolation::Private, facts::QemuDevices::NotAsked);
    facts.built = vec!["tiny".parse().expect("a name")];
    change(&mut facts);
    (plan(&lab, &facts).expect("a plan"), library)
}

/// Executes the plan with a fault, takes it down, and returns the state of the host before, between and after.
fn try_fault(plan: &Plan, library: &Library, fault: Fault) -> [String; 3] {
    let dir = tempfile::tempdir_in("/tmp").expect("a folder");
    let run_dir = dir.path().to_owned();
    let library = library.clone();
    let before = state(&run_dir);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a runtime");
    let between = runtime.block_on(async {
        let events =
            Emitter::new(|| Instant { at: RunTime::START, wall: jiff::Timestamp::UNIX_EPOCH }, |_| {});
        let resolve = move |file: &FileRef| match file {
            FileRef::Path(path) => Some(path.clone()),
            FileRef::Lab(_) | FileRef::Url { .. } => None,
            FileRef::Image { image, file } => Some(library.built(image)?.files.get(file)?.path.clone()),
        };
        let rack = Rack::new(RackParts {
            run_dir: run_dir.clone(),
            kept: Path::new("/nonexistent").to_owned(),
            spawner: Spawner::start().expect("a thread"),
            events: events.clone(),
            faults: dryrack::fault::Faults::none(),
            resolve: Arc::new(resolve),
            ssh_public_key: "ssh-ed25519 AAAA".to_owned(),
            authority: None,
            passphrases: std::collections::BTreeMap::new(),
            nodes: plan.nodes.clone(),
            hosts: plan.hosts.clone(),
            reaching: dryrack::run::reach::Reaching::default(),
            images: std::collections::BTreeMap::new(),
            ask_http: dryrack::run::probe::ask_http(),
            segments: Vec::new(),
            published: Vec::new(),
        });
        let rack = rack.unwrap_or_else(|failure| panic!("{}", failure.error));
        let faulty = Faulty { rack, plan: plan.clone(), fault };
        let mut journal = Journal::open(&run_dir).expect("a journal");
        let (_nobody, mut progress) = tokio::sync::watch::channel(executor::Progress::default());
        let up = executor::up(&faulty, plan, &mut journal, &events, &mut progress, &CancellationToken::new())
            .await;
        match up {
            Err(UpError::Step { failure, .. }) => {
                assert_eq!(failure.error.to_string(), "a fault", "{fault:?}")
            }
            other => panic!("{fault:?}: {other:?}"),
        }
        let between = state(&run_dir);
        faulty.rack.end_services().await;
        let leaks = executor::down(&faulty, &mut journal).await;
        assert!(leaks.is_empty(), "{fault:?}: {leaks:?}");
        assert!(journal.is_closed());
        between
    });
    drop(runtime);
    // The mounts over these files end with the mount namespace, which the next attempt shares.
    for file in ["/etc/hosts", "/etc/resolv.conf", "/etc/nsswitch.conf"] {
        run(Command::new("umount").args(["-q", file]));
    }
    [before, between, state(&run_dir)]
}

fn check(plan: &Plan, library: &Library) {
    let mut changed = 0;
    for (index, step) in plan.steps.iter().enumerate() {
        for fault in [Fault::Before(index), Fault::After(index)] {
            let [before, between, after] = try_fault(plan, library, fault);
            changed += usize::from(between != before);
            assert_eq!(after, before, "{fault:?}, {}", step.title());
        }
    }
    // Most faults occur when something was created already, or this test would prove nothing.
    assert!(changed > plan.steps.len(), "{changed} of {} faults", 2 * plan.steps.len());
}

#[test]
fn a_fault_in_a_private_place_leaves_nothing() {
    if !is_inside() {
        return run_inside("a_fault_in_a_private_place_leaves_nothing");
    }
    ip("link set lo up");
    let dir = tempfile::tempdir_in("/tmp").expect("a folder");
    let (plan, library) = decide(dir.path(), LAB, |facts| facts.pasta = Some("/usr/bin/pasta".into()));
    for kind in [
        "Forward",
        "Firewall",
        "Bridge",
        "Serve",
        "Disk",
        "Variables",
        "Seed",
        "Tap",
        "Machine",
        "PowerOn",
        "NameFiles",
    ] {
        assert!(format!("{:?}", plan.steps).contains(kind), "{kind} is not in the plan");
    }
    check(&plan, &library);
}

#[test]
fn a_fault_on_the_host_leaves_nothing() {
    if !is_inside() {
        return run_inside("a_fault_on_the_host_leaves_nothing");
    }
    ip("link set lo up");
    // Another program's firewall that drops forwarded traffic.
    nft("add table inet filter");
    nft("add chain inet filter forward { type filter hook forward priority 0 ; policy drop ; }");
    let dir = tempfile::tempdir_in("/tmp").expect("a folder");
    let drops = dryrack::system::nft::forward_drops().expect("nft");
    assert_eq!(drops.len(), 1, "{drops:?}");
    // An unused interface.
    ip("link add eth9 type veth peer name far");
    ip("link set far up");
    // With `authoritative`, no other DHCP server is probed for, which would take five seconds for each of many
    // faults.
    let plugged = "nat = true\ninterface = \"eth9\"\ndhcp.server.authoritative = true";
    let lab = format!("isolation = \"none\"\n{LAB}").replace("nat = true", plugged);
    let (plan, library) = decide(dir.path(), &lab, |facts| {
        facts.forward_drops.clone_from(&drops);
        facts.subnets.clear();
        facts.links = facts::gather(Isolation::None, facts::QemuDevices::NotAsked).links;
        facts.ip_forward = false;
    });
    assert!(plan.steps.iter().any(|step| matches!(step, Step::ForeignAccept(_))));
    assert!(plan.steps.iter().any(|step| matches!(step, Step::Port(port) if !port.was_up)));
    check(&plan, &library);
}
