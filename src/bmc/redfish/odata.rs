//! What all resources have in common: identity, type, links, ETag.

use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// The schemas of the resources here, with their versions; `""` for those without (collections).
pub(super) const SCHEMAS: &[(&str, &str)] = &[
    ("AccountService", "v1_18_1"),
    ("ActionInfo", "v1_5_0"),
    ("AttributeRegistry", "v1_4_0"),
    ("Bios", "v1_2_3"),
    ("BootOption", "v1_0_6"),
    ("BootOptionCollection", ""),
    ("Chassis", "v1_28_0"),
    ("ChassisCollection", ""),
    ("ComputerSystem", "v1_27_0"),
    ("ComputerSystemCollection", ""),
    ("Drive", "v1_22_0"),
    ("EthernetInterface", "v1_12_4"),
    ("EthernetInterfaceCollection", ""),
    ("EventDestination", "v1_16_0"),
    ("EventDestinationCollection", ""),
    ("EventService", "v1_12_0"),
    ("Fan", "v1_6_0"),
    ("FanCollection", ""),
    ("JsonSchemaFile", "v1_1_5"),
    ("JsonSchemaFileCollection", ""),
    ("LogEntry", "v1_21_0"),
    ("LogEntryCollection", ""),
    ("LogService", "v1_9_0"),
    ("LogServiceCollection", ""),
    ("Manager", "v1_24_0"),
    ("ManagerAccount", "v1_14_1"),
    ("ManagerAccountCollection", ""),
    ("ManagerCollection", ""),
    ("ManagerNetworkProtocol", "v1_12_0"),
    ("Memory", "v1_23_0"),
    ("MemoryCollection", ""),
    ("MessageRegistry", "v1_7_0"),
    ("MessageRegistryFile", "v1_1_5"),
    ("MessageRegistryFileCollection", ""),
    ("Power", "v1_7_3"),
    ("PowerSubsystem", "v1_1_3"),
    ("PowerSupply", "v1_6_0"),
    ("PowerSupplyCollection", ""),
    ("Processor", "v1_22_0"),
    ("ProcessorCollection", ""),
    ("Role", "v1_3_3"),
    ("RoleCollection", ""),
    ("SecureBoot", "v1_1_2"),
    ("SecureBootDatabase", "v1_0_3"),
    ("SecureBootDatabaseCollection", ""),
    ("Sensor", "v1_12_0"),
    ("SensorCollection", ""),
    ("SerialInterface", "v1_3_0"),
    ("SerialInterfaceCollection", ""),
    ("ServiceRoot", "v1_20_0"),
    ("Session", "v1_8_0"),
    ("SessionCollection", ""),
    ("SessionService", "v1_2_0"),
    ("SimpleStorage", "v1_3_2"),
    ("SimpleStorageCollection", ""),
    ("SoftwareInventory", "v1_13_0"),
    ("SoftwareInventoryCollection", ""),
    ("Storage", "v1_21_0"),
    ("StorageCollection", ""),
    ("StorageController", "v1_11_0"),
    ("StorageControllerCollection", ""),
    ("Task", "v1_7_4"),
    ("TaskCollection", ""),
    ("TaskService", "v1_3_0"),
    ("Thermal", "v1_7_3"),
    ("ThermalSubsystem", "v1_5_0"),
    ("TrustedComponent", "v1_4_0"),
    ("TrustedComponentCollection", ""),
    ("UpdateService", "v1_17_0"),
    ("VirtualMedia", "v1_6_5"),
    ("VirtualMediaCollection", ""),
    ("Volume", "v1_10_2"),
    ("VolumeCollection", ""),
];

/// Schemas that resources embed, and that the metadata refers to.
pub(super) const EMBEDDED: &[(&str, &str)] = &[
    ("Event", "v1_13_0"),
    ("IPAddresses", "v1_1_5"),
    ("Message", "v1_3_0"),
    ("PhysicalContext", ""),
    ("Protocol", ""),
    ("Redundancy", "v1_5_0"),
    ("Resource", "v1_23_0"),
    ("Settings", "v1_4_0"),
];

