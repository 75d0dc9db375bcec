use futures_util::FutureExt as _;
use http::{HeaderMap, HeaderValue, Method, header};
use jiff::Timestamp;

use super::*;
use crate::bmc::fuzz::bmc;
use crate::event::{Event, Kind, RunTime};

/// A message of QEMU to the BMC with its checksum: Add SEL Entry, of a type without a time.
fn add_entry() -> Vec<u8> {
    let mut message = vec![1, 0x0A << 2, 0x44, 0, 0, 0xE0];
    message.extend([7; 13]);
    let sum = message.iter().fold(0_u8, |sum, byte| sum.wrapping_add(*byte));
    message.extend([sum.wrapping_neg(), 0xA0]);
    message
}

#[tokio::test]
async fn an_answer_leaves_when_its_entry_is_in_the_record() {
    let (told, mut events) = mpsc::unbounded_channel::<Event>();
    let now = Instant { at: RunTime::START, wall: Timestamp::UNIX_EPOCH };
    let events_of_bmc = Emitter::new(move || now, move |event| drop(told.send(event)));
    let (inputs, inbox) = mpsc::unbounded_channel();
    let (orders, _wanted) = mpsc::unbounded_channel();
    let parts = BmcParts {
        node: NodeName::new("a").unwrap(),
        bmc: Box::new(bmc()),
        ipmi: None,
        redfish: None,
        inputs: inbox,
        orders,
        events: events_of_bmc,
    };
    let test = async {
        let (answers, mut answered) = mpsc::channel(1);
        let answer = answers.reserve_owned().await.unwrap();
        inputs.send(BmcInput::FromSystem { bytes: add_entry().into(), answer }).unwrap();
        let event = events.recv().await.unwrap();
        assert!(
            matches!(&event.kind, Kind::Known(Known::BmcLogged { entry: 1, .. })),
            "the entry: {:?}",
            event.kind
        );
        // Something else comes meanwhile.
        inputs.send(BmcInput::Failed).unwrap();
        for _ in 0..8 {
            tokio::task::yield_now().await;
        }
        assert!(answered.try_recv().is_err(), "the entry is not in the record yet");
        inputs.send(BmcInput::Recorded).unwrap();
        let answer = answered.recv().await.unwrap();
        assert_eq!(answer[..4], [1, 0x0B << 2, 0x44, 0], "{answer:?}");
    };
    tokio::select! {
        () = serve(parts).unwrap() => panic!("it ended"),
        () = test => {}
    }
}

/// An action on the CD drive, by the administrator.
fn act(action: &str, body: &str) -> Call {
    let authorization = HeaderValue::from_static("Basic YWRtaW46c2VjcmV0");
    let target = "/redfish/v1/Systems/1/VirtualMedia/Cd/Actions/VirtualMedia";
    let request = redfish::Request {
        method: Method::POST,
        target: format!("{target}.{action}"),
        headers: HeaderMap::from_iter([(header::AUTHORIZATION, authorization)]),
        body: body.as_bytes().to_vec(),
        transport: redfish::Transport::Tls,
        from: None,
    };
    Call::Request(Box::new(request), oneshot::channel().0)
}

