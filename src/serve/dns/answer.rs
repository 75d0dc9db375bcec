//! Turns a query into a reply, or into a query for upstream servers.

use std::net::SocketAddr;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::cache::Question;
use super::message::{DnsError, OwnAnswer, Request, Transport};
use super::rule::Rule;
use super::summary::AnswerSummary;
use super::zones::{Answer, Zones};
use crate::lab::DnsFault;

/// What to do with a packet.
#[derive(Debug)]
pub(super) enum Outcome {
    /// Drop it.
    Silence,
    /// Send a reply.
    Reply(Reply),
    /// Query an upstream server first.
    Ask(Box<Ask>),
}

/// A reply.
#[derive(Debug)]
pub(super) struct Reply {
    pub(super) bytes: Vec<u8>,
    pub(super) summary: AnswerSummary,
    /// How long the same query gets the same answer while the zones do not change, in nanoseconds on the run's clock;
    /// 0 if it must not be cached.
    pub(super) until: u64,
}

/// A query for upstream servers, and the client's query.
#[derive(Debug)]
pub(super) struct Ask {
    request: Request,
    pub(super) question: Question,
    /// CNAME records of the lab that point to the upstream name.
    aliases: Vec<Record>,
}

/// Answers a packet.
pub(super) fn answer(zones: &Zones, packet: &[u8], from: SocketAddr, transport: Transport) -> Outcome {
    if transport == Transport::Udp && !zones.may_answer(from) {
        return Outcome::Silence;
    }
    let request = match Request::decode(packet, transport) {
        Ok(request) => request,
        Err(DnsError::Silence) => return Outcome::Silence,
        Err(DnsError::Reply(bytes, code)) => {
            let summary = AnswerSummary::refused(code, bytes.len());
            return Outcome::Reply(Reply { bytes, summary, until: 0 });
        }
    };
    let forwards = !zones.upstream.is_empty();
    let own = if request.is_from_the_future() {
        OwnAnswer::bare(ResponseCode::BADVERS, Rule::Protocol)
    } else {
        let query = &request.query;
        match zones.answer(query.name(), query.query_class(), query.query_type()) {
            Answer::Lab(own) => *own,
            Answer::Upstream { .. } if !request.recursion_desired => {
                OwnAnswer::bare(ResponseCode::Refused, Rule::Protocol)
            }
            Answer::Upstream { name, aliases } => {
                let question = question(&request, &name);
                return Outcome::Ask(Box::new(Ask { request, question, aliases }));
            }
        }
    };
    Outcome::Reply(reply(&request, &own, forwards, u64::MAX))
}

impl Ask {
    /// Builds the reply from an upstream answer, which is valid until a time.
    pub(super) fn finish(&self, mut own: OwnAnswer, until: u64) -> Reply {
        own.answers.splice(0..0, self.aliases.iter().cloned());
        reply(&self.request, &own, true, until)
    }
}

/// Returns what a client gets instead of the answer, if something is to go wrong: `strike` decides, for a fault that
/// changes the answer.
pub(super) fn spoilt(
    packet: &[u8],
    transport: Transport,
    strike: impl FnOnce(&dyn Fn(DnsFault) -> bool) -> Option<DnsFault>,
) -> Option<Outcome> {
    let request = Request::decode(packet, transport).ok()?;
    let record = request.query.query_type();
    let changes = |fault: DnsFault| match fault {
        DnsFault::NoSuchName | DnsFault::Silent => true,
        DnsFault::WrongAddress | DnsFault::Ipv6Only => record == RecordType::A,
    };
    let answers = match strike(&changes)? {
        DnsFault::Silent => return Some(Outcome::Silence),
        DnsFault::NoSuchName => {
            let own = OwnAnswer::bare(ResponseCode::NXDomain, Rule::Zone);
            return Some(Outcome::Reply(reply(&request, &own, true, 0)));
        }
        DnsFault::Ipv6Only => Vec::new(),
        DnsFault::WrongAddress => {
            let nobody = RData::A(A::new(192, 0, 2, 1));
            vec![Record::from_rdata(request.query.name().clone(), 0, nobody)]
        }
    };
    let own = OwnAnswer { answers, ..OwnAnswer::bare(ResponseCode::NoError, Rule::Zone) };
    Some(Outcome::Reply(reply(&request, &own, true, 0)))
}

fn question(request: &Request, name: &Name) -> Question {
    Question {
        name: name.to_lowercase(),
        class: request.query.query_class(),
        record: request.query.query_type(),
        dnssec: request.dnssec(),
        checking_disabled: request.checking_disabled,
    }
}

fn reply(request: &Request, own: &OwnAnswer, recursion_available: bool, until: u64) -> Reply {
    let (bytes, cut) = request.answer(own, recursion_available);
    let summary = AnswerSummary::new(&request.query, own, bytes.len(), cut);
    Reply { bytes, summary, until: if request.is_plain() { until } else { 0 } }
}

#[cfg(test)]
mod tests;
