//! The SSH key of a run, and the options for logging in to its nodes.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use ssh_key::rand_core::OsRng;
use ssh_key::{Algorithm, LineEnding, PrivateKey};

use crate::hint::Hint;
use crate::lab::{Check, ProbedCheck};
use crate::plan::{Plan, SSH_KEY, Step};

/// The key pair of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyPair {
    /// The private key's file.
    pub private: PathBuf,
    /// The public key, as a line of `authorized_keys` without newline.
    pub public: String,
}

/// Why a run has no key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// It cannot be generated.
    #[error("cannot make the run's ssh key")]
    Make(#[source] ssh_key::Error),
    /// It cannot be written, or its folder not be created.
    #[error("cannot keep the run's ssh key")]
    Files(#[source] io::Error),
}

impl Hint for KeyError {}

/// Returns the folder of a run's key and of its nodes' host keys.
fn folder(run_dir: &Path) -> PathBuf {
    run_dir.join("ssh")
}

/// Returns the path of a run's private key, if it has one.
pub fn private_key(run_dir: &Path) -> PathBuf {
    folder(run_dir).join("id_ed25519")
}

/// Returns the path of the host keys of a run's nodes.
pub fn known_hosts(run_dir: &Path) -> PathBuf {
    folder(run_dir).join("known_hosts")
}

/// Tells whether a plan needs a key: a node gets it, or an expectation logs in with it.
pub(super) fn is_needed(plan: &Plan) -> bool {
    let logs_in = |check: &Check| matches!(check, Check::Probed(ProbedCheck::Ssh { key: None, .. }));
    let handed = |step: &Step| match step {
        Step::Seed(seed) => seed.files.values().any(|text| text.contains(SSH_KEY)),
        Step::Serve(service) => service.texts.values().any(|text| text.body.contains(SSH_KEY)),
        _ => false,
    };
    plan.steps.iter().any(handed) || plan.expectations.values().any(|expectation| logs_in(&expectation.check))
}

/// Creates the key pair of a run.
pub(super) fn make_key(run_dir: &Path, lab: &str) -> Result<KeyPair, KeyError> {
    std::fs::create_dir_all(folder(run_dir)).map_err(KeyError::Files)?;
    let path = private_key(run_dir);
    let mut key = PrivateKey::random(&mut OsRng, Algorithm::Ed25519).map_err(KeyError::Make)?;
    key.set_comment(format!("dryrack-{lab}"));
    let public = key.public_key().to_openssh().map_err(KeyError::Make)?;
    let private = key.to_openssh(LineEnding::LF).map_err(KeyError::Make)?;
    // `ssh` rejects a private key that others can read.
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    file.and_then(|mut file| file.write_all(private.as_bytes())).map_err(KeyError::Files)?;
    std::fs::write(path.with_extension("pub"), format!("{public}\n")).map_err(KeyError::Files)?;
    Ok(KeyPair { private: path, public })
}

/// Options of `ssh` for a node of a run, as `KEY VALUE` lines of ssh_config(5).
///
/// The lab's network has no other hosts, and a reinstalled node has a new key.
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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_run_has_a_key_pair_as_openssh_reads_it() {
        let run_dir = tempfile::tempdir().unwrap();
        let KeyPair { private, public } = make_key(run_dir.path(), "etcd").unwrap();
        assert_eq!(std::fs::metadata(&private).unwrap().permissions().mode() & 0o777, 0o600);
        let line = std::fs::read_to_string(private.with_extension("pub")).unwrap();
        assert_eq!(line, format!("{public}\n"));
        assert!(public.starts_with("ssh-ed25519 ") && public.ends_with(" dryrack-etcd"), "{public}");
        let text = std::fs::read_to_string(&private).unwrap();
        assert!(text.starts_with("-----BEGIN OPENSSH PRIVATE KEY-----\n"));
        let read = PrivateKey::from_openssh(&text).unwrap();
        assert_eq!(read.public_key().to_openssh().unwrap(), public);
        assert!(make_key(run_dir.path(), "etcd").is_err(), "a key is never overwritten");
    }
}
