//! Groups and profiles, parsed and written as by the real server.
//!
//! The real server decodes JSON into Go structs: unknown keys are ignored, keys are case-insensitive, `null` counts
//! as absent, and a wrong type is an error. It writes with tabs, keys in the order of its structs, without empty
//! fields and without a final newline.

mod indent;

use std::collections::BTreeMap;
use std::fmt;

use serde_json::{Map, Value};

use self::indent::indent;
use super::go::json::{self, JsonError, Record};
use super::go::mac;

/// Machines with common labels, and their profile.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Group {
    /// The ID in the file. On disk, the file name counts.
    pub id: String,
    /// Its display name.
    pub name: String,
    /// The ID of its profile.
    pub profile: String,
    /// The labels that a machine must have.
    pub selector: BTreeMap<String, String>,
    /// Variables for templates; `None` if absent, which over gRPC differs from an empty map.
    pub metadata: Option<Map<String, Value>>,
}

/// What machines boot and how they are configured.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Profile {
    /// The ID in the file; a profile without one is invalid.
    pub id: String,
    /// Its display name.
    pub name: String,
    /// The name of its Ignition or Butane config.
    pub ignition_id: String,
    /// The name of its cloud-config.
    pub cloud_id: String,
    /// What is booted; `None` differs from an empty one.
    pub boot: Option<NetBoot>,
    /// The name of its generic template.
    pub generic_id: String,
}

/// A kernel with its initrds and arguments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NetBoot {
    /// The kernel.
    pub kernel: String,
    /// Its initrds.
    pub initrd: Vec<String>,
    /// Its arguments.
    pub args: Vec<String>,
}

/// Why a group or profile cannot be parsed, with Go's message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelError {
    /// The line, if known.
    pub line: Option<usize>,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ModelError {}

impl ModelError {
    fn new(message: impl Into<String>) -> Self {
        Self { line: None, message: message.into() }
    }

    /// Wraps a JSON syntax error, which has a line.
    fn of(JsonError { line, message }: JsonError) -> Self {
        Self { line: Some(line), message }
    }

    /// Wraps a type error. Go does not report its line.
    fn whole(JsonError { line: _, message }: JsonError) -> Self {
        Self { line: None, message }
    }
}

impl Group {
    /// Parses a group as the real server does: its MAC addresses are normalised, and an invalid one makes the whole
    /// group invalid.
    pub fn read(text: &[u8]) -> Result<Self, ModelError> {
        let value = json::read(text).map_err(ModelError::of)?;
        let mut group = Self::of(&value).map_err(ModelError::whole)?;
        group.normalise()?;
        Ok(group)
    }

    fn of(value: &Value) -> Result<Self, JsonError> {
        let record = Record::new("storagepb", "RichGroup", value)?;
        Ok(Self {
            id: record.string("id")?,
            name: record.string("name")?,
            profile: record.string("profile")?,
            selector: record.strings("selector")?,
            metadata: record.object("metadata")?,
        })
    }

    /// Normalises the MAC addresses of its selectors, as in labels.
    pub fn normalise(&mut self) -> Result<(), ModelError> {
        for (key, value) in &mut self.selector {
            if key.eq_ignore_ascii_case("mac") {
                let bytes = mac::parse(value).map_err(|error| ModelError::new(error.to_string()))?;
                *value = mac::write(&bytes);
            }
        }
        Ok(())
    }

    /// Returns the keys of a text that are ignored; none if it cannot be parsed.
    pub fn unknown_keys(text: &[u8]) -> Vec<String> {
        let Ok(group) = json::read(text) else { return Vec::new() };
        json::unknown(&group, &["id", "name", "profile", "selector", "metadata"])
    }

    /// Returns the real server's error for missing fields.
    pub fn check(&self) -> Result<(), ModelError> {
        if self.id.is_empty() {
            return Err(ModelError::new("Id is required"));
        }
        if self.profile.is_empty() {
            return Err(ModelError::new("Group requires a Profile"));
        }
        Ok(())
    }

