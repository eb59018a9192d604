use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

use crate::Error;

/// Sends what the library and the application tell by `tracing` to stderr, as much of it as
/// `RUST_LOG` says, else `level`.
pub(crate) fn start(level: &str) -> Result<(), Error> {
    let wanted = std::env::var("RUST_LOG")
        .ok()
        .filter(|wanted| !wanted.is_empty());
    // a cookie of another program on the same host is no news
    let default = format!("{level},tower_sessions=error,tower_sessions_core=error");
    let filter = EnvFilter::try_new(wanted.as_deref().unwrap_or(&default))?;
    let plain = std::env::var_os("NO_COLOR").is_some_and(|set| !set.is_empty());
    // it fails when the application has a subscriber of its own already, which is then the one
    drop(
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(stderr)
            .with_ansi(stderr().is_terminal() && !plain)
            .log_internal_errors(false) // it would panic when nobody reads stderr any more
            .try_init(),
    );
    Ok(())
}
