//! Renders templates: evaluates each node with dot and variables, within limits.

use std::rc::Rc;

use serde_json::Value as Json;

use crate::matchbox::go::quote::{self, Keep};
use crate::matchbox::template::format::Buffer;
use crate::matchbox::template::node::{Branch, Control, Node, Pipe, Position};
use crate::matchbox::template::print;
use crate::matchbox::template::value::{Data, Text, Thing, Value, sorted};
use crate::matchbox::template::{MOST_BYTES, MOST_DEPTH, MOST_STEPS, Template, TemplateError};

/// Renders a template with some data.
pub(super) fn render(template: &Template, data: &Json) -> Result<Vec<u8>, TemplateError> {
    let data = Data::new(data);
    let dot = Value::from(data.thing(data.root));
    let mut rendering = Rendering {
        template,
        data,
        output: Buffer::new(MOST_BYTES),
        position: 0,
        variables: vec![("$", dot.clone())],
        frame: 0,
        depth: 0,
        steps_left: MOST_STEPS,
        bytes_left: MOST_BYTES,
    };
    let nodes = template.trees.get("").map_or(&[][..], Vec::as_slice);
    match rendering.walk(&dot, nodes) {
        Ok(_) => Ok(rendering.output.into_bytes()),
        Err(message) => Err(TemplateError { line: template.line(rendering.position), message }),
    }
}

/// A value, or an error at the current position.
pub(super) type Outcome<T> = Result<T, String>;

/// The control flow after a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flow {
    Next,
    Break,
    Continue,
}

/// The state of a rendering.
pub(super) struct Rendering<'a> {
    template: &'a Template,
    pub(super) data: Data<'a>,
    output: Buffer,
    /// The position for errors.
    pub(super) position: Position,
    /// All visible variables, the latest last.
    variables: Vec<(&'a str, Value<'a>)>,
    /// Index of the first variable of the current template, which sees no others.
    frame: usize,
    depth: usize,
    steps_left: usize,
    bytes_left: usize,
}

impl<'a> Rendering<'a> {
    fn walk(&mut self, dot: &Value<'a>, nodes: &'a [Node]) -> Outcome<Flow> {
        for node in nodes {
            self.step()?;
            let flow = match node {
                Node::Text(text) => {
                    self.output.push(text);
                    Flow::Next
                }
                Node::Action(pipe) => {
                    self.position = pipe.position;
                    let value = self.pipeline(dot, pipe)?;
                    if pipe.variables.is_empty() {
                        self.position = pipe.position;
                        self.write(&value.thing);
                    }
                    Flow::Next
                }
                Node::Branch(branch) => self.deeper(|rendering| match branch.control {
                    Control::If | Control::With => rendering.choose(dot, branch),
                    Control::Range => rendering.repeat(dot, branch),
                })?,
                Node::Template { position, name, pipe } => {
                    self.position = *position;
                    self.deeper(|rendering| rendering.call_template(dot, name, pipe.as_ref()))?;
                    Flow::Next
                }
                Node::Break(position) => {
                    self.position = *position;
                    Flow::Break
                }
                Node::Continue(position) => {
                    self.position = *position;
                    Flow::Continue
                }
            };
            if self.output.is_full() {
                return Err(format!("the output has more than {MOST_BYTES} bytes"));
            }
            if flow != Flow::Next {
                return Ok(flow);
            }
        }
        Ok(Flow::Next)
    }

    fn step(&mut self) -> Outcome<()> {
        self.spend_steps(1)
    }

    /// Spends a number of steps.
    pub(super) fn spend_steps(&mut self, steps: usize) -> Outcome<()> {
        let left = self.steps_left.checked_sub(steps);
        self.steps_left = left.ok_or_else(|| format!("rendering takes more than {MOST_STEPS} steps"))?;
        Ok(())
    }

    /// Runs a recursive evaluation, within the depth limit.
    pub(super) fn deeper<T>(&mut self, inside: impl FnOnce(&mut Self) -> Outcome<T>) -> Outcome<T> {
        if self.depth == MOST_DEPTH {
            return Err(format!("exceeded maximum template depth ({MOST_DEPTH})"));
        }
        self.depth += 1;
        let outcome = inside(self)?;
        self.depth -= 1;
        Ok(outcome)
    }

    /// Returns a buffer for the result of a function.
    pub(super) fn buffer(&self) -> Buffer {
        Buffer::new(self.bytes_left)
    }

