//! Events for tests: constructors of the common ones, and a generator of arbitrary ones.

use jiff::Timestamp;
use proptest::prelude::*;

use super::{
    BootedFrom, Certainty, Channel, Event, FileRole, Finding, FindingEvidence, Kind, Known, LearnedBy,
    LearnedFrom, RouterSeen, RpcCode, RunTime, ScreenMode, Stage, TftpMode,
};
use crate::name::{ActionName, ExpectName, FaultName, Mac, NetworkName, NodeName, ProcessName};

/// Creates an event at a time in milliseconds.
pub(crate) fn event(ms: u64, node: Option<&str>, kind: Known) -> Event {
    let wall = Timestamp::from_millisecond(1_795_000_000_000 + ms as i64).unwrap();
    let (source, node) = (kind.usual_source(), node.map(|name| NodeName::new(name).unwrap()));
    Event { at: millis(ms), wall, source, node, exchange: None, frame: None, kind: kind.into() }
}

/// An instant in milliseconds since the start of the run.
pub(crate) fn millis(ms: u64) -> RunTime {
    std::time::Duration::from_millis(ms).into()
}

/// A line of a console.
pub(crate) fn console(text: &str) -> Known {
    Known::ConsoleLine { text: text.to_owned() }
}

/// A screen in a text mode with these lines.
pub(crate) fn screen(lines: &[&str]) -> Known {
    let lines = lines.iter().map(|line| (*line).to_owned()).collect();
    Known::ScreenShown { mode: ScreenMode::Text, columns: 80, lines, picture: None }
}

/// A DHCP reply with the address 10.0.0.10.
pub(crate) fn lease(client: &str, reply: &str) -> Known {
    Known::DhcpReplied {
        server: None,
        network: NetworkName::new("lan").unwrap(),
        mac: Mac([0x52, 0x54, 0, 0, 0, 1]),
        request: if reply == "offer" { "discover" } else { "request" }.into(),
        reply: reply.into(),
        address: Some([10, 0, 0, 10].into()),
        boot_file: None,
        client: client.into(),
        rule: "reservation".to_owned(),
        bytes: 342,
        us: 120,
    }
}

/// A TFTP request for a file.
pub(crate) fn tftp(path: &str, outcome: &str) -> Known {
    Known::TftpServed {
        server: None,
        path: path.to_owned(),
        outcome: outcome.into(),
        bytes: 1_000_000,
        ms: 30,
        role: Some(FileRole::Loader),
        format: None,
        rule: "plan".to_owned(),
        mode: TftpMode::Octet,
        blksize: Some(1468),
        windowsize: Some(4),
        retransmits: 0,
    }
}

/// A response to a GET of `/boot/ROLE`.
pub(crate) fn http(role: &str, status: u16, complete: bool) -> Known {
    Known::HttpServed {
        server: None,
        method: "GET".to_owned(),
        path: format!("/boot/{role}"),
        status,
        bytes: 6_100_000,
        complete,
        ms: 40,
        role: Some(role.into()),
        format: None,
        rule: "plan".to_owned(),
        range: None,
        tls: None,
    }
}

/// The result of a probe.
pub(crate) fn probed(expect: &str, ok: bool, seen: &str) -> Known {
    Known::Probed {
        expect: ExpectName::new(expect).unwrap(),
        ok,
        seen: seen.to_owned(),
        output: None,
        evidence: Vec::new(),
        leader: None,
    }
}

/// A finding by its title.
pub(crate) fn finding(title: &str) -> Finding {
    Finding {
        id: "no-dhcp-answer".to_owned(),
        title: title.to_owned(),
        certainty: Certainty::Sure,
        stage: Stage::Firmware,
        cause: "Nobody answered.".to_owned(),
        fix: vec!["Start a DHCP server.".to_owned()],
        place: Some("lab.toml:3 (network.lan.dhcp)".to_owned()),
        evidence: vec![FindingEvidence {
            at: millis(3000),
            channel: Channel::Network,
            text: "dhcp discover was not answered".to_owned(),
            frame: Some(7),
        }],
        reference: vec!["RFC 2131, section 4.4.1".to_owned()],
    }
}

