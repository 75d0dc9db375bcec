//! Templates of Go's `text/template`, as matchbox renders them.
//!
//! Data are JSON: maps, lists, strings, booleans, null, and numbers that are all `float64`. A missing key
//! is an error (`missingkey=error`). Only Go's own functions are available. Results that depend on Go's
//! reflection (a number is not equal to a constant without a point, how each nil is printed) are the same.
//!
//! The one intended difference: every template terminates. Go lets it nest, repeat and print until memory
//! is exhausted.

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

/// A parsed template, which can be rendered any number of times.
#[derive(Debug)]
pub struct Template {
    source: Vec<u8>,
    /// The text and its `define` blocks by name. The text itself has the empty name.
    trees: HashMap<String, Vec<Node>>,
}

/// Why a text is not a valid template, or cannot be rendered with some data.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct TemplateError {
    /// The line of the template, counted from 1.
    pub line: usize,
    /// Go's message, without its position.
    pub message: String,
}

/// The maximum number of bytes that rendering writes, and that functions create.
const MOST_BYTES: usize = if cfg!(fuzzing) { 1 << 20 } else { 64 << 20 };

/// The maximum number of steps of a rendering: actions, texts, and iterations of `range`.
const MOST_STEPS: usize = if cfg!(fuzzing) { 20_000 } else { 1_000_000 };

/// The maximum nesting depth of actions and parentheses.
const MOST_NESTING: usize = 100;

/// The maximum depth of nested templates, including the open actions and parentheses of each.
const MOST_DEPTH: usize = 400;

impl Template {
    /// Parses a template. The name is used in errors with two positions.
    ///
    /// # Errors
    ///
    /// The text is not a valid template.
    pub fn parse(name: &str, text: &[u8]) -> Result<Self, TemplateError> {
        let trees = parse::trees(name, text)?;
        Ok(Self { source: text.to_vec(), trees })
    }

    /// Renders the template with some data.
    ///
    /// The map at `request.query` is a `map[string]string` in Go: for `index`, a missing key is an empty
    /// string. All other maps hold arbitrary JSON.
    ///
    /// # Errors
    ///
    /// An action fails with the data. Output before it is discarded.
    pub fn render(&self, data: &Value) -> Result<Vec<u8>, TemplateError> {
        eval::render(self, data)
    }

    /// Returns the line of a position, counted from 1.
    fn line(&self, position: node::Position) -> usize {
        1 + self.source.iter().take(position).filter(|&&byte| byte == b'\n').count()
    }
}

#[cfg(test)]
mod tests;
