//! Requests with their answers, from the events that report them.

use std::net::IpAddr;
use std::time::Duration;

use serde::Serialize;

use super::MarkKind;
use crate::event::{
    DhcpClient, DhcpMessage, DnsCode, Exchange, FileRole, Known, LearnedFrom, PowerCause, RouterSeen,
    RpcCode, RunTime, Service, Size, Source, TftpOutcome,
};

/// A request with its answers, by whichever sources it was seen.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct SeenExchange {
    /// When it was asked.
    pub began: RunTime,
    /// When the last answer was complete, or the latest event of it.
    pub ended: RunTime,
    /// The protocol.
    pub service: Service,
    /// Its identifier, if it has one. An HTTP connection has one for all its requests.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Exchange>,
    /// What was asked: a message type of DHCP, a path, a name.
    pub asked: String,
    /// The kind of DHCP client.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client: Option<DhcpClient>,
    /// More about the request: its architecture, its relay agent.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub about: Vec<String>,
    /// The answers, one of each server.
    pub answers: Vec<Answer>,
    /// How it ended.
    pub outcome: ExchangeOutcome,
    /// How often the same was asked.
    pub times: u64,
    /// Who reports it.
    pub sources: Vec<Source>,
}

/// How an exchange ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ExchangeOutcome {
    /// Neither an answer nor its absence is reported yet.
    Open,
    /// It was answered.
    Answered,
    /// It was refused or ignored, or there is no such file.
    Refused,
    /// The client broke the transfer off.
    Aborted,
    /// The transfer failed.
    Failed,
    /// Nobody answered.
    Unanswered,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub struct Answer {
    /// When it was complete.
    pub at: RunTime,
    /// The answer in the words of its protocol: a message type of DHCP, a status code, an outcome.
    pub what: String,
    /// The server, if it is another one than the lab's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The address that it gives.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// The boot file that it names.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot_file: Option<String>,
    /// The records of a DNS answer, prefixes of a router, the version and cipher suite of TLS.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub details: Vec<String>,
    /// Bytes of the file or text that were sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Size of the whole file in bytes, of a transfer that goes on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// Packets that were retransmitted.
    #[serde(skip_serializing_if = "is_zero")]
    pub retransmits: u32,
    /// The role of the file for the node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<FileRole>,
    /// The rule that applied, or the reason of a refusal.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub rule: String,
}

fn is_zero(number: &u32) -> bool {
    *number == 0
}

/// What a timeline keeps of an event.
pub(super) enum Content {
    /// A request, an answer or both.
    Exchange(Box<Part>),
    /// Something else.
    Mark(MarkKind),
    /// Nothing: it repeats or only explains other events.
    Nothing,
}

/// What an event tells of an exchange.
pub(super) struct Part {
    pub(super) service: Service,
    pub(super) asked: String,
    pub(super) client: Option<DhcpClient>,
    pub(super) about: Vec<String>,
    pub(super) answer: Option<Answer>,
    pub(super) outcome: ExchangeOutcome,
    pub(super) times: u64,
    /// The time from the request to the event.
    pub(super) took: Duration,
    /// Which other events tell of the same request.
    pub(super) join: Join,
}

/// Which other events tell of the same request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Join {
    /// None.
    Alone,
    /// Those of the same exchange that ask the same.
    Exchange,
    /// Those with the same key, up to one that closes it.
    Open(String),
    /// Those with the same key, and this is the last.
    Close(String),
}

impl Part {
    fn new(service: Service, asked: impl Into<String>, outcome: ExchangeOutcome) -> Self {
        Self {
            service,
            asked: asked.into(),
            client: None,
            about: Vec::new(),
            answer: None,
            outcome,
            times: 1,
            took: Duration::ZERO,
            join: Join::Alone,
        }
    }

    fn join(self, join: Join) -> Self {
        Self { join, ..self }
    }

    fn with(self, answer: Answer, took: Duration) -> Self {
        Self { answer: Some(answer), took, ..self }
    }
}

impl Answer {
    fn new(what: impl Into<String>, rule: &str) -> Self {
        Self {
            at: RunTime::START,
            what: what.into(),
            server: None,
            address: None,
            boot_file: None,
            details: Vec::new(),
            bytes: None,
            total: None,
            retransmits: 0,
            role: None,
            rule: rule.to_owned(),
        }
    }

    fn from(self, server: &Option<impl ToString>) -> Self {
        Self { server: server.as_ref().map(ToString::to_string), ..self }
    }

