//! Virtual media: one collection, which system and manager link to.

use http::header;
use serde_json::{Map, Value, json};

use super::message::{Key, Message};
use super::odata::{healthy, resource};
use super::patch::Patch;
use super::reply::{Answer, Outcome, Pending, Reply};
use super::settings::MediaWay;
use super::{event, url};
use crate::bmc::media::{Credentials, Image, Secret, Slot};
use crate::bmc::{Bmc, Now};

const INSERT: &str = "VirtualMedia.InsertMedia";

/// Returns a slot.
pub(super) fn medium(bmc: &Bmc, slot: Slot) -> Value {
    let id = bmc.redfish.settings.slot(slot);
    let settings = bmc.redfish.settings.media;
    let uri = bmc.redfish.settings.slot_uri(slot);
    let (name, types) = match slot {
        Slot::Cd => ("Virtual CD", json!(["CD", "DVD"])),
        Slot::Usb => ("Virtual USB stick", json!(["USBStick"])),
    };
    let image = bmc.media().get(slot);
    let shown = image.or_else(|| bmc.media().last(slot).filter(|_| settings.keeps_name));
    let mut medium = resource(
        "VirtualMedia",
        &uri,
        id,
        name,
        json!({
            "MediaTypes": types,
            "ConnectedVia": if image.is_some() { "URI" } else { "NotConnected" },
            "Inserted": image.is_some(),
            "Image": image.map(|image| image.url.as_str()),
            "ImageName": shown.map(|image| file_name(&image.url)),
            "WriteProtected": image.is_none_or(|image| image.is_write_protected),
            "TransferProtocolType": image.map(|image| protocol(&image.url)),
            "TransferMethod": image.map(|_| "Stream"),
            "UserName": image.and_then(|image| Some(image.credentials.as_ref()?.user.as_str())),
            "Password": null,
            "VerifyCertificate": bmc.media().verifies(slot),
            "Status": healthy(),
        }),
    );
    if settings.way.has_actions() {
        let mut insert = json!({ "target": format!("{uri}/Actions/VirtualMedia.InsertMedia") });
        if settings.way == MediaWay::Action {
            insert["TransferProtocolType@Redfish.AllowableValues"] = json!(["HTTP", "HTTPS"]);
            insert["TransferMethod@Redfish.AllowableValues"] = json!(["Stream"]);
        }
        medium["Actions"] = json!({
            "#VirtualMedia.InsertMedia": insert,
            "#VirtualMedia.EjectMedia": { "target": format!("{uri}/Actions/VirtualMedia.EjectMedia") },
        });
    }
    medium
}

fn file_name(url: &str) -> &str {
    let path = url.split(['?', '#']).next().unwrap_or(url);
    path.rsplit('/').next().unwrap_or(path)
}

fn protocol(url: &str) -> &'static str {
    if url.starts_with("https:") { "HTTPS" } else { "HTTP" }
}

/// The parameters that describe an image.
#[derive(Debug, Default)]
struct Asked {
    image: Option<String>,
    protocol: Option<String>,
    user: Option<String>,
    password: Option<String>,
    is_writable: bool,
}

/// Begins to insert an image.
pub(super) fn insert(bmc: &mut Bmc, now: Now, slot: Slot, body: Map<String, Value>) -> Answer {
    let settings = bmc.redfish.settings.media;
    let mut patch = Patch::of_action(INSERT, body);
    if settings.way == MediaWay::ImageOnly {
        let other = ["Inserted", "WriteProtected", "TransferProtocolType", "TransferMethod"];
        patch.refuse_if(&other, true, |name| Message::new(Key::ActionParameterUnknown, &[INSERT, name]));
    }
    let asked = take(slot, &mut patch);
    if asked.image.is_none() && !patch.has("/Image") {
        patch.wrong(Message::new(Key::ActionParameterMissing, &[INSERT, "Image"]).about("/Image"));
    }
    match patch.finish_action() {
        Ok(()) => begin(bmc, now, slot, asked),
        Err(reply) => Answer::Done(*reply),
    }
}

fn take(slot: Slot, patch: &mut Patch) -> Asked {
    let image = patch.text("/Image");
    let inserted = patch.flag("/Inserted");
    if inserted == Some(false) && image.is_some() {
        // An image that is not inserted is none.
        patch.wrong(
            Message::new(Key::ActionParameterValueConflict, &["Inserted", "false"]).about("/Inserted"),
        );
    }
    let protected = patch.flag("/WriteProtected");
    if protected == Some(false) && slot == Slot::Cd {
        let message = Message::new(Key::ActionParameterValueConflict, &["WriteProtected", "false"]);
        patch.wrong(message.about("/WriteProtected"));
    }
    let protocol = patch.choice("/TransferProtocolType", &[("HTTP", "http:"), ("HTTPS", "https:")]);
    patch.choice("/TransferMethod", &[("Stream", ())]);
    Asked {
        image,
        protocol: protocol.map(str::to_owned),
        user: patch.text_or_null("/UserName").flatten(),
        password: patch.text_or_null("/Password").flatten(),
        is_writable: protected == Some(false),
    }
}

