//! Templates and JSON, which come from whoever may write to a data directory or to gRPC.

use serde_json::Value;

use crate::matchbox::go::json::{read, write};
use crate::matchbox::template::Template;

/// Renders a template with data: they are behind the first zero byte, where there is one.
///
/// Each time the outcome is the same, and errors name a line of the template.
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

/// Reads JSON: whatever is read is written so that it is read again, and what is JSON to another library is read.
pub(crate) fn json(bytes: &[u8]) {
    let outcome = read(bytes);
    match &outcome {
        Ok(value) => {
            let text = write(value);
            assert_eq!(read(text.as_bytes()).as_ref(), Ok(value), "what was written is read again");
        }
        Err(error) => assert!(error.line >= 1 && !error.message.is_empty()),
    }
    // It refuses more than Go does, and may read the last bit of a number as another.
    if let Ok(mut known) = serde_json::from_slice::<Value>(bytes) {
        let mut value = outcome.expect("what is JSON is read");
        forget_numbers(&mut known);
        forget_numbers(&mut value);
        assert_eq!(value, known);
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
