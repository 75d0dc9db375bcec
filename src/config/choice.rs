//! Fields that accept a keyword or a larger value, which no derive can deserialize or describe.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::SeqAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, SeqAccess, Visitor};
use serde_json::json;

use super::bmc::{RawBmc, RawBmcSettings};
use super::raw::{
    RawBoot, RawCapture, RawCaptureFile, RawDhcp, RawDhcpRelay, RawDhcpServer, RawDns, RawDnsService,
    RawHttpService, RawHttpSettings, RawNoCloud, RawOption, RawScalar, RawSeed, RawStart, RawUpstream,
};
use super::value::{List, RawJson, Short, Text, WORD, words};
use super::word::Server;
use crate::bmc::personality::Personality;

impl<'de> Deserialize<'de> for RawCapture {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Choose;
        impl<'de> Visitor<'de> for Choose {
            type Value = RawCapture;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("\"off\", or a table like { size = \"64MiB\" }")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<RawCapture, E> {
                match text {
                    "off" => Ok(RawCapture::Off),
                    _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
                }
            }

            fn visit_newtype_struct<D: Deserializer<'de>>(self, from: D) -> Result<RawCapture, D::Error> {
                RawCaptureFile::deserialize(from).map(RawCapture::On)
            }
        }
        from.deserialize_newtype_struct(WORD, Choose)
    }
}

/// What a service of a network is: off, or on with settings.
enum Service<T> {
    Off,
    On(T),
}

/// Reads `"on"`, `"off"` or a table with settings, which is what `wanted` says.
fn service<'de, T, D>(from: D, wanted: &'static str) -> Result<Service<T>, D::Error>
where
    T: Deserialize<'de> + Default,
    D: Deserializer<'de>,
{
    struct Choose<T>(&'static str, PhantomData<T>);
    impl<'de, T: Deserialize<'de> + Default> Visitor<'de> for Choose<T> {
        type Value = Service<T>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<Service<T>, E> {
            match text {
                "off" => Ok(Service::Off),
                "on" => Ok(Service::On(T::default())),
                _ => Err(E::invalid_value(de::Unexpected::Str(text), &self)),
            }
        }

        fn visit_newtype_struct<D: Deserializer<'de>>(self, from: D) -> Result<Service<T>, D::Error> {
            T::deserialize(from).map(Service::On)
        }
    }
    from.deserialize_newtype_struct(WORD, Choose(wanted, PhantomData))
}

impl<'de> Deserialize<'de> for RawHttpService {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let service = service(from, "\"on\", \"off\", or a table like { port = 8080 }")?;
        Ok(match service {
            Service::Off => Self::Off,
            Service::On(settings) => Self::On(settings),
        })
    }
}

impl<'de> Deserialize<'de> for RawBmc {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let service = service(from, "\"on\", \"off\", or a table like { address = \"10.0.3.11\" }")?;
        Ok(match service {
            Service::Off => Self::Off,
            Service::On(settings) => Self::On(settings),
        })
    }
}

impl<'de> Deserialize<'de> for RawDnsService {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let service = service(from, "\"on\", \"off\", or a table like { domain = \"lab\" }")?;
        Ok(match service {
            Service::Off => Self::Off,
            Service::On(settings) => Self::On(settings),
        })
    }
}

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

impl<'de> Deserialize<'de> for RawOption {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Choose;
        impl<'de> Visitor<'de> for Choose {
            type Value = RawOption;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, an integer, a boolean, or a list of them")
            }

            fn visit_bool<E>(self, truth: bool) -> Result<RawOption, E> {
                Ok(RawOption::One(RawScalar::Flag(truth)))
            }

            fn visit_i64<E>(self, number: i64) -> Result<RawOption, E> {
                Ok(RawOption::One(RawScalar::Number(number)))
            }

            fn visit_str<E>(self, text: &str) -> Result<RawOption, E> {
                Ok(RawOption::One(RawScalar::Text(text.to_owned())))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<RawOption, A::Error> {
                List::from_items(SeqAccessDeserializer::new(seq)).map(RawOption::Many)
            }
        }
        from.deserialize_any(Choose)
    }
}

impl<'de> Deserialize<'de> for RawScalar {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Choose;
        impl Visitor<'_> for Choose {
            type Value = RawScalar;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string, an integer or a boolean")
            }

            fn visit_bool<E>(self, truth: bool) -> Result<RawScalar, E> {
                Ok(RawScalar::Flag(truth))
            }

            fn visit_i64<E>(self, number: i64) -> Result<RawScalar, E> {
                Ok(RawScalar::Number(number))
            }

            fn visit_str<E>(self, text: &str) -> Result<RawScalar, E> {
                Ok(RawScalar::Text(text.to_owned()))
            }
        }
        from.deserialize_any(Choose)
    }
}

impl JsonSchema for RawOption {
    fn schema_name() -> Cow<'static, str> {
        "dhcp-option".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let one = generator.subschema_for::<RawScalar>();
        json_schema!({ "anyOf": [one, { "type": "array", "items": one }] })
    }
}

