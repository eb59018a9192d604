//! What the tests stand on. A test reads `acme.as_owner().get("/api/products").await.is(200)`.

mod answer;
mod client;
mod place;
mod raw;
mod server;
mod shop;

use std::time::{Duration, Instant};

pub(crate) use answer::Answer;
pub(crate) use client::{Client, Payload};
pub(crate) use place::{Place, Setup, on_files};
pub(crate) use raw::{Reply, exchange, get_with_hosts};
pub(crate) use server::{Server, shared};
pub(crate) use shop::{
    PASSWORD, Pass, Person, Shop, link_in_mail, log_in, opening, session_in, text, unique,
};

/// What one process changes, every other must obey within this.
pub(crate) const A_SECOND: Duration = Duration::from_secs(1);

/// Asks again and again until the answer is yes. Fails after `longest`.
pub(crate) async fn until<F: Future<Output = bool>>(
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
