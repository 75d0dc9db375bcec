//! The timeline of a run in the Trace Event Format, which ui.perfetto.dev and chrome://tracing open.
//!
//! A process of the trace is the lab, a node, or the services; a thread is one of its tracks. The slices of a track are
//! nested or beside each other, never partly over each other: what overlaps gets another track of the same name.

use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::event::{Header, RunTime};
use crate::name::NodeName;
use crate::observe::{Entries, Mark, MarkKind, NodeTimeline, SeenExchange, Timeline};

/// Returns a timeline in the Trace Event Format, as JSON.
pub fn perfetto(header: &Header, timeline: &Timeline) -> String {
    let mut trace = Trace::default();
    trace.lab(timeline);
    for (name, node) in &timeline.nodes {
        trace.node(name, node, timeline.end());
    }
    trace.services(timeline);
    let other = json!({
        "lab": timeline.lab, "version": header.version, "started": header.started, "exit": timeline.exit,
    });
    let trace = json!({ "displayTimeUnit": "ms", "otherData": other, "traceEvents": trace.events });
    trace.to_string() + "\n"
}

/// A record of the format.
#[derive(Debug, Serialize)]
struct Record {
    /// The phase: `X` is a slice with a duration, `i` an instant, `M` metadata.
    ph: char,
    name: String,
    /// The category.
    #[serde(skip_serializing_if = "str::is_empty")]
    cat: &'static str,
    /// Microseconds, with three decimals for nanoseconds.
    ts: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    dur: Option<f64>,
    pid: usize,
    tid: usize,
    /// The scope of an instant: its thread.
    #[serde(skip_serializing_if = "Option::is_none")]
    s: Option<char>,
    #[serde(skip_serializing_if = "Map::is_empty")]
    args: Map<String, Value>,
}

#[derive(Default)]
struct Trace {
    events: Vec<Record>,
    processes: usize,
    threads: usize,
}

/// A slice before it has a track.
struct Slice {
    began: RunTime,
    ended: RunTime,
    name: String,
    cat: &'static str,
    args: Map<String, Value>,
}

fn micros(at: RunTime) -> f64 {
    at.as_nanos() as f64 / 1000.0
}

/// Returns the fields of an object.
fn fields(value: impl Serialize) -> Map<String, Value> {
    match serde_json::to_value(value).expect("a timeline has only texts, numbers and texts as keys") {
        Value::Object(fields) => fields,
        value => Map::from_iter([("value".to_owned(), value)]),
    }
}

impl Trace {
    fn process(&mut self, name: &str) -> usize {
        self.processes += 1;
        let pid = self.processes;
        self.describe("process_name", pid, 0, json!({ "name": name }));
        self.describe("process_sort_index", pid, 0, json!({ "sort_index": pid }));
        pid
    }

    fn thread(&mut self, pid: usize, name: &str) -> usize {
        self.threads += 1;
        let tid = self.threads;
        self.describe("thread_name", pid, tid, json!({ "name": name }));
        self.describe("thread_sort_index", pid, tid, json!({ "sort_index": tid }));
        tid
    }

    fn describe(&mut self, what: &str, pid: usize, tid: usize, args: Value) {
        let (name, args) = (what.to_owned(), fields(args));
        self.events.push(Record { ph: 'M', name, cat: "", ts: 0.0, dur: None, pid, tid, s: None, args });
    }

    fn slice(&mut self, pid: usize, tid: usize, slice: Slice) {
        let Slice { began, ended, name, cat, args } = slice;
        let (ts, dur) = (micros(began), Some(to_nanos(micros(ended) - micros(began))));
        self.events.push(Record { ph: 'X', name, cat, ts, dur, pid, tid, s: None, args });
    }

    fn instant(&mut self, pid: usize, tid: usize, at: RunTime, name: String, cat: &'static str, args: Value) {
        let (ts, args) = (micros(at), fields(args));
        self.events.push(Record { ph: 'i', name, cat, ts, dur: None, pid, tid, s: Some('t'), args });
    }

