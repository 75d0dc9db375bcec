//! Why a login was refused.

/// A status code of Open Session and RAKP (section 13.24, table 13-15).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// 00h: no error.
    Ok,
    /// 01h: no resources for another session.
    NoResources,
    /// 02h: the session id is invalid.
    InvalidSession,
    /// 03h: the payload type is invalid.
    InvalidPayload,
    /// 04h: the authentication algorithm is invalid.
    InvalidAuthentication,
    /// 05h: the integrity algorithm is invalid.
    InvalidIntegrity,
    /// 06h: no matching authentication payload.
    NoAuthenticationPayload,
    /// 07h: no matching integrity payload.
    NoIntegrityPayload,
    /// 08h: the session id is inactive.
    InactiveSession,
    /// 09h: the role is invalid.
    InvalidRole,
    /// 0Ah: the user may not have the role.
    UnauthorisedRole,
    /// 0Bh: no resources for a session with this role.
    NoResourcesForRole,
    /// 0Ch: the length of the name is invalid.
    InvalidNameLength,
    /// 0Dh: the user is unknown or may not log in.
    UnauthorisedName,
    /// 0Eh: the GUID is unknown.
    UnauthorisedGuid,
    /// 0Fh: the check value is wrong.
    InvalidCheckValue,
    /// 10h: the confidentiality algorithm is invalid.
    InvalidConfidentiality,
    /// 11h: no cipher suite has these algorithms.
    NoSuite,
    /// 12h: a parameter is illegal.
    IllegalParameter,
    /// Any other.
    Other(u8),
}

impl Status {
    /// Returns the status of a number.
    pub fn parse(number: u8) -> Self {
        match number {
            0x00 => Self::Ok,
            0x01 => Self::NoResources,
            0x02 => Self::InvalidSession,
            0x03 => Self::InvalidPayload,
            0x04 => Self::InvalidAuthentication,
            0x05 => Self::InvalidIntegrity,
            0x06 => Self::NoAuthenticationPayload,
            0x07 => Self::NoIntegrityPayload,
            0x08 => Self::InactiveSession,
            0x09 => Self::InvalidRole,
            0x0a => Self::UnauthorisedRole,
            0x0b => Self::NoResourcesForRole,
            0x0c => Self::InvalidNameLength,
            0x0d => Self::UnauthorisedName,
            0x0e => Self::UnauthorisedGuid,
            0x0f => Self::InvalidCheckValue,
            0x10 => Self::InvalidConfidentiality,
            0x11 => Self::NoSuite,
            0x12 => Self::IllegalParameter,
            other => Self::Other(other),
        }
    }

    /// Returns the number.
    pub fn number(self) -> u8 {
        match self {
            Self::Ok => 0x00,
            Self::NoResources => 0x01,
            Self::InvalidSession => 0x02,
            Self::InvalidPayload => 0x03,
            Self::InvalidAuthentication => 0x04,
            Self::InvalidIntegrity => 0x05,
            Self::NoAuthenticationPayload => 0x06,
            Self::NoIntegrityPayload => 0x07,
            Self::InactiveSession => 0x08,
            Self::InvalidRole => 0x09,
            Self::UnauthorisedRole => 0x0a,
            Self::NoResourcesForRole => 0x0b,
            Self::InvalidNameLength => 0x0c,
            Self::UnauthorisedName => 0x0d,
            Self::UnauthorisedGuid => 0x0e,
            Self::InvalidCheckValue => 0x0f,
            Self::InvalidConfidentiality => 0x10,
            Self::NoSuite => 0x11,
            Self::IllegalParameter => 0x12,
            Self::Other(number) => number,
        }
    }

    /// Tells whether another cipher suite may help.
    pub fn is_about_suites(self) -> bool {
        matches!(
            self,
            Self::InvalidAuthentication
                | Self::InvalidIntegrity
                | Self::NoAuthenticationPayload
                | Self::NoIntegrityPayload
                | Self::InvalidConfidentiality
                | Self::NoSuite
        )
    }
}

impl std::fmt::Display for Status {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Ok => "no error",
            Self::NoResources => "no resources for another session",
            Self::InvalidSession => "invalid session id",
            Self::InvalidPayload => "invalid payload type",
            Self::InvalidAuthentication => "invalid authentication algorithm",
            Self::InvalidIntegrity => "invalid integrity algorithm",
            Self::NoAuthenticationPayload => "no matching authentication payload",
            Self::NoIntegrityPayload => "no matching integrity payload",
            Self::InactiveSession => "inactive session id",
            Self::InvalidRole => "invalid role",
            Self::UnauthorisedRole => "unauthorised role",
            Self::NoResourcesForRole => "no resources for a session with this role",
            Self::InvalidNameLength => "invalid length of the user name",
            Self::UnauthorisedName => "unauthorised user name",
            Self::UnauthorisedGuid => "unauthorised GUID",
            Self::InvalidCheckValue => "invalid check value",
            Self::InvalidConfidentiality => "invalid confidentiality algorithm",
            Self::NoSuite => "no matching cipher suite",
            Self::IllegalParameter => "illegal parameter",
            Self::Other(number) => return write!(f, "status {number:02X}h"),
        })
    }
}
