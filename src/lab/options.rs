//! DHCP options: names, values in a lab file, encoding.
//!
//! Must never guess: a value either parses as the type of its option, or is an error.

use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

use ipnet::Ipv4Net;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::name::Malformed;

/// Raw bytes, written in hexadecimal.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Octets(pub Vec<u8>);

impl fmt::Display for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Octets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Octets {
    type Err = Malformed;

    /// Parses pairs of digits, with or without colons between them.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let malformed = || Malformed(format!("`{text}` is not hexadecimal, such as 0a0b or 0a:0b"));
        let plain: String = match text.contains(':') {
            true if text.split(':').all(|pair| pair.len() == 2) => text.replace(':', ""),
            true => return Err(malformed()),
            false => text.to_owned(),
        };
        if !plain.len().is_multiple_of(2) || !plain.is_ascii() {
            return Err(malformed());
        }
        let byte = |at: usize| u8::from_str_radix(&plain[at..at + 2], 16).ok();
        let digits = plain.bytes().all(|digit| digit.is_ascii_hexdigit());
        let bytes: Option<Vec<u8>> = (0..plain.len()).step_by(2).map(byte).collect();
        bytes.filter(|_| digits).map(Self).ok_or_else(malformed)
    }
}

impl Serialize for Octets {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Octets {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The type of an option's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OptionType {
    /// One IPv4 address.
    Address,
    /// One or more IPv4 addresses.
    Addresses,
    /// IPv4 addresses in pairs.
    Pairs,
    /// A boolean.
    Flag,
    /// A number of 8 bits.
    Number8,
    /// A number of 16 bits.
    Number16,
    /// One or more numbers of 16 bits.
    Numbers16,
    /// A number of 32 bits.
    Number32,
    /// A number of 32 bits with a sign.
    Signed32,
    /// A string.
    Text,
    /// One domain name, as labels.
    Domain,
    /// One or more domain names, as labels.
    Domains,
    /// Routes: `10.1.0.0/16 via 10.0.0.2`.
    Routes,
    /// Bytes of an unknown format.
    Bytes,
}

impl OptionType {
    /// Returns what is expected, with an example.
    pub fn wanted(self) -> &'static str {
        match self {
            Self::Address => "an IPv4 address like \"10.0.0.2\"",
            Self::Addresses => "one or more IPv4 addresses like [\"10.0.0.2\", \"10.0.0.3\"]",
            Self::Pairs => "pairs of IPv4 addresses like [\"10.1.0.0\", \"10.0.0.2\"]",
            Self::Flag => "a boolean",
            Self::Number8 => "a number from 0 to 255",
            Self::Number16 => "a number from 0 to 65535",
            Self::Numbers16 => "one or more numbers from 0 to 65535",
            Self::Number32 => "a number from 0 to 4294967295",
            Self::Signed32 => "a number from -2147483648 to 2147483647",
            Self::Text => "a string without NUL",
            Self::Domain => "a domain name like \"lab.test\"",
            Self::Domains => "one or more domain names like [\"lab.test\", \"test\"]",
            Self::Routes => "one or more routes like \"10.1.0.0/16 via 10.0.0.2\"",
            Self::Bytes => "bytes like \"hex:0a0b\", or a string",
        }
    }

