//! IPv6 addresses of bridges and NICs.
//!
//! A network's prefix has 64 bits, which leaves 64 bits for hosts. Derived and leased
//! addresses use these parts of them; the rest is free for addresses in the lab file:
//!
//! ```text
//! 0:0:1:x      derived, x = what the NIC's IPv4 address is within its network
//! 0:2:x:x      derived from the MAC address of a NIC without IPv4 reservation
//! 0:d:x:x      leased by DHCPv6 to clients without reservation (`plan::network`)
//! ```

use std::collections::{BTreeMap, BTreeSet};
use std::net::Ipv6Addr;

use ipnet::Ipv6Net;

use super::address::AddressUse;
use super::node::{Draft, NicDraft, firmware};
use super::{Check, Span};
use crate::config::{Located, Text};
use crate::diag::{Code, Diagnostic};
use crate::lab::Via;
use crate::lab::{Dhcp, Firmware, Network};
use crate::name::{Mac, NetworkName};

/// The prefix length that stateless address configuration needs (RFC 4862, section 5.5.3; RFC 4291, section 2.5.1).
const PREFIX: u8 = 64;
const FROM_IPV4: u64 = 0x1_0000;
const FROM_MAC: u64 = 2 << 32;

impl Check<'_> {
    /// Accepts the IPv6 address of a bridge if hosts of its prefix can get addresses.
    pub(super) fn bridge_ipv6(&mut self, address: &Located<Text<Ipv6Net>>) -> Option<Ipv6Net> {
        let Text(net) = address.value;
        let host = net.addr();
        // Unique local (RFC 4193) or global unicast, which the documentation prefix belongs to (RFC 4291, section 2.4).
        let unicast = host.is_unique_local() || host.segments()[0] & 0xe000 == 0x2000;
        let (why, help) = if !unicast {
            let why = format!("{host} cannot be the address of a bridge");
            (why, "use a private prefix, such as \"fd00:2::1/64\"".to_owned())
        } else if net.prefix_len() != PREFIX {
            let why = format!("nodes cannot get addresses with a prefix length of {}", net.prefix_len());
            (why, format!("use 64: \"{host}/64\""))
        } else if host == net.network() {
            let why = format!("{host} is the network address, not a host address");
            let first = at(net, 1);
            (why, format!("use a host address, such as \"{first}/64\""))
        } else {
            return Some(net);
        };
        self.report(Diagnostic::new(Code::BridgeAddress, address.span.clone(), why).help(help));
        None
    }

    /// Checks the IPv6 addresses of the lab file, then assigns one to every NIC that needs one.
    pub(super) fn ipv6_addresses(
        &mut self,
        drafts: &mut [Draft<'_>],
        networks: &BTreeMap<NetworkName, Network>,
    ) {
        let mut taken = self.written_ipv6(drafts, networks);
        // In the order of names, so that the order of the file does not matter.
        let mut order: Vec<_> = (0..drafts.len()).collect();
        order.sort_by_key(|index| drafts[*index].key);
        for draft in order {
            for nic in &mut drafts[draft].nics {
                let network = nic.network.as_ref().and_then(|name| networks.get(name));
                let missing = nic.ipv6.is_none() && nic.raw.is_none_or(|raw| raw.ipv6.is_missing());
                if let Some(Network { ipv6: Some(net), subnet, dhcp: Dhcp::Server { .. }, .. }) = network
                    && missing
                {
                    let first = match (nic.address, nic.mac) {
                        // An address outside of the network was reported elsewhere.
                        (Some(ipv4), _) => {
                            FROM_IPV4 + u64::from(ipv4.to_bits() & subnet.hostmask().to_bits())
                        }
                        (None, Some(mac)) => FROM_MAC + u64::from(low(mac)),
                        (None, None) => continue,
                    };
                    nic.ipv6 = (first..).map(|host| at(*net, host)).find(|address| taken.insert(*address));
                }
            }
        }
    }

    /// Reports nodes that netboot over IPv6 on networks without it.
    pub(super) fn ipv6_boots(&mut self, drafts: &[Draft<'_>], networks: &BTreeMap<NetworkName, Network>) {
        for Draft { key, raw, nics, profile, .. } in drafts {
            let profile = profile.as_ref().and_then(|name| self.raw.profile.get(name.as_str())?.1.as_ref());
            let via = profile.and_then(|profile| profile.via.value());
            let over_ipv6 = matches!(via, Some(Via::Pxe6 | Via::Http6)) && firmware(raw) != Firmware::Bios;
            let (true, Some(span)) = (over_ipv6, raw.profile.span()) else { continue };
            let on: Option<Vec<&Network>> =
                nics.iter().map(|nic| networks.get(nic.network.as_ref()?)).collect();
            // An invalid network is reported elsewhere.
            let Some([first, ..]) = on.as_deref() else { continue };
            // A process of the lab, or a machine behind the interface, may be another DHCP server.
            let has_processes = !self.raw.process.entries.is_empty();
            let gives = |network: &&Network| {
                let others = has_processes || network.interface.is_some();
                network.ipv6.is_some() && (others || matches!(network.dhcp, Dhcp::Server { .. }))
            };
            if !on.iter().flatten().any(gives) {
                let what =
                    format!("`{key}` netboots over IPv6, but none of its networks assigns IPv6 addresses");
                let help = match first.ipv6 {
                    None => format!("add network.{}.ipv6 = \"fd00:2::1/64\"", first.name),
                    Some(_) => {
                        format!("use the built-in server: network.{}.dhcp = {{ server = {{}} }}", first.name)
                    }
                };
                self.report(Diagnostic::new(Code::ViaNeedsIpv6, span.clone(), what).help(help));
            }
        }
    }

    /// Reports invalid and duplicate IPv6 addresses, and returns those in use.
    fn written_ipv6(
        &mut self,
        drafts: &[Draft<'_>],
        networks: &BTreeMap<NetworkName, Network>,
    ) -> BTreeSet<Ipv6Addr> {
        let bridges = networks.values().filter_map(|network| Some(network.ipv6?.addr()));
        let mut seen: BTreeMap<Ipv6Addr, AddressUse<'_>> = BTreeMap::new();
        for (draft, nic) in drafts.iter().flat_map(|draft| draft.nics.iter().map(move |nic| (draft, nic))) {
            let NicDraft { raw: Some(raw), network: Some(network), ipv6: Some(address), .. } = nic else {
                continue;
            };
            let (Some(network), Some(span)) = (networks.get(network), raw.ipv6.span()) else { continue };
            if self.fits_ipv6(*address, span, network)
                && let Some(first) = seen.get(address)
            {
                let what = format!("{address} is already the address of {}", first.whose(draft));
                let again = Diagnostic::new(Code::AddressTaken, span.clone(), what);
                self.report(first.settle(again, "ipv6", "give each NIC its own address, or remove `ipv6`"));
            }
            seen.entry(*address).or_insert(AddressUse { span, draft, nic });
        }
        bridges.chain(seen.into_keys()).collect()
    }

    fn fits_ipv6(&mut self, address: Ipv6Addr, span: &Span, network: &Network) -> bool {
        let name = &network.name;
        let home = self.raw.network.get(name.as_str()).and_then(|(_, raw)| raw.as_ref());
        let Some(net) = network.ipv6 else {
            // If the network's own address is invalid, there is nothing to compare with.
            if home.is_some_and(|raw| raw.ipv6.is_missing()) {
                let what = format!("{address} is not in network `{name}`, which has no IPv6");
                let bridge = Ipv6Net::new(address, PREFIX).map_or(address, |net| at(net, 1));
                let help =
                    format!("add an IPv6 address to the network: network.{name}.ipv6 = \"{bridge}/64\"");
                self.report(Diagnostic::new(Code::AddressOutside, span.clone(), what).help(help));
            }
            return false;
        };
        let (code, what) = if !net.contains(&address) {
            (Code::AddressOutside, format!("{address} lies outside network `{name}`, {}", net.trunc()))
        } else if address == net.addr() {
            (Code::AddressReserved, format!("{address} is the bridge's own address on network `{name}`"))
        } else if address == net.network() {
            // RFC 4291, section 2.6.1.
            (
                Code::AddressReserved,
                format!("{address} is the subnet-router anycast address of {}", net.trunc()),
            )
        } else {
            return true;
        };
        let position = home.and_then(|raw| raw.ipv6.span().cloned());
        let help = format!("use another address, such as {}", at(net, 16));
        let diagnostic = Diagnostic::new(code, span.clone(), what).help(help);
        self.report(match position {
            Some(position) => diagnostic.related(position, "the network"),
            None => diagnostic,
        });
        false
    }
}

/// Returns the address of a host within a prefix of 64 bits.
fn at(net: Ipv6Net, host: u64) -> Ipv6Addr {
    Ipv6Addr::from_bits((net.network().to_bits() >> 64 << 64) | u128::from(host))
}

fn low(mac: Mac) -> u32 {
    let [_, _, c, d, e, f] = mac.0;
    u32::from_be_bytes([c, d, e, f])
}
