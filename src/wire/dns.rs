//! DNS messages, as events have them.

use hickory_proto::op::{self, MessageType, OpCode, ResponseCode};
use hickory_proto::rr::Record;

use crate::event::DnsCode;

/// How many records of an answer are told, and how many characters of each.
const RECORDS: usize = 8;
const CHARACTERS: usize = 120;

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Query {
    pub(crate) name: String,
    pub(crate) record: String,
}

impl From<&op::Query> for Query {
    fn from(query: &op::Query) -> Self {
        Self { name: query.name().to_string(), record: query.query_type().to_string() }
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) query: Query,
    pub(crate) code: DnsCode,
    /// Its records; if there are many, only the first ones.
    pub(crate) records: Vec<String>,
}

/// A message with one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Message {
    /// From a client.
    Query { id: u16, query: Query },
    /// From a server.
    Answer { id: u16, answer: Answer },
}

impl Message {
    /// Parses a packet.
    pub(crate) fn decode(packet: &[u8]) -> Option<Self> {
        let message = op::Message::from_vec(packet).ok()?;
        let metadata = &message.metadata;
        let [query] = message.queries.as_slice() else { return None };
        if metadata.op_code != OpCode::Query {
            return None;
        }
        let (id, query) = (metadata.id, Query::from(query));
        Some(match metadata.message_type {
            MessageType::Query => Self::Query { id, query },
            MessageType::Response => {
                let (code, records) = (code_name(metadata.response_code), records(&message.answers));
                Self::Answer { id, answer: Answer { query, code, records } }
            }
        })
    }
}

/// Names a response code as `dig` does.
pub(crate) fn code_name(code: ResponseCode) -> DnsCode {
    match code {
        ResponseCode::NoError => DnsCode::NoError,
        ResponseCode::FormErr => DnsCode::FormErr,
        ResponseCode::ServFail => DnsCode::ServFail,
        ResponseCode::NXDomain => DnsCode::NxDomain,
        ResponseCode::NotImp => DnsCode::NotImp,
        ResponseCode::Refused => DnsCode::Refused,
        // Both have the same number, and there is no TSIG here.
        ResponseCode::BADVERS | ResponseCode::BADSIG => DnsCode::BadVers,
        other => DnsCode::Other(format!("RCODE{}", u16::from(other))),
    }
}

/// Writes the records of an answer; if there are many, only the first ones.
pub(crate) fn records(answers: &[Record]) -> Vec<String> {
    let mut records: Vec<String> = answers.iter().take(RECORDS).map(data).collect();
    if answers.len() > RECORDS {
        records.push(format!("{} more", answers.len() - RECORDS));
    }
    records
}

fn data(record: &Record) -> String {
    let text = record.data.to_string();
    match text.char_indices().nth(CHARACTERS) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}
