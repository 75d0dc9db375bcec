//! Accounts, roles and sessions: the users of IPMI in another form.

use std::net::IpAddr;

use http::header::{self, HeaderName};
use serde_json::{Value, json};

use super::auth::{self, Who};
use super::message::{Key, Message};
use super::odata::{healthy, link, resource, time};
use super::patch::Patch;
use super::reply::Reply;
use super::role::Role;
use crate::bmc::session::TIMEOUTS;
use crate::bmc::users::{MOST, Password, User};
use crate::bmc::{Bmc, Now};

/// The longest name of a user, which is that of IPMI.
const LONGEST_NAME: usize = 16;
/// The shortest password.
const SHORTEST: usize = 1;

const ACCOUNTS: &str = "/redfish/v1/AccountService/Accounts";
const SESSIONS: &str = "/redfish/v1/SessionService/Sessions";

/// Returns the account service.
pub(super) fn service(bmc: &Bmc) -> Value {
    let lockout = &bmc.redfish.lockout;
    resource(
        "AccountService",
        "/redfish/v1/AccountService",
        "AccountService",
        "Account Service",
        json!({
            "ServiceEnabled": true,
            "MinPasswordLength": SHORTEST,
            "MaxPasswordLength": Password::LONGEST,
            "AccountLockoutThreshold": lockout.threshold,
            "AccountLockoutDuration": lockout.duration,
            "AccountLockoutCounterResetAfter": lockout.reset_after,
            "AccountLockoutCounterResetEnabled": true,
            "Status": healthy(),
            "Accounts": link(ACCOUNTS),
            "Roles": link("/redfish/v1/AccountService/Roles"),
        }),
    )
}

/// Changes the rule for wrong passwords.
pub(super) fn patch_service(
    bmc: &mut Bmc,
    mut patch: Patch,
    current: &Value,
) -> Result<Vec<Message>, Box<Reply>> {
    let mut number = |name: &str, least: i64| {
        patch.number(name, least, 86400).and_then(|number| u32::try_from(number).ok())
    };
    let threshold = number("/AccountLockoutThreshold", 0);
    let duration = number("/AccountLockoutDuration", 0);
    let reset_after = number("/AccountLockoutCounterResetAfter", 0);
    let lockout = &mut bmc.redfish.lockout;
    let duration = duration.unwrap_or(lockout.duration);
    let reset_after = reset_after.unwrap_or(lockout.reset_after);
    if duration != 0 && reset_after > duration {
        let names = ["AccountLockoutCounterResetAfter", "AccountLockoutDuration"];
        patch.wrong(
            Message::new(Key::PropertyValueConflict, &names).about("/AccountLockoutCounterResetAfter"),
        );
    }
    let left = patch.finish(current)?;
    lockout.threshold = threshold.unwrap_or(lockout.threshold);
    (lockout.duration, lockout.reset_after) = (duration, reset_after);
    Ok(left)
}

/// Returns a role.
pub(super) fn role(role: Role) -> Value {
    let id = role.id();
    resource(
        "Role",
        &format!("/redfish/v1/AccountService/Roles/{id}"),
        id,
        id,
        json!({ "RoleId": id, "IsPredefined": true, "AssignedPrivileges": role.privileges() }),
    )
}

/// The role of a user; who has no access has the least.
fn role_of(user: &User) -> Role {
    user.level.map_or(Role::ReadOnly, Role::of)
}

/// Returns an account.
pub(super) fn account(bmc: &Bmc, now: Now, id: u8) -> Option<Value> {
    let user = bmc.users.get(id)?;
    let role = role_of(user);
    Some(resource(
        "ManagerAccount",
        &format!("{ACCOUNTS}/{id}"),
        &id.to_string(),
        &format!("User {id}"),
        json!({
            "UserName": user.name,
            "Password": null,
            "RoleId": role.id(),
            "Enabled": user.is_enabled && user.level.is_some(),
            "Locked": bmc.redfish.lockout.is_locked(now.up, id),
            "PasswordChangeRequired": user.must_change,
            "AccountTypes": ["Redfish", "IPMI"],
            "Links": { "Role": link(&format!("/redfish/v1/AccountService/Roles/{}", role.id())) },
        }),
    ))
}

/// What a request says of a user.
#[derive(Debug, Default)]
struct Asked {
    name: Option<String>,
    password: Option<Password>,
    role: Option<Role>,
    enabled: Option<bool>,
    must_change: Option<bool>,
    unlocks: bool,
}

