//! The drives for media of a machine: CD drives, and USB ports with sticks.
//!
//! What is in them belongs to the machine, not to its QEMU, and stays over power cycles. A guest may open a CD drive,
//! which takes its medium out, as on a physical machine.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::event::Known;
use crate::name::DiskName;
use crate::node::Export;
use crate::plan::qemu::{CD, cd_id};
use crate::plan::{Medium, NodeKind, NodePlan};

/// What is in the drives for media of a machine.
pub(super) struct Media {
    /// Its CD drives, with their IDs in QEMU.
    cds: BTreeMap<String, DiskName>,
    /// The stick that its BMC plugs in.
    stick: Option<DiskName>,
    /// The images that the lab file has for its CD drives.
    planned: BTreeMap<DiskName, PathBuf>,
    now: Mutex<BTreeMap<DiskName, Medium>>,
    /// Who serves the images that are exported.
    exports: Mutex<BTreeMap<DiskName, Export>>,
    /// The number of sticks that were plugged in.
    sticks: AtomicU32,
    /// The files of sticks that were made for images.
    made: Mutex<Vec<PathBuf>>,
}

impl Media {
    /// Creates the drives of a node, with the images of the lab file.
    pub(super) fn new(plan: &NodePlan, planned: BTreeMap<DiskName, PathBuf>) -> Self {
        let NodeKind::Qemu(qemu) = &plan.kind;
        let stick = qemu.bmc_stick.as_ref().map(|stick| stick.disk.clone());
        let inserted = planned.iter().map(|(cd, file)| (cd.clone(), Medium::File(file.clone())));
        let now = inserted.chain(stick.clone().map(|stick| (stick, Medium::Empty))).collect();
        let mut cds: BTreeMap<_, _> = plan.cds.iter().map(|cd| (cd_id(plan, cd), cd.clone())).collect();
        if cds.is_empty() {
            cds.insert(CD.to_owned(), further());
        }
        Self {
            cds,
            stick,
            planned,
            now: Mutex::new(now),
            exports: Mutex::default(),
            sticks: AtomicU32::new(0),
            made: Mutex::default(),
        }
    }

    /// Returns what is in the drives.
    pub(super) fn get(&self) -> BTreeMap<DiskName, Medium> {
        self.now().clone()
    }

    /// Returns the sticks that are unplugged, and the CD drives that were emptied.
    pub(super) fn unplugged(&self) -> Vec<DiskName> {
        let empty = |(drive, medium): (&DiskName, &Medium)| (*medium == Medium::Empty).then(|| drive.clone());
        self.now().iter().filter_map(empty).collect()
    }

    /// Returns the CD drive with an ID in QEMU.
    pub(super) fn cd(&self, id: &str) -> Option<DiskName> {
        self.cds.get(id).cloned()
    }

    /// Empties a drive, and returns the event.
    pub(super) fn empty(&self, drive: &DiskName) -> Known {
        self.end_export(drive);
        self.set(drive, Medium::Empty, None)
    }

    /// Ends the export of the image in a drive, if it is one that is exported. Reads of it that wait end then, which
    /// QEMU would wait for before it takes the image out. Returns whether there was one: the drive has no image now.
    pub(super) fn end_export(&self, drive: &DiskName) -> bool {
        self.exports().remove(drive).is_some()
    }

    /// Holds who serves the image in a drive, as long as it is there.
    pub(super) fn hold(&self, drive: &DiskName, export: Export) {
        self.exports().insert(drive.clone(), export);
    }

    /// Changes what is in a drive, and returns the event, with a text for the medium.
    pub(super) fn set(&self, drive: &DiskName, medium: Medium, text: Option<String>) -> Known {
        self.now().insert(drive.clone(), medium);
        Known::MediumSet { drive: self.label(drive), medium: text }
    }

    /// Returns the image that the lab file has for a CD drive.
    pub(super) fn planned(&self, cd: &DiskName) -> Option<PathBuf> {
        self.planned.get(cd).cloned()
    }

    /// Returns a number for a stick that is plugged in, each once.
    pub(super) fn number(&self) -> u32 {
        self.sticks.fetch_add(1, Ordering::Relaxed)
    }

    /// Records a file of a stick that is made for an image.
    pub(super) fn made(&self, path: PathBuf) {
        self.made.lock().unwrap_or_else(PoisonError::into_inner).push(path);
    }

    /// Ends all exports, and deletes the files of sticks that were made for images. The machine has ended.
    pub(super) fn delete(&self) {
        self.exports().clear();
        let made = std::mem::take(&mut *self.made.lock().unwrap_or_else(PoisonError::into_inner));
        for path in made {
            // What stays is in the run folder, and is removed with it.
            std::fs::remove_file(path).ok();
        }
    }

    /// Returns a drive as in the lab file; those that are not there have their names alone.
    fn label(&self, drive: &DiskName) -> String {
        match self.cds.iter().find(|(_, cd)| *cd == drive) {
            Some((id, _)) if id == CD => CD.to_owned(),
            Some(_) => format!("cd.{drive}"),
            None if self.stick.as_ref() == Some(drive) => drive.to_string(),
            None => format!("disk.{drive}"),
        }
    }

    fn exports(&self) -> MutexGuard<'_, BTreeMap<DiskName, Export>> {
        self.exports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> MutexGuard<'_, BTreeMap<DiskName, Medium>> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns the name of the drive of a node that has none in the lab file.
pub(super) fn further() -> DiskName {
    DiskName::new(CD).expect("`cd` is a DNS label")
}
