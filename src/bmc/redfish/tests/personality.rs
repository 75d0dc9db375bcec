//! What makers do differently.

use super::super::settings::{BootPlace, CdTarget, IfMatch, MediaWay, Partial, PostLock};
use super::super::{Outcome, finish};
use super::*;

fn head(bmc: &mut Bmc, headers: &[(&str, &str)], body: &Value) -> (u16, Vec<String>) {
    let authorization = basic("admin", PASSWORD);
    let headers: Vec<_> =
        [("authorization", authorization.as_str())].iter().chain(headers).copied().collect();
    let reply = done(answer(bmc, &request(Method::PATCH, SYSTEM, &headers, &body.to_string())));
    (reply.status.as_u16(), messages(&serde_json::from_slice(&reply.body).unwrap_or_default()))
}

#[test]
fn ids_are_those_of_the_maker() {
    let mut bmc = bmc();
    bmc.redfish.settings.system = "System.Embedded.1".to_owned();
    bmc.redfish.settings.manager = "iDRAC.Embedded.1".to_owned();
    let system = get(&mut bmc, "/redfish/v1/Systems?only");
    assert_eq!(system["@odata.id"], "/redfish/v1/Systems/System.Embedded.1");
    assert_eq!(system["Links"]["ManagedBy"][0]["@odata.id"], "/redfish/v1/Managers/iDRAC.Embedded.1");
    assert_eq!(ask(&mut bmc, Method::GET, SYSTEM, &Value::Null).0, 404);
}

#[test]
fn a_busy_service_and_dropped_sessions() {
    let mut bmc = bmc();
    bmc.redfish.settings.busy = Some(7);
    let reply = done(answer(&mut bmc, &request(Method::GET, SYSTEM, &[], "")));
    assert_eq!((reply.status.as_u16(), &reply.headers["retry-after"]), (503, &HeaderValue::from_static("7")));
    bmc.redfish.settings.busy = None;
    bmc.redfish.settings.drops_session_every = Some(2);
    let body = json!({ "UserName": "admin", "Password": PASSWORD }).to_string();
    let sessions = "/redfish/v1/SessionService/Sessions";
    let reply = done(answer(&mut bmc, &request(Method::POST, sessions, &[], &body)));
    let token = reply.headers["x-auth-token"].to_str().unwrap().to_owned();
    assert_eq!(
        done(answer(&mut bmc, &request(Method::GET, SYSTEM, &[("x-auth-token", &token)], ""))).status,
        401
    );
    bmc.redfish.settings.drops_session_every = None;
    bmc.redfish.settings.sessions = 0;
    assert_eq!(done(answer(&mut bmc, &request(Method::POST, sessions, &[], &body))).status, 503);
}

#[test]
fn conditions_may_be_needed() {
    let mut bmc = bmc();
    let light = json!({ "IndicatorLED": "Lit" });
    bmc.redfish.settings.if_match = IfMatch::OnlyAny;
    assert_eq!(head(&mut bmc, &[], &light), (428, vec!["PreconditionRequired".to_owned()]));
    let etag = get(&mut bmc, SYSTEM)["@odata.etag"].as_str().unwrap().to_owned();
    assert_eq!(head(&mut bmc, &[("if-match", &etag)], &light).0, 412);
    assert_eq!(head(&mut bmc, &[("if-match", "*")], &light).0, 200);
}

#[test]
fn boot_is_changed_elsewhere_or_as_a_whole() {
    let mut bmc = bmc();
    let pxe = json!({ "Boot": { "BootSourceOverrideTarget": "Pxe" } });
    let message = "Ami.1.0.OperationSupportedInFutureStateURI".to_owned();
    bmc.redfish.settings.boot.place = BootPlace::Settings { message: message.clone() };
    assert_eq!(head(&mut bmc, &[], &pxe), (400, vec![message]));
    let settings = get(&mut bmc, SYSTEM)["@Redfish.Settings"]["SettingsObject"]["@odata.id"].clone();
    assert_eq!(patch(&mut bmc, settings.as_str().unwrap(), &pxe).0, 200);
    assert_eq!(bmc.boot_override().map(|over| over.device), Some(BootDevice::Pxe));
    bmc.redfish.settings.boot.place = BootPlace::System;
    bmc.redfish.settings.boot.partial = Partial::Refused;
    assert_eq!(head(&mut bmc, &[], &pxe), (400, vec!["PropertyMissing".to_owned(); 2]));
    bmc.redfish.settings.boot.partial = Partial::Kept;
    bmc.redfish.settings.boot.takes_mode = false;
    let mode = json!({ "Boot": { "BootSourceOverrideMode": "UEFI" } });
    assert_eq!(head(&mut bmc, &[], &mode), (400, vec!["PropertyNotWritable".to_owned()]));
    bmc.redfish.settings.boot.cd = CdTarget::UsbCd;
    let cd = |name: &str| json!({ "Boot": { "BootSourceOverrideTarget": name } });
    assert_eq!(head(&mut bmc, &[], &cd("Cd")).0, 400);
    assert_eq!(head(&mut bmc, &[], &cd("UsbCd")).0, 200);
}

