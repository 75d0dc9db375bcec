//! Faults, performed: those of links and of the power of nodes.
//!
//! Decides neither when nor how often: that are the rules in [`Faults`]. Services and machines ask those themselves.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::executor::Site;
use super::plug::{Plug, plugs};
use crate::fault::Faults;
use crate::hint::chain;
use crate::lab::{Fault, FaultKind, LinkFault, MachineFault, PowerAction, TftpBackend, out_of_range};
use crate::name::{NodeName, Trigger};
use crate::node::NodeCommand;
use crate::plan::{DhcpRole, Plan, ServicePlan, Step};
use crate::system::impaired_link::Impairment;

/// A client's order about faults.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultOrder {
    /// Something goes wrong from now on.
    Begin {
        /// What goes wrong.
        #[serde(rename = "do")]
        kind: FaultKind,
        /// What it comes after; now if `None`.
        #[serde(default)]
        after: Option<Trigger>,
        /// How often; every time if `None`.
        #[serde(default)]
        times: Option<u32>,
    },
    /// All faults of the node end, also those of the lab file.
    End,
}

/// Why an order about faults is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FaultRefusal {
    pub(super) what: String,
    pub(super) hint: &'static str,
}

/// What is done to a node because of a fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FaultWork {
    /// A command, once.
    Command(NodeName, NodeCommand),
    /// Its cables are disconnected, and connected again later.
    DownFor(NodeName, Duration),
    /// Its links are impaired from now on; not any more if `None`.
    Impair(NodeName, Option<Impairment>),
    /// The same, and no frame passes for a time.
    Silence(NodeName, Option<Impairment>, Duration),
}

/// Performs faults.
#[derive(Debug)]
pub(super) struct FaultHandler {
    faults: Faults,
    /// What was done to the links of each node.
    links: BTreeMap<NodeName, Links>,
    /// How often something that lasts for a time was begun or ended: what was begun earlier ends nothing any more.
    turns: Turns,
}

/// A number for each node, which work in progress reads.
#[derive(Debug, Clone, Default)]
struct Turns(Arc<Mutex<BTreeMap<NodeName, u64>>>);

impl Turns {
    fn of(&self, node: &NodeName) -> u64 {
        self.numbers().get(node).copied().unwrap_or_default()
    }

    fn next(&self, node: &NodeName) {
        *self.numbers().entry(node.clone()).or_default() += 1;
    }

    fn numbers(&self) -> MutexGuard<'_, BTreeMap<NodeName, u64>> {
        // After a panic the numbers are still consistent: each change is a single addition.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Links {
    down: bool,
    impairment: Option<Impairment>,
    /// Whether something that lasts for a time was begun.
    timed: bool,
}

impl FaultHandler {
    pub(super) fn new(faults: Faults) -> Self {
        Self { faults, links: BTreeMap::new(), turns: Turns::default() }
    }

    /// Starts the faults that come after what has happened so far.
    pub(super) fn begin(
        &mut self,
        happened: &BTreeSet<Trigger>,
        plan: &Plan,
        is_on: impl Fn(&NodeName) -> bool,
    ) -> Vec<FaultWork> {
        let begun = self.faults.begin(happened);
        begun.iter().flat_map(|fault| self.start(fault, plan, &is_on)).collect()
    }

    /// Executes an order of a client.
    pub(super) fn order(
        &mut self,
        node: &NodeName,
        order: FaultOrder,
        plan: &Plan,
        is_on: impl Fn(&NodeName) -> bool,
    ) -> Result<(Vec<Fault>, Vec<FaultWork>), FaultRefusal> {
        match order {
            FaultOrder::Begin { kind, after, times } => {
                check(plan, node, &kind)?;
                if let Some(after) = &after {
                    check_trigger(plan, after)?;
                }
                let fault = self.faults.add(vec![node.clone()], after, times, kind);
                let work = match fault.after {
                    None => self.start(&fault, plan, is_on),
                    Some(_) => Vec::new(),
                };
                Ok((vec![fault], work))
            }
            FaultOrder::End => {
                let ended = self.faults.end(node);
                let work = self.settle(node, false, plan);
                Ok((ended, work.into_iter().chain(self.end_timed(node, plan)).collect()))
            }
        }
    }

