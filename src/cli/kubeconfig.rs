//! `dryrack kubeconfig`: the kubeconfig of a cluster in a lab, for use on this machine.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::lab::NamedUpArgs;
use super::output::{self, Stop};
use super::runtime::block_on;
use crate::name::ExpectName;
use crate::report::exit;
use crate::run::Locations;
use crate::run::client::Client;

/// Print the kubeconfig of the Kubernetes cluster in a lab, for use on this machine
///
/// An expectation `kubernetes` says where it is; its server becomes the published port of the API server. In a private
/// lab, `[publish]` must name that port. Example: `dryrack kubeconfig mylab -o kubeconfig && kubectl --kubeconfig
/// kubeconfig get nodes`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(flatten)]
    lab: NamedUpArgs,
    /// Expectation that says where the kubeconfig is [default: the only one]
    #[arg(long, value_name = "NAME")]
    expect: Option<ExpectName>,
    /// Output file, which only its owner can read, `-` for standard output
    #[arg(short = 'o', long = "output", value_name = "FILE", default_value = "-")]
    file: PathBuf,
}

/// Runs the command.
pub(super) fn run(args: &Args, locations: &Locations) -> Result<u8, Stop> {
    let Args { lab, expect, file } = args;
    let up = lab.find(locations)?;
    let text = block_on(Client::new(&up.socket).kubeconfig(expect.as_ref()))?;
    let text = text.map_err(|error| Stop::host(&error))?;
    if file == Path::new("-") {
        output::data(text.trim_end());
    } else {
        write(file, &text).map_err(|error| {
            let what = format!("cannot write {}: {error}", file.display());
            Stop::new(exit::UNFIT, what, Some("choose a writable file, or `-`"))
        })?;
        output::note(&format!("wrote {}", file.display()));
    }
    Ok(exit::MET)
}

/// Replaces a file by one that only its owner can read.
fn write(path: &Path, text: &str) -> std::io::Result<()> {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}", std::process::id()));
    let draft = PathBuf::from(name);
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&draft)
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .and_then(|()| std::fs::rename(&draft, path));
    if written.is_err() {
        // The error of writing is the one that counts.
        std::fs::remove_file(&draft).ok();
    }
    written
}
