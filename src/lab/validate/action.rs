//! Actions: what is done, to which nodes, and after what.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Check, Span};
use crate::config::{
    Field, Lasting, Located, MediaAction, RawAction, RawChosen, RawDeed, RawLink, RawSetLink, Short, Text,
};
use crate::diag::{Code, Diagnostic};
use crate::lab::{Action, Check as Checked, Chosen, Deed, Expectation, Host, Login, Node, ProbedCheck};
use crate::name::{ActionName, DiskName, ExpectName, NicName, NodeName};

/// More than a hand-written file needs.
const MOST_ACTIONS: usize = 1000;

/// The nodes and hosts of a lab.
#[derive(Clone, Copy)]
pub(super) struct Machines<'a> {
    pub(super) nodes: &'a BTreeMap<NodeName, Node>,
    pub(super) hosts: &'a BTreeMap<NodeName, Host>,
}

impl Machines<'_> {
    /// Returns the NICs of a node or host.
    fn nics(&self, name: &NodeName) -> Vec<&NicName> {
        let node = self.nodes.get(name).map(|node| node.nics.iter().map(|nic| &nic.name).collect());
        let host = || self.hosts.get(name).map(|host| host.nics.iter().map(|nic| &nic.name).collect());
        node.or_else(host).unwrap_or_default()
    }
}

