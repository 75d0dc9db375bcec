//! Roles and privileges, on the levels that users have for IPMI, too.

use crate::bmc::ipmi::privilege::Privilege;

/// A role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Administrator,
    Operator,
    ReadOnly,
}

/// What a request needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Nobody has to log in.
    Nothing,
    /// Any user.
    Login,
    /// The privilege ConfigureComponents.
    Components,
    /// The privilege ConfigureManager.
    Manager,
    /// The privilege ConfigureUsers.
    Users,
    /// The privilege ConfigureUsers, or the account itself.
    UsersOrOwn(u8),
    /// The privilege ConfigureManager, or the user of the session.
    ManagerOrOwnSession(u32),
}

impl Role {
    pub(super) const ALL: [Self; 3] = [Self::Administrator, Self::Operator, Self::ReadOnly];

    /// Returns its identifier.
    pub(super) fn id(self) -> &'static str {
        match self {
            Self::Administrator => "Administrator",
            Self::Operator => "Operator",
            Self::ReadOnly => "ReadOnly",
        }
    }

    /// Finds a role by its identifier.
    pub(super) fn find(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.id() == id)
    }

    /// Returns the role of a level of IPMI.
    pub(super) fn of(level: Privilege) -> Self {
        match level {
            Privilege::Administrator | Privilege::Oem => Self::Administrator,
            Privilege::Operator => Self::Operator,
            Privilege::User | Privilege::Callback => Self::ReadOnly,
        }
    }

    /// Returns the level of IPMI that it is.
    pub(super) fn level(self) -> Privilege {
        match self {
            Self::Administrator => Privilege::Administrator,
            Self::Operator => Privilege::Operator,
            Self::ReadOnly => Privilege::User,
        }
    }

    /// Returns its privileges.
    pub(super) fn privileges(self) -> &'static [&'static str] {
        match self {
            Self::Administrator => {
                &["Login", "ConfigureManager", "ConfigureUsers", "ConfigureSelf", "ConfigureComponents"]
            }
            Self::Operator => &["Login", "ConfigureSelf", "ConfigureComponents"],
            Self::ReadOnly => &["Login", "ConfigureSelf"],
        }
    }
}
