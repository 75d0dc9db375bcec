//! Boots the machines of the self-test and watches their progress.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::{Duration, Instant};

use futures_util::future::{Either, select};
use nix::fcntl::OFlag;
use nix::sys::stat::Mode;
use tokio::net::UnixDatagram;
use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};
use tokio::task::JoinSet;

use super::{Outcome, Part, TrialFailure, kernel};
use crate::config::Source;
use crate::event::{self, Emitter, Kind, Known, StopState};
use crate::fault::Faults;
use crate::hint::chain;
use crate::lab::{self, Lab, LabEnvironment};
use crate::name::Bytes;
use crate::node::qemu::Machine;
use crate::plan::qemu::{DirectKernel, QemuFirmware, VARIABLES};
use crate::plan::{self, Accel, HostFacts, LinkPlan, NodeKind, NodePlan};
use crate::system::file_watch::FileWatches;
use crate::system::process::Spawner;

/// How long QEMU may take to exit once killed.
const END: Duration = Duration::from_secs(5);

/// Our end of the link of a machine, and the end of QEMU.
const OUR_END: &str = "cable.sock";
const QEMU_END: &str = "nic.sock";

/// Returns the parts that can be tested on this host.
pub(super) fn parts(facts: &HostFacts, linux: Option<&Path>) -> Vec<Part> {
    let uefi = machine_plan(Part::Uefi, facts, Accel::Kvm).is_ok();
    [Some(Part::Bios), uefi.then_some(Part::Uefi), Some(Part::Kernel), linux.is_some().then_some(Part::Linux)]
        .into_iter()
        .flatten()
        .collect()
}

/// Boots the machines of the parts in parallel, until one has failed or all have passed.
pub(super) async fn run(
    facts: &HostFacts,
    accel: Accel,
    parts: &[Part],
    linux: Option<&Path>,
    folder: &Path,
) -> io::Result<Vec<Outcome>> {
    let spawner = Spawner::start()?;
    let mut trials = JoinSet::new();
    let (give_up, _) = tokio::sync::watch::channel(false);
    for part in parts.iter().copied() {
        let mut plan = machine_plan(part, facts, accel).map_err(io::Error::other)?;
        give_kernel(&mut plan, part, linux);
        let folder = folder.join(format!("{part:?}").to_lowercase());
        // An earlier trial may have left its sockets.
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => fs::create_dir(&folder)?,
        }
        let spawner = spawner.clone();
        let mut given_up = give_up.subscribe();
        #[expect(clippy::disallowed_methods, reason = "no run exists yet whose clock could be used")]
        let begin = Instant::now();
        trials.spawn(async move {
            let stop = async move {
                // An error means that the sender is gone and nothing can cancel any more.
                if given_up.wait_for(|up| *up).await.is_err() {
                    std::future::pending::<()>().await;
                }
            };
            let end = boot(part, accel, &plan, &folder, &spawner, stop).await;
            end.map(|end| Outcome { part, end: end.map(|()| begin.elapsed()) })
        });
    }
    let mut outcomes = Vec::new();
    while let Some(ended) = trials.join_next().await {
        // A cancelled trial has no outcome.
        if let Some(outcome) = ended.map_err(io::Error::other)? {
            if outcome.end.is_err() {
                give_up.send_replace(true);
            }
            outcomes.push(outcome);
        }
    }
    Ok(outcomes)
}

/// Plans the machine of a part like any other machine, and connects its NICs to a socket.
pub(super) fn machine_plan(part: Part, facts: &HostFacts, accel: Accel) -> Result<NodePlan, String> {
    let mut lab = the_lab()?;
    let node = match part {
        Part::Bios => "bios",
        Part::Uefi => "uefi",
        Part::Kernel | Part::Linux => "kernel",
    };
    lab.nodes.retain(|name, _| name.as_str() == node);
    if matches!(part, Part::Kernel | Part::Linux) {
        // A lab may not have a BIOS without a boot ROM; this one gets its kernel directly.
        lab.nodes.values_mut().flat_map(|node| &mut node.nics).for_each(|nic| nic.rom = false);
    }
    // Labs need a check of free memory; these machines run for seconds and use little of theirs.
    let facts = HostFacts { accel, free_memory: Bytes(u64::MAX), ..facts.clone() };
    let planned = plan::plan(&lab, &facts).map_err(|refusal| refusal.why)?;
    let mut machine = planned.nodes.into_values().next().ok_or("the self-test's lab has no such machine")?;
    for nic in &mut machine.nics {
        nic.link = LinkPlan::Datagram { local: QEMU_END.into(), remote: OUR_END.into() };
    }
    let NodeKind::Qemu(qemu) = &mut machine.kind;
    if let QemuFirmware::Uefi { file, .. } = &qemu.firmware {
        let variables = fs::read(&file.variables).map_err(|error| error.to_string())?;
        qemu.files.insert(VARIABLES.to_owned(), variables);
    }
    Ok(machine)
}

