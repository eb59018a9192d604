//! Multi-tenancy for [axum](https://docs.rs/axum) applications: write the application once, as if
//! it had a single customer, and run it for any number, each isolated by the means you choose.

pub mod accounts;
mod catalog;
mod central;
mod config;
pub mod db;
pub mod domains;
mod failpoint;
mod isolation;
mod jitter;
pub mod lifecycle;
pub mod migrate;
pub mod operators;
pub mod policy;
pub mod resources;
pub mod routing;
pub mod scoped;
mod tenancy;
pub mod tenant;
#[cfg(feature = "testing")]
pub mod testing;
mod trace;
pub mod usage;
pub mod users;

pub use config::Config;
pub use isolation::postgres::Finding;
pub use tenancy::{OpenError, Tenancy};
pub use tenant::Tenant;
