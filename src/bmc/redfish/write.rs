//! What requests change: PATCH, POST and DELETE of every resource.

use http::Method;
use serde_json::{Map, Value, json};

use super::auth::Who;
use super::message::{Key, Message};
use super::patch::Patch;
use super::place::{Action, Place};
use super::reply::{Answer, Reply};
use super::request::Request;
use super::{account, bios, event, manager, media, read, registry, system};
use crate::bmc::{Bmc, Now};

/// Writes a resource, or does an action. The method is one that the resource takes.
pub(super) fn write(
    bmc: &mut Bmc,
    now: Now,
    random: &mut dyn FnMut(&mut [u8]),
    place: Place,
    who: Option<Who>,
    request: &Request,
) -> Result<Answer, Box<Reply>> {
    match (&request.method, place) {
        (&Method::PATCH, place) => patch(bmc, now, place, who, request),
        (&Method::DELETE, place) => Ok(Answer::Done(delete(bmc, now, place, who)?)),
        (_, Place::Action(Action::Eject(_)))
            if bmc.redfish.settings.media.eject_needs_body && request.body.is_empty() =>
        {
            Err(Reply::refuse(400, Message::new(Key::MalformedJSON, &[])))
        }
        (_, Place::Action(action)) => act(bmc, now, action, request.parameters()?),
        (_, Place::Sessions) => {
            let patch = Patch::new(request.object()?);
            account::log_in(bmc, now, random, request.from, patch).map(Answer::Done)
        }
        (_, Place::Accounts) => account::create(bmc, now, Patch::new(request.object()?)).map(Answer::Done),
        (_, Place::Subscriptions) => event::subscribe(bmc, Patch::new(request.object()?)).map(Answer::Done),
        (_, Place::Volumes) => {
            request.object()?;
            // Each disk is one that the lab gave the machine: none is free to be part of a volume.
            Err(Reply::refuse(400, Message::new(Key::CreateLimitReachedForResource, &[])))
        }
        _ => Err(Reply::refuse(405, Message::new(Key::OperationNotAllowed, &[]))),
    }
}

fn patch(
    bmc: &mut Bmc,
    now: Now,
    place: Place,
    who: Option<Who>,
    request: &Request,
) -> Result<Answer, Box<Reply>> {
    let patch = Patch::new(request.object()?);
    let current = read::represent(bmc, now, place).unwrap_or_default();
    let mut resource = None;
    let left = match (place, who) {
        (Place::System, _) => {
            resource = Some("ComputerSystem");
            system::patch(bmc, now, patch, &current)?
        }
        (Place::SystemSettings, _) => system::patch_future(bmc, now, patch, &current)?,
        (Place::Chassis, _) => system::patch_chassis(bmc, patch, &current)?,
        (Place::BiosSettings, _) => bios::patch(bmc, patch, &current)?,
        (Place::SecureBoot, _) => bios::patch_secure_boot(bmc, patch, &current)?,
        (Place::NetworkProtocol, _) => manager::patch_protocol(bmc, patch, &current)?,
        (Place::AccountService, _) => account::patch_service(bmc, patch, &current)?,
        (Place::SessionService, _) => account::patch_sessions(bmc, patch, &current)?,
        (Place::Account(id), Some(who)) => account::patch(bmc, who, id, patch, &current)?,
        (Place::Subscription(id), _) => event::patch(bmc, id, patch, &current)?,
        (Place::Medium(slot), _) => {
            let (left, answer) = media::patch(bmc, now, slot, patch, &current)?;
            if let Some(answer) = answer {
                return Ok(answer);
            }
            left
        }
        _ => return Err(Reply::refuse(405, Message::new(Key::OperationNotAllowed, &[]))),
    };
    if let Some(uri) = current.get("@odata.id").and_then(Value::as_str) {
        bmc.redfish.written(uri);
        if let Some(resource) = resource {
            event::changed(bmc, now, uri, resource);
        }
    }
    let mut body = read::represent(bmc, now, place).unwrap_or_default();
    annotate(&mut body, &left);
    Ok(Answer::Done(Reply::json(200, &body)))
}

/// Names the properties that were left out, at each of them and at the whole.
fn annotate(body: &mut Value, left: &[Message]) {
    if left.is_empty() {
        return;
    }
    body["@Message.ExtendedInfo"] = left.iter().map(Message::json).collect();
    for message in left {
        let name = message.related().and_then(|related| related.strip_prefix("#/"));
        if let Some(name) = name.filter(|name| !name.contains('/')) {
            body[format!("{name}@Message.ExtendedInfo")] = json!([message.json()]);
        }
    }
}

fn delete(bmc: &mut Bmc, now: Now, place: Place, who: Option<Who>) -> Result<Reply, Box<Reply>> {
    match (place, who) {
        (Place::Session(id), _) => bmc.redfish.sessions.close(id),
        (Place::Account(id), Some(who)) => return Ok(account::delete(bmc, who, id)),
        (Place::Subscription(id), _) => drop(bmc.redfish.subscriptions.remove(id)),
        (Place::Task(id), _) => bmc.redfish.tasks.remove(id),
        (Place::LogEntry(_, id), _) => drop(bmc.log.remove(now.unix, id)),
        _ => return Err(Reply::refuse(405, Message::new(Key::OperationNotAllowed, &[]))),
    }
    Ok(Reply::empty(204))
}

fn act(bmc: &mut Bmc, now: Now, action: Action, body: Map<String, Value>) -> Result<Answer, Box<Reply>> {
    let done = |reply: Reply| Ok(Answer::Done(reply));
    match action {
        Action::Insert(slot) => Ok(media::insert(bmc, now, slot, body)),
        Action::Eject(slot) => {
            Patch::of_action("VirtualMedia.EjectMedia", body).finish_action()?;
            done(media::eject(bmc, now, slot))
        }
        Action::ResetSystem => {
            let kind = parameter(body, "ComputerSystem.Reset", "ResetType")?;
            done(system::reset(bmc, now, &kind))
        }
        Action::ResetManager => {
            let kind = parameter(body, "Manager.Reset", "ResetType")?;
            done(manager::reset(bmc, &kind))
        }
        Action::ResetBios => {
            Patch::of_action("Bios.ResetBios", body).finish_action()?;
            bmc.firmware.reset();
            done(Reply::empty(204))
        }
        Action::ResetKeys => {
            let kind = parameter(body, "SecureBoot.ResetKeys", "ResetKeysType")?;
            done(bios::reset_keys(bmc, &kind))
        }
        Action::ResetDatabase(index) => {
            let kind = parameter(body, "SecureBootDatabase.ResetKeys", "ResetKeysType")?;
            done(bios::reset_database(bmc, index, &kind))
        }
        Action::ClearLog => {
            let mut patch = Patch::of_action("LogService.ClearLog", body);
            patch.take("/LogEntriesETag");
            patch.finish_action()?;
            bmc.log.clear(now.unix);
            done(Reply::empty(204))
        }
        Action::Update => done(registry::update(body)?),
        Action::TestEvent => done(event::test(bmc, now, body)?),
    }
}

/// Takes the one parameter of an action.
fn parameter(body: Map<String, Value>, action: &'static str, name: &str) -> Result<String, Box<Reply>> {
    let mut patch = Patch::of_action(action, body);
    let text = patch.needed(name);
    patch.finish_action()?;
    Ok(text.unwrap_or_default())
}
