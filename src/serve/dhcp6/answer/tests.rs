use dhcproto::v6::NtpSuboption;
use proptest::prelude::*;

use super::*;
use crate::lab::Via;
use crate::serve::example::{DISK, FAST, REAL, STRANGER, plan};

const SOLICIT: u8 = 1;
const REQUEST: u8 = 3;
const CONFIRM: u8 = 4;
const RENEW: u8 = 5;
const REBIND: u8 = 6;
const RELEASE: u8 = 8;
const DECLINE: u8 = 9;
const INFORM: u8 = 11;

/// The network of the other tests, with IPv6 and a pool.
fn with_ipv6() -> ServicePlan {
    let mut plan = plan();
    plan.ipv6 = Some("fd00:83::1/64".parse().unwrap());
    for (host, last) in plan.hosts.iter_mut().zip(0x11..) {
        host.ipv6 = Some(Ipv6Addr::new(0xfd00, 0x83, 0, 0, 0, 0, 0, last));
    }
    plan.dhcp6 = Some(Dhcp6Plan {
        pool: Some("fd00:83::d:0:0/96".parse().unwrap()),
        lease_seconds: 3600,
        nameserver: Some("fd00:83::1".parse().unwrap()),
        domain: Some("lab.test".to_owned()),
        ntp: true,
        ipxe_classes: vec!["gateway".to_owned()],
    });
    plan
}

fn option(code: u16, value: &[u8]) -> Vec<u8> {
    let length = u16::try_from(value.len()).unwrap();
    [&code.to_be_bytes(), &length.to_be_bytes(), value].concat()
}

fn duid(mac: Mac) -> Vec<u8> {
    [&LINK_LAYER[..], &mac.0].concat()
}

/// A client's packet, built option by option.
#[derive(Clone)]
struct Ask {
    packet: Vec<u8>,
    from: Ipv6Addr,
    /// The frame's.
    mac: Option<Mac>,
    multicast: bool,
}

impl Ask {
    /// A message of a client with a DUID-LL.
    fn new(kind: u8, mac: Mac) -> Self {
        Self { packet: vec![kind, 1, 2, 3], from: mac.link_local(), mac: None, multicast: true }
            .with(1, &duid(mac))
    }

    fn with(mut self, code: u16, value: &[u8]) -> Self {
        self.packet.extend(option(code, value));
        self
    }

    /// Adds our server identifier.
    fn of_us(self) -> Self {
        self.with(2, &duid(plan().mac))
    }

    /// Requests an address, listing the current ones.
    fn address(self, id: u32, addresses: &[&str]) -> Self {
        let mut value = [&id.to_be_bytes()[..], &[0; 8]].concat();
        for address in addresses {
            let address: Ipv6Addr = address.parse().unwrap();
            value.extend(option(5, &[&address.octets()[..], &[0; 8]].concat()));
        }
        self.with(3, &value)
    }

    /// Identifies as firmware that boots by PXE or HTTP.
    fn firmware(self, class: &str, architecture: u8) -> Self {
        let length = u8::try_from(class.len()).unwrap();
        let value = [&[0, 0, 1, 0x57, 0, length], class.as_bytes()].concat();
        self.with(6, &[0, 59, 0, 60]).with(16, &value).with(61, &[0, architecture])
    }

    fn request(&self) -> Request {
        Request::decode(&self.packet).unwrap()
    }

    fn arrival(&self) -> Arrival {
        Arrival { from: self.from, mac: self.mac, multicast: self.multicast }
    }
}

/// A server with its leases and a clock.
struct TestServer {
    server: Server,
    state: State,
    now: RunTime,
    runs_program: bool,
}

impl TestServer {
    fn of(plan: &ServicePlan) -> Self {
        Self {
            server: Server::new(plan).unwrap(),
            state: State::default(),
            now: RunTime::START,
            runs_program: false,
        }
    }

    fn decide(&mut self, ask: &Ask) -> Decision {
        let request = ask.request();
        let decision =
            answer(&self.server, &self.state, &request, ask.arrival(), self.runs_program, self.now);
        for change in decision.changes.clone() {
            self.state.apply(change, self.now);
        }
        decision
    }

    /// The decision about a request as one line.
    fn line(&mut self, ask: &Ask) -> String {
        let Decision { reply, client, boot_file, rule, .. } = self.decide(ask);
        let file = boot_file.map(|file| format!(" {file}")).unwrap_or_default();
        match reply {
            None => format!("- [{client}: {rule}]"),
            Some(reply) => {
                let options: Vec<String> = reply.options.iter().filter_map(word).collect();
                let kind = crate::wire::dhcp6::message(reply.kind);
                format!("{kind} {} [{client}: {rule}]{file}", options.join(" "))
            }
        }
    }
}

