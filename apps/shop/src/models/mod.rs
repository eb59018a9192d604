//! What a shop holds, and the statements that read and write it. None of them names a tenant.

pub(crate) mod front;
pub(crate) mod product;
pub(crate) mod profile;
pub(crate) mod staff;
pub(crate) mod theme;
