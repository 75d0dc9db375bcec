//! The lexer of templates.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;

use crate::matchbox::go::quote::{self, Keep, decode};
use crate::matchbox::template::format::unicode;

/// The kind of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Error,
    Bool,
    /// A printable ASCII character without another meaning.
    Char,
    CharConstant,
    Complex,
    Assign,
    Declare,
    End,
    Field,
    Identifier,
    LeftDelim,
    LeftParen,
    Number,
    Pipe,
    RawString,
    RightDelim,
    RightParen,
    Space,
    String,
    Text,
    Variable,
    Dot,
    Nil,
    Keyword(Keyword),
}

/// A keyword.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Keyword {
    Block,
    Break,
    Continue,
    Define,
    Else,
    End,
    If,
    Range,
    Template,
    With,
}

/// A token of a template.
#[derive(Debug, Clone)]
pub(super) struct Item<'t> {
    pub(super) kind: Kind,
    pub(super) position: usize,
    pub(super) line: usize,
    /// Its text, or the error message.
    pub(super) text: Cow<'t, [u8]>,
}

impl Item<'_> {
    /// Returns its description in errors.
    pub(super) fn describe(&self) -> String {
        match self.kind {
            Kind::End => "EOF".to_owned(),
            Kind::Error => String::from_utf8_lossy(&self.text).into_owned(),
            Kind::Keyword(_) | Kind::Dot | Kind::Nil => format!("<{}>", String::from_utf8_lossy(&self.text)),
            _ if self.text.len() > 10 => {
                format!("{}...", quote::text(first_runes(&self.text, 10), Keep::Printable))
            }
            _ => quote::text(&self.text, Keep::Printable),
        }
    }
}

/// Returns the first characters of a text.
fn first_runes(text: &[u8], many: usize) -> &[u8] {
    let mut end = 0;
    for _ in 0..many {
        end += decode(&text[end..]).map_or(0, |(_, width)| width);
    }
    &text[..end]
}

const LEFT_DELIM: &[u8] = b"{{";
const RIGHT_DELIM: &[u8] = b"}}";
const LEFT_COMMENT: &[u8] = b"/*";
const RIGHT_COMMENT: &[u8] = b"*/";
/// The minus and the space after or before it.
const TRIM_MARKER: usize = 2;

/// Splits a template into items.
pub(super) struct Lexer<'t> {
    input: &'t [u8],
    at: usize,
    /// Start of the current item.
    start: usize,
    inside_action: bool,
    open_parens: usize,
    /// A position whose line is known, and the line.
    counted: (usize, usize),
    /// An error was found; nothing follows.
    broken: bool,
}

impl<'t> Lexer<'t> {
    pub(super) fn new(input: &'t [u8]) -> Self {
        Self { input, at: 0, start: 0, inside_action: false, open_parens: 0, counted: (0, 1), broken: false }
    }

