//! The SSH key of a run, and the options for logging in to its nodes.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use ssh_key::rand_core::OsRng;
use ssh_key::{Algorithm, LineEnding, PrivateKey};

use crate::hint::Hint;
use crate::lab::{Check, ProbedCheck, Secret};
use crate::name::{ExpectName, NodeName};
use crate::plan::{Plan, SSH_KEY, Step};

/// Options with which `ssh` notices within seconds that a node is gone, or restarts.
pub(super) const KEEP_ALIVE: [(&str, &str); 3] =
    [("ConnectTimeout", "10"), ("ServerAliveInterval", "3"), ("ServerAliveCountMax", "3")];

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

/// Returns the keys other than that of the run with which expectations log in to a node, those for a user first.
pub fn expected_keys<'a>(
    plan: &'a Plan,
    node: &NodeName,
    user: Option<&str>,
) -> Vec<(&'a ExpectName, &'a Secret)> {
    let logins = plan.expectations.values().filter(|expectation| expectation.nodes.contains(node));
    let mut keys: Vec<_> = logins
        .filter_map(|expectation| match &expectation.check {
            Check::Probed(ProbedCheck::Ssh { user, key: Some(key), .. }) => {
                Some((&expectation.name, user.as_str(), key))
            }
            _ => None,
        })
        .collect();
    keys.sort_by_key(|(_, of, _)| Some(*of) != user);
    let mut distinct: Vec<(&ExpectName, &Secret)> = Vec::new();
    for (name, _, key) in keys {
        if !distinct.iter().any(|(_, known)| *known == key) {
            distinct.push((name, key));
        }
    }
    distinct
}

/// A private key in a file that `ssh` accepts. A file created here is deleted on drop.
#[derive(Debug)]
pub struct KeyFile {
    path: PathBuf,
    ours: bool,
}

impl KeyFile {
    /// Finds the file of a secret, or creates one at `copy` that only its owner can read, as `ssh` requires.
    #[expect(clippy::disallowed_methods, reason = "a secret is fetched where it is used, and kept nowhere")]
    pub fn of(secret: &Secret, copy: PathBuf) -> Result<Self, String> {
        if let Secret::File(path) = secret
            && std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 == 0)
        {
            return Ok(Self { path: path.clone(), ours: false });
        }
        let key = secret.fetch(|name| std::env::var_os(name), |path| std::fs::read(path));
        let key = key.map_err(|error| format!("there is no key: {error}"))?;
        // A lab in which every node has its own key has no folder for the key of the run.
        if let Some(folder) = copy.parent() {
            std::fs::create_dir_all(folder)
                .map_err(|error| format!("cannot hand the key to ssh: {error}"))?;
        }
        // A cancelled attempt may have left the previous one.
        drop(std::fs::remove_file(&copy));
        let file = std::fs::File::options().create_new(true).write(true).mode(0o600).open(&copy);
        let written = file.and_then(|mut file| {
            file.write_all(key.expose())?;
            // Without the final newline, ssh reports "invalid format".
            if key.expose().ends_with(b"\n") { Ok(()) } else { file.write_all(b"\n") }
        });
        let kept = Self { path: copy, ours: true };
        written.map_err(|error| format!("cannot hand the key to ssh: {error}"))?;
        Ok(kept)
    }

    /// Uses a file that is owned elsewhere.
    pub fn kept(path: PathBuf) -> Self {
        Self { path, ours: false }
    }

    /// Returns its path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        if self.ours {
            // Otherwise it is removed with the run folder.
            drop(std::fs::remove_file(&self.path));
        }
    }
}

