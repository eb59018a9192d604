//! The means by which a tenant's data is kept apart: where it is, how it comes and goes.

pub(crate) mod file;
