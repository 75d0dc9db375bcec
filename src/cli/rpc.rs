//! The gRPC client of matchbox: server address and client certificate.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use super::lab::{self, Layers};
use super::output::{self, Stop};
use super::runtime::block_on;
use crate::event::RpcCode;
use crate::lab::{Lab, Rpc};
use crate::plan::{Plan, Step};
use crate::report::exit;
use crate::rpc::message::Request;
use crate::rpc::{CallError, Certificates, Client, ConnectError};
use crate::run::{Locations, registered};

/// Default address of matchbox.
const ENDPOINT: &str = "127.0.0.1:8081";
/// Default certificate folder of matchbox.
const FOLDER: &str = "/etc/matchbox";

/// Server address and client identity.
#[derive(Debug, clap::Args)]
pub(super) struct ServerArgs {
    /// gRPC endpoint of the server [default: the port that the lab publishes, or 127.0.0.1:8081]
    #[arg(
        long,
        alias = "endpoints",
        env = "DRYRACK_ENDPOINT",
        hide_env_values = true,
        global = true,
        value_name = "HOST:PORT"
    )]
    endpoint: Option<String>,
    /// Folder with `ca.crt`, `client.crt` and `client.key`, as `dryrack tls init` makes it [default: /etc/matchbox]
    #[arg(long, env = "DRYRACK_TLS", hide_env_values = true, global = true, value_name = "DIR")]
    tls: Option<PathBuf>,
    /// Take folder and endpoint from a lab: a lab file, or its folder [default: the lab that is up and has a gRPC API]
    #[arg(long, short = 'l', global = true, value_name = "LAB")]
    lab: Option<PathBuf>,
    /// CA certificate of the server [default: ca.crt in that folder]
    #[arg(long, env = "DRYRACK_CA_FILE", hide_env_values = true, global = true, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// Client certificate [default: client.crt in that folder]
    #[arg(long, env = "DRYRACK_CERT_FILE", hide_env_values = true, global = true, value_name = "FILE")]
    cert_file: Option<PathBuf>,
    /// Private key of the client certificate [default: client.key in that folder]
    #[arg(long, env = "DRYRACK_KEY_FILE", hide_env_values = true, global = true, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// Print JSON
    #[arg(long, global = true)]
    pub(super) json: bool,
}

impl ServerArgs {
    /// Calls a method of the server.
    pub(super) fn call<R: Request>(&self, request: R, locations: &Locations) -> Result<R::Answer, Stop> {
        let (endpoint, certificates) = self.meant(locations)?;
        block_on(async {
            let mut client =
                Client::connect(&endpoint, &certificates).await.map_err(|error| unreachable(&error))?;
            client.call(request).await.map_err(|error| refused(&error))
        })?
    }

    /// Determines the server address and the client certificate.
    fn meant(&self, locations: &Locations) -> Result<(String, Certificates), Stop> {
        let lab = match &self.lab {
            Some(lab) => Some(of_lab(lab, locations)?),
            // Nothing says which server is meant: the lab that is up and has one, if any.
            None if self.endpoint.is_none() && self.tls.is_none() => of_lab_that_is_up(locations)?,
            None => None,
        };
        let (published, kept) = lab.unzip();
        let endpoint = self.endpoint.clone().or(published.flatten()).unwrap_or_else(|| ENDPOINT.to_owned());
        let folder = self.tls.clone().or(kept).unwrap_or_else(|| FOLDER.into());
        let file = |given: &Option<PathBuf>, usual: &str| given.clone().unwrap_or_else(|| folder.join(usual));
        let certificates = Certificates {
            certificate: file(&self.cert_file, "client.crt"),
            key: file(&self.key_file, "client.key"),
            authority: file(&self.ca_file, "ca.crt"),
        };
        Ok((endpoint, certificates))
    }

    /// Reports success.
    pub(super) fn done(&self, what: &str, kind: &str, id: &str) -> Result<u8, Stop> {
        match self.json {
            true => output::json(&serde_json::json!({ what: { kind: id } }))?,
            false => output::note(&format!("{what} {kind} {id}")),
        }
        Ok(exit::MET)
    }
}

/// The hint if a run cannot tell what its lab serves.
const EXPLICIT: &str = "name the server with `--endpoint` and `--tls`";

/// The endpoint that a lab publishes, if it does, and the folder of its certificates.
type Served = (Option<String>, PathBuf);

