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
    /// The reverse name of an address of the lab.
    Reverse,
    /// A zone of the lab that has no such name or record.
    Zone,
    /// The name is outside the lab, and there is no upstream server.
    NoUpstream,
    /// The query itself is invalid.
    Protocol,
    /// A cached upstream answer.
    Cache,
    /// An upstream server.
    Upstream(SocketAddr),
    /// No upstream server answered in time.
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
