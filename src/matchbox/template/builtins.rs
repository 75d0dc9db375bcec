//! Evaluates the built-in functions.

use crate::matchbox::go::{query, quote};
use crate::matchbox::template::eval::{Outcome, Rendering};
use crate::matchbox::template::format::Buffer;
use crate::matchbox::template::function::Builtin;
use crate::matchbox::template::value::{Text, Thing, Value};
use crate::matchbox::template::{compare, print};

impl<'a> Rendering<'a> {
    /// Calls a function with valid arguments.
    pub(super) fn apply(
        &mut self,
        builtin: Builtin,
        callee: Option<&str>,
        values: Vec<Value<'a>>,
    ) -> Outcome<Value<'a>> {
        let (first, rest) = match values.split_first() {
            Some((first, rest)) => (first.clone(), rest),
            None => (Value::NONE, &[][..]),
        };
        match builtin {
            // These two are evaluated with their arguments, of which some may be skipped.
            Builtin::And | Builtin::Or => Ok(first),
            Builtin::Call => Err(match (&first.thing, callee) {
                (Thing::Nil, _) => "call of nil".to_owned(),
                (thing, callee) => {
                    format!("non-function {} of type {}", callee.unwrap_or_default(), thing.type_name())
                }
            }),
            Builtin::Index => self.index(first, rest),
            Builtin::Slice => self.slice(first, rest),
            Builtin::Len => length(&first),
            Builtin::Not => Ok(Thing::Bool(!first.thing.is_true()).into()),
            Builtin::Eq | Builtin::Ne | Builtin::Lt | Builtin::Le | Builtin::Gt | Builtin::Ge => {
                self.spend_steps(values.iter().map(effort).sum())?;
                compare::compare(builtin, self.data, &first.thing, rest)
                    .map(|truth| Thing::Bool(truth).into())
            }
            Builtin::Print | Builtin::Println | Builtin::Printf => {
                let things: Vec<Thing<'a>> = values.into_iter().map(|value| value.thing).collect();
                let mut buffer = self.buffer();
                match (builtin, things.split_first()) {
                    (Builtin::Printf, Some((Thing::Text(format), things))) => {
                        print::printf(&mut buffer, self.data, format.bytes(), things);
                    }
                    (Builtin::Println, _) => print::println(&mut buffer, self.data, &things),
                    _ => print::print(&mut buffer, self.data, &things),
                }
                self.made(buffer)
            }
            Builtin::Html | Builtin::Js | Builtin::UrlQuery => {
                let text = self.text_of(values)?;
                let mut buffer = self.buffer();
                match builtin {
                    Builtin::Html => push_html(&mut buffer, text.bytes()),
                    Builtin::Js => push_js(&mut buffer, text.bytes()),
                    _ => buffer.push(query::escape(text.bytes()).as_bytes()),
                }
                self.made(buffer)
            }
        }
    }

    /// Joins the arguments of an escaping function to a text.
    fn text_of(&mut self, values: Vec<Value<'a>>) -> Outcome<Text<'a>> {
        if let [Value { thing: Thing::Text(text), .. }] = values.as_slice() {
            return Ok(text.clone());
        }
        let printable = |value: Value<'a>| match value.thing {
            Thing::Nil => Thing::Text(Text::Lasting(b"<no value>")),
            thing => thing,
        };
        let things: Vec<Thing<'a>> = values.into_iter().map(printable).collect();
        let mut buffer = self.buffer();
        print::print(&mut buffer, self.data, &things);
        match self.made(buffer)?.thing {
            Thing::Text(text) => Ok(text),
            _ => Ok(Text::Lasting(b"")),
        }
    }

    fn index(&self, item: Value<'a>, indexes: &[Value<'a>]) -> Outcome<Value<'a>> {
        if item.thing.is_nil() {
            return Err("index of untyped nil".to_owned());
        }
        // The indexed value loses its `interface{}`, the result keeps it.
        let mut item = item.unboxed();
        for index in indexes {
            item = match &item.thing {
                Thing::Nil => return Err("index of nil pointer".to_owned()),
                Thing::List(items) => {
                    let at = index_within(&index.thing, items.len())?;
                    self.data.boxed(items.get(at).ok_or("reflect: slice index out of range")?)
                }
                Thing::Text(text) => {
                    let at = index_within(&index.thing, text.bytes().len())?;
                    Thing::Byte(*text.bytes().get(at).ok_or("reflect: string index out of range")?).into()
                }
                Thing::Map(map) => match map.get(key(&index.thing)?) {
                    Some(member) => self.data.boxed(member),
                    None => Value { boxed: true, thing: Thing::Nil },
                },
                Thing::Labels(map) => match map.get(key(&index.thing)?) {
                    Some(member) => self.data.thing(member).into(),
                    None => Thing::Text(Text::Lasting(b"")).into(),
                },
                other => return Err(format!("can't index item of type {}", other.type_name())),
            };
        }
        Ok(item)
    }

    fn slice(&mut self, item: Value<'a>, indexes: &[Value<'a>]) -> Outcome<Value<'a>> {
        if item.thing.is_nil() {
            return Err("slice of untyped nil".to_owned());
        }
        if indexes.len() > 3 {
            return Err(format!("too many slice indexes: {}", indexes.len()));
        }
        let length = match &item.thing {
            Thing::Text(_) if indexes.len() == 3 => return Err("cannot 3-index slice a string".to_owned()),
            Thing::Text(text) => text.bytes().len(),
            Thing::List(items) => items.len(),
            other => return Err(format!("can't slice item of type {}", other.type_name())),
        };
        let mut ends = [0, length, length];
        for (end, index) in ends.iter_mut().zip(indexes) {
            // Unlike `index`, it does not unwrap an `interface{}`.
            if index.boxed {
                return Err("cannot index slice/array with type interface {}".to_owned());
            }
            *end = index_within(&index.thing, length)?;
        }
        let [begin, end, room] = ends;
        if begin > end {
            return Err(format!("invalid slice index: {begin} > {end}"));
        }
        if end > room {
            return Err(format!("invalid slice index: {end} > {room}"));
        }
        match item.thing {
            Thing::List(items) => Ok(Thing::List(&items[begin..end]).into()),
            Thing::Text(Text::Lasting(bytes)) => Ok(Thing::Text(Text::Lasting(&bytes[begin..end])).into()),
            Thing::Text(Text::Made(bytes)) => {
                let mut buffer = self.buffer();
                buffer.push(&bytes[begin..end]);
                self.made(buffer)
            }
            _ => Ok(Value::NONE),
        }
    }
}

