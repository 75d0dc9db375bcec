//! Tags of dnsmasq: which clients have them.

use std::collections::{BTreeMap, BTreeSet};

use crate::import::boot::Test;
use crate::import::document::{Document, ItemId};
use crate::name::Mac;

use super::syntax::fields;

/// The tags of a file, each with the condition under which a client has it.
#[derive(Debug, Default)]
pub(super) struct Tags {
    defined: BTreeMap<String, Vec<Definition>>,
    /// Tags that a network or an interface sets: every client of these networks has them.
    networks: BTreeMap<String, BTreeSet<usize>>,
}

/// When a client has a tag.
#[derive(Debug, Clone)]
enum Definition {
    Test(Test),
    /// It has these tags.
    Tags(Vec<String>),
}

/// The longest chain of tags that depend on each other.
const LONGEST: usize = 20;

/// The tags in front of a value, and the rest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tagged {
    /// What a client must have, with `!` in front for what it must not have.
    pub(super) wanted: Vec<String>,
    /// What is set.
    pub(super) set: Vec<String>,
    pub(super) rest: Vec<String>,
}

/// Splits off the tags in front of a value.
pub(super) fn tagged(value: &str) -> Tagged {
    let mut tagged = Tagged { wanted: Vec::new(), set: Vec::new(), rest: Vec::new() };
    for field in fields(value) {
        if !tagged.rest.is_empty() {
            tagged.rest.push(field);
            continue;
        }
        // `#` and `net:` are what older files have.
        let old = field.strip_prefix("net:").or_else(|| field.strip_prefix("tag:"));
        if let Some(tag) = old {
            let negated = tag.strip_prefix(['!', '#']);
            tagged.wanted.push(negated.map_or_else(|| tag.to_owned(), |tag| format!("!{tag}")));
        } else if let Some(tag) = field.strip_prefix("set:") {
            tagged.set.push(tag.to_owned());
        } else {
            tagged.rest.push(field);
        }
    }
    tagged
}

impl Tags {
    /// Collects the tags of a file.
    pub(super) fn collect(document: &Document) -> Self {
        let mut tags = Self::default();
        for item in document.children(Document::ROOT) {
            let value = document.text(item);
            match document.name(item) {
                "interface" => fields(value).into_iter().for_each(|name| tags.place(name, None)),
                "dhcp-range" => tagged(value).set.into_iter().for_each(|tag| tags.place(tag, None)),
                "dhcp-match" => tags.add(value, matched),
                "dhcp-userclass" => tags.add(value, |rest| user_class(rest.first()?)),
                "dhcp-vendorclass" => tags.add(value, |rest| vendor_class(rest.first()?)),
                "dhcp-mac" => tags.add(value, |rest| rest.first()?.parse().ok().map(Test::Mac)),
                "dhcp-host" => {
                    let parts = fields(value);
                    let set = parts.iter().filter_map(|part| part.strip_prefix("set:"));
                    let macs: Vec<Mac> = parts.iter().filter_map(|part| part.parse().ok()).collect();
                    for tag in set {
                        let of = tags.defined.entry(tag.to_owned()).or_default();
                        of.extend(macs.iter().map(|mac| Definition::Test(Test::Mac(*mac))));
                    }
                }
                "tag-if" => {
                    let Tagged { set, wanted, rest } = {
                        // The order of the fields does not matter here.
                        let mut all = Tagged { wanted: Vec::new(), set: Vec::new(), rest: Vec::new() };
                        for field in fields(value) {
                            let one = tagged(&field);
                            all.wanted.extend(one.wanted);
                            all.set.extend(one.set);
                            all.rest.extend(one.rest);
                        }
                        all
                    };
                    let test = match rest.is_empty() {
                        true => Definition::Tags(wanted),
                        false => Definition::Test(Test::Unclear(rest.join(","))),
                    };
                    for tag in set {
                        tags.defined.entry(tag).or_default().push(test.clone());
                    }
                }
                "dhcp-circuitid" | "dhcp-remoteid" | "dhcp-subscrid" | "dhcp-name-match" => {
                    let what = document.name(item).to_owned();
                    tags.add(value, |_| Some(Test::Unclear(what)));
                }
                _ => {}
            }
        }
        tags
    }

    fn add(&mut self, value: &str, test: impl FnOnce(&[String]) -> Option<Test>) {
        let Tagged { mut set, mut rest, .. } = tagged(value);
        // An older file has the tag without `set:`.
        if set.is_empty() && rest.len() > 1 {
            set.push(rest.remove(0));
        }
        let test = test(&rest).unwrap_or_else(|| Test::Unclear(rest.join(",")));
        for tag in set {
            self.defined.entry(tag).or_default().push(Definition::Test(test.clone()));
        }
    }

    /// Notes that the clients of a network have a tag; of none if it is not known which.
    pub(super) fn place(&mut self, tag: String, network: Option<usize>) {
        self.networks.entry(tag).or_default().extend(network);
    }

    /// Returns the networks whose clients have a tag.
    pub(super) fn networks_of(&self, tag: &str) -> impl Iterator<Item = usize> {
        self.networks.get(tag).into_iter().flatten().copied()
    }

    /// Returns the condition that a client of a network has all of these tags.
    pub(super) fn test(&self, wanted: &[String], network: usize) -> Test {
        self.test_at(wanted, network, 0)
    }

    fn test_at(&self, wanted: &[String], network: usize, depth: usize) -> Test {
        if depth > LONGEST {
            return Test::Unclear("tags that depend on each other".to_owned());
        }
        let one = |tag: &String| match tag.strip_prefix('!') {
            Some(tag) => Test::Not(Box::new(self.tag(tag, network, depth))),
            None => self.tag(tag, network, depth),
        };
        match wanted {
            [] => Test::Always,
            [tag] => one(tag),
            tags => Test::All(tags.iter().map(one).collect()),
        }
    }

