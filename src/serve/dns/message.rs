//! Questions as they come in and answers as they go out, byte for byte.

use std::net::SocketAddr;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::Record;

use super::rule::Rule;
use crate::event::DnsCode;

/// The largest answer over UDP that no link fragments.
pub(super) const PAYLOAD: u16 = 1232;
/// The largest answer over UDP to who does not say what it takes (RFC 1035, section 4.2.1).
const PLAIN: u16 = 512;
/// Bytes of a header.
const HEADER: usize = 12;
/// Below that nobody asks, but for servers that ask each other.
const FIRST_CLIENT_PORT: u16 = 1024;
const DNS_PORT: u16 = 53;

/// By what a question came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Udp,
    Tcp,
}

/// One question.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Request {
    id: u16,
    pub(super) query: Query,
    pub(super) recursion_desired: bool,
    /// The client checks signatures itself (CD).
    pub(super) checking_disabled: bool,
    /// The client understands that we say whether signatures were checked (AD, or DO).
    wants_authentic: bool,
    edns: Option<EdnsRequest>,
    transport: Transport,
}

/// What a client says by EDNS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct EdnsRequest {
    payload: u16,
    dnssec: bool,
    version: u8,
    /// Whether it says more, which makes no two questions of it alike.
    options: bool,
}

/// Why there is nothing to look up.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum DnsError {
    /// Nobody waits for an answer, or it would go to somebody who did not ask.
    Silence,
    /// What is answered, and how that is called.
    Reply(Vec<u8>, ResponseCode),
}

/// What is answered.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct OwnAnswer {
    pub(super) code: ResponseCode,
    pub(super) authoritative: bool,
    /// Whether somebody checked signatures.
    pub(super) authentic: bool,
    pub(super) answers: Vec<Record>,
    /// Start of authority, which says for how long a "no" is believed.
    pub(super) authorities: Vec<Record>,
    pub(super) rule: Rule,
}

impl OwnAnswer {
    /// An answer without records that nobody has authority for.
    pub(super) fn bare(code: ResponseCode, rule: Rule) -> Self {
        let (answers, authorities) = (Vec::new(), Vec::new());
        Self { code, authoritative: false, authentic: false, answers, authorities, rule }
    }
}

/// Tells whether what is at a port and address asks questions at all.
///
/// Port 0 is nobody's, and what listens below 1024 (echo, chargen, time) would take the answer for a question and send
/// one back. Name servers ask from their own port.
pub(super) fn may_answer(to: SocketAddr) -> bool {
    let port = to.port();
    (port == DNS_PORT || port >= FIRST_CLIENT_PORT) && !to.ip().is_unspecified() && !to.ip().is_multicast()
}

impl Request {
    /// Reads a question.
    pub(super) fn decode(packet: &[u8], transport: Transport) -> Result<Self, DnsError> {
        let Some(header) = packet.first_chunk::<HEADER>() else { return Err(DnsError::Silence) };
        if header[2] & 0x80 != 0 {
            // An answer: two servers must not talk to each other for ever.
            return Err(DnsError::Silence);
        }
        if OpCode::from_u8(header[2] >> 3 & 15) != OpCode::Query {
            return Err(refuse(header, ResponseCode::NotImp));
        }
        let malformed = || refuse(header, ResponseCode::FormErr);
        let message = Message::from_vec(packet).map_err(|_| malformed())?;
        let [query] = message.queries.as_slice() else { return Err(malformed()) };
        let edns = message.edns.as_ref().map(|edns| EdnsRequest {
            payload: edns.max_payload().clamp(PLAIN, PAYLOAD),
            dnssec: edns.flags().dnssec_ok,
            version: edns.version(),
            options: !edns.options().as_ref().is_empty(),
        });
        let metadata = &message.metadata;
        Ok(Self {
            id: metadata.id,
            query: query.clone(),
            recursion_desired: metadata.recursion_desired,
            checking_disabled: metadata.checking_disabled,
            wants_authentic: metadata.authentic_data || edns.is_some_and(|edns| edns.dnssec),
            edns,
            transport,
        })
    }

    /// Tells whether the same bytes may be asked again, and answered the same.
    pub(super) fn is_plain(&self) -> bool {
        self.edns.is_none_or(|edns| !edns.options)
    }

    /// Tells whether the client wants signatures.
    pub(super) fn dnssec(&self) -> bool {
        self.edns.is_some_and(|edns| edns.dnssec)
    }

    /// Tells whether the client speaks an EDNS that is not known yet.
    pub(super) fn is_from_the_future(&self) -> bool {
        self.edns.is_some_and(|edns| edns.version > 0)
    }

    /// Writes an answer, cut off where the client has no room for it, and tells whether it is.
    pub(super) fn answer(&self, own: &OwnAnswer, recursion_available: bool) -> (Vec<u8>, bool) {
        let limit = match (self.transport, self.edns) {
            (Transport::Tcp, _) => usize::from(u16::MAX),
            (Transport::Udp, Some(edns)) => usize::from(edns.payload),
            (Transport::Udp, None) => usize::from(PLAIN),
        };
        let whole = self.write(own, recursion_available, false).filter(|bytes| bytes.len() <= limit);
        if let Some(bytes) = whole {
            return (bytes, false);
        }
        let empty = OwnAnswer { answers: Vec::new(), authorities: Vec::new(), ..own.clone() };
        // The question came by the same way, so it fits.
        (self.write(&empty, recursion_available, true).unwrap_or_default(), true)
    }

    fn write(&self, own: &OwnAnswer, recursion_available: bool, truncated: bool) -> Option<Vec<u8>> {
        let mut message = Message::new(self.id, MessageType::Response, OpCode::Query);
        let metadata = &mut message.metadata;
        metadata.recursion_desired = self.recursion_desired;
        metadata.recursion_available = recursion_available;
        metadata.checking_disabled = self.checking_disabled;
        metadata.authentic_data = own.authentic && self.wants_authentic;
        metadata.authoritative = own.authoritative;
        metadata.truncation = truncated;
        metadata.response_code = own.code;
        message.edns = self.edns.map(|asked| {
            let mut edns = Edns::new();
            edns.set_version(0).set_rcode_high(own.code.high()).set_max_payload(PAYLOAD);
            edns.set_dnssec_ok(asked.dnssec);
            edns
        });
        message.queries.push(self.query.clone());
        message.answers.clone_from(&own.answers);
        message.authorities.clone_from(&own.authorities);
        message.to_vec().ok()
    }
}

/// Refuses what cannot be read, or is no question: a header alone.
fn refuse(header: &[u8; HEADER], code: ResponseCode) -> DnsError {
    let mut reply = [0; HEADER];
    reply[..2].copy_from_slice(&header[..2]);
    // An answer of the same kind, recursion as desired.
    reply[2] = 0x80 | header[2] & 0x79;
    reply[3] = code.low();
    DnsError::Reply(reply.to_vec(), code)
}

/// Names a response code as `dig` does.
pub(super) fn code_name(code: ResponseCode) -> DnsCode {
    match code {
        ResponseCode::NoError => DnsCode::NoError,
        ResponseCode::FormErr => DnsCode::FormErr,
        ResponseCode::ServFail => DnsCode::ServFail,
        ResponseCode::NXDomain => DnsCode::NxDomain,
        ResponseCode::NotImp => DnsCode::NotImp,
        ResponseCode::Refused => DnsCode::Refused,
        // One number, and nobody signs questions here.
        ResponseCode::BADVERS | ResponseCode::BADSIG => DnsCode::BadVers,
        other => DnsCode::Other(format!("RCODE{}", u16::from(other))),
    }
}
