//! Every link of the tree resolves, and every resource is what a resource has to be.

use std::collections::BTreeSet;

use super::*;
use crate::bmc::log::Logged;

fn links(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                match value {
                    Value::String(text) if name == "@odata.id" && !text.contains('#') => {
                        found.push(text.clone())
                    }
                    Value::String(text) if matches!(name.as_str(), "Uri" | "@Redfish.ActionInfo") => {
                        found.push(text.clone());
                    }
                    Value::String(text) if name == "DataSourceUri" => found.push(text.clone()),
                    value => links(value, found),
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| links(value, found)),
        _ => {}
    }
}

fn walk(bmc: &mut Bmc) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    let mut waiting = vec!["/redfish/v1/".to_owned()];
    while let Some(uri) = waiting.pop() {
        if !seen.insert(uri.clone()) {
            continue;
        }
        let resource = get(bmc, &uri);
        assert_eq!(resource["@odata.id"], uri.as_str());
        let kind = resource["@odata.type"].as_str().unwrap();
        let parts: Vec<&str> = kind.trim_start_matches('#').split('.').collect();
        assert!(super::super::odata::SCHEMAS.iter().any(|(name, _)| *name == parts[0]), "{kind}");
        assert!(resource["Name"].as_str().is_some_and(|name| !name.is_empty()), "{uri}");
        if kind.contains("Collection.") {
            let members = resource["Members"].as_array().unwrap();
            assert_eq!(resource["Members@odata.count"], members.len(), "{uri}");
        } else {
            assert_eq!(parts.len(), 3, "{uri} has no version");
            let id = resource["Id"].as_str().unwrap();
            assert!(
                uri == "/redfish/v1/" || uri.ends_with(&format!("/{id}")) || uri.ends_with("/Registry"),
                "{uri}"
            );
        }
        let text = resource.to_string();
        assert!(!text.contains(PASSWORD), "{uri} shows a password");
        assert!(!text.contains("hidden"), "{uri} shows a password");
        let again = get(bmc, &uri);
        assert_eq!(again["@odata.etag"], resource["@odata.etag"], "{uri}");
        assert!(resource["@odata.etag"].as_str().is_some_and(|etag| etag.len() == 18), "{uri}");
        links(&resource, &mut waiting);
    }
    seen
}

fn full(firmware: FirmwareKind) -> Bmc {
    let mut bmc = bmc_with(firmware);
    bmc.log.add(5, Logged::PowerOn);
    bmc.log.add(5, Logged::Foreign { kind: 0xC0, data: [1; 13] });
    bmc.redfish.tasks.begin(5, "Something");
    let session = json!({ "UserName": "admin", "Password": PASSWORD });
    assert_eq!(post(&mut bmc, "/redfish/v1/SessionService/Sessions", &session).0, 201);
    let subscription = json!({
        "Destination": "https://10.0.0.9/events", "Protocol": "Redfish",
        "HttpHeaders": [{ "Authorization": "hidden" }],
    });
    assert_eq!(post(&mut bmc, "/redfish/v1/EventService/Subscriptions", &subscription).0, 201);
    let image = crate::bmc::media::Image {
        url: "http://10.0.0.1/a.iso".to_owned(),
        credentials: Some(crate::bmc::media::Credentials {
            user: "u".to_owned(),
            password: crate::bmc::media::Secret::new("hidden"),
        }),
        verifies_certificate: true,
        is_write_protected: true,
    };
    let slot = crate::bmc::media::Slot::Usb;
    let ticket = bmc.media.reserve(slot).unwrap();
    assert!(bmc.insert(slot, ticket, image));
    bmc
}

#[test]
fn every_link_resolves() {
    let seen = walk(&mut full(FirmwareKind::Uefi));
    for uri in [
        "/redfish/v1/Systems/1/BootOptions/Boot001A",
        "/redfish/v1/Systems/1/SecureBoot/SecureBootDatabases/dbx",
        "/redfish/v1/Systems/1/LogServices/Sel/Entries/2",
        "/redfish/v1/Systems/1/VirtualMedia/Usb",
        "/redfish/v1/Systems/1/ResetActionInfo",
        "/redfish/v1/Chassis/1/Sensors/PowerMeter",
        "/redfish/v1/Chassis/1/TrustedComponents/TPM",
        "/redfish/v1/Registries/Dryrack.1.0.0/Registry",
        "/redfish/v1/AccountService/Accounts/2",
        "/redfish/v1/TaskService/Tasks/1",
    ] {
        assert!(seen.contains(uri), "{uri} is linked from nowhere");
    }
    assert!(seen.len() > 140, "{}", seen.len());
}

