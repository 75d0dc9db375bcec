//! matchbox's gRPC on a network: [`crate::rpc`] with what the plan says.

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use tokio::task::JoinSet;

use crate::event::Emitter;
use crate::hint::chain;
use crate::plan::MatchboxPlan;
use crate::rpc::{Certificates, Store, Tls, serve};

/// Where the data directory is, among what a network keeps, when the plan names none.
pub(super) const DATA: &str = "matchbox";

/// The methods of a network's matchbox, ready to answer.
pub(super) struct Methods {
    tls: Tls,
    store: Arc<Store>,
}

/// Makes ready what a plan has of gRPC, if it has it. `folder` is what the network keeps.
pub(super) fn methods(plan: &MatchboxPlan, folder: &Path) -> Option<Result<Methods, String>> {
    let rpc = plan.rpc.as_ref()?;
    let file = |name: &str| rpc.tls.join(name);
    let certificates =
        Certificates { certificate: file("server.crt"), key: file("server.key"), authority: file("ca.crt") };
    let data = plan.data.clone().unwrap_or_else(|| folder.join(DATA));
    let methods = Tls::read(&certificates).map_err(|error| chain(&error)).and_then(|tls| {
        let store = Store::open(&data, plan.entries.clone());
        let store = store.map_err(|error| format!("{}: {error}", data.display()))?;
        Ok(Methods { tls, store: Arc::new(store) })
    });
    Some(methods)
}

impl Methods {
    /// Answers requests for as long as it is polled.
    pub(super) async fn answer(self, listeners: Vec<TcpListener>, events: Emitter) {
        let of = |listener| serve(listener, self.tls.clone(), Arc::clone(&self.store), events.clone());
        let mut running: JoinSet<()> = listeners.into_iter().map(of).collect();
        while running.join_next().await.is_some() {}
    }
}
