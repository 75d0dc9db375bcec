//! Errors of a service become events, each once, and never end it.

use std::io;
use std::time::Duration;

use crate::event::{Emitter, Known, Service};

/// How long a service rests after an error that might come again at once.
const REST: Duration = Duration::from_millis(100);

/// Tells of a service's errors, not of the same one twice in a row.
pub(super) struct FailureLog<'a> {
    service: Service,
    events: &'a Emitter,
    last: String,
}

impl<'a> FailureLog<'a> {
    /// Starts without failure.
    pub(super) fn new(service: Service, events: &'a Emitter) -> Self {
        Self { service, events, last: String::new() }
    }

    /// Tells of a failed receive, and rests.
    #[expect(
        clippy::disallowed_methods,
        reason = "a socket that keeps failing would otherwise keep a core busy"
    )]
    pub(super) async fn pause(&mut self, error: &io::Error) {
        self.tell(error);
        tokio::time::sleep(REST).await;
    }

    /// Tells of a failure if there is one; a success makes the next one news.
    pub(super) fn note(&mut self, result: io::Result<()>) {
        match result {
            Ok(()) => self.last.clear(),
            Err(error) => self.tell(&error),
        }
    }

    fn tell(&mut self, error: &io::Error) {
        let error = error.to_string();
        if error != self.last {
            failed(self.events, self.service.clone(), &error);
            self.last = error;
        }
    }
}

/// Tells of an error of a service.
pub(super) fn failed(events: &Emitter, service: Service, error: &str) {
    events.emit(Known::ServiceFailed { service, error: error.to_owned() });
}
