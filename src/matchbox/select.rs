//! Selects the group of a machine: the one with the most selectors; among those, the last by its selectors as text.
//!
//! There may be tens of thousands of groups, and most select one value of one label. So each group is indexed by one
//! pair of its selector, and a machine is only compared with the groups under its own pairs.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::labels::Labels;
use super::model::Group;

/// A group with its name on disk or in the lab file.
#[derive(Debug, Clone, PartialEq)]
pub struct Named {
    /// The name; on disk, the file name without `.json`, whatever the ID in the file.
    pub name: String,
    /// The group.
    pub group: Group,
    // Invariant: the selector as the real server formats it to compare groups.
    rank: String,
}

impl Named {
    /// Creates a named group.
    pub fn new(name: impl Into<String>, group: Group) -> Self {
        let mut pairs: Vec<String> =
            group.selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
        pairs.sort();
        Self { name: name.into(), rank: pairs.join(","), group }
    }

    /// Orders groups: the first that matches wins. Where the order of the real server is random, the first name wins.
    fn order(&self, other: &Self) -> Ordering {
        let pairs = |named: &Self| named.group.selector.len();
        pairs(other)
            .cmp(&pairs(self))
            .then_with(|| other.rank.cmp(&self.rank))
            .then_with(|| self.name.cmp(&other.name))
    }

    /// Tells whether a machine has all labels of the selector. An empty value counts as absent.
    pub fn matches(&self, labels: &Labels) -> bool {
        let has = |(key, value): (&String, &String)| labels.get(key).map_or("", String::as_str) == value;
        self.group.selector.iter().all(has)
    }
}

/// Groups by descending priority.
type GroupList = Vec<Arc<Named>>;

/// All groups, indexed for selection.
#[derive(Debug, Clone, Default)]
pub struct Groups {
    by_name: BTreeMap<String, Arc<Named>>,
    // Invariant: each group is either under one pair of its selector whose value is not empty, or separate if it has
    // none.
    by_pair: HashMap<String, HashMap<String, GroupList>>,
    apart: GroupList,
}

impl Groups {
    /// Inserts a group, replacing one of the same name.
    pub fn insert(&mut self, named: Named) {
        self.remove(&named.name);
        let named = Arc::new(named);
        self.by_name.insert(named.name.clone(), Arc::clone(&named));
        let pairs = named.group.selector.iter().filter(|(_, value)| !value.is_empty());
        // The pair with the fewest other groups.
        let list = match pairs.min_by_key(|(key, value)| self.under(key, value).map_or(0, Vec::len)) {
            Some((key, value)) => {
                self.by_pair.entry(key.clone()).or_default().entry(value.clone()).or_default()
            }
            None => &mut self.apart,
        };
        let at = list.partition_point(|other| other.order(&named) == Ordering::Less);
        list.insert(at, named);
    }

    /// Removes a group, if it exists.
    pub fn remove(&mut self, name: &str) {
        let Some(named) = self.by_name.remove(name) else { return };
        let is_other = |other: &Arc<Named>| !Arc::ptr_eq(other, &named);
        self.apart.retain(is_other);
        for (key, value) in &named.group.selector {
            let Some(values) = self.by_pair.get_mut(key) else { continue };
            if let Some(list) = values.get_mut(value) {
                list.retain(is_other);
                if list.is_empty() {
                    values.remove(value);
                }
            }
        }
    }

