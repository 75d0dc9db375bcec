//! Reads a tree into the types of the lab file, and reports every value that does not fit.
//!
//! A serde deserializer with three special features: a problem is reported
//! where it is found and the field that holds it becomes
//! [`Field::Bad`](super::value::Field::Bad); unknown keys are reported and skipped; a
//! [`Located`](super::value::Located) value gets its position.

use std::cell::RefCell;

use serde::de::{self, DeserializeSeed, Deserializer, IntoDeserializer, Unexpected, Visitor};
use serde::forward_to_deserialize_any;

use super::rejection::Rejection;
use super::tree::{Entry, Table, Tree, Value};
use super::value::{LOCATED, MANY, SECRET, SHORT, WORD};
use super::{parents, renamed};
use crate::diag::{Code, Diagnostic, HELPED, Span, enumerate, enumerate_all, nearest, typo};

/// Reads a tree into `T`; `None` if even the outermost table does not fit.
pub(super) fn read<'de, T: de::Deserialize<'de>>(tree: &'de Tree, found: &mut Vec<Diagnostic>) -> Option<T> {
    let sink = RefCell::new(Vec::new());
    let read = T::deserialize(Reader { tree, key: None, sink: &sink });
    found.append(&mut sink.into_inner());
    read.ok()
}

/// The value of a misspelt key, which was reported.
static MISSPELT: Entry = {
    const NOWHERE: Span = Span { file: 0, start: 0, end: 0 };
    Entry { key: NOWHERE, tree: Tree { span: NOWHERE, value: Value::Broken } }
};

type Sink = RefCell<Vec<Diagnostic>>;

/// One value to be deserialized.
#[derive(Clone, Copy)]
struct Reader<'de, 's> {
    tree: &'de Tree,
    /// Its key, for messages.
    key: Option<&'de str>,
    sink: &'s Sink,
}

