//! DNS: the lab's own names, forward and reverse; everything else asked of others or denied.

mod rule;
mod zones;

use std::net::{IpAddr, SocketAddr, TcpListener, UdpSocket};
use std::pin::Pin;
use std::time::Duration;

use hickory_proto::op::{Edns, Metadata, OpCode, ResponseCode};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::{Time, TokioRuntimeProvider};
use hickory_resolver::net::{DnsError, NetError};
use hickory_server::server::{Request, RequestHandler, ResponseHandler, ResponseInfo, Server};
use hickory_server::zone_handler::MessageResponseBuilder;

use self::rule::Rule;
pub(super) use self::zones::Zones;
use self::zones::{Answer, Own};
use super::clients::Clients;
use super::trouble::failed;
use crate::event::{Emitter, Known};

/// How long a TCP connection may be idle.
const IDLE: Duration = Duration::from_secs(10);
/// How many answers may wait for a slow TCP client.
const BACKLOG: usize = 32;
/// How long another server may take, and how often it is asked again: in all less than the 5 s that clients wait.
const PATIENCE: Duration = Duration::from_secs(2);
const RETRIES: usize = 1;
/// The largest answer over UDP that no link fragments.
const PAYLOAD: u16 = 1232;

/// Answers every question of a network.
struct Names {
    zones: Zones,
    upstream: Option<(SocketAddr, TokioResolver)>,
    clients: Clients,
    events: Emitter,
}

/// Answers questions for as long as it is polled.
pub(super) async fn run(udp: UdpSocket, tcp: TcpListener, zones: Zones, clients: Clients, events: Emitter) {
    let upstream = match resolver(&zones.upstream) {
        Ok(upstream) => zones.upstream.first().copied().zip(upstream),
        Err(error) => return failed(&events, "dns", &error.to_string()),
    };
    let sockets = (tokio::net::UdpSocket::from_std(udp), tokio::net::TcpListener::from_std(tcp));
    let mut server = Server::new(Names { zones, upstream, clients, events: events.clone() });
    match sockets {
        (Ok(udp), Ok(tcp)) => {
            server.register_socket(udp);
            server.register_listener(tcp, IDLE, BACKLOG);
        }
        (Err(error), _) | (_, Err(error)) => return failed(&events, "dns", &error.to_string()),
    }
    if let Err(error) = server.block_until_done().await {
        failed(&events, "dns", &error.to_string());
    }
}

fn resolver(upstream: &[SocketAddr]) -> Result<Option<TokioResolver>, NetError> {
    if upstream.is_empty() {
        return Ok(None);
    }
    let server = |address: &SocketAddr| {
        let mut connections = vec![ConnectionConfig::udp(), ConnectionConfig::tcp()];
        for connection in &mut connections {
            connection.port = address.port();
        }
        NameServerConfig::new(address.ip(), true, connections)
    };
    let config = ResolverConfig::from_name_servers(upstream.iter().map(server).collect());
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    let options = builder.options_mut();
    options.timeout = PATIENCE;
    options.attempts = RETRIES;
    options.use_hosts_file = hickory_resolver::config::ResolveHosts::Never;
    // Names that lead to other names are shown with the whole way.
    options.preserve_intermediates = true;
    builder.build().map(Some)
}

