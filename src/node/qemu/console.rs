//! The serial console of a machine: one reader, a log, lines, and attached clients.
//!
//! The console outlives the QEMU processes of its machine, so that a client stays attached over power cycles. A client
//! that reads too slowly is disconnected; it never blocks the machine.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{broadcast, mpsc};

use super::terminal::{LineAssembler, Still};
use crate::event::{Emitter, Known};
use crate::name::NodeName;
use crate::node::Attachment;

/// Bytes of earlier output that a new client gets.
const REPLAY: usize = 16 << 10;

/// Chunks of output that a client may lag behind.
const LAG: usize = 1024;

/// Chunks of input that are queued for a machine that does not read.
const INPUT: usize = 64;

/// A line that stays unfinished for this long is a prompt.
const IDLE: Duration = Duration::from_millis(250);

/// A line that stays unchanged for this long shows no progress: iPXE prints a dot or a percentage each second, and its
/// banner stays for two.
const STUCK: Duration = Duration::from_millis(1250);

/// The text of iPXE while a key press skips its banner, in its ROM as well as later.
const BANNER: &str = "Press Ctrl-B";

/// The serial console of one machine.
pub struct Console {
    node: NodeName,
    log: PathBuf,
    events: Emitter,
    replay: Mutex<VecDeque<u8>>,
    output: broadcast::Sender<Bytes>,
    input: mpsc::Sender<Bytes>,
    typed: tokio::sync::Mutex<mpsc::Receiver<Bytes>>,
}

impl Console {
    /// Creates the console of a machine that is off. Its log is opened at power-on.
    pub fn new(node: NodeName, log: PathBuf, events: Emitter) -> Self {
        let (output, _) = broadcast::channel(LAG);
        let (input, typed) = mpsc::channel(INPUT);
        let typed = tokio::sync::Mutex::new(typed);
        Self { node, log, events, replay: Mutex::default(), output, input, typed }
    }

    /// Attaches a client.
    pub fn attach(&self) -> Attachment {
        // Both under the lock of `publish`, so that nothing is missed or duplicated.
        let replay = self.replay.lock().unwrap_or_else(PoisonError::into_inner);
        let output = self.output.subscribe();
        Attachment { replay: replay.iter().copied().collect(), output, input: self.input.clone() }
    }

    /// Copies bytes between a QEMU and the console until that QEMU ends.
    ///
    /// `banner` is called when iPXE shows its banner, once each time.
    pub async fn pump(&self, stream: UnixStream, banner: impl FnMut()) {
        let (reader, writer) = stream.into_split();
        let read = std::pin::pin!(self.read(reader, banner));
        let write = std::pin::pin!(self.write(writer));
        match select(read, write).await {
            Either::Left(((), _)) => {}
            // Input is no longer possible; remaining output counts.
            Either::Right(((), read)) => read.await,
        }
    }

    async fn read(&self, mut reader: OwnedReadHalf, mut banner: impl FnMut()) {
        let mut log = Log::open(&self.log);
        let mut assembler = LineAssembler::default();
        let mut banner_stands = false;
        let mut buffer = vec![0; 16 << 10];
        // What happens next while there is no output.
        let mut pause = Some((IDLE, Still::Briefly));
        loop {
            let read = reader.read(&mut buffer);
            let count = match pause {
                None => read.await,
                Some((wait, still)) => match tokio::time::timeout(wait, read).await {
                    Ok(count) => count,
                    Err(_) => {
                        pause = match still {
                            Still::Briefly => Some((STUCK, Still::ForLong)),
                            Still::ForLong => None,
                        };
                        self.emit(assembler.flush(still));
                        continue;
                    }
                },
            };
            let count = match count {
                Ok(0) | Err(_) => break,
                Ok(count) => count,
            };
            pause = Some((IDLE, Still::Briefly));
            let bytes = &buffer[..count];
            log.append(bytes);
            self.publish(bytes);
            self.emit(assembler.feed(bytes));
            let stands = assembler.present().contains(BANNER);
            if stands && !banner_stands {
                banner();
            }
            banner_stands = stands;
        }
        self.emit(assembler.finish());
    }

    async fn write(&self, mut writer: OwnedWriteHalf) {
        let mut typed = self.typed.lock().await;
        // Input from while the machine was off is discarded.
        while typed.try_recv().is_ok() {}
        while let Some(bytes) = typed.recv().await {
            if writer.write_all(&bytes).await.is_err() {
                return;
            }
        }
    }

    fn publish(&self, bytes: &[u8]) {
        let mut replay = self.replay.lock().unwrap_or_else(PoisonError::into_inner);
        replay.extend(bytes);
        let excess = replay.len().saturating_sub(REPLAY);
        replay.drain(..excess);
        // There may be no client.
        self.output.send(Bytes::copy_from_slice(bytes)).ok();
    }

    fn emit(&self, lines: impl IntoIterator<Item = String>) {
        for text in lines {
            self.events.emit_of(&self.node, Known::ConsoleLine { text });
        }
    }
}

/// The log of a console: raw output, appended over power cycles.
struct Log {
    path: PathBuf,
    file: Option<File>,
}

impl Log {
    fn open(path: &std::path::Path) -> Self {
        let mut log = Self { path: path.to_owned(), file: None };
        match File::options().create(true).append(true).open(path) {
            Ok(file) => log.file = Some(file),
            Err(error) => log.give_up(&error),
        }
        log
    }

    /// Writes to the page cache, which is no slower than passing the bytes to another thread.
    fn append(&mut self, bytes: &[u8]) {
        if let Some(file) = &mut self.file
            && let Err(error) = file.write_all(bytes)
        {
            self.give_up(&error);
        }
    }

    /// A log that cannot be written (a full disk) must not block the machine.
    fn give_up(&mut self, error: &io::Error) {
        tracing::warn!(path = %self.path.display(), %error, "the console is no longer logged");
        self.file = None;
    }
}
