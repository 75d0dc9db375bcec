//! What a BMC is told of its node: the override, what its firmware has in its variables, what is printed, what its
//! system says.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::{Either, select};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{mpsc, watch};

use super::{device, of_node};
use crate::bmc::inventory::BootOption;
use crate::hint::chain;
use crate::node::{Attachment, FirmwareEntry, FirmwareVariables, Node, NodeError};
use crate::run::in_band;
use crate::serve::bmc::BmcInput;
use crate::system::file_watch::FileWatch;

/// How long after a firmware wrote its variables they are read. It writes them in thousands of pieces.
const SETTLE: Duration = Duration::from_millis(300);
/// How many times they are read while they are being written, before they are taken as they are.
const READS: u32 = 20;

/// Tells a BMC about its node, as long as it is polled.
pub(super) async fn watch_node(
    mut machine: watch::Receiver<Option<Arc<dyn Node>>>,
    power: watch::Receiver<bool>,
    inputs: mpsc::UnboundedSender<BmcInput>,
) {
    let Ok(there) = machine.wait_for(Option::is_some).await.map(|node| node.clone()) else { return };
    let Some(node) = there else { return };
    let mut overrides = node.boot_override();
    let talks = in_band::carry(Arc::clone(&node), inputs.clone());
    let told = inputs.clone();
    let boots = async move {
        // It may have been used already.
        loop {
            let over = *overrides.borrow_and_update();
            if told.send(BmcInput::Overridden(of_node(over))).is_err() || overrides.changed().await.is_err() {
                return;
            }
        }
    };
    let told = inputs.clone();
    let variables = follow(
        || node.firmware_variables(),
        || node.watch_firmware(),
        power,
        |FirmwareVariables { entries, secure_boot }| {
            let options = entries.into_iter().map(boot_option).collect();
            // The BMC is gone when the services have ended, and this with it.
            told.send(BmcInput::Firmware(options, secure_boot)).ok();
        },
    );
    let prints = async {
        let Ok(Attachment { replay, mut output, .. }) = node.console() else { return };
        let mut next = Ok(Bytes::from(replay));
        loop {
            match next {
                Ok(bytes) => {
                    if inputs.send(BmcInput::Printed(bytes)).is_err() {
                        return;
                    }
                }
                // What was lost is lost; the log of the console has it.
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return,
            }
            next = output.recv().await;
        }
    };
    tokio::join!(boots, talks, prints, variables);
}

fn boot_option(entry: FirmwareEntry) -> BootOption {
    let FirmwareEntry { number, name, target } = entry;
    BootOption { number, name, path: String::new(), device: device(target) }
}

/// Tells the variables of a firmware now and whenever others were written, until the sender of `power` is gone.
///
/// They are read once nothing was written for a moment. While the machine is off, nobody else writes them.
async fn follow<R>(
    read: impl Fn() -> R,
    watch: impl Fn() -> Result<Option<FileWatch>, NodeError>,
    mut power: watch::Receiver<bool>,
    mut tell: impl FnMut(FirmwareVariables),
) where
    R: Future<Output = Result<Option<FirmwareVariables>, NodeError>>,
{
    let mut last = None;
    loop {
        let is_on = *power.borrow_and_update();
        let (variables, written) = quiet(&read, || if is_on { watch() } else { Ok(None) }).await;
        match variables {
            Ok(None) => return,
            Ok(variables) if variables == last => {}
            Ok(Some(variables)) => {
                last = Some(variables.clone());
                tell(variables);
            }
            Err(error) => tracing::warn!(error = %chain(&error), "what the firmware has is not known"),
        }
        let switched = {
            let is_written = async {
                match &written {
                    Some(written) => written.changed().await,
                    None => std::future::pending().await,
                }
            };
            match select(pin!(power.changed()), pin!(is_written)).await {
                Either::Left((switched, _)) => Some(switched),
                Either::Right(((), _)) => None,
            }
        };
        match switched {
            Some(Err(_)) => return,
            Some(Ok(())) => {}
            None => {
                // What is written meanwhile is of no interest one by one.
                drop(written);
                settle().await;
            }
        }
    }
}

/// Reads the variables while nobody writes them; returns with them the watch that was there before.
async fn quiet<R: Future>(
    read: impl Fn() -> R,
    watch: impl Fn() -> Result<Option<FileWatch>, NodeError>,
) -> (R::Output, Option<FileWatch>) {
    for _ in 1..READS {
        let written = watched(&watch);
        let variables = read().await;
        match &written {
            Some(writes) if writes.changed().now_or_never().is_some() => {}
            _ => return (variables, written),
        }
        drop(written);
        settle().await;
    }
    let written = watched(&watch);
    (read().await, written)
}

