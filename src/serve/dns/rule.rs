//! Why a question was answered as it was, for its event.

use std::fmt;
use std::net::SocketAddr;

/// What decided an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Rule {
    /// The name of a node.
    Node,
    /// A record of the lab file.
    Record,
    /// A wildcard of the lab file.
    Wildcard,
    /// An address of the lab.
    Reverse,
    /// A zone of the lab, where there is no such thing.
    Zone,
    /// The name is not of the lab, and nobody is asked for others.
    NoUpstream,
    /// The question itself.
    Protocol,
    /// What others answered before.
    Cache,
    /// The server that was asked.
    Upstream(SocketAddr),
    /// No server answered in time.
    Silence,
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Node => "node",
            Self::Record => "lab record",
            Self::Wildcard => "wildcard",
            Self::Reverse => "reverse",
            Self::Zone => "lab zone",
            Self::NoUpstream => "no upstream",
            Self::Protocol => "protocol",
            Self::Cache => "cache",
            Self::Upstream(server) => return write!(f, "upstream {server}"),
            Self::Silence => "upstream silent",
        })
    }
}
