//! matchbox without a lab: its own listener, no other content.

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::{Fallback, KeyRing, Matchbox, Store};
use crate::event::{Emitter, Service, Source};
use crate::rpc;
use crate::serve::clients::Clients;
use crate::serve::connection_limit::ConnectionLimits;
use crate::serve::content::ContentStore;
use crate::serve::context::{Context, Limits};
use crate::serve::http::{self, HttpHandler, PATIENCE};
use crate::serve::{Threads, apart, tls};

/// The real server has no limits, and a whole site may come from one address.
const LIMITS: ConnectionLimits = ConnectionLimits { all: 16_384, each: 16_384 };

/// Certificate and key for HTTPS in PEM format.
pub struct Secure {
    /// The certificate, followed by intermediate certificates.
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
    /// The certificate or key is invalid, or they do not match.
    #[error("cannot use the certificate: {0}")]
    Certificate(String),
}

/// The configuration of a standalone server.
#[derive(Debug)]
pub struct Standalone {
    /// The listener.
    pub listener: TcpListener,
    /// Serve HTTPS instead of HTTP.
    pub secure: Option<Secure>,
    /// Groups, profiles and configs.
    pub store: Store,
    /// The folder served at `/assets/`.
    pub assets: Option<PathBuf>,
    /// The key ring that signs.
    pub key_ring: Option<KeyRing>,
    /// The gRPC API: its listener, certificates and store.
    pub rpc: Option<(TcpListener, rpc::Tls, rpc::Store)>,
}

/// Serves matchbox on this thread until `stop` is cancelled. Running responses are completed.
pub fn serve_standalone(
    standalone: Standalone,
    events: &Emitter,
    stop: &CancellationToken,
) -> Result<(), StandaloneError> {
    let events = &events.of(Source::Service);
    let Standalone { listener, secure, store, assets, key_ring, rpc } = standalone;
    let acceptor = secure.map(|secure| tls::acceptor_of_pem(&secure.certificates, &secure.key)).transpose();
    let acceptor = acceptor.map_err(StandaloneError::Certificate)?;
    super::tell(events, None, "", store.take_warnings());
    let handler = HttpHandler {
        content: ContentStore::empty(),
        context: Context {
            limits: Limits { http: LIMITS, ..Limits::default() },
            ..Context::new(Clients::nobody(), events.clone())
        },
        matchbox: Some(Matchbox::new(Arc::new(store), assets, key_ring.map(Arc::new), Fallback::None)),
        ending: stop.clone(),
        patience: PATIENCE,
    };
    // HTTP stops by itself after its running responses.
    let never = CancellationToken::new();
    apart(events, &never, Service::Matchbox, Threads::Several, || async move {
        let mut beside = JoinSet::new();
        if let Some((listener, tls, store)) = rpc {
            beside.spawn(rpc::serve(listener, tls, Arc::new(store), handler.context.events.clone()));
        }
        let mut running = JoinSet::new();
        running.spawn(http::run(listener, handler, acceptor.map(tls::Acceptors::from)));
        while running.join_next().await.is_some() {}
        beside.shutdown().await;
    });
    Ok(())
}
