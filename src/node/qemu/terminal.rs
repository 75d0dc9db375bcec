//! Turns the bytes of a serial console into lines of text, as displayed on a terminal.
//!
//! Pure. Firmware does not write lines: SeaBIOS and OVMF position the cursor, iPXE overwrites its banner, systemd uses
//! colours. So the row with the cursor is kept; it becomes a line once the cursor moves to another row.

use std::collections::BTreeMap;

/// Columns of a line; longer output becomes several lines.
const COLUMNS: usize = 1000;

/// Maximum bytes of one control sequence.
const SEQUENCE: usize = 64;

/// Rows whose text is remembered until the screen is cleared.
const ROWS: usize = 64;

/// Spaces to the next tabulator stop.
const TAB: usize = 8;

/// Assembles lines from chunks of bytes.
#[derive(Debug, Default)]
pub struct LineAssembler {
    cells: Vec<char>,
    /// The cursor's column. Invariant: at most [`COLUMNS`].
    column: usize,
    /// The cursor's row, as far as known.
    row: usize,
    escape: Escape,
    /// The beginning of a UTF-8 character.
    partial: Vec<u8>,
    /// What [`LineAssembler::flush`] has returned of the current line.
    flushed: Option<String>,
    /// The last text of rows that the cursor was positioned in.
    drawn: BTreeMap<usize, String>,
}

/// How long the unfinished line has not changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Still {
    /// Long enough for a prompt.
    Briefly,
    /// Longer than any progress output takes between two dots.
    ForLong,
}

#[derive(Debug, Default)]
enum Escape {
    #[default]
    None,
    /// After ESC.
    Begun,
    /// After ESC and an intermediate byte: one more byte follows.
    Charset,
    /// After ESC `[`, with the parameters so far.
    Control(String),
    /// Inside a string that ends with BEL or ESC `\`.
    Text,
}

