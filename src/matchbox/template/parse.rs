//! Parses templates, with the same syntax and the same errors as Go's parser.

mod pipe;

use std::collections::HashMap;

use crate::matchbox::go::quote::{self, Keep};
use crate::matchbox::template::lex::{Item, Keyword, Kind, Lexer};
use crate::matchbox::template::node::{Branch, Control, Node};
use crate::matchbox::template::{MOST_NESTING, TemplateError};

/// Parses a text; returns it and its definitions by name.
pub(super) fn trees(name: &str, text: &[u8]) -> Result<HashMap<String, Vec<Node>>, TemplateError> {
    let mut parser = Parser {
        name,
        lexer: Lexer::new(text),
        tokens: Vec::with_capacity(3),
        scope: Scope::default(),
        depth: 0,
        trees: HashMap::new(),
    };
    let main = parser.main()?;
    parser.add(String::new(), main)?;
    Ok(parser.trees)
}

/// The state for one template of a text.
#[derive(Default)]
struct Scope {
    variables: Vec<String>,
    /// The line of the last item, for errors.
    line: usize,
    /// The line of the current action's start; 0 outside of actions.
    action_line: usize,
    open_ranges: usize,
}

struct Parser<'t> {
    name: &'t str,
    lexer: Lexer<'t>,
    /// Items that were put back, the next one last.
    tokens: Vec<Item<'t>>,
    scope: Scope,
    /// How many actions and parentheses are open.
    depth: usize,
    trees: HashMap<String, Vec<Node>>,
}

type Parsed<T> = Result<T, TemplateError>;

/// The end of a list of nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stop {
    End,
    Else,
}

impl Stop {
    fn name(self) -> &'static str {
        match self {
            Self::End => "{{end}}",
            Self::Else => "{{else}}",
        }
    }
}

enum Step {
    Node(Node),
    Stop(Stop),
}

