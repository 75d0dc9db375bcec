//! A text as a tree in which everything knows its line: what JSON and YAML have in common.

/// A node of the tree.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    /// Its line, from 1.
    pub(crate) line: usize,
    /// What it is.
    pub(crate) what: What,
}

/// What a node may be.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum What {
    /// Nothing.
    Null,
    /// True or false, in JSON.
    Flag(bool),
    /// A number of JSON, as it is written.
    Number(String),
    /// A string.
    Text(String),
    /// What YAML writes without quotes, and may be anything.
    Plain(String),
    /// A list.
    List(Vec<Node>),
    /// Pairs in order, of which a key may be repeated in JSON.
    Map(Vec<(String, Node)>),
}

impl What {
    /// Returns what it is, for whoever wanted something else.
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
