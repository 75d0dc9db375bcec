//! A kubeconfig from where the lab file says that it is.

use std::path::{Path, PathBuf};

use tokio::time::timeout;

use super::super::{PROGRAM_LIMIT, Shared, program};
use super::LIMIT;
use crate::kubernetes::kubeconfig::Kubeconfig;
use crate::lab::{Check, KubeconfigSource, KubernetesCheck, Login};
use crate::name::NodeName;
use crate::run::ssh::{self, KeyFile};
use crate::system::host::read_below;

/// Where kubeadm, k3s, rke2, k0s and microk8s write the kubeconfig of the administrator.
const PLACES: [&str; 5] = [
    "/etc/kubernetes/admin.conf",
    "/etc/rancher/k3s/k3s.yaml",
    "/etc/rancher/rke2/rke2.yaml",
    "/var/lib/k0s/pki/admin.conf",
    "/var/snap/microk8s/current/credentials/client.config",
];
/// The exit code with which the script below tells that there is no file yet.
const NOTHING: i32 = 44;

/// Returns the kubeconfig, with the files that it names in it.
pub(super) async fn read(
    shared: &Shared,
    source: &KubeconfigSource,
    on: &NodeName,
) -> Result<Kubeconfig, String> {
    let (text, place) = fetch(shared, source, on).await?;
    let mut kubeconfig = Kubeconfig::read(&text).map_err(|error| format!("{place}: {error}"))?;
    let mut files = Vec::new();
    for path in kubeconfig.files() {
        files.push((path.clone(), read_file(shared, source, on, path).await?));
    }
    kubeconfig.inline(|path| {
        let file = files.iter().find(|(known, _)| known == path);
        file.map(|(_, bytes)| bytes.clone()).ok_or_else(|| format!("{} was not read", path.display()))
    })?;
    Ok(kubeconfig)
}

/// Returns the text of the kubeconfig, and where it is from.
async fn fetch(
    shared: &Shared,
    source: &KubeconfigSource,
    on: &NodeName,
) -> Result<(Vec<u8>, String), String> {
    match source {
        KubeconfigSource::File(path) => Ok((from_file(path)?, path.display().to_string())),
        KubeconfigSource::OnHost { host, path } => {
            Ok((from_host(shared, host, path)?, format!("{} of {host}", path.display())))
        }
        KubeconfigSource::Command(run) => {
            let ran = program::run_command(&shared.context.spawner, run, shared.environment(None));
            let finished =
                timeout(PROGRAM_LIMIT, ran).await.map_err(|_| "the command does not end".to_owned())??;
            if !finished.status.success() {
                let why = finished.complaint().unwrap_or("without a message");
                return Err(format!("the command that prints it failed: {why}"));
            }
            Ok((finished.output.into_bytes(), "the output of the command".to_owned()))
        }
        KubeconfigSource::Ssh { user, port, key, path } => {
            let places: Vec<String> = match path {
                Some(path) => vec![path.display().to_string()],
                None => PLACES.map(str::to_owned).into(),
            };
            let login = Login { user, port: *port, key: key.as_ref() };
            over_ssh(shared, on, login, &places).await
        }
    }
}

/// Returns a file that the kubeconfig names.
async fn read_file(
    shared: &Shared,
    source: &KubeconfigSource,
    on: &NodeName,
    path: &Path,
) -> Result<Vec<u8>, String> {
    match source {
        KubeconfigSource::File(of) => from_file(&beside(of, path)),
        KubeconfigSource::OnHost { host, path: of } => from_host(shared, host, &beside(of, path)),
        KubeconfigSource::Command(_) => from_file(path),
        KubeconfigSource::Ssh { user, port, key, path: of } => {
            let path = of.as_ref().map_or_else(|| path.to_owned(), |of| beside(of, path));
            let login = Login { user, port: *port, key: key.as_ref() };
            over_ssh(shared, on, login, &[path.display().to_string()]).await.map(|(bytes, _)| bytes)
        }
    }
}

/// Returns a path that is relative to the folder of a file.
fn beside(file: &Path, path: &Path) -> PathBuf {
    file.parent().unwrap_or(file).join(path)
}

fn from_file(path: &Path) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => format!("there is no {} yet", path.display()),
        _ => format!("cannot read {}: {error}", path.display()),
    })
}

fn from_host(shared: &Shared, host: &NodeName, path: &Path) -> Result<Vec<u8>, String> {
    let machine = shared.context.reaching.hosts().get(host);
    let space = machine.and_then(|machine| machine.space().borrow().clone());
    let space = space.ok_or_else(|| format!("host `{host}` is off"))?;
    match read_below(&space.root(), path) {
        Ok(text) => Ok(text.into_bytes()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            Err(format!("host `{host}` has no {} yet", path.display()))
        }
        Err(error) => Err(format!("cannot read {} of host `{host}`: {error}", path.display())),
    }
}

/// Reads the first file that exists, as a user who may need `sudo`.
async fn over_ssh(
    shared: &Shared,
    on: &NodeName,
    login: Login<'_>,
    places: &[String],
) -> Result<(Vec<u8>, String), String> {
    let list: Vec<String> = places.iter().map(|place| quoted(place)).collect();
    let script = format!(
        "for f in {}; do if test -r \"$f\"; then cat \"$f\"; exit; fi; \
         if sudo -n test -r \"$f\" 2>/dev/null; then sudo -n cat \"$f\"; exit; fi; done; exit {NOTHING}",
        list.join(" ")
    );
    let finished = timeout(LIMIT, log_in(shared, on, login, &script)).await;
    let finished = finished.map_err(|_| format!("{on}: ssh does not answer"))?;
    let finished = finished.map_err(|why| format!("{on}: {why}"))?;
    match finished.status.code() {
        Some(0) => Ok((finished.output.into_bytes(), format!("the kubeconfig of {on}"))),
        Some(NOTHING) => {
            let (user, places) = (login.user, places.join(", "));
            Err(format!("{on} has none yet that {user} can read: {places}"))
        }
        _ => Err(format!("{on}: {}", finished.complaint().unwrap_or("it cannot be read"))),
    }
}

/// Quotes a word for a shell.
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Runs a command on a node over ssh.
pub(super) async fn log_in(
    shared: &Shared,
    node: &NodeName,
    login: Login<'_>,
    run: &str,
) -> Result<program::Finished, String> {
    let address = shared.address(node).ok_or("it has no address yet")?;
    let from = shared.context.reaching.from(address).map_err(|off| off.to_string())?;
    let run_dir = &shared.context.run_dir;
    let key = match login.key {
        None => KeyFile::kept(ssh::private_key(run_dir)),
        Some(secret) => KeyFile::of(secret, &shared.context.runtime)?,
    };
    let pid = from.map(|from| from.pid());
    let options = ssh::check_options(run_dir, node.as_str(), address, pid, key.path());
    let login = program::Login { user: login.user, port: login.port, node: node.as_str(), options };
    program::over_ssh(&shared.context.spawner, &login, run).await
}

/// Returns how to log in to a node: as for the kubeconfig, else as another expectation does.
pub(super) fn login<'a>(
    shared: &'a Shared,
    check: &'a KubernetesCheck,
    node: &NodeName,
) -> Option<Login<'a>> {
    if let Some(KubeconfigSource::Ssh { user, port, key, .. }) = &check.kubeconfig {
        return Some(Login { user, port: *port, key: key.as_ref() });
    }
    let others = shared.context.expectations.values().filter(|other| other.nodes.contains(node));
    others.into_iter().find_map(|other| match &other.check {
        Check::Probed(check) => check.login(),
        Check::Observed(_) => None,
    })
}
