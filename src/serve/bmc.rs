//! The ports of a BMC: IPMI over LAN and Redfish.
//!
//! ```text
//! UDP 623 ────────────▶ Controller ──▶ orders to the machine
//! TCP 443, 80 ─▶ web ─▶  (the BMC) ◀── what happens to the machine
//! ```
//!
//! The answers come from [`crate::bmc`]; this receives, answers, sends, and hands on what is to be done. It knows no
//! machine and no server of images: orders leave by one channel, what happens comes in by another.

mod web;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::{BoxFuture, Either, select};
use futures_util::stream::FuturesUnordered;
use tokio::net::{TcpListener, UdpSocket};
use tokio::sync::{mpsc, oneshot, watch};

use self::web::{Answered, Call, Door};
use super::failure::FailureLog;
use super::tls::{Acceptors, Identity, Sessions};
use crate::bmc::boot::Override;
use crate::bmc::fault::Fault;
use crate::bmc::in_band::InBand;
use crate::bmc::inventory::BootOption;
use crate::bmc::ipmi::server::{Out, Server};
use crate::bmc::lan::OverLan;
use crate::bmc::media::{Image, Slot};
use crate::bmc::power::Happening;
use crate::bmc::redfish::{self, Answer, Delivery, Outcome, Pending};
use crate::bmc::secure_boot::KeyMode;
use crate::bmc::subscription::Destination;
use crate::bmc::{Bmc, Learned, Now, Order};
use crate::event::{Emitter, Instant, Known, Service, Source};
use crate::name::{NicName, NodeName};
use crate::system;

/// The longest datagram; those of clients have at most a few hundred bytes.
const DATAGRAM: usize = 2048;
/// How often a BMC without anything to do looks at its time.
const IDLE: Duration = Duration::from_secs(3600);
/// How many events wait for a client that does not read its stream, which ends then.
const UNREAD: usize = 64;

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
    /// A NIC has a carrier or lost it.
    Link(NicName, bool),
    /// The boot entries of the firmware, whether it is to check signatures, and whether there is a platform key.
    Firmware(Vec<BootOption>, Option<(bool, KeyMode)>),
    /// The system of the machine says something, and waits for the answer.
    FromSystem {
        /// A piece of the stream of bytes.
        bytes: Bytes,
        /// Takes the answer.
        answer: mpsc::OwnedPermit<Bytes>,
    },
    /// An override that was ordered was set or refused; the one that the machine has now.
    Set(Option<Override>),
    /// A power command could not be carried out.
    Failed,
    /// The subscriber of this subscription cannot be reached.
    Unreachable(u32),
    /// The machine has nothing in this slot any more.
    Emptied(Slot),
    /// The machine has an image in this slot; where it is from.
    Inserted(Slot, String),
    /// An order for this slot was carried out or dropped; what it changed was told before.
    SlotSettled(Slot),
    /// All that is wrong with the BMC from now on.
    Faults(Vec<Fault>),
    /// An entry of its log is in the record of the run.
    Recorded,
}

/// What a BMC wants.
#[derive(Debug)]
pub enum BmcOrder {
    /// Something is to be done to the machine. An override is answered with [`BmcInput::Set`].
    Machine(Order),
    /// Something is to be typed on the serial console.
    Type(Bytes),
    /// A break is to be sent on the serial console.
    Break,
    /// An image is to be looked for at its server.
    Check(Image, oneshot::Sender<Outcome>),
    /// An event is to be sent to a subscriber.
    Push(Delivery),
    /// This subscriber is to be told nothing more.
    Unsubscribed(u32),
}

/// A BMC and everything that it is connected to.
#[derive(Debug)]
pub struct BmcParts {
    /// The node.
    pub node: NodeName,
    /// Its state. It is large, and futures that own it are moved.
    pub bmc: Box<Bmc>,
    /// The socket of IPMI, if it has IPMI over LAN.
    pub ipmi: Option<UdpSocket>,
    /// The ports of Redfish, if it has Redfish.
    pub redfish: Option<RedfishPorts>,
    /// What happens.
    pub inputs: mpsc::UnboundedReceiver<BmcInput>,
    /// What is to be done.
    pub orders: mpsc::UnboundedSender<BmcOrder>,
    /// Receives the events.
    pub events: Emitter,
}

/// The ports of Redfish.
#[derive(Debug)]
pub struct RedfishPorts {
    /// That of HTTPS.
    pub https: TcpListener,
    /// That of HTTP, which leads to HTTPS if the lab file does not ask for more.
    pub http: TcpListener,
    /// The certificate.
    pub identity: Identity,
}

