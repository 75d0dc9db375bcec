//! `print`, `println` and `printf`: Go's package `fmt`.

use crate::matchbox::go::quote;
use crate::matchbox::template::format::{Base, Buffer, Flags};
use crate::matchbox::template::value::{Data, Thing, sorted};

/// The largest width and precision.
const MOST_WIDTH: i64 = 1_000_000;

/// Writes values; two that are not strings are separated by a space.
pub(super) fn print(buffer: &mut Buffer, data: Data<'_>, things: &[Thing<'_>]) {
    let mut printer = Printer::new(buffer, data);
    let mut after_text = true;
    for (index, thing) in things.iter().enumerate() {
        let text = matches!(thing, Thing::Text(_));
        if index > 0 && !text && !after_text {
            printer.buffer.push(b" ");
        }
        printer.argument(thing, 'v');
        after_text = text;
    }
}

/// Writes values separated by spaces, with a newline at the end.
pub(super) fn println(buffer: &mut Buffer, data: Data<'_>, things: &[Thing<'_>]) {
    let mut printer = Printer::new(buffer, data);
    for (index, thing) in things.iter().enumerate() {
        if index > 0 {
            printer.buffer.push(b" ");
        }
        printer.argument(thing, 'v');
    }
    printer.buffer.push(b"\n");
}

/// Formats values.
pub(super) fn printf(buffer: &mut Buffer, data: Data<'_>, format: &[u8], things: &[Thing<'_>]) {
    let mut printer = Printer::new(buffer, data);
    Format { text: format, at: 0, argument: 0, things, reordered: false, good: true }.run(&mut printer);
}

/// Formats a value with `%v` for an error.
pub(super) fn shown(data: Data<'_>, thing: &Thing<'_>) -> String {
    shown_with(data, thing, 'v')
}

/// Formats a value with `%s` for an error.
pub(super) fn shown_as_text(data: Data<'_>, thing: &Thing<'_>) -> String {
    shown_with(data, thing, 's')
}

fn shown_with(data: Data<'_>, thing: &Thing<'_>, verb: char) -> String {
    let mut buffer = Buffer::new(1 << 16);
    Printer::new(&mut buffer, data).argument(thing, verb);
    String::from_utf8_lossy(&buffer.into_bytes()).into_owned()
}

/// Formats values by verbs.
struct Printer<'b, 'd> {
    buffer: &'b mut Buffer,
    data: Data<'d>,
    flags: Flags,
}

impl<'b, 'd> Printer<'b, 'd> {
    fn new(buffer: &'b mut Buffer, data: Data<'d>) -> Self {
        Self { buffer, data, flags: Flags::default() }
    }

    /// Writes an argument of a function.
    fn argument(&mut self, thing: &Thing<'_>, verb: char) {
        match (thing, verb) {
            (Thing::Nil, 'T' | 'v') => self.flags.pad(self.buffer, b"<nil>"),
            (_, 'T') => self.flags.push_text(self.buffer, thing.type_name().as_bytes()),
            // Addresses vary in Go; here they are constant.
            (Thing::List(_) | Thing::Map(_) | Thing::Labels(_), 'p') => {
                let flags = Flags { sharp: !self.flags.sharp, ..self.flags };
                flags.push_integer(self.buffer, 0xc0_0000_0000, false, Base::LowerHex);
            }
            (_, 'p') => self.bad_verb(thing, verb),
            (Thing::List(_) | Thing::Map(_) | Thing::Labels(_), 'w') => self.bad_verb(thing, verb),
            _ => self.value(thing, verb),
        }
    }

