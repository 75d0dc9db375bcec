//! Inspects the disk of a machine from outside: through a block export of QEMU while it runs, else through `qemu-nbd`.

use std::io;
use std::path::Path;
use std::time::Duration;

use super::Machine;
use super::nbd::Export;
use super::qmp::{Qmp, QmpError};
use crate::lab::Firmware;
use crate::name::DiskName;
use crate::node::partition_table::{HEAD, SECTOR, layout};
use crate::node::{DiskContents, InspectError};
use crate::system::process::{Child, SpawnSpec, find_program};

/// The socket of an export, in the folder of the machine.
const SOCKET: &str = "inspect.sock";
/// How long a program may take until it listens.
const PATIENCE: Duration = Duration::from_secs(5);

impl Machine {
    /// Inspects the content of a disk; the inner error says why there is no partition table.
    pub async fn inspect(
        &self,
        disk: &DiskName,
        firmware: Firmware,
    ) -> Result<Result<DiskContents, String>, InspectError> {
        let body = &self.body;
        let _one_at_a_time = body.looking.lock().await;
        match body.process().await {
            Ok(qmp) => {
                let shown = show(&qmp, &body.folder, disk, firmware).await;
                // Also after a read error; a refusal means that QEMU has no export.
                qmp.end_exports().await.ok();
                shown
            }
            Err(_) => self.look_at_file(disk, firmware).await,
        }
    }

    /// Inspects the disk of a machine that is off.
    async fn look_at_file(
        &self,
        disk: &DiskName,
        firmware: Firmware,
    ) -> Result<Result<DiskContents, String>, InspectError> {
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
        let found = read(export, firmware).await.map_err(InspectError::Read)?;
        server.wait().await.map_err(InspectError::Read)?;
        Ok(found)
    }
}

async fn show(
    qmp: &Qmp,
    folder: &Path,
    disk: &DiskName,
    firmware: Firmware,
) -> Result<Result<DiskContents, String>, InspectError> {
    let device = format!("disk-{disk}");
    let blocks = qmp.blocks().await.map_err(hidden)?;
    let block = blocks.into_iter().find(|block| block.device == device);
    let block = block.ok_or_else(|| InspectError::NoDisk(disk.clone()))?;
    // Left by an earlier inspection that was cancelled.
    qmp.end_exports().await.ok();
    remove(folder)?;
    qmp.export(SOCKET, &block.node, "inspect").await.map_err(hidden)?;
    let export = Export::open(folder, SOCKET, "inspect").await.map_err(InspectError::Read)?;
    read(export, firmware).await.map_err(InspectError::Read)
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