fn of_lab(lab: &Path, locations: &Locations) -> Result<Served, Stop> {
    let beside = |file: &Path| (None, file.parent().unwrap_or(Path::new("/")).join("tls"));
    // Of a lab that is up, the file may have changed, and the command line may have overridden it.
    if let Some(up) = lab::up_with_file(&registered(locations), lab) {
        return Ok(of_run(&lab::request(up, EXPLICIT)?.plan).unwrap_or_else(|| beside(&up.file)));
    }
    let texts = Layers::default().read(lab)?;
    Ok(of_file(&lab::ahead(&texts, locations)?).unwrap_or_else(|| beside(&texts.file)))
}

/// Returns what the only lab that is up and has a gRPC API serves.
fn of_lab_that_is_up(locations: &Locations) -> Result<Option<Served>, Stop> {
    let mut serving = Vec::new();
    for up in lab::possible(locations) {
        match lab::request(&up, EXPLICIT) {
            Ok(request) => serving.extend(of_run(&request.plan).map(|served| (up, served))),
            // Another lab may still be the one.
            Err(stop) => output::stop(&stop),
        }
    }
    if serving.len() > 1 {
        let what = format!("{} labs that are up have a gRPC API", serving.len());
        let labs: Vec<_> = serving.into_iter().map(|(up, _)| up).collect();
        return Err(lab::ambiguous(what, &labs));
    }
    Ok(serving.pop().map(|(_, served)| served))
}

fn of_file(lab: &Lab) -> Option<Served> {
    let api = lab.networks.values().find_map(|network| {
        let rpc = network.matchbox.as_ref()?.rpc.as_ref()?;
        Some((network.server()?, rpc))
    });
    let ports = lab.publish.iter().map(|publish| {
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, publish.port));
        (listen, SocketAddr::from((publish.address, publish.to)))
    });
    Some(served(api?, ports))
}

fn of_run(plan: &Plan) -> Option<Served> {
    let api = plan.steps.iter().find_map(|step| match step {
        Step::Serve(service) => {
            let rpc = service.matchbox.as_ref()?.rpc.as_ref()?;
            Some((service.server()?, rpc))
        }
        _ => None,
    });
    let ports = plan.steps.iter().filter_map(|step| match step {
        Step::Publish { listen, node: _, to } => Some((*listen, *to)),
        _ => None,
    });
    Some(served(api?, ports))
}

/// Returns what a lab serves with this API, given its published ports and where they lead.
fn served(
    (address, rpc): (Ipv4Addr, &Rpc),
    ports: impl IntoIterator<Item = (SocketAddr, SocketAddr)>,
) -> Served {
    let api = SocketAddr::from((address, rpc.port));
    let published = ports.into_iter().find(|(_, to)| *to == api).map(|(listen, _)| listen.to_string());
    (published, rpc.tls.clone())
}

fn unreachable(error: &ConnectError) -> Stop {
    match error {
        ConnectError::Endpoint { .. } => Stop::wrong(error),
        ConnectError::Certificates(_) | ConnectError::Connect { .. } | ConnectError::Handshake { .. } => {
            Stop::host(error)
        }
    }
}

fn refused(error: &CallError) -> Stop {
    match &error.code {
        RpcCode::Unavailable | RpcCode::DeadlineExceeded => Stop::host(error),
        RpcCode::Ok
        | RpcCode::Cancelled
        | RpcCode::Unknown
        | RpcCode::InvalidArgument
        | RpcCode::NotFound
        | RpcCode::AlreadyExists
        | RpcCode::PermissionDenied
        | RpcCode::ResourceExhausted
        | RpcCode::FailedPrecondition
        | RpcCode::Aborted
        | RpcCode::OutOfRange
        | RpcCode::Unimplemented
        | RpcCode::Internal
        | RpcCode::DataLoss
        | RpcCode::Unauthenticated
        | RpcCode::Other(_) => {
            Stop::new(exit::WRONG, format!("refused by the server ({}): {error}", error.code), None::<String>)
        }
    }
}

/// Reads a file that is to be created on the server.
pub(super) fn read(path: &Path) -> Result<Vec<u8>, Stop> {
    std::fs::read(path).map_err(|error| {
        Stop::new(exit::WRONG, format!("cannot read {}: {error}", path.display()), None::<String>)
    })
}