fn begin(bmc: &mut Bmc, now: Now, slot: Slot, asked: Asked) -> Answer {
    let done = |reply: Box<Reply>| Answer::Done(*reply);
    let text = asked.image.unwrap_or_default();
    // A URL without a scheme gets that of the protocol.
    let text = match &asked.protocol {
        Some(protocol) if !text.contains("://") => format!("{protocol}//{text}"),
        _ => text,
    };
    let url = match url::check(&text) {
        Ok(url) => url,
        Err(refused) => {
            let text = url::shown(&text);
            let message = match refused {
                url::Refused::Syntax => {
                    Message::new(Key::ActionParameterValueFormatError, &[&text, "Image", INSERT])
                }
                _ => Message::new(Key::AccessDenied, &[&text]),
            };
            return done(Reply::refuse(400, message.about("/Image")));
        }
    };
    if asked.protocol.is_some_and(|protocol| !url.text.starts_with(&protocol)) {
        let message = Message::new(Key::ActionParameterValueConflict, &["TransferProtocolType", &url.text]);
        return done(Reply::refuse(400, message.about("/TransferProtocolType")));
    }
    let Some(ticket) = bmc.media.reserve(slot) else {
        return done(Reply::refuse(409, Message::new(Key::ResourceInUse, &[])));
    };
    let given = asked
        .user
        .filter(|user| !user.is_empty())
        .map(|user| Credentials { user, password: Secret::new(&asked.password.unwrap_or_default()) });
    let image = Image {
        url: url.text,
        credentials: given.or(url.credentials),
        verifies_certificate: bmc.media().verifies(slot),
        is_write_protected: !asked.is_writable,
    };
    if !bmc.redfish.settings.media.is_task {
        return Answer::Pending(Pending { image, slot, ticket, task: None });
    }
    let task = bmc.redfish.tasks.begin(now.unix, "Insert virtual media");
    let mut accepted = super::task::accepted(bmc, task);
    if !bmc.redfish.settings.media.has_task_location {
        accepted.headers.remove(header::LOCATION);
    }
    Answer::Background(accepted, Pending { image, slot, ticket, task: Some(task) })
}

/// Ends inserting an image, now that its server was asked.
pub(super) fn finish(bmc: &mut Bmc, now: Now, pending: Pending, outcome: Outcome) -> Reply {
    let Pending { image, slot, ticket, task: _ } = pending;
    let url = image.url.clone();
    let is_wanted = match outcome {
        Outcome::Found => bmc.insert(slot, ticket, image),
        _ => bmc.media.settle(slot, ticket, None),
    };
    if !is_wanted {
        // The slot was ejected meanwhile: the client gave up, or somebody else came.
        return *Reply::refuse(409, Message::new(Key::ResourceInUse, &[]));
    }
    if outcome == Outcome::Found {
        changed(bmc, now, slot);
        return Reply::empty(204);
    }
    let url = url.as_str();
    let message = match outcome {
        Outcome::Found | Outcome::Unreachable | Outcome::Certificate => {
            Message::new(Key::CouldNotEstablishConnection, &[url])
        }
        Outcome::Unauthorized => Message::new(Key::ResourceAtUriUnauthorized, &[url, "Unauthorized"]),
        Outcome::Status(404 | 410) => Message::new(Key::ResourceMissingAtURI, &[url]),
        Outcome::Status(status) => {
            Message::new(Key::SourceDoesNotSupportProtocol, &[url, &format!("it answers {status}")])
        }
        Outcome::NoRanges => Message::new(Key::SourceDoesNotSupportProtocol, &[url, "range requests"]),
        Outcome::Forbidden => Message::new(Key::AccessDenied, &[url]),
    };
    *Reply::refuse(400, message.about("/Image"))
}

/// Changes a slot by PATCH: how certificates are checked, and what it holds if there are no actions.
pub(super) fn patch(
    bmc: &mut Bmc,
    now: Now,
    slot: Slot,
    mut patch: Patch,
    current: &Value,
) -> Result<(Vec<Message>, Option<Answer>), Box<Reply>> {
    let verifies = patch.flag("/VerifyCertificate");
    let is_writable = bmc.redfish.settings.media.way == MediaWay::Patch;
    let ejects = is_writable
        && (current_null(&patch, "/Image") || patch.flag("/Inserted") == Some(false) && !patch.has("/Image"));
    if ejects {
        patch.take("/Image");
    }
    let asked = if is_writable && !ejects { take(slot, &mut patch) } else { Asked::default() };
    let left = patch.finish(current)?;
    if let Some(verifies) = verifies {
        bmc.media.verify(slot, verifies);
    }
    if ejects {
        eject(bmc, now, slot);
    }
    let answer = asked.image.is_some().then(|| begin(bmc, now, slot, asked));
    Ok((left, answer))
}

fn current_null(patch: &Patch, pointer: &str) -> bool {
    patch.get(pointer).is_some_and(Value::is_null)
}

/// Tells subscribers that a slot changed.
pub(in crate::bmc) fn changed(bmc: &mut Bmc, now: Now, slot: Slot) {
    let uri = bmc.redfish.settings.slot_uri(slot);
    event::changed(bmc, now, &uri, "VirtualMedia");
}

/// Ejects an image. An empty slot stays empty: clients eject before they insert.
pub(super) fn eject(bmc: &mut Bmc, now: Now, slot: Slot) -> Reply {
    if bmc.eject(slot) {
        changed(bmc, now, slot);
    }
    Reply::empty(204)
}
