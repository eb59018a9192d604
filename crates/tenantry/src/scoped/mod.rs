//! What else a tenant has of its own. Each is made from a [`Tenant`](crate::Tenant).

pub mod files;
pub mod jobs;
pub mod mail;
