//! Registries, schemas and firmware: what the service says of itself.

use serde_json::{Map, Value, json};

use super::message::{Key, Message};
use super::odata::{SCHEMAS, healthy, link, links, resource};
use super::patch::Patch;
use super::place::{Registry, Software};
use super::reply::Reply;
use super::{manager, url};
use crate::bmc::Bmc;

const UPDATE: &str = "UpdateService.SimpleUpdate";

/// Returns where a registry is.
pub(super) fn file(registry: Registry) -> Value {
    let id = registry.id();
    let uri = format!("/redfish/v1/Registries/{id}");
    let (name, location) = match registry {
        Registry::Base | Registry::ResourceEvent => {
            let publication = format!("https://redfish.dmtf.org/registries/{id}.json");
            let prefix: Vec<&str> = id.splitn(4, '.').take(3).collect();
            (prefix.join("."), json!({ "Language": "en", "PublicationUri": publication }))
        }
        Registry::Dryrack => {
            ("Dryrack.1.0".to_owned(), json!({ "Language": "en", "Uri": format!("{uri}/Registry") }))
        }
        Registry::Bios => (id.to_owned(), json!({ "Language": "en", "Uri": format!("{uri}/Registry") })),
    };
    resource(
        "MessageRegistryFile",
        &uri,
        id,
        &format!("Registry {id}"),
        json!({ "Languages": ["en"], "Registry": name, "Location": [location] }),
    )
}

/// Returns where a schema is.
pub(super) fn schema(index: usize) -> Option<Value> {
    let (kind, version) = SCHEMAS.get(index)?;
    let full = if version.is_empty() { (*kind).to_owned() } else { format!("{kind}.{version}") };
    Some(resource(
        "JsonSchemaFile",
        &format!("/redfish/v1/JsonSchemas/{kind}"),
        kind,
        &format!("Schema {kind}"),
        json!({
            "Languages": ["en"],
            "Schema": format!("#{full}.{kind}"),
            "Location": [{
                "Language": "en",
                "PublicationUri": format!("https://redfish.dmtf.org/schemas/v1/{full}.json"),
            }],
        }),
    ))
}

/// Returns the update service, which only tells what there is: the firmware is that of the host.
pub(super) fn update_service() -> Value {
    resource(
        "UpdateService",
        "/redfish/v1/UpdateService",
        "UpdateService",
        "Update Service",
        json!({
            "ServiceEnabled": false,
            "Status": { "State": "Disabled", "Health": "OK" },
            "FirmwareInventory": link("/redfish/v1/UpdateService/FirmwareInventory"),
            "Actions": {
                "#UpdateService.SimpleUpdate": {
                    "target": format!("/redfish/v1/UpdateService/Actions/{UPDATE}"),
                    "TransferProtocol@Redfish.AllowableValues": ["HTTP", "HTTPS"],
                },
            },
        }),
    )
}

/// Refuses an update, after a look at what it says.
pub(super) fn update(body: Map<String, Value>) -> Result<Reply, Box<Reply>> {
    let mut patch = Patch::of_action(UPDATE, body);
    let image = patch.needed("ImageURI");
    patch.choice("/TransferProtocol", &[("HTTP", ()), ("HTTPS", ())]);
    for name in ["Targets", "Username", "Password", "ForceUpdate", "Stage", "ExcludeTargets"] {
        patch.take(&format!("/{name}"));
    }
    patch.take("/@Redfish.OperationApplyTime");
    if let Some(image) = image.filter(|image| url::check(image).is_err()) {
        patch.wrong(Message::new(Key::AccessDenied, &[&url::shown(&image)]).about("/ImageURI"));
    }
    patch.finish_action()?;
    Err(Reply::refuse(409, Message::new(Key::ServiceDisabled, &["/redfish/v1/UpdateService"])))
}

/// Returns a firmware.
pub(super) fn software(bmc: &Bmc, software: Software) -> Value {
    let settings = &bmc.redfish.settings;
    let (name, version, related) = match software {
        Software::Bmc => ("Firmware of the BMC", manager::version(bmc), settings.manager_uri()),
        Software::System => {
            let version = bmc.identity.inventory.firmware_version.clone();
            ("Firmware of the system", version, format!("{}/Bios", settings.system_uri()))
        }
    };
    let id = software.id();
    resource(
        "SoftwareInventory",
        &format!("/redfish/v1/UpdateService/FirmwareInventory/{id}"),
        id,
        name,
        json!({
            "Version": version,
            "SoftwareId": id,
            "Updateable": false,
            "Status": healthy(),
            "RelatedItem": links([related.as_str()]),
            "RelatedItem@odata.count": 1,
        }),
    )
}
