//! The rules of each Ignition version in addition to types.
//!
//! Only errors that are fatal in Ignition are reported. Each record of the
//! [schema](super::schema) names its rule; the schema also says which lists may
//! have duplicates.

mod disks;
mod nodes;

use std::collections::HashSet;

use disks::{disk, filesystem, luks, partition, raid};
use nodes::{config, directory, file, node, owner, storage};

use super::report::{JsonPath, Report};
use super::schema::{Field, Repeats, Rule, Side, Type};
use super::value::{Content, Record, Value};
use super::{json, unit as units, url};
use crate::matchbox::go::path::clean;

/// A record that is checked.
#[derive(Debug)]
pub(crate) struct Scope<'a> {
    /// The record.
    pub(crate) record: &'a Record,
    /// The minor version whose rules apply.
    pub(crate) minor: u8,
    line: usize,
    path: JsonPath<'a>,
    report: &'a mut Report,
}

impl Scope<'_> {
    /// Reports a problem of the whole record.
    pub(crate) fn wrong(&mut self, message: impl AsRef<str>) {
        self.report.add(self.line, &self.path, message);
    }

    /// Warns of a field.
    pub(crate) fn warn_field(&mut self, name: &str, message: impl AsRef<str>) {
        let Some(field) = field(self.record.kind, name) else { return };
        let line = self.record.get(name).map_or(self.line, |value| value.line);
        self.report.warn(line, &self.path.field(field), message);
    }

    /// Reports a problem of a field.
    pub(crate) fn wrong_field(&mut self, name: &str, message: impl AsRef<str>) {
        let Some(field) = field(self.record.kind, name) else { return self.wrong(message) };
        let line = self.record.get(name).map_or(self.line, |value| value.line);
        self.report.add(line, &self.path.field(field), message);
    }

    /// Reports a problem of an item of a list, or of a field of it.
    pub(crate) fn wrong_item(
        &mut self,
        list: &str,
        index: usize,
        name: Option<&str>,
        message: impl AsRef<str>,
    ) {
        let Some(of) = field(self.record.kind, list) else { return self.wrong(message) };
        let Some(item) = self.record.list(list).get(index) else { return self.wrong_field(list, message) };
        let path = self.path.field(of);
        let path = path.item(index);
        let below = name
            .zip(item.as_record())
            .and_then(|(name, record)| Some((field(record.kind, name)?, record.get(name))));
        match below {
            Some((field, value)) => {
                self.report.add(value.map_or(item.line, |value| value.line), &path.field(field), message);
            }
            None => self.report.add(item.line, &path, message),
        }
    }
}

fn field(kind: &'static Type, name: &str) -> Option<&'static Field> {
    kind.fields.iter().find(|field| field.name == name)
}

/// Checks a config against the rules of a minor version.
pub(crate) fn whole(config: &Record, minor: u8, report: &mut Report) {
    check(config, minor, 1, JsonPath::root(), report);
}

fn check(record: &Record, minor: u8, line: usize, path: JsonPath<'_>, report: &mut Report) {
    apply(record.kind.rule, &mut Scope { record, minor, line, path, report });
    let mut together = HashSet::new();
    for (field, value) in record.fields() {
        if field.side == Side::Butane || field.since > minor {
            continue;
        }
        match value {
            Some(Value { line, content: Content::Record(record) }) => {
                check(record, minor, *line, path.field(field), report);
            }
            Some(Value { content: Content::List(items), .. }) => {
                let path = path.field(field);
                let mut alone = HashSet::new();
                let seen = if field.repeats == Repeats::RefusedTogether { &mut together } else { &mut alone };
                for (index, item) in items.iter().enumerate() {
                    if field.repeats != Repeats::Allowed && !seen.insert(item.key()) {
                        report.add(item.line, &path.item(index), "is a duplicate");
                    }
                    if let Some(record) = item.as_record() {
                        check(record, minor, item.line, path.item(index), report);
                    }
                }
            }
            _ => {}
        }
    }
}

fn apply(rule: Rule, scope: &mut Scope<'_>) {
    match rule {
        Rule::Authority => authority(scope),
        Rule::Config => config(scope),
        Rule::Custom => custom(scope),
        Rule::Directory => directory(scope),
        Rule::Disk => disk(scope),
        Rule::Dropin => dropin(scope),
        Rule::File => file(scope),
        Rule::Filesystem => filesystem(scope),
        Rule::Header => header(scope),
        Rule::IgnitionConfig => ignition_config(scope),
        Rule::Luks => luks(scope),
        Rule::Node => node(scope),
        Rule::Nothing => {}
        Rule::Owner => owner(scope),
        Rule::Partition => partition(scope),
        Rule::Proxy => proxy(scope),
        Rule::Raid => raid(scope),
        Rule::Reference => reference(scope),
        Rule::Resource => resource(scope),
        Rule::Storage => storage(scope),
        Rule::Tang => tang(scope),
        Rule::Tls => tls(scope),
        Rule::Unit => unit(scope),
        Rule::Verification => verification(scope),
    }
}

/// Returns why Ignition rejects a path, if it does.
fn bad_path(path: &str) -> Option<&'static str> {
    if path.is_empty() {
        Some("a path is required")
    } else if !path.starts_with('/') {
        Some("a path must begin with `/`")
    } else if clean(path) != path {
        Some("a path must have no `.`, `..`, double or final `/`")
    } else {
        None
    }
}

