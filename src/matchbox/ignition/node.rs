//! A tree with line numbers, for JSON and YAML.

/// A node of the tree.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    /// Its line, from 1.
    pub(crate) line: usize,
    /// Its value.
    pub(crate) what: What,
}

/// The types of nodes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum What {
    /// Null.
    Null,
    /// A boolean of JSON.
    Flag(bool),
    /// A number of JSON, as written.
    Number(String),
    /// A string.
    Text(String),
    /// An unquoted scalar of YAML, whose type is not resolved yet.
    Plain(String),
    /// A list.
    List(Vec<Node>),
    /// Pairs in order; in JSON, keys may be repeated.
    Map(Vec<(String, Node)>),
}

impl What {
    /// Returns the name of its type, for errors.
    pub(crate) fn called(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Flag(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::Plain(_) => "a scalar",
            Self::List(_) => "a list",
            Self::Map(_) => "an object",
        }
    }
}
