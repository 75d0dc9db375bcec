//! Finds events that report something another source has already reported.

use std::collections::{BTreeMap, VecDeque};

use crate::event::{Event, Exchange, Kind, Source};

/// How many facts are remembered. Other sources report a fact within moments.
const MOST: usize = 4096;

/// What an event adds to the reports of other sources.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Telling {
    /// A new fact.
    #[default]
    News,
    /// A fact that was seen on the wire already, with details that only this source knows: the rule, the role of a
    /// file.
    Details,
    /// A fact that a better source has reported already.
    Again,
}

/// The facts of exchanges, with the number of reports by each source.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Exchanges {
    reports: BTreeMap<(Exchange, String), Vec<(Source, u64)>>,
    order: VecDeque<(Exchange, String)>,
}

impl Exchanges {
    /// Applies an event.
    ///
    /// A source may report the same fact several times, once for each occurrence. So the number of occurrences is the
    /// highest count of any one source.
    pub(super) fn see(&mut self, event: &Event) -> Telling {
        let (Some(exchange), Kind::Known(known)) = (&event.exchange, &event.kind) else {
            return Telling::News;
        };
        let Some(fact) = known.fact() else { return Telling::News };
        let key = (exchange.clone(), fact);
        if !self.reports.contains_key(&key) {
            self.order.push_back(key.clone());
        }
        let reports = self.reports.entry(key).or_default();
        let others = reports.iter().filter(|(source, _)| *source != event.source);
        let most = others.map(|(_, count)| *count).max().unwrap_or(0);
        let own = match reports.iter_mut().find(|(source, _)| *source == event.source) {
            Some((_, count)) => {
                *count += 1;
                *count
            }
            None => {
                reports.push((event.source.clone(), 1));
                1
            }
        };
        while self.order.len() > MOST {
            let oldest = self.order.pop_front();
            oldest.and_then(|oldest| self.reports.remove(&oldest));
        }
        match (own > most, &event.source) {
            (true, _) => Telling::News,
            (false, Source::Wire) => Telling::Again,
            (false, _) => Telling::Details,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::examples::{event, http, lease};
    use crate::name::Mac;

    /// Applies events of one exchange, and returns what each adds.
    fn reports(
        exchanges: &mut Exchanges,
        exchange: &Exchange,
        reports: &[(Source, crate::event::Known)],
    ) -> String {
        let telling = reports.iter().map(|(source, known)| {
            let event = event(0, Some("a"), known.clone());
            let event = Event { source: source.clone(), exchange: Some(exchange.clone()), ..event };
            format!("{:?}", exchanges.see(&event))
        });
        telling.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn a_fact_happened_as_often_as_one_source_says() {
        use Source::{Service, Wire};
        let exchange = Exchange::http("10.0.0.11:40000".parse().unwrap());
        let get = || http("kernel", 200, true);
        let check = |order: &[Source]| {
            let all: Vec<_> = order.iter().map(|source| (source.clone(), get())).collect();
            reports(&mut Exchanges::default(), &exchange, &all)
        };
        assert_eq!(check(&[Service, Wire]), "News Again");
        assert_eq!(check(&[Wire, Service]), "News Details");
        assert_eq!(check(&[Service, Service, Wire, Wire]), "News News Again Again");
        assert_eq!(check(&[Wire, Service, Service, Wire]), "News Details News Again");
        // Another reply, and another exchange.
        let mut exchanges = Exchanges::default();
        let script = (Wire, http("script", 200, true));
        assert_eq!(reports(&mut exchanges, &exchange, &[(Service, get()), script]), "News News");
        let other = Exchange::http("10.0.0.11:40001".parse().unwrap());
        assert_eq!(reports(&mut exchanges, &other, &[(Wire, get())]), "News");
    }

    #[test]
    fn an_offer_and_an_acknowledgement_are_two_facts_of_one_exchange() {
        use Source::{Service, Wire};
        let exchange = Exchange::dhcp(Mac([0x52, 0x54, 0, 0, 0, 1]), 0x1a2b);
        let dialogue = [
            (Service, lease("os", "offer")),
            (Wire, lease("os", "offer")),
            (Service, lease("os", "ack")),
            (Wire, lease("os", "ack")),
        ];
        assert_eq!(reports(&mut Exchanges::default(), &exchange, &dialogue), "News Again News Again");
        assert_eq!(exchange.to_string(), "dhcp 52:54:00:00:00:01 00001a2b");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut exchanges = Exchanges::default();
        for xid in 0..10_000 {
            let exchange = Exchange::dhcp(Mac([2; 6]), xid);
            reports(&mut exchanges, &exchange, &[(Source::Service, lease("os", "ack"))]);
        }
        assert_eq!((exchanges.reports.len(), exchanges.order.len()), (MOST, MOST));
    }
}
