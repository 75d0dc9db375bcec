//! Templates of Go's `text/template`, as matchbox renders them.
//!
//! Data are JSON: maps, lists, strings, booleans, null, and numbers that are all `float64`. A map has
//! each key that a template asks for, or rendering fails (`missingkey=error`). There are Go's own
//! functions and no others. What the types of Go's reflection decide (that a number is not equal to a
//! constant without a point, which nil is printed how) is decided the same way.
//!
//! The one difference that is meant: whatever a template does, it ends. Go lets it nest, repeat and
//! print until there is no memory left.

mod builtins;
mod call;
mod compare;
mod eval;
mod format;
mod function;
mod lex;
mod node;
mod number;
mod parse;
mod print;
mod value;

use std::collections::HashMap;

use serde_json::Value;

use node::Node;

/// A text with actions in it, ready to be rendered as often as it takes.
#[derive(Debug)]
pub struct Template {
    source: Vec<u8>,
    /// What the text and its `define` actions define. The text itself has the empty name.
    trees: HashMap<String, Vec<Node>>,
}

/// Why a text is no template, or cannot be rendered with some data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct TemplateError {
    /// The line of the template, counted from one.
    pub line: usize,
    /// What Go says, without the place that it says it of.
    pub message: String,
}

/// The most bytes that rendering writes, and the most that functions make on the way.
const MOST_BYTES: usize = if cfg!(fuzzing) { 1 << 20 } else { 64 << 20 };

/// The most steps that rendering takes: actions, texts, and repetitions of `range`.
const MOST_STEPS: usize = if cfg!(fuzzing) { 20_000 } else { 1_000_000 };

/// How deep actions and parentheses may be in one another.
const MOST_NESTING: usize = 100;

/// How deep a template may be within others, counted with the actions and parentheses that are open in each.
const MOST_DEPTH: usize = 400;

impl Template {
    /// Reads a template. The name is for errors that speak of two places in it.
    ///
    /// # Errors
    ///
    /// The text is no template.
    pub fn parse(name: &str, text: &[u8]) -> Result<Self, TemplateError> {
        let trees = parse::trees(name, text)?;
        Ok(Self { source: text.to_vec(), trees })
    }

    /// Returns what a template makes of some data.
    ///
    /// The map at `request.query` is a `map[string]string` to Go: a key that it lacks is an empty string to
    /// `index`. Every other map holds whatever JSON does.
    ///
    /// # Errors
    ///
    /// An action cannot be done with the data. Nothing that came before it is left.
    pub fn render(&self, data: &Value) -> Result<Vec<u8>, TemplateError> {
        eval::render(self, data)
    }

    /// Returns the line of a place, counted from one.
    fn line(&self, place: node::Position) -> usize {
        1 + self.source.iter().take(place).filter(|&&byte| byte == b'\n').count()
    }
}

#[cfg(test)]
mod tests;
