//! Limits TCP connections, in total and per client.

use std::collections::HashMap;
use std::future::Future;
use std::net::IpAddr;
use std::time::Duration;

use tokio::task::{JoinError, JoinSet};

/// The limits.
#[derive(Debug, Clone, Copy)]
pub(super) struct ConnectionLimits {
    /// In total.
    pub(super) all: usize,
    /// Per client.
    pub(super) each: usize,
}

/// The connections of a service. They end when this is dropped.
#[derive(Debug)]
pub(super) struct ConnectionLimit {
    limits: ConnectionLimits,
    connections: JoinSet<IpAddr>,
    // Invariant: the number of `connections` by client.
    of_client: HashMap<IpAddr, usize>,
}

impl ConnectionLimit {
    /// Starts without connections.
    pub(super) fn new(limits: ConnectionLimits) -> Self {
        Self { limits, connections: JoinSet::new(), of_client: HashMap::new() }
    }

    /// Waits until a connection may be accepted.
    pub(super) async fn room(&mut self) {
        self.reap();
        if self.connections.len() >= self.limits.all
            && let Some(ended) = self.connections.join_next().await
        {
            self.forget(ended);
        }
    }

    /// Serves a connection, or closes it if a limit is exceeded. Returns which of the two.
    pub(super) fn take_in(
        &mut self,
        client: IpAddr,
        talk: impl Future<Output = ()> + Send + 'static,
    ) -> bool {
        self.reap();
        let own = self.of_client.get(&client).copied().unwrap_or(0);
        if own >= self.limits.each || self.connections.len() >= self.limits.all {
            return false;
        }
        self.of_client.insert(client, own + 1);
        self.connections.spawn(async move {
            talk.await;
            client
        });
        true
    }

    /// Waits for all connections to end, up to this time.
    pub(super) async fn leave(&mut self, most: Duration) {
        let all = async { while self.connections.join_next().await.is_some() {} };
        tokio::time::timeout(most, all).await.ok();
    }

    /// Stops counting a connection that has ended.
    fn reap(&mut self) {
        while let Some(ended) = self.connections.try_join_next() {
            self.forget(ended);
        }
    }

    fn forget(&mut self, ended: Result<IpAddr, JoinError>) {
        let Ok(client) = ended else {
            // A panic does not say whose connection it was: that client's count stays too high by one, the others'
            // are correct.
            return;
        };
        if let Some(own) = self.of_client.get_mut(&client) {
            *own -= 1;
            if *own == 0 {
                self.of_client.remove(&client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use tokio::sync::oneshot;

    use super::*;

    fn client(last: u8) -> IpAddr {
        Ipv4Addr::new(10, 0, 0, last).into()
    }

    #[tokio::test]
    async fn nobody_takes_all_places() {
        let mut connections = ConnectionLimit::new(ConnectionLimits { all: 5, each: 3 });
        let mut open = Vec::new();
        let mut come = |connections: &mut ConnectionLimit, last| {
            let (end, ended) = oneshot::channel::<()>();
            open.push(end);
            connections.take_in(client(last), async move { drop(ended.await) })
        };
        let taken: Vec<bool> =
            [1, 1, 1, 1, 2, 2, 2].iter().map(|last| come(&mut connections, *last)).collect();
        assert_eq!(taken, [true, true, true, false, true, true, false]);
        assert_eq!(connections.of_client, HashMap::from([(client(1), 3), (client(2), 2)]));
        // A closed connection makes room, also for the same client.
        open.remove(0).send(()).unwrap();
        connections.room().await;
        assert_eq!(connections.of_client[&client(1)], 2);
        let (_end, ended) = oneshot::channel::<()>();
        assert!(connections.take_in(client(1), async move { drop(ended.await) }));
        drop(open);
        for _ in 0..4 {
            let ended = connections.connections.join_next().await.unwrap();
            connections.forget(ended);
        }
        assert_eq!(connections.of_client, HashMap::from([(client(1), 1)]), "only the last one is left");
    }
}