fn length<'a>(item: &Value<'a>) -> Outcome<Value<'a>> {
    let length = match &item.thing {
        Thing::Nil if item.boxed => return Err("len of nil pointer".to_owned()),
        // Go asks an invalid value for its type.
        Thing::Nil => return Err("reflect: call of reflect.Value.Type on zero Value".to_owned()),
        Thing::Text(text) => text.bytes().len(),
        Thing::List(items) => items.len(),
        Thing::Map(map) | Thing::Labels(map) => map.len(),
        other => return Err(format!("len of type {}", other.type_name())),
    };
    Ok(Thing::Int(i64::try_from(length).unwrap_or(i64::MAX)).into())
}

/// Returns an index for a length. Go allows the index behind the end here.
fn index_within(index: &Thing<'_>, length: usize) -> Outcome<usize> {
    let index = match index {
        Thing::Int(index) => *index,
        Thing::Byte(index) => i64::from(*index),
        Thing::Nil => return Err("cannot index slice/array with nil".to_owned()),
        other => return Err(format!("cannot index slice/array with type {}", other.type_name())),
    };
    let within = usize::try_from(index).ok().filter(|&index| index <= length);
    within.ok_or_else(|| format!("index out of range: {index}"))
}

/// Returns a key for a map.
fn key<'k>(index: &'k Thing<'_>) -> Outcome<&'k str> {
    match index {
        // No key of the data is invalid UTF-8.
        Thing::Text(text) => Ok(std::str::from_utf8(text.bytes()).unwrap_or("\u{fffd}\0\u{fffd}")),
        Thing::Nil => Err("value is nil; should be of type string".to_owned()),
        other => Err(format!("value has type {}; should be string", other.type_name())),
    }
}

/// Returns the number of steps for processing a value.
fn effort(value: &Value<'_>) -> usize {
    match &value.thing {
        Thing::Text(text) => text.bytes().len() / 256,
        _ => 0,
    }
}

fn push_html(buffer: &mut Buffer, text: &[u8]) {
    for piece in text.split_inclusive(|byte| matches!(byte, 0 | b'"' | b'\'' | b'&' | b'<' | b'>')) {
        let escape = match piece.last() {
            Some(0) => "\u{fffd}",
            Some(b'"') => "&#34;",
            Some(b'\'') => "&#39;",
            Some(b'&') => "&amp;",
            Some(b'<') => "&lt;",
            Some(b'>') => "&gt;",
            _ => {
                buffer.push(piece);
                continue;
            }
        };
        buffer.push(&piece[..piece.len() - 1]);
        buffer.push(escape.as_bytes());
    }
}

fn push_js(buffer: &mut Buffer, text: &[u8]) {
    let mut rest = text;
    while let Some((char, width)) = quote::decode(rest) {
        match char {
            '\\' | '\'' | '"' => buffer.push(format!("\\{char}").as_bytes()),
            '\0'..='\x1f' | '<' | '>' | '&' | '=' => {
                buffer.push(format!("\\u{:04X}", u32::from(char)).as_bytes());
            }
            _ if char.is_ascii() || quote::is_printable(char) => buffer.push(&rest[..width]),
            _ => buffer.push(format!("\\u{:04X}", u32::from(char)).as_bytes()),
        }
        rest = &rest[width..];
    }
}
