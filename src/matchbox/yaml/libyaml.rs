//! YAML's events from a port of libyaml to Rust, behind a safe interface.
//!
//! The port is translated C: its functions are called as in C, and are unsafe for that reason alone.
#![expect(unsafe_code, reason = "the port has libyaml's interface of pointers; each block gives its proof")]

use std::ffi::CStr;
use std::marker::PhantomData;
use std::mem::MaybeUninit;

use unsafe_libyaml::{
    YAML_ALIAS_EVENT, YAML_BLOCK_MAPPING_STYLE, YAML_BLOCK_SEQUENCE_STYLE, YAML_DOCUMENT_END_EVENT,
    YAML_DOCUMENT_START_EVENT, YAML_DOUBLE_QUOTED_SCALAR_STYLE, YAML_MAPPING_END_EVENT,
    YAML_MAPPING_START_EVENT, YAML_NO_TOKEN, YAML_PLAIN_SCALAR_STYLE, YAML_SCALAR_EVENT,
    YAML_SEQUENCE_END_EVENT, YAML_SEQUENCE_START_EVENT, YAML_STREAM_END_TOKEN, YAML_STREAM_START_EVENT,
    YAML_UTF8_ENCODING, yaml_event_delete, yaml_event_t, yaml_mark_t, yaml_parser_delete,
    yaml_parser_initialize, yaml_parser_parse, yaml_parser_scan, yaml_parser_set_encoding,
    yaml_parser_set_input_string, yaml_parser_t, yaml_token_delete, yaml_token_t,
};

/// An event with its position.
#[derive(Debug)]
pub(super) struct Event {
    /// Its line, from 1.
    pub(super) line: usize,
    /// The characters of the text before it begins.
    pub(super) start: usize,
    /// The characters of the text before its end.
    pub(super) end: usize,
    /// What it is.
    pub(super) kind: EventKind,
}

/// The kinds of events.
#[derive(Debug)]
pub(super) enum EventKind {
    /// The text begins.
    StreamStart,
    /// The text ends.
    StreamEnd,
    /// A document begins.
    DocumentStart {
        /// The version after `%YAML`.
        version: Option<(i32, i32)>,
    },
    /// A document ends.
    DocumentEnd {
        /// Whether `...` ends it.
        explicit: bool,
    },
    /// A reference to an anchor.
    Alias {
        /// The name of the anchor.
        anchor: String,
    },
    /// A scalar.
    Scalar {
        /// Its anchor and tag.
        properties: Properties,
        /// Its text.
        text: String,
        /// How it is written.
        style: Style,
    },
    /// A list begins.
    ListStart {
        /// Its anchor and tag.
        properties: Properties,
        /// Whether it is in brackets.
        flow: bool,
    },
    /// A list ends.
    ListEnd,
    /// A map begins.
    MapStart {
        /// Its anchor and tag.
        properties: Properties,
        /// Whether it is in braces.
        flow: bool,
    },
    /// A map ends.
    MapEnd,
}

/// How a scalar is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// Without quotes.
    Plain,
    /// In double quotes.
    Double,
    /// In single quotes, literal, or folded.
    Other,
}

/// What may stand before a node.
#[derive(Debug)]
pub(super) struct Properties {
    /// Its anchor.
    pub(super) anchor: Option<String>,
    /// Its tag, with its prefix.
    pub(super) tag: Option<String>,
}

/// An error with its position.
#[derive(Debug)]
pub(super) struct SyntaxError {
    /// Its line, from 1.
    pub(super) line: usize,
    /// The characters of the text before it.
    pub(super) at: usize,
    /// What libyaml says.
    pub(super) message: String,
}

/// A parser of one text.
pub(super) struct Parser<'a> {
    // Invariant: initialized, from `Box::into_raw`, freed only in `drop`. It refers to itself, so it never moves.
    parser: *mut yaml_parser_t,
    text: PhantomData<&'a str>,
}

impl<'a> Parser<'a> {
    /// Creates a parser of a text.
    pub(super) fn new(text: &'a str) -> Self {
        let parser = Box::into_raw(Box::new(MaybeUninit::<yaml_parser_t>::uninit())).cast::<yaml_parser_t>();
        // SAFETY: the memory is that of a `yaml_parser_t`, which the first call initializes; the text outlives the
        // parser by its lifetime, and its length is that of the text.
        unsafe {
            let initialized = yaml_parser_initialize(parser);
            assert!(initialized.ok, "it fails only without memory");
            yaml_parser_set_encoding(parser, YAML_UTF8_ENCODING);
            yaml_parser_set_input_string(parser, text.as_ptr(), text.len() as u64);
        }
        Self { parser, text: PhantomData }
    }

