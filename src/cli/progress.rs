//! The progress of a run: a live line per node on a terminal, plain lines elsewhere.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::output;
use crate::event::{Event, Kind, Known};
use crate::name::NodeName;
use crate::observe::{NodeView, Snapshot};
use crate::report;

/// Shows a run.
pub(super) struct RunProgress {
    snapshot: Snapshot,
    /// Prefix of every line if several labs run at once.
    prefix: String,
    live: Option<Live>,
}

struct Live {
    lines: MultiProgress,
    nodes: BTreeMap<NodeName, ProgressBar>,
}

impl RunProgress {
    /// Starts to show a run. `lab` is shown if several labs run at once.
    pub(super) fn new(nodes: impl IntoIterator<Item = NodeName>, lab: Option<&str>) -> Self {
        let nodes: Vec<NodeName> = nodes.into_iter().collect();
        let lines = MultiProgress::with_draw_target(ProgressDrawTarget::stderr());
        // Live lines of several labs would overwrite each other.
        let live = (!lines.is_hidden() && lab.is_none()).then(|| Live::new(lines, &nodes));
        let prefix = lab.map(|lab| format!("{lab}: ")).unwrap_or_default();
        Self { snapshot: Snapshot::new(nodes), prefix, live }
    }

    /// Shows an event.
    pub(super) fn see(&mut self, event: &Event) {
        self.snapshot.apply(event);
        if let (Some(live), Some(node)) = (&self.live, &event.node)
            && let (Some(bar), Some(view)) = (live.nodes.get(node), self.snapshot.nodes.get(node))
        {
            bar.set_message(line(view));
        }
        if let Kind::Known(Known::Diagnosed { finding }) = &event.kind {
            let node = event.node.as_ref().map(|node| format!("{node}: ")).unwrap_or_default();
            let text = report::finding(finding, output::width());
            self.say(&format!("{:>7}  {}{node}{}", event.at.to_string(), self.prefix, text.trim_end()));
        } else if is_worth_a_line(event, self.live.is_some()) {
            let node = event.node.as_ref().map(|node| format!("{node}: ")).unwrap_or_default();
            self.say(&format!("{:>7}  {}{node}{}", event.at.to_string(), self.prefix, event.kind));
        }
    }

    /// Prints a line above the live lines.
    pub(super) fn say(&self, text: &str) {
        match &self.live {
            Some(live) => live.lines.suspend(|| output::note(text)),
            None => output::note(text),
        }
    }

    /// Removes the live lines.
    pub(super) fn end(&mut self) {
        if let Some(live) = self.live.take() {
            for bar in live.nodes.values() {
                bar.finish_and_clear();
            }
        }
    }
}

impl Drop for RunProgress {
    fn drop(&mut self) {
        self.end();
    }
}

impl Live {
    fn new(lines: MultiProgress, nodes: &[NodeName]) -> Self {
        let widest = nodes.iter().map(|node| node.as_str().len()).max().unwrap_or(0);
        let style = ProgressStyle::with_template("{spinner} {prefix}  {wide_msg}");
        let style = style.unwrap_or_else(|_| ProgressStyle::default_spinner());
        let bars = nodes.iter().map(|node| {
            let bar = lines.add(ProgressBar::new_spinner().with_style(style.clone()));
            bar.set_prefix(format!("{node:widest$}"));
            bar.set_message("off");
            bar.enable_steady_tick(Duration::from_millis(120));
            (node.clone(), bar)
        });
        let nodes = bars.collect();
        Self { lines, nodes }
    }
}

/// Returns the state of a node in one line.
fn line(view: &NodeView) -> String {
    let stage = format!("{:8}", view.stage.as_str());
    match (&view.fetching, &view.console, &view.last) {
        (Some(fetch), _, _) => format!("{stage}  fetching {fetch}"),
        // Its latest console line shows its state.
        (None, Some(console), Some(last)) if console.at >= last.at => {
            format!("{stage}  {}", Known::ConsoleLine { text: console.text.clone() })
        }
        (None, _, Some(last)) => format!("{stage}  {}", last.what),
        (None, _, None) => stage,
    }
}