/// Something that a BMC acts on.
enum Next {
    Datagram(std::io::Result<(usize, SocketAddr)>),
    Input(Option<BmcInput>),
    Call(Call),
    Checked(Checked),
    Due,
}

/// An image whose server was asked.
struct Checked {
    pending: Pending,
    outcome: Outcome,
    /// Who waits for the reply; nobody if it is a task.
    waits: Option<oneshot::Sender<Answered>>,
}

/// Serves as long as it is polled.
///
/// # Errors
///
/// The certificate cannot be used.
pub fn serve(parts: BmcParts) -> io::Result<impl Future<Output = ()> + Send> {
    let BmcParts { node, bmc, ipmi, redfish, inputs, orders, events } = parts;
    let (calls, called) = mpsc::unbounded_channel();
    let (opened, door) = watch::channel(Door::of(&bmc));
    let web = match redfish {
        None => None,
        Some(RedfishPorts { https, http, identity }) => {
            let tls = Acceptors::new(identity, Sessions::Forgotten).map_err(io::Error::other)?;
            let https = web::run(https, Some((tls, door)), calls.clone(), events.clone());
            Some((https, web::run(http, None, calls.clone(), events.clone())))
        }
    };
    let web = async move {
        if let Some((https, http)) = web {
            tokio::join!(https, http);
        }
    };
    let events = events.of(Source::Bmc);
    let controller = async move {
        let controller = Controller::new(node, bmc, orders, &events, opened);
        // The channel of calls stays open without a web service.
        let _calls = calls;
        controller.run(ipmi, inputs, called).await;
    };
    Ok(async move {
        tokio::select! {
            () = controller => {}
            () = async { web.await; std::future::pending().await } => {}
        }
    })
}

async fn send(socket: Option<&UdpSocket>, outs: Vec<Out>) {
    let Some(socket) = socket else { return };
    for Out { to, bytes } in outs {
        // A datagram that cannot be sent is one that is lost: the client asks again.
        if let Err(error) = socket.send_to(&bytes, to).await {
            tracing::debug!(%to, %error, "an answer was not sent");
        }
    }
}

struct Controller<'a> {
    node: NodeName,
    bmc: Box<Bmc>,
    server: Box<Server>,
    in_band: InBand,
    /// Answers to the system, which leave when what they tell of is recorded.
    answers_to_system: Vec<(mpsc::OwnedPermit<Bytes>, Bytes)>,
    orders: mpsc::UnboundedSender<BmcOrder>,
    events: &'a Emitter,
    /// How many entries of the log were told.
    told: usize,
    /// How many of them are not in the record of the run yet.
    unrecorded: usize,
    /// How many overrides are on their way to the machine.
    unsettled: usize,
    /// Slots with orders that are on their way to the machine.
    slots: BTreeMap<Slot, Unsettled>,
    /// Replies of Redfish that have not left.
    replies: Vec<(oneshot::Sender<Answered>, Answered)>,
    /// The streams of events, by subscription.
    streams: BTreeMap<u32, mpsc::Sender<Bytes>>,
    /// Subscriptions whose events are pushed, once there was one.
    pushed: BTreeSet<u32>,
    /// What new connections of HTTPS find.
    door: watch::Sender<Door>,
    /// Images whose servers are being asked.
    checks: FuturesUnordered<BoxFuture<'static, Checked>>,
    /// The slots that wait for them; dropping the second value ends the wait.
    awaited: Vec<(Pending, oneshot::Sender<()>)>,
}

/// What is known of a slot whose orders are on their way. What the machine tells meanwhile may be about an order before
/// them.
#[derive(Debug, Default)]
struct Unsettled {
    orders: usize,
    /// What the machine told last: where its image is from, if it has one.
    told: Option<Option<String>>,
}

fn instant(Instant { at, wall }: Instant) -> Now {
    Now { up: at.elapsed(), unix: u32::try_from(wall.as_second()).unwrap_or(0) }
}

impl<'a> Controller<'a> {
    fn new(
        node: NodeName,
        bmc: Box<Bmc>,
        orders: mpsc::UnboundedSender<BmcOrder>,
        events: &'a Emitter,
        door: watch::Sender<Door>,
    ) -> Self {
        Self {
            node,
            server: Box::new(Server::new(bmc.ipmi_settings())),
            bmc,
            in_band: InBand::default(),
            answers_to_system: Vec::new(),
            orders,
            events,
            told: 0,
            unrecorded: 0,
            unsettled: 0,
            slots: BTreeMap::new(),
            replies: Vec::new(),
            streams: BTreeMap::new(),
            pushed: BTreeSet::new(),
            door,
            checks: FuturesUnordered::new(),
            awaited: Vec::new(),
        }
    }

