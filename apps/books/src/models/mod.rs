//! What a company keeps.

pub(crate) mod customer;
pub(crate) mod invoice;
pub(crate) mod line;
pub(crate) mod money;
pub(crate) mod payment;