    fn value(&mut self, thing: &Thing<'_>, verb: char) {
        let flags = self.flags;
        match thing {
            Thing::Nil => self.bad_verb(thing, verb),
            Thing::Bool(value) => match verb {
                't' | 'v' => flags.pad(self.buffer, if *value { b"true" } else { b"false" }),
                _ => self.bad_verb(thing, verb),
            },
            Thing::Int(value) => self.integer(thing, value.unsigned_abs(), *value < 0, verb),
            Thing::Byte(value) if verb == 'v' && flags.sharp_v => {
                Flags { sharp: true, ..flags }.push_integer(
                    self.buffer,
                    u64::from(*value),
                    false,
                    Base::LowerHex,
                );
            }
            Thing::Byte(value) => self.integer(thing, u64::from(*value), false, verb),
            Thing::Float(value) => match Float::of(verb) {
                Some(float) => flags.push_float(self.buffer, *value, float.verb, float.precision),
                None => self.bad_verb(thing, verb),
            },
            Thing::Complex(real, imaginary) => match Float::of(verb) {
                Some(float) => {
                    self.buffer.push(b"(");
                    flags.push_float(self.buffer, *real, float.verb, float.precision);
                    let flags = Flags { plus: true, ..flags };
                    flags.push_float(self.buffer, *imaginary, float.verb, float.precision);
                    self.buffer.push(b"i)");
                }
                None => self.bad_verb(thing, verb),
            },
            Thing::Text(text) => match verb {
                'v' if flags.sharp_v => flags.push_quoted(self.buffer, text.bytes()),
                'v' | 's' => flags.push_text(self.buffer, text.bytes()),
                'x' | 'X' => flags.push_hex_text(self.buffer, text.bytes(), verb == 'X'),
                'q' => flags.push_quoted(self.buffer, text.bytes()),
                _ => self.bad_verb(thing, verb),
            },
            Thing::List(items) => {
                self.open(thing, b"[");
                for (index, item) in items.iter().enumerate() {
                    self.separate(index);
                    self.item(&self.data.thing(item), verb, true);
                }
                self.close();
            }
            Thing::Map(map) | Thing::Labels(map) => {
                self.open(thing, b"map[");
                for (index, (key, member)) in sorted(map).into_iter().enumerate() {
                    self.separate(index);
                    let key = Thing::Text(super::value::Text::Lasting(key.as_bytes()));
                    self.item(&key, verb, false);
                    self.buffer.push(b":");
                    self.item(&self.data.thing(member), verb, matches!(thing, Thing::Map(_)));
                }
                self.close();
            }
        }
    }

    /// Writes an item of another value.
    fn item(&mut self, thing: &Thing<'_>, verb: char, boxed: bool) {
        match thing {
            Thing::Nil if boxed && self.flags.sharp_v => self.buffer.push(b"interface {}(nil)"),
            Thing::Nil => self.buffer.push(b"<nil>"),
            _ if verb == 'w' => self.bad_verb(thing, verb),
            _ => self.value(thing, verb),
        }
    }

    fn open(&mut self, thing: &Thing<'_>, bracket: &[u8]) {
        if self.flags.sharp_v {
            self.buffer.push(thing.type_name().as_bytes());
            self.buffer.push(b"{");
        } else {
            self.buffer.push(bracket);
        }
    }

    fn separate(&mut self, index: usize) {
        if index > 0 {
            self.buffer.push(if self.flags.sharp_v { b", " } else { b" " });
        }
    }

    fn close(&mut self) {
        self.buffer.push(if self.flags.sharp_v { b"}" } else { b"]" });
    }

    fn integer(&mut self, thing: &Thing<'_>, size: u64, negative: bool, verb: char) {
        let base = match verb {
            'v' | 'd' => Base::Decimal,
            'b' => Base::Binary,
            'o' => Base::Octal,
            'O' => Base::PrefixedOctal,
            'x' => Base::LowerHex,
            'X' => Base::UpperHex,
            'c' | 'q' | 'U' => {
                let code = if negative { size.wrapping_neg() } else { size };
                return match verb {
                    'c' => self.flags.push_rune(self.buffer, code),
                    'q' => self.flags.push_quoted_rune(self.buffer, code),
                    _ => self.flags.push_unicode(self.buffer, code),
                };
            }
            _ => return self.bad_verb(thing, verb),
        };
        self.flags.push_integer(self.buffer, size, negative, base);
    }

