//! Problems of a config with their positions.

use super::schema::Field;

/// A problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The line of the text, from 1, if known.
    pub line: Option<usize>,
    /// The message, beginning with the field.
    pub message: String,
}

impl Problem {
    /// Creates a problem; line 0 means none.
    pub(crate) fn new(line: usize, message: impl Into<String>) -> Self {
        Self { line: (line > 0).then_some(line), message: message.into() }
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

/// The language of a text, which determines the names of fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Language {
    /// Ignition.
    Json,
    /// Butane.
    Yaml,
}

/// All problems of a text in one language.
#[derive(Debug)]
pub(crate) struct Report {
    /// The language.
    pub(crate) language: Language,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
}

impl Report {
    /// Creates an empty report.
    pub(crate) fn new(language: Language) -> Self {
        Self { language, problems: Vec::new(), warnings: Vec::new() }
    }

    /// Adds a problem at a path.
    pub(crate) fn add(&mut self, line: usize, path: &JsonPath<'_>, message: impl AsRef<str>) {
        self.problems.push(self.problem(line, path, message.as_ref()));
    }

    /// Adds what is probably not intended, but accepted.
    pub(crate) fn warn(&mut self, line: usize, path: &JsonPath<'_>, message: impl AsRef<str>) {
        self.warnings.push(self.problem(line, path, message.as_ref()));
    }

    fn problem(&self, line: usize, path: &JsonPath<'_>, message: &str) -> Problem {
        let path = path.written(self.language);
        Problem::new(line, if path.is_empty() { message.to_owned() } else { format!("{path}: {message}") })
    }

    /// Returns the problems by line if there are any, otherwise the warnings.
    pub(crate) fn finish(self) -> Result<Vec<Problem>, Vec<Problem>> {
        let sorted = |mut problems: Vec<Problem>| {
            problems.sort_by_key(|problem| problem.line);
            problems.dedup();
            problems
        };
        if self.problems.is_empty() { Ok(sorted(self.warnings)) } else { Err(sorted(self.problems)) }
    }
}

/// A field of a config, or an item of a list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct JsonPath<'a> {
    above: Option<&'a JsonPath<'a>>,
    step: Step,
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Root,
    Field(&'static Field),
    Item(usize),
}

impl JsonPath<'_> {
    /// Returns the whole config.
    pub(crate) fn root() -> Self {
        Self { above: None, step: Step::Root }
    }

    /// Returns a field below.
    pub(crate) fn field(&self, field: &'static Field) -> JsonPath<'_> {
        JsonPath { above: Some(self), step: Step::Field(field) }
    }

    /// Returns an item of the list.
    pub(crate) fn item(&self, index: usize) -> JsonPath<'_> {
        JsonPath { above: Some(self), step: Step::Item(index) }
    }

    fn written(&self, language: Language) -> String {
        let above = self.above.map(|above| above.written(language)).unwrap_or_default();
        match self.step {
            Step::Root => above,
            Step::Item(index) => format!("{above}[{index}]"),
            Step::Field(field) => {
                let name = if language == Language::Json { field.name } else { field.yaml };
                if above.is_empty() { name.to_owned() } else { format!("{above}.{name}") }
            }
        }
    }
}
