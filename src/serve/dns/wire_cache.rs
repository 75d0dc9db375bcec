//! Caches answers by the bytes of their queries: a repeated query is neither parsed nor encoded again.

use std::collections::HashMap;

use super::summary::AnswerSummary;

/// The longest query that is cached.
const QUESTION: usize = 512;
/// The size of the cache in bytes.
const ROOM: usize = 4 << 20;
/// The overhead of an entry in bytes.
const OVERHEAD: usize = 128;
/// Length of the message ID, the only bytes in which two equal queries may differ.
const ID: usize = 2;

type Bytes = Box<[u8]>;

/// Answers to queries over UDP. Times are nanoseconds on the run's clock.
#[derive(Debug, Default)]
pub(super) struct WireCache {
    answers: HashMap<Bytes, WireEntry>,
    used: usize,
    /// The version of the zones that the answers were made from.
    changes: u64,
}

#[derive(Debug)]
struct WireEntry {
    answer: Bytes,
    summary: AnswerSummary,
    until: u64,
}

impl WireCache {
    /// Writes the cached answer to a query into `reply`, and returns its summary.
    pub(super) fn get(
        &self,
        question: &[u8],
        changes: u64,
        now: u64,
        reply: &mut Vec<u8>,
    ) -> Option<&AnswerSummary> {
        if changes != self.changes {
            return None;
        }
        let (id, rest) = question.split_at_checked(ID)?;
        let WireEntry { answer, summary, .. } = self.answers.get(rest).filter(|kept| now < kept.until)?;
        reply.clear();
        reply.extend_from_slice(id);
        reply.extend_from_slice(answer);
        Some(summary)
    }

    /// Caches the answer to a query until a time.
    pub(super) fn put(
        &mut self,
        question: &[u8],
        changes: u64,
        until: u64,
        reply: &[u8],
        summary: &AnswerSummary,
    ) {
        let (Some(rest), Some(answer)) = (question.get(ID..), reply.get(ID..)) else { return };
        if rest.len() > QUESTION {
            return;
        }
        let size = rest.len() + answer.len() + OVERHEAD;
        if changes != self.changes || self.used + size > ROOM {
            // Clearing the cache is rare, and cheaper than tracking the oldest entry.
            *self = Self { changes, ..Self::default() };
        }
        self.used += size;
        let kept = WireEntry { answer: answer.into(), summary: summary.clone(), until };
        if let Some(before) = self.answers.insert(rest.into(), kept) {
            self.used -= rest.len() + before.answer.len() + OVERHEAD;
        }
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::op::ResponseCode;

    use super::*;

    #[test]
    fn an_answer_goes_to_every_question_of_the_same_bytes() {
        let mut wire_cache = WireCache::default();
        let summary = AnswerSummary::refused(ResponseCode::NoError, 5);
        wire_cache.put(b"\x00\x01question", 7, 1000, b"\x00\x01answer", &summary);
        let get = |question: &[u8], changes, now| {
            let mut reply = b"before".to_vec();
            wire_cache.get(question, changes, now, &mut reply).map(|_| reply)
        };
        assert_eq!(get(b"\xab\xcdquestion", 7, 999).as_deref(), Some(&b"\xab\xcdanswer"[..]));
        assert_eq!(get(b"\xab\xcdquestion", 8, 999), None, "the zones have changed");
        assert_eq!(get(b"\xab\xcdquestion", 7, 1000), None, "its time is over");
        assert_eq!(get(b"\xab\xcdQuestion", 7, 999), None);
        assert_eq!(get(b"\xab", 7, 999), None);
    }

    #[test]
    fn room_is_bounded() {
        let mut wire_cache = WireCache::default();
        let summary = AnswerSummary::refused(ResponseCode::NoError, 5);
        for number in 0..100_000_u32 {
            // Each query twice.
            let question = [&[0, 0], &(number / 2).to_be_bytes()[..]].concat();
            wire_cache.put(&question, 0, u64::MAX, &[0; 200], &summary);
            assert!(wire_cache.used <= ROOM && wire_cache.answers.len() <= ROOM / OVERHEAD);
        }
        wire_cache.put(&[0; 1000], 0, u64::MAX, &[0; 10], &summary);
        assert!(!wire_cache.answers.contains_key(&[0; 998][..]), "nobody asks that twice");
    }
}
