//! Names, resolved by a DNS server of the lab.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Message, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::net::UdpSocket;
use tokio::time::timeout;

use crate::system::host::EnteredNetwork;

/// How long an answer may take; a lost query is repeated by the next attempt.
const LIMIT: Duration = Duration::from_secs(3);

/// A DNS server of the lab.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dns {
    /// Its address.
    pub server: SocketAddr,
    /// The search domain of names without a dot.
    pub domain: String,
}

/// Resolves a name; returns all its addresses, perhaps none.
pub(super) async fn resolve(
    dns: &Dns,
    from: Option<&EnteredNetwork>,
    name: &str,
) -> Result<BTreeSet<IpAddr>, String> {
    let full = full_name(dns, name);
    let Ok(query) = Name::from_ascii(format!("{}.", full.trim_end_matches('.'))) else {
        return Err(format!("`{full}` is not a name of DNS"));
    };
    let mut found = BTreeSet::new();
    for record in [RecordType::A, RecordType::AAAA] {
        let addresses = ask(dns, from, &query, record).await;
        found.extend(addresses.map_err(|why| format!("{full}: {why}"))?);
    }
    Ok(found)
}

/// Returns a name with the search domain, if it has no dot.
pub(super) fn full_name(dns: &Dns, name: &str) -> String {
    if name.contains('.') || dns.domain.is_empty() {
        name.to_owned()
    } else {
        format!("{name}.{}", dns.domain)
    }
}

async fn ask(
    dns: &Dns,
    from: Option<&EnteredNetwork>,
    name: &Name,
    record: RecordType,
) -> Result<Vec<IpAddr>, String> {
    let server = dns.server;
    let failed = |error: std::io::Error| format!("{server} cannot be asked: {}", error.kind());
    let local = if server.is_ipv4() {
        IpAddr::from(Ipv4Addr::UNSPECIFIED)
    } else {
        "::".parse().expect("`::` is an address")
    };
    let open = move || {
        let socket = std::net::UdpSocket::bind((local, 0))?;
        socket.set_nonblocking(true)?;
        UdpSocket::from_std(socket)
    };
    let socket = match from {
        None => open(),
        Some(network) => network.run(open).await,
    };
    let socket = socket.map_err(failed)?;
    // A connected socket receives only answers from that server.
    socket.connect(server).await.map_err(failed)?;
    let mut question = Message::query();
    question.metadata.recursion_desired = true;
    question.add_query(Query::query(name.clone(), record));
    let bytes = question.to_vec().map_err(|error| format!("it cannot be asked for: {error}"))?;
    socket.send(&bytes).await.map_err(failed)?;
    let mut buffer = vec![0; 4096];
    loop {
        let received = timeout(LIMIT, socket.recv(&mut buffer)).await;
        let length = received.map_err(|_| format!("{server} does not answer"))?.map_err(failed)?;
        let Ok(answer) = Message::from_vec(&buffer[..length]) else {
            return Err(format!("{server} sends what is no answer"));
        };
        if answer.metadata.id != question.metadata.id {
            continue;
        }
        return match answer.metadata.response_code {
            ResponseCode::NoError => {
                Ok(answer.answers.iter().filter_map(|record| address(&record.data)).collect())
            }
            code => Err(code.to_str().to_owned()),
        };
    }
}

fn address(data: &RData) -> Option<IpAddr> {
    match data {
        RData::A(a) => Some(a.0.into()),
        RData::AAAA(aaaa) => Some(aaaa.0.into()),
        _ => None,
    }
}