    /// Encodes a value as the bytes of the option, if it has the right type.
    ///
    /// `hex:` gives the raw bytes, whatever the option's type.
    pub fn encode(self, values: &[Written<'_>]) -> Option<Vec<u8>> {
        if let [Written::Text(text)] = values
            && let Some(hex) = text.strip_prefix("hex:")
        {
            return hex.parse::<Octets>().ok().map(|octets| octets.0).filter(|bytes| !bytes.is_empty());
        }
        let one = || match values {
            [value] => Some(*value),
            _ => None,
        };
        let all = |encode: fn(Written<'_>) -> Option<Vec<u8>>| {
            let bytes: Option<Vec<Vec<u8>>> = values.iter().map(|value| encode(*value)).collect();
            bytes.filter(|bytes| !bytes.is_empty()).map(|bytes| bytes.concat())
        };
        match self {
            Self::Address => one().and_then(address),
            Self::Addresses => all(address),
            Self::Pairs => all(address).filter(|bytes| bytes.len() % 8 == 0),
            Self::Flag => match one()? {
                Written::Flag(truth) => Some(vec![u8::from(truth)]),
                Written::Number(_) | Written::Text(_) => None,
            },
            Self::Number8 => Some(u8::try_from(number(one()?)?).ok()?.to_be_bytes().to_vec()),
            Self::Number16 => number16(one()?),
            Self::Numbers16 => all(number16),
            Self::Number32 => Some(u32::try_from(number(one()?)?).ok()?.to_be_bytes().to_vec()),
            Self::Signed32 => Some(i32::try_from(number(one()?)?).ok()?.to_be_bytes().to_vec()),
            Self::Text | Self::Bytes => {
                one().and_then(text).filter(|text| !text.is_empty() && !text.contains('\0')).map(Into::into)
            }
            Self::Domain => one().and_then(domain),
            Self::Domains => all(domain),
            Self::Routes => all(route),
        }
    }
}

/// One value as written in a lab file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written<'a> {
    /// `true` or `false`.
    Flag(bool),
    /// A whole number.
    Number(i64),
    /// A string.
    Text(&'a str),
}

fn text(value: Written<'_>) -> Option<&str> {
    match value {
        Written::Text(text) => Some(text),
        Written::Flag(_) | Written::Number(_) => None,
    }
}

fn number(value: Written<'_>) -> Option<i64> {
    match value {
        Written::Number(number) => Some(number),
        Written::Flag(_) | Written::Text(_) => None,
    }
}

fn number16(value: Written<'_>) -> Option<Vec<u8>> {
    Some(u16::try_from(number(value)?).ok()?.to_be_bytes().to_vec())
}

fn address(value: Written<'_>) -> Option<Vec<u8>> {
    Some(text(value)?.parse::<Ipv4Addr>().ok()?.octets().to_vec())
}

/// Encodes a domain name as labels (RFC 1035, section 3.1), without compression.
fn domain(value: Written<'_>) -> Option<Vec<u8>> {
    let name = text(value)?.trim_end_matches('.');
    let mut bytes = Vec::new();
    for label in name.split('.') {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if label.is_empty() || label.len() > 63 || !label.chars().all(plain) {
            return None;
        }
        bytes.push(u8::try_from(label.len()).ok()?);
        bytes.extend(label.as_bytes());
    }
    bytes.push(0);
    (bytes.len() <= 255).then_some(bytes)
}

/// Encodes a route for option 121 (RFC 3442): only the significant bytes of the destination.
fn route(value: Written<'_>) -> Option<Vec<u8>> {
    let (to, by) = text(value)?.split_once(" via ")?;
    let to: Ipv4Net = if to.trim() == "default" { Ipv4Net::default() } else { to.trim().parse().ok()? };
    let by: Ipv4Addr = by.trim().parse().ok()?;
    if to.addr() != to.network() {
        return None;
    }
    let counts = usize::from(to.prefix_len()).div_ceil(8);
    Some([&[to.prefix_len()], &to.addr().octets()[..counts], &by.octets()].concat())
}

/// Returns whether the routes of option 121 include a default route.
pub fn has_default_route(mut routes: &[u8]) -> bool {
    while let Some((&length, rest)) = routes.split_first() {
        if length == 0 {
            return true;
        }
        routes = rest.get(usize::from(length).div_ceil(8) + 4..).unwrap_or_default();
    }
    false
}

/// One option that a lab file can set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Its code.
    pub code: u8,
    /// The type of its value.
    pub holds: OptionType,
    /// Its names, the preferred one first; the others are those of Kea, ISC dhcpd or dnsmasq.
    pub names: &'static [&'static str],
}

const fn known(code: u8, holds: OptionType, names: &'static [&'static str]) -> Known {
    Known { code, holds, names }
}

/// Classless routes (RFC 3442).
pub const CLASSLESS_ROUTES: u8 = 121;
/// Microsoft's code for the same.
pub const MS_CLASSLESS_ROUTES: u8 = 249;
/// Log servers.
pub const LOG_SERVERS: u8 = 7;
/// NTP servers.
pub const NTP_SERVERS: u8 = 42;
/// Domain search list.
pub const DOMAIN_SEARCH: u8 = 119;

