//! A tree with line numbers, for JSON and YAML.
//!
//! Nodes are in one list and refer to each other by their index, so that YAML's aliases cost nothing, may stand within
//! what they refer to, and deep trees need no deep stack.

/// The index of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct NodeId(usize);

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
    /// Null in JSON.
    Null,
    /// A boolean of JSON.
    Flag(bool),
    /// A number of JSON, as written.
    Number(String),
    /// A string of JSON.
    Text(String),
    /// A scalar of YAML, whose type is not resolved yet.
    Scalar(Scalar),
    /// A list.
    List(Vec<NodeId>),
    /// Pairs in order; in JSON, keys may be repeated.
    Map(Vec<(NodeId, NodeId)>),
    /// A reference of YAML to another node.
    Alias {
        /// The name of the anchor.
        name: String,
        /// The node with the anchor.
        to: NodeId,
    },
}

impl What {
    /// Returns the name of its type, for errors.
    pub(crate) fn called(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Flag(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) | Self::Scalar(Scalar { quoted: true, .. }) => "a string",
            Self::Scalar(_) => "a scalar",
            Self::List(_) => "a list",
            Self::Map(_) => "an object",
            Self::Alias { .. } => "an alias",
        }
    }
}

/// A scalar of YAML as it is written.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Scalar {
    /// Its text.
    pub(crate) text: String,
    /// Its tag, such as `!!str` or `!local`, if it has one.
    pub(crate) tag: Option<String>,
    /// Whether it is quoted, literal or folded.
    pub(crate) quoted: bool,
}

/// All nodes of a text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Tree {
    // Invariant: every `NodeId` within is the index of a node.
    nodes: Vec<Node>,
    root: NodeId,
}

/// A tree that grows.
#[derive(Debug, Default)]
pub(crate) struct Growing {
    nodes: Vec<Node>,
}

impl Growing {
    /// Adds a node.
    pub(crate) fn add(&mut self, line: usize, what: What) -> NodeId {
        self.nodes.push(Node { line, what });
        NodeId(self.nodes.len() - 1)
    }

    /// Whether a node is a map.
    pub(crate) fn is_map(&self, id: NodeId) -> bool {
        matches!(self.nodes[id.0].what, What::Map(_))
    }

    /// Adds an item to a list.
    pub(crate) fn push_item(&mut self, list: NodeId, item: NodeId) {
        if let What::List(items) = &mut self.nodes[list.0].what {
            items.push(item);
        }
    }

    /// Adds a pair to a map.
    pub(crate) fn push_pair(&mut self, map: NodeId, key: NodeId, value: NodeId) {
        if let What::Map(pairs) = &mut self.nodes[map.0].what {
            pairs.push((key, value));
        }
    }

    /// Returns the tree with this root.
    pub(crate) fn finish(self, root: NodeId) -> Tree {
        Tree { nodes: self.nodes, root }
    }
}

impl Tree {
    /// Returns the root.
    pub(crate) fn root(&self) -> NodeId {
        self.root
    }

    /// Returns a node.
    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0]
    }

    /// Returns the node that an alias refers to, or the node itself.
    pub(crate) fn resolved(&self, id: NodeId) -> &Node {
        match &self.node(id).what {
            What::Alias { to, .. } => self.node(*to),
            _ => self.node(id),
        }
    }

    /// Returns all nodes.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter()
    }
}