    /// Returns what is done to a node that was powered on.
    pub(super) fn powered_on(&mut self, node: &NodeName, plan: &Plan) -> Vec<FaultWork> {
        self.settle(node, true, plan)
    }

    fn start(&mut self, fault: &Fault, plan: &Plan, is_on: impl Fn(&NodeName) -> bool) -> Vec<FaultWork> {
        let mut all = Vec::new();
        for node in fault.nodes.iter().filter(|node| is_on(node)) {
            match &fault.kind {
                FaultKind::Link(link) => {
                    let is_timed = matches!(link, LinkFault::DownFor(_) | LinkFault::Silence(_));
                    all.extend(self.settle(node, is_timed, plan));
                }
                FaultKind::Machine(MachineFault::PowerCut) => {
                    let cut = |kind: &FaultKind| {
                        matches!(kind, FaultKind::Machine(MachineFault::PowerCut)).then_some(())
                    };
                    if self.faults.strike(Some(node), cut).is_some() {
                        let off = NodeCommand::Power(PowerAction::ForceOff);
                        all.push(FaultWork::Command(node.clone(), off));
                    }
                }
                _ => {}
            }
        }
        all
    }

    /// Brings the links of a node into the state in which its faults want them. `anew`: faults that last for a time
    /// begin again.
    fn settle(&mut self, node: &NodeName, anew: bool, plan: &Plan) -> Vec<FaultWork> {
        let standing = self.faults.standing(node, |kind| match kind {
            FaultKind::Link(link) => Some(link.clone()),
            _ => None,
        });
        let timed = self.links.get(node).is_some_and(|links| links.timed);
        let wanted =
            Links { timed, down: standing.contains(&LinkFault::Down), impairment: impairment(&standing) };
        let before = self.links.insert(node.clone(), wanted.clone()).unwrap_or_default();
        let mut all = Vec::new();
        if before.down != wanted.down {
            let set = |plug: Plug| {
                FaultWork::Command(node.clone(), NodeCommand::Link { nic: plug.nic, up: !wanted.down })
            };
            all.extend(plugs(plan, node).into_iter().filter(|plug| plug.up).map(set));
        }
        let down_for = |kind: &FaultKind| match kind {
            FaultKind::Link(LinkFault::DownFor(time)) => Some(time.0.0),
            _ => None,
        };
        let silence = |kind: &FaultKind| match kind {
            FaultKind::Link(LinkFault::Silence(time)) => Some(time.0.0),
            _ => None,
        };
        let down_for = anew.then(|| self.faults.strike(Some(node), down_for)).flatten();
        let silence = anew.then(|| self.faults.strike(Some(node), silence)).flatten();
        if down_for.is_some() || silence.is_some() {
            self.turns.next(node);
            self.links.entry(node.clone()).or_default().timed = true;
        }
        all.extend(down_for.map(|time| FaultWork::DownFor(node.clone(), time)));
        match silence {
            Some(time) => all.push(FaultWork::Silence(node.clone(), wanted.impairment, time)),
            // The port of a host is a new one at each start.
            None if before.impairment != wanted.impairment || (anew && wanted.impairment.is_some()) => {
                all.push(FaultWork::Impair(node.clone(), wanted.impairment));
            }
            None => {}
        }
        all
    }

    /// Ends what still lasts for a time on the links of a node.
    fn end_timed(&mut self, node: &NodeName, plan: &Plan) -> Vec<FaultWork> {
        let Some(links) = self.links.get_mut(node).filter(|links| links.timed) else { return Vec::new() };
        links.timed = false;
        self.turns.next(node);
        let up = |plug: Plug| FaultWork::Command(node.clone(), NodeCommand::Link { nic: plug.nic, up: true });
        let ups = plugs(plan, node).into_iter().filter(|plug| plug.up).map(up);
        ups.chain([FaultWork::Impair(node.clone(), None)]).collect()
    }

