//! Building blocks of the lab file's fields: values with their positions.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde::ser::{Serialize, Serializer};
use serde_json::json;

use crate::diag::Span;

/// The name under which [`Located`] asks for its span.
pub(super) const LOCATED: &str = "$located";
/// The name under which [`Many`] takes one value for a list of one.
pub(super) const MANY: &str = "$many";
/// The name under which a keyword may stand for a table.
pub(super) const WORD: &str = "$word";
/// The name of the type that names a secret.
pub(super) const SECRET: &str = "secret";
/// Prefix of the name under which [`Short`] takes a bare value.
pub(super) const SHORT: &str = "$short:";

/// Any value: a string, a number, a boolean, a list or a table of them.
#[derive(Debug, Clone, PartialEq)]
pub struct RawJson(pub serde_json::Value);

/// A value and its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Its position.
    pub span: Span,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Located<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Seek<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Seek<T> {
            type Value = Located<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value and its span")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Located<T>, A::Error> {
                let short = || de::Error::custom("a span is three numbers");
                let file = seq.next_element()?.ok_or_else(short)?;
                let start = seq.next_element()?.ok_or_else(short)?;
                let end = seq.next_element()?.ok_or_else(short)?;
                let value = seq.next_element()?.ok_or_else(short)?;
                Ok(Located { value, span: Span { file, start, end } })
            }
        }
        from.deserialize_tuple_struct(LOCATED, 4, Seek(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for Located<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// One field of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Field<T> {
    /// It was left out.
    Missing,
    /// It is invalid, which was reported.
    Bad,
    /// It was given.
    Given(Located<T>),
}

// A derived `Default` would require `T: Default`.
#[expect(clippy::derivable_impls, reason = "the derived one asks for `T: Default`")]
impl<T> Default for Field<T> {
    fn default() -> Self {
        Self::Missing
    }
}

impl<T> Field<T> {
    /// Returns the value with its position.
    pub fn given(&self) -> Option<&Located<T>> {
        match self {
            Self::Given(located) => Some(located),
            Self::Missing | Self::Bad => None,
        }
    }

    /// Returns the value.
    pub fn value(&self) -> Option<&T> {
        self.given().map(|located| &located.value)
    }

    /// Returns the position of the value.
    pub fn span(&self) -> Option<&Span> {
        self.given().map(|located| &located.span)
    }

    /// Returns whether it was left out, rather than given or reported.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Field<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Take<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Take<T> {
            type Value = Field<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_none<E>(self) -> Result<Field<T>, E> {
                Ok(Field::Missing)
            }

            fn visit_unit<E>(self) -> Result<Field<T>, E> {
                Ok(Field::Bad)
            }

            fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Field<T>, D::Error> {
                // The problem has been reported to the sink; deserialization continues here.
                Ok(Located::deserialize(from).map_or(Field::Bad, Field::Given))
            }
        }
        from.deserialize_option(Take(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for Field<T> {
    fn inline_schema() -> bool {
        T::inline_schema()
    }

    fn schema_name() -> Cow<'static, str> {
        T::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        T::json_schema(generator)
    }
}

/// A table keyed by name, in the order of the file.
#[derive(Debug, Clone)]
pub struct Keyed<T> {
    /// The entries; `None` for an invalid one, which was reported.
    pub entries: Vec<(Located<String>, Option<T>)>,
    /// Whether the whole table is invalid, which was reported.
    pub bad: bool,
    /// Where in `entries` a name is.
    // Invariant: contains all of them.
    index: BTreeMap<String, usize>,
}

impl<T> Default for Keyed<T> {
    fn default() -> Self {
        Self { entries: Vec::new(), bad: false, index: BTreeMap::new() }
    }
}

impl<T> Keyed<T> {
    fn new(entries: Vec<(Located<String>, Option<T>)>) -> Self {
        let names = entries.iter().enumerate().map(|(at, (name, _))| (name.value.clone(), at));
        Self { index: names.collect(), entries, bad: false }
    }

    /// Returns the entry with a name, including an invalid one.
    pub fn get(&self, name: &str) -> Option<&(Located<String>, Option<T>)> {
        self.index.get(name).and_then(|at| self.entries.get(*at))
    }

    /// Returns the names, including those of invalid entries.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(name, _)| name.value.as_str())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Keyed<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct All<T>(Vec<(Located<String>, Option<T>)>);
        struct Walk<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Walk<T> {
            type Value = All<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a table")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<All<T>, A::Error> {
                let mut entries = Vec::new();
                while let Some((name, value)) = map.next_entry::<Located<String>, Field<T>>()? {
                    let value = match value {
                        Field::Given(located) => Some(located.value),
                        Field::Missing | Field::Bad => None,
                    };
                    entries.push((name, value));
                }
                Ok(All(entries))
            }
        }
        impl<'de, T: Deserialize<'de>> Deserialize<'de> for All<T> {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                from.deserialize_map(Walk(PhantomData))
            }
        }
        Ok(match Field::<All<T>>::deserialize(from)? {
            Field::Given(located) => Self::new(located.value.0),
            Field::Missing => Self::default(),
            Field::Bad => Self { bad: true, ..Self::default() },
        })
    }
}

impl<T: JsonSchema> JsonSchema for Keyed<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        <BTreeMap<String, T>>::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        <BTreeMap<String, T>>::json_schema(generator)
    }
}

