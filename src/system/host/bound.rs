//! Which ports are bound in the network namespace of a thread.

use std::fs;
use std::io;

/// The protocol of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// UDP.
    Udp,
    /// TCP; only sockets that listen count.
    Tcp,
}

/// The state of a TCP socket that listens.
const LISTENS: &str = "0A";

/// Tells whether a port is bound in the network namespace of this thread, over IPv4 or IPv6.
///
/// The server behind it gets no packet: a probe could change its state.
pub fn is_bound(transport: Transport, port: u16) -> io::Result<bool> {
    let tables = match transport {
        Transport::Udp => ["udp", "udp6"],
        Transport::Tcp => ["tcp", "tcp6"],
    };
    for table in tables {
        // Of the thread, not of the process: threads may be in other network namespaces.
        match fs::read_to_string(format!("/proc/thread-self/net/{table}")) {
            Ok(text) if has_port(&text, transport, port) => return Ok(true),
            // Without IPv6 there is no such table.
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}

/// Tells whether a table of sockets, as proc(5) describes it, has a port.
fn has_port(table: &str, transport: Transport, port: u16) -> bool {
    table.lines().skip(1).any(|line| {
        let mut fields = line.split_ascii_whitespace().skip(1);
        let local = fields.next().and_then(|local| local.rsplit_once(':'));
        let bound = local.and_then(|(_, port)| u16::from_str_radix(port, 16).ok()) == Some(port);
        bound && (transport == Transport::Udp || fields.nth(1) == Some(LISTENS))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_found_in_the_tables_of_the_kernel() {
        let udp = "   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid\n\
                   \x20  95: 00000000:0043 00000000:0000 07 00000000:00000000 00:00000000 00000000     0\n";
        let tcp = "  sl  local_address rem_address   st\n\
                   \x20  0: 0100007F:1F90 00000000:0000 0A 0\n   1: 0100007F:1F91 0100007F:0016 01 0\n";
        assert!(has_port(udp, Transport::Udp, 67) && !has_port(udp, Transport::Udp, 68));
        assert!(has_port(tcp, Transport::Tcp, 8080), "it listens");
        assert!(!has_port(tcp, Transport::Tcp, 8081), "it is a connection");
        assert!(!has_port("", Transport::Tcp, 1) && !has_port("sl\nx\n: :", Transport::Udp, 1));
    }

    #[test]
    fn bound_sockets_are_seen() {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        assert!(is_bound(Transport::Udp, port).unwrap());
        drop(socket);
        assert!(!is_bound(Transport::Udp, port).unwrap());
        let listener = std::net::TcpListener::bind("[::1]:0").unwrap();
        assert!(is_bound(Transport::Tcp, listener.local_addr().unwrap().port()).unwrap());
    }
}
