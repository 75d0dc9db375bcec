//! matchbox's gRPC API on a network: [`crate::rpc`], configured by the plan.

use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use tokio::task::JoinSet;

use crate::event::Emitter;
use crate::hint::chain;
use crate::plan::MatchboxPlan;
use crate::rpc::{Certificates, Store, Tls, serve};

/// The default name of the data directory in the network's folder.
pub(super) const DATA: &str = "matchbox";

/// The gRPC API of a network's matchbox, ready to serve.
pub(super) struct Methods {
    tls: Tls,
    store: Arc<Store>,
}

/// Prepares the gRPC API if the plan has one. `folder` is the network's folder.
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
