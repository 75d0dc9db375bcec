//! The event service: subscriptions, and what is sent to whom.
//!
//! Events are the new entries of the event log, changes of resources, and test events. The shell asks for them
//! ([`deliver`]), pushes them and writes them to the streams.

use http::header;
use serde_json::{Map, Value, json};

use super::message::{Key, Message};
use super::odata::{healthy, link, odata_type, resource, time};
use super::patch::Patch;
use super::place::LogKind;
use super::reply::{Answer, Reply};
use super::{journal, url};
use crate::bmc::log::Logged;
use crate::bmc::media::Secret;
use crate::bmc::subscription::{Destination, Happened, Subscription};
use crate::bmc::{Bmc, Now};

/// The registries whose messages are events.
const PREFIXES: [&str; 2] = ["Dryrack", "ResourceEvent"];

/// Headers that a subscriber cannot set.
const OF_SENDER: [header::HeaderName; 5] =
    [header::HOST, header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::CONNECTION, header::EXPECT];

/// The kinds of resources that events come from.
const RESOURCES: [&str; 3] = ["ComputerSystem", "LogEntry", "VirtualMedia"];

const TEST: &str = "EventService.SubmitTestEvent";

/// The messages of the registry ResourceEvent that are used, with texts of our own.
const TEXTS: [(&str, &str); 4] = [
    ("ResourcePoweredOn", "The resource '%1' is on."),
    ("ResourcePoweredOff", "The resource '%1' is off."),
    ("ResourceChanged", "Properties of the resource changed."),
    ("TestMessage", "This is a test."),
];

/// What is to be sent to a subscriber.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The number of the subscription.
    pub subscription: u32,
    /// How the subscriber is reached.
    pub destination: Destination,
    /// The body of the POST, as JSON; for a stream, its next bytes.
    pub body: String,
}

/// Returns the service.
pub(super) fn service() -> Value {
    let uri = "/redfish/v1/EventService";
    resource(
        "EventService",
        uri,
        "EventService",
        "Event Service",
        json!({
            "ServiceEnabled": true,
            "DeliveryRetryAttempts": 3,
            "DeliveryRetryIntervalSeconds": 5,
            "EventFormatTypes": ["Event"],
            "RegistryPrefixes": PREFIXES,
            "ResourceTypes": RESOURCES,
            "SubordinateResourcesSupported": false,
            "IncludeOriginOfConditionSupported": false,
            "ServerSentEventUri": format!("{uri}/SSE"),
            "SSEFilterPropertiesSupported": {
                "EventFormatType": false,
                "MessageId": false,
                "MetricReportDefinition": false,
                "OriginResource": false,
                "RegistryPrefix": false,
                "ResourceType": false,
                "SubordinateResources": false,
            },
            "Status": healthy(),
            "Subscriptions": link(&format!("{uri}/Subscriptions")),
            "Actions": {
                "#EventService.SubmitTestEvent": { "target": format!("{uri}/Actions/{TEST}") },
            },
        }),
    )
}

fn uri(id: u32) -> String {
    format!("/redfish/v1/EventService/Subscriptions/{id}")
}

/// Returns a subscription.
pub(super) fn subscription(bmc: &Bmc, id: u32) -> Option<Value> {
    let subscription = bmc.redfish.subscriptions.get(id)?;
    let (destination, kind, verifies) = match &subscription.destination {
        Destination::Push { url, verifies_certificate, .. } => {
            (json!(url), "RedfishEvent", json!(verifies_certificate))
        }
        Destination::Stream => (Value::Null, "SSE", json!(false)),
    };
    let mut rest = json!({
        "Context": subscription.context,
        "Protocol": "Redfish",
        "SubscriptionType": kind,
        "EventFormatType": "Event",
        "RegistryPrefixes": subscription.prefixes,
        "ResourceTypes": subscription.resources,
        "Status": healthy(),
    });
    if !destination.is_null() {
        rest["Destination"] = destination;
        rest["DeliveryRetryPolicy"] = json!("TerminateAfterRetries");
        rest["HttpHeaders"] = json!([]);
        rest["VerifyCertificate"] = verifies;
    }
    Some(resource("EventDestination", &uri(id), &id.to_string(), &format!("Subscription {id}"), rest))
}