/// The options with a name (RFC 2132 and IANA's registry).
pub const OPTIONS: &[Known] = {
    use OptionType::{
        Address, Addresses, Bytes, Domain, Domains, Flag, Number8, Number16, Number32, Numbers16,
    };
    use OptionType::{Pairs, Routes, Signed32, Text};
    &[
        known(2, Signed32, &["time-offset"]),
        known(3, Addresses, &["routers", "router"]),
        known(4, Addresses, &["time-servers"]),
        known(5, Addresses, &["name-servers", "ien116-name-servers"]),
        known(6, Addresses, &["domain-name-servers", "dns-servers", "dns-server"]),
        known(LOG_SERVERS, Addresses, &["log-servers", "log-server"]),
        known(8, Addresses, &["cookie-servers", "quotes-servers"]),
        known(9, Addresses, &["lpr-servers", "lpr-server"]),
        known(10, Addresses, &["impress-servers"]),
        known(11, Addresses, &["resource-location-servers"]),
        known(12, Text, &["host-name", "hostname"]),
        known(13, Number16, &["boot-size", "boot-file-size"]),
        known(14, Text, &["merit-dump"]),
        known(15, Text, &["domain-name"]),
        known(16, Address, &["swap-server"]),
        known(17, Text, &["root-path"]),
        known(18, Text, &["extensions-path", "extension-path"]),
        known(19, Flag, &["ip-forwarding", "ip-forward-enable"]),
        known(20, Flag, &["non-local-source-routing"]),
        known(21, Pairs, &["policy-filter"]),
        known(22, Number16, &["max-dgram-reassembly", "max-datagram-reassembly"]),
        known(23, Number8, &["default-ip-ttl", "default-ttl"]),
        known(24, Number32, &["path-mtu-aging-timeout"]),
        known(25, Numbers16, &["path-mtu-plateau-table"]),
        known(26, Number16, &["interface-mtu", "mtu"]),
        known(27, Flag, &["all-subnets-local"]),
        known(28, Address, &["broadcast-address", "broadcast"]),
        known(29, Flag, &["perform-mask-discovery"]),
        known(30, Flag, &["mask-supplier"]),
        known(31, Flag, &["router-discovery"]),
        known(32, Address, &["router-solicitation-address", "router-solicitation"]),
        known(33, Pairs, &["static-routes", "static-route"]),
        known(34, Flag, &["trailer-encapsulation"]),
        known(35, Number32, &["arp-cache-timeout", "arp-timeout"]),
        known(36, Flag, &["ieee802-3-encapsulation", "ethernet-encap"]),
        known(37, Number8, &["default-tcp-ttl", "tcp-ttl"]),
        known(38, Number32, &["tcp-keepalive-interval", "tcp-keepalive"]),
        known(39, Flag, &["tcp-keepalive-garbage"]),
        known(40, Text, &["nis-domain"]),
        known(41, Addresses, &["nis-servers", "nis-server"]),
        known(NTP_SERVERS, Addresses, &["ntp-servers", "ntp-server"]),
        known(43, Bytes, &["vendor-options", "vendor-encapsulated-options", "vendor-encap"]),
        known(44, Addresses, &["netbios-name-servers", "netbios-ns"]),
        known(45, Addresses, &["netbios-dd-servers", "netbios-dd-server", "netbios-dd"]),
        known(46, Number8, &["netbios-node-type", "netbios-nodetype"]),
        known(47, Text, &["netbios-scope"]),
        known(48, Addresses, &["font-servers", "x-windows-fs"]),
        known(49, Addresses, &["x-display-managers", "x-display-manager", "x-windows-dm"]),
        known(58, Number32, &["renewal-time", "dhcp-renewal-time", "t1"]),
        known(59, Number32, &["rebinding-time", "dhcp-rebinding-time", "t2"]),
        known(60, Text, &["vendor-class-identifier", "vendor-class"]),
        known(62, Text, &["nwip-domain-name"]),
        known(63, Bytes, &["nwip-suboptions"]),
        known(64, Text, &["nisplus-domain-name", "nisplus-domain"]),
        known(65, Addresses, &["nisplus-servers", "nisplus-server"]),
        known(66, Text, &["tftp-server-name", "tftp-server"]),
        known(67, Text, &["boot-file-name", "bootfile-name"]),
        known(68, Addresses, &["mobile-ip-home-agents", "mobile-ip-home-agent", "mobile-ip-home"]),
        known(69, Addresses, &["smtp-servers", "smtp-server"]),
        known(70, Addresses, &["pop-servers", "pop-server", "pop3-server"]),
        known(71, Addresses, &["nntp-servers", "nntp-server"]),
        known(72, Addresses, &["www-servers", "www-server"]),
        known(73, Addresses, &["finger-servers", "finger-server"]),
        known(74, Addresses, &["irc-servers", "irc-server"]),
        known(75, Addresses, &["streettalk-servers", "streettalk-server"]),
        known(
            76,
            Addresses,
            &["streettalk-directory-assistance-servers", "streettalk-directory-assistance-server"],
        ),
        known(78, Bytes, &["slp-directory-agent"]),
        known(79, Bytes, &["slp-service-scope"]),
        known(85, Addresses, &["nds-servers", "nds-server"]),
        known(86, Text, &["nds-tree-name"]),
        known(87, Text, &["nds-context"]),
        known(88, Domains, &["bcms-controller-names"]),
        known(89, Addresses, &["bcms-controller-address"]),
        known(100, Text, &["posix-timezone", "pcode"]),
        known(101, Text, &["tzdb-timezone", "tcode"]),
        known(108, Number32, &["ipv6-only-preferred"]),
        known(112, Addresses, &["netinfo-server-address"]),
        known(113, Text, &["netinfo-server-tag"]),
        known(114, Text, &["captive-portal", "v4-captive-portal", "default-url"]),
        known(116, Flag, &["auto-config"]),
        known(117, Numbers16, &["name-service-search"]),
        known(DOMAIN_SEARCH, Domains, &["domain-search"]),
        known(120, Bytes, &["sip-servers", "sip-server"]),
        known(
            CLASSLESS_ROUTES,
            Routes,
            &["classless-routes", "classless-static-route", "rfc3442-classless-static-routes"],
        ),
        known(124, Bytes, &["vivco-suboptions", "vi-vendor-class"]),
        known(125, Bytes, &["vivso-suboptions", "vendor-id-encap"]),
        known(128, Bytes, &["tftp-phone-server"]),
        known(136, Addresses, &["pana-agents", "pana-agent"]),
        known(137, Domain, &["v4-lost"]),
        known(138, Addresses, &["capwap-ac", "capwap-ac-v4"]),
        known(141, Domains, &["sip-ua-cs-domains"]),
        known(150, Addresses, &["tftp-server-addresses", "tftp-server-address"]),
        known(175, Bytes, &["ipxe-options", "ipxe-encap"]),
        known(208, Bytes, &["pxelinux-magic"]),
        known(209, Text, &["pxelinux-config-file", "loader-configfile"]),
        known(210, Text, &["pxelinux-path-prefix", "loader-pathprefix"]),
        known(211, Number32, &["pxelinux-reboot-time", "loader-reboottime"]),
        known(212, Bytes, &["option-6rd"]),
        known(213, Domain, &["v4-access-domain"]),
        known(MS_CLASSLESS_ROUTES, Routes, &["ms-classless-routes", "ms-classless-static-routes"]),
        known(252, Text, &["wpad-url", "wpad"]),
    ]
};

