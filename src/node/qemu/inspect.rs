//! Inspects the disk of a machine from outside: through a block export of QEMU while it runs, else through `qemu-nbd`.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::runtime::Handle;

use super::Machine;
use super::nbd::Export;
use super::qmp::{Qmp, QmpError};
use crate::lab::Firmware;
use crate::name::DiskName;
use crate::node::file_system::{self, FileSought, ReadAt};
use crate::node::partition_table::{HEAD, SECTOR, layout};
use crate::node::{DiskContents, InspectError};
use crate::system::process::{Child, SpawnSpec, find_program};

/// The socket of an export, in the folder of the machine.
const SOCKET: &str = "inspect.sock";
/// The most that is read by one request; QEMU refuses more than 32 MiB.
const LARGEST: usize = 1 << 20;
/// How long a program may take until it listens.
const PATIENCE: Duration = Duration::from_secs(5);

impl Machine {
    /// Inspects the content of a disk; the inner error says why there is no partition table.
    pub async fn inspect(
        &self,
        disk: &DiskName,
        firmware: Firmware,
    ) -> Result<Result<DiskContents, String>, InspectError> {
        let _one_at_a_time = self.body.looking.lock().await;
        let (export, shown) = self.show(disk).await?;
        let found = read(export, firmware).await;
        shown.hide(found).await
    }

    /// Looks for a file on a disk.
    pub async fn find_file(&self, disk: &DiskName, path: PathBuf) -> Result<FileSought, InspectError> {
        let _one_at_a_time = self.body.looking.lock().await;
        let (export, shown) = self.show(disk).await?;
        let runtime = Handle::current();
        let sought =
            tokio::task::spawn_blocking(move || file_system::find(Blocking { export, runtime }, &path));
        shown.hide(sought.await.map_err(io::Error::other).flatten()).await
    }

    /// Shows a disk: QEMU does while it runs.
    async fn show(&self, disk: &DiskName) -> Result<(Export, ShownBy), InspectError> {
        let body = &self.body;
        match body.process().await {
            Ok(qmp) => match export(&qmp, &body.folder, disk).await {
                Ok(export) => Ok((export, ShownBy::Qemu(qmp))),
                Err(error) => {
                    // A refusal means that QEMU has no export.
                    qmp.end_exports().await.ok();
                    Err(error)
                }
            },
            Err(_) => self.show_file(disk).await,
        }
    }

    /// Shows the disk of a machine that is off.
    async fn show_file(&self, disk: &DiskName) -> Result<(Export, ShownBy), InspectError> {
        let body = &self.body;
        let program = find_program("qemu-nbd").ok_or(InspectError::NoProgram)?;
        remove(&body.folder)?;
        let spec = SpawnSpec::new(program)
            .args(["--read-only", "--format=qcow2", "--socket", SOCKET, "--export-name", "inspect"])
            .args([format!("{disk}.qcow2")])
            .cwd(&body.folder);
        // Dropped, and thereby killed, on any error.
        let mut server = body.spawner.spawn(spec).await.map_err(InspectError::Spawn)?;
        let export = connect(&body.folder, &mut server).await.map_err(InspectError::Read)?;
        Ok((export, ShownBy::Program(server)))
    }
}

/// Who shows a disk.
enum ShownBy {
    /// The QEMU of the machine.
    Qemu(Qmp),
    /// A program, which ends after its only client.
    Program(Child),
}

impl ShownBy {
    /// Ends it after a disk was read.
    async fn hide<T>(self, found: io::Result<T>) -> Result<T, InspectError> {
        match self {
            // A refusal means that QEMU has no export.
            Self::Qemu(qmp) => drop(qmp.end_exports().await),
            Self::Program(mut server) if found.is_ok() => {
                server.wait().await.map_err(InspectError::Read)?;
            }
            Self::Program(_) => {}
        }
        found.map_err(InspectError::Read)
    }
}

/// An export that is read by a thread that may wait.
struct Blocking {
    export: Export,
    runtime: Handle,
}

impl ReadAt for Blocking {
    fn size(&self) -> u64 {
        self.export.size()
    }

    fn read_at(&mut self, place: u64, into: &mut [u8]) -> io::Result<()> {
        let mut place = place;
        for piece in into.chunks_mut(LARGEST) {
            let length = u32::try_from(piece.len()).map_err(io::Error::other)?;
            piece.copy_from_slice(&self.runtime.block_on(self.export.read(place, length))?);
            place += u64::from(length);
        }
        Ok(())
    }
}

async fn export(qmp: &Qmp, folder: &Path, disk: &DiskName) -> Result<Export, InspectError> {
    let device = format!("disk-{disk}");
    let blocks = qmp.blocks().await.map_err(hidden)?;
    let block = blocks.into_iter().find(|block| block.device == device);
    let block = block.ok_or_else(|| InspectError::NoDisk(disk.clone()))?;
    // Left by an earlier inspection that was cancelled.
    qmp.end_exports().await.ok();
    remove(folder)?;
    qmp.export(SOCKET, &block.node, "inspect").await.map_err(hidden)?;
    Export::open(folder, SOCKET, "inspect").await.map_err(InspectError::Read)
}

fn hidden(error: QmpError) -> InspectError {
    InspectError::Hidden(Box::new(error))
}

fn remove(folder: &Path) -> Result<(), InspectError> {
    match std::fs::remove_file(folder.join(SOCKET)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(InspectError::Read(error)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Connects to a program that was just started.
#[expect(clippy::disallowed_methods, reason = "a program says by its socket alone that it is ready")]
async fn connect(folder: &Path, server: &mut Child) -> io::Result<Export> {
    let tried = tokio::time::timeout(PATIENCE, async {
        loop {
            match Export::open(folder, SOCKET, "inspect").await {
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
                }
                opened => return opened,
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    let ended = std::pin::pin!(server.wait());
    match futures_util::future::select(std::pin::pin!(tried), ended).await {
        futures_util::future::Either::Left((opened, _)) => {
            opened.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
        }
        futures_util::future::Either::Right((status, _)) => {
            let status = status?;
            Err(io::Error::other(format!("qemu-nbd ended with {status}")))
        }
    }
}

async fn read(mut export: Export, firmware: Firmware) -> io::Result<Result<DiskContents, String>> {
    let size = export.size();
    let length = u32::try_from(size).map_or(HEAD, |size| size.min(HEAD));
    let head = export.read(0, length).await?;
    let found = match layout(&head, size) {
        Ok(layout) => {
            let first = match layout.starts_from(firmware) {
                // A partition beyond the end of a disk cannot be read, and counts as empty.
                Some(partition) if partition.first.saturating_add(1).saturating_mul(SECTOR) <= size => {
                    Some(export.read(partition.first * SECTOR, 512).await?)
                }
                Some(_) => Some(vec![0; 512]),
                None => None,
            };
            let bootable = layout.bootable(firmware, first.as_deref());
            Ok(DiskContents { layout, bootable })
        }
        Err(why) => Err(why),
    };
    export.close().await?;
    Ok(found)
}