/// Creates a subscription.
pub(super) fn subscribe(bmc: &mut Bmc, mut patch: Patch) -> Result<Reply, Box<Reply>> {
    let destination = patch.text("/Destination");
    let protocol = patch.choice("/Protocol", &[("Redfish", ())]);
    patch.refuse_if(&["Destination", "Protocol"], false, |name| Message::new(Key::PropertyMissing, &[name]));
    patch.choice("/SubscriptionType", &[("RedfishEvent", ())]);
    patch.choice("/EventFormatType", &[("Event", ())]);
    patch.choice("/DeliveryRetryPolicy", &[("TerminateAfterRetries", ())]);
    // An older way to say what is wanted: all that happens here is an alert, a status change or an update.
    patch.take("/EventTypes");
    let context = patch.text_or_null("/Context").flatten();
    let prefixes = list(&mut patch, "/RegistryPrefixes", &PREFIXES);
    let resources = list(&mut patch, "/ResourceTypes", &RESOURCES);
    let verifies_certificate = patch.flag("/VerifyCertificate").unwrap_or(false);
    let headers = headers(&mut patch);
    let text = destination.unwrap_or_default();
    let url = match url::check(&text) {
        // A subscriber who wants to know who it is says so in `HttpHeaders`, which nobody can read.
        Ok(url) if url.credentials.is_none() => Some(url.text),
        Ok(_) | Err(url::Refused::Syntax) if patch.has("/Destination") => {
            patch.refuse("/Destination", Key::PropertyValueFormatError, &json!(url::shown(&text)));
            None
        }
        Err(_) if patch.has("/Destination") => {
            patch.wrong(Message::new(Key::AccessDenied, &[&url::shown(&text)]).about("/Destination"));
            None
        }
        Ok(_) | Err(_) => None,
    };
    let left = patch.finish(&json!({}))?;
    if !left.is_empty() {
        return Err(Reply::refuse_all(400, &left));
    }
    let (Some(url), Some(())) = (url, protocol) else {
        return Err(Reply::refuse(400, Message::new(Key::PropertyMissing, &["Destination"])));
    };
    let destination = Destination::Push { url, headers, verifies_certificate };
    let added =
        bmc.redfish.subscriptions.add(|id| Subscription { id, destination, context, prefixes, resources });
    let id =
        added.ok_or_else(|| Reply::refuse(503, Message::new(Key::EventSubscriptionLimitExceeded, &[])))?;
    let body = subscription(bmc, id).unwrap_or_default();
    Ok(Reply::json(201, &body).with(header::LOCATION, &uri(id)))
}

fn list(patch: &mut Patch, pointer: &str, known: &[&str]) -> Vec<String> {
    let Some(given) = patch.take(pointer) else { return Vec::new() };
    let Some(array) = given.as_array() else {
        patch.refuse(pointer, Key::PropertyValueTypeError, &given);
        return Vec::new();
    };
    let mut texts = Vec::new();
    for value in array {
        match value.as_str().filter(|text| known.contains(text)) {
            Some(text) => texts.push(text.to_owned()),
            None => patch.refuse(pointer, Key::PropertyValueNotInList, value),
        }
    }
    texts
}

fn headers(patch: &mut Patch) -> Vec<(String, Secret)> {
    const HEADERS: &str = "/HttpHeaders";
    let Some(given) = patch.take(HEADERS) else { return Vec::new() };
    let mut headers = Vec::new();
    let objects: Option<Vec<&Map<String, Value>>> =
        given.as_array().and_then(|all| all.iter().map(Value::as_object).collect());
    let Some(objects) = objects else {
        // Not the value: it may be a password.
        patch.wrong(Message::new(Key::PropertyValueTypeError, &["******", "HttpHeaders"]).about(HEADERS));
        return headers;
    };
    for (name, value) in objects.into_iter().flatten() {
        // Those that say where the request goes and how long it is are the sender's.
        let is_name = name.parse().is_ok_and(|name: header::HeaderName| !OF_SENDER.contains(&name));
        match value.as_str().filter(|value| is_name && value.parse::<header::HeaderValue>().is_ok()) {
            Some(value) => headers.push((name.clone(), Secret::new(value))),
            None => patch.wrong(Message::new(Key::PropertyValueFormatError, &["******", "HttpHeaders"])),
        }
    }
    headers
}

/// Changes a subscription.
pub(super) fn patch(
    bmc: &mut Bmc,
    id: u32,
    mut patch: Patch,
    current: &Value,
) -> Result<Vec<Message>, Box<Reply>> {
    let context = patch.text_or_null("/Context");
    let verifies = patch.flag("/VerifyCertificate");
    let left = patch.finish(current)?;
    if let Some(subscription) = bmc.redfish.subscriptions.get_mut(id) {
        if let Some(context) = context {
            subscription.context = context;
        }
        if let (Some(verifies), Destination::Push { verifies_certificate, .. }) =
            (verifies, &mut subscription.destination)
        {
            *verifies_certificate = verifies;
        }
    }
    Ok(left)
}

/// Opens a stream.
pub(super) fn stream(bmc: &mut Bmc, random: &mut dyn FnMut(&mut [u8])) -> Answer {
    let mut bytes = [0; 8];
    random(&mut bytes);
    let context: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let added = bmc.redfish.subscriptions.add(|id| Subscription {
        id,
        destination: Destination::Stream,
        context: Some(context),
        prefixes: Vec::new(),
        resources: Vec::new(),
    });
    let Some(id) = added else {
        let message = Message::new(Key::EventSubscriptionLimitExceeded, &[]);
        return Answer::Done(*Reply::refuse(503, message));
    };
    let mut head = Reply::empty(200);
    head.set(header::CONTENT_TYPE, "text/event-stream;charset=utf-8");
    Answer::Stream(head, id)
}

