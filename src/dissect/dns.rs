//! DNS over UDP: queries with their answers.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::asks::{Ask, Waiting};
use super::bounded::Bounded;
use super::link::Datagram;
use super::news::Topic;
use super::{Context, Hop};
use crate::event::{Exchange, Known, RunTime, Service};
use crate::wire::dns::{Answer, Message, Query};

const PORT: u16 = 53;
/// Queries that wait for their answer, and answers that may be repeated.
const MOST: usize = 4096;
/// Resolvers give up or ask another server within this time.
const PATIENCE: Duration = Duration::from_secs(8);
/// Within this time, the same answer to the same client is a repetition.
const AGAIN: Duration = Duration::from_secs(1);

/// The queries.
#[derive(Debug)]
pub(super) struct Dns {
    queries: Bounded<(SocketAddr, u16, IpAddr), RunTime>,
    answered: Bounded<(IpAddr, IpAddr, Query), RunTime>,
}

impl Default for Dns {
    fn default() -> Self {
        Self { queries: Bounded::new(MOST), answered: Bounded::new(MOST) }
    }
}

impl Dns {
    /// Tells whether a datagram is DNS's.
    pub(super) fn is_for(datagram: &Datagram<'_>) -> bool {
        datagram.source.port() == PORT || datagram.destination.port() == PORT
    }

    /// Reads a message.
    pub(super) fn read(&mut self, context: &mut Context<'_>, hop: Hop, datagram: &Datagram<'_>) {
        match Message::decode(datagram.payload) {
            Some(Message::Query { id, query }) if datagram.destination.port() == PORT => {
                self.query(context, hop, datagram, id, query);
            }
            Some(Message::Answer { id, answer }) if datagram.source.port() == PORT => {
                self.answer(context, hop, datagram, id, answer);
            }
            _ => {}
        }
    }

    fn query(&mut self, context: &mut Context<'_>, hop: Hop, datagram: &Datagram<'_>, id: u16, query: Query) {
        let Datagram { source, destination, .. } = datagram;
        if context.world.is_ours(source.ip()) {
            return;
        }
        let Some(node) = context.world.asker(hop, source.ip()) else { return };
        let server = destination.ip();
        self.queries.insert((*source, id, server), hop.at);
        // Resolvers choose another number for each attempt.
        context.ask(Ask::Name(source.ip(), server, query.clone()), hop.at, || Waiting {
            segment: hop.segment,
            node: Some(node),
            exchange: Some(Exchange::dns(*source, id)),
            service: Service::Dns,
            what: format!("{} {}", query.name, query.record),
            server: Some(server),
            patience: PATIENCE,
            least: 1,
        });
    }

    fn answer(
        &mut self,
        context: &mut Context<'_>,
        hop: Hop,
        datagram: &Datagram<'_>,
        id: u16,
        answer: Answer,
    ) {
        let (client, server) = (datagram.destination, datagram.source.ip());
        let Some(asked) = self.queries.remove(&(client, id, server)) else { return };
        let Answer { query, code, records } = answer;
        context.asks.answered(&Ask::Name(client.ip(), server, query.clone()));
        let key = (client.ip(), server, query.clone());
        let before = self.answered.get(&key).copied();
        if before.is_some_and(|before| hop.at.since(before) < AGAIN) {
            return;
        }
        self.answered.insert(key, hop.at);
        let is_own = context.world.is_own(server, |services| services.dns);
        let known = Known::DnsAnswered {
            name: query.name,
            record: query.record,
            code,
            rule: String::new(),
            answer: records,
            bytes: datagram.length as u64,
            us: hop.at.micros_since(asked),
            count: None,
            server: Some(server).filter(|_| !is_own),
        };
        let node = context.world.node(hop.segment, client.ip(), None);
        context.tell(hop.at, Topic::Dns, node, Some(Exchange::dns(client, id)), known);
    }
}