impl Names {
    async fn respond<R: ResponseHandler>(&self, request: &Request, mut to: R) -> ResponseInfo {
        let mut metadata = Metadata::response_from_request(&request.metadata);
        metadata.recursion_available = self.upstream.is_some();
        let Own { code, authoritative, answers, soa, rule } = self.decide(request).await;
        metadata.response_code = code;
        metadata.authoritative = authoritative;
        let edns = request.edns.as_ref().map(|asked| {
            let mut edns = Edns::new();
            edns.set_version(0).set_rcode_high(code.high());
            edns.set_max_payload(asked.max_payload().clamp(512, PAYLOAD));
            edns
        });
        let mut builder = MessageResponseBuilder::from_message_request(request);
        if let Some(edns) = &edns {
            builder.edns(edns);
        }
        let response = builder.build(metadata, &answers, [], &soa, []);
        let sent = to.send_response(response).await;
        for query in request.queries.queries() {
            let question = (query.original().name().to_string(), query.query_type());
            self.tell(request.src().ip(), question, code, rule);
        }
        sent.unwrap_or_else(|error| {
            failed(&self.events, "dns", &error.to_string());
            metadata.response_code = ResponseCode::ServFail;
            hickory_proto::op::Header { metadata, counts: Default::default() }.into()
        })
    }

    fn tell(&self, from: IpAddr, (name, record): (String, RecordType), code: ResponseCode, rule: Rule) {
        let answered = Known::DnsAnswered {
            name,
            record: record.to_string(),
            code: code_name(code),
            rule: rule.to_string(),
        };
        self.events.emit_maybe(self.clients.node(from).as_ref(), answered);
    }

    async fn decide(&self, request: &Request) -> Own {
        if request.metadata.op_code != OpCode::Query {
            return Own::bare(ResponseCode::NotImp, Rule::Protocol);
        }
        if request.edns.as_ref().is_some_and(|edns| edns.version() > 0) {
            return Own::bare(ResponseCode::BADVERS, Rule::Protocol);
        }
        let [query] = request.queries.queries() else {
            return Own::bare(ResponseCode::FormErr, Rule::Protocol);
        };
        let (name, record) = (query.original().name(), query.query_type());
        match (self.zones.answer(name, query.query_class(), record), &self.upstream) {
            (Answer::Lab(own), _) => *own,
            (Answer::Upstream { name, aliases }, Some((address, upstream))) => {
                let mut own = ask(upstream, *address, &name, record).await;
                own.answers.splice(0..0, aliases);
                own
            }
            (Answer::Upstream { .. }, None) => Own::bare(ResponseCode::NXDomain, Rule::NoUpstream),
        }
    }
}

async fn ask(upstream: &TokioResolver, address: SocketAddr, name: &Name, record: RecordType) -> Own {
    let rule = Rule::Upstream(address);
    match upstream.lookup(name.clone(), record).await {
        Ok(found) => Own { answers: found.answers().to_vec(), ..Own::bare(ResponseCode::NoError, rule) },
        Err(NetError::Dns(DnsError::NoRecordsFound(none))) => Own {
            soa: none.soa.map(|soa| Record::from_rdata(soa.name.clone(), soa.ttl, RData::SOA(soa.data))),
            ..Own::bare(none.response_code, rule)
        },
        Err(_) => Own::bare(ResponseCode::ServFail, Rule::Silence),
    }
}

/// Names a response code as `dig` does.
fn code_name(code: ResponseCode) -> String {
    match code {
        ResponseCode::NoError => "NOERROR".to_owned(),
        ResponseCode::FormErr => "FORMERR".to_owned(),
        ResponseCode::ServFail => "SERVFAIL".to_owned(),
        ResponseCode::NXDomain => "NXDOMAIN".to_owned(),
        ResponseCode::NotImp => "NOTIMP".to_owned(),
        ResponseCode::Refused => "REFUSED".to_owned(),
        other => format!("RCODE{}", u16::from(other)),
    }
}

impl RequestHandler for Names {
    // What `#[async_trait]`, with which the trait is declared, makes of an `async fn`.
    fn handle_request<'own, 'request, 'future, R, T>(
        &'own self,
        request: &'request Request,
        response_handle: R,
    ) -> Pin<Box<dyn Future<Output = ResponseInfo> + Send + 'future>>
    where
        'own: 'future,
        'request: 'future,
        R: ResponseHandler + 'future,
        T: Time + 'future,
    {
        Box::pin(self.respond(request, response_handle))
    }
}