    /// Returns every group, by name.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Named>> {
        self.by_name.values()
    }

    /// Returns the group of a machine.
    pub fn select(&self, labels: &Labels) -> Option<&Arc<Named>> {
        let groups = labels.iter().filter_map(|(key, value)| self.under(key, value));
        let first = |list: &'_ GroupList| list.iter().position(|named| named.matches(labels));
        groups
            .chain([&self.apart])
            .filter_map(|list| first(list).map(|at| &list[at]))
            .min_by(|one, other| one.order(other))
    }

    fn under(&self, key: &str, value: &str) -> Option<&GroupList> {
        self.by_pair.get(key)?.get(value)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn named(name: &str, pairs: &[(&str, &str)]) -> Named {
        let selector = pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        Named::new(name, Group { selector, ..Group::default() })
    }

    fn groups(of: impl IntoIterator<Item = Named>) -> Groups {
        let mut groups = Groups::default();
        of.into_iter().for_each(|named| groups.insert(named));
        groups
    }

    fn labels(pairs: &[(&str, &str)]) -> Labels {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn the_most_particular_group_wins() {
        let groups = groups([
            named("default", &[]),
            named("zone", &[("zone", "z1")]),
            named("rack", &[("rack", "r1")]),
            named("node", &[("mac", "a")]),
            named("installed", &[("mac", "a"), ("os", "installed")]),
            named("nobody", &[("uuid", "")]),
            named("twice-b", &[("twin", "1")]),
            named("twice-a", &[("twin", "1")]),
        ]);
        let table: &[&[(&str, &str)]] = &[
            &[],
            &[("uuid", "x")],
            &[("uuid", "")],
            &[("mac", "a"), ("uuid", "x")],
            &[("mac", "a"), ("os", "installed")],
            &[("mac", "b"), ("os", "installed"), ("uuid", "x")],
            // On ties, the largest selector as text wins.
            &[("zone", "z1"), ("rack", "r1")],
            &[("mac", "a"), ("rack", "r1"), ("uuid", "1")],
            &[("twin", "1"), ("uuid", "1")],
            &[("Zone", "z1"), ("uuid", "1")],
        ];
        let lines: Vec<String> = table
            .iter()
            .map(|pairs| {
                let found = groups.select(&labels(pairs)).map_or("-", |named| &named.name);
                format!("{found:10} {}", super::super::labels::words(&labels(pairs)))
            })
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @"
        nobody     
        default    uuid=x
        nobody     uuid=
        node       mac=a uuid=x
        installed  mac=a os=installed
        default    mac=b os=installed uuid=x
        zone       rack=r1 zone=z1
        rack       mac=a rack=r1 uuid=1
        twice-a    twin=1 uuid=1
        default    Zone=z1 uuid=1
        ");
    }

    #[test]
    fn twenty_thousand_groups_are_compared_with_few() {
        let mut all = groups((0..20_000).map(|at| {
            named(&format!("g{at}"), &[("mac", &format!("m{at}")), ("os", "installed"), ("aisle", "1")])
        }));
        let longest = all.by_pair.values().flat_map(HashMap::values).map(Vec::len).max();
        assert!(longest < Some(4), "{longest:?}");
        let query = labels(&[("mac", "m777"), ("os", "installed"), ("aisle", "1")]);
        assert_eq!(all.select(&query).unwrap().name, "g777");
        all.remove("g777");
        assert_eq!(all.select(&query), None);
        assert_eq!(all.all().count(), 19_999);
    }

    proptest! {
        #[test]
        fn the_index_finds_what_comparing_all_finds(
            wanted in prop::collection::vec(prop::collection::btree_map("[a-c]", "[xy]?", 0..4), 0..12),
            query in prop::collection::vec(prop::collection::btree_map("[a-d]", "[xyz]?", 0..5), 1..6),
            gone in prop::collection::vec(0..12_usize, 0..6),
        ) {
            let all: Vec<Named> = wanted
                .into_iter()
                .enumerate()
                .map(|(at, selector)| Named::new(format!("g{at:02}"), Group { selector, ..Group::default() }))
                .collect();
            let mut index = groups(all.clone());
            gone.iter().for_each(|at| index.remove(&format!("g{at:02}")));
            for labels in query {
                let left = all.iter().enumerate().filter(|(at, _)| !gone.contains(at)).map(|(_, named)| named);
                let plain = left.filter(|named| named.matches(&labels)).min_by(|one, other| one.order(other));
                prop_assert_eq!(index.select(&labels).map(|named| &named.name), plain.map(|named| &named.name));
            }
        }
    }
}
