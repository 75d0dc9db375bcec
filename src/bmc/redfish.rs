//! The Redfish service of a BMC: requests in, replies out, on the state that IPMI has, too.
//!
//! ```text
//! Request ─▶ answer ─▶ place ─▶ auth ─▶ read ─▶ query ─▶ Reply
//!                                  └──▶ write ──▶ state of the BMC, orders to the machine
//!                                         └─▶ Pending ─▶ (the shell asks a server) ─▶ finish ─▶ Reply
//! ```
//!
//! It opens no sockets and has no clock: the shell reads requests, sends replies, fetches images and pushes what
//! [`event::deliver`] returns. Nothing that a client sends makes it panic or answer 500.

pub mod event;
pub mod reply;
pub mod request;
pub mod settings;
pub mod state;
pub mod url;

mod account;
mod auth;
mod bios;
mod boot;
mod hardware;
mod journal;
mod manager;
mod media;
mod message;
mod odata;
mod patch;
mod place;
mod precondition;
mod query;
mod read;
mod registry;
mod role;
mod root;
mod sensor;
mod system;
mod task;
#[cfg(test)]
pub(super) mod tests;
mod write;

use http::header::{self, HeaderName};
use http::{Method, StatusCode};
use serde_json::Value;

pub use event::{Delivery, deliver};
pub(super) use media::changed as medium_changed;
pub use reply::{Answer, Outcome, Pending, Reply};
pub use request::{Request, Transport};
pub use settings::Settings;
pub use state::State;

use self::auth::Who;
use self::message::{Key, Message};
use self::place::Place;
use self::role::Need;
use self::settings::{Plain, WriteAnswer};
use super::{Bmc, Now};

/// The version of OData.
const ODATA_VERSION: HeaderName = HeaderName::from_static("odata-version");

/// Answers a request.
pub fn answer(bmc: &mut Bmc, now: Now, random: &mut dyn FnMut(&mut [u8]), request: &Request) -> Answer {
    let now = bmc.faults.clock(now);
    let place = Place::find(bmc, &request.path());
    let answered =
        admit(bmc, now, request, place).and_then(|who| respond(bmc, now, random, request, place, who));
    let mut answer = answered.unwrap_or_else(|refused| Answer::Done(*refused));
    match &mut answer {
        Answer::Done(reply) | Answer::Background(reply, _) | Answer::Stream(reply, _) => {
            complete(reply);
            if request.method == Method::HEAD {
                reply.body.clear();
            }
        }
        Answer::Pending(_) => {}
    }
    answer
}

/// Answers a request whose [`Pending`] was found out; for a [`Answer::Background`], ends its task.
pub fn finish(bmc: &mut Bmc, now: Now, pending: Pending, outcome: Outcome) -> Reply {
    let now = bmc.faults.clock(now);
    let task = pending.task;
    let reply = media::finish(bmc, now, pending, outcome);
    let mut reply = in_messages(&bmc.redfish.settings.writes, None, reply);
    if let Some(task) = task {
        let body = String::from_utf8_lossy(&reply.body).into_owned();
        bmc.redfish.tasks.end(now.unix, task, reply.status.as_u16(), body);
    }
    complete(&mut reply);
    reply
}

/// Learns that the stream of a subscription was closed.
pub fn closed(bmc: &mut Bmc, subscription: u32) {
    bmc.redfish.subscriptions.remove(subscription);
}

/// Adds the headers that every reply has.
fn complete(reply: &mut Reply) {
    reply.set(ODATA_VERSION, "4.0");
    reply.set(header::CACHE_CONTROL, "no-cache");
    if reply.status == StatusCode::UNAUTHORIZED {
        reply.set(header::WWW_AUTHENTICATE, "Basic realm=\"Redfish\"");
    }
}

