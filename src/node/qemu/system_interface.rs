//! The interface of a machine to its BMC, on which QEMU passes on what the system says.
//!
//! It outlives the QEMU processes of its machine, each of which has a connection of its own. What is said is not looked
//! at here, only carried.
//!
//! QEMU aborts if its system sends a message while an older one is not written yet. So everything is read at once,
//! whoever takes it and however slowly; what nobody takes in time is lost, and QEMU tells the system so.

use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use futures_util::future::select;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::sync::mpsc;

use crate::node::FromSystem;
use crate::plan::qemu::BMC_SOCKET;
use crate::system::folder_socket;

/// Pieces of a connection that wait for their answer. A system sends one message and waits for the response.
const WAITING: usize = 16;

/// Maximum bytes of a piece. A message has a few dozen.
const PIECE: usize = 4096;

/// The interface of one machine.
pub(super) struct SystemInterface {
    pieces: mpsc::UnboundedSender<FromSystem>,
    received: Mutex<Option<mpsc::UnboundedReceiver<FromSystem>>>,
}

impl SystemInterface {
    /// Creates the interface of a machine that is off.
    pub(super) fn new() -> Self {
        // Not more are in it than wait for their answer.
        let (pieces, received) = mpsc::unbounded_channel();
        Self { pieces, received: Mutex::new(Some(received)) }
    }

    /// Returns what the system says; `None` if it was taken before.
    pub(super) fn take(&self) -> Option<mpsc::UnboundedReceiver<FromSystem>> {
        self.received.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Connects to a QEMU in the folder of the machine, whose devices are there already. The future that it returns
    /// carries what is said until that QEMU has ended.
    pub(super) async fn connect(
        &self,
        folder: &Path,
    ) -> io::Result<impl Future<Output = ()> + Send + 'static> {
        let qemu = folder_socket::connect(folder, BMC_SOCKET).await?;
        let pieces = self.pieces.clone();
        Ok(async move {
            if let Err(error) = carry(qemu, &pieces).await {
                // A QEMU that was killed.
                tracing::debug!(%error, "the interface to a BMC was closed");
            }
        })
    }
}

/// Carries pieces and answers until QEMU has ended.
async fn carry(qemu: UnixStream, pieces: &mpsc::UnboundedSender<FromSystem>) -> io::Result<()> {
    let (mut from, mut to) = qemu.into_split();
    let (answers, mut answered) = mpsc::channel(WAITING);
    let read = async {
        let mut buffer = vec![0; PIECE];
        loop {
            let count = from.read(&mut buffer).await?;
            if count == 0 {
                return Ok(());
            }
            if let Ok(answer) = answers.clone().try_reserve_owned() {
                let bytes = Bytes::copy_from_slice(&buffer[..count]);
                // Without a receiver there is no BMC any more.
                pieces.send(FromSystem { bytes, answer }).ok();
            }
        }
    };
    let write = async {
        while let Some(bytes) = answered.recv().await {
            to.write_all(&bytes).await?;
        }
        Ok(())
    };
    // The sender of answers lives as long as the reader, so that only an error ends the writer.
    select(pin!(read), pin!(write)).await.factor_first().0
}

#[cfg(test)]
mod tests {
    use tokio::net::UnixListener;
    use tokio::task::JoinSet;

    use super::*;

    /// A machine, and the socket of its QEMU.
    struct Bench {
        folder: tempfile::TempDir,
        interface: SystemInterface,
        listener: UnixListener,
        tasks: JoinSet<()>,
    }

    impl Bench {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let listener = folder_socket::listen(folder.path(), BMC_SOCKET).unwrap();
            Self { folder, interface: SystemInterface::new(), listener, tasks: JoinSet::new() }
        }

        /// Starts a QEMU; returns its end.
        async fn start(&mut self) -> UnixStream {
            self.tasks.spawn(self.interface.connect(self.folder.path()).await.unwrap());
            self.listener.accept().await.unwrap().0
        }
    }

    async fn read(qemu: &mut UnixStream, length: usize) -> String {
        let mut bytes = vec![0; length];
        qemu.read_exact(&mut bytes).await.unwrap();
        String::from_utf8(bytes).unwrap()
    }

    #[tokio::test]
    async fn each_qemu_talks_in_turn_and_gets_its_own_answers() {
        let mut bench = Bench::new();
        let mut received = bench.interface.take().unwrap();
        assert!(bench.interface.take().is_none());
        let mut first = bench.start().await;
        first.write_all(b"one").await.unwrap();
        let one = received.recv().await.unwrap();
        assert_eq!(one.bytes, "one");
        one.answer.send("1".into());
        assert_eq!(read(&mut first, 1).await, "1");
        first.write_all(b"two").await.unwrap();
        let two = received.recv().await.unwrap();
        // Its machine is powered off and on again before the BMC answers.
        drop(first);
        let mut second = bench.start().await;
        second.write_all(b"three").await.unwrap();
        let three = received.recv().await.unwrap();
        two.answer.send("2".into());
        three.answer.send("3".into());
        assert_eq!(read(&mut second, 1).await, "3");
    }

    #[tokio::test]
    async fn everything_is_read_even_if_nobody_takes_it() {
        let mut bench = Bench::new();
        let mut received = bench.interface.take().unwrap();
        let mut qemu = bench.start().await;
        // More than a socket holds.
        for _ in 0..1024 {
            qemu.write_all(&[0; PIECE]).await.unwrap();
        }
        qemu.shutdown().await.unwrap();
        assert_eq!(qemu.read(&mut [0]).await.unwrap(), 0);
        let mut waiting = Vec::new();
        while let Ok(piece) = received.try_recv() {
            waiting.push(piece);
        }
        assert_eq!(waiting.len(), WAITING);
        drop(received);
        // Nor without a BMC.
        let mut qemu = bench.start().await;
        for _ in 0..1024 {
            qemu.write_all(&[0; PIECE]).await.unwrap();
        }
    }

    #[tokio::test]
    async fn what_was_answered_makes_room() {
        let mut bench = Bench::new();
        let mut received = bench.interface.take().unwrap();
        let mut qemu = bench.start().await;
        for _ in 0..3 * WAITING {
            qemu.write_all(b"?").await.unwrap();
            received.recv().await.unwrap().answer.send("!".into());
            assert_eq!(read(&mut qemu, 1).await, "!");
        }
    }
}
