//! Which program a file is for.

use std::path::Path;

use super::files::{Files, PathKind};
use super::{data_directory, dnsmasq, isc, kea, libvirt, placemat, tinkerbell, udhcpd, vagrant, xml};
use crate::diag::Sources;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $word:literal: $what:literal,)+) => {
        /// A kind of file.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Kind {
            $($(#[$doc])* $name,)+
        }

        impl Kind {
            /// Every kind.
            pub const ALL: &[Self] = &[$(Self::$name),+];

            /// Returns its name on the command line.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)+ }
            }

            /// Returns what a file of it is.
            pub fn about(self) -> &'static str {
                match self { $(Self::$name => $what,)+ }
            }
        }
    };
}

kinds! {
    /// dnsmasq.conf.
    Dnsmasq = "dnsmasq": "dnsmasq.conf",
    /// udhcpd.conf of busybox.
    Udhcpd = "udhcpd": "udhcpd.conf of busybox",
    /// dhcpd.conf of ISC.
    Isc = "dhcpd": "dhcpd.conf of ISC",
    /// The configuration of Kea.
    Kea = "kea": "JSON of Kea's kea-dhcp4",
    /// A data directory of matchbox.
    Matchbox = "matchbox": "a data directory of matchbox",
    /// Hardware of Tinkerbell.
    Tinkerbell = "tinkerbell": "Hardware of Tinkerbell",
    /// Domains and networks of libvirt.
    Libvirt = "libvirt": "XML of a domain or network of libvirt",
    /// Machines and networks of placemat.
    Placemat = "placemat": "YAML of placemat",
    /// A Vagrantfile.
    Vagrant = "vagrant": "a Vagrantfile",
}

impl std::str::FromStr for Kind {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let known = Self::ALL.iter().copied().find(|kind| kind.as_str() == word);
        known.ok_or_else(|| {
            let words: Vec<_> = Self::ALL.iter().map(|kind| kind.as_str()).collect();
            format!("the kinds are {}", words.join(", "))
        })
    }
}

/// Returns the kind of a file, by its name and by what is in it.
pub(super) fn recognise(path: &Path, text: &str, files: &dyn Files) -> Option<Kind> {
    if files.kind(path) == Some(PathKind::Folder) {
        return data_directory::is_one(path, files).then_some(Kind::Matchbox);
    }
    let name = path.file_name()?.to_string_lossy().to_ascii_lowercase();
    by_name(&name).or_else(|| by_structure(&name, text)).or_else(|| by_lines(text))
}

fn by_name(name: &str) -> Option<Kind> {
    let conf = name.contains("conf");
    match name {
        _ if conf && name.contains("udhcpd") => Some(Kind::Udhcpd),
        _ if conf && name.contains("dnsmasq") => Some(Kind::Dnsmasq),
        _ if conf && name.contains("dhcpd") && !name.contains("dhcpcd") => Some(Kind::Isc),
        _ if name.contains("kea") && conf => Some(Kind::Kea),
        _ if name.starts_with("vagrantfile") => Some(Kind::Vagrant),
        _ => None,
    }
}

/// Tells the formats apart that have a structure: JSON, XML, YAML.
fn by_structure(name: &str, text: &str) -> Option<Kind> {
    if vagrant::is_one(text) {
        return Some(Kind::Vagrant);
    }
    if text.trim_start().starts_with('<') {
        // What is named `.xml` and is no XML is an error of its syntax.
        let parsed = xml::parse(text, 0).ok();
        let wrong = parsed.is_none() && (text.contains("<domain") || text.contains("<network"));
        return (wrong || parsed.is_some_and(|document| libvirt::is_one(&document))).then_some(Kind::Libvirt);
    }
    let plain = kea::without_comments(text);
    if plain.trim_start().starts_with('{') {
        let kinds = ["\"Dhcp4\"", "\"Dhcp6\"", "\"Control-agent\"", "\"DhcpDdns\""];
        return kinds.iter().any(|kind| plain.contains(kind)).then_some(Kind::Kea);
    }
    let yaml = name.ends_with(".yaml")
        || name.ends_with(".yml")
        || text.contains("kind:")
        || text.contains("netboot:");
    if !yaml {
        return None;
    }
    let mut sources = Sources::default();
    let file = sources.add(name, text);
    let mut problems = Vec::new();
    let document = tinkerbell::parse(text, file, &sources, &mut problems);
    match (tinkerbell::is_hardware(&document), placemat::is_one(&document)) {
        (true, _) => Some(Kind::Tinkerbell),
        (_, true) => Some(Kind::Placemat),
        _ if !problems.is_empty() && text.contains("tinkerbell.org") => Some(Kind::Tinkerbell),
        _ => None,
    }
}

/// Tells the formats apart that consist of lines, by their words.
fn by_lines(text: &str) -> Option<Kind> {
    let lines: Vec<&str> =
        text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let count = |of: &dyn Fn(&str) -> bool| lines.iter().filter(|line| of(line)).count();
    let dnsmasq = count(&|line| dnsmasq::is_known(line.split('=').next().unwrap_or_default().trim()));
    let udhcpd = count(&|line| {
        let mut words = line.split_whitespace();
        words.next().is_some_and(|word| udhcpd::KEYWORDS.contains(&word)) && words.next().is_some()
    });
    let isc = count(&|line| {
        let ends = line.ends_with([';', '{', '}']);
        let word = line.split([' ', ';']).next().unwrap_or_default();
        ends && (isc::is_known(word) || line.starts_with('}'))
    });
    let counts = [(dnsmasq, Kind::Dnsmasq), (udhcpd, Kind::Udhcpd), (isc, Kind::Isc)];
    // Most of the lines must be of one format.
    let (most, kind) = counts.into_iter().max_by_key(|(count, _)| *count)?;
    (most > 0 && most * 2 > lines.len()).then_some(kind)
}
