//! `dryrack matchbox`: serves a data directory as matchbox does, with its flags and environment variables.

mod flags;
mod log;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::path::{Path, PathBuf};

use nix::sys::signal::{SigSet, Signal};
use tokio_util::sync::CancellationToken;

use self::flags::{FlagError, Flags};
use self::log::{Level, emitter, log};
use super::output;
use crate::hint::chain;
use crate::matchbox::ignition::Version;
use crate::report::exit;
use crate::rpc::{self, Certificates, Tls};
use crate::serve::{KeyRing, Secure, Standalone, Store, serve_standalone};
use crate::system::sockets;

/// The variable of the key ring's passphrase, which has no flag.
const PASSPHRASE: &str = "MATCHBOX_PASSPHRASE";

/// Serve a data directory as a drop-in replacement for matchbox
///
/// Takes the flags of matchbox (`-address 0.0.0.0:8080`, with one dash or two, with `=` or without) and its environment
/// variables (`MATCHBOX_ADDRESS`). `dryrack matchbox -help` lists them.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub(super) struct Args {
    /// Flags of matchbox
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "FLAG")]
    flags: Vec<OsString>,
}

/// Why matchbox does not start, in the real server's words.
struct Fatal(String);

/// Runs the command. Exit codes are those of matchbox: 1 if it cannot start, 2 for a wrong command line.
#[expect(clippy::disallowed_methods, reason = "matchbox is told by its environment as well")]
pub(super) fn run(args: &Args) -> u8 {
    let variable = |name: &str| std::env::var(name).ok();
    let flags = match Flags::read(&args.flags, variable) {
        Ok(flags) => flags,
        Err(error @ FlagError::Variable { .. }) => return fatal(&error.to_string()),
        Err(error) => {
            output::note(&format!("{error}\n{}", Flags::usage().trim_end()));
            return exit::WRONG;
        }
    };
    if flags.version {
        output::data(&format!("dryrack {}\n", env!("CARGO_PKG_VERSION")));
        return exit::MET;
    }
    if flags.help {
        output::note(Flags::usage().trim_end());
        return exit::MET;
    }
    match serve(&flags, variable(PASSPHRASE)) {
        Ok(()) => exit::MET,
        Err(Fatal(why)) => fatal(&why),
    }
}

fn fatal(why: &str) -> u8 {
    log(Level::Fatal, Level::Fatal, why);
    exit::MISSED
}

fn serve(flags: &Flags, passphrase: Option<String>) -> Result<(), Fatal> {
    check(flags).map_err(Fatal)?;
    let level = Level::read(&flags.log_level).ok_or_else(|| {
        Fatal(format!("invalid log-level: not a valid logrus Level: \"{}\"", flags.log_level))
    })?;
    let key_ring = match flags.key_ring_path.as_str() {
        "" => None,
        path => {
            let passphrase = passphrase.unwrap_or_default();
            Some(KeyRing::read(Path::new(path), &passphrase).map_err(|error| Fatal(error.to_string()))?)
        }
    };
    let secure = flags.web_ssl.then(|| -> Result<_, Fatal> {
        let read = |path: &String| fs::read(path).map_err(|error| Fatal(format!("open {path}: {error}")));
        Ok(Secure { certificates: read(&flags.web_cert_file)?, key: read(&flags.web_key_file)? })
    });
    let secure = secure.transpose()?;
    let listening = |address: &str| {
        listen(address).map_err(|error| Fatal(format!("failed to start listening on {address}: {error}")))
    };
    let rpc =
        (!flags.rpc_address.is_empty()).then(|| rpc(flags, listening(&flags.rpc_address)?)).transpose()?;
    let listener = listening(&flags.address)?;
    let stop = CancellationToken::new();
    stop_on_signals(&stop).map_err(|error| Fatal(format!("cannot wait for signals: {error}")))?;
    if let Some((listener, ..)) = &rpc {
        let address = shown(&flags.rpc_address, listener);
        log(level, Level::Info, &format!("Starting matchbox gRPC server on {address}"));
    }
    let protocol = if flags.web_ssl { "HTTPS" } else { "HTTP" };
    let address = shown(&flags.address, &listener);
    log(level, Level::Info, &format!("Starting matchbox {protocol} server on {address}"));
    let store = Store::open(Some(PathBuf::from(&flags.data_path)), BTreeMap::new(), Version::NEWEST);
    let assets = Some(PathBuf::from(&flags.assets_path)).filter(|path| !path.as_os_str().is_empty());
    let alone = Standalone { listener, secure, store, assets, key_ring, rpc };
    serve_standalone(alone, &emitter(level), &stop).map_err(|error| Fatal(error.to_string()))
}

