//! What a file says: its directives with their places, and what became of each.
//!
//! Every format is read into this one shape, so that nothing of a file can be dropped without a word: a directive that
//! nobody carried over is reported.

use crate::diag::Span;
use crate::matchbox::tree::{NodeId, Tree, What};

/// The deepest nesting that a file may have. Nobody writes more by hand.
pub(super) const DEEPEST: usize = 60;

/// The index of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(super) struct ItemId(usize);

/// What became of a directive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fate {
    /// It is in the lab, under this key.
    Carried(String),
    /// A part of it is in the lab, under this key; the rest is not, for this reason.
    Partly(String, String),
    /// It is not in the lab, for this reason.
    Left(String),
}

/// One directive of a file, and what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    /// Its place.
    pub span: Span,
    /// Its name, in files with nesting with the names of what is around it.
    pub name: String,
    /// What became of it.
    pub fate: Fate,
}

/// One directive, or a block of directives.
#[derive(Debug, Clone)]
struct Item {
    name: String,
    text: Option<String>,
    span: Span,
    parent: Option<ItemId>,
    children: Vec<ItemId>,
    /// Whether its children are numbered.
    list: bool,
    fate: Option<Fate>,
    /// Whether a file is not there that it names.
    missing: bool,
    /// Whether its fate is the same if a server runs with the file.
    kept: bool,
}

/// All directives of a file and of what it includes.
#[derive(Debug, Clone)]
pub(super) struct Document {
    // Invariant: the first item is the root, and every `ItemId` within is the index of an item.
    items: Vec<Item>,
}

impl Document {
    /// The item around all others.
    pub(super) const ROOT: ItemId = ItemId(0);

    /// Creates the document of a file without directives.
    pub(super) fn new(file: usize) -> Self {
        let root = Item {
            name: String::new(),
            text: None,
            span: Span::new(file, 0..0),
            parent: None,
            children: Vec::new(),
            list: false,
            fate: None,
            missing: false,
            kept: false,
        };
        Self { items: vec![root] }
    }

    /// Adds an item behind all others of its parent.
    pub(super) fn add(
        &mut self,
        parent: ItemId,
        name: impl Into<String>,
        text: Option<String>,
        span: Span,
    ) -> ItemId {
        let id = ItemId(self.items.len());
        let name = name.into();
        self.items.push(Item {
            name,
            text,
            span,
            parent: Some(parent),
            children: Vec::new(),
            list: false,
            fate: None,
            missing: false,
            kept: false,
        });
        self.items[parent.0].children.push(id);
        id
    }

    /// Gives an item another name.
    pub(super) fn rename(&mut self, id: ItemId, name: String) {
        self.items[id.0].name = name;
    }

    /// Adds to the value of an item.
    pub(super) fn append(&mut self, id: ItemId, text: &str) {
        // Blanks between elements are no value.
        if self.items[id.0].text.is_some() || !text.trim().is_empty() {
            self.items[id.0].text.get_or_insert_default().push_str(text);
        }
    }

    /// Returns the name of an item.
    pub(super) fn name(&self, id: ItemId) -> &str {
        &self.items[id.0].name
    }

    /// Returns the value of an item; empty if it has none.
    pub(super) fn text(&self, id: ItemId) -> &str {
        self.items[id.0].text.as_deref().unwrap_or_default()
    }

    /// Returns the place of an item.
    pub(super) fn span(&self, id: ItemId) -> Span {
        self.items[id.0].span.clone()
    }

    /// Extends the place of an item up to a byte.
    pub(super) fn extend(&mut self, id: ItemId, end: usize) {
        let span = &mut self.items[id.0].span;
        span.end = span.end.max(end);
    }

    /// Returns the items of a block, in order.
    pub(super) fn children(&self, id: ItemId) -> Vec<ItemId> {
        self.items[id.0].children.clone()
    }

    /// Returns the block around an item.
    pub(super) fn parent(&self, id: ItemId) -> Option<ItemId> {
        self.items[id.0].parent
    }

    /// Returns the first item of a block with this name.
    pub(super) fn get(&self, id: ItemId, name: &str) -> Option<ItemId> {
        self.items[id.0].children.iter().copied().find(|child| self.name(*child) == name)
    }

    /// Returns the item at the end of a path of names.
    pub(super) fn at(&self, id: ItemId, path: &[&str]) -> Option<ItemId> {
        path.iter().try_fold(id, |id, name| self.get(id, name))
    }

