//! A program that runs: what it prints, and what is typed to it.

use std::io::{Read as _, Write as _};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::wait;

/// Timeout for what a program prints, which may be of a machine that boots on a busy host.
const PRINTS: Duration = Duration::from_secs(120);
/// Timeout for its end.
const ENDS: Duration = Duration::from_secs(20);

/// A program that is talked to while it runs. Dropping it kills it.
pub(crate) struct Dialogue {
    program: Child,
    printed: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Dialogue {
    pub(crate) fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut program = command.spawn().unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let (mut output, printed) = (program.stdout.take().expect("a pipe"), Arc::new(Mutex::default()));
        let into: Arc<Mutex<Vec<u8>>> = Arc::clone(&printed);
        let reader = std::thread::spawn(move || {
            let mut part = [0; 4096];
            while let Ok(length @ 1..) = output.read(&mut part) {
                into.lock().expect("no reader panics").extend(&part[..length]);
            }
        });
        Self { program, printed, reader: Some(reader) }
    }

    pub(crate) fn type_in(&mut self, text: &str) {
        let input = self.program.stdin.as_mut().expect("a pipe");
        input.write_all(text.as_bytes()).expect("a program that reads");
    }

    pub(crate) fn printed(&self) -> String {
        String::from_utf8_lossy(&self.printed.lock().expect("no reader panics")).into_owned()
    }

    /// Returns how often it has printed a text so far.
    pub(crate) fn times(&self, text: &str) -> usize {
        self.printed().matches(text).count()
    }

    /// Waits until it has printed a text.
    #[track_caller]
    pub(crate) fn until(&self, text: &str) {
        self.until_printed(text, 1);
    }

    /// Waits until it has printed a text so many times.
    #[track_caller]
    pub(crate) fn until_printed(&self, text: &str, times: usize) {
        let deadline = Instant::now() + PRINTS;
        while self.times(text) < times {
            assert!(Instant::now() < deadline, "waited {PRINTS:?} for `{text}`: {}", self.printed());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Types what ends it; returns its exit code and all that it has printed to both outputs, the standard one first.
    #[track_caller]
    pub(crate) fn end(mut self, typed: &str) -> (Option<i32>, String) {
        self.type_in(typed);
        self.ended()
    }

    /// Waits until it has ended; returns what [`Dialogue::end`] does.
    #[track_caller]
    pub(crate) fn ended(mut self) -> (Option<i32>, String) {
        let Some(status) = wait(&mut self.program, ENDS) else {
            panic!("it does not end: {}", self.printed())
        };
        self.reader.take().expect("it ends once").join().expect("no reader panics");
        let mut said = self.printed();
        if let Some(mut errors) = self.program.stderr.take() {
            errors.read_to_string(&mut said).expect("text");
        }
        (status.code(), said)
    }
}

impl Drop for Dialogue {
    fn drop(&mut self) {
        // It may have ended.
        self.program.kill().ok();
        self.program.wait().ok();
    }
}
