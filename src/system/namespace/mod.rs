//! The namespaces of a lab: its own, or the host's.
//!
//! With `isolation = "private"` there are three processes, each inside the one before:
//!
//! ```text
//! command      the user's terminal; holds the lifeline: the lab dies with it, unless untied
//!   └ outer    PID 1 of a user, PID and mount namespace; still in the host's network; starts pasta
//!       └ inner    supervisor; user, network and mount namespaces below that
//! ```
//!
//! What must be reachable from the host (the control socket, published ports) is
//! bound before the first namespace is created and passed on. However the outer
//! half ends, the kernel ends everything below it.
//!
//! Each role is this program with a hidden first argument (`@outer`, `@inner`,
//! `@supervisor`, `@join`); [`main`](crate) calls [`outer_main`], [`inner_enter`],
//! [`supervisor_enter`] and [`join_main`] before any thread or runtime exists.

mod handle;
mod handover;
mod id_map;
mod identity;
mod inner;
mod join;
mod listen;
mod names;
mod outer;
mod start;

pub use handle::NamespaceHandle;
pub(super) use handover::{Report, pipe};
pub(super) use id_map::{has_other_ids, map_ids, subordinate_ids};
pub use id_map::{may_have_other_ids, remove_folder, remove_main};
pub use identity::{NamespaceIds, ProcessId, SharedNetwork};
pub use inner::{Inherited, inner_enter, supervisor_enter};
pub use join::{RUN, join_main, run_here, run_inside, run_on_host};
pub use names::name_files;
pub(super) use names::{hosts_text, resolv_text, switch_text};
pub use outer::outer_main;
pub(super) use start::null;
pub use start::{NamespaceRequest, spawn_hidden, start_host, start_private};

use std::borrow::Cow;
use std::io;
use std::os::fd::{OwnedFd, RawFd};

use nix::errno::Errno;
use serde::{Deserialize, Serialize};

use crate::hint::{Hint, causes};

/// This program, even if its file was replaced or deleted since.
pub(super) const OURSELVES: &str = "/proc/self/exe";

/// Namespaces that could not be created or entered.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct NamespaceError {
    /// The failed operation.
    what: String,
    hint: Option<String>,
    /// The cause.
    #[source]
    source: Option<io::Error>,
}

impl NamespaceError {
    /// Describes a failed operation without its cause.
    pub(crate) fn new(what: impl Into<String>, source: io::Error) -> Self {
        Self { what: what.into(), hint: None, source: Some(source) }
    }

    /// Describes a failed operation that has no cause.
    pub(super) fn plain(what: impl Into<String>) -> Self {
        Self { what: what.into(), hint: None, source: None }
    }

    /// Adds what would help.
    pub(super) fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Serialises the error for another process.
    pub(super) fn reported(&self) -> ErrorMessage {
        ErrorMessage { what: self.what.clone(), because: causes(self).join(": "), hint: self.hint.clone() }
    }
}

impl Hint for NamespaceError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        self.hint.clone().map(Cow::Owned)
    }
}

/// A serialised [`NamespaceError`].
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ErrorMessage {
    what: String,
    because: String,
    hint: Option<String>,
}

impl From<ErrorMessage> for NamespaceError {
    fn from(reported: ErrorMessage) -> Self {
        let source = (!reported.because.is_empty()).then(|| io::Error::other(reported.because));
        Self { what: reported.what, hint: reported.hint, source }
    }
}

/// Takes ownership of an inherited descriptor.
pub fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    super::sys::inherited_fd(number)
}

/// Creates an error for `map_err`.
pub(super) fn failed(what: impl Into<String>) -> impl FnOnce(io::Error) -> NamespaceError {
    move |source| NamespaceError::new(what, source)
}

/// Explains why namespaces cannot be created.
pub(super) fn no_namespaces(source: io::Error) -> NamespaceError {
    let hint = match source.raw_os_error().map(Errno::from_raw) {
        Some(Errno::EPERM | Errno::EACCES) => {
            "user namespaces are disabled (by a sysctl, AppArmor or the container's seccomp filter): \
             `dryrack doctor` shows which, and how to enable them"
        }
        Some(Errno::ENOSPC) => {
            "the limit on namespaces is reached: raise the sysctl `user.max_user_namespaces`"
        }
        Some(Errno::EINVAL | Errno::ENOSYS) => {
            "this kernel was built without user, PID or network namespaces"
        }
        _ => "`dryrack doctor` tests namespaces step by step",
    };
    NamespaceError::new("cannot create namespaces for the lab", source).with_hint(hint)
}
