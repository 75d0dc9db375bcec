//! Errors of requests: a gRPC code and matchbox's message.

use std::fmt;
use std::io;
use std::path::Path;

use tonic::{Code, Status};

use crate::event::RpcCode;

/// A failed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RpcError {
    code: Code,
    message: String,
}

impl RpcError {
    /// Nothing has these labels.
    pub(super) fn not_found(what: &str) -> Self {
        Self { code: Code::NotFound, message: format!("matchbox: No matching {what}") }
    }

    /// The request is invalid; matchbox would crash or misbehave.
    pub(super) fn invalid(message: impl Into<String>) -> Self {
        Self { code: Code::InvalidArgument, message: message.into() }
    }

    /// The object cannot be changed by a request.
    pub(super) fn not_ours(message: impl Into<String>) -> Self {
        Self { code: Code::FailedPrecondition, message: message.into() }
    }

    /// Any other error; matchbox has one code for all of them.
    pub(super) fn unknown(message: impl Into<String>) -> Self {
        Self { code: Code::Unknown, message: message.into() }
    }

    /// A file error as Go formats it: `open /var/lib/matchbox/groups/x.json: no such file or directory`.
    pub(super) fn file(verb: &str, path: &Path, error: &io::Error) -> Self {
        let reason = match error.raw_os_error() {
            Some(number) => decapitalised(nix::errno::Errno::from_raw(number).desc()),
            None => error.to_string(),
        };
        Self::unknown(format!("{verb} {}: {reason}", path.display()))
    }
}

/// Go has the error texts of the C library, but in lower case.
fn decapitalised(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

impl From<RpcError> for Status {
    fn from(error: RpcError) -> Self {
        Self::new(error.code, error.message)
    }
}

impl fmt::Display for RpcError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Returns the name of a code as the gRPC documentation has it, such as `NOT_FOUND`.
pub(super) fn code_name(code: Code) -> RpcCode {
    match code {
        Code::Ok => RpcCode::Ok,
        Code::Cancelled => RpcCode::Cancelled,
        Code::Unknown => RpcCode::Unknown,
        Code::InvalidArgument => RpcCode::InvalidArgument,
        Code::DeadlineExceeded => RpcCode::DeadlineExceeded,
        Code::NotFound => RpcCode::NotFound,
        Code::AlreadyExists => RpcCode::AlreadyExists,
        Code::PermissionDenied => RpcCode::PermissionDenied,
        Code::ResourceExhausted => RpcCode::ResourceExhausted,
        Code::FailedPrecondition => RpcCode::FailedPrecondition,
        Code::Aborted => RpcCode::Aborted,
        Code::OutOfRange => RpcCode::OutOfRange,
        Code::Unimplemented => RpcCode::Unimplemented,
        Code::Internal => RpcCode::Internal,
        Code::Unavailable => RpcCode::Unavailable,
        Code::DataLoss => RpcCode::DataLoss,
        Code::Unauthenticated => RpcCode::Unauthenticated,
    }
}
