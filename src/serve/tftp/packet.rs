//! Parses and writes TFTP packets.

use std::borrow::Cow;

use crate::event::TftpMode;

/// "File not found."
pub(super) const NOT_FOUND: u16 = 1;
/// "Access violation."
pub(super) const ACCESS: u16 = 2;
/// "Illegal TFTP operation."
pub(super) const ILLEGAL: u16 = 4;
/// "Unknown transfer ID."
pub(super) const UNKNOWN_ID: u16 = 5;

const READ: u16 = 1;
const WRITE: u16 = 2;
const DATA: u16 = 3;
const ACK: u16 = 4;
const ERROR: u16 = 5;
const OPTIONS: u16 = 6;

/// Length of the header of a DATA packet.
pub(super) const HEAD: usize = 4;

/// The transfer mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mode {
    /// Binary.
    Octet,
    /// Text: a line ends with CR LF, any other CR is sent as CR NUL (RFC 764).
    Netascii,
}

impl Mode {
    /// Returns the mode as the event has it.
    pub(super) fn word(self) -> TftpMode {
        match self {
            Self::Octet => TftpMode::Octet,
            Self::Netascii => TftpMode::Netascii,
        }
    }
}

/// A supported option.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OptionName {
    /// Bytes in a block (RFC 2348).
    BlockSize,
    /// Seconds until a retransmission (RFC 2349).
    Timeout,
    /// Size of the file in bytes (RFC 2349).
    Size,
    /// Blocks per acknowledgement (RFC 7440).
    Window,
}

impl OptionName {
    const ALL: [Self; 4] = [Self::BlockSize, Self::Timeout, Self::Size, Self::Window];

    fn as_str(self) -> &'static str {
        match self {
            Self::BlockSize => "blksize",
            Self::Timeout => "timeout",
            Self::Size => "tsize",
            Self::Window => "windowsize",
        }
    }
}

/// A read request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Request {
    /// The file name, without the trailing bytes that some firmware appends.
    pub(super) name: Vec<u8>,
    /// The transfer mode.
    pub(super) mode: Mode,
    /// The supported options, in the client's order, each once.
    pub(super) options: Vec<(OptionName, u64)>,
}

/// A received packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Packet {
    /// A read request.
    Read(Request),
    /// A write request. Only the name matters.
    Write(Vec<u8>),
    /// An acknowledgement of a block.
    Ack(u16),
    /// The client aborts.
    Error {
        /// The error code.
        code: u16,
        /// The error message of the client.
        text: String,
    },
    /// A packet that only a server sends.
    Stray,
}

/// Why a packet cannot be parsed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Malformed {
    /// It is too short for an opcode.
    #[error("too short")]
    Short,
    /// The opcode is unknown.
    #[error("unknown opcode {0}")]
    Operation(u16),
    /// A request without its terminating NUL.
    #[error("missing file name or mode")]
    Request,
    /// The mode is unknown.
    #[error("unsupported mode")]
    Mode,
}

/// Parses a packet.
pub(super) fn parse(bytes: &[u8]) -> Result<Packet, Malformed> {
    let (operation, rest) = number(bytes).ok_or(Malformed::Short)?;
    match operation {
        READ => Ok(Packet::Read(request(rest)?)),
        WRITE => Ok(Packet::Write(name(fields(rest).next().ok_or(Malformed::Request)?))),
        ACK => Ok(Packet::Ack(number(rest).ok_or(Malformed::Short)?.0)),
        ERROR => {
            let (code, rest) = number(rest).unwrap_or_default();
            let text = rest.split(|byte| *byte == 0).next().unwrap_or_default();
            Ok(Packet::Error { code, text: String::from_utf8_lossy(text).into_owned() })
        }
        DATA | OPTIONS => Ok(Packet::Stray),
        other => Err(Malformed::Operation(other)),
    }
}

fn number(bytes: &[u8]) -> Option<(u16, &[u8])> {
    let (head, rest) = bytes.split_first_chunk()?;
    Some((u16::from_be_bytes(*head), rest))
}

/// Returns the NUL-terminated strings; an unterminated rest is truncated or garbage.
fn fields(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    let ended = bytes.iter().rposition(|byte| *byte == 0).unwrap_or(0);
    bytes[..ended].split(|byte| *byte == 0)
}

/// Returns the intended name: some ROMs copy option 67 together with the 0xFF that ends all options.
fn name(field: &[u8]) -> Vec<u8> {
    let end = field.iter().rposition(|byte| *byte != 0xff).map_or(0, |last| last + 1);
    field[..end].to_vec()
}

fn request(bytes: &[u8]) -> Result<Request, Malformed> {
    let mut fields = fields(bytes);
    let name = name(fields.next().filter(|name| !name.is_empty()).ok_or(Malformed::Request)?);
    // A name that was copied with its NUL has two of them.
    let mode = fields.by_ref().find(|field| !field.is_empty()).ok_or(Malformed::Request)?;
    let mode = if mode.eq_ignore_ascii_case(b"octet") {
        Mode::Octet
    } else if mode.eq_ignore_ascii_case(b"netascii") {
        Mode::Netascii
    } else {
        return Err(Malformed::Mode);
    };
    let mut options: Vec<(OptionName, u64)> = Vec::new();
    while let (Some(key), Some(value)) = (fields.next(), fields.next()) {
        let known =
            OptionName::ALL.into_iter().find(|name| key.eq_ignore_ascii_case(name.as_str().as_bytes()));
        let value = std::str::from_utf8(value).ok().and_then(|value| value.parse().ok());
        if let (Some(known), Some(value)) = (known, value)
            && options.iter().all(|(name, _)| *name != known)
        {
            options.push((known, value));
        }
    }
    Ok(Request { name, mode, options })
}