    fn tag(&self, tag: &str, network: usize, depth: usize) -> Test {
        if self.networks_of(tag).any(|of| of == network) {
            return Test::Always;
        }
        let tests = self.defined.get(tag).into_iter().flatten().map(|definition| match definition {
            Definition::Test(test) => test.clone(),
            Definition::Tags(tags) => self.test_at(tags, network, depth + 1),
        });
        match (tag, tests.collect::<Vec<_>>().as_slice()) {
            ("known", []) => Test::Known,
            // Nobody sets it.
            (_, []) => Test::Not(Box::new(Test::Always)),
            (_, [test]) => test.clone(),
            (_, tests) => Test::Any(tests.to_vec()),
        }
    }

    /// Returns whether a tag is set anywhere.
    pub(super) fn is_set(&self, tag: &str) -> bool {
        let tag = tag.trim_start_matches('!');
        let builtin = ["known", "known-othernet", "bootp", "dhcpv6", "cpewan-id"].contains(&tag);
        builtin || self.defined.contains_key(tag) || self.networks.contains_key(tag)
    }
}

/// Returns the condition of `dhcp-match`.
fn matched(rest: &[String]) -> Option<Test> {
    let (option, values) = rest.split_first()?;
    let option = option.strip_prefix("option:").unwrap_or(option);
    let value = values.first().map(String::as_str);
    match (option, value) {
        ("93" | "client-arch", Some(_)) => {
            let archs: Option<Vec<Test>> = values.iter().map(|value| arch(value).map(Test::Arch)).collect();
            match archs?.as_slice() {
                [one] => Some(one.clone()),
                many => Some(Test::Any(many.to_vec())),
            }
        }
        // Only boot clients send them.
        ("93" | "client-arch" | "94" | "client-ndi" | "97" | "uuid-guid", None) => Some(Test::Always),
        ("175" | "ipxe-encap", _) => Some(Test::Ipxe),
        ("77" | "user-class", Some(value)) => user_class(value),
        ("60" | "vendor-class", Some(value)) => vendor_class(value),
        _ if option.starts_with("encap:175") => Some(Test::Ipxe),
        _ => None,
    }
}

/// Parses a number of an architecture: decimal or hexadecimal.
fn arch(text: &str) -> Option<u16> {
    let text = text.trim();
    let hex = text
        .strip_prefix("0x")
        .map(str::to_owned)
        .or_else(|| text.contains(':').then(|| text.replace(':', "")));
    match hex {
        Some(hex) => u16::from_str_radix(&hex, 16).ok(),
        None => text.parse().ok(),
    }
}

/// Returns the condition that a user class contains a text.
fn user_class(text: &str) -> Option<Test> {
    (!text.is_empty() && "iPXE".contains(text)).then_some(Test::Ipxe)
}

/// Returns the condition that a vendor class contains a text.
fn vendor_class(text: &str) -> Option<Test> {
    if "PXEClient".starts_with(text) || text.starts_with("PXEClient") || text.starts_with("HTTPClient") {
        return Some(Test::Vendor(text.to_owned()));
    }
    let number = text.strip_prefix("Arch:")?;
    Some(Test::Arch(number.get(..5)?.parse().ok()?))
}

/// Notes that the directives that only define tags are carried over by the rules that use them.
pub(super) fn carry(document: &mut Document, used: &[String]) {
    let defines = ["dhcp-match", "dhcp-userclass", "dhcp-vendorclass", "dhcp-mac", "tag-if"];
    let items: Vec<ItemId> = document.children(Document::ROOT);
    for item in items {
        if !defines.contains(&document.name(item)) {
            continue;
        }
        let Tagged { mut set, rest, .. } = tagged(document.text(item));
        if set.is_empty() {
            set.extend(rest.first().cloned());
        }
        match set.iter().any(|tag| used.contains(tag)) {
            true => document.carry(item, "the loader of the profile"),
            false => document.leave(item, "no rule of the file that is carried over asks for the tag"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diag::Span;
    use crate::import::boot::{BIOS, IPXE_UEFI, UEFI};

    fn tags(lines: &[(&str, &str)]) -> Tags {
        let mut document = Document::new(0);
        for (key, value) in lines {
            document.add(Document::ROOT, *key, Some((*value).to_owned()), Span::new(0, 0..0));
        }
        Tags::collect(&document)
    }

    #[test]
    fn tags_are_conditions() {
        let mut tags = tags(&[
            ("dhcp-match", "set:efi64,option:client-arch,7"),
            ("dhcp-match", "set:efi64,option:client-arch,9"),
            ("dhcp-match", "set:ipxe,175"),
            ("dhcp-userclass", "ipxe2,iPXE"),
            ("dhcp-vendorclass", "set:bios,PXEClient:Arch:00000"),
            ("tag-if", "set:plain,tag:efi64,tag:!ipxe"),
            ("dhcp-range", "set:lan,10.0.0.1,10.0.0.9"),
        ]);
        tags.place("lan".to_owned(), Some(0));
        let holds = |wanted: &str, client| tags.test(&tagged(wanted).wanted, 0).holds(client);
        assert!(holds("tag:efi64,tag:!ipxe", UEFI) && !holds("tag:efi64,tag:#ipxe", IPXE_UEFI));
        assert!(holds("tag:ipxe2", IPXE_UEFI) && holds("tag:bios", BIOS) && holds("net:plain", UEFI));
        assert!(tags.test(&["lan".into()], 1).is_never() && tags.test(&["!lan".into()], 1).is_always());
        assert!(holds("tag:lan", BIOS) && !holds("tag:nobody", BIOS) && tags.is_set("!efi64"));
    }
}
