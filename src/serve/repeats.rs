//! Events of answers: the first is emitted at once, repeats within a second are counted.
//!
//! A service that answers a hundred thousand queries a second would flood the
//! events. So repeats within a second are counted, and if there are too many
//! different answers, only their number is emitted.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::context::Context;
use super::windows::Windows;
use crate::event::RateLimit;
use crate::event::{Exchange, Known, Service};

/// Different answers emitted at once after a quiet time: a whole rack that boots.
const BURST: u64 = 2_000;
/// Different answers emitted per second while the flood lasts.
const STEADY: u64 = 100;

/// An answer that becomes an event.
pub(super) trait Fact {
    /// Returns a hash that is equal for repeats.
    fn key(&self) -> u64;

    /// Creates the event of one answer, or of `count` repeats, with the time taken in microseconds.
    fn known(&self, us: u64, count: Option<u64>) -> Known;
}

/// Who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Asker {
    /// A client.
    Client(IpAddr),
    /// A client with the ID of its DNS query, by which a capture sees the same exchange.
    Resolver(SocketAddr, u16),
}

impl Asker {
    fn address(self) -> IpAddr {
        match self {
            Self::Client(client) => client,
            Self::Resolver(client, _) => client.ip(),
        }
    }

    fn exchange(self) -> Option<Exchange> {
        match self {
            Self::Client(_) => None,
            Self::Resolver(client, id) => Some(Exchange::dns(client, id)),
        }
    }
}

/// Emits the answers of one service. Dropping it emits what is still counted.
pub(super) struct Repeats<F: Fact> {
    service: Service,
    context: Context,
    state: Mutex<State<F>>,
    windows: Windows,
}

/// What was emitted and counted in this window.
struct State<F> {
    seen: HashMap<(IpAddr, u64), Seen<F>>,
    /// Limits the different answers.
    limit: RateLimit<()>,
}

/// One answer to one client within a window.
struct Seen<F> {
    fact: F,
    count: u64,
    slowest: u64,
}

impl<F: Fact + Clone> Repeats<F> {
    /// Creates the counter of a service.
    pub(super) fn new(service: Service, context: Context) -> Self {
        let state = State { seen: HashMap::new(), limit: RateLimit::new(BURST, STEADY) };
        Self { service, context, state: Mutex::new(state), windows: Windows::default() }
    }

    /// Records answers, each with who asked and the microseconds that it took.
    pub(super) fn note<'a>(&self, answers: impl IntoIterator<Item = (Asker, &'a F, u64)>)
    where
        F: 'a,
    {
        let mut state = self.lock();
        let idle = !state.is_busy();
        for (asker, fact, us) in answers {
            let client = asker.address();
            match state.take(client, fact, us) {
                Took::New => {
                    let (events, node) = (&self.context.events, self.context.clients.node(client));
                    let known = fact.known(us, None);
                    match asker.exchange() {
                        Some(exchange) => events.emit_in(exchange, node.as_ref(), known),
                        None => events.emit_maybe(node.as_ref(), known),
                    }
                }
                Took::Again | Took::TooMuch => {}
            }
        }
        if idle && state.is_busy() {
            self.windows.begin();
        }
    }

    /// Emits the counts at the end of each second, as long as it is polled.
    pub(super) async fn run(&self) {
        self.windows.run(|| self.lock().is_busy(), || self.flush()).await;
    }
}

impl<F: Fact> Repeats<F> {
    fn flush(&self) {
        let mut state = self.lock();
        for ((client, _), Seen { fact, count, slowest }) in std::mem::take(&mut state.seen) {
            if count > 0 {
                let known = fact.known(slowest, Some(count));
                self.context.events.emit_maybe(self.context.clients.node(client).as_ref(), known);
            }
        }
        for ((), count) in state.limit.next_window() {
            self.context.events.emit(Known::Omitted { service: self.service.clone(), count });
        }
    }

    fn lock(&self) -> MutexGuard<'_, State<F>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F: Fact> Drop for Repeats<F> {
    fn drop(&mut self) {
        self.flush();
    }
}

/// What happened to a recorded answer.
enum Took {
    New,
    Again,
    TooMuch,
}

impl<F> State<F> {
    /// Tells whether there are repeats to emit or a burst to recover from.
    fn is_busy(&self) -> bool {
        !self.seen.is_empty() || !self.limit.is_idle()
    }
}

impl<F: Fact + Clone> State<F> {
    fn take(&mut self, client: IpAddr, fact: &F, us: u64) -> Took {
        let key = (client, fact.key());
        if let Some(seen) = self.seen.get_mut(&key) {
            seen.count += 1;
            seen.slowest = seen.slowest.max(us);
            return Took::Again;
        }
        if !self.limit.admit(()) {
            return Took::TooMuch;
        }
        self.seen.insert(key, Seen { fact: fact.clone(), count: 0, slowest: 0 });
        Took::New
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::clients::Clients;
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

    fn repeats(log: &Log) -> Repeats<Number> {
        Repeats::new(Service::Dns, Context::new(Clients::new(&plan()), log.emitter()))
    }

    fn reported(log: &Log) -> Vec<String> {
        let line = |(node, known): (Option<String>, Known)| format!("{} {known}", node.unwrap_or_default());
        log.take().into_iter().map(line).collect()
    }

    #[test]
    fn repeats_are_told_as_a_number() {
        let log = Log::default();
        let repeats = repeats(&log);
        let (fast, other) = (Asker::Client([10, 0, 0, 11].into()), Asker::Client([10, 0, 0, 99].into()));
        repeats.note([
            (fast, &Number(1), 5),
            (fast, &Number(1), 9),
            (other, &Number(1), 7),
            (fast, &Number(1), 3),
        ]);
        assert_eq!(reported(&log), ["fast 1 in 5 us", " 1 in 7 us"]);
        repeats.flush();
        assert_eq!(reported(&log), ["fast 1 in 9 us, 2 more"]);
        repeats.flush();
        assert_eq!(reported(&log), [""; 0]);
        // The last counts are emitted on drop.
        repeats.note([(fast, &Number(1), 5), (fast, &Number(1), 5)]);
        drop(repeats);
        assert_eq!(reported(&log), ["fast 1 in 5 us", "fast 1 in 5 us, 1 more"]);
    }

    #[test]
    fn a_flood_of_different_answers_is_told_as_a_number() {
        let log = Log::default();
        let repeats = repeats(&log);
        let client = Asker::Client([10, 0, 0, 99].into());
        let flood: Vec<Number> = (0..10_000).map(Number).collect();
        repeats.note(flood.iter().map(|number| (client, number, 1)));
        repeats.flush();
        let first = reported(&log);
        assert_eq!(first.len() as u64, BURST + 1);
        assert_eq!(first.last().unwrap(), " omitted 8000 more events of dns (rate limit)");
        repeats.note(flood.iter().map(|number| (client, number, 1)));
        assert_eq!(reported(&log).len() as u64, STEADY);
        assert!(repeats.lock().is_busy());
    }
}
