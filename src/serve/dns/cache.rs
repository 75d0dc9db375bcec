//! Caches upstream answers for their time to live.

use std::collections::{HashMap, VecDeque};

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{DNSClass, Name, RData, RecordType};

use super::message::OwnAnswer;
use super::rule::Rule;

const SECOND: u64 = 1_000_000_000;
/// The longest TTL of positive and negative answers (RFC 2308, section 5), in seconds.
const LONGEST: u32 = 86_400;
const LONGEST_NO: u32 = 3_600;
/// The maximum number of cached answers, and of records in total.
const ANSWERS: usize = 4096;
const RECORDS: usize = 4 * ANSWERS;

/// The key of a cached answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Question {
    /// In lower case.
    pub(super) name: Name,
    pub(super) class: DNSClass,
    pub(super) record: RecordType,
    /// Whether signatures are requested (DO), and whether the client validates them itself (CD).
    pub(super) dnssec: bool,
    pub(super) checking_disabled: bool,
}

/// Answers of upstream servers. Times are nanoseconds.
#[derive(Debug, Default)]
pub(super) struct Cache {
    answers: HashMap<Question, CacheEntry>,
    /// Answers in the order of their arrival, to evict the oldest.
    order: VecDeque<(Question, u64)>,
    // Invariant: the sum over `answers`.
    records: usize,
}

#[derive(Debug)]
struct CacheEntry {
    own: OwnAnswer,
    since: u64,
    until: u64,
}

impl CacheEntry {
    fn records(&self) -> usize {
        self.own.answers.len() + self.own.authorities.len() + 1
    }
}

impl Cache {
    /// Returns an answer that is still valid, with TTLs reduced by its age, and the time of the next reduction.
    pub(super) fn get(&self, question: &Question, now: u64) -> Option<(OwnAnswer, u64)> {
        let CacheEntry { own, since, until } = self.answers.get(question)?;
        if now >= *until {
            return None;
        }
        let mut own = OwnAnswer { rule: Rule::Cache, ..own.clone() };
        let age = now.saturating_sub(*since) / SECOND;
        let same_until = since + (age + 1) * SECOND;
        let age = u32::try_from(age).unwrap_or(u32::MAX);
        for record in own.answers.iter_mut().chain(&mut own.authorities) {
            record.ttl = record.ttl.saturating_sub(age);
        }
        Some((own, same_until.min(*until)))
    }

    /// Caches an answer for its TTL.
    pub(super) fn put(&mut self, question: Question, own: &OwnAnswer, now: u64) {
        let Some(seconds) = lifetime(own).filter(|seconds| *seconds > 0) else { return };
        let kept = CacheEntry { own: own.clone(), since: now, until: now + u64::from(seconds) * SECOND };
        if kept.records() > RECORDS / 16 {
            return;
        }
        self.records += kept.records();
        self.order.push_back((question.clone(), now));
        if let Some(before) = self.answers.insert(question, kept) {
            self.records -= before.records();
        }
        while self.answers.len() > ANSWERS || self.records > RECORDS || self.order.len() > 2 * ANSWERS {
            let Some((question, since)) = self.order.pop_front() else { break };
            if self.answers.get(&question).is_some_and(|kept| kept.since == since)
                && let Some(kept) = self.answers.remove(&question)
            {
                self.records -= kept.records();
            }
        }
    }
}

/// Returns for how many seconds an answer is valid; `None` if it does not say.
fn lifetime(own: &OwnAnswer) -> Option<u32> {
    match (own.code, own.answers.iter().map(|record| record.ttl).min()) {
        (ResponseCode::NoError, Some(shortest)) if !is_no(own) => Some(shortest.min(LONGEST)),
        (ResponseCode::NoError | ResponseCode::NXDomain, shortest) => {
            let no = own.authorities.iter().find_map(|record| match &record.data {
                RData::SOA(soa) => Some(record.ttl.min(soa.minimum)),
                _ => None,
            })?;
            Some(shortest.unwrap_or(no).min(no).min(LONGEST_NO))
        }
        _ => None,
    }
}

