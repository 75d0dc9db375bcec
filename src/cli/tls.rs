//! `dryrack tls`: certificates for matchbox's gRPC.

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::lab::{self, Layers};
use super::output::{self, Stop};
use crate::plan::{self, HttpsPlan};
use crate::report::exit;
use crate::run::Locations;
use crate::run::authority::certificates::{self, CertificatesError, Existing};

/// Create certificates for matchbox's gRPC
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, clap::Subcommand)]
enum Verb {
    /// Create a CA, a server certificate and a client certificate
    ///
    /// Writes `ca.crt`, `ca.key`, `server.crt`, `server.key`, `client.crt` and `client.key` (PEM, keys P-256). The
    /// server certificate is valid for the addresses and names of the lab's networks with matchbox (of all networks if
    /// none has it), for localhost, and for what `--name` and `--address` add.
    Init(Init),
}

#[derive(Debug, clap::Args)]
struct Init {
    /// Lab file, or folder with a `lab.toml` (optional)
    lab: Option<PathBuf>,
    #[command(flatten)]
    layers: Layers,
    /// Output folder [default: `tls` beside the lab file, or in the current folder]
    #[arg(long, value_name = "DIR")]
    into: Option<PathBuf>,
    /// Additional DNS name of the server (repeatable)
    #[arg(long = "name", value_name = "NAME", value_parser = dns_name)]
    names: Vec<String>,
    /// Additional address of the server (repeatable)
    #[arg(long = "address", value_name = "IP")]
    addresses: Vec<IpAddr>,
    /// Validity of the certificates in days
    #[arg(long, default_value_t = 3650, value_name = "COUNT")]
    days: u32,
    /// Overwrite existing certificates
    #[arg(long)]
    force: bool,
    /// Print the written files as a JSON list
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub(super) fn run(args: &Args, locations: &Locations) -> Result<u8, Stop> {
    let Verb::Init(init) = &args.verb;
    let here = Path::new("lab.toml").exists().then(|| PathBuf::from("."));
    let mut server = HttpsPlan { addresses: init.addresses.clone(), names: init.names.clone() };
    let mut beside = PathBuf::new();
    if let Some(lab) = init.lab.clone().or(here) {
        let texts = init.layers.read(&lab)?;
        if init.lab.is_some() {
            beside = texts.file.parent().unwrap_or(Path::new("/")).to_owned();
        }
        let lab = lab::ahead(&texts, locations)?;
        let serving = |network: &&crate::lab::Network| network.matchbox.is_some();
        let any = lab.networks.values().any(|network| serving(&network));
        for network in lab.networks.values().filter(|network| !any || serving(network)) {
            let HttpsPlan { addresses, names } = plan::bearer(&lab, network);
            server.addresses.extend(addresses);
            server.names.extend(names);
        }
    }
    let server = certificates::with_loopback(server);
    let folder = init.into.clone().unwrap_or_else(|| beside.join("tls"));
    let existing = if init.force { Existing::Replaced } else { Existing::Stay };
    let written =
        certificates::make(&folder, &server, today(), init.days, existing).map_err(|error| match error {
            CertificatesError::Files { .. } => Stop::host(&error),
            CertificatesError::Existing { .. }
            | CertificatesError::Certificate(_)
            | CertificatesError::Days { .. } => Stop::wrong(&error),
        })?;
    if init.json {
        output::json(&written)?;
    } else {
        for path in &written {
            output::note(&format!("wrote {}", path.display()));
        }
        let HttpsPlan { addresses, names } = &server;
        let addresses = addresses.iter().map(ToString::to_string);
        let sought: Vec<String> = names.iter().cloned().chain(addresses).collect();
        output::note(&format!("\nthe server is {}", sought.join(", ")));
    }
    Ok(exit::MET)
}

/// Accepts a valid server name: letters, digits, `-` and `_` between dots; the first label may be `*`.
fn dns_name(text: &str) -> Result<String, &'static str> {
    let name = text.strip_suffix('.').unwrap_or(text);
    let plain = |label: &str| {
        let letters = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        letters && !label.is_empty() && label.len() <= 63
    };
    let labels = name.strip_prefix("*.").unwrap_or(name);
    match labels.split('.').all(plain) && name.len() <= 253 {
        true => Ok(name.to_ascii_lowercase()),
        false => Err("not a DNS name"),
    }
}

#[expect(clippy::disallowed_methods, reason = "a certificate is valid from now on")]
fn today() -> jiff::civil::Date {
    jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date()
}