    /// Returns the next event.
    pub(super) fn next(&mut self) -> Result<Event, SyntaxError> {
        let mut event = MaybeUninit::<yaml_event_t>::uninit();
        let event = event.as_mut_ptr();
        // SAFETY: the parser is initialized; a parse that succeeds initializes the event, whose data is read as its
        // type says and freed once.
        unsafe {
            let parsed = yaml_parser_parse(self.parser, event);
            if parsed.fail {
                return Err(self.error());
            }
            let copy = Event {
                line: line((*event).start_mark),
                start: index((*event).start_mark),
                end: index((*event).end_mark),
                kind: kind(&*event),
            };
            yaml_event_delete(event);
            Ok(copy)
        }
    }

    /// Scans the next token, and returns whether there was one. Events cannot follow.
    pub(super) fn skip_token(&mut self) -> Result<bool, SyntaxError> {
        let mut token = MaybeUninit::<yaml_token_t>::uninit();
        let token = token.as_mut_ptr();
        // SAFETY: the parser is initialized; a scan that succeeds initializes the token, which is freed once.
        unsafe {
            let scanned = yaml_parser_scan(self.parser, token);
            if scanned.fail {
                return Err(self.error());
            }
            let more = (*token).type_ != YAML_NO_TOKEN && (*token).type_ != YAML_STREAM_END_TOKEN;
            yaml_token_delete(token);
            Ok(more)
        }
    }

    fn error(&self) -> SyntaxError {
        // SAFETY: the parser is initialized; the problem of an error is one of libyaml's constants.
        unsafe {
            let parser = &*self.parser;
            let message = text(parser.problem.cast()).unwrap_or_else(|| "is not YAML".to_owned());
            let mark = parser.problem_mark;
            SyntaxError { line: line(mark), at: index(mark), message }
        }
    }
}

impl Drop for Parser<'_> {
    fn drop(&mut self) {
        // SAFETY: it is initialized and from `Box::into_raw`, and nothing uses it afterwards.
        unsafe {
            yaml_parser_delete(self.parser);
            drop(Box::from_raw(self.parser.cast::<MaybeUninit<yaml_parser_t>>()));
        }
    }
}

fn line(mark: yaml_mark_t) -> usize {
    index_of(mark.line) + 1
}

fn index(mark: yaml_mark_t) -> usize {
    index_of(mark.index)
}

fn index_of(number: u64) -> usize {
    usize::try_from(number).expect("a text in memory has no more characters")
}

/// Copies a string of libyaml.
///
/// # Safety
///
/// It must be null, or end with a zero byte.
unsafe fn text(string: *const u8) -> Option<String> {
    // SAFETY: as the caller promises.
    (!string.is_null())
        .then(|| unsafe { CStr::from_ptr(string.cast()) })
        .map(|string| String::from_utf8_lossy(string.to_bytes()).into_owned())
}

/// Copies the data of an event.
///
/// # Safety
///
/// The event must come from a successful parse, and not be freed yet.
unsafe fn kind(event: &yaml_event_t) -> EventKind {
    // SAFETY: each field of the union is read where the type says that it is the one that was written; its strings
    // are null or end with a zero byte, and a value has as many bytes as its length says.
    unsafe {
        match event.type_ {
            YAML_STREAM_START_EVENT => EventKind::StreamStart,
            YAML_DOCUMENT_START_EVENT => {
                let version = event.data.document_start.version_directive.as_ref();
                EventKind::DocumentStart { version: version.map(|version| (version.major, version.minor)) }
            }
            YAML_DOCUMENT_END_EVENT => EventKind::DocumentEnd { explicit: !event.data.document_end.implicit },
            YAML_ALIAS_EVENT => {
                EventKind::Alias { anchor: text(event.data.alias.anchor).unwrap_or_default() }
            }
            YAML_SCALAR_EVENT => {
                let scalar = event.data.scalar;
                let bytes = std::slice::from_raw_parts(scalar.value, index_of(scalar.length));
                EventKind::Scalar {
                    properties: Properties { anchor: text(scalar.anchor), tag: text(scalar.tag) },
                    text: String::from_utf8_lossy(bytes).into_owned(),
                    style: match scalar.style {
                        YAML_PLAIN_SCALAR_STYLE => Style::Plain,
                        YAML_DOUBLE_QUOTED_SCALAR_STYLE => Style::Double,
                        _ => Style::Other,
                    },
                }
            }
            YAML_SEQUENCE_START_EVENT => {
                let list = event.data.sequence_start;
                EventKind::ListStart {
                    properties: Properties { anchor: text(list.anchor), tag: text(list.tag) },
                    flow: list.style != YAML_BLOCK_SEQUENCE_STYLE,
                }
            }
            YAML_SEQUENCE_END_EVENT => EventKind::ListEnd,
            YAML_MAPPING_START_EVENT => {
                let map = event.data.mapping_start;
                EventKind::MapStart {
                    properties: Properties { anchor: text(map.anchor), tag: text(map.tag) },
                    flow: map.style != YAML_BLOCK_MAPPING_STYLE,
                }
            }
            YAML_MAPPING_END_EVENT => EventKind::MapEnd,
            // The end of the stream, and whatever comes after it.
            _ => EventKind::StreamEnd,
        }
    }
}