impl<'de> Reader<'de, '_> {
    /// Reports an error at this value, unless it was reported already.
    fn at_home<T>(self, result: Result<T, Rejection>) -> Result<T, Rejection> {
        if let Err(Rejection::New { code, what }) = result {
            let subject = match self.key {
                Some(key) => format!("`{key}` {what}"),
                None => format!("this {what}"),
            };
            // Messages of `Malformed` values are whole sentences.
            let message = if what.starts_with("must be") { subject } else { what };
            let help = (code == Code::WrongType).then(|| self.retype(&message)).flatten();
            let diagnostic = Diagnostic::new(code, self.tree.span.clone(), message);
            return Err(self.report(match help {
                Some(help) => diagnostic.help(help),
                None => diagnostic,
            }));
        }
        result
    }

    fn report(self, diagnostic: Diagnostic) -> Rejection {
        self.sink.borrow_mut().push(diagnostic);
        Rejection::Reported
    }

    /// Returns the fix for a value of the wrong type, if the value shows it.
    fn retype(self, what: &str) -> Option<&'static str> {
        let text = what.contains("be a string") || what.contains(" like \"");
        match &self.tree.value {
            Value::Boolean(false) if what.contains("`off`") || what.contains("\"off\"") => {
                Some("write \"off\"")
            }
            Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime if text => {
                Some("add quotes")
            }
            Value::String(number)
                if (what.contains("number") || what.contains("integer")) && number.parse::<i64>().is_ok() =>
            {
                Some("remove the quotes")
            }
            Value::String(truth) if what.contains("boolean") => {
                Some(match truth.to_ascii_lowercase().as_str() {
                    "yes" | "on" | "true" => "write true, without quotes",
                    "no" | "off" | "false" => "write false, without quotes",
                    _ => return None,
                })
            }
            Value::Array(items) if text && items.len() == 1 => Some("remove the brackets"),
            Value::String(_) if what.contains("be a list") => Some("add brackets: [\"…\"]"),
            _ => None,
        }
    }

    fn table(self) -> Result<&'de Table, Rejection> {
        match &self.tree.value {
            Value::Table(table) => Ok(table),
            Value::Broken => Err(Rejection::Reported),
            _ => self.at_home(Err(de::Error::invalid_type(self.unexpected(), &"a table"))),
        }
    }

    fn unexpected(self) -> Unexpected<'de> {
        match &self.tree.value {
            Value::String(text) => Unexpected::Str(text),
            Value::Integer(number) => Unexpected::Signed(*number),
            Value::Float(number) => Unexpected::Float(*number),
            Value::Boolean(truth) => Unexpected::Bool(*truth),
            Value::Datetime => Unexpected::Other("a date"),
            Value::Array(_) => Unexpected::Seq,
            Value::Table(_) => Unexpected::Map,
            Value::Broken => Unexpected::Other("something broken"),
        }
    }

    /// Reports unknown keys of a table, and returns the ones probably meant.
    fn unknown_keys(self, table: &'de Table, fields: &'static [&'static str]) -> Vec<&'static str> {
        let mut misspelt: Vec<&'static str> = Vec::new();
        for (key, entry) in table.iter().filter(|(key, _)| !fields.contains(&key.as_str())) {
            let diagnostic =
                Diagnostic::new(Code::UnknownKey, entry.key.clone(), format!("unknown key `{key}`"));
            if self.sink.borrow().len() > HELPED {
                self.sink.borrow_mut().push(diagnostic.help("is this the right file?"));
                continue;
            }
            if let Some(now) = renamed::key(key, fields) {
                misspelt.push(now);
                self.sink.borrow_mut().push(diagnostic.help(format!("`{key}` was renamed to `{now}`")));
                continue;
            }
            let elsewhere = parents::of(key);
            // A key that is allowed elsewhere is not an abbreviation of one here, but it may be a typo.
            let meant = match elsewhere.is_empty() {
                true => nearest(key, fields.iter().copied()),
                false => typo(key, fields.iter().copied()),
            };
            let help = match (meant, elsewhere.as_slice()) {
                (Some(meant), _) => {
                    misspelt.extend(fields.iter().filter(|field| **field == meant));
                    format!("did you mean `{meant}`?")
                }
                (None, []) => format!("expected one of {}", enumerate_all(fields.iter().copied())),
                (None, [""]) => format!("`{key}` belongs at the top of the file, above the first [table]"),
                (None, parents) => {
                    let name = |parent: &&'static str| if parent.is_empty() { "the top" } else { parent };
                    format!("`{key}` belongs in {}", enumerate(parents.iter().map(name)))
                }
            };
            self.sink.borrow_mut().push(diagnostic.help(help));
        }
        misspelt.retain(|meant| !table.contains_key(*meant));
        misspelt.sort_unstable();
        misspelt.dedup();
        misspelt
    }

    /// Checks that a secret is named, not written out, before any message could quote it.
    fn names_a_secret(self, variants: &'static [&'static str]) -> Result<(), Rejection> {
        let named = self.tree.table().and_then(one).is_some_and(|(word, entry)| {
            variants.contains(&word.as_str()) && matches!(entry.tree.value, Value::String(_) | Value::Broken)
        });
        if named || matches!(self.tree.value, Value::Broken) {
            return Ok(());
        }
        let what = format!("`{}` does not name a secret", self.key.unwrap_or("this"));
        Err(self.report(
            Diagnostic::new(Code::WrongType, self.tree.span.clone(), what)
                .help("a lab file names secrets and never holds them: { env = \"VARIABLE\" } or { file = \"PATH\" }")
                .secret(),
        ))
    }

    fn unknown_word(self, word: &str, span: Span, variants: &'static [&'static str]) -> Rejection {
        let what = match self.key {
            Some(key) => format!("`{key}` cannot be `{word}`"),
            None => format!("`{word}` is not allowed here"),
        };
        let now = self.key.and_then(|key| renamed::value(key, word));
        let help = match (now, nearest(word, variants.iter().copied())) {
            (Some(now), _) => format!("`{word}` was renamed to `{now}`"),
            (None, Some(meant)) => format!("did you mean `{meant}`?"),
            (None, None) => format!("expected one of {}", enumerate_all(variants.iter().copied())),
        };
        self.report(Diagnostic::new(Code::UnknownWord, span, what).help(help))
    }
}

impl<'de> Deserializer<'de> for Reader<'de, '_> {
    type Error = Rejection;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Rejection> {
        let result = match &self.tree.value {
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Integer(number) => visitor.visit_i64(*number),
            Value::Float(number) => visitor.visit_f64(*number),
            Value::Boolean(truth) => visitor.visit_bool(*truth),
            Value::Datetime => Err(de::Error::invalid_type(self.unexpected(), &visitor)),
            Value::Array(items) => {
                let readers = items.iter().map(|tree| Reader { tree, key: self.key, sink: self.sink });
                visitor.visit_seq(Items(readers.collect::<Vec<_>>().into_iter()))
            }
            Value::Table(table) => visitor.visit_map(Entries { iter: entries(table), value: None, of: self }),
            Value::Broken => Err(Rejection::Reported),
        };
        self.at_home(result)
    }

