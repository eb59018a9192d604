use std::time::Duration;

use super::{LifecycleError, lock::TenantLock, recover::finish};
use crate::{
    Tenancy,
    catalog::{self, Change},
    failpoint::failpoint,
    tenant::{Isolation, Tenant, TenantStatus},
};

/// By when whoever follows the catalog has heard of a change.
const HEARD: Duration = catalog::INTERVAL.saturating_mul(2);

impl Tenancy {
    /// Erases a tenant with everything it has. From its first moment on nobody finds the tenant
    /// any more, and it cannot be undone.
    ///
    /// It goes on to its end when the returned future is dropped.
    ///
    /// # Errors
    /// [`LifecycleError::NotPossible`] when it is not there; [`LifecycleError::UnderWay`] when
    /// another process is at it.
    pub async fn delete(&self, tenant: &Tenant) -> Result<(), LifecycleError> {
        let (tenancy, tenant) = (self.clone(), tenant.clone());
        tokio::spawn(async move {
            let inner = &tenancy.0;
            let lock = TenantLock::try_take(inner, tenant.id())
                .await?
                .ok_or(LifecycleError::UnderWay)?;
            let deleting = Change::Status(TenantStatus::Deleting, TenantStatus::VISIBLE);
            if !inner.catalog.change(tenant.id(), deleting).await? {
                return Err(LifecycleError::NotPossible);
            }
            failpoint("delete.recorded");
            if tenant.isolation() == Isolation::File {
                // A server of another process goes on with the file until it has heard of this;
                // what it acknowledges until then should not be in a file that is gone.
                tokio::time::sleep(HEARD).await;
            }
            finish(inner, &tenant, &lock).await
        })
        .await
        .unwrap_or(Err(LifecycleError::ShuttingDown))
    }
}
