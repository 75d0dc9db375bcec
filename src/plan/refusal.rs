//! Why a host cannot run a lab.

use std::fmt;

use serde::Serialize;

/// Why this host cannot run a lab, and how to fix it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Refusal {
    /// The missing requirement, and its purpose.
    pub why: String,
    /// How to fix it.
    pub hint: String,
}

impl Refusal {
    /// Creates a refusal.
    pub fn new(why: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { why: why.into(), hint: hint.into() }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n\nhint: {}", self.why, self.hint)
    }
}
