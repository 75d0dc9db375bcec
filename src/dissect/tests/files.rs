//! Files by TFTP and HTTP, as far as a capture has them.

use super::*;

#[test]
fn windows_have_one_acknowledgement() {
    let mut script = Script::default();
    script.udp(2000, 69, b"\0\x01kernel\0octet\0blksize\x008\0windowsize\x004\0tsize\x000\0");
    script.udp(51_000, 2000, b"\0\x06blksize\x008\0windowsize\x004\0tsize\x0072\0").udp(
        2000,
        51_000,
        &ack(0),
    );
    let mut window = |numbers: std::ops::RangeInclusive<u16>, acked: u16| {
        for number in numbers {
            script.udp(51_000, 2000, &block(number, if number == 10 { 0 } else { 8 }));
        }
        script.udp(2000, 51_000, &ack(acked));
    };
    window(1..=4, 4);
    // The node misses the sixth block, and asks for all after the fifth again.
    window(5..=8, 5);
    window(6..=9, 9);
    window(10..=10, 10);
    let seen = script.seen();
    let [Seen { known: Known::TftpServed { outcome, bytes, blksize, windowsize, retransmits, .. }, .. }] =
        &seen[..]
    else {
        panic!("{}", lines(&seen));
    };
    assert_eq!(outcome.to_string(), "sent");
    assert_eq!((*bytes, *blksize, *windowsize, *retransmits), (72, Some(8), Some(4), 3));
}

#[test]
fn a_server_that_knows_no_windows_sends_single_blocks() {
    let mut script = Script::default();
    script.udp(2000, 69, b"\0\x01kernel\0octet\0windowsize\x004\0");
    for (number, length) in [(1, 512), (2, 512), (2, 512), (3, 1)] {
        script.udp(51_000, 2000, &block(number, length)).udp(2000, 51_000, &ack(number));
    }
    let told = script.told();
    assert_snapshot!(told, @"a: 10.0.0.9 served kernel (1.0 kB in 0 ms, 1 packets again)");
}