    /// Returns the next item. After the last one, it returns the end item repeatedly.
    pub(super) fn next_item(&mut self) -> Item<'t> {
        self.start = self.at;
        match (self.broken, self.inside_action) {
            (true, _) => self.item(Kind::End),
            (false, true) => self.action(),
            (false, false) => self.text(),
        }
    }

    fn rest(&self) -> &'t [u8] {
        &self.input[self.at..]
    }

    fn item(&mut self, kind: Kind) -> Item<'t> {
        let (start, input) = (self.start, self.input);
        Item { kind, position: start, line: self.line(start), text: Cow::Borrowed(&input[start..self.at]) }
    }

    fn error(&mut self, message: String) -> Item<'t> {
        let start = self.start;
        let line = self.line(start);
        self.broken = true;
        self.at = self.input.len();
        Item { kind: Kind::Error, position: start, line, text: Cow::Owned(message.into_bytes()) }
    }

    /// Returns the line of a position, which must not be before that of an earlier call.
    fn line(&mut self, position: usize) -> usize {
        let (known, line) = self.counted;
        let line = line + self.input[known..position].iter().filter(|&&byte| byte == b'\n').count();
        self.counted = (position, line);
        line
    }

    fn text(&mut self) -> Item<'t> {
        loop {
            let Some(length) = find(self.rest(), LEFT_DELIM) else {
                let kind = if self.rest().is_empty() { Kind::End } else { Kind::Text };
                self.at = self.input.len();
                return self.item(kind);
            };
            let delim = self.at + length;
            let text = &self.input[self.at..delim];
            let trims = has_left_trim_marker(&self.input[delim + LEFT_DELIM.len()..]);
            let kept = if trims { text.trim_suffix_spaces() } else { text };
            if !kept.is_empty() {
                self.at += kept.len();
                let item = self.item(Kind::Text);
                self.at = delim;
                return item;
            }
            self.at = delim;
            self.start = delim;
            let inside = delim + LEFT_DELIM.len() + if trims { TRIM_MARKER } else { 0 };
            if !self.input[inside..].starts_with(LEFT_COMMENT) {
                self.at += LEFT_DELIM.len();
                let item = self.item(Kind::LeftDelim);
                self.at = inside;
                self.inside_action = true;
                self.open_parens = 0;
                return item;
            }
            self.at = inside;
            self.start = inside;
            if let Err(message) = self.skip_comment() {
                return self.error(message.to_owned());
            }
            self.start = self.at;
        }
    }

    fn skip_comment(&mut self) -> Result<(), &'static str> {
        self.at += LEFT_COMMENT.len();
        let length = find(self.rest(), RIGHT_COMMENT).ok_or("unclosed comment")?;
        self.at += length + RIGHT_COMMENT.len();
        let trims = self.right_delim().ok_or("comment ends before closing delimiter")?;
        self.skip_right_delim(trims);
        Ok(())
    }

    /// Tells whether an action ends here, and whether that trims the following text.
    fn right_delim(&self) -> Option<bool> {
        let rest = self.rest();
        if has_right_trim_marker(rest) && rest[TRIM_MARKER..].starts_with(RIGHT_DELIM) {
            return Some(true);
        }
        rest.starts_with(RIGHT_DELIM).then_some(false)
    }

    fn skip_right_delim(&mut self, trims: bool) {
        self.at += RIGHT_DELIM.len();
        if trims {
            self.at += TRIM_MARKER;
            let rest = self.rest();
            self.at += rest.len() - rest.trim_prefix_spaces().len();
        }
    }

    fn end_of_action(&mut self, trims: bool) -> Item<'t> {
        if trims {
            self.start = self.at + TRIM_MARKER;
        }
        let end = self.start + RIGHT_DELIM.len();
        self.skip_right_delim(trims);
        self.inside_action = false;
        let behind = std::mem::replace(&mut self.at, end);
        let item = self.item(Kind::RightDelim);
        self.at = behind;
        item
    }

    fn peek(&self) -> Option<char> {
        decode(self.rest()).map(|(char, _)| char)
    }

    fn next(&mut self) -> Option<char> {
        let (char, width) = decode(self.rest())?;
        self.at += width;
        Some(char)
    }

    fn accept(&mut self, wanted: impl Fn(char) -> bool) -> bool {
        let accepted = self.peek().is_some_and(wanted);
        if accepted {
            self.next();
        }
        accepted
    }

    fn accept_run(&mut self, wanted: impl Fn(char) -> bool) {
        while self.accept(&wanted) {}
    }

    fn action(&mut self) -> Item<'t> {
        if let Some(trims) = self.right_delim() {
            if self.open_parens == 0 {
                return self.end_of_action(trims);
            }
            return self.error("unclosed left paren".to_owned());
        }
        let Some(first) = self.next() else { return self.error("unclosed action".to_owned()) };
        match first {
            ' ' | '\t' | '\r' | '\n' => self.space(),
            '=' => self.item(Kind::Assign),
            ':' => {
                if self.next() == Some('=') {
                    self.item(Kind::Declare)
                } else {
                    self.error("expected :=".to_owned())
                }
            }
            '|' => self.item(Kind::Pipe),
            '"' => self.quoted('"', Kind::String, "unterminated quoted string"),
            '\'' => self.quoted('\'', Kind::CharConstant, "unterminated character constant"),
            '`' => {
                self.accept_run(|char| char != '`');
                match self.next() {
                    Some(_) => self.item(Kind::RawString),
                    None => self.error("unterminated raw quoted string".to_owned()),
                }
            }
            '$' => self.name(Kind::Variable),
            '.' if !self.rest().first().is_some_and(u8::is_ascii_digit) && !self.rest().is_empty() => {
                self.name(Kind::Field)
            }
            '.' | '+' | '-' | '0'..='9' => {
                self.at = self.start;
                self.number()
            }
            '(' => {
                self.open_parens += 1;
                self.item(Kind::LeftParen)
            }
            ')' if self.open_parens == 0 => self.error("unexpected right paren".to_owned()),
            ')' => {
                self.open_parens -= 1;
                self.item(Kind::RightParen)
            }
            first if is_alphanumeric(first) => self.word(),
            ' '..='~' => self.item(Kind::Char),
            first => self.error(format!("unrecognized character in action: {}", unicode(u32::from(first)))),
        }
    }

    /// Scans spaces after the first one. The last one may belong to the end of the action.
    fn space(&mut self) -> Item<'t> {
        self.accept_run(|char| matches!(char, ' ' | '\t' | '\r' | '\n'));
        self.at -= 1;
        match self.right_delim() {
            Some(true) if self.at == self.start => return self.end_of_action(true),
            Some(true) => {}
            _ => self.at += 1,
        }
        self.item(Kind::Space)
    }

    fn quoted(&mut self, quote: char, kind: Kind, unterminated: &str) -> Item<'t> {
        loop {
            match self.next() {
                Some('\\') if !matches!(self.peek(), None | Some('\n')) => {
                    self.next();
                }
                Some('\\' | '\n') | None => return self.error(unterminated.to_owned()),
                Some(char) if char == quote => return self.item(kind),
                Some(_) => {}
            }
        }
    }

    /// Scans the name after a dot or a dollar.
    fn name(&mut self, kind: Kind) -> Item<'t> {
        if self.at_terminator() {
            return self.item(if kind == Kind::Field { Kind::Dot } else { kind });
        }
        self.accept_run(is_alphanumeric);
        if self.at_terminator() { self.item(kind) } else { self.bad_character() }
    }

    fn word(&mut self) -> Item<'t> {
        self.accept_run(is_alphanumeric);
        if !self.at_terminator() {
            return self.bad_character();
        }
        let kind = match &self.input[self.start..self.at] {
            b"block" => Kind::Keyword(Keyword::Block),
            b"break" => Kind::Keyword(Keyword::Break),
            b"continue" => Kind::Keyword(Keyword::Continue),
            b"define" => Kind::Keyword(Keyword::Define),
            b"else" => Kind::Keyword(Keyword::Else),
            b"end" => Kind::Keyword(Keyword::End),
            b"if" => Kind::Keyword(Keyword::If),
            b"range" => Kind::Keyword(Keyword::Range),
            b"template" => Kind::Keyword(Keyword::Template),
            b"with" => Kind::Keyword(Keyword::With),
            b"nil" => Kind::Nil,
            b"true" | b"false" => Kind::Bool,
            _ => Kind::Identifier,
        };
        self.item(kind)
    }

    fn bad_character(&mut self) -> Item<'t> {
        let bad = self.peek().map_or(0, u32::from);
        self.error(format!("bad character {}", unicode(bad)))
    }

    /// Tells whether a name may end here.
    fn at_terminator(&self) -> bool {
        matches!(self.peek(), None | Some(' ' | '\t' | '\r' | '\n' | '.' | ',' | '|' | ':' | ')' | '('))
            || self.rest().starts_with(RIGHT_DELIM)
    }

    fn number(&mut self) -> Item<'t> {
        let first = self.scan_number();
        if first && !matches!(self.peek(), Some('+' | '-')) {
            return self.item(Kind::Number);
        }
        if first && self.scan_number() && self.input[..self.at].ends_with(b"i") {
            return self.item(Kind::Complex);
        }
        let syntax = quote::text(&self.input[self.start..self.at], Keep::Printable);
        self.error(format!("bad number syntax: {syntax}"))
    }

    /// Scans what looks like a number. It is validated when it is parsed.
    fn scan_number(&mut self) -> bool {
        let decimal = |char| matches!(char, '0'..='9' | '_');
        let sign = |char| matches!(char, '+' | '-');
        self.accept(sign);
        let base = if !self.accept(|char| char == '0') {
            10
        } else if self.accept(|char| matches!(char, 'x' | 'X')) {
            16
        } else if self.accept(|char| matches!(char, 'o' | 'O')) {
            8
        } else if self.accept(|char| matches!(char, 'b' | 'B')) {
            2
        } else {
            10
        };
        let digit = move |char: char| char == '_' || char.is_digit(base);
        self.accept_run(digit);
        if self.accept(|char| char == '.') {
            self.accept_run(digit);
        }
        let exponent = match base {
            10 => self.accept(|char| matches!(char, 'e' | 'E')),
            16 => self.accept(|char| matches!(char, 'p' | 'P')),
            _ => false,
        };
        if exponent {
            self.accept(sign);
            self.accept_run(decimal);
        }
        self.accept(|char| char == 'i');
        // A letter or digit must not follow.
        !self.accept(is_alphanumeric)
    }
}

