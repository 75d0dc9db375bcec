//! BMCs as written in the lab file.

use std::net::Ipv4Addr;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::secret::RawSecret;
use super::value::{Field, Text};
use crate::bmc::personality::Personality;
use crate::name::Mac;

/// The BMC of a node.
#[derive(Debug, Clone)]
#[expect(clippy::large_enum_variant, reason = "there is one for each node, and only while the file is read")]
pub enum RawBmc {
    /// None.
    Off,
    /// On, with these settings.
    On(RawBmcSettings),
}

/// The settings of the BMC of one node.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "bmc-settings")]
pub struct RawBmcSettings {
    /// The network that it is connected to. Default: the one with `bmc`, else the only one.
    #[serde(default)]
    #[schemars(extend("examples" = json!(["mgmt"])))]
    pub network: Field<String>,
    /// Its address. Default: a free one of the network.
    #[serde(default)]
    #[schemars(extend("examples" = json!(["10.0.3.11"])))]
    pub address: Field<Text<Ipv4Addr>>,
    /// Its MAC address. Default: derived from lab and node name.
    #[serde(default)]
    pub mac: Field<Text<Mac>>,
    /// Whose BMC it is like. Default: that of the network, else dryrack.
    #[serde(default)]
    pub personality: Field<Personality>,
    /// Name of its administrator, at most 16 characters. Default: that of the network, else admin.
    #[serde(default)]
    #[schemars(length(min = 1, max = 16))]
    pub user: Field<String>,
    /// Password of its administrator, at most 20 characters. Default: that of the network, else one that is made for the
    /// run, in the file that `DRYRACK_BMC_PASSWORD_FILE` names for processes.
    #[serde(default)]
    pub password: Field<RawSecret>,
    /// Whether it answers IPMI over LAN, on UDP port 623. Default: that of the network, else true.
    #[serde(default)]
    pub ipmi: Field<bool>,
    /// Whether it answers Redfish, by HTTPS with a certificate of the lab. Default: that of the network, else true.
    #[serde(default)]
    pub redfish: Field<bool>,
    /// Whether it answers Redfish by HTTP, too, instead of redirecting to HTTPS. Default: that of the network, else false.
    #[serde(default)]
    pub http: Field<bool>,
}

/// The BMCs of nodes on a network.
#[derive(Debug, Clone, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename = "bmcs")]
pub struct RawNetworkBmcs {
    /// Whose BMCs they are like.
    #[serde(default)]
    #[schemars(extend("default" = "dryrack"))]
    pub personality: Field<Personality>,
    /// Name of their administrator, at most 16 characters. Default: admin.
    #[serde(default)]
    #[schemars(extend("default" = "admin"), length(min = 1, max = 16))]
    pub user: Field<String>,
    /// Password of their administrator, at most 20 characters. Default: one that is made for the run, in the file that
    /// `DRYRACK_BMC_PASSWORD_FILE` names for processes.
    #[serde(default)]
    pub password: Field<RawSecret>,
    /// Whether they answer IPMI over LAN, on UDP port 623.
    #[serde(default)]
    #[schemars(extend("default" = true))]
    pub ipmi: Field<bool>,
    /// Whether they answer Redfish, by HTTPS with certificates of the lab.
    #[serde(default)]
    #[schemars(extend("default" = true))]
    pub redfish: Field<bool>,
    /// Whether they answer Redfish by HTTP, too, instead of redirecting to HTTPS.
    #[serde(default)]
    #[schemars(extend("default" = false))]
    pub http: Field<bool>,
}