    /// Carries out work for faults. Returns why it failed.
    pub(super) fn carry_out<S: Site>(
        &self,
        work: FaultWork,
        plan: &Plan,
        site: &Arc<S>,
    ) -> impl Future<Output = Result<(), String>> + Send + use<S> {
        let (site, faults) = (Arc::clone(site), self.faults.clone());
        let node = match &work {
            FaultWork::Command(node, _)
            | FaultWork::DownFor(node, _)
            | FaultWork::Impair(node, _)
            | FaultWork::Silence(node, ..) => node.clone(),
        };
        let mut plugs = plugs(plan, &node);
        let (turns, turn) = (self.turns.clone(), self.turns.of(&node));
        async move {
            match work {
                FaultWork::Command(node, command) => command_to(&site, &node, command).await,
                FaultWork::DownFor(node, time) => {
                    plugs.retain(|plug| plug.up);
                    for plug in &plugs {
                        let down = NodeCommand::Link { nic: plug.nic.clone(), up: false };
                        command_to(&site, &node, down).await?;
                    }
                    pass(time).await;
                    let is_down =
                        |kind: &FaultKind| matches!(kind, FaultKind::Link(LinkFault::Down)).then_some(());
                    if turns.of(&node) != turn || !faults.standing(&node, is_down).is_empty() {
                        return Ok(());
                    }
                    for plug in plugs {
                        command_to(&site, &node, NodeCommand::Link { nic: plug.nic, up: true }).await?;
                    }
                    Ok(())
                }
                FaultWork::Impair(node, impairment) => site.impair(&node, &plugs, impairment).await,
                FaultWork::Silence(node, after, time) => {
                    let silent = Impairment { silence: time, ..after.unwrap_or_default() };
                    site.impair(&node, &plugs, Some(silent)).await?;
                    pass(time).await;
                    if turns.of(&node) != turn {
                        return Ok(());
                    }
                    site.impair(&node, &plugs, after).await
                }
            }
        }
    }
}

async fn command_to<S: Site>(site: &Arc<S>, node: &NodeName, command: NodeCommand) -> Result<(), String> {
    let found = site.node(node).ok_or_else(|| format!("{node}: it was not started yet"))?;
    let done = found.carry_out(command).await;
    done.map(drop).map_err(|error| chain(&error))
}

#[expect(clippy::disallowed_methods, reason = "what is waited for is that time passes")]
async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Returns what faults of a link do together; `None` if nothing.
fn impairment(faults: &[LinkFault]) -> Option<Impairment> {
    let mut all = Impairment::default();
    for fault in faults {
        match fault {
            LinkFault::Loss(share) => all.loss = all.loss.max(*share),
            LinkFault::Reorder(share) => all.reorder = all.reorder.max(*share),
            LinkFault::Mtu(mtu) => all.largest = Some(all.largest.map_or(*mtu, |largest| largest.min(*mtu))),
            LinkFault::Delay(time) => all.delay += time.0.0,
            LinkFault::Down | LinkFault::DownFor(_) | LinkFault::Silence(_) => {}
        }
    }
    (all != Impairment::default()).then_some(all)
}

