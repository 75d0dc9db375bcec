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

/// Takes the failure of an order that no newer one follows.
pub(super) type Failed = Arc<dyn Fn(Slot, MediaError) + Send + Sync>;

/// The slots of one BMC. Their orders end with this.
pub(super) struct Slots {
    media: Arc<VirtualMedia>,
    failed: Failed,
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
    pub(super) fn new(media: Arc<VirtualMedia>, failed: Failed) -> Self {
        Self { media, failed, queues: BTreeMap::new(), tasks: JoinSet::new() }
    }

    /// Carries an order out after those that the slot got before, of which it overtakes an image that is still fetched.
    pub(super) fn order(&mut self, slot: Slot, order: SlotOrder) {
        let queue = self.queues.entry(slot).or_insert_with(|| {
            let (orders, given) = mpsc::unbounded_channel();
            let (did, done) = watch::channel(0);
            self.tasks.spawn(carry_out(Arc::clone(&self.media), slot, given, did, Arc::clone(&self.failed)));
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
    failed: Failed,
) {
    let mut next = orders.recv().await;
    while let Some(order) = next.take() {
        let result = match order {
            SlotOrder::Eject => Some(media.eject(slot, Source::Bmc).await),
            SlotOrder::Insert(image) => {
                let fetched = match select(pin!(media.fetch(slot, image)), pin!(orders.recv())).await {
                    Either::Left((fetched, _)) => Some(fetched),
                    Either::Right((newer, _)) => {
                        next = newer;
                        None
                    }
                };
                // What the machine is told of is not taken back in between.
                match fetched {
                    Some(Ok(image)) => Some(media.show(slot, image, Source::Bmc).await),
                    Some(Err(error)) => Some(Err(error)),
                    None => None,
                }
            }
        };
        if let Some(Err(error)) = result
            && orders.is_empty()
        {
            failed(slot, error);
        }
        done.send_modify(|done| *done += 1);
        if next.is_none() {
            next = orders.recv().await;
        }
    }
}