/// Options that a lab file cannot set: why, and what to do instead.
const OWN: &[(u8, &str, &str)] = &[
    (0, "it is padding", "leave it out"),
    (1, "it follows from the network's `address`", "change the prefix length there"),
    (50, "clients send it", "leave it out"),
    (51, "it is the lease time", "set `dhcp.server.lease-time` of the network"),
    (52, "it describes the packet format", "leave it out"),
    (53, "it is the message type", "leave it out"),
    (54, "it identifies the server", "leave it out"),
    (55, "clients send it", "leave it out"),
    (56, "it is the reason of a refusal", "leave it out"),
    (57, "clients send it", "leave it out"),
    (61, "clients send it", "leave it out; set `client-id` of a NIC instead"),
    (77, "clients send it", "leave it out"),
    (80, "it describes how the address is assigned", "leave it out"),
    (82, "relay agents add it, and get it back", "leave it out"),
    (90, "it is computed for each packet", "leave it out"),
    (93, "clients send it", "leave it out"),
    (94, "clients send it", "leave it out"),
    (97, "it repeats the client's own UUID", "leave it out; set `uuid` of a node instead"),
    (118, "relay agents and clients send it", "leave it out"),
    (255, "it ends a packet", "leave it out"),
];

/// Names of options that a lab file cannot set.
const OWN_NAMES: &[(&str, u8)] = &[
    ("subnet-mask", 1),
    ("netmask", 1),
    ("requested-address", 50),
    ("lease-time", 51),
    ("dhcp-lease-time", 51),
    ("option-overload", 52),
    ("message-type", 53),
    ("dhcp-message-type", 53),
    ("server-identifier", 54),
    ("dhcp-server-identifier", 54),
    ("parameter-request-list", 55),
    ("parameter-request", 55),
    ("max-message-size", 57),
    ("client-id", 61),
    ("dhcp-client-identifier", 61),
    ("user-class", 77),
    ("rapid-commit", 80),
    ("dhcp-agent-options", 82),
    ("agent-info", 82),
    ("client-arch", 93),
    ("client-ndi", 94),
    ("client-machine-id", 97),
    ("uuid-guid", 97),
    ("subnet-selection", 118),
];

