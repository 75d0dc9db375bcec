//! The control socket: serves the control API on a Unix socket.
//!
//! The mode of the socket and its folder restrict it to its owner.

use std::io;
use std::os::unix::net::UnixListener;

use axum::Router;
use hyper_util::rt::TokioIo;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Serves requests until `stop` is cancelled, and then completes those in progress.
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
            // The client has closed the connection, which concerns no other.
            if stop.run_until_cancelled(connection.as_mut()).await.is_none() {
                connection.as_mut().graceful_shutdown();
                connection.await.ok();
            }
        });
    }
    while connections.join_next().await.is_some() {}
    Ok(())
}