    /// Writes the group as the real server does.
    pub fn write(&self) -> String {
        let selector: Map<String, Value> =
            self.selector.iter().map(|(key, value)| (key.clone(), Value::from(value.clone()))).collect();
        let mut object = Object::default();
        object.text("id", &self.id);
        object.text("name", &self.name);
        object.text("profile", &self.profile);
        object.map("selector", &selector);
        object.map("metadata", self.metadata.as_ref().unwrap_or(&Map::new()));
        indent(&object.close())
    }
}

impl Profile {
    /// Parses a profile. One without an ID is invalid.
    pub fn read(text: &[u8]) -> Result<Self, ModelError> {
        let value = json::read(text).map_err(ModelError::of)?;
        let profile = Self::of(&value).map_err(ModelError::whole)?;
        profile.check()?;
        Ok(profile)
    }

    fn of(value: &Value) -> Result<Self, JsonError> {
        let record = Record::new("storagepb", "Profile", value)?;
        let boot = |boot: Record<'_>| {
            Ok(NetBoot {
                kernel: boot.string("kernel")?,
                initrd: boot.list("initrd")?,
                args: boot.list("args")?,
            })
        };
        Ok(Self {
            id: record.string("id")?,
            name: record.string("name")?,
            ignition_id: record.string("ignition_id")?,
            cloud_id: record.string("cloud_id")?,
            boot: record.record("boot", "storagepb", "NetBoot")?.map(boot).transpose()?,
            generic_id: record.string("generic_id")?,
        })
    }

    /// Returns the keys of a text that are ignored, with their path; none if it cannot be parsed.
    pub fn unknown_keys(text: &[u8]) -> Vec<String> {
        let Ok(profile) = json::read(text) else { return Vec::new() };
        let mut unknown =
            json::unknown(&profile, &["id", "name", "ignition_id", "cloud_id", "boot", "generic_id"]);
        if let Some(boot) = json::member(&profile, "boot") {
            let below = json::unknown(boot, &["kernel", "initrd", "args"]);
            unknown.extend(below.into_iter().map(|key| format!("boot.{key}")));
        }
        unknown
    }

    /// Returns the real server's error for missing fields; it is checked on reading and on writing.
    pub fn check(&self) -> Result<(), ModelError> {
        if self.id.is_empty() { Err(ModelError::new("Id is required")) } else { Ok(()) }
    }

    /// Writes the profile as the real server does.
    pub fn write(&self) -> String {
        let mut object = Object::default();
        object.text("id", &self.id);
        object.text("name", &self.name);
        object.text("ignition_id", &self.ignition_id);
        object.text("cloud_id", &self.cloud_id);
        if let Some(NetBoot { kernel, initrd, args }) = &self.boot {
            let mut boot = Object::default();
            boot.text("kernel", kernel);
            boot.list("initrd", initrd);
            boot.list("args", args);
            object.member("boot", &boot.close());
        }
        object.text("generic_id", &self.generic_id);
        indent(&object.close())
    }
}

/// A JSON object without empty fields (`omitempty`).
#[derive(Default)]
struct Object(String);

impl Object {
    fn member(&mut self, key: &str, value: &str) {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        self.0.extend(["\"", key, "\":", value]);
    }

    fn text(&mut self, key: &str, value: &str) {
        if !value.is_empty() {
            self.member(key, &json::quote(value));
        }
    }

    fn list(&mut self, key: &str, values: &[String]) {
        if !values.is_empty() {
            let values: Vec<String> = values.iter().map(|value| json::quote(value)).collect();
            self.member(key, &format!("[{}]", values.join(",")));
        }
    }

    fn map(&mut self, key: &str, values: &Map<String, Value>) {
        if !values.is_empty() {
            self.member(key, &json::write(&Value::Object(values.clone())));
        }
    }

    fn close(self) -> String {
        if self.0.is_empty() { "{}".to_owned() } else { self.0 + "}" }
    }
}

#[cfg(test)]
mod tests;
