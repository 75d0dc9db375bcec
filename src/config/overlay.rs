//! Merges overlays and `--set` arguments, and expands `count`.
//!
//! Tables merge; values, lists and tagged values (`that`, `dhcp`, …) replace.
//! Each layer is expanded before it is merged, so that every later layer may
//! refine one node of a group, or the group as a whole.

use std::collections::BTreeMap;

use super::set::Path;
use super::tree::{Entry, Table, Tree, Value};
use crate::diag::{Code, Diagnostic, Span, enumerate, nearest};

/// The maximum of one `count`.
const MOST: i64 = 250;

/// The maximum of all counts together.
const MOST_OF_ALL: i64 = super::MOST_NODES as i64;

/// One source to be merged.
pub(super) struct Layer {
    pub(super) tree: Tree,
    pub(super) kind: Kind,
}

/// Where a layer comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The lab file.
    Base,
    /// A file of `--on`.
    Overlay,
    /// A `--set`: one key, which may lie inside a tagged value.
    Set,
}

/// Merges the layers, the lab file first.
pub(super) fn merge(layers: Vec<Layer>, found: &mut Vec<Diagnostic>) -> Tree {
    let mut layers = layers.into_iter();
    let mut merger = Merger { groups: BTreeMap::new(), total: 0, full: false, found };
    let Some(base) = layers.next() else { return Tree::empty(Span::new(0, 0..0)) };
    let mut into = Tree::empty(base.tree.span.clone());
    merger.lay(&mut into, base);
    for layer in layers {
        merger.lay(&mut into, layer);
    }
    merger.strays(&into);
    into
}

/// Nodes that came from one entry with a `count`.
struct Group {
    /// The entry, merged over all layers so far.
    pattern: Entry,
    count: i64,
    /// Position of the count.
    span: Span,
}

struct Merger<'f> {
    groups: BTreeMap<String, Group>,
    /// The nodes of all groups.
    total: i64,
    /// Whether it was reported that there are too many.
    full: bool,
    found: &'f mut Vec<Diagnostic>,
}

