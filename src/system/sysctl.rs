//! Kernel settings of the network namespace of the calling thread.

use std::borrow::Cow;
use std::io;

use crate::hint::Hint;
use crate::name::IfName;

const IP_FORWARD: &str = "/proc/sys/net/ipv4/ip_forward";

/// A kernel setting that could not be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {verb} {path}")]
pub struct SysctlError {
    verb: &'static str,
    path: String,
    /// The cause.
    #[source]
    pub source: io::Error,
}

impl Hint for SysctlError {
    fn hint(&self) -> Option<Cow<'static, str>> {
        let hint = match self.source.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Some(
                "with `isolation = \"none\"` this needs root; in a container it needs a writable /proc/sys",
            ),
            _ => None,
        };
        hint.map(Cow::Borrowed)
    }
}

/// Tells whether this network namespace forwards IPv4.
pub fn ip_forward() -> Result<bool, SysctlError> {
    let failed = |source| SysctlError { verb: "read", path: IP_FORWARD.to_owned(), source };
    let text = std::fs::read_to_string(IP_FORWARD).map_err(failed)?;
    Ok(text.trim() != "0")
}

/// Sets whether this network namespace forwards IPv4.
pub fn set_ip_forward(on: bool) -> Result<(), SysctlError> {
    write(IP_FORWARD.to_owned(), if on { "1" } else { "0" })
}

/// Makes an interface ignore router advertisements, which would change addresses and routes of this network
/// namespace.
pub fn ignore_routers(interface: &IfName) -> Result<(), SysctlError> {
    write(format!("/proc/sys/net/ipv6/conf/{interface}/accept_ra"), "0")
}

/// Makes interfaces take packets from sources that are not behind them by the routes of this network namespace.
pub fn accept_any_source(interfaces: &[IfName]) -> Result<(), SysctlError> {
    let interfaces = interfaces.iter().map(IfName::as_str);
    ["all", "default"]
        .into_iter()
        .chain(interfaces)
        .try_for_each(|interface| write(format!("/proc/sys/net/ipv4/conf/{interface}/rp_filter"), "0"))
}

fn write(path: String, value: &str) -> Result<(), SysctlError> {
    std::fs::write(&path, value).map_err(|source| SysctlError { verb: "write", path, source })
}
