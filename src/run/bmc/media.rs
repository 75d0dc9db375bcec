//! The virtual media of a BMC: images on servers, which its machine sees as a CD or a USB stick.
//!
//! ```text
//! server ◀── HTTP, from the network of the BMC ── remote image ── NBD, a socket in the folder of the node ──▶ machine
//! ```

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::client::{BmcClient, FetchError};
use super::remote_image::RemoteImage;
use crate::bmc::media::{Image, Slot};
use crate::bmc::redfish::Outcome;
use crate::event::{Emitter, Known, Service, Source};
use crate::hint::{Hint, chain};
use crate::name::{DiskName, NodeName};
use crate::node::{Effect, Export, ExportedImage, MediaCommand, MediaImage, NodeCommand, NodeError};
use crate::plan::qemu::CD;
use crate::plan::{NodeKind, NodePlan};
use crate::run::command::RunCommand;
use crate::serve::nbd::{DiskSource, serve_nbd};
use crate::system::folder_socket::listen;

/// The virtual media of a BMC.
pub(in crate::run) struct VirtualMedia {
    node: NodeName,
    /// The folder of the node, in which its machine finds sockets.
    folder: PathBuf,
    cd: DiskName,
    /// Whether the lab file has no other drive for media.
    is_only: bool,
    usb: Option<DiskName>,
    client: BmcClient,
    commands: mpsc::Sender<RunCommand>,
    events: Emitter,
    /// How many images were exported.
    count: AtomicU32,
}

/// An image that is exported, as long as this is not dropped.
struct Exported {
    socket: PathBuf,
    // Holds the task that serves it.
    _server: JoinSet<()>,
}

impl Drop for Exported {
    fn drop(&mut self) {
        // What stays is in the run folder, and is removed with it.
        std::fs::remove_file(&self.socket).ok();
    }
}

/// Why an image was not inserted or ejected.
#[derive(Debug, thiserror::Error)]
pub(in crate::run) enum MediaError {
    /// It cannot be fetched.
    #[error("cannot fetch {url}")]
    Fetch {
        /// Where it is.
        url: String,
        /// Why.
        #[source]
        source: FetchError,
    },
    /// There is no such slot.
    #[error("the BMC of `{0}` has no slot for a USB stick")]
    NoSlot(NodeName),
    /// There is no socket for it.
    #[error("cannot listen in {}", folder.display())]
    Listen {
        /// The folder.
        folder: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The machine does not take it.
    #[error(transparent)]
    Node(NodeError),
    /// The run ends.
    #[error("the lab is being taken down")]
    Ending,
}

impl Hint for MediaError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Fetch { source, .. } => source.hint(),
            Self::Node(error) => error.hint(),
            Self::NoSlot(_) | Self::Listen { .. } | Self::Ending => None,
        }
    }
}

impl VirtualMedia {
    /// Returns those of a node. `folder` is the one of the node in the run folder.
    pub(super) fn new(
        plan: &NodePlan,
        folder: PathBuf,
        client: BmcClient,
        commands: mpsc::Sender<RunCommand>,
        events: Emitter,
    ) -> Self {
        let NodeKind::Qemu(qemu) = &plan.kind;
        let cd = plan.cds.first().cloned();
        Self {
            node: plan.node.clone(),
            folder,
            cd: cd.unwrap_or_else(|| DiskName::new(CD).expect("`cd` is a DNS label")),
            is_only: plan.cds.len() < 2 && !plan.disks.iter().any(|disk| plan.is_stick(&disk.disk)),
            usb: qemu.bmc_stick.as_ref().map(|stick| stick.disk.clone()),
            client,
            commands,
            events,
            count: AtomicU32::new(0),
        }
    }

    /// Returns the HTTP client of the BMC.
    pub(in crate::run) fn client(&self) -> &BmcClient {
        &self.client
    }

    /// Returns the drive of a slot.
    pub(in crate::run) fn drive(&self, slot: Slot) -> Option<&DiskName> {
        match slot {
            Slot::Cd => Some(&self.cd),
            Slot::Usb => self.usb.as_ref(),
        }
    }

    fn no_slot(&self) -> MediaError {
        MediaError::NoSlot(self.node.clone())
    }

    /// Returns the slot of a drive, or of the only drive of the node; `None` if it is not one of the BMC.
    pub(in crate::run) fn slot(&self, drive: Option<&DiskName>) -> Option<Slot> {
        let Some(drive) = drive else { return self.is_only.then_some(Slot::Cd) };
        Slot::ALL.into_iter().find(|slot| self.drive(*slot) == Some(drive))
    }

