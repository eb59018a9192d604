//! Who a tenant is: its id, code, domains, status and placement.
//!
//! This module knows nothing of databases, HTTP or the rest of the library; everything else knows it.

mod code;
mod domain;
mod id;
mod limits;
mod placement;
mod plan;
mod record;
mod status;

pub use code::{CodeError, RESERVED_CODES, TenantCode};
pub(crate) use domain::is_within;
pub use domain::{DomainName, DomainNameError};
pub use id::TenantId;
pub use limits::{Concurrent, DatabaseTime, Limits, Rate};
pub use placement::{Isolation, Placement};
pub(crate) use plan::Plans;
pub use plan::{Plan, PlanLimit};
pub(crate) use record::Record;
pub use record::Tenant;
pub use status::TenantStatus;

/// A word of a closed list (a status, an isolation) that is not in it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{given:?} is none of: {expected}")]
pub struct UnknownWord {
    pub(crate) given: String,
    pub(crate) expected: &'static str,
}
