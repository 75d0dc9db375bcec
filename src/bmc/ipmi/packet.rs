//! Session packets: the RMCP+ wrapper of IPMI 2.0, and that of IPMI 1.5 without authentication (section 13.6).
//!
//! ```text
//! 1.5   00  sequence 4  session 4  length 1  payload
//! 2.0   06  type  session 4  sequence 4  length 2  payload  (FFh…  pad length  07h  signature)
//! ```
//!
//! A packet of a session carries the session id that its *receiver* chose.

use super::crypto::{self, BLOCK, Keys};
use super::rmcp;

const AUTHENTICATION_NONE: u8 = 0x00;
const AUTHENTICATION_RMCP_PLUS: u8 = 0x06;
const ENCRYPTED: u8 = 0x80;
const AUTHENTICATED: u8 = 0x40;
/// What stands before a signature.
const NEXT_HEADER: u8 = 0x07;
/// Bytes of RMCP+ before the payload.
const HEADER: usize = 12;

/// What a payload is (section 13.27.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum PayloadType {
    /// An IPMI message.
    Ipmi,
    /// Serial over LAN.
    Sol,
    /// Open Session request.
    OpenRequest,
    /// Open Session response.
    OpenResponse,
    /// RAKP message 1, from the console.
    Rakp1,
    /// RAKP message 2, from the BMC.
    Rakp2,
    /// RAKP message 3, from the console.
    Rakp3,
    /// RAKP message 4, from the BMC.
    Rakp4,
    /// Any other, 0 to 3Fh.
    Other(u8),
}

impl PayloadType {
    /// Returns the type of a number; the two top bits do not belong to it.
    pub fn parse(number: u8) -> Self {
        match number & 0x3f {
            0x00 => Self::Ipmi,
            0x01 => Self::Sol,
            0x10 => Self::OpenRequest,
            0x11 => Self::OpenResponse,
            0x12 => Self::Rakp1,
            0x13 => Self::Rakp2,
            0x14 => Self::Rakp3,
            0x15 => Self::Rakp4,
            other => Self::Other(other),
        }
    }

    /// Returns the number.
    pub fn number(self) -> u8 {
        match self {
            Self::Ipmi => 0x00,
            Self::Sol => 0x01,
            Self::OpenRequest => 0x10,
            Self::OpenResponse => 0x11,
            Self::Rakp1 => 0x12,
            Self::Rakp2 => 0x13,
            Self::Rakp3 => 0x14,
            Self::Rakp4 => 0x15,
            Self::Other(number) => number & 0x3f,
        }
    }
}

/// A packet that was not opened yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Packet<'a> {
    /// The wrapper of IPMI 1.5 outside of sessions: an IPMI message.
    Legacy(&'a [u8]),
    /// RMCP+.
    Plus(Plus<'a>),
}

/// A packet of RMCP+.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plus<'a> {
    /// What the payload is.
    pub kind: PayloadType,
    /// Whether the payload is encrypted.
    pub encrypted: bool,
    /// Whether a signature follows.
    pub authenticated: bool,
    /// The session id of the receiver; 0 outside of sessions.
    pub session: u32,
    /// The sequence number of the session; 0 outside of sessions.
    pub sequence: u32,
    /// The payload as it stands in the packet.
    pub payload: &'a [u8],
    /// From the authentication type to the end.
    whole: &'a [u8],
}

impl<'a> Packet<'a> {
    /// Parses what follows the RMCP header.
    ///
    /// Returns `None` for malformed packets, and for logins and sessions of IPMI 1.5.
    pub fn parse(whole: &'a [u8]) -> Option<Self> {
        let (authentication, rest) = whole.split_first()?;
        match *authentication {
            AUTHENTICATION_NONE => {
                let ([_, _, _, _, session @ .., length], rest) = rest.split_first_chunk::<9>()?;
                let payload = rest.get(..usize::from(*length))?;
                (session == &[0; 4]).then_some(Self::Legacy(payload))
            }
            AUTHENTICATION_RMCP_PLUS => {
                let (kind, rest) = rest.split_first()?;
                let (session, rest) = rest.split_first_chunk()?;
                let (sequence, rest) = rest.split_first_chunk()?;
                let (length, rest) = rest.split_first_chunk()?;
                let payload = rest.get(..usize::from(u16::from_le_bytes(*length)))?;
                Some(Self::Plus(Plus {
                    kind: PayloadType::parse(*kind),
                    encrypted: kind & ENCRYPTED != 0,
                    authenticated: kind & AUTHENTICATED != 0,
                    session: u32::from_le_bytes(*session),
                    sequence: u32::from_le_bytes(*sequence),
                    payload,
                    whole,
                }))
            }
            _ => None,
        }
    }
}

/// Encodes an IPMI message in the wrapper of IPMI 1.5, outside of sessions: a whole datagram.
///
/// The length has one byte: longer messages than 255 bytes are cut.
pub fn legacy(message: &[u8]) -> Vec<u8> {
    let message = message.get(..255).unwrap_or(message);
    let mut bytes = rmcp::ipmi_header().to_vec();
    bytes.push(AUTHENTICATION_NONE);
    bytes.extend_from_slice(&[0; 8]);
    bytes.push(message.len() as u8);
    bytes.extend_from_slice(message);
    bytes
}

/// Encodes a payload in the wrapper of RMCP+, outside of sessions: a whole datagram.
pub fn plain(kind: PayloadType, payload: &[u8]) -> Vec<u8> {
    let mut bytes = rmcp::ipmi_header().to_vec();
    bytes.extend_from_slice(&header(kind.number(), 0, 0, payload.len()));
    bytes.extend_from_slice(payload);
    bytes
}

