use dhcproto::{Decodable, Decoder};
use proptest::prelude::*;

use super::*;
use crate::lab::Identity;
use crate::name::Mac;
use crate::plan::ServicePlan;
use crate::serve::example::{DISK, FAST, REAL, SERVER, STRANGER, plan};

const DISCOVER: u8 = 1;
const REQUEST: u8 = 3;
const DECLINE: u8 = 4;
const RELEASE: u8 = 7;
const INFORM: u8 = 8;

fn without_pool() -> ServicePlan {
    let mut plan = plan();
    plan.dhcp.as_mut().unwrap().pool = None;
    plan
}

fn proxy() -> ServicePlan {
    let mut plan = without_pool();
    plan.dhcp.as_mut().unwrap().role = DhcpRole::Proxy;
    plan
}

/// The same network with options of the network and the node.
fn with_options(network: &[(u8, &[u8])], node: &[(u8, &[u8])]) -> ServicePlan {
    let options = |options: &[(u8, &[u8])]| {
        options.iter().map(|(code, value)| (*code, crate::lab::options::Octets(value.to_vec()))).collect()
    };
    let mut plan = plan();
    plan.dhcp.as_mut().unwrap().options = options(network);
    plan.hosts[0].options = options(node);
    plan
}

/// A request as a client sends it.
#[derive(Clone)]
struct Ask {
    mac: Mac,
    broadcast: bool,
    ciaddr: [u8; 4],
    giaddr: [u8; 4],
    /// Encoded options.
    options: Vec<u8>,
}

fn ask(mac: Mac, kind: u8) -> Ask {
    bootp(mac).with(53, &[kind])
}

fn bootp(mac: Mac) -> Ask {
    Ask { mac, broadcast: false, ciaddr: [0; 4], giaddr: [0; 4], options: Vec::new() }
}

impl Ask {
    fn with(mut self, code: u8, value: &[u8]) -> Self {
        self.options.extend([code, u8::try_from(value.len()).unwrap()]);
        self.options.extend(value);
        self
    }

    fn wanting(self, address: [u8; 4]) -> Self {
        self.with(50, &address)
    }

    fn choosing(self, server: Ipv4Addr) -> Self {
        self.with(54, &server.octets())
    }

    fn packet(&self) -> Vec<u8> {
        let mut packet = vec![0; 240];
        packet[..4].copy_from_slice(&[1, 1, 6, 0]);
        packet[4..8].copy_from_slice(&0xdead_beef_u32.to_be_bytes());
        packet[10] = if self.broadcast { 0x80 } else { 0 };
        packet[12..16].copy_from_slice(&self.ciaddr);
        packet[24..28].copy_from_slice(&self.giaddr);
        packet[28..34].copy_from_slice(&self.mac.0);
        packet[236..240].copy_from_slice(&[99, 130, 83, 99]);
        packet.extend(&self.options);
        packet.push(255);
        packet
    }
}

/// Encodes a reply.
fn packet(reply: Reply) -> Vec<u8> {
    let mut packet = Vec::new();
    reply.encode(&mut packet).unwrap();
    packet
}

/// A server with its state.
struct TestServer {
    server: Server,
    state: State,
    now: UnixSeconds,
    arrival: Arrival,
    runs_program: bool,
}

impl TestServer {
    fn of(plan: &ServicePlan) -> Self {
        let server = Server::new(plan).unwrap();
        Self {
            state: server.state(),
            server,
            now: UnixSeconds(100),
            arrival: Arrival::Server,
            runs_program: false,
        }
    }

    /// Answers an encoded request and applies the changes.
    fn answer(&mut self, ask: &Ask) -> Decision {
        let request = Request::decode(&ask.packet()).expect("a request");
        self.state.expire(self.now);
        let decision = answer(&self.server, &self.state, &request, self.arrival, self.runs_program, self.now);
        self.state.apply(decision.change.clone());
        decision
    }

