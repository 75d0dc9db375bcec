//! `dryrack capture`: the frames of a network or a node, as a pcapng file.

use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};

use futures_util::future::{Either, select};

use super::completions;
use super::foreground::Interrupts;
use super::lab::UpWithArgs;
use super::output::{self, Stop};
use super::runtime::block_on;
use crate::diag::{enumerate, nearest};
use crate::hint::chain;
use crate::name::{NetworkName, NodeName};
use crate::report::exit;
use crate::run::Locations;
use crate::run::client::{Capture, Client, ClientError, Status};

/// Capture the frames of a network or a node, as pcapng for Wireshark; Ctrl-C ends the capture
///
/// Of a network, each frame is in the file once; of a node, all that its NICs send and receive. The capture also ends
/// with the lab. Example: `dryrack capture lan -w - | wireshark -k -i -`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Network or node; a name that both have is the network
    #[arg(value_name = "NETWORK|NODE", add = completions::networks_and_nodes())]
    what: NodeName,
    /// Output file, `-` for standard output [default: NAME.pcapng]
    #[arg(short = 'w', long = "write", value_name = "FILE")]
    file: Option<PathBuf>,
    #[command(flatten)]
    lab: UpWithArgs,
}

/// Runs the command.
pub(super) fn run(args: &Args, locations: &Locations) -> Result<u8, Stop> {
    let Args { what, file, lab } = args;
    let has = |status: &Status| {
        let nodes = status.snapshot.nodes.keys().map(NodeName::as_str);
        let known = || status.networks.iter().map(NetworkName::as_str).chain(nodes.clone());
        if known().any(|known| known == what.as_str()) {
            return Ok(());
        }
        let hint = match nearest(what.as_str(), known()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("the lab has {}", enumerate(known())),
        };
        Err(Stop::new(
            exit::WRONG,
            format!("lab {} has no network and no node `{what}`", status.lab),
            Some(hint),
        ))
    };
    let (up, ()) = lab.find_where(Some(&format!("network or node `{what}`")), has, locations)?;
    let file = file.clone().unwrap_or_else(|| format!("{what}.pcapng").into());
    let printed = file == Path::new("-");
    if printed && io::stdout().is_terminal() {
        let hint = Some("name a file, or pipe it into another program");
        return Err(Stop::new(exit::WRONG, "a capture is not for a terminal", hint));
    }
    let client = Client::new(&up.socket);
    let written = block_on(async {
        let mut interrupts = Interrupts::listen()?;
        let mut capture = client.capture(what).await.map_err(|error| Stop::host(&error))?;
        let failed = |error: &io::Error| {
            let hint = Some("choose a writable file, or `-`");
            Stop::new(exit::UNFIT, format!("cannot write {}: {error}", file.display()), hint)
        };
        let mut out: Box<dyn Write> = match printed {
            true => Box::new(io::stdout()),
            false => Box::new(File::create(&file).map_err(|error| failed(&error))?),
        };
        if !printed {
            output::note(&format!("capturing {what} into {}; Ctrl-C ends the capture", file.display()));
        }
        match copy(&mut capture, &mut out, &mut interrupts).await {
            Ok(()) => Ok(()),
            // The reader has seen enough.
            Err(CopyError::Write(error)) if printed && error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Err(CopyError::Write(error)) => Err(failed(&error)),
            Err(CopyError::Capture(error)) => {
                let what = format!("the capture of {what} broke off: {}", chain(&error));
                Err(Stop::new(exit::UNFIT, what, Some("the frames until then are in the output")))
            }
        }
    })?;
    written?;
    if !printed {
        output::note(&format!("wrote {}", file.display()));
    }
    Ok(exit::MET)
}

/// Why a capture was not copied to its end.
enum CopyError {
    /// The run broke it off.
    Capture(ClientError),
    /// The output takes no more.
    Write(io::Error),
}

/// Copies a capture until it ends or is interrupted.
async fn copy(
    capture: &mut Capture,
    out: &mut dyn Write,
    interrupts: &mut Interrupts,
) -> Result<(), CopyError> {
    loop {
        let next = std::pin::pin!(capture.next());
        let interrupt = std::pin::pin!(interrupts.next());
        let bytes = match select(next, interrupt).await {
            Either::Left((Ok(Some(bytes)), _)) => bytes,
            Either::Left((Err(error), _)) => return Err(CopyError::Capture(error)),
            Either::Left((Ok(None), _)) | Either::Right(_) => return Ok(()),
        };
        out.write_all(&bytes).and_then(|()| out.flush()).map_err(CopyError::Write)?;
    }
}
