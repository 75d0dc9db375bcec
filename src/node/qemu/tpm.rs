//! The TPM of a machine: a process of swtpm that lives as long as a QEMU.
//!
//! It gets its listening socket from us, so QEMU can connect at once. It ends when QEMU closes the connection; its
//! contents, in a folder of the node, are there again at the next start.

use std::io;
use std::path::Path;
use std::time::Duration;

use super::StartError;
use crate::name::NodeName;
use crate::plan::qemu::{TPM, TpmDevice};
use crate::system::folder_socket::bind;
use crate::system::process::{Child, SpawnSpec, Spawner};

/// The number of the socket in the process.
const SOCKET: i32 = 3;

/// How long it may take to end after QEMU.
const GRACE: Duration = Duration::from_secs(2);

/// Its log in the folder of the node.
const LOG: &str = "tpm.log";

/// The process of a TPM; killed when dropped.
pub(super) struct Tpm {
    child: Child,
}

impl Tpm {
    /// Starts the TPM of a machine, before its QEMU.
    pub(super) async fn start(
        device: &TpmDevice,
        node: &NodeName,
        folder: &Path,
        spawner: &Spawner,
    ) -> Result<Self, StartError> {
        let (socket, state) = TPM;
        let prepare = |source| StartError::Prepare { node: node.clone(), what: "its TPM".to_owned(), source };
        match tokio::fs::create_dir(folder.join(state)).await {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(prepare(error)),
            Ok(()) | Err(_) => {}
        }
        let listener = bind(folder, socket).map_err(prepare)?;
        let state = format!("dir={state}");
        let (control, log) = (format!("type=unixio,fd={SOCKET}"), format!("file={LOG}"));
        let args =
            ["socket", "--tpm2", "--terminate", "--ctrl", &control, "--tpmstate", &state, "--log", &log];
        let mut spec = SpawnSpec::new(&device.program).args(args).cwd(folder);
        spec.fds = vec![(SOCKET, listener.into())];
        spec.stderr_log = Some(folder.join(LOG));
        Ok(Self { child: spawner.spawn(spec).await.map_err(StartError::Spawn)? })
    }

    /// Waits until it has ended after its QEMU; then its contents may be used again.
    pub(super) async fn end(mut self) {
        if tokio::time::timeout(GRACE, self.child.wait()).await.is_err() {
            self.child.kill();
            // An error means that it is gone.
            self.child.wait().await.ok();
        }
    }
}

/// Deletes the contents of a TPM.
pub(super) fn forget(folder: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(folder.join(TPM.1)) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