impl Check<'_> {
    pub(super) fn actions(
        &mut self,
        machines: Machines<'_>,
        expectations: &BTreeMap<ExpectName, Expectation>,
    ) -> BTreeMap<ActionName, Action> {
        let raw = self.raw;
        let mut actions = BTreeMap::new();
        if self.too_many("the lab", &raw.action, MOST_ACTIONS, "actions") {
            return actions;
        }
        for (key, action) in &raw.action.entries {
            let name = self.name::<ActionName>(key);
            let Some(action) = action else { continue };
            if let Some(action) = self.action(name, action, &key.span, machines, expectations) {
                actions.insert(action.name.clone(), action);
            }
        }
        actions
    }

    /// Returns the users as whom actions log in to a node with the key of the run. Whether the actions are valid is not
    /// known yet: they are read after the nodes.
    pub(super) fn users_of_actions(&self, node: &NodeName) -> Vec<String> {
        let user = |action: &RawAction| {
            let Some(RawDeed::Run(run)) = action.deed.value() else { return None };
            let ssh = run.ssh.value().filter(|ssh| ssh.key.given().is_none())?;
            let RawChosen { names, .. } = action.nodes.value().map(|Short(chosen)| chosen)?;
            // Others are chosen while the lab runs, and may be any of them.
            let is_meant = names.is_missing() || names.items.iter().any(|name| name.value == node.as_str());
            ssh.user.value().filter(|_| is_meant).cloned()
        };
        self.raw.action.entries.iter().filter_map(|(_, action)| action.as_ref().and_then(user)).collect()
    }

    fn action(
        &mut self,
        name: Option<ActionName>,
        raw: &RawAction,
        home: &Span,
        machines: Machines<'_>,
        expectations: &BTreeMap<ExpectName, Expectation>,
    ) -> Option<Action> {
        let after = raw.after.given().and_then(|after| self.after(after));
        let delay = raw.delay.value().map_or(Duration::ZERO, |Text(Lasting(delay))| *delay);
        let deed = self.needed(&raw.deed, "do = { power = \"off\" }", home);
        let of_lab = matches!(deed.map(|deed| &deed.value), Some(RawDeed::Run(run)) if matches!(run.ssh, Field::Missing));
        let nodes = match &raw.nodes {
            Field::Given(nodes) if of_lab => {
                self.idle(&nodes.span, "this is done once for the whole lab, not to nodes", "remove `nodes`");
                Some(Chosen::Nodes(Vec::new()))
            }
            Field::Given(Located { value: Short(chosen), span }) => {
                self.chosen(chosen, span, machines, expectations)
            }
            Field::Missing if of_lab => Some(Chosen::Nodes(Vec::new())),
            Field::Missing => {
                let help = "set nodes = [\"NODE\"], or a table with `leader` or `any`";
                self.bad_action(home, "this action is done to no node", help);
                None
            }
            Field::Bad => None,
        };
        let deed = deed.and_then(|deed| self.deed(&deed.value, &deed.span, nodes.as_ref()?, machines));
        Some(Action { name: name?, after, delay, nodes: nodes?, deed: deed? })
    }

    fn chosen(
        &mut self,
        raw: &RawChosen,
        span: &Span,
        machines: Machines<'_>,
        expectations: &BTreeMap<ExpectName, Expectation>,
    ) -> Option<Chosen> {
        let RawChosen { names, leader, any } = raw;
        if names.bad || matches!(leader, Field::Bad) || matches!(any, Field::Bad) {
            return None;
        }
        match (names.span.is_some(), leader.given(), any.given()) {
            (true, None, None) => {
                let mut nodes = Vec::new();
                for word in &names.items {
                    let name = self.subject_named(&word.value, &word.span)?;
                    if !nodes.contains(&name) {
                        nodes.push(name);
                    }
                }
                if nodes.is_empty() {
                    self.bad_action(span, "this list has no node", "list at least one");
                    return None;
                }
                Some(Chosen::Nodes(nodes))
            }
            (false, Some(leader), None) => {
                let name = self.expect_named(&leader.value, &leader.span)?;
                let check = expectations.get(&name).map(|expectation| &expectation.check);
                if check.is_some_and(|check| !matches!(check, Checked::Probed(ProbedCheck::Etcd { .. }))) {
                    let what = format!("`{name}` is no expectation about a cluster, so it sees no leader");
                    self.bad_action(&leader.span, what, "name one with that = { etcd = … }");
                    return None;
                }
                Some(Chosen::Leader(name))
            }
            (false, None, Some(any)) => {
                let most = machines.nodes.len();
                if !(1..=most).contains(&usize::from(any.value)) {
                    let what = format!("{} of {most} nodes cannot be chosen", any.value);
                    self.bad_action(&any.span, what, "use a number from 1 to the number of nodes");
                    return None;
                }
                Some(Chosen::Any(usize::from(any.value)))
            }
            _ => {
                let help = "use a list, or one of { leader = \"EXPECTATION\" } and { any = 1 }";
                self.bad_action(span, "nodes are chosen in exactly one way", help);
                None
            }
        }
    }

    fn deed(&mut self, raw: &RawDeed, span: &Span, nodes: &Chosen, machines: Machines<'_>) -> Option<Deed> {
        let deed = match raw {
            RawDeed::Power(power) => Deed::Power(*power),
            RawDeed::BootNext(target) => Deed::BootNext(*target),
            RawDeed::Reinstall(raw) => {
                let wipe = raw.value().and_then(|raw| raw.wipe.value().copied()).unwrap_or(false);
                Deed::Reinstall { wipe }
            }
            RawDeed::Link(link) => self.set_link(link, span, nodes, machines)?,
            RawDeed::Media(media) => {
                let action = self.needed(&media.action, "action = \"insert\"", span)?;
                let drive = match media.drive.given() {
                    Some(drive) => Some(self.name::<DiskName>(drive)?),
                    None => None,
                };
                let file = match media.file.given() {
                    Some(file) if action.value == MediaAction::Eject => {
                        self.idle(&file.span, "nothing is inserted", "remove `file`");
                        None
                    }
                    Some(file) => Some(self.path(file)?),
                    None => None,
                };
                Deed::Media { drive, file, eject: action.value == MediaAction::Eject }
            }
            RawDeed::Run(run) => match (run.command.given(), run.ssh.given()) {
                (Some(command), None) => {
                    Deed::Command { run: command.value.clone(), host: self.maybe_host(&run.host)? }
                }
                (None, Some(Located { value: ssh, span })) => {
                    if let Some(host) = run.host.given() {
                        self.idle(&host.span, "`ssh` runs on the nodes of the action", "remove `in`");
                    }
                    let user = self.needed(&ssh.user, "user = \"root\"", span)?;
                    let run = self.needed(&ssh.run, "run = \"reboot\"", span)?.value.clone();
                    let port = self.port_or(&ssh.port, 22)?;
                    let key = match ssh.key.value() {
                        Some(key) => Some(self.secret(key)?),
                        None => None,
                    };
                    self.user(user)
                        .then(|| Deed::Ssh { login: Login { user: user.value.clone(), port, key }, run })?
                }
                (None, None) if matches!(run.command, Field::Bad) || matches!(run.ssh, Field::Bad) => {
                    return None;
                }
                (None, None) | (Some(_), Some(_)) => {
                    self.bad_action(span, "one command is run", "set either `command` or `ssh`");
                    return None;
                }
            },
        };
        self.on_hosts(&deed, span, nodes, machines)?;
        Some(deed)
    }

    /// Reports what cannot be done to a host, and disks that cannot be made anew.
    fn on_hosts(&mut self, deed: &Deed, span: &Span, nodes: &Chosen, machines: Machines<'_>) -> Option<()> {
        // A node that is chosen while the lab runs may be any of them, and is no host.
        let nodes = match nodes {
            Chosen::Nodes(nodes) => nodes.clone(),
            Chosen::Leader(_) | Chosen::Any(_) => machines.nodes.keys().cloned().collect(),
        };
        let host = nodes.iter().find(|node| machines.hosts.contains_key(*node));
        let kept = nodes.iter().find_map(|node| {
            let disk = machines.nodes.get(node)?.disks.iter().find(|disk| disk.keep)?;
            Some((node, &disk.name))
        });
        if let (Deed::Reinstall { wipe: true }, Some((node, disk))) = (deed, kept) {
            let what = format!("disk `{disk}` of `{node}` has `keep = true`, so it is never made anew");
            self.bad_action(span, what, "remove `wipe`, or `keep` of the disk");
            return None;
        }
        match (deed, host) {
            (Deed::Media { .. } | Deed::BootNext(_) | Deed::Reinstall { .. }, Some(host)) => {
                let what = format!("`{host}` is a host: it does not boot, and has no drives");
                self.bad_action(span, what, "use `power`, `link` or `run` for a host");
                None
            }
            _ => Some(()),
        }
    }

    fn set_link(
        &mut self,
        raw: &RawSetLink,
        span: &Span,
        nodes: &Chosen,
        machines: Machines<'_>,
    ) -> Option<Deed> {
        let state = self.needed(&raw.state, "state = \"down\"", span)?;
        // A node that is chosen while the lab runs may be any of them.
        let of = match nodes {
            Chosen::Nodes(nodes) => nodes.clone(),
            Chosen::Leader(_) | Chosen::Any(_) => machines.nodes.keys().cloned().collect(),
        };
        let mut nics = BTreeMap::new();
        for node in of {
            let has = machines.nics(&node);
            let nic = match raw.nic.given() {
                Some(nic) => has.iter().find(|name| name.as_str() == nic.value),
                None => has.first().filter(|_| has.len() == 1),
            };
            let Some(nic) = nic else {
                let names: Vec<_> = has.iter().map(|nic| nic.as_str()).collect();
                let (at, what) = match raw.nic.given() {
                    Some(nic) => (&nic.span, format!("`{node}` has no NIC `{}`", nic.value)),
                    None => (span, format!("`{node}` has {} NICs", names.len())),
                };
                let help = match names.as_slice() {
                    [] => "list only nodes with a NIC".to_owned(),
                    names => format!("set `nic` to one of {}", names.join(", ")),
                };
                self.bad_action(at, what, &help);
                return None;
            };
            nics.insert(node, (*nic).clone());
        }
        Some(Deed::Link { nics, up: state.value == RawLink::Up })
    }

    fn bad_action(&mut self, span: &Span, what: impl Into<String>, help: &str) {
        self.report(Diagnostic::new(Code::BadAction, span.clone(), what).help(help));
    }
}
