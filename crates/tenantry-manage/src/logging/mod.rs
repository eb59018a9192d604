mod json;

use std::{
    io::{IsTerminal, stderr},
    sync::atomic::{AtomicBool, Ordering},
};

use tracing_subscriber::{EnvFilter, layer::SubscriberExt, util::SubscriberInitExt};

use crate::{Error, settings::LogFormat};

/// Whether the log is for programs: then so is all else on stderr.
static FOR_PROGRAMS: AtomicBool = AtomicBool::new(false);

/// Tells something beside the log, in its format: whether that is for programs, and so it was told.
pub(crate) fn tell(level: &str, message: &str) -> bool {
    let is_told = FOR_PROGRAMS.load(Ordering::Relaxed);
    if is_told && !message.trim().is_empty() {
        json::tell(level, message);
    }
    is_told
}

/// Sends what the library and the application tell by `tracing` to stderr, as much of it as
/// `RUST_LOG` says, else `level`.
pub(crate) fn start(level: &str, format: LogFormat) -> Result<(), Error> {
    let wanted = std::env::var("RUST_LOG")
        .ok()
        .filter(|wanted| !wanted.is_empty());
    // a cookie of another program on the same host is no news
    let default = format!("{level},tower_sessions=error,tower_sessions_core=error");
    let filter = EnvFilter::try_new(wanted.as_deref().unwrap_or(&default))?;
    let registry = tracing_subscriber::registry().with(filter);
    // either fails when the application has a subscriber of its own already, which is then the one
    match format {
        LogFormat::Json => {
            FOR_PROGRAMS.store(true, Ordering::Relaxed);
            if registry.with(json::Lines).try_init().is_ok() {
                std::panic::set_hook(Box::new(tell_panic));
            }
        }
        LogFormat::Pretty => {
            let plain = std::env::var_os("NO_COLOR").is_some_and(|set| !set.is_empty());
            let lines = tracing_subscriber::fmt::layer()
                .with_writer(stderr)
                .with_ansi(stderr().is_terminal() && !plain)
                .log_internal_errors(false); // it would panic when nobody reads stderr any more
            drop(registry.with(lines).try_init());
        }
    }
    Ok(())
}

/// Tells of a panic as of anything else, with the request or the job that it is from.
fn tell_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let payload = panic.payload();
    let text = payload.downcast_ref::<&str>().copied();
    let said = text
        .or_else(|| payload.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a word");
    let at = panic.location().map(ToString::to_string);
    let at = at.as_deref().unwrap_or("?");
    tracing::error!(said, "panicked at {at}");
}