/// Tells whether an event gets its own line.
fn is_worth_a_line(event: &Event, live: bool) -> bool {
    let Kind::Known(known) = &event.kind else { return false };
    match known {
        Known::StepFailed { .. }
        | Known::LabUp {}
        | Known::TearDownStarted { .. }
        | Known::MachineDied { .. }
        | Known::MachineStopped { .. }
        | Known::GuestPanicked {}
        | Known::ServiceFailed { .. }
        | Known::RpcRefused { .. }
        | Known::Booted { .. }
        | Known::ActionStarted { .. }
        | Known::ActionDone { .. }
        | Known::ActionFailed { .. }
        | Known::FaultBegan { .. }
        | Known::FaultEnded { .. }
        | Known::Diagnosed { .. }
        | Known::ExpectationDecided { .. } => true,
        Known::StageReached { .. } => !live,
        Known::RunStarted { .. }
        | Known::StepDone { .. }
        | Known::RunEnded { .. }
        | Known::PoweredOn {}
        | Known::PoweredOff { .. }
        | Known::Reset { .. }
        | Known::ConsoleLine { .. }
        | Known::BannerSkipped {}
        | Known::LinkSet { .. }
        | Known::MediumSet { .. }
        | Known::DhcpReplied { .. }
        | Known::DhcpIgnored { .. }
        | Known::DhcpOmitted { .. }
        | Known::AddressLearned { .. }
        | Known::RouterAdvertised { .. }
        | Known::TftpServed { .. }
        | Known::Fetching { .. }
        | Known::HttpServed { .. }
        | Known::MatchboxFailed { .. }
        | Known::HttpsFailed { .. }
        | Known::RpcServed { .. }
        | Known::DnsAnswered { .. }
        | Known::NtpAnswered { .. }
        | Known::SyslogLine { .. }
        | Known::Omitted { .. }
        | Known::CaptureIncomplete { .. }
        | Known::BootSeen {}
        | Known::DhcpAsked { .. }
        | Known::RouterSolicited { .. }
        | Known::Unanswered { .. }
        | Known::Unreachable { .. }
        | Known::TlsOffered { .. }
        | Known::TlsAlerted { .. }
        | Known::StpSeen { .. }
        | Known::LacpSeen { .. }
        | Known::ScreenShown { .. }
        | Known::DiskWritten { .. }
        | Known::ProcessStarted { .. }
        | Known::ProcessReady { .. }
        | Known::ProcessPrinted { .. }
        | Known::ProcessEnded { .. }
        | Known::Probed { .. }
        | Known::Judged { .. }
        | Known::FaultStruck { .. }
        | Known::BmcLogged { .. }
        | Known::Commanded { .. } => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::examples::{console, event, http, lease};

    /// The line of a node after some events, and the plain lines that are printed without a terminal.
    fn check(kinds: impl IntoIterator<Item = Known>) -> String {
        let mut snapshot = Snapshot::new([]);
        let mut lines = Vec::new();
        for (second, kind) in kinds.into_iter().enumerate() {
            let event = event(second as u64 * 1000, Some("a"), kind);
            snapshot.apply(&event);
            if is_worth_a_line(&event, false) {
                lines.push(event.kind.to_string());
            }
        }
        lines.extend(snapshot.nodes.values().map(line));
        lines.join("\n")
    }

    #[test]
    fn a_line_shows_the_stage_and_what_was_seen_last() {
        insta::assert_snapshot!(check([Known::PoweredOn {}]), @"firmware");
        insta::assert_snapshot!(check([Known::PoweredOn {}, lease("ipxe", "ack")]), @"dhcp      leased 10.0.0.10 (ipxe)");
        let booted = [Known::PoweredOn {}, http("kernel", 200, true), console("Linux version 6\u{1b}[1m")];
        insta::assert_snapshot!(check(booted), @"kernel    Linux version 6�[1m");
        let path = "/boot/kernel".to_owned();
        let fetching = Known::Fetching { path, bytes: 2_000_000, total: Some(8_000_000) };
        insta::assert_snapshot!(check([Known::PoweredOn {}, fetching]), @"firmware  fetching kernel 2.0 MB of 8.0 MB");
    }

    #[test]
    fn without_a_terminal_stages_and_verdicts_are_said() {
        let kinds = [
            Known::PoweredOn {},
            Known::StageReached { stage: crate::event::Stage::Firmware },
            console("noise"),
            Known::MachineDied { status: "signal 6".to_owned(), stderr: vec!["last words".to_owned()] },
        ];
        insta::assert_snapshot!(check(kinds), @r"
        reached firmware
        died: signal 6: last words
        off       died: signal 6: last words
        ");
    }
}
