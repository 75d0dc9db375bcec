//! Texts that are wrapped at a width.

use std::fmt::Display;

/// The least number of columns for a wrapped text beside its indent.
const LEAST: usize = 20;

/// Returns the lines of a program's output, each with its own spaces and marked by a bar.
pub(super) fn quoted(indent: &str, lines: &[String], width: usize) -> String {
    let first = format!("{indent}| ");
    let room = width.saturating_sub(first.chars().count()).max(LEAST);
    let mut text = String::new();
    for line in lines {
        let characters: Vec<char> = line.chars().collect();
        let mut pieces = characters.chunks(room).peekable();
        if pieces.peek().is_none() {
            end_line(&mut text, &first);
        }
        for piece in pieces {
            end_line(&mut text, &(first.clone() + &piece.iter().collect::<String>()));
        }
    }
    text
}

/// Replaces control characters, so that output of guests and programs cannot control the terminal.
pub(super) fn tame(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// Wraps a text after a prefix; further lines are indented. Existing line breaks are kept.
pub fn paragraph(head: &str, indent: &str, text: &dyn Display, width: usize) -> String {
    // A narrow terminal still gets some words in each line.
    let width = width.max(indent.chars().count() + LEAST);
    let mut wrapped = String::new();
    let mut line = head.to_owned();
    for (index, part) in text.to_string().trim_end().lines().enumerate() {
        if index > 0 {
            end_line(&mut wrapped, &std::mem::replace(&mut line, indent.to_owned()));
        }
        let mut first = true;
        for word in part.split(' ') {
            if !first && line.chars().count() + 1 + word.chars().count() > width {
                end_line(&mut wrapped, &std::mem::replace(&mut line, indent.to_owned()));
                first = true;
            }
            if !first {
                line.push(' ');
            }
            line += word;
            first = false;
        }
    }
    end_line(&mut wrapped, &line);
    wrapped
}

fn end_line(text: &mut String, line: &str) {
    text.push_str(line.trim_end());
    text.push('\n');
}
