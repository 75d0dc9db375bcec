//! YAML with line numbers, parsed as by Go's yaml.v3.
//!
//! As there, an unquoted scalar is resolved only where it is used: as a string, an
//! octal number, or a boolean in the words of YAML 1.1.

use std::collections::HashMap;

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, Tag};

use crate::matchbox::ignition::Problem;
use crate::matchbox::ignition::data::unbase64;
use crate::matchbox::ignition::node::{Node, What};

/// The maximum size of a tree with its aliases expanded: nodes, and string bytes in units of 64.
const MOST: usize = 100_000;
/// The maximum nesting depth. No config needs ten.
const DEEPEST: usize = 100;

/// Parses the first document of a text.
pub(crate) fn read(text: &[u8]) -> Result<Node, Problem> {
    let text = std::str::from_utf8(text).map_err(|error| {
        let line = text[..error.valid_up_to()].iter().filter(|byte| **byte == b'\n').count() + 1;
        Problem::new(line, "YAML is UTF-8, and this is not")
    })?;
    let mut builder =
        Builder { events: Parser::new_from_str(text), anchors: HashMap::new(), left: MOST + text.len() };
    loop {
        let (event, span) = builder.next()?;
        match event {
            Event::StreamEnd => return Ok(Node { line: 1, what: What::Null }),
            Event::DocumentStart(..) => {
                let (event, span) = builder.next()?;
                return builder.node(event, span, 0);
            }
            Event::StreamStart => {}
            _ => return Err(unexpected(span)),
        }
    }
}

fn line(span: Span) -> usize {
    span.start.line()
}

fn unexpected(span: Span) -> Problem {
    Problem::new(line(span), "nothing of YAML stands here")
}

struct Builder<I> {
    events: I,
    anchors: HashMap<usize, Node>,
    left: usize,
}

impl<'a, I: Iterator<Item = Result<(Event<'a>, Span), ScanError>>> Builder<I> {
    fn next(&mut self) -> Result<(Event<'a>, Span), Problem> {
        match self.events.next() {
            Some(Ok(next)) => Ok(next),
            Some(Err(error)) => Err(Problem::new(error.marker().line(), error.info())),
            None => Err(Problem::new(0, "the text ends within a document")),
        }
    }

    /// Spends a part of the limit.
    fn spend(&mut self, much: usize, span: Span) -> Result<(), Problem> {
        self.left = self
            .left
            .checked_sub(much)
            .ok_or_else(|| Problem::new(line(span), "aliases make too much of it"))?;
        Ok(())
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, Problem> {
        if depth > DEEPEST {
            return Err(Problem::new(line(span), "nodes stand too deep in each other"));
        }
        let (what, anchor) = match event {
            Event::Alias(anchor) => {
                let Some(node) = self.anchors.get(&anchor) else {
                    return Err(Problem::new(line(span), "an alias stands within what it stands for"));
                };
                let (weight, node) = (weight(node), node.clone());
                self.spend(weight, span)?;
                return Ok(node);
            }
            Event::Scalar(text, style, anchor, tag) => {
                (scalar(text.into_owned(), style, tag.as_deref(), span)?, anchor)
            }
            Event::SequenceStart(_, anchor, _) => (self.list(depth)?, anchor),
            Event::MappingStart(_, anchor, _) => (self.map(depth)?, anchor),
            _ => return Err(unexpected(span)),
        };
        self.spend(1, span)?;
        let node = Node { line: line(span), what };
        if anchor > 0 {
            self.spend(weight(&node), span)?;
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn list(&mut self, depth: usize) -> Result<What, Problem> {
        let mut list = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(What::List(list)),
                (event, span) => list.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<What, Problem> {
        let mut pairs: Vec<(String, Node)> = Vec::new();
        let mut merged = None;
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                break;
            }
            let key = self.node(event, span, depth + 1)?;
            let (event, below) = self.next()?;
            let value = self.node(event, below, depth + 1)?;
            match key.what {
                What::Plain(key) if key == "<<" => merged = Some(value),
                What::Plain(key) | What::Text(key) => pairs.push((key, value)),
                // A null key is the empty string.
                What::Null => pairs.push((String::new(), value)),
                _ => return Err(Problem::new(line(span), "a key must be a scalar")),
            }
        }
        if let Some(Node { line, what }) = merged {
            let sources = match what {
                What::List(sources) => sources,
                what => vec![Node { line, what }],
            };
            for source in sources {
                let What::Map(more) = source.what else {
                    return Err(Problem::new(line, "only maps can be merged into a map"));
                };
                for (key, value) in more {
                    if !pairs.iter().any(|(known, _)| *known == key) {
                        pairs.push((key, value));
                    }
                }
            }
        }
        Ok(What::Map(pairs))
    }
}

fn scalar(text: String, style: ScalarStyle, tag: Option<&Tag>, span: Span) -> Result<What, Problem> {
    let tagged = tag.and_then(|tag| tag.suffix_in_namespace("tag:yaml.org,2002:"));
    Ok(match (tagged.as_deref(), style) {
        (Some("str"), _) => What::Text(text),
        (Some("binary"), _) => match unbase64(&text) {
            Some(bytes) => What::Text(String::from_utf8_lossy(&bytes).into_owned()),
            None => return Err(Problem::new(line(span), "`!!binary` is followed by no base64")),
        },
        (Some("null"), _) => What::Null,
        (Some(_), _) => What::Plain(text),
        (None, ScalarStyle::Plain) if tag.is_none() => match text.as_str() {
            "" | "~" | "null" | "Null" | "NULL" => What::Null,
            _ => What::Plain(text),
        },
        (None, _) => What::Text(text),
    })
}

/// Returns the size of a node in the units of [`MOST`].
fn weight(node: &Node) -> usize {
    1 + match &node.what {
        What::Null | What::Flag(_) => 0,
        What::Number(text) | What::Text(text) | What::Plain(text) => text.len() / 64,
        What::List(list) => list.iter().map(weight).sum(),
        What::Map(pairs) => pairs.iter().map(|(key, node)| 1 + key.len() / 64 + weight(node)).sum(),
    }
}
