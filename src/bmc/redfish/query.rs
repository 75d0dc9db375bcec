//! Query parameters: `$expand`, `$select`, `$top`, `$skip` and `only` (Redfish 1.20, section 7.3).

use serde_json::{Map, Value};

use super::message::{Key, Message};
use super::reply::Reply;

/// How deep resources are expanded at most.
const MAX_LEVELS: u32 = 3;

/// What a query asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Query {
    select: Option<Vec<String>>,
    expand: Option<(Expand, u32)>,
    top: Option<usize>,
    skip: usize,
    only: bool,
    /// Parameters that only collections take.
    for_collections: bool,
}

/// Which links are expanded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expand {
    /// All.
    All,
    /// Those in `Links`.
    Links,
    /// Those that are not in `Links`.
    Subordinates,
}

impl Query {
    /// Parses the parameters of a query.
    pub(super) fn parse(parameters: &[(String, Option<String>)]) -> Result<Self, Box<Reply>> {
        let refuse = |key: Key, arguments: &[&str]| Reply::refuse(400, Message::new(key, arguments));
        let mut query = Self::default();
        for (name, value) in parameters {
            let text = value.as_deref().unwrap_or_default();
            let number = || {
                text.parse::<usize>().map_err(|_| refuse(Key::QueryParameterValueTypeError, &[text, name]))
            };
            match name.as_str() {
                "$select" => {
                    let names = text.split(',').map(|name| name.trim().to_owned());
                    let names: Vec<String> = names.filter(|name| !name.is_empty()).collect();
                    if names.is_empty() {
                        return Err(refuse(Key::QueryParameterValueFormatError, &[text, name]));
                    }
                    query.select = Some(names);
                }
                "$expand" => {
                    let (which, levels) = expand(text)
                        .ok_or_else(|| refuse(Key::QueryParameterValueFormatError, &[text, name]))?;
                    if !(1..=MAX_LEVELS).contains(&levels) {
                        let range = format!("1 to {MAX_LEVELS}");
                        return Err(refuse(Key::QueryParameterOutOfRange, &[text, name, &range]));
                    }
                    query.expand = Some((which, levels));
                }
                "$top" => (query.top, query.for_collections) = (Some(number()?), true),
                "$skip" => (query.skip, query.for_collections) = (number()?, true),
                "only" => {
                    if value.is_some() {
                        return Err(refuse(Key::QueryParameterValueFormatError, &[text, name]));
                    }
                    (query.only, query.for_collections) = (true, true);
                }
                "excerpt" => return Err(refuse(Key::QueryNotSupportedOnResource, &[])),
                unknown if unknown.starts_with('$') => {
                    return Err(Reply::refuse(501, Message::new(Key::QueryParameterUnsupported, &[unknown])));
                }
                // Others mean nothing.
                _ => {}
            }
        }
        if query.only && (query.expand.is_some() || query.top.is_some() || query.skip > 0) {
            return Err(refuse(Key::QueryCombinationInvalid, &[]));
        }
        Ok(query)
    }

    /// Returns the one member that `only` asks for.
    pub(super) fn only_member<'a>(&self, resource: &'a Value) -> Option<&'a str> {
        match resource.get("Members")?.as_array()?.as_slice() {
            [one] if self.only => one.get("@odata.id")?.as_str(),
            _ => None,
        }
    }

    /// Applies the query to a resource; `read` returns others.
    pub(super) fn apply(
        &self,
        mut resource: Value,
        read: &dyn Fn(&str) -> Option<Value>,
    ) -> Result<Value, Box<Reply>> {
        let members = resource.get_mut("Members").and_then(Value::as_array_mut);
        match members {
            None if self.for_collections => {
                return Err(Reply::refuse(400, Message::new(Key::QueryNotSupportedOnResource, &[])));
            }
            Some(members) if self.for_collections => {
                let kept = members.iter().skip(self.skip).take(self.top.unwrap_or(usize::MAX));
                *members = kept.cloned().collect();
            }
            _ => {}
        }
        if let Some((which, levels)) = self.expand {
            let own = resource.get("@odata.id").cloned();
            expand_into(&mut resource, which, levels, Place::Outside, own.as_ref(), read);
        }
        if let (Some(names), Value::Object(object)) = (&self.select, &resource) {
            let paths: Vec<Vec<&str>> = names.iter().map(|name| name.split('/').collect()).collect();
            let paths: Vec<&[&str]> = paths.iter().map(Vec::as_slice).collect();
            resource = Value::Object(select(object, &paths));
        }
        Ok(resource)
    }
}

fn expand(text: &str) -> Option<(Expand, u32)> {
    let mut rest = text.chars();
    let which = match rest.next()? {
        '*' => Expand::All,
        '~' => Expand::Links,
        '.' => Expand::Subordinates,
        _ => return None,
    };
    match rest.as_str() {
        "" => Some((which, 1)),
        levels => {
            let number = levels.strip_prefix("($levels=")?.strip_suffix(')')?;
            Some((which, number.parse().ok()?))
        }
    }
}

/// Whether a link is in `Links`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    Outside,
    InLinks,
}

