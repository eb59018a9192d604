//! For which tenants something is done.

use tenantry::{Tenancy, Tenant, tenant::TenantStatus};

use crate::{Error, pattern::Pattern};

/// The flags that say so.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Whom {
    /// Only for tenants with this code, with * for anything; may be repeated
    #[arg(long = "tenant", value_name = "PATTERN", conflicts_with = "all")]
    patterns: Vec<Pattern>,
    /// For all tenants that are active
    #[arg(long)]
    all: bool,
}

impl Whom {
    /// Those that are meant.
    pub(crate) async fn tenants(&self, tenancy: &Tenancy) -> Result<Vec<Tenant>, Error> {
        if self.patterns.is_empty() && !self.all {
            return Err(Error::ForWhom);
        }
        let mut tenants = tenancy.tenants().await.map_err(Error::Catalog)?;
        tenants.retain(|tenant| tenant.status().is_visible());
        for pattern in &self.patterns {
            if !tenants.iter().any(|tenant| pattern.matches(tenant.code())) {
                return Err(Error::NoMatch(pattern.clone()));
            }
        }
        tenants.retain(|tenant| match self.all {
            true => tenant.status() == TenantStatus::Active,
            false => self.patterns.iter().any(|one| one.matches(tenant.code())),
        });
        Ok(tenants)
    }
}