/// Why a key is not an option that a lab file can set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoOption {
    /// There is no such option.
    Unknown,
    /// The server sets it.
    Own {
        /// Its code.
        code: u8,
        /// Why.
        why: &'static str,
        /// What to do instead.
        help: &'static str,
    },
}

/// Finds an option by its name or number. An option without a name holds bytes.
pub fn find(key: &str) -> Result<Known, NoOption> {
    let number = key.bytes().all(|digit| digit.is_ascii_digit()).then(|| key.parse::<u8>().ok()).flatten();
    let own_name = || OWN_NAMES.iter().find(|(name, _)| *name == key).map(|(_, code)| *code);
    if let Some(code) = number.or_else(own_name)
        && let Some((code, why, help)) = OWN.iter().find(|(own, ..)| *own == code)
    {
        return Err(NoOption::Own { code: *code, why, help });
    }
    let is_it = |option: &&Known| Some(option.code) == number || option.names.contains(&key);
    match (OPTIONS.iter().find(is_it), number) {
        (Some(option), _) => Ok(*option),
        (None, Some(code)) => Ok(known(code, OptionType::Bytes, &[])),
        (None, None) => Err(NoOption::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn bytes(key: &str, values: &[Written<'_>]) -> String {
        match find(key).map(|option| option.holds.encode(values)) {
            Ok(Some(bytes)) => Octets(bytes).to_string(),
            Ok(None) => "-".to_owned(),
            Err(error) => format!("{error:?}"),
        }
    }

    #[test]
    fn values_become_the_bytes_of_their_option() {
        use Written::{Flag, Number, Text};
        for (key, values, wanted) in [
            ("ntp-servers", &[Text("10.0.0.1")][..], "0a000001"),
            ("ntp-servers", &[Text("10.0.0.1"), Text("10.0.0.2")], "0a0000010a000002"),
            ("42", &[Text("10.0.0.1")], "0a000001"),
            ("ntp-servers", &[], "-"),
            ("ntp-servers", &[Text("ntp.lab")], "-"),
            ("ntp-servers", &[Number(1)], "-"),
            ("swap-server", &[Text("10.0.0.1"), Text("10.0.0.2")], "-"),
            ("static-routes", &[Text("10.1.0.0"), Text("10.0.0.2")], "0a0100000a000002"),
            ("static-routes", &[Text("10.1.0.0")], "-"),
            ("ip-forwarding", &[Flag(true)], "01"),
            ("ip-forwarding", &[Number(1)], "-"),
            ("default-ip-ttl", &[Number(255)], "ff"),
            ("default-ip-ttl", &[Number(256)], "-"),
            ("default-ip-ttl", &[Number(-1)], "-"),
            ("mtu", &[Number(9000)], "2328"),
            ("path-mtu-plateau-table", &[Number(68), Number(576)], "00440240"),
            ("t1", &[Number(5)], "00000005"),
            ("time-offset", &[Number(-3600)], "fffff1f0"),
            ("time-offset", &[Number(2_147_483_648)], "-"),
            ("root-path", &[Text("/srv")], "2f737276"),
            ("root-path", &[Text("")], "-"),
            ("root-path", &[Text("a\0")], "-"),
            ("v4-access-domain", &[Text("lab.test.")], "036c6162047465737400"),
            ("domain-search", &[Text("a.lab"), Text("b")], "0161036c616200016200"),
            ("domain-search", &[Text("a..lab")], "-"),
            ("domain-search", &[Text("")], "-"),
            ("classless-routes", &[Text("10.1.0.0/16 via 10.0.0.2")], "100a010a000002"),
            (
                "classless-routes",
                &[Text("default via 10.0.0.1"), Text("10.2.3.4/32 via 0.0.0.0")],
                "000a000001200a02030400000000",
            ),
            ("classless-routes", &[Text("10.1.0.5/16 via 10.0.0.2")], "-"),
            ("classless-routes", &[Text("10.1.0.0/16")], "-"),
            ("150", &[Text("10.0.0.1")], "0a000001"),
            ("222", &[Text("hex:0a:0B")], "0a0b"),
            ("222", &[Text("plain")], "706c61696e"),
            ("222", &[Number(5)], "-"),
            ("vendor-options", &[Text("hex:060108ff")], "060108ff"),
            ("ntp-servers", &[Text("hex:00")], "00"),
            ("222", &[Text("hex:0")], "-"),
            ("222", &[Text("hex:")], "-"),
            ("222", &[Text("hex:zz")], "-"),
            ("222", &[Text("hex:+1")], "-"),
        ] {
            assert_eq!(bytes(key, values), wanted, "{key} {values:?}");
        }
    }

    #[test]
    fn names_and_numbers_are_found_and_those_of_the_server_refused() {
        for (key, wanted) in [("53", 53), ("lease-time", 51), ("agent-info", 82), ("0", 0), ("255", 255)] {
            assert!(matches!(find(key), Err(NoOption::Own { code, .. }) if code == wanted), "{key}");
        }
        for key in ["256", "-1", "", "ntp", "NTP-SERVERS", "1.5"] {
            assert_eq!(find(key), Err(NoOption::Unknown), "{key}");
        }
        assert_eq!(find("007").map(|option| option.code), Ok(7));
    }

    #[test]
    fn each_code_and_each_name_is_there_once() {
        let codes: Vec<u8> = OPTIONS.iter().map(|option| option.code).collect();
        assert!(codes.is_sorted_by(|a, b| a < b), "{codes:?}");
        let names = OPTIONS.iter().flat_map(|option| option.names.iter().copied());
        let names: Vec<&str> = names.chain(OWN_NAMES.iter().map(|(name, _)| *name)).collect();
        assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
        assert!(OPTIONS.iter().all(|option| OWN.iter().all(|(own, ..)| *own != option.code)));
        assert!(OWN_NAMES.iter().all(|(_, code)| OWN.iter().any(|(own, ..)| own == code)));
    }

    #[test]
    fn a_default_route_is_seen_among_others() {
        let routes = |texts: &[&str]| {
            let values: Vec<_> = texts.iter().map(|text| Written::Text(text)).collect();
            OptionType::Routes.encode(&values).unwrap()
        };
        assert!(has_default_route(&routes(&["10.1.0.0/16 via 10.0.0.2", "0.0.0.0/0 via 10.0.0.1"])));
        assert!(!has_default_route(&routes(&["10.1.0.0/16 via 10.0.0.2", "10.0.0.0/8 via 10.0.0.1"])));
        assert!(!has_default_route(&[]) && !has_default_route(&[33, 1]));
    }

    #[test]
    fn octets_survive_a_round_trip() {
        let octets: Octets = "01:52:54:00".parse().unwrap();
        assert_eq!(serde_json::to_string(&octets).unwrap(), r#""01525400""#);
        assert_eq!(serde_json::from_str::<Octets>(r#""01525400""#).unwrap(), octets);
        assert!("01:5".parse::<Octets>().is_err() && "é0".parse::<Octets>().is_err());
    }
}
