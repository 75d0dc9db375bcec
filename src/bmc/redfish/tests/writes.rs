//! Firmware settings, Secure Boot, conditions and the rest that can be changed.

use super::*;
use crate::bmc::firmware::Value as Setting;
use crate::bmc::power::Happening;
use crate::bmc::secure_boot::{KeyReset, SecureBootChange};

const BIOS: &str = "/redfish/v1/Systems/1/Bios";

#[test]
fn firmware_settings_apply_at_the_next_reset() {
    let mut bmc = bmc();
    let wanted = json!({
        "Attributes": { "BootTimeout": 5, "Virtualization": "Disabled" },
        "@Redfish.SettingsApplyTime": { "@odata.type": "#Settings.v1_1_0.PreferredApplyTime", "ApplyTime": "OnReset" },
    });
    assert_eq!(patch(&mut bmc, &format!("{BIOS}/Settings"), &wanted).0, 200);
    assert_eq!(get(&mut bmc, BIOS)["Attributes"]["BootTimeout"], 0);
    assert_eq!(get(&mut bmc, &format!("{BIOS}/Settings"))["Attributes"]["BootTimeout"], 5);
    assert_eq!(orders(&mut bmc), []);
    assert_eq!(reset(&mut bmc, "ForceRestart"), 204);
    let settings = |timeout, virtualization: &str| {
        let text = |text: &str| Setting::Text(text.to_owned());
        let all = [
            ("BootMode", text("Uefi")),
            ("BootTimeout", Setting::Number(timeout)),
            ("Virtualization", text(virtualization)),
        ];
        Order::Firmware(all.into())
    };
    assert_eq!(orders(&mut bmc), [settings(5, "Disabled"), Order::Power(Control::Cycle)]);
    let bios = get(&mut bmc, BIOS);
    assert_eq!(bios["Attributes"]["BootTimeout"], 5);
    assert!(bios["@Redfish.Settings"]["Time"].is_string());
    bmc.redfish.settings.apply_time = super::super::settings::ApplyTime::Refused;
    assert_eq!(patch(&mut bmc, &format!("{BIOS}/Settings"), &wanted).0, 400);
    assert_eq!(post(&mut bmc, &format!("{BIOS}/Actions/Bios.ResetBios"), &json!({})).0, 204);
    assert_eq!(get(&mut bmc, BIOS)["ResetBiosToDefaultsPending"], true);
    assert_eq!(reset(&mut bmc, "PowerCycle"), 204);
    assert_eq!(get(&mut bmc, BIOS)["Attributes"]["Virtualization"], "Enabled");
}

#[test]
fn settings_wait_for_a_start_that_others_order_too() {
    let mut bmc = bmc();
    assert_eq!(reset(&mut bmc, "ForceOff"), 204);
    bmc.happened(at(11), Happening::PoweredOff { by_guest: false });
    bmc.orders();
    let timeout = json!({ "Attributes": { "BootTimeout": 5 } });
    assert_eq!(patch(&mut bmc, &format!("{BIOS}/Settings"), &timeout).0, 200);
    // Dryrack powers it on without asking the BMC.
    bmc.happened(at(20), Happening::PoweredOn);
    let ordered = orders(&mut bmc);
    assert!(matches!(ordered.as_slice(), [Order::Firmware(_), Order::Power(Control::Cycle)]), "{ordered:?}");
    bmc.happened(at(21), Happening::PoweredOff { by_guest: false });
    bmc.happened(at(22), Happening::PoweredOn);
    assert_eq!(orders(&mut bmc), []);
    assert_eq!(bmc.power().restart_cause(), RestartCause::Button);
}

#[test]
fn settings_that_come_after_a_restart_was_ordered_wait_for_the_next_one() {
    let mut bmc = bmc();
    bmc.happened(at(1), Happening::PoweredOn);
    assert_eq!(reset(&mut bmc, "ForceRestart"), 204);
    let timeout = json!({ "Attributes": { "BootTimeout": 5 } });
    assert_eq!(patch(&mut bmc, &format!("{BIOS}/Settings"), &timeout).0, 200);
    assert_eq!(reset(&mut bmc, "ForceRestart"), 204);
    let ordered = orders(&mut bmc);
    assert!(
        matches!(
            ordered.as_slice(),
            [Order::Power(Control::Reset), Order::Firmware(_), Order::Power(Control::Cycle)]
        ),
        "{ordered:?}"
    );
    bmc.happened(at(11), Happening::Reset { by_guest: false });
    bmc.happened(at(12), Happening::PoweredOff { by_guest: false });
    assert!(bmc.power().is_on(), "a cycle");
    bmc.happened(at(13), Happening::PoweredOn);
    assert_eq!((orders(&mut bmc), bmc.power().restart_cause()), (vec![], RestartCause::Command));
}