/// Adds a test event.
pub(super) fn test(bmc: &mut Bmc, now: Now, body: Map<String, Value>) -> Result<Reply, Box<Reply>> {
    let mut patch = Patch::of_action(TEST, body);
    // What the event says is for the client to choose; all of it is optional but the identifier of the message.
    const FREE: [&str; 9] = [
        "EventType",
        "EventId",
        "EventTimestamp",
        "Severity",
        "MessageSeverity",
        "Message",
        "MessageArgs",
        "OriginOfCondition",
        "EventGroupId",
    ];
    for name in FREE {
        patch.take(&format!("/{name}"));
    }
    patch.text("/MessageId");
    patch.finish_action()?;
    bmc.redfish.subscriptions.add_event(Happened {
        at: now.unix,
        message: ("ResourceEvent.1.4", "TestMessage"),
        arguments: Vec::new(),
        origin: "/redfish/v1/EventService".to_owned(),
        resource: "EventService",
    });
    Ok(Reply::empty(204))
}

/// Remembers that a request changed a resource.
pub(super) fn changed(bmc: &mut Bmc, now: Now, origin: &str, resource: &'static str) {
    bmc.redfish.subscriptions.add_event(Happened {
        at: now.unix,
        message: ("ResourceEvent.1.4", "ResourceChanged"),
        arguments: Vec::new(),
        origin: origin.to_owned(),
        resource,
    });
}

/// Returns what is to be sent now. The shell asks after each request and whenever something happened to the machine.
pub fn deliver(bmc: &mut Bmc) -> Vec<Delivery> {
    collect(bmc);
    let mut deliveries = Vec::new();
    for (number, event) in bmc.redfish.subscriptions.take() {
        let (registry, key) = event.message;
        for subscription in bmc.redfish.subscriptions.iter().filter(|one| wants(one, &event)) {
            let body = body(number, &event, registry, key, subscription.context.as_deref());
            let body = match &subscription.destination {
                Destination::Push { .. } => body.to_string(),
                Destination::Stream => format!("id: {number}\ndata: {body}\n\n"),
            };
            let (subscription, destination) = (subscription.id, subscription.destination.clone());
            deliveries.push(Delivery { subscription, destination, body });
        }
    }
    deliveries
}

fn wants(subscription: &Subscription, event: &Happened) -> bool {
    // A test event goes to everybody.
    if event.message.1 == "TestMessage" {
        return true;
    }
    let prefix = event.message.0.split('.').next().unwrap_or_default();
    let has = |list: &[String], text: &str| list.is_empty() || list.iter().any(|one| one == text);
    has(&subscription.prefixes, prefix) && has(&subscription.resources, event.resource)
}

/// Makes events of the new entries of the log.
fn collect(bmc: &mut Bmc) {
    let count = bmc.log.total().saturating_sub(bmc.redfish.logged);
    bmc.redfish.logged = bmc.log.total();
    let skipped = bmc.log.len().saturating_sub(count);
    let new: Vec<_> = bmc.log.entries().skip(skipped).copied().collect();
    let system = bmc.redfish.settings.system_uri();
    for entry in new {
        let told = journal::told(&entry);
        let power = match entry.what {
            Logged::PowerOn => Some("ResourcePoweredOn"),
            Logged::PowerOff => Some("ResourcePoweredOff"),
            _ => None,
        };
        if let Some(key) = power {
            bmc.redfish.subscriptions.add_event(Happened {
                at: entry.at,
                message: ("ResourceEvent.1.4", key),
                arguments: vec![system.clone()],
                origin: system.clone(),
                resource: "ComputerSystem",
            });
        }
        let origin = journal::entry_uri(bmc, LogKind::Event, entry.id);
        bmc.redfish.subscriptions.add_event(Happened {
            at: entry.at,
            message: ("Dryrack.1.0", told.event.key),
            arguments: told.arguments,
            origin,
            resource: "LogEntry",
        });
    }
}

fn body(number: u64, event: &Happened, registry: &str, key: &str, context: Option<&str>) -> Value {
    let ours = journal::EVENTS.iter().find(|event| event.key == key);
    let text = ours.map(|event| event.text);
    let text = text.or_else(|| TEXTS.iter().find(|(name, _)| *name == key).map(|(_, text)| *text));
    let severity = ours.map_or("OK", |event| event.severity);
    let mut body = json!({
        "@odata.type": odata_type("Event"),
        "Id": number.to_string(),
        "Name": "Event",
        "Events": [{
            "MemberId": "0",
            "EventType": if event.resource == "ComputerSystem" { "StatusChange" } else { "Alert" },
            "EventId": number.to_string(),
            "EventTimestamp": time(event.at),
            "MessageSeverity": severity,
            "Severity": severity,
            "Message": super::message::filled(text.unwrap_or_default(), &event.arguments),
            "MessageId": format!("{registry}.{key}"),
            "MessageArgs": event.arguments,
            "OriginOfCondition": link(&event.origin),
        }],
    });
    if let Some(context) = context {
        body["Context"] = json!(context);
    }
    body
}