/// Returns the extension of a file name, with the dot.
fn extension(name: &str) -> &str {
    let last = name.rsplit('/').next().unwrap_or_default();
    last.rfind('.').map_or("", |dot| &last[dot..])
}

/// Merged configs must have a source.
fn ignition_config(scope: &mut Scope<'_>) {
    if scope.minor >= 1 {
        required_sources(scope, "merge");
    }
}

/// CA certificates must have a source; before 3.1, [`authority`] checks it.
fn tls(scope: &mut Scope<'_>) {
    if scope.minor >= 1 {
        required_sources(scope, "certificateAuthorities");
    }
}

fn required_sources(scope: &mut Scope<'_>, list: &str) {
    for (index, item) in scope.record.list(list).iter().enumerate() {
        if item.as_record().and_then(|record| record.filled("source")).is_none() {
            scope.wrong_item(list, index, None, "a source is required");
        }
    }
}

/// Proxies must have an HTTP or HTTPS URL.
fn proxy(scope: &mut Scope<'_>) {
    for name in ["httpProxy", "httpsProxy"] {
        let Some(text) = scope.record.text(name) else { continue };
        match url::scheme(text).as_deref() {
            Some("http" | "https") => {}
            Some(_) => scope.wrong_field(name, "a proxy's URL must begin with `http://` or `https://`"),
            None => scope.wrong_field(name, format!("`{text}` is not a URL")),
        }
    }
}

/// A source must be a supported URL, with valid settings to fetch it.
fn resource(scope: &mut Scope<'_>) {
    let record = scope.record;
    if let Some(other) = record.filled("compression")
        && other != "gzip"
    {
        scope.wrong_field("compression", format!("`{other}` is not `gzip`"));
    }
    if record.record("verification").is_some_and(|verification| verification.text("hash").is_some())
        && record.get("source").is_none()
    {
        scope.wrong_field("verification", "there is a hash, but no source");
    }
    if let Some(why) = record.filled("source").and_then(|source| url::unusable(source, scope.minor)) {
        scope.wrong_field("source", why);
    }
    if !record.list("httpHeaders").is_empty() {
        match record.filled("source").map(url::scheme) {
            None | Some(None) => scope.wrong_field("httpHeaders", "headers need a source"),
            Some(Some(scheme)) if scheme == "http" || scheme == "https" => {}
            Some(Some(_)) => scope.wrong_field("httpHeaders", "only `http` and `https` have headers"),
        }
    }
}

/// A source must be a supported URL.
fn reference(scope: &mut Scope<'_>) {
    if scope.minor >= 1 {
        resource(scope);
    } else if let Some(why) =
        scope.record.filled("source").and_then(|source| url::unusable(source, scope.minor))
    {
        scope.wrong_field("source", why);
    }
}

