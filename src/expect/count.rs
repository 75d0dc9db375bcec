//! Counted checks: compares boots and fetches with what is expected.

use crate::event::{BootedFrom, Delivery, DhcpMessage, Known, Protocol};
use crate::lab::{Boots, Count, Fetched, Leased};

/// The result of a counted check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum CountStatus {
    /// Met, with the evidence.
    So(String),
    /// Not met yet.
    NotYet,
    /// Can no longer be met, and why.
    NeverAgain(String),
}

/// Compares the boots of a node with the expected ones.
pub(super) fn boots(wanted: &Boots, so_far: &[BootedFrom]) -> CountStatus {
    if let Some(order) = &wanted.order {
        // An unknown source is neither what is expected nor something else.
        let fits = |(wanted, is): (&BootedFrom, &BootedFrom)| is == wanted || *is == BootedFrom::Unknown;
        return if order == so_far {
            CountStatus::So(boots_so_far(so_far))
        } else if so_far.len() <= order.len() && order.iter().zip(so_far).all(fits) {
            CountStatus::NotYet
        } else {
            CountStatus::NeverAgain(boots_so_far(so_far))
        };
    }
    let from = |source| so_far.iter().filter(|from| **from == source).count();
    let counts = [
        (wanted.times, so_far.len()),
        (wanted.network, from(BootedFrom::Network)),
        (wanted.disk, from(BootedFrom::Disk)),
    ];
    let mut counts = counts.into_iter().filter_map(|(wanted, is)| Some((wanted? as usize, is)));
    if counts.clone().any(|(wanted, is)| is > wanted) {
        CountStatus::NeverAgain(boots_so_far(so_far))
    } else if counts.all(|(wanted, is)| is == wanted) {
        CountStatus::So(boots_so_far(so_far))
    } else {
        CountStatus::NotYet
    }
}

/// Returns the boot sources of a node as text: `it booted from network, disk`.
pub(super) fn boots_so_far(boots: &[BootedFrom]) -> String {
    match boots {
        [] => "no kernel came up".to_owned(),
        boots if boots.contains(&BootedFrom::Unknown) => {
            format!("it booted from {} (what other servers serve is not seen)", listed(boots))
        }
        boots => format!("it booted from {}", listed(boots)),
    }
}

/// Returns the expected boots as text: `boots from network, disk`, `3 boots, 1 from the network`.
pub(super) fn boots_wanted(wanted: &Boots) -> String {
    let Boots { order, times, network, disk } = wanted;
    if let Some(order) = order {
        return format!("boots from {}", listed(order));
    }
    let times = times.map(times_of("boot"));
    let from = |count: &Option<u32>, whence| count.map(|count| format!("{count} from {whence}"));
    let parts = [times, from(network, "the network"), from(disk, "disk")];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    let text = parts.join(", ");
    if text.contains("boot") { text } else { format!("boots: {text}") }
}

fn listed(boots: &[BootedFrom]) -> String {
    boots.iter().map(|from| from.as_str()).collect::<Vec<_>>().join(", ")
}

fn times_of(what: &'static str) -> impl Fn(u32) -> String {
    move |count| format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

/// Tells whether an event matches a fetch check.
pub(super) fn counts(wanted: &Fetched, known: &Known) -> bool {
    // An aborted download does not count.
    let Some(Delivery { path, by, role: _, bytes: _, server }) = known.delivery() else { return false };
    let is_wanted = match by {
        Protocol::Tftp => wanted.method.is_none() && wanted.status.is_none(),
        Protocol::Http { method, status } => {
            wanted.status.map_or((200..300).contains(&status), |wanted| wanted == status)
                && method == wanted.method.as_deref().unwrap_or("GET")
        }
    };
    let is_from = wanted.server.is_none_or(|wanted| wanted.is(server));
    is_wanted && is_from && wanted.path.is_match(path)
}

/// Tells whether an event is a lease as expected.
pub(super) fn is_lease(wanted: &Leased, known: &Known) -> bool {
    let Known::DhcpReplied {
        reply: DhcpMessage::Ack | DhcpMessage::Reply,
        address: Some(address),
        server,
        ..
    } = known
    else {
        return false;
    };
    wanted.server.is(*server) && wanted.address.is_none_or(|wanted| wanted == *address)
}

/// Returns whether a lease was seen.
pub(super) fn leased(count: u32) -> CountStatus {
    if count > 0 { CountStatus::So("it was leased".to_owned()) } else { CountStatus::NotYet }
}

/// Returns the expected lease as text: `leased 10.0.2.21 by 10.0.2.1`.
pub(super) fn leased_wanted(Leased { server, address }: &Leased) -> String {
    let address = address.map(|address| format!("{address} ")).unwrap_or_default();
    format!("leased {address}by {}", server.address)
}

/// Compares the number of fetches with the expected one.
pub(super) fn fetched(wanted: &Fetched, count: u32) -> CountStatus {
    match wanted.often {
        Count::Exactly(wanted) if count > wanted => CountStatus::NeverAgain(fetched_so_far(count)),
        Count::Exactly(wanted) | Count::AtLeast(wanted) if count >= wanted => {
            CountStatus::So(fetched_so_far(count))
        }
        Count::Exactly(_) | Count::AtLeast(_) => CountStatus::NotYet,
    }
}

/// Returns the number of fetches as text.
pub(super) fn fetched_so_far(count: u32) -> String {
    match count {
        0 => "it was not fetched".to_owned(),
        1 => "it was fetched once".to_owned(),
        count => format!("it was fetched {count} times"),
    }
}

/// Returns the expected fetches as text: `fetched /initrd/ once`.
pub(super) fn fetched_wanted(wanted: &Fetched) -> String {
    let Fetched { path, often, method, status, server } = wanted;
    let method = method.as_ref().map(|method| format!("{method} ")).unwrap_or_default();
    let status = status.map(|status| format!(" with {status}")).unwrap_or_default();
    let server = server.map(|server| format!(" from {}", server.address)).unwrap_or_default();
    let often = match often {
        Count::AtLeast(1) => String::new(),
        Count::Exactly(1) => " once".to_owned(),
        Count::Exactly(count) => format!(" {count} times"),
        Count::AtLeast(count) => format!(" at least {count} times"),
    };
    format!("fetched {method}/{path}/{status}{server}{often}")
}
