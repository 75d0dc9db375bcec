//! A regular expression of the lab file: its text and the compiled form.

use std::fmt;
use std::ops::Deref;

use regex::{Regex, RegexBuilder};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A larger one is a mistake, and takes long to compile.
const LARGEST: usize = 1 << 20;

/// A regular expression that is serialised as text and compiled when it is read.
#[derive(Clone)]
pub struct Pattern(Regex);

impl Pattern {
    /// Compiles a regular expression of limited size.
    pub fn new(text: &str) -> Result<Self, regex::Error> {
        RegexBuilder::new(text).size_limit(LARGEST).build().map(Self)
    }
}

impl Deref for Pattern {
    type Target = Regex;

    fn deref(&self) -> &Regex {
        &self.0
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

impl PartialEq for Pattern {
    fn eq(&self, other: &Self) -> bool {
        self.0.as_str() == other.0.as_str()
    }
}

impl Eq for Pattern {}

impl Serialize for Pattern {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(self.0.as_str())
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(from)?).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_holds_the_text_and_a_bad_or_huge_one_is_refused() {
        let pattern = Pattern::new(r"login: \d+").unwrap();
        let json = serde_json::to_string(&pattern).unwrap();
        assert_eq!(json, r#""login: \\d+""#);
        let read: Pattern = serde_json::from_str(&json).unwrap();
        assert!(read == pattern && read.is_match("a login: 7"));
        assert!(serde_json::from_str::<Pattern>(r#""(""#).is_err());
        assert!(serde_json::from_str::<Pattern>(r#""(\\w{1000}){1000}""#).is_err());
    }
}
