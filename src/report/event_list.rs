//! Every event of a recorded run, one after another.

use std::fmt::Write;

use crate::event::{Event, Kind, Known, Recorded, RunTime};
use crate::name::NodeName;
use crate::observe::{Concluded, Snapshot};

/// Returns every event of a run: time in seconds, node, topic, and what happened; stages are marked by `▶`.
pub fn event_list(recorded: &Recorded) -> String {
    let Recorded { header, events, torn } = recorded;
    let mut text = format!("started {} by dryrack {}\n\n", header.started, header.version);
    let mut list = EventList::new(events);
    text.extend(events.iter().map(|event| list.lines(event)));
    if *torn {
        text.push_str(TORN);
    }
    text
}

/// Says that a record has no end.
pub(super) const TORN: &str = "\nthe last line is incomplete: the run was killed while writing it\n";

/// Lists events one by one.
#[derive(Debug)]
pub struct EventList {
    snapshot: Snapshot,
    node_width: usize,
    topic_width: usize,
}

impl EventList {
    /// Creates a list whose columns have room for these events.
    pub fn new(events: &[Event]) -> Self {
        let names = events.iter().filter_map(|event| event.node.as_ref());
        let topics = events.iter().map(|event| event.kind.topic().chars().count());
        Self {
            snapshot: Snapshot::new([]),
            node_width: names.map(|name| name.as_str().len()).max().unwrap_or(0),
            topic_width: topics.max().unwrap_or(0).max("stage".len()),
        }
    }

    /// Returns the lines of the next event: what happened, and what follows from it.
    pub fn lines(&mut self, event: &Event) -> String {
        let (node_width, topic_width) = (self.node_width, self.topic_width);
        let mut text = String::new();
        let mut row = |topic: &str, words: &str| {
            let node = event.node.as_ref().map(NodeName::as_str).unwrap_or_default();
            let line = format!("{:>9}  {node:<node_width$}  {topic:<topic_width$}  {words}", stamp(event.at));
            text.push_str(line.trim_end());
            text.push('\n');
        };
        let kind = &event.kind;
        // The fold below draws the same conclusions, even if the writer was killed before it recorded them.
        if !matches!(kind, Kind::Known(Known::StageReached { .. } | Known::Booted { .. })) {
            row(kind.topic(), &kind.to_string());
        }
        if let Kind::Known(Known::MachineDied { stderr, .. }) = kind {
            for line in stderr {
                row("stderr", &Known::ConsoleLine { text: line.clone() }.to_string());
            }
        }
        let Concluded { stage, booted, telling: _ } = self.snapshot.apply(event);
        if let Some(stage) = stage {
            row("stage", &format!("▶ {stage}"));
        }
        if let Some((from, by)) = booted {
            row("boot", &format!("▶ {}", Known::Booted { from, by }));
        }
        text
    }
}

/// Writes an instant in seconds, to the millisecond.
pub(super) fn stamp(at: RunTime) -> String {
    let mut text = String::new();
    let elapsed = at.elapsed();
    write!(text, "{}.{:03}", elapsed.as_secs(), elapsed.subsec_millis()).expect("a string takes everything");
    text
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use insta::assert_snapshot;

    use super::*;
    use crate::event::examples::{any_event, console, event, http, lease};
    use crate::event::{Header, SCHEMA, Stage};

    fn recorded(events: Vec<Event>, torn: bool) -> Recorded {
        let started = "2026-11-21T09:34:03Z".parse().unwrap();
        Recorded {
            header: Header { dryrack_events: SCHEMA, version: "0.1.0".to_owned(), started },
            events,
            torn,
        }
    }

    fn started() -> Known {
        let (lab, accel) = ("etcd".to_owned(), "tcg".to_owned());
        Known::RunStarted {
            lab,
            accel,
            nodes: BTreeMap::new(),
            hosts: BTreeSet::new(),
            waits: Box::default(),
        }
    }

    #[test]
    fn a_boot_reads_from_top_to_bottom() {
        let events = vec![
            event(0, None, started()),
            event(120, Some("node1"), Known::PoweredOn {}),
            event(130, None, Known::LabUp {}),
            event(1500, Some("node1"), lease("ipxe", "ack")),
            event(1500, Some("node1"), Known::StageReached { stage: Stage::Dhcp }),
            event(2100, Some("node1"), http("kernel", 200, true)),
            event(2300, Some("node1"), console("Linux version 6.1.0 \u{1b}[1m")),
            event(
                61_000,
                Some("node1"),
                Known::MachineDied {
                    status: "signal 6".to_owned(),
                    stderr: vec!["qemu: one".to_owned(), "qemu: two".to_owned()],
                },
            ),
            event(3_661_000, None, Known::TearDownStarted { why: "somebody asked".to_owned() }),
        ];
        assert_snapshot!(event_list(&recorded(events, true)));
    }

    #[test]
    fn an_empty_record_has_a_heading() {
        assert_snapshot!(event_list(&recorded(Vec::new(), false)), @"started 2026-11-21T09:34:03Z by dryrack 0.1.0");
    }

    /// A record of an earlier version reads like one of this version.
    #[test]
    fn a_run_of_format_1_is_read() {
        let recorded = crate::event::read(&include_bytes!("recorded/schema1.jsonl")[..]).unwrap();
        assert!(recorded.events.iter().all(|event| matches!(event.kind, Kind::Known(_))), "{recorded:#?}");
        assert_snapshot!(event_list(&recorded));
        // Writing and reading it again gives the same.
        for event in &recorded.events {
            let json = serde_json::to_string(event).unwrap();
            assert!(!json.contains(r#""role":"""#), "{json}");
            assert_eq!(serde_json::from_str::<Event>(&json).unwrap(), *event);
        }
    }

    proptest::proptest! {
        #[test]
        fn any_record_has_a_line_for_each_event(events in proptest::collection::vec(any_event(), 0..30)) {
            let known = events.iter().filter(|event| {
                !matches!(event.kind, Kind::Known(Known::StageReached { .. } | Known::Booted { .. }))
            });
            let most_needed = known.count();
            let text = event_list(&recorded(events, false));
            proptest::prop_assert!(text.lines().count() >= most_needed);
            proptest::prop_assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
        }
    }
}
