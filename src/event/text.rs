//! The one-line texts of all kinds of events.
//!
//! The texts are participles, so that they read well alone (`leased 10.0.0.10`)
//! and after "last seen:".

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use super::words::{DhcpMessage, PowerCause, ScreenMode, TftpOutcome};
use super::{Kind, Known, LearnedFrom, RouterSeen};

/// A duration in short form: `0.4s`, `41s`, `2m 05s`, `1h 02m`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ago(pub Duration);

/// Seconds of a day.
const DAY: u64 = 86_400;

impl fmt::Display for Ago {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, tenths) = (self.0.as_secs(), self.0.subsec_millis() / 100);
        let text = match seconds {
            0..10 if tenths > 0 => format!("{seconds}.{tenths}s"),
            0..60 => format!("{seconds}s"),
            60..3600 if seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
            60..3600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
            DAY.. if seconds.is_multiple_of(DAY) => format!("{}d", seconds / DAY),
            _ => format!("{}h {:02}m", seconds / 3600, seconds % 3600 / 60),
        };
        f.pad(&text)
    }
}

/// A number of bytes with two digits: `6.1 MB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, scale) = match self.0 {
            0..1_000 => return f.pad(&format!("{} B", self.0)),
            1_000..1_000_000 => ("kB", 1_000),
            1_000_000..1_000_000_000 => ("MB", 1_000_000),
            _ => ("GB", 1_000_000_000),
        };
        let (whole, tenth) = (self.0 / scale, self.0 % scale * 10 / scale);
        f.pad(&if whole < 10 { format!("{whole}.{tenth} {unit}") } else { format!("{whole} {unit}") })
    }
}

/// Returns the text with control characters escaped, so that output of a guest cannot control the terminal.
fn tame(text: &str) -> Cow<'_, str> {
    if text.chars().any(char::is_control) {
        Cow::Owned(text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect())
    } else {
        Cow::Borrowed(text)
    }
}

/// Returns the text, truncated if it is too long for a line.
fn brief(text: &str) -> String {
    const MOST: usize = 90;
    let text = text.trim();
    if text.chars().count() <= MOST {
        return text.to_owned();
    }
    text.chars().take(MOST - 1).chain(['…']).collect()
}

impl Kind {
    /// Returns the topic of the event in one word, a column of a trace.
    pub fn topic(&self) -> &str {
        match self {
            Self::Known(known) => known.topic(),
            Self::Unknown { kind, .. } => kind,
        }
    }

    /// Returns the text of the event after "last seen:", if its node did something: printed a line, sent a request,
    /// restarted by itself, or ended.
    ///
    /// What is done to a node or sent to it, and conclusions (stages, probes, verdicts), are not included.
    pub fn sighting(&self) -> Option<String> {
        match self {
            Self::Known(known) => known.sighting(),
            Self::Unknown { .. } => None,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(known) => known.fmt(f),
            Self::Unknown { fields, .. } if fields.is_empty() => Ok(()),
            Self::Unknown { fields, .. } => {
                let json = serde_json::Value::Object(fields.clone()).to_string();
                f.write_str(&tame(&json))
            }
        }
    }
}

/// Returns the subject of a sentence about another server than the lab's, which needs none.
fn who(server: &Option<impl fmt::Display>) -> String {
    server.as_ref().map(|server| format!("{server} ")).unwrap_or_default()
}

