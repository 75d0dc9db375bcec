//! The journal of a run: every undo, written before its step is tried.
//!
//! One JSON object per line in `journal.jsonl`. It is written but not synced: it has to survive a `kill -9`; after a
//! power failure there is nothing left to undo.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::plan::Undo;
use crate::system::process::open_log;

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Line {
    /// A step will be tried next.
    Intend {
        /// Index of the step in the plan.
        step: usize,
        /// Its undo actions, in the order of execution.
        undo: Vec<Undo>,
    },
    /// Something that is no step will be tried next.
    Beside {
        /// Its undo actions, in the order of execution.
        undo: Vec<Undo>,
    },
    /// Everything was undone, as far as possible.
    Closed {},
}

/// The journal of one run.
#[derive(Debug)]
pub struct Journal {
    file: File,
    undos: Vec<Undo>,
    closed: bool,
}

impl Journal {
    /// Opens the journal of a run folder, with its existing content.
    pub fn open(run_dir: &Path) -> io::Result<Self> {
        let path = path(run_dir);
        let mut file = open_log(&path)?;
        let text = std::fs::read(&path)?;
        if !text.is_empty() && !text.ends_with(b"\n") {
            // The writer was killed in the middle of a line, before it tried the step.
            file.write_all(b"\n")?;
        }
        let mut journal = Self { file, undos: Vec::new(), closed: false };
        for line in text.split(|byte| *byte == b'\n') {
            match serde_json::from_slice(line) {
                Ok(Line::Intend { step: _, undo } | Line::Beside { undo }) => journal.undos.extend(undo),
                Ok(Line::Closed {}) => journal.closed = true,
                Err(_) => {}
            }
        }
        Ok(journal)
    }

    /// Records the undo of a step. Only then may the step be tried.
    pub fn intend(&mut self, step: usize, undo: Vec<Undo>) -> io::Result<()> {
        self.write(&Line::Intend { step, undo: undo.clone() })?;
        self.undos.extend(undo);
        Ok(())
    }

    /// Records the undo of what happens beside the steps, for whoever reads the journal later.
    pub fn add(run_dir: &Path, undo: Vec<Undo>) -> io::Result<()> {
        let mut journal = Self { file: open_log(&path(run_dir))?, undos: Vec::new(), closed: false };
        journal.write(&Line::Beside { undo })
    }

    /// Returns everything to undo, newest first.
    pub fn undos(&self) -> Vec<Undo> {
        self.undos.iter().rev().cloned().collect()
    }

    /// Tells whether everything was undone already.
    pub fn is_closed(&self) -> bool {
        self.closed
    }

    /// Records that everything was undone.
    pub fn close(&mut self) -> io::Result<()> {
        self.closed = true;
        self.write(&Line::Closed {})
    }

    fn write(&mut self, line: &Line) -> io::Result<()> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.file.write_all(&text)
    }
}

/// Tells whether a run folder has a journal with something left to undo.
pub(super) fn is_open(run_dir: &Path) -> bool {
    path(run_dir).is_file() && Journal::open(run_dir).is_ok_and(|journal| !journal.is_closed())
}

/// Returns the path of the journal in a run folder.
fn path(run_dir: &Path) -> PathBuf {
    run_dir.join("journal.jsonl")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::IfName;

    fn link(name: &str) -> Undo {
        Undo::DeleteLink(IfName::new(name).unwrap())
    }

    #[test]
    fn a_journal_is_read_back_newest_first_and_without_its_torn_line() {
        let dir = tempfile::tempdir().unwrap();
        let mut journal = Journal::open(dir.path()).unwrap();
        journal.intend(0, vec![link("a")]).unwrap();
        Journal::add(dir.path(), vec![link("b"), link("c")]).unwrap();
        journal.file.write_all(br#"{"intend":{"step":2,"un"#).unwrap();

        let mut again = Journal::open(dir.path()).unwrap();
        assert_eq!(again.undos(), [link("c"), link("b"), link("a")]);
        assert!(!again.is_closed());
        again.close().unwrap();
        assert!(Journal::open(dir.path()).unwrap().is_closed());
    }
}
