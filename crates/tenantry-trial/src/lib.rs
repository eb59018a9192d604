//! What black-box tests of applications stand on: their program in a place of its own, served and
//! run as its users do it, and clients that ask it over HTTP.
//!
//! It fails by panicking, as tests do. What keeps tenants apart is `TENANTRY_TEST_ISOLATION`; a file
//! for each where it is not set.

#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "it is for tests, which say what they expect by panicking"
)]

mod answer;
mod client;
mod events;
mod place;
mod raw;
mod s3;
mod server;

use std::{
    fmt,
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

pub use answer::Answer;
pub use client::{Client, Payload, http};
pub use events::Events;
pub use place::{Done, Place, Setup, on_databases, on_files};
pub use raw::{Reply, exchange, get_with_hosts};
pub use s3::S3Server;
pub use server::Server;

/// The program that is tried.
pub trait Program: fmt::Debug + Send + Sync + 'static {
    /// What it is called.
    const NAME: &'static str;
    /// Where it was built: `env!("CARGO_BIN_EXE_…")`.
    const PATH: &'static str;
}

/// The password of everybody whose password does not matter.
pub const PASSWORD: &str = "correct horse battery";

/// What one process changes, every other must obey within this.
pub const A_SECOND: Duration = Duration::from_secs(1);

/// A word that nobody else uses in this run.
pub fn unique(word: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("{word}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// Asks again and again until the answer is yes. Fails after `longest`.
pub async fn until<F: Future<Output = bool>>(
    longest: Duration,
    what: &str,
    mut holds: impl FnMut() -> F,
) {
    let start = Instant::now();
    while !holds().await {
        assert!(
            start.elapsed() < longest,
            "after {longest:?}, still not: {what}"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
