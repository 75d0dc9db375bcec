//! YAML as Go's yaml.v3 reads it, the only YAML of this crate.
//!
//! yaml.v3 is a port of libyaml, so another port of libyaml ([`libyaml`]) splits the text. What yaml.v3 does otherwise
//! is here: it knows no `\/` but `\'`, only version 1.1, no byte order mark inside of a text, reads two tokens behind
//! the end of the first document, and limits the depth. The type of a scalar depends on what it is used as, so it is
//! [resolved](resolve) only there.

mod encoding;
mod libyaml;
mod scalar;

use std::collections::HashMap;

use libyaml::{Event, EventKind, Parser, Properties, Style, SyntaxError};

use crate::matchbox::tree::{Growing, NodeId, Scalar, Tree, What};

pub(crate) use scalar::{Resolved, flag, integer, resolve};

/// The maximum number of flow collections, or of block collections, within each other.
const DEEPEST: usize = 10_000;
/// The maximum size of all that is parsed again, in bytes, because a text is parsed again for each scalar with `\'`.
const MOST_PARSED_AGAIN: usize = 16 << 20;
/// The tokens behind the first document that yaml.v3 reads.
const AHEAD: usize = 2;
/// The prefix of the tags that are written with `!!`.
const TAG_PREFIX: &str = "tag:yaml.org,2002:";
/// The byte order mark, which is a letter inside of a text.
const MARK: char = '\u{feff}';

/// Why a text is not YAML.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct YamlError {
    /// The line, from 1.
    pub(crate) line: usize,
    /// The reason.
    pub(crate) message: String,
}

impl YamlError {
    fn new(line: usize, message: impl Into<String>) -> Self {
        Self { line, message: message.into() }
    }
}

impl From<SyntaxError> for YamlError {
    fn from(error: SyntaxError) -> Self {
        Self { line: error.line, message: error.message }
    }
}

/// Parses the first document of a text. A text without one is null.
pub(crate) fn read(bytes: &[u8]) -> Result<Tree, YamlError> {
    let mut text = encoding::decode(bytes)?;
    // libyaml would skip the mark at the beginning of a line.
    let stand_in =
        text.contains(MARK).then(|| ('\u{e000}'..='\u{f8ff}').find(|letter| !text.contains(*letter)));
    let stand_in = match stand_in {
        Some(None) => {
            return Err(YamlError::new(1, "byte order marks stand among too many other characters"));
        }
        Some(stand_in) => stand_in,
        None => None,
    };
    if let Some(letter) = stand_in {
        text = text.replace(MARK, &String::from(letter));
    }
    let mut parsed_again = 0;
    loop {
        let wrong = match Reader::new(&text, stand_in).document() {
            Ok(tree) => return Ok(tree),
            Err(wrong) => wrong,
        };
        let error = match wrong {
            Wrong::Escape(error) => error,
            Wrong::Other(error) => return Err(error),
        };
        let Some(rewritten) = with_apostrophes(&text, error.at) else { return Err(error.into()) };
        text = rewritten;
        parsed_again += text.len();
        if parsed_again > MOST_PARSED_AGAIN {
            let message =
                "there are too many strings with `\\'` up to this line: write `'` without the backslash";
            return Err(YamlError::new(error.line, message));
        }
    }
}

/// Rewrites each `\'` from a position up to the end of the quoted text; returns nothing if there is none at the position.
fn with_apostrophes(text: &str, at: usize) -> Option<String> {
    let (start, _) = text.char_indices().nth(at)?;
    let (before, rest) = text.split_at(start);
    if !rest.starts_with("\\'") {
        return None;
    }
    let mut rewritten = before.to_owned();
    let mut letters = rest.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => match letters.next() {
                Some('\'') => rewritten.push_str("\\x27"),
                escaped => {
                    rewritten.push('\\');
                    rewritten.extend(escaped);
                }
            },
            '"' => {
                rewritten.push('"');
                break;
            }
            letter => rewritten.push(letter),
        }
    }
    rewritten.push_str(letters.as_str());
    Some(rewritten)
}

/// Why a text cannot be read.
enum Wrong {
    /// An escape that libyaml does not know.
    Escape(SyntaxError),
    /// Anything else.
    Other(YamlError),
}

impl From<SyntaxError> for Wrong {
    fn from(error: SyntaxError) -> Self {
        if error.message == "found unknown escape character" {
            Self::Escape(error)
        } else {
            Self::Other(error.into())
        }
    }
}

impl From<YamlError> for Wrong {
    fn from(error: YamlError) -> Self {
        Self::Other(error)
    }
}

/// A list or map that is not complete yet.
struct Open {
    id: NodeId,
    flow: bool,
    /// The key of a map whose value comes next.
    key: Option<NodeId>,
}

/// Builds the tree of a document from libyaml's events.
struct Reader<'a> {
    parser: Parser<'a>,
    /// What stands for the byte order mark.
    stand_in: Option<char>,
    /// The byte offsets of the characters, if an escaped slash is somewhere in the text.
    slashes: Option<(&'a str, Vec<usize>)>,
    tree: Growing,
    anchors: HashMap<String, NodeId>,
    open: Vec<Open>,
    // Invariant: the numbers of flow and of block collections in `open`.
    depths: [usize; 2],
}

