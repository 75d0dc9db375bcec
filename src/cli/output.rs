//! The only place that prints: data to standard output, everything else to standard error.
#![expect(clippy::print_stderr, reason = "the one place that prints")]

/// Writes an error and what would help, as people read it.
pub(super) fn error(what: &str, hint: Option<&str>) {
    eprintln!("error: {what}");
    if let Some(hint) = hint {
        eprintln!("\nhint: {hint}");
    }
}

/// Has what developers log go to standard error, as `DRYRACK_LOG` asks.
pub(super) fn log_to_stderr() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("DRYRACK_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn"));
    // A second call finds the first one's, which does.
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).try_init().ok();
}
