//! Whom a client logs in as, and how patient it is.

use std::time::Duration;

use super::super::privilege::Privilege;
use super::super::suite::Cipher;

/// All settings of a client.
#[derive(Clone, PartialEq, Eq)]
pub struct Settings {
    /// The user name, at most 16 bytes.
    pub user: Vec<u8>,
    /// The password, at most 20 bytes.
    pub password: Vec<u8>,
    /// The privilege that the session shall have.
    pub privilege: Privilege,
    /// The suites to try, best first.
    pub suites: Vec<Cipher>,
    /// The key of the BMC for two-key logins, if one is set.
    pub k_g: Option<[u8; 20]>,
    /// How often a packet is sent before the BMC counts as silent.
    pub tries: u8,
    /// How long to wait for the first answer; every try waits a quarter of it longer.
    pub first_wait: Duration,
    /// How long a session may be idle before it is kept alive.
    pub keepalive: Duration,
}

impl Settings {
    /// Returns the settings of a patient client: suite 17, then 3; four tries in 5.5 s.
    pub fn new(user: impl Into<Vec<u8>>, password: impl Into<Vec<u8>>, privilege: Privilege) -> Self {
        Self {
            user: user.into(),
            password: password.into(),
            privilege,
            suites: vec![Cipher::Sha256, Cipher::Sha1],
            k_g: None,
            tries: 4,
            first_wait: Duration::from_secs(1),
            keepalive: Duration::from_secs(20),
        }
    }
}

/// Hides the password and the key.
impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Settings")
            .field("user", &String::from_utf8_lossy(&self.user))
            .field("privilege", &self.privilege)
            .field("suites", &self.suites)
            .finish_non_exhaustive()
    }
}
