//! One query to a DNS server of the lab.

use std::net::IpAddr;

use super::Answer;
use crate::run::dns::{Dns, full_name, resolve};
use crate::system::host::EnteredNetwork;

/// Resolves a name, and compares its addresses as a set.
pub(super) async fn probe(
    dns: &Dns,
    from: Option<&EnteredNetwork>,
    name: &str,
    expected: Option<&[IpAddr]>,
) -> Answer {
    let full = full_name(dns, name);
    let found = match resolve(dns, from, name).await {
        Ok(found) => found,
        Err(why) => return Answer::no(why),
    };
    let listed = found.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match expected {
        _ if found.is_empty() => Answer::no(format!("{full} has no address")),
        Some(expected) if found != expected.iter().copied().collect() => {
            Answer::no(format!("{full} is {listed}"))
        }
        _ => Answer::yes(format!("{full} is {listed}")),
    }
}
