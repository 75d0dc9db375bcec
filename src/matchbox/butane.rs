//! Translates Butane configs to Ignition as matchbox does.
//!
//! A Butane config is YAML with the fields of Ignition under other names, and
//! `sugar`. Its variant and version determine the Ignition version and the allowed
//! fields. matchbox then parses the result as 3.4.0 or older, so its clients get an
//! empty config for anything newer.

mod boot;
mod mode;
mod mount;
mod sugar;

use std::ops::RangeInclusive;

use crate::matchbox::ignition::report::{JsonPath, Language, Report};
use crate::matchbox::ignition::schema::{self, Type};
use crate::matchbox::ignition::value::{Content, Record, Value, merge};
use crate::matchbox::ignition::{Config, Problem, Version, decode, semver};
use crate::matchbox::tree::{Tree, What};
use crate::matchbox::yaml::{self, Resolved, YamlError};

/// The translation of a Butane config.
#[derive(Debug, Clone, PartialEq)]
pub enum Translated {
    /// A config for clients.
    Ignition(Config),
    /// Something that the real server creates and then cannot parse, with the reasons: its clients get [an empty
    /// config](crate::matchbox::ignition::skeleton).
    Newer(Vec<Problem>),
}

/// The target system of a config.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Variant {
    /// Fedora CoreOS, with or without `boot_device`.
    Fcos { boot: bool },
    /// Flatcar, which has no Clevis.
    Flatcar,
    /// RHEL for Edge and Fedora IoT, which are partitioned before Ignition runs.
    Edge,
    /// OpenShift, which embeds configs in a Kubernetes resource.
    OpenShift,
}

/// Every variant and version that translates to Ignition 3.4.0 or older.
const SPECS: &[(&str, &str, Variant, Version)] = &[
    ("fcos", "1.0.0", Variant::Fcos { boot: false }, Version::V3_0),
    ("fcos", "1.1.0", Variant::Fcos { boot: false }, Version::V3_1),
    ("fcos", "1.2.0", Variant::Fcos { boot: false }, Version::V3_2),
    ("fcos", "1.3.0", Variant::Fcos { boot: true }, Version::V3_2),
    ("fcos", "1.4.0", Variant::Fcos { boot: true }, Version::V3_3),
    ("fcos", "1.5.0", Variant::Fcos { boot: true }, Version::V3_4),
    ("flatcar", "1.0.0", Variant::Flatcar, Version::V3_3),
    ("flatcar", "1.1.0", Variant::Flatcar, Version::V3_4),
    ("r4e", "1.0.0", Variant::Edge, Version::V3_3),
    ("r4e", "1.1.0", Variant::Edge, Version::V3_4),
    ("fiot", "1.0.0", Variant::Edge, Version::V3_4),
];

/// Every other version of Butane 0.29: it translates to something newer, or not to Ignition.
const NEWER: &[(&str, &str, Variant)] = &[
    ("fcos", "1.6.0", Variant::Fcos { boot: true }),
    ("fcos", "1.7.0", Variant::Fcos { boot: true }),
    ("fcos", "1.8.0-experimental", Variant::Fcos { boot: true }),
    ("flatcar", "1.2.0-experimental", Variant::Flatcar),
    ("r4e", "1.2.0-experimental", Variant::Edge),
    ("fiot", "1.1.0-experimental", Variant::Edge),
    ("openshift", "5.0.0-experimental", Variant::OpenShift),
];

/// The minor versions of OpenShift 4 that Butane 0.29 knows.
const OPENSHIFT: RangeInclusive<u64> = 8..=22;