impl Known {
    fn topic(&self) -> &'static str {
        match self {
            Self::RunStarted { .. }
            | Self::LabUp {}
            | Self::TearDownStarted { .. }
            | Self::RunEnded { .. } => "run",
            Self::StepDone { .. } | Self::StepFailed { .. } => "step",
            Self::PoweredOn {} | Self::PoweredOff { .. } | Self::Reset { .. } => "power",
            Self::MachineDied { .. } | Self::MachineStopped { .. } | Self::GuestPanicked {} => "machine",
            Self::ConsoleLine { .. } | Self::BannerSkipped {} => "console",
            Self::LinkSet { .. } => "link",
            Self::MediumSet { .. } => "media",
            Self::DhcpReplied { .. } | Self::DhcpIgnored { .. } | Self::DhcpOmitted { .. } => "dhcp",
            Self::DhcpAsked { .. } => "dhcp",
            Self::AddressLearned { .. } => "address",
            Self::RouterAdvertised { .. } | Self::RouterSolicited { .. } => "ra",
            Self::BootSeen {} => "power",
            Self::Unanswered { .. } | Self::Unreachable { .. } => "silence",
            Self::TlsOffered { .. } | Self::TlsAlerted { .. } => "tls",
            Self::StpSeen { .. } | Self::LacpSeen { .. } => "switch",
            Self::ScreenShown { .. } => "screen",
            Self::DiskWritten { .. } => "disk",
            Self::TftpServed { .. } => "tftp",
            Self::Fetching { .. } => "fetch",
            Self::HttpServed { .. } | Self::HttpsFailed { .. } => "http",
            Self::RpcServed { .. } | Self::RpcRefused { .. } => "grpc",
            Self::MatchboxFailed { .. } => "matchbox",
            Self::DnsAnswered { .. } => "dns",
            Self::NtpAnswered { .. } => "ntp",
            Self::SyslogLine { .. } => "syslog",
            Self::Omitted { .. } | Self::CaptureIncomplete { .. } | Self::ServiceFailed { .. } => "service",
            Self::ProcessStarted { .. }
            | Self::ProcessReady { .. }
            | Self::ProcessPrinted { .. }
            | Self::ProcessEnded { .. } => "process",
            Self::StageReached { .. } => "stage",
            Self::Booted { .. } => "boot",
            Self::Probed { .. } => "probe",
            Self::ExpectationDecided { .. } | Self::Judged { .. } => "expect",
            Self::Diagnosed { .. } => "finding",
            Self::ActionStarted { .. } | Self::ActionDone { .. } | Self::ActionFailed { .. } => "action",
            Self::FaultBegan { .. } | Self::FaultStruck { .. } | Self::FaultEnded { .. } => "fault",
            Self::BmcLogged { .. } => "bmc",
            Self::Commanded { .. } => "command",
        }
    }

    /// Returns what a node did, as the end of a sentence; `None` for what it did not do itself.
    pub(crate) fn sighting(&self) -> Option<String> {
        match self {
            Self::ConsoleLine { text } if text.trim().is_empty() => None,
            Self::ConsoleLine { text } => Some(format!("console line `{}`", brief(&tame(text)))),
            Self::SyslogLine { app, text, .. } => {
                Some(format!("syslog line `{}`", brief(&tame(&format!("{app}: {text}")))))
            }
            Self::DhcpReplied { reply, address: Some(address), client, .. } => {
                Some(format!("{} {address} ({client})", leased(reply)))
            }
            Self::AddressLearned { by, .. } if by.is_sighting() => Some(self.to_string()),
            // The request that it follows from is reported itself.
            Self::AddressLearned { .. }
            | Self::StageReached { .. }
            | Self::Booted { .. }
            | Self::Probed { .. }
            | Self::ExpectationDecided { .. }
            | Self::Diagnosed { .. }
            | Self::Judged { .. }
            | Self::ActionStarted { .. }
            | Self::ActionDone { .. }
            | Self::ActionFailed { .. }
            | Self::FaultBegan { .. }
            | Self::FaultStruck { .. }
            | Self::FaultEnded { .. }
            | Self::BmcLogged { .. }
            | Self::Commanded { .. }
            | Self::StepDone { .. }
            | Self::StepFailed { .. }
            | Self::RunStarted { .. }
            | Self::LabUp {}
            | Self::TearDownStarted { .. }
            | Self::RunEnded { .. }
            | Self::BannerSkipped {}
            | Self::Omitted { .. }
            | Self::CaptureIncomplete { .. }
            | Self::DhcpOmitted { .. }
            | Self::ProcessStarted { .. }
            | Self::ProcessReady { .. }
            | Self::ProcessPrinted { .. }
            | Self::ProcessEnded { .. }
            | Self::ServiceFailed { .. }
            | Self::StpSeen { .. }
            | Self::LacpSeen { .. }
            | Self::PoweredOn {}
            | Self::LinkSet { .. }
            | Self::MediumSet { .. }
            | Self::DiskWritten { .. }
            | Self::RouterAdvertised { .. } => None,
            Self::PoweredOff { why } | Self::Reset { why } if *why != PowerCause::Guest => None,
            Self::ScreenShown { lines, .. } => {
                let last = lines.iter().rev().find(|line| !line.trim().is_empty())?;
                Some(format!("screen line `{}`", brief(&tame(last))))
            }
            Self::BootSeen {}
            | Self::DhcpAsked { .. }
            | Self::RouterSolicited { .. }
            | Self::Unanswered { .. }
            | Self::Unreachable { .. }
            | Self::TlsOffered { .. }
            | Self::TlsAlerted { .. }
            | Self::PoweredOff { .. }
            | Self::Reset { .. }
            | Self::MachineDied { .. }
            | Self::MachineStopped { .. }
            | Self::GuestPanicked {}
            | Self::DhcpReplied { .. }
            | Self::DhcpIgnored { .. }
            | Self::TftpServed { .. }
            | Self::Fetching { .. }
            | Self::HttpServed { .. }
            | Self::HttpsFailed { .. }
            | Self::RpcServed { .. }
            | Self::RpcRefused { .. }
            | Self::MatchboxFailed { .. }
            | Self::DnsAnswered { .. }
            | Self::NtpAnswered { .. } => Some(self.to_string()),
        }
    }
}

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&tame(&self.words()))
    }
}

