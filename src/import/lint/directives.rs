//! Directives that the program does not know, or does not take.

use std::collections::BTreeMap;

use super::Case;
use crate::diag::{Code, Diagnostic, nearest};
use crate::import::document::{Document, ItemId};
use crate::import::{Kind, dnsmasq, isc, kea, libvirt, tinkerbell, udhcpd};

/// Checks the directives of one file.
///
/// `defined` has the options that the files of dhcpd define.
pub(super) fn check(case: &Case, defined: &BTreeMap<String, u8>, found: &mut Vec<Diagnostic>) {
    let document = &case.document;
    for item in document.every() {
        if document.is_missing(item) {
            let what = format!("`{}` names a file that is not there", document.name(item));
            let help = match case.kind {
                Kind::Matchbox => "put it into its folder of the data directory, or correct the name",
                _ => "put it beside the file, or below its folder with the path that it has on the server",
            };
            found.push(Diagnostic::new(Code::ForeignFile, document.span(item), what).help(help));
        }
    }
    match case.kind {
        Kind::Dnsmasq => dnsmasq(document, found),
        Kind::Udhcpd => udhcpd(document, found),
        Kind::Isc => isc(document, defined, found),
        Kind::Kea => values(document, kea::wrong, found),
        Kind::Libvirt => values(document, libvirt::wrong, found),
        Kind::Tinkerbell => values(document, tinkerbell::wrong, found),
        _ => {}
    }
}

fn unknown<'a>(
    document: &Document,
    item: ItemId,
    program: &str,
    consequence: &str,
    names: impl Iterator<Item = &'a str>,
) -> Diagnostic {
    let name = document.name(item);
    let what = format!("`{name}` is nothing that {program} knows: {consequence}");
    let help = match nearest(name, names) {
        Some(near) => format!("did you mean `{near}`?"),
        None => "remove the line, or correct it".to_owned(),
    };
    Diagnostic::new(Code::ForeignKey, document.span(item), what).help(help)
}

fn invalid(document: &Document, item: ItemId, what: impl Into<String>, help: &str) -> Diagnostic {
    Diagnostic::new(Code::ForeignValue, document.span(item), what).help(help)
}

fn values(
    document: &Document,
    wrong: fn(&Document, ItemId) -> Option<(String, &'static str)>,
    found: &mut Vec<Diagnostic>,
) {
    for item in document.every() {
        if let Some((what, help)) = wrong(document, item) {
            found.push(invalid(document, item, what, help));
        }
    }
}

fn dnsmasq(document: &Document, found: &mut Vec<Diagnostic>) {
    for item in document.children(Document::ROOT) {
        let (name, text) = (document.name(item), document.text(item));
        if !dnsmasq::is_known(name) {
            found.push(unknown(document, item, "dnsmasq", "it does not start", dnsmasq::all_keys()));
            continue;
        }
        if let Some((what, help)) = dnsmasq::wrong(name, text) {
            found.push(invalid(document, item, what, help));
        }
    }
    for (item, tag) in dnsmasq::unset_tags(document) {
        let what = format!("no line sets the tag `{tag}`, so the line applies to no client");
        found.push(
            Diagnostic::new(Code::TagNeverSet, document.span(item), what)
                .help("set it, as in `dhcp-match=set:TAG,option:client-arch,7`, or correct its name"),
        );
    }
    if let Some(item) = dnsmasq::waiting_menu(document) {
        let what = "the menu of PXE has several entries and no time limit: machines wait for a key";
        found.push(
            Diagnostic::new(Code::MenuWaits, document.span(item), what)
                .help("add `pxe-prompt=\"TEXT\",0`, which boots the first entry at once"),
        );
    }
}

fn udhcpd(document: &Document, found: &mut Vec<Diagnostic>) {
    for item in document.children(Document::ROOT) {
        let (name, text) = (document.name(item), document.text(item));
        if !udhcpd::KEYWORDS.contains(&name) {
            let names = udhcpd::KEYWORDS.iter().copied();
            found.push(unknown(document, item, "udhcpd", "it ignores the line without a word", names));
            continue;
        }
        if let Some((what, help)) = udhcpd::wrong(name, text) {
            found.push(invalid(document, item, what, help));
        }
    }
}

fn isc(document: &Document, defined: &BTreeMap<String, u8>, found: &mut Vec<Diagnostic>) {
    // A file that is not there may define anything.
    let complete = !document.every().any(|item| document.is_missing(item));
    for item in document.every().filter(|item| !isc::is_within_opaque(document, *item)) {
        let (name, text) = (document.name(item), document.text(item));
        if !isc::is_known(name) {
            // Only statements are checked, not what is within an assignment.
            found.push(unknown(document, item, "dhcpd", "it does not start", isc::all_names()));
        }
        if complete && matches!(name, "if" | "elsif" | "match") {
            for option in isc::undeclared(text, defined) {
                let what = format!("the option `{option}` is not declared, so dhcpd does not start");
                let help = match option.contains("arch") || option.contains("system-type") {
                    true => format!("add `option {option} code 93 = unsigned integer 16;`"),
                    false => format!("declare it: `option {option} code NUMBER = TYPE;`"),
                };
                found.push(Diagnostic::new(Code::OptionUndeclared, document.span(item), what).help(help));
            }
        }
        if let Some((what, help)) = isc::wrong(name, text) {
            found.push(invalid(document, item, what, help));
        }
    }
}
