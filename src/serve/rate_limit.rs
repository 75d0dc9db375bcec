//! Rate limit for events of answers: each is emitted at once, repeats within a second are counted.
//!
//! A service that answers a hundred thousand queries a second would flood the
//! events. So repeats within a second are counted, and if there are too many
//! different answers, only their number is emitted.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::clients::Clients;
use crate::event::{Emitter, Known, Service};

/// How long repeats are counted before their number is told.
const WINDOW: Duration = Duration::from_secs(1);
/// How many different answers are told at once where there were few before: what a rack asks that boots as a whole.
const BURST: u64 = 2_000;
/// How many different answers are told each second for as long as it goes on.
const STEADY: u64 = 100;

/// Something that is told.
pub(super) trait Fact {
    /// Returns a number that is the same for what counts as a repeat.
    fn key(&self) -> u64;

    /// Makes the event of one answer that took so many microseconds, or of so many more of them.
    fn known(&self, us: u64, count: Option<u64>) -> Known;
}

/// Tells what one service answers. What is counted when it is dropped is told as well.
pub(super) struct RateLimit<F: Fact> {
    service: Service,
    clients: Clients,
    events: Emitter,
    state: Mutex<State<F>>,
    begun: Notify,
}

/// What was told and counted since the last window began.
struct State<F> {
    seen: HashMap<(IpAddr, u64), Seen<F>>,
    /// How much different may still be told.
    left: u64,
    omitted: u64,
}

/// One answer to one client within a window.
struct Seen<F> {
    fact: F,
    count: u64,
    slowest: u64,
}

impl<F: Fact + Clone> RateLimit<F> {
    /// Begins with nothing.
    pub(super) fn new(service: Service, clients: Clients, events: Emitter) -> Self {
        let state = State { seen: HashMap::new(), left: BURST, omitted: 0 };
        Self { service, clients, events, state: Mutex::new(state), begun: Notify::new() }
    }

    /// Tells of answers, each with the client and the microseconds that it took.
    pub(super) fn note<'a>(&self, answers: impl IntoIterator<Item = (IpAddr, &'a F, u64)>)
    where
        F: 'a,
    {
        let mut state = self.lock();
        let idle = state.seen.is_empty() && state.omitted == 0;
        for (client, fact, us) in answers {
            match state.take(client, fact, us) {
                Took::New => self.events.emit_maybe(self.clients.node(client).as_ref(), fact.known(us, None)),
                Took::Again | Took::TooMuch => {}
            }
        }
        if idle && (!state.seen.is_empty() || state.omitted > 0) {
            self.begun.notify_one();
        }
    }

    /// Tells what is counted whenever its second is over, for as long as it is polled.
    #[expect(clippy::disallowed_methods, reason = "a second that nobody else counts")]
    pub(super) async fn run(&self) {
        loop {
            self.begun.notified().await;
            while self.busy() {
                tokio::time::sleep(WINDOW).await;
                self.flush();
            }
        }
    }

    /// Tells whether there is something to count down: repeats, or what was told too fast.
    fn busy(&self) -> bool {
        let state = self.lock();
        !state.seen.is_empty() || state.omitted > 0 || state.left < BURST
    }
}

impl<F: Fact> RateLimit<F> {
    fn flush(&self) {
        let mut state = self.lock();
        for ((client, _), Seen { fact, count, slowest }) in std::mem::take(&mut state.seen) {
            if count > 0 {
                let known = fact.known(slowest, Some(count));
                self.events.emit_maybe(self.clients.node(client).as_ref(), known);
            }
        }
        if state.omitted > 0 {
            let count = std::mem::take(&mut state.omitted);
            self.events.emit(Known::Omitted { service: self.service.clone(), count });
        }
        state.left = BURST.min(state.left + STEADY);
    }

    fn lock(&self) -> MutexGuard<'_, State<F>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F: Fact> Drop for RateLimit<F> {
    fn drop(&mut self) {
        self.flush();
    }
}

/// What becomes of an answer.
enum Took {
    New,
    Again,
    TooMuch,
}

impl<F: Fact + Clone> State<F> {
    fn take(&mut self, client: IpAddr, fact: &F, us: u64) -> Took {
        let key = (client, fact.key());
        if let Some(seen) = self.seen.get_mut(&key) {
            seen.count += 1;
            seen.slowest = seen.slowest.max(us);
            return Took::Again;
        }
        if self.left == 0 {
            self.omitted += 1;
            return Took::TooMuch;
        }
        self.left -= 1;
        self.seen.insert(key, Seen { fact: fact.clone(), count: 0, slowest: 0 });
        Took::New
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::example::{Log, plan};

    #[derive(Clone)]
    struct Number(u64);

    impl Fact for Number {
        fn key(&self) -> u64 {
            self.0
        }

        fn known(&self, us: u64, count: Option<u64>) -> Known {
            let text =
                format!("{} in {us} us{}", self.0, count.map(|n| format!(", {n} more")).unwrap_or_default());
            Known::ConsoleLine { text }
        }
    }

    fn rate_limit(log: &Log) -> RateLimit<Number> {
        RateLimit::new(Service::Dns, Clients::new(&plan()), log.emitter())
    }

    fn told(log: &Log) -> Vec<String> {
        let line = |(node, known): (Option<String>, Known)| format!("{} {known}", node.unwrap_or_default());
        log.take().into_iter().map(line).collect()
    }

    #[test]
    fn repeats_are_told_as_a_number() {
        let log = Log::default();
        let rate_limit = rate_limit(&log);
        let (fast, other) = (IpAddr::from([10, 0, 0, 11]), IpAddr::from([10, 0, 0, 99]));
        rate_limit.note([
            (fast, &Number(1), 5),
            (fast, &Number(1), 9),
            (other, &Number(1), 7),
            (fast, &Number(1), 3),
        ]);
        assert_eq!(told(&log), ["fast 1 in 5 us", " 1 in 7 us"]);
        rate_limit.flush();
        assert_eq!(told(&log), ["fast 1 in 9 us, 2 more"]);
        rate_limit.flush();
        assert_eq!(told(&log), [""; 0]);
        // What is counted at the very end is told as well.
        rate_limit.note([(fast, &Number(1), 5), (fast, &Number(1), 5)]);
        drop(rate_limit);
        assert_eq!(told(&log), ["fast 1 in 5 us", "fast 1 in 5 us, 1 more"]);
    }

    #[test]
    fn a_flood_of_different_answers_is_told_as_a_number() {
        let log = Log::default();
        let rate_limit = rate_limit(&log);
        let client = IpAddr::from([10, 0, 0, 99]);
        let flood: Vec<Number> = (0..10_000).map(Number).collect();
        rate_limit.note(flood.iter().map(|number| (client, number, 1)));
        rate_limit.flush();
        let first = told(&log);
        assert_eq!(first.len() as u64, BURST + 1);
        assert_eq!(first.last().unwrap(), " omitted 8000 more events of dns (rate limit)");
        rate_limit.note(flood.iter().map(|number| (client, number, 1)));
        assert_eq!(told(&log).len() as u64, STEADY);
        assert!(rate_limit.busy());
    }
}
