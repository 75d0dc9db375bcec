//! TLS (RFC 8446): what clients offer, and alerts in clear.

use super::{Ends, Side};
use crate::dissect::Context;
use crate::dissect::news::Topic;
use crate::event::{Known, RunTime};

const HEADER: usize = 5;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const DATA: u8 = 23;
const CLIENT_HELLO: u8 = 1;
/// The largest offer that is read: with keys of post-quantum groups it is two kilobytes.
const LARGEST_HELLO: usize = 16 << 10;
/// How many cipher suites are told.
const MOST_CIPHERS: usize = 32;
/// Alerts of one connection that are told.
const MOST_ALERTS: usize = 4;

/// Tells whether bytes begin with the offer of a client; `None` if they are too few.
pub(super) fn is_hello(bytes: &[u8]) -> Option<bool> {
    match bytes {
        [HANDSHAKE, 3, _, _, _, kind, ..] => Some(*kind == CLIENT_HELLO),
        [] | [HANDSHAKE] | [HANDSHAKE, 3, ..] => None,
        _ => Some(false),
    }
}

/// A connection that speaks TLS.
#[derive(Debug, Default)]
pub(super) struct Tls {
    client: Records,
    server: Records,
    /// The handshake of the client, until its offer was read.
    hello: Vec<u8>,
    is_read: bool,
    alerts: usize,
}

/// The records of one side.
#[derive(Debug, Default)]
struct Records {
    header: Vec<u8>,
    /// What is left of the current record.
    left: u64,
    kind: u8,
    /// Its bytes, if it is an alert.
    alert: Vec<u8>,
    /// Whether what follows is encrypted, or cannot be told apart.
    is_over: bool,
}

impl Tls {
    /// Returns how many bytes are kept.
    pub(super) fn memory(&self) -> usize {
        self.hello.capacity()
    }

    /// Returns how many of the next bytes of a side are only counted.
    pub(super) fn uninteresting(&self, side: Side) -> u64 {
        let records = match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        };
        match records {
            Records { is_over: true, .. } => u64::MAX,
            Records { kind: HANDSHAKE | ALERT, .. } => 0,
            Records { left, .. } => *left,
        }
    }

    /// Reads bytes of a side. Returns how many of them are handshake.
    pub(super) fn read(
        &mut self,
        context: &mut Context<'_>,
        ends: &Ends,
        at: RunTime,
        side: Side,
        bytes: &[u8],
        length: u64,
    ) -> usize {
        let (mut rest, mut left) = (bytes, length);
        while left > 0 {
            let records = match side {
                Side::Client => &mut self.client,
                Side::Server => &mut self.server,
            };
            if records.is_over {
                break;
            }
            if records.left == 0 {
                let used = rest.len().min(HEADER - records.header.len());
                if used == 0 {
                    // It was not captured.
                    records.is_over = true;
                    break;
                }
                records.header.extend_from_slice(&rest[..used]);
                (rest, left) = (&rest[used..], left - used as u64);
                let [kind, 3, _, high, low] = records.header[..] else {
                    records.is_over = records.header.len() == HEADER;
                    continue;
                };
                records.header.clear();
                (records.kind, records.left) = (kind, u16::from_be_bytes([high, low]).into());
                records.is_over = kind == DATA;
                // Longer alerts are encrypted.
                records.is_over |= kind == ALERT && records.left != 2;
                records.alert.clear();
                continue;
            }
            let length = left.min(records.left);
            let here = &rest[..rest.len().min(usize::try_from(length).unwrap_or(usize::MAX))];
            records.left -= length;
            let (kind, is_whole) = (records.kind, here.len() as u64 == length);
            if kind == ALERT {
                records.alert.extend_from_slice(here);
                if let [_, description] = records.alert[..] {
                    self.alert(context, ends, at, side, description);
                }
            } else if kind == HANDSHAKE && side == Side::Client && !self.is_read {
                self.hello.extend_from_slice(here);
                self.try_hello(context, ends, at, is_whole);
            }
            rest = &rest[here.len()..];
            left -= length;
        }
        bytes.len() - rest.len()
    }

    fn alert(&mut self, context: &mut Context<'_>, ends: &Ends, at: RunTime, side: Side, description: u8) {
        // close_notify and user_canceled refuse nothing.
        if matches!(description, 0 | 90) || self.alerts >= MOST_ALERTS {
            return;
        }
        self.alerts += 1;
        let alert = ALERTS.iter().find(|(number, _)| *number == description);
        let alert = alert.map_or_else(|| description.to_string(), |(_, name)| (*name).to_owned());
        let known = Known::TlsAlerted { server: ends.server, by_client: side == Side::Client, alert };
        context.tell(at, Topic::Tls, ends.node.clone(), Some(ends.exchange()), known);
    }

    fn try_hello(&mut self, context: &mut Context<'_>, ends: &Ends, at: RunTime, is_whole: bool) {
        let [CLIENT_HELLO, a, b, c, rest @ ..] = &self.hello[..] else {
            self.is_read = self.hello.len() >= 4;
            return;
        };
        let length = u32::from_be_bytes([0, *a, *b, *c]) as usize;
        if rest.len() < length && is_whole && self.hello.len() < LARGEST_HELLO {
            return;
        }
        self.is_read = true;
        if let Some(Offer { name, version, ciphers }) = offer(&rest[..rest.len().min(length)]) {
            let (server, to_lab) = (ends.server, ends.is_own);
            let known = Known::TlsOffered { server, to_lab, name, version, ciphers };
            context.tell(at, Topic::Tls, ends.node.clone(), Some(ends.exchange()), known);
        }
        self.hello = Vec::new();
    }
}