    /// Returns all items of a block with this name.
    pub(super) fn all(&self, id: ItemId, name: &str) -> Vec<ItemId> {
        self.items[id.0].children.iter().copied().filter(|child| self.name(*child) == name).collect()
    }

    /// Returns every item but the root, in the order of the file.
    pub(super) fn every(&self) -> impl Iterator<Item = ItemId> {
        (1..self.items.len()).map(ItemId)
    }

    /// Notes that an item is in the lab.
    pub(super) fn carry(&mut self, id: ItemId, to: impl Into<String>) {
        self.items[id.0].fate = Some(Fate::Carried(to.into()));
    }

    /// Notes that a part of an item is in the lab.
    pub(super) fn carry_partly(&mut self, id: ItemId, to: impl Into<String>, rest: impl Into<String>) {
        self.items[id.0].fate = Some(Fate::Partly(to.into(), rest.into()));
    }

    /// Notes what of an item is not in the lab that is in it otherwise.
    pub(super) fn qualify(&mut self, id: ItemId, rest: &str) {
        let fate = &mut self.items[id.0].fate;
        *fate = match fate.take() {
            Some(Fate::Carried(to)) => Some(Fate::Partly(to, rest.to_owned())),
            Some(Fate::Partly(to, known)) if !known.contains(rest) => {
                Some(Fate::Partly(to, format!("{known}; {rest}")))
            }
            other => other,
        };
    }

    /// Notes that an item is in the lab with all that is in it.
    pub(super) fn carry_whole(&mut self, id: ItemId, to: &str) {
        let mut waiting = vec![id];
        while let Some(id) = waiting.pop() {
            self.carry(id, to);
            waiting.extend(&self.items[id.0].children);
        }
    }

    /// Notes that an item, with all that is in it, is not in the lab.
    pub(super) fn leave(&mut self, id: ItemId, why: impl Into<String>) {
        self.items[id.0].fate = Some(Fate::Left(why.into()));
    }

    /// Notes that an item is not in the lab, even if a server runs with the file.
    pub(super) fn leave_for_good(&mut self, id: ItemId, why: impl Into<String>) {
        self.leave(id, why);
        self.items[id.0].kept = true;
    }

    /// Notes that a file is not there that an item names.
    pub(super) fn miss(&mut self, id: ItemId, why: impl Into<String>) {
        self.leave_for_good(id, why);
        self.items[id.0].missing = true;
    }

    /// Returns whether a file is not there that an item names.
    pub(super) fn is_missing(&self, id: ItemId) -> bool {
        self.items[id.0].missing
    }

    /// Notes that all items are in the lab, because a server runs with the file itself. Files that are not there are
    /// missing all the same.
    pub(super) fn carry_all(&mut self, to: &str) {
        for item in self.items.iter_mut().skip(1).filter(|item| !item.kept) {
            item.fate = Some(Fate::Carried(to.to_owned()));
        }
    }

    /// Notes that none of the items is in the lab.
    pub(super) fn leave_all(&mut self, why: &str) {
        for item in self.items.iter_mut().skip(1).filter(|item| !item.kept) {
            item.fate = Some(Fate::Left(why.to_owned()));
        }
    }

    /// Returns whether something was noted of an item.
    pub(super) fn is_settled(&self, id: ItemId) -> bool {
        self.items[id.0].fate.is_some()
    }

    /// Returns the name of an item with those of the blocks around it.
    pub(super) fn path(&self, id: ItemId) -> String {
        let mut parts = Vec::new();
        let mut next = Some(id);
        while let Some(id) = next {
            parts.push(id);
            next = self.parent(id);
        }
        let mut path = String::new();
        for id in parts.into_iter().rev().skip(1) {
            let item = &self.items[id.0];
            let numbered = item.parent.is_some_and(|parent| self.items[parent.0].list);
            match numbered {
                true => path.extend(["[", &item.name, "]"]),
                // The top of a tree.
                false if item.name.is_empty() => {}
                false if path.is_empty() => path.push_str(&item.name),
                false => path.extend([".", &item.name]),
            }
        }
        path
    }

