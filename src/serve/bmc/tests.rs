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
