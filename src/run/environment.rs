//! Files of a run that programs of the lab find by variables of their environment.

use std::path::{Path, PathBuf};

use crate::lab::LabFile;

/// The file with the password of BMCs, in the run folder.
pub(super) const BMC_PASSWORD: &str = "bmc-password";

/// A file that programs find.
struct Found {
    /// The variable with its path.
    variable: &'static str,
    /// The path in the run folder.
    file: fn(&Path) -> PathBuf,
    /// The same file, as processes on hosts see it.
    on_hosts: &'static str,
}

const FILES: [Found; 2] = [
    Found {
        variable: "DRYRACK_BMC_PASSWORD_FILE",
        file: |run_dir| run_dir.join(BMC_PASSWORD),
        on_hosts: "/run/dryrack/bmc-password",
    },
    Found {
        variable: "DRYRACK_CA_FILE",
        file: |run_dir| super::authority::path(run_dir, LabFile::CaPem),
        on_hosts: "/run/dryrack/ca.pem",
    },
];

/// Returns the variables that name the files which the run has, for a program in the lab's network or on a host.
pub fn variables(run_dir: &Path, on_host: bool) -> Vec<(&'static str, PathBuf)> {
    let path = |found: &Found| if on_host { found.on_hosts.into() } else { (found.file)(run_dir) };
    present(run_dir).map(|found| (found.variable, path(found))).collect()
}

/// Returns the files that the run has, each with its path on hosts.
pub(super) fn on_hosts(run_dir: &Path) -> impl Iterator<Item = (PathBuf, PathBuf)> {
    present(run_dir).map(|found| (found.on_hosts.into(), (found.file)(run_dir)))
}

fn present(run_dir: &Path) -> impl Iterator<Item = &'static Found> {
    FILES.iter().filter(|found| (found.file)(run_dir).exists())
}