#[test]
fn what_the_capture_missed_of_a_transfer_was_sent() {
    let mut script = Script::default();
    // Of this server, nothing is captured.
    script.udp(2000, 69, b"\0\x01unseen\0octet\0").udp(2000, 51_000, &ack(1)).udp(2000, 51_000, &ack(2));
    // Of this one, a block in the middle and the last one.
    script.udp(2001, 69, b"\0\x01part\0octet\0tsize\x000\0");
    script.udp(51_001, 2001, b"\0\x06tsize\x001100\0").udp(2001, 51_001, &ack(0));
    script.udp(51_001, 2001, &block(1, 512)).udp(2001, 51_001, &ack(1)).udp(2001, 51_001, &ack(2));
    // An old acknowledgement comes late.
    script.udp(2001, 51_001, &ack(1)).udp(2001, 51_001, &ack(3));
    // Without a size, nobody knows that it was the last one.
    script.udp(2002, 69, b"\0\x01sizeless\0octet\0").udp(51_002, 2002, &block(1, 512));
    script.udp(2002, 51_002, &ack(1)).udp(2002, 51_002, &ack(2));
    // What a client writes is not followed.
    script.udp(2003, 69, b"\0\x02log\0octet\0").udp(2003, 51_003, &block(1, 5));
    assert_snapshot!(script.told(), @r"
    a: 10.0.0.9 served part (1.1 kB in 0 ms)
    a: transfer of sizeless stopped after 1.0 kB (vanished)
    ");
}

#[test]
fn several_responses_in_one_segment() {
    let mut script = Script::default();
    let mut connection = Connection::open(&mut script, 4000, 8080);
    connection.client(b"GET /one HTTP/1.1\r\n\r\nGET /two HTTP/1.1\r\n\r\n");
    connection.server(
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\noneHTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
    );
    connection.client(b"GET /three HTTP/1.1\r\n\r\n");
    connection.server(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nthree").close();
    assert_snapshot!(script.told(), @r"
    a: 10.0.0.9:8080 served GET /one (200, 3 B in 0 ms)
    a: 10.0.0.9:8080 refused GET /two (404)
    a: 10.0.0.9:8080 served GET /three (200, 5 B in 0 ms)
    ");
}

#[test]
fn chunks_may_end_anywhere_in_a_segment() {
    let body = [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".as_slice(),
        b"7\r\n#!ipxe\n\r\n1f4;x=\"1\"\r\n",
        &[b'x'; 500],
        b"\r\n0\r\nEnd: of it\r\n\r\n",
    ]
    .concat();
    for size in [1, 2, 3, 7, 50, 1400] {
        let mut script = Script::default();
        let mut connection = Connection::open(&mut script, 4000, 8080);
        connection.client(b"GET /boot HTTP/1.1\r\n\r\n");
        for part in body.chunks(size) {
            connection.server(part);
        }
        // The connection goes on where the body ends.
        connection.client(b"GET /none HTTP/1.1\r\n\r\n");
        connection.server(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n").close();
        let seen = script.seen();
        let served: Vec<_> = seen
            .iter()
            .map(|seen| match &seen.known {
                Known::HttpServed { path, status, bytes, complete, role, .. } => {
                    let role = role.as_ref().map_or("-".to_owned(), ToString::to_string);
                    format!("{path} {status} {bytes} {complete} {role}")
                }
                other => other.to_string(),
            })
            .collect();
        assert_eq!(served, ["/boot 200 507 true script", "/none 404 0 true -"], "segments of {size} bytes");
    }
}

#[test]
fn what_the_capture_missed_of_a_response_was_said() {
    let response = |length: usize| {
        [format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n").as_bytes(), &vec![b'x'; length]]
            .concat()
    };
    let mut script = Script::default();
    let mut connection = Connection::open(&mut script, 4000, 8080);
    // A head that is missing, and the connection that goes on.
    connection.client(b"GET /unseen HTTP/1.1\r\n\r\n").missed(response(9).len());
    connection.client(b"GET /next HTTP/1.1\r\n\r\n").server(&response(5));
    // The end of a head.
    connection.client(b"GET /head HTTP/1.1\r\n\r\n").server(b"HTTP/1.1 200 OK\r\nCont").missed(30);
    connection.client(b"GET /last HTTP/1.1\r\n\r\n").server(&response(6));
    // The size of a chunk: the client has it all, as it asks for more.
    connection.client(b"GET /chunked HTTP/1.1\r\n\r\n");
    connection.server(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n").missed(8);
    connection.client(b"GET /more HTTP/1.1\r\n\r\n").server(&response(7)).close();
    // Nobody heard the answer to this one, either, but there was one.
    let mut silent = Connection::open(&mut script, 4001, 8080);
    silent.client(b"GET /silent HTTP/1.1\r\n\r\n").missed(50).close();
    // And to this one there was none.
    let mut refused = Connection::open(&mut script, 4002, 8080);
    refused.client(b"GET /ignored HTTP/1.1\r\n\r\n").close();
    assert_snapshot!(script.told(), @r"
    a: 10.0.0.9:8080 served GET /next (200, 5 B in 0 ms)
    a: 10.0.0.9:8080 served GET /last (200, 6 B in 0 ms)
    a: 10.0.0.9:8080 served GET /chunked (200, 5 B in 0 ms)
    a: 10.0.0.9:8080 served GET /more (200, 7 B in 0 ms)
    a: http GET /ignored was not answered by 10.0.0.9
    ");
}

#[test]
fn a_connection_whose_acceptance_was_missed_was_accepted() {
    let mut script = Script::default();
    let mut connection = Connection::unseen(&mut script, 4000, 8080);
    connection.segment(true, "S", 100, 0, b"");
    connection.ack();
    connection.client(b"GET /one HTTP/1.1\r\n\r\n").server(b"HTTP/1.1 204 None\r\n\r\n").close();
    assert_snapshot!(script.told(), @"a: 10.0.0.9:8080 served GET /one (204, 0 B in 0 ms)");
}

/// The offer of a client to encrypt, as one record.
fn hello() -> Vec<u8> {
    let body = [&[3, 3][..], &[7; 32], &[0, 0, 2, 0x13, 1, 1, 0, 0, 0]].concat();
    let handshake = [&[1, 0, 0, body.len() as u8][..], &body].concat();
    [&[22, 3, 1, 0, handshake.len() as u8][..], &handshake].concat()
}

#[test]
fn servers_refuse_to_encrypt() {
    let alert = |description: u8| [21, 3, 3, 0, 2, 2, description];
    let mut script = Script::default();
    for (port, description) in [(4000, 48), (4001, 40), (4002, 200)] {
        Connection::open(&mut script, port, 8443).client(&hello()).server(&alert(description)).close();
    }
    // In two segments, wherever they meet; the hello, too.
    for cut in 1..7 {
        let mut connection = Connection::open(&mut script, 4010 + cut as u16, 8443);
        connection.client(&hello()[..cut]).client(&hello()[cut..]);
        connection.server(&alert(48)[..cut]).server(&alert(48)[cut..]).close();
    }
    // The end of a connection is no refusal, and what is encrypted is nobody's business.
    let mut connection = Connection::open(&mut script, 4020, 8443);
    connection.client(&hello()).server(&alert(0));
    connection.server(&[21, 3, 3, 0, 20]).server(&[40; 20]).close();
    let told = script.told();
    let offered = "a: offered TLS 1.2 to 10.0.0.9:8443\n";
    let refused = |why: &str| format!("{offered}a: 10.0.0.9:8443 refused to encrypt the connection: {why}\n");
    let wanted = [refused("unknown_ca"), refused("handshake_failure"), refused("200")].concat();
    let pieces = refused("unknown_ca").repeat(6);
    assert_eq!(format!("{told}\n"), format!("{wanted}{pieces}{offered}"));
}
