//! matchbox without a lab: its listener, and nobody else's names.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Fallback, KeyRing, Matchbox, Store};
use crate::event::{Emitter, Service};
use crate::rpc;
use crate::serve::clients::Clients;
use crate::serve::connection_limit::ConnectionLimits;
use crate::serve::content::ContentStore;
use crate::serve::http::{self, HttpHandler, PATIENCE};
use crate::serve::{Threads, apart, tls};

/// The real server has no bounds, and a whole site may come from one address.
const PLACES: ConnectionLimits = ConnectionLimits { all: 16_384, each: 16_384 };

/// Certificate and key of HTTPS, as PEM.
pub struct Secure {
    /// The certificate, and those between it and its authority.
    pub certificates: Vec<u8>,
    /// The private key.
    pub key: Vec<u8>,
}

impl std::fmt::Debug for Secure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secure")
    }
}

/// Why matchbox cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum StandaloneError {
    /// The certificate or the key is none, or they do not belong together.
    #[error("cannot use the certificate: {0}")]
    Certificate(String),
}

/// What is served without a lab.
#[derive(Debug)]
pub struct Standalone {
    /// Where HTTP is listened for.
    pub listener: TcpListener,
    /// HTTPS instead of HTTP.
    pub secure: Option<Secure>,
    /// Groups, profiles and configs.
    pub store: Store,
    /// The folder behind `/assets/`.
    pub assets: Option<PathBuf>,
    /// What signs.
    pub key_ring: Option<KeyRing>,
    /// The gRPC that goes with it: where it listens, whom it believes, and what it writes.
    pub rpc: Option<(TcpListener, rpc::Tls, rpc::Store)>,
}

/// Serves matchbox until `stop` is cancelled, from this thread. Whoever is being served then is served to the end.
pub fn serve_standalone(
    standalone: Standalone,
    events: &Emitter,
    stop: &CancellationToken,
) -> Result<(), StandaloneError> {
    let Standalone { listener, secure, store, assets, key_ring, rpc } = standalone;
    let acceptor = secure.map(|secure| tls::acceptor_of_pem(&secure.certificates, &secure.key)).transpose();
    let acceptor = acceptor.map_err(StandaloneError::Certificate)?;
    super::tell(events, None, "", store.take_warnings());
    let handler = HttpHandler {
        content: ContentStore::empty(),
        clients: Clients::nobody(),
        matchbox: Some(Matchbox::new(Arc::new(store), assets, key_ring.map(Arc::new), Fallback::None)),
        events: events.clone(),
        ending: stop.clone(),
        places: PLACES,
        patience: PATIENCE,
    };
    // HTTP ends by itself when everybody was served who is served when it is to end.
    let never = CancellationToken::new();
    apart(events, &never, Service::Matchbox, Threads::Several, || async move {
        let mut beside = JoinSet::new();
        if let Some((listener, tls, store)) = rpc {
            beside.spawn(rpc::serve(listener, tls, Arc::new(store), handler.events.clone()));
        }
        let mut running = JoinSet::new();
        running.spawn(http::run(listener, handler, acceptor));
        while running.join_next().await.is_some() {}
        beside.shutdown().await;
    });
    Ok(())
}
