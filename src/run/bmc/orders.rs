//! The orders of a BMC become commands to its node, and what it wants of other servers.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::{BoxFuture, Either, select};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::media::{MediaError, VirtualMedia};
use super::push::Pushes;
use super::slots::{Settled, SlotOrder, Slots};
use super::{of_bmc, of_node};
use crate::bmc::Order;
use crate::bmc::boot::Override;
use crate::bmc::firmware::{BOOT_TIMEOUT, ENABLED, VIRTUALIZATION, Value, Values};
use crate::bmc::power::Control;
use crate::event::{Emitter, Known, Service, Source};
use crate::hint::chain;
use crate::name::NodeName;
use crate::node::{Attachment, Effect, FirmwareChange, Node, NodeCommand, NodeError, Power};
use crate::plan::FirmwareSettings;
use crate::run::command::RunCommand;
use crate::serve::bmc::{BmcInput, BmcOrder};

/// How many pieces of input wait for a machine that does not read them.
const WAITING: usize = 256;

/// Turns orders of a BMC into commands to its node.
pub(super) struct OrderHandler {
    pub(super) node: NodeName,
    pub(super) commands: mpsc::Sender<RunCommand>,
    pub(super) inputs: mpsc::UnboundedSender<BmcInput>,
    pub(super) machine: watch::Receiver<Option<Arc<dyn Node>>>,
    pub(super) media: Arc<VirtualMedia>,
    pub(super) events: Emitter,
}

