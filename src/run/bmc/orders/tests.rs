use std::path::Path;

use tokio::net::TcpListener;

use super::*;
use crate::bmc::boot::BootDevice;
use crate::bmc::media::Slot;
use crate::event::{Instant, RunTime};
use crate::plan::plan;
use crate::plan::tests::{facts, lab};
use crate::run::bmc::peer::{Names, Peer, image, part};

const LAB: &str = "dryrack = 1\n[network.lan]\naddress = \"10.0.2.1/24\"\nbmc = {}\n[node.a]\nnic.lan = {}\ndisk.root = { size = \"1MiB\" }\nboot = [\"disk\"]\n";

/// The end of a run to which a BMC gives its orders.
struct Bench {
    orders: mpsc::UnboundedSender<BmcOrder>,
    commands: mpsc::Receiver<RunCommand>,
    inputs: mpsc::UnboundedReceiver<BmcInput>,
    /// A server of images that answers, and one that never does.
    peer: Peer,
    silent: TcpListener,
    _folder: tempfile::TempDir,
    _names: Names,
    _task: JoinSet<()>,
}

impl Bench {
    async fn new() -> Self {
        let (names, folder) = (Names::start().await, tempfile::tempdir().unwrap());
        let peer = Peer::start(|asked| part(&[7; 3000], "1", asked)).await;
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let plan = plan(&lab(LAB), &facts()).unwrap();
        let node = &plan.nodes[&NodeName::new("a").unwrap()];
        let now = Instant { at: RunTime::START, wall: jiff::Timestamp::UNIX_EPOCH };
        let events = Emitter::new(move || now, |_| {});
        let (commands, commanded) = mpsc::channel(8);
        let client = names.client(Path::new("/nonexistent"));
        let media =
            VirtualMedia::new(node, folder.path().to_owned(), client, commands.clone(), events.clone());
        let (inputs, told) = mpsc::unbounded_channel();
        let (orders, wanted) = mpsc::unbounded_channel();
        let machine = watch::channel(None).1;
        let media = Arc::new(media);
        let handler = OrderHandler { node: node.node.clone(), commands, inputs, machine, media, events };
        let mut task = JoinSet::new();
        task.spawn(handler.run(wanted));
        Self {
            orders,
            commands: commanded,
            inputs: told,
            peer,
            silent,
            _folder: folder,
            _names: names,
            _task: task,
        }
    }

    fn order(&self, order: Order) {
        self.orders.send(BmcOrder::Machine(order)).unwrap();
    }

    fn insert(&self, slot: Slot) {
        self.order(Order::Insert(slot, image(&self.peer.url("a.iso"))));
    }

    /// Orders an image that no server sends, and waits until it is asked for.
    async fn insert_from_silence(&self, slot: Slot) -> tokio::net::TcpStream {
        let port = self.silent.local_addr().unwrap().port();
        self.order(Order::Insert(slot, image(&format!("http://images.lab.test:{port}/b.iso"))));
        self.silent.accept().await.unwrap().0
    }

    /// Carries out the next command that the node gets, and says which one it was.
    async fn next(&mut self) -> String {
        let Some(RunCommand::Node { command, reply, .. }) = self.commands.recv().await else {
            panic!("a command to a node")
        };
        reply.send(Ok(Effect::Now)).ok();
        command.to_string().replace(&self.peer.url("a.iso"), "a.iso")
    }
}

fn boot(device: BootDevice) -> Order {
    Order::Boot(Some(Override { device, is_persistent: false }))
}

#[tokio::test]
async fn nothing_else_waits_for_a_slow_server_of_images() {
    let mut bench = Bench::new().await;
    let asked = bench.insert_from_silence(Slot::Cd).await;
    bench.order(boot(BootDevice::Cd));
    assert_eq!(bench.next().await, "boot cd once");
    bench.order(Order::Power(Control::Off));
    assert_eq!(bench.next().await, "power force-off");
    bench.insert(Slot::Usb);
    assert_eq!(bench.next().await, "insert a.iso (usb)");
    // It is ejected before it comes.
    bench.order(Order::Eject(Slot::Cd));
    assert_eq!(bench.next().await, "eject (cd)");
    bench.insert(Slot::Cd);
    assert_eq!(bench.next().await, "insert a.iso (cd)");
    drop(asked);
    // What was overtaken has not failed.
    bench.order(Order::Power(Control::On));
    assert_eq!(bench.next().await, "power on");
    while let Ok(input) = bench.inputs.try_recv() {
        assert!(!matches!(input, BmcInput::Emptied(_)), "{input:?}");
    }
}

#[tokio::test]
async fn a_machine_starts_with_the_images_that_were_ordered_before() {
    let mut bench = Bench::new().await;
    bench.insert(Slot::Cd);
    bench.order(Order::Power(Control::Reset));
    assert_eq!(bench.next().await, "insert a.iso (cd)");
    assert_eq!(bench.next().await, "power reset");
    let _asked = bench.insert_from_silence(Slot::Cd).await;
    bench.order(Order::Power(Control::Cycle));
    bench.order(boot(BootDevice::Disk));
    // Somebody gives up, and what comes after it in the order of the client goes on.
    bench.order(Order::Eject(Slot::Cd));
    assert_eq!(bench.next().await, "eject (cd)");
    assert_eq!(bench.next().await, "power cycle");
    assert_eq!(bench.next().await, "boot disk once");
}

#[tokio::test]
async fn a_newer_image_takes_the_place_of_one_that_does_not_come() {
    let mut bench = Bench::new().await;
    let _asked = bench.insert_from_silence(Slot::Cd).await;
    bench.insert(Slot::Cd);
    assert_eq!(bench.next().await, "insert a.iso (cd)");
    // One that fails leaves the slot empty.
    bench.order(Order::Insert(Slot::Cd, image("http://nowhere.lab.test/a.iso")));
    loop {
        if let BmcInput::Emptied(slot) = bench.inputs.recv().await.unwrap() {
            break assert_eq!(slot, Slot::Cd);
        }
    }
}

#[tokio::test]
async fn off_does_not_wait_behind_a_start_that_waits_for_an_image() {
    let mut bench = Bench::new().await;
    let _asked = bench.insert_from_silence(Slot::Cd).await;
    bench.order(Order::Power(Control::Reset));
    bench.order(boot(BootDevice::Disk));
    bench.order(Order::Power(Control::Off));
    assert_eq!(bench.next().await, "power reset");
    assert_eq!(bench.next().await, "boot disk once");
    assert_eq!(bench.next().await, "power force-off");
}

#[tokio::test]
async fn the_bmc_hears_of_each_order_for_a_slot() {
    let mut bench = Bench::new().await;
    let _asked = bench.insert_from_silence(Slot::Cd).await;
    bench.order(Order::Eject(Slot::Cd));
    assert_eq!(bench.next().await, "eject (cd)");
    bench.order(Order::Insert(Slot::Cd, image("http://nowhere.lab.test/a.iso")));
    let mut heard = Vec::new();
    while heard.len() < 4 {
        match bench.inputs.recv().await.unwrap() {
            BmcInput::SlotSettled(Slot::Cd) => heard.push("settled"),
            BmcInput::Emptied(Slot::Cd) => heard.push("empty"),
            _ => {}
        }
    }
    // One that was dropped, one that was carried out, and one that failed.
    assert_eq!(heard, ["settled", "settled", "empty", "settled"]);
}