struct Offer {
    name: Option<String>,
    version: String,
    ciphers: Vec<String>,
}

/// Splits a vector with its length in front.
fn vector(bytes: &[u8], size: usize) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_at_checked(size)?;
    let length = length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte));
    // What is cut off is read as far as it goes.
    Some(rest.split_at_checked(length).unwrap_or((rest, &[])))
}

/// Reads the offer of a client (RFC 8446, section 4.1.2).
fn offer(body: &[u8]) -> Option<Offer> {
    let (head, rest) = body.split_at_checked(34)?;
    let (_session, rest) = vector(rest, 1)?;
    let (suites, rest) = vector(rest, 2)?;
    let mut highest = u16::from_be_bytes([head[0], head[1]]);
    let mut name = None;
    let extensions = vector(rest, 1).and_then(|(_compression, rest)| vector(rest, 2));
    let mut extensions = extensions.map(|(extensions, _)| extensions).unwrap_or_default();
    while let Some((kind, rest)) = extensions.split_first_chunk::<2>() {
        let Some((value, rest)) = vector(rest, 2) else { break };
        extensions = rest;
        match u16::from_be_bytes(*kind) {
            0 => name = vector(value, 2).and_then(|(names, _)| server_name(names)),
            43 => {
                let versions = vector(value, 1).map(|(versions, _)| versions).unwrap_or_default();
                highest = numbers(versions).filter(|number| !is_grease(*number)).max().unwrap_or(highest);
            }
            _ => {}
        }
    }
    let ciphers =
        numbers(suites).filter(|number| !is_grease(*number)).take(MOST_CIPHERS).map(cipher).collect();
    Some(Offer { name, version: version(highest), ciphers })
}

fn server_name(names: &[u8]) -> Option<String> {
    let rest = names.strip_prefix(&[0])?;
    let (name, _) = vector(rest, 2)?;
    let name = std::str::from_utf8(name).ok()?;
    (name.len() <= 255 && name.chars().all(|c| c.is_ascii_graphic())).then(|| name.to_owned())
}

fn numbers(bytes: &[u8]) -> impl Iterator<Item = u16> {
    bytes.chunks_exact(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]))
}

/// Tells whether a number only tests that servers ignore unknown ones (RFC 8701).
fn is_grease(number: u16) -> bool {
    number & 0x0f0f == 0x0a0a && number >> 8 == number & 0xff
}

fn version(number: u16) -> String {
    match number {
        0x0300 => "SSL 3.0".to_owned(),
        0x0301 => "TLS 1.0".to_owned(),
        0x0302 => "TLS 1.1".to_owned(),
        0x0303 => "TLS 1.2".to_owned(),
        0x0304 => "TLS 1.3".to_owned(),
        other => format!("0x{other:04x}"),
    }
}

fn cipher(number: u16) -> String {
    let name = CIPHERS.iter().find(|(known, _)| *known == number);
    name.map_or_else(|| format!("0x{number:04X}"), |(_, name)| (*name).to_owned())
}

