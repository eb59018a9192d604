//! What else a tenant has of its own. Each is made from a [`Tenant`](crate::Tenant).

pub mod cache;
pub mod files;
pub mod jobs;
pub mod limits;
pub mod live;
pub mod mail;
pub mod settings;
