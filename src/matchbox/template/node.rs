//! What a template is made of once it is read.

use std::fmt;

use crate::matchbox::template::function::Builtin;
use crate::matchbox::template::number::Number;

/// A byte of a template's text.
pub(super) type Position = usize;

/// A piece of a template that makes some output, or decides what does.
#[derive(Debug)]
pub(super) enum Node {
    /// Text that is written as it is.
    Text(Vec<u8>),
    /// A pipeline whose value is written where it declares nothing.
    Action(Pipe),
    Branch(Branch),
    /// Another template, rendered with another dot.
    Template {
        place: Position,
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
    /// What is asked, one after the other, and what is done where it is so. A `range` asks once.
    pub(super) arms: Vec<(Pipe, Vec<Node>)>,
    /// What is done where nothing is so.
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

/// Commands, each of which gets the value of the one before as its last argument.
#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) place: Position,
    /// Whether variables are assigned to that are known already.
    pub(super) assigns: bool,
    /// The variables that get the value.
    pub(super) variables: Vec<String>,
    pub(super) commands: Vec<Command>,
}

/// An operand, with arguments where it is a function.
#[derive(Debug)]
pub(super) struct Command {
    pub(super) place: Position,
    pub(super) first: Operand,
    pub(super) arguments: Vec<Operand>,
}

/// A value, or a way to one.
#[derive(Debug)]
pub(super) struct Operand {
    pub(super) place: Position,
    pub(super) term: Term,
}

#[derive(Debug)]
pub(super) enum Term {
    Bool(bool),
    /// A term that is neither a field nor a variable, and fields of it.
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
    /// A variable and fields of it.
    Variable(String, Vec<String>),
}

impl Term {
    /// Tells whether it may stand only at the beginning of a pipeline.
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
