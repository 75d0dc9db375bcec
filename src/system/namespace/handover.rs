//! The data and descriptors that the outer and inner process receive.

use std::fs::File;
use std::io::{self, BufRead, Write};
use std::os::fd::{OwnedFd, RawFd};
use std::path::PathBuf;

use nix::fcntl::OFlag;
use serde::{Deserialize, Serialize};

use super::{ErrorMessage, NamespaceError, failed};
use crate::plan::Uplink;
use crate::system::sys;

/// Everything a half is told that is no descriptor.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Handover {
    /// The run folder, absolute.
    pub(super) run_dir: PathBuf,
    /// Where the control socket lies, absolute.
    pub(super) control_socket: PathBuf,
    /// How many published listeners follow.
    pub(super) published: usize,
    /// The way out, with the `pasta` that makes it.
    pub(super) uplink: Option<(PathBuf, Uplink)>,
}

/// Descriptors by number: the first three are standard, published listeners come after the last one.
pub(super) mod slot {
    use super::RawFd;

    /// [`super::Handover`] as JSON, to be read to the end.
    pub(in super::super) const ORDERS: RawFd = 3;
    /// Where [`super::Report`]s are written to.
    pub(in super::super) const REPORT: RawFd = 4;
    /// Reads end-of-file when whoever the half lives for is gone.
    pub(in super::super) const PARENT: RawFd = 5;
    /// The listening control socket.
    pub(in super::super) const CONTROL: RawFd = 6;
    /// The first published listener.
    pub(in super::super) const PUBLISHED: RawFd = 7;
}

/// What a half tells whoever started it; one line of JSON each.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Report {
    /// The supervisor is where it belongs.
    Ready,
    /// It will not be.
    Failed(ErrorMessage),
}

impl Report {
    /// Sends the report. Whoever waited for it may be gone, which is no failure of ours.
    pub(super) fn send(&self, mut to: impl Write) {
        if let Ok(line) = serde_json::to_string(self) {
            to.write_all(format!("{line}\n").as_bytes()).ok();
        }
    }

    /// Reads a report; `None` when the other side ended without one.
    pub(super) fn receive(from: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut line = String::new();
        from.read_line(&mut line)?;
        if line.is_empty() { Ok(None) } else { Ok(Some(serde_json::from_str(&line)?)) }
    }
}

impl Handover {
    /// Puts the handover into a pipe and returns its reading end.
    pub(super) fn into_pipe(self) -> Result<OwnedFd, NamespaceError> {
        let (reader, writer) = pipe()?;
        let text = serde_json::to_vec(&self).map_err(io::Error::from);
        // A handful of paths fits into a pipe's 64 KiB, so this does not wait for a reader.
        text.and_then(|text| File::from(writer).write_all(&text))
            .map_err(failed("cannot write the handover"))?;
        Ok(reader)
    }

    /// Reads the handover that this process was started with.
    pub(super) fn inherited() -> Result<Self, NamespaceError> {
        let text = sys::inherited_fd(slot::ORDERS).and_then(|fd| io::read_to_string(File::from(fd)));
        let handover = text.and_then(|text| serde_json::from_str(&text).map_err(io::Error::from));
        handover.map_err(|source| {
            NamespaceError::new("cannot read the handover of this role", source)
                .with_hint("dryrack starts roles with `@` itself; do not start them by hand")
        })
    }
}

/// Takes over the descriptors that this process was started with, the handover apart.
#[derive(Debug)]
pub(super) struct InheritedFds {
    pub(super) report: File,
    pub(super) parent: OwnedFd,
    pub(super) control: OwnedFd,
    pub(super) published: Vec<OwnedFd>,
}

impl InheritedFds {
    /// Takes them over.
    pub(super) fn inherited(handover: &Handover) -> Result<Self, NamespaceError> {
        let take =
            |number| sys::inherited_fd(number).map_err(failed("cannot take over the inherited descriptors"));
        Ok(Self {
            report: File::from(take(slot::REPORT)?),
            parent: take(slot::PARENT)?,
            control: take(slot::CONTROL)?,
            published: (slot::PUBLISHED..).take(handover.published).map(take).collect::<Result<_, _>>()?,
        })
    }
}

/// Makes a pipe that no program inherits by accident.
pub(super) fn pipe() -> Result<(OwnedFd, OwnedFd), NamespaceError> {
    nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(|e| NamespaceError::new("cannot create a pipe", e.into()))
}