/// Translates a Butane config to Ignition, or returns all its problems.
pub fn translate(text: &[u8]) -> Result<Translated, Vec<Problem>> {
    let tree = yaml::read(text).map_err(|YamlError { line, message }| vec![Problem::new(line, message)])?;
    let head = head(&tree)?;
    let minor = head.becomes.unwrap_or(Version::NEWEST).minor();
    let mut report = Report::new(Language::Yaml);
    let boots = head.variant == Variant::Fcos { boot: true };
    let kind: &'static Type = if boots { &schema::BUTANE_FCOS } else { &schema::BUTANE };
    let mut config = decode::record(&tree, kind, minor, &mut report);
    let mut warnings = report.finish()?;
    let mut report = Report::new(Language::Yaml);
    sugar::check(&config, minor, head.becomes.is_some(), &mut report);
    if boots && head.becomes.is_some() {
        boot::check(&config, &mut report);
    }
    if head.variant == Variant::OpenShift {
        machine_config(&tree, minor, &mut report)?;
    }
    warnings.extend(report.finish()?);
    let Some(version) = head.becomes else {
        return Ok(Translated::Newer(vec![head.newer()]));
    };
    let root = ignition(&mut config, minor);
    let mut report = Report::new(Language::Yaml);
    forbidden(&root, head.variant, &mut report);
    report.finish()?;
    let config = Config::checked(root, version, Report::new(Language::Yaml))?;
    Ok(Translated::Ignition(config.warned(warnings)))
}

/// Variant and version.
struct Head {
    variant: Variant,
    name: String,
    version: String,
    line: usize,
    becomes: Option<Version>,
}

impl Head {
    fn newer(&self) -> Problem {
        let Self { name, version, line, .. } = self;
        let becomes = match self.variant {
            Variant::OpenShift => "a MachineConfig, which is no Ignition config",
            _ => "an Ignition config newer than 3.4.0, which matchbox cannot read",
        };
        Problem::new(*line, format!("version: {name} {version} becomes {becomes}"))
    }
}

fn head(tree: &Tree) -> Result<Head, Vec<Problem>> {
    let root = tree.node(tree.root());
    match &root.what {
        What::Map(_) => {}
        What::Scalar(scalar) if yaml::resolve(scalar) == Ok(Resolved::Null) => {}
        other => {
            return Err(vec![Problem::new(root.line, format!("a config is a map, not {}", other.called()))]);
        }
    }
    let mut report = Report::new(Language::Yaml);
    let fields = decode::record(tree, &schema::BUTANE_HEAD, 0, &mut report);
    report.finish()?;
    let text = |name: &str| {
        let line = fields.get(name).map_or(root.line, |value| value.line);
        (fields.text(name).unwrap_or_default().to_owned(), line)
    };
    let ((name, line_of_name), (version, line)) = (text("variant"), text("version"));
    named(name, line_of_name, version, line).map_err(|problem| vec![problem])
}

/// Finds a variant and version.
fn named(name: String, line_of_name: usize, version: String, line: usize) -> Result<Head, Problem> {
    if name.is_empty() {
        return Err(Problem::new(line_of_name, "variant: required, such as `variant: flatcar`"));
    }
    let Some((major, minor, rest)) = semver(&version) else {
        let wrong =
            if version.is_empty() { "required".to_owned() } else { format!("`{version}` is not like 1.0.0") };
        return Err(Problem::new(line, format!("version: {wrong}")));
    };
    let plain = format!("{major}.{minor}.{rest}");
    if let Some((.., variant, becomes)) = SPECS.iter().find(|spec| spec.0 == name && spec.1 == plain) {
        return Ok(Head { variant: *variant, name, version, line, becomes: Some(*becomes) });
    }
    let newer = NEWER.iter().find(|newer| newer.0 == name && newer.1 == plain).map(|newer| newer.2);
    let openshift = name == "openshift" && major == 4 && OPENSHIFT.contains(&minor) && rest == "0";
    match newer.or(openshift.then_some(Variant::OpenShift)) {
        Some(variant) => Ok(Head { variant, name, version, line, becomes: None }),
        None if name == "rhcos" => {
            Err(Problem::new(line_of_name, "variant: `rhcos` is gone; `openshift` has come in its place"))
        }
        None if SPECS.iter().any(|spec| spec.0 == name) || NEWER.iter().any(|newer| newer.0 == name) => {
            Err(Problem::new(line, format!("version: there is no {name} {version}")))
        }
        None => Err(Problem::new(
            line_of_name,
            format!("variant: `{name}` is none of `fcos`, `flatcar`, `r4e`, `fiot` and `openshift`"),
        )),
    }
}

