//! The serial console of a machine: one reader, a log, lines, and attached clients.
//!
//! QEMU itself appends the output to the log, and the console follows that file. A socket or a pipe would lose bytes
//! whenever the supervisor is not scheduled in time: QEMU discards what they do not take, because it cannot stop the
//! clock of a UART. Input goes through a FIFO, which has no name any more once QEMU has opened it.
//!
//! The console outlives the QEMU processes of its machine, so that a client stays attached over power cycles. A client
//! that reads too slowly is disconnected; it never blocks the machine.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{Either, select};
use nix::sys::stat::Mode;
use tokio::io::AsyncWriteExt;
use tokio::net::unix::pipe;
use tokio::sync::{broadcast, mpsc};

use super::terminal::{LineAssembler, Still};
use crate::event::{Emitter, Known};
use crate::name::NodeName;
use crate::node::Attachment;
use crate::system::file_watch::{FileWatch, FileWatches};

/// The log: raw output, appended over power cycles. In the folder of the machine.
pub(super) const LOG: &str = "console.log";

/// The FIFO for input, in the folder of the machine until QEMU has opened it.
pub(super) const INPUT: &str = "console.in";

/// Bytes of earlier output that a new client gets.
const REPLAY: usize = 16 << 10;

/// Chunks of output that a client may lag behind.
const LAG: usize = 1024;

/// Maximum bytes of a chunk of output.
const CHUNK: usize = 16 << 10;

/// Chunks of input that are queued for a machine that does not read.
const QUEUE: usize = 64;

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
    folder: PathBuf,
    watches: FileWatches,
    events: Emitter,
    replay: Mutex<VecDeque<u8>>,
    output: broadcast::Sender<Bytes>,
    input: mpsc::Sender<Bytes>,
    typed: tokio::sync::Mutex<mpsc::Receiver<Bytes>>,
}

impl Console {
    /// Creates the console of a machine that is off. `folder` is the folder of the machine.
    pub fn new(node: NodeName, folder: PathBuf, watches: FileWatches, events: Emitter) -> Self {
        let (output, _) = broadcast::channel(LAG);
        let (input, typed) = mpsc::channel(QUEUE);
        let typed = tokio::sync::Mutex::new(typed);
        Self { node, folder, watches, events, replay: Mutex::default(), output, input, typed }
    }

    /// Attaches a client.
    pub fn attach(&self) -> Attachment {
        // Both under the lock of `publish`, so that nothing is missed or duplicated.
        let replay = self.replay.lock().unwrap_or_else(PoisonError::into_inner);
        let output = self.output.subscribe();
        Attachment { replay: replay.iter().copied().collect(), output, input: self.input.clone() }
    }

