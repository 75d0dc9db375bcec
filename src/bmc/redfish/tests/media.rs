//! Virtual media.

use super::super::{Outcome, Pending, finish};
use super::*;
use crate::bmc::media::{Image, Slot};

const CD: &str = "/redfish/v1/Systems/1/VirtualMedia/Cd";

fn insert(bmc: &mut Bmc, slot: &str, body: &Value) -> Answer {
    let target = format!("{SYSTEM}/VirtualMedia/{slot}/Actions/VirtualMedia.InsertMedia");
    let head = [("authorization", basic("admin", PASSWORD))];
    answer(bmc, &request(Method::POST, &target, &[(head[0].0, &head[0].1)], &body.to_string()))
}

#[track_caller]
fn pending(answer: Answer) -> Pending {
    match answer {
        Answer::Pending(pending) => pending,
        other => panic!("not pending: {other:?}"),
    }
}

#[track_caller]
fn refused(answer: Answer) -> (u16, String) {
    let reply = done(answer);
    (reply.status.as_u16(), messages(&serde_json::from_slice(&reply.body).unwrap_or_default()).join(" "))
}

fn eject(bmc: &mut Bmc, body: &Value) -> u16 {
    post(bmc, &format!("{CD}/Actions/VirtualMedia.EjectMedia"), body).0
}

#[test]
fn an_image_is_inserted_once_its_server_answered() {
    let mut bmc = bmc();
    let url = "http://me:hidden@10.0.0.1/images/a.iso?x=1";
    let checked = pending(insert(&mut bmc, "Cd", &json!({ "Image": url })));
    assert_eq!(checked.image.url, "http://10.0.0.1/images/a.iso?x=1");
    assert_eq!(checked.image.credentials.as_ref().unwrap().password.reveal(), "hidden");
    assert_eq!(refused(insert(&mut bmc, "Cd", &json!({ "Image": url }))).0, 409);
    assert_eq!(finish(&mut bmc, at(11), checked, Outcome::Found).status, 204);
    let medium = get(&mut bmc, CD);
    assert_eq!(medium["Inserted"], true);
    assert_eq!((&medium["ImageName"], &medium["ConnectedVia"]), (&json!("a.iso"), &json!("URI")));
    assert_eq!((&medium["UserName"], &medium["Password"]), (&json!("me"), &Value::Null));
    assert!(matches!(
        orders(&mut bmc).as_slice(),
        [Order::Insert(Slot::Cd, Image { is_write_protected: true, .. })]
    ));
    assert_eq!(eject(&mut bmc, &Value::Null), 204);
    assert_eq!(orders(&mut bmc), [Order::Eject(Slot::Cd)]);
    assert_eq!(eject(&mut bmc, &json!({})), 204);
    assert_eq!(orders(&mut bmc), []);
    let medium = get(&mut bmc, CD);
    assert_eq!(
        (&medium["Inserted"], &medium["Image"], &medium["ImageName"]),
        (&json!(false), &Value::Null, &Value::Null)
    );
}

#[test]
fn a_client_that_gave_up_gets_no_image() {
    let mut bmc = bmc();
    let body = json!({ "Image": "http://10.0.0.1/a.iso" });
    let late = pending(insert(&mut bmc, "Cd", &body));
    assert_eq!(eject(&mut bmc, &json!({})), 204);
    let next = pending(insert(&mut bmc, "Cd", &json!({ "Image": "http://10.0.0.1/b.iso" })));
    assert_eq!(finish(&mut bmc, at(11), next, Outcome::Found).status, 204);
    assert_eq!(finish(&mut bmc, at(12), late, Outcome::Found).status, 409);
    assert_eq!(get(&mut bmc, CD)["ImageName"], "b.iso");
}

#[test]
fn nothing_is_found_out_for_a_slot_that_was_freed() {
    let mut bmc = bmc();
    let late = pending(insert(&mut bmc, "Cd", &json!({ "Image": "http://10.0.0.1/a.iso" })));
    assert!(late.is_wanted(&bmc));
    assert_eq!(eject(&mut bmc, &json!({})), 204);
    assert!(!late.is_wanted(&bmc));
    let next = pending(insert(&mut bmc, "Cd", &json!({ "Image": "http://10.0.0.1/b.iso" })));
    assert!(next.is_wanted(&bmc) && !late.is_wanted(&bmc));
    // Who asked for it is told why, whatever its server would have said.
    assert_eq!(finish(&mut bmc, at(11), late, Outcome::Unreachable).status, 409);
    assert!(next.is_wanted(&bmc));
}

#[test]
fn what_cannot_be_fetched_is_told() {
    let mut bmc = bmc();
    for (outcome, message) in [
        (Outcome::Status(404), "ResourceMissingAtURI"),
        (Outcome::Status(500), "SourceDoesNotSupportProtocol"),
        (Outcome::NoRanges, "SourceDoesNotSupportProtocol"),
        (Outcome::Unreachable, "CouldNotEstablishConnection"),
        (Outcome::Certificate, "CouldNotEstablishConnection"),
        (Outcome::Unauthorized, "ResourceAtUriUnauthorized"),
        (Outcome::Forbidden, "AccessDenied"),
    ] {
        let checked = pending(insert(&mut bmc, "Cd", &json!({ "Image": "https://10.0.0.1/a.iso" })));
        let reply = finish(&mut bmc, at(11), checked, outcome);
        let told = messages(&serde_json::from_slice(&reply.body).unwrap());
        assert_eq!((reply.status.as_u16(), told), (400, vec![message.to_owned()]), "{outcome:?}");
        assert_eq!(get(&mut bmc, CD)["Inserted"], false);
    }
    assert_eq!(orders(&mut bmc), []);
}

#[test]
fn parameters_are_those_of_the_schema() {
    let mut bmc = bmc();
    let image = "http://10.0.0.1/a.iso";
    for (body, message) in [
        (json!({}), "ActionParameterMissing"),
        (json!({ "Image": 1 }), "ActionParameterValueTypeError"),
        (json!({ "Image": "x" }), "ActionParameterValueFormatError"),
        (json!({ "Image": "file:///etc/passwd" }), "AccessDenied"),
        (json!({ "Image": "http://169.254.169.254/" }), "AccessDenied"),
        (json!({ "Image": image, "Inserted": false }), "ActionParameterValueConflict"),
        (json!({ "Image": image, "WriteProtected": false }), "ActionParameterValueConflict"),
        (json!({ "Image": image, "TransferMethod": "Upload" }), "ActionParameterValueNotInList"),
        (json!({ "Image": image, "TransferProtocolType": "HTTPS" }), "ActionParameterValueConflict"),
        (json!({ "Image": image, "Colour": "red" }), "ActionParameterUnknown"),
    ] {
        assert_eq!(refused(insert(&mut bmc, "Cd", &body)), (400, message.to_owned()), "{body}");
    }
    let all = json!({
        "Image": image, "Inserted": true, "WriteProtected": false, "TransferProtocolType": "HTTP",
        "TransferMethod": "Stream", "UserName": "none", "Password": "none",
    });
    assert!(!pending(insert(&mut bmc, "Usb", &all)).image.is_write_protected);
}

#[test]
fn certificates_may_be_trusted_unseen() {
    let mut bmc = bmc();
    assert_eq!(patch(&mut bmc, CD, &json!({ "VerifyCertificate": false })).0, 200);
    assert!(
        !pending(insert(&mut bmc, "Cd", &json!({ "Image": "https://a.lab/x" }))).image.verifies_certificate
    );
    assert_eq!(patch(&mut bmc, CD, &json!({ "Image": "http://10.0.0.1/a" })).0, 400);
}
