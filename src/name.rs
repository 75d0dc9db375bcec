//! Names, MAC addresses, interface names and sizes, valid by construction.
//!
//! Nothing here accesses the host. Values that a lab file leaves out (MACs, UUIDs,
//! interface names) are derived here from names alone, so they are the same on
//! every host and in every run.

use std::fmt;
use std::net::Ipv6Addr;
use std::path::Path;
use std::str::FromStr;

use ipnet::Ipv6Net;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};

/// Why a string is not a valid name, address or size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub String);

/// The longest name, as the label of a DNS name.
pub const LONGEST: usize = 63;

fn check_name(text: &str) -> Result<(), Malformed> {
    let refused = |why: &str| Err(Malformed(format!("`{text}` is not a valid name: {why}")));
    if text.is_empty() {
        return refused("it is empty");
    }
    if text.len() > LONGEST {
        return refused("it has more than 63 characters (RFC 1035, section 2.3.4)");
    }
    if let Some(bad) = text.chars().find(|c| !matches!(c, 'a'..='z' | '0'..='9' | '-')) {
        return refused(&format!("`{}` is not a lower-case letter, a digit or a dash", bad.escape_debug()));
    }
    if text.starts_with('-') || text.ends_with('-') {
        return refused("it begins or ends with a dash");
    }
    Ok(())
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident),+ $(,)?) => {$(
        $(#[$doc])*
        ///
        /// A DNS label (RFC 1035): lower-case letters, digits and inner dashes, at most 63.
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Parses a DNS label.
            pub fn new(text: &str) -> Result<Self, Malformed> {
                check_name(text)?;
                Ok(Self(text.to_owned()))
            }

            /// Returns the name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = Malformed;
            fn from_str(text: &str) -> Result<Self, Malformed> {
                Self::new(text)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = String::deserialize(from)?;
                Self::new(&text).map_err(serde::de::Error::custom)
            }
        }
    )+};
}

names! {
    /// The name of a lab.
    LabName,
    /// The name of a network.
    NetworkName,
    /// The name of a node; also its host name.
    NodeName,
    /// The name of one NIC of a node.
    NicName,
    /// The name of one disk of a node.
    DiskName,
    /// The name of a profile.
    ProfileName,
    /// The name of a matchbox group.
    GroupName,
    /// The name of a process.
    ProcessName,
    /// The name of an expectation.
    ExpectName,
    /// The name of an action.
    ActionName,
    /// The name of a fault.
    FaultName,
    /// The name of an image.
    ImageName,
}

impl LabName {
    /// Derives the name of a lab from its folder.
    pub fn of_folder(folder: &Path) -> Self {
        let name = folder.file_name().map(|name| slug(&name.to_string_lossy()));
        name.and_then(|name| Self::new(&name).ok()).unwrap_or_else(|| Self("lab".to_owned()))
    }
}

/// What something comes after: an expectation that is met, an action that is done, or a process that is ready.
///
/// Written with a prefix, such as `action.lose-leader`; a name without one is an expectation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Trigger {
    /// An expectation is met, for all its nodes.
    Expect(ExpectName),
    /// An action is done.
    Action(ActionName),
    /// A process is ready.
    Process(ProcessName),
}

impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expect(name) => write!(f, "{name}"),
            Self::Action(name) => write!(f, "action.{name}"),
            Self::Process(name) => write!(f, "process.{name}"),
        }
    }
}

impl FromStr for Trigger {
    type Err = Malformed;
    fn from_str(text: &str) -> Result<Self, Malformed> {
        match text.split_once('.') {
            Some(("expect", name)) => name.parse().map(Self::Expect),
            Some(("action", name)) => name.parse().map(Self::Action),
            Some(("process", name)) => name.parse().map(Self::Process),
            Some(_) | None => text.parse().map(Self::Expect),
        }
    }
}