fn take(bmc: &Bmc, id: Option<u8>, patch: &mut Patch) -> Asked {
    const NAME: &str = "/UserName";
    const PASSWORD: &str = "/Password";
    let name = patch.text(NAME);
    if let Some(name) = &name {
        let taken = bmc.users.named(name.as_bytes()).is_some_and(|(other, _)| Some(other) != id);
        if taken {
            let arguments = ["ManagerAccount", "UserName", name];
            patch.wrong(Message::new(Key::ResourceAlreadyExists, &arguments).about(NAME));
        } else if name.len() > LONGEST_NAME {
            let longest = LONGEST_NAME.to_string();
            patch.wrong(Message::new(Key::StringValueTooLong, &[name, &longest]).about(NAME));
        } else if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':') {
            patch.refuse(NAME, Key::PropertyValueFormatError, &json!(name));
        }
    }
    let password = patch.text(PASSWORD).and_then(|text| {
        let limit = |key, length: usize| Message::new(key, &["******", &length.to_string()]).about(PASSWORD);
        if text.len() > Password::LONGEST {
            patch.wrong(limit(Key::StringValueTooLong, Password::LONGEST));
        } else if text.len() < SHORTEST {
            patch.wrong(limit(Key::StringValueTooShort, SHORTEST));
        } else if text.contains('\0') {
            patch.refuse(PASSWORD, Key::PropertyValueFormatError, &Value::Null);
        } else {
            return Some(Password::new(text.as_bytes()));
        }
        None
    });
    let roles = Role::ALL.map(|role| (role.id(), role));
    let locked = patch.flag("/Locked");
    if locked == Some(true) {
        patch.refuse("/Locked", Key::PropertyValueNotInList, &json!(true));
    }
    Asked {
        name,
        password,
        role: patch.choice("/RoleId", &roles),
        enabled: patch.flag("/Enabled"),
        must_change: patch.flag("/PasswordChangeRequired"),
        unlocks: locked == Some(false),
    }
}

/// Creates an account.
pub(super) fn create(bmc: &mut Bmc, now: Now, mut patch: Patch) -> Result<Reply, Box<Reply>> {
    let asked = take(bmc, None, &mut patch);
    // What all accounts have.
    patch.take("/AccountTypes");
    let missing = |name: &str| Message::new(Key::PropertyMissing, &[name]);
    patch.refuse_if(&["UserName", "Password", "RoleId"], false, missing);
    let left = patch.finish(&json!({}))?;
    if !left.is_empty() {
        return Err(Reply::refuse_all(400, &left));
    }
    let (Some(name), Some(password), Some(role)) = (asked.name, asked.password, asked.role) else {
        return Err(Reply::refuse(400, Message::new(Key::PropertyMissing, &["UserName"])));
    };
    let id = bmc.users.free();
    let (id, user) = id
        .and_then(|id| Some((id, bmc.users.get_mut(id)?)))
        .ok_or_else(|| Reply::refuse(400, Message::new(Key::CreateLimitReachedForResource, &[])))?;
    *user = User {
        name,
        password,
        level: Some(role.level()),
        is_enabled: asked.enabled.unwrap_or(true),
        has_messaging: true,
        has_sol: role != Role::ReadOnly,
        must_change: asked.must_change == Some(true),
        settings: 0,
    };
    // Who had that number before is somebody else.
    bmc.redfish.lockout.clear(id);
    let body = account(bmc, now, id).unwrap_or_default();
    Ok(Reply::json(201, &body).with(header::LOCATION, &format!("{ACCOUNTS}/{id}")))
}

/// Changes an account; a user without the privilege only the own password.
pub(super) fn patch(
    bmc: &mut Bmc,
    who: Who,
    id: u8,
    mut patch: Patch,
    current: &Value,
) -> Result<Vec<Message>, Box<Reply>> {
    let may_all = who.role == Role::Administrator && !who.must_change;
    let others = ["UserName", "RoleId", "Enabled", "Locked", "PasswordChangeRequired"];
    if !may_all && others.iter().any(|name| patch.has(&format!("/{name}"))) {
        return Err(Reply::refuse(403, Message::new(Key::InsufficientPrivilege, &[])));
    }
    let asked = take(bmc, Some(id), &mut patch);
    let left = patch.finish(current)?;
    let ends_sessions =
        asked.name.is_some() || asked.enabled == Some(false) || asked.password.is_some() && who.user != id;
    // A session of IPMI keeps what its user could do when it began.
    if ends_sessions || asked.password.is_some() || asked.role.is_some() {
        bmc.ended.push(id);
    }
    if let Some(user) = bmc.users.get_mut(id) {
        user.name = asked.name.unwrap_or_else(|| user.name.clone());
        user.must_change = asked.must_change.unwrap_or(user.must_change && asked.password.is_none());
        user.password = asked.password.unwrap_or_else(|| user.password.clone());
        user.is_enabled = asked.enabled.unwrap_or(user.is_enabled);
        // A user without a level has no access, so that enabling one means to give the least.
        let role = asked.role.or_else(|| (asked.enabled == Some(true)).then(|| role_of(user)));
        if let Some(role) = role.filter(|role| user.level.is_none() || *role != role_of(user)) {
            user.level = Some(role.level());
            user.has_sol = role != Role::ReadOnly;
        }
    }
    if asked.unlocks {
        bmc.redfish.lockout.clear(id);
    }
    if ends_sessions {
        bmc.redfish.sessions.close_of(id);
    }
    Ok(left)
}