/// Tells whether a character is a letter, a digit or an underscore.
fn is_alphanumeric(char: char) -> bool {
    static LETTER_OR_DIGIT: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"^[\p{L}\p{Nd}]$").expect("the expression is a constant"));
    match char {
        '_' => true,
        _ if char.is_ascii() => char.is_ascii_alphanumeric(),
        // Quickly excludes most other characters.
        _ => char.is_alphanumeric() && LETTER_OR_DIGIT.is_match(char.encode_utf8(&mut [0; 4])),
    }
}

fn is_space(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r' | b'\n')
}

fn has_left_trim_marker(text: &[u8]) -> bool {
    matches!(text, [b'-', space, ..] if is_space(*space))
}

fn has_right_trim_marker(text: &[u8]) -> bool {
    matches!(text, [space, b'-', ..] if is_space(*space))
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

/// Trims the four characters that count as spaces in a template.
trait TrimSpaces {
    fn trim_prefix_spaces(&self) -> &Self;
    fn trim_suffix_spaces(&self) -> &Self;
}

impl TrimSpaces for [u8] {
    fn trim_prefix_spaces(&self) -> &Self {
        let spaces = self.iter().take_while(|&&byte| is_space(byte)).count();
        &self[spaces..]
    }

    fn trim_suffix_spaces(&self) -> &Self {
        let spaces = self.iter().rev().take_while(|&&byte| is_space(byte)).count();
        &self[..self.len() - spaces]
    }
}
