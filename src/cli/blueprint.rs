//! The input of a run: a lab file, or a plan that was made from one.

use std::path::{Path, PathBuf};

use super::lab::{Layers, ValidLab, valid};
use super::output::Stop;
use super::prepare::{self, Loudness};
use crate::hint::{Hint, chain};
use crate::image::Library;
use crate::lab::{AccelChoice, Start};
use crate::name::{LabName, NodeName};
use crate::plan::{self, Accel, Plan};
use crate::report::exit;
use crate::run::Locations;

/// The maximum size of a plan file; a plan with 250 nodes takes a few megabytes.
const LARGEST_PLAN: u64 = 256 << 20;

/// The input of a run.
pub(super) enum Blueprint {
    /// A lab file, still to be planned for this host.
    Lab(Box<ValidLab>),
    /// A plan given with `--plan`.
    Plan(Box<Plan>),
}

/// The resources that a lab needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Needs {
    /// Memory in bytes.
    pub(super) memory: u64,
    /// Virtual CPUs.
    pub(super) cpus: u32,
}

impl Blueprint {
    /// Reads and validates a lab.
    pub(super) fn of_lab(lab: &Path, layers: &Layers, locations: &Locations) -> Result<Self, Stop> {
        Ok(Self::Lab(Box::new(valid(layers.read(lab)?, locations, None)?)))
    }

    /// Reads a plan.
    pub(super) fn of_plan(file: &Path) -> Result<Self, Stop> {
        let failed = |error: &std::io::Error| {
            let hint = Some("`dryrack plan LAB --json > FILE` writes a plan");
            Stop::new(exit::WRONG, format!("cannot read the plan {}: {error}", file.display()), hint)
        };
        let size = std::fs::metadata(file).map_err(|error| failed(&error))?.len();
        if size > LARGEST_PLAN {
            let what = format!("{} is too large for a plan: {size} bytes", file.display());
            return Err(Stop::new(exit::WRONG, what, None::<String>));
        }
        let json = std::fs::read(file).map_err(|error| failed(&error))?;
        let plan = plan::read(&json).map_err(|error| {
            let what = format!("{}: {}", file.display(), chain(&error));
            Stop::new(exit::WRONG, what, error.hint())
        })?;
        Ok(Self::Plan(Box::new(plan)))
    }

    /// Keeps the disks of a lab, as if all had `keep = true`. A plan is already decided.
    pub(super) fn keep_disks(&mut self) {
        if let Self::Lab(valid) = self {
            let disks = valid.lab.nodes.values_mut().flat_map(|node| &mut node.disks);
            disks.for_each(|disk| disk.keep = true);
        }
    }

    /// Returns the lab's name.
    pub(super) fn lab(&self) -> &LabName {
        match self {
            Self::Lab(valid) => &valid.lab.name,
            Self::Plan(plan) => &plan.lab,
        }
    }

    /// Returns the path of the lab file, which identifies the lab.
    pub(super) fn file(&self) -> &PathBuf {
        match self {
            Self::Lab(valid) => &valid.lab.file,
            Self::Plan(plan) => &plan.file,
        }
    }

    /// Tells whether anything is expected of the lab.
    pub(super) fn expects(&self) -> bool {
        match self {
            Self::Lab(valid) => !valid.lab.expectations.is_empty(),
            Self::Plan(plan) => !plan.expectations.is_empty(),
        }
    }

    /// Returns the nodes.
    pub(super) fn nodes(&self) -> Vec<NodeName> {
        match self {
            Self::Lab(valid) => valid.lab.nodes.keys().cloned().collect(),
            Self::Plan(plan) => plan.nodes.keys().cloned().collect(),
        }
    }

    /// Returns the accelerator, as far as it is known before the self-test.
    pub(super) fn accel(&self) -> Accel {
        match self {
            Self::Lab(valid) if valid.lab.accel == AccelChoice::Kvm => Accel::Kvm,
            Self::Lab(_) => Accel::Tcg,
            Self::Plan(plan) => plan.accel,
        }
    }

    /// Returns the resources of all nodes that start with the lab.
    pub(super) fn needs(&self) -> Needs {
        let of: Vec<(u64, u8)> = match self {
            Self::Lab(valid) => {
                let nodes = valid.lab.nodes.values().filter(|node| node.start != Start::Manual);
                nodes.map(|node| (node.memory.0, node.cpus)).collect()
            }
            Self::Plan(plan) => {
                let nodes = plan.nodes.values().filter(|node| node.starts());
                nodes.map(|node| (node.memory.0, node.cpus)).collect()
            }
        };
        Needs {
            memory: of.iter().fold(0, |sum, (memory, _)| sum.saturating_add(*memory)),
            cpus: of.iter().map(|(_, cpus)| u32::from(*cpus)).sum(),
        }
    }

    /// Plans the lab for this host, or checks that this host still satisfies its plan.
    pub(super) fn decide(self, locations: &Locations) -> Result<(Plan, Library), Stop> {
        match self {
            Self::Lab(valid) => {
                let plan = prepare::decide(&valid, locations, Loudness::Loud)?;
                Ok((plan, valid.library))
            }
            Self::Plan(plan) => {
                let library = Library::new(locations.cache.clone(), plan.recipes.clone());
                prepare::check_again(&plan, &library, locations)?;
                Ok((*plan, library))
            }
        }
    }
}