impl LineAssembler {
    /// Reads bytes and returns the lines that they complete, without empty ones.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for &byte in bytes {
            self.byte(byte, &mut lines);
        }
        lines
    }

    /// Returns the line of the cursor.
    pub fn present(&self) -> String {
        let text: String = self.cells.iter().collect();
        text.trim_end().to_owned()
    }

    /// Returns the unfinished line, if it has changed: a prompt, or a message before a machine hangs.
    ///
    /// If the line grows, it is returned again as a whole. A line with progress output (dots of iPXE, a percentage) is
    /// returned when it is complete, or has not changed for long.
    pub fn flush(&mut self, still: Still) -> Option<String> {
        let line = self.present();
        if line.is_empty() || self.flushed.as_ref() == Some(&line) {
            return None;
        }
        if still == Still::Briefly && line.ends_with(['.', '%']) {
            return None;
        }
        self.flushed = Some(line.clone());
        Some(line)
    }

    /// Resets the state of the terminal at power-off, and returns its last line.
    pub fn finish(&mut self) -> Option<String> {
        let mut lines = Vec::new();
        self.complete(&mut lines);
        *self = Self::default();
        lines.pop()
    }

    fn byte(&mut self, byte: u8, lines: &mut Vec<String>) {
        match std::mem::take(&mut self.escape) {
            Escape::None => self.plain(byte, lines),
            Escape::Begun => match byte {
                b'[' => self.escape = Escape::Control(String::new()),
                b']' | b'P' | b'X' | b'^' | b'_' => self.escape = Escape::Text,
                b' '..=b'/' => self.escape = Escape::Charset,
                // Reset, index, next line, reverse index.
                b'c' => self.clear_screen(lines),
                b'D' | b'E' | b'M' => self.complete(lines),
                _ => {}
            },
            Escape::Charset => {}
            Escape::Control(mut parameters) => match byte {
                0x40..=0x7e => self.control(byte, &parameters, lines),
                0x20..=0x3f => {
                    if parameters.len() < SEQUENCE {
                        parameters.push(char::from(byte));
                    }
                    self.escape = Escape::Control(parameters);
                }
                // Control characters work inside a sequence too; another escape starts a new one.
                0x1b => self.escape = Escape::Begun,
                0x18 | 0x1a => {}
                _ => {
                    self.plain(byte, lines);
                    self.escape = Escape::Control(parameters);
                }
            },
            Escape::Text => match byte {
                0x07 => {}
                0x1b => self.escape = Escape::Begun,
                // No terminal string spans lines: it was cut off.
                b'\r' | b'\n' => self.plain(byte, lines),
                _ => self.escape = Escape::Text,
            },
        }
    }

    fn plain(&mut self, byte: u8, lines: &mut Vec<String>) {
        if byte >= 0x80 {
            self.partial.push(byte);
            match std::str::from_utf8(&self.partial) {
                Ok(text) => {
                    let character = text.chars().next().unwrap_or(char::REPLACEMENT_CHARACTER);
                    self.partial.clear();
                    self.put(character, lines);
                }
                Err(error) if error.error_len().is_none() => {}
                Err(_) => {
                    self.partial.clear();
                    self.put(char::REPLACEMENT_CHARACTER, lines);
                }
            }
            return;
        }
        if !self.partial.is_empty() {
            self.partial.clear();
            self.put(char::REPLACEMENT_CHARACTER, lines);
        }
        match byte {
            b'\n' | 0x0b | 0x0c => {
                self.complete(lines);
                self.drawn.remove(&self.row);
                self.row += 1;
            }
            b'\r' => self.column = 0,
            0x08 => self.column = self.column.saturating_sub(1),
            b'\t' => self.move_to((self.column / TAB + 1) * TAB),
            0x1b => self.escape = Escape::Begun,
            0x20..=0x7e => self.put(char::from(byte), lines),
            _ => {}
        }
    }

    fn put(&mut self, character: char, lines: &mut Vec<String>) {
        if self.column >= COLUMNS {
            self.complete(lines);
        }
        while self.cells.len() < self.column {
            self.cells.push(' ');
        }
        match self.cells.get_mut(self.column) {
            Some(cell) => *cell = character,
            None => self.cells.push(character),
        }
        self.column += 1;
    }

    fn control(&mut self, last: u8, parameters: &str, lines: &mut Vec<String>) {
        // Private sequences (`?7l`, `=3h`) set modes and print nothing.
        if parameters.starts_with(['?', '=', '>', '<']) {
            return;
        }
        let mut numbers = parameters.split(';').map(|number| number.parse::<usize>().ok());
        let mut next = |default: usize| numbers.next().flatten().unwrap_or(default);
        match last {
            b'H' | b'f' => {
                let (row, column) = (next(1).max(1) - 1, next(1).max(1) - 1);
                // SeaBIOS and OVMF position the cursor even if it is already there. They do not report the height of
                // the screen, so a row that was counted may be wrong after scrolling.
                let here = row == self.row || (column == self.column && column > 0);
                if !here {
                    self.leave(lines);
                }
                self.row = row;
                self.move_to(column);
            }
            b'd' => {
                let row = next(1).max(1) - 1;
                if row != self.row {
                    self.leave(lines);
                    self.row = row;
                }
            }
            b'A' | b'B' | b'E' | b'F' => {
                let count = next(1).max(1);
                self.leave(lines);
                self.row = match last {
                    b'A' | b'F' => self.row.saturating_sub(count),
                    _ => self.row.saturating_add(count),
                };
                if matches!(last, b'E' | b'F') {
                    self.column = 0;
                }
            }
            b'C' => self.move_to(self.column.saturating_add(next(1).max(1))),
            b'D' => self.column = self.column.saturating_sub(next(1).max(1)),
            b'G' => self.move_to(next(1).max(1) - 1),
            b'J' => match next(0) {
                // Rows below the cursor are not kept.
                0 => self.cells.truncate(self.column),
                _ => self.clear_screen(lines),
            },
            b'K' => match next(0) {
                0 => self.cells.truncate(self.column),
                1 => {
                    let end = self.column.saturating_add(1).min(self.cells.len());
                    self.cells[..end].fill(' ');
                }
                _ => self.cells.clear(),
            },
            _ => {}
        }
    }

    fn move_to(&mut self, column: usize) {
        self.column = column.min(COLUMNS);
    }

    /// Ends the line and moves to another row in the same column. A row that is redrawn unchanged, except for counters,
    /// is not returned again.
    fn leave(&mut self, lines: &mut Vec<String>) {
        let (column, line) = (self.column, self.present());
        if self.drawn.get(&self.row).is_some_and(|drawn| is_redrawn(drawn, &line)) {
            self.cells.clear();
        }
        self.complete(lines);
        if !line.is_empty() && (self.drawn.len() < ROWS || self.drawn.contains_key(&self.row)) {
            self.drawn.insert(self.row, line);
        }
        self.column = column;
    }

    fn clear_screen(&mut self, lines: &mut Vec<String>) {
        self.complete(lines);
        self.drawn.clear();
    }

    fn complete(&mut self, lines: &mut Vec<String>) {
        let line = self.present();
        if !line.is_empty() && self.flushed.as_ref() != Some(&line) {
            lines.push(line);
        }
        self.cells.clear();
        self.column = 0;
        self.flushed = None;
    }
}

