//! RAKP messages 1 to 4.

use super::super::privilege::Privilege;
use super::super::rakp::LONGEST_NAME;
use super::reply::{Reply, head};
use super::status::Status;

/// How the BMC shall look up the user.
const NAME_ONLY: u8 = 0x10;

/// The role byte of RAKP 1: both ends hash it whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Role(pub u8);

impl Role {
    /// Makes the role for a privilege, with the user looked up by name only.
    pub fn new(privilege: Privilege) -> Self {
        Self(NAME_ONLY | privilege.level())
    }

    /// Returns the requested privilege level, 0 to 15.
    pub fn level(self) -> u8 {
        self.0 & 0x0f
    }
}

/// RAKP 1: the console says who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rakp1 {
    /// Is repeated in RAKP 2.
    pub tag: u8,
    /// The session id of the BMC.
    pub bmc: u32,
    /// The random number of the console.
    pub random: [u8; 16],
    /// The requested privilege.
    pub role: Role,
    /// The user name; longer ones than 16 bytes are kept, so that they can be refused.
    pub name: Vec<u8>,
}

impl Rakp1 {
    /// Parses a payload; `None` if it is too short.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let ([tag, _, _, _], rest) = bytes.split_first_chunk::<4>()?;
        let (bmc, rest) = rest.split_first_chunk()?;
        let (random, rest) = rest.split_first_chunk()?;
        let ([role, _, _, length], rest) = rest.split_first_chunk::<4>()?;
        // Clients pad the name, so more bytes may follow.
        let name = rest.get(..usize::from(*length))?;
        Some(Self {
            tag: *tag,
            bmc: u32::from_le_bytes(*bmc),
            random: *random,
            role: Role(*role),
            name: name.to_vec(),
        })
    }

    /// Encodes the payload: 28 bytes and the name, of which bytes after the 16th are cut.
    pub fn encode(&self) -> Vec<u8> {
        let name = self.name.get(..LONGEST_NAME).unwrap_or(&self.name);
        let mut bytes = vec![self.tag, 0, 0, 0];
        bytes.extend_from_slice(&self.bmc.to_le_bytes());
        bytes.extend_from_slice(&self.random);
        bytes.extend_from_slice(&[self.role.0, 0, 0, name.len() as u8]);
        bytes.extend_from_slice(name);
        bytes
    }
}

/// RAKP 2: the BMC shows that it knows the password.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rakp2 {
    /// The tag of RAKP 1.
    pub tag: u8,
    /// The session id of the console.
    pub console: u32,
    /// The random number of the BMC.
    pub random: [u8; 16],
    /// The GUID of the BMC.
    pub guid: [u8; 16],
    /// [`super::super::rakp::Facts::bmc_proof`].
    pub proof: Vec<u8>,
}

impl Rakp2 {
    /// Parses a payload; `None` if it is too short.
    pub fn parse(bytes: &[u8]) -> Option<Reply<Self>> {
        Reply::parse(bytes, |bytes| {
            let ([tag, _, _, _], rest) = bytes.split_first_chunk::<4>()?;
            let (console, rest) = rest.split_first_chunk()?;
            let (random, rest) = rest.split_first_chunk()?;
            let (guid, proof) = rest.split_first_chunk()?;
            Some(Self {
                tag: *tag,
                console: u32::from_le_bytes(*console),
                random: *random,
                guid: *guid,
                proof: proof.to_vec(),
            })
        })
    }

    /// Encodes a payload: 40 bytes and the proof, or 8 for a refusal.
    pub fn encode(reply: &Reply<Self>) -> Vec<u8> {
        reply.encode(|message| {
            let mut bytes = head(message.tag, Status::Ok, message.console);
            bytes.extend_from_slice(&message.random);
            bytes.extend_from_slice(&message.guid);
            bytes.extend_from_slice(&message.proof);
            bytes
        })
    }
}

/// RAKP 3: the console shows that it knows the password, or gives up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rakp3 {
    /// Is repeated in RAKP 4.
    pub tag: u8,
    /// [`Status::Ok`], or why the console gives up.
    pub status: Status,
    /// The session id of the BMC.
    pub bmc: u32,
    /// [`super::super::rakp::Facts::console_proof`].
    pub proof: Vec<u8>,
}

impl Rakp3 {
    /// Parses a payload; `None` if it is too short.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let ([tag, status, _, _], rest) = bytes.split_first_chunk::<4>()?;
        let (bmc, proof) = rest.split_first_chunk()?;
        Some(Self {
            tag: *tag,
            status: Status::parse(*status),
            bmc: u32::from_le_bytes(*bmc),
            proof: proof.to_vec(),
        })
    }

    /// Encodes the payload: 8 bytes and the proof.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = head(self.tag, self.status, self.bmc);
        bytes.extend_from_slice(&self.proof);
        bytes
    }
}

/// RAKP 4: the BMC shows that it has the same keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rakp4 {
    /// The tag of RAKP 3.
    pub tag: u8,
    /// The session id of the console.
    pub console: u32,
    /// [`super::super::rakp::Facts::check_value`].
    pub check_value: Vec<u8>,
}

impl Rakp4 {
    /// Parses a payload; `None` if it is too short.
    pub fn parse(bytes: &[u8]) -> Option<Reply<Self>> {
        Reply::parse(bytes, |bytes| {
            let ([tag, _, _, _], rest) = bytes.split_first_chunk::<4>()?;
            let (console, check_value) = rest.split_first_chunk()?;
            Some(Self { tag: *tag, console: u32::from_le_bytes(*console), check_value: check_value.to_vec() })
        })
    }

    /// Encodes a payload: 8 bytes and the check value, or 8 for a refusal.
    pub fn encode(reply: &Reply<Self>) -> Vec<u8> {
        reply.encode(|message| {
            let mut bytes = head(message.tag, Status::Ok, message.console);
            bytes.extend_from_slice(&message.check_value);
            bytes
        })
    }
}
