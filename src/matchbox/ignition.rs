//! Ignition configs, parsed and written as by matchbox: input 3.0.0 to 3.4.0, output 3.4.0.
//!
//! `schema` describes every field of every version, its type, its name in Butane
//! and how Go omits it; further rules are in `check`. A text becomes a tree with
//! line numbers (`json`), the tree becomes a config (`decode`), which is checked
//! against the rules of its version, upgraded to the newest version, and written
//! (`write`).

pub(crate) mod check;
pub(crate) mod data;
pub(crate) mod decode;
pub(crate) mod json;
mod older;
pub(crate) mod report;
pub(crate) mod schema;
mod unit;
mod url;
pub(crate) mod value;
pub(crate) mod write;

pub use report::Problem;

use report::{Language, Report};
use value::{Content, Record, Value};

use crate::matchbox::go;
use crate::matchbox::tree::{Tree, What};
use crate::name::Malformed;

/// A version of the Ignition config format; the last one is the newest that matchbox supports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
pub enum Version {
    /// 3.0.0.
    #[serde(rename = "3.0.0")]
    V3_0,
    /// 3.1.0.
    #[serde(rename = "3.1.0")]
    V3_1,
    /// 3.2.0.
    #[serde(rename = "3.2.0")]
    V3_2,
    /// 3.3.0, the newest that Debian 12's Ignition supports.
    #[serde(rename = "3.3.0")]
    V3_3,
    /// 3.4.0.
    #[serde(rename = "3.4.0")]
    V3_4,
}

impl Version {
    /// All of them, oldest first.
    pub const ALL: [Self; 5] = [Self::V3_0, Self::V3_1, Self::V3_2, Self::V3_3, Self::V3_4];
    /// The newest one.
    pub const NEWEST: Self = Self::V3_4;

    /// Returns the minor version.
    pub(crate) fn minor(self) -> u8 {
        self as u8
    }
}

impl std::str::FromStr for Version {
    type Err = Malformed;

    /// Parses a version as Go's semver does: an empty suffix and leading zeros are ignored.
    fn from_str(text: &str) -> Result<Self, Malformed> {
        let malformed = || Malformed(format!("`{text}` is none of 3.0.0, 3.1.0, 3.2.0, 3.3.0 and 3.4.0"));
        let (major, minor, rest) = semver(text).ok_or_else(malformed)?;
        let ours = major == 3 && rest == "0";
        let found = Self::ALL.into_iter().find(|version| ours && u64::from(version.minor()) == minor);
        found.ok_or_else(malformed)
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "3.{}.0", self.minor())
    }
}

/// A config that satisfies all rules of its version.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    // Invariant: a `schema::CONFIG` that names the newest version.
    root: Record,
    /// The version in which it was written.
    version: Version,
    warnings: Vec<Problem>,
}

/// Parses a config, or returns all its problems.
pub fn read(text: &[u8]) -> Result<Config, Vec<Problem>> {
    let tree = tree(text)?;
    let version = version(&tree).map_err(|problem| vec![problem])?;
    let (root, warnings) = decoded(&tree, version.minor())?;
    Config::checked(root, version, Report::new(Language::Json)).map(|config| config.warned(warnings))
}

/// Checks a config within a Butane config, whose Ignition version has this minor version.
///
/// As in Butane, only a config of that very version is checked against its rules, and others only for types.
pub(crate) fn check_nested(text: &[u8], minor: u8) -> Result<Vec<Problem>, Vec<Problem>> {
    let (root, mut warnings) = decoded(&tree(text)?, minor)?;
    let (text, line) = named_version(&root);
    let line = line.unwrap_or(1);
    let Some((major, of, rest)) = semver(text) else {
        return Err(vec![Problem::new(line, "ignition.version: a version such as 3.4.0 is required")]);
    };
    if (major, of, rest.as_str()) != (3, u64::from(minor), "0") {
        let message = format!(
            "ignition.version: {text} is not the version of the config around it, so it is not checked"
        );
        warnings.push(Problem::new(line, message));
        return Ok(warnings);
    }
    let mut report = Report::new(Language::Json);
    check::whole(&root, minor, &mut report);
    warnings.extend(report.finish()?);
    Ok(warnings)
}

/// Parses the JSON of a config.
fn tree(text: &[u8]) -> Result<Tree, Vec<Problem>> {
    if text.is_empty() {
        return Err(vec![Problem::new(0, "the config is empty")]);
    }
    json::read(text).map_err(|error| vec![not_json(text, &error)])
}