/// Says who asks, or why the request is refused before anybody looks at it.
fn admit(
    bmc: &mut Bmc,
    now: Now,
    request: &Request,
    place: Option<Place>,
) -> Result<Option<Who>, Box<Reply>> {
    let settings = &bmc.redfish.settings;
    if request.transport == Transport::Plain && !bmc.serves_plain() {
        return Err(Box::new(redirect(bmc, request)));
    }
    if let Some(seconds) = settings.busy {
        let seconds = seconds.to_string();
        let reply = Reply::refuse(503, Message::new(Key::ServiceTemporarilyUnavailable, &[&seconds]));
        return Err(Box::new(reply.with(header::RETRY_AFTER, &seconds)));
    }
    bmc.redfish.requests = bmc.redfish.requests.wrapping_add(1);
    let drops = bmc.redfish.settings.drops_session_every;
    if drops.is_some_and(|every| every > 0 && bmc.redfish.requests.is_multiple_of(every)) {
        bmc.redfish.sessions.clear();
    }
    let need = place.map_or(Need::Login, |place| place.need(&request.method));
    if need == Need::Nothing {
        // Wrong credentials are no refusal: an expired token must not keep a client from logging in. Right ones say
        // what a query may show.
        let is_read = place.is_some_and(Place::is_public);
        let who = if is_read { auth::authenticate(bmc, now, request).ok().flatten() } else { None };
        return Ok(who.filter(|who| !who.must_change));
    }
    let refused = || Reply::refuse(401, Message::new(Key::NoValidSession, &[]));
    let who = auth::authenticate(bmc, now, request).map_err(|_| refused())?.ok_or_else(refused)?;
    if who.must_change {
        let is_own = match place {
            Some(Place::Account(id)) => id == who.user && request.method != Method::DELETE,
            Some(Place::Session(id)) => Some(id) == who.session && request.method == Method::DELETE,
            _ => false,
        };
        if !is_own {
            return Err(Reply::refuse(403, account::must_change(who)));
        }
    }
    if place.is_some() && !auth::may(bmc, who, need) {
        return Err(Reply::refuse(403, Message::new(Key::InsufficientPrivilege, &[])));
    }
    Ok(Some(who))
}

/// Sends a client to HTTPS.
fn redirect(bmc: &Bmc, request: &Request) -> Reply {
    let port = match bmc.redfish.settings.plain {
        Plain::Redirect(port) => port,
        Plain::Serve => 443,
    };
    let given: Option<http::uri::Authority> = request.header("host").and_then(|host| host.parse().ok());
    let host = given.map_or_else(|| bmc.identity.lan.address.to_string(), |host| host.host().to_owned());
    let port = if port == 443 { String::new() } else { format!(":{port}") };
    // A target that is not a path would change the host.
    let target = if request.target.starts_with('/') { request.target.as_str() } else { "/" };
    Reply::empty(308).with(header::LOCATION, &format!("https://{host}{port}{target}"))
}

fn respond(
    bmc: &mut Bmc,
    now: Now,
    random: &mut dyn FnMut(&mut [u8]),
    request: &Request,
    place: Option<Place>,
    who: Option<Who>,
) -> Result<Answer, Box<Reply>> {
    if request.header("odata-version").is_some_and(|version| version.trim() != "4.0") {
        return Err(Reply::refuse(412, Message::new(Key::PreconditionFailed, &[])));
    }
    let path = request.path();
    let place = place.ok_or_else(|| Reply::refuse(404, Message::new(Key::ResourceMissingAtURI, &[&path])))?;
    let reads = matches!(request.method, Method::GET | Method::HEAD);
    let writes = place.writes();
    if !writes.contains(&request.method) && (!reads || matches!(place, Place::Action(_))) {
        let refused = Reply::refuse(405, Message::new(Key::OperationNotAllowed, &[]));
        return Err(Box::new(refused.with(header::ALLOW, &allow(place))));
    }
    let query = request.query();
    if !reads {
        if query.iter().any(|(name, _)| name.starts_with('$')) {
            return Err(Reply::refuse(400, Message::new(Key::QueryNotSupportedOnOperation, &[])));
        }
        if request.method == Method::PATCH {
            let current = read::represent(bmc, now, place).unwrap_or_default();
            precondition::write(bmc.redfish.settings.if_match, request, &etag(&current))?;
        }
        let written = write::write(bmc, now, random, place, who, request)?;
        let is_change = request.method == Method::PATCH || matches!(place, Place::Action(_));
        return Ok(match written {
            Answer::Done(reply) if is_change => {
                Answer::Done(in_messages(&bmc.redfish.settings.writes, Some(place), with_etag(reply)))
            }
            Answer::Done(reply) => Answer::Done(with_etag(reply)),
            written => written,
        });
    }
    let query = query::Query::parse(&query)?;
    match place {
        Place::Metadata => {
            let mut reply = Reply::empty(200);
            reply.body = root::metadata().into_bytes();
            reply.set(header::CONTENT_TYPE, "application/xml;charset=utf-8");
            reply.set(header::ALLOW, &allow(place));
            Ok(Answer::Done(reply))
        }
        Place::EventStream if request.method == Method::GET => Ok(event::stream(bmc, random)),
        Place::EventStream => {
            let reply = Reply::empty(200).with(header::ALLOW, &allow(place));
            Ok(Answer::Done(reply.with(header::CONTENT_TYPE, "text/event-stream;charset=utf-8")))
        }
        Place::TaskMonitor(id) => {
            Ok(Answer::Done(task::monitored(bmc, id).unwrap_or_else(|| Reply::empty(404))))
        }
        place => get(bmc, now, request, place, who, &query).map(Answer::Done),
    }
}

