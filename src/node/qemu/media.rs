//! Commands to the drives for media of a machine: images are inserted and ejected, sticks plugged in and out.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::MutexGuard;

use super::drives::further;
use super::qmp::Qmp;
use super::session::Session;
use super::{Body, Machine, QmpError, disk};
use crate::name::DiskName;
use crate::node::{Effect, ExportedImage, MediaImage, NodeError};
use crate::plan::qemu::{CD, below, cd_id, disk_id};
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
    /// start. Without an image it is the one of the lab file.
    pub async fn insert(
        &self,
        drive: Option<&DiskName>,
        image: Option<MediaImage>,
    ) -> Result<Effect, NodeError> {
        let body = &self.body;
        let drive = body.drive(drive)?;
        if let Some(MediaImage::File(file)) = &image {
            readable(file).await.map_err(|source| NodeError::Failed {
                what: "insert an image into the drive of",
                node: body.plan.node.clone(),
                hint: Some(format!("{} must be a file that the user of the lab may read", file.display())),
                source: Box::new(source),
            })?;
        }
        let mut session = body.settled().await;
        let session = session.as_mut().filter(|session| session.is_on());
        match drive {
            Drive::Cd(cd) => body.insert_cd(session, cd, image).await,
            Drive::Stick(disk) => body.plug(session, disk, image).await,
        }
    }

    /// Ejects the image from a drive, or unplugs a stick.
    pub async fn eject(&self, drive: Option<&DiskName>) -> Result<(), NodeError> {
        let body = &self.body;
        let drive = body.drive(drive)?;
        let mut session = body.settled().await;
        let session = session.as_mut().filter(|session| session.is_on());
        let name = match &drive {
            Drive::Cd(cd) => cd,
            Drive::Stick(disk) => &disk.disk,
        };
        let was_ended = body.media.end_export(name);
        let ejected = match (&drive, session) {
            (Drive::Cd(cd), Some(session)) if session.cds.contains(cd) => body.eject_cd(session, cd).await,
            (Drive::Stick(disk), Some(session)) => body.unplug(session, disk).await.map(drop),
            (Drive::Cd(_), Some(_)) | (_, None) => Ok(()),
        };
        // Nobody serves the image any more, so no start can have it.
        if was_ended || ejected.is_ok() {
            body.events.emit_of(&body.plan.node, body.media.empty(name));
        }
        ejected
    }
}