impl Known {
    fn words(&self) -> String {
        match self {
            Self::RunStarted { lab, accel, nodes: _, hosts: _, waits: _ } => {
                format!("started lab {lab} under {accel}")
            }
            Self::StepDone { text, .. } => text.clone(),
            Self::StepFailed { text, error, .. } => format!("failed: {text}: {error}"),
            Self::LabUp {} => "lab is up".to_owned(),
            Self::TearDownStarted { why } => format!("tearing down: {why}"),
            Self::RunEnded { exit } => format!("ended with exit code {exit}"),
            Self::PoweredOn {} => "powered on".to_owned(),
            Self::PoweredOff { why } => format!("powered off ({})", by(why)),
            Self::Reset { why } => format!("reset ({})", by(why)),
            Self::MachineDied { status, stderr } => {
                match stderr.iter().rev().find(|line| !line.trim().is_empty()) {
                    Some(line) => format!("died: {status}: {}", line.trim()),
                    None => format!("died: {status}"),
                }
            }
            Self::MachineStopped { state, detail, .. } if detail.is_empty() => {
                format!("stopped by QEMU: {state}")
            }
            Self::MachineStopped { state, detail, .. } => format!("stopped by QEMU: {state}: {detail}"),
            Self::GuestPanicked {} => "panicked".to_owned(),
            Self::ConsoleLine { text } => text.trim_end().to_owned(),
            Self::BannerSkipped {} => "skipped the firmware banner".to_owned(),
            Self::LinkSet { nic, up: true } => format!("link {nic} is up"),
            Self::LinkSet { nic, up: false } => format!("link {nic} is down"),
            Self::MediumSet { drive, medium: Some(medium) } => format!("{medium} is in {drive}"),
            Self::MediumSet { drive, medium: None } => format!("{drive} is empty"),
            Self::DhcpReplied { mac, request, reply, address, boot_file, client, rule, server, .. } => {
                let verb = match address {
                    Some(address) => format!("{} {address}", leased(reply)),
                    None => format!("sent {reply}"),
                };
                let verb = format!("{}{verb}", who(server));
                let boot = boot_file.as_ref().map(|file| format!(", boot file {file}")).unwrap_or_default();
                // Of another server, the rule is not known.
                let why = if rule.is_empty() { String::new() } else { format!(", {rule}") };
                format!("{verb} to {client} {mac}{boot} ({request}{why})")
            }
            Self::DhcpIgnored { mac, request, rule, .. } => {
                format!("ignored {request} from {mac}: {rule}")
            }
            Self::DhcpOmitted { network, replied, ignored } => format!(
                "unknown clients on {network}: {replied} more requests answered, {ignored} more ignored"
            ),
            Self::AddressLearned { network, address, by, from } => {
                let from = match from {
                    LearnedFrom::ThisServer => ", leased by this server".to_owned(),
                    LearnedFrom::AnotherServer(Some(server)) => format!(", leased by {server}"),
                    LearnedFrom::AnotherServer(None) => ", leased by another server".to_owned(),
                    LearnedFrom::Node => String::new(),
                };
                format!("has address {address} on {network} ({by}{from})")
            }
            Self::RouterAdvertised { network, router: None } => {
                format!("sent a router advertisement on {network}")
            }
            Self::RouterAdvertised { network, router: Some(router) } => {
                let RouterSeen { address, lifetime, managed, other, prefixes } = router;
                let route = if *lifetime > 0 { ", default router" } else { "" };
                let flags = match (managed, other) {
                    (true, _) => ", addresses by DHCPv6",
                    (false, true) => ", other configuration by DHCPv6",
                    (false, false) => "",
                };
                let prefixes: String = prefixes.iter().map(|prefix| format!(", {prefix}")).collect();
                format!("router {address} advertised itself on {network}{route}{prefixes}{flags}")
            }
            Self::RouterSolicited { network } => format!("asked for a router on {network}"),
            Self::BootSeen {} => "started to boot".to_owned(),
            Self::DhcpAsked { mac, request, client, architecture, relay, .. } => {
                let of = architecture.map(|number| format!(", architecture {number}")).unwrap_or_default();
                let relay = relay.map(|relay| format!(", through relay agent {relay}")).unwrap_or_default();
                format!("sent {request} as {client} {mac}{of}{relay}")
            }
            Self::Unanswered { network: _, service, what, server, times } => {
                let whom = server.map(|server| format!(" by {server}")).unwrap_or_default();
                let times = if *times > 1 { format!(", sent {times} times") } else { String::new() };
                format!("{service} {what} was not answered{whom}{times}")
            }
            Self::Unreachable { network: _, protocol, destination, by, why, mtu } => {
                let to = match destination.port() {
                    0 => destination.ip().to_string(),
                    _ => destination.to_string(),
                };
                let mtu = mtu.map(|mtu| format!(" (at most {mtu} bytes)")).unwrap_or_default();
                match by == &destination.ip() {
                    true => format!("{protocol} to {to}: {why}{mtu}"),
                    false => format!("{protocol} to {to}: {why}{mtu}, says {by}"),
                }
            }
            Self::TlsOffered { server, to_lab: _, name, version, ciphers: _ } => {
                let name = name.as_ref().map(|name| format!(" for {name}")).unwrap_or_default();
                format!("offered {version} to {server}{name}")
            }
            Self::TlsAlerted { server, by_client: true, alert } => {
                format!("refused to encrypt the connection to {server}: {alert}")
            }
            Self::TlsAlerted { server, by_client: false, alert } => {
                format!("{server} refused to encrypt the connection: {alert}")
            }
            Self::StpSeen { network, protocol, root, bridge, state } => {
                let state = state.as_ref().map(|state| format!(", {state}")).unwrap_or_default();
                format!("bridge {bridge} speaks {protocol} on {network}, root {root}{state}")
            }
            Self::LacpSeen { network, system, partner } => {
                let partner = match partner {
                    Some(partner) => format!("with {partner}"),
                    None => "and has no partner".to_owned(),
                };
                format!("{system} offers LACP on {network} {partner}")
            }
            Self::ScreenShown { mode: ScreenMode::Graphics, lines, .. } if lines.is_empty() => {
                "shows graphics".to_owned()
            }
            Self::ScreenShown { lines, .. } => {
                match lines.iter().rev().find(|line| !line.trim().is_empty()) {
                    Some(last) => format!("shows `{}`", brief(last)),
                    None => "is blank".to_owned(),
                }
            }
            Self::DiskWritten { bytes } => format!("wrote to its disks, {} so far", Size(*bytes)),
            Self::TftpServed { path, outcome, bytes, ms, rule, retransmits, server, .. } => match outcome {
                TftpOutcome::Sent if *retransmits > 0 => {
                    let size = Size(*bytes);
                    format!("{}served {path} ({size} in {ms} ms, {retransmits} packets again)", who(server))
                }
                TftpOutcome::Sent => format!("{}served {path} ({} in {ms} ms)", who(server), Size(*bytes)),
                TftpOutcome::Probed => format!("{}sent the size of {path}", who(server)),
                TftpOutcome::NotFound => format!("{}refused {path}: not found", who(server)),
                TftpOutcome::Refused if rule.is_empty() => format!("{}refused {path}", who(server)),
                TftpOutcome::Refused => format!("{}refused {path}: {}", who(server), reason(rule)),
                TftpOutcome::Aborted
                | TftpOutcome::Vanished
                | TftpOutcome::Failed
                | TftpOutcome::Other(_) => {
                    format!("transfer of {path} stopped after {} ({outcome})", Size(*bytes))
                }
            },
            Self::Fetching { path, bytes, total } => match total {
                Some(total) if *total > 0 => {
                    let percent = u128::from(*bytes) * 100 / u128::from(*total);
                    format!("fetching {path}, {percent}% of {}", Size(*total))
                }
                _ => format!("fetching {path}, {} so far", Size(*bytes)),
            },
            Self::HttpServed { method, path, status, bytes, complete, ms, rule, tls, server, .. } => {
                let path = if tls.is_some() { &format!("{path} by HTTPS") } else { path };
                let who = who(server);
                match (status, complete) {
                    (200..=399, true) => {
                        format!("{who}served {method} {path} ({status}, {} in {ms} ms)", Size(*bytes))
                    }
                    (200..=399, false) => format!("{method} {path} ended early, after {}", Size(*bytes)),
                    _ if rule.is_empty() => format!("{who}refused {method} {path} ({status})"),
                    _ => format!("{who}refused {method} {path} ({status}, {})", reason(rule)),
                }
            }
            Self::MatchboxFailed { path, file, line, reason } => {
                let line = line.map(|line| format!(":{line}")).unwrap_or_default();
                let position = if file.is_empty() { String::new() } else { format!("{file}{line}: ") };
                match path.as_str() {
                    "" => format!("cannot use {position}{reason}"),
                    path => format!("cannot answer {path}: {position}{reason}"),
                }
            }
            Self::HttpsFailed { error } => format!("HTTPS handshake failed: {error}"),
            Self::RpcServed { method, code, message, client, from, us: _ } => {
                let who = if client.is_empty() { from.to_string() } else { format!("{client} at {from}") };
                match message.as_str() {
                    "" => format!("answered {method} of {who} ({code})"),
                    message => format!("refused {method} of {who} ({code}): {message}"),
                }
            }
            Self::RpcRefused { from, error } => format!("TLS handshake with {from} failed: {error}"),
            Self::DnsAnswered { name, record, code, rule, answer, bytes: _, us: _, count, server } => {
                let answer = answer.join(", ");
                let who = who(server);
                let answer = match (answer.as_str(), name.as_str()) {
                    (_, "") => format!("{who}answered {code} to a malformed DNS query"),
                    ("", _) => format!("{who}answered {code} for {name} {record}"),
                    _ => format!("{who}answered {code} for {name} {record}: {}", brief(&answer)),
                };
                let more = count.map(|count| format!(", {count} times more")).unwrap_or_default();
                let why = if rule.is_empty() { String::new() } else { format!(" ({rule})") };
                format!("{answer}{why}{more}")
            }
            Self::NtpAnswered { version, offset, us: _, count } => {
                let span = Ago(Duration::from_millis(offset.unsigned_abs()));
                let beside = match offset.signum() {
                    0 => String::new(),
                    1.. => format!(", {span} ahead of the host"),
                    _ => format!(", {span} behind the host"),
                };
                let more = count.map(|count| format!(", {count} times more")).unwrap_or_default();
                format!("sent the time (NTP version {version}{beside}){more}")
            }
            Self::SyslogLine { facility, severity, app, text } => match app.as_str() {
                "" => format!("{facility}.{severity} {text}"),
                _ => format!("{facility}.{severity} {app}: {text}"),
            },
            Self::Omitted { service, count } => {
                format!("omitted {count} more events of {service} (rate limit)")
            }
            Self::CaptureIncomplete { why, lost: _ } => format!("the capture is incomplete: {why}"),
            Self::ServiceFailed { service, error } => format!("{service} failed: {error}"),
            Self::ProcessStarted { process } => format!("started {process}"),
            Self::ProcessReady { process, by } => format!("{process} is ready: {by}"),
            Self::ProcessPrinted { process, text } => format!("{process} printed `{text}`"),
            Self::ProcessEnded { process, exit: _, status } => format!("{process} ended: {status}"),
            Self::StageReached { stage } => format!("reached {stage}"),
            Self::Booted { from, by } => format!("booted from {}: {by}", from.with_article()),
            Self::Probed { expect, ok: true, seen, .. } => format!("{expect}: holds: {seen}"),
            Self::Probed { expect, ok: false, seen, .. } => format!("{expect}: not yet: {seen}"),
            Self::ExpectationDecided { expect, met: true, seen } => format!("{expect}: met: {seen}"),
            Self::ExpectationDecided { expect, met: false, seen } => format!("{expect}: missed: {seen}"),
            Self::Judged { met: true } => "every expectation was met".to_owned(),
            Self::Judged { met: false } => "an expectation was missed".to_owned(),
            Self::ActionStarted { action, what, nodes } => {
                let nodes: Vec<_> = nodes.iter().map(|node| node.as_str()).collect();
                let of = if nodes.is_empty() { String::new() } else { format!(" of {}", nodes.join(", ")) };
                format!("{action}: {what}{of}")
            }
            Self::Diagnosed { finding } => format!("{finding}: {}", tame(&finding.cause)),
            Self::ActionDone { action } => format!("{action}: done"),
            Self::ActionFailed { action, why } => format!("{action}: failed: {why}"),
            Self::FaultBegan { fault, what } => format!("{fault}: {what} from now on"),
            Self::FaultStruck { fault, what } => format!("{fault}: {what}"),
            Self::FaultEnded { fault } => format!("{fault}: over"),
            Self::BmcLogged { entry, what } => format!("log entry {entry}: {what}"),
            Self::Commanded { what } => what.clone(),
        }
    }
}