    /// Writes Go's error for a verb that does not fit the type.
    fn bad_verb(&mut self, thing: &Thing<'_>, verb: char) {
        self.buffer.push(b"%!");
        self.buffer.push_char(verb);
        self.buffer.push(b"(");
        if thing.is_nil() {
            self.buffer.push(b"<nil>");
        } else {
            self.buffer.push(thing.type_name().as_bytes());
            self.buffer.push(b"=");
            self.argument(thing, 'v');
        }
        self.buffer.push(b")");
    }
}

/// The format of floating-point numbers for a verb.
struct Float {
    verb: char,
    precision: Option<usize>,
}

impl Float {
    fn of(verb: char) -> Option<Self> {
        let (verb, precision) = match verb {
            'v' => ('g', None),
            'b' | 'g' | 'G' | 'x' | 'X' => (verb, None),
            'f' | 'e' | 'E' => (verb, Some(6)),
            'F' => ('f', Some(6)),
            _ => return None,
        };
        Some(Self { verb, precision })
    }
}

/// A format string that is being processed.
struct Format<'f, 'v> {
    text: &'f [u8],
    at: usize,
    /// Index of the next argument.
    argument: usize,
    things: &'f [Thing<'v>],
    /// Whether arguments were selected by index.
    reordered: bool,
    /// Whether the index of this verb is valid.
    good: bool,
}