impl<'a> Reader<'a> {
    fn new(text: &'a str, stand_in: Option<char>) -> Self {
        let slashes = text.contains("\\/").then(|| (text, text.char_indices().map(|(at, _)| at).collect()));
        Self {
            parser: Parser::new(text),
            stand_in,
            slashes,
            tree: Growing::default(),
            anchors: HashMap::new(),
            open: Vec::new(),
            depths: [0; 2],
        }
    }

    /// Returns the first document.
    fn document(mut self) -> Result<Tree, Wrong> {
        let mut root = None;
        loop {
            let event = self.parser.next()?;
            let line = event.line;
            match event.kind {
                EventKind::StreamStart => {}
                EventKind::StreamEnd => break,
                EventKind::DocumentStart { version } => {
                    if let Some((major, minor)) = version.filter(|version| *version != (1, 1)) {
                        let message =
                            format!("the directive names YAML {major}.{minor}, but only 1.1 is supported");
                        return Err(YamlError::new(line, message).into());
                    }
                }
                EventKind::DocumentEnd { explicit } => {
                    // The token at the beginning of the next document is not consumed yet.
                    for _ in 0..AHEAD + usize::from(!explicit) {
                        if !self.parser.skip_token()? {
                            break;
                        }
                    }
                    break;
                }
                EventKind::ListEnd | EventKind::MapEnd => {
                    if let Some(open) = self.open.pop() {
                        self.depths[usize::from(open.flow)] -= 1;
                    }
                }
                EventKind::Alias { .. }
                | EventKind::Scalar { .. }
                | EventKind::ListStart { .. }
                | EventKind::MapStart { .. } => {
                    let id = self.node(event)?;
                    root = root.or(Some(id));
                }
            }
        }
        let root = root.unwrap_or_else(|| {
            self.tree.add(1, What::Scalar(Scalar { text: String::new(), tag: None, quoted: false }))
        });
        Ok(self.tree.finish(root))
    }

    /// Adds a node to the list or map that is open.
    fn node(&mut self, event: Event) -> Result<NodeId, Wrong> {
        if let EventKind::Scalar { style: Style::Double, .. } = event.kind {
            self.no_slash(&event)?;
        }
        let line = event.line;
        let (what, properties, opens) = match event.kind {
            EventKind::Alias { anchor } => {
                let name = self.text(anchor);
                let to = self.anchors.get(&name).copied();
                let to = to.ok_or_else(|| YamlError::new(line, format!("the anchor `{name}` is unknown")))?;
                (What::Alias { name, to }, None, None)
            }
            EventKind::Scalar { properties, text, style } => {
                let (anchor, tag) = self.properties(properties);
                let text = self.text(text);
                (What::Scalar(Scalar { text, tag, quoted: style != Style::Plain }), anchor, None)
            }
            EventKind::ListStart { properties, flow } => {
                (What::List(Vec::new()), self.properties(properties).0, Some(flow))
            }
            EventKind::MapStart { properties, flow } => {
                (What::Map(Vec::new()), self.properties(properties).0, Some(flow))
            }
            _ => return Err(YamlError::new(line, "a value is expected here").into()),
        };
        let id = self.tree.add(line, what);
        if let Some(open) = self.open.last_mut() {
            match (open.key.take(), self.tree.is_map(open.id)) {
                (Some(key), _) => self.tree.push_pair(open.id, key, id),
                (None, true) => open.key = Some(id),
                (None, false) => self.tree.push_item(open.id, id),
            }
        }
        if let Some(anchor) = properties {
            self.anchors.insert(anchor, id);
        }
        if let Some(flow) = opens {
            let depth = &mut self.depths[usize::from(flow)];
            *depth += 1;
            if *depth > DEEPEST {
                return Err(YamlError::new(
                    line,
                    format!("lists and maps are nested more than {DEEPEST} deep"),
                )
                .into());
            }
            self.open.push(Open { id, flow, key: None });
        }
        Ok(id)
    }

    /// Returns the anchor and the short form of the tag.
    fn properties(&self, Properties { anchor, tag }: Properties) -> (Option<String>, Option<String>) {
        let tag = tag.map(|tag| match tag.strip_prefix(TAG_PREFIX) {
            Some(short) => format!("!!{short}"),
            None => tag,
        });
        (anchor.map(|anchor| self.text(anchor)), tag.filter(|tag| tag != "!").map(|tag| self.text(tag)))
    }

    fn text(&self, text: String) -> String {
        match self.stand_in {
            Some(letter) => text.replace(letter, &String::from(MARK)),
            None => text,
        }
    }

    /// Refuses `\/` in a scalar in double quotes.
    fn no_slash(&self, event: &Event) -> Result<(), YamlError> {
        let Some((text, offsets)) = &self.slashes else { return Ok(()) };
        let at = |index: usize| offsets.get(index).copied().unwrap_or(text.len());
        let mut line = event.line;
        let mut letters = text[at(event.start)..at(event.end)].chars();
        while let Some(letter) = letters.next() {
            line += usize::from(letter == '\n');
            let escaped = if letter == '\\' { letters.next() } else { None };
            line += usize::from(escaped == Some('\n'));
            if escaped == Some('/') {
                return Err(YamlError::new(line, "`\\/` is not an escape sequence of YAML 1.1"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
