//! Serde's errors in the terms of TOML instead of Rust.

use std::fmt;

use serde::de::{self, Unexpected};

use crate::diag::Code;

/// The error that serde propagates: the problem is in the sink, or will be.
#[derive(Debug)]
pub(super) enum Rejection {
    /// It is in the sink.
    Reported,
    /// It has no position yet.
    New { code: Code, what: String },
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Reported => f.write_str("already reported"),
            Self::New { what, .. } => f.write_str(what),
        }
    }
}

impl std::error::Error for Rejection {}

impl de::Error for Rejection {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::New { code: Code::Malformed, what: message.to_string() }
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let what = format!("must be {}, not {}", wanted(expected), given(&unexpected));
        Self::New { code: Code::WrongType, what }
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn de::Expected) -> Self {
        let what = format!("must be {}, not {}", wanted(expected), given(&unexpected));
        Self::New { code: Code::Malformed, what }
    }
}

/// Describes in the terms of TOML what serde's own visitors expect.
fn wanted(expected: &dyn de::Expected) -> String {
    match expected.to_string().as_str() {
        "u8" => "an integer from 0 to 255".into(),
        "u16" => "an integer from 0 to 65535".into(),
        "i32" | "i64" | "u32" | "u64" | "usize" => "an integer".into(),
        other => other.strip_prefix("struct ").map_or(other.to_owned(), |_| "a table".into()),
    }
}

fn given(unexpected: &Unexpected<'_>) -> String {
    match unexpected {
        Unexpected::Bool(truth) => format!("the boolean `{truth}`"),
        Unexpected::Unsigned(number) => format!("the number {number}"),
        Unexpected::Signed(number) => format!("the number {number}"),
        Unexpected::Float(number) => format!("the number {number}"),
        Unexpected::Str(text) if text.chars().count() > 40 => "this string".into(),
        Unexpected::Str(text) => format!("the string \"{text}\""),
        Unexpected::Seq => "a list".into(),
        Unexpected::Map => "a table".into(),
        other => other.to_string(),
    }
}