/// Prepares the gRPC server.
fn rpc(flags: &Flags, listener: TcpListener) -> Result<(TcpListener, Tls, rpc::Store), Fatal> {
    let certificates = Certificates {
        certificate: PathBuf::from(&flags.cert_file),
        key: PathBuf::from(&flags.key_file),
        authority: PathBuf::from(&flags.ca_file),
    };
    let tls = Tls::read(&certificates).map_err(|error| Fatal(chain(&error)))?;
    let store = rpc::Store::open(Path::new(&flags.data_path), BTreeMap::new());
    let store = store.map_err(|error| Fatal(format!("{}: {error}", flags.data_path)))?;
    Ok((listener, tls, store))
}

/// Returns an address as written, with the port that the kernel assigned for port 0.
fn shown(written: &str, listener: &TcpListener) -> String {
    match listener.local_addr() {
        Ok(address) if written.ends_with(":0") => address.to_string(),
        _ => written.to_owned(),
    }
}

/// Checks the flags before anything is started. The messages are those of the real server.
fn check(flags: &Flags) -> Result<(), String> {
    let is_dir = |path: &str| fs::metadata(path).is_ok_and(|data| data.is_dir());
    let there = |path: &str, what: &str| match fs::metadata(path) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!("{what}: stat {path}: {error}")),
    };
    if flags.address.is_empty() {
        return Err("A valid HTTP listen address is required".to_owned());
    }
    if !is_dir(&flags.data_path) {
        return Err("A valid -data-path is required".to_owned());
    }
    if !flags.assets_path.is_empty() && !is_dir(&flags.assets_path) {
        return Err(format!(
            "Provide a valid -assets-path or '' to disable asset serving: {}",
            flags.assets_path
        ));
    }
    if !flags.rpc_address.is_empty() {
        there(&flags.cert_file, "Provide a valid TLS server certificate with -cert-file")?;
        there(&flags.key_file, "Provide a valid TLS server key with -key-file")?;
        there(
            &flags.ca_file,
            "Provide a valid TLS certificate authority for authorizing client certificates",
        )?;
    }
    if flags.web_ssl {
        there(&flags.web_cert_file, "Provide a valid SSL server certificate with -web-cert-file")?;
        there(&flags.web_key_file, "Provide a valid SSL server key with -web-key-file")?;
    }
    Ok(())
}

/// Listens on an address in Go's format: `:8080` means all addresses of this host.
fn listen(address: &str) -> std::io::Result<TcpListener> {
    let (host, port) = address.rsplit_once(':').unwrap_or((address, "80"));
    let port = match port {
        "http" => "80",
        "https" => "443",
        port => port,
    };
    let addresses: Vec<SocketAddr> = match host {
        "" => vec![([0_u16; 8], 0).into(), ([0, 0, 0, 0], 0).into()],
        host => format!("{host}:{port}").to_socket_addrs()?.collect(),
    };
    let number = port.parse().map_err(|_| std::io::Error::other(format!("unknown port {port}")))?;
    let mut failed = std::io::Error::other("no such address");
    for mut address in addresses {
        address.set_port(number);
        match sockets::listen(address) {
            Ok(listener) => return Ok(listener),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// Stops the service on SIGTERM and SIGINT, also as PID 1 of a container.
fn stop_on_signals(stop: &CancellationToken) -> nix::Result<()> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGINT);
    // Threads started from here on inherit the mask, so that only the thread below gets the signals.
    signals.thread_block()?;
    let stop = stop.clone();
    std::thread::spawn(move || {
        signals.wait().ok();
        stop.cancel();
    });
    Ok(())
}