/// Encodes an OACK packet.
pub(super) fn options(agreed: &[(OptionName, u64)]) -> Vec<u8> {
    let mut packet = OPTIONS.to_be_bytes().to_vec();
    for (name, value) in agreed {
        for field in [Cow::Borrowed(name.as_str()), Cow::Owned(value.to_string())] {
            packet.extend_from_slice(field.as_bytes());
            packet.push(0);
        }
    }
    packet
}

/// Encodes an ERROR packet.
pub(super) fn error(code: u16, text: &str) -> Vec<u8> {
    let mut packet = [ERROR.to_be_bytes(), code.to_be_bytes()].concat();
    packet.extend(text.bytes().filter(|byte| *byte != 0));
    packet.push(0);
    packet
}

/// Returns the header of a DATA packet. Block numbers wrap to 0 after 65,535.
pub(super) fn head(block: u64) -> [u8; HEAD] {
    let [operation, number] = [DATA, block as u16].map(u16::to_be_bytes);
    [operation[0], operation[1], number[0], number[1]]
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(packet: &[u8]) -> String {
        match parse(packet) {
            Ok(Packet::Read(Request { name, mode, options })) => {
                let name = String::from_utf8_lossy(&name);
                let options: Vec<String> =
                    options.iter().map(|(name, value)| format!(" {}={value}", name.as_str())).collect();
                format!("read {name:?} {}{}", mode.word(), options.concat())
            }
            Ok(Packet::Write(name)) => format!("write {:?}", String::from_utf8_lossy(&name)),
            Ok(other) => format!("{other:?}"),
            Err(error) => format!("malformed: {error}"),
        }
    }

    #[test]
    fn packets_of_real_and_odd_clients() {
        let table: &[&[u8]] = &[
            b"\0\x01pxelinux.0\0octet\0",
            b"\0\x01ipxe/snponly.efi\0octet\0tsize\x000\0blksize\x001468\0windowsize\x004\0",
            b"\0\x01a\0OcTeT\0BLKSIZE\x00512\0blksize\x001024\0",
            b"\0\x01a\0netascii\0multicast\0\0timeout\x006\0",
            b"\0\x01pxelinux.0\xff\0octet\0",
            b"\0\x01pxelinux.0\xff\xff\0octet\0blksize\x001456\0",
            b"\0\x01pxelinux.0\0\0octet\0tsize\x000\0",
            b"\0\x01a\0octet\0blksize\x00x\0windowsize\x00-1\0tsize\x0018446744073709551616\0",
            b"\0\x01a\0octet\0blksize\x001468",
            b"\0\x01a\0octet\0blksize\0",
            b"\0\x01a\0octet",
            b"\0\x01a\0",
            b"\0\x01\0octet\0",
            b"\0\x01",
            b"\0\x01a\0mail\0",
            b"\0\x02file\0octet\0",
            b"\0\x03\0\x01data",
            b"\0\x04\x12\x34",
            b"\0\x04\x12",
            b"\0\x05\0\x08User aborted the transfer\0",
            b"\0\x05",
            b"\0\x06blksize\x00512\0",
            b"\0\x07",
            b"\0",
            b"",
        ];
        let lines: Vec<String> = table.iter().map(|packet| check(packet)).collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        read "pxelinux.0" octet
        read "ipxe/snponly.efi" octet tsize=0 blksize=1468 windowsize=4
        read "a" octet blksize=512
        read "a" netascii timeout=6
        read "pxelinux.0" octet
        read "pxelinux.0" octet blksize=1456
        read "pxelinux.0" octet tsize=0
        read "a" octet
        read "a" octet
        read "a" octet
        malformed: missing file name or mode
        malformed: missing file name or mode
        malformed: missing file name or mode
        malformed: missing file name or mode
        malformed: unsupported mode
        write "file"
        Stray
        Ack(4660)
        malformed: too short
        Error { code: 8, text: "User aborted the transfer" }
        Error { code: 0, text: "" }
        Stray
        malformed: unknown opcode 7
        malformed: too short
        malformed: too short
        "#);
    }

    #[test]
    fn what_goes_out() {
        let agreed = [(OptionName::Size, 5), (OptionName::BlockSize, 1468)];
        assert_eq!(options(&agreed), b"\0\x06tsize\x005\0blksize\x001468\0");
        assert_eq!(error(UNKNOWN_ID, "who\0?"), b"\0\x05\0\x05who?\0");
        assert_eq!(head(65_535), *b"\0\x03\xff\xff");
        assert_eq!(head(65_536), *b"\0\x03\0\0");
        assert_eq!(head(65_537), *b"\0\x03\0\x01");
    }

    proptest! {
        #[test]
        fn whatever_comes_in_is_taken_apart(packet in prop_oneof![
            prop::collection::vec(any::<u8>(), 0..600),
            // Nearly valid requests.
            "(a|/|\\\\|\0|\u{ff}|octet|netascii|blksize|tsize|windowsize|timeout|[0-9]{1,20}){0,12}"
                .prop_map(|text| [&[0, 1], text.as_bytes()].concat()),
        ]) {
            if let Ok(Packet::Read(request)) = parse(&packet) {
                prop_assert!(request.options.len() <= 4);
                prop_assert!(!request.name.contains(&0));
            }
        }
    }
}
