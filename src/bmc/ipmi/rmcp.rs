//! RMCP framing, and the ping of ASF that discovers BMCs (section 13.1 and 13.2).
//!
//! The sequence number is always FFh: nobody acknowledges, and acknowledgements are ignored.

/// The UDP port of RMCP.
pub const PORT: u16 = 623;

const VERSION: u8 = 6;
const NO_ACKNOWLEDGEMENT: u8 = 0xff;
/// The enterprise number of ASF (4542), big-endian as all of ASF.
const ASF_IANA: [u8; 4] = [0x00, 0x00, 0x11, 0xbe];
/// Entities that a pong tells: IPMI is supported, ASF 1.0.
const ENTITIES: u8 = 0x81;

/// The message class, whose top bit marks an acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Asf = 6,
    Ipmi = 7,
}

/// ASF message types.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum AsfType {
    Pong = 0x40,
    Ping = 0x80,
}

/// A datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Datagram<'a> {
    /// A presence ping.
    Ping {
        /// Is repeated in the pong.
        tag: u8,
    },
    /// The answer to a ping.
    Pong {
        /// The tag of the ping.
        tag: u8,
        /// Whether the sender speaks IPMI.
        ipmi: bool,
    },
    /// A session packet, as [`super::packet`] reads it.
    Ipmi(&'a [u8]),
}

impl<'a> Datagram<'a> {
    /// Parses a datagram; `None` if it is malformed, an acknowledgement, or of another class.
    pub fn parse(bytes: &'a [u8]) -> Option<Self> {
        let ([version, _, _, class], body) = bytes.split_first_chunk::<4>()?;
        if *version != VERSION {
            return None;
        }
        if *class == Class::Ipmi as u8 {
            return Some(Self::Ipmi(body));
        }
        if *class != Class::Asf as u8 {
            return None;
        }
        let (iana, body) = body.split_first_chunk::<4>()?;
        let ([kind, tag, _, length], data) = body.split_first_chunk::<4>()?;
        if *iana != ASF_IANA {
            return None;
        }
        let data = data.get(..usize::from(*length))?;
        if *kind == AsfType::Ping as u8 {
            Some(Self::Ping { tag: *tag })
        } else if *kind == AsfType::Pong as u8 {
            Some(Self::Pong { tag: *tag, ipmi: data.get(8)? & 0x80 != 0 })
        } else {
            None
        }
    }

    /// Encodes a datagram. A pong has 28 bytes.
    pub fn encode(&self) -> Vec<u8> {
        match *self {
            Self::Ping { tag } => asf(AsfType::Ping, tag, &[]),
            Self::Pong { tag, ipmi } => {
                let mut data = [0; 16];
                data[..4].copy_from_slice(&ASF_IANA);
                data[8] = if ipmi { ENTITIES } else { ENTITIES & 0x7f };
                asf(AsfType::Pong, tag, &data)
            }
            Self::Ipmi(body) => {
                let mut bytes = header(Class::Ipmi).to_vec();
                bytes.extend_from_slice(body);
                bytes
            }
        }
    }
}

/// Returns the four bytes before an IPMI session packet.
pub fn ipmi_header() -> [u8; 4] {
    header(Class::Ipmi)
}

fn header(class: Class) -> [u8; 4] {
    [VERSION, 0, NO_ACKNOWLEDGEMENT, class as u8]
}

fn asf(kind: AsfType, tag: u8, data: &[u8]) -> Vec<u8> {
    let mut bytes = header(Class::Asf).to_vec();
    bytes.extend_from_slice(&ASF_IANA);
    bytes.extend_from_slice(&[kind as u8, tag, 0, data.len() as u8]);
    bytes.extend_from_slice(data);
    bytes
}

#[cfg(test)]
mod tests {
    use super::Datagram;

    #[test]
    fn pong_as_measured() {
        let ping = [6, 0, 0xff, 6, 0, 0, 0x11, 0xbe, 0x80, 0x2a, 0, 0];
        assert_eq!(Datagram::parse(&ping), Some(Datagram::Ping { tag: 0x2a }));
        assert_eq!(Datagram::Ping { tag: 0x2a }.encode(), ping);
        let pong = Datagram::Pong { tag: 0x2a, ipmi: true };
        let bytes = [
            6, 0, 0xff, 6, 0, 0, 0x11, 0xbe, 0x40, 0x2a, 0, 0x10, 0, 0, 0x11, 0xbe, 0, 0, 0, 0, 0x81, 0, 0,
            0, 0, 0, 0, 0,
        ];
        assert_eq!(pong.encode(), bytes);
        assert_eq!(Datagram::parse(&bytes), Some(pong));
    }

    #[test]
    fn acknowledgements_are_ignored() {
        assert_eq!(Datagram::parse(&[6, 0, 0, 0x87]), None);
    }
}