/// Returns the `@odata.type` of a kind of resource.
pub(super) fn odata_type(kind: &str) -> String {
    match version(kind) {
        "" => format!("#{kind}.{kind}"),
        version => format!("#{kind}.{version}.{kind}"),
    }
}

/// Returns the version of a schema; empty if it has none.
pub(super) fn version(kind: &str) -> &'static str {
    SCHEMAS.iter().chain(EMBEDDED).find(|(name, _)| *name == kind).map_or("", |(_, version)| version)
}

/// Makes a resource; `rest` has its other properties.
pub(super) fn resource(kind: &str, uri: &str, id: &str, name: &str, rest: Value) -> Value {
    let mut object = Map::new();
    object.insert("@odata.id".to_owned(), json!(uri));
    object.insert("@odata.type".to_owned(), json!(odata_type(kind)));
    object.insert("Id".to_owned(), json!(id));
    object.insert("Name".to_owned(), json!(name));
    if let Value::Object(rest) = rest {
        object.extend(rest);
    }
    Value::Object(object)
}

/// Makes a collection of resources.
pub(super) fn collection(kind: &str, uri: &str, name: &str, ids: impl IntoIterator<Item = String>) -> Value {
    let members: Vec<Value> = ids.into_iter().map(|id| link(&format!("{uri}/{id}"))).collect();
    json!({
        "@odata.id": uri,
        "@odata.type": odata_type(&format!("{kind}Collection")),
        "Name": name,
        "Members@odata.count": members.len(),
        "Members": members,
    })
}

/// Makes a link.
pub(super) fn link(uri: &str) -> Value {
    json!({ "@odata.id": uri })
}

/// Makes an array of links.
pub(super) fn links<'a>(uris: impl IntoIterator<Item = &'a str>) -> Value {
    uris.into_iter().map(link).collect()
}

/// The status of what works.
pub(super) fn healthy() -> Value {
    json!({ "State": "Enabled", "Health": "OK" })
}

/// The status of what works only while the machine is on.
pub(super) fn powered(is_on: bool) -> Value {
    if is_on { healthy() } else { json!({ "State": "StandbyOffline", "Health": "OK" }) }
}

/// Writes a time, in seconds since 1970, as RFC 3339.
pub(super) fn time(unix: u32) -> String {
    jiff::Timestamp::from_second(unix.into()).unwrap_or_default().to_string()
}

/// Returns the ETag of a resource that was written so many times.
///
/// The current time does not count: an ETag stays the same while nothing changes.
pub(super) fn etag(resource: &Value, revision: u64) -> String {
    let mut hash = Sha256::new();
    hash.update(revision.to_le_bytes());
    if let Value::Object(object) = resource {
        for (name, value) in object.iter().filter(|(name, _)| *name != "DateTime" && *name != "@odata.etag") {
            hash.update(name.as_bytes());
            hash.update(value.to_string().as_bytes());
        }
    }
    let digest = hash.finalize();
    let number = digest.iter().take(8).fold(0u64, |number, byte| number << 8 | u64::from(*byte));
    format!("\"{number:016x}\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_no_change() {
        let at = |unix| json!({ "Id": "1", "DateTime": time(unix) });
        assert_eq!(etag(&at(1), 0), etag(&at(2), 0));
        assert_ne!(etag(&at(1), 0), etag(&at(1), 1));
        assert_ne!(etag(&json!({ "Id": "2" }), 0), etag(&json!({ "Id": "1" }), 0));
        assert_eq!(time(0), "1970-01-01T00:00:00Z");
    }

    #[test]
    fn a_type_has_its_version() {
        assert_eq!(odata_type("Bios"), "#Bios.v1_2_3.Bios");
        assert_eq!(odata_type("TaskCollection"), "#TaskCollection.TaskCollection");
    }
}
