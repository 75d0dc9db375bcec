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

/// All data for a half except descriptors.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Handover {
    /// The run folder, absolute.
    pub(super) run_dir: PathBuf,
    /// The absolute path of the control socket.
    pub(super) control_socket: PathBuf,
    /// The number of published listeners.
    pub(super) published: usize,
    /// The uplink, with the path of `pasta`.
    pub(super) uplink: Option<(PathBuf, Uplink)>,
}

/// Descriptors by number: the first three are the standard ones, published listeners follow the last one.
pub(super) mod slot {
    use super::RawFd;

    /// [`super::Handover`] as JSON, until end-of-file.
    pub(in super::super) const ORDERS: RawFd = 3;
    /// The pipe for [`super::Report`]s.
    pub(in super::super) const REPORT: RawFd = 4;
    /// End-of-file when the process that owns this half is gone.
    pub(in super::super) const PARENT: RawFd = 5;
    /// The listening control socket.
    pub(in super::super) const CONTROL: RawFd = 6;
    /// The first published listener.
    pub(in super::super) const PUBLISHED: RawFd = 7;
}

/// What a half reports to its parent process; one line of JSON each.
#[derive(Debug, Serialize, Deserialize)]
pub(in crate::system) enum Report {
    /// The supervisor runs in its namespaces.
    Ready,
    /// It could not be started.
    Failed(ErrorMessage),
}

impl Report {
    /// Sends the report. The reader may be gone; that is not an error.
    pub(in crate::system) fn send(&self, mut to: impl Write) {
        if let Ok(line) = serde_json::to_string(self) {
            to.write_all(format!("{line}\n").as_bytes()).ok();
        }
    }

    /// Reads a report; `None` if the other side ended without one.
    pub(in crate::system) fn receive(from: &mut impl BufRead) -> io::Result<Option<Self>> {
        let mut line = String::new();
        from.read_line(&mut line)?;
        if line.is_empty() { Ok(None) } else { Ok(Some(serde_json::from_str(&line)?)) }
    }
}

impl Handover {
    /// Writes the handover to a pipe and returns its reading end.
    pub(super) fn into_pipe(self) -> Result<OwnedFd, NamespaceError> {
        let (reader, writer) = pipe()?;
        let text = serde_json::to_vec(&self).map_err(io::Error::from);
        // A few paths fit the pipe buffer of 64 KiB, so this does not block.
        text.and_then(|text| File::from(writer).write_all(&text))
            .map_err(failed("cannot write the handover"))?;
        Ok(reader)
    }

    /// Reads the handover from the inherited descriptor.
    pub(super) fn inherited() -> Result<Self, NamespaceError> {
        let text = sys::inherited_fd(slot::ORDERS).and_then(|fd| io::read_to_string(File::from(fd)));
        let handover = text.and_then(|text| serde_json::from_str(&text).map_err(io::Error::from));
        handover.map_err(|source| {
            NamespaceError::new("cannot read the handover of this role", source)
                .with_hint("dryrack starts roles with `@` itself; do not start them by hand")
        })
    }
}

/// The inherited descriptors, except that of the handover.
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

/// Creates a pipe that is closed on exec.
pub(in crate::system) fn pipe() -> Result<(OwnedFd, OwnedFd), NamespaceError> {
    nix::unistd::pipe2(OFlag::O_CLOEXEC).map_err(|e| NamespaceError::new("cannot create a pipe", e.into()))
}
