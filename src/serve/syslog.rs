//! Syslog: messages of nodes over UDP become events (RFC 3164, RFC 5424, and free text).
//!
//! Never replies. A message that cannot be parsed is kept as text.

use std::net::UdpSocket;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::future::join_all;

use super::clients::Clients;
use super::context::Context;
use super::failure::{FailureLog, failed};
use super::windows::Windows;
use crate::event::RateLimit;
use crate::event::{Emitter, Facility, Known, Service, Severity};
use crate::name::NodeName;

/// The maximum length of a message in an event, in bytes.
const TEXT: usize = 2048;
/// The maximum length of a program name in an event, in bytes.
const APP: usize = 64;
/// The maximum length of a datagram; longer ones are truncated.
const DATAGRAM: usize = 8192;
/// Maximum number of events per second, per node and in total.
const OF_NODE: u64 = 200;
const OF_ALL: u64 = 1_000;

/// The default priority (RFC 3164, section 4.3.3): user, notice.
const PRIORITY: u8 = 13;
const MONTHS: [&str; 12] =
    ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
/// Number of fields between the version and the structured data (RFC 5424): time, host, program, process, message ID.
const WORDS: usize = 5;
const PROGRAM: usize = 2;

/// Receives messages for as long as it is polled.
pub(super) async fn run(sockets: Vec<UdpSocket>, Context { clients, events, .. }: Context) {
    let handler = SyslogHandler::new(events);
    let listen = join_all(sockets.into_iter().map(|socket| handler.listen(socket, &clients)));
    tokio::join!(listen, handler.windows.run(|| !handler.lock().is_idle(), || handler.flush()));
}

/// Emits messages, and the number of omitted ones. The remaining counts are emitted on drop.
struct SyslogHandler {
    events: Emitter,
    /// By node; `None` for all other senders together. So there are never more keys than nodes.
    limit: Mutex<RateLimit<Option<NodeName>>>,
    windows: Windows,
}

impl SyslogHandler {
    fn new(events: Emitter) -> Self {
        let limit = RateLimit::new(OF_ALL, OF_ALL).of_each(OF_NODE);
        Self { events, limit: Mutex::new(limit), windows: Windows::default() }
    }

    async fn listen(&self, socket: UdpSocket, clients: &Clients) {
        let socket = match tokio::net::UdpSocket::from_std(socket) {
            Ok(socket) => socket,
            Err(error) => return failed(&self.events, Service::Syslog, &error.to_string()),
        };
        let mut failure = FailureLog::new(Service::Syslog, &self.events);
        let mut datagram = [0; DATAGRAM];
        loop {
            match socket.recv_from(&mut datagram).await {
                Err(error) => failure.pause(&error).await,
                Ok((length, from)) => self.take(clients.node(from.ip()).as_ref(), &datagram[..length]),
            }
        }
    }

    /// Emits a message, unless the limit is exceeded.
    fn take(&self, node: Option<&NodeName>, datagram: &[u8]) {
        let Some(line) = read(datagram) else { return };
        let (first, admitted) = {
            let mut limit = self.lock();
            (limit.is_idle(), limit.admit(node.cloned()))
        };
        if first {
            self.windows.begin();
        }
        if admitted {
            self.events.emit_maybe(node, line);
        }
    }

    fn flush(&self) {
        for (node, count) in self.lock().next_window() {
            self.events.emit_maybe(node.as_ref(), Known::Omitted { service: Service::Syslog, count });
        }
    }