impl Serialize for Trigger {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Trigger {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Returns a name similar to a string; empty if there is none.
pub fn slug(text: &str) -> String {
    let mapped: String =
        text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    let mapped = mapped.trim_matches('-');
    mapped[..mapped.len().min(LONGEST)].trim_end_matches('-').to_owned()
}

/// Tells whether a path, without its first slash, can be that of a file that a lab serves: clients request it as it is
/// written.
pub fn is_served_path(path: &str) -> bool {
    let plain = |c: char| c.is_ascii_graphic() && !"?#\\%".contains(c);
    path.chars().all(plain) && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
}

/// A 48-bit MAC address, written `52:54:00:12:34:56`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Derives a locally administered unicast address from names, the same on every host.
    pub fn derive(of: &[&str]) -> Self {
        let digest = digest("mac", of);
        // 52:54:00 is well known as the prefix of QEMU machines.
        Self([0x52, 0x54, 0x00, digest[0], digest[1], digest[2]])
    }

    /// Returns whether the address is a group address (multicast or broadcast).
    pub fn is_group(self) -> bool {
        self.0[0] & 1 == 1
    }

    /// Returns the link-local IPv6 address derived from the MAC (RFC 4291, appendix A).
    pub fn link_local(self) -> Ipv6Addr {
        let [a, b, c, d, e, f] = self.0;
        Ipv6Addr::from([0xfe, 0x80, 0, 0, 0, 0, 0, 0, a ^ 2, b, c, 0xff, 0xfe, d, e, f])
    }

    /// Returns the SLAAC address of a host with this MAC in a 64-bit prefix.
    pub fn within(self, net: Ipv6Net) -> Ipv6Addr {
        let prefix = net.network().to_bits() >> 64 << 64;
        Ipv6Addr::from_bits(prefix | (self.link_local().to_bits() & u128::from(u64::MAX)))
    }

