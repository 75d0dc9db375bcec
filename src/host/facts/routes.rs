//! The subnets that this host has routes to, in every routing table.

use std::net::Ipv4Addr;

use ipnet::Ipv4Net;

/// Reads `/proc/net/fib_trie`, which holds all tables (a VPN often keeps one of its own), addresses of ours included.
///
/// What lies within another subnet is left out.
pub(super) fn subnets(trie: &str) -> Vec<Ipv4Net> {
    let mut found: Vec<Ipv4Net> = Vec::new();
    let mut address: Option<Ipv4Addr> = None;
    for line in trie.lines().map(str::trim_start) {
        if let Some(leaf) = line.strip_prefix("|-- ") {
            address = leaf.trim().parse().ok();
        } else if let (Some(address), Some(route)) = (address, line.strip_prefix('/')) {
            found.extend(subnet(address, route));
        }
    }
    found.sort_unstable();
    found.dedup();
    let within = |net: &Ipv4Net| {
        found.iter().any(|other| other != net && other.prefix_len() > 0 && other.contains(net))
    };
    found.iter().filter(|net| !within(net)).copied().collect()
}

/// Reads a route of a leaf, as in `24 link UNICAST`.
fn subnet(address: Ipv4Addr, route: &str) -> Option<Ipv4Net> {
    let mut words = route.split_ascii_whitespace();
    let net = Ipv4Net::new(address, words.next()?.parse().ok()?).ok()?;
    let kind = words.nth(1)?;
    (matches!(kind, "UNICAST" | "LOCAL") && !address.is_loopback()).then_some(net)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subnets_of_all_tables_are_found_once() {
        let trie = "\
Main:
  +-- 0.0.0.0/0 3 0 5
     |-- 0.0.0.0
        /0 universe UNICAST
     +-- 127.0.0.0/8 2 0 2
        |-- 127.0.0.1
           /32 host LOCAL
     +-- 192.0.2.0/24 2 0 2
        |-- 192.0.2.0
           /24 link UNICAST
        |-- 192.0.2.2
           /32 host LOCAL
        |-- 192.0.2.255
           /32 link BROADCAST
Local:
     |-- 192.0.2.0
        /24 link UNICAST
     |-- 203.0.113.9
        /32 host LOCAL
Id 51820:
     |-- 10.0.0.0
        /8 universe UNICAST
        /16 universe UNICAST
     |-- 172.16.0.0
        /12 universe BLACKHOLE
";
        let found: Vec<String> = subnets(trie).iter().map(Ipv4Net::to_string).collect();
        assert_eq!(found, ["0.0.0.0/0", "10.0.0.0/8", "192.0.2.0/24", "203.0.113.9/32"]);
        assert!(subnets("").is_empty());
    }
}
