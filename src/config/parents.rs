//! The tables in which a key is allowed, for hints about misplaced keys.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use serde_json::Value;

/// Longer lists are not shown.
const MOST: usize = 5;

/// Paths of tables by the key that they allow, from the schema.
static PLACES: LazyLock<BTreeMap<String, BTreeSet<String>>> = LazyLock::new(|| {
    let schema = super::schema();
    let mut parents = BTreeMap::new();
    walk(&schema, &schema, "", 0, &mut parents);
    parents
});

/// Returns the paths of the tables that allow a key, `""` for the top of the file; none if there are many.
pub(super) fn of(key: &str) -> Vec<&'static str> {
    match PLACES.get(key) {
        Some(parents) => {
            // `never` has all that `that` has.
            let places = parents.iter().map(String::as_str).filter(|path| !path.contains(".never."));
            Some(places.collect::<Vec<_>>()).filter(|places| places.len() <= MOST).unwrap_or_default()
        }
        None => Vec::new(),
    }
}

fn walk(
    root: &Value,
    schema: &Value,
    path: &str,
    depth: usize,
    parents: &mut BTreeMap<String, BTreeSet<String>>,
) {
    // The format is not recursive; the limit holds even if it becomes so.
    if depth > 32 {
        return;
    }
    let mut go = |schema: &Value, path: &str| walk(root, schema, path, depth + 1, parents);
    if let Some(target) = schema["$ref"].as_str().and_then(|link| root.pointer(link.strip_prefix('#')?)) {
        go(target, path);
    }
    for choices in ["anyOf", "oneOf"] {
        for choice in schema[choices].as_array().into_iter().flatten() {
            go(choice, path);
        }
    }
    let below = |name: &str| if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    if schema["additionalProperties"].is_object() {
        go(&schema["additionalProperties"], &below("NAME"));
    }
    for (key, schema) in schema["properties"].as_object().into_iter().flatten() {
        go(schema, &below(key));
    }
    for key in schema["properties"].as_object().into_iter().flat_map(|properties| properties.keys()) {
        parents.entry(key.clone()).or_default().insert(path.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_belong_somewhere() {
        assert_eq!(of("mac"), ["host.NAME.nic.NAME", "node.NAME.bmc", "node.NAME.nic.NAME"]);
        assert_eq!(of("isolation"), [""]);
        let addresses = [
            "expect.NAME.that.leased",
            "host.NAME.nic.NAME",
            "network.NAME",
            "node.NAME.bmc",
            "node.NAME.nic.NAME",
        ];
        assert_eq!(of("address"), addresses);
        assert_eq!(of("pool"), ["network.NAME.dhcp.relay.server", "network.NAME.dhcp.server"]);
        assert!(of("port").is_empty(), "many checks have one");
        assert!(of("bandwidth").is_empty());
    }
}