/// Returns the reason of a refusal, without the word that the text already has.
fn reason(rule: &str) -> &str {
    rule.strip_prefix("refused: ").unwrap_or(rule)
}

/// Returns the verb for what a DHCP reply does with its address.
fn leased(reply: &DhcpMessage) -> String {
    match reply {
        DhcpMessage::Ack | DhcpMessage::Reply => "leased".to_owned(),
        DhcpMessage::Offer | DhcpMessage::Advertise => "offered".to_owned(),
        DhcpMessage::Bootp
        | DhcpMessage::Discover
        | DhcpMessage::Request
        | DhcpMessage::Decline
        | DhcpMessage::Nak
        | DhcpMessage::Release
        | DhcpMessage::Inform
        | DhcpMessage::Solicit
        | DhcpMessage::Confirm
        | DhcpMessage::Renew
        | DhcpMessage::Rebind
        | DhcpMessage::InformationRequest
        | DhcpMessage::Other(_) => format!("sent {reply}"),
    }
}

/// Returns who did it, from the `why` of an event.
fn by(why: &PowerCause) -> &str {
    match why {
        PowerCause::Guest => "by itself",
        PowerCause::Power => "by us",
        PowerCause::Down => "with the lab",
        PowerCause::Other(other) => other,
    }
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::name::{Mac, NetworkName};

    #[test]
    fn spans_read_as_people_say_them() {
        let said = [
            0,
            400_000_000,
            9_960_000_000,
            41_000_000_000,
            60_000_000_000,
            125_000_000_000,
            3_720_000_000_000,
        ]
        .map(|ns| Ago(Duration::from_nanos(ns)).to_string());
        assert_snapshot!(said.join(" · "), @"0s · 0.4s · 9.9s · 41s · 1m · 2m 05s · 1h 02m");
    }

    #[test]
    fn sizes_read_as_people_say_them() {
        let said = [0, 999, 6_100_000, 61_000_000, 1_500_000_000].map(|bytes| Size(bytes).to_string());
        assert_snapshot!(said.join(" · "), @"0 B · 999 B · 6.1 MB · 61 MB · 1.5 GB");
    }

    #[test]
    fn what_a_guest_sends_does_not_steer_the_terminal() {
        let kind = Known::ConsoleLine { text: "a\u{1b}[31mb\rc".to_owned() };
        assert_snapshot!(kind.to_string().escape_debug(), @"a�[31mb�c");
    }

    #[test]
    fn what_the_wire_shows_reads_well() {
        let network = || NetworkName::new("lan").unwrap();
        let mac = Mac([0x52, 0x54, 0, 0, 0, 1]);
        let server = "10.0.0.5:443".parse().unwrap();
        let all = [
            Known::BootSeen {},
            Known::DhcpAsked {
                network: network(),
                mac,
                request: "discover".into(),
                client: "firmware".into(),
                architecture: Some(7),
                vendor_class: Some("PXEClient:Arch:00007".to_owned()),
                relay: Some([10, 0, 9, 1].into()),
            },
            Known::RouterSolicited { network: network() },
            Known::RouterAdvertised {
                network: network(),
                router: Some(RouterSeen {
                    address: "fe80::1".parse().unwrap(),
                    lifetime: 1800,
                    managed: true,
                    other: true,
                    prefixes: vec!["fd00:83::/64".parse().unwrap()],
                }),
            },
            Known::Unanswered {
                network: network(),
                service: "tftp".into(),
                what: "pxelinux.0".to_owned(),
                server: Some([10, 0, 0, 5].into()),
                times: 4,
            },
            Known::Unreachable {
                network: network(),
                protocol: "udp".into(),
                destination: "10.0.0.5:69".parse().unwrap(),
                by: [10, 0, 0, 5].into(),
                why: "port unreachable".into(),
                mtu: None,
            },
            Known::Unreachable {
                network: network(),
                protocol: "tcp".into(),
                destination: "10.0.9.5:80".parse().unwrap(),
                by: [10, 0, 0, 1].into(),
                why: "packet too big".into(),
                mtu: Some(1400),
            },
            Known::TlsOffered {
                server,
                to_lab: false,
                name: Some("boot.lab".to_owned()),
                version: "TLS 1.2".to_owned(),
                ciphers: Vec::new(),
            },
            Known::TlsAlerted { server, by_client: true, alert: "unknown_ca".to_owned() },
            Known::StpSeen {
                network: network(),
                protocol: "RSTP".to_owned(),
                root: "32768 52:54:00:00:00:01".to_owned(),
                bridge: "32768 52:54:00:00:00:02".to_owned(),
                state: Some("learning".to_owned()),
            },
            Known::LacpSeen { network: network(), system: mac, partner: None },
            Known::ScreenShown {
                mode: "text".into(),
                columns: 80,
                lines: vec!["SeaBIOS".to_owned(), "No bootable device.".to_owned()],
                picture: None,
            },
        ];
        assert_snapshot!(all.map(|known| known.to_string()).join("\n"));
    }

    #[test]
    fn empty_lines_conclusions_and_what_is_done_to_a_node_are_no_sighting() {
        let seen = |known: Known| Kind::from(known).sighting();
        let network = NetworkName::new("lan").unwrap();
        assert_eq!(seen(Known::RouterAdvertised { network, router: None }), None);
        assert_eq!(seen(Known::PoweredOn {}), None);
        assert_eq!(seen(Known::LinkSet { nic: "lan".to_owned(), up: true }), None);
        assert_eq!(seen(Known::Reset { why: PowerCause::Power }), None);
        assert_eq!(seen(Known::Reset { why: PowerCause::Guest }).as_deref(), Some("reset (by itself)"));
        assert_eq!(seen(Known::ConsoleLine { text: "  ".to_owned() }), None);
        assert_eq!(seen(Known::StageReached { stage: crate::event::Stage::Os }), None);
        assert_eq!(
            seen(Known::ConsoleLine { text: "hello ".to_owned() }).as_deref(),
            Some("console line `hello`")
        );
    }
}
