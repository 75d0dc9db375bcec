//! The screen of a node: its text, and which of its lines nothing else has reported.

use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::event::{Known, RunTime, ScreenMode};

/// How many lines of the serial console are remembered. A line is on both within a second.
const PRINTED: usize = 400;

/// The text that was last on a screen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScreenShown {
    /// Since when.
    pub at: RunTime,
    /// The mode.
    pub mode: ScreenMode,
    /// The lines.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub lines: Vec<String>,
    /// The picture in the run folder, if it could not be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub picture: Option<PathBuf>,
}

/// The screen of a node.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScreenView {
    shown: Option<ScreenShown>,
    /// The lines on it, those that continue in the next row as a whole.
    present: BTreeSet<String>,
    /// The lines that appeared with the last event.
    appeared: Vec<String>,
    /// The latest lines of the serial console in this boot.
    printed: VecDeque<String>,
}

impl ScreenView {
    /// Returns what is on it, or was before the node was powered off; `None` if that is nothing.
    pub fn shown(&self) -> Option<&ScreenShown> {
        self.shown.as_ref().filter(|shown| !shown.lines.is_empty() || shown.picture.is_some())
    }

    /// Returns the lines that appeared with the last event and are not on the serial console.
    ///
    /// A line that continues in the next row is there as a whole and by its rows.
    pub fn appeared(&self) -> &[String] {
        &self.appeared
    }

    pub(super) fn see(&mut self, at: RunTime, known: &Known) {
        if let Known::ScreenShown { mode, columns, lines, picture } = known {
            self.show(*columns, lines);
            let (mode, lines, picture) = (mode.clone(), lines.clone(), picture.clone());
            self.shown = Some(ScreenShown { at, mode, lines, picture });
        } else if let Known::ConsoleLine { text } = known {
            if self.printed.len() == PRINTED {
                self.printed.pop_front();
            }
            self.printed.push_back(text.trim().to_owned());
        } else if matches!(known, Known::PoweredOn {} | Known::Reset { .. }) {
            // The same lines on the next boot are others.
            self.present.clear();
            self.printed.clear();
        }
    }

    fn show(&mut self, columns: u16, rows: &[String]) {
        let mut present = BTreeSet::new();
        self.appeared.clear();
        let is_full = |row: &String| columns > 0 && row.chars().count() >= usize::from(columns);
        for rows in rows.split_inclusive(|row| !is_full(row)) {
            let line = rows.concat();
            let is_printed = self.printed.iter().any(|printed| printed.ends_with(line.trim()));
            if !line.trim().is_empty() && !self.present.contains(&line) && !is_printed {
                if rows.len() > 1 {
                    self.appeared.extend(rows.iter().filter(|row| !row.trim().is_empty()).cloned());
                }
                self.appeared.push(line.clone());
            }
            present.insert(line);
        }
        self.present = present;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::PowerCause;
    use crate::event::examples::{console, screen};

    /// Applies events, and returns the lines that appeared with the last one.
    fn appeared(kinds: &[Known]) -> Vec<String> {
        let mut view = ScreenView::default();
        kinds.iter().for_each(|known| view.see(RunTime::START, known));
        view.appeared().to_vec()
    }

    #[test]
    fn a_line_appears_once_while_it_stays_on_the_screen() {
        let first = screen(&["SeaBIOS", "", "Booting"]);
        assert_eq!(appeared(std::slice::from_ref(&first)), ["SeaBIOS", "Booting"]);
        assert_eq!(appeared(&[first.clone(), screen(&["Booting", "boot:"])]), ["boot:"]);
        let reset = Known::Reset { why: PowerCause::Guest };
        assert_eq!(appeared(&[first.clone(), reset, first]), ["SeaBIOS", "Booting"]);
    }

    #[test]
    fn a_line_of_the_serial_console_does_not_appear_again() {
        let text = ["login: ", "only here"];
        assert_eq!(appeared(&[console("login:"), screen(&text)]), ["only here"]);
        // Its beginning has left the screen.
        let long = format!("[    1.0] {} end", "x".repeat(80));
        assert_eq!(appeared(&[console(&long), screen(&[&long[80..], "b"])]), ["b"]);
        assert_eq!(appeared(&[console("login:"), Known::PoweredOn {}, screen(&["login:"])]), ["login:"]);
    }

    #[test]
    fn a_line_that_continues_in_the_next_row_is_one() {
        let full = "a".repeat(80);
        let whole = full.clone() + "bc";
        assert_eq!(appeared(&[screen(&[&full, "bc", "d"])]), [full.as_str(), "bc", &whole, "d"]);
        assert_eq!(appeared(&[console(&whole), screen(&[&full, "bc", "d"])]), ["d"]);
    }
}
