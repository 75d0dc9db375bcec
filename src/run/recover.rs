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
/// Only affects runs without a process: their lock is free and their namespaces are gone.
pub fn recover(locations: &Locations) -> Vec<Leak> {
    let Ok(runs) = store::list(locations) else { return Vec::new() };
    let dead = runs.into_iter().filter(|run| !run.up && is_open(&run.path));
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