/// Encrypts and signs a payload: a whole datagram.
///
/// `session` is the id that the receiver chose, `vector` must be random.
pub fn seal(
    keys: &Keys,
    session: u32,
    sequence: u32,
    kind: PayloadType,
    payload: &[u8],
    vector: &[u8; BLOCK],
) -> Vec<u8> {
    let mut encrypted = payload.to_vec();
    let padding = (BLOCK - (payload.len() + 1) % BLOCK) % BLOCK;
    encrypted.extend((1..=padding).map(|value| value as u8));
    encrypted.push(padding as u8);
    keys.encrypt(vector, &mut encrypted);

    let mut packet =
        header(kind.number() | ENCRYPTED | AUTHENTICATED, session, sequence, BLOCK + encrypted.len())
            .to_vec();
    packet.extend_from_slice(vector);
    packet.extend_from_slice(&encrypted);
    // The pad length and the next header count, too.
    let padding = (4 - (packet.len() + 2) % 4) % 4;
    packet.extend(std::iter::repeat_n(0xff, padding));
    packet.extend_from_slice(&[padding as u8, NEXT_HEADER]);
    let signature = keys.sign(&packet);
    packet.extend_from_slice(&signature);
    [&rmcp::ipmi_header()[..], &packet].concat()
}

/// Checks the signature of a packet and decrypts its payload.
///
/// Returns `None` unless the packet is signed with these keys and encrypted.
pub fn open(keys: &Keys, packet: &Plus<'_>) -> Option<Vec<u8>> {
    if !packet.authenticated || !packet.encrypted {
        return None;
    }
    let signed = packet.whole.len().checked_sub(keys.signature_length())?;
    let (signed, signature) = packet.whole.split_at_checked(signed)?;
    if !crypto::equal(&keys.sign(signed), signature) {
        return None;
    }
    let trailer = signed.get(HEADER + packet.payload.len()..)?;
    let [.., padding, NEXT_HEADER] = trailer else { return None };
    if trailer.len() != usize::from(*padding) + 2 {
        return None;
    }
    let (vector, encrypted) = packet.payload.split_first_chunk::<BLOCK>()?;
    if encrypted.len() % BLOCK != 0 {
        return None;
    }
    let mut payload = encrypted.to_vec();
    keys.decrypt(vector, &mut payload);
    let padding = usize::from(payload.pop()?);
    if padding >= BLOCK {
        return None;
    }
    let length = payload.len().checked_sub(padding)?;
    let filler = payload.get(length..)?;
    if !filler.iter().zip(1..).all(|(found, wanted): (&u8, u8)| *found == wanted) {
        return None;
    }
    payload.truncate(length);
    Some(payload)
}

fn header(kind: u8, session: u32, sequence: u32, length: usize) -> [u8; HEADER] {
    let mut header = [0; HEADER];
    header[0] = AUTHENTICATION_RMCP_PLUS;
    header[1] = kind;
    header[2..6].copy_from_slice(&session.to_le_bytes());
    header[6..10].copy_from_slice(&sequence.to_le_bytes());
    header[10..].copy_from_slice(&(length as u16).to_le_bytes());
    header
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::crypto::Keys;
    use super::super::rmcp::Datagram;
    use super::super::suite::Cipher;
    use super::{Packet, PayloadType, legacy, open, plain, seal};

    fn body(datagram: &[u8]) -> &[u8] {
        let Some(Datagram::Ipmi(body)) = Datagram::parse(datagram) else { panic!("not IPMI") };
        body
    }

    proptest! {
        #[test]
        fn payloads_survive_and_changes_are_noticed(
            payload in proptest::collection::vec(any::<u8>(), 0..300), secret: [u8; 20], vector: [u8; 16],
            session: u32, sequence: u32, flipped: prop::sample::Index, bit in 0u8..8, strong: bool,
        ) {
            let cipher = if strong { Cipher::Sha256 } else { Cipher::Sha1 };
            let keys = Keys::derive(cipher, &secret);
            let wire = seal(&keys, session, sequence, PayloadType::Sol, &payload, &vector);
            let Some(Packet::Plus(packet)) = Packet::parse(body(&wire)) else { panic!("not RMCP+") };
            prop_assert_eq!((packet.session, packet.sequence), (session, sequence));
            prop_assert_eq!(open(&keys, &packet), Some(payload));
            let mut wire = body(&wire).to_vec();
            let flipped = flipped.index(wire.len());
            wire[flipped] ^= 1 << bit;
            if let Some(Packet::Plus(packet)) = Packet::parse(&wire) {
                prop_assert_eq!(open(&keys, &packet), None);
            }
        }

        #[test]
        fn any_bytes(mut bytes: Vec<u8>, plus: bool) {
            if let (true, Some(first)) = (plus, bytes.first_mut()) {
                *first = 6;
            }
            if let Some(Packet::Plus(packet)) = Packet::parse(&bytes) {
                prop_assert_eq!(open(&Keys::derive(Cipher::Sha1, &[]), &packet), None);
            }
        }

        #[test]
        fn packets_outside_of_sessions(payload in proptest::collection::vec(any::<u8>(), 0..255)) {
            let wire = legacy(&payload);
            prop_assert_eq!(Packet::parse(body(&wire)), Some(Packet::Legacy(&payload)));
            let wire = plain(PayloadType::Rakp1, &payload);
            let Some(Packet::Plus(packet)) = Packet::parse(body(&wire)) else { panic!("not RMCP+") };
            prop_assert_eq!((packet.kind, packet.payload, packet.session), (PayloadType::Rakp1, &payload[..], 0));
        }
    }
}
