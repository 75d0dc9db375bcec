//! Privilege levels, in their order.

/// A privilege level (section 6.8).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Privilege {
    /// May only ask for a call back.
    Callback = 1,
    /// May read.
    User = 2,
    /// May also control power and boot options.
    Operator = 3,
    /// May also configure the BMC.
    Administrator = 4,
    /// Above all others, for manufacturers.
    Oem = 5,
}

impl Privilege {
    /// Parses the number of a level; `None` for 0 ("no change" or "highest"), for 15 (no access) and for unused ones.
    pub fn parse(level: u8) -> Option<Self> {
        match level {
            1 => Some(Self::Callback),
            2 => Some(Self::User),
            3 => Some(Self::Operator),
            4 => Some(Self::Administrator),
            5 => Some(Self::Oem),
            _ => None,
        }
    }

    /// Returns the number of the level.
    pub fn level(self) -> u8 {
        self as u8
    }
}

impl std::fmt::Display for Privilege {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Callback => "CALLBACK",
            Self::User => "USER",
            Self::Operator => "OPERATOR",
            Self::Administrator => "ADMINISTRATOR",
            Self::Oem => "OEM",
        })
    }
}