    /// Adds what only another source knows.
    fn complete(&mut self, other: Self) {
        let Self {
            at: _,
            what: _,
            server,
            address,
            boot_file,
            details,
            bytes,
            total,
            retransmits,
            role,
            rule,
        } = other;
        self.server = self.server.take().or(server);
        self.address = self.address.or(address);
        self.boot_file = self.boot_file.take().or(boot_file);
        self.bytes = self.bytes.or(bytes);
        self.total = self.total.or(total);
        self.retransmits = self.retransmits.max(retransmits);
        self.role = self.role.take().or(role);
        if self.details.is_empty() {
            self.details = details;
        }
        if self.rule.is_empty() {
            self.rule = rule;
        }
    }
}

impl SeenExchange {
    pub(super) fn new(at: RunTime, id: Option<Exchange>, source: Source, part: Part) -> Self {
        let Part { service, asked, client, about, answer, outcome, times, took, join: _ } = part;
        let began = RunTime::from_nanos(at.as_nanos().saturating_sub(RunTime::from(took).as_nanos()));
        let answers = answer.into_iter().map(|answer| Answer { at, ..answer }).collect();
        let sources = vec![source];
        // REQUEST, RELEASE and DECLINE are messages of both versions.
        let is_v6 = id.as_ref().is_some_and(|id| id.to_string().starts_with("dhcpv6 "));
        let service = if is_v6 { Service::Dhcpv6 } else { service };
        Self { began, ended: at, service, id, asked, client, about, answers, outcome, times, sources }
    }

    /// Adds what another event tells of the same request: that it was asked, or one of its answers.
    pub(super) fn extend(&mut self, other: Self) {
        let Self { began, ended, client, about, answers, outcome, times, sources, .. } = other;
        self.began = self.began.min(began);
        self.ended = self.ended.max(ended);
        self.client = self.client.take().or(client);
        if self.about.is_empty() {
            self.about = about;
        }
        // Progress of a transfer is replaced by its end, and by later progress.
        if self.outcome == ExchangeOutcome::Open {
            self.answers.clear();
        }
        for answer in answers {
            let same = |known: &&mut Answer| known.what == answer.what && known.server == answer.server;
            match self.answers.iter_mut().find(same) {
                Some(_) => self.times = self.times.saturating_add(times),
                None => self.answers.push(answer),
            }
        }
        if outcome != ExchangeOutcome::Open
            && (outcome != ExchangeOutcome::Unanswered || self.answers.is_empty())
        {
            self.outcome = outcome;
        }
        if outcome == ExchangeOutcome::Unanswered {
            self.times = self.times.max(times);
        }
        self.tell(sources);
    }

    /// Adds the details that another source has of the same answer.
    pub(super) fn complete(&mut self, index: usize, other: Self) {
        let Self { began, about, client, answers, sources, .. } = other;
        self.began = self.began.min(began);
        self.client = self.client.take().or(client);
        if self.about.is_empty() {
            self.about = about;
        }
        if let (Some(known), Some(answer)) = (self.answers.get_mut(index), answers.into_iter().next()) {
            known.complete(answer);
        }
        self.tell(sources);
    }

    fn tell(&mut self, sources: Vec<Source>) {
        for source in sources {
            if !self.sources.contains(&source) {
                self.sources.push(source);
            }
        }
    }
}

/// What router solicitations ask for.
pub(super) const ROUTER: &str = "router";