impl Format<'_, '_> {
    fn run(mut self, printer: &mut Printer<'_, '_>) {
        while self.at < self.text.len() {
            let plain = self.text[self.at..].iter().take_while(|&&byte| byte != b'%').count();
            printer.buffer.push(&self.text[self.at..self.at + plain]);
            self.at += plain;
            if self.at == self.text.len() {
                break;
            }
            self.at += 1;
            printer.flags = Flags::default();
            self.good = true;
            if !self.verb(printer) {
                break;
            }
        }
        if !self.reordered && self.argument < self.things.len() {
            self.extra(printer);
        }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// Processes one verb; returns whether there was one.
    fn verb(&mut self, printer: &mut Printer<'_, '_>) -> bool {
        self.flags(&mut printer.flags);
        let after_index = self.index();
        let after_index = self.width(printer, after_index);
        let after_index = self.precision(printer, after_index);
        if !after_index {
            self.index();
        }
        let Some((verb, size)) = quote::decode(&self.text[self.at..]) else {
            printer.buffer.push(b"%!(NOVERB)");
            return false;
        };
        self.at += size;
        if verb == '%' {
            printer.buffer.push(b"%");
            return true;
        }
        let fault: &[u8] = match (self.good, self.things.get(self.argument)) {
            (true, Some(thing)) => {
                if matches!(verb, 'v' | 'w') {
                    let flags = &mut printer.flags;
                    flags.sharp_v = std::mem::take(&mut flags.sharp);
                    flags.plus_v = std::mem::take(&mut flags.plus);
                }
                printer.argument(thing, verb);
                self.argument += 1;
                return true;
            }
            (false, _) => b"(BADINDEX)",
            (true, None) => b"(MISSING)",
        };
        printer.buffer.push(b"%!");
        printer.buffer.push_char(verb);
        printer.buffer.push(fault);
        true
    }

    fn flags(&mut self, flags: &mut Flags) {
        while let Some(flag) = self.peek() {
            match flag {
                b'#' => flags.sharp = true,
                b'0' => flags.zero = true,
                b'+' => flags.plus = true,
                b'-' => flags.minus = true,
                b' ' => flags.space = true,
                _ => return,
            }
            self.at += 1;
        }
    }

    /// Parses an argument index in brackets; returns whether there was one.
    fn index(&mut self) -> bool {
        if self.peek() != Some(b'[') {
            return false;
        }
        self.reordered = true;
        let rest = &self.text[self.at..];
        let Some(close) = rest.iter().position(|&byte| byte == b']').filter(|_| rest.len() >= 3) else {
            self.good = false;
            self.at += 1;
            return false;
        };
        self.at += close + 1;
        let (number, end) = number(rest, 1, close);
        let index = number.filter(|_| end == close);
        let within = index.and_then(|index| usize::try_from(index - 1).ok());
        match within.filter(|&index| index < self.things.len()) {
            Some(index) => self.argument = index,
            None => self.good = false,
        }
        index.is_some()
    }

    fn width(&mut self, printer: &mut Printer<'_, '_>, after_index: bool) -> bool {
        if self.peek() == Some(b'*') {
            self.at += 1;
            let width = self.integer();
            printer.flags.width = width.and_then(|width| usize::try_from(width.abs()).ok());
            if width.is_none() {
                printer.buffer.push(b"%!(BADWIDTH)");
            }
            if width.is_some_and(|width| width < 0) {
                printer.flags.minus = true;
                printer.flags.zero = false;
            }
            return false;
        }
        let (width, end) = number(self.text, self.at, self.text.len());
        self.at = end;
        printer.flags.width = width.and_then(|width| usize::try_from(width).ok());
        if after_index && width.is_some() {
            self.good = false;
        }
        after_index
    }

    fn precision(&mut self, printer: &mut Printer<'_, '_>, after_index: bool) -> bool {
        if self.peek() != Some(b'.') || self.at + 1 == self.text.len() {
            return after_index;
        }
        self.at += 1;
        if after_index {
            self.good = false;
        }
        let after_index = self.index();
        if self.peek() == Some(b'*') {
            self.at += 1;
            let precision = self.integer();
            printer.flags.precision = precision.and_then(|precision| usize::try_from(precision).ok());
            if printer.flags.precision.is_none() {
                printer.buffer.push(b"%!(BADPREC)");
            }
            return false;
        }
        let (precision, end) = number(self.text, self.at, self.text.len());
        self.at = end;
        printer.flags.precision =
            Some(precision.and_then(|precision| usize::try_from(precision).ok()).unwrap_or(0));
        after_index
    }

    /// Takes the next argument as a width or precision, if it is a valid number.
    fn integer(&mut self) -> Option<i64> {
        let number = match self.things.get(self.argument)? {
            Thing::Int(value) => Some(*value),
            Thing::Byte(value) => Some(i64::from(*value)),
            _ => None,
        };
        self.argument += 1;
        number.filter(|number| (-MOST_WIDTH..=MOST_WIDTH).contains(number))
    }

    /// Writes Go's error for unused arguments.
    fn extra(&self, printer: &mut Printer<'_, '_>) {
        printer.flags = Flags::default();
        printer.buffer.push(b"%!(EXTRA ");
        for (index, thing) in self.things[self.argument..].iter().enumerate() {
            if index > 0 {
                printer.buffer.push(b", ");
            }
            if !thing.is_nil() {
                printer.buffer.push(thing.type_name().as_bytes());
                printer.buffer.push(b"=");
            }
            printer.argument(thing, 'v');
        }
        printer.buffer.push(b")");
    }
}

/// Parses a number within a range of the text, and returns its end. A number that is too large ends there.
fn number(text: &[u8], from: usize, to: usize) -> (Option<i64>, usize) {
    let mut value = None;
    let mut at = from;
    while let Some(digit) = text[..to].get(at).filter(|byte| byte.is_ascii_digit()) {
        if value.is_some_and(|value| value > MOST_WIDTH) {
            return (None, to);
        }
        value = Some(value.unwrap_or(0) * 10 + i64::from(digit - b'0'));
        at += 1;
    }
    (value, at)
}
