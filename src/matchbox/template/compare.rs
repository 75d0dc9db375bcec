//! Comparisons; Go rejects those of different kinds.

use std::cmp::Ordering;

use crate::matchbox::template::function::Builtin;
use crate::matchbox::template::print;
use crate::matchbox::template::value::{Data, Thing, Value};

const BAD_TYPE: &str = "invalid type for comparison";

/// Compares the first value with the others.
pub(super) fn compare(
    builtin: Builtin,
    data: Data<'_>,
    first: &Thing<'_>,
    others: &[Value<'_>],
) -> Result<bool, String> {
    if others.is_empty() {
        return Err("missing argument for comparison".to_owned());
    }
    let mut truth = false;
    for other in others {
        let second = &other.thing;
        truth = match builtin {
            Builtin::Ne => !equal(data, first, second)?,
            Builtin::Lt => less(first, second)?,
            Builtin::Ge => !less(first, second)?,
            Builtin::Le => less(first, second)? || equal(data, first, second)?,
            Builtin::Gt => !(less(first, second)? || equal(data, first, second)?),
            _ => equal(data, first, second)?,
        };
        if truth {
            break;
        }
    }
    Ok(truth)
}

fn equal(data: Data<'_>, first: &Thing<'_>, second: &Thing<'_>) -> Result<bool, String> {
    Ok(match (first, second) {
        (Thing::Bool(first), Thing::Bool(second)) => first == second,
        (Thing::Complex(first, fraction), Thing::Complex(second, other)) => {
            first == second && fraction == other
        }
        (Thing::Float(first), Thing::Float(second)) => first == second,
        (Thing::Text(first), Thing::Text(second)) => first.bytes() == second.bytes(),
        (Thing::Nil, Thing::Nil) => true,
        (Thing::Nil, _) | (_, Thing::Nil) => false,
        // Both have the same kind, which cannot be compared.
        (Thing::List(_), Thing::List(_))
        | (Thing::Map(_) | Thing::Labels(_), Thing::Map(_) | Thing::Labels(_)) => {
            let shown = print::shown_as_text(data, second);
            return Err(format!("non-comparable type {shown}: {}", second.type_name()));
        }
        (
            Thing::List(_) | Thing::Map(_) | Thing::Labels(_),
            Thing::List(_) | Thing::Map(_) | Thing::Labels(_),
        ) => {
            let (shown, other) = (print::shown_as_text(data, first), print::shown(data, second));
            let (name, other_name) = (first.type_name(), second.type_name());
            return Err(format!("non-comparable types {shown}: {name}, {other_name}: {other}"));
        }
        _ => match (whole(first), whole(second)) {
            (Some(first), Some(second)) => first == second,
            _ => return Err(incompatible(first, second)),
        },
    })
}

fn less(first: &Thing<'_>, second: &Thing<'_>) -> Result<bool, String> {
    for thing in [first, second] {
        if matches!(thing, Thing::Nil | Thing::List(_) | Thing::Map(_) | Thing::Labels(_)) {
            return Err(BAD_TYPE.to_owned());
        }
    }
    Ok(match (first, second) {
        (Thing::Bool(_), Thing::Bool(_)) | (Thing::Complex(..), Thing::Complex(..)) => {
            return Err(BAD_TYPE.to_owned());
        }
        (Thing::Float(first), Thing::Float(second)) => first < second,
        (Thing::Text(first), Thing::Text(second)) => first.bytes().cmp(second.bytes()) == Ordering::Less,
        _ => match (whole(first), whole(second)) {
            (Some(first), Some(second)) => first < second,
            _ => return Err(incompatible(first, second)),
        },
    })
}

/// Returns an integer, signed or unsigned; both can be compared with each other.
fn whole(thing: &Thing<'_>) -> Option<i64> {
    match thing {
        Thing::Int(value) => Some(*value),
        Thing::Byte(value) => Some(i64::from(*value)),
        _ => None,
    }
}

fn incompatible(first: &Thing<'_>, second: &Thing<'_>) -> String {
    let (first, second) = (first.type_name(), second.type_name());
    format!("incompatible types for comparison: {first} and {second}")
}
