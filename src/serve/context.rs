//! The context of all boot services of a network.

use super::clients::Clients;
use super::connection_limit::ConnectionLimits;
use crate::event::Emitter;
use crate::fault::Faults;

/// The context of all boot services of a network.
#[derive(Debug, Clone)]
pub(super) struct Context {
    /// The nodes by address, and the sources that get replies.
    pub(super) clients: Clients,
    /// Receives the events.
    pub(super) events: Emitter,
    /// Decides what goes wrong on purpose.
    pub(super) faults: Faults,
    /// The limits of TCP connections.
    pub(super) limits: Limits,
}

impl Context {
    /// Creates a context with the usual limits, in which nothing goes wrong on purpose.
    pub(super) fn new(clients: Clients, events: Emitter) -> Self {
        Self { clients, events, faults: Faults::none(), limits: Limits::default() }
    }
}

/// The limits of TCP connections, by service.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) http: ConnectionLimits,
    pub(super) dns: ConnectionLimits,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // More than a rack with all its boot loaders opens at once.
            http: ConnectionLimits { all: 1024, each: 256 },
            // A well-behaved client needs one.
            dns: ConnectionLimits { all: 256, each: 32 },
        }
    }
}
