//! Run folders: their location, list and retention.
//!
//! ```text
//! STATE/runs/20261121-093403-etcd/
//!   request.json  plan.json       the request, and every step
//!   journal.jsonl  processes.json what undoes it; which processes it has
//!   events.jsonl  supervisor.log  what happened
//!   node/NAME/{console.log, qemu.log}
//!   ssh/                          the run's own key
//!   report.json                   how it ended
//! ```

use std::borrow::Cow;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;

use super::Locations;
use super::journal::is_open;
use crate::hint::{Hint, chain};
use crate::name::LabName;
use crate::report::Report;
use crate::system::MAKE_ROOM;
use crate::system::namespace::{NamespaceIds, remove_folder};

/// The number of earlier runs that are kept when a new one starts.
const KEPT: usize = 30;

/// One run in the list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Run {
    /// Its name: the start time (UTC) and the name of the lab.
    pub id: String,
    /// Its folder.
    pub path: PathBuf,
    /// The lab's name.
    pub lab: String,
    /// Whether it is up.
    pub up: bool,
    /// Its exit code, if it ended regularly.
    pub exit: Option<u8>,
    /// Bytes on disk.
    pub size: u64,
}

/// What a removal of old folders or files did.
#[derive(Debug)]
pub struct Pruned<T> {
    /// What was removed.
    pub removed: Vec<T>,
    /// Why the others could not be removed.
    pub failed: Vec<StoreError>,
}

impl<T> Pruned<T> {
    pub(super) fn add(&mut self, result: Result<T, StoreError>) {
        match result {
            Ok(removed) => self.removed.push(removed),
            Err(error) => self.failed.push(error),
        }
    }
}

impl<T> Default for Pruned<T> {
    fn default() -> Self {
        Self { removed: Vec::new(), failed: Vec::new() }
    }
}

/// Why a run was not found.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No run has this name.
    #[error("there is no run `{what}`")]
    NoSuchRun {
        /// The requested name.
        what: String,
        /// The path where its folder would be.
        folder: PathBuf,
    },
    /// There are no runs.
    #[error("there is no run yet in {}", folder.display())]
    NoRun {
        /// The path where runs would be.
        folder: PathBuf,
    },
    /// A file operation failed.
    #[error("cannot {verb} {}", path.display())]
    Files {
        /// The operation.
        verb: &'static str,
        /// The path.
        path: PathBuf,
        /// The error.
        #[source]
        source: io::Error,
    },
}

impl Hint for StoreError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        let hint = match self {
            Self::NoSuchRun { .. } => Some("`dryrack runs` lists them"),
            Self::NoRun { .. } => {
                Some("`dryrack test LAB` makes one; DRYRACK_STATE says where they are kept")
            }
            Self::Files { source, .. } if source.kind() == io::ErrorKind::StorageFull => Some(MAKE_ROOM),
            Self::Files { .. } => Some("set DRYRACK_STATE to a folder that you may write to"),
        };
        hint.map(Cow::Borrowed)
    }
}

