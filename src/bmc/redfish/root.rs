//! The root of the service, and the documents of OData.

use serde_json::{Value, json};

use super::odata::{EMBEDDED, SCHEMAS, link, resource, version};
use crate::bmc::Bmc;

/// The URI of the root.
const ROOT: &str = "/redfish/v1/";

/// The services and collections of the root.
const SERVICES: [(&str, &str); 11] = [
    ("Systems", "/redfish/v1/Systems"),
    ("Managers", "/redfish/v1/Managers"),
    ("Chassis", "/redfish/v1/Chassis"),
    ("SessionService", "/redfish/v1/SessionService"),
    ("AccountService", "/redfish/v1/AccountService"),
    ("Tasks", "/redfish/v1/TaskService"),
    ("EventService", "/redfish/v1/EventService"),
    ("UpdateService", "/redfish/v1/UpdateService"),
    ("Registries", "/redfish/v1/Registries"),
    ("JsonSchemas", "/redfish/v1/JsonSchemas"),
    ("Sessions", "/redfish/v1/SessionService/Sessions"),
];

/// Returns the versions of the protocol.
pub(super) fn versions() -> Value {
    json!({ "v1": ROOT })
}

/// Returns the root.
pub(super) fn root(bmc: &Bmc) -> Value {
    let settings = &bmc.redfish.settings;
    let mut root = resource(
        "ServiceRoot",
        ROOT,
        "RootService",
        "Root Service",
        json!({
            "RedfishVersion": "1.20.0",
            "UUID": manager_uuid(bmc),
            "Vendor": settings.vendor,
            "Product": settings.product,
            "ProtocolFeaturesSupported": {
                "ExpandQuery": { "ExpandAll": true, "Levels": true, "Links": true, "NoLinks": true, "MaxLevels": 3 },
                "FilterQuery": false,
                "SelectQuery": true,
                "ExcerptQuery": false,
                "OnlyMemberQuery": true,
                "TopSkipQuery": true,
                "MultipleHTTPRequests": true,
                "DeepOperations": { "DeepPATCH": false, "DeepPOST": false },
            },
            "Links": { "Sessions": link("/redfish/v1/SessionService/Sessions") },
        }),
    );
    for (name, uri) in &SERVICES[..10] {
        root[*name] = link(uri);
    }
    root
}

/// Returns the UUID of the BMC: that of the machine, with other low bits.
pub(super) fn manager_uuid(bmc: &Bmc) -> String {
    let mut uuid = bmc.identity.uuid;
    if let Some(last) = uuid.last_mut() {
        *last ^= 1;
    }
    uuid::Uuid::from_bytes(uuid).hyphenated().to_string()
}

/// Returns the service document of OData.
pub(super) fn odata() -> Value {
    let named = |(name, url): &(&str, &str)| json!({ "name": name, "kind": "Singleton", "url": url });
    let services: Vec<Value> = [("Service", ROOT)].iter().chain(&SERVICES).map(named).collect();
    json!({ "@odata.context": "/redfish/v1/$metadata", "value": services })
}

/// Returns the metadata document of OData: where the schemas are.
pub(super) fn metadata() -> String {
    let reference = |(kind, version): &(&str, &str)| {
        let versioned = match *version {
            "" => String::new(),
            version => format!("<edmx:Include Namespace=\"{kind}.{version}\"/>"),
        };
        format!(
            "<edmx:Reference Uri=\"http://redfish.dmtf.org/schemas/v1/{kind}_v1.xml\">\
             <edmx:Include Namespace=\"{kind}\"/>{versioned}</edmx:Reference>\n"
        )
    };
    let references: String = SCHEMAS.iter().chain(EMBEDDED).map(reference).collect();
    let root = version("ServiceRoot");
    format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <edmx:Edmx xmlns:edmx=\"http://docs.oasis-open.org/odata/ns/edmx\" Version=\"4.0\">\n{references}\
         <edmx:Reference Uri=\"http://redfish.dmtf.org/schemas/v1/RedfishExtensions_v1.xml\">\
         <edmx:Include Namespace=\"RedfishExtension.v1_0_0\" Alias=\"Redfish\"/></edmx:Reference>\n\
         <edmx:DataServices><Schema xmlns=\"http://docs.oasis-open.org/odata/ns/edm\" Namespace=\"Service\">\
         <EntityContainer Name=\"Service\" Extends=\"ServiceRoot.{root}.ServiceContainer\"/>\
         </Schema></edmx:DataServices>\n</edmx:Edmx>\n"
    )
}