    /// Returns what became of every directive, in the order of the file: what nobody noted anything of is left, for
    /// the reason that `why` gives. A block of which nothing is carried over is one directive.
    pub(super) fn directives(&self, why: &dyn Fn(&Self, ItemId) -> String) -> Vec<Directive> {
        let mut used = vec![false; self.items.len()];
        // Children come behind their parents.
        for index in (1..self.items.len()).rev() {
            let item = &self.items[index];
            used[index] |= item.fate.is_some();
            if let Some(parent) = item.parent {
                used[parent.0] |= used[index];
            }
        }
        let mut found = Vec::new();
        let mut waiting: Vec<ItemId> = self.items[0].children.iter().rev().copied().collect();
        while let Some(id) = waiting.pop() {
            let item = &self.items[id.0];
            let fate = match &item.fate {
                Some(fate) => Some(fate.clone()),
                None if used[id.0] => None,
                // The top of a tree has no name of its own.
                None if item.name.is_empty() && !item.children.is_empty() => None,
                None => Some(Fate::Left(why(self, id))),
            };
            if !matches!(fate, Some(Fate::Left(_))) {
                waiting.extend(item.children.iter().rev());
            }
            // A block that only holds others is no directive itself.
            if let Some(fate) = fate {
                found.push(Directive { span: item.span.clone(), name: self.path(id), fate });
            }
        }
        found
    }

    /// Adds the values of a tree of JSON or YAML; `place` returns the place of a line.
    ///
    /// # Errors
    ///
    /// The line that is nested too deep.
    pub(super) fn add_tree(&mut self, tree: &Tree, place: &dyn Fn(usize) -> Span) -> Result<ItemId, usize> {
        let top = self.add(Self::ROOT, "", None, place(1));
        let mut waiting = vec![(tree.root(), top, 0)];
        while let Some((node, item, depth)) = waiting.pop() {
            let line = tree.node(node).line;
            if depth > DEEPEST {
                return Err(line);
            }
            self.items[item.0].span = place(line);
            let add = |this: &mut Self, name: String, value: NodeId| {
                let child = this.add(item, name, None, place(line));
                (value, child, depth + 1)
            };
            let mut below = Vec::new();
            match &tree.node(node).what {
                What::Null => self.items[item.0].text = Some(String::new()),
                What::Flag(flag) => self.items[item.0].text = Some(flag.to_string()),
                What::Number(text) | What::Text(text) => self.items[item.0].text = Some(text.clone()),
                What::Scalar(scalar) => self.items[item.0].text = Some(plain(scalar.quoted, &scalar.text)),
                What::Alias { to, name } => match &tree.node(*to).what {
                    What::Scalar(scalar) => {
                        self.items[item.0].text = Some(plain(scalar.quoted, &scalar.text))
                    }
                    _ => self.leave(item, format!("the alias `*{name}` of a list or map is not followed")),
                },
                What::List(items) => {
                    self.items[item.0].list = true;
                    for (index, value) in items.iter().enumerate() {
                        below.push(add(self, index.to_string(), *value));
                    }
                }
                What::Map(pairs) => {
                    for (key, value) in pairs {
                        let name = match &tree.resolved(*key).what {
                            What::Scalar(scalar) => scalar.text.clone(),
                            What::Text(text) | What::Number(text) => text.clone(),
                            other => other.called().to_owned(),
                        };
                        below.push(add(self, name, *value));
                    }
                }
            }
            waiting.extend(below.into_iter().rev());
        }
        Ok(top)
    }
}

/// Returns the text of a scalar: null is written as nothing.
fn plain(quoted: bool, text: &str) -> String {
    if !quoted && matches!(text, "~" | "null") { String::new() } else { text.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_carried_is_left() {
        let mut document = Document::new(0);
        let span = |at: usize| Span::new(0, at..at + 1);
        let block = document.add(Document::ROOT, "subnet", None, span(1));
        let pool = document.add(block, "pool", Some("a".into()), span(2));
        document.add(block, "lease", Some("b".into()), span(3));
        let other = document.add(Document::ROOT, "other", None, span(4));
        document.add(other, "inner", Some("c".into()), span(5));
        document.carry(pool, "network.lan.dhcp");
        let directives = document.directives(&|document, id| format!("no {}", document.name(id)));
        let said: Vec<_> = directives.iter().map(|one| (one.name.as_str(), one.fate.clone())).collect();
        assert_eq!(
            said,
            [
                ("subnet.pool", Fate::Carried("network.lan.dhcp".into())),
                ("subnet.lease", Fate::Left("no lease".into())),
                ("other", Fate::Left("no other".into())),
            ]
        );
    }
}