/// An option in a few words; client and server identifiers are checked elsewhere.
fn word(option: &DhcpOption) -> Option<String> {
    Some(match option {
        DhcpOption::ClientId(_) | DhcpOption::ServerId(_) => return None,
        DhcpOption::StatusCode(status) => format!("{:?}", status.status),
        DhcpOption::IANA(IANA { id, t1, t2, opts }) => {
            let inner: Vec<String> = opts.iter().filter_map(word).collect();
            format!("{id}({t1} {t2}: {})", inner.join(" "))
        }
        DhcpOption::IATA(IATA { id, opts }) => {
            format!("temporary {id}({})", opts.iter().filter_map(word).collect::<String>())
        }
        DhcpOption::IAPD(IAPD { id, opts, .. }) => {
            format!("prefix {id}({})", opts.iter().filter_map(word).collect::<String>())
        }
        DhcpOption::IAAddr(address) => format!("{}/{}", address.addr, address.valid_life),
        DhcpOption::DomainNameServers(servers) => format!("dns={servers:?}"),
        DhcpOption::NtpServer(servers) => {
            let of = |server: &NtpSuboption| format!("{server:?}");
            format!("ntp={}", servers.iter().map(of).collect::<String>())
        }
        DhcpOption::Preference(preference) => format!("preference={preference}"),
        DhcpOption::RapidCommit => "rapid".to_owned(),
        DhcpOption::InformationRefreshTime(seconds) => format!("refresh={seconds}"),
        DhcpOption::Unknown(unknown) => {
            let text: String = String::from_utf8_lossy(unknown.data()).escape_default().collect();
            format!("{}={text}", u16::from(unknown.code()))
        }
        other => format!("{other:?}"),
    })
}

#[test]
fn who_asks_for_the_time_is_told_where() {
    let mut handler = TestServer::of(&with_ipv6());
    let ask = Ask::new(INFORM, FAST).with(6, &[0, 56]);
    let reply = handler.decide(&ask).reply.expect("a reply").encode(&[]).unwrap();
    let address = "fd00:83::1".parse::<Ipv6Addr>().unwrap().octets();
    // RFC 5908: the address is a sub-option.
    let wanted = option(56, &option(1, &address));
    assert!(reply.windows(wanted.len()).any(|bytes| bytes == wanted), "{reply:?}");
    assert!(!handler.line(&Ask::new(INFORM, FAST).with(6, &[0, 23])).contains("ntp="), "who does not is not");
}

