//! Takes the properties of a PATCH or the parameters of an action, and says what is wrong with them.
//!
//! A value that is wrong refuses the whole request. A property that is unknown or can only be read is named in the
//! reply, and the others are changed (Redfish 1.20, section 7.10).

use serde_json::{Map, Value};

use super::message::{Key, Message};
use super::reply::Reply;

/// The properties of a request that are still to be taken.
#[derive(Debug)]
pub(super) struct Patch {
    body: Value,
    /// The action whose parameters these are.
    action: Option<&'static str>,
    taken: Vec<String>,
    ignored: Vec<String>,
    wrong: Vec<Message>,
}

impl Patch {
    /// Takes the body of a request.
    pub(super) fn new(body: Map<String, Value>) -> Self {
        Self {
            body: Value::Object(body),
            action: None,
            taken: Vec::new(),
            ignored: Vec::new(),
            wrong: Vec::new(),
        }
    }

    /// Takes the parameters of an action.
    pub(super) fn of_action(action: &'static str, body: Map<String, Value>) -> Self {
        Self { action: Some(action), ..Self::new(body) }
    }

    /// Returns whether the request has a property.
    pub(super) fn has(&self, pointer: &str) -> bool {
        self.body.pointer(pointer).is_some()
    }

    /// Returns a property without taking it.
    pub(super) fn get(&self, pointer: &str) -> Option<&Value> {
        self.body.pointer(pointer)
    }

    /// Takes a property, by its JSON pointer.
    pub(super) fn take(&mut self, pointer: &str) -> Option<Value> {
        let value = self.body.pointer(pointer)?.clone();
        self.taken.push(pointer.to_owned());
        Some(value)
    }

    /// Takes an annotation, which is no change by itself.
    pub(super) fn ignore(&mut self, pointer: &str) {
        self.taken.retain(|taken| !taken.starts_with(pointer));
        self.ignored.push(pointer.to_owned());
    }

    /// Says that a property has a wrong value.
    pub(super) fn refuse(&mut self, pointer: &str, key: Key, value: &Value) {
        let text = shown(value, pointer);
        let message = match (self.action, key) {
            (Some(action), Key::PropertyValueTypeError) => {
                Message::new(Key::ActionParameterValueTypeError, &[&text, name(pointer), action])
            }
            (Some(action), Key::PropertyValueNotInList) => {
                Message::new(Key::ActionParameterValueNotInList, &[&text, name(pointer), action])
            }
            (Some(action), Key::PropertyValueFormatError) => {
                Message::new(Key::ActionParameterValueFormatError, &[&text, name(pointer), action])
            }
            (_, key) => Message::new(key, &[&text, name(pointer)]),
        };
        self.wrong.push(message.about(pointer));
    }

    /// Says what is wrong.
    pub(super) fn wrong(&mut self, message: Message) {
        self.wrong.push(message);
    }

    /// Says that each of these properties is wrong that is there, or that is not there.
    pub(super) fn refuse_if(&mut self, names: &[&str], is_there: bool, why: impl Fn(&str) -> Message) {
        for name in names {
            let pointer = format!("/{name}");
            if self.has(&pointer) == is_there {
                self.wrong.push(why(name).about(&pointer));
            }
        }
    }

    /// Takes a text.
    pub(super) fn text(&mut self, pointer: &str) -> Option<String> {
        match self.take(pointer)? {
            Value::String(text) => Some(text),
            other => {
                self.refuse(pointer, Key::PropertyValueTypeError, &other);
                None
            }
        }
    }

    /// Takes a text or null.
    pub(super) fn text_or_null(&mut self, pointer: &str) -> Option<Option<String>> {
        if self.body.pointer(pointer).is_some_and(Value::is_null) {
            return self.take(pointer).map(|_| None);
        }
        self.text(pointer).map(Some)
    }

    /// Takes a switch.
    pub(super) fn flag(&mut self, pointer: &str) -> Option<bool> {
        match self.take(pointer)? {
            Value::Bool(flag) => Some(flag),
            other => {
                self.refuse(pointer, Key::PropertyValueTypeError, &other);
                None
            }
        }
    }

    /// Takes a number of a range.
    pub(super) fn number(&mut self, pointer: &str, least: i64, most: i64) -> Option<i64> {
        let value = self.take(pointer)?;
        let Some(number) = value.as_i64() else {
            self.refuse(pointer, Key::PropertyValueTypeError, &value);
            return None;
        };
        if !(least..=most).contains(&number) {
            self.refuse(pointer, Key::PropertyValueOutOfRange, &value);
            return None;
        }
        Some(number)
    }

    /// Takes a text that the action needs.
    pub(super) fn needed(&mut self, parameter: &str) -> Option<String> {
        let action = self.action.unwrap_or_default();
        self.refuse_if(&[parameter], false, |name| {
            Message::new(Key::ActionParameterMissing, &[action, name])
        });
        self.text(&format!("/{parameter}"))
    }

