//! Impaired links between two stations on a real bridge.
//!
//! Each test runs itself again in new namespaces, which end with it.
#![expect(clippy::disallowed_methods, reason = "a test starts programs and has a clock of its own")]

#[expect(dead_code, reason = "each test binary uses a part of it")]
#[path = "rack/client.rs"]
mod client;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use dryrack::name::{IfName, Mac};
use dryrack::system::impaired_link::{ImpairedLink, ImpairedLinkError, Impairment, LinkInterfaces};
use dryrack::system::netlink::Netlink;
use dryrack::system::process::find_program;
use dryrack::system::ring::FrameRing;
use dryrack::system::sockets::capture;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use client::Client;

/// Set inside the namespaces.
const INSIDE: &str = "DRYRACK_TEST_INSIDE";

/// How long a datagram takes at most that is not lost; only waited for where some are.
const PATIENCE: Duration = Duration::from_millis(400);
/// How long something takes at most that certainly happens.
const DEADLINE: Duration = Duration::from_secs(60);

/// The headers of IPv4 and UDP.
const HEADERS: usize = 28;

fn program(name: &str) -> PathBuf {
    find_program(name).unwrap_or_else(|| panic!("this test needs `{name}`"))
}

fn ip(words: &str) {
    let done = Command::new(program("ip")).args(words.split(' ')).output().unwrap();
    assert!(done.status.success(), "ip {words}: {}", String::from_utf8_lossy(&done.stderr));
}

/// Runs a test in namespaces of its own. Must be called by the test function itself with a closure.
fn alone<F: AsyncFnOnce()>(test: F) {
    if std::env::var_os(INSIDE).is_some() {
        return tokio::runtime::Runtime::new().unwrap().block_on(test());
    }
    let closure = std::any::type_name::<F>();
    let name = closure.strip_suffix("::{{closure}}").and_then(|path| path.split_once("::")).unwrap().1;
    let mut inside = Command::new(program("unshare"));
    inside.args(["--user", "--map-root-user", "--net", "--"]).arg(std::env::current_exe().unwrap());
    inside.args(["--exact", name, "--nocapture", "--test-threads=1"]).env(INSIDE, "yes");
    let done = inside.output().unwrap();
    let (text, complaints) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success() && text.contains("1 passed"), "{text}\n{complaints}");
}

/// Two stations on a bridge. The second one echoes UDP; the link of the first one is impaired.
struct World {
    netlink: Netlink,
    stations: [Client; 2],
    socket: UdpSocket,
}

impl World {
    fn new() -> Self {
        ip("link add br0 type bridge forward_delay 0 mcast_snooping 0");
        ip("link set br0 up");
        let stations = [1, 2].map(|number| {
            let station = Client::plug(&name("br0"), 1500, Mac([2, 0, 0, 0, 0, number]));
            station.with_address(&format!("10.9.0.{number}/24"))
        });
        let socket = |number: u8| {
            let bind = || UdpSocket::bind(format!("10.9.0.{number}:7007")).unwrap();
            stations[usize::from(number) - 1].within(bind)
        };
        let (socket, echo) = (socket(1), socket(2));
        socket.connect("10.9.0.2:7007").unwrap();
        std::thread::spawn(move || {
            let mut datagram = [0; 2048];
            while let Ok((length, from)) = echo.recv_from(&mut datagram) {
                echo.send_to(&datagram[..length], from).ok();
            }
        });
        let world = Self { netlink: Netlink::open().unwrap(), stations, socket };
        // Both know the MAC address of the other one from now on.
        world.reach();
        world
    }

    async fn impair(&self, impairment: Impairment) -> ImpairedLink {
        ImpairedLink::start(&self.netlink, interfaces(), impairment, 1).await.unwrap()
    }

    /// Sends datagrams of one length, and returns which were echoed, in their order.
    fn echoed(&self, count: u8, length: usize, patience: Duration) -> Vec<u8> {
        for number in 0..count {
            self.socket.send(&vec![number; length]).unwrap();
        }
        self.socket.set_read_timeout(Some(patience)).unwrap();
        let mut datagram = [0; 2048];
        let echoes = (0..count).map_while(|_| {
            let received = self.socket.recv(&mut datagram).ok()?;
            assert!(datagram[..received] == vec![datagram[0]; length]);
            Some(datagram[0])
        });
        echoes.collect()
    }