/// Names of alerts in IANA's registry.
const ALERTS: &[(u8, &str)] = &[
    (10, "unexpected_message"),
    (20, "bad_record_mac"),
    (21, "decryption_failed"),
    (22, "record_overflow"),
    (30, "decompression_failure"),
    (40, "handshake_failure"),
    (41, "no_certificate"),
    (42, "bad_certificate"),
    (43, "unsupported_certificate"),
    (44, "certificate_revoked"),
    (45, "certificate_expired"),
    (46, "certificate_unknown"),
    (47, "illegal_parameter"),
    (48, "unknown_ca"),
    (49, "access_denied"),
    (50, "decode_error"),
    (51, "decrypt_error"),
    (70, "protocol_version"),
    (71, "insufficient_security"),
    (80, "internal_error"),
    (86, "inappropriate_fallback"),
    (100, "no_renegotiation"),
    (109, "missing_extension"),
    (110, "unsupported_extension"),
    (112, "unrecognized_name"),
    (113, "bad_certificate_status_response"),
    (115, "unknown_psk_identity"),
    (116, "certificate_required"),
    (120, "no_application_protocol"),
];

/// Names of cipher suites in IANA's registry, as far as firmware, loaders and systems offer them.
const CIPHERS: &[(u16, &str)] = &[
    (0x0004, "TLS_RSA_WITH_RC4_128_MD5"),
    (0x0005, "TLS_RSA_WITH_RC4_128_SHA"),
    (0x000A, "TLS_RSA_WITH_3DES_EDE_CBC_SHA"),
    (0x0016, "TLS_DHE_RSA_WITH_3DES_EDE_CBC_SHA"),
    (0x002F, "TLS_RSA_WITH_AES_128_CBC_SHA"),
    (0x0033, "TLS_DHE_RSA_WITH_AES_128_CBC_SHA"),
    (0x0035, "TLS_RSA_WITH_AES_256_CBC_SHA"),
    (0x0039, "TLS_DHE_RSA_WITH_AES_256_CBC_SHA"),
    (0x003C, "TLS_RSA_WITH_AES_128_CBC_SHA256"),
    (0x003D, "TLS_RSA_WITH_AES_256_CBC_SHA256"),
    (0x0067, "TLS_DHE_RSA_WITH_AES_128_CBC_SHA256"),
    (0x006B, "TLS_DHE_RSA_WITH_AES_256_CBC_SHA256"),
    (0x009C, "TLS_RSA_WITH_AES_128_GCM_SHA256"),
    (0x009D, "TLS_RSA_WITH_AES_256_GCM_SHA384"),
    (0x009E, "TLS_DHE_RSA_WITH_AES_128_GCM_SHA256"),
    (0x009F, "TLS_DHE_RSA_WITH_AES_256_GCM_SHA384"),
    (0x00FF, "TLS_EMPTY_RENEGOTIATION_INFO_SCSV"),
    (0x1301, "TLS_AES_128_GCM_SHA256"),
    (0x1302, "TLS_AES_256_GCM_SHA384"),
    (0x1303, "TLS_CHACHA20_POLY1305_SHA256"),
    (0x1304, "TLS_AES_128_CCM_SHA256"),
    (0x5600, "TLS_FALLBACK_SCSV"),
    (0xC007, "TLS_ECDHE_ECDSA_WITH_RC4_128_SHA"),
    (0xC008, "TLS_ECDHE_ECDSA_WITH_3DES_EDE_CBC_SHA"),
    (0xC009, "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA"),
    (0xC00A, "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA"),
    (0xC011, "TLS_ECDHE_RSA_WITH_RC4_128_SHA"),
    (0xC012, "TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA"),
    (0xC013, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA"),
    (0xC014, "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA"),
    (0xC023, "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256"),
    (0xC024, "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384"),
    (0xC027, "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256"),
    (0xC028, "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384"),
    (0xC02B, "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"),
    (0xC02C, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"),
    (0xC02F, "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256"),
    (0xC030, "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384"),
    (0xC09C, "TLS_RSA_WITH_AES_128_CCM"),
    (0xC09D, "TLS_RSA_WITH_AES_256_CCM"),
    (0xC09E, "TLS_DHE_RSA_WITH_AES_128_CCM"),
    (0xC09F, "TLS_DHE_RSA_WITH_AES_256_CCM"),
    (0xC0AC, "TLS_ECDHE_ECDSA_WITH_AES_128_CCM"),
    (0xC0AD, "TLS_ECDHE_ECDSA_WITH_AES_256_CCM"),
    (0xCCA8, "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256"),
    (0xCCA9, "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"),
    (0xCCAA, "TLS_DHE_RSA_WITH_CHACHA20_POLY1305_SHA256"),
];