fn get(
    bmc: &Bmc,
    now: Now,
    request: &Request,
    place: Place,
    who: Option<Who>,
    query: &query::Query,
) -> Result<Reply, Box<Reply>> {
    // What a query adds to a resource is only what the user may read by itself.
    let may = |place: Place| {
        let need = place.need(&Method::GET);
        need == Need::Nothing || who.is_some_and(|who| auth::may(bmc, who, need))
    };
    let missing = || Reply::refuse(404, Message::new(Key::ResourceMissingAtURI, &[&request.path()]));
    let mut place = place;
    let mut resource = read::represent(bmc, now, place).ok_or_else(missing)?;
    if let Some(member) = query.only_member(&resource) {
        place = Place::find(bmc, member).ok_or_else(missing)?;
        if !may(place) {
            return Err(Reply::refuse(403, Message::new(Key::InsufficientPrivilege, &[])));
        }
        resource = read::represent(bmc, now, place).ok_or_else(missing)?;
    } else {
        resource = query.apply(resource, &|path| {
            let place = Place::find(bmc, path.trim_end_matches('/')).filter(|place| may(*place))?;
            read::represent(bmc, now, place)
        })?;
    }
    let etag = etag(&resource);
    let kind = resource.get("@odata.type").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut reply = match precondition::is_known(request, &etag) {
        true => Reply::empty(304),
        false => Reply::json(200, &resource),
    };
    if !etag.is_empty() {
        reply.set(header::ETAG, &etag);
    }
    reply.set(header::ALLOW, &allow(place));
    if let Some(schema) = schema(&kind) {
        reply.set(header::LINK, &format!("<{schema}>; rel=describedby"));
    }
    Ok(reply)
}

/// The ETag of a resource; empty if it has none.
fn etag(resource: &Value) -> String {
    resource.get("@odata.etag").and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// Gives the reply to a write the ETag that its body has.
fn with_etag(reply: Reply) -> Reply {
    let body: Option<Value> = serde_json::from_slice(&reply.body).ok();
    match body.map(|body| etag(&body)).filter(|etag| !etag.is_empty()) {
        Some(etag) => reply.with(header::ETAG, &etag),
        None => reply,
    }
}

/// Gives a reply of success the form that the maker has for it.
fn in_messages(form: &WriteAnswer, place: Option<Place>, reply: Reply) -> Reply {
    let WriteAnswer::Messages { code, reset_required } = form else { return reply };
    if !matches!(reply.status, StatusCode::OK | StatusCode::NO_CONTENT) {
        return reply;
    }
    let message = match place {
        Some(Place::BiosSettings | Place::SecureBoot) => {
            Message::foreign(reset_required, "The change comes into force with the next reset.")
        }
        _ => Message::new(Key::Success, &[]),
    };
    let text = "See @Message.ExtendedInfo for more information.";
    let mut body = reply::error(code, text, &[message]);
    // What the reply says of properties that were left out.
    let said: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    if let (Some(Value::Array(left)), Some(all)) =
        (said.get("@Message.ExtendedInfo"), body["error"]["@Message.ExtendedInfo"].as_array_mut())
    {
        all.extend(left.iter().cloned());
    }
    let mut answer = Reply::json(200, &body);
    answer.headers.extend(reply.headers.into_iter().filter(|(name, _)| name.as_ref() == Some(&header::ETAG)));
    answer
}

/// The URL of the schema of an `@odata.type`.
fn schema(kind: &str) -> Option<String> {
    let (full, _) = kind.strip_prefix('#')?.rsplit_once('.')?;
    Some(format!("http://redfish.dmtf.org/schemas/v1/{full}.json"))
}

/// The value of the header `Allow`.
fn allow(place: Place) -> String {
    let reads: &[Method] = if matches!(place, Place::Action(_)) { &[] } else { &[Method::GET, Method::HEAD] };
    let writes = place.writes();
    let methods: Vec<&str> = reads.iter().chain(writes).map(Method::as_str).collect();
    methods.join(", ")
}