/// Refuses a fault that would change nothing.
fn check(plan: &Plan, node: &NodeName, kind: &FaultKind) -> Result<(), FaultRefusal> {
    let refuse = |what: String, hint| Err(FaultRefusal { what, hint });
    if let Some((what, hint)) = out_of_range(kind) {
        return refuse(what, hint);
    }
    let is_host = plan.hosts.contains_key(node);
    match kind {
        FaultKind::Machine(MachineFault::Firmware(_)) => {
            let what = "the firmware of a machine is chosen when the lab starts".to_owned();
            return refuse(what, "write a [fault.NAME] into the lab file");
        }
        FaultKind::Machine(fault) if is_host && *fault != MachineFault::PowerCut => {
            return refuse(format!("`{node}` is a host: it has no machine"), "use machine=power-cut");
        }
        FaultKind::Bmc(fault) => {
            let bmc = plan.nodes.get(node).and_then(|node| node.bmc.as_ref());
            let Some(bmc) = bmc else {
                return refuse(format!("`{node}` has no BMC"), "`dryrack bmc-list` shows those of the lab");
            };
            return match fault.lacks(bmc.ipmi, bmc.redfish.is_some()) {
                None => Ok(()),
                Some(lack) => refuse(
                    format!("`{node}` has a BMC with {lack}, which could not fail in this way"),
                    "`dryrack bmc-list` shows what those of the lab have",
                ),
            };
        }
        FaultKind::Link(_) | FaultKind::Machine(_) => return Ok(()),
        FaultKind::Dhcp(_)
        | FaultKind::Tftp(_)
        | FaultKind::Http(_)
        | FaultKind::Dns(_)
        | FaultKind::Tls(_)
        | FaultKind::Payload(_) => {}
    }
    let services = plan.steps.iter().filter_map(|step| match step {
        Step::Serve(service) => Some(service),
        _ => None,
    });
    let plugs = plugs(plan, node);
    let is_on = |service: &ServicePlan| plugs.iter().any(|plug| plug.bridge == service.interface);
    let mut here = services.filter(|service| is_on(service) || service.relayed.iter().any(is_on));
    if here.any(|service| fails(service, kind)) {
        return Ok(());
    }
    let what = format!("the lab has no server for `{node}` that could fail in this way");
    refuse(what, "servers of others are cut off with link=down or link.silence=60s")
}

/// Refuses what can never happen.
fn check_trigger(plan: &Plan, after: &Trigger) -> Result<(), FaultRefusal> {
    let (is_there, what, hint) = match after {
        Trigger::Expect(name) => (
            plan.expectations.contains_key(name),
            format!("there is no expectation `{name}`"),
            "`dryrack status` lists the expectations",
        ),
        Trigger::Action(name) => (
            plan.actions.contains_key(name),
            format!("there is no action `{name}`"),
            "`dryrack plan` lists the actions",
        ),
        Trigger::Process(name) => (
            plan.processes.contains(name),
            format!("there is no process `{name}`"),
            "`dryrack plan` lists the processes",
        ),
    };
    if is_there { Ok(()) } else { Err(FaultRefusal { what, hint }) }
}

/// Tells whether a service of the lab can fail in this way.
fn fails(service: &ServicePlan, kind: &FaultKind) -> bool {
    let serves_files = service.tftp != TftpBackend::Off || service.http.is_some() || service.https.is_some();
    match kind {
        FaultKind::Dhcp(_) => {
            let roles = [DhcpRole::Server, DhcpRole::Proxy];
            service.dhcp.as_ref().is_some_and(|dhcp| roles.contains(&dhcp.role))
        }
        FaultKind::Tftp(_) => service.tftp == TftpBackend::Builtin,
        FaultKind::Http(_) => service.http.is_some() || service.https.is_some() || service.matchbox.is_some(),
        FaultKind::Dns(_) => service.dns.port.is_some(),
        FaultKind::Tls(_) => service.https.is_some(),
        FaultKind::Payload(_) => serves_files,
        FaultKind::Link(_) | FaultKind::Machine(_) | FaultKind::Bmc(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_of_a_link_add_up() {
        let all = [
            "link.loss=5",
            "link.loss=10",
            "link.mtu=1400",
            "link.mtu=900",
            "link.delay=20ms",
            "link.delay=1s",
        ];
        let links = all.map(|fault| match crate::config::fault_kind(fault) {
            Ok(FaultKind::Link(link)) => link,
            other => panic!("{other:?}"),
        });
        let wanted = Impairment {
            loss: 10,
            largest: Some(900),
            delay: Duration::from_millis(1020),
            ..Impairment::default()
        };
        assert_eq!(impairment(&links), Some(wanted));
        assert_eq!(impairment(&[LinkFault::Down]), None);
    }
}
