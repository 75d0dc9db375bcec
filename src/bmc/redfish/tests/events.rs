//! Subscriptions, and what is sent.

use super::super::{closed, deliver};
use super::*;
use crate::bmc::log::Logged;
use crate::bmc::subscription::Destination;

const SUBSCRIPTIONS: &str = "/redfish/v1/EventService/Subscriptions";

#[track_caller]
fn subscribe(bmc: &mut Bmc, more: Value) -> (u16, Vec<String>) {
    let mut body = json!({ "Destination": "https://10.0.0.9/e", "Protocol": "Redfish", "Context": "mine" });
    body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let (status, body) = post(bmc, SUBSCRIPTIONS, &body);
    (status, messages(&body))
}

#[test]
fn a_subscriber_is_told_of_the_log() {
    let mut bmc = bmc();
    bmc.log.add(1, Logged::PowerOn);
    assert!(deliver(&mut bmc).is_empty());
    assert_eq!(subscribe(&mut bmc, json!({ "HttpHeaders": [{ "X-Key": "hidden" }] })).0, 201);
    bmc.log.add(5, Logged::PowerOff);
    let deliveries = deliver(&mut bmc);
    let bodies: Vec<Value> =
        deliveries.iter().map(|delivery| serde_json::from_str(&delivery.body).unwrap()).collect();
    let ids: Vec<&Value> = bodies.iter().map(|body| &body["Events"][0]["MessageId"]).collect();
    assert_eq!(ids, ["ResourceEvent.1.4.ResourcePoweredOff", "Dryrack.1.0.PowerOff"]);
    assert_eq!(bodies[0]["Context"], "mine");
    assert_eq!(bodies[0]["Events"][0]["OriginOfCondition"]["@odata.id"], SYSTEM);
    let Destination::Push { headers, .. } = &deliveries[0].destination else { panic!("a push") };
    assert_eq!((headers[0].0.as_str(), headers[0].1.reveal()), ("X-Key", "hidden"));
    assert!(deliver(&mut bmc).is_empty());
}

#[test]
fn a_subscriber_chooses() {
    let mut bmc = bmc();
    assert_eq!(subscribe(&mut bmc, json!({ "RegistryPrefixes": ["Dryrack"] })).0, 201);
    bmc.log.add(5, Logged::PowerOff);
    assert_eq!(deliver(&mut bmc).len(), 1);
    patch(&mut bmc, SYSTEM, &json!({ "IndicatorLED": "Lit" }));
    assert_eq!(deliver(&mut bmc).len(), 0);
    let test = "/redfish/v1/EventService/Actions/EventService.SubmitTestEvent";
    assert_eq!(post(&mut bmc, test, &json!({ "MessageId": "Base.1.0.Success" })).0, 204);
    assert_eq!(deliver(&mut bmc).len(), 1);
    assert_eq!(patch(&mut bmc, &format!("{SUBSCRIPTIONS}/1"), &json!({ "Context": "other" })).0, 200);
    assert_eq!(ask(&mut bmc, Method::DELETE, &format!("{SUBSCRIPTIONS}/1"), &Value::Null).0, 204);
    assert_eq!(get(&mut bmc, SUBSCRIPTIONS)["Members@odata.count"], 0);
}

#[test]
fn wrong_subscriptions_are_refused() {
    let mut bmc = bmc();
    for (more, message) in [
        (json!({ "Destination": "http://127.0.0.1/e" }), "AccessDenied"),
        (json!({ "Destination": "x" }), "PropertyValueFormatError"),
        (json!({ "Destination": "http://u:p@10.0.0.9/e" }), "PropertyValueFormatError"),
        (json!({ "HttpHeaders": { "X-Key": "a" } }), "PropertyValueTypeError"),
        (json!({ "HttpHeaders": ["X-Key: a"] }), "PropertyValueTypeError"),
        (json!({ "HttpHeaders": [{ "Content-Length": "0" }] }), "PropertyValueFormatError"),
        (json!({ "Protocol": "SMTP" }), "PropertyValueNotInList"),
        (json!({ "RegistryPrefixes": ["Base"] }), "PropertyValueNotInList"),
        (json!({ "HttpHeaders": [{ "a b": "c" }] }), "PropertyValueFormatError"),
        (json!({ "Bogus": 1 }), "PropertyUnknown"),
    ] {
        assert_eq!(subscribe(&mut bmc, more.clone()), (400, vec![message.to_owned()]), "{more}");
    }
    let (status, body) = post(&mut bmc, SUBSCRIPTIONS, &json!({}));
    assert_eq!((status, messages(&body).join(" ")), (400, "PropertyMissing PropertyMissing".to_owned()));
}

#[test]
fn a_stream_is_a_subscription() {
    let mut bmc = bmc();
    let head = [("authorization", basic("admin", PASSWORD))];
    let open = request(Method::GET, "/redfish/v1/EventService/SSE", &[(head[0].0, &head[0].1)], "");
    let Answer::Stream(reply, id) = answer(&mut bmc, &open) else { panic!("a stream") };
    assert_eq!(reply.headers["content-type"], "text/event-stream;charset=utf-8");
    assert_eq!(get(&mut bmc, &format!("{SUBSCRIPTIONS}/{id}"))["SubscriptionType"], "SSE");
    bmc.log.add(5, Logged::PxeRequested);
    let deliveries = deliver(&mut bmc);
    let text = deliveries[0].body.as_str();
    assert!(text.starts_with("id: 1\ndata: {") && text.ends_with("}\n\n"), "{text}");
    closed(&mut bmc, id);
    assert_eq!(get(&mut bmc, SUBSCRIPTIONS)["Members@odata.count"], 0);
}
