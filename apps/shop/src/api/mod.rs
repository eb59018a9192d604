//! The JSON API: a file for each thing it is about.

pub(crate) mod auth;
pub(crate) mod products;
pub(crate) mod shop;
pub(crate) mod shops;
pub(crate) mod users;
