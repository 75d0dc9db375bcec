//! Starts a run for a command, which then only watches it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

use super::Locations;
use super::failed_start;
use super::kept_disks;
use super::lab_lock::{self, LabLock, LabLockError};
use super::request::{Request, Until};
use super::store::{self, StoreError};
use crate::hint::Hint;
use crate::image::Built;
use crate::lab::Isolation;
use crate::name::ImageName;
use crate::plan::{DiskPlan, Plan, Step, Uplink};
use crate::system::MAKE_ROOM;
use crate::system::namespace::{self, NamespaceError, NamespaceHandle, NamespaceRequest};

/// A started run.
#[derive(Debug)]
pub struct Launched {
    /// Its namespaces. Dropping the handle ends the run, unless it was untied.
    pub namespaces: NamespaceHandle,
    /// Its folder.
    pub run_dir: PathBuf,
    /// Its control socket.
    pub socket: PathBuf,
}

/// Why a run could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// Its folder could not be created.
    #[error(transparent)]
    Store(StoreError),
    /// Its lab could not be registered.
    #[error(transparent)]
    LabLock(LabLockError),
    /// Its request could not be written.
    #[error("cannot write the request of the run into {}", path.display())]
    Request {
        /// The run folder.
        path: PathBuf,
        /// The error.
        #[source]
        source: io::Error,
    },
    /// The folder of its kept disks could not be prepared.
    #[error("cannot prepare {} for kept disks", path.display())]
    KeptDisks {
        /// The folder.
        path: PathBuf,
        /// The error.
        #[source]
        source: io::Error,
    },
    /// Its namespaces could not be created.
    #[error(transparent)]
    Isolation(NamespaceError),
}

impl Hint for LaunchError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Store(error) => error.hint(),
            Self::LabLock(error) => error.hint(),
            Self::Request { source, .. } | Self::KeptDisks { source, .. }
                if source.kind() == io::ErrorKind::StorageFull =>
            {
                Some(MAKE_ROOM.into())
            }
            Self::Request { .. } | Self::KeptDisks { .. } => None,
            Self::Isolation(error) => error.hint(),
        }
    }
}

/// Starts a run of a plan with its images and downloads. Returns once its supervisor runs in its namespaces.
///
/// The run ends with this process unless [`NamespaceHandle::untie`] lets it live on.
/// The run owns the lab lock from then on.
#[expect(clippy::disallowed_methods, reason = "a run is named by the time when it was started")]
pub fn launch(
    locations: &Locations,
    lab_lock: LabLock,
    plan: Plan,
    (images, downloads): (BTreeMap<ImageName, Built>, BTreeMap<String, PathBuf>),
    until: Until,
) -> Result<Launched, LaunchError> {
    let started = Timestamp::now();
    let run_dir = store::create(locations, &plan.lab, started).map_err(LaunchError::Store)?;
    let socket = lab_lock.socket().to_owned();
    let kept = locations.state.join("labs").join(lab_lock::identity(&plan.file));
    let request = Request { plan, images, downloads, kept, socket: socket.clone(), until };
    match start(&request, &lab_lock, &run_dir, locations) {
        Ok(namespaces) => Ok(Launched { namespaces, run_dir, socket }),
        Err(error) => {
            failed_start::record(&run_dir, &request.plan, started, &error);
            Err(error)
        }
    }
}

fn start(
    request: &Request,
    lab_lock: &LabLock,
    run_dir: &Path,
    locations: &Locations,
) -> Result<NamespaceHandle, LaunchError> {
    let Request { plan, socket, kept, .. } = request;
    if plan.steps.iter().any(|step| matches!(step, Step::Disk(DiskPlan { keep: true, .. }))) {
        kept_disks::sign(kept, &plan.file)
            .map_err(|source| LaunchError::KeptDisks { path: kept.clone(), source })?;
    }
    request.write(run_dir).map_err(|source| LaunchError::Request { path: run_dir.to_owned(), source })?;
    // One at a time: a process started before the lock is released inherits it.
    static STARTING: Mutex<()> = Mutex::new(());
    let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    let _shared = lab_lock.register(&plan.lab, &plan.file, run_dir).map_err(LaunchError::LabLock)?;
    let environment = environment(run_dir, locations);
    start_namespaces(plan, run_dir, socket, environment).map_err(LaunchError::Isolation)
}

/// Returns the variables by which commands in the processes of a lab find that lab: there the user may have another
/// UID, home or runtime folder.
fn environment(run_dir: &Path, locations: &Locations) -> Vec<(OsString, OsString)> {
    let Locations { state, cache, runtime } = locations;
    let variables = [
        (namespace::RUN, run_dir),
        ("DRYRACK_STATE", state.as_path()),
        ("DRYRACK_CACHE", cache.as_path()),
        ("DRYRACK_RUNTIME", runtime.as_path()),
    ];
    variables.map(|(name, path)| (name.into(), path.into())).into()
}

fn start_namespaces(
    plan: &Plan,
    run_dir: &Path,
    socket: &Path,
    environment: Vec<(OsString, OsString)>,
) -> Result<NamespaceHandle, NamespaceError> {
    let publish = plan.steps.iter().filter_map(|step| match step {
        Step::Publish { listen, .. } => Some(*listen),
        _ => None,
    });
    let publish: Vec<SocketAddr> = publish.collect();
    let uplink: Option<Uplink> = plan.steps.iter().find_map(|step| match step {
        Step::MakeNamespaces { uplink } => uplink.clone(),
        _ => None,
    });
    let (run_dir, control_socket) = (run_dir.to_owned(), socket.to_owned());
    let request = NamespaceRequest { run_dir, publish, control_socket, uplink, environment };
    match plan.isolation {
        Isolation::Private => namespace::start_private(&request),
        Isolation::None => namespace::start_host(&request),
    }
}