    fn lock(&self) -> MutexGuard<'_, RateLimit<Option<NodeName>>> {
        self.limit.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for SyslogHandler {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Parses a datagram; `None` if it is empty.
fn read(datagram: &[u8]) -> Option<Known> {
    let whole = String::from_utf8_lossy(datagram);
    let (priority, rest) = priority(&whole);
    let (app, text) = modern(rest).unwrap_or_else(|| traditional(rest));
    let (app, text) = (plain(app, APP), plain(text, TEXT));
    (!text.is_empty() || !app.is_empty()).then(|| Known::SyslogLine {
        facility: Facility::of_number(priority >> 3).unwrap_or(Facility::User),
        severity: Severity::of_priority(priority),
        app,
        text,
    })
}

/// Parses the priority of a message: `<13>`.
fn priority(line: &str) -> (u8, &str) {
    let number = line.strip_prefix('<').and_then(|rest| rest.split_once('>'));
    let read = number.and_then(|(digits, rest)| {
        let plain = (1..=3).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_digit());
        let number: u8 = Some(digits).filter(|_| plain)?.parse().ok()?;
        Facility::of_number(number >> 3).map(|_| (number, rest))
    });
    read.unwrap_or((PRIORITY, line))
}

/// Parses the rest of an RFC 5424 message: `1 TIME HOST APP PROCID MSGID [DATA] TEXT`.
fn modern(line: &str) -> Option<(&str, &str)> {
    let mut rest = line.strip_prefix("1 ")?;
    let mut app = "";
    for word in 0..WORDS {
        let (first, others) = rest.split_once(' ')?;
        if word == PROGRAM {
            app = first;
        }
        rest = others;
    }
    let text = match rest.strip_prefix('-') {
        Some(text) => text,
        None => behind_data(rest)?,
    };
    let text = text.strip_prefix(' ').or(text.is_empty().then_some(""))?;
    Some((if app == "-" { "" } else { app }, text.trim_start_matches('\u{feff}')))
}

/// Returns the text after structured data: `[id name="value with \"]\" in it"][id]`.
fn behind_data(text: &str) -> Option<&str> {
    let (mut inside, mut quoted, mut escaped) = (false, false, false);
    for (at, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' if inside => quoted = !quoted,
            '[' if !inside => inside = true,
            ']' if inside && !quoted => inside = false,
            _ if !inside => return (at > 0).then(|| &text[at..]),
            _ => {}
        }
    }
    (!inside && !text.is_empty()).then_some("")
}

/// Parses the rest of an RFC 3164 message: `Mmm dd hh:mm:ss HOST APP[PID]: TEXT`, of which many parts may be missing.
fn traditional(line: &str) -> (&str, &str) {
    let Some(rest) = behind_time(line) else {
        return tagged(line).unwrap_or(("", line));
    };
    // Programs omit the host in messages to their own machine.
    let behind_host = rest.split_once(' ').and_then(|(_, rest)| tagged(rest));
    tagged(rest).or(behind_host).unwrap_or(("", rest))
}

/// Strips the timestamp: `Nov 21 15:04:05 `, or RFC 3339.
fn behind_time(line: &str) -> Option<&str> {
    let month = MONTHS.iter().any(|month| line.starts_with(month));
    let (time, rest) = match line.split_at_checked(16) {
        Some((time, rest)) if month => (time, rest),
        _ => {
            let (time, rest) = line.split_once(' ')?;
            let shape = time.len() >= 20 && time.as_bytes()[10] == b'T' && time.is_ascii();
            return shape.then_some(rest);
        }
    };
    let shape = |(index, byte): (usize, u8)| match index {
        3 | 6 | 15 => byte == b' ',
        9 | 12 => byte == b':',
        4 => byte == b' ' || byte.is_ascii_digit(),
        0..=2 => true,
        _ => byte.is_ascii_digit(),
    };
    time.bytes().enumerate().all(shape).then_some(rest)
}

/// Splits a message that begins with a program name: `sshd[12]: text`.
fn tagged(line: &str) -> Option<(&str, &str)> {
    let is_name = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | '(' | ')');
    let end = line.find(|c| !is_name(c)).filter(|end| (1..=APP).contains(end))?;
    let (app, rest) = line.split_at(end);
    let rest = match rest.strip_prefix('[') {
        Some(process) => process.split_once(']')?.1,
        None => rest,
    };
    // Without a space after the colon it might be an IPv6 address.
    let text = rest.strip_prefix(':')?;
    (text.is_empty() || text.starts_with(' ')).then_some((app, text))
}

/// Returns a text without terminal control characters, truncated to a number of bytes.
fn plain(text: &str, bytes: usize) -> String {
    let mut plain = String::new();
    for c in text.trim_matches(|c: char| c.is_whitespace() || c.is_control()).chars() {
        let c = match c {
            '\t' | '\n' | '\r' => ' ',
            c if c.is_control() => continue,
            c => c,
        };
        if plain.len() + c.len_utf8() > bytes {
            break;
        }
        plain.push(c);
    }
    plain
}

#[cfg(any(test, fuzzing))]
pub(in crate::serve) mod fuzz;

#[cfg(test)]
mod tests;