    /// Adds slices that may overlap, on as many tracks as that needs.
    fn tracks(&mut self, pid: usize, name: &str, mut slices: Vec<Slice>) {
        slices.sort_by_key(|slice| (slice.began, std::cmp::Reverse(slice.ended)));
        let mut tracks: Vec<(usize, RunTime)> = Vec::new();
        for slice in slices {
            let free = tracks.iter_mut().find(|(_, ended)| *ended <= slice.began);
            let tid = match free {
                Some((tid, ended)) => {
                    *ended = slice.ended;
                    *tid
                }
                None => {
                    let tid = self.thread(pid, name);
                    tracks.push((tid, slice.ended));
                    tid
                }
            };
            self.slice(pid, tid, slice);
        }
    }

    /// Adds marks, on a track for each topic.
    fn marks<'a>(&mut self, pid: usize, marks: impl IntoIterator<Item = &'a Mark>) {
        let mut tracks: Vec<(&str, usize)> = Vec::new();
        for mark in marks {
            let topic = match mark.kind {
                MarkKind::Line | MarkKind::Probe => mark.topic.as_str(),
                MarkKind::Change | MarkKind::Trouble => "changes",
            };
            let tid = match tracks.iter().find(|(known, _)| *known == topic) {
                Some((_, tid)) => *tid,
                None => {
                    let tid = self.thread(pid, topic);
                    tracks.push((topic, tid));
                    tid
                }
            };
            let args = json!({ "source": mark.source, "topic": mark.topic });
            self.instant(pid, tid, mark.at, mark.text.clone(), "mark", args);
        }
    }

    fn lab(&mut self, timeline: &Timeline) {
        let pid = self.process(timeline.lab.as_deref().unwrap_or("lab"));
        let run = Slice {
            began: RunTime::START,
            ended: timeline.until,
            name: "run".to_owned(),
            cat: "run",
            args: fields(json!({ "exit": timeline.exit, "accel": timeline.accel })),
        };
        let tid = self.thread(pid, "run");
        self.slice(pid, tid, run);
        if let Some(up) = timeline.up {
            self.instant(pid, tid, up, "lab is up".to_owned(), "run", json!({}));
        }
        if let Some(down) = &timeline.torn_down {
            self.instant(pid, tid, down.at, "tearing down".to_owned(), "run", json!({ "why": down.why }));
        }
        let steps = timeline.steps.iter().map(|step| Slice {
            began: step.began,
            ended: step.ended,
            name: step.text.clone(),
            cat: "step",
            args: fields(json!({ "error": step.error })),
        });
        self.tracks(pid, "steps", steps.collect());
        let processes = timeline.processes.iter().map(|process| Slice {
            began: process.began,
            ended: process.ended.unwrap_or(timeline.end()).max(process.began),
            name: process.process.to_string(),
            cat: "process",
            args: fields(json!({ "status": process.status })),
        });
        self.tracks(pid, "processes", processes.collect());
        for process in &timeline.processes {
            self.marks(pid, &process.marks);
        }
        self.entries(pid, &[&timeline.others]);
        if !timeline.decisions.is_empty() {
            let tid = self.thread(pid, "expectations");
            for decided in &timeline.decisions {
                let on = decided.node.as_ref().map(|node| format!(" on {node}")).unwrap_or_default();
                let word = if decided.met { "met" } else { "missed" };
                let name = format!("{word}: {}{on}", decided.expect);
                self.instant(pid, tid, decided.at, name, "expectation", json!({ "seen": decided.seen }));
            }
        }
    }

    fn node(&mut self, name: &NodeName, node: &NodeTimeline, end: RunTime) {
        let pid = self.process(name.as_str());
        let tid = self.thread(pid, "boots and stages");
        for (index, boot) in node.boots.iter().enumerate() {
            let ended = boot.ended.unwrap_or(end).max(boot.began);
            let args = json!({ "by": boot.by, "from": boot.from, "evidence": boot.evidence });
            let name = format!("boot {}", index + 1);
            self.slice(pid, tid, Slice { began: boot.began, ended, name, cat: "boot", args: fields(args) });
            for span in &boot.stages {
                // A stage that began after the lab was torn down is within its boot nevertheless.
                let began = span.began.min(ended);
                let (ended, name) = (span.ended.unwrap_or(end).clamp(began, ended), span.stage.to_string());
                self.slice(pid, tid, Slice { began, ended, name, cat: "stage", args: Map::new() });
            }
        }
        let spans = node.boots.iter().flat_map(|boot| &boot.stages).map(|span| &span.entries);
        let entries: Vec<&Entries> = [&node.before].into_iter().chain(spans).collect();
        self.entries(pid, &entries);
    }

    fn entries(&mut self, pid: usize, entries: &[&Entries]) {
        let exchanges = entries.iter().flat_map(|entries| &entries.exchanges);
        self.tracks(pid, "exchanges", exchanges.map(|exchange| slice(exchange, None)).collect());
        self.marks(pid, entries.iter().flat_map(|entries| &entries.marks));
    }

    /// Adds the exchanges again, on a track for each protocol.
    fn services(&mut self, timeline: &Timeline) {
        let nodes = timeline.nodes.iter().flat_map(|(name, node)| {
            let spans = node.boots.iter().flat_map(|boot| &boot.stages).map(|span| &span.entries);
            let entries = [&node.before].into_iter().chain(spans);
            entries.flat_map(|entries| &entries.exchanges).map(move |exchange| (Some(name), exchange))
        });
        let others = timeline.others.exchanges.iter().map(|exchange| (None, exchange));
        let all: Vec<_> = nodes.chain(others).collect();
        let mut services: Vec<_> = all.iter().map(|(_, exchange)| exchange.service.as_str()).collect();
        services.sort_unstable();
        services.dedup();
        if services.is_empty() {
            return;
        }
        let pid = self.process("services");
        for service in services {
            let of_service = all.iter().filter(|(_, exchange)| exchange.service.as_str() == service);
            let slices = of_service.map(|(node, exchange)| slice(exchange, *node)).collect();
            self.tracks(pid, service, slices);
        }
    }
}

