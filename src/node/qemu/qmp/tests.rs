use tokio::io::{AsyncBufReadExt, DuplexStream, Lines, ReadHalf, WriteHalf, split};
use tokio::task::JoinHandle;

use super::*;

/// A fake QEMU that sends what the test specifies.
struct Fake {
    lines: Lines<BufReader<ReadHalf<DuplexStream>>>,
    writer: WriteHalf<DuplexStream>,
}

impl Fake {
    async fn command(&mut self) -> Value {
        let line = self.lines.next_line().await.unwrap().expect("the connection is open");
        serde_json::from_str(&line).unwrap()
    }

    async fn say(&mut self, message: &Value) {
        self.writer.write_all(format!("{message}\r\n").as_bytes()).await.unwrap();
    }

    async fn answer(&mut self, result: Value) {
        let id = self.command().await["id"].clone();
        self.say(&json!({"return": result, "id": id})).await;
    }
}

type Running = (Qmp, Fake, mpsc::UnboundedReceiver<RawEvent>, JoinHandle<io::Result<()>>);

async fn connected() -> Running {
    let (ours, theirs) = tokio::io::duplex(1 << 16);
    let (reader, writer) = split(theirs);
    let mut fake = Fake { lines: BufReader::new(reader).lines(), writer };
    fake.say(&json!({"QMP": {"version": {}, "capabilities": ["oob"]}})).await;
    let (reader, writer) = split(ours);
    let (attached, ()) = tokio::join!(attach(reader, writer), async {
        assert_eq!(fake.command().await["execute"], "qmp_capabilities");
        fake.say(&json!({"return": {}})).await;
    });
    let (qmp, driver) = attached.unwrap();
    let (sender, events) = mpsc::unbounded_channel();
    (qmp, fake, events, tokio::spawn(driver.run(move |event| sender.send(event).unwrap())))
}

#[tokio::test]
async fn commands_are_answered_by_id_in_any_order() {
    let (qmp, mut fake, _events, _driver) = connected().await;
    let (reset, nmi, ()) = tokio::join!(qmp.reset(), qmp.nmi(), async {
        let (one, other) = (fake.command().await, fake.command().await);
        assert_eq!((&one["execute"], &other["execute"]), (&json!("system_reset"), &json!("inject-nmi")));
        fake.say(&json!({"error": {"class": "Brandnew", "desc": "no"}, "id": other["id"]})).await;
        fake.say(&json!({"return": {}, "id": one["id"]})).await;
    });
    reset.unwrap();
    assert_eq!(nmi.unwrap_err().to_string(), "QEMU refused `inject-nmi`: no");
}

#[tokio::test]
async fn unknown_events_and_odd_timestamps_harm_nothing() {
    let (qmp, mut fake, mut events, _driver) = connected().await;
    let timestamp = json!({"seconds": -1, "microseconds": -1});
    fake.say(&json!({"event": "FLUX", "data": {"power": 9}, "timestamp": timestamp})).await;
    fake.say(&json!({"event": "RESET", "data": {"guest": true, "reason": "brand-new"}})).await;
    fake.say(&json!({"event": "STOP", "timestamp": timestamp})).await;
    fake.say(&json!(["neither", "object"])).await;
    fake.say(&json!({"return": {}, "id": 4711})).await;
    let (cont, ()) = tokio::join!(qmp.cont(), fake.answer(json!({})));
    cont.unwrap();
    let names = [(); 3].map(|()| events.try_recv().unwrap());
    assert_eq!(names.each_ref().map(|event| event.name.as_str()), ["FLUX", "RESET", "STOP"]);
    assert_eq!((names[1].flag("guest"), names[1].text("reason")), (true, Some("brand-new")));
}

#[tokio::test]
async fn a_command_may_be_given_up() {
    let (qmp, mut fake, _events, _driver) = connected().await;
    for _ in 0..3 {
        assert!(tokio::time::timeout(Duration::from_millis(5), qmp.reset()).await.is_err());
    }
    for _ in 0..3 {
        fake.answer(json!({})).await;
    }
    let (cont, ()) = tokio::join!(qmp.cont(), fake.answer(json!({})));
    cont.unwrap();
}

#[tokio::test]
async fn an_answer_of_another_schema_comes_back_as_it_is() {
    let (qmp, mut fake, _events, _driver) = connected().await;
    let (status, ()) =
        tokio::join!(qmp.status(), fake.answer(json!({"running": false, "status": "levitating"})));
    assert_eq!(status.unwrap(), "levitating");
    let (blocks, ()) = tokio::join!(qmp.blocks(), fake.answer(json!([{"surprise": 1}])));
    match blocks.unwrap_err() {
        QmpError::Schema { command: "query-block", raw, .. } => assert_eq!(raw, json!([{"surprise": 1}])),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn the_end_of_qemu_ends_every_command() {
    let (qmp, mut fake, mut events, driver) = connected().await;
    let (reset, ()) = tokio::join!(qmp.reset(), async {
        fake.command().await;
        fake.say(&json!({"event": "SHUTDOWN", "data": {"guest": false, "reason": "host-qmp-quit"}})).await;
        drop(fake);
    });
    assert!(matches!(reset, Err(QmpError::Closed { command: "system_reset" })));
    assert_eq!(events.recv().await.unwrap().name, "SHUTDOWN");
    driver.await.unwrap().ok();
    assert!(matches!(qmp.cont().await, Err(QmpError::Closed { command: "cont" })));
    qmp.quit().await.unwrap();
    assert!(events.recv().await.is_none());
}

#[tokio::test]
async fn what_is_not_qmp_is_refused() {
    let (ours, theirs) = tokio::io::duplex(64);
    let (reader, writer) = split(ours);
    drop(theirs);
    assert!(matches!(attach(reader, writer).await, Err(QmpError::Greeting(_))));
}

#[test]
fn device_ids_are_found_in_qom_paths() {
    assert_eq!(device_id("/machine/peripheral/disk-root/virtio-backend"), "disk-root");
    assert_eq!(device_id("disk-a"), "disk-a");
}

#[test]
fn qemu_knows_every_key() {
    for chord in crate::node::keys::all() {
        for name in chord.keys() {
            assert!(key(name).is_ok(), "{name}");
        }
    }
    assert!(key("f13x").is_err());
}
