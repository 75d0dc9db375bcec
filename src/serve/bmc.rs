//! The ports of a BMC: IPMI over LAN.
//!
//! The answers come from [`crate::bmc`]; this receives, answers, sends, and hands on what is to be done to the machine.
//! It knows no machine: orders leave by one channel, what happens comes in by another.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;

use super::failure::FailureLog;
use crate::bmc::boot::Override;
use crate::bmc::ipmi::PORT;
use crate::bmc::ipmi::server::{Out, Server, Settings};
use crate::bmc::lan::OverLan;
use crate::bmc::power::Happening;
use crate::bmc::{Bmc, Learned, Now, Order};
use crate::event::{Emitter, Instant, Known, Service, Source};
use crate::name::NodeName;
use crate::system;

/// The longest datagram; those of clients have at most a few hundred bytes.
const DATAGRAM: usize = 2048;
/// How often a BMC without anything to do looks at its time.
const IDLE: Duration = Duration::from_secs(3600);

/// What a BMC learns.
#[derive(Debug)]
pub enum BmcInput {
    /// Something happened to the power of the machine.
    Happened(Happening),
    /// How a boot went.
    Learned(Learned),
    /// The override of the boot order, as it is now.
    Overridden(Option<Override>),
    /// The machine printed something on its serial console.
    Printed(Bytes),
    /// An override that was ordered was set or refused; the one that the machine has now.
    Set(Option<Override>),
    /// A power command could not be carried out.
    Failed,
}

/// What a BMC wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BmcOrder {
    /// Something is to be done to the machine. An override is answered with [`BmcInput::Set`].
    Machine(Order),
    /// Something is to be typed on the serial console.
    Type(Bytes),
    /// A break is to be sent on the serial console.
    Break,
}

/// A BMC and everything that it is connected to.
#[derive(Debug)]
pub struct BmcParts {
    /// The node.
    pub node: NodeName,
    /// Its state.
    pub bmc: Bmc,
    /// The socket of IPMI.
    pub ipmi: UdpSocket,
    /// What happens.
    pub inputs: mpsc::UnboundedReceiver<BmcInput>,
    /// What is to be done.
    pub orders: mpsc::UnboundedSender<BmcOrder>,
    /// Receives the events.
    pub events: Emitter,
}

/// Something that a BMC acts on.
enum Next {
    Datagram(std::io::Result<(usize, SocketAddr)>),
    Input(Option<BmcInput>),
    Due,
}

/// Serves as long as it is polled.
pub async fn serve(parts: BmcParts) {
    let BmcParts { node, bmc, ipmi, mut inputs, orders, events } = parts;
    let events = events.of(Source::Bmc);
    let mut failure = FailureLog::new(Service::Bmc, &events);
    let mut controller = Controller {
        node,
        bmc,
        server: Server::new(Settings::new(PORT)),
        orders,
        events: &events,
        told: 0,
        unsettled: 0,
    };
    let mut datagram = vec![0; DATAGRAM];
    let mut answers = Vec::new();
    loop {
        // What a command did is recorded before its answer leaves.
        let (outs, due) = controller.settle();
        answers.extend(outs);
        send(&ipmi, std::mem::take(&mut answers)).await;
        match next(&ipmi, &mut datagram, &mut inputs, due).await {
            Next::Due => {}
            Next::Input(None) => return,
            Next::Input(Some(input)) => controller.learn(input),
            Next::Datagram(Err(error)) => failure.pause(&error).await,
            Next::Datagram(Ok((length, from))) => answers = controller.receive(from, &datagram[..length]),
        }
    }
}

async fn send(socket: &UdpSocket, outs: Vec<Out>) {
    for Out { to, bytes } in outs {
        // A datagram that cannot be sent is one that is lost: the client asks again.
        if let Err(error) = socket.send_to(&bytes, to).await {
            tracing::debug!(%to, %error, "an answer was not sent");
        }
    }
}

/// Waits for what comes next.
async fn next(
    socket: &UdpSocket,
    datagram: &mut [u8],
    inputs: &mut mpsc::UnboundedReceiver<BmcInput>,
    due: Duration,
) -> Next {
    tokio::select! {
        input = inputs.recv() => Next::Input(input),
        received = tokio::time::timeout(due, socket.recv_from(datagram)) => {
            received.map_or(Next::Due, Next::Datagram)
        }
    }
}

struct Controller<'a> {
    node: NodeName,
    bmc: Bmc,
    server: Server,
    orders: mpsc::UnboundedSender<BmcOrder>,
    events: &'a Emitter,
    /// How many entries of the log were told.
    told: usize,
    /// How many overrides are on their way to the machine.
    unsettled: usize,
}

fn instant(Instant { at, wall }: Instant) -> Now {
    Now { up: at.elapsed(), unix: u32::try_from(wall.as_second()).unwrap_or(0) }
}

impl Controller<'_> {
    fn receive(&mut self, from: SocketAddr, packet: &[u8]) -> Vec<Out> {
        let now = instant(self.events.now());
        let mut view = OverLan::new(&mut self.bmc, now);
        let outs = self.server.receive(now.up, from, packet, &mut view, &mut system::random);
        let (typed, breaks) = (std::mem::take(&mut view.typed), view.breaks);
        if !typed.is_empty() {
            self.order(BmcOrder::Type(typed.into()));
        }
        for _ in 0..breaks {
            self.order(BmcOrder::Break);
        }
        outs
    }

    fn learn(&mut self, input: BmcInput) {
        let now = instant(self.events.now());
        match input {
            BmcInput::Happened(happening) => self.bmc.happened(now, happening),
            BmcInput::Learned(learned) => self.bmc.learned(now, learned),
            // An order that is on its way will change it.
            BmcInput::Overridden(over) if self.unsettled == 0 => self.bmc.overridden(now, over),
            BmcInput::Overridden(_) => {}
            BmcInput::Printed(bytes) => self.server.output(now.up, &bytes),
            BmcInput::Set(over) => {
                self.unsettled = self.unsettled.saturating_sub(1);
                if self.unsettled == 0 {
                    self.bmc.overridden(now, over);
                }
            }
            BmcInput::Failed => self.bmc.failed(now),
        }
    }

    /// Does what is due, tells what is new; returns what is to be sent, and how long there is nothing to do.
    fn settle(&mut self) -> (Vec<Out>, Duration) {
        let now = instant(self.events.now());
        let of_bmc = self.bmc.tick(now);
        for order in self.bmc.orders() {
            self.unsettled += usize::from(matches!(order, Order::Boot(_)));
            self.order(BmcOrder::Machine(order));
        }
        let fresh = self.bmc.log.total() - self.told;
        self.told += fresh;
        let known = self.bmc.log.len().saturating_sub(fresh);
        for entry in self.bmc.log.entries().skip(known) {
            let logged = Known::BmcLogged { entry: entry.id, what: entry.what.to_string() };
            self.events.emit_of(&self.node, logged);
        }
        let mut view = OverLan::new(&mut self.bmc, now);
        let (outs, of_server) = self.server.tick(now.up, &mut view, &mut system::random);
        let due = [of_bmc, of_server].into_iter().flatten().min();
        (outs, due.map_or(IDLE, |due| due.saturating_sub(now.up).min(IDLE)))
    }

    fn order(&self, order: BmcOrder) {
        // Without a receiver the lab is being torn down.
        self.orders.send(order).ok();
    }
}
