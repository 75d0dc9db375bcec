//! Evaluates commands: fields of values, and functions with their arguments.

use crate::matchbox::go::quote::{self, Keep};
use crate::matchbox::template::eval::{Outcome, Rendering};
use crate::matchbox::template::function::{Builtin, Kind};
use crate::matchbox::template::node::{Command, Operand, Position, Term};
use crate::matchbox::template::number::Number;
use crate::matchbox::template::value::{Text, Thing, Value};

impl<'a> Rendering<'a> {
    /// Evaluates a command, which may get the value of the previous one.
    pub(super) fn command(
        &mut self,
        dot: &Value<'a>,
        command: &'a Command,
        last: Option<Value<'a>>,
    ) -> Outcome<Value<'a>> {
        let first = &command.first;
        let has_arguments = !command.arguments.is_empty() || last.is_some();
        match &first.term {
            Term::Field(fields) => {
                self.position = first.position;
                self.fields(dot.clone(), fields, has_arguments)
            }
            Term::Chain(operand, fields) => self.chain(dot, first.position, operand, fields, has_arguments),
            Term::Function(builtin) => {
                self.position = first.position;
                self.call(dot, *builtin, command.position, &command.arguments, last)
            }
            Term::Variable(name, fields) => {
                self.position = first.position;
                let value = self.variable(name)?;
                if !fields.is_empty() {
                    return self.fields(value, fields, has_arguments);
                }
                refuse_arguments(first, has_arguments)?;
                Ok(value)
            }
            Term::Pipe(pipe) => {
                refuse_arguments(first, has_arguments)?;
                self.deeper(|rendering| rendering.pipeline(dot, pipe))
            }
            Term::Nil => {
                self.position = first.position;
                refuse_arguments(first, has_arguments)?;
                Err("nil is not a command".to_owned())
            }
            Term::Bool(_) | Term::Dot | Term::Number { .. } | Term::Text { .. } => {
                self.position = first.position;
                refuse_arguments(first, has_arguments)?;
                self.constant(dot, first)
            }
        }
    }

    /// Returns the value of a constant operand.
    fn constant(&mut self, dot: &Value<'a>, operand: &'a Operand) -> Outcome<Value<'a>> {
        Ok(match &operand.term {
            Term::Bool(value) => Thing::Bool(*value).into(),
            Term::Dot => dot.clone(),
            Term::Number { text, number } => match number {
                Number::Int(value) => Thing::Int(*value).into(),
                Number::Float(value) => Thing::Float(*value).into(),
                Number::Complex(real, imaginary) => Thing::Complex(*real, *imaginary).into(),
                Number::TooLarge => return Err(format!("{text} overflows int")),
            },
            Term::Text { text, .. } => Thing::Text(Text::Lasting(text)).into(),
            Term::Nil
            | Term::Chain(..)
            | Term::Field(_)
            | Term::Function(_)
            | Term::Pipe(_)
            | Term::Variable(..) => Value::NONE,
        })
    }

    fn chain(
        &mut self,
        dot: &Value<'a>,
        position: Position,
        operand: &'a Operand,
        fields: &'a [String],
        has_arguments: bool,
    ) -> Outcome<Value<'a>> {
        self.position = position;
        let value = self.argument(dot, None, operand)?;
        self.fields(value, fields, has_arguments)
    }

    /// Evaluates a chain of fields of a value.
    fn fields(&mut self, value: Value<'a>, fields: &'a [String], has_arguments: bool) -> Outcome<Value<'a>> {
        let last = fields.len().saturating_sub(1);
        let mut value = value;
        for (index, field) in fields.iter().enumerate() {
            value = self.field(value, field, has_arguments && index == last)?;
        }
        Ok(value)
    }

    fn field(&mut self, value: Value<'a>, field: &str, has_arguments: bool) -> Outcome<Value<'a>> {
        let quoted = || quote::text(field.as_bytes(), Keep::Printable);
        let map = match (&value.thing, value.boxed) {
            (Thing::Map(map) | Thing::Labels(map), _) => *map,
            (Thing::Nil, false) => return Err(format!("nil data; no entry for key {}", quoted())),
            (Thing::Nil, true) => {
                return Err(format!("nil pointer evaluating {}.{field}", value.type_name()));
            }
            _ => return Err(format!("can't evaluate field {field} in type {}", value.type_name())),
        };
        if has_arguments {
            return Err(format!("{field} is not a method but has arguments"));
        }
        let member = map.get(field).ok_or_else(|| format!("map has no entry for key {}", quoted()))?;
        Ok(Value { boxed: matches!(value.thing, Thing::Map(_)), thing: self.data.thing(member) })
    }

    /// Calls a function. The last argument may be the value of the previous command.
    fn call(
        &mut self,
        dot: &Value<'a>,
        builtin: Builtin,
        position: Position,
        arguments: &'a [Operand],
        last: Option<Value<'a>>,
    ) -> Outcome<Value<'a>> {
        let (fixed, rest) = builtin.parameters();
        let name = builtin.name();
        let given = arguments.len() + usize::from(last.is_some());
        match rest {
            Some(_) if given < fixed.len() => {
                let (least, given) = (fixed.len(), arguments.len());
                return Err(format!("wrong number of args for {name}: want at least {least} got {given}"));
            }
            None if given != fixed.len() => {
                let wanted = fixed.len();
                return Err(format!("wrong number of args for {name}: want {wanted} got {given}"));
            }
            _ => {}
        }
        let kind = |index: usize| fixed.get(index).copied().or(rest);
        if let Builtin::And | Builtin::Or = builtin {
            return self.and_or(dot, builtin == Builtin::Or, arguments, last);
        }
        let callee = match (builtin, arguments.first(), &last) {
            (Builtin::Call, Some(argument), _) => Some(describe(argument)),
            (Builtin::Call, None, Some(value)) => Some(self.name_of(value)),
            _ => None,
        };
        let mut values = Vec::with_capacity(given);
        for (index, argument) in arguments.iter().enumerate() {
            values.push(self.argument(dot, kind(index), argument)?);
        }
        if let Some(last) = last {
            values.push(fit(last, kind(arguments.len()))?);
        }
        self.apply(builtin, callee.as_deref(), values).map_err(|reason| {
            self.position = position;
            format!("error calling {name}: {reason}")
        })
    }

    /// Returns the first value that decides, or the last.
    fn and_or(
        &mut self,
        dot: &Value<'a>,
        wanted: bool,
        arguments: &'a [Operand],
        last: Option<Value<'a>>,
    ) -> Outcome<Value<'a>> {
        let mut value = Value::NONE;
        for argument in arguments {
            value = self.argument(dot, Some(Kind::Value), argument)?;
            if value.thing.is_true() == wanted {
                return Ok(value);
            }
        }
        Ok(last.unwrap_or(value))
    }

    /// Evaluates an argument for a parameter type, if there is one.
    fn argument(&mut self, dot: &Value<'a>, kind: Option<Kind>, operand: &'a Operand) -> Outcome<Value<'a>> {
        self.position = operand.position;
        let value = match &operand.term {
            Term::Dot => dot.clone(),
            Term::Nil if kind == Some(Kind::Text) => return Err("cannot assign nil to string".to_owned()),
            Term::Nil => return Ok(Value::NONE),
            Term::Field(fields) => self.fields(dot.clone(), fields, false)?,
            Term::Variable(name, fields) => {
                let value = self.variable(name)?;
                self.fields(value, fields, false)?
            }
            Term::Pipe(pipe) => self.deeper(|rendering| rendering.pipeline(dot, pipe))?,
            Term::Function(builtin) => self.call(dot, *builtin, operand.position, &[], None)?,
            Term::Chain(inner, fields) => {
                self.deeper(|rendering| rendering.chain(dot, operand.position, inner, fields, false))?
            }
            Term::Text { .. } => return self.constant(dot, operand),
            Term::Bool(_) | Term::Number { .. } if kind == Some(Kind::Text) => {
                return Err(format!("expected string; found {operand}"));
            }
            Term::Bool(_) | Term::Number { .. } => return self.constant(dot, operand),
        };
        fit(value, kind)
    }

    /// Returns the result of Go's `reflect.Value.String`.
    fn name_of(&self, value: &Value<'a>) -> String {
        match &value.thing {
            Thing::Text(text) => String::from_utf8_lossy(text.bytes()).into_owned(),
            Thing::Nil => "<invalid Value>".to_owned(),
            thing => format!("<{} Value>", thing.type_name()),
        }
    }
}

/// Converts a value to a parameter type.
fn fit(value: Value<'_>, kind: Option<Kind>) -> Outcome<Value<'_>> {
    if kind != Some(Kind::Text) {
        return Ok(value);
    }
    match (&value.thing, value.boxed) {
        (Thing::Text(_), _) => Ok(value.unboxed()),
        (Thing::Nil, false) => Err("invalid value; expected string".to_owned()),
        (Thing::Nil, true) => Err("wrong type for value; expected string; got interface {}".to_owned()),
        (thing, _) => Err(format!("wrong type for value; expected string; got {}", thing.type_name())),
    }
}

/// Formats an operand for errors, without parentheses around it.
fn describe(operand: &Operand) -> String {
    match &operand.term {
        Term::Pipe(pipe) => pipe.to_string(),
        _ => operand.to_string(),
    }
}

fn refuse_arguments(operand: &Operand, has_arguments: bool) -> Outcome<()> {
    if has_arguments {
        return Err(format!("can't give argument to non-function {}", describe(operand)));
    }
    Ok(())
}