/// Tells whether the answer is negative, also at the end of aliases.
fn is_no(own: &OwnAnswer) -> bool {
    let has_soa = own.authorities.iter().any(|record| record.record_type() == RecordType::SOA);
    has_soa && own.answers.iter().all(|record| record.record_type() == RecordType::CNAME)
}

#[cfg(test)]
mod tests {
    use hickory_proto::rr::Record;
    use hickory_proto::rr::rdata::SOA;

    use super::*;

    fn question(name: &str) -> Question {
        Question {
            name: Name::from_ascii(name).unwrap(),
            class: DNSClass::IN,
            record: RecordType::A,
            dnssec: false,
            checking_disabled: false,
        }
    }

    fn address(ttl: u32) -> Record {
        Record::from_rdata(
            Name::from_ascii("a.example.").unwrap(),
            ttl,
            RData::from(std::net::Ipv4Addr::LOCALHOST),
        )
    }

    fn soa(ttl: u32, minimum: u32) -> Record {
        let name = Name::from_ascii("example.").unwrap();
        let soa = SOA::new(name.clone(), name.clone(), 1, 2, 3, 4, minimum);
        Record::from_rdata(name, ttl, RData::SOA(soa))
    }

    fn own(code: ResponseCode, answers: Vec<Record>, authorities: Vec<Record>) -> OwnAnswer {
        OwnAnswer { answers, authorities, ..OwnAnswer::bare(code, Rule::Silence) }
    }

    #[test]
    fn answers_hold_as_long_as_they_say() {
        use ResponseCode::{NXDomain, NoError, ServFail};
        for (own, seconds) in [
            (own(NoError, vec![address(60), address(30)], vec![]), Some(30)),
            (own(NoError, vec![address(0)], vec![]), Some(0)),
            (own(NoError, vec![address(u32::MAX)], vec![]), Some(LONGEST)),
            (own(NoError, vec![address(60)], vec![soa(5, 5)]), Some(60)),
            (own(NXDomain, vec![], vec![soa(900, 60)]), Some(60)),
            (own(NoError, vec![], vec![soa(20, 60)]), Some(20)),
            (own(NXDomain, vec![], vec![soa(u32::MAX, u32::MAX)]), Some(LONGEST_NO)),
            (own(NXDomain, vec![], vec![]), None),
            (own(NoError, vec![], vec![]), None),
            (own(ServFail, vec![], vec![soa(60, 60)]), None),
        ] {
            assert_eq!(lifetime(&own), seconds, "{own:?}");
        }
    }

    #[test]
    fn a_kept_answer_ages_and_ends() {
        let mut cache = Cache::default();
        cache.put(question("a.example."), &own(ResponseCode::NoError, vec![address(60)], vec![]), 5 * SECOND);
        let ttl = |now| {
            let (own, until) = cache.get(&question("a.example."), now)?;
            Some((own.answers[0].ttl, own.rule, until))
        };
        assert_eq!(ttl(5 * SECOND), Some((60, Rule::Cache, 6 * SECOND)));
        assert_eq!(ttl(64 * SECOND + 1), Some((1, Rule::Cache, 65 * SECOND)));
        assert_eq!(ttl(65 * SECOND), None);
        assert!(cache.get(&Question { dnssec: true, ..question("a.example.") }, 5 * SECOND).is_none());
    }

    #[test]
    fn the_oldest_makes_room() {
        let mut cache = Cache::default();
        let name = |number: usize| question(&format!("n{number}.example."));
        let ok = own(ResponseCode::NoError, vec![address(60)], vec![]);
        for number in 0..3 * ANSWERS {
            cache.put(name(number), &ok, 0);
            // Repeated answers to one question take no more room.
            cache.put(name(0), &ok, number as u64);
            assert!(cache.answers.len() <= ANSWERS && cache.order.len() <= 2 * ANSWERS);
            assert!(cache.records <= RECORDS);
        }
        assert!(cache.get(&name(1), 1).is_none());
        assert!(cache.get(&name(3 * ANSWERS - 1), 1).is_some());
        let large = own(ResponseCode::NoError, vec![address(60); RECORDS / 8], vec![]);
        cache.put(name(1), &large, 0);
        assert!(cache.get(&name(1), 1).is_none(), "one answer does not push out a quarter of all");
    }
}