    /// Returns the slots by their drives.
    pub(super) fn slots(&self) -> BTreeMap<DiskName, Slot> {
        let drive = |slot| Some((self.drive(slot)?.clone(), slot));
        Slot::ALL.into_iter().filter_map(drive).collect()
    }

    /// Returns the names of its drives.
    pub(in crate::run) fn drives(&self) -> String {
        let drives = [Some(&self.cd), self.usb.as_ref()];
        drives.into_iter().flatten().map(DiskName::as_str).collect::<Vec<_>>().join(" and ")
    }

    /// Looks whether an image is there, and whether parts of it can be fetched.
    pub(in crate::run) async fn check(&self, image: &Image) -> Outcome {
        self.client.check(image).await
    }

    /// Inserts an image into a slot, replacing one that is there. Returns once the machine has it.
    pub(in crate::run) async fn insert(
        &self,
        slot: Slot,
        image: Image,
        by: Source,
    ) -> Result<Effect, MediaError> {
        let image = self.fetch(slot, image).await?;
        self.show(slot, image, by).await
    }

    /// Serves an image that is to be in a slot, once its server has sent the first bytes. Nothing is left of it if this
    /// is dropped.
    pub(super) async fn fetch(&self, slot: Slot, image: Image) -> Result<ExportedImage, MediaError> {
        self.drive(slot).ok_or_else(|| self.no_slot())?;
        self.export(slot, image).await
    }

    /// Puts an image that is served into a slot.
    pub(super) async fn show(
        &self,
        slot: Slot,
        image: ExportedImage,
        by: Source,
    ) -> Result<Effect, MediaError> {
        let drive = self.drive(slot).cloned().ok_or_else(|| self.no_slot())?;
        let image = Some(MediaImage::Exported(image));
        self.command(MediaCommand::Insert { drive: Some(drive), image }, by).await
    }

    /// Ejects what is in a slot, whether or not its server still answers.
    pub(in crate::run) async fn eject(&self, slot: Slot, by: Source) -> Result<Effect, MediaError> {
        let drive = self.drive(slot).cloned().ok_or_else(|| self.no_slot())?;
        self.command(MediaCommand::Eject { drive: Some(drive) }, by).await
    }

    /// Serves an image at a socket of its own.
    async fn export(&self, slot: Slot, image: Image) -> Result<ExportedImage, MediaError> {
        let url = image.url.clone();
        let is_write_protected = slot == Slot::Cd || image.is_write_protected;
        let (node, events) = (self.node.clone(), self.events.clone());
        let failed =
            move |error: String| events.emit_of(&node, Known::ServiceFailed { service: Service::Bmc, error });
        let failed = Arc::new(failed);
        let report = Arc::clone(&failed);
        let report = Box::new(move |error| report(error));
        let remote = RemoteImage::open(self.client.clone(), image, &self.folder, report).await;
        let remote = remote.map_err(|source| MediaError::Fetch { url: url.clone(), source })?;
        let size = remote.size();
        let socket = format!("media-{}.sock", self.count.fetch_add(1, Ordering::Relaxed));
        let listener = listen(&self.folder, &socket)
            .map_err(|source| MediaError::Listen { folder: self.folder.clone(), source })?;
        let mut server = JoinSet::new();
        let name = label(&url).to_owned();
        server.spawn(async move {
            let error = serve_nbd(listener, name, Arc::new(remote)).await;
            failed(format!("an image is not exported any more: {}", chain(&error)));
        });
        let export = Export::new(Exported { socket: self.folder.join(&socket), _server: server });
        Ok(ExportedImage { socket, export, size, is_write_protected, label: url })
    }

    async fn command(&self, media: MediaCommand, by: Source) -> Result<Effect, MediaError> {
        let (reply, answer) = oneshot::channel();
        let command = NodeCommand::Media(media);
        let command = RunCommand::Node { node: self.node.clone(), command, by, reply };
        self.commands.send(command).await.map_err(|_| MediaError::Ending)?;
        answer.await.map_err(|_| MediaError::Ending)?.map_err(MediaError::Node)
    }
}

/// Returns the name of the file of a URL.
fn label(url: &str) -> &str {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    Path::new(path).file_name().and_then(|name| name.to_str()).unwrap_or("image")
}