/// Runs a test with a BMC whose orders go to a channel.
fn with_controller(test: impl FnOnce(&mut Controller<'_>, &mut mpsc::UnboundedReceiver<BmcOrder>)) {
    let now = Instant { at: RunTime::START, wall: Timestamp::UNIX_EPOCH };
    let events = Emitter::new(move || now, |_| {});
    let (orders, mut wanted) = mpsc::unbounded_channel();
    let bmc = Box::new(bmc());
    let door = watch::channel(Door::of(&bmc)).0;
    let mut controller = Controller::new(NodeName::new("a").unwrap(), bmc, orders, &events, door);
    test(&mut controller, &mut wanted);
}

/// Has an image inserted; its server has not been asked yet.
fn insert(controller: &mut Controller<'_>, file: &str) {
    controller.called(act("InsertMedia", &format!("{{\"Image\":\"http://10.0.0.1/{file}\"}}")));
    controller.settle();
}

/// The server of an image says that it is there.
fn is_found(controller: &mut Controller<'_>, wanted: &mut mpsc::UnboundedReceiver<BmcOrder>) {
    let Ok(BmcOrder::Check(_, found)) = wanted.try_recv() else { panic!("the server is asked") };
    found.send(Outcome::Found).unwrap();
    let checked = controller.checks.next().now_or_never().flatten().expect("an outcome");
    controller.checked(checked);
    controller.settle();
    assert!(matches!(wanted.try_recv(), Ok(BmcOrder::Machine(Order::Insert(Slot::Cd, _)))));
}

fn eject(controller: &mut Controller<'_>, wanted: &mut mpsc::UnboundedReceiver<BmcOrder>) {
    controller.called(act("EjectMedia", "{}"));
    controller.settle();
    assert!(matches!(wanted.try_recv(), Ok(BmcOrder::Machine(Order::Eject(Slot::Cd)))));
}

#[test]
fn what_a_machine_tells_late_undoes_no_newer_order() {
    with_controller(|controller, wanted| {
        let url =
            |controller: &Controller<'_>| controller.bmc.media().get(Slot::Cd).map(|image| image.url.clone());
        let inserted = |file: &str| BmcInput::Inserted(Slot::Cd, format!("http://10.0.0.1/{file}"));
        let settled = || BmcInput::SlotSettled(Slot::Cd);
        insert(controller, "a.iso");
        is_found(controller, wanted);
        eject(controller, wanted);
        insert(controller, "b.iso");
        // The slot stays reserved, although the first image comes into it only now.
        controller.learn(inserted("a.iso"));
        controller.learn(settled());
        is_found(controller, wanted);
        controller.learn(BmcInput::Emptied(Slot::Cd));
        controller.learn(settled());
        assert_eq!(url(controller).as_deref(), Some("http://10.0.0.1/b.iso"));
        // The last order fails, so the slot is empty.
        controller.learn(BmcInput::Emptied(Slot::Cd));
        controller.learn(settled());
        assert_eq!(url(controller), None);
        // Whoever inserts one in another way is heard.
        controller.learn(inserted("c.iso"));
        assert_eq!(url(controller).as_deref(), Some("http://10.0.0.1/c.iso"));
        eject(controller, wanted);
        controller.learn(inserted("d.iso"));
        controller.learn(settled());
        assert_eq!(url(controller).as_deref(), Some("http://10.0.0.1/d.iso"));
    });
}

#[test]
fn who_waits_for_an_image_is_answered_once_the_slot_is_freed() {
    with_controller(|controller, wanted| {
        insert(controller, "a.iso");
        let Ok(BmcOrder::Check(_, first)) = wanted.try_recv() else { panic!("the server is asked") };
        assert!(controller.checks.next().now_or_never().is_none() && !first.is_closed());
        controller.called(act("EjectMedia", "{}"));
        controller.settle();
        let checked = controller.checks.next().now_or_never().flatten().expect("nobody waits for the server");
        assert!(first.is_closed());
        controller.replies.clear();
        let (waits, mut told) = oneshot::channel();
        controller.checked(Checked { waits: Some(waits), ..checked });
        controller.reply();
        let Ok(Answered::Reply(reply)) = told.try_recv() else { panic!("there is a reply") };
        assert_eq!(reply.status, 409);
        // The slot is free for another one, whose server has all its time.
        insert(controller, "b.iso");
        let Ok(BmcOrder::Check(image, second)) = wanted.try_recv() else { panic!("the server is asked") };
        assert!(image.url.ends_with("b.iso") && !second.is_closed());
        second.send(Outcome::Found).unwrap();
        let checked = controller.checks.next().now_or_never().flatten().expect("an outcome");
        controller.checked(checked);
        controller.settle();
        assert!(matches!(wanted.try_recv(), Ok(BmcOrder::Machine(Order::Insert(Slot::Cd, _)))));
        assert!(controller.awaited.is_empty());
    });
}
