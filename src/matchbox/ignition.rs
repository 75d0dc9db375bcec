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
        let (plain, build) = text.split_once('+').unwrap_or((text, ""));
        let (plain, suffix) = plain.split_once('-').unwrap_or((plain, ""));
        let mut parts = plain.splitn(3, '.').map(|part| {
            let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
            part.parse::<u64>().ok().filter(|_| digits)
        });
        let mut part = || parts.next().flatten().ok_or_else(malformed);
        let (major, minor, patch) = (part()?, part()?, part()?);
        let ours = major == 3 && patch == 0 && suffix.is_empty() && build.is_empty();
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
}

/// Parses a config, or returns all its problems.
pub fn read(text: &[u8]) -> Result<Config, Vec<Problem>> {
    if text.is_empty() {
        return Err(vec![Problem::new(0, "the config is empty")]);
    }
    let tree = json::read(text).map_err(|error| vec![not_json(text, &error)])?;
    let version = version(&tree).map_err(|problem| vec![problem])?;
    let mut report = Report::new(Language::Json);
    let root = decode::record(&tree, &schema::CONFIG, version.minor(), &mut report);
    report.finish()?;
    Config::checked(root, version, Report::new(Language::Json))
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
    let named = root.record("ignition").and_then(|ignition| ignition.get("version"));
    let text = named.and_then(Value::as_text).unwrap_or_default();
    let line = named.map_or(node.line, |value| value.line);
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
        report.finish()?;
        if version < Version::NEWEST {
            older::renew(&mut root);
        }
        let line = root.get("ignition").map_or(0, |ignition| ignition.line);
        let mut ignition = match root.take("ignition") {
            Some(Value { content: Content::Record(ignition), .. }) => ignition,
            _ => Record::new(&schema::IGNITION),
        };
        ignition.set("version", Value::new(line, Version::NEWEST.to_string()));
        root.set("ignition", Value::new(line, ignition));
        Ok(Self { root })
    }

    /// Writes the config as matchbox does: version 3.4.0, byte by byte.
    pub fn write(&self) -> String {
        write::write(&self.root, Version::NEWEST.minor())
    }

    /// Writes the config for an Ignition that supports nothing newer than `newest`, or returns what needs a newer
    /// version.
    pub fn write_as(&self, newest: Version) -> Result<String, Problem> {
        older::write(&self.root, newest)
    }
}

/// Returns matchbox's replacement for a config that it cannot parse: an empty one, without a version.
pub fn skeleton() -> String {
    write::write(&Record::new(&schema::CONFIG), Version::NEWEST.minor())
}

#[cfg(test)]
mod tests;
