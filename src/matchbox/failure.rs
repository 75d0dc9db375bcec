//! Why something is not served as it was meant, with its file and line.

use std::fmt;

/// Why something is not served as it was meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The file, as `generic/g1.tmpl`.
    pub file: String,
    /// The line in it, where it is known.
    pub line: Option<usize>,
    /// What is wrong.
    pub reason: String,
}

impl Failure {
    /// Makes one of a file as a whole.
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