/// Removes what the subtraction of fractions leaves below a nanosecond.
fn to_nanos(micros: f64) -> f64 {
    (micros * 1000.0).round() / 1000.0
}

fn slice(exchange: &SeenExchange, node: Option<&NodeName>) -> Slice {
    let SeenExchange { began, ended, service, asked, .. } = exchange;
    let of = node.map(|node| format!("{node}: ")).unwrap_or_default();
    let mut args = fields(exchange);
    // Instants are in nanoseconds, and the slice has both.
    args.remove("began");
    args.remove("ended");
    args.insert("request".to_owned(), exchange.request().into());
    args.insert("reply".to_owned(), exchange.reply().into());
    let name = format!("{of}{service} {asked}");
    Slice { began: *began, ended: *ended.max(began), name, cat: "exchange", args }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use proptest::prelude::*;

    use super::*;
    use crate::event::examples::{any_event, console, event, http, lease};
    use crate::event::{Event, Known, SCHEMA};

    fn write(events: &[Event]) -> Value {
        let started = "2026-11-21T09:34:03Z".parse().unwrap();
        let header = Header { dryrack_events: SCHEMA, version: "0.1.0".to_owned(), started };
        serde_json::from_str(&perfetto(&header, &Timeline::new(events))).unwrap()
    }

    /// Checks a trace against the description of the format: the fields of each phase, names for all processes and
    /// threads, and slices that are nested or beside each other. Returns its slices and instants by track.
    fn tracks(trace: &Value) -> Result<BTreeMap<String, Vec<String>>, String> {
        let events = trace["traceEvents"].as_array().ok_or("no events")?;
        let mut names: BTreeMap<(u64, u64), &str> = BTreeMap::new();
        let mut slices: BTreeMap<(u64, u64), Vec<(u64, u64)>> = BTreeMap::new();
        let mut tracks: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let nanos = |value: &Value| {
            let micros =
                value.as_f64().filter(|micros| *micros >= 0.0).ok_or(format!("{value} is no time"))?;
            let nanos = (micros * 1000.0).round();
            match (micros * 1000.0 - nanos).abs() < 0.01 {
                true => Ok(nanos as u64),
                false => Err(format!("{micros} is finer than a nanosecond")),
            }
        };
        for record in events {
            let wrong = |what: &str| format!("{what}: {record}");
            let number = |field: &str| record[field].as_u64().ok_or(wrong(field));
            let name = record["name"].as_str().ok_or(wrong("name"))?;
            let track = (number("pid")?, number("tid")?);
            let begin = nanos(&record["ts"])?;
            match record["ph"].as_str() {
                Some("M") => {
                    if matches!(name, "thread_name" | "process_name") {
                        let named = record["args"]["name"].as_str().ok_or(wrong("args"))?;
                        if names.insert(track, named).is_some() {
                            return Err(wrong("named twice"));
                        }
                    }
                    continue;
                }
                Some("X") => {
                    let end = begin + nanos(&record["dur"])?;
                    slices.entry(track).or_default().push((begin, end));
                }
                Some("i") if record["s"] == "t" => {}
                _ => return Err(wrong("phase")),
            }
            let process = names.get(&(track.0, 0)).ok_or(wrong("no process"))?;
            let thread = names.get(&track).ok_or(wrong("no thread"))?;
            tracks.entry(format!("{process}/{thread}")).or_default().push(format!("{begin} {name}"));
        }
        for (track, slices) in slices {
            let mut open: Vec<u64> = Vec::new();
            let mut latest = 0;
            for (begin, end) in slices {
                // A parent is written before its children.
                if begin < latest {
                    return Err(format!("{track:?} is not in order at {begin}"));
                }
                latest = begin;
                open.retain(|other| *other > begin);
                if open.iter().any(|other| *other < end) {
                    return Err(format!("{track:?}: {begin} to {end} is partly over another slice"));
                }
                open.push(end);
            }
        }
        Ok(tracks)
    }

    #[test]
    fn a_node_has_boots_with_stages_and_exchanges_beside_them() {
        let a = Some("a");
        let events = [
            event(100, a, Known::PoweredOn {}),
            event(610, a, lease("ipxe", "ack")),
            event(800, a, http("script", 200, true)),
            event(1800, a, http("kernel", 200, true)),
            event(1810, a, http("initrd", 200, true)),
            event(2000, a, console("Linux version 6.1")),
            event(9000, None, Known::TearDownStarted { why: "test".to_owned() }),
        ];
        let trace = write(&events);
        let tracks = tracks(&trace).unwrap();
        let names: BTreeSet<&str> = tracks.keys().map(String::as_str).collect();
        let expected =
            ["a/boots and stages", "a/console", "a/exchanges", "lab/run", "services/dhcp", "services/http"];
        assert_eq!(names, BTreeSet::from(expected));
        assert_eq!(
            tracks["a/boots and stages"],
            [
                "100000000 boot 1",
                "100000000 firmware",
                "610000000 dhcp",
                "800000000 loader",
                "1800000000 kernel"
            ]
        );
        assert_eq!(tracks["a/console"], ["2000000000 Linux version 6.1"]);
        // Both transfers took 40 ms, so they overlap: two tracks of one name.
        let record = |name: &str| {
            let events = trace["traceEvents"].as_array().unwrap();
            events.iter().find(|record| record["name"] == name).unwrap().clone()
        };
        let (kernel, initrd) = (record("http GET /boot/kernel"), record("http GET /boot/initrd"));
        assert_ne!(kernel["tid"], initrd["tid"]);
        assert_eq!((&kernel["ts"], &kernel["dur"]), (&json!(1_760_000.0), &json!(40_000.0)));
        assert_eq!(kernel["args"]["reply"], "200, 6.1 MB in 40 ms (kernel, plan)");
    }

    #[test]
    fn the_check_finds_slices_that_overlap() {
        let name = |name: &str, tid| json!({ "ph": "M", "name": name, "ts": 0, "pid": 1, "tid": tid, "args": { "name": "x" } });
        let slice =
            |ts: f64, dur: f64| json!({ "ph": "X", "name": "s", "ts": ts, "dur": dur, "pid": 1, "tid": 1 });
        let trace = |slices: &[Value]| {
            let events: Vec<_> = [name("process_name", 0), name("thread_name", 1)]
                .into_iter()
                .chain(slices.iter().cloned())
                .collect();
            tracks(&json!({ "traceEvents": events }))
        };
        assert!(trace(&[slice(0.0, 10.0), slice(2.0, 8.0), slice(10.0, 1.0)]).is_ok());
        assert!(trace(&[slice(0.0, 10.0), slice(2.0, 9.0)]).is_err());
        assert!(trace(&[slice(0.0, 1.5), slice(1.0, 0.5), slice(0.5, 0.5)]).is_err());
        assert!(trace(&[slice(0.0, 0.0001)]).is_err());
    }

    proptest! {
        #[test]
        fn every_trace_is_of_the_format(events in prop::collection::vec(any_event(), 0..60)) {
            let found = tracks(&write(&events));
            prop_assert!(found.is_ok(), "{:?}", found);
        }
    }
}
