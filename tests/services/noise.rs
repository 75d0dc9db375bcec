//! Malformed packets do not affect any service.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use dryrack::event::Known;
use dryrack::name::Mac;

use super::dhcp::Lease;
use super::dns::dig;
use super::http::KERNEL;
use super::tftp::tftp;
use crate::rack::{Rack, alone};
use crate::{LAB, STRANGER, kernel};

/// Pseudo-random numbers, the same in every run.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn packet(&mut self, head: &[u8]) -> Vec<u8> {
        let length = self.next() % 400;
        let noise = (0..length).map(|_| self.next().to_le_bytes()[0]);
        head.iter().copied().chain(noise).collect()
    }
}

/// The beginning of a DHCP request up to its options.
fn dhcp_head(mac: Mac) -> Vec<u8> {
    let mut head = vec![0; 240];
    head[..3].copy_from_slice(&[1, 1, 6]);
    head[28..34].copy_from_slice(&mac.0);
    head[236..].copy_from_slice(&[99, 130, 83, 99]);
    head
}

#[test]
fn noise_ends_no_service() {
    alone(async || {
        let rack = Rack::of(LAB, kernel).await;
        let noisy = rack.client(STRANGER).with_address("10.0.0.50/24");
        noisy.within(|| {
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
            let heads = [
                (67, dhcp_head(STRANGER)),
                // A DHCPDISCOVER with an option on which the decoder asserts.
                (67, [dhcp_head(STRANGER), vec![53, 1, 1, 94, 1, 0, 80, 1, 1, 81, 1, 0]].concat()),
                (53, vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]),
                (53, vec![0, 1, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0xc0, 12, 0, 1, 0, 1]),
                (69, b"\0\x01".to_vec()),
                (69, b"\0\x01profile/install/kernel\0octet\0blksize\0".to_vec()),
                (69, b"\0\x02x\0octet\0".to_vec()),
            ];
            for round in 0..300 {
                for port in [53, 67, 69] {
                    socket.send_to(&noise.packet(&[]), (Ipv4Addr::new(10, 0, 0, 1), port)).unwrap();
                }
                let (port, head) = &heads[round % heads.len()];
                socket.send_to(&noise.packet(head), (Ipv4Addr::new(10, 0, 0, 1), *port)).unwrap();
                socket.send_to(&[], (Ipv4Addr::new(10, 0, 0, 1), *port)).unwrap();
            }
            for port in [53, 80] {
                for head in [&[][..], &[0xff, 0xff], b"GET / HTTP/1.1\r\n", b"GET \0"] {
                    let mut stream = TcpStream::connect((Ipv4Addr::new(10, 0, 0, 1), port)).unwrap();
                    stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
                    stream.write_all(&noise.packet(head)).unwrap();
                    // Whatever it answers, and whether it closes the connection.
                    stream.read_to_end(&mut Vec::new()).ok();
                }
            }
            solicit(&mut noise);
        });

        let advertised = || rack.log.count(|known| matches!(known, Known::RouterAdvertised { .. }));
        let before = advertised();
        let one = rack.client(rack.mac("one"));
        assert_eq!(Lease::ask(&rack, &one, &[]).expect("a lease").get("ip"), "10.0.0.11");
        assert_eq!(dig(&one, "one.lab.test A"), "NOERROR aa -- 10.0.0.11");
        assert_eq!(dig(&one, "one.lab.test A +tcp"), "NOERROR aa -- 10.0.0.11");
        let folder = tempfile::tempdir().unwrap();
        assert!(one.run_in(folder.path(), "curl", &["-fsS", "-o", "out", KERNEL]).status.success());
        assert!(tftp(&one, folder.path(), "busybox").status.success());
        rack.log.until_now("an advertisement", || advertised() > before).await;
        assert!(!rack.log.has(|known| matches!(known, Known::ServiceFailed { .. })), "{}", rack.log.text());
        // No service has stopped, and all stop on request.
        rack.end().await;
    });
}

/// Sends random router solicitations.
fn solicit(noise: &mut Noise) {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::IPV6, Type::RAW, Some(Protocol::ICMPV6)).unwrap();
    let index = nix::net::if_::if_nametoindex("eth0").unwrap();
    socket.set_multicast_if_v6(index).unwrap();
    socket.set_multicast_hops_v6(255).unwrap();
    let routers = std::net::SocketAddrV6::new("ff02::2".parse().unwrap(), 0, 0, index);
    let begin = Instant::now();
    for round in 0..300 {
        let head: &[u8] = if round % 2 == 0 { &[133, 0, 0, 0, 0, 0, 0, 0] } else { &[133] };
        // Until its own address is no longer tentative.
        while let Err(error) = socket.send_to(&noise.packet(head), &routers.into()) {
            assert!(begin.elapsed() < Duration::from_secs(10), "{error}");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}