fn the_lab() -> Result<Lab, String> {
    let around = LabEnvironment {
        file: "/accel/lab.toml".into(),
        folder: "/accel".into(),
        images: BTreeMap::<_, BTreeSet<String>>::new(),
        existing: &|_| false,
        free_memory: None,
        other_ids: true,
    };
    let outcome = lab::resolve(&Source::new("lab.toml", include_str!("lab.toml")), &[], &[], &around);
    let problems = outcome.diagnostics.iter().map(|diagnostic| diagnostic.message.clone());
    outcome.lab.ok_or_else(|| problems.collect::<Vec<_>>().join("; "))
}

fn give_kernel(plan: &mut NodePlan, part: Part, linux: Option<&Path>) {
    let NodeKind::Qemu(qemu) = &mut plan.kind;
    let (file, arguments) = match (part, linux) {
        (Part::Bios | Part::Uefi, _) | (Part::Linux, None) => return,
        (Part::Kernel, _) => {
            qemu.files.insert("payload".to_owned(), kernel::PAYLOAD.to_vec());
            (Path::new("payload"), "")
        }
        (Part::Linux, Some(linux)) => (linux, kernel::LINUX_ARGUMENTS),
    };
    qemu.kernel = Some(DirectKernel { file: file.to_owned(), arguments: arguments.to_owned() });
}

/// How long a part may take. On hardware that takes longer than this, emulation is no slower.
fn patience(part: Part, accel: Accel) -> Duration {
    Duration::from_secs(match (accel, part) {
        (Accel::Kvm, Part::Bios | Part::Kernel | Part::Linux) => 10,
        (Accel::Kvm, Part::Uefi) => 20,
        (Accel::Tcg, _) => 60,
    })
}

/// Something that a machine of the test did.
#[derive(Debug)]
pub(super) enum Seen {
    /// An event of it.
    Happened(Known),
    /// A frame that its NIC sent.
    Sent(Vec<u8>),
}

/// Boots one machine until its part is decided; `None` if it was cancelled before.
async fn boot(
    part: Part,
    accel: Accel,
    plan: &NodePlan,
    folder: &Path,
    spawner: &Spawner,
    given_up: impl Future<Output = ()>,
) -> Option<Result<(), TrialFailure>> {
    let (seen, mut inbox) = mpsc::unbounded_channel();
    let mut tasks = JoinSet::new();
    match cable(folder) {
        Ok(cable) => tasks.spawn(listen(cable, seen.clone())),
        Err(error) => return Some(Err(unclear(format!("no cable for its NIC: {error}")))),
    };
    let limit = patience(part, accel);
    // Not cancelled during the start: only a started machine can be stopped and waited for.
    let machine = match tokio::time::timeout(limit, start(plan, folder, spawner, seen)).await {
        Ok(Ok(machine)) => machine,
        Ok(Err(why)) => return Some(Err(unclear(why))),
        Err(_) => return Some(Err(unclear(format!("QEMU did not start within {} s", limit.as_secs())))),
    };
    let end = {
        let way = std::pin::pin!(async {
            machine.power_on().await.map_err(|error| unclear(one_line(&error)))?;
            let decided = tokio::time::timeout(limit, decide(part, &mut inbox)).await;
            let late = || unclear(format!("{} within {} s", lacking(part), limit.as_secs()));
            decided.unwrap_or_else(|_| Err(late()))
        });
        match select(way, std::pin::pin!(given_up)).await {
            Either::Left((end, _)) => Some(end),
            Either::Right(((), _)) => None,
        }
    };
    // A process that cannot even be killed must not keep the user waiting.
    tokio::time::timeout(END, machine.stop()).await.ok();
    end
}

