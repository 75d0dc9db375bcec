//! The supervisor: a run from the inside, from its request to its report.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant as Clock};

use jiff::Timestamp;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::authority::{self, Authority};
use super::bmc::{self, Bmcs};
use super::capture_points::CapturePoints;
use super::control::{self, ControlHandler};
use super::director::{Director, Ending, Inputs};
use super::executor::Site;
use super::failed_start;
use super::fault::FaultHandler;
use super::fold::Fold;
use super::guardian;
use super::journal::Journal;
use super::probe::{Machines, ProbeContext, Prober};
use super::rack::{Rack, RackParts};
use super::reach::{Hosts, Reaching};
use super::record::Recorder;
use super::request::{Request, Until};
use super::{control_socket, probe, ssh, store, wire};
use crate::event::{Emitter, Header, Instant, SCHEMA};
use crate::fault::Faults;
use crate::hint::{Hint, chain};
use crate::image::{Built, of_file};
use crate::lab::Isolation;
use crate::lab::{FileRef, Secret};
use crate::name::{ImageName, NetworkName, ProcessName};
use crate::plan::{Plan, Step};
use crate::report::{self, Report, RunError, Whose};
use crate::serve::Resolve;
use crate::system::host::ImageRoot;
use crate::system::namespace::Inherited;
use crate::system::process::Spawner;

/// How long followers may take to read the last events at the end.
const FAREWELL: Duration = Duration::from_millis(300);

/// Why a supervisor could not start.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what}")]
struct BeginError {
    what: String,
    hint: Option<Cow<'static, str>>,
    #[source]
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Hint for BeginError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        self.hint.clone()
    }
}

fn failed<E: Hint + Send + Sync + 'static>(what: &str) -> impl FnOnce(E) -> BeginError {
    move |source| BeginError { what: what.to_owned(), hint: source.hint(), source: Some(Box::new(source)) }
}

/// Runs a lab from its request to its report, and returns its exit code.
///
/// Must be called in a process that has entered its namespaces and is single-threaded.
#[expect(clippy::disallowed_methods, reason = "when the run began")]
pub fn supervise(inherited: Inherited) -> u8 {
    let run_dir = inherited.run_dir.clone();
    let started = Timestamp::now();
    match begin(inherited, started) {
        Ok(code) => code,
        Err(error) => {
            tracing::error!("{}", chain(&error));
            match Request::read(&run_dir) {
                Ok(request) => failed_start::record(&run_dir, &request.plan, started, &error),
                Err(_) => Whose::Host.exit(),
            }
        }
    }
}

fn begin(inherited: Inherited, started: Timestamp) -> Result<u8, BeginError> {
    let request = Request::read(&inherited.run_dir).map_err(failed("read the request of the run"))?;
    // Two threads: the machines need the other CPUs.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(failed("start a runtime"))?;
    let code = runtime.block_on(run(inherited, &request, started));
    // Blocking threads may still read a file, but nothing needs their results.
    runtime.shutdown_background();
    code
}

