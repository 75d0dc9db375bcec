//! Commands to the drives for media of a machine: images are inserted and ejected, sticks plugged in and out.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::drives::further;
use super::session::Session;
use super::{Body, Machine, disk};
use crate::name::DiskName;
use crate::node::{Effect, NodeError};
use crate::plan::qemu::{CD, cd_id, disk_id};
use crate::plan::{Medium, NodeDisk, NodeKind};

/// How often, and at what intervals, QEMU is asked to close the file of a stick that was unplugged.
const TRIES: u32 = 50;
const TRY: Duration = Duration::from_millis(20);

/// A drive for media.
enum Drive<'a> {
    Cd(DiskName),
    Stick(&'a NodeDisk),
}

impl Machine {
    /// Inserts an image into a drive, or plugs a stick in; a running machine without a CD drive gets one at its next
    /// start. Without a file it is the image of the lab file.
    pub async fn insert(&self, drive: Option<&DiskName>, file: Option<PathBuf>) -> Result<Effect, NodeError> {
        let body = &self.body;
        let drive = body.drive(drive)?;
        if let Some(file) = &file {
            readable(file).await.map_err(|source| NodeError::Failed {
                what: "insert an image into the drive of",
                node: body.plan.node.clone(),
                hint: Some(format!("{} must be a file that the user of the lab may read", file.display())),
                source: Box::new(source),
            })?;
        }
        let mut session = body.session.lock().await;
        let session = session.as_mut().filter(|session| session.is_on());
        match drive {
            Drive::Cd(cd) => body.insert_cd(session, cd, file).await,
            Drive::Stick(disk) => body.plug(session, disk, file).await,
        }
    }

    /// Ejects the image from a drive, or unplugs a stick.
    pub async fn eject(&self, drive: Option<&DiskName>) -> Result<(), NodeError> {
        let body = &self.body;
        let drive = body.drive(drive)?;
        let mut session = body.session.lock().await;
        let session = session.as_mut().filter(|session| session.is_on());
        let name = match drive {
            Drive::Cd(cd) => {
                if let Some(session) = session.filter(|session| session.cds.contains(&cd)) {
                    let ejected = session.qmp.eject(&cd_id(&body.plan, &cd)).await;
                    ejected.map_err(|source| body.failed("eject the image from the drive of", source))?;
                }
                cd
            }
            Drive::Stick(disk) => {
                if let Some(session) = session {
                    body.unplug(session, disk).await?;
                }
                disk.disk.clone()
            }
        };
        body.events.emit_of(&body.plan.node, body.media.empty(&name));
        Ok(())
    }
}

impl Body {
    /// Returns a drive by its name; without one the only drive.
    fn drive(&self, name: Option<&DiskName>) -> Result<Drive<'_>, NodeError> {
        let plan = &self.plan;
        let sticks: Vec<&NodeDisk> = plan.disks.iter().filter(|disk| plan.is_stick(&disk.disk)).collect();
        let stick = |name: &DiskName| sticks.iter().find(|disk| disk.disk == *name).copied();
        let found = match (name, plan.cds.as_slice(), sticks.as_slice()) {
            (None, [], []) => Some(Drive::Cd(further())),
            (None, [cd], []) => Some(Drive::Cd(cd.clone())),
            (None, [], [disk]) => Some(Drive::Stick(disk)),
            (None, ..) => None,
            (Some(name), [], _) if name.as_str() == CD && stick(name).is_none() => Some(Drive::Cd(further())),
            (Some(name), cds, _) if cds.contains(name) => Some(Drive::Cd(name.clone())),
            (Some(name), ..) => stick(name).map(Drive::Stick),
        };
        let drives = || plan.cds.iter().chain(sticks.iter().map(|disk| &disk.disk)).cloned().collect();
        found.ok_or_else(|| NodeError::NoSuchDrive {
            node: plan.node.clone(),
            drive: name.cloned(),
            drives: drives(),
        })
    }

    async fn insert_cd(
        &self,
        session: Option<&mut Session>,
        cd: DiskName,
        file: Option<PathBuf>,
    ) -> Result<Effect, NodeError> {
        let file = file.or_else(|| self.media.planned(&cd));
        let file =
            file.ok_or_else(|| NodeError::NoMedium { node: self.plan.node.clone(), drive: cd.clone() })?;
        let effect = match session.filter(|session| session.cds.contains(&cd)) {
            Some(session) => {
                let inserted = session.qmp.insert(&cd_id(&self.plan, &cd), &file.to_string_lossy()).await;
                inserted.map_err(|source| self.failed("insert an image into the drive of", source))?;
                Effect::Now
            }
            None => Effect::NextStart,
        };
        let text = file.display().to_string();
        self.events.emit_of(&self.plan.node, self.media.set(&cd, Medium::File(file), Some(text)));
        Ok(effect)
    }

    /// Plugs a stick in: the disk of the lab file, or one that has the content of a file, which is not written to.
    async fn plug(
        &self,
        session: Option<&mut Session>,
        stick: &NodeDisk,
        file: Option<PathBuf>,
    ) -> Result<Effect, NodeError> {
        let number = self.media.number();
        let content = match &file {
            Some(file) => {
                let overlay = PathBuf::from(format!("{}-{number}.qcow2", stick.disk));
                let (path, node) = (self.folder.join(&overlay), &self.plan.node);
                self.media.made(path.clone());
                let made = disk::overlay(node, &stick.disk, &path, file, &self.spawner).await;
                made.map_err(|error| NodeError::failed("make a stick for", node, error))?;
                overlay
            }
            None => format!("{}.qcow2", stick.disk).into(),
        };
        let effect = match session {
            Some(session) => {
                self.unplug(session, stick).await?;
                let failed = |source| self.failed("plug a stick into", source);
                // A block node of its own for each time: QEMU may still hold the name of the last one.
                let drive = format!("stick{number}");
                session.qmp.open_disk(&drive, &content.to_string_lossy()).await.map_err(failed)?;
                let NodeKind::Qemu(qemu) = &self.plan.kind;
                let properties = qemu.stick(&self.plan, stick, &drive, session.started.boot);
                session.qmp.plug(properties).await.map_err(failed)?;
                session.sticks.insert(stick.disk.clone(), drive);
                Effect::Now
            }
            None => Effect::NextStart,
        };
        let text = file.as_ref().unwrap_or(&content).display().to_string();
        let event = self.media.set(&stick.disk, Medium::File(content), Some(text));
        self.events.emit_of(&self.plan.node, event);
        Ok(effect)
    }

    /// Unplugs a stick, and releases its file. No effect if it is unplugged.
    #[expect(
        clippy::disallowed_methods,
        reason = "QEMU releases the block node of a device when it has time"
    )]
    async fn unplug(&self, session: &mut Session, stick: &NodeDisk) -> Result<(), NodeError> {
        let failed = |source| self.failed("unplug a stick from", source);
        let Some(drive) = session.sticks.remove(&stick.disk) else { return Ok(()) };
        session.qmp.unplug(&disk_id(stick)).await.map_err(failed)?;
        for _ in 0..TRIES {
            if session.qmp.close_disk(&drive).await.is_ok() {
                return Ok(());
            }
            tokio::time::sleep(TRY).await;
        }
        session.qmp.close_disk(&drive).await.map_err(failed)
    }
}

async fn readable(file: &Path) -> io::Result<()> {
    match tokio::fs::File::open(file).await?.metadata().await?.is_file() {
        true => Ok(()),
        false => Err(io::Error::other(format!("{} is not a regular file", file.display()))),
    }
}
