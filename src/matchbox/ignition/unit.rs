//! Unit files as parsed by go-systemd: Ignition rejects those that it cannot parse.

/// The maximum length of a line that is completely in the buffer.
const LINE: usize = 2048;
/// The size of the buffer.
const SEEN: usize = 4096;

/// Returns why the contents of a unit cannot be parsed, if they cannot.
pub(crate) fn unreadable(text: &str) -> Option<&'static str> {
    Lexer { text, at: 0, seen: 0, section: String::new(), installs: false }.run().err()
}

/// Whether the contents of a unit have an option in the section `[Install]`.
pub(crate) fn installs(text: &str) -> bool {
    let lexer = Lexer { text, at: 0, seen: 0, section: String::new(), installs: false };
    lexer.run().is_ok_and(|installs| installs)
}

enum Step {
    BetweenSections,
    CommentBetweenSections,
    CommentInSection,
    SectionName,
    SectionEnd,
    InSection,
    OptionName,
    OptionValue,
}

/// Reproduces a reader with a buffer of [`SEEN`] bytes, because a line that is too
/// long is only detected if the buffer contains it.
struct Lexer<'a> {
    text: &'a str,
    at: usize,
    // Invariant: at <= seen <= text.len().
    seen: usize,
    section: String,
    installs: bool,
}

impl Lexer<'_> {
    /// Returns whether there was an option in the section `[Install]`.
    fn run(mut self) -> Result<bool, &'static str> {
        let mut step = Step::BetweenSections;
        loop {
            if self.seen - self.at >= LINE
                && !self.text.as_bytes()[self.at..self.at + LINE]
                    .iter()
                    .any(|byte| matches!(byte, b'\r' | b'\n'))
            {
                return Err("a line is longer than 2048 bytes");
            }
            step = match step {
                Step::BetweenSections => match self.letter() {
                    None => return Ok(self.installs),
                    Some('[') => Step::SectionName,
                    Some('#' | ';') => Step::CommentBetweenSections,
                    Some(_) => Step::BetweenSections,
                },
                Step::CommentBetweenSections => {
                    self.comment();
                    Step::BetweenSections
                }
                Step::CommentInSection => {
                    self.comment();
                    Step::InSection
                }
                Step::SectionName => {
                    let start = self.at;
                    if !self.until(b']') {
                        return Err("a section has no `]`");
                    }
                    self.text[start..self.at - 1].clone_into(&mut self.section);
                    Step::SectionEnd
                }
                Step::SectionEnd => {
                    if !self.line().trim().is_empty() {
                        return Err("something follows the name of a section");
                    }
                    Step::InSection
                }
                Step::InSection => match self.letter() {
                    None => return Ok(self.installs),
                    Some('[') => Step::SectionName,
                    Some('#' | ';') => Step::CommentInSection,
                    Some(letter) if letter.is_whitespace() => Step::InSection,
                    Some(letter) => {
                        self.at -= letter.len_utf8();
                        Step::OptionName
                    }
                },
                Step::OptionName => {
                    self.option_name()?;
                    self.installs |= self.section == "Install";
                    Step::OptionValue
                }
                Step::OptionValue => {
                    let line = self.line();
                    let goes_on = line.ends_with('\\') && !line.trim().is_empty();
                    if goes_on { Step::OptionValue } else { Step::InSection }
                }
            };
        }
    }

    fn see(&mut self) {
        self.seen = self.text.len().min(self.at + SEEN);
        while !self.text.is_char_boundary(self.seen) {
            self.seen += 1;
        }
    }

    fn letter(&mut self) -> Option<char> {
        if self.seen == self.at {
            self.see();
        }
        let letter = self.text[self.at..].chars().next()?;
        self.at += letter.len_utf8();
        self.seen = self.seen.max(self.at);
        Some(letter)
    }

    /// Moves behind the next such byte; returns whether there was one.
    fn until(&mut self, byte: u8) -> bool {
        let found = self.text.as_bytes()[self.at..].iter().position(|other| *other == byte);
        let end = found.map_or(self.text.len(), |found| self.at + found + 1);
        while self.seen < end {
            self.at = if self.seen - self.at >= SEEN { self.seen } else { self.at };
            self.see();
        }
        self.at = end;
        found.is_some()
    }

    fn line(&mut self) -> &str {
        let start = self.at;
        self.until(b'\n');
        let line = &self.text[start..self.at];
        line.strip_suffix('\n').unwrap_or(line)
    }

    fn comment(&mut self) {
        loop {
            let line = self.line();
            if !line.strip_suffix(' ').unwrap_or(line).ends_with('\\') {
                return;
            }
        }
    }

    fn option_name(&mut self) -> Result<(), &'static str> {
        loop {
            match self.letter() {
                None => return Err("it ends within an option"),
                Some('\n' | '\r') => return Err("an option has no `=`"),
                Some('=') => return Ok(()),
                Some(_) => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read() {
        for good in [
            "",
            "junk",
            "[Unit]\nA=b\n",
            "[Unit]\r\nA=b\\\n c\n# d\\\n e\n\n[Install]\n",
            "[a]",
            "[a]\nx=",
            "# c\n[a]\n;d",
        ] {
            assert_eq!(unreadable(good), None, "{good:?}");
        }
        assert_eq!(unreadable("[a"), Some("a section has no `]`"));
        assert_eq!(unreadable("[a] b"), Some("something follows the name of a section"));
        assert_eq!(unreadable("[a]\nb\n"), Some("an option has no `=`"));
        assert_eq!(unreadable("[a]\nb"), Some("it ends within an option"));
        let long = "x".repeat(3000);
        assert_eq!(unreadable(&format!("[a]\nb={long}\n")), Some("a line is longer than 2048 bytes"));
        assert_eq!(unreadable(&format!("[a]\nb={}\n", &long[..2000])), None);
        for (comment, good) in [(2046, true), (2048, false), (3000, false)] {
            for text in
                [format!("#{}\n[a]\nb=c\n", &long[..comment]), format!("[a]\nb=c\n;{}", &long[..comment])]
            {
                assert_eq!(unreadable(&text).is_none(), good, "{comment}");
            }
        }
    }

    #[test]
    fn an_option_in_the_section_install_installs() {
        assert!(installs("[Unit]\nA=b\n[Install]\n# c\nWantedBy=d"));
        for text in [
            "",
            "[Install]",
            "[Install]\n# WantedBy=d\n[Unit]\nA=b\n",
            "[install]\nWantedBy=d\n",
            "[Install]\nb",
        ] {
            assert!(!installs(text), "{text:?}");
        }
    }
}
