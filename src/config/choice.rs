//! Fields that are a word or something larger, which no derive can read or describe.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::SeqAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};

use super::raw::{RawBoot, RawDhcp, RawDhcpServer, RawNoCloud, RawSeed, RawUpstream};
use super::value::{List, Text};
use super::word::Server;

impl<'de> Deserialize<'de> for RawUpstream {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Choose;
        impl<'de> Visitor<'de> for Choose {
            type Value = RawUpstream;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"host\", \"none\" or a list of servers")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<RawUpstream, E> {
                match text {
                    "host" => Ok(RawUpstream::Host),
                    "none" => Ok(RawUpstream::None),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<RawUpstream, A::Error> {
                List::from_items(SeqAccessDeserializer::new(seq)).map(RawUpstream::Servers)
            }
        }
        from.deserialize_any(Choose)
    }
}

impl<'de> Deserialize<'de> for RawBoot {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Choose;
        impl<'de> Visitor<'de> for Choose {
            type Value = RawBoot;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list like [\"disk\", \"network\"], or \"nvram\"")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<RawBoot, E> {
                match text {
                    "nvram" => Ok(RawBoot::Nvram),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<RawBoot, A::Error> {
                List::from_items(SeqAccessDeserializer::new(seq)).map(RawBoot::Order)
            }
        }
        from.deserialize_any(Choose)
    }
}

/// Describes one of several words, or a table with one key.
fn words_or(words: &[&str], tag: &str, content: &Schema) -> Schema {
    json_schema!({
        "anyOf": [
            { "enum": words },
            {
                "type": "object",
                "properties": { tag: content },
                "required": [tag],
                "additionalProperties": false,
            },
        ],
    })
}

impl JsonSchema for RawDhcp {
    fn schema_name() -> Cow<'static, str> {
        "dhcp".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let server = generator.subschema_for::<RawDhcpServer>();
        words_or(&["server", "proxy", "off"], "server", &server)
    }
}

impl JsonSchema for RawSeed {
    fn schema_name() -> Cow<'static, str> {
        "seed".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let content = generator.subschema_for::<RawNoCloud>();
        words_or(&["none", "nocloud"], "nocloud", &content)
    }
}

impl JsonSchema for RawUpstream {
    fn schema_name() -> Cow<'static, str> {
        "upstream".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let servers = generator.subschema_for::<Vec<Text<Server>>>();
        json_schema!({ "anyOf": [{ "enum": ["host", "none"] }, servers] })
    }
}

impl JsonSchema for RawBoot {
    fn schema_name() -> Cow<'static, str> {
        "boot".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let device = json_schema!({ "type": "string", "pattern": "^(disk|network|disk\\..+|nic\\..+)$" });
        json_schema!({ "anyOf": [{ "enum": ["nvram"] }, { "type": "array", "items": device }] })
    }
}
