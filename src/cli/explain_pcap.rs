//! `dryrack explain-pcap`: what a capture of somebody else's network shows.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::output::{self, Stop};
use super::trace::write_perfetto;
use crate::capture::read::{Duplicates, Frame, ReadError, Reader};
use crate::dissect::{self, Dissector, Link, Machines, Seen, Segment};
use crate::event::{Event, Header, RunTime, SCHEMA, Source};
use crate::hint::{Hint, chain};
use crate::name::NetworkName;
use crate::report::{CaptureSummary, Explainer, exit};

/// Longer than anybody waits for an answer.
const PATIENCE: Duration = Duration::from_secs(600);

/// Show what a capture of a network says about the machines that booted there
///
/// Reads pcap and pcapng, as tcpdump, Wireshark and switches write them, also compressed by gzip. Shows each machine
/// with its stages and exchanges as `dryrack trace` does, the servers that answered, and the first step of the usual
/// dialogue of that firmware or loader that did not come. Example: `tcpdump -w - -c 1000 | dryrack explain-pcap -`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Capture, `-` for standard input
    file: PathBuf,
    /// Print JSON: `capture`, `machines` by hardware address, `servers`
    #[arg(long)]
    json: bool,
    /// Write the timeline in the Trace Event Format, for ui.perfetto.dev; `-` is standard output
    #[arg(long, value_name = "FILE", conflicts_with = "json")]
    perfetto: Option<PathBuf>,
}

/// Runs the command.
pub(super) fn run(args: &Args) -> Result<u8, Stop> {
    let Args { file, json, perfetto } = args;
    let printed = file == Path::new("-");
    let title = if printed { "standard input".to_owned() } else { file.display().to_string() };
    let source: Box<dyn Read> = match printed {
        true if io::stdin().is_terminal() => {
            let hint =
                Some("name a file, or pipe a capture into it: `tcpdump -w - | dryrack explain-pcap -`");
            return Err(Stop::new(exit::WRONG, "a capture does not come from a terminal", hint));
        }
        true => Box::new(io::stdin()),
        false => Box::new(
            File::open(file)
                .map_err(|error| Stop::new(exit::WRONG, format!("{title}: {error}"), None::<&str>))?,
        ),
    };
    let unreadable =
        |error: &ReadError| Stop::new(exit::WRONG, format!("{title}: {}", chain(error)), error.hint());
    let reader = Reader::open(source).map_err(|error| unreadable(&error))?;
    let (summary, explainer, end) = explain(title.clone(), reader);
    let header = Header {
        dryrack_events: SCHEMA,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started: summary.started.unwrap_or(Timestamp::UNIX_EPOCH),
    };
    let (explained, timeline) = explainer.end(summary);
    match (perfetto, json) {
        (Some(to), _) => write_perfetto(to, &crate::report::perfetto(&header, &timeline))?,
        (None, true) => output::json(&explained)?,
        (None, false) => output::lines(&explained.lines(&timeline, output::width())),
    }
    match end {
        Ok(()) => Ok(exit::MET),
        // Usual: tcpdump was killed. Everything that there is was shown.
        Err(error @ ReadError::Torn { .. }) => {
            output::note(&format!("{title}: {}", chain(&error)));
            Ok(exit::MET)
        }
        Err(error) => Err(unreadable(&error)),
    }
}

/// Reads a capture to its end.
fn explain<R: Read>(
    title: String,
    mut reader: Reader<R>,
) -> (CaptureSummary, Explainer, Result<(), ReadError>) {
    let network = NetworkName::new("wire").expect("it is a name");
    let mut dissector = Dissector::new(vec![Segment::foreign(network)], Machines::Any);
    let mut duplicates = Duplicates::default();
    let mut explainer = Explainer::default();
    let mut summary = CaptureSummary { file: title, ..CaptureSummary::default() };
    let mut first: Option<Duration> = None;
    let mut now = RunTime::START;
    let mut seen = Vec::new();
    let end = loop {
        let frame = match reader.next_frame() {
            Ok(Some(frame)) => frame,
            Ok(None) => break Ok(()),
            Err(error) => break Err(error),
        };
        summary.frames += 1;
        if let Some(at) = frame.at {
            let began = *first.get_or_insert(at);
            // Frames of several interfaces are not always in order.
            now = now.max(at.saturating_sub(began).into());
        }
        let Frame { link, length, data, .. } = frame;
        if (length as usize) > data.len() {
            summary.cut += 1;
        }
        let Some(opened) = Link::of_number(link) else {
            *summary.skipped.entry(link).or_default() += 1;
            continue;
        };
        if duplicates.repeats(&frame) {
            summary.repeated += 1;
            continue;
        }
        let length = length as usize;
        let number = Some(summary.frames);
        let frame = dissect::Frame { at: now, number, segment: 0, link: opened, bytes: data, length };
        dissector.frame(frame, &mut seen);
        tell(&mut seen, first, &mut explainer);
    };
    summary.seconds = now.elapsed().as_secs_f64();
    summary.started = first.and_then(|first| wall(first, RunTime::START));
    summary.error = end.as_ref().err().map(|error| chain(error));
    // What was asked at the end counts as unanswered, too.
    dissector.pass(now + PATIENCE, &mut seen);
    seen.iter_mut().for_each(|seen| seen.at = seen.at.min(now));
    tell(&mut seen, first, &mut explainer);
    (summary, explainer, end)
}

/// Makes events of what was seen.
fn tell(seen: &mut Vec<Seen>, first: Option<Duration>, explainer: &mut Explainer) {
    for Seen { at, node, exchange, frame, known } in seen.drain(..) {
        let wall = first.and_then(|first| wall(first, at)).unwrap_or(Timestamp::UNIX_EPOCH);
        explainer.apply(&Event { at, wall, source: Source::Wire, node, exchange, frame, kind: known.into() });
    }
}

/// Returns the time of day of an instant of the capture.
fn wall(first: Duration, at: RunTime) -> Option<Timestamp> {
    let since = first.checked_add(at.elapsed())?;
    Timestamp::from_nanosecond(i128::try_from(since.as_nanos()).ok()?).ok()
}
