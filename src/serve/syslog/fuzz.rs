//! Fuzzes the syslog receiver with arbitrary packets.

use super::{APP, TEXT, read};
use crate::event::{Facility, Known, Severity};

/// Parses one datagram. The event is short and safe to print on a terminal.
pub(crate) fn line(data: &[u8]) {
    let Some(Known::SyslogLine { facility, severity, app, text }) = read(data) else { return };
    assert!(Facility::ALL.contains(&facility) && Severity::ALL.contains(&severity));
    assert!(app.len() <= APP && text.len() <= TEXT, "{} and {} bytes", app.len(), text.len());
    assert!(!app.is_empty() || !text.is_empty());
    assert!(!(app + &text).chars().any(|letter| letter.is_control()), "it controls terminals");
}