/// Decodes a config as one of a minor version, and returns it with warnings.
fn decoded(tree: &Tree, minor: u8) -> Result<(Record, Vec<Problem>), Vec<Problem>> {
    let mut report = Report::new(Language::Json);
    let root = decode::record(tree, &schema::CONFIG, minor, &mut report);
    Ok((root, report.finish()?))
}

/// Returns the version that a config names, empty if none, and its line.
fn named_version(root: &Record) -> (&str, Option<usize>) {
    let named = root.record("ignition").and_then(|ignition| ignition.get("version"));
    (named.and_then(Value::as_text).unwrap_or_default(), named.map(|value| value.line))
}

/// Returns the parts of a version as Go's semver reads them: two numbers, and the third with its suffix.
pub(crate) fn semver(text: &str) -> Option<(u64, u64, String)> {
    let (text, build) = text.split_once('+').map_or((text, ""), |(text, build)| (text, build));
    let (text, suffix) = text.split_once('-').map_or((text, ""), |(text, suffix)| (text, suffix));
    let mut parts = text.splitn(3, '.').map(|part| {
        let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        part.parse::<u64>().ok().filter(|_| digits)
    });
    let (major, minor, patch) = (parts.next()??, parts.next()??, parts.next()??);
    let mut rest = patch.to_string();
    for (mark, more) in [('-', suffix), ('+', build)] {
        if !more.is_empty() {
            rest.push(mark);
            rest.push_str(more);
        }
    }
    Some((major, minor, rest))
}

/// Describes a syntax error, with Go's message if there is one.
fn not_json(text: &[u8], error: &json::JsonError) -> Problem {
    match go::json::read(text) {
        Err(go) => Problem::new(go.line, go.message),
        Ok(_) => Problem::new(error.line, error.message.as_str()),
    }
}

/// Returns the version in a config.
fn version(tree: &Tree) -> Result<Version, Problem> {
    let mut report = Report::new(Language::Json);
    let node = tree.node(tree.root());
    let root = decode::record(tree, &schema::CONFIG, Version::NEWEST.minor(), &mut report);
    let (text, line) = named_version(&root);
    let line = line.unwrap_or(node.line);
    let malformed = match text.parse() {
        Ok(version) => return Ok(version),
        Err(malformed) => malformed,
    };
    Err(match (&node.what, text) {
        (What::Map(_), "") => Problem::new(line, "ignition.version: a version is required"),
        (What::Map(_), text) if text.starts_with("2.") => Problem::new(
            line,
            format!("ignition.version: {text} is of another language; matchbox reads 3.0.0 to 3.4.0"),
        ),
        (What::Map(_), _) => Problem::new(line, format!("ignition.version: {malformed}")),
        (other, _) => Problem::new(line, format!("a config is an object, not {}", other.called())),
    })
}

impl Config {
    /// Checks a config against the rules of its version, and upgrades it to the newest.
    pub(crate) fn checked(
        mut root: Record,
        version: Version,
        mut report: Report,
    ) -> Result<Self, Vec<Problem>> {
        check::whole(&root, version.minor(), &mut report);
        let warnings = report.finish()?;
        let line = root.get("ignition").map_or(0, |ignition| ignition.line);
        let mut ignition = match root.take("ignition") {
            Some(Value { content: Content::Record(ignition), .. }) => ignition,
            _ => Record::new(&schema::IGNITION),
        };
        ignition.set("version", Value::new(line, Version::NEWEST.to_string()));
        root.set("ignition", Value::new(line, ignition));
        Ok(Self { root, version, warnings })
    }

    /// Adds warnings from before the check.
    pub(crate) fn warned(mut self, mut warnings: Vec<Problem>) -> Self {
        warnings.append(&mut self.warnings);
        warnings.sort_by_key(|warning| warning.line);
        Self { warnings, ..self }
    }

    /// Returns what is probably not intended.
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    /// Writes the config as matchbox does: version 3.4.0, byte by byte.
    pub fn write(&self) -> String {
        write::write(&self.root, Version::NEWEST.minor())
    }

    /// Writes the config for an Ignition that supports nothing newer than `newest`, or returns what needs a newer
    /// version.
    pub fn write_as(&self, newest: Version) -> Result<String, Problem> {
        older::write(&self.root, self.version, newest)
    }
}

/// Returns matchbox's replacement for a config that it cannot parse: an empty one, without a version.
pub fn skeleton() -> String {
    write::write(&Record::new(&schema::CONFIG), Version::NEWEST.minor())
}

#[cfg(test)]
mod tests;
