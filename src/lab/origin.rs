//! Where the values of a lab were written.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// The origin of a value: the lab file, an overlay, or a `--set`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The file as named on the command line; `--set` for a single key.
    pub file: String,
    /// The line, counted from 1.
    pub line: usize,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.line)
    }
}

/// The origins of all values of a lab file, its overlays and `--set`, by path in the lab file: `node.a.nic.lan.mac`,
/// `expect.up.that.stage`. Nodes of a `count` have an entry each; items of a list are numbered from 0. It holds no
/// values.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Origins(pub BTreeMap<String, Origin>);

impl Origins {
    /// Returns the origin of a value, or of the nearest enclosing table that was written.
    pub fn get(&self, path: &str) -> Option<&Origin> {
        let mut path = path;
        loop {
            if let Some(origin) = self.0.get(path) {
                return Some(origin);
            }
            path = path.rsplit_once('.')?.0;
        }
    }
}

impl fmt::Debug for Origins {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Origins({})", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_was_left_out_has_the_origin_of_its_table() {
        let origin = |line| Origin { file: "lab.toml".to_owned(), line };
        let origins = Origins(BTreeMap::from([
            ("node.a".to_owned(), origin(3)),
            ("node.a.cpus".to_owned(), origin(4)),
        ]));
        assert_eq!(origins.get("node.a.cpus").map(ToString::to_string).as_deref(), Some("lab.toml:4"));
        assert_eq!(origins.get("node.a.disk.root.size"), Some(&origin(3)));
        assert_eq!(origins.get("node.b.cpus"), None);
    }
}
