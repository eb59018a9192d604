use std::collections::HashSet;

use tenantry::{Tenancy, Tenant};

use super::Args;
use crate::{Error, pattern::Pattern};

/// The tenants that may lack something: those the catalog knows to be behind, or, because somebody
/// named them, all that match.
pub(super) async fn candidates(tenancy: &Tenancy, args: &Args) -> Result<Vec<Tenant>, Error> {
    if args.patterns.is_empty() && !args.failed {
        let mut tenants = tenancy.behind().await.map_err(Error::Catalog)?;
        exclude(&mut tenants, &args.excluded);
        Ok(tenants)
    } else {
        matching(tenancy, args).await
    }
}

/// The tenants that match a pattern, or all when there is none. Each pattern must match one: else
/// it is more likely misspelt than meant.
pub(super) async fn matching(tenancy: &Tenancy, args: &Args) -> Result<Vec<Tenant>, Error> {
    let mut tenants = tenancy.tenants().await.map_err(Error::Catalog)?;
    tenants.retain(|tenant| tenant.status().is_visible());
    for pattern in args.patterns.iter().chain(&args.excluded) {
        if !tenants.iter().any(|tenant| pattern.matches(tenant.code())) {
            return Err(Error::NoMatch(pattern.clone()));
        }
    }
    if !args.patterns.is_empty() {
        tenants.retain(|tenant| {
            let code = tenant.code();
            args.patterns.iter().any(|pattern| pattern.matches(code))
        });
    }
    if args.failed {
        let failed = tenancy.failed_migrations().await.map_err(Error::Catalog)?;
        let failed: HashSet<_> = failed.iter().map(|failed| failed.tenant).collect();
        tenants.retain(|tenant| failed.contains(&tenant.id()));
    }
    exclude(&mut tenants, &args.excluded);
    Ok(tenants)
}

fn exclude(tenants: &mut Vec<Tenant>, patterns: &[Pattern]) {
    tenants.retain(|tenant| {
        !patterns
            .iter()
            .any(|pattern| pattern.matches(tenant.code()))
    });
}