impl Body {
    /// Returns a drive by its name; without one the only drive. The drives that a node has for its BMC are meant only by
    /// name where the lab file has others.
    fn drive(&self, name: Option<&DiskName>) -> Result<Drive<'_>, NodeError> {
        let plan = &self.plan;
        let NodeKind::Qemu(qemu) = &plan.kind;
        let sticks: Vec<&NodeDisk> = plan.disks.iter().filter(|disk| plan.is_stick(&disk.disk)).collect();
        let of_bmc = qemu.bmc_stick.as_ref();
        let stick = |name: &DiskName| sticks.iter().copied().chain(of_bmc).find(|disk| disk.disk == *name);
        let found = match (name, plan.cds.as_slice(), sticks.as_slice()) {
            (None, [], []) => Some(Drive::Cd(further())),
            (None, [cd], []) => Some(Drive::Cd(cd.clone())),
            (None, [], [disk]) => Some(Drive::Stick(disk)),
            (None, ..) => None,
            (Some(name), [], _) if name.as_str() == CD && stick(name).is_none() => Some(Drive::Cd(further())),
            (Some(name), cds, _) if cds.contains(name) => Some(Drive::Cd(name.clone())),
            (Some(name), ..) => stick(name).map(Drive::Stick),
        };
        let drives = || {
            let further = (plan.cds.is_empty() && of_bmc.is_some()).then(further);
            let sticks = sticks.iter().copied().chain(of_bmc).map(|disk| disk.disk.clone());
            plan.cds.iter().cloned().chain(further).chain(sticks).collect()
        };
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
        image: Option<MediaImage>,
    ) -> Result<Effect, NodeError> {
        let image = image.or_else(|| self.media.planned(&cd).map(MediaImage::File));
        let image =
            image.ok_or_else(|| NodeError::NoMedium { node: self.plan.node.clone(), drive: cd.clone() })?;
        let text = image.to_string();
        let (medium, file, export) = match image {
            MediaImage::File(file) => {
                let name = file.to_string_lossy().into_owned();
                (Medium::File(file), name, None)
            }
            // A URL as QEMU takes it in place of a file: drive and medium change in one command then, and a tray that
            // is open with a medium in it is always one that the guest has opened.
            MediaImage::Exported(ExportedImage { socket, export, .. }) => {
                let name = format!("nbd+unix:///?socket={socket}");
                (Medium::Exported { socket, overlay: None }, name, Some(export))
            }
        };
        let was_ended = self.media.end_export(&cd);
        let effect = match session.filter(|session| session.cds.contains(&cd)) {
            Some(session) => {
                let inserted = session.qmp.insert(&cd_id(&self.plan, &cd), &file).await;
                if was_ended && inserted.is_err() {
                    self.events.emit_of(&self.plan.node, self.media.empty(&cd));
                }
                inserted.map_err(|source| self.failed("insert an image into the drive of", source))?;
                self.close_first(session, &cd).await;
                Effect::Now
            }
            None => Effect::NextStart,
        };
        if let Some(export) = export {
            self.media.hold(&cd, export);
        }
        self.events.emit_of(&self.plan.node, self.media.set(&cd, medium, Some(text)));
        Ok(effect)
    }

    /// Takes the medium out of a CD drive.
    async fn eject_cd(&self, session: &mut Session, cd: &DiskName) -> Result<(), NodeError> {
        let ejected = session.qmp.eject(&cd_id(&self.plan, cd)).await;
        ejected.map_err(|source| self.failed("eject the image from the drive of", source))?;
        self.close_first(session, cd).await;
        Ok(())
    }

    /// Locks the session. One whose QEMU was told to quit is waited for: QEMU would not take what comes, or forget it.
    async fn settled(&self) -> MutexGuard<'_, Option<Session>> {
        loop {
            let session = self.session.lock().await;
            let quitting = session.as_ref().filter(|session| session.quits());
            let Some(mut ended) = quitting.map(Session::ended) else { return session };
            drop(session);
            // An error means that its task is gone, and the process with it.
            ended.wait_for(|ended| *ended).await.ok();
        }
    }

    /// Closes the medium that a CD drive had at the start of its QEMU. QEMU closes those that came later by itself.
    async fn close_first(&self, session: &mut Session, cd: &DiskName) {
        let Some(node) = session.cd_nodes.remove(cd) else { return };
        if let Err(error) = session.qmp.close_disk(&node).await {
            tracing::warn!(node = %self.plan.node, %cd, %error, "an image that was taken out is still open");
        }
    }

    /// Plugs a stick in: the disk of the lab file, or one that has the content of an image, which is not written to.
    async fn plug(
        &self,
        session: Option<&mut Session>,
        stick: &NodeDisk,
        image: Option<MediaImage>,
    ) -> Result<Effect, NodeError> {
        let NodeKind::Qemu(qemu) = &self.plan.kind;
        if image.is_none() && qemu.bmc_stick.as_ref() == Some(stick) {
            return Err(NodeError::NoMedium { node: self.plan.node.clone(), drive: stick.disk.clone() });
        }
        let number = self.media.number();
        let export = match &image {
            Some(MediaImage::Exported(image)) => Some(image.export.clone()),
            Some(MediaImage::File(_)) | None => None,
        };
        let (medium, text) = self.stick(stick, number, image).await?;
        let was_ended = self.media.end_export(&stick.disk);
        let effect = match session {
            Some(session) => {
                let unplugged = self.unplug(session, stick).await;
                let is_gone = was_ended || matches!(unplugged, Ok(true));
                let plugged = match unplugged {
                    Ok(_) => self.plug_in(session, stick, number, &medium).await,
                    Err(error) => Err(error),
                };
                if is_gone && plugged.is_err() {
                    self.events.emit_of(&self.plan.node, self.media.empty(&stick.disk));
                }
                plugged?;
                Effect::Now
            }
            None => Effect::NextStart,
        };
        if let Some(export) = export {
            self.media.hold(&stick.disk, export);
        }
        let event = self.media.set(&stick.disk, medium, Some(text));
        self.events.emit_of(&self.plan.node, event);
        Ok(effect)
    }

    /// Plugs a stick into a running machine.
    async fn plug_in(
        &self,
        session: &mut Session,
        stick: &NodeDisk,
        number: u32,
        medium: &Medium,
    ) -> Result<(), NodeError> {
        let NodeKind::Qemu(qemu) = &self.plan.kind;
        // A block node of its own for each time: QEMU may still hold the name of the last one.
        let drive = format!("stick{number}");
        let nodes = match medium {
            Medium::Exported { overlay: Some(_), .. } => vec![drive.clone(), below(&drive)],
            Medium::Exported { .. } | Medium::File(_) | Medium::Empty => vec![drive.clone()],
        };
        let properties = qemu.stick(&self.plan, stick, &drive, session.started.boot);
        let plugged = match open(&session.qmp, &drive, medium).await {
            Ok(()) => session.qmp.plug(properties).await,
            Err(error) => Err(error),
        };
        if plugged.is_err() {
            for node in &nodes {
                // It may not have been opened.
                session.qmp.close_disk(node).await.ok();
            }
        }
        plugged.map_err(|source| self.failed("plug a stick into", source))?;
        session.sticks.insert(stick.disk.clone(), nodes);
        Ok(())
    }

    /// Makes what a stick needs; returns it, and a text for it.
    async fn stick(
        &self,
        stick: &NodeDisk,
        number: u32,
        image: Option<MediaImage>,
    ) -> Result<(Medium, String), NodeError> {
        let (node, disk) = (&self.plan.node, &stick.disk);
        let overlay = || {
            let overlay = PathBuf::from(format!("{disk}-{number}.qcow2"));
            let path = self.folder.join(&overlay);
            self.media.made(path.clone());
            (overlay, path)
        };
        let failed = |error| NodeError::failed("make a stick for", node, error);
        Ok(match image {
            None => {
                let own = PathBuf::from(format!("{disk}.qcow2"));
                let text = own.display().to_string();
                (Medium::File(own), text)
            }
            Some(MediaImage::File(file)) => {
                let (overlay, path) = overlay();
                disk::overlay(node, disk, &path, &file, &self.spawner).await.map_err(failed)?;
                (Medium::File(overlay), file.display().to_string())
            }
            Some(MediaImage::Exported(image)) => {
                let ExportedImage { socket, size, is_write_protected, label, export: _ } = image;
                let overlay = match is_write_protected {
                    true => None,
                    false => {
                        let (overlay, path) = overlay();
                        disk::over_image(node, disk, &path, size, &self.spawner).await.map_err(failed)?;
                        Some(overlay)
                    }
                };
                (Medium::Exported { socket, overlay }, label)
            }
        })
    }

    /// Unplugs a stick, and releases its files; returns whether it was plugged in.
    #[expect(
        clippy::disallowed_methods,
        reason = "QEMU releases the block node of a device when it has time"
    )]
    async fn unplug(&self, session: &mut Session, stick: &NodeDisk) -> Result<bool, NodeError> {
        let failed = |source| self.failed("unplug a stick from", source);
        let Some(nodes) = session.sticks.remove(&stick.disk) else { return Ok(false) };
        session.qmp.unplug(&disk_id(stick)).await.map_err(failed)?;
        for node in nodes {
            let mut tries = 0..TRIES;
            while let Err(error) = session.qmp.close_disk(&node).await {
                if tries.next().is_none() {
                    return Err(failed(error));
                }
                tokio::time::sleep(TRY).await;
            }
        }
        Ok(true)
    }
}

/// Opens the block nodes of a stick.
async fn open(qmp: &Qmp, drive: &str, medium: &Medium) -> Result<(), QmpError> {
    match medium {
        Medium::Empty => Ok(()),
        Medium::File(file) => qmp.open_disk(drive, &file.to_string_lossy(), None).await,
        Medium::Exported { socket, overlay: None } => qmp.open_export(drive, socket).await,
        Medium::Exported { socket, overlay: Some(overlay) } => {
            let image = below(drive);
            qmp.open_export(&image, socket).await?;
            qmp.open_disk(drive, &overlay.to_string_lossy(), Some(&image)).await
        }
    }
}

async fn readable(file: &Path) -> io::Result<()> {
    match tokio::fs::File::open(file).await?.metadata().await?.is_file() {
        true => Ok(()),
        false => Err(io::Error::other(format!("{} is not a regular file", file.display()))),
    }
}
