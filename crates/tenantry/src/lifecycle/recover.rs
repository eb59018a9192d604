use super::{
    LifecycleError, folders,
    lock::{self, TenantLock},
    moving, snapshot,
};
use crate::{Tenancy, catalog::Change, failpoint::failpoint, tenancy::Inner, tenant::Tenant};

/// Ends what killed processes left half done. What cannot be ended now is tried at the next start.
pub(crate) async fn recover(tenancy: &Tenancy) {
    let inner = &tenancy.0;
    let unfinished = match inner.catalog.store().unfinished().await {
        Ok(unfinished) => unfinished,
        Err(error) => {
            tracing::warn!(%error, "unfinished operations cannot be looked for");
            return;
        }
    };
    for found in unfinished {
        if let Err(error) = recover_one(inner, &found).await {
            let (tenant, status) = (found.code(), found.status());
            tracing::warn!(%tenant, %status, %error, "an unfinished operation cannot be ended");
        }
    }
    if let Err(error) = moving::recover(inner).await {
        tracing::warn!(%error, "unfinished moves cannot be ended");
    }
    if let Err(error) = lock::sweep(inner) {
        tracing::warn!(%error, "lock files that were left behind cannot be removed");
    }
    snapshot::sweep(inner);
}

/// Ends one such operation, unless somebody is at it.
pub(super) async fn recover_one(inner: &Inner, found: &Tenant) -> Result<(), LifecycleError> {
    let Some(lock) = TenantLock::try_take(inner, found.id()).await? else {
        return Ok(()); // somebody is at it
    };
    // it may have been ended between the look and the lock
    match inner.catalog.store().by_id(found.id()).await? {
        Some(still) if still.status().is_unfinished() => {
            finish(inner, &still, &lock).await?;
            tracing::info!(tenant = %still.code(), status = %still.status(), "ended an unfinished operation");
            Ok(())
        }
        _ => Ok(()),
    }
}

/// Removes what there is of a tenant half made or half erased, and its record last: as long as
/// anything is left, so is the record that says so.
pub(super) async fn finish(
    inner: &Inner,
    tenant: &Tenant,
    _lock: &TenantLock,
) -> Result<(), LifecycleError> {
    inner.places.remove(tenant).await?;
    folders::remove(inner, tenant.id()).await?;
    inner.cache.forget(tenant.id()).await;
    failpoint("delete.removed");
    inner.catalog.change(tenant.id(), Change::Forget).await?;
    failpoint("delete.forgotten");
    Ok(())
}