    /// Writes the address with dashes, as iPXE's `mac:hexhyp` and PXELINUX do.
    pub fn hyphenated(self) -> String {
        self.to_string().replace(':', "-")
    }
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl FromStr for Mac {
    type Err = Malformed;
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let malformed = || Malformed(format!("`{text}` is not a MAC address like 52:54:00:12:34:56"));
        let mut bytes = [0; 6];
        let mut parts = text.split([':', '-']);
        for byte in &mut bytes {
            let part = parts.next().filter(|part| part.len() == 2).ok_or_else(malformed)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| malformed())?;
        }
        if parts.next().is_some() {
            return Err(malformed());
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Mac {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Mac {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}

/// The name of a kernel network interface: at most 15 bytes (IFNAMSIZ less its NUL).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IfName(String);

impl IfName {
    /// Derives the name of an interface that Dryrack creates: `dr`, a letter for its kind, eight hex digits of a hash.
    pub fn derive(kind: char, of: &[&str]) -> Self {
        let d = digest("interface", of);
        Self(format!("dr{kind}{:02x}{:02x}{:02x}{:02x}", d[0], d[1], d[2], d[3]))
    }

    /// Returns the name of another kind that belongs to the same thing.
    #[must_use]
    pub fn beside(&self, kind: char) -> Self {
        match self.is_derived() {
            true => Self(format!("dr{kind}{}", &self.0[3..])),
            false => Self::derive(kind, &[self.as_str()]),
        }
    }

    /// Tells whether it is such a name.
    pub fn is_derived(&self) -> bool {
        self.0.strip_prefix("dr").is_some_and(|rest| {
            rest.len() == 9 && rest.bytes().skip(1).all(|digit| digit.is_ascii_hexdigit())
        })
    }

    /// Parses the name of an existing interface.
    pub fn new(text: &str) -> Result<Self, Malformed> {
        let fits = !text.is_empty() && text.len() <= 15 && text != "." && text != "..";
        if !fits || text.contains(|c: char| c == '/' || c.is_whitespace() || c.is_control()) {
            return Err(Malformed(format!(
                "`{text}` is not a valid interface name (1 to 15 bytes, no `/`, no spaces)"
            )));
        }
        Ok(Self(text.to_owned()))
    }

    /// Returns the name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for IfName {
    type Err = Malformed;
    fn from_str(text: &str) -> Result<Self, Malformed> {
        Self::new(text)
    }
}

impl fmt::Display for IfName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// A number of bytes, written `4GiB`, `512MiB` or `10GB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Bytes(pub u64);

const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

impl Bytes {
    /// Returns `count` mebibytes.
    pub const fn mebi(count: u64) -> Self {
        Self(count << 20)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, size) = UNITS
            .iter()
            .filter(|(_, size)| self.0 >= *size && self.0.is_multiple_of(*size))
            .max_by_key(|(_, size)| *size)
            .unwrap_or(&("B", 1));
        write!(f, "{}{unit}", self.0 / size)
    }
}

impl FromStr for Bytes {
    type Err = Malformed;
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let malformed = || Malformed(format!("`{text}` is not a size like 512MiB or 4GiB"));
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (number, unit) = text.split_at(digits);
        let (_, size) = UNITS.iter().find(|(name, _)| *name == unit.trim_start()).ok_or_else(malformed)?;
        let number: u64 = number.parse().map_err(|_| malformed())?;
        number.checked_mul(*size).map(Self).ok_or_else(malformed)
    }
}

/// Hashes names into bytes that are the same on every host: each part is length-prefixed, so `["a","bc"]` is not
/// `["ab","c"]`.
pub fn digest(domain: &str, of: &[&str]) -> [u8; 32] {
    let mut hasher = Sha256::new();
    for part in std::iter::once(&domain).chain(of) {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_dns_labels() {
        assert!(NodeName::new("node-1").is_ok());
        for bad in ["", "Node", "a_b", "-a", "a-", "ä", "a.b", &"a".repeat(64)] {
            assert!(NodeName::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn folders_become_names() {
        let name = |folder: &str| LabName::of_folder(Path::new(folder)).to_string();
        assert_eq!(name("/labs/etcd"), "etcd");
        assert_eq!(name("/labs/My Lab (2)"), "my-lab--2");
        assert_eq!(name("/"), "lab");
        assert_eq!(name("/ä"), "lab");
        assert_eq!(name(&format!("/{}b", "-a".repeat(32))), format!("{}a", "a-".repeat(31)));
    }

    #[test]
    fn macs_round_trip() {
        let mac: Mac = "52-54-00-AB-cd-01".parse().unwrap();
        assert_eq!(mac.to_string(), "52:54:00:ab:cd:01");
        assert_eq!(mac.link_local().to_string(), "fe80::5054:ff:feab:cd01");
        assert_eq!(mac.within("fd00:2::1/64".parse().unwrap()).to_string(), "fd00:2::5054:ff:feab:cd01");
        for bad in ["", "52:54:00:ab:cd", "52:54:00:ab:cd:01:02", "52:54:00:ab:cd:0g", "5254:00:ab:cd:01"] {
            assert!(bad.parse::<Mac>().is_err(), "{bad}");
        }
        assert!(!Mac::derive(&["lab", "node"]).is_group());
    }

    #[test]
    fn sizes_round_trip() {
        for text in ["4GiB", "512MiB", "10GB", "1B", "1536MiB"] {
            assert_eq!(text.parse::<Bytes>().unwrap().to_string(), text);
        }
        for bad in ["", "4", "GiB", "4 gib", "-1GiB", "99999999999TiB", "1.5GiB"] {
            assert!(bad.parse::<Bytes>().is_err(), "{bad}");
        }
    }

    #[test]
    fn derived_interface_names_fit_and_differ() {
        let one = IfName::derive('t', &["lab", "ab", "c"]);
        let other = IfName::derive('t', &["lab", "a", "bc"]);
        assert!(one.as_str().len() <= 15);
        assert_ne!(one, other);
        assert!(one.is_derived());
        for other in ["lan", "dr0", "drbridge", "drb0123456", "drb012345678", "drbxyzxyzxy"] {
            assert!(!IfName::new(other).unwrap().is_derived(), "{other}");
        }
    }
}