/// Creates an Ignition config from the sections and their shorthands.
fn ignition(config: &mut Record, minor: u8) -> Record {
    let boot = config.kind.fields.iter().any(|field| field.name == "bootDevice");
    let (device, grub) = if boot { (config.take("bootDevice"), config.take("grub")) } else { (None, None) };
    let units = config.record("storage").map(|storage| mount::units(storage, minor >= 3)).unwrap_or_default();
    sugar::resolve(config, minor);
    let mut root = Record::new(&schema::CONFIG);
    for name in ["ignition", "kernelArguments", "passwd", "storage", "systemd"] {
        if let Some(section) = config.take(name) {
            root.set(name, section);
        }
    }
    // The config's own units take precedence over generated ones, but come after them.
    if !units.is_empty() {
        let line = units[0].line;
        let systemd = Record::new(&schema::SYSTEMD).with("units", units).at(line);
        root = merge(section("systemd", line, systemd), root);
    }
    if let Some(Value { line, content: Content::Record(device) }) = device
        && let Some(storage) = boot::storage(&device, line)
    {
        root = merge(section("storage", line, storage), root);
    }
    if let Some(Value { line, content: Content::Record(grub) }) = grub
        && let Some(storage) = boot::grub(&grub, line, minor)
    {
        root = merge(section("storage", line, storage), root);
    }
    root
}

fn section(name: &str, line: usize, record: Record) -> Record {
    let mut root = Record::new(&schema::CONFIG);
    root.set(name, Value::new(line, record));
    root
}

/// Reports fields that a variant does not have.
fn forbidden(root: &Record, variant: Variant, report: &mut Report) {
    let field = |record: &Record, name: &str| record.kind.fields.iter().find(|field| field.name == name);
    let path = JsonPath::root();
    let Some(storage) = root.record("storage") else {
        return arguments(root, variant, report);
    };
    let Some(of_storage) = field(root, "storage") else { return };
    let path = path.field(of_storage);
    match variant {
        Variant::Flatcar => {
            let Some(of_luks) = field(storage, "luks") else { return };
            let path = path.field(of_luks);
            for (index, luks) in storage.list("luks").iter().enumerate() {
                let Some(clevis) = luks.as_record().and_then(|luks| luks.get("clevis")) else { continue };
                if clevis.as_record().is_some_and(|clevis| !clevis.is_zero()) {
                    report.add(clevis.line, &path.item(index), "Flatcar has no `clevis` in this version");
                }
            }
        }
        Variant::Edge => {
            for name in ["disks", "filesystems", "luks", "raid"] {
                let said = storage.get(name).filter(|_| !storage.list(name).is_empty());
                if let Some((value, field)) = said.zip(field(storage, name)) {
                    report.add(value.line, &path.field(field), "this variant leaves disks as they are");
                }
            }
            arguments(root, variant, report);
        }
        Variant::Fcos { .. } | Variant::OpenShift => {}
    }
}

fn arguments(root: &Record, variant: Variant, report: &mut Report) {
    let said =
        root.get("kernelArguments").filter(|value| value.as_record().is_some_and(|record| !record.is_zero()));
    if let (Variant::Edge, Some(value)) = (variant, said) {
        report.add(value.line, &JsonPath::root(), "kernel_arguments: this variant leaves them as they are");
    }
}

/// Reports missing fields of a MachineConfig, or returns those of a wrong type.
fn machine_config(tree: &Tree, minor: u8, report: &mut Report) -> Result<(), Vec<Problem>> {
    // All other keys are unknown to this schema, so its warnings mean nothing.
    let mut decoding = Report::new(Language::Yaml);
    let config = decode::record(tree, &schema::MACHINE_CONFIG, minor, &mut decoding);
    decoding.finish()?;
    let line = config.get("metadata").map_or(tree.node(tree.root()).line, |metadata| metadata.line);
    let metadata = config.record("metadata");
    if metadata.and_then(|metadata| metadata.filled("name")).is_none() {
        report.add(line, &JsonPath::root(), "metadata.name: required");
    }
    let labels = metadata.and_then(|metadata| metadata.record("labels"));
    if labels.and_then(|labels| labels.filled("role")).is_none() {
        report.add(
            line,
            &JsonPath::root(),
            "metadata.labels: `machineconfiguration.openshift.io/role` is required",
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests;
