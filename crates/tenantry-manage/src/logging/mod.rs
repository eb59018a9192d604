mod json;

use std::{
    io::{IsTerminal, stderr},
    sync::atomic::{AtomicBool, Ordering},
};

use tracing::Subscriber;
use tracing_subscriber::{
    EnvFilter, Layer, layer::SubscriberExt, registry::LookupSpan, util::SubscriberInitExt,
};

use crate::{Error, settings::LogFormat, traces::Traces};

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
/// `RUST_LOG` says, else `level`; and where there are `traces`, what is theirs to them, whatever the log has.
pub(crate) fn start(level: &str, format: LogFormat, traces: Option<&Traces>) -> Result<(), Error> {
    let wanted = std::env::var("RUST_LOG")
        .ok()
        .filter(|wanted| !wanted.is_empty());
    // a cookie of another program on the same host is no news
    let default = format!("{level},tower_sessions=error,tower_sessions_core=error");
    let filter = EnvFilter::try_new(wanted.as_deref().unwrap_or(&default))?;
    let all = tracing_subscriber::registry();
    // each fails when the application has a subscriber of its own already, which is then the one
    let begun = match (format, traces) {
        (LogFormat::Json, None) => all.with(filter).with(json::Lines).try_init(),
        (LogFormat::Pretty, None) => all.with(filter).with(lines()).try_init(),
        (LogFormat::Json, Some(traces)) => {
            let lines = json::Lines.with_filter(filter);
            all.with(traces.layer()).with(lines).try_init()
        }
        (LogFormat::Pretty, Some(traces)) => {
            let lines = lines().with_filter(filter);
            all.with(traces.layer()).with(lines).try_init()
        }
    };
    if format == LogFormat::Json {
        FOR_PROGRAMS.store(true, Ordering::Relaxed);
        if begun.is_ok() {
            std::panic::set_hook(Box::new(tell_panic));
        }
    }
    Ok(())
}

/// Lines for people.
fn lines<S: Subscriber + for<'a> LookupSpan<'a>>() -> impl Layer<S> {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|set| !set.is_empty());
    tracing_subscriber::fmt::layer()
        .with_writer(stderr)
        .with_ansi(stderr().is_terminal() && !plain)
        .log_internal_errors(false) // it would panic when nobody reads stderr any more
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