pub(super) fn failed(verb: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError {
    let path = path.to_owned();
    move |source| StoreError::Files { verb, path, source }
}

/// Creates the folder of a new run, and removes the oldest ones.
pub fn create(locations: &Locations, lab: &LabName, now: Timestamp) -> Result<PathBuf, StoreError> {
    let runs = folder(locations);
    fs::create_dir_all(&runs).map_err(failed("create", &runs))?;
    for error in prune(locations, KEPT - 1)?.failed {
        // An old run that stays must not keep new ones from starting.
        tracing::warn!("an old run stays: {}", chain(&error));
    }
    let runs = fs::canonicalize(&runs).map_err(failed("find", &runs))?;
    let stamp = now.strftime("%Y%m%d-%H%M%S");
    // Two runs of one lab in the same second get different names.
    for attempt in 0.. {
        let id = match attempt {
            0 => format!("{stamp}-{lab}"),
            _ => format!("{stamp}-{lab}.{attempt}"),
        };
        let path = runs.join(id);
        match fs::create_dir(&path) {
            Ok(()) => {
                let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
                fs::set_permissions(&path, mode).map_err(failed("protect", &path))?;
                return Ok(path);
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(failed("create", &path)(error)),
        }
    }
    unreachable!("the counter has no end")
}

/// Lists the runs, oldest first.
pub fn list(locations: &Locations) -> Result<Vec<Run>, StoreError> {
    let runs = folder(locations);
    let entries = match fs::read_dir(&runs) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries.map_err(failed("read", &runs))?,
    };
    let mut found: Vec<Run> = entries.flatten().filter_map(|entry| describe(entry.path())).collect();
    found.sort_by(|a, b| a.id.cmp(&b.id));
    Ok(found)
}

/// Finds a run by its ID, its folder, or a file in it; the latest run of a lab by the name of the lab; without a name,
/// the latest of all.
pub fn find(locations: &Locations, what: Option<&str>) -> Result<PathBuf, StoreError> {
    let runs = folder(locations);
    let Some(what) = what else {
        return list(locations)?.pop().map(|run| run.path).ok_or(StoreError::NoRun { folder: runs });
    };
    let path = Path::new(what);
    if path.is_file() {
        return Ok(path.parent().unwrap_or(path).to_owned());
    }
    if path.join("events.jsonl").is_file() {
        return Ok(path.to_owned());
    }
    let latest =
        || list(locations).map(|runs| runs.into_iter().rfind(|run| run.lab == what || run.id == what));
    latest()?.map(|run| run.path).ok_or_else(|| StoreError::NoSuchRun { what: what.to_owned(), folder: runs })
}

/// Removes all but the newest runs. Runs that are up are kept.
pub fn prune(locations: &Locations, keep: usize) -> Result<Pruned<Run>, StoreError> {
    let mut runs = list(locations)?;
    runs.truncate(runs.len().saturating_sub(keep));
    // A run with an open journal still has something to undo.
    runs.retain(|run| !run.up && !is_open(&run.path));
    let mut pruned = Pruned::default();
    for run in runs {
        pruned.add(remove_folder(&run.path).map_err(failed("remove", &run.path)).map(|()| run));
    }
    Ok(pruned)
}

/// Reads the report of a run.
pub fn report(run_dir: &Path) -> io::Result<Report> {
    Ok(serde_json::from_slice(&fs::read(report_path(run_dir))?)?)
}

/// Writes the report of a run atomically.
pub(super) fn write_report(run_dir: &Path, report: &Report) -> io::Result<()> {
    let path = report_path(run_dir);
    let draft = path.with_extension("json.new");
    let mut text = serde_json::to_vec_pretty(report)?;
    text.push(b'\n');
    fs::write(&draft, text)?;
    fs::rename(&draft, &path)
}

/// Returns the name of a run.
pub(super) fn run_id(run_dir: &Path) -> String {
    run_dir.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn report_path(run_dir: &Path) -> PathBuf {
    run_dir.join("report.json")
}

fn folder(locations: &Locations) -> PathBuf {
    locations.state.join("runs")
}

fn describe(path: PathBuf) -> Option<Run> {
    let id = path.file_name()?.to_str()?.to_owned();
    // YYYYMMDD-HHMMSS-LAB, with `.N` if the name is taken; the name of a lab contains no dot.
    let lab = id.splitn(3, '-').nth(2)?;
    let lab = lab.split('.').next()?.to_owned();
    let up = NamespaceIds::read(&path).is_ok_and(|ids| ids.is_alive());
    let exit = report(&path).ok().map(|report| report.exit);
    let size = size(&path);
    Some(Run { id, path, lab, up, exit, size })
}

fn size(path: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    match fs::symlink_metadata(path) {
        Ok(found) if found.is_dir() => {
            let entries = fs::read_dir(path).into_iter().flatten().flatten();
            entries.map(|entry| size(&entry.path())).sum()
        }
        // The allocated size, which for a sparse disk is smaller.
        Ok(found) => found.blocks() * 512,
        Err(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn locations(dir: &Path) -> Locations {
        Locations { state: dir.to_owned(), cache: dir.join("cache"), runtime: dir.join("runtime") }
    }

    #[test]
    fn runs_are_found_by_id_by_lab_and_by_age() {
        let dir = tempfile::tempdir().unwrap();
        let locations = locations(dir.path());
        let lab = |name: &str| LabName::new(name).unwrap();
        let at = |second: i64| Timestamp::from_second(1_795_000_000 + second).unwrap();
        assert!(matches!(find(&locations, None), Err(StoreError::NoRun { .. })));
        let one = create(&locations, &lab("a-b"), at(0)).unwrap();
        let two = create(&locations, &lab("a-b"), at(0)).unwrap();
        let three = create(&locations, &lab("c"), at(5)).unwrap();
        let id = |path: &Path| path.file_name().unwrap().to_str().unwrap().to_owned();
        assert_eq!(id(&one), "20261118-110640-a-b");
        assert_eq!(find(&locations, Some(&id(&one))).unwrap(), one);
        assert_eq!(find(&locations, Some("a-b")).unwrap(), two);
        assert_eq!(find(&locations, None).unwrap(), three);
        assert!(matches!(find(&locations, Some("x")), Err(StoreError::NoSuchRun { .. })));
        assert_eq!(prune(&locations, 1).unwrap().removed.len(), 2);
        assert_eq!(list(&locations).unwrap().len(), 1);
    }

    #[test]
    fn a_run_that_cannot_be_removed_stops_neither_the_others_nor_a_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let locations = locations(dir.path());
        let runs = folder(&locations);
        // A file in the place of a folder cannot be removed as one, by root neither.
        let stuck = runs.join("20200101-000000-a");
        fs::create_dir_all(&runs).unwrap();
        fs::write(&stuck, "").unwrap();
        for second in 0..KEPT {
            fs::create_dir(runs.join(format!("20200102-0000{second:02}-a"))).unwrap();
        }
        create(&locations, &LabName::new("a").unwrap(), Timestamp::UNIX_EPOCH).unwrap();
        assert!(stuck.exists());
        assert!(!runs.join("20200102-000000-a").exists());
        let Pruned { removed, failed } = prune(&locations, 1).unwrap();
        assert_eq!(removed.len(), KEPT - 1);
        let [StoreError::Files { verb: "remove", path, .. }] = &failed[..] else { panic!("{failed:?}") };
        assert_eq!(path, &stuck);
    }
}
