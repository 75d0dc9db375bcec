//! Runs the asynchronous part of a command.

use super::output::Stop;

/// Runs the asynchronous part of a command.
pub(super) fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Stop> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Stop::host(&error))?;
    let done = runtime.block_on(work);
    // A thread that reads standard input cannot be stopped.
    runtime.shutdown_background();
    Ok(done)
}