#[test]
fn an_entry_of_the_log_is_deleted() {
    let mut bmc = bmc();
    bmc.log.add(5, crate::bmc::log::Logged::PowerOff);
    let entries = format!("{SYSTEM}/LogServices/Sel/Entries");
    let entry = get(&mut bmc, &entries)["Members"][0]["@odata.id"].as_str().unwrap().to_owned();
    assert_eq!(ask(&mut bmc, Method::DELETE, &entry, &Value::Null).0, 204);
    assert_eq!(ask(&mut bmc, Method::GET, &entry, &Value::Null).0, 404);
}

#[test]
fn a_reset_by_the_system_applies_settings_too() {
    let mut bmc = bmc();
    bmc.happened(at(1), Happening::PoweredOn);
    let timeout = json!({ "Attributes": { "BootTimeout": 5 } });
    assert_eq!(patch(&mut bmc, &format!("{BIOS}/Settings"), &timeout).0, 200);
    bmc.happened(at(11), Happening::Reset { by_guest: true });
    let ordered = orders(&mut bmc);
    let [Order::Firmware(settings), Order::Power(Control::Cycle)] = ordered.as_slice() else {
        panic!("{ordered:?}")
    };
    assert_eq!(settings["BootTimeout"], Setting::Number(5));
    bmc.happened(at(12), Happening::PoweredOff { by_guest: false });
    bmc.happened(at(13), Happening::PoweredOn);
    assert_eq!(orders(&mut bmc), []);
    assert_eq!(bmc.power().restart_cause(), RestartCause::Soft);
}

#[test]
fn wrong_firmware_settings_are_refused() {
    let mut bmc = bmc();
    for (attributes, message) in [
        (json!({ "BootTimeout": 61 }), "PropertyValueOutOfRange"),
        (json!({ "BootTimeout": "5" }), "PropertyValueTypeError"),
        (json!({ "Virtualization": "No" }), "PropertyValueNotInList"),
        (json!({ "BootMode": "Bios" }), "PropertyNotWritable"),
        (json!({ "Colour": 1 }), "PropertyUnknown"),
    ] {
        let body =
            json!({ "Attributes": attributes, "@Redfish.SettingsApplyTime": { "ApplyTime": "OnReset" } });
        let (status, body) = patch(&mut bmc, &format!("{BIOS}/Settings"), &body);
        assert_eq!((status, messages(&body)), (400, vec![message.to_owned()]), "{attributes}");
    }
}

#[test]
fn secure_boot_changes_at_the_next_start() {
    let mut bmc = bmc();
    let secure = format!("{SYSTEM}/SecureBoot");
    assert_eq!(patch(&mut bmc, &secure, &json!({ "SecureBootEnable": false })).0, 200);
    assert_eq!(get(&mut bmc, &secure)["SecureBootCurrentBoot"], "Enabled");
    reset(&mut bmc, "ForceOff");
    reset(&mut bmc, "On");
    assert_eq!(
        orders(&mut bmc)[1..],
        [Order::SecureBoot(SecureBootChange { keys: None, enable: false }), Order::Power(Control::On)]
    );
    assert_eq!(get(&mut bmc, &secure)["SecureBootCurrentBoot"], "Disabled");
    let action = format!("{secure}/Actions/SecureBoot.ResetKeys");
    assert_eq!(post(&mut bmc, &action, &json!({ "ResetKeysType": "DeletePK" })).0, 204);
    reset(&mut bmc, "ForceRestart");
    let change = SecureBootChange { keys: Some(KeyReset::DeletePlatformKey), enable: false };
    assert_eq!(orders(&mut bmc)[0], Order::SecureBoot(change));
    assert_eq!(get(&mut bmc, &secure)["SecureBootMode"], "SetupMode");
    assert_eq!(post(&mut bmc, &action, &json!({ "ResetKeysType": "x" })).0, 400);
    let database = format!("{secure}/SecureBootDatabases/PK/Actions/SecureBootDatabase.ResetKeys");
    assert_eq!(post(&mut bmc, &database, &json!({ "ResetKeysType": "DeleteAllKeys" })).0, 204);
}

#[test]
fn a_stale_etag_changes_nothing() {
    let mut bmc = bmc();
    let before = get(&mut bmc, SYSTEM)["@odata.etag"].as_str().unwrap().to_owned();
    let authorization = basic("admin", PASSWORD);
    let body = json!({ "Boot": { "BootSourceOverrideTarget": "Pxe" } }).to_string();
    let with = |bmc: &mut Bmc, etag: &str| {
        let head = [("authorization", authorization.as_str()), ("if-match", etag)];
        done(answer(bmc, &request(Method::PATCH, SYSTEM, &head, &body))).status.as_u16()
    };
    assert_eq!(with(&mut bmc, "\"stale\""), 412);
    assert_eq!(bmc.boot_override(), None);
    assert_eq!(with(&mut bmc, &before), 200);
    assert_eq!(with(&mut bmc, &before), 412);
    assert_eq!(with(&mut bmc, "*"), 200);
    assert_ne!(get(&mut bmc, SYSTEM)["@odata.etag"], before.as_str());
}