impl JsonSchema for RawScalar {
    fn schema_name() -> Cow<'static, str> {
        "dhcp-value".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "anyOf": [{ "type": "string" }, { "type": "integer" }, { "type": "boolean" }] })
    }
}

impl<'de> Deserialize<'de> for RawJson {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        serde_json::Value::deserialize(from).map(Self)
    }
}

impl JsonSchema for RawJson {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "value".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({})
    }
}

/// Describes keywords, or a table with one of them as its key.
fn words_or(choices: &[(&str, &str)], tag: &str, content: &Schema) -> Schema {
    let mut choices = words(choices);
    choices.push(json!({
        "type": "object",
        "properties": { tag: content },
        "required": [tag],
        "additionalProperties": false,
    }));
    json_schema!({ "anyOf": choices })
}

impl JsonSchema for RawCapture {
    fn schema_name() -> Cow<'static, str> {
        "capture".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut choices =
            words(&[("off", "No frames are read. What servers other than the lab's do is not seen.")]);
        choices.push(generator.subschema_for::<RawCaptureFile>().to_value());
        json_schema!({ "anyOf": choices })
    }
}

/// Describes a service that is on, off, or on with settings.
fn service_schema(settings: Schema) -> Schema {
    let mut choices = words(&[("on", "It runs."), ("off", "It does not run, and its port is free.")]);
    choices.push(settings.to_value());
    json_schema!({ "anyOf": choices })
}

impl JsonSchema for RawHttpService {
    fn schema_name() -> Cow<'static, str> {
        "http-server".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        service_schema(generator.subschema_for::<RawHttpSettings>())
    }
}

impl JsonSchema for RawBmc {
    fn schema_name() -> Cow<'static, str> {
        "bmc".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        service_schema(generator.subschema_for::<RawBmcSettings>())
    }
}

impl JsonSchema for Personality {
    fn schema_name() -> Cow<'static, str> {
        "personality".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let choices = words(&Personality::ALL.map(|personality| match personality {
            Personality::Dryrack => ("dryrack", "Our own: what the standards say."),
            Personality::Dell => ("dell", "iDRAC9 of Dell, with firmware 7."),
            Personality::Hpe => ("hpe", "iLO 5 of HPE."),
            Personality::Supermicro => ("supermicro", "Supermicro, X11 to X13."),
            Personality::Lenovo => ("lenovo", "XClarity Controller of Lenovo."),
            Personality::Ami => ("ami", "MegaRAC of AMI, as ASRock Rack, Gigabyte and others sell it."),
            Personality::Openbmc => ("openbmc", "OpenBMC."),
        }));
        json_schema!({ "oneOf": choices })
    }
}

impl JsonSchema for RawDnsService {
    fn schema_name() -> Cow<'static, str> {
        "dns-server".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        service_schema(generator.subschema_for::<RawDns>())
    }
}

impl JsonSchema for RawDhcp {
    fn schema_name() -> Cow<'static, str> {
        "dhcp".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let server = generator.subschema_for::<RawDhcpServer>();
        let choices = [
            ("server", "Addresses and boot files."),
            ("proxy", "Only boot files, beside another server that assigns addresses (ProxyDHCP)."),
            ("off", "No DHCP server."),
        ];
        let relay = generator.subschema_for::<Short<RawDhcpRelay>>();
        let mut schema = words_or(&choices, "server", &server);
        let relayed = json!({
            "type": "object",
            "description": "A relay agent, which carries requests to the DHCP server of another network.",
            "properties": { "relay": relay },
            "required": ["relay"],
            "additionalProperties": false,
        });
        if let Some(choices) = schema.get_mut("anyOf").and_then(|choices| choices.as_array_mut()) {
            choices.push(relayed);
        }
        schema
    }
}

impl JsonSchema for RawSeed {
    fn schema_name() -> Cow<'static, str> {
        "seed".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let content = generator.subschema_for::<RawNoCloud>();
        let choices = [("none", "No seed."), ("nocloud", "NoCloud: a volume labelled CIDATA, and HTTP.")];
        words_or(&choices, "nocloud", &content)
    }
}

impl JsonSchema for RawStart {
    fn schema_name() -> Cow<'static, str> {
        "start".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let content = json_schema!({ "type": "string", "description": "An expectation, `action.NAME` or `process.NAME`." });
        words_or(&[("auto", "With the lab."), ("manual", "By `dryrack power on`.")], "after", &content)
    }
}

impl JsonSchema for RawUpstream {
    fn schema_name() -> Cow<'static, str> {
        "upstream".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut choices = words(&[("host", "The host's own resolver."), ("none", "Nobody.")]);
        choices.push(generator.subschema_for::<Vec<Text<Server>>>().to_value());
        json_schema!({ "anyOf": choices })
    }
}

impl JsonSchema for RawBoot {
    fn schema_name() -> Cow<'static, str> {
        "boot".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let mut choices =
            words(&[("nvram", "No order is given: a UEFI node begins with its firmware's own.")]);
        choices.push(json!({
            "type": "array",
            "items": { "type": "string", "pattern": "^(disk|cd|usb|network|disk\\..+|cd\\..+|nic\\..+)$" },
        }));
        json_schema!({ "anyOf": choices })
    }
}
