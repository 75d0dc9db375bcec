//! Open Session: both ends agree on a suite and on the ids of the session.

use super::super::privilege::Privilege;
use super::super::suite::{Authentication, Confidentiality, Integrity, Suite};
use super::reply::Reply;
use super::status::Status;

/// The number of the record for authentication; those for integrity and confidentiality follow.
const RECORDS: [u8; 3] = [0, 1, 2];
const RECORD_LENGTH: u8 = 8;

/// An algorithm as a console asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted<T> {
    /// The BMC may choose.
    Any,
    /// This one.
    This(T),
    /// One that has no name here: its number.
    Unknown(u8),
}

impl<T: Copy + PartialEq> Wanted<T> {
    /// Tells whether an algorithm fulfils the wish.
    pub fn admits(self, algorithm: T) -> bool {
        match self {
            Self::Any => true,
            Self::This(wanted) => wanted == algorithm,
            Self::Unknown(_) => false,
        }
    }

    fn parse(number: Option<u8>, parse: impl FnOnce(u8) -> Option<T>) -> Self {
        match number {
            None => Self::Any,
            Some(number) => parse(number).map_or(Self::Unknown(number), Self::This),
        }
    }
}

/// Open Session request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenRequest {
    /// Is repeated in the response.
    pub tag: u8,
    /// The highest privilege that the session shall get; `None` for the highest that the BMC allows.
    pub privilege: Option<Privilege>,
    /// The session id that the console chose.
    pub console: u32,
    /// The wanted authentication.
    pub authentication: Wanted<Authentication>,
    /// The wanted integrity.
    pub integrity: Wanted<Integrity>,
    /// The wanted confidentiality.
    pub confidentiality: Wanted<Confidentiality>,
}

impl OpenRequest {
    /// Makes the request for one suite.
    pub fn new(tag: u8, privilege: Option<Privilege>, console: u32, suite: Suite) -> Self {
        Self {
            tag,
            privilege,
            console,
            authentication: Wanted::This(suite.authentication),
            integrity: Wanted::This(suite.integrity),
            confidentiality: Wanted::This(suite.confidentiality),
        }
    }

    /// Parses a payload; `None` if it is too short, its records are malformed or its privilege is unknown.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let ([tag, privilege, _, _], rest) = bytes.split_first_chunk::<4>()?;
        let (console, records) = rest.split_first_chunk()?;
        let [authentication, integrity, confidentiality] = parse_records(records)?;
        let privilege = match privilege & 0x0f {
            0 => None,
            level => Some(Privilege::parse(level)?),
        };
        Some(Self {
            tag: *tag,
            privilege,
            console: u32::from_le_bytes(*console),
            authentication: Wanted::parse(authentication, Authentication::parse),
            integrity: Wanted::parse(integrity, Integrity::parse),
            confidentiality: Wanted::parse(confidentiality, Confidentiality::parse),
        })
    }

    /// Encodes the payload, 32 bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![self.tag, self.privilege.map_or(0, Privilege::level), 0, 0];
        bytes.extend_from_slice(&self.console.to_le_bytes());
        let number = |wanted: Wanted<u8>| match wanted {
            Wanted::Any => None,
            Wanted::This(number) | Wanted::Unknown(number) => Some(number),
        };
        let records = [
            number(map(self.authentication, |it| it as u8)),
            number(map(self.integrity, |it| it as u8)),
            number(map(self.confidentiality, |it| it as u8)),
        ];
        encode_records(&mut bytes, records);
        bytes
    }

    /// Tells whether a suite fulfils the wishes.
    pub fn admits(&self, suite: Suite) -> bool {
        self.authentication.admits(suite.authentication)
            && self.integrity.admits(suite.integrity)
            && self.confidentiality.admits(suite.confidentiality)
    }
}

fn map<T, U>(wanted: Wanted<T>, f: impl FnOnce(T) -> U) -> Wanted<U> {
    match wanted {
        Wanted::Any => Wanted::Any,
        Wanted::This(algorithm) => Wanted::This(f(algorithm)),
        Wanted::Unknown(number) => Wanted::Unknown(number),
    }
}

/// Open Session response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenResponse {
    /// The tag of the request.
    pub tag: u8,
    /// The highest privilege that the session can get; `None` is the classic fault of echoing 0.
    pub privilege: Option<Privilege>,
    /// The session id of the console.
    pub console: u32,
    /// The session id that the BMC chose.
    pub bmc: u32,
    /// The chosen authentication.
    pub authentication: Authentication,
    /// The chosen integrity.
    pub integrity: Integrity,
    /// The chosen confidentiality.
    pub confidentiality: Confidentiality,
}

impl OpenResponse {
    /// Parses a payload; `None` if it is malformed.
    pub fn parse(bytes: &[u8]) -> Option<Reply<Self>> {
        Reply::parse(bytes, |bytes| {
            let ([tag, _, privilege, _], rest) = bytes.split_first_chunk::<4>()?;
            let (console, rest) = rest.split_first_chunk()?;
            let (bmc, records) = rest.split_first_chunk()?;
            let [authentication, integrity, confidentiality] = parse_records(records)?;
            Some(Self {
                tag: *tag,
                privilege: Privilege::parse(privilege & 0x0f),
                console: u32::from_le_bytes(*console),
                bmc: u32::from_le_bytes(*bmc),
                authentication: Authentication::parse(authentication?)?,
                integrity: Integrity::parse(integrity?)?,
                confidentiality: Confidentiality::parse(confidentiality?)?,
            })
        })
    }

    /// Encodes a payload: 36 bytes, or 8 for a refusal.
    pub fn encode(reply: &Reply<Self>) -> Vec<u8> {
        reply.encode(|message| {
            let mut bytes = vec![message.tag, Status::Ok.number()];
            bytes.extend_from_slice(&[message.privilege.map_or(0, Privilege::level), 0]);
            bytes.extend_from_slice(&message.console.to_le_bytes());
            bytes.extend_from_slice(&message.bmc.to_le_bytes());
            let records = [
                Some(message.authentication as u8),
                Some(message.integrity as u8),
                Some(message.confidentiality as u8),
            ];
            encode_records(&mut bytes, records);
            bytes
        })
    }

    /// Tells whether the BMC chose this suite.
    pub fn chose(&self, suite: Suite) -> bool {
        self.authentication == suite.authentication
            && self.integrity == suite.integrity
            && self.confidentiality == suite.confidentiality
    }
}

/// Parses the three records `type 00 00 length algorithm 00 00 00`; a length of 0 is any algorithm.
fn parse_records(bytes: &[u8]) -> Option<[Option<u8>; 3]> {
    let mut algorithms = [None; 3];
    let records = bytes.as_chunks::<8>().0;
    for (position, kind) in RECORDS.iter().enumerate() {
        let [found, _, _, length, algorithm, ..] = records.get(position)?;
        if found != kind {
            return None;
        }
        let algorithm = match *length {
            0 => None,
            RECORD_LENGTH => Some(algorithm & 0x3f),
            _ => return None,
        };
        *algorithms.get_mut(position)? = algorithm;
    }
    Some(algorithms)
}

fn encode_records(bytes: &mut Vec<u8>, algorithms: [Option<u8>; 3]) {
    for (kind, algorithm) in RECORDS.into_iter().zip(algorithms) {
        let length = if algorithm.is_some() { RECORD_LENGTH } else { 0 };
        bytes.extend_from_slice(&[kind, 0, 0, length, algorithm.unwrap_or(0), 0, 0, 0]);
    }
}
