//! The subnets to which this host has routes, in all routing tables.

use std::net::{Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

/// Flag of a reject route (`RTF_REJECT`).
const REJECTS: u32 = 0x0200;

/// Parses `/proc/net/fib_trie` and `/proc/net/ipv6_route`, which hold all tables (a VPN often has its own) and this
/// host's addresses.
///
/// Subnets within another one are omitted.
pub(super) fn subnets(trie: &str, routes: &str) -> Vec<IpNet> {
    let mut found: Vec<IpNet> = Vec::new();
    let mut address: Option<Ipv4Addr> = None;
    for line in trie.lines().map(str::trim_start) {
        if let Some(leaf) = line.strip_prefix("|-- ") {
            address = leaf.trim().parse().ok();
        } else if let (Some(address), Some(route)) = (address, line.strip_prefix('/')) {
            found.extend(subnet(address, route).map(IpNet::from));
        }
    }
    found.extend(routes.lines().filter_map(prefix).map(IpNet::from));
    found.sort_unstable();
    found.dedup();
    let within =
        |net: &IpNet| found.iter().any(|other| other != net && other.prefix_len() > 0 && other.contains(net));
    found.iter().filter(|net| !within(net)).copied().collect()
}

/// Parses an IPv6 route: destination, prefix length and, as the last field but one, flags. Link-local and multicast
/// routes are omitted.
fn prefix(line: &str) -> Option<Ipv6Net> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let [to, bits, .., flags, _] = words.as_slice() else { return None };
    let to = Ipv6Addr::from_bits(u128::from_str_radix(to, 16).ok()?);
    let net = Ipv6Net::new(to, u8::from_str_radix(bits, 16).ok()?).ok()?;
    let rejects = u32::from_str_radix(flags, 16).ok()? & REJECTS != 0;
    let of_every_link = to.is_loopback() || to.is_multicast() || to.is_unicast_link_local();
    (!rejects && !of_every_link).then_some(net)
}

/// Parses a route of a leaf, such as `24 link UNICAST`.
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
        let found: Vec<String> = subnets(trie, "").iter().map(IpNet::to_string).collect();
        assert_eq!(found, ["0.0.0.0/0", "10.0.0.0/8", "192.0.2.0/24", "203.0.113.9/32"]);
        assert!(subnets("", "").is_empty());
    }

    #[test]
    fn prefixes_of_ipv6_are_found_too() {
        let route = |to: &str, bits: &str, flags: &str, link: &str| {
            let zero = "0".repeat(32);
            format!("{to} {bits} {zero} 00 {zero} 00000100 00000002 00000000 {flags}     {link}\n")
        };
        let routes = [
            route("fd000083000000000000000000000000", "40", "00000001", "eth0"),
            route("fd000083000000000000000000000002", "80", "80200001", "eth0"),
            route("20010db8000700000000000000000000", "30", "00000001", "wg0"),
            route("20010db8000800000000000000000000", "30", "00000200", "lo"),
            route("fe800000000000000000000000000000", "40", "00000001", "eth0"),
            route("ff000000000000000000000000000000", "08", "00000001", "eth0"),
            route("00000000000000000000000000000001", "80", "80200001", "lo"),
            route("00000000000000000000000000000000", "00", "00000003", "eth0"),
            "nonsense\n".to_owned(),
        ];
        let found: Vec<String> = subnets("", &routes.concat()).iter().map(IpNet::to_string).collect();
        assert_eq!(found, ["::/0", "2001:db8:7::/48", "fd00:83::/64"]);
    }
}
