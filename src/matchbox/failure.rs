//! Why something is not served as intended, with file and line.

use std::fmt;

/// Why something is not served as intended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The file, as `generic/g1.tmpl`.
    pub file: String,
    /// The line, if known.
    pub line: Option<usize>,
    /// What is wrong.
    pub reason: String,
}

impl Failure {
    /// Creates a failure of a whole file.
    pub fn of(file: impl Into<String>, reason: impl Into<String>) -> Self {
        Self { file: file.into(), line: None, reason: reason.into() }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, line, reason } = self;
        match line {
            Some(line) => write!(f, "{file}:{line}: {reason}"),
            None => write!(f, "{file}: {reason}"),
        }
    }
}
