//! The sessions of a BMC's web service.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

/// How many sessions there can be at once.
pub const MOST: usize = 64;

/// The shortest and the longest time without a request that a session may be set to survive (Redfish,
/// `SessionService.SessionTimeout`), in seconds.
pub const TIMEOUTS: (u32, u32) = (30, 86400);

/// The digest of a token. The token itself is kept by the client alone.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Token([u8; 32]);

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

impl Token {
    fn of(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }
}

/// A session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Its number.
    pub id: u32,
    /// The number of the user.
    pub user: u8,
    /// The name of the user then.
    pub name: String,
    /// When it began, in seconds since 1970.
    pub began: u32,
    /// The address of the client.
    pub from: Option<IpAddr>,
    token: Token,
    used: Duration,
}

/// The sessions of a BMC.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sessions {
    /// How long a session survives without a request, in seconds.
    pub timeout: u32,
    open: Vec<Session>,
    last: u32,
}

impl Default for Sessions {
    fn default() -> Self {
        Self { timeout: 1800, open: Vec::new(), last: 0 }
    }
}

/// There are as many sessions as there can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there are as many sessions as there can be")]
pub struct TooMany;

impl Sessions {
    /// Opens a session; `most` is the limit. Returns its number.
    pub fn open(
        &mut self,
        now: super::Now,
        most: usize,
        user: (u8, &str),
        from: Option<IpAddr>,
        token: &str,
    ) -> Result<u32, TooMany> {
        self.expire(now.up);
        if self.open.len() >= most {
            return Err(TooMany);
        }
        self.last = self.last.wrapping_add(1);
        self.open.push(Session {
            id: self.last,
            user: user.0,
            name: user.1.to_owned(),
            began: now.unix,
            from,
            token: Token::of(token),
            used: now.up,
        });
        Ok(self.last)
    }

    /// Returns the session of a token, which is thereby used.
    pub fn used(&mut self, now: Duration, token: &str) -> Option<&Session> {
        self.expire(now);
        let token = Token::of(token);
        // Comparing digests takes the same time for each of them.
        let found = self.open.iter_mut().find(|session| bool::from(session.token.0.ct_eq(&token.0)))?;
        found.used = now;
        Some(found)
    }

    /// Returns a session by number.
    pub fn get(&self, id: u32) -> Option<&Session> {
        self.open.iter().find(|session| session.id == id)
    }

    /// Returns the sessions, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &Session> {
        self.open.iter()
    }

    /// Ends a session.
    pub fn close(&mut self, id: u32) {
        self.open.retain(|session| session.id != id);
    }

    /// Ends the sessions of a user.
    pub fn close_of(&mut self, user: u8) {
        self.open.retain(|session| session.user != user);
    }

    /// Ends all sessions.
    pub fn clear(&mut self) {
        self.open.clear();
    }

    /// Ends those that were not used for too long.
    pub fn expire(&mut self, now: Duration) {
        let timeout = Duration::from_secs(self.timeout.into());
        self.open.retain(|session| now.saturating_sub(session.used) < timeout);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bmc::Now;

    #[test]
    fn a_session_ends_when_it_is_not_used() {
        let mut sessions = Sessions::default();
        let id = sessions.open(Now::default(), 1, (2, "admin"), None, "secret").unwrap();
        assert_eq!(sessions.open(Now::default(), 1, (2, "admin"), None, "other"), Err(TooMany));
        assert_eq!(sessions.used(Duration::from_secs(1799), "secret").map(|session| session.id), Some(id));
        assert!(sessions.used(Duration::from_secs(1800), "Secret").is_none());
        assert!(sessions.used(Duration::from_secs(3598), "secret").is_some());
        assert!(sessions.used(Duration::from_secs(5398), "secret").is_none());
    }
}
