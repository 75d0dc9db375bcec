//! Who asks, and whether that is allowed.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::request::Request;
use super::role::{Need, Role};
use crate::bmc::{Bmc, Now};

/// A user who is logged in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Who {
    pub(super) user: u8,
    pub(super) role: Role,
    /// The session; `None` with Basic.
    pub(super) session: Option<u32>,
    /// Whether the password has to be changed first.
    pub(super) must_change: bool,
}

/// The credentials are wrong. Which of them is not said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wrong;

/// Finds out who asks; `None` if the request has no credentials.
pub(super) fn authenticate(bmc: &mut Bmc, now: Now, request: &Request) -> Result<Option<Who>, Wrong> {
    if request.headers.contains_key("x-auth-token") {
        let token = request.header("x-auth-token").ok_or(Wrong)?;
        return by_token(bmc, now, token).map(Some);
    }
    if !request.headers.contains_key("authorization") {
        return Ok(None);
    }
    let header = request.header("authorization").ok_or(Wrong)?;
    let (scheme, rest) = header.split_once(' ').ok_or(Wrong)?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(Wrong);
    }
    let decoded = STANDARD.decode(rest.trim()).map_err(|_| Wrong)?;
    let text = String::from_utf8(decoded).map_err(|_| Wrong)?;
    let (name, password) = text.split_once(':').ok_or(Wrong)?;
    by_password(bmc, now, name, password).map(Some)
}

/// Checks a user and a password.
pub(super) fn by_password(bmc: &mut Bmc, now: Now, name: &str, password: &str) -> Result<Who, Wrong> {
    let (id, user) = bmc.users.named(name.as_bytes()).ok_or(Wrong)?;
    let is_right = user.password.is(password.as_bytes());
    let is_locked = bmc.redfish.lockout.is_locked(now.up, id);
    if is_locked {
        return Err(Wrong);
    }
    if !is_right {
        bmc.redfish.lockout.failed(now.up, id);
        return Err(Wrong);
    }
    bmc.redfish.lockout.clear(id);
    who(bmc, id, None)
}

fn by_token(bmc: &mut Bmc, now: Now, token: &str) -> Result<Who, Wrong> {
    let session = bmc.redfish.sessions.used(now.up, token).ok_or(Wrong)?;
    let (id, user, name) = (session.id, session.user, session.name.clone());
    // The users of IPMI are the same: one may have been renamed there.
    if bmc.users.get(user).is_none_or(|user| user.name != name) {
        bmc.redfish.sessions.close(id);
        return Err(Wrong);
    }
    who(bmc, user, Some(id))
}

fn who(bmc: &Bmc, id: u8, session: Option<u32>) -> Result<Who, Wrong> {
    let user = bmc.users.get(id).filter(|user| user.is_enabled).ok_or(Wrong)?;
    let role = Role::of(user.level.ok_or(Wrong)?);
    Ok(Who { user: id, role, session, must_change: user.must_change })
}

/// Returns whether a user may do what needs this.
pub(super) fn may(bmc: &Bmc, who: Who, need: Need) -> bool {
    let has = |privilege: &str| who.role.privileges().contains(&privilege);
    match need {
        Need::Nothing | Need::Login => true,
        Need::Components => has("ConfigureComponents"),
        Need::Manager => has("ConfigureManager"),
        Need::Users => has("ConfigureUsers"),
        Need::UsersOrOwn(id) => has("ConfigureUsers") || id == who.user,
        Need::ManagerOrOwnSession(id) => {
            let is_own = bmc.redfish.sessions.get(id).is_some_and(|session| session.user == who.user);
            is_own || has("ConfigureManager")
        }
    }
}
