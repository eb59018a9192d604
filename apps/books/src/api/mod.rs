//! What programs are told, in JSON.

pub(crate) mod account;
pub(crate) mod auth;
pub(crate) mod companies;
pub(crate) mod company;
pub(crate) mod invoices;
pub(crate) mod members;