impl Merger<'_> {
    fn lay(&mut self, into: &mut Tree, mut layer: Layer) {
        self.remove(into, &mut layer);
        let Some(table) = layer.tree.table_mut() else { return };
        let nodes = table.remove("node");
        let rest = std::mem::take(table);
        let Value::Table(target) = &mut into.value else { return };
        merge_table(target, rest, layer.kind, &mut Vec::new());
        let Some(nodes) = nodes else { return };
        let Value::Table(entries) = nodes.tree.value else {
            target.insert("node".into(), nodes);
            return;
        };
        let home = target
            .entry("node")
            .or_insert_with(|| Entry { key: nodes.key, tree: Tree::empty(nodes.tree.span) });
        let Some(home) = home.tree.table_mut() else { return };
        // Groups before single nodes, so that `[node.worker-2]` applies regardless of the order in the file.
        let (groups, single): (Vec<_>, Vec<_>) = entries.into_iter().partition(|(name, entry)| {
            self.groups.contains_key(name)
                || entry.tree.table().is_some_and(|table| {
                    table.get("count").is_some_and(|entry| matches!(entry.tree.value, Value::Integer(_)))
                })
        });
        for (name, entry) in groups {
            self.expand(home, &name, entry, layer.kind);
        }
        for (name, entry) in single {
            merge_entry(home, name.clone(), entry, layer.kind, &mut vec!["node".into(), name]);
        }
    }

    /// Merges one entry into every node of a group, and creates or drops nodes according to its count.
    fn expand(&mut self, home: &mut Table, name: &str, mut entry: Entry, kind: Kind) {
        let count = entry.tree.table_mut().and_then(|table| table.remove("count"));
        if let (Some(count), Some(group)) = (&count, self.group_of(home, name)) {
            let what = format!("`{name}` is a node of group `{group}` and cannot be a group itself");
            self.found.push(
                Diagnostic::new(Code::BadCount, count.key.clone(), what)
                    .help(format!("set the count of `{group}` instead, or rename this group")),
            );
            merge_entry(home, name.into(), entry, kind, &mut vec!["node".into(), name.into()]);
            return;
        }
        let known = self.groups.remove(name).or_else(|| {
            // A single node of an earlier layer becomes the pattern of the group.
            let pattern = home.remove(name)?;
            Some(Group { span: pattern.key.clone(), pattern, count: 0 })
        });
        let before = known.as_ref().map_or(0, |group| group.count);
        let (count, span) = match (count, &known) {
            (Some(Entry { key, tree: Tree { span, value: Value::Integer(count) } }), _) => {
                (self.in_range(count, before, &span), key)
            }
            (Some(Entry { key, tree: Tree { span, value } }), _) => {
                if !matches!(value, Value::Broken) {
                    let what = format!("`count` must be an integer, not {}", value.kind());
                    let help = format!("a group has 1 to {MOST} nodes");
                    self.found.push(Diagnostic::new(Code::WrongType, span, what).help(help));
                }
                (before.max(1), key)
            }
            (None, Some(group)) => (group.count, group.span.clone()),
            (None, None) => (1, entry.key.clone()),
        };
        self.total += count - before;
        let old = known.map(|group| group.pattern);
        for number in 1..=count {
            let member = format!("{name}-{number}");
            let mut path = vec!["node".into(), member.clone()];
            if number > before
                && let Some(old) = &old
            {
                merge_entry(home, member.clone(), old.clone(), kind, &mut path);
            }
            merge_entry(home, member, entry.clone(), kind, &mut path);
        }
        for number in count + 1..=before {
            home.remove(&format!("{name}-{number}"));
        }
        let pattern = match old {
            Some(mut old) => {
                merge_value(&mut old, entry, kind, &mut vec!["node".into(), name.into()]);
                old
            }
            None => entry,
        };
        self.groups.insert(name.into(), Group { pattern, count, span });
    }

    /// Returns the group of which a node is a member.
    fn group_of(&self, home: &Table, name: &str) -> Option<String> {
        let (stem, number) = name.rsplit_once('-')?;
        let group = self.groups.get(stem)?;
        let member = number.parse().is_ok_and(|number| (1..=group.count).contains(&number));
        (member && home.contains_key(name)).then(|| stem.to_owned())
    }

    /// Accepts a count if a group, and all groups together, may have that many nodes.
    fn in_range(&mut self, count: i64, before: i64, span: &Span) -> i64 {
        let others = self.total - before;
        if !(1..=MOST).contains(&count) {
            self.found.push(
                Diagnostic::new(Code::BadCount, span.clone(), format!("a group cannot have {count} nodes"))
                    .help(format!("a group has 1 to {MOST} nodes")),
            );
        } else if others + count > MOST_OF_ALL && !self.full {
            // Report it only once.
            self.full = true;
            let what = format!("the groups have {} nodes in total up to here", others + count);
            self.found.push(
                Diagnostic::new(Code::BadCount, span.clone(), what)
                    .help(format!("a lab has at most {MOST_OF_ALL} nodes")),
            );
        }
        count.clamp(1, MOST).min(MOST_OF_ALL - others).max(0)
    }

    /// Removes the entries that a layer's `remove` names.
    fn remove(&mut self, into: &mut Tree, layer: &mut Layer) {
        let Some(table) = layer.tree.table_mut() else { return };
        if layer.kind == Kind::Base {
            if let Some(entry) = table.remove("remove") {
                self.found.push(
                    Diagnostic::new(
                        Code::RemovesNothing,
                        entry.key,
                        "`remove` is not allowed in the lab file itself",
                    )
                    .help("use it in an overlay (`--on`) to remove entries of the lab file"),
                );
            }
            return;
        }
        let Some(Entry { tree, .. }) = table.remove("remove") else { return };
        let wrong = |span: &Span, what: &str| {
            Diagnostic::new(
                Code::WrongType,
                span.clone(),
                format!("`remove` must be a list of strings, not {what}"),
            )
            .help("write the paths of entries, such as [\"expect.kubelet\"]")
        };
        let Value::Array(items) = tree.value else {
            if !matches!(tree.value, Value::Broken) {
                self.found.push(wrong(&tree.span, tree.value.kind()));
            }
            return;
        };
        for item in items {
            match &item.value {
                Value::String(path) => self.take_out(into, path, &item.span),
                Value::Broken => {}
                other => self.found.push(wrong(&item.span, &format!("a list with {}", other.kind()))),
            }
        }
    }

    fn take_out(&mut self, into: &mut Tree, text: &str, span: &Span) {
        let nothing = || {
            let what = format!("`{text}` does not exist, so it cannot be removed");
            Diagnostic::new(Code::RemovesNothing, span.clone(), what)
        };
        let Some(path) = Path::parse(text) else {
            let help = "write the path of an entry, such as \"expect.kubelet\"";
            self.found.push(nothing().help(help));
            return;
        };
        let mut names = path.names();
        if let [kind, group] = names.as_slice()
            && kind == "node"
            && let Some(Group { count, .. }) = self.groups.remove(group)
        {
            self.total -= count;
            if let Some(home) = into.table_mut().and_then(|table| table.get_mut("node")) {
                for number in 1..=count {
                    home.tree.table_mut().and_then(|home| home.remove(&format!("{group}-{number}")));
                }
            }
            return;
        }
        let Some(last) = names.pop() else { return };
        let mut home = Some(into);
        for name in &names {
            home = home.and_then(|tree| tree.table_mut()?.get_mut(name)).map(|entry| &mut entry.tree);
        }
        let Some(table) = home.and_then(|tree| tree.table_mut()) else {
            let help = format!("there is no table `{}`", names.join("."));
            self.found.push(nothing().help(help));
            return;
        };
        if table.remove(&last).is_none() {
            let full =
                |name: &str| names.iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join(".");
            let help = match nearest(&last, table.keys().map(String::as_str)) {
                Some(meant) => format!("did you mean \"{}\"?", full(meant)),
                None => {
                    let known: Vec<_> = table.keys().map(|name| full(name)).collect();
                    match known.as_slice() {
                        [] => format!("`{}` is empty", names.join(".")),
                        known => format!("there is {}", enumerate(known.iter().map(String::as_str))),
                    }
                }
            };
            self.found.push(nothing().help(help));
        }
    }

    /// Warns about `[node.worker-5]` if `node.worker` has a count of two.
    fn strays(&mut self, into: &Tree) {
        let Some(nodes) = into.table().and_then(|table| table.get("node")) else { return };
        let Some(nodes) = nodes.tree.table() else { return };
        for (name, entry) in nodes {
            let Some((stem, number)) = name.rsplit_once('-') else { continue };
            let Some(group) = self.groups.get(stem) else { continue };
            if number.parse::<i64>().is_ok_and(|number| !(1..=group.count).contains(&number)) {
                self.found.push(
                    Diagnostic::new(
                        Code::StrayMember,
                        entry.key.clone(),
                        format!("`{name}` is not one of the {} nodes of `{stem}`", group.count),
                    )
                    .related(group.span.clone(), "the group's count")
                    .help("raise the count, or rename this node"),
                );
            }
        }
    }
}