/// A list.
#[derive(Debug, Clone)]
pub struct List<T> {
    /// Its valid items.
    pub items: Vec<Located<T>>,
    /// Whether it, or one of its items, is invalid, which was reported.
    pub bad: bool,
    /// Its position, if it was given.
    pub span: Option<Span>,
}

impl<T> Default for List<T> {
    fn default() -> Self {
        Self { items: Vec::new(), bad: false, span: None }
    }
}

impl<T> List<T> {
    fn from_field(field: Field<Items<T>>) -> Self {
        match field {
            Field::Given(Located { value: Items { items, bad }, span }) => {
                Self { items, bad, span: Some(span) }
            }
            Field::Missing => Self::default(),
            Field::Bad => Self { bad: true, ..Self::default() },
        }
    }

    /// Reads the items of a list that is part of a larger choice, whose position is the choice's.
    pub(super) fn from_items<'de, D>(from: D) -> Result<Self, D::Error>
    where
        T: Deserialize<'de>,
        D: Deserializer<'de>,
    {
        let Items { items, bad } = Items::deserialize(from)?;
        Ok(Self { items, bad, span: None })
    }

    /// Returns whether it was left out, rather than given or reported.
    pub fn is_missing(&self) -> bool {
        self.span.is_none() && !self.bad
    }

    /// Returns the values.
    pub fn values(&self) -> impl Iterator<Item = &T> {
        self.items.iter().map(|item| &item.value)
    }
}

struct Items<T> {
    items: Vec<Located<T>>,
    bad: bool,
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Items<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_seq(Collect(PhantomData))
    }
}

struct Collect<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for Collect<T> {
    type Value = Items<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Items<T>, A::Error> {
        let (mut items, mut bad) = (Vec::new(), false);
        while let Some(item) = seq.next_element::<Field<T>>()? {
            match item {
                Field::Given(item) => items.push(item),
                Field::Missing | Field::Bad => bad = true,
            }
        }
        Ok(Items { items, bad })
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for List<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        Field::deserialize(from).map(Self::from_field)
    }
}

impl<T: JsonSchema> JsonSchema for List<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        <Vec<T>>::schema_name()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        <Vec<T>>::json_schema(generator)
    }
}

/// A list that may be written as its only item.
#[derive(Debug, Clone)]
pub struct Many<T>(pub List<T>);

impl<T> Default for Many<T> {
    fn default() -> Self {
        Self(List::default())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Many<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Lenient<T>(Items<T>);
        struct Wrap<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Wrap<T> {
            type Value = Lenient<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value or a list")
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(self, from: D) -> Result<Lenient<T>, D::Error> {
                Items::deserialize(from).map(Lenient)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Lenient<T>, A::Error> {
                Collect(PhantomData).visit_seq(seq).map(Lenient)
            }
        }
        impl<'de, T: Deserialize<'de>> Deserialize<'de> for Lenient<T> {
            fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                from.deserialize_newtype_struct(MANY, Wrap(PhantomData))
            }
        }
        let field = match Field::<Lenient<T>>::deserialize(from)? {
            Field::Given(Located { value, span }) => Field::Given(Located { value: value.0, span }),
            Field::Missing => Field::Missing,
            Field::Bad => Field::Bad,
        };
        Ok(Self(List::from_field(field)))
    }
}

impl<T: JsonSchema> JsonSchema for Many<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Many_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [one.clone(), { "type": "array", "items": one }] })
    }
}

/// A table that may be shortened to the value of its main key.
pub trait Shorthand {
    /// `$short:` and the key.
    const NAME: &'static str;
    /// What the key holds.
    type Value: JsonSchema;
}

/// A table that may be shortened to the value of its main key: `tcp = 22`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Short<T>(pub T);

impl<'de, T: Deserialize<'de> + Shorthand> Deserialize<'de> for Short<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Wrap<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Wrap<T> {
            type Value = Short<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value or a table")
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(self, from: D) -> Result<Short<T>, D::Error> {
                T::deserialize(from).map(Short)
            }
        }
        from.deserialize_newtype_struct(T::NAME, Wrap(PhantomData))
    }
}

impl<T: JsonSchema + Shorthand> JsonSchema for Short<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Short_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let bare = generator.subschema_for::<T::Value>();
        let table = generator.subschema_for::<T>();
        json_schema!({ "anyOf": [bare, table] })
    }
}

/// A type that is written as a string in the lab file.
pub trait Word: Sized + FromStr<Err: fmt::Display> {
    /// What is expected, with an example.
    const WANTED: &'static str;
    /// A regular expression for the schema.
    const PATTERN: &'static str;
    /// Examples for the schema.
    const EXAMPLES: &'static [&'static str];
}

/// A string that is parsed into a type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text<T>(pub T);

impl<'de, T: Word> Deserialize<'de> for Text<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Read<T>(PhantomData<T>);
        impl<T: Word> Visitor<'_> for Read<T> {
            type Value = Text<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(T::WANTED)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Text<T>, E> {
                text.parse().map(Text).map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }
        from.deserialize_str(Read(PhantomData))
    }
}

impl<T: fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&self.0)
    }
}

impl<T: Word> JsonSchema for Text<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        T::WANTED.into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": T::PATTERN, "examples": T::EXAMPLES })
    }
}

/// Describes words with what they mean.
pub(super) fn words(words: &[(&str, &str)]) -> Vec<serde_json::Value> {
    words.iter().map(|(word, meaning)| json!({ "const": word, "description": meaning })).collect()
}