    /// Takes one of some values.
    pub(super) fn choice<T: Copy>(&mut self, pointer: &str, values: &[(&str, T)]) -> Option<T> {
        let text = self.text(pointer)?;
        let found = values.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
        if found.is_none() {
            self.refuse(pointer, Key::PropertyValueNotInList, &Value::String(text));
        }
        found
    }

    /// Ends taking: returns what was left out, or refuses. `current` is the resource as it is.
    pub(super) fn finish(self, current: &Value) -> Result<Vec<Message>, Box<Reply>> {
        if !self.wrong.is_empty() {
            return Err(Reply::refuse_all(400, &self.wrong));
        }
        let mut left = Vec::new();
        self.leftover(&self.body, "", current, &mut left);
        match (self.taken.is_empty(), left.is_empty()) {
            (false, _) => Ok(left),
            (true, true) => Err(Reply::refuse(400, Message::new(Key::NoOperation, &[]))),
            (true, false) => Err(Reply::refuse_all(400, &left)),
        }
    }

    /// Ends taking the parameters of an action: there may be none that the action does not have.
    pub(super) fn finish_action(mut self) -> Result<(), Box<Reply>> {
        let action = self.action.unwrap_or_default();
        for parameter in self.body.as_object().into_iter().flat_map(Map::keys) {
            let pointer = format!("/{parameter}");
            if !parameter.starts_with('@') && !self.taken.contains(&pointer) {
                let message = Message::new(Key::ActionParameterUnknown, &[action, parameter]);
                self.wrong.push(message.about(&pointer));
            }
        }
        if self.wrong.is_empty() { Ok(()) } else { Err(Reply::refuse_all(400, &self.wrong)) }
    }

    fn leftover(&self, value: &Value, at: &str, current: &Value, left: &mut Vec<Message>) {
        let Value::Object(object) = value else { return };
        for (property, value) in object {
            let pointer = format!("{at}/{}", property.replace('~', "~0").replace('/', "~1"));
            // Annotations of OData are no properties.
            let is_done = |pointers: &[String]| pointers.contains(&pointer);
            if property.starts_with("@odata.") || is_done(&self.taken) || is_done(&self.ignored) {
                continue;
            }
            match current.get(property) {
                Some(known @ Value::Object(_)) if value.is_object() => {
                    self.leftover(value, &pointer, known, left);
                }
                known => {
                    let key = if known.is_some() { Key::PropertyNotWritable } else { Key::PropertyUnknown };
                    left.push(Message::new(key, &[property]).about(&pointer));
                }
            }
        }
    }
}

fn name(pointer: &str) -> &str {
    pointer.rsplit('/').next().unwrap_or(pointer)
}

/// A value as a message shows it; never a password.
fn shown(value: &Value, pointer: &str) -> String {
    match value {
        _ if name(pointer).contains("Password") => "******".to_owned(),
        Value::String(text) => text.chars().take(256).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value.to_string(),
        Value::Array(_) => "[…]".to_owned(),
        Value::Object(_) => "{…}".to_owned(),
    }
}

/// Applies an array of a PATCH to the array as it is: null removes an element, an empty object keeps it, elements that
/// are not there at the end are removed. `None` if an element is neither text, null nor an empty object.
pub(super) fn texts(current: &[String], given: &[Value]) -> Option<Vec<String>> {
    let mut result = Vec::new();
    for (index, value) in given.iter().enumerate() {
        match value {
            Value::String(text) => result.push(text.clone()),
            Value::Null => {}
            Value::Object(object) if object.is_empty() => result.extend(current.get(index).cloned()),
            _ => return None,
        }
    }
    Some(result)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn patch(value: Value) -> Patch {
        let Value::Object(body) = value else { panic!("an object") };
        Patch::new(body)
    }

    #[test]
    fn what_is_left_is_named() {
        let current = json!({ "Id": "1", "Boot": { "Mode": "UEFI", "Order": [] } });
        let mut some = patch(json!({ "Boot": { "Mode": "UEFI", "Order": [], "X": 1 }, "@odata.id": "/" }));
        assert_eq!(some.text("/Boot/Mode").as_deref(), Some("UEFI"));
        let left = some.finish(&current).unwrap();
        let related: Vec<_> = left.iter().map(|message| message.related().unwrap()).collect();
        assert_eq!(related, ["#/Boot/Order", "#/Boot/X"]);
        assert!(patch(json!({ "@odata.id": "/" })).finish(&current).is_err());
        let mut wrong = patch(json!({ "Boot": { "Mode": 3 }, "Id": "2" }));
        assert_eq!(wrong.text("/Boot/Mode"), None);
        assert!(wrong.finish(&current).is_err());
    }

    #[test]
    fn an_array_is_patched_by_element() {
        let current = ["a".to_owned(), "b".to_owned(), "c".to_owned()];
        assert_eq!(texts(&current, &[json!({}), json!(null)]), Some(vec!["a".to_owned()]));
        assert_eq!(
            texts(&current, &[json!(null), json!("x"), json!({}), json!("y")]),
            Some(vec!["x".to_owned(), "c".to_owned(), "y".to_owned()])
        );
        assert_eq!(texts(&current, &[json!(1)]), None);
    }
}
