//! Orders for the slots of virtual media: in order for each slot, and nothing else waits for a slow server of images.
//!
//! ```text
//! insert ─▶ fetching ─┬──▶ in the drive
//!                     └─ a newer order for the slot ─▶ dropped
//! ```

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::Arc;

use futures_util::future::{BoxFuture, Either, join_all, select};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use super::media::{MediaError, VirtualMedia};
use crate::bmc::media::{Image, Slot};
use crate::event::Source;

/// What is to be done to a slot.
#[derive(Debug)]
pub(super) enum SlotOrder {
    /// An image is to be in it.
    Insert(Image),
    /// It is to be empty.
    Eject,
}

/// Is told of each order that is carried out or dropped, in order for each slot.
pub(super) type Settled = Arc<dyn Fn(Slot, Result<(), MediaError>) + Send + Sync>;

/// The slots of one BMC. Their orders end with this.
pub(super) struct Slots {
    media: Arc<VirtualMedia>,
    settled: Settled,
    queues: BTreeMap<Slot, Queue>,
    tasks: JoinSet<()>,
}

/// The orders of a slot.
struct Queue {
    orders: mpsc::UnboundedSender<SlotOrder>,
    given: u64,
    /// How many of them are carried out or dropped.
    done: watch::Receiver<u64>,
}

impl Slots {
    /// Starts without orders.
    pub(super) fn new(media: Arc<VirtualMedia>, settled: Settled) -> Self {
        Self { media, settled, queues: BTreeMap::new(), tasks: JoinSet::new() }
    }

    /// Carries an order out after those that the slot got before, of which it overtakes an image that is still fetched.
    pub(super) fn order(&mut self, slot: Slot, order: SlotOrder) {
        let queue = self.queues.entry(slot).or_insert_with(|| {
            let (orders, given) = mpsc::unbounded_channel();
            let (did, done) = watch::channel(0);
            self.tasks.spawn(carry_out(Arc::clone(&self.media), slot, given, did, Arc::clone(&self.settled)));
            Queue { orders, given: 0, done }
        });
        queue.given += 1;
        // Its task lives as long as this.
        queue.orders.send(order).ok();
    }

    /// Waits until all orders until now are carried out or dropped.
    pub(super) fn settled(&self) -> BoxFuture<'static, ()> {
        let waits = self.queues.values().map(|queue| (queue.given, queue.done.clone()));
        let waits = waits.map(|(given, mut done)| async move {
            // An error means that the BMC ends.
            done.wait_for(|done| *done >= given).await.ok();
        });
        let waits = join_all(waits.collect::<Vec<_>>());
        Box::pin(async move { drop(waits.await) })
    }
}

/// Carries the orders for a slot out.
async fn carry_out(
    media: Arc<VirtualMedia>,
    slot: Slot,
    mut orders: mpsc::UnboundedReceiver<SlotOrder>,
    done: watch::Sender<u64>,
    settled: Settled,
) {
    let mut next = orders.recv().await;
    while let Some(order) = next.take() {
        let result = match order {
            SlotOrder::Eject => media.eject(slot, Source::Bmc).await.map(drop),
            SlotOrder::Insert(image) => {
                match select(pin!(media.fetch(slot, image)), pin!(orders.recv())).await {
                    // What the machine is told of is not taken back in between.
                    Either::Left((Ok(image), _)) => media.show(slot, image, Source::Bmc).await.map(drop),
                    Either::Left((Err(error), _)) => Err(error),
                    Either::Right((newer, _)) => {
                        next = newer;
                        Ok(())
                    }
                }
            }
        };
        settled(slot, result);
        done.send_modify(|done| *done += 1);
        if next.is_none() {
            next = orders.recv().await;
        }
    }
}
