//! Starts a run: the command's last deed before it only watches.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

use super::Locations;
use super::claim::{self, Claim, ClaimError};
use super::request::{Request, Until};
use super::store::{self, StoreError};
use super::texts::Texts;
use crate::host::MAKE_ROOM;
use crate::host::place::{self, PlaceError, PlaceHandle, PlaceRequest};
use crate::plan::{HostFacts, Place, Plan, Step, WayOut};

/// A run that was started.
#[derive(Debug)]
pub struct Launched {
    /// Its place. Dropping it ends the run, unless it was untied.
    pub place: PlaceHandle,
    /// Its folder.
    pub run_dir: PathBuf,
    /// Its control socket.
    pub socket: PathBuf,
}

/// Why a run could not be started.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// It has no folder.
    #[error(transparent)]
    Store(StoreError),
    /// It cannot be registered.
    #[error(transparent)]
    Claim(ClaimError),
    /// Its request could not be written.
    #[error("cannot write the request of the run into {}", path.display())]
    Request {
        /// The run folder.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It has no place.
    #[error(transparent)]
    Place(PlaceError),
}

impl LaunchError {
    /// Returns what would help, where that is known.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Store(error) => error.hint().map(str::to_owned),
            Self::Claim(error) => Some(error.hint()),
            Self::Request { source, .. } if source.kind() == io::ErrorKind::StorageFull => {
                Some(MAKE_ROOM.to_owned())
            }
            Self::Request { .. } => None,
            Self::Place(error) => error.hint().map(str::to_owned),
        }
    }
}

/// Starts a run of a plan whose images are built. Returns once its supervisor stands in its place.
///
/// The run ends with this process unless [`PlaceHandle::untie`] lets it live on.
/// The claim is the run's own from then on.
#[expect(clippy::disallowed_methods, reason = "a run is named by the time when it was started")]
pub fn launch(
    locations: &Locations,
    claim: Claim,
    texts: Texts,
    plan: Plan,
    facts: HostFacts,
    until: Until,
) -> Result<Launched, LaunchError> {
    let run_dir = store::create(locations, &plan.lab, Timestamp::now()).map_err(LaunchError::Store)?;
    let file = texts.file.clone();
    let socket = claim.socket().to_owned();
    let cache = locations.cache.clone();
    let kept = locations.state.join("labs").join(claim::identity(&file));
    let request = Request { texts, plan, facts, cache, kept, socket: socket.clone(), until };
    request.write(&run_dir).map_err(|source| LaunchError::Request { path: run_dir.clone(), source })?;
    // One at a time: what is started between the next line and the claim's end inherits its lock.
    static STARTING: Mutex<()> = Mutex::new(());
    let _starting = STARTING.lock().unwrap_or_else(PoisonError::into_inner);
    let _shared = claim.register(&request.plan.lab, &file, &run_dir).map_err(LaunchError::Claim)?;
    let place = start(&request.plan, &run_dir, &socket).map_err(LaunchError::Place)?;
    Ok(Launched { place, run_dir, socket })
}

fn start(plan: &Plan, run_dir: &Path, socket: &Path) -> Result<PlaceHandle, PlaceError> {
    let publish = plan.steps.iter().filter_map(|step| match step {
        Step::Publish { listen, .. } => Some(*listen),
        _ => None,
    });
    let publish: Vec<SocketAddr> = publish.collect();
    let way_out: Option<WayOut> = plan.steps.iter().find_map(|step| match step {
        Step::MakePlace { way_out } => way_out.clone(),
        _ => None,
    });
    let request =
        PlaceRequest { run_dir: run_dir.to_owned(), publish, control_socket: socket.to_owned(), way_out };
    match plan.place {
        Place::Private => place::start_private(&request),
        Place::Host => place::start_host(&request),
    }
}
