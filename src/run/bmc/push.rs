//! Events of a BMC on their way to subscribers who gave it a URL.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};

use super::client::BmcClient;
use crate::bmc::redfish::Delivery;
use crate::bmc::subscription::Destination;
use crate::hint::chain;
use crate::serve::bmc::BmcInput;

/// How often a delivery is tried, and after which time again; the service says so in its properties.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_secs(5);
/// How many events wait for a subscriber that takes them slowly, which is given up then.
const WAITING: usize = 64;

/// The deliveries of one BMC: in order for each subscriber, and no subscriber waits for another one.
pub(super) struct Pushes {
    client: BmcClient,
    inputs: mpsc::UnboundedSender<BmcInput>,
    queues: BTreeMap<u32, (mpsc::Sender<Delivery>, AbortHandle)>,
    tasks: JoinSet<()>,
}

impl Pushes {
    /// Starts with nothing to deliver. `inputs` learns of subscribers who cannot be reached.
    pub(super) fn new(client: BmcClient, inputs: mpsc::UnboundedSender<BmcInput>) -> Self {
        Self { client, inputs, queues: BTreeMap::new(), tasks: JoinSet::new() }
    }

    /// Delivers after what the subscriber was sent before.
    pub(super) fn send(&mut self, delivery: Delivery) {
        while self.tasks.try_join_next().is_some() {}
        let subscription = delivery.subscription;
        let (queue, _) = self.queues.entry(subscription).or_insert_with(|| {
            let (queue, waiting) = mpsc::channel(WAITING);
            let task = self.tasks.spawn(deliver(self.client.clone(), self.inputs.clone(), waiting));
            (queue, task)
        });
        // Who takes nothing, or could not be reached a moment ago, is told nothing more.
        if queue.try_send(delivery).is_err() {
            self.inputs.send(BmcInput::Unreachable(subscription)).ok();
        }
    }

    /// Tells a subscriber nothing more, not even what waits.
    pub(super) fn forget(&mut self, subscription: u32) {
        if let Some((_, task)) = self.queues.remove(&subscription) {
            task.abort();
        }
    }
}

/// Delivers until the subscriber cannot be reached.
async fn deliver(
    client: BmcClient,
    inputs: mpsc::UnboundedSender<BmcInput>,
    mut waiting: mpsc::Receiver<Delivery>,
) {
    while let Some(delivery) = waiting.recv().await {
        let subscription = delivery.subscription;
        if !has_arrived(&client, delivery).await {
            // The BMC is gone when the services have ended.
            inputs.send(BmcInput::Unreachable(subscription)).ok();
            return;
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "a subscriber that restarts has time to come back")]
async fn has_arrived(client: &BmcClient, delivery: Delivery) -> bool {
    let Destination::Push { url, headers, verifies_certificate } = delivery.destination else { return true };
    for attempt in 1..=TRIES {
        let body = delivery.body.clone().into_bytes();
        match client.post(&url, &headers, body, verifies_certificate).await {
            Ok(200..=299) => return true,
            Ok(status) => tracing::debug!(url, status, "a subscriber refused an event"),
            Err(error) => tracing::debug!(url, error = %chain(&error), "a subscriber cannot be reached"),
        }
        if attempt < TRIES {
            tokio::time::sleep(PAUSE).await;
        }
    }
    false
}
