//! The users of a BMC: the same for IPMI and Redfish.

use std::fmt;

use subtle::ConstantTimeEq;

use super::ipmi::privilege::Privilege;

/// How many users there can be, the null user (1) included.
pub const MOST: u8 = 10;

/// A password of at most 20 bytes. It cannot be printed.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Password(Vec<u8>);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

impl Password {
    /// The longest password that IPMI 2.0 has (section 22.30).
    pub const LONGEST: usize = 20;

    /// Takes a password; what comes after a NUL is padding.
    pub fn new(bytes: &[u8]) -> Self {
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len()).min(Self::LONGEST);
        Self(bytes[..end].to_vec())
    }

    /// Returns whether this is the password, in a time that does not depend on where it differs.
    pub fn is(&self, given: &[u8]) -> bool {
        bool::from(self.0.as_slice().ct_eq(given))
    }

    /// Returns its bytes without padding.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

/// A user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// The name, at most 16 bytes.
    pub name: String,
    /// The password.
    pub password: Password,
    /// The highest level, `None` for no access.
    pub level: Option<Privilege>,
    /// Whether the user may log in.
    pub is_enabled: bool,
    /// Whether the user may use IPMI messages.
    pub has_messaging: bool,
    /// Whether the user may use Serial over LAN.
    pub has_sol: bool,
    /// Whether the password has to be changed first; IPMI does not know that.
    pub must_change: bool,
    /// Bits of Set User Access that are only kept: callback, link authentication.
    pub settings: u8,
}

/// The users of a BMC, by their numbers from 1 to [`MOST`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Users {
    slots: Vec<User>,
}

const NOBODY: User = User {
    name: String::new(),
    password: Password(Vec::new()),
    level: None,
    is_enabled: false,
    has_messaging: false,
    has_sol: false,
    must_change: false,
    settings: 0,
};

impl Users {
    /// Creates the table with one administrator as user 2.
    pub fn new(name: &str, password: &[u8]) -> Self {
        let mut slots = vec![NOBODY; usize::from(MOST)];
        slots[1] = User {
            name: name.to_owned(),
            password: Password::new(password),
            level: Some(Privilege::Administrator),
            is_enabled: true,
            has_messaging: true,
            has_sol: true,
            must_change: false,
            settings: 0,
        };
        Self { slots }
    }

    /// Returns a user by number.
    pub fn get(&self, id: u8) -> Option<&User> {
        self.slots.get(usize::from(id).checked_sub(1)?)
    }

    /// Returns a user by number, to be changed.
    pub fn get_mut(&mut self, id: u8) -> Option<&mut User> {
        self.slots.get_mut(usize::from(id).checked_sub(1)?)
    }

    /// Returns the user of a name, with the number; nobody has the empty name.
    pub fn named(&self, name: &[u8]) -> Option<(u8, &User)> {
        (1..).zip(&self.slots).find(|(_, user)| !name.is_empty() && user.name.as_bytes() == name)
    }

    /// Returns the users who have names, with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (u8, &User)> {
        (1..).zip(&self.slots).filter(|(_, user)| !user.name.is_empty())
    }

    /// Returns the first number without a user; user 1 is the null user.
    pub fn free(&self) -> Option<u8> {
        (1..).zip(&self.slots).skip(1).find(|(_, user)| user.name.is_empty()).map(|(id, _)| id)
    }

    /// Removes a user.
    pub fn remove(&mut self, id: u8) {
        if let Some(user) = self.get_mut(id) {
            *user = NOBODY;
        }
    }

    /// Returns whether the null user may log in.
    pub fn has_null(&self) -> bool {
        self.get(1).is_some_and(|user| user.is_enabled)
    }

    /// Returns the number of those who may log in.
    pub fn enabled(&self) -> u8 {
        u8::try_from(self.slots.iter().filter(|user| user.is_enabled).count()).unwrap_or(MOST)
    }
}
