//! What faults make of requests and answers.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use dhcproto::v4::MessageType;

use super::answer::Decision;
use super::server::Server;
use super::state::Change;
use crate::lab::DhcpFault;
use crate::name::Mac;
use crate::wire::dhcp::{Client, Reply, Request, Tlv, code};

/// What becomes of an answer.
#[derive(Debug, Default)]
pub(super) struct Spoilt {
    /// Whether nothing shows that the request was received.
    pub(super) lost: bool,
    /// How much later it is sent.
    pub(super) delay: Duration,
    /// What the second server sends first.
    pub(super) second: Option<Reply>,
}

/// Tells whether a fault can happen to the answer to a request.
pub(super) fn applies(fault: &DhcpFault, server: &Server, request: &Request) -> bool {
    let client = || Client::of(request, &server.ipxe_classes);
    match fault {
        DhcpFault::Drop | DhcpFault::Delay(_) => true,
        DhcpFault::NoBootFile | DhcpFault::BootFile(_) => client() != Client::Os,
        DhcpFault::NoUserClass => client() == Client::Ipxe,
        DhcpFault::Architecture(_) => client() != Client::Os && !request.architectures.is_empty(),
        DhcpFault::PoolEmpty => request.kind == Some(MessageType::Discover),
        DhcpFault::Nak => request.kind == Some(MessageType::Request),
        DhcpFault::SecondServer => {
            request.giaddr.is_unspecified()
                && (request.kind == Some(MessageType::Discover) || is_to_second(server, request))
        }
        DhcpFault::NoRelayInformation => request.relay.is_some(),
    }
}

/// Tells whether the client has chosen the second server.
pub(super) fn is_to_second(server: &Server, request: &Request) -> bool {
    request.kind == Some(MessageType::Request) && request.server == Some(second_server(server).0)
}

/// Returns address and hardware address of the second server.
pub(super) fn second_server(server: &Server) -> (Ipv4Addr, Mac) {
    let last = u32::from(server.address.broadcast()).saturating_sub(1);
    // The bit of locally administered addresses; nobody else on the network begins with it and these two bytes.
    let [a, b, c, d] = last.to_be_bytes();
    (Ipv4Addr::from(last), Mac([0x02, 0xfa, a, b, c, d]))
}

/// Returns the request as a server with the fault understands it.
pub(super) fn misread(fault: &DhcpFault, server: &Server, request: &Request) -> Request {
    let mut request = request.clone();
    match fault {
        DhcpFault::NoUserClass => {
            request.user_class.clear();
            request.ipxe_options = false;
        }
        DhcpFault::Architecture(number) => request.architectures = vec![*number],
        // What the second server acknowledges is what this one would.
        DhcpFault::SecondServer if is_to_second(server, &request) => {
            request.server = Some(server.identifier);
        }
        _ => {}
    }
    request
}

/// Changes the answer to a request.
pub(super) fn spoil(
    fault: &DhcpFault,
    server: &Server,
    request: &Request,
    decision: &mut Decision,
    refusal: impl FnOnce() -> Decision,
) -> Spoilt {
    match fault {
        DhcpFault::Drop => {
            decision.reply = None;
            decision.change = Change::None;
            return Spoilt { lost: true, ..Spoilt::default() };
        }
        DhcpFault::Delay(time) => return Spoilt { delay: time.0.0, ..Spoilt::default() },
        DhcpFault::NoBootFile => {
            decision.boot_file = None;
            decision.reply.as_mut().into_iter().for_each(without_boot_file);
        }
        DhcpFault::BootFile(file) => {
            if let Some(reply) = &mut decision.reply {
                decision.boot_file = Some(file.clone());
                reply.file = Some(file.clone());
                reply.options.retain(|option| option.code != code::BOOT_FILE);
                reply.options.push(Tlv::new(code::BOOT_FILE, file.as_bytes()));
            }
        }
        // The request was misread.
        DhcpFault::NoUserClass | DhcpFault::Architecture(_) => {}
        DhcpFault::PoolEmpty => {
            decision.reply = None;
            decision.change = Change::None;
            decision.rule = "pool exhausted".into();
        }
        DhcpFault::Nak => *decision = refusal(),
        DhcpFault::SecondServer => {
            let second = decision.reply.clone().map(|reply| of_second_server(server, reply));
            let lost = is_to_second(server, request);
            if lost {
                decision.reply = None;
                decision.change = Change::None;
            }
            return Spoilt { lost, second, ..Spoilt::default() };
        }
        DhcpFault::NoRelayInformation => decision.reply.as_mut().into_iter().for_each(|reply| {
            reply.relay = None;
        }),
    }
    Spoilt::default()
}

fn without_boot_file(reply: &mut Reply) {
    const BOOT: [u8; 4] = [code::VENDOR_CLASS, code::VENDOR_OPTIONS, code::BOOT_SERVER, code::BOOT_FILE];
    (reply.file, reply.sname, reply.siaddr) = (None, None, Ipv4Addr::UNSPECIFIED);
    reply.options.retain(|option| !BOOT.contains(&option.code));
}

fn of_second_server(server: &Server, mut reply: Reply) -> Reply {
    without_boot_file(&mut reply);
    let identifier: Arc<[u8]> = second_server(server).0.octets().into();
    for option in reply.options.iter_mut().filter(|option| option.code == code::SERVER) {
        option.value = Arc::clone(&identifier);
    }
    reply
}
