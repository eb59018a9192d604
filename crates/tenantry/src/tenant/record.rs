use std::sync::Arc;

use chrono::{DateTime, Utc};

use super::{DomainName, Isolation, Placement, TenantCode, TenantId, TenantStatus};

/// A tenant as the catalog knows it: an immutable snapshot, cheap to clone.
///
/// It is the argument from which every scope is made ([`Tenancy::db`](crate::Tenancy::db)). There
/// is no "current tenant" anywhere: code that works for a tenant has been handed one.
#[derive(Debug, Clone)]
pub struct Tenant(Arc<Record>);

#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) id: TenantId,
    pub(crate) code: TenantCode,
    pub(crate) name: String,
    pub(crate) status: TenantStatus,
    pub(crate) placement: Placement,
    pub(crate) schema_version: String,
    pub(crate) created_at: DateTime<Utc>,
    pub(crate) plan: String,
    pub(crate) primary_domain: Option<DomainName>,
}

impl Tenant {
    pub(crate) fn new(record: Record) -> Self {
        Self(Arc::new(record))
    }

    /// The same tenant, as if it were placed there.
    pub(crate) fn at(&self, placement: Placement) -> Self {
        let known = &self.0;
        Self::new(Record {
            id: known.id,
            code: known.code.clone(),
            name: known.name.clone(),
            status: known.status,
            placement,
            schema_version: known.schema_version.clone(),
            created_at: known.created_at,
            plan: known.plan.clone(),
            primary_domain: known.primary_domain.clone(),
        })
    }

    /// Its identity, which never changes.
    #[must_use]
    pub fn id(&self) -> TenantId {
        self.0.id
    }

    /// Its slug, which an operator can change.
    #[must_use]
    pub fn code(&self) -> &TenantCode {
        &self.0.code
    }

    /// Its name for people.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// What may be done with it.
    #[must_use]
    pub fn status(&self) -> TenantStatus {
        self.0.status
    }

    /// Where it lives.
    #[must_use]
    pub fn placement(&self) -> &Placement {
        &self.0.placement
    }

    /// The means that keeps its data apart.
    #[must_use]
    pub fn isolation(&self) -> Isolation {
        self.0.placement.isolation
    }

    /// The name of the last migration that the catalog knows to be applied to it.
    #[must_use]
    pub fn schema_version(&self) -> &str {
        &self.0.schema_version
    }

    /// What it pays for, in the application's own words; empty unless an operator said.
    #[must_use]
    pub fn plan(&self) -> &str {
        &self.0.plan
    }

    /// The host of its own that its URLs have, where it has said which: see
    /// [`Domains::set_primary`](crate::domains::Domains::set_primary).
    #[must_use]
    pub fn primary_domain(&self) -> Option<&DomainName> {
        self.0.primary_domain.as_ref()
    }

    /// When it was created.
    #[must_use]
    pub fn created_at(&self) -> DateTime<Utc> {
        self.0.created_at
    }
}