    /// The answer as one line: reply, address, destination; client and rule; boot file.
    fn line(&mut self, ask: &Ask) -> String {
        let decision = self.answer(ask);
        let rule = format!("[{}: {}]", decision.client, decision.rule);
        let Some(reply) = &decision.reply else { return format!("- {rule}") };
        let to = match reply.to {
            Destination::Broadcast => "all".to_owned(),
            Destination::Hardware(address) => format!("the hardware address and {address}"),
            Destination::Address(address) => address.to_string(),
            Destination::Relay(address) => format!("the relay {address}"),
            Destination::Source => "the sender".to_owned(),
        };
        let kind = crate::wire::dhcp::message(reply.kind);
        let file = decision.boot_file.map(|file| format!(" {file}")).unwrap_or_default();
        format!("{kind} {} to {to} {rule}{file}", reply.yiaddr)
    }

    /// The encoded options of the answer, one per line.
    fn options(&mut self, ask: &Ask) -> String {
        let packet = packet(self.answer(ask).reply.expect("a reply"));
        let mut lines = Vec::new();
        let mut rest = &packet[240..];
        while rest[0] != 255 {
            if rest[0] == 0 {
                rest = &rest[1..];
                continue;
            }
            let (value, tail) = rest[2..].split_at(usize::from(rest[1]));
            let text = value.iter().all(u8::is_ascii_graphic) && value.len() > 3;
            let value = match (text, value.len()) {
                (true, _) => String::from_utf8(value.to_vec()).unwrap(),
                (false, 4) => value.iter().map(u8::to_string).collect::<Vec<_>>().join("."),
                (false, _) => format!("{value:?}"),
            };
            lines.push(format!("{} {value}", rest[0]));
            rest = tail;
        }
        lines.join("\n")
    }

    fn has_option(&mut self, ask: &Ask, line: &str) -> bool {
        self.options(ask).lines().any(|option| option == line)
    }
}

fn check(plan: &ServicePlan, ask: &Ask) -> String {
    TestServer::of(plan).line(ask)
}

fn firmware(mac: Mac, architecture: u8) -> Ask {
    let class = format!("PXEClient:Arch:{architecture:05}:UNDI:003001");
    ask(mac, DISCOVER).with(60, class.as_bytes()).with(93, &[0, architecture])
}

fn ipxe(mac: Mac) -> Ask {
    ask(mac, DISCOVER).with(60, b"PXEClient:Arch:00000:UNDI:002001").with(93, &[0, 0]).with(77, b"iPXE")
}

