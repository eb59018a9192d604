//! The JSON API: a file for each thing it is about.

pub(crate) mod account;
pub(crate) mod audit;
pub(crate) mod auth;
pub(crate) mod domains;
pub(crate) mod events;
pub(crate) mod invitations;
pub(crate) mod jobs;
pub(crate) mod keys;
pub(crate) mod operators;
pub(crate) mod products;
pub(crate) mod settings;
pub(crate) mod shop;
pub(crate) mod shops;
pub(crate) mod theme;
pub(crate) mod usage;
pub(crate) mod users;
