//! The summary of an answer.

use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, LazyLock};

use hickory_proto::op::{Query, ResponseCode};

use super::message::OwnAnswer;
use crate::event::{DnsCode, Known};
use crate::serve::repeats::Fact;
use crate::wire::dns::{code_name, records};

/// The summary of an answer. Cheap to clone, since most answers are sent repeatedly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AnswerSummary(Arc<Words>);

#[derive(Debug, PartialEq, Eq)]
struct Words {
    name: String,
    record: String,
    code: DnsCode,
    answer: Vec<String>,
    bytes: u64,
    rule: String,
    key: u64,
}

impl AnswerSummary {
    /// Summarises an answer of `bytes` bytes, which may be truncated.
    pub(super) fn new(query: &Query, own: &OwnAnswer, bytes: usize, cut: bool) -> Self {
        let (name, record) = (query.name().to_string(), query.query_type().to_string());
        let answer = if cut { Vec::new() } else { records(&own.answers) };
        let rule = if cut { format!("{}, cut off", own.rule) } else { own.rule.to_string() };
        Self::of(name, record, own.code, answer, rule, bytes)
    }

    /// Summarises an error reply.
    pub(super) fn refused(code: ResponseCode, bytes: usize) -> Self {
        Self::of(
            String::new(),
            String::new(),
            code,
            Vec::new(),
            super::rule::Rule::Protocol.to_string(),
            bytes,
        )
    }

    fn of(
        name: String,
        record: String,
        code: ResponseCode,
        answer: Vec<String>,
        rule: String,
        bytes: usize,
    ) -> Self {
        // Clients choose the names, so they must not be able to predict hashes.
        static HASHER: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        let code = code_name(code);
        let key = HASHER.hash_one((&name, &record, &code, rule.ends_with("cut off")));
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        Self(Arc::new(Words { name, record, code, answer, bytes, rule, key }))
    }
}

impl Fact for AnswerSummary {
    fn key(&self) -> u64 {
        self.0.key
    }

    fn known(&self, us: u64, count: Option<u64>) -> Known {
        let Words { name, record, code, answer, bytes, rule, key: _ } = &*self.0;
        Known::DnsAnswered {
            server: None,
            name: name.clone(),
            record: record.clone(),
            code: code.clone(),
            rule: rule.clone(),
            answer: answer.clone(),
            bytes: *bytes,
            us,
            count,
        }
    }
}
