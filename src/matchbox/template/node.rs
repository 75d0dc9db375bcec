//! The syntax tree of a template.

use std::fmt;

use crate::matchbox::template::function::Builtin;
use crate::matchbox::template::number::Number;

/// A byte offset in a template's text.
pub(super) type Position = usize;

/// A node that writes output or controls it.
#[derive(Debug)]
pub(super) enum Node {
    /// Text that is written unchanged.
    Text(Vec<u8>),
    /// A pipeline; its value is written unless it declares variables.
    Action(Pipe),
    Branch(Branch),
    /// A call of another template with another dot.
    Template {
        position: Position,
        name: String,
        pipe: Option<Pipe>,
    },
    Break(Position),
    Continue(Position),
}

/// An `if`, a `with` or a `range`.
#[derive(Debug)]
pub(super) struct Branch {
    pub(super) control: Control,
    /// Conditions with their bodies, in order. A `range` has one.
    pub(super) arms: Vec<(Pipe, Vec<Node>)>,
    /// The body of the final `else`.
    pub(super) otherwise: Vec<Node>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Control {
    If,
    Range,
    With,
}

impl Control {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::If => "if",
            Self::Range => "range",
            Self::With => "with",
        }
    }
}

/// Commands; each gets the value of the previous one as its last argument.
#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) position: Position,
    /// Whether it assigns to existing variables.
    pub(super) assigns: bool,
    /// The variables that get the value.
    pub(super) variables: Vec<String>,
    pub(super) commands: Vec<Command>,
}

/// An operand, with arguments if it is a function.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) position: Position,
    pub(super) first: Operand,
    pub(super) arguments: Vec<Operand>,
}

/// A value or an expression for one.
#[derive(Debug)]
pub(super) struct Operand {
    pub(super) position: Position,
    pub(super) term: Term,
}

#[derive(Debug)]
pub(super) enum Term {
    Bool(bool),
    /// A term that is neither a field nor a variable, with fields.
    Chain(Box<Operand>, Vec<String>),
    Dot,
    /// Fields of dot.
    Field(Vec<String>),
    Function(Builtin),
    Nil,
    Number {
        text: String,
        number: Number,
    },
    Pipe(Pipe),
    Text {
        quoted: String,
        text: Vec<u8>,
    },
    /// A variable with fields.
    Variable(String, Vec<String>),
}

impl Term {
    /// Tells whether it may only be the first command of a pipeline.
    pub(super) fn is_constant(&self) -> bool {
        match self {
            Self::Bool(_) | Self::Dot | Self::Nil | Self::Number { .. } | Self::Text { .. } => true,
            Self::Chain(..) | Self::Field(_) | Self::Function(_) | Self::Pipe(_) | Self::Variable(..) => {
                false
            }
        }
    }
}

impl fmt::Display for Pipe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, variable) in self.variables.iter().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}{variable}")?;
        }
        if !self.variables.is_empty() {
            f.write_str(if self.assigns { " = " } else { " := " })?;
        }
        for (index, command) in self.commands.iter().enumerate() {
            let bar = if index == 0 { "" } else { " | " };
            write!(f, "{bar}{}", command.first)?;
            for argument in &command.arguments {
                write!(f, " {argument}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Display for Operand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = match &self.term {
            Term::Bool(value) => return write!(f, "{value}"),
            Term::Dot => return f.write_str("."),
            Term::Function(builtin) => return f.write_str(builtin.name()),
            Term::Nil => return f.write_str("nil"),
            Term::Number { text, .. } => return f.write_str(text),
            Term::Text { quoted, .. } => return f.write_str(quoted),
            Term::Pipe(pipe) => return write!(f, "({pipe})"),
            Term::Chain(operand, fields) => {
                write!(f, "{operand}")?;
                fields
            }
            Term::Field(fields) => fields,
            Term::Variable(name, fields) => {
                f.write_str(name)?;
                fields
            }
        };
        fields.iter().try_for_each(|field| write!(f, ".{field}"))
    }
}