    /// Returns the result of a function, if it is within the limit.
    pub(super) fn made(&mut self, buffer: Buffer) -> Outcome<Value<'a>> {
        if buffer.is_full() {
            return Err(format!("functions make more than {MOST_BYTES} bytes"));
        }
        let bytes = buffer.into_bytes();
        self.bytes_left -= bytes.len();
        Ok(Thing::Text(Text::Made(Rc::from(bytes))).into())
    }

    /// Writes the value of an action.
    fn write(&mut self, thing: &Thing<'a>) {
        match thing {
            Thing::Nil => self.output.push(b"<no value>"),
            Thing::Text(text) => self.output.push(text.bytes()),
            _ => print::print(&mut self.output, self.data, std::slice::from_ref(thing)),
        }
    }

    fn choose(&mut self, dot: &Value<'a>, branch: &'a Branch) -> Outcome<Flow> {
        let known = self.variables.len();
        let mut chosen = (dot.clone(), branch.otherwise.as_slice());
        for (pipe, nodes) in &branch.arms {
            self.position = pipe.position;
            let value = self.pipeline(dot, pipe)?;
            if value.thing.is_true() {
                let dot = if branch.control == Control::With { value } else { dot.clone() };
                chosen = (dot, nodes);
                break;
            }
        }
        let flow = self.walk(&chosen.0, chosen.1)?;
        self.variables.truncate(known);
        Ok(flow)
    }

    fn repeat(&mut self, dot: &Value<'a>, branch: &'a Branch) -> Outcome<Flow> {
        let known = self.variables.len();
        let Some((pipe, nodes)) = branch.arms.first() else { return Ok(Flow::Next) };
        self.position = pipe.position;
        let value = self.pipeline(dot, pipe)?;
        let over = Over { pipe, nodes, known: self.variables.len() };
        let data = self.data;
        let repeated = match value.thing {
            Thing::Int(end) => self.count(&over, &value.thing, 0..end, Thing::Int)?,
            Thing::Byte(end) => self.count(&over, &value.thing, 0..end, Thing::Byte)?,
            Thing::List(items) => {
                let items = items.iter().enumerate().map(|(index, item)| {
                    let index = i64::try_from(index).unwrap_or(i64::MAX);
                    (Thing::Int(index).into(), data.boxed(item))
                });
                self.repeat_for(&over, items)?
            }
            Thing::Map(map) | Thing::Labels(map) => {
                let boxed = matches!(value.thing, Thing::Map(_));
                self.spend_steps(map.len())?;
                let members = sorted(map).into_iter().map(|(key, member)| {
                    let key = Thing::Text(Text::Lasting(key.as_bytes()));
                    (key.into(), Value { boxed, thing: data.thing(member) })
                });
                self.repeat_for(&over, members)?
            }
            Thing::Nil => false,
            Thing::Bool(_) | Thing::Float(_) | Thing::Complex(..) | Thing::Text(_) => {
                return Err(format!("range can't iterate over {}", print::shown(data, &value.thing)));
            }
        };
        let flow = if repeated { Flow::Next } else { self.walk(dot, &branch.otherwise)? };
        self.variables.truncate(known);
        Ok(flow)
    }

    fn count<N>(
        &mut self,
        over: &Over<'a>,
        end: &Thing<'a>,
        numbers: std::ops::Range<N>,
        thing: fn(N) -> Thing<'a>,
    ) -> Outcome<bool>
    where
        std::ops::Range<N>: Iterator<Item = N>,
    {
        if over.pipe.variables.len() > 1 {
            let end = print::shown(self.data, end);
            return Err(format!("can't use {end} to iterate over more than one variable"));
        }
        self.repeat_for(over, numbers.map(|number| (Value::NONE, thing(number).into())))
    }

    /// Runs the body for each item; returns whether there was any.
    fn repeat_for(
        &mut self,
        over: &Over<'a>,
        items: impl Iterator<Item = (Value<'a>, Value<'a>)>,
    ) -> Outcome<bool> {
        let mut repeated = false;
        for (index, item) in items {
            repeated = true;
            self.step()?;
            self.set_range_variables(over, index, &item)?;
            let flow = self.walk(&item, over.nodes)?;
            self.variables.truncate(over.known);
            if flow == Flow::Break {
                break;
            }
        }
        Ok(repeated)
    }

    fn set_range_variables(&mut self, over: &Over<'a>, index: Value<'a>, item: &Value<'a>) -> Outcome<()> {
        let assigns = over.pipe.assigns;
        match over.pipe.variables.as_slice() {
            [] => {}
            [name] if assigns => self.assign(name, item.clone())?,
            [first, second, ..] if assigns => {
                self.assign(first, index)?;
                self.assign(second, item.clone())?;
            }
            [_] => self.variables[over.known - 1].1 = item.clone(),
            [..] => {
                self.variables[over.known - 1].1 = item.clone();
                self.variables[over.known - 2].1 = index;
            }
        }
        Ok(())
    }

    fn call_template(&mut self, dot: &Value<'a>, name: &'a str, pipe: Option<&'a Pipe>) -> Outcome<()> {
        let template = self.template;
        let Some(nodes) = template.trees.get(name) else {
            return Err(format!("template {} not defined", quote::text(name.as_bytes(), Keep::Printable)));
        };
        let dot = match pipe {
            Some(pipe) => self.pipeline(dot, pipe)?,
            None => Value::NONE,
        };
        let known = self.variables.len();
        let outer = std::mem::replace(&mut self.frame, known);
        self.variables.push(("$", dot.clone()));
        // `break` and `continue` do not leave a template.
        self.walk(&dot, nodes)?;
        self.variables.truncate(known);
        self.frame = outer;
        Ok(())
    }

    /// Evaluates a pipeline and sets its variables.
    pub(super) fn pipeline(&mut self, dot: &Value<'a>, pipe: &'a Pipe) -> Outcome<Value<'a>> {
        self.position = pipe.position;
        let mut value = None;
        for command in &pipe.commands {
            value = Some(self.command(dot, command, value)?.unboxed());
        }
        let value = value.unwrap_or(Value::NONE);
        for name in &pipe.variables {
            if pipe.assigns {
                self.assign(name, value.clone())?;
            } else {
                self.variables.push((name, value.clone()));
            }
        }
        Ok(value)
    }

    fn assign(&mut self, name: &str, value: Value<'a>) -> Outcome<()> {
        let known = self.variables[self.frame..].iter_mut().rev().find(|(known, _)| *known == name);
        let (_, known) = known.ok_or_else(|| format!("undefined variable: {name}"))?;
        *known = value;
        Ok(())
    }

    pub(super) fn variable(&self, name: &str) -> Outcome<Value<'a>> {
        let known = self.variables[self.frame..].iter().rev().find(|(known, _)| *known == name);
        known.map(|(_, value)| value.clone()).ok_or_else(|| format!("undefined variable: {name}"))
    }
}

/// The items of a `range`.
struct Over<'a> {
    pipe: &'a Pipe,
    nodes: &'a [Node],
    /// Number of variables at the start of an iteration.
    known: usize,
}