    /// Sends datagrams until one is echoed, then waits for echoes of the others.
    fn reach(&self) {
        let start = Instant::now();
        while self.echoed(1, 8, Duration::from_millis(20)).is_empty() {
            assert!(start.elapsed() < DEADLINE, "nothing is echoed");
        }
        self.socket.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
        while self.socket.recv(&mut [0; 8]).is_ok() {}
    }

    /// Sends bytes from one station to the other.
    fn transfer(&self, from: usize, to: usize, bytes: &[u8]) -> Vec<u8> {
        let listener = self.stations[to].within(|| TcpListener::bind("0.0.0.0:0").unwrap());
        let address = format!("10.9.0.{}:{}", to + 1, listener.local_addr().unwrap().port());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut stream = self.stations[from].within(|| TcpStream::connect(address).unwrap());
                stream.write_all(bytes).unwrap();
            });
            let mut received = Vec::new();
            listener.accept().unwrap().0.read_to_end(&mut received).unwrap();
            received
        })
    }

    /// Asserts that the first station is on the bridge as at the beginning, and that nothing of an impaired link is left.
    async fn assert_restored(&self) {
        let links = self.netlink.links().await.unwrap();
        let mut names: Vec<&str> = links.iter().map(|link| link.name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["br0", "c0", "c1", "lo"]);
        let link = |name| links.iter().find(|link| link.name == name).unwrap();
        assert_eq!(link("c0").bridge, Some(link("br0").index));
        self.reach();
    }
}

fn name(text: &str) -> IfName {
    IfName::new(text).unwrap()
}

fn interfaces() -> LinkInterfaces {
    LinkInterfaces {
        port: name("c0"),
        bridge: name("br0"),
        mtu: 1500,
        inner_bridge: name("inner"),
        inner_tap: name("inner-tap"),
        outer_tap: name("outer-tap"),
    }
}

#[test]
fn a_link_without_impairment_passes_everything() {
    alone(async || {
        let world = World::new();
        let link = world.impair(Impairment::default()).await;
        let ports = world.netlink.links().await.unwrap();
        let bridge = |port: &str| ports.iter().find(|link| link.name == port).unwrap().bridge;
        assert!(bridge("outer-tap") == bridge("c1") && bridge("inner-tap") == bridge("c0"));
        assert_eq!(world.echoed(50, 1500 - HEADERS, DEADLINE), (0..50).collect::<Vec<_>>());
        // Stations leave checksums and segments to the kernel, so frames of 64 KiB have to be cut on the way.
        let bytes: Vec<u8> = (0..4_u32 << 20).flat_map(u32::to_le_bytes).collect();
        for (from, to) in [(0, 1), (1, 0)] {
            assert!(world.transfer(from, to, &bytes) == bytes);
        }
        link.end(&world.netlink).await.unwrap();
        world.assert_restored().await;
    });
}

#[test]
fn a_dead_link_passes_nothing() {
    alone(async || {
        let world = World::new();
        let link = world.impair(Impairment { loss: 100, ..Impairment::default() }).await;
        assert_eq!(world.echoed(20, 100, PATIENCE), [0; 0]);
        link.end(&world.netlink).await.unwrap();
        world.assert_restored().await;
    });
}

#[test]
fn a_delay_is_in_each_direction() {
    alone(async || {
        let world = World::new();
        let delay = Duration::from_millis(100);
        let _link = world.impair(Impairment { delay, ..Impairment::default() }).await;
        let start = Instant::now();
        assert_eq!(world.echoed(50, 100, DEADLINE), (0..50).collect::<Vec<_>>());
        assert!(start.elapsed() >= 2 * delay, "{:?}", start.elapsed());
    });
}

#[test]
fn long_packets_vanish_also_those_that_are_cut_on_the_way() {
    alone(async || {
        let world = World::new();
        let link = world.impair(Impairment { largest: Some(1400), ..Impairment::default() }).await;
        assert_eq!(world.echoed(5, 1400 - HEADERS, DEADLINE), [0, 1, 2, 3, 4]);
        assert_eq!(world.echoed(5, 1401 - HEADERS, PATIENCE), [0; 0]);
        link.end(&world.netlink).await.unwrap();
        // Segments of TCP have this length, although the station sends them as one frame.
        let _link = world.impair(Impairment { largest: Some(1500), ..Impairment::default() }).await;
        let bytes = vec![7; 1 << 20];
        assert!(world.transfer(0, 1, &bytes) == bytes);
    });
}

