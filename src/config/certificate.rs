//! The check of the certificate that a server shows.

use schemars::JsonSchema;
use serde::Deserialize;

use super::value::{Field, Many, Shorthand, Text};
use super::word::Span;

/// The certificate that a TLS server shows.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "certificate", rename_all = "kebab-case")]
pub struct RawCertificate {
    /// The port. Default: 443.
    #[serde(default)]
    #[schemars(extend("default" = 443), range(min = 1))]
    pub port: Field<u16>,
    /// A PEM file with the certificate authorities that may have signed it, a path relative to the lab's folder. Without
    /// `names`, the certificate must then be for the node's name or address. Default: none; anybody may have.
    #[serde(default)]
    pub ca: Field<String>,
    /// DNS names and IP addresses that it must be for, all of them. The first name is the one that the server is asked
    /// for (SNI). Default: none.
    #[serde(default)]
    pub names: Many<String>,
    /// How long it must still be valid. Default: 0s; it must be valid now.
    #[serde(default)]
    #[schemars(extend("default" = "0s"))]
    pub valid_for: Field<Text<Span>>,
    /// A regular expression that its issuer must match, as in "CN=kubernetes,O=Example". Default: any.
    #[serde(default)]
    pub issuer: Field<String>,
}

impl Shorthand for RawCertificate {
    const NAME: &'static str = "$short:port";
    type Value = u16;
}
