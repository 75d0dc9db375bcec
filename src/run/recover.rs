//! Replays the journals of runs that were killed: what even a guardian could not undo.

use std::path::Path;

use super::Locations;
use super::executor::{self, Failure, Host};
use super::journal::{Journal, is_open};
use super::lab_lock::{forget_ended, identity, try_lab_lock};
use super::rack::reverse;
use super::request::Request;
use super::store;
use crate::hint::chain;
use crate::lab::Isolation;
use crate::plan::{Step, Undo};
use crate::report::Leak;
use crate::system::namespace::NamespaceIds;
use crate::system::netlink::Netlink;

/// Undoes the effects of runs that did not end regularly, and forgets labs that are down. Returns the leaks.
///
/// Only affects runs without a process: their lock is free and their namespaces are gone. A run without isolation is
/// left to a command in its own network: here nothing of it could be found, and it would count as undone.
pub fn recover(locations: &Locations) -> Vec<Leak> {
    let Ok(runs) = store::list(locations) else { return Vec::new() };
    let elsewhere = |path: &Path| NamespaceIds::read(path).is_ok_and(|ids| ids.are_elsewhere());
    let dead = runs.into_iter().filter(|run| !run.up && is_open(&run.path) && !elsewhere(&run.path));
    let leaks = dead.flat_map(|run| {
        let Ok(request) = Request::read(&run.path) else { return Vec::new() };
        // An active guardian holds the lock.
        match try_lab_lock(locations, &identity(&request.plan.file)) {
            Some(_lab_lock) => replay(&run.path),
            None => Vec::new(),
        }
    });
    let leaks = leaks.collect();
    forget_ended(locations);
    leaks
}

/// Undoes the effects of one dead run, in this network namespace.
pub(super) fn replay(run_dir: &Path) -> Vec<Leak> {
    let failed =
        |why: String| vec![Leak { what: format!("replay the journal of {}", run_dir.display()), why }];
    let isolation = NamespaceIds::read(run_dir).map(|ids| ids.isolation);
    // A run without namespaces had no effect outside its folder.
    let isolation = isolation.unwrap_or(Isolation::Private);
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return failed(error.to_string()),
    };
    runtime.block_on(async {
        let mut journal = match Journal::open(run_dir) {
            Ok(journal) => journal,
            Err(error) => return failed(error.to_string()),
        };
        if journal.is_closed() {
            return Vec::new();
        }
        match Netlink::open() {
            Ok(netlink) => executor::down(&Leftovers { run_dir, isolation, netlink }, &mut journal).await,
            Err(error) => failed(chain(&error)),
        }
    })
}

/// The remains of a rack whose supervisor is gone.
struct Leftovers<'a> {
    run_dir: &'a Path,
    isolation: Isolation,
    netlink: Netlink,
}

impl Host for Leftovers<'_> {
    async fn apply(&self, _: &Step) -> Result<(), Failure> {
        // No step is ever executed here.
        Ok(())
    }

    async fn undo(&self, undo: &Undo) -> Result<(), Failure> {
        match (self.isolation, undo) {
            // The kernel removed these with the namespaces; here the same names may belong to others.
            (
                Isolation::Private,
                Undo::DeleteLink(_)
                | Undo::Unplug { .. }
                | Undo::SetForwarding(_)
                | Undo::DeleteTable(_)
                | Undo::DeleteForeignRule(_)
                | Undo::EndMachine(_)
                | Undo::EndProcess(_),
            ) => Ok(()),
            (Isolation::None, _) | (Isolation::Private, Undo::DeleteFile(_)) => {
                reverse(undo, self.run_dir, &self.netlink).await
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::fs;

    use super::super::lab_lock::make_runtime;
    use super::super::request::Until;
    use super::*;
    use crate::plan::tests::{facts, lab};
    use crate::system::namespace::{ProcessId, SharedNetwork};

    #[test]
    fn a_journal_is_replayed_only_in_the_network_that_its_run_changed() {
        let dir = tempfile::tempdir().unwrap();
        let locations = Locations {
            state: dir.path().join("state"),
            cache: dir.path().join("cache"),
            runtime: dir.path().join("runtime"),
        };
        make_runtime(&locations.runtime).unwrap();
        let text = r#"
            dryrack = 1
            network.lan.address = "10.0.2.1/24"
            node.a.disk.root = { size = "4GiB", source = "image:debian/disk" }
        "#;
        let plan = crate::plan::plan(&lab(text), &facts()).unwrap();
        let run_dir = store::create(&locations, &plan.lab, jiff::Timestamp::UNIX_EPOCH).unwrap();
        let (kept, socket) = (dir.path().to_owned(), dir.path().join("control"));
        let request = Request {
            plan,
            images: BTreeMap::new(),
            downloads: BTreeMap::new(),
            kept,
            socket,
            until: Until::Stopped,
        };
        request.write(&run_dir).unwrap();
        let mut journal = Journal::open(&run_dir).unwrap();
        journal.intend(0, vec![Undo::DeleteFile("left".into())]).unwrap();
        fs::write(run_dir.join("left"), "").unwrap();

        let ours = SharedNetwork::ours().unwrap();
        let replayed = |shared: SharedNetwork| {
            let ids = NamespaceIds {
                isolation: Isolation::None,
                outer: None,
                // Nobody has this start time.
                supervisor: ProcessId { pid: 1, started: u64::MAX },
                inside: None,
                shared: Some(shared),
            };
            fs::write(NamespaceIds::path(&run_dir), serde_json::to_vec(&ids).unwrap()).unwrap();
            assert_eq!(recover(&locations), []);
            assert_eq!(run_dir.join("left").exists(), is_open(&run_dir));
            !is_open(&run_dir)
        };
        assert!(!replayed(SharedNetwork { network: ours.network + 1, ..ours.clone() }));
        assert!(replayed(ours));
    }

    #[test]
    fn after_a_restart_of_the_host_no_network_is_elsewhere() {
        let ours = SharedNetwork::ours().unwrap();
        let elsewhere = |shared| {
            let supervisor = ProcessId { pid: 1, started: u64::MAX };
            NamespaceIds { isolation: Isolation::None, outer: None, supervisor, inside: None, shared }
                .are_elsewhere()
        };
        let other = ours.network + 1;
        assert!(elsewhere(Some(SharedNetwork { network: other, ..ours.clone() })));
        assert!(!elsewhere(Some(SharedNetwork { network: other, boot: "earlier".to_owned() })));
        assert!(!elsewhere(Some(ours)));
        assert!(!elsewhere(None));
    }
}
