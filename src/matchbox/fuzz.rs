//! Fuzzes templates, JSON and YAML, which come from data directories and gRPC clients.

use serde_json::Value;

use crate::matchbox::go::json::{read, write};
use crate::matchbox::template::Template;
use crate::matchbox::tree::What;
use crate::matchbox::yaml;

/// Renders a template with the data behind the first zero byte, if there is one.
///
/// The result is the same each time, and errors name a line of the template.
pub(crate) fn template(bytes: &[u8]) {
    let (text, data) = match bytes.iter().position(|&byte| byte == 0) {
        Some(at) => (&bytes[..at], &bytes[at + 1..]),
        None => (
            bytes,
            &b"{\"a\":1,\"l\":[1,\"x\",null],\"m\":{\"k\":\"v\"},\"request\":{\"query\":{\"mac\":\"52\"}}}"[..],
        ),
    };
    let data = read(data).unwrap_or(Value::Null);
    let lines = 1 + text.iter().filter(|&&byte| byte == b'\n').count();
    let outcome = Template::parse("", text).and_then(|template| {
        let outcome = template.render(&data);
        assert_eq!(template.render(&data), outcome, "a template is rendered the same each time");
        outcome
    });
    if let Err(error) = outcome {
        assert!((1..=lines).contains(&error.line), "{error} in a template of {lines} lines");
        assert!(!error.message.is_empty());
    }
}

/// Parses JSON: the parsed value can be written and parsed again, and whatever another library accepts is accepted.
pub(crate) fn json(bytes: &[u8]) {
    let outcome = read(bytes);
    match &outcome {
        Ok(value) => {
            let text = write(value);
            assert_eq!(read(text.as_bytes()).as_ref(), Ok(value), "what was written is read again");
        }
        Err(error) => assert!(error.line >= 1 && !error.message.is_empty()),
    }
    // serde_json rejects more than Go does, and may round the last bit of a number differently.
    if let Ok(mut known) = serde_json::from_slice::<Value>(bytes) {
        let mut value = outcome.expect("what is JSON is read");
        forget_numbers(&mut known);
        forget_numbers(&mut value);
        assert_eq!(value, known);
    }
}

/// Parses YAML: the result is the same each time, every node has a line, and scalars can be resolved.
pub(crate) fn yaml(bytes: &[u8]) {
    let outcome = yaml::read(bytes);
    assert_eq!(yaml::read(bytes), outcome, "a text is read the same each time");
    let tree = match outcome {
        Ok(tree) => tree,
        Err(error) => return assert!(error.line >= 1 && !error.message.is_empty()),
    };
    let lines = 2 + bytes.len();
    for node in tree.nodes() {
        assert!((1..=lines).contains(&node.line), "line {}", node.line);
        match &node.what {
            What::Scalar(scalar) => {
                if let Ok(resolved) = yaml::resolve(scalar) {
                    assert!(
                        yaml::integer(&resolved).is_none() || yaml::flag(&resolved, &scalar.text).is_none()
                    );
                }
            }
            What::Alias { to, .. } => assert!(!matches!(tree.node(*to).what, What::Alias { .. })),
            What::List(_) | What::Map(_) => {}
            What::Null | What::Flag(_) | What::Number(_) | What::Text(_) => panic!("only JSON has them"),
        }
    }
}

fn forget_numbers(value: &mut Value) {
    match value {
        Value::Number(number) => *number = 0.into(),
        Value::Array(items) => items.iter_mut().for_each(forget_numbers),
        Value::Object(members) => members.values_mut().for_each(forget_numbers),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}