async fn run(inherited: Inherited, request: &Request, started: Timestamp) -> Result<u8, BeginError> {
    let run_dir = inherited.run_dir.clone();
    let (sender, events) = mpsc::unbounded_channel();
    let emitter = emitter(started, move |event| drop(sender.send(event)));
    let _guardian = match inherited.isolation {
        Isolation::None => Some(guardian::start(&run_dir).map_err(failed("start the guardian"))?),
        Isolation::Private => None,
    };
    let header = Header { dryrack_events: SCHEMA, version: env!("CARGO_PKG_VERSION").to_owned(), started };
    let recorder = Recorder::start(&run_dir, &header).map_err(failed("begin the record of events"))?;
    let journal = Journal::open(&run_dir).map_err(failed("begin the journal"))?;
    let spawner = Spawner::start().map_err(failed("start the thread that starts programs"))?;

    let key = if ssh::is_needed(&request.plan) {
        Some(ssh::make_key(&run_dir, request.plan.lab.as_str()).map_err(failed("prepare logins"))?)
    } else {
        None
    };
    let authority = if authority::is_needed(&request.plan) {
        let authority = Authority::open(&request.kept, &request.plan.file);
        let laid_out = authority.and_then(|authority| authority.lay_out(&run_dir).map(|()| authority));
        Some(laid_out.map_err(failed("prepare HTTPS"))?)
    } else {
        None
    };
    let (commands_sender, commands) = mpsc::channel(16);
    let reaching = Reaching::new(&request.plan, Hosts::default());
    let faults = Faults::new(request.plan.faults.values(), &emitter);
    let rack = Rack::new(RackParts {
        run_dir: run_dir.clone(),
        kept: request.kept.clone(),
        spawner: spawner.clone(),
        events: emitter.clone(),
        faults: faults.clone(),
        resolve: resolver(request.images.clone(), request.downloads.clone(), run_dir.clone()),
        ssh_public_key: key.as_ref().map(|key| key.public.clone()).unwrap_or_default(),
        authority,
        passphrases: passphrases(&request.plan),
        nodes: request.plan.nodes.clone(),
        hosts: request.plan.hosts.clone(),
        reaching: reaching.clone(),
        images: image_roots(request),
        ask_http: probe::ask_http(),
        segments: wire::segments(&request.plan),
        published: inherited.published,
    });
    let password = bmc::password(&request.plan, &run_dir).map_err(failed("make the password of BMCs"))?;
    let bmcs = Bmcs::new(password, commands_sender.clone(), faults.clone());
    let rack = rack.map(|rack| rack.with_bmcs(bmcs));
    let rack = Arc::new(rack.map_err(|failure| BeginError {
        what: "speak to the kernel".to_owned(),
        hint: failure.error.hint(),
        source: Some(failure.error),
    })?);
    let seen = Arc::clone(&rack);
    let machines = Machines::new(move |node| seen.node(node));
    let runtime = request.socket.parent().unwrap_or(&run_dir).to_owned();
    let context = ProbeContext::new(
        &request.plan,
        machines,
        reaching,
        run_dir.clone(),
        runtime,
        spawner,
        emitter.clone(),
    );

    let handler = ControlHandler {
        commands: commands_sender,
        rack: Arc::clone(&rack),
        events: emitter.clone(),
        run_dir: run_dir.clone(),
        progress: recorder.progress(),
        capture: Arc::new(CapturePoints::new(&request.plan)),
    };
    let (mut answering, farewell) = (JoinSet::new(), CancellationToken::new());
    answering.spawn(control_socket::serve(inherited.control, control::router(handler), farewell.clone()));
    let listen = |kind| signal(kind).map_err(failed("listen to signals"));
    let signals =
        [listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?, listen(SignalKind::hangup())?];
    let parent = nonblocking(inherited.parent).and_then(crate::system::process::watch);
    let parent = Some(parent.map_err(failed("watch over the command"))?);

    let mut parts = JoinSet::new();
    let for_parts = request.clone();
    parts.spawn_blocking(move || describe_parts(&for_parts));

    let fold = Fold::new(&request.plan);
    let fold = match request.until {
        // The user may power a node on, or repair what a process could not do.
        Until::Stopped => fold,
        Until::Judged | Until::Met => fold.with_prospects(&request.plan),
    };
    let director = Director {
        request,
        fold,
        recorder,
        prober: Prober::new(context),
        site: rack,
        work: JoinSet::new(),
        events: emitter,
        faults: FaultHandler::new(faults),
        run_errors: Vec::new(),
        progress: watch::Sender::default(),
    };
    let ending = director.run(Inputs { events, commands, signals, parent }, journal).await;
    let parts = match tokio::time::timeout(FAREWELL, parts.join_next()).await {
        Ok(Some(Ok(parts))) => parts,
        // A large file is still being read; the report does not wait for it.
        _ => BTreeMap::from([("dryrack".to_owned(), env!("CARGO_PKG_VERSION").to_owned())]),
    };
    let report = finish(request, &run_dir, started, ending, parts);
    let written = store::write_report(&run_dir, &report);
    if inherited.isolation == Isolation::None {
        // In a private lab the outer process does it.
        std::fs::remove_file(&request.socket).ok();
    }
    // The recorder is gone, so event streams end by themselves.
    farewell.cancel();
    tokio::time::timeout(FAREWELL, answering.join_next()).await.ok();
    written.map_err(failed("write the report"))?;
    Ok(report.exit)
}

/// Creates the clock of a run: nanoseconds since its start, and the wall clock of the same instant.
#[expect(clippy::disallowed_methods, reason = "this makes the one clock of a run")]
fn emitter(started: Timestamp, sink: impl Fn(crate::event::Event) + Send + Sync + 'static) -> Emitter {
    let zero = Clock::now();
    let clock = move || {
        let elapsed = zero.elapsed();
        let wall = started.checked_add(jiff::SignedDuration::try_from(elapsed).unwrap_or_default());
        Instant { at: elapsed.into(), wall: wall.unwrap_or(started) }
    };
    Emitter::new(clock, sink)
}

/// Returns the sources of the passphrases of matchbox's key rings.
fn passphrases(plan: &Plan) -> BTreeMap<NetworkName, Secret> {
    let networks = plan.networks.iter();
    networks.filter_map(|(name, network)| Some((name.clone(), network.passphrase.clone()?))).collect()
}

