//! Actions, carried out: commands to nodes, new disks, commands in the lab.
//!
//! Decides neither when nor to which nodes: that is [`Fold`](super::fold::Fold). Everything is done as for the verbs of
//! the command line, by [`NodeCommand`]s.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::future::join_all;

use super::executor::Site;
use super::probe::Prober;
use crate::hint::chain;
use crate::lab::{BootTarget, Deed, JsonValues, PowerAction, ProbedCheck};
use crate::name::{DiskName, NodeName};
use crate::node::{BootOverride, MediaCommand, MediaImage, NodeCommand};
use crate::plan::{Plan, Step};

/// The work of an action; it returns why it failed.
pub(super) type Work = Pin<Box<dyn Future<Output = Result<(), String>> + Send>>;

/// One thing after another to one node.
enum Part {
    Command(NodeCommand),
    /// Its disks are made anew.
    Disks,
}

/// Returns the work of an action on its nodes, which begins when it is polled.
pub(super) fn work<S: Site>(
    plan: &Plan,
    deed: &Deed,
    nodes: &[NodeName],
    site: &Arc<S>,
    prober: &Prober,
) -> Work {
    let parts = |node: &NodeName| match deed {
        Deed::Power(power) => vec![Part::Command(NodeCommand::Power(*power))],
        Deed::Link { nics, up } => {
            let nic = nics.get(node).cloned();
            nic.map(|nic| Part::Command(NodeCommand::Link { nic, up: *up })).into_iter().collect()
        }
        Deed::Media { drive, file, eject } => {
            let drive = drive.clone();
            let media = match eject {
                true => MediaCommand::Eject { drive },
                false => MediaCommand::Insert { drive, image: file.clone().map(MediaImage::File) },
            };
            vec![Part::Command(NodeCommand::Media(media))]
        }
        Deed::BootNext(target) => vec![Part::Command(NodeCommand::Boot(BootOverride::Once(*target)))],
        Deed::Reinstall { wipe } => {
            let once = BootOverride::Once(BootTarget::Network);
            let mut parts = vec![Part::Command(NodeCommand::Power(PowerAction::ForceOff))];
            parts.extend(wipe.then_some(Part::Disks));
            parts.push(Part::Command(NodeCommand::Boot(once)));
            parts.push(Part::Command(NodeCommand::Power(PowerAction::On)));
            parts
        }
        Deed::Command { .. } | Deed::Ssh { .. } => Vec::new(),
    };
    let work: Vec<Work> = match deed {
        Deed::Command { run, host } => {
            let (run, host, json) = (run.clone(), host.clone(), JsonValues::default());
            let check = ProbedCheck::Command { run, host, exit: 0, output: None, json };
            vec![Box::pin(prober.once(check, None))]
        }
        Deed::Ssh { login, run } => {
            let check = ProbedCheck::Ssh {
                login: login.clone(),
                run: Some(run.clone()),
                exit: 0,
                output: None,
                json: JsonValues::default(),
            };
            let once =
                |node: &NodeName| named(node, Box::pin(prober.once(check.clone(), Some(node.clone()))));
            nodes.iter().map(once).collect()
        }
        Deed::Power(_)
        | Deed::Link { .. }
        | Deed::Media { .. }
        | Deed::BootNext(_)
        | Deed::Reinstall { .. } => {
            let one = |node: &NodeName| named(node, one_node(parts(node), node, disks(plan, node), site));
            nodes.iter().map(one).collect()
        }
    };
    Box::pin(async move {
        // In parallel: all nodes lose their power at the same time.
        let failed: Vec<String> = join_all(work).await.into_iter().filter_map(Result::err).collect();
        if failed.is_empty() { Ok(()) } else { Err(failed.join("; ")) }
    })
}

/// Returns the steps that make the disks of a node, apart from its USB sticks.
fn disks(plan: &Plan, node: &NodeName) -> Vec<Step> {
    let is_stick = |disk: &DiskName| plan.nodes.get(node).is_some_and(|node| node.is_stick(disk));
    let is_meant = |step: &&Step| match step {
        Step::Disk(disk) => disk.node == *node && !is_stick(&disk.disk),
        _ => false,
    };
    plan.steps.iter().filter(is_meant).cloned().collect()
}

fn one_node<S: Site>(parts: Vec<Part>, name: &NodeName, disks: Vec<Step>, site: &Arc<S>) -> Work {
    let (name, site) = (name.clone(), Arc::clone(site));
    Box::pin(async move {
        let node = site.node(&name).ok_or("it was not started yet")?;
        for part in parts {
            match part {
                Part::Command(command) => {
                    node.capabilities().check(&name, &command).map_err(|error| chain(&error))?;
                    node.carry_out(command).await.map_err(|error| chain(&error))?;
                }
                Part::Disks => {
                    for disk in &disks {
                        site.apply(disk).await.map_err(|failure| chain(&*failure.error))?;
                    }
                }
            }
        }
        Ok(())
    })
}

/// Puts the name of the node before the reason of a failure.
fn named(node: &NodeName, work: Work) -> Work {
    let node = node.clone();
    Box::pin(async move { work.await.map_err(|why| format!("{node}: {why}")) })
}
