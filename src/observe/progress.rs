//! Progress of a node: what moves it on, and what only repeats itself.
//!
//! What a node sends or writes counts once in each boot. A request that is sent again, a line that is printed again and
//! a frame that it receives are no progress, and neither is a boot that goes no further than the two before it.

use std::collections::{BTreeMap, HashSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::LazyLock;

use regex::Regex;

use super::Sighting;
use crate::event::{BootedFrom, Delivery, Known, PowerCause, RunTime, Stage};

/// How many different things of a boot are remembered; after that, nothing counts as repeated.
const MOST: usize = 1 << 16;

/// What changes in a line that is printed again: the time of a kernel, of a day, and how long something has taken.
static TIMES: LazyLock<Regex> = LazyLock::new(|| {
    let times = r"^\[ *[0-9]+\.[0-9]+\] ?|[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?|[0-9]+(\.[0-9]+)? ?(ms|s|sec|min|h)\b";
    Regex::new(times).expect("a regular expression")
});

/// The progress of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Progress {
    last: Option<Sighting>,
    /// Digests of what was sent and written in this boot.
    done: HashSet<u64>,
    /// The most bytes of each file that were fetched in this boot.
    fetched: BTreeMap<String, u64>,
    way: Way,
    /// How far the boot before this one went.
    before: Option<Way>,
    /// Whether that one went no further than the one before it.
    repeats: bool,
}

/// How far a boot went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Way {
    stage: Option<Stage>,
    from: Option<BootedFrom>,
}

impl Progress {
    /// Returns what last moved the node on.
    pub fn last(&self) -> Option<&Sighting> {
        self.last.as_ref()
    }

    /// Applies an event of the node, after which it is at a stage. `appeared`: lines that are new on its screen.
    pub(super) fn see(
        &mut self,
        at: RunTime,
        known: &Known,
        appeared: &[String],
        stage: Stage,
        from: Option<BootedFrom>,
    ) {
        match known {
            Known::PoweredOn {} => self.begin(true),
            Known::Reset { why } => self.begin(*why != PowerCause::Guest),
            Known::BootSeen {} => self.begin(false),
            _ => {}
        }
        let is_further = self.way.stage.is_none_or(|way| way < stage) || self.way.from != from;
        self.way = Way { stage: self.way.stage.max(Some(stage)), from };
        let is_new = self.is_new(known, appeared) || is_further;
        if is_new && !self.is_loop() {
            let what = known.sighting().unwrap_or_else(|| known.to_string());
            self.last = Some(Sighting { at, what });
        }
    }

    /// Begins a boot. One that somebody asked for repeats nothing.
    fn begin(&mut self, is_asked: bool) {
        let ended = std::mem::take(&mut self.way);
        self.done.clear();
        self.fetched.clear();
        if is_asked {
            (self.before, self.repeats) = (None, false);
        } else {
            self.repeats = self.before.is_some_and(|before| !ended.is_beyond(before));
            self.before = Some(ended);
        }
    }

    /// Tells whether two boots were alike, and this one goes no further so far.
    fn is_loop(&self) -> bool {
        self.repeats && self.before.is_some_and(|before| !self.way.is_beyond(before))
    }

    fn is_new(&mut self, known: &Known, appeared: &[String]) -> bool {
        match known {
            Known::ConsoleLine { text } => self.is_first(("line", TIMES.replace_all(text.trim(), ""))),
            Known::ScreenShown { .. } => {
                // Each of them is remembered.
                let new: Vec<bool> = appeared
                    .iter()
                    .map(|line| self.is_first(("line", TIMES.replace_all(line.trim(), ""))))
                    .collect();
                new.contains(&true)
            }
            Known::SyslogLine { app, text, .. } => self.is_first((app, TIMES.replace_all(text, ""))),
            Known::DhcpReplied { request, client, .. } | Known::DhcpAsked { request, client, .. } => {
                self.is_first(("dhcp", request.to_string(), client.to_string()))
            }
            Known::Fetching { path, bytes, .. } => {
                let most = self.fetched.entry(path.clone()).or_default();
                let is_more = *bytes > *most;
                *most = (*most).max(*bytes);
                is_more
            }
            Known::TftpServed { .. } | Known::HttpServed { .. } => match known.delivery() {
                Some(Delivery { path, bytes, .. }) => self.is_first(("file", path, bytes)),
                None => false,
            },
            Known::DnsAnswered { name, .. } => self.is_first(("dns", name)),
            Known::NtpAnswered { .. } => self.is_first("ntp"),
            Known::RouterSolicited { network } => self.is_first(("router", network)),
            Known::AddressLearned { address, .. } => self.is_first(("address", address)),
            Known::TlsOffered { server, .. } => self.is_first(("tls", server)),
            Known::PoweredOn {}
            | Known::Reset { .. }
            | Known::BootSeen {}
            | Known::PoweredOff { .. }
            | Known::DiskWritten { .. } => true,
            _ => false,
        }
    }