/// Returns what a timeline keeps of an event.
pub(super) fn content(known: &Known) -> Content {
    let part = match known {
        Known::DhcpAsked { request, client, architecture, vendor_class, relay, mac: _, network: _ } => {
            let architecture = architecture.map(|number| format!("architecture {number}"));
            let class = vendor_class.as_ref().map(|class| format!("vendor class {class}"));
            let relay = relay.map(|relay| format!("through relay agent {relay}"));
            let part = Part::new(dhcp(request), request.as_str(), ExchangeOutcome::Open).join(Join::Exchange);
            let about = architecture.into_iter().chain(class).chain(relay).collect();
            Part { client: Some(client.clone()), about, ..part }
        }
        Known::DhcpReplied { request, reply, address, boot_file, client, rule, server, us, .. } => {
            let outcome =
                if *reply == DhcpMessage::Nak { ExchangeOutcome::Refused } else { ExchangeOutcome::Answered };
            let (address, boot_file) = (*address, boot_file.clone());
            let answer = Answer { address, boot_file, ..Answer::new(reply.as_str(), rule).from(server) };
            let service =
                if address.is_some_and(|address| address.is_ipv6()) { Service::Dhcpv6 } else { dhcp(reply) };
            let part = Part::new(service, request.as_str(), outcome).with(answer, Duration::from_micros(*us));
            Part { client: Some(client.clone()), ..part.join(Join::Exchange) }
        }
        Known::DhcpIgnored { request, rule, us, mac: _, network: _ } => {
            let part = Part::new(dhcp(request), request.as_str(), ExchangeOutcome::Refused);
            part.with(Answer::new("ignored", rule), Duration::from_micros(*us)).join(Join::Exchange)
        }
        Known::RouterSolicited { network: _ } => {
            Part::new(Service::Ra, ROUTER, ExchangeOutcome::Open).join(Join::Open(ROUTER.to_owned()))
        }
        Known::RouterAdvertised { network: _, router } => {
            let mut answer = Answer::new("advertised", "");
            if let Some(RouterSeen { address, lifetime, managed, other, prefixes }) = router {
                answer = answer.from(&Some(address));
                answer.details.extend(prefixes.iter().map(ToString::to_string));
                let flags = [
                    (*lifetime > 0, "default router"),
                    (*managed, "addresses by DHCPv6"),
                    (*other && !*managed, "other configuration by DHCPv6"),
                ];
                let flags = flags.into_iter().filter(|(set, _)| *set);
                answer.details.extend(flags.map(|(_, words)| words.to_owned()));
            }
            let part = Part::new(Service::Ra, ROUTER, ExchangeOutcome::Answered);
            part.with(answer, Duration::ZERO).join(Join::Close(ROUTER.to_owned()))
        }
        Known::TftpServed { path, outcome, bytes, ms, role, rule, retransmits, server, .. } => {
            let result = match outcome {
                TftpOutcome::Sent | TftpOutcome::Probed => ExchangeOutcome::Answered,
                TftpOutcome::NotFound | TftpOutcome::Refused => ExchangeOutcome::Refused,
                TftpOutcome::Aborted => ExchangeOutcome::Aborted,
                TftpOutcome::Vanished | TftpOutcome::Failed | TftpOutcome::Other(_) => {
                    ExchangeOutcome::Failed
                }
            };
            let what = match outcome {
                TftpOutcome::Probed => "size only".to_owned(),
                TftpOutcome::Vanished => "client vanished".to_owned(),
                TftpOutcome::NotFound => "not found".to_owned(),
                other => other.to_string(),
            };
            let bytes =
                (*outcome != TftpOutcome::Probed && result != ExchangeOutcome::Refused).then_some(*bytes);
            let (role, retransmits) = (role.clone(), *retransmits);
            let answer = Answer { bytes, role, retransmits, ..Answer::new(what, rule).from(server) };
            let part = Part::new(Service::Tftp, path, result).with(answer, Duration::from_millis(*ms));
            part.join(Join::Close(transfer(path)))
        }
        Known::HttpServed {
            method,
            path,
            status,
            bytes,
            complete,
            ms,
            role,
            format: _,
            rule,
            range,
            tls,
            server,
        } => {
            let service = if tls.is_some() { Service::Https } else { Service::Http };
            let outcome = match (status, complete) {
                (400.., _) => ExchangeOutcome::Refused,
                (_, true) => ExchangeOutcome::Answered,
                (_, false) => ExchangeOutcome::Aborted,
            };
            let mut what = status.to_string();
            if outcome == ExchangeOutcome::Aborted {
                what += " aborted by the client";
            }
            let details = range.iter().chain(tls).cloned().collect();
            let bytes = (outcome != ExchangeOutcome::Refused).then_some(*bytes);
            let answer =
                Answer { bytes, role: role.clone(), details, ..Answer::new(what, rule).from(server) };
            let part = Part::new(service, format!("{method} {path}"), outcome);
            part.with(answer, Duration::from_millis(*ms)).join(Join::Close(transfer(path)))
        }
        Known::Fetching { path, bytes, total } => {
            let answer = Answer { bytes: Some(*bytes), total: *total, ..Answer::new("sending", "") };
            let part = Part::new(fetch(), path, ExchangeOutcome::Open).with(answer, Duration::ZERO);
            part.join(Join::Open(transfer(path)))
        }
        Known::DnsAnswered { name, record, code, rule, answer, bytes: _, us, count, server } => {
            let outcome = match code {
                DnsCode::NoError | DnsCode::NxDomain => ExchangeOutcome::Answered,
                DnsCode::FormErr
                | DnsCode::ServFail
                | DnsCode::NotImp
                | DnsCode::Refused
                | DnsCode::BadVers
                | DnsCode::Other(_) => ExchangeOutcome::Refused,
            };
            let answer = Answer { details: answer.clone(), ..Answer::new(code.as_str(), rule).from(server) };
            let asked =
                if name.is_empty() { "malformed query".to_owned() } else { format!("{record} {name}") };
            let part = Part::new(Service::Dns, asked, outcome).with(answer, Duration::from_micros(*us));
            Part { times: count.unwrap_or(1), ..part }
        }
        Known::NtpAnswered { version, offset, us, count } => {
            let offset = (*offset != 0).then(|| format!("{offset} ms from the host's clock"));
            let answer = Answer { details: offset.into_iter().collect(), ..Answer::new("sent", "") };
            let part = Part::new(Service::Ntp, format!("time, version {version}"), ExchangeOutcome::Answered);
            Part { times: count.unwrap_or(1), ..part.with(answer, Duration::from_micros(*us)) }
        }
        Known::RpcServed { method, code, message, client, from, us } => {
            let outcome =
                if *code == RpcCode::Ok { ExchangeOutcome::Answered } else { ExchangeOutcome::Refused };
            let who = if client.is_empty() { from.to_string() } else { format!("{client} at {from}") };
            let part = Part::new(Service::Grpc, method, outcome);
            let part = part.with(Answer::new(code.as_str(), message), Duration::from_micros(*us));
            Part { about: vec![format!("from {who}")], ..part }
        }
        Known::Unanswered { network: _, service, what, server, times } => {
            let whom = server.map(|server| format!("to {server}"));
            let part = Part::new(service.clone(), what, ExchangeOutcome::Unanswered);
            Part { times: *times, about: whom.into_iter().collect(), ..part.join(Join::Exchange) }
        }
        Known::Unreachable { network: _, protocol, destination, by, why, mtu } => {
            let to = match destination.port() {
                0 => destination.ip().to_string(),
                _ => destination.to_string(),
            };
            let server = (*by != destination.ip()).then_some(by);
            let details = mtu.map(|mtu| format!("at most {mtu} bytes")).into_iter().collect();
            let answer = Answer { details, ..Answer::new(why.as_str(), "").from(&server) };
            let part = Part::new(Service::from(protocol.as_str()), to, ExchangeOutcome::Refused);
            part.with(answer, Duration::ZERO)
        }
        Known::ConsoleLine { .. }
        | Known::SyslogLine { .. }
        | Known::ScreenShown { .. }
        | Known::ProcessPrinted { .. } => return Content::Mark(MarkKind::Line),
        Known::Probed { .. } => return Content::Mark(MarkKind::Probe),
        // The lease that it follows from is an exchange.
        Known::AddressLearned { from: LearnedFrom::ThisServer, .. } => return Content::Nothing,
        // Its stage stays that of before.
        Known::PoweredOff { why: PowerCause::Down } => return Content::Nothing,
        Known::PoweredOff { .. }
        | Known::LinkSet { .. }
        | Known::MediumSet { .. }
        | Known::AddressLearned { .. }
        | Known::DhcpOmitted { .. }
        | Known::Omitted { .. }
        | Known::CaptureIncomplete { .. }
        | Known::TlsOffered { .. }
        | Known::StpSeen { .. }
        | Known::LacpSeen { .. }
        | Known::ProcessReady { .. }
        | Known::ActionStarted { .. }
        | Known::ActionDone { .. }
        | Known::FaultBegan { .. }
        | Known::FaultEnded { .. }
        | Known::BmcLogged { .. }
        | Known::Commanded { .. } => return Content::Mark(MarkKind::Change),
        Known::MachineDied { .. }
        | Known::MachineStopped { .. }
        | Known::GuestPanicked {}
        | Known::MatchboxFailed { .. }
        | Known::HttpsFailed { .. }
        | Known::RpcRefused { .. }
        | Known::ServiceFailed { .. }
        | Known::ActionFailed { .. }
        | Known::FaultStruck { .. }
        | Known::Diagnosed { .. }
        | Known::TlsAlerted { .. } => return Content::Mark(MarkKind::Trouble),
        // Parts of the timeline of their own, and conclusions.
        Known::RunStarted { .. }
        | Known::StepDone { .. }
        | Known::StepFailed { .. }
        | Known::LabUp {}
        | Known::TearDownStarted { .. }
        | Known::RunEnded { .. }
        | Known::PoweredOn {}
        | Known::Reset { .. }
        | Known::BootSeen {}
        | Known::BannerSkipped {}
        | Known::DiskWritten { .. }
        | Known::ProcessStarted { .. }
        | Known::ProcessEnded { .. }
        | Known::StageReached { .. }
        | Known::Booted { .. }
        | Known::ExpectationDecided { .. }
        | Known::Judged { .. } => return Content::Nothing,
    };
    Content::Exchange(Box::new(part))
}