/// An arbitrary event of three nodes and a few expectations, in any order.
pub(crate) fn any_event() -> impl Strategy<Value = Event> {
    let node = prop::option::of(prop::sample::select(vec!["a", "b", "c"]));
    let text = prop_oneof![
        "\\PC{0,20}",
        ".{0,20}",
        Just("Linux version 6".to_owned()),
        Just("a login:".to_owned()),
        Just("os".to_owned()),
        Just("ack".to_owned()),
        Just("sent".to_owned()),
        Just("guest".to_owned()),
    ];
    let expect = prop::sample::select(vec!["one", "two", "three", "four"]);
    let kind = (0..56u8, text.clone(), text, any::<bool>(), any::<u64>(), expect, 0..Stage::ALL.len())
        .prop_map(|(which, one, two, flag, number, expect, stage)| {
            let expect = ExpectName::new(expect).unwrap();
            match which {
                0 => Known::LabUp {},
                1 => Known::PoweredOn {},
                2 => Known::PoweredOff { why: one.as_str().into() },
                3 => Known::Reset { why: one.as_str().into() },
                4 => Known::MachineDied { status: one, stderr: vec![two, String::new()] },
                5 => Known::MachineStopped { state: one.as_str().into(), detail: two, nospace: flag },
                6 => Known::GuestPanicked {},
                7..=9 => Known::ConsoleLine { text: one },
                10 => Known::LinkSet { nic: one, up: flag },
                11 => lease(&one, &two),
                12 => tftp(&one, &two),
                13 => http(&one, number as u16, flag),
                14 => Known::Fetching { path: one, bytes: number, total: flag.then_some(number / 2) },
                15 => {
                    let count = flag.then_some(number);
                    Known::DnsAnswered {
                        server: None,
                        name: one,
                        record: two,
                        code: "NOERROR".into(),
                        rule: "node".into(),
                        answer: vec!["10.0.0.10".into()],
                        bytes: number,
                        us: number / 2,
                        count,
                    }
                }
                // Includes the extreme values of both signs.
                24 => Known::NtpAnswered {
                    version: stage as u8,
                    offset: number as i64,
                    us: number,
                    count: flag.then_some(number),
                },
                25 => Known::SyslogLine {
                    facility: "user".into(),
                    severity: "info".into(),
                    app: one,
                    text: two,
                },
                28 => {
                    let from = if flag { BootedFrom::Disk } else { BootedFrom::Network };
                    Known::Booted { from, by: one }
                }
                31 => Known::ProcessStarted { process: ProcessName::new("apply").unwrap() },
                45 => Known::ProcessReady { process: ProcessName::new("apply").unwrap(), by: one },
                29 => Known::ProcessPrinted { process: ProcessName::new("apply").unwrap(), text: one },
                30 => Known::ProcessEnded {
                    process: ProcessName::new("apply").unwrap(),
                    exit: flag.then_some(number as i32),
                    status: one,
                },
                27 => Known::HttpsFailed { error: one },
                32 => Known::RpcServed {
                    method: "rpcpb.Groups/GroupPut".to_owned(),
                    code: RpcCode::Unknown,
                    message: one,
                    client: two,
                    from: std::net::Ipv4Addr::LOCALHOST.into(),
                    us: number,
                },
                33 => Known::RpcRefused { from: std::net::Ipv6Addr::LOCALHOST.into(), error: one },
                34 => Known::MatchboxFailed {
                    path: one.clone(),
                    file: two,
                    line: flag.then_some(stage),
                    reason: one,
                },
                35 => Known::AddressLearned {
                    network: NetworkName::new("lan").unwrap(),
                    address: std::net::Ipv4Addr::from(number as u32).into(),
                    by: if flag { LearnedBy::Arp } else { one.as_str().into() },
                    from: LearnedFrom::Node,
                },
                36 => Known::BootSeen {},
                37 => Known::DhcpAsked {
                    network: NetworkName::new("lan").unwrap(),
                    mac: Mac([0x52, 0x54, 0, 0, 0, 1]),
                    request: one.as_str().into(),
                    client: two.as_str().into(),
                    architecture: flag.then_some(number as u16),
                    vendor_class: flag.then_some(two),
                    relay: None,
                },
                38 => Known::Unanswered {
                    network: NetworkName::new("lan").unwrap(),
                    service: one.as_str().into(),
                    what: two,
                    server: flag.then_some(std::net::Ipv4Addr::from(number as u32).into()),
                    times: number,
                },
                39 => Known::Unreachable {
                    network: NetworkName::new("lan").unwrap(),
                    protocol: one.as_str().into(),
                    destination: (std::net::Ipv4Addr::from(number as u32), stage as u16).into(),
                    by: std::net::Ipv4Addr::LOCALHOST.into(),
                    why: two.as_str().into(),
                    mtu: flag.then_some(number as u32),
                },
                40 => Known::TlsOffered {
                    server: (std::net::Ipv4Addr::LOCALHOST, stage as u16).into(),
                    to_lab: flag,
                    name: flag.then_some(one),
                    version: two.clone(),
                    ciphers: vec![two],
                },
                41 => Known::TlsAlerted {
                    server: (std::net::Ipv6Addr::LOCALHOST, stage as u16).into(),
                    by_client: flag,
                    alert: one,
                },
                42 => Known::ScreenShown {
                    mode: one.as_str().into(),
                    columns: stage as u16,
                    lines: vec![two, String::new()],
                    picture: flag.then(|| "node/a/screen.png".into()),
                },
                43 => Known::RouterAdvertised {
                    network: NetworkName::new("lan").unwrap(),
                    router: Some(RouterSeen {
                        address: std::net::Ipv6Addr::LOCALHOST,
                        lifetime: number as u16,
                        managed: flag,
                        other: !flag,
                        prefixes: vec!["fd00:83::/64".parse().unwrap()],
                    }),
                },
                47 => Known::ActionStarted {
                    action: ActionName::new("cut").unwrap(),
                    what: one,
                    nodes: if flag { vec![NodeName::new("b").unwrap()] } else { Vec::new() },
                },
                48 => Known::ActionDone { action: ActionName::new("cut").unwrap() },
                49 => Known::ActionFailed { action: ActionName::new("cut").unwrap(), why: one },
                52 => Known::FaultBegan { fault: FaultName::new("drop").unwrap(), what: one },
                53 => Known::FaultStruck { fault: FaultName::new("drop").unwrap(), what: one },
                54 => Known::FaultEnded { fault: FaultName::new("drop").unwrap() },
                55 => Known::BmcLogged { entry: number as u16, what: one },
                46 => Known::MediumSet { drive: one, medium: flag.then_some(two) },
                50 => Known::DiskWritten { bytes: number },
                51 => Known::Diagnosed { finding: Box::new(finding(&one)) },
                44 => Known::CaptureIncomplete { why: one, lost: flag.then_some(number) },
                26 => Known::Omitted { service: one.as_str().into(), count: number },
                16 => Known::StageReached { stage: Stage::ALL[stage] },
                17..=19 => Known::Probed {
                    expect,
                    ok: flag,
                    seen: one,
                    output: flag.then(|| "probe/it.a.txt".into()),
                    evidence: flag.then(|| "node a: Ready is Unknown".into()).into_iter().collect(),
                    leader: flag.then(|| NodeName::new("a").unwrap()),
                },
                20 => Known::ExpectationDecided { expect, met: flag, seen: one },
                21 => Known::StepDone { step: number as usize, text: one },
                22 => Known::StepFailed { step: flag.then_some(number as usize), text: one, error: two },
                _ if flag => Known::TearDownStarted { why: one },
                _ => Known::RunEnded { exit: number as u8 },
            }
        });
    (0..100_000u64, node, kind).prop_map(|(ms, node, kind)| {
        let mut event = event(ms, node, kind);
        if event.at.as_nanos().is_multiple_of(17) {
            event.kind = Kind::Unknown { kind: "odd".to_owned(), fields: serde_json::Map::new() };
        }
        event
    })
}
