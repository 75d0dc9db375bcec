//! Parses pipelines, commands and operands.

use crate::matchbox::go::quote::{self, Keep};
use crate::matchbox::template::function::Builtin;
use crate::matchbox::template::lex::{Item, Kind};
use crate::matchbox::template::node::{Command, Operand, Pipe, Term};
use crate::matchbox::template::number;

use super::{Parsed, Parser};

/// The maximum number of commands in a pipeline.
const MOST_COMMANDS: usize = 100_000;

impl<'t> Parser<'t> {
    /// Parses a pipeline and the item after it.
    pub(super) fn pipeline(&mut self, context: &str, end: Kind) -> Parsed<Pipe> {
        let position = self.peek_non_space().position;
        let mut pipe = Pipe { position, assigns: false, variables: Vec::new(), commands: Vec::new() };
        self.declarations(&mut pipe, context)?;
        loop {
            let item = self.next_non_space();
            match item.kind {
                kind if kind == end => break,
                Kind::Bool
                | Kind::CharConstant
                | Kind::Complex
                | Kind::Dot
                | Kind::Field
                | Kind::Identifier
                | Kind::Number
                | Kind::Nil
                | Kind::RawString
                | Kind::String
                | Kind::Variable
                | Kind::LeftParen => {
                    self.give_back(item);
                    pipe.commands.push(self.command()?);
                    if pipe.commands.len() > MOST_COMMANDS {
                        return self.error("pipeline too long".to_owned());
                    }
                }
                _ => return self.unexpected(&item, context),
            }
        }
        if pipe.commands.is_empty() {
            return self.error(format!("missing value for {context}"));
        }
        let constant = pipe.commands.iter().skip(1).position(|command| command.first.term.is_constant());
        match constant {
            Some(index) => self.error(format!("non executable command in pipeline stage {}", index + 2)),
            None => Ok(pipe),
        }
    }

    /// Parses the variables that a pipeline declares or assigns.
    fn declarations(&mut self, pipe: &mut Pipe, context: &str) -> Parsed<()> {
        while self.peek_non_space().kind == Kind::Variable {
            let variable = self.next();
            let space = (self.peek() == Kind::Space).then(|| self.next());
            let next = self.next_non_space();
            let comma = next.kind == Kind::Char && *next.text == *b",";
            if !comma && !matches!(next.kind, Kind::Assign | Kind::Declare) {
                self.give_back(next);
                // Without the space, the variable and the next item would be one operand.
                if let Some(space) = space {
                    self.give_back(space);
                }
                self.give_back(variable);
                return Ok(());
            }
            let name = String::from_utf8_lossy(&variable.text).into_owned();
            self.scope.variables.push(name.clone());
            pipe.variables.push(name);
            if !comma {
                pipe.assigns = next.kind == Kind::Assign;
                return Ok(());
            }
            if context != "range" || pipe.variables.len() > 1 {
                return self.error(format!("too many declarations in {context}"));
            }
            if !matches!(self.peek_non_space().kind, Kind::Variable | Kind::RightDelim | Kind::RightParen) {
                return self.error("range can only initialize variables".to_owned());
            }
        }
        Ok(())
    }

    /// Parses an operand with its arguments, and a following pipe.
    fn command(&mut self) -> Parsed<Command> {
        let position = self.peek_non_space().position;
        let mut operands = Vec::new();
        loop {
            let next = self.next_non_space();
            self.give_back(next);
            operands.extend(self.operand()?);
            let item = self.next();
            match item.kind {
                Kind::Space => continue,
                Kind::RightDelim | Kind::RightParen => self.give_back(item),
                Kind::Pipe => {}
                _ => return self.unexpected(&item, "operand"),
            }
            break;
        }
        let mut operands = operands.into_iter();
        match operands.next() {
            Some(first) => Ok(Command { position, first, arguments: operands.collect() }),
            None => self.error("empty command".to_owned()),
        }
    }

    /// Parses a term with its fields.
    fn operand(&mut self) -> Parsed<Option<Operand>> {
        let Some(operand) = self.term()? else { return Ok(None) };
        if self.peek() != Kind::Field {
            return Ok(Some(operand));
        }
        let mut fields = Vec::new();
        let position = self.peek_non_space().position;
        while self.peek() == Kind::Field {
            fields.push(field(&self.next()));
        }
        let term = match operand.term {
            Term::Field(mut known) => {
                known.append(&mut fields);
                Term::Field(known)
            }
            Term::Variable(name, _) => Term::Variable(name, fields),
            Term::Bool(_) | Term::Dot | Term::Nil | Term::Number { .. } | Term::Text { .. } => {
                let term = quote::text(operand.to_string().as_bytes(), Keep::Printable);
                return self.error(format!("unexpected . after term {term}"));
            }
            Term::Chain(..) | Term::Function(_) | Term::Pipe(_) => Term::Chain(Box::new(operand), fields),
        };
        Ok(Some(Operand { position, term }))
    }

    fn term(&mut self) -> Parsed<Option<Operand>> {
        let item = self.next_non_space();
        let position = item.position;
        let term = match item.kind {
            Kind::Identifier => match Builtin::named(&item.text) {
                Some(builtin) => Term::Function(builtin),
                None => {
                    let name = quote::text(&item.text, Keep::Printable);
                    return self.error(format!("function {name} not defined"));
                }
            },
            Kind::Dot => Term::Dot,
            Kind::Nil => Term::Nil,
            Kind::Variable => self.variable(&item)?,
            Kind::Field => Term::Field(vec![field(&item)]),
            Kind::Bool => Term::Bool(*item.text == *b"true"),
            Kind::CharConstant | Kind::Complex | Kind::Number => {
                let text = String::from_utf8_lossy(&item.text).into_owned();
                let number = match item.kind {
                    Kind::CharConstant => number::character(&item.text),
                    Kind::Complex => number::complex(&text),
                    _ => number::number(&text),
                };
                match number {
                    Ok(number) => Term::Number { text, number },
                    Err(message) => return self.error(message),
                }
            }
            Kind::LeftParen => {
                self.enter()?;
                let pipe = self.pipeline("parenthesized pipeline", Kind::RightParen)?;
                self.depth -= 1;
                Term::Pipe(pipe)
            }
            Kind::String | Kind::RawString => match quote::unquote(&item.text) {
                Some(text) => Term::Text { quoted: String::from_utf8_lossy(&item.text).into_owned(), text },
                None => return self.error("invalid syntax".to_owned()),
            },
            _ => {
                self.give_back(item);
                return Ok(None);
            }
        };
        Ok(Some(Operand { position, term }))
    }

    fn variable(&self, item: &Item<'_>) -> Parsed<Term> {
        let name = String::from_utf8_lossy(&item.text).into_owned();
        if !self.scope.variables.contains(&name) {
            let name = quote::text(&item.text, Keep::Printable);
            return self.error(format!("undefined variable {name}"));
        }
        Ok(Term::Variable(name, Vec::new()))
    }
}

/// Returns the name of a field without its dot.
fn field(item: &Item<'_>) -> String {
    String::from_utf8_lossy(&item.text[1..]).into_owned()
}