fn watched(watch: impl Fn() -> Result<Option<FileWatch>, NodeError>) -> Option<FileWatch> {
    watch().unwrap_or_else(|error| {
        // They are read again when the machine starts.
        tracing::warn!(error = %chain(&error), "what the firmware writes is not noticed");
        None
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "nothing tells that a firmware has written all that it wants to"
)]
async fn settle() {
    tokio::time::sleep(SETTLE).await;
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::fs::{self, File};
    use std::io::Write as _;
    use std::path::Path;

    use super::*;
    use crate::name::NodeName;
    use crate::plan::BootTarget;
    use crate::system::file_watch::FileWatches;

    /// What a test does and sees while the variables in a file are followed: one entry, named as the file says.
    struct Bench<'a> {
        file: &'a Path,
        power: watch::Sender<bool>,
        told: mpsc::UnboundedReceiver<String>,
        reads: &'a Cell<u32>,
    }

    impl Bench<'_> {
        async fn until(&mut self, text: &str) {
            while self.told.recv().await.expect("it follows") != text {}
        }
    }

    async fn with(test: impl AsyncFnOnce(&mut Bench<'_>)) {
        let folder = tempfile::tempdir().unwrap();
        let (file, reads) = (folder.path().join("variables"), Cell::new(0));
        fs::write(&file, "new").unwrap();
        let watches = FileWatches::new().unwrap();
        let (tell, told) = mpsc::unbounded_channel();
        let (power, is_on) = watch::channel(false);
        let read = || {
            reads.set(reads.get() + 1);
            let name = fs::read_to_string(&file).unwrap();
            let entries = vec![FirmwareEntry { number: 1, name, target: BootTarget::Disk }];
            async { Ok(Some(FirmwareVariables { entries, secure_boot: None })) }
        };
        let node = NodeName::new("a").unwrap();
        let failed = |error| NodeError::failed("watch", &node, error);
        let watch = || watches.watch(&file).map(Some).map_err(failed);
        let following = follow(read, watch, is_on, |told| {
            tell.send(told.entries[0].name.clone()).unwrap();
        });
        let mut bench = Bench { file: &file, power, told, reads: &reads };
        let testing = test(&mut bench);
        match select(pin!(following), pin!(testing)).await {
            Either::Left(((), _)) => panic!("it ended"),
            Either::Right(((), _)) => {}
        }
    }

    #[tokio::test]
    async fn what_is_written_is_told_while_the_machine_is_on() {
        with(async |bench| {
            bench.until("new").await;
            bench.power.send_replace(true);
            fs::write(bench.file, "by the firmware").unwrap();
            bench.until("by the firmware").await;
            fs::write(bench.file, "by the system").unwrap();
            bench.until("by the system").await;
            // A machine that starts differently gets another file.
            let draft = bench.file.with_extension("draft");
            fs::write(&draft, "for the next start").unwrap();
            fs::rename(&draft, bench.file).unwrap();
            bench.until("for the next start").await;
            fs::write(bench.file, "by the next start").unwrap();
            bench.until("by the next start").await;
            bench.power.send_replace(false);
            fs::write(bench.file, "while it is off").unwrap();
            bench.power.send_replace(true);
            bench.until("while it is off").await;
        })
        .await;
    }

    #[tokio::test]
    async fn many_small_writes_are_read_a_few_times() {
        with(async |bench| {
            bench.power.send_replace(true);
            bench.until("new").await;
            let mut file = File::create(bench.file).unwrap();
            for _ in 0..3000 {
                file.write_all(b".").unwrap();
                tokio::task::yield_now().await;
            }
            file.write_all(b"!").unwrap();
            bench.until(&format!("{}!", ".".repeat(3000))).await;
            assert!(bench.reads.get() < 300, "{} reads", bench.reads.get());
        })
        .await;
    }

    #[tokio::test]
    async fn nothing_is_read_while_nothing_is_written() {
        with(async |bench| {
            bench.power.send_replace(true);
            bench.until("new").await;
            fs::write(bench.file, "a").unwrap();
            bench.until("a").await;
            let reads = bench.reads.get();
            settle().await;
            settle().await;
            // One may follow if the write was seen in two parts.
            assert!(bench.reads.get() <= reads + 1, "{} reads", bench.reads.get() - reads);
        })
        .await;
    }
}