/// Returns the key of a transfer: its progress does not tell the protocol.
fn transfer(path: &str) -> String {
    format!("transfer of {path}")
}

/// Returns the protocol of a transfer whose end is not reported.
pub(super) fn fetch() -> Service {
    Service::Other("fetch".to_owned())
}

/// Returns the protocol of a message type, as far as it tells.
fn dhcp(message: &DhcpMessage) -> Service {
    match message {
        DhcpMessage::Solicit
        | DhcpMessage::Advertise
        | DhcpMessage::Confirm
        | DhcpMessage::Renew
        | DhcpMessage::Rebind
        | DhcpMessage::Reply
        | DhcpMessage::InformationRequest => Service::Dhcpv6,
        DhcpMessage::Bootp
        | DhcpMessage::Discover
        | DhcpMessage::Offer
        | DhcpMessage::Request
        | DhcpMessage::Decline
        | DhcpMessage::Ack
        | DhcpMessage::Nak
        | DhcpMessage::Release
        | DhcpMessage::Inform
        | DhcpMessage::Other(_) => Service::Dhcp,
    }
}

impl SeenExchange {
    /// Returns the request in words: `discover as ipxe`, `GET /boot/kernel`.
    pub fn request(&self) -> String {
        let client = self.client.as_ref().map(|client| format!(" as {client}")).unwrap_or_default();
        let about: String = self.about.iter().map(|about| format!(", {about}")).collect();
        format!("{}{client}{about}", self.asked)
    }

