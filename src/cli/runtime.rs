//! Runs the asynchronous part of a verb.

use super::output::Stop;

/// Runs the asynchronous part of a verb.
pub(super) fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Stop> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Stop::host(&error))?;
    let done = runtime.block_on(work);
    // Standard input may be read by a thread that cannot be stopped.
    runtime.shutdown_background();
    Ok(done)
}