#[test]
fn a_bios_has_no_secure_boot_and_no_boot_options() {
    let seen = walk(&mut full(FirmwareKind::Bios));
    assert!(!seen.iter().any(|uri| uri.contains("SecureBoot") && uri.contains("Systems")));
    assert!(!seen.iter().any(|uri| uri.contains("/BootOptions")));
}

#[test]
fn every_reply_has_the_headers_of_the_protocol() {
    let mut bmc = full(FirmwareKind::Uefi);
    let authorization = basic("admin", PASSWORD);
    for uri in walk(&mut bmc) {
        let head = [("authorization", authorization.as_str())];
        let get = done(answer(&mut bmc, &request(Method::GET, &uri, &head, "ignored")));
        let body: Value = serde_json::from_slice(&get.body).unwrap();
        assert_eq!(get.headers["etag"], body["@odata.etag"].as_str().unwrap());
        assert_eq!(get.headers["odata-version"], "4.0");
        assert!(get.headers["allow"].to_str().unwrap().starts_with("GET, HEAD"));
        let kind = body["@odata.type"].as_str().unwrap();
        let schema = kind[1..].rsplit_once('.').unwrap().0;
        assert!(get.headers["link"].to_str().unwrap().contains(&format!("/{schema}.json>; rel=describedby")));
        let head = done(answer(&mut bmc, &request(Method::HEAD, &uri, &head, "")));
        assert_eq!((head.status, head.body.len()), (get.status, 0));
        assert_eq!(head.headers, get.headers);
        let same = [
            ("authorization", authorization.as_str()),
            ("if-none-match", get.headers["etag"].to_str().unwrap()),
        ];
        assert_eq!(done(answer(&mut bmc, &request(Method::GET, &uri, &same, ""))).status, 304);
        // A method that the resource does not take.
        let put = done(answer(&mut bmc, &request(Method::PUT, &uri, &same[..1], "{}")));
        assert_eq!((put.status.as_u16(), &put.headers["allow"]), (405, &get.headers["allow"]));
    }
}

#[test]
fn expanded_and_selected() {
    let mut bmc = bmc();
    let system = get(&mut bmc, "/redfish/v1/Systems?$expand=.($levels=2)");
    assert_eq!(system["Members"][0]["Bios"]["Attributes"]["BootMode"], "Uefi");
    assert_eq!(system["Members"][0]["Links"]["Chassis"][0], json!({ "@odata.id": "/redfish/v1/Chassis/1" }));
    let only = get(&mut bmc, "/redfish/v1/Systems?only");
    assert_eq!(only["@odata.id"], SYSTEM);
    let selected = get(&mut bmc, &format!("{SYSTEM}?$select=PowerState,Boot/HttpBootUri"));
    let mut names: Vec<&str> = selected.as_object().unwrap().keys().map(String::as_str).collect();
    names.sort_unstable();
    assert_eq!(names, ["@odata.etag", "@odata.id", "@odata.type", "Boot", "PowerState"]);
    assert_eq!(selected["Boot"], json!({ "HttpBootUri": null }));
    let page = get(&mut bmc, "/redfish/v1/AccountService/Roles?$skip=1&$top=1");
    assert_eq!((page["Members"].as_array().unwrap().len(), &page["Members@odata.count"]), (1, &json!(3)));
    for (target, status) in
        [("?only", 400), ("?$top=1", 400), ("?$filter=a", 501), ("?excerpt", 400), ("?x=1", 200)]
    {
        let (got, _) = ask(&mut bmc, Method::GET, &format!("{SYSTEM}{target}"), &Value::Null);
        assert_eq!(got, status, "{target}");
    }
}

#[test]
fn the_metadata_name_every_schema() {
    let mut bmc = bmc();
    let reply = done(answer(&mut bmc, &request(Method::GET, "/redfish/v1/$metadata", &[], "")));
    let text = String::from_utf8(reply.body).unwrap();
    for (kind, version) in super::super::odata::SCHEMAS {
        assert!(text.contains(&format!("/{kind}_v1.xml")), "{kind}");
        assert!(version.is_empty() || text.contains(&format!("\"{kind}.{version}\"")), "{kind}");
    }
    assert_eq!(reply.headers["content-type"], "application/xml;charset=utf-8");
}