async fn start(
    plan: &NodePlan,
    folder: &Path,
    spawner: &Spawner,
    seen: UnboundedSender<Seen>,
) -> Result<Machine, String> {
    // What is waited for here does not depend on its time.
    let clock = || event::Instant { at: event::RunTime::START, wall: jiff::Timestamp::UNIX_EPOCH };
    let events = Emitter::new(clock, move |event| {
        if let Kind::Known(known) = event.kind {
            // The receiver is gone once the part is decided.
            seen.send(Seen::Happened(known)).ok();
        }
    });
    let watches = FileWatches::new().map_err(|error| one_line(&error))?;
    let started =
        Machine::start(plan, folder.to_owned(), BTreeMap::new(), spawner, &watches, events, Faults::none())
            .await;
    started.map_err(|error| one_line(&error))
}

/// Formats an error and its causes in one line.
fn one_line(error: &dyn std::error::Error) -> String {
    chain(error).replace('\n', " ")
}

async fn decide(part: Part, inbox: &mut UnboundedReceiver<Seen>) -> Result<(), TrialFailure> {
    while let Some(seen) = inbox.recv().await {
        if let Some(decided) = judge(part, &seen) {
            return decided;
        }
    }
    Err(unclear("QEMU ended without a word".to_owned()))
}

/// Returns the text of what did not happen in time.
fn lacking(part: Part) -> &'static str {
    match part {
        Part::Bios | Part::Uefi => "it did not ask for an address",
        Part::Kernel | Part::Linux => "it did not say its first line",
    }
}

/// Decides by an observation of a machine: `None` if it decides nothing.
pub(super) fn judge(part: Part, seen: &Seen) -> Option<Result<(), TrialFailure>> {
    let line = match part {
        Part::Bios | Part::Uefi => None,
        Part::Kernel => Some(kernel::PAYLOAD_LINE),
        Part::Linux => Some(kernel::LINUX_LINE),
    };
    match seen {
        Seen::Sent(frame) => (line.is_none() && asks_for_address(frame)).then_some(Ok(())),
        Seen::Happened(Known::ConsoleLine { text }) => {
            line.is_some_and(|line| text.contains(line)).then_some(Ok(()))
        }
        Seen::Happened(Known::MachineStopped { state, detail, .. }) => {
            let word = telling(detail.lines()).map(|line| format!(", {line}")).unwrap_or_default();
            let why = format!("QEMU stopped it with {state}{word}");
            // Emulation has no such state.
            Some(Err(TrialFailure { why, of_accelerator: *state == StopState::InternalError }))
        }
        Seen::Happened(Known::MachineDied { status, stderr }) => {
            let word = telling(stderr.iter().map(String::as_str))
                .map(|line| format!(", {line}"))
                .unwrap_or_default();
            Some(Err(unclear(format!("QEMU died, {status}{word}"))))
        }
        Seen::Happened(Known::PoweredOff { why }) => Some(Err(unclear(format!("it went off ({why})")))),
        Seen::Happened(_) => None,
    }
}

fn unclear(why: String) -> TrialFailure {
    TrialFailure { why, of_accelerator: false }
}

/// Returns the most informative line: the first about KVM or an error, else the first.
fn telling<'a>(lines: impl Iterator<Item = &'a str> + Clone) -> Option<&'a str> {
    let mut said = lines.map(str::trim).filter(|line| !line.is_empty());
    let matters = |line: &&str| ["KVM", "error", "failed"].iter().any(|word| line.contains(word));
    said.clone().find(matters).or_else(|| said.next())
}

/// Tells whether an Ethernet frame is a request of a DHCP client.
fn asks_for_address(frame: &[u8]) -> bool {
    let Ok(packet) = etherparse::SlicedPacket::from_ethernet(frame) else { return false };
    match packet.transport {
        Some(etherparse::TransportSlice::Udp(udp)) => {
            udp.destination_port() == 67 && udp.payload().first() == Some(&1)
        }
        _ => false,
    }
}

/// Creates our end of the link of a machine, in a folder whose path may exceed the limit of a socket address.
fn cable(folder: &Path) -> io::Result<UnixDatagram> {
    let folder =
        nix::fcntl::open(folder, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())?;
    UnixDatagram::bind(format!("/proc/self/fd/{}/{OUR_END}", folder.as_raw_fd()))
}

async fn listen(cable: UnixDatagram, seen: UnboundedSender<Seen>) {
    let mut frame = vec![0; 1 << 16];
    while let Ok(length) = cable.recv(&mut frame).await {
        if seen.send(Seen::Sent(frame[..length].to_vec())).is_err() {
            return;
        }
    }
}