/// Deletes an account; not that of who asks.
pub(super) fn delete(bmc: &mut Bmc, who: Who, id: u8) -> Reply {
    if id == who.user {
        return *Reply::refuse(400, Message::new(Key::ResourceCannotBeDeleted, &[]));
    }
    bmc.users.remove(id);
    bmc.redfish.sessions.close_of(id);
    bmc.redfish.lockout.clear(id);
    bmc.ended.push(id);
    Reply::empty(204)
}

/// Returns the session service.
pub(super) fn session_service(bmc: &Bmc) -> Value {
    resource(
        "SessionService",
        "/redfish/v1/SessionService",
        "SessionService",
        "Session Service",
        json!({
            "ServiceEnabled": true,
            "SessionTimeout": bmc.redfish.sessions.timeout,
            "Status": healthy(),
            "Sessions": link(SESSIONS),
        }),
    )
}

/// Changes the session service.
pub(super) fn patch_sessions(
    bmc: &mut Bmc,
    mut patch: Patch,
    current: &Value,
) -> Result<Vec<Message>, Box<Reply>> {
    let (least, most) = TIMEOUTS;
    let timeout = patch.number("/SessionTimeout", least.into(), most.into());
    let left = patch.finish(current)?;
    if let Some(timeout) = timeout.and_then(|timeout| u32::try_from(timeout).ok()) {
        bmc.redfish.sessions.timeout = timeout;
    }
    Ok(left)
}

/// Returns a session.
pub(super) fn session(bmc: &Bmc, id: u32) -> Option<Value> {
    let session = bmc.redfish.sessions.get(id)?;
    let mut rest = json!({
        "UserName": session.name,
        "Password": null,
        "SessionType": "Redfish",
        "CreatedTime": time(session.began),
    });
    if let Some(from) = session.from {
        rest["ClientOriginIPAddress"] = json!(from.to_string());
    }
    Some(resource("Session", &format!("{SESSIONS}/{id}"), &id.to_string(), &format!("Session {id}"), rest))
}

/// Logs a user in.
pub(super) fn log_in(
    bmc: &mut Bmc,
    now: Now,
    random: &mut dyn FnMut(&mut [u8]),
    from: Option<IpAddr>,
    mut patch: Patch,
) -> Result<Reply, Box<Reply>> {
    let name = patch.text("/UserName");
    let password = patch.text("/Password");
    patch.refuse_if(&["UserName", "Password"], false, |name| Message::new(Key::PropertyMissing, &[name]));
    patch.take("/Context");
    let left = patch.finish(&json!({}))?;
    if !left.is_empty() {
        return Err(Reply::refuse_all(400, &left));
    }
    let (name, password) = (name.unwrap_or_default(), password.unwrap_or_default());
    let who = auth::by_password(bmc, now, &name, &password)
        .map_err(|_| Reply::refuse(401, Message::new(Key::NoValidSession, &[])))?;
    let mut bytes = [0; 16];
    random(&mut bytes);
    let token: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let most = bmc.redfish.settings.sessions;
    let too_many = match &bmc.redfish.settings.session_limit {
        Some(id) => Message::foreign(id, "There are as many sessions as there can be."),
        None => Message::new(Key::SessionLimitExceeded, &[]),
    };
    let id = bmc
        .redfish
        .sessions
        .open(now, most, (who.user, &name), from, &token)
        .map_err(|_| Reply::refuse(503, too_many))?;
    let mut body = session(bmc, id).unwrap_or_default();
    if who.must_change {
        body["@Message.ExtendedInfo"] = json!([must_change(who).json()]);
    }
    Ok(Reply::json(201, &body)
        .with(header::LOCATION, &format!("{SESSIONS}/{id}"))
        .with(HeaderName::from_static("x-auth-token"), &token))
}

/// Returns the message that the password has to be changed first.
pub(super) fn must_change(who: Who) -> Message {
    Message::new(Key::PasswordChangeRequired, &[&format!("{ACCOUNTS}/{}", who.user)])
}

/// The numbers of accounts that there can be.
pub(super) fn ids(bmc: &Bmc) -> Vec<String> {
    bmc.users.iter().filter(|(id, _)| *id <= MOST).map(|(id, _)| id.to_string()).collect()
}
