//! Errors of a service become events, without repetition, and never end it.

use std::io;
use std::time::Duration;

use crate::event::{Emitter, Known, Service};

/// How long a service pauses after an error that could repeat at once.
const REST: Duration = Duration::from_millis(100);

/// Emits errors of a service, never the same one twice in a row.
pub(super) struct FailureLog<'a> {
    service: Service,
    events: &'a Emitter,
    last: String,
}

impl<'a> FailureLog<'a> {
    /// Starts with no error reported yet.
    pub(super) fn new(service: Service, events: &'a Emitter) -> Self {
        Self { service, events, last: String::new() }
    }

    /// Emits a failed receive, and pauses.
    #[expect(
        clippy::disallowed_methods,
        reason = "a socket that keeps failing would otherwise keep a core busy"
    )]
    pub(super) async fn pause(&mut self, error: &io::Error) {
        self.tell(error);
        tokio::time::sleep(REST).await;
    }

    /// Emits a failure if there is one; after a success the same failure is emitted again.
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

/// Emits an error of a service.
pub(super) fn failed(events: &Emitter, service: Service, error: &str) {
    events.emit(Known::ServiceFailed { service, error: error.to_owned() });
}
