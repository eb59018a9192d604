use tenantry::{Tenancy, Tenant};

use crate::{Error, pattern::Pattern};

/// The tenants that may lack something: those the catalog knows to be behind, or, because somebody
/// named them, all that match.
pub(super) async fn candidates(
    tenancy: &Tenancy,
    patterns: &[Pattern],
) -> Result<Vec<Tenant>, Error> {
    if patterns.is_empty() {
        tenancy.behind().await.map_err(Error::Catalog)
    } else {
        matching(tenancy, patterns).await
    }
}

/// The tenants that match a pattern, or all when there is none. Each pattern must match one: else
/// it is more likely misspelt than meant.
pub(super) async fn matching(
    tenancy: &Tenancy,
    patterns: &[Pattern],
) -> Result<Vec<Tenant>, Error> {
    let mut tenants = tenancy.tenants().await.map_err(Error::Catalog)?;
    tenants.retain(|tenant| tenant.status().is_visible());
    for pattern in patterns {
        if !tenants.iter().any(|tenant| pattern.matches(tenant.code())) {
            return Err(Error::NoMatch(pattern.clone()));
        }
    }
    if !patterns.is_empty() {
        tenants.retain(|tenant| {
            patterns
                .iter()
                .any(|pattern| pattern.matches(tenant.code()))
        });
    }
    Ok(tenants)
}
