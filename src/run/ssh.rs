//! The run's own ssh key, and how nodes are logged in to with it.

use std::ffi::OsString;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use crate::lab::Check;
use crate::plan::{Plan, SSH_KEY, Step};
use crate::system::process::{SpawnError, SpawnSpec, Spawner, find_program};

/// The key pair of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPair {
    /// The private key's file.
    pub private: PathBuf,
    /// The public key, as a line of `authorized_keys` without line end.
    pub public: String,
}

/// Why a run has no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// There is no `ssh-keygen`.
    #[error("the lab needs an ssh key of its own, and this host has no `ssh-keygen`")]
    NoProgram,
    /// It could not be started.
    #[error(transparent)]
    Spawn(SpawnError),
    /// It failed.
    #[error("cannot make the run's ssh key: {words}")]
    Refused {
        /// What it said.
        words: String,
    },
    /// The key could not be read or its folder not be made.
    #[error("cannot keep the run's ssh key")]
    Files(#[source] io::Error),
}

impl KeyError {
    /// Returns what would help, where that is known.
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::NoProgram => Some(
                "install it (Debian, Ubuntu: `openssh-client`; Fedora: `openssh`; Arch, Alpine: `openssh`; openSUSE: `openssh-clients`)",
            ),
            Self::Spawn(error) => error.hint(),
            Self::Refused { .. } | Self::Files(_) => None,
        }
    }
}

/// Returns the folder of a run's key and of the host keys that its nodes showed.
fn folder(run_dir: &Path) -> PathBuf {
    run_dir.join("ssh")
}

/// Returns where a run keeps its private key, if it has one.
pub fn private_key(run_dir: &Path) -> PathBuf {
    folder(run_dir).join("id_ed25519")
}

/// Returns where a run keeps the host keys of its nodes.
pub fn known_hosts(run_dir: &Path) -> PathBuf {
    folder(run_dir).join("known_hosts")
}

/// Tells whether a plan has any use for a key: something is handed it, or logs in with it.
pub(super) fn is_needed(plan: &Plan) -> bool {
    let logs_in = |check: &Check| matches!(check, Check::Ssh { key: None, .. });
    let handed = |step: &Step| match step {
        Step::Seed(seed) => seed.files.values().any(|text| text.contains(SSH_KEY)),
        Step::Serve(service) => service.texts.values().any(|text| text.body.contains(SSH_KEY)),
        _ => false,
    };
    plan.steps.iter().any(handed) || plan.expectations.values().any(|expectation| logs_in(&expectation.check))
}

/// Makes the key pair of a run.
pub(super) async fn make_key(run_dir: &Path, lab: &str, spawner: &Spawner) -> Result<KeyPair, KeyError> {
    let program = find_program("ssh-keygen").ok_or(KeyError::NoProgram)?;
    std::fs::create_dir_all(folder(run_dir)).map_err(KeyError::Files)?;
    let private = private_key(run_dir);
    let comment = format!("dryrack-{lab}");
    let mut args: Vec<OsString> =
        ["-q", "-t", "ed25519", "-N", "", "-C", &comment, "-f"].map(Into::into).into();
    args.push(private.clone().into());
    let mut child = spawner.spawn(SpawnSpec::new(program).args(args)).await.map_err(KeyError::Spawn)?;
    let status = child.wait().await.map_err(KeyError::Files)?;
    if !status.success() {
        return Err(KeyError::Refused { words: child.stderr().lines().join("; ") });
    }
    let public = std::fs::read_to_string(private.with_extension("pub")).map_err(KeyError::Files)?;
    Ok(KeyPair { private, public: public.trim_end().to_owned() })
}

/// Options of `ssh` for a node of a run, as `KEY VALUE` lines of ssh_config(5).
///
/// Nobody else is on the lab's network, and a node that was installed anew has a new key.
pub fn options(run_dir: &Path, node: &str, address: IpAddr) -> Vec<(&'static str, String)> {
    let quoted = |path: PathBuf| format!("\"{}\"", path.display());
    let mut options = vec![
        ("HostName", address.to_string()),
        ("HostKeyAlias", node.to_owned()),
        ("UserKnownHostsFile", quoted(known_hosts(run_dir))),
        ("GlobalKnownHostsFile", "/dev/null".to_owned()),
        ("StrictHostKeyChecking", "no".to_owned()),
        ("LogLevel", "ERROR".to_owned()),
    ];
    let key = private_key(run_dir);
    if key.is_file() {
        options.push(("IdentityFile", quoted(key)));
        options.push(("IdentitiesOnly", "yes".to_owned()));
    }
    options
}