#[test]
fn boot_is_locked_while_the_firmware_starts() {
    let mut bmc = bmc();
    let message = "iLO.2.14.UnableToModifyDuringSystemPOST".to_owned();
    bmc.redfish.settings.boot.post_lock = Some(PostLock { seconds: 30, message: message.clone() });
    bmc.redfish.settings.boot.refuses_unchanged = true;
    let pxe = json!({ "Boot": { "BootSourceOverrideTarget": "Pxe" } });
    bmc.happened(at(0), crate::bmc::power::Happening::PoweredOn);
    assert_eq!(head(&mut bmc, &[], &pxe), (400, vec![message]));
    reset(&mut bmc, "ForceOff");
    assert_eq!(head(&mut bmc, &[], &pxe).0, 200);
    assert_eq!(head(&mut bmc, &[], &pxe), (400, vec!["NoOperation".to_owned()]));
}

#[test]
fn media_are_changed_by_patch_or_as_a_task() {
    let mut bmc = bmc();
    let cd = format!("{SYSTEM}/VirtualMedia/Cd");
    let authorization = basic("admin", PASSWORD);
    let head = [("authorization", authorization.as_str())];
    bmc.redfish.settings.media.way = MediaWay::Patch;
    assert!(get(&mut bmc, &cd).get("Actions").is_none());
    let body = json!({ "Image": "http://10.0.0.1/a.iso", "Inserted": true }).to_string();
    let answered = answer(&mut bmc, &request(Method::PATCH, &cd, &head, &body));
    let Answer::Pending(pending) = answered else { panic!("pending: {answered:?}") };
    finish(&mut bmc, at(11), pending, Outcome::Found);
    assert_eq!(get(&mut bmc, &cd)["Inserted"], true);
    bmc.redfish.settings.media.keeps_name = true;
    assert_eq!(patch(&mut bmc, &cd, &json!({ "Image": null })).0, 200);
    let medium = get(&mut bmc, &cd);
    assert_eq!((&medium["Inserted"], &medium["ImageName"]), (&json!(false), &json!("a.iso")));
    bmc.redfish.settings.media.way = MediaWay::ImageOnly;
    bmc.redfish.settings.media.is_task = true;
    let insert = format!("{cd}/Actions/VirtualMedia.InsertMedia");
    assert_eq!(done(answer(&mut bmc, &request(Method::POST, &insert, &head, &body))).status, 400);
    let body = json!({ "Image": "http://10.0.0.1/a.iso" }).to_string();
    let Answer::Background(reply, pending) = answer(&mut bmc, &request(Method::POST, &insert, &head, &body))
    else {
        panic!("background")
    };
    assert_eq!(reply.status, 202);
    let monitor = reply.headers["location"].to_str().unwrap().to_owned();
    assert_eq!(ask(&mut bmc, Method::GET, &monitor, &Value::Null).0, 202);
    finish(&mut bmc, at(12), pending, Outcome::Status(404));
    assert_eq!(ask(&mut bmc, Method::GET, &monitor, &Value::Null).0, 400);
    assert_eq!(get(&mut bmc, "/redfish/v1/TaskService/Tasks/1")["TaskState"], "Exception");
    bmc.redfish.settings.media.eject_needs_body = true;
    let eject = format!("{cd}/Actions/VirtualMedia.EjectMedia");
    assert_eq!(post(&mut bmc, &eject, &Value::Null).0, 400);
    assert_eq!(post(&mut bmc, &eject, &json!({})).0, 204);
}