#[test]
fn frames_keep_their_vlan_tags() {
    alone(async || {
        let world = World::new();
        let _link = world.impair(Impairment { largest: Some(1400), ..Impairment::default() }).await;
        let nic = name("eth0");
        let sockets = world.stations.each_ref().map(|station| {
            station.within(|| (capture(&nic).unwrap(), FrameRing::open(&nic, 1 << 20, 2048).unwrap()))
        });
        let [(first, mut first_ring), (second, mut second_ring)] = sockets;
        for (socket, ring) in [(first, &mut second_ring), (second, &mut first_ring)] {
            // A tag does not count, and one byte more would be too long.
            for length in [1401, 1400] {
                // For everybody, VLAN 5, an EtherType for experiments (IEEE 802).
                let header = [&[0xff; 6][..], &[2, 0, 0, 0, 0, 9], &[0x81, 0, 0, 5, 0x88, 0xb5]].concat();
                nix::unistd::write(&socket, &[&header[..], &vec![7; length]].concat()).unwrap();
            }
            let start = Instant::now();
            let (tag, length) = loop {
                assert!(start.elapsed() < DEADLINE, "no frame arrives");
                let mut fds = [PollFd::new(ring.as_fd(), PollFlags::POLLIN)];
                poll(&mut fds, PollTimeout::from(100_u8)).unwrap();
                ring.fill();
                // Both rings also have what their own station sends.
                let arrived =
                    std::iter::from_fn(|| ring.pop().map(|frame| (frame.data[12..].to_vec(), frame.tag)))
                        .find(|(data, tag)| data.starts_with(&[0x88, 0xb5]) && tag.is_some());
                if let Some((data, tag)) = arrived {
                    break (tag, data.len() - 2);
                }
            };
            assert_eq!((tag, length), (Some((0x8100, 5)), 1400));
        }
    });
}

#[test]
fn overtaken_frames_arrive_later() {
    alone(async || {
        let world = World::new();
        let _link = world.impair(Impairment { reorder: 30, ..Impairment::default() }).await;
        let echoed = world.echoed(50, 100, DEADLINE);
        assert!(!echoed.is_sorted());
        let mut sorted = echoed;
        sorted.sort_unstable();
        assert_eq!(sorted, (0..50).collect::<Vec<_>>());
    });
}

#[test]
fn nothing_passes_in_the_silence() {
    alone(async || {
        let world = World::new();
        let silence = Duration::from_millis(500);
        let start = Instant::now();
        let _link = world.impair(Impairment { silence, ..Impairment::default() }).await;
        world.reach();
        assert!(start.elapsed() >= silence, "{:?}", start.elapsed());
    });
}

#[test]
fn what_is_gone_already_is_no_error() {
    alone(async || {
        let world = World::new();
        // A dropped link, as of a process that was killed.
        drop(world.impair(Impairment::default()).await);
        assert!(!world.netlink.exists(&interfaces().outer_tap).await.unwrap());
        assert_eq!(world.echoed(1, 8, PATIENCE), [0; 0]);
        ImpairedLink::restore(&world.netlink, &interfaces()).await.unwrap();
        ImpairedLink::restore(&world.netlink, &interfaces()).await.unwrap();
        world.assert_restored().await;
        // A TAP that somebody deleted.
        let link = world.impair(Impairment::default()).await;
        ip("link delete outer-tap");
        link.end(&world.netlink).await.unwrap();
        world.assert_restored().await;
        // The machine.
        let link = world.impair(Impairment::default()).await;
        ip("link delete c0");
        link.end(&world.netlink).await.unwrap();
        assert!(!world.netlink.exists(&interfaces().inner_bridge).await.unwrap());
    });
}

#[test]
fn a_link_that_cannot_be_impaired_stays_as_it_is() {
    alone(async || {
        let world = World::new();
        let elsewhere = LinkInterfaces { bridge: name("br1"), ..interfaces() };
        ip("link add br1 type bridge");
        let failed = ImpairedLink::start(&world.netlink, elsewhere, Impairment::default(), 1).await;
        assert!(matches!(failed, Err(ImpairedLinkError::NotOnBridge { .. })), "{failed:?}");
        ip("link delete br1");
        world.assert_restored().await;
        // A second impairment neither replaces the first one nor ends it.
        let _link = world.impair(Impairment::default()).await;
        let failed = ImpairedLink::start(&world.netlink, interfaces(), Impairment::default(), 1).await;
        assert!(matches!(failed, Err(ImpairedLinkError::Interfaces { .. })), "{failed:?}");
        world.reach();
    });
}
