use chrono::{DateTime, Utc};
use serde::Serialize;
use tenantry::{
    Tenant,
    routing::Site,
    tenant::{Isolation, TenantCode, TenantId, TenantStatus},
};

/// A tenant as the catalog knows it, as JSON says it. Scripts depend on the names.
#[derive(Serialize)]
pub(super) struct View<'a> {
    id: TenantId,
    code: &'a TenantCode,
    name: &'a str,
    status: TenantStatus,
    plan: &'a str,
    isolation: Isolation,
    server: &'a str,
    url: String,
    schema_version: &'a str,
    created_at: DateTime<Utc>,
}

impl<'a> View<'a> {
    pub(super) fn new(tenant: &'a Tenant, site: &Site) -> Self {
        Self {
            id: tenant.id(),
            code: tenant.code(),
            name: tenant.name(),
            status: tenant.status(),
            plan: tenant.plan(),
            isolation: tenant.isolation(),
            server: &tenant.placement().server,
            url: site.tenant_url(tenant),
            schema_version: tenant.schema_version(),
            created_at: tenant.created_at(),
        }
    }
}
