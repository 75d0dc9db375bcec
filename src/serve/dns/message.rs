//! Parses queries and writes answers.

use std::net::SocketAddr;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::Record;

use super::rule::Rule;

/// The largest UDP answer that no link fragments.
pub(super) const PAYLOAD: u16 = 1232;
/// The largest UDP answer to a client without EDNS (RFC 1035, section 4.2.1).
const PLAIN: u16 = 512;
/// Length of the header.
const HEADER: usize = 12;
/// Clients do not use ports below this one, except name servers.
const FIRST_CLIENT_PORT: u16 = 1024;
const DNS_PORT: u16 = 53;

/// The transport of a query.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Transport {
    Udp,
    Tcp,
}

/// One query.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Request {
    id: u16,
    pub(super) query: Query,
    pub(super) recursion_desired: bool,
    /// The client validates signatures itself (CD).
    pub(super) checking_disabled: bool,
    /// The client understands the AD flag of answers (AD or DO is set).
    wants_authentic: bool,
    edns: Option<EdnsRequest>,
    transport: Transport,
}

/// The EDNS parameters of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct EdnsRequest {
    payload: u16,
    dnssec: bool,
    version: u8,
    /// Whether it has EDNS options, which make every query unique.
    options: bool,
}

/// Why there is nothing to look up.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum DnsError {
    /// The packet gets no answer: it is itself an answer or too short.
    Silence,
    /// An error reply, and its response code.
    Reply(Vec<u8>, ResponseCode),
}

/// The content of an answer.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct OwnAnswer {
    pub(super) code: ResponseCode,
    pub(super) authoritative: bool,
    /// Whether signatures were validated.
    pub(super) authentic: bool,
    pub(super) answers: Vec<Record>,
    /// Start of authority, which limits how long a negative answer is cached.
    pub(super) authorities: Vec<Record>,
    pub(super) rule: Rule,
}

impl OwnAnswer {
    /// Creates a non-authoritative answer without records.
    pub(super) fn bare(code: ResponseCode, rule: Rule) -> Self {
        let (answers, authorities) = (Vec::new(), Vec::new());
        Self { code, authoritative: false, authentic: false, answers, authorities, rule }
    }
}

/// Tells whether an answer may be sent to this address and port.
///
/// Port 0 is never used, and services below 1024 (echo, chargen, time) would take the answer for a request and reply
/// to it. Name servers send queries from port 53.
pub(super) fn may_answer(to: SocketAddr) -> bool {
    let port = to.port();
    (port == DNS_PORT || port >= FIRST_CLIENT_PORT) && !to.ip().is_unspecified() && !to.ip().is_multicast()
}

impl Request {
    /// Parses a query.
    pub(super) fn decode(packet: &[u8], transport: Transport) -> Result<Self, DnsError> {
        let Some(header) = packet.first_chunk::<HEADER>() else { return Err(DnsError::Silence) };
        if header[2] & 0x80 != 0 {
            // An answer: two servers must not reply to each other forever.
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

    /// Tells whether a query of the same bytes gets the same answer.
    pub(super) fn is_plain(&self) -> bool {
        self.edns.is_none_or(|edns| !edns.options)
    }

    /// Tells whether the client asks for signatures (DO).
    pub(super) fn dnssec(&self) -> bool {
        self.edns.is_some_and(|edns| edns.dnssec)
    }

    /// Tells whether the client uses an unknown version of EDNS.
    pub(super) fn is_from_the_future(&self) -> bool {
        self.edns.is_some_and(|edns| edns.version > 0)
    }

    /// Encodes an answer, truncated if it exceeds the client's limit; returns whether it was.
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
        // The query came over the same transport, so it fits.
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
        message.edns = self.edns.map(|requested| {
            let mut edns = Edns::new();
            edns.set_version(0).set_rcode_high(own.code.high()).set_max_payload(PAYLOAD);
            edns.set_dnssec_ok(requested.dnssec);
            edns
        });
        message.queries.push(self.query.clone());
        message.answers.clone_from(&own.answers);
        message.authorities.clone_from(&own.authorities);
        message.to_vec().ok()
    }
}

/// Creates an error reply that consists of a header only.
fn refuse(header: &[u8; HEADER], code: ResponseCode) -> DnsError {
    let mut reply = [0; HEADER];
    reply[..2].copy_from_slice(&header[..2]);
    // A response with the same opcode and the RD flag of the query.
    reply[2] = 0x80 | header[2] & 0x79;
    reply[3] = code.low();
    DnsError::Reply(reply.to_vec(), code)
}