    /// Tells whether this was not seen in this boot, and remembers it.
    fn is_first(&mut self, what: impl Hash) -> bool {
        let mut hasher = DefaultHasher::new();
        what.hash(&mut hasher);
        let digest = hasher.finish();
        if self.done.len() < MOST { self.done.insert(digest) } else { !self.done.contains(&digest) }
    }
}

impl Way {
    /// Tells whether it goes further than another one, or comes from elsewhere.
    fn is_beyond(self, other: Self) -> bool {
        self.stage > other.stage || (self.from.is_some() && self.from != other.from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::examples::{console, http, lease};

    /// Applies events one second apart, and returns the seconds in which the node made progress.
    fn progress(kinds: impl IntoIterator<Item = (Known, Stage)>) -> Vec<u64> {
        let mut progress = Progress::default();
        let mut moved = Vec::new();
        for (second, (known, stage)) in (0..).zip(kinds) {
            let at = RunTime::from_nanos(second * 1_000_000_000);
            progress.see(at, &known, &[], stage, None);
            if progress.last().is_some_and(|last| last.at == at) {
                moved.push(second);
            }
        }
        moved
    }

    fn reset() -> Known {
        Known::Reset { why: PowerCause::Guest }
    }

    #[test]
    fn what_is_sent_or_printed_again_is_none() {
        let kinds = [
            (Known::PoweredOn {}, Stage::Firmware),
            (lease("firmware", "ack"), Stage::Dhcp),
            (lease("firmware", "ack"), Stage::Dhcp),
            (http("kernel", 200, true), Stage::Kernel),
            (http("kernel", 200, true), Stage::Kernel),
            (console("[    1.000000] waiting for eth0"), Stage::Kernel),
            (console("[    6.000000] waiting for eth0"), Stage::Kernel),
            (console("A start job is running (12s / 1min 30s)"), Stage::Kernel),
            (console("A start job is running (13s / 1min 30s)"), Stage::Kernel),
            (console("copied 41 %"), Stage::Kernel),
            (console("copied 42 %"), Stage::Kernel),
        ];
        assert_eq!(progress(kinds), [0, 1, 3, 5, 7, 9, 10]);
    }

    #[test]
    fn a_transfer_that_starts_over_is_none_until_it_is_further() {
        let part = |bytes| (Known::Fetching { path: "/initrd".into(), bytes, total: None }, Stage::Loader);
        assert_eq!(progress([part(10), part(20), part(5), part(20), part(21)]), [0, 1, 4]);
    }

    #[test]
    fn a_third_boot_without_a_new_stage_is_none() {
        let boot = || [(reset(), Stage::Firmware), (lease("firmware", "ack"), Stage::Dhcp)];
        let further = [(http("kernel", 200, true), Stage::Kernel)];
        let first = [(Known::PoweredOn {}, Stage::Firmware), (lease("firmware", "ack"), Stage::Dhcp)];
        let all = first.into_iter().chain(boot()).chain(boot()).chain(boot()).chain(further);
        assert_eq!(progress(all), [0, 1, 2, 3, 8]);
        // One that somebody asked for is no repetition.
        let asked = [(Known::Reset { why: PowerCause::Power }, Stage::Firmware)];
        let first = [(Known::PoweredOn {}, Stage::Firmware), (lease("firmware", "ack"), Stage::Dhcp)];
        let all = first.into_iter().chain(boot()).chain(boot()).chain(asked);
        assert_eq!(progress(all), [0, 1, 2, 3, 6]);
    }
}