    /// Creates the files for the serial port of a QEMU that is about to start.
    ///
    /// `banner` is called when iPXE shows its banner, once each time.
    pub(super) fn open(
        self: &Arc<Self>,
        banner: impl FnMut() + Send + 'static,
    ) -> io::Result<(Port, pipe::Sender)> {
        let log = self.folder.join(LOG);
        let file = File::options().read(true).append(true).create(true).open(&log)?;
        let position = file.metadata()?.len();
        let watch = self.watches.watch(&log)?;
        let fifo = self.folder.join(INPUT);
        match std::fs::remove_file(&fifo) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        nix::unistd::mkfifo(&fifo, Mode::S_IRUSR | Mode::S_IWUSR)?;
        // Open for reading as well, so that it is never without a reader: QEMU is started later, and would take the
        // absence of a writer for the end of all input.
        let input = pipe::OpenOptions::new().read_write(true).open_sender(&fifo)?;
        let output = Output {
            file,
            position,
            assembler: LineAssembler::default(),
            banner_stands: false,
            banner: Box::new(banner),
            buffer: vec![0; CHUNK],
        };
        Ok((Port { console: Arc::clone(self), watch, output: Mutex::new(output) }, input))
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

/// The serial port of one QEMU.
pub(super) struct Port {
    console: Arc<Console>,
    watch: FileWatch,
    output: Mutex<Output>,
}

/// The output of one QEMU, as far as it was read.
struct Output {
    file: File,
    /// Where the next output begins in the log.
    position: u64,
    assembler: LineAssembler,
    banner_stands: bool,
    banner: Box<dyn FnMut() + Send>,
    buffer: Vec<u8>,
}

impl Port {
    /// Removes the name of the FIFO, which QEMU has opened.
    pub(super) fn hide_input(&self) -> io::Result<()> {
        std::fs::remove_file(self.console.folder.join(INPUT))
    }

    /// Transfers output and input until QEMU has ended and all its output was read.
    pub(super) async fn run(&self, input: pipe::Sender, ended: impl Future<Output = ()>) {
        let read = pin!(self.follow(ended));
        let write = pin!(self.write(input));
        match select(read, write).await {
            Either::Left(((), _)) => {}
            // Input is no longer possible; remaining output counts.
            Either::Right(((), read)) => read.await,
        }
    }

    async fn follow(&self, ended: impl Future<Output = ()>) {
        let mut ended = pin!(ended);
        let mut position = self.catch_up().await;
        // What happens next while there is no output.
        let mut pause = Some((IDLE, Still::Briefly));
        loop {
            let changed = pin!(self.watch.changed());
            let next = select(changed, &mut ended);
            let woken = match pause {
                None => Some(next.await),
                Some((wait, _)) => tokio::time::timeout(wait, next).await.ok(),
            };
            let has_ended = matches!(woken, Some(Either::Right(_)));
            let is_silent = woken.is_none();
            // Also after a timeout: if this process was stopped, the pause may be its own and not that of the machine.
            let before = std::mem::replace(&mut position, self.catch_up().await);
            if has_ended {
                break;
            }
            if position != before {
                pause = Some((IDLE, Still::Briefly));
            } else if is_silent && let Some((_, still)) = pause {
                pause = match still {
                    Still::Briefly => Some((STUCK, Still::ForLong)),
                    Still::ForLong => None,
                };
                let line = self.output().assembler.flush(still);
                self.console.emit(line);
            }
        }
        let line = self.output().assembler.finish();
        self.console.emit(line);
    }

    /// Reads all that QEMU has written so far; returns where the log ends.
    ///
    /// Called before a message of QEMU becomes an event, this keeps events in their order.
    pub(super) async fn catch_up(&self) -> u64 {
        self.read_to_end().await.unwrap_or_else(|error| {
            tracing::error!(node = %self.console.node, %error, "the console cannot be read");
            self.output().position
        })
    }

    async fn read_to_end(&self) -> io::Result<u64> {
        // What is written from now on wakes the reader again.
        let length = self.output().length()?;
        loop {
            if let Some(position) = self.read_chunk(length)? {
                return Ok(position);
            }
            // Others may go on while a long output is read.
            tokio::task::yield_now().await;
        }
    }

    /// Reads one chunk; returns the position if that is the end, or behind `length`.
    fn read_chunk(&self, length: u64) -> io::Result<Option<u64>> {
        let mut output = self.output();
        let count = output.read(&self.console)?;
        Ok((count == 0 || output.position >= length).then_some(output.position))
    }

    async fn write(&self, mut input: pipe::Sender) {
        let mut typed = self.console.typed.lock().await;
        // Input from while the machine was off is discarded.
        while typed.try_recv().is_ok() {}
        while let Some(bytes) = typed.recv().await {
            if let Err(error) = input.write_all(&bytes).await {
                return tracing::error!(node = %self.console.node, %error, "the console takes no more input");
            }
        }
    }

    fn output(&self) -> MutexGuard<'_, Output> {
        self.output.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Output {
    fn length(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    /// Reads and distributes one chunk; returns its length, 0 at the end of the log.
    fn read(&mut self, console: &Console) -> io::Result<usize> {
        let mut count = self.file.read_at(&mut self.buffer, self.position)?;
        if count == 0 && self.length()? < self.position {
            // A user has emptied the log.
            self.position = 0;
            count = self.file.read_at(&mut self.buffer, 0)?;
        }
        self.position += count as u64;
        if count == 0 {
            return Ok(0);
        }
        let bytes = &self.buffer[..count];
        console.publish(bytes);
        console.emit(self.assembler.feed(bytes));
        let stands = self.assembler.present().contains(BANNER);
        if stands && !self.banner_stands {
            (self.banner)();
        }
        self.banner_stands = stands;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::fs::OpenOptionsExt as _;
    use std::path::Path;

    use tokio::sync::oneshot;

    use super::*;
    use crate::event::{self, Kind};

    /// A console in a folder, and its lines.
    struct Bench {
        folder: tempfile::TempDir,
        console: Arc<Console>,
        lines: mpsc::UnboundedReceiver<String>,
    }

    /// What a QEMU has open.
    struct Played {
        output: File,
        input: File,
    }

    impl Bench {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let (sender, lines) = mpsc::unbounded_channel();
            let clock = || event::Instant { at: event::RunTime::START, wall: jiff::Timestamp::UNIX_EPOCH };
            let events = Emitter::new(clock, move |event| {
                if let Kind::Known(Known::ConsoleLine { text }) = event.kind {
                    sender.send(text).unwrap();
                }
            });
            let watches = FileWatches::new().unwrap();
            let node = NodeName::new("a").unwrap();
            let console = Console::new(node, folder.path().to_owned(), watches, events);
            Self { folder, console: Arc::new(console), lines }
        }

        fn open(&self) -> (Port, pipe::Sender) {
            self.console.open(|| {}).unwrap()
        }

        /// Opens what QEMU opens, and removes the name of the FIFO as a session does.
        fn play(&self, port: &Port) -> Played {
            let path = |name| -> Box<Path> { self.folder.path().join(name).into() };
            let output = File::options().append(true).open(path(LOG)).unwrap();
            let input =
                File::options().read(true).custom_flags(nix::libc::O_NONBLOCK).open(path(INPUT)).unwrap();
            port.hide_input().unwrap();
            assert!(!path(INPUT).exists());
            Played { output, input }
        }

        fn log(&self) -> String {
            std::fs::read_to_string(self.folder.path().join(LOG)).unwrap()
        }
    }

    /// Waits for some bytes of input.
    async fn typed(qemu: &mut Played, length: usize) -> String {
        let mut bytes = Vec::new();
        while bytes.len() < length {
            let mut chunk = [0; 100];
            match qemu.input.read(&mut chunk) {
                Ok(0) => panic!("QEMU takes this for the end of all input"),
                Ok(count) => bytes.extend_from_slice(&chunk[..count]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => tokio::task::yield_now().await,
                Err(error) => panic!("{error}"),
            }
        }
        String::from_utf8(bytes).unwrap()
    }

    #[tokio::test]
    async fn output_and_input_are_whole_over_power_cycles() {
        let mut bench = Bench::new();
        let mut client = bench.console.attach();
        let mut whole = String::new();
        for boot in ["first", "second"] {
            client.input.send(format!("lost before {boot}").into()).await.unwrap();
            let (port, input) = bench.open();
            let mut qemu = bench.play(&port);
            // More than a chunk before anybody reads, then a line, then the last words of a QEMU that has ended.
            let long: String = (0..3000).map(|line| format!("{boot} {line}\r\n")).collect();
            qemu.output.write_all(long.as_bytes()).unwrap();
            let (exited, exit) = oneshot::channel::<()>();
            let play = async {
                while bench.lines.recv().await.unwrap() != format!("{boot} 2999") {}
                qemu.output.write_all(b"login: ").unwrap();
                assert_eq!(bench.lines.recv().await.unwrap(), "login:");
                client.input.send(format!("root of {boot}").into()).await.unwrap();
                assert_eq!(typed(&mut qemu, 8 + boot.len()).await, format!("root of {boot}"));
                qemu.output.write_all(b"bye\r\nlast words").unwrap();
                drop(exited);
            };
            tokio::join!(port.run(input, async { drop(exit.await) }), play);
            assert_eq!(bench.lines.try_recv().unwrap(), "login: bye");
            assert_eq!(bench.lines.try_recv().unwrap(), "last words");
            assert!(bench.lines.try_recv().is_err());
            whole.push_str(&long);
            whole.push_str("login: bye\r\nlast words");
        }
        assert_eq!(bench.log(), whole);
        let mut seen = client.replay;
        while let Ok(bytes) = client.output.try_recv() {
            seen.extend(bytes);
        }
        assert_eq!(String::from_utf8(seen).unwrap(), whole);
        assert_eq!(bench.console.attach().replay, &whole.as_bytes()[whole.len() - REPLAY..]);
    }

    #[tokio::test]
    async fn output_is_read_before_a_message_of_qemu_and_after_a_user_has_emptied_the_log() {
        let mut bench = Bench::new();
        let (port, _input) = bench.open();
        let mut qemu = bench.play(&port);
        qemu.output.write_all(b"some lines\r\nlast line before the reset\r\n").unwrap();
        port.catch_up().await;
        assert_eq!(bench.lines.try_recv().unwrap(), "some lines");
        assert_eq!(bench.lines.try_recv().unwrap(), "last line before the reset");
        File::create(bench.folder.path().join(LOG)).unwrap();
        qemu.output.write_all(b"after it\r\n").unwrap();
        port.catch_up().await;
        assert_eq!(bench.lines.try_recv().unwrap(), "after it");
        assert!(bench.lines.try_recv().is_err());
    }

    #[tokio::test]
    async fn the_banner_of_ipxe_is_reported_once_each_time() {
        let bench = Bench::new();
        let (banners, mut seen) = mpsc::unbounded_channel();
        let (port, _input) = bench.console.open(move || banners.send(()).unwrap()).unwrap();
        let mut qemu = bench.play(&port);
        for (bytes, count) in [("Press Ctr", 0), ("l-B to", 1), (" configure\r\n", 0), ("Press Ctrl-B", 1)] {
            qemu.output.write_all(bytes.as_bytes()).unwrap();
            port.catch_up().await;
            assert_eq!(std::iter::from_fn(|| seen.try_recv().ok()).count(), count, "{bytes}");
        }
    }
}
