//! The SSH key of a run, and the options for logging in to its nodes.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::net::IpAddr;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use ssh_key::rand_core::OsRng;
use ssh_key::{Algorithm, LineEnding, PrivateKey};

use super::lab_lock::is_current;
use crate::hint::Hint;
use crate::lab::{Check, Secret};
use crate::name::{ExpectName, NodeName};
use crate::plan::{Plan, SSH_KEY, Step};

/// Options with which `ssh` notices within seconds that a node is gone, or restarts.
const KEEP_ALIVE: [(&str, &str); 3] =
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
pub(super) fn private_key(run_dir: &Path) -> PathBuf {
    folder(run_dir).join("id_ed25519")
}

/// Returns the path of the host keys of a run's nodes.
fn known_hosts(run_dir: &Path) -> PathBuf {
    folder(run_dir).join("known_hosts")
}

/// Tells whether a plan needs a key: a node gets it, or an expectation logs in with it.
pub(super) fn is_needed(plan: &Plan) -> bool {
    let logs_in = |check: &Check| match check {
        Check::Probed(check) => check.login().is_some_and(|login| login.key.is_none()),
        Check::Observed(_) => false,
    };
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
            Check::Probed(check) => {
                let login = check.login()?;
                Some((&expectation.name, login.user, login.key?))
            }
            Check::Observed(_) => None,
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
    // While a copy is locked, it is in use.
    copy: Option<File>,
}

impl KeyFile {
    /// Finds the file of a secret, or creates one in the runtime folder that only its owner can read, as `ssh`
    /// requires.
    #[expect(clippy::disallowed_methods, reason = "a secret is fetched where it is used, and kept nowhere")]
    pub fn of(secret: &Secret, runtime: &Path) -> Result<Self, String> {
        if let Secret::File(path) = secret
            && std::fs::metadata(path).is_ok_and(|metadata| metadata.permissions().mode() & 0o077 == 0)
        {
            return Ok(Self::kept(path.clone()));
        }
        let key = secret.fetch(|name| std::env::var_os(name), |path| std::fs::read(path));
        let key = key.map_err(|error| format!("there is no key: {error}"))?;
        Self::create(runtime, key.expose()).map_err(|error| format!("cannot hand the key to ssh: {error}"))
    }

    /// Creates a copy of a key.
    fn create(runtime: &Path, key: &[u8]) -> io::Result<Self> {
        let mut number = 0_u64;
        loop {
            let path = runtime.join(format!("{number}.key"));
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => number += 1,
                file => {
                    let mut file = file?;
                    file.lock()?;
                    // Before it was locked, another command may have taken it for a copy that nobody needs.
                    if is_current(&file, &path) {
                        let written = file.write_all(key).and_then(|()| {
                            // Without the final newline, ssh reports "invalid format".
                            if key.ends_with(b"\n") { Ok(()) } else { file.write_all(b"\n") }
                        });
                        let copy = Self { path, copy: Some(file) };
                        return written.map(|()| copy);
                    }
                }
            }
        }
    }

    /// Uses a file that is owned elsewhere.
    pub fn kept(path: PathBuf) -> Self {
        Self { path, copy: None }
    }

    /// Returns its path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for KeyFile {
    fn drop(&mut self) {
        if self.copy.is_some() {
            // What stays is removed with the files of labs that are down.
            std::fs::remove_file(&self.path).ok();
        }
    }
}

