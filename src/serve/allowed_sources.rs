//! Source addresses that get replies before the client has proved that it owns the address.

use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;

use crate::plan::ServicePlan;

/// The subnets of a lab.
///
/// The source of a datagram can be spoofed. Replies go only to addresses of the lab, so spoofed sources get no
/// reflected traffic.
#[derive(Debug, Clone)]
pub(super) struct AllowedSources(Arc<[IpNet]>);

impl AllowedSources {
    /// Takes the subnets from a plan: the network's own, and those of the lab's other networks.
    pub(super) fn new(plan: &ServicePlan) -> Self {
        let own = [Some(plan.subnet.into()), plan.ipv6.map(IpNet::from)];
        Self::of(own.into_iter().flatten().chain(plan.dns.reverse.iter().copied()))
    }

    /// Creates it from subnets.
    pub(super) fn of(subnets: impl IntoIterator<Item = IpNet>) -> Self {
        Self(subnets.into_iter().collect())
    }

    /// Tells whether an address belongs to the lab, is link-local, or belongs to this host.
    pub(super) fn has(&self, address: IpAddr) -> bool {
        let linked = match address {
            IpAddr::V4(_) => false,
            IpAddr::V6(v6) => v6.is_unicast_link_local(),
        };
        let within = |subnet: &IpNet| subnet.contains(&address) && !is_for_all(subnet, address);
        linked || address.is_loopback() || self.0.iter().any(within)
    }
}

/// Tells whether an address of a subnet is its network or broadcast address.
fn is_for_all(subnet: &IpNet, address: IpAddr) -> bool {
    // A point-to-point subnet has none (RFC 3021), nor has IPv6.
    let has_such = address.is_ipv4() && subnet.max_prefix_len() - subnet.prefix_len() > 1;
    has_such && (address == subnet.broadcast() || address == subnet.network())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_the_lab_are_allowed() {
        let allowed_sources = AllowedSources::of(
            ["10.0.0.1/24", "10.7.0.0/16", "10.8.0.0/31", "fd00:83::1/64"].map(|net| net.parse().unwrap()),
        );
        let table = [
            ("10.0.0.11", true),
            ("10.0.0.255", false),
            ("10.0.0.0", false),
            ("10.7.9.9", true),
            ("10.0.1.11", false),
            ("10.8.0.0", true),
            ("10.8.0.1", true),
            ("192.0.2.1", false),
            ("127.0.0.1", true),
            ("0.0.0.0", false),
            ("224.0.0.1", false),
            ("255.255.255.255", false),
            ("fd00:83::9", true),
            ("fd00:84::9", false),
            ("fe80::1", true),
            ("::", false),
            ("ff02::1", false),
            ("2001:db8::1", false),
        ];
        for (address, is_allowed) in table {
            assert_eq!(allowed_sources.has(address.parse().unwrap()), is_allowed, "{address}");
        }
    }
}