/// Options of `ssh` for a node of a run, as `KEY VALUE` lines of ssh_config(5).
///
/// The given keys are offered before that of the run. The lab's network has no other hosts, and a reinstalled node has
/// a new key.
pub fn options(run_dir: &Path, node: &str, address: IpAddr, keys: &[&Path]) -> Vec<(&'static str, String)> {
    // ssh expands `%` in names of files.
    let quoted = |path: &Path| format!("\"{}\"", path.display().to_string().replace('%', "%%"));
    let mut options = vec![
        ("HostName", address.to_string()),
        ("HostKeyAlias", node.to_owned()),
        ("UserKnownHostsFile", quoted(&known_hosts(run_dir))),
        ("GlobalKnownHostsFile", "/dev/null".to_owned()),
        ("StrictHostKeyChecking", "no".to_owned()),
        ("LogLevel", "ERROR".to_owned()),
    ];
    options.extend(KEEP_ALIVE.map(|(option, value)| (option, value.to_owned())));
    let of_run = private_key(run_dir);
    let of_run = of_run.is_file().then_some(of_run.as_path());
    let before = options.len();
    options.extend(keys.iter().copied().chain(of_run).map(|key| ("IdentityFile", quoted(key))));
    if options.len() > before {
        options.push(("IdentitiesOnly", "yes".to_owned()));
    }
    options
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::{facts, lab};

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

    #[test]
    fn the_keys_of_expectations_are_offered_those_of_the_user_first() {
        let text = r#"
            dryrack = 1
            network.lan.address = "10.0.2.1/24"
            node.a.disk.root = { size = "4GiB", source = "image:debian/disk" }
            node.b.disk.root = { size = "4GiB", source = "image:debian/disk" }
            [expect.admin]
            nodes = ["a"]
            that.ssh = { user = "admin", key = { env = "ADMIN_KEY" } }
            [expect.own]
            nodes = ["a"]
            that.ssh = { user = "core" }
            [expect.root]
            nodes = ["a"]
            that.ssh = { user = "root", key = { file = "files/root" } }
            [expect.root-again]
            nodes = ["a"]
            that.ssh = { user = "root", run = "true", key = { file = "files/root" } }
            [expect.other]
            nodes = ["b"]
            that.ssh = { user = "root", key = { file = "files/b" } }
        "#;
        let plan = crate::plan::plan(&lab(text), &facts()).unwrap();
        let node = NodeName::new("a").unwrap();
        let names = |user| -> Vec<String> {
            expected_keys(&plan, &node, user).iter().map(|(name, _)| name.to_string()).collect()
        };
        assert_eq!(names(None), ["admin", "root"]);
        assert_eq!(names(Some("root")), ["root", "admin"]);
    }

    #[test]
    fn a_node_that_is_gone_is_noticed_and_keys_are_offered_in_order() {
        let run_dir = tempfile::tempdir().unwrap();
        let of = |keys: &[&Path]| -> String {
            let options = options(run_dir.path(), "a", "10.0.2.10".parse().unwrap(), keys);
            let here = run_dir.path().display().to_string();
            options.iter().map(|(key, value)| format!("{key} {}\n", value.replace(&here, "RUN"))).collect()
        };
        insta::assert_snapshot!(of(&[]));
        make_key(run_dir.path(), "etcd").unwrap();
        insta::assert_snapshot!(of(&[Path::new("/keys/100% mine")]));
    }

    #[test]
    fn a_secret_becomes_a_file_that_ssh_accepts() {
        let folder = tempfile::tempdir().unwrap();
        let (open, copy) = (folder.path().join("key"), folder.path().join("ssh/copy"));
        std::fs::write(&open, "secret").unwrap();
        let secret = Secret::File(open.clone());
        let file = KeyFile::of(&secret, copy.clone()).unwrap();
        assert_eq!(file.path(), copy);
        assert_eq!(std::fs::read_to_string(&copy).unwrap(), "secret\n");
        assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
        drop(file);
        assert!(!copy.exists());
        std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o600)).unwrap();
        let file = KeyFile::of(&secret, copy.clone()).unwrap();
        assert_eq!(file.path(), open);
        drop(file);
        assert!(open.exists() && !copy.exists());
    }
}