/// Tells whether a row is unchanged, except for counters. Digits within a word (`Boot0001`, `eth0`) are not counters.
fn is_redrawn(before: &str, now: &str) -> bool {
    words(before) == words(now)
}

/// Returns a row without its counters.
fn words(row: &str) -> String {
    let mut within = false;
    let kept = |c: &char| {
        within = c.is_alphanumeric() && (within || !c.is_ascii_digit());
        within || !c.is_ascii_digit()
    };
    row.chars().filter(kept).collect()
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;
    use proptest::prelude::*;

    use super::*;

    fn check(bytes: &[u8]) -> String {
        let mut assembler = LineAssembler::default();
        let mut lines = assembler.feed(bytes);
        lines.extend(assembler.finish());
        lines.join("\n")
    }

    #[test]
    fn lines_end_with_either_line_ending() {
        assert_snapshot!(check(b"one\r\ntwo\nthree\r\r\n\r\n\nfour"), @r"
        one
        two
        three
        four
        ");
    }

    #[test]
    fn colours_titles_and_charsets_leave_no_trace() {
        let text =
            b"[\x1b[0;32m  OK  \x1b[0m] Started \x1b]0;title\x07\x1b(Bsshd\x1b[K\r\n\x1bP+q\x1b\\done\n";
        assert_snapshot!(check(text), @r"
        [  OK  ] Started sshd
        done
        ");
    }

    #[test]
    fn firmware_places_the_cursor_instead_of_ending_lines() {
        let seabios = b"\x1bc\x1b[?7l\x1b[2J\x1b[0mSeaBIOS (version 1.16.2)\x1b[3;1HiPXE (PCI 00:02.0)\x1b[3;19H starting";
        assert_snapshot!(check(seabios), @r"
        SeaBIOS (version 1.16.2)
        iPXE (PCI 00:02.0) starting
        ");
        let ovmf = b"\x1b[2J\x1b[01;01H\x1b[=3h\x1b[2J\x1b[01;01HBdsDxe: loading\r\nBdsDxe: starting\r\n\x1b[10;05Hmenu";
        assert_snapshot!(check(ovmf), @r"
        BdsDxe: loading
        BdsDxe: starting
            menu
        ");
    }

    #[test]
    fn a_cursor_put_where_it_stands_does_not_break_a_line() {
        // The row is 25 for a terminal that scrolled; counted from its line feeds it would be 30.
        let scrolled = [b"x\r\n".repeat(30).as_slice(), b"Press\x1b[25;6H Ctrl-B\r\n"].concat();
        assert!(check(&scrolled).ends_with("\nPress Ctrl-B"));
    }

    #[test]
    fn what_is_overwritten_is_gone() {
        assert_snapshot!(check(b"10%\r20%\rdone\n"), @"done");
        assert_snapshot!(check(b"abc\x08\x08X\n"), @"aXc");
        assert_snapshot!(check(b"Press Ctrl-B...\r\x1b[Kok\n"), @"ok");
    }

    #[test]
    fn a_prompt_is_given_once_and_again_when_it_has_grown() {
        let mut assembler = LineAssembler::default();
        assert_eq!(assembler.feed(b"debian login: "), [""; 0]);
        assert_eq!(assembler.flush(Still::Briefly).as_deref(), Some("debian login:"));
        assert_eq!(assembler.flush(Still::Briefly), None);
        assert_eq!(assembler.feed(b"\r\n"), [""; 0]);
        assembler.feed(b"debian login: ");
        assert_eq!(assembler.flush(Still::Briefly).as_deref(), Some("debian login:"));
        assert_eq!(assembler.feed(b"root\r\n"), ["debian login: root"]);
        assert_eq!(assembler.flush(Still::Briefly), None);
    }

    #[test]
    fn a_growing_line_of_dots_is_one_line_when_it_is_complete() {
        let mut assembler = LineAssembler::default();
        let mut lines = assembler.feed(b"http://10.0.0.1/boot/kernel");
        for dots in 1..=30 {
            lines.extend(assembler.feed(b"."));
            lines.extend(assembler.flush(Still::Briefly));
            // Newer iPXE prints a counter after them.
            lines.extend(assembler.feed(format!(" {dots:2}%").as_bytes()));
            lines.extend(assembler.flush(Still::Briefly));
            lines.extend(assembler.feed(b"\x08\x08\x08\x08    \x08\x08\x08\x08"));
        }
        lines.extend(assembler.feed(b" ok\r\n"));
        assert_eq!(lines, [format!("http://10.0.0.1/boot/kernel{} ok", ".".repeat(30))]);
    }

    #[test]
    fn a_line_that_ends_in_dots_is_given_if_nothing_follows() {
        let mut assembler = LineAssembler::default();
        assembler.feed(b"Loading kernel...");
        assert_eq!(assembler.flush(Still::Briefly), None);
        assert_eq!(assembler.flush(Still::ForLong).as_deref(), Some("Loading kernel..."));
        assert_eq!(assembler.flush(Still::ForLong), None);
        assert_eq!(assembler.feed(b"\r\n"), [""; 0]);
    }

    #[test]
    fn a_row_that_is_drawn_again_is_one_line() {
        let menu =
            |seconds: u8| format!("\x1b[5;1H*Debian\x1b[6;1H Shell\x1b[9;1HBooting in {seconds}s\x1b[5;1H");
        let countdown: String = (1..=5).rev().map(menu).collect();
        assert_snapshot!(check(countdown.as_bytes()), @r"
        *Debian
         Shell
        Booting in 5s
        ");
        // Another screen with another text.
        let again = format!("{}\x1b[2J{}\x1b[6;1H*Rescue\x1b[1;1H", menu(2), menu(1));
        assert_snapshot!(check(again.as_bytes()), @r"
        *Debian
         Shell
        Booting in 2s
        *Debian
         Shell
        Booting in 1s
        *Rescue
        ");
        // Another device is a different text.
        assert_snapshot!(check(b"\x1b[5;1HBoot0001 failed\x1b[6;1H\x1b[5;1HBoot0002 failed\x1b[6;1H"), @r"
        Boot0001 failed
        Boot0002 failed
        ");
        // Redrawn after a carriage return.
        assert_snapshot!(check(b"10%\r20%\r100%\r\n100%\n"), @r"
        100%
        100%
        ");
    }

    #[test]
    fn text_is_utf8_and_what_is_not_is_marked() {
        let mut assembler = LineAssembler::default();
        assert_eq!(assembler.feed("caf\u{e9} \u{2713}\n".as_bytes()), ["caf\u{e9} \u{2713}"]);
        assert_eq!(assembler.feed(b"\xe2\x9c"), [""; 0]);
        assert_eq!(assembler.feed(b"\x93\n"), ["\u{2713}"]);
        assert_eq!(assembler.feed(b"\xffa\xe2b\n"), ["\u{fffd}a\u{fffd}b"]);
    }

    proptest! {
        #[test]
        fn no_bytes_panic_or_grow_without_bound(chunks in prop::collection::vec(any::<Vec<u8>>(), 0..8)) {
            let mut whole = LineAssembler::default();
            let mut pieces = LineAssembler::default();
            let mut lines = Vec::new();
            for chunk in &chunks {
                lines.extend(pieces.feed(chunk));
                prop_assert!(pieces.cells.len() <= COLUMNS);
            }
            prop_assert_eq!(whole.feed(&chunks.concat()), lines);
        }

        #[test]
        fn no_sequence_panics(text in "(\x1b\\[[0-9;]{0,24}[A-Za-z]|[a-z\r\n\t\x08]){0,40}") {
            let mut assembler = LineAssembler::default();
            assembler.feed(text.as_bytes());
            prop_assert!(assembler.cells.len() <= COLUMNS);
        }
    }
}