fn nonblocking(fd: std::os::fd::OwnedFd) -> io::Result<std::os::fd::OwnedFd> {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    fcntl(&fd, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
    Ok(fd)
}

fn resolver(
    built: BTreeMap<ImageName, Built>,
    downloads: BTreeMap<String, PathBuf>,
    run_dir: PathBuf,
) -> Resolve {
    Arc::new(move |file: &FileRef| -> Option<PathBuf> {
        match file {
            FileRef::Path(path) => Some(path.clone()),
            FileRef::Lab(file) => Some(authority::path(&run_dir, *file)),
            FileRef::Image { image, file } => Some(built.get(image)?.files.get(file)?.path.clone()),
            FileRef::Url { url: _, sha256 } => downloads.get(sha256).cloned(),
        }
    })
}

/// Returns the images from which processes run.
fn image_roots(request: &Request) -> BTreeMap<ProcessName, ImageRoot> {
    let root = |step: &Step| {
        let Step::Process(process) = step else { return None };
        let reference = process.image.as_ref()?.to_string();
        Some((process.process.clone(), request.containers.get(&reference)?.root.clone()))
    };
    request.plan.steps.iter().filter_map(root).collect()
}

/// Lists the software and images used, with version or digest.
fn describe_parts(request: &Request) -> BTreeMap<String, String> {
    let mut parts = BTreeMap::from([("dryrack".to_owned(), env!("CARGO_PKG_VERSION").to_owned())]);
    if let Ok(uname) = nix::sys::utsname::uname() {
        parts.insert("kernel".to_owned(), uname.release().to_string_lossy().into_owned());
    }
    if let Some(qemu) = &request.plan.host.qemu {
        let (major, minor, micro) = qemu.version;
        parts.insert("qemu".to_owned(), format!("{major}.{minor}.{micro}"));
    }
    for (reference, unpacked) in &request.containers {
        parts.insert(reference.clone(), unpacked.digest.clone());
    }
    for (image, built) in &request.images {
        parts.insert(format!("image {image}"), built.key.clone());
        for (name, file) in &built.files {
            parts.insert(format!("image:{image}/{name}"), format!("sha256:{}", file.sha256));
        }
    }
    for (sha256, url) in request.plan.downloads() {
        parts.insert(url, format!("sha256:{sha256}"));
    }
    let mut files = vec![request.plan.file.clone()];
    for step in &request.plan.steps {
        match step {
            Step::Serve(service) => {
                files.extend(service.files.values().filter_map(|file| path(&file.source)))
            }
            Step::Disk(disk) => files.extend(disk.backing.as_ref().and_then(path)),
            Step::Medium(medium) => files.extend(path(&medium.source)),
            Step::Variables { template, .. } => {
                files.push(template.clone());
                let firmware = request.plan.host.firmware.iter().find(|file| file.variables == *template);
                files.extend(firmware.map(|file| file.code.clone()));
            }
            _ => {}
        }
    }
    for file in files {
        if let Ok((_, digest)) = of_file(&file) {
            parts.insert(file.display().to_string(), format!("sha256:{digest}"));
        }
    }
    parts
}

fn path(file: &FileRef) -> Option<PathBuf> {
    match file {
        FileRef::Path(path) => Some(path.clone()),
        FileRef::Image { .. } | FileRef::Lab(_) | FileRef::Url { .. } => None,
    }
}

fn finish(
    request: &Request,
    run_dir: &Path,
    started: Timestamp,
    ending: Ending,
    parts: BTreeMap<String, String>,
) -> Report {
    let Ending { exit, mut run_errors, leaks, ended, fold } = ending;
    run_errors.extend(fold.died().iter().map(|(node, words)| {
        let is_host = request.plan.hosts.contains_key(node);
        let log = run_dir.join("node").join(node.as_str()).join("qemu.log");
        RunError {
            whose: Whose::Machine,
            what: match is_host {
                true => format!("host `{node}` died"),
                false => format!("the machine of `{node}` died"),
            },
            causes: vec![words.clone()],
            hint: Some(match is_host {
                true => "`dryrack trace` shows what its programs printed".to_owned(),
                false => format!("see its messages in {}", log.display()),
            }),
            output: Vec::new(),
        }
    }));
    run_errors.extend(fold.failed_action().map(|(action, why)| RunError {
        whose: Whose::Machine,
        what: format!("action `{action}` failed"),
        causes: vec![why.to_owned()],
        hint: None,
        output: Vec::new(),
    }));
    run_errors.extend(fold.failed().iter().map(|failed| RunError {
        whose: Whose::Machine,
        what: format!("process `{}` failed", failed.process),
        causes: vec![failed.how.clone()],
        hint: Some("`dryrack trace` shows everything that it printed".to_owned()),
        output: failed.output.clone(),
    }));
    Report {
        schema: report::SCHEMA,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        run: store::run_id(run_dir),
        lab: request.plan.lab.clone(),
        file: request.plan.file.clone(),
        accel: request.plan.accel,
        started,
        ended,
        exit,
        verdicts: fold.verdicts(),
        nodes: fold.node_reports(&request.plan),
        actions: fold.action_reports(&request.plan),
        injected: fold.snapshot().faults.clone(),
        run_errors,
        leaks,
        parts,
    }
}