    /// Returns the answers in words, with the duration of a transfer.
    pub fn reply(&self) -> String {
        let answers: Vec<_> = self.answers.iter().map(|answer| answer.words(self.began)).collect();
        let answers = answers.join("; ");
        match self.outcome {
            ExchangeOutcome::Unanswered if self.times > 1 => format!("no answer, asked {} times", self.times),
            ExchangeOutcome::Unanswered => "no answer".to_owned(),
            ExchangeOutcome::Open if answers.is_empty() => "no answer seen".to_owned(),
            ExchangeOutcome::Open
            | ExchangeOutcome::Answered
            | ExchangeOutcome::Refused
            | ExchangeOutcome::Aborted
            | ExchangeOutcome::Failed => answers,
        }
    }

    /// Tells whether the client did not get what it asked for.
    pub fn is_trouble(&self) -> bool {
        match self.outcome {
            ExchangeOutcome::Refused | ExchangeOutcome::Failed | ExchangeOutcome::Unanswered => true,
            // EDK2 and GRUB break transfers off whose beginning is enough for them.
            ExchangeOutcome::Open | ExchangeOutcome::Answered | ExchangeOutcome::Aborted => false,
        }
    }

    /// Returns the bytes of the file or text that was sent.
    pub fn bytes(&self) -> Option<u64> {
        self.answers.iter().find_map(|answer| answer.bytes)
    }
}

impl Answer {
    fn words(&self, began: RunTime) -> String {
        let Self { at, what, server, address, boot_file, details, bytes, total, retransmits, role, rule } =
            self;
        let mut text = vec![what.clone()];
        if let Some(address) = address {
            text.push(format!(" {address}"));
        }
        if let Some(server) = server {
            text.push(format!(" from {server}"));
        }
        match (bytes, total) {
            (Some(bytes), Some(total)) => text.push(format!(" {} of {}", Size(*bytes), Size(*total))),
            (Some(bytes), None) => text.push(format!(", {} in {}", Size(*bytes), Took(at.since(began)))),
            (None, _) => {}
        }
        if let Some(file) = boot_file {
            text.push(format!(", boot file {file}"));
        }
        text.extend(details.iter().map(|detail| format!(", {detail}")));
        if *retransmits > 0 {
            text.push(format!(", {retransmits} packets again"));
        }
        let role = role.as_ref().map(|role| role.as_str());
        let rule = Some(rule.as_str()).filter(|rule| !rule.is_empty() && Some(*rule) != role);
        let why: Vec<&str> = role.into_iter().chain(rule).collect();
        if !why.is_empty() {
            text.push(format!(" ({})", why.join(", ")));
        }
        text.concat()
    }
}

/// A duration in a few characters: `446 ms`, `5.5s`, `1m 12s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Took(pub Duration);

impl std::fmt::Display for Took {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0.as_millis() {
            millis @ 0..1000 => f.pad(&format!("{millis} ms")),
            _ => crate::event::Ago(self.0).fmt(f),
        }
    }
}
