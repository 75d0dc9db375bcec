//! The rules and their counters.

use std::collections::{BTreeMap, BTreeSet};

use crate::lab::{Fault, FaultKind};
use crate::name::{FaultName, NodeName, Trigger};

/// All faults, in the order in which they apply.
#[derive(Debug, Default)]
pub(super) struct Rules(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    fault: Fault,
    has_begun: bool,
    /// How often it has happened to each node.
    struck: BTreeMap<NodeName, u32>,
    /// The nodes to which it does not happen any more.
    over: BTreeSet<NodeName>,
}

impl Rule {
    fn new(fault: Fault) -> Self {
        Self { fault, has_begun: false, struck: BTreeMap::new(), over: BTreeSet::new() }
    }

    fn stands(&self, node: &NodeName) -> bool {
        self.has_begun && self.fault.nodes.contains(node) && !self.over.contains(node)
    }
}

impl Rules {
    pub(super) fn new(faults: impl Iterator<Item = Fault>) -> Self {
        Self(faults.map(Rule::new).collect())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Starts the faults that come after what has happened so far, and returns those that begin now.
    pub(super) fn begin(&mut self, happened: &BTreeSet<Trigger>) -> Vec<Fault> {
        let has_come = |fault: &Fault| fault.after.as_ref().is_none_or(|after| happened.contains(after));
        let new = self.0.iter_mut().filter(|rule| !rule.has_begun && has_come(&rule.fault));
        new.map(|rule| {
            rule.has_begun = true;
            rule.fault.clone()
        })
        .collect()
    }

    /// Adds a fault, which has begun unless it comes after something, under the first free name.
    pub(super) fn add(
        &mut self,
        nodes: Vec<NodeName>,
        after: Option<Trigger>,
        times: Option<u32>,
        kind: FaultKind,
    ) -> Fault {
        let is_free = |name: &FaultName| !self.0.iter().any(|rule| rule.fault.name == *name);
        let mut names = (1_u64..).filter_map(|number| FaultName::new(&format!("by-hand-{number}")).ok());
        let name = names.find(is_free).expect("there are more numbers than faults");
        let has_begun = after.is_none();
        let fault = Fault { name, nodes, after, times, kind };
        // The newest word counts.
        self.0.insert(0, Rule { has_begun, ..Rule::new(fault.clone()) });
        fault
    }

    /// Ends all faults of a node, and returns those that stood.
    pub(super) fn end(&mut self, node: &NodeName) -> Vec<Fault> {
        let mut ended = Vec::new();
        for rule in self.0.iter_mut().filter(|rule| rule.fault.nodes.contains(node)) {
            ended.extend(rule.stands(node).then(|| rule.fault.clone()));
            rule.over.insert(node.clone());
        }
        ended
    }

    /// Returns the first fault that applies, which happens to the node now, and whether it was the last time.
    pub(super) fn strike<T>(
        &mut self,
        node: &NodeName,
        what: impl Fn(&FaultKind) -> Option<T>,
    ) -> Option<(Fault, T, bool)> {
        let standing = self.0.iter_mut().filter(|rule| rule.stands(node));
        let (rule, what) =
            standing.filter_map(|rule| what(&rule.fault.kind).map(|what| (rule, what))).next()?;
        let struck = rule.struck.entry(node.clone()).or_default();
        *struck += 1;
        let last = rule.fault.times.is_some_and(|times| *struck >= times);
        if last {
            rule.over.insert(node.clone());
        }
        Some((rule.fault.clone(), what, last))
    }

    /// Returns the faults of a node that stand.
    pub(super) fn standing<'a>(&'a self, node: &'a NodeName) -> impl Iterator<Item = &'a Fault> {
        self.0.iter().filter(move |rule| rule.stands(node)).map(|rule| &rule.fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::{DhcpFault, DnsFault};

    fn node(name: &str) -> NodeName {
        NodeName::new(name).unwrap()
    }

    fn fault(name: &str, after: Option<&str>, times: Option<u32>, kind: FaultKind) -> Fault {
        Fault {
            name: FaultName::new(name).unwrap(),
            nodes: vec![node("a"), node("b")],
            after: after.map(|after| after.parse().unwrap()),
            times,
            kind,
        }
    }

    const DROP: FaultKind = FaultKind::Dhcp(DhcpFault::Drop);

    fn dhcp(kind: &FaultKind) -> Option<DhcpFault> {
        match kind {
            FaultKind::Dhcp(fault) => Some(fault.clone()),
            _ => None,
        }
    }

    fn struck(rules: &mut Rules, of: &str) -> Option<(String, bool)> {
        rules.strike(&node(of), dhcp).map(|(fault, _, last)| (fault.name.to_string(), last))
    }

    #[test]
    fn a_fault_happens_to_each_node_as_often_as_it_may() {
        let mut rules = Rules::new([fault("drop", None, Some(2), DROP)].into_iter());
        assert_eq!(struck(&mut rules, "a"), None, "it has not begun");
        assert_eq!(rules.begin(&BTreeSet::new()).len(), 1);
        assert_eq!(rules.begin(&BTreeSet::new()).len(), 0, "it begins once");
        assert_eq!(struck(&mut rules, "a"), Some(("drop".to_owned(), false)));
        assert_eq!(struck(&mut rules, "a"), Some(("drop".to_owned(), true)));
        assert_eq!(struck(&mut rules, "a"), None);
        assert_eq!(
            struck(&mut rules, "b"),
            Some(("drop".to_owned(), false)),
            "each node has its own counter"
        );
        assert_eq!(struck(&mut rules, "c"), None, "it is not one of its nodes");
        assert_eq!((rules.standing(&node("a")).count(), rules.standing(&node("b")).count()), (0, 1));
    }

    #[test]
    fn a_fault_begins_after_its_trigger_and_other_kinds_do_not_count() {
        let kind = FaultKind::Dns(DnsFault::Silent);
        let faults = [fault("dns", None, Some(1), kind), fault("drop", Some("loaded"), None, DROP)];
        let mut rules = Rules::new(faults.into_iter());
        assert_eq!(rules.begin(&BTreeSet::new()).len(), 1);
        assert_eq!(struck(&mut rules, "a"), None);
        let happened = BTreeSet::from(["expect.loaded".parse().unwrap()]);
        assert_eq!(rules.begin(&happened).len(), 1);
        for _ in 0..3 {
            assert_eq!(struck(&mut rules, "a"), Some(("drop".to_owned(), false)));
        }
        assert_eq!(rules.standing(&node("a")).count(), 2, "nobody has asked for DNS");
    }

    #[test]
    fn what_is_added_by_hand_comes_first_and_has_a_name_of_its_own() {
        let mut rules = Rules::new([fault("by-hand-1", None, None, DROP)].into_iter());
        rules.begin(&BTreeSet::new());
        let nak = FaultKind::Dhcp(DhcpFault::Nak);
        let added = rules.add(vec![node("a")], None, Some(1), nak);
        assert_eq!(added.name.to_string(), "by-hand-2");
        assert_eq!(struck(&mut rules, "a"), Some(("by-hand-2".to_owned(), true)));
        assert_eq!(struck(&mut rules, "a"), Some(("by-hand-1".to_owned(), false)));
        let ended = rules.end(&node("a"));
        assert_eq!(ended.iter().map(|fault| fault.name.to_string()).collect::<Vec<_>>(), ["by-hand-1"]);
        assert_eq!(struck(&mut rules, "a"), None);
        assert_eq!(struck(&mut rules, "b"), Some(("by-hand-1".to_owned(), false)));
        let later = rules.add(vec![node("a")], Some("loaded".parse().unwrap()), None, DROP);
        assert_eq!((later.name.to_string().as_str(), struck(&mut rules, "a")), ("by-hand-3", None));
        rules.begin(&BTreeSet::from(["loaded".parse().unwrap()]));
        assert_eq!(struck(&mut rules, "a"), Some(("by-hand-3".to_owned(), false)));
    }

    #[test]
    fn a_fault_that_was_to_come_does_not_come_to_a_node_that_is_repaired() {
        let mut rules = Rules::new([fault("drop", Some("loaded"), None, DROP)].into_iter());
        assert_eq!(rules.end(&node("a")), []);
        rules.begin(&BTreeSet::from(["loaded".parse().unwrap()]));
        assert_eq!(struck(&mut rules, "a"), None);
    }
}
