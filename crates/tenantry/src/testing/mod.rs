//! Throwaway deployments for tests, and the suite that every isolation passes.
//!
//! ```
//! use tenantry::{migrate::Migrations, tenant::Isolation, testing::Place};
//!
//! # tokio::runtime::Runtime::new().unwrap().block_on(async {
//! let notes = Migrations::new().sql("0001_notes", "CREATE TABLE notes (text text NOT NULL)");
//! let place = Place::with(Isolation::File, notes).await;
//!
//! let acme = place.db("acme").await;
//! acme.query("INSERT INTO notes (text) VALUES ('ours')").execute().await?;
//!
//! let globex = place.db("globex").await;
//! let theirs: i64 = globex.query("SELECT count(*) FROM notes").scalar().await?;
//! assert_eq!(theirs, 0);
//! # Ok::<_, tenantry::db::DbError>(()) }).unwrap();
//! ```

mod certificate;
pub mod conformance;
mod leaks;
mod names;
mod place;
mod postgres;
mod redis;
mod smtp;

pub use certificate::SelfSigned;
pub use leaks::files_with;
pub use names::NameServer;
pub use place::{FilesElsewhere, Place};
pub use postgres::Postgres;
pub use redis::Redis;
pub use smtp::{Received, SmtpRules, SmtpSink};
