//! The control socket: serves the control API to whoever may connect to a Unix socket.
//!
//! That is its owner alone: the socket's mode and folder see to it.

use std::io;
use std::os::unix::net::UnixListener;

use axum::Router;
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Answers until `stop` is cancelled, and then finishes the answers that were begun.
pub(super) async fn serve(listener: UnixListener, router: Router, stop: CancellationToken) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::UnixListener::from_std(listener)?;
    let mut connections = JoinSet::new();
    while let Some(accepted) = stop.run_until_cancelled(listener.accept()).await {
        let (stream, _) = accepted?;
        while connections.try_join_next().is_some() {}
        let service = hyper_util::service::TowerToHyperService::new(router.clone());
        let stop = stop.clone();
        connections.spawn(async move {
            let http = hyper::server::conn::http1::Builder::new();
            let mut connection =
                std::pin::pin!(http.serve_connection(TokioIo::new(stream), service).with_upgrades());
            // Whoever broke it off has gone, and nobody else is concerned.
            if stop.run_until_cancelled(connection.as_mut()).await.is_none() {
                connection.as_mut().graceful_shutdown();
                connection.await.ok();
            }
        });
    }
    while connections.join_next().await.is_some() {}
    Ok(())
}
