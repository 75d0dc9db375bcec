//! The windows in which a service counts events that exceed a rate limit.

use std::time::Duration;

use tokio::sync::Notify;

/// How long omitted events are counted before their number is emitted.
const WINDOW: Duration = Duration::from_secs(1);

/// Ends a window each second while there is something to count; sleeps otherwise.
#[derive(Debug, Default)]
pub(super) struct Windows(Notify);

impl Windows {
    /// Wakes it: there is something to count.
    pub(super) fn begin(&self) {
        self.0.notify_one();
    }

    /// Calls `next` each second while `is_busy`. Runs as long as it is polled.
    #[expect(clippy::disallowed_methods, reason = "a second that nobody else counts")]
    pub(super) async fn run(&self, is_busy: impl Fn() -> bool, next: impl Fn()) {
        loop {
            self.0.notified().await;
            while is_busy() {
                tokio::time::sleep(WINDOW).await;
                next();
            }
        }
    }
}