/// A source is required, and must be a supported URL.
fn authority(scope: &mut Scope<'_>) {
    if scope.minor >= 1 {
        resource(scope);
    } else if let Some(why) = url::unusable(scope.record.text("source").unwrap_or_default(), scope.minor) {
        scope.wrong_field("source", why);
    }
}

/// A header needs a name and a value.
fn header(scope: &mut Scope<'_>) {
    if scope.record.filled("name").is_none() {
        scope.wrong_field("name", "a header must have a name");
    }
    if scope.record.text("value") == Some("") {
        scope.wrong_field("value", "a header's value must not be empty");
    }
}

/// A hash must name its function and have the right length.
fn verification(scope: &mut Scope<'_>) {
    let Some(hash) = scope.record.text("hash") else { return };
    let digits = match hash.split_once('-') {
        None => return scope.wrong_field("hash", "a hash is a function, `-` and digits"),
        Some(("sha512", sum)) => (sum, 128),
        Some(("sha256", sum)) if scope.minor >= 1 => (sum, 64),
        Some((function, _)) => {
            let more = if function == "sha256" { ": it needs Ignition 3.1.0" } else { "" };
            return scope.wrong_field("hash", format!("`{function}` is not a function of hashing{more}"));
        }
    };
    if digits.0.len() != digits.1 {
        scope.wrong_field("hash", format!("must have {} digits, not {}", digits.1, digits.0.len()));
    }
}

/// A custom Clevis pin needs a config.
fn custom(scope: &mut Scope<'_>) {
    let record = scope.record;
    let (pin, config) = (record.filled("pin"), record.filled("config"));
    let network = scope.minor >= 3 && record.flag("needsNetwork") == Some(true);
    if pin.is_none() && config.is_none() && !network {
        return;
    }
    match pin {
        Some("tpm2" | "tang" | "sss") => {}
        Some(other) => scope.wrong_field("pin", format!("`{other}` is not one of `tpm2`, `tang` and `sss`")),
        None => scope.wrong_field("pin", "a pin is required"),
    }
    if config.is_none() {
        scope.wrong_field("config", "a pin must have a config");
    }
}

/// A Tang server needs a URL and a thumbprint.
fn tang(scope: &mut Scope<'_>) {
    let record = scope.record;
    match url::scheme(record.text("url").unwrap_or_default()).as_deref() {
        Some("http" | "https") => {}
        _ => scope.wrong_field("url", "must begin with `http://` or `https://`"),
    }
    if record.filled("thumbprint").is_none() {
        scope.wrong_field("thumbprint", "a thumbprint is required");
    }
    if record.filled("advertisement").is_some_and(|text| json::read(text.as_bytes()).is_err()) {
        scope.wrong_field("advertisement", "is not JSON");
    }
}

const UNITS: &[&str] = &[
    ".service",
    ".socket",
    ".device",
    ".mount",
    ".automount",
    ".swap",
    ".target",
    ".path",
    ".timer",
    ".snapshot",
    ".slice",
    ".scope",
];

/// A unit needs a name with a known extension, and valid contents.
fn unit(scope: &mut Scope<'_>) {
    let name = scope.record.text("name").unwrap_or_default();
    if !UNITS.contains(&extension(name)) {
        scope.wrong_field("name", format!("`{name}` does not end like a unit of systemd"));
    }
    contents(scope);
    let enabled = scope.record.flag("enabled") == Some(true);
    if enabled && scope.record.filled("contents").is_some_and(|contents| !units::installs(contents)) {
        scope.warn_field("enabled", format!("`{name}` has no section [Install], so it is not enabled"));
    }
}

/// A drop-in needs a name, and valid contents.
fn dropin(scope: &mut Scope<'_>) {
    let name = scope.record.text("name").unwrap_or_default();
    if extension(name) != ".conf" {
        scope.wrong_field("name", format!("`{name}` does not end in `.conf`"));
    }
    contents(scope);
}

fn contents(scope: &mut Scope<'_>) {
    if let Some(why) = scope.record.text("contents").and_then(units::unreadable) {
        scope.wrong_field("contents", format!("systemd cannot read it: {why}"));
    }
}