/// An order to the machine, and what is waited for first.
type MachineOrder = (Order, Option<BoxFuture<'static, ()>>);

/// What a client does on the serial console.
enum Keyed {
    Text(Bytes),
    Break,
}

impl OrderHandler {
    /// Carries orders out, as long as it is polled.
    pub(super) async fn run(self, orders: mpsc::UnboundedReceiver<BmcOrder>) {
        let (keys, keyed) = mpsc::channel(WAITING);
        let (machine, of_machine) = mpsc::unbounded_channel();
        tokio::join!(self.orders(orders, keys, machine), self.machine(of_machine), self.console(keyed));
    }

    /// Hands orders on. Nothing here waits, so that no order waits for one that has nothing to do with it.
    async fn orders(
        &self,
        mut orders: mpsc::UnboundedReceiver<BmcOrder>,
        keys: mpsc::Sender<Keyed>,
        machine: mpsc::UnboundedSender<MachineOrder>,
    ) {
        let mut checks = JoinSet::new();
        let mut slots = Slots::new(Arc::clone(&self.media), self.slot_settled());
        let mut pushes = Pushes::new(self.media.client().clone(), self.inputs.clone());
        while let Some(order) = orders.recv().await {
            while checks.try_join_next().is_some() {}
            match order {
                BmcOrder::Machine(Order::Insert(slot, image)) => slots.order(slot, SlotOrder::Insert(image)),
                BmcOrder::Machine(Order::Eject(slot)) => slots.order(slot, SlotOrder::Eject),
                BmcOrder::Machine(order) => {
                    // A machine that starts has the images of which the client was told before.
                    let starts = matches!(order, Order::Power(Control::On | Control::Cycle | Control::Reset));
                    // Its receiver lives as long as this.
                    machine.send((order, starts.then(|| slots.settled()))).ok();
                }
                // A machine that reads nothing loses input, as on a serial line, and delays no power command.
                BmcOrder::Type(bytes) => drop(keys.try_send(Keyed::Text(bytes))),
                BmcOrder::Break => drop(keys.try_send(Keyed::Break)),
                BmcOrder::Check(image, mut found) => {
                    let media = Arc::clone(&self.media);
                    checks.spawn(async move {
                        let checked = match select(pin!(media.check(&image)), pin!(found.closed())).await {
                            Either::Left((checked, _)) => checked,
                            // Nobody wants to know any more.
                            Either::Right(_) => return,
                        };
                        // The BMC is gone when the services have ended.
                        found.send(checked).ok();
                    });
                }
                BmcOrder::Push(delivery) => pushes.send(delivery),
                BmcOrder::Unsubscribed(subscription) => pushes.forget(subscription),
            }
        }
    }

    /// Carries out what is to be done to the machine, in order; what comes with an order is waited for first.
    async fn machine(&self, mut orders: mpsc::UnboundedReceiver<MachineOrder>) {
        // A shutdown takes its time, and a command that comes later must not wait for it.
        let mut shutdowns = JoinSet::new();
        let mut later = VecDeque::new();
        loop {
            let next = match later.pop_front() {
                Some(next) => Some(next),
                None => orders.recv().await,
            };
            let Some((order, before)) = next else { return };
            while shutdowns.try_join_next().is_some() {}
            if let Some(before) = before {
                wait_unless_off(before, &mut orders, &mut later).await;
            }
            match order {
                // Those of slots go another way.
                Order::Insert(..) | Order::Eject(_) => {}
                Order::Power(control) => {
                    let done = self.power(control).await;
                    match control {
                        Control::Soft => drop(shutdowns.spawn(done)),
                        _ => done.await,
                    }
                }
                Order::Boot(over) => self.boot(over).await,
                Order::HttpBoot(url) => self.firmware(FirmwareChange::HttpBoot(url)).await,
                Order::Firmware(values) => self.firmware(FirmwareChange::Settings(settings(&values))).await,
                Order::SecureBoot(change) => self.firmware(FirmwareChange::SecureBoot(change)).await,
            }
        }
    }

    /// Reports failures of virtual media, and tells the BMC what became of its orders.
    fn slot_settled(&self) -> Settled {
        let (node, events, inputs) = (self.node.clone(), self.events.of(Source::Bmc), self.inputs.clone());
        Arc::new(move |slot, result| {
            if let Err(error) = result
                && !matches!(error, MediaError::Ending)
            {
                let failed = Known::ServiceFailed { service: Service::Bmc, error: chain(&error) };
                events.emit_of(&node, failed);
                // The BMC is gone when the services have ended.
                inputs.send(BmcInput::Emptied(slot)).ok();
            }
            inputs.send(BmcInput::SlotSettled(slot)).ok();
        })
    }

    fn failed(&self, error: String) {
        let failed = Known::ServiceFailed { service: Service::Bmc, error };
        self.events.of(Source::Bmc).emit_of(&self.node, failed);
    }

    /// Types on the serial console, in order.
    async fn console(&self, mut keyed: mpsc::Receiver<Keyed>) {
        while let Some(keyed) = keyed.recv().await {
            match keyed {
                Keyed::Text(bytes) => {
                    let node = self.machine.borrow().clone();
                    if let Some(Attachment { input, .. }) = node.and_then(|node| node.console().ok()) {
                        // The machine is gone with the lab.
                        input.send(bytes).await.ok();
                    }
                }
                // A machine that is off has no line.
                Keyed::Break => drop(self.command(NodeCommand::Break).await.await),
            }
        }
    }

    /// Begins a power command; the future that it returns waits for its end, and tells the BMC if it failed.
    async fn power(&self, control: Control) -> impl Future<Output = ()> + Send + 'static {
        let power = match control {
            Control::On => Power::On,
            Control::Off => Power::ForceOff,
            Control::Cycle => Power::Cycle,
            Control::Reset => Power::Reset,
            Control::Nmi => Power::Nmi,
            Control::Soft => Power::Off,
        };
        let answer = self.command(NodeCommand::Power(power)).await;
        let (inputs, events, node) = (self.inputs.clone(), self.events.of(Source::Bmc), self.node.clone());
        async move {
            // Without an answer the run ends.
            let Ok(Err(error)) = answer.await else { return };
            // A system that does not listen to the power button is no failure of the BMC.
            if !matches!(error, NodeError::StillOn { .. }) {
                let failed = Known::ServiceFailed { service: Service::Bmc, error: chain(&error) };
                events.emit_of(&node, failed);
            }
            inputs.send(BmcInput::Failed).ok();
        }
    }

    /// Overrides the boot order, and tells the BMC what it is then.
    async fn boot(&self, over: Option<Override>) {
        let Some(done) = self.done(NodeCommand::Boot(of_bmc(over))).await else { return };
        // That of the node, once there is one.
        let now = self.machine.borrow().as_ref().map(|node| of_node(*node.boot_override().borrow()));
        let now = now.unwrap_or(over.filter(|_| done.is_ok()));
        // The BMC is gone when the services have ended.
        self.inputs.send(BmcInput::Set(now)).ok();
    }

    /// Changes what the firmware is told.
    async fn firmware(&self, change: FirmwareChange) {
        // A failure is reported, and the variables of the firmware are read again at its next start.
        drop(self.done(NodeCommand::Firmware(change)).await);
    }

    /// Waits for the end of a command, and reports a failure. `None`: the run ends.
    async fn done(&self, command: NodeCommand) -> Option<Result<Effect, NodeError>> {
        let done = self.command(command).await.await.ok()?;
        if let Err(error) = &done {
            self.failed(chain(error));
        }
        Some(done)
    }

    async fn command(&self, command: NodeCommand) -> oneshot::Receiver<Result<Effect, NodeError>> {
        let (reply, answer) = oneshot::channel();
        let node = self.node.clone();
        // Without a receiver the run ends, and nobody answers.
        self.commands.send(RunCommand::Node { node, command, by: Source::Bmc, reply }).await.ok();
        answer
    }
}

/// Waits for what comes before a start, unless a later order powers the machine off; keeps the orders that come meanwhile.
async fn wait_unless_off(
    mut before: BoxFuture<'static, ()>,
    orders: &mut mpsc::UnboundedReceiver<MachineOrder>,
    later: &mut VecDeque<MachineOrder>,
) {
    let is_off = |(order, _): &MachineOrder| *order == Order::Power(Control::Off);
    while !later.iter().any(is_off) {
        match select(&mut before, pin!(orders.recv())).await {
            Either::Right((Some(order), _)) => later.push_back(order),
            // The BMC ends.
            Either::Left(_) | Either::Right((None, _)) => return,
        }
    }
}

/// Returns the settings of a firmware that a BMC has put in force.
fn settings(values: &Values) -> FirmwareSettings {
    let mut settings = FirmwareSettings::default();
    if let Some(Value::Number(seconds)) = values.get(BOOT_TIMEOUT) {
        settings.boot_timeout = u8::try_from(*seconds).unwrap_or(u8::MAX);
    }
    if let Some(Value::Text(switch)) = values.get(VIRTUALIZATION) {
        settings.virtualization = switch == ENABLED;
    }
    settings
}

#[cfg(test)]
mod tests;