fn expand_into(
    value: &mut Value,
    which: Expand,
    levels: u32,
    place: Place,
    own: Option<&Value>,
    read: &dyn Fn(&str) -> Option<Value>,
) {
    match value {
        Value::Array(values) => {
            for value in values {
                expand_into(value, which, levels, place, own, read);
            }
        }
        Value::Object(object) => {
            let applies = match which {
                Expand::All => true,
                Expand::Links => place == Place::InLinks,
                Expand::Subordinates => place == Place::Outside,
            };
            if let Some(uri) =
                linked(object).filter(|uri| applies && Some(*uri) != own.and_then(Value::as_str))
            {
                let Some(mut read_one) = read(uri) else { return };
                if levels > 1 {
                    let own = read_one.get("@odata.id").cloned();
                    expand_into(&mut read_one, which, levels - 1, Place::Outside, own.as_ref(), read);
                }
                *value = read_one;
                return;
            }
            for (name, value) in object.iter_mut() {
                // Links in annotations and actions are no part of the tree.
                if name.starts_with('@') || name == "Actions" {
                    continue;
                }
                let place = if name == "Links" { Place::InLinks } else { place };
                expand_into(value, which, levels, place, own, read);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// The URI of an object that is nothing but a link to a resource.
fn linked(object: &Map<String, Value>) -> Option<&str> {
    let uri = object.get("@odata.id")?.as_str()?;
    (object.len() == 1 && !uri.contains('#')).then_some(uri)
}

/// Keeps what these paths name, and what every object has.
fn select(object: &Map<String, Value>, paths: &[&[&str]]) -> Map<String, Value> {
    let mut selected = Map::new();
    for (name, value) in object {
        let (property, is_annotation) = match name.split_once('@') {
            Some((property, _)) => (property, true),
            None => (name.as_str(), false),
        };
        if property.is_empty() {
            // @odata.id, @odata.type, @odata.etag; other annotations belong to the whole.
            if name.starts_with("@odata.") {
                selected.insert(name.clone(), value.clone());
            }
            continue;
        }
        let below: Vec<&[&str]> =
            paths.iter().filter(|path| path.first() == Some(&property)).map(|path| &path[1..]).collect();
        if below.is_empty() {
            continue;
        }
        let is_whole = is_annotation || below.iter().any(|path| path.is_empty());
        let kept = match value {
            Value::Object(inner) if !is_whole => Value::Object(select(inner, &below)),
            Value::Array(values) if !is_whole => values
                .iter()
                .map(|value| match value {
                    Value::Object(inner) => Value::Object(select(inner, &below)),
                    other => other.clone(),
                })
                .collect(),
            other => other.clone(),
        };
        selected.insert(name.clone(), kept);
    }
    selected
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ask(query: &[(&str, Option<&str>)]) -> Result<Query, u16> {
        let owned = |text: &str| text.to_owned();
        let parameters: Vec<_> = query.iter().map(|(name, value)| (owned(name), value.map(owned))).collect();
        Query::parse(&parameters).map_err(|reply| reply.status.as_u16())
    }

    fn apply(query: &[(&str, Option<&str>)], value: Value) -> Value {
        let read = |uri: &str| Some(json!({ "@odata.id": uri, "Next": { "@odata.id": format!("{uri}/n") } }));
        ask(query).unwrap().apply(value, &read).unwrap()
    }

    #[test]
    fn wrong_queries_are_refused() {
        assert_eq!(ask(&[("$filter", Some("a"))]), Err(501));
        assert_eq!(ask(&[("only", Some("x"))]), Err(400));
        assert_eq!(ask(&[("excerpt", None)]), Err(400));
        assert_eq!(ask(&[("$top", Some("x"))]), Err(400));
        for expand in ["", "x", "*($levels=0)", "*($levels=9)", ".(2)", "*x"] {
            assert_eq!(ask(&[("$expand", Some(expand))]), Err(400), "{expand}");
        }
        assert!(ask(&[("unknown", Some("x"))]).is_ok());
    }

    #[test]
    fn what_is_selected_is_kept_with_its_annotations() {
        let value = json!({
            "@odata.id": "/a", "Id": "1", "Boot": { "Mode": 1, "Mode@x": [2], "Other": 3 },
            "Members": [], "Members@odata.count": 0,
        });
        let selected = apply(&[("$select", Some("Boot/Mode, Members"))], value);
        assert_eq!(
            selected,
            json!({
                "@odata.id": "/a", "Boot": { "Mode": 1, "Mode@x": [2] },
                "Members": [], "Members@odata.count": 0,
            })
        );
    }

    #[test]
    fn links_are_expanded_as_deep_as_asked() {
        let value = || json!({ "@odata.id": "/a", "B": { "@odata.id": "/b" }, "Links": { "C": [{ "@odata.id": "/c" }] } });
        let subordinates = apply(&[("$expand", Some("."))], value());
        assert_eq!(subordinates["B"]["Next"]["@odata.id"], "/b/n");
        assert_eq!(subordinates["Links"]["C"][0], json!({ "@odata.id": "/c" }));
        let links = apply(&[("$expand", Some("~"))], value());
        assert_eq!(links["B"], json!({ "@odata.id": "/b" }));
        assert_eq!(links["Links"]["C"][0]["Next"]["@odata.id"], "/c/n");
        let deep = apply(&[("$expand", Some("*($levels=2)"))], value());
        assert_eq!(deep["B"]["Next"]["Next"]["@odata.id"], "/b/n/n");
    }

    #[test]
    fn a_page_of_a_collection() {
        let value = json!({ "Members": [1, 2, 3], "Members@odata.count": 3 });
        let page = apply(&[("$skip", Some("1")), ("$top", Some("1"))], value);
        assert_eq!(page, json!({ "Members": [2], "Members@odata.count": 3 }));
        assert!(ask(&[("$top", Some("1"))]).unwrap().apply(json!({}), &|_| None).is_err());
    }
}