#[test]
fn the_head_of_a_request_is_looked_at() {
    let mut bmc = bmc();
    let authorization = basic("admin", PASSWORD);
    let mut with = |method: Method, header: (&str, &str), body: &str| {
        let head = [("authorization", authorization.as_str()), header];
        done(answer(&mut bmc, &request(method, SYSTEM, &head, body))).status.as_u16()
    };
    assert_eq!(with(Method::GET, ("odata-version", "4.1"), ""), 412);
    assert_eq!(with(Method::GET, ("odata-version", "4.0"), ""), 200);
    assert_eq!(with(Method::PATCH, ("content-type", "text/plain"), "{}"), 415);
    assert_eq!(with(Method::PATCH, ("content-type", "application/json; charset=utf-8"), "{}"), 400);
    assert_eq!(with(Method::PATCH, ("x", "y"), "{"), 400);
    assert_eq!(with(Method::PATCH, ("x", "y"), ""), 400);
    assert_eq!(with(Method::PATCH, ("x", "y"), &" ".repeat(super::super::request::LONGEST_BODY + 1)), 413);
}

#[test]
fn lights_policy_and_time_servers() {
    let mut bmc = bmc();
    assert_eq!(
        patch(&mut bmc, SYSTEM, &json!({ "IndicatorLED": "Lit", "PowerRestorePolicy": "AlwaysOn" })).0,
        200
    );
    assert_eq!(get(&mut bmc, "/redfish/v1/Chassis/1")["IndicatorLED"], "Lit");
    assert_eq!(patch(&mut bmc, "/redfish/v1/Chassis/1", &json!({ "LocationIndicatorActive": false })).0, 200);
    let system = get(&mut bmc, SYSTEM);
    assert_eq!((&system["IndicatorLED"], &system["PowerRestorePolicy"]), (&json!("Off"), &json!("AlwaysOn")));
    let protocol = "/redfish/v1/Managers/1/NetworkProtocol";
    assert_eq!(patch(&mut bmc, protocol, &json!({ "NTP": { "NTPServers": ["a", "b"] } })).0, 200);
    assert_eq!(patch(&mut bmc, protocol, &json!({ "NTP": { "NTPServers": [null, {}, "c"] } })).0, 200);
    assert_eq!(get(&mut bmc, protocol)["NTP"]["NTPServers"], json!(["b", "c"]));
    assert_eq!(
        patch(&mut bmc, protocol, &json!({ "NTP": { "NTPServers": ["1", "2", "3", "4", "5"] } })).0,
        400
    );
    assert_eq!(patch(&mut bmc, protocol, &json!({ "NTP": { "NTPServers": 1 } })).0, 400);
    let manager = "/redfish/v1/Managers/1/Actions/Manager.Reset";
    assert_eq!(post(&mut bmc, manager, &json!({ "ResetType": "ForceRestart" })).0, 204);
    let update = "/redfish/v1/UpdateService/Actions/UpdateService.SimpleUpdate";
    assert_eq!(post(&mut bmc, update, &json!({ "ImageURI": "http://10.0.0.1/fw" })).0, 409);
    assert_eq!(post(&mut bmc, update, &json!({})).0, 400);
    assert_eq!(post(&mut bmc, "/redfish/v1/Systems/1/Storage/1/Volumes", &json!({})).0, 400);
}

#[test]
fn the_log_is_that_of_ipmi() {
    let mut bmc = bmc();
    bmc.log.add(3, crate::bmc::log::Logged::BootFailed(crate::bmc::log::BootFailure::NoPxeServer));
    let sel = format!("{SYSTEM}/LogServices/Sel");
    let entry = get(&mut bmc, &format!("{sel}/Entries/1"));
    assert_eq!((&entry["SensorType"], &entry["Severity"]), (&json!("Boot Error"), &json!("Warning")));
    assert_eq!(entry["Message"], "The boot failed: no PXE server.");
    let event = get(&mut bmc, &format!("{SYSTEM}/LogServices/EventLog/Entries/1"));
    assert_eq!(event["MessageId"], "Dryrack.1.0.BootFailed");
    assert_eq!(post(&mut bmc, &format!("{sel}/Actions/LogService.ClearLog"), &Value::Null).0, 204);
    let entries = get(&mut bmc, &format!("{sel}/Entries"));
    assert_eq!(entries["Members@odata.count"], 1);
    assert_eq!(bmc.log.len(), 1);
}