#[test]
fn a_node_is_given_its_reservation() {
    let mut handler = TestServer::of(&with_ipv6());
    let mut lines = Vec::new();
    let mut say = |what: &str, line: String| lines.push(format!("{what:20} {line}"));
    say("solicit", handler.line(&Ask::new(SOLICIT, FAST).address(7, &[])));
    say("rapid commit", handler.line(&Ask::new(SOLICIT, FAST).address(7, &[]).with(14, &[])));
    say("request", handler.line(&Ask::new(REQUEST, FAST).of_us().address(7, &["fd00:83::11"])));
    say(
        "nothing else, please",
        handler.line(&Ask::new(REQUEST, FAST).of_us().with(6, &[0, 59]).address(7, &[])),
    );
    say("renew", handler.line(&Ask::new(RENEW, FAST).of_us().address(7, &["fd00:83::11"])));
    say("rebind, moved here", handler.line(&Ask::new(REBIND, FAST).address(7, &["fd00:84::5"])));
    say("two at once", handler.line(&Ask::new(SOLICIT, FAST).address(7, &[]).address(8, &[])));
    let more = Ask::new(SOLICIT, FAST).address(7, &[]).with(4, &[0, 0, 0, 1]).with(25, &[0; 12]);
    say("and more", handler.line(&more));
    say("only a prefix", handler.line(&Ask::new(SOLICIT, FAST).with(25, &[0; 12])));
    say("confirm", handler.line(&Ask::new(CONFIRM, FAST).address(7, &["fd00:83::11"])));
    say("confirm, moved", handler.line(&Ask::new(CONFIRM, FAST).address(7, &["fd00:83::11", "fd00:84::5"])));
    say("confirm nothing", handler.line(&Ask::new(CONFIRM, FAST).address(7, &[])));
    say("release", handler.line(&Ask::new(RELEASE, FAST).of_us().address(7, &["fd00:83::11"])));
    say("release another's", handler.line(&Ask::new(RELEASE, FAST).of_us().address(7, &["fd00:83::12"])));
    say("decline", handler.line(&Ask::new(DECLINE, FAST).of_us().address(7, &["fd00:83::11"])));
    say("inform", handler.line(&Ask::new(INFORM, FAST).with(6, &[0, 23, 0, 24, 0, 32])));
    say("inform, nameless", handler.line(&Ask { packet: vec![INFORM, 1, 2, 3], ..Ask::new(INFORM, FAST) }));
    say("inform and address", handler.line(&Ask::new(INFORM, FAST).address(7, &[])));
    insta::assert_snapshot!(lines.join("\n"), @r"
    solicit              advertise 7(1800 2880: fd00:83::11/3600) dns=[fd00:83::1] 24=\u{3}lab\u{4}test\u{0} preference=255 [os: reserved]
    rapid commit         reply 7(1800 2880: fd00:83::11/3600) dns=[fd00:83::1] 24=\u{3}lab\u{4}test\u{0} rapid [os: reserved]
    request              reply 7(1800 2880: fd00:83::11/3600) dns=[fd00:83::1] 24=\u{3}lab\u{4}test\u{0} [os: reserved]
    nothing else, please reply 7(1800 2880: fd00:83::11/3600) [os: reserved]
    renew                reply 7(1800 2880: fd00:83::11/3600) dns=[fd00:83::1] 24=\u{3}lab\u{4}test\u{0} [os: reserved]
    rebind, moved here   reply 7(1800 2880: fd00:83::11/3600 fd00:84::5/0) dns=[fd00:83::1] 24=\u{3}lab\u{4}test\u{0} [os: reserved]
    two at once          advertise 7(1800 2880: fd00:83::11/3600) 8(0 0: NoAddrsAvail) dns=[fd00:83::1] 24=\u{3}lab\u{4}test\u{0} preference=255 [os: reserved]
    and more             advertise 7(1800 2880: fd00:83::11/3600) temporary 1(NoAddrsAvail) prefix 0(NoPrefixAvail) dns=[fd00:83::1] 24=\u{3}lab\u{4}test\u{0} preference=255 [os: reserved]
    only a prefix        advertise prefix 0(NoPrefixAvail) dns=[fd00:83::1] 24=\u{3}lab\u{4}test\u{0} preference=255 [os: no address requested]
    confirm              reply Success [os: addresses are on this link]
    confirm, moved       reply NotOnLink [os: addresses are on another link]
    confirm nothing      - [os: no address requested]
    release              reply Success [os: released]
    release another's    reply Success 7(0 0: NoBinding) [os: released]
    decline              reply Success [os: address conflict on a reserved address]
    inform               reply refresh=3600 dns=[fd00:83::1] 24=\u{3}lab\u{4}test\u{0} [os: inform]
    inform, nameless     reply dns=[fd00:83::1] 24=\u{3}lab\u{4}test\u{0} [os: inform]
    inform and address   - [os: addresses requested]
    ");
}

#[test]
fn strangers_are_given_addresses_where_there_are_some_for_them() {
    let mut handler = TestServer::of(&with_ipv6());
    let mut lines = Vec::new();
    let mut say = |what: &str, line: String| lines.push(format!("{what:20} {line}"));
    say("solicit", handler.line(&Ask::new(SOLICIT, STRANGER).address(7, &[])));
    let Decision { address, .. } = handler.decide(&Ask::new(REQUEST, STRANGER).of_us().address(7, &[]));
    let address = address.unwrap().to_string();
    let has = [address.as_str()];
    say("renew", handler.line(&Ask::new(RENEW, STRANGER).of_us().address(7, &has)));
    say("for another use", handler.line(&Ask::new(REQUEST, STRANGER).of_us().address(8, &[])));
    say("decline", handler.line(&Ask::new(DECLINE, STRANGER).of_us().address(7, &has)));
    let Decision { address: second, .. } =
        handler.decide(&Ask::new(REQUEST, STRANGER).of_us().address(7, &[]));
    assert_ne!(second.unwrap().to_string(), address);
    say(
        "release",
        handler.line(&Ask::new(RELEASE, STRANGER).of_us().address(7, &[&second.unwrap().to_string()])),
    );
    say("release again", handler.line(&Ask::new(RELEASE, STRANGER).of_us().address(7, &has)));

    let mut plan = with_ipv6();
    plan.dhcp6.as_mut().unwrap().pool = None;
    let mut handler = TestServer::of(&plan);
    say("not here: solicit", handler.line(&Ask::new(SOLICIT, STRANGER).address(7, &[])));
    say("not here: request", handler.line(&Ask::new(REQUEST, STRANGER).of_us().address(7, &[])));
    say("not here: renew", handler.line(&Ask::new(RENEW, STRANGER).of_us().address(7, &has)));
    say("not here: rebind", handler.line(&Ask::new(REBIND, STRANGER).address(7, &has)));
    plan.ipv6_unknown_clients = UnknownClients::Ignore;
    let mut handler = TestServer::of(&plan);
    say("left alone: solicit", handler.line(&Ask::new(SOLICIT, STRANGER).address(7, &[])));
    say("left alone: inform", handler.line(&Ask::new(INFORM, STRANGER)));
    say("a node: inform", handler.line(&Ask::new(INFORM, FAST)));
    insta::assert_snapshot!(lines.join("\n"), @r#"
    solicit              advertise 7(1800 2880: fd00:83::d:b87:4d8e/3600) dns=[fd00:83::1] 24=\u{3}lab\u{4}test\u{0} preference=255 [os: pool]
    renew                reply 7(1800 2880: fd00:83::d:b87:4d8e/3600) dns=[fd00:83::1] 24=\u{3}lab\u{4}test\u{0} [os: pool]
    for another use      reply 8(1800 2880: fd00:83::d:1e1e:3c50/3600) dns=[fd00:83::1] 24=\u{3}lab\u{4}test\u{0} [os: pool]
    decline              reply Success [os: address conflict, address set aside]
    release              reply Success [os: released]
    release again        reply Success 7(0 0: NoBinding) [os: released]
    not here: solicit    - [os: unknown client]
    not here: request    reply 7(0 0: NoAddrsAvail) dns=[fd00:83::1] 24=\u{3}lab\u{4}test\u{0} [os: no address requested]
    not here: renew      reply 7(0 0: NoBinding) [os: unknown client]
    not here: rebind     - [os: unknown client]
    left alone: solicit  - [os: unknown client, and `unknown-clients` is "ignore"]
    left alone: inform   - [os: unknown client, and `unknown-clients` is "ignore"]
    a node: inform       reply dns=[fd00:83::1] 24=\u{3}lab\u{4}test\u{0} [os: inform]
    "#);
}

#[test]
fn firmware_is_told_what_to_load() {
    let mut handler = TestServer::of(&with_ipv6());
    let mut lines = Vec::new();
    let mut say = |what: &str, line: String| lines.push(format!("{what:20} {line}"));
    let ask = |mac: Mac| Ask::new(SOLICIT, mac).address(7, &[]);
    let user = |ask: Ask, class: &[u8]| ask.with(15, class);
    let x64 = "PXEClient:Arch:00007:UNDI:003000";
    say("PXE, x64", handler.line(&ask(FAST).firmware(x64, 7)));
    say("PXE, x64 as 9", handler.line(&ask(FAST).firmware("PXEClient", 9)));
    say("PXE, Arm", handler.line(&ask(FAST).firmware("PXEClient", 11)));
    say("PXE, no option 61", handler.line(&ask(FAST).with(16, b"\0\0\x01\x57\0\x14PXEClient:Arch:00007")));
    say("HTTP, x64", handler.line(&ask(FAST).firmware("HTTPClient:Arch:00016:UNDI:003000", 16)));
    say("iPXE", handler.line(&user(ask(FAST), b"\0\x04iPXE").firmware(x64, 7)));
    say("iPXE, plain", handler.line(&user(ask(FAST), b"iPXE").firmware(x64, 7)));
    say("iPXE by our word", handler.line(&user(ask(FAST), b"\0\x07gateway").firmware(x64, 7)));
    say("disk boots", handler.line(&ask(DISK).firmware(x64, 7)));
    say("a stranger", handler.line(&ask(STRANGER).firmware(x64, 7)));
    say("operating system", handler.line(&ask(FAST).with(6, &[0, 59])));
    say("inform", handler.line(&Ask::new(INFORM, FAST).firmware(x64, 7)));
    handler.runs_program = true;
    say("its program asks", handler.line(&ask(FAST).firmware(x64, 7)));

    let mut plan = with_ipv6();
    for host in &mut plan.hosts {
        if let Some(boot) = &mut host.boot {
            boot.via = Some(Via::Http6);
            boot.rom_chains = true;
        }
    }
    let mut handler = TestServer::of(&plan);
    say("HTTP only: PXE", handler.line(&ask(FAST).firmware(x64, 7)));
    say("HTTP only: HTTP", handler.line(&ask(FAST).firmware("HTTPClient", 16)));
    say("a ROM that chains", handler.line(&user(ask(FAST), b"iPXE").firmware(x64, 7)));
    insta::assert_snapshot!(lines.join("\n"), @r#"
    PXE, x64             advertise 7(1800 2880: fd00:83::11/3600) 59=tftp://[fd00:83::1]/ipxe/snponly.efi preference=255 [firmware: reserved, program by TFTP] tftp://[fd00:83::1]/ipxe/snponly.efi
    PXE, x64 as 9        advertise 7(1800 2880: fd00:83::11/3600) 59=tftp://[fd00:83::1]/ipxe/snponly.efi preference=255 [firmware: reserved, program by TFTP] tftp://[fd00:83::1]/ipxe/snponly.efi
    PXE, Arm             advertise 7(1800 2880: fd00:83::11/3600) preference=255 [firmware: reserved, no program for 64-bit Arm UEFI]
    PXE, no option 61    advertise 7(1800 2880: fd00:83::11/3600) dns=[fd00:83::1] 24=\u{3}lab\u{4}test\u{0} 59=tftp://[fd00:83::1]/ipxe/snponly.efi preference=255 [firmware: reserved, program by TFTP] tftp://[fd00:83::1]/ipxe/snponly.efi
    HTTP, x64            advertise 7(1800 2880: fd00:83::11/3600) 59=http://[fd00:83::1]/ipxe/snponly.efi 16=\u{0}\u{0}\u{1}W\u{0}\nHTTPClient preference=255 [firmware: reserved, program by HTTP] http://[fd00:83::1]/ipxe/snponly.efi
    iPXE                 advertise 7(1800 2880: fd00:83::11/3600) 59=http://[fd00:83::1]/boot/fast.ipxe preference=255 [ipxe: reserved, script for iPXE] http://[fd00:83::1]/boot/fast.ipxe
    iPXE, plain          advertise 7(1800 2880: fd00:83::11/3600) 59=http://[fd00:83::1]/boot/fast.ipxe preference=255 [ipxe: reserved, script for iPXE] http://[fd00:83::1]/boot/fast.ipxe
    iPXE by our word     advertise 7(1800 2880: fd00:83::11/3600) 59=http://[fd00:83::1]/boot/fast.ipxe preference=255 [ipxe: reserved, script for iPXE] http://[fd00:83::1]/boot/fast.ipxe
    disk boots           advertise 7(1800 2880: fd00:83::13/3600) preference=255 [firmware: reserved, not netbooted]
    a stranger           advertise 7(1800 2880: fd00:83::d:b87:4d8e/3600) preference=255 [firmware: pool, not netbooted]
    operating system     advertise 7(1800 2880: fd00:83::11/3600) preference=255 [os: reserved]
    inform               reply 59=tftp://[fd00:83::1]/ipxe/snponly.efi [firmware: inform, program by TFTP] tftp://[fd00:83::1]/ipxe/snponly.efi
    its program asks     advertise 7(1800 2880: fd00:83::11/3600) 59=http://[fd00:83::1]/boot/fast.ipxe preference=255 [firmware: reserved, script for the fetched boot program] http://[fd00:83::1]/boot/fast.ipxe
    HTTP only: PXE       advertise 7(1800 2880: fd00:83::11/3600) preference=255 [firmware: reserved, profile with via = "http6"]
    HTTP only: HTTP      advertise 7(1800 2880: fd00:83::11/3600) 59=http://[fd00:83::1]/ipxe/snponly.efi 16=\u{0}\u{0}\u{1}W\u{0}\nHTTPClient preference=255 [firmware: reserved, program by HTTP] http://[fd00:83::1]/ipxe/snponly.efi
    a ROM that chains    advertise 7(1800 2880: fd00:83::11/3600) 59=tftp://[fd00:83::1]/ipxe/snponly.efi preference=255 [ipxe: reserved, program by TFTP] tftp://[fd00:83::1]/ipxe/snponly.efi
    "#);
}

#[test]
fn what_no_client_of_ours_sends_is_left_unanswered() {
    let mut handler = TestServer::of(&with_ipv6());
    let mut lines = Vec::new();
    let mut say = |what: &str, ask: Ask| lines.push(format!("{what:22} {}", handler.line(&ask)));
    let another = duid(STRANGER);
    let ours = |kind: u8| Ask::new(kind, FAST).address(7, &["fd00:83::11"]);
    for (name, kind) in [("request", REQUEST), ("renew", RENEW), ("release", RELEASE), ("decline", DECLINE)] {
        say(&format!("{name} of nobody"), ours(kind));
        say(&format!("{name} of another"), ours(kind).with(2, &another));
        say(&format!("{name} to us alone"), Ask { multicast: false, ..ours(kind).of_us() });
    }
    for (name, kind) in [("solicit", SOLICIT), ("confirm", CONFIRM), ("rebind", REBIND)] {
        say(&format!("{name} of us"), ours(kind).of_us());
        say(&format!("{name} to us alone"), Ask { multicast: false, ..ours(kind) });
    }
    say("inform of another", Ask::new(INFORM, FAST).with(2, &another));
    say("inform to us alone", Ask { multicast: false, ..Ask::new(INFORM, FAST) });
    let nameless = Ask { packet: vec![SOLICIT, 1, 2, 3], ..ours(SOLICIT) };
    say("without a name", nameless.address(7, &[]));
    for from in ["fd00:83::99", "2001:db8::1", "::", "::1", "ff02::1"] {
        say(&format!("from {from}"), Ask { from: from.parse().unwrap(), ..ours(SOLICIT) });
    }
    insta::assert_snapshot!(lines.join("\n"), @r"
    request of nobody      - [os: no server identifier]
    request of another     - [os: client chose another server]
    request to us alone    reply UseMulticast [os: sent by unicast]
    renew of nobody        - [os: no server identifier]
    renew of another       - [os: client chose another server]
    renew to us alone      reply UseMulticast [os: sent by unicast]
    release of nobody      - [os: no server identifier]
    release of another     - [os: client chose another server]
    release to us alone    reply UseMulticast [os: sent by unicast]
    decline of nobody      - [os: no server identifier]
    decline of another     - [os: client chose another server]
    decline to us alone    reply UseMulticast [os: sent by unicast]
    solicit of us          - [os: unexpected server identifier]
    solicit to us alone    - [os: sent by unicast, but must be multicast]
    confirm of us          - [os: unexpected server identifier]
    confirm to us alone    - [os: sent by unicast, but must be multicast]
    rebind of us           - [os: unexpected server identifier]
    rebind to us alone     - [os: sent by unicast, but must be multicast]
    inform of another      - [os: client chose another server]
    inform to us alone     - [os: sent by unicast, but must be multicast]
    without a name         - [os: no client identifier]
    from fd00:83::99       advertise 7(1800 2880: fd00:83::11/3600) dns=[fd00:83::1] 24=\u{3}lab\u{4}test\u{0} preference=255 [os: reserved]
    from 2001:db8::1       - [os: not from this link]
    from ::                - [os: not from this link]
    from ::1               - [os: not from this link]
    from ff02::1           - [os: not from this link]
    ");
}

/// Wraps a request as a relay does.
fn relayed(ask: &Ask, link: &str, hardware: Option<Mac>) -> Ask {
    let mut packet = vec![12, 0];
    for address in [link.parse::<Ipv6Addr>().unwrap(), ask.from] {
        packet.extend(address.octets());
    }
    if let Some(mac) = hardware {
        packet.extend(option(79, &[&[0, 1], &mac.0[..]].concat()));
    }
    packet.extend(option(9, &ask.packet));
    Ask { packet, from: "fd00:83::7".parse().unwrap(), mac: ask.mac, multicast: false }
}

#[test]
fn who_asks_is_known_by_card_whatever_it_calls_itself() {
    let handler = TestServer::of(&with_ipv6());
    let private: Ipv6Addr = "fe80::1234:5678:9abc:def0".parse().unwrap();
    let uuid = [&[0, 4][..], &[7; 16]].concat();
    let named = |name: &[u8], from: Ipv6Addr| {
        Ask { packet: vec![SOLICIT, 1, 2, 3], from, mac: None, multicast: true }.with(1, name)
    };
    let by_frame = |mac, ask: Ask| Ask { mac: Some(mac), ..ask };
    let of_real = plan().hosts[1].uuid;
    let (as_written, as_in_tables) =
        ([&UUID[..], of_real.as_bytes()].concat(), [&UUID[..], &of_real.to_bytes_le()].concat());
    let timed = [&LINK_LAYER_TIME[..], &[0, 0, 0, 1], &REAL.0].concat();
    for (what, ask, mac) in [
        ("its name", named(&duid(FAST), private), FAST),
        ("its name with a time", named(&timed, private), REAL),
        ("its address", named(&uuid, FAST.link_local()), FAST),
        ("its address, named after another card of its", named(&duid(REAL), FAST.link_local()), FAST),
        ("its name, as its address is a stranger's", named(&duid(FAST), STRANGER.link_local()), FAST),
        ("its UUID", named(&as_written, private), REAL),
        ("its UUID as firmware writes it", named(&as_in_tables, private), REAL),
        ("a stranger", named(&uuid, STRANGER.link_local()), STRANGER),
        ("nobody", named(&uuid, private), Mac([0; 6])),
        ("its frame", by_frame(FAST, named(&uuid, private)), FAST),
        ("its frame, named after another card of its", by_frame(FAST, named(&duid(REAL), private)), FAST),
        ("its name, in the frame of a stranger", by_frame(STRANGER, named(&duid(FAST), private)), FAST),
        ("a stranger's frame", by_frame(STRANGER, named(&uuid, private)), STRANGER),
        (
            "the frame of a relay",
            by_frame(REAL, relayed(&named(&uuid, private), "fd00:83::7", None)),
            Mac([0; 6]),
        ),
        ("the relay", relayed(&named(&uuid, private), "fd00:83::7", Some(FAST)), FAST),
        ("the relay's peer", relayed(&named(&uuid, FAST.link_local()), "::", None), FAST),
    ] {
        assert_eq!(handler.server.identify(&ask.request(), ask.arrival()), mac, "{what}");
    }
}

/// Frames of FAST, whose firmware and system have different DUIDs and associations.
fn stages() -> [Ask; 3] {
    let private = |last: u16| Ipv6Addr::new(0xfe80, 0, 0, 0, 0x5d2, 0x8b1, 0x77aa, last);
    let named = |last, duid: &[u8], id| {
        let ask =
            Ask { packet: vec![REQUEST, 1, 2, 3], from: private(last), mac: Some(FAST), multicast: true };
        ask.with(1, duid).of_us().address(id, &[])
    };
    [
        Ask { mac: Some(FAST), ..Ask::new(REQUEST, FAST).of_us().address(7, &[]) },
        named(1, &[&[0, 4][..], &[9; 16]].concat(), 8),
        named(2, &[0, 2, 0, 0, 0xab, 0x11, 1, 2, 3, 4], 9),
    ]
}

#[test]
fn a_node_keeps_its_address_whatever_its_system_calls_itself() {
    let addresses = |reserved: bool, identity| {
        let mut plan = with_ipv6();
        plan.dhcp.as_mut().unwrap().identity = identity;
        if !reserved {
            plan.hosts[0].ipv6 = None;
        }
        let mut handler = TestServer::of(&plan);
        let addresses = stages().map(|ask| handler.decide(&ask).address.unwrap().to_string());
        (addresses[0].clone(), addresses.iter().collect::<std::collections::BTreeSet<_>>().len())
    };
    assert_eq!(addresses(true, None), ("fd00:83::11".to_owned(), 1));
    assert_eq!(addresses(false, None).1, 1, "from the pool");
    assert_eq!(addresses(true, Some(lab::Identity::ClientId)), ("fd00:83::11".to_owned(), 3));
}

#[test]
fn strangers_are_told_apart_as_the_lab_says() {
    let addresses = |identity| {
        let mut plan = with_ipv6();
        plan.dhcp.as_mut().unwrap().identity = identity;
        let mut handler = TestServer::of(&plan);
        let asks = stages().into_iter().skip(1).map(|ask| Ask { mac: Some(STRANGER), ..ask });
        asks.map(|ask| handler.decide(&ask).address).collect::<std::collections::BTreeSet<_>>().len()
    };
    assert_eq!([None, Some(lab::Identity::Mac), Some(lab::Identity::ClientId)].map(addresses), [2, 1, 2]);
}

#[test]
fn a_node_gives_back_what_its_pool_lent() {
    let mut plan = with_ipv6();
    plan.hosts[0].ipv6 = None;
    let mut handler = TestServer::of(&plan);
    let [firmware, system, _] = stages();
    let address = handler.decide(&firmware).address.unwrap();
    let release = Ask { packet: [&[RELEASE][..], &system.packet[1..]].concat(), ..system };
    let release = release.address(99, &[&address.to_string()]);
    let decision = handler.decide(&release);
    assert_eq!(decision.changes, [Change::Free(address)], "{}", decision.rule);
}

#[test]
fn a_relay_of_this_link_is_answered() {
    let mut handler = TestServer::of(&with_ipv6());
    let solicit = Ask::new(SOLICIT, FAST).address(7, &[]);
    let mut lines = Vec::new();
    let mut say = |what: &str, ask: Ask| lines.push(format!("{what:18} {}", handler.line(&ask)));
    say("of this link", relayed(&solicit, "fd00:83::7", None));
    say("twice", relayed(&relayed(&solicit, "::", None), "fd00:83::7", None));
    say("of another link", relayed(&solicit, "fd00:84::7", None));
    let outside = "2001:db8::7".parse().unwrap();
    say("from elsewhere", Ask { from: outside, ..relayed(&solicit, "fd00:83::7", None) });
    insta::assert_snapshot!(lines.join("\n"), @r"
    of this link       advertise 7(1800 2880: fd00:83::11/3600) dns=[fd00:83::1] 24=\u{3}lab\u{4}test\u{0} preference=255 [os: reserved]
    twice              advertise 7(1800 2880: fd00:83::11/3600) dns=[fd00:83::1] 24=\u{3}lab\u{4}test\u{0} preference=255 [os: reserved]
    of another link    - [os: relayed from another link]
    from elsewhere     - [os: not from this link]
    ");
}

#[test]
fn a_reply_names_both_sides() {
    let mut handler = TestServer::of(&with_ipv6());
    let reply = handler.decide(&Ask::new(SOLICIT, FAST).address(7, &[])).reply.unwrap();
    let bytes = reply.encode(&[]).unwrap();
    assert_eq!(bytes[..4], [2, 1, 2, 3]);
    let names = [option(2, &duid(plan().mac)), option(1, &duid(FAST))].concat();
    assert_eq!(bytes[4..4 + names.len()], names);
}

proptest! {
    #[test]
    fn no_packet_panics_and_none_of_a_stranger_to_this_link_is_answered(
        kind in 1_u8..14,
        options in proptest::collection::vec(
            (prop_oneof![
                Just(1_u16), Just(2), Just(3), Just(4), Just(5), Just(6), Just(9), Just(13), Just(14), Just(15),
                Just(16), Just(17), Just(18), Just(25), Just(61), Just(79), any::<u16>()
            ], proptest::collection::vec(any::<u8>(), 0..40)),
            0..12,
        ),
        tail in proptest::collection::vec(any::<u8>(), 0..8),
        from in prop_oneof![
            Just(FAST.link_local()), Just("fd00:83::7".parse().unwrap()), any::<u128>().prop_map(Ipv6Addr::from_bits)
        ],
        multicast in any::<bool>(),
        of_us in any::<bool>(),
        pool in any::<bool>(),
    ) {
        let mut packet = vec![kind, 1, 2, 3];
        if kind == 12 {
            packet.resize(34, 0);
        }
        for (code, value) in &options {
            packet.extend(option(*code, value));
        }
        if of_us {
            packet.extend([option(1, &duid(FAST)), option(2, &duid(plan().mac))].concat());
        }
        packet.extend(tail);
        let mut plan = with_ipv6();
        if !pool {
            plan.dhcp6.as_mut().unwrap().pool = None;
        }
        let mut handler = TestServer::of(&plan);
        if let Some(request) = Request::decode(&packet) {
            let decision = handler.decide(&Ask { packet: packet.clone(), from, mac: None, multicast });
            if let Some(reply) = decision.reply {
                let sent = reply.encode(&request.relays).unwrap();
                prop_assert!(from.is_unicast_link_local() || plan.ipv6.unwrap().contains(&from));
                prop_assert!(request.server.is_none_or(|server| server == duid(plan.mac)));
                if request.relays.is_empty() {
                    let mut rest = &sent[4..];
                    while !rest.is_empty() {
                        let length = usize::from(u16::from_be_bytes([rest[2], rest[3]]));
                        prop_assert!(rest.len() >= 4 + length, "an option is longer than the packet: {:?}", sent);
                        rest = &rest[4 + length..];
                    }
                }
                // What is added to the answers: names, boot file, class.
                prop_assert!(sent.len() <= 3 * packet.len() + 200, "{} bytes for {}", sent.len(), packet.len());
            }
        }
    }

    #[test]
    fn no_noise_panics(packet in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut handler = TestServer::of(&with_ipv6());
        if Request::decode(&packet).is_some() {
            let _decision = handler.decide(&Ask { packet, from: FAST.link_local(), mac: Some(FAST), multicast: true });
        }
    }
}
