//! The request to a supervisor: everything that it cannot find out itself.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::image::Built;
use crate::name::ImageName;
use crate::plan::Plan;

/// When a lab is taken down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Until {
    /// When it is stopped by a command or a signal.
    Stopped,
    /// Once every expectation that time can decide is decided.
    Judged,
    /// The same, unless one was missed: then the lab stays up for inspection.
    Met,
}

/// The request to a supervisor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The plan to execute.
    pub plan: Plan,
    /// The images that it uses, as built when the run was started.
    pub images: BTreeMap<ImageName, Built>,
    /// The files that it downloaded, by their digests.
    #[serde(default)]
    pub downloads: BTreeMap<String, PathBuf>,
    /// The parent folder of data that the lab keeps between runs.
    pub kept: PathBuf,
    /// The control socket.
    pub socket: PathBuf,
    /// When the lab is taken down.
    pub until: Until,
}

impl Request {
    /// Writes the request into a run folder.
    pub(super) fn write(&self, run_dir: &Path) -> io::Result<()> {
        std::fs::write(path(run_dir), serde_json::to_vec(self)?)?;
        // For users; the supervisor reads the request.
        let mut plan = serde_json::to_vec_pretty(&self.plan)?;
        plan.push(b'\n');
        std::fs::write(run_dir.join("plan.json"), plan)
    }

    /// Reads the request of a run.
    pub fn read(run_dir: &Path) -> io::Result<Self> {
        Ok(serde_json::from_slice(&std::fs::read(path(run_dir))?)?)
    }
}

fn path(run_dir: &Path) -> PathBuf {
    run_dir.join("request.json")
}
