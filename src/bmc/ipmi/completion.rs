//! Completion codes: how a command ended.

/// A completion code (section 5.2).
///
/// Codes from 80h to BEh mean something else for each command and stay numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Completion {
    /// 00h: done.
    Ok,
    /// C0h: busy.
    Busy,
    /// C1h: the command is unknown.
    InvalidCommand,
    /// C2h: the command is not valid for this logical unit.
    InvalidForLun,
    /// C3h: processing took too long.
    Timeout,
    /// C4h: out of space.
    OutOfSpace,
    /// C5h: the reservation was cancelled or is wrong.
    ReservationCancelled,
    /// C6h: the request was cut.
    RequestTruncated,
    /// C7h: the request has a wrong length.
    InvalidLength,
    /// C8h: the request is longer than a limit of the field.
    FieldLengthExceeded,
    /// C9h: a parameter is out of range.
    OutOfRange,
    /// CAh: that many bytes cannot be returned.
    CannotReturnBytes,
    /// CBh: the sensor, data or record does not exist.
    NotPresent,
    /// CCh: a field of the request is invalid.
    InvalidField,
    /// CDh: the command is not allowed for this sensor or record.
    IllegalForSensor,
    /// CEh: no response could be made.
    NoResponse,
    /// CFh: the request is a duplicate.
    Duplicate,
    /// D0h: the SDR repository is being updated.
    SdrInUpdate,
    /// D1h: the firmware is being updated.
    FirmwareInUpdate,
    /// D2h: the BMC initialises.
    Initialising,
    /// D3h: the destination is unavailable.
    DestinationUnavailable,
    /// D4h: the privilege is too low.
    InsufficientPrivilege,
    /// D5h: not possible in the present state.
    WrongState,
    /// D6h: a part of the command is disabled.
    SubFunctionDisabled,
    /// FFh: an error that has no name.
    Unspecified,
    /// Any other, such as the codes of one command.
    Other(u8),
}

impl Completion {
    /// Returns the completion of a code.
    pub fn parse(code: u8) -> Self {
        match code {
            0x00 => Self::Ok,
            0xc0 => Self::Busy,
            0xc1 => Self::InvalidCommand,
            0xc2 => Self::InvalidForLun,
            0xc3 => Self::Timeout,
            0xc4 => Self::OutOfSpace,
            0xc5 => Self::ReservationCancelled,
            0xc6 => Self::RequestTruncated,
            0xc7 => Self::InvalidLength,
            0xc8 => Self::FieldLengthExceeded,
            0xc9 => Self::OutOfRange,
            0xca => Self::CannotReturnBytes,
            0xcb => Self::NotPresent,
            0xcc => Self::InvalidField,
            0xcd => Self::IllegalForSensor,
            0xce => Self::NoResponse,
            0xcf => Self::Duplicate,
            0xd0 => Self::SdrInUpdate,
            0xd1 => Self::FirmwareInUpdate,
            0xd2 => Self::Initialising,
            0xd3 => Self::DestinationUnavailable,
            0xd4 => Self::InsufficientPrivilege,
            0xd5 => Self::WrongState,
            0xd6 => Self::SubFunctionDisabled,
            0xff => Self::Unspecified,
            other => Self::Other(other),
        }
    }

    /// Returns the code.
    pub fn code(self) -> u8 {
        match self {
            Self::Ok => 0x00,
            Self::Busy => 0xc0,
            Self::InvalidCommand => 0xc1,
            Self::InvalidForLun => 0xc2,
            Self::Timeout => 0xc3,
            Self::OutOfSpace => 0xc4,
            Self::ReservationCancelled => 0xc5,
            Self::RequestTruncated => 0xc6,
            Self::InvalidLength => 0xc7,
            Self::FieldLengthExceeded => 0xc8,
            Self::OutOfRange => 0xc9,
            Self::CannotReturnBytes => 0xca,
            Self::NotPresent => 0xcb,
            Self::InvalidField => 0xcc,
            Self::IllegalForSensor => 0xcd,
            Self::NoResponse => 0xce,
            Self::Duplicate => 0xcf,
            Self::SdrInUpdate => 0xd0,
            Self::FirmwareInUpdate => 0xd1,
            Self::Initialising => 0xd2,
            Self::DestinationUnavailable => 0xd3,
            Self::InsufficientPrivilege => 0xd4,
            Self::WrongState => 0xd5,
            Self::SubFunctionDisabled => 0xd6,
            Self::Unspecified => 0xff,
            Self::Other(code) => code,
        }
    }
}

impl std::fmt::Display for Completion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = match self {
            Self::Ok => "done",
            Self::Busy => "the BMC is busy",
            Self::InvalidCommand => "the BMC does not know the command",
            Self::InvalidForLun => "the command is not valid for this logical unit",
            Self::Timeout => "the BMC ran out of time",
            Self::OutOfSpace => "the BMC is out of space",
            Self::ReservationCancelled => "the reservation was cancelled",
            Self::RequestTruncated => "the request was truncated",
            Self::InvalidLength => "the request has a wrong length",
            Self::FieldLengthExceeded => "a field of the request is too long",
            Self::OutOfRange => "a parameter is out of range",
            Self::CannotReturnBytes => "the BMC cannot return that many bytes",
            Self::NotPresent => "the sensor, data or record does not exist",
            Self::InvalidField => "a field of the request is invalid",
            Self::IllegalForSensor => "the command is not allowed for this sensor or record",
            Self::NoResponse => "the BMC could not make a response",
            Self::Duplicate => "the request is a duplicate",
            Self::SdrInUpdate => "the SDR repository is being updated",
            Self::FirmwareInUpdate => "the firmware of the BMC is being updated",
            Self::Initialising => "the BMC is initialising",
            Self::DestinationUnavailable => "the destination is unavailable",
            Self::InsufficientPrivilege => "the privilege level is too low",
            Self::WrongState => "not possible in the present state",
            Self::SubFunctionDisabled => "a part of the command is disabled",
            Self::Unspecified => "unspecified error",
            Self::Other(code) => return write!(f, "completion code {code:02X}h"),
        };
        f.write_str(text)
    }
}

#[cfg(test)]
mod tests {
    use super::Completion;

    #[test]
    fn codes_survive() {
        for code in 0..=0xff {
            assert_eq!(Completion::parse(code).code(), code);
        }
    }
}