/// Options of `ssh`, as keys and values of ssh_config(5).
pub(super) type Options = Vec<(&'static str, String)>;

/// Returns the options for users who log in to a node.
///
/// The given keys are offered before that of the run.
pub fn options(run_dir: &Path, node: &str, address: IpAddr, keys: &[&Path]) -> Options {
    let of_run = private_key(run_dir);
    let of_run = of_run.is_file().then_some(of_run.as_path());
    let keys: Vec<&Path> = keys.iter().copied().chain(of_run).collect();
    let mut options = to_node(run_dir, node, address);
    options.extend(identities(&keys));
    options
}

/// Returns the options for a check that logs in to a node: only with the given key, and without questions.
///
/// `from` is the first process of the host from which the node is reached.
pub(super) fn check_options(
    run_dir: &Path,
    node: &str,
    address: IpAddr,
    from: Option<i32>,
    key: &Path,
) -> Options {
    let mut options = to_node(run_dir, node, address);
    options.extend(from.map(|host| {
        // ssh starts it by a shell, of which `/proc/self` would tell.
        let ourselves = format!("/proc/{}/exe", std::process::id());
        ("ProxyCommand", format!("{ourselves} @pipe %h:%p {host}"))
    }));
    options.extend(identities(&[key]));
    // The user's agent and keys must not influence the result.
    let alone = [("BatchMode", "yes"), ("IdentityAgent", "none"), ("PreferredAuthentications", "publickey")];
    options.extend(alone.map(|(option, value)| (option, value.to_owned())));
    options
}

/// The lab's network has no other hosts, and a reinstalled node has a new key.
fn to_node(run_dir: &Path, node: &str, address: IpAddr) -> Options {
    let mut options = vec![
        ("HostName", address.to_string()),
        ("HostKeyAlias", node.to_owned()),
        ("UserKnownHostsFile", quoted(&known_hosts(run_dir))),
        ("GlobalKnownHostsFile", "/dev/null".to_owned()),
        ("StrictHostKeyChecking", "no".to_owned()),
        ("LogLevel", "ERROR".to_owned()),
    ];
    options.extend(KEEP_ALIVE.map(|(option, value)| (option, value.to_owned())));
    options
}

fn identities(keys: &[&Path]) -> Options {
    let mut options: Options = keys.iter().map(|key| ("IdentityFile", quoted(key))).collect();
    if !options.is_empty() {
        options.push(("IdentitiesOnly", "yes".to_owned()));
    }
    options
}

/// Quotes the name of a file, in which ssh expands `%` and splits at spaces.
fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('%', "%%"))
}

#[cfg(test)]
mod tests {
    use super::super::Locations;
    use super::super::lab_lock::forget_ended;
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
    fn a_check_logs_in_with_its_key_alone() {
        let run_dir = tempfile::tempdir().unwrap();
        make_key(run_dir.path(), "etcd").unwrap();
        let key = Path::new("/keys/100% mine");
        let options = check_options(run_dir.path(), "a", "10.0.2.10".parse().unwrap(), None, key);
        let of_user = super::options(run_dir.path(), "a", "10.0.2.10".parse().unwrap(), &[key]);
        let further: Vec<_> = options.iter().filter(|option| !of_user.contains(option)).collect();
        insta::assert_compact_debug_snapshot!(further);
        let keys: Vec<_> = options.iter().filter(|(option, _)| *option == "IdentityFile").collect();
        assert_eq!(keys, [&("IdentityFile", "\"/keys/100%% mine\"".to_owned())]);
        // Whatever leads to the node is the same for users and for checks.
        assert_eq!(options[..9], of_user[..9]);
    }

    #[test]
    fn a_secret_becomes_a_file_that_ssh_accepts() {
        let folder = tempfile::tempdir().unwrap();
        let open = folder.path().join("key");
        std::fs::write(&open, "secret").unwrap();
        let secret = Secret::File(open.clone());
        let of = || KeyFile::of(&secret, folder.path()).unwrap();
        let (file, another) = (of(), of());
        let copy = file.path().to_owned();
        assert!(copy != open && copy != another.path());
        assert_eq!(std::fs::read_to_string(&copy).unwrap(), "secret\n");
        assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
        drop(file);
        assert!(!copy.exists() && another.path().exists());
        std::fs::set_permissions(&open, std::fs::Permissions::from_mode(0o600)).unwrap();
        let file = of();
        assert_eq!(file.path(), open);
        drop(file);
        assert!(open.exists());
    }

    #[test]
    fn a_copy_of_a_key_goes_away_even_if_its_command_was_killed() {
        let runtime = tempfile::tempdir().unwrap();
        let locations = Locations {
            state: runtime.path().join("state"),
            cache: runtime.path().join("cache"),
            runtime: runtime.path().to_owned(),
        };
        // What is left of a killed command: the file, without the lock.
        let left = runtime.path().join("0.key");
        std::fs::write(&left, "secret").unwrap();
        let used = KeyFile::create(runtime.path(), b"secret").unwrap();
        forget_ended(&locations);
        assert!(!left.exists());
        assert_eq!(std::fs::read_to_string(used.path()).unwrap(), "secret\n");
    }
}
