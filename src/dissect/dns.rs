//! DNS: queries with their answers, over UDP and over TCP, whose streams `tcp` cuts into messages.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::asks::{Ask, Waiting};
use super::bounded::Bounded;
use super::link::Datagram;
use super::news::Topic;
use super::{Context, Hop};
use crate::event::{Exchange, Known, RunTime, Service};
use crate::name::NodeName;
use crate::wire::dns::{Answer, Message, Query};

/// The port of servers.
pub(super) const PORT: u16 = 53;
/// Queries that wait for their answer, and answers that may be repeated.
const MOST: usize = 4096;
/// Resolvers give up or ask another server within this time.
const PATIENCE: Duration = Duration::from_secs(8);
/// Within this time, the same answer to the same client is a repetition.
const AGAIN: Duration = Duration::from_secs(1);

/// The queries.
#[derive(Debug)]
pub(super) struct Dns {
    queries: Bounded<Asked, (RunTime, NodeName)>,
    answered: Bounded<(Carrier, IpAddr, IpAddr, Query), RunTime>,
}

/// What carries a message. An answer that is too long for UDP comes again over TCP, and is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Carrier {
    Udp,
    Tcp,
}

/// Who asked whom, and the number of the query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Asked {
    pub(super) carrier: Carrier,
    pub(super) client: SocketAddr,
    pub(super) server: IpAddr,
    pub(super) id: u16,
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

    /// Reads a message over UDP.
    pub(super) fn read(&mut self, context: &mut Context<'_>, hop: Hop, datagram: &Datagram<'_>) {
        let Datagram { source, destination, payload, length, .. } = *datagram;
        let asked =
            |client, server: SocketAddr, id| Asked { carrier: Carrier::Udp, client, server: server.ip(), id };
        match Message::decode(payload) {
            Some(Message::Query { id, query }) if destination.port() == PORT => {
                if context.world.is_ours(source.ip()) {
                    return;
                }
                let Some(node) = context.world.asker(hop, source.ip()) else { return };
                self.query(context, hop, asked(source, destination, id), node, query);
            }
            Some(Message::Answer { id, answer }) if source.port() == PORT => {
                self.answer(context, hop, asked(destination, source, id), answer, length);
            }
            _ => {}
        }
    }

    /// Handles a query of a node.
    pub(super) fn query(
        &mut self,
        context: &mut Context<'_>,
        hop: Hop,
        asked: Asked,
        node: NodeName,
        query: Query,
    ) {
        let Asked { client, server, id, .. } = asked;
        self.queries.insert(asked, (hop.at, node.clone()));
        // Resolvers choose another number for each attempt.
        context.ask(Ask::Name(client.ip(), server, query.clone()), hop.at, || Waiting {
            segment: hop.segment,
            node: Some(node),
            exchange: Some(Exchange::dns(client, id)),
            service: Service::Dns,
            what: format!("{} {}", query.name, query.record),
            server: Some(server),
            patience: PATIENCE,
            least: 1,
        });
    }

    /// Handles an answer; `length` is that of its message.
    pub(super) fn answer(
        &mut self,
        context: &mut Context<'_>,
        hop: Hop,
        asked: Asked,
        answer: Answer,
        length: usize,
    ) {
        let Some((began, node)) = self.queries.remove(&asked) else { return };
        let Asked { carrier, client, server, id } = asked;
        let Answer { query, code, records } = answer;
        context.asks.answered(&Ask::Name(client.ip(), server, query.clone()));
        let key = (carrier, client.ip(), server, query.clone());
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
            bytes: length as u64,
            us: hop.at.micros_since(began),
            count: None,
            server: Some(server).filter(|_| !is_own),
        };
        context.tell(hop.at, Topic::Dns, Some(node), Some(Exchange::dns(client, id)), known);
    }
}