    async fn run(
        mut self,
        ipmi: Option<UdpSocket>,
        mut inputs: mpsc::UnboundedReceiver<BmcInput>,
        mut calls: mpsc::UnboundedReceiver<Call>,
    ) {
        let mut failure = FailureLog::new(Service::Bmc, self.events);
        let mut datagram = vec![0; DATAGRAM];
        let mut answers = Vec::new();
        loop {
            let (outs, due) = self.settle();
            answers.extend(outs);
            // What a command did is recorded before its answer leaves: a supervisor that is killed then has not
            // lost what a client was told of.
            if self.unrecorded == 0 {
                send(ipmi.as_ref(), std::mem::take(&mut answers)).await;
                self.reply();
            }
            match self.next(ipmi.as_ref(), &mut datagram, &mut inputs, &mut calls, due).await {
                Next::Due => {}
                Next::Input(None) => return,
                Next::Input(Some(input)) => self.learn(input),
                Next::Call(call) => self.called(call),
                Next::Checked(checked) => self.checked(checked),
                Next::Datagram(Err(error)) => failure.pause(&error).await,
                Next::Datagram(Ok((length, from))) => answers.extend(self.receive(from, &datagram[..length])),
            }
        }
    }

    /// Waits for what comes next.
    async fn next(
        &mut self,
        socket: Option<&UdpSocket>,
        datagram: &mut [u8],
        inputs: &mut mpsc::UnboundedReceiver<BmcInput>,
        calls: &mut mpsc::UnboundedReceiver<Call>,
        due: Duration,
    ) -> Next {
        let receive = async {
            match socket {
                Some(socket) => socket.recv_from(datagram).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            input = inputs.recv() => Next::Input(input),
            Some(call) = calls.recv() => Next::Call(call),
            Some(checked) = self.checks.next() => Next::Checked(checked),
            received = tokio::time::timeout(due, receive) => received.map_or(Next::Due, Next::Datagram),
        }
    }

    /// Answers a request of Redfish.
    fn called(&mut self, call: Call) {
        let (request, waits) = match call {
            Call::Request(request, waits) => (request, waits),
            Call::Closed(subscription) => return redfish::closed(&mut self.bmc, subscription),
        };
        let now = instant(self.events.now());
        match redfish::answer(&mut self.bmc, now, &mut system::random, &request) {
            Answer::Done(reply) => self.replies.push((waits, Answered::Reply(reply))),
            Answer::Pending(pending) => self.check(pending, Some(waits)),
            Answer::Background(reply, pending) => {
                self.replies.push((waits, Answered::Reply(reply)));
                self.check(pending, None);
            }
            Answer::Stream(head, subscription) => {
                let (lines, stream) = mpsc::channel(UNREAD);
                self.streams.insert(subscription, lines);
                self.replies.push((waits, Answered::Stream(head, stream, subscription)));
            }
        }
    }

    /// Has the server of an image asked.
    fn check(&mut self, pending: Pending, waits: Option<oneshot::Sender<Answered>>) {
        let (found, finding) = oneshot::channel();
        let (is_awaited, given_up) = oneshot::channel();
        self.order(BmcOrder::Check(pending.image.clone(), found));
        self.awaited.push((pending.clone(), is_awaited));
        self.checks.push(Box::pin(async move {
            // Nobody asks any more when the slot is given to somebody else, or the lab is being torn down.
            let outcome = match select(finding, given_up).await {
                Either::Left((found, _)) => found.unwrap_or(Outcome::Unreachable),
                Either::Right(_) => Outcome::Unreachable,
            };
            Checked { pending, outcome, waits }
        }));
    }

    fn checked(&mut self, checked: Checked) {
        let Checked { pending, outcome, waits } = checked;
        let now = instant(self.events.now());
        let reply = redfish::finish(&mut self.bmc, now, pending, outcome);
        self.replies.extend(waits.map(|waits| (waits, Answered::Reply(reply))));
    }

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
            BmcInput::Link(nic, is_up) => self.bmc.linked(nic.as_str(), is_up),
            BmcInput::Unreachable(subscription) => redfish::closed(&mut self.bmc, subscription),
            BmcInput::Firmware(options, secure_boot) => {
                self.bmc.identity.inventory.boot_options = options;
                if let (Some((enabled, mode)), Some(state)) = (secure_boot, &mut self.bmc.secure_boot) {
                    state.learned(enabled, mode);
                }
            }
            BmcInput::Emptied(slot) => self.changed(now, slot, None),
            BmcInput::Inserted(slot, url) => self.changed(now, slot, Some(url)),
            BmcInput::SlotSettled(slot) => self.slot_settled(now, slot),
            BmcInput::Printed(bytes) => self.server.output(now.up, &bytes),
            BmcInput::FromSystem { bytes, answer } => {
                let sent = self.in_band.receive(&self.server, &mut self.bmc, now, &bytes);
                if !sent.is_empty() {
                    self.answers_to_system.push((answer, sent.into()));
                }
            }
            BmcInput::Set(over) => {
                self.unsettled = self.unsettled.saturating_sub(1);
                if self.unsettled == 0 {
                    self.bmc.overridden(now, over);
                }
            }
            BmcInput::Failed => self.bmc.failed(now),
            BmcInput::Recorded => self.unrecorded = self.unrecorded.saturating_sub(1),
            BmcInput::Faults(faults) => {
                self.bmc.set_faults(faults);
                self.server.configure(self.bmc.ipmi_settings());
            }
        }
    }

    /// Learns what a slot of the machine has.
    fn changed(&mut self, now: Now, slot: Slot, url: Option<String>) {
        match (self.slots.get_mut(&slot), url) {
            (Some(unsettled), url) => unsettled.told = Some(url),
            (None, Some(url)) => self.bmc.inserted(now, slot, url),
            (None, None) => self.bmc.emptied(now, slot),
        }
    }

    /// Learns that an order for a slot is settled; after the last one counts what the machine told last.
    fn slot_settled(&mut self, now: Now, slot: Slot) {
        let Some(unsettled) = self.slots.get_mut(&slot) else { return };
        unsettled.orders = unsettled.orders.saturating_sub(1);
        if unsettled.orders == 0
            && let Some(told) = self.slots.remove(&slot).and_then(|unsettled| unsettled.told)
        {
            self.changed(now, slot, told);
        }
    }

    /// Does what is due, tells what is new; returns what is to be sent, and how long there is nothing to do.
    fn settle(&mut self) -> (Vec<Out>, Duration) {
        let now = instant(self.events.now());
        let of_bmc = self.bmc.tick(now);
        for user in self.bmc.take_ended() {
            self.server.end_sessions_of(user);
        }
        for order in self.bmc.orders() {
            match &order {
                Order::Boot(_) => self.unsettled += 1,
                Order::Insert(slot, _) | Order::Eject(slot) => {
                    self.slots.entry(*slot).or_default().orders += 1
                }
                _ => {}
            }
            self.order(BmcOrder::Machine(order));
        }
        let fresh = self.bmc.log.total() - self.told;
        self.told += fresh;
        let known = self.bmc.log.len().saturating_sub(fresh);
        for entry in self.bmc.log.entries().skip(known) {
            let logged = Known::BmcLogged { entry: entry.id, what: entry.what.to_string() };
            self.events.emit_of(&self.node, logged);
            self.unrecorded += 1;
        }
        self.awaited.retain(|(pending, _)| pending.is_wanted(&self.bmc));
        self.deliver();
        let door = Door::of(&self.bmc);
        self.door.send_if_modified(|before| std::mem::replace(before, door) != door);
        let mut view = OverLan::new(&mut self.bmc, now);
        let (outs, of_server) = self.server.tick(now.up, &mut view, &mut system::random);
        let due = [of_bmc, of_server].into_iter().flatten().min();
        (outs, due.map_or(IDLE, |due| due.saturating_sub(now.up).min(IDLE)))
    }

    /// Sends events to their subscribers.
    fn deliver(&mut self) {
        for delivery in redfish::deliver(&mut self.bmc) {
            match delivery.destination {
                Destination::Push { .. } => {
                    self.pushed.insert(delivery.subscription);
                    self.order(BmcOrder::Push(delivery));
                }
                Destination::Stream => {
                    let stream = self.streams.get(&delivery.subscription);
                    if stream.is_some_and(|stream| stream.try_send(delivery.body.into()).is_err()) {
                        redfish::closed(&mut self.bmc, delivery.subscription);
                    }
                }
            }
        }
        let subscriptions = &self.bmc.redfish.subscriptions;
        self.streams.retain(|subscription, _| subscriptions.get(*subscription).is_some());
        for ended in self.pushed.extract_if(.., |subscription| subscriptions.get(*subscription).is_none()) {
            // Without a receiver the lab is being torn down.
            self.orders.send(BmcOrder::Unsubscribed(ended)).ok();
        }
    }

    /// Lets out what clients and the system are answered.
    fn reply(&mut self) {
        for (answer, bytes) in self.answers_to_system.drain(..) {
            answer.send(bytes);
        }
        for (waits, answered) in self.replies.drain(..) {
            // A client that has gone wants no reply.
            drop(waits.send(answered));
        }
    }

    fn order(&self, order: BmcOrder) {
        // Without a receiver the lab is being torn down.
        self.orders.send(order).ok();
    }
}

#[cfg(test)]
mod tests;