#[test]
fn a_reservation_is_offered_whole() {
    let mut handler = TestServer::of(&plan());
    let firmware = firmware(FAST, 0).with(97, &[0; 17]);
    insta::assert_snapshot!(handler.line(&firmware), @"offer 10.0.0.11 to the hardware address and 10.0.0.11 [firmware: reserved, program for BIOS by TFTP] ipxe/undionly.kpxe");
    insta::assert_snapshot!(handler.options(&firmware), @r"
    53 [2]
    54 10.0.0.1
    51 0.0.14.16
    58 0.0.7.8
    59 0.0.12.78
    1 255.255.255.0
    28 10.0.0.255
    3 10.0.0.1
    6 10.0.0.1
    12 fast
    15 lab.test
    26 [5, 220]
    60 PXEClient
    43 6.1.8.255
    66 10.0.0.1
    67 ipxe/undionly.kpxe
    97 [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]
    ");
    // Clients that read only the header find server and file there.
    let packet = handler.answer(&firmware).reply.map(packet).unwrap();
    assert_eq!(packet[4..8], 0xdead_beef_u32.to_be_bytes(), "the transaction");
    assert_eq!(packet[16..24], [10, 0, 0, 11, 10, 0, 0, 1], "yiaddr, siaddr");
    assert!(packet[44..].starts_with(b"10.0.0.1\0"), "sname");
    assert!(packet[108..].starts_with(b"ipxe/undionly.kpxe\0"), "file");
    assert!(packet.len() >= 300, "{} bytes: BOOTP relays drop shorter ones", packet.len());
}

#[test]
fn each_client_is_told_its_boot_file() {
    let plan = plan();
    let http = |architecture: u8| {
        let class = format!("HTTPClient:Arch:{architecture:05}:UNDI:003000");
        ask(FAST, DISCOVER).with(60, class.as_bytes()).with(93, &[0, architecture])
    };
    let table = [
        ("BIOS", firmware(FAST, 0)),
        ("BIOS, no option 93", ask(FAST, DISCOVER).with(60, b"PXEClient:Arch:00000:UNDI:002001")),
        ("BIOS, plain class", ask(FAST, DISCOVER).with(60, b"PXEClient")),
        ("UEFI x86-64", firmware(FAST, 7)),
        ("UEFI byte code", firmware(FAST, 9)),
        ("UEFI, no option 93", ask(FAST, DISCOVER).with(60, b"PXEClient:Arch:00007:UNDI:003001")),
        ("UEFI, several", ask(FAST, DISCOVER).with(60, b"PXEClient").with(93, &[0, 7, 0, 16])),
        ("UEFI x86", firmware(FAST, 6)),
        ("UEFI arm64", firmware(FAST, 11)),
        ("HTTP boot", http(16)),
        ("iPXE", ipxe(FAST)),
        ("iPXE, RFC 3004", ask(FAST, DISCOVER).with(77, b"\x04iPXE")),
        ("iPXE, second class", ask(FAST, DISCOVER).with(77, b"\x03abc\x04iPXE")),
        ("iPXE by its options", firmware(FAST, 7).with(175, &[177, 5, 1, 26, 244, 16, 0])),
        ("another class", firmware(FAST, 0).with(77, b"\x05iPXE2")),
        ("operating system", ask(FAST, DISCOVER).with(60, b"udhcp 1.35.0")),
        ("disk boots: firmware", firmware(DISK, 7)),
        ("disk boots: iPXE", ipxe(DISK)),
        ("a stranger's firmware", firmware(STRANGER, 7)),
    ];
    let lines: Vec<String> =
        table.iter().map(|(name, ask)| format!("{name:22} {}", check(&plan, ask))).collect();
    insta::assert_snapshot!(lines.join("\n"), @"
    BIOS                   offer 10.0.0.11 to the hardware address and 10.0.0.11 [firmware: reserved, program for BIOS by TFTP] ipxe/undionly.kpxe
    BIOS, no option 93     offer 10.0.0.11 to the hardware address and 10.0.0.11 [firmware: reserved, program for BIOS by TFTP] ipxe/undionly.kpxe
    BIOS, plain class      offer 10.0.0.11 to the hardware address and 10.0.0.11 [firmware: reserved, program for BIOS by TFTP] ipxe/undionly.kpxe
    UEFI x86-64            offer 10.0.0.11 to the hardware address and 10.0.0.11 [firmware: reserved, program for x64 UEFI by TFTP] ipxe/snponly.efi
    UEFI byte code         offer 10.0.0.11 to the hardware address and 10.0.0.11 [firmware: reserved, program for x64 UEFI by TFTP] ipxe/snponly.efi
    UEFI, no option 93     offer 10.0.0.11 to the hardware address and 10.0.0.11 [firmware: reserved, program for x64 UEFI by TFTP] ipxe/snponly.efi
    UEFI, several          offer 10.0.0.11 to the hardware address and 10.0.0.11 [firmware: reserved, program for x64 UEFI by TFTP] ipxe/snponly.efi
    UEFI x86               offer 10.0.0.11 to the hardware address and 10.0.0.11 [firmware: reserved, no program for x86 UEFI]
    UEFI arm64             offer 10.0.0.11 to the hardware address and 10.0.0.11 [firmware: reserved, no program for 64-bit Arm UEFI]
    HTTP boot              offer 10.0.0.11 to the hardware address and 10.0.0.11 [firmware: reserved, program for x64 UEFI over HTTP] http://10.0.0.1/ipxe/snponly.efi
    iPXE                   offer 10.0.0.11 to the hardware address and 10.0.0.11 [ipxe: reserved, script for iPXE] http://10.0.0.1/boot/fast.ipxe
    iPXE, RFC 3004         offer 10.0.0.11 to the hardware address and 10.0.0.11 [ipxe: reserved, script for iPXE] http://10.0.0.1/boot/fast.ipxe
    iPXE, second class     offer 10.0.0.11 to the hardware address and 10.0.0.11 [ipxe: reserved, script for iPXE] http://10.0.0.1/boot/fast.ipxe
    iPXE by its options    offer 10.0.0.11 to the hardware address and 10.0.0.11 [ipxe: reserved, script for iPXE] http://10.0.0.1/boot/fast.ipxe
    another class          offer 10.0.0.11 to the hardware address and 10.0.0.11 [firmware: reserved, program for BIOS by TFTP] ipxe/undionly.kpxe
    operating system       offer 10.0.0.11 to the hardware address and 10.0.0.11 [os: reserved]
    disk boots: firmware   offer 10.0.0.31 to the hardware address and 10.0.0.31 [firmware: reserved, not netbooted]
    disk boots: iPXE       offer 10.0.0.31 to the hardware address and 10.0.0.31 [ipxe: reserved, not netbooted]
    a stranger's firmware  offer 10.0.0.30 to the hardware address and 10.0.0.30 [firmware: pool, not netbooted]
    ");
}

#[test]
fn only_ipxe_of_a_fast_node_is_told_not_to_wait() {
    let no_wait = "175 [176, 1, 1]";
    let mut handler = TestServer::of(&plan());
    assert!(handler.has_option(&ipxe(FAST), no_wait));
    assert!(handler.has_option(&ipxe(DISK), no_wait), "its iPXE ROM waits too");
    for (who, ask) in
        [("at real pace", ipxe(REAL)), ("unknown", ipxe(STRANGER)), ("no iPXE", firmware(FAST, 7))]
    {
        assert!(!handler.options(&ask).contains("175 "), "{who}: {}", handler.options(&ask));
    }
    // The boot file is the same with and without delays.
    assert!(handler.has_option(&ipxe(REAL), "67 http://10.0.0.1/boot/real.ipxe"));
}

#[test]
fn replies_go_where_the_client_hears_them() {
    let plan = plan();
    let mut deaf = ask(FAST, DISCOVER);
    assert_eq!(
        TestServer::of(&plan).answer(&deaf).reply.unwrap().to,
        Destination::Hardware([10, 0, 0, 11].into())
    );
    deaf.broadcast = true;
    let reply = TestServer::of(&plan).answer(&deaf).reply.unwrap();
    assert_eq!(reply.to, Destination::Broadcast);
    assert_eq!(packet(reply.clone())[10..12], [0x80, 0], "the flag is repeated");
    let using = Ask { ciaddr: [10, 0, 0, 11], broadcast: true, ..ask(FAST, REQUEST) };
    let reply = TestServer::of(&plan).answer(&using).reply.unwrap();
    assert_eq!(reply.to, Destination::Address([10, 0, 0, 11].into()), "it has an address already");
    assert_eq!(packet(reply.clone())[12..16], [10, 0, 0, 11], "ciaddr");
}

#[test]
fn an_inform_is_told_everything_but_a_lease() {
    let mut handler = TestServer::of(&plan());
    let inform = Ask { ciaddr: [10, 0, 0, 200], ..ask(STRANGER, INFORM) };
    insta::assert_snapshot!(handler.line(&inform), @"ack 0.0.0.0 to 10.0.0.200 [os: inform]");
    insta::assert_snapshot!(handler.options(&inform), @r"
    53 [5]
    54 10.0.0.1
    1 255.255.255.0
    28 10.0.0.255
    3 10.0.0.1
    6 10.0.0.1
    15 lab.test
    26 [5, 220]
    ");
    assert_eq!(handler.line(&ask(STRANGER, INFORM)), "- [os: no address requested]");
}

#[test]
fn bootp_needs_a_reservation() {
    let mut handler = TestServer::of(&plan());
    assert_eq!(
        handler.line(&bootp(FAST)),
        "bootp 10.0.0.11 to the hardware address and 10.0.0.11 [os: reserved]"
    );
    assert!(!handler.options(&bootp(FAST)).contains("53 "), "a BOOTP reply has no message type");
    assert_eq!(handler.line(&bootp(STRANGER)), "- [os: BOOTP clients need a reservation]");
}

#[test]
fn a_proxy_gives_boot_files_and_no_address() {
    let mut handler = TestServer::of(&proxy());
    let request = |mac| firmware(mac, 7).with(53, &[REQUEST]);
    let mut lines = Vec::new();
    let mut say = |what: &str, line: String| lines.push(format!("{what:20} {line}"));
    say("firmware", handler.line(&firmware(FAST, 7)));
    say("iPXE", handler.line(&ipxe(FAST)));
    say("operating system", handler.line(&ask(FAST, DISCOVER)));
    say("not netbooted", handler.line(&firmware(DISK, 7)));
    say("a stranger", handler.line(&firmware(STRANGER, 7)));
    say("a request on 67", handler.line(&ask(FAST, REQUEST).wanting([10, 0, 0, 11])));
    handler.arrival = Arrival::Proxy(Ipv4Addr::new(10, 0, 0, 200));
    say("a request on 4011", handler.line(&ask(FAST, REQUEST).with(60, b"PXEClient:Arch:00007")));
    say("a stranger on 4011", handler.line(&request(STRANGER)));
    insta::assert_snapshot!(lines.join("\n"), @"
    firmware             offer 0.0.0.0 to all [firmware: proxy, program for x64 UEFI by TFTP] ipxe/snponly.efi
    iPXE                 offer 0.0.0.0 to all [ipxe: proxy, script for iPXE] http://10.0.0.1/boot/fast.ipxe
    operating system     - [os: no boot file for this client]
    not netbooted        - [firmware: no boot file for this client: not netbooted]
    a stranger           - [firmware: no boot file for this client: not netbooted]
    a request on 67      - [os: another server assigns addresses]
    a request on 4011    ack 0.0.0.0 to the sender [firmware: proxy, program for x64 UEFI by TFTP] ipxe/snponly.efi
    a stranger on 4011   - [firmware: no boot file for this client: not netbooted]
    ");
    handler.arrival = Arrival::Server;
    for ask in [firmware(FAST, 7), ipxe(FAST)] {
        let packet = handler.answer(&ask).reply.map(packet).unwrap();
        assert_eq!(
            packet[20..24],
            SERVER.octets(),
            "iPXE wants a next server, also where the boot file is a URL"
        );
    }
    insta::assert_snapshot!(handler.options(&firmware(FAST, 7)), @r"
    53 [2]
    54 10.0.0.1
    60 PXEClient
    43 6.1.8.255
    66 10.0.0.1
    67 ipxe/snponly.efi
    ");
}

#[test]
fn the_address_of_a_client_is_known_whoever_gave_it() {
    let uses =
        |plan: &ServicePlan, ask: &Ask| TestServer::of(plan).answer(ask).uses.map(|address| address.octets());
    let other = Ipv4Addr::new(10, 0, 0, 2);
    assert_eq!(uses(&plan(), &ask(FAST, DISCOVER)), None, "it may take another one");
    assert_eq!(uses(&plan(), &ask(FAST, REQUEST).wanting([10, 0, 0, 11])), Some([10, 0, 0, 11]));
    assert_eq!(uses(&plan(), &ask(STRANGER, REQUEST).wanting([10, 0, 0, 33])), Some([10, 0, 0, 33]));
    let inform = Ask { ciaddr: [10, 0, 0, 200], ..ask(STRANGER, INFORM) };
    assert_eq!(uses(&plan(), &inform), Some([10, 0, 0, 200]));
    assert_eq!(uses(&proxy(), &firmware(FAST, 7)), None, "that is still open");
    let elsewhere = ask(FAST, REQUEST).wanting([10, 0, 0, 100]).choosing(other);
    assert_eq!(uses(&proxy(), &elsewhere), Some([10, 0, 0, 100]));
    assert_eq!(uses(&plan(), &ask(FAST, REQUEST).wanting([192, 168, 1, 5])), None, "it may not");
}

#[test]
fn a_network_without_dhcp_has_no_server() {
    assert!(Server::new(&ServicePlan { dhcp: None, ..plan() }).is_none());
}

#[test]
fn packets_of_others_are_no_requests() {
    let good = ask(FAST, DISCOVER).packet();
    let with = |at: usize, byte: u8| {
        let mut packet = good.clone();
        packet[at] = byte;
        Request::decode(&packet)
    };
    assert!(with(0, 1).is_some());
    assert_eq!(with(0, 2), None, "a reply");
    assert_eq!(with(1, 6), None, "not Ethernet");
    assert_eq!(with(2, 255), None, "dhcproto would slice by this length");
    assert_eq!(with(28, 0x53), None, "a group address");
    assert_eq!(Request::decode(&good[..239]), None, "cut short");
    // Without the magic cookie there are no options.
    assert_eq!(with(236, 0).unwrap().kind, None);
}

/// A request that was forwarded by a relay.
fn relayed(ask: Ask, giaddr: [u8; 4]) -> Ask {
    Ask { giaddr, ..ask }.with(82, b"\x01\x04port")
}

#[test]
fn relays_bring_requests_of_our_own_subnet() {
    let plan = plan();
    let relay = [10, 0, 0, 200];
    let elsewhere = relayed(ask(STRANGER, DISCOVER), [10, 9, 0, 1]);
    let named =
        Ask { giaddr: [10, 0, 0, 200], ..ask(STRANGER, DISCOVER) }.with(82, b"\x05\x04\x0a\x09\x00\x00");
    let table = [
        ("a node", relayed(firmware(FAST, 0), relay)),
        ("from the pool", relayed(ask(STRANGER, DISCOVER), relay)),
        ("selecting", relayed(ask(STRANGER, REQUEST).wanting([10, 0, 0, 30]).choosing(SERVER), relay)),
        ("a wrong address", relayed(ask(FAST, REQUEST).wanting([192, 168, 1, 5]), relay)),
        ("a relay of another subnet", elsewhere),
        ("a link of another subnet", named),
        ("we are no relay", relayed(ask(STRANGER, DISCOVER), SERVER.octets())),
        ("nor is everybody", relayed(ask(STRANGER, DISCOVER), [10, 0, 0, 255])),
    ];
    let lines: Vec<String> =
        table.iter().map(|(name, ask)| format!("{name:26} {}", check(&plan, ask))).collect();
    insta::assert_snapshot!(lines.join("\n"), @"
    a node                     offer 10.0.0.11 to the relay 10.0.0.200 [firmware: reserved, program for BIOS by TFTP] ipxe/undionly.kpxe
    from the pool              offer 10.0.0.30 to the relay 10.0.0.200 [os: pool]
    selecting                  ack 10.0.0.30 to the relay 10.0.0.200 [os: pool]
    a wrong address            nak 0.0.0.0 to the relay 10.0.0.200 [os: 192.168.1.5 is not this client's address, 10.0.0.11 is]
    a relay of another subnet  - [os: relayed from another subnet, 10.9.0.1]
    a link of another subnet   - [os: relayed from another subnet, 10.9.0.0]
    we are no relay            - [os: relay 10.0.0.1 is not a host of this network]
    nor is everybody           - [os: relay 10.0.0.255 is not a host of this network]
    ");

    // The relay gets its information back, at the end.
    let mut handler = TestServer::of(&plan);
    let packet = handler.answer(&relayed(ask(FAST, DISCOVER), relay)).reply.map(packet).unwrap();
    assert_eq!(packet[24..28], relay, "giaddr");
    let end = packet.iter().rposition(|byte| *byte == 255).unwrap();
    assert!(packet[..end].ends_with(b"\x52\x06\x01\x04port"), "{packet:?}");
}

#[test]
fn a_client_is_known_by_its_id_and_by_its_uuid() {
    let mut plan = plan();
    let fast = &mut plan.hosts[0];
    fast.client_id = Some(crate::lab::options::Octets(b"rack-7".to_vec()));
    fast.uuid = "00112233-4455-6677-8899-aabbccddeeff".parse().unwrap();
    let network_order = fast.uuid.into_bytes();
    let smbios_order = fast.uuid.to_bytes_le();
    assert_ne!(network_order, smbios_order);
    let uuid = |bytes: [u8; 16]| ask(STRANGER, DISCOVER).with(97, &[&[0], &bytes[..]].concat());
    let table = [
        ("client id", ask(STRANGER, DISCOVER).with(61, b"rack-7")),
        ("client id with a type", ask(STRANGER, DISCOVER).with(61, b"\0rack-7")),
        ("another client id", ask(STRANGER, DISCOVER).with(61, b"rack-8")),
        ("UUID as in SMBIOS", uuid(smbios_order)),
        ("UUID in network order", uuid(network_order)),
        ("another UUID", uuid([7; 16])),
        ("a UUID of another type", ask(STRANGER, DISCOVER).with(97, &[&[1], &network_order[..]].concat())),
        ("its MAC address counts", ask(DISK, DISCOVER).with(61, b"rack-7")),
    ];
    let lines: Vec<String> =
        table.iter().map(|(name, ask)| format!("{name:22} {}", check(&plan, ask))).collect();
    insta::assert_snapshot!(lines.join("\n"), @"
    client id              offer 10.0.0.11 to the hardware address and 10.0.0.11 [os: reserved by client id]
    client id with a type  offer 10.0.0.11 to the hardware address and 10.0.0.11 [os: reserved by client id]
    another client id      offer 10.0.0.30 to the hardware address and 10.0.0.30 [os: pool]
    UUID as in SMBIOS      offer 10.0.0.11 to the hardware address and 10.0.0.11 [os: reserved by UUID]
    UUID in network order  offer 10.0.0.11 to the hardware address and 10.0.0.11 [os: reserved by UUID]
    another UUID           offer 10.0.0.30 to the hardware address and 10.0.0.30 [os: pool]
    a UUID of another type offer 10.0.0.30 to the hardware address and 10.0.0.30 [os: pool]
    its MAC address counts offer 10.0.0.31 to the hardware address and 10.0.0.31 [os: reserved]
    ");

    // Its client ID is repeated (RFC 6842), and it keeps the address for the lease time.
    let mut handler = TestServer::of(&plan);
    assert!(handler.has_option(&ask(STRANGER, DISCOVER).with(61, b"rack-7"), "61 rack-7"));
    assert!(handler.line(&ask(FAST, REQUEST).wanting([10, 0, 0, 11])).starts_with("ack 10.0.0.11"));
    insta::assert_snapshot!(handler.line(&uuid(smbios_order)), @"offer 10.0.0.30 to the hardware address and 10.0.0.30 [os: another client uses the address of this NIC]");
    handler.now += Duration::from_secs(3600);
    assert!(handler.line(&uuid(smbios_order)).starts_with("offer 10.0.0.11"));
}

#[test]
fn nobody_is_hit_by_a_reply_that_it_never_asked_for() {
    let plan = plan();
    let victim = [192, 0, 2, 1];
    let table = [
        ("inform", Ask { ciaddr: victim, ..ask(STRANGER, INFORM) }),
        ("inform from us", Ask { ciaddr: SERVER.octets(), ..ask(STRANGER, INFORM) }),
        (
            "selecting with an address",
            Ask { ciaddr: victim, ..ask(FAST, REQUEST) }.wanting([10, 0, 0, 11]).choosing(SERVER),
        ),
        ("renewing", Ask { ciaddr: victim, ..ask(FAST, REQUEST) }),
        ("a relay", relayed(ask(STRANGER, DISCOVER), victim)),
    ];
    let lines: Vec<String> =
        table.iter().map(|(name, ask)| format!("{name:26} {}", check(&plan, ask))).collect();
    insta::assert_snapshot!(lines.join("\n"), @"
    inform                     - [os: 192.0.2.1 is not a host of this network]
    inform from us             - [os: 10.0.0.1 is not a host of this network]
    selecting with an address  ack 10.0.0.11 to the hardware address and 10.0.0.11 [os: reserved]
    renewing                   nak 0.0.0.0 to all [os: 192.0.2.1 is not this client's address, 10.0.0.11 is]
    a relay                    - [os: relayed from another subnet, 192.0.2.1]
    ");
    let mut handler = TestServer { arrival: Arrival::Proxy(victim.into()), ..TestServer::of(&plan) };
    insta::assert_snapshot!(handler.line(&firmware(FAST, 7)), @"- [firmware: 192.0.2.1 is not a host of this network]");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// For any input: no panic, no reply to foreign packets, and no reply that exceeds its maximum size.
    #[test]
    fn no_packet_ends_the_service(
        options in proptest::collection::vec(any::<u8>(), 0..200),
        header in proptest::collection::vec(any::<u8>(), 240),
        cut in 0..500_usize,
        like in any::<bool>(),
        mac in prop_oneof![Just(FAST), Just(REAL), Just(STRANGER)],
        server in any::<bool>(),
        long in proptest::collection::vec(any::<u8>(), 0..600),
    ) {
        let mut bytes = header;
        if like {
            let ask = Ask { options: Vec::new(), ..ask(mac, DISCOVER) };
            bytes = ask.packet();
            bytes.truncate(240);
        }
        bytes.extend(options);
        bytes.truncate(cut.max(if like { 240 } else { 0 }));
        if let Some(request) = Request::decode(&bytes) {
            prop_assert_eq!((bytes[0], bytes[1], bytes[2]), (1, 1, 6));
            let requested = crate::wire::dhcp::Options::split(&bytes);
            let largest = requested.get(57).and_then(|value| value.try_into().ok()).map_or(0, u16::from_be_bytes);
            let mut plan = if server { with_options(&[(224, &long)], &[]) } else { proxy() };
            plan.dhcp.as_mut().unwrap().ipxe_classes.push("x".to_owned());
            let mut handler = TestServer::of(&plan);
            for arrival in [Arrival::Server, Arrival::Proxy(Ipv4Addr::new(10, 0, 0, 200))] {
                let decision = answer(&handler.server, &handler.state, &request, arrival, false, handler.now);
                handler.state.apply(decision.change.clone());
                let Some(reply) = decision.reply else { continue };
                prop_assert!(request.server.is_none_or(|chosen| chosen == SERVER), "it was for another server");
                match reply.to {
                    Destination::Address(to) | Destination::Relay(to) => {
                        prop_assert!(handler.server.address.contains(&to) && to != SERVER);
                    }
                    Destination::Broadcast | Destination::Hardware(_) => {}
                    Destination::Source => prop_assert_ne!(arrival, Arrival::Server),
                }
                let sent = packet(reply);
                let most = usize::from(largest).clamp(576, 1500) + 14;
                prop_assert!(sent.len() + 42 <= most, "{} bytes for {}", sent.len() + 42, most);
                let read = dhcproto::v4::Message::decode(&mut Decoder::new(&sent)).unwrap();
                prop_assert_eq!((read.xid(), read.opcode()), (request.xid, dhcproto::v4::Opcode::BootReply));
            }
        }
    }
}

mod boards;
mod lending;
mod options;
mod quirks;