impl<'t> Parser<'t> {
    fn next(&mut self) -> Item<'t> {
        self.tokens.pop().unwrap_or_else(|| {
            let item = self.lexer.next_item();
            self.scope.line = item.line;
            item
        })
    }

    fn next_non_space(&mut self) -> Item<'t> {
        loop {
            let item = self.next();
            if item.kind != Kind::Space {
                return item;
            }
        }
    }

    fn give_back(&mut self, item: Item<'t>) {
        self.tokens.push(item);
    }

    fn peek(&mut self) -> Kind {
        let item = self.next();
        let kind = item.kind;
        self.give_back(item);
        kind
    }

    fn peek_non_space(&mut self) -> &Item<'t> {
        let item = self.next_non_space();
        self.give_back(item);
        self.tokens.last().expect("an item was given back")
    }

    fn error<T>(&self, message: String) -> Parsed<T> {
        Err(TemplateError { line: self.scope.line, message })
    }

    fn unexpected<T>(&self, item: &Item<'_>, context: &str) -> Parsed<T> {
        let described = item.describe();
        if item.kind != Kind::Error {
            return self.error(format!("unexpected {described} in {context}"));
        }
        let begun = self.scope.action_line;
        if begun == 0 || begun == item.line {
            return self.error(described);
        }
        let action = if described.ends_with(" action") { "" } else { " in action" };
        self.error(format!("{described}{action} started at {}:{begun}", self.name))
    }

    fn expect(&mut self, kind: Kind, context: &str) -> Parsed<Item<'t>> {
        let item = self.next_non_space();
        if item.kind == kind { Ok(item) } else { self.unexpected(&item, context) }
    }

    /// Adds a template by name. A blank one is replaced.
    fn add(&mut self, name: String, nodes: Vec<Node>) -> Parsed<()> {
        let known = self.trees.get(&name);
        if known.is_none_or(|known| is_blank(known)) {
            self.trees.insert(name, nodes);
            return Ok(());
        }
        if is_blank(&nodes) {
            return Ok(());
        }
        let name = quote::text(name.as_bytes(), Keep::Printable);
        self.error(format!("template: multiple definition of template {name}"))
    }

    fn main(&mut self) -> Parsed<Vec<Node>> {
        self.scope = new_scope();
        let mut nodes = Vec::new();
        loop {
            match self.peek() {
                Kind::End => return Ok(nodes),
                Kind::LeftDelim => {
                    let delim = self.next();
                    let item = self.next_non_space();
                    if item.kind == Kind::Keyword(Keyword::Define) {
                        self.definition()?;
                        continue;
                    }
                    self.give_back(item);
                    self.give_back(delim);
                }
                _ => {}
            }
            match self.text_or_action()? {
                Step::Node(node) => nodes.push(node),
                Step::Stop(stop) => return self.error(format!("unexpected {}", stop.name())),
            }
        }
    }

    /// Parses a `define` after the keyword.
    fn definition(&mut self) -> Parsed<()> {
        const CONTEXT: &str = "define clause";
        let outer = std::mem::replace(&mut self.scope, new_scope());
        let item = self.next_non_space();
        let name = self.template_name(&item, CONTEXT)?;
        self.expect(Kind::RightDelim, CONTEXT)?;
        let (nodes, stop) = self.list()?;
        if stop != Stop::End {
            return self.error(format!("unexpected {} in {CONTEXT}", stop.name()));
        }
        self.add(name, nodes)?;
        self.scope = outer;
        Ok(())
    }

    fn template_name(&self, item: &Item<'_>, context: &str) -> Parsed<String> {
        if !matches!(item.kind, Kind::String | Kind::RawString) {
            return self.unexpected(item, context);
        }
        match quote::unquote(&item.text) {
            Some(name) => Ok(String::from_utf8_lossy(&name).into_owned()),
            None => self.error("invalid syntax".to_owned()),
        }
    }

    /// Parses nodes up to the end of a branch or template.
    fn list(&mut self) -> Parsed<(Vec<Node>, Stop)> {
        self.enter()?;
        let mut nodes = Vec::new();
        while self.peek_non_space().kind != Kind::End {
            match self.text_or_action()? {
                Step::Node(node) => nodes.push(node),
                Step::Stop(stop) => {
                    self.depth -= 1;
                    return Ok((nodes, stop));
                }
            }
        }
        self.error("unexpected EOF".to_owned())
    }

    fn enter(&mut self) -> Parsed<()> {
        if self.depth == MOST_NESTING {
            return self.error("max expression depth exceeded".to_owned());
        }
        self.depth += 1;
        Ok(())
    }

    fn text_or_action(&mut self) -> Parsed<Step> {
        let item = self.next_non_space();
        match item.kind {
            Kind::Text => Ok(Step::Node(Node::Text(item.text.into_owned()))),
            Kind::LeftDelim => {
                self.scope.action_line = item.line;
                let step = self.action()?;
                self.scope.action_line = 0;
                Ok(step)
            }
            _ => self.unexpected(&item, "input"),
        }
    }

    /// Parses an action after its left delimiter.
    fn action(&mut self) -> Parsed<Step> {
        let item = self.next_non_space();
        let Kind::Keyword(keyword) = item.kind else {
            self.give_back(item);
            return Ok(Step::Node(Node::Action(self.pipeline("command", Kind::RightDelim)?)));
        };
        let node = match keyword {
            Keyword::Block => self.block()?,
            Keyword::Break | Keyword::Continue => self.jump(keyword, item.position)?,
            Keyword::Else => return self.otherwise(),
            Keyword::End => {
                self.expect(Kind::RightDelim, "end")?;
                return Ok(Step::Stop(Stop::End));
            }
            Keyword::If => Node::Branch(self.branch(Control::If)?),
            Keyword::Range => Node::Branch(self.branch(Control::Range)?),
            Keyword::With => Node::Branch(self.branch(Control::With)?),
            Keyword::Template => self.template()?,
            Keyword::Define => return self.unexpected(&item, "command"),
        };
        Ok(Step::Node(node))
    }

    fn jump(&mut self, keyword: Keyword, position: usize) -> Parsed<Node> {
        let word = if keyword == Keyword::Break { "{{break}}" } else { "{{continue}}" };
        self.expect(Kind::RightDelim, word)?;
        if self.scope.open_ranges == 0 {
            return self.error(format!("{word} outside {{{{range}}}}"));
        }
        Ok(if keyword == Keyword::Break { Node::Break(position) } else { Node::Continue(position) })
    }

    /// Parses an `else` after the keyword. Its condition is left to the branch.
    fn otherwise(&mut self) -> Parsed<Step> {
        let asks = Kind::Keyword(Keyword::If) == self.peek_non_space().kind
            || Kind::Keyword(Keyword::With) == self.peek_non_space().kind;
        if !asks {
            self.expect(Kind::RightDelim, "else")?;
        }
        Ok(Step::Stop(Stop::Else))
    }

    fn branch(&mut self, control: Control) -> Parsed<Branch> {
        let known = self.scope.variables.len();
        let again = match control {
            Control::If => Some(Kind::Keyword(Keyword::If)),
            Control::With => Some(Kind::Keyword(Keyword::With)),
            Control::Range => None,
        };
        let mut branch = Branch { control, arms: Vec::new(), otherwise: Vec::new() };
        loop {
            let pipe = self.pipeline(control.name(), Kind::RightDelim)?;
            let repeats = usize::from(control == Control::Range);
            self.scope.open_ranges += repeats;
            let (nodes, stop) = self.list()?;
            self.scope.open_ranges -= repeats;
            branch.arms.push((pipe, nodes));
            if stop == Stop::Else {
                if again == Some(self.peek()) {
                    self.next();
                    continue;
                }
                let (nodes, stop) = self.list()?;
                if stop != Stop::End {
                    return self.error(format!("expected end; found {}", stop.name()));
                }
                branch.otherwise = nodes;
            }
            self.scope.variables.truncate(known);
            return Ok(branch);
        }
    }

    /// Parses a `block` after the keyword: a definition, and a call of it.
    fn block(&mut self) -> Parsed<Node> {
        const CONTEXT: &str = "block clause";
        let item = self.next_non_space();
        let name = self.template_name(&item, CONTEXT)?;
        let pipe = self.pipeline(CONTEXT, Kind::RightDelim)?;
        let outer = std::mem::replace(&mut self.scope, new_scope());
        let (nodes, stop) = self.list()?;
        if stop != Stop::End {
            self.scope = outer;
            return self.error(format!("unexpected {} in {CONTEXT}", stop.name()));
        }
        self.add(name.clone(), nodes)?;
        self.scope = outer;
        Ok(Node::Template { position: item.position, name, pipe: Some(pipe) })
    }

    fn template(&mut self) -> Parsed<Node> {
        const CONTEXT: &str = "template clause";
        let item = self.next_non_space();
        let name = self.template_name(&item, CONTEXT)?;
        let next = self.next_non_space();
        let pipe = if next.kind == Kind::RightDelim {
            None
        } else {
            self.give_back(next);
            Some(self.pipeline(CONTEXT, Kind::RightDelim)?)
        };
        Ok(Node::Template { position: item.position, name, pipe })
    }
}

fn new_scope() -> Scope {
    Scope { variables: vec!["$".to_owned()], ..Scope::default() }
}

/// Tells whether a template contains only spaces.
fn is_blank(nodes: &[Node]) -> bool {
    nodes.iter().all(|node| match node {
        Node::Text(text) => std::str::from_utf8(text).is_ok_and(|text| text.trim().is_empty()),
        Node::Action(_) | Node::Branch(_) | Node::Template { .. } | Node::Break(_) | Node::Continue(_) => {
            false
        }
    })
}