    /// An invalid value reads as unit, which [`super::Field`] distinguishes from a missing one.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Rejection> {
        match self.tree.value {
            Value::Broken => visitor.visit_unit(),
            _ => self.at_home(visitor.visit_some(self)),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Rejection> {
        if name == MANY && !matches!(self.tree.value, Value::Array(_) | Value::Broken) {
            return self.at_home(visitor.visit_seq(Items(vec![self].into_iter())));
        }
        if name == WORD && !matches!(self.tree.value, Value::Table(_) | Value::Broken) {
            return self.deserialize_any(visitor);
        }
        if let Some(key) = name.strip_prefix(SHORT)
            && !matches!(self.tree.value, Value::Table(_) | Value::Broken)
        {
            return self.at_home(visitor.visit_newtype_struct(Shorthand { key, of: self }));
        }
        self.at_home(visitor.visit_newtype_struct(self))
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, Rejection> {
        if name == LOCATED {
            return self.at_home(visitor.visit_seq(SpannedAccess::new(&self.tree.span, self)));
        }
        self.deserialize_any(visitor)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Rejection> {
        let table = self.table()?;
        // A misspelt key is not missing: its field is bad.
        let misspelt = self.unknown_keys(table, fields).into_iter().map(|key| (key, &MISSPELT));
        let known = entries(table).filter(|(key, _)| fields.contains(key));
        let known: Vec<_> = known.chain(misspelt).collect();
        let result = visitor.visit_map(Entries { iter: known.into_iter(), value: None, of: self });
        self.at_home(result)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Rejection> {
        if name == SECRET {
            self.names_a_secret(variants)?;
        }
        let result = match &self.tree.value {
            Value::String(word) if variants.contains(&word.as_str()) => {
                visitor.visit_enum(Variant { word, content: None, of: self })
            }
            Value::String(word) => Err(self.unknown_word(word, self.tree.span.clone(), variants)),
            Value::Table(table) => match one(table) {
                Some((word, entry)) if variants.contains(&word.as_str()) => {
                    visitor.visit_enum(Variant { word, content: Some(&entry.tree), of: self })
                }
                Some((word, entry)) => Err(self.unknown_word(word, entry.key.clone(), variants)),
                None => {
                    let what = format!("must have exactly one key, not {}", table.len());
                    let subject = self.key.map_or("this".into(), |key| format!("`{key}`"));
                    let choices = enumerate_all(variants.iter().copied());
                    Err(self.report(
                        Diagnostic::new(Code::WrongType, self.tree.span.clone(), format!("{subject} {what}"))
                            .help(format!("choose one of {choices}")),
                    ))
                }
            },
            Value::Broken => Err(Rejection::Reported),
            Value::Boolean(truth)
                if self.key.is_some_and(|key| renamed::value(key, &truth.to_string()).is_some()) =>
            {
                Err(self.unknown_word(&truth.to_string(), self.tree.span.clone(), variants))
            }
            _ => {
                let expected = format!("one of {}", enumerate_all(variants.iter().copied()));
                Err(de::Error::invalid_type(self.unexpected(), &expected.as_str()))
            }
        };
        self.at_home(result)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct seq tuple map identifier ignored_any
    }
}

fn one(table: &Table) -> Option<(&String, &Entry)> {
    let mut entries = table.iter();
    entries.next().filter(|_| entries.next().is_none())
}

fn entries(table: &Table) -> impl Iterator<Item = (&str, &Entry)> {
    table.iter().map(|(key, entry)| (key.as_str(), entry))
}

/// The items of a list.
struct Items<'de, 's>(std::vec::IntoIter<Reader<'de, 's>>);

impl<'de> de::SeqAccess<'de> for Items<'de, '_> {
    type Error = Rejection;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Rejection> {
        self.0.next().map(|reader| seed.deserialize(reader)).transpose()
    }
}

/// The entries of a table.
struct Entries<'de, 's, I> {
    iter: I,
    value: Option<Reader<'de, 's>>,
    of: Reader<'de, 's>,
}

impl<'de, I: Iterator<Item = (&'de str, &'de Entry)>> de::MapAccess<'de> for Entries<'de, '_, I> {
    type Error = Rejection;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Rejection> {
        let Some((key, entry)) = self.iter.next() else { return Ok(None) };
        self.value = Some(Reader { tree: &entry.tree, key: Some(key), sink: self.of.sink });
        seed.deserialize(Key { text: key, span: &entry.key }).map(Some)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Rejection> {
        seed.deserialize(self.value.take().expect("serde asks for a value after its key"))
    }
}

/// The key of an entry, which can be [`Located`](super::Located) as well.
struct Key<'de> {
    text: &'de str,
    span: &'de Span,
}

impl<'de> Deserializer<'de> for Key<'de> {
    type Error = Rejection;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Rejection> {
        visitor.visit_borrowed_str(self.text)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, Rejection> {
        visitor.visit_seq(SpannedAccess::new(self.span, de::value::BorrowedStrDeserializer::new(self.text)))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        option unit unit_struct newtype_struct seq tuple map struct enum identifier ignored_any
    }
}

/// A span and its value, as the sequence that a `Located` reads.
struct SpannedAccess<D> {
    numbers: std::array::IntoIter<usize, 3>,
    value: Option<D>,
}

impl<D> SpannedAccess<D> {
    fn new(span: &Span, value: D) -> Self {
        Self { numbers: [span.file, span.start, span.end].into_iter(), value: Some(value) }
    }
}

impl<'de, D: Deserializer<'de, Error = Rejection>> de::SeqAccess<'de> for SpannedAccess<D> {
    type Error = Rejection;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Rejection> {
        if let Some(number) = self.numbers.next() {
            return seed.deserialize(number.into_deserializer()).map(Some);
        }
        self.value.take().map(|value| seed.deserialize(value)).transpose()
    }
}

/// A bare value that is short for a table with one key: `tcp = 22` for `tcp = { port = 22 }`.
struct Shorthand<'de, 's> {
    key: &'static str,
    of: Reader<'de, 's>,
}

impl<'de> Deserializer<'de> for Shorthand<'de, '_> {
    type Error = Rejection;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Rejection> {
        let Self { key, of } = self;
        visitor.visit_map(de::value::MapDeserializer::new(std::iter::once((key, Whole(of)))))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

struct Whole<'de, 's>(Reader<'de, 's>);

impl<'de, 's> IntoDeserializer<'de, Rejection> for Whole<'de, 's> {
    type Deserializer = Reader<'de, 's>;

    fn into_deserializer(self) -> Reader<'de, 's> {
        self.0
    }
}

/// One of several alternatives: a keyword, or a table with the keyword as its only key.
struct Variant<'de, 's> {
    word: &'de str,
    content: Option<&'de Tree>,
    of: Reader<'de, 's>,
}

impl<'de, 's> de::EnumAccess<'de> for Variant<'de, 's> {
    type Error = Rejection;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Rejection> {
        let word = seed.deserialize(de::value::BorrowedStrDeserializer::new(self.word))?;
        Ok((word, self))
    }
}

impl<'de> de::VariantAccess<'de> for Variant<'de, '_> {
    type Error = Rejection;

    fn unit_variant(self) -> Result<(), Rejection> {
        match self.content {
            None => Ok(()),
            Some(_) => Err(self.of.report(
                Diagnostic::new(
                    Code::WrongType,
                    self.of.tree.span.clone(),
                    format!("`{}` takes no settings", self.word),
                )
                .help(format!("write \"{}\"", self.word)),
            )),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Rejection> {
        match self.content {
            Some(tree) => seed.deserialize(Reader { tree, key: Some(self.word), sink: self.of.sink }),
            None => seed.deserialize(Bare(self)),
        }
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, visitor: V) -> Result<V::Value, Rejection> {
        self.newtype_variant_seed(std::marker::PhantomData::<de::IgnoredAny>)?;
        Err(de::Error::invalid_type(Unexpected::TupleVariant, &visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Rejection> {
        match self.content {
            Some(tree) => Reader { tree, key: Some(self.word), sink: self.of.sink }
                .deserialize_struct("", fields, visitor),
            None => Bare(self).deserialize_any(visitor),
        }
    }
}

/// The settings of a bare keyword: none, which is allowed if every setting has a default.
struct Bare<'de, 's>(Variant<'de, 's>);

impl<'de> Deserializer<'de> for Bare<'de, '_> {
    type Error = Rejection;

    fn deserialize_any<V: Visitor<'de>>(self, _visitor: V) -> Result<V::Value, Rejection> {
        let Variant { word, of, .. } = self.0;
        let diagnostic =
            Diagnostic::new(Code::WrongType, of.tree.span.clone(), format!("`{word}` requires settings"));
        Err(of.report(diagnostic.help(format!("write {{ {word} = … }}"))))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Rejection> {
        visitor.visit_none()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
    }
}