fn merge_table(into: &mut Table, from: Table, kind: Kind, path: &mut Vec<String>) {
    // `that` and `never` are alternatives: the later one wins.
    if matches!(path.as_slice(), [top, _] if top == "expect") {
        let other = match (from.contains_key("that"), from.contains_key("never")) {
            (true, false) => Some("never"),
            (false, true) => Some("that"),
            _ => None,
        };
        if let Some(other) = other {
            into.remove(other);
        }
    }
    for (name, entry) in from {
        path.push(name.clone());
        merge_entry(into, name, entry, kind, path);
        path.pop();
    }
}

fn merge_entry(into: &mut Table, name: String, entry: Entry, kind: Kind, path: &mut Vec<String>) {
    match into.get_mut(&name) {
        Some(old) => merge_value(old, entry, kind, path),
        None => {
            into.insert(name, entry);
        }
    }
}

fn merge_value(old: &mut Entry, new: Entry, kind: Kind, path: &mut Vec<String>) {
    match (&mut old.tree.value, new.tree.value) {
        (Value::Table(into), Value::Table(from)) if !is_tagged(path) || same_tag(into, &from, kind) => {
            merge_table(into, from, kind, path);
        }
        (_, value) => *old = Entry { key: new.key, tree: Tree { span: new.tree.span, value } },
    }
}

/// Returns whether a path leads to a value with alternatives, of which only one can be chosen.
fn is_tagged(path: &[String]) -> bool {
    let path: Vec<_> = path.iter().map(String::as_str).collect();
    matches!(
        path.as_slice(),
        ["network", _, "dhcp"] | ["node", _, "seed"] | ["expect", _, "that" | "never"] | [.., "ssh", "key"]
    )
}

/// Returns whether a `--set` continues inside the alternative that was chosen.
fn same_tag(into: &Table, from: &Table, kind: Kind) -> bool {
    kind == Kind::Set && from.keys().all(|tag| into.contains_key(tag))
}
