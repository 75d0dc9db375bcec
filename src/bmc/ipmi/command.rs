//! Network functions and the commands that both ends know by name.

/// A network function: the group that a command belongs to (section 5.1).
///
/// On the wire a request has the even number, its response the odd one above.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NetFn {
    /// Power, boot options.
    Chassis,
    /// Messages to other controllers.
    Bridge,
    /// Sensors and events.
    Sensor,
    /// The BMC itself, users, sessions and channels.
    App,
    /// Firmware updates.
    Firmware,
    /// SEL, SDR and FRU repositories.
    Storage,
    /// LAN and Serial over LAN parameters.
    Transport,
    /// Extensions of other bodies such as PICMG; the first byte of data names the body.
    Group,
    /// Any other: the even number.
    Other(u8),
}

impl NetFn {
    /// Returns the function of a number; odd ones count as the even one below.
    pub fn parse(number: u8) -> Self {
        match number & 0x3e {
            0x00 => Self::Chassis,
            0x02 => Self::Bridge,
            0x04 => Self::Sensor,
            0x06 => Self::App,
            0x08 => Self::Firmware,
            0x0a => Self::Storage,
            0x0c => Self::Transport,
            0x2c => Self::Group,
            other => Self::Other(other),
        }
    }

    /// Returns the even number, 0 to 3Eh.
    pub fn number(self) -> u8 {
        match self {
            Self::Chassis => 0x00,
            Self::Bridge => 0x02,
            Self::Sensor => 0x04,
            Self::App => 0x06,
            Self::Firmware => 0x08,
            Self::Storage => 0x0a,
            Self::Transport => 0x0c,
            Self::Group => 0x2c,
            Self::Other(number) => number & 0x3e,
        }
    }
}

/// A command: its network function and its code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Command {
    /// The group.
    pub netfn: NetFn,
    /// The code within the group.
    pub code: u8,
}

impl Command {
    /// Makes a command.
    pub const fn new(netfn: NetFn, code: u8) -> Self {
        Self { netfn, code }
    }

    const fn app(code: u8) -> Self {
        Self { netfn: NetFn::App, code }
    }

    const fn chassis(code: u8) -> Self {
        Self { netfn: NetFn::Chassis, code }
    }
}

impl std::fmt::Display for Command {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:02X}h/{:02X}h", self.netfn.number(), self.code)
    }
}

/// Get Device ID (section 20.1).
pub const GET_DEVICE_ID: Command = Command::app(0x01);
/// Get Device GUID (section 20.8).
pub const GET_DEVICE_GUID: Command = Command::app(0x08);
/// Get System GUID (section 22.14).
pub const GET_SYSTEM_GUID: Command = Command::app(0x37);
/// Get Channel Authentication Capabilities (section 22.13).
pub const GET_CHANNEL_AUTHENTICATION: Command = Command::app(0x38);
/// Get Session Challenge, for logins of IPMI 1.5 (section 22.16).
pub const GET_SESSION_CHALLENGE: Command = Command::app(0x39);
/// Activate Session, for logins of IPMI 1.5 (section 22.17).
pub const ACTIVATE_SESSION: Command = Command::app(0x3a);
/// Set Session Privilege Level (section 22.18).
pub const SET_SESSION_PRIVILEGE: Command = Command::app(0x3b);
/// Close Session (section 22.19).
pub const CLOSE_SESSION: Command = Command::app(0x3c);
/// Get Session Info (section 22.20).
pub const GET_SESSION_INFO: Command = Command::app(0x3d);
/// Activate Payload (section 24.1).
pub const ACTIVATE_PAYLOAD: Command = Command::app(0x48);
/// Deactivate Payload (section 24.2).
pub const DEACTIVATE_PAYLOAD: Command = Command::app(0x49);
/// Get Payload Activation Status (section 24.4).
pub const GET_PAYLOAD_STATUS: Command = Command::app(0x4a);
/// Get Payload Instance Info (section 24.5).
pub const GET_PAYLOAD_INSTANCE: Command = Command::app(0x4b);
/// Get User Payload Access (section 24.7).
pub const GET_USER_PAYLOAD: Command = Command::app(0x4d);
/// Get Channel Payload Support (section 24.8).
pub const GET_CHANNEL_PAYLOADS: Command = Command::app(0x4e);
/// Get Channel Payload Version (section 24.9).
pub const GET_PAYLOAD_VERSION: Command = Command::app(0x4f);
/// Get Channel Cipher Suites (section 22.15).
pub const GET_CIPHER_SUITES: Command = Command::app(0x54);
/// Get Chassis Status (section 28.2).
pub const GET_CHASSIS_STATUS: Command = Command::chassis(0x01);
/// Chassis Control (section 28.3).
pub const CHASSIS_CONTROL: Command = Command::chassis(0x02);
/// Set System Boot Options (section 28.12).
pub const SET_BOOT_OPTIONS: Command = Command::chassis(0x08);
/// Get System Boot Options (section 28.13).
pub const GET_BOOT_OPTIONS: Command = Command::chassis(0x09);
