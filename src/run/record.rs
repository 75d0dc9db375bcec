//! Writes the events of a run to `events.jsonl`.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use tokio::sync::watch;

use crate::event::{Event, Header, Known};
use crate::plan::Plan;
use crate::system::process::open_log;

/// Writes events, one line each, and publishes its progress.
#[derive(Debug)]
pub(super) struct Recorder {
    file: File,
    // The file has complete lines up to this byte; followers read no further.
    written: watch::Sender<u64>,
}

impl Recorder {
    /// Starts the record of a run.
    pub(super) fn start(run_dir: &Path, header: &Header) -> io::Result<Self> {
        let file = open_log(&path(run_dir))?;
        let mut recorder = Self { file, written: watch::Sender::new(0) };
        recorder.line(serde_json::to_vec(header)?)?;
        Ok(recorder)
    }

    /// Starts the record of a run anew, without the events that it has.
    pub(super) fn restart(run_dir: &Path, header: &Header) -> io::Result<Self> {
        match std::fs::remove_file(path(run_dir)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            Ok(()) | Err(_) => Self::start(run_dir, header),
        }
    }

    /// Returns the progress of the record for followers. It ends with the recorder.
    pub(super) fn progress(&self) -> watch::Receiver<u64> {
        self.written.subscribe()
    }

    /// Writes one event. An incomplete line is removed again.
    pub(super) fn record(&mut self, event: &Event) -> io::Result<()> {
        self.line(serde_json::to_vec(event)?)
    }

    fn line(&mut self, mut line: Vec<u8>) -> io::Result<()> {
        line.push(b'\n');
        let before = *self.written.borrow();
        if let Err(error) = self.file.write_all(&line) {
            // An incomplete line in the middle would make the whole record unreadable.
            self.file.set_len(before).ok();
            return Err(error);
        }
        self.written.send_replace(before + line.len() as u64);
        Ok(())
    }
}

/// Returns the first event of a run of a plan.
pub(super) fn run_started(plan: &Plan) -> Known {
    Known::RunStarted {
        lab: plan.lab.to_string(),
        accel: plan.accel.as_str().to_owned(),
        nodes: plan.nodes.iter().map(|(name, node)| (name.clone(), node.boot_sources)).collect(),
        hosts: plan.hosts.keys().cloned().collect(),
        waits: Box::new(plan.waits()),
    }
}

/// Returns the path of the events in a run folder.
pub(super) fn path(run_dir: &Path) -> PathBuf {
    run_dir.join("events.jsonl")
}
