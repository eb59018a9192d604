use std::time::Duration;

use tracing::Instrument;

use super::{
    LifecycleError,
    lock::TenantLock,
    snapshot::Snapshot,
    transfer::{copy, look},
};
use crate::{
    Tenancy,
    catalog::Move,
    db::{
        DbError,
        transfer::{Neighbours, Selection},
    },
    failpoint::failpoint,
    tenancy::Inner,
    tenant::{Placement, Tenant, TenantStatus},
};

/// Until then every process knows that a tenant is suspended, and what was under way has ended.
const SETTLED: Duration = Duration::from_secs(1);

/// How often it is copied again because somebody has written meanwhile.
const TRIES: u32 = 3;

impl Tenancy {
    /// Moves a tenant to another place, with everything it has: its id, its people and what they
    /// are signed in with stay. For as long as that takes it is suspended, and answers 503.
    ///
    /// What was copied is compared with what is there once more before the tenant is switched
    /// over, so a late write is not lost: then it is copied again.
    ///
    /// It goes on to its end when the returned future is dropped. When the process dies, the next
    /// start undoes it, or ends it where the tenant was switched over already.
    ///
    /// # Errors
    /// [`LifecycleError::NoPlace`] where the deployment has none such;
    /// [`LifecycleError::NotPossible`] when the tenant is not there, or is there already; and when
    /// it cannot be copied: then it is where it was.
    pub async fn move_tenant(
        &self,
        tenant: &Tenant,
        to: Placement,
    ) -> Result<Tenant, LifecycleError> {
        let (tenancy, tenant) = (self.clone(), tenant.clone());
        tokio::spawn(async move { tenancy.move_here(&tenant, to).await }.in_current_span())
            .await
            .unwrap_or(Err(LifecycleError::ShuttingDown))
    }

    async fn move_here(&self, tenant: &Tenant, to: Placement) -> Result<Tenant, LifecycleError> {
        let inner = &self.0;
        if !inner.places.has(to.isolation, &to.server) {
            return Err(LifecycleError::NoPlace(to));
        }
        let _lock = TenantLock::try_take(inner, tenant.id())
            .await?
            .ok_or(LifecycleError::UnderWay)?;
        let tenant = inner.catalog.store().by_id(tenant.id()).await?;
        let tenant = tenant
            .filter(|tenant| tenant.status().is_visible() && *tenant.placement() != to)
            .ok_or(LifecycleError::NotPossible)?;
        // what it lacks it gets first: a copy is of the program's version
        self.migrate(&tenant).await?;
        let plan = Move {
            tenant: tenant.id(),
            from: tenant.placement().clone(),
            to,
            status: tenant.status(),
        };
        if !inner.catalog.store().begin_move(&plan).await? {
            return Err(LifecycleError::NotPossible);
        }
        inner.catalog.forget(tenant.id(), tenant.code().as_str());
        failpoint("move.recorded");
        let moved = self.copy_over(&tenant, &plan).await;
        // there or here, what is left over goes
        end(inner, &tenant, &plan).await?;
        moved?;
        let tenant = inner.catalog.store().by_id(tenant.id()).await?;
        tenant.ok_or(LifecycleError::NotPossible)
    }

    async fn copy_over(&self, tenant: &Tenant, plan: &Move) -> Result<(), LifecycleError> {
        let inner = &self.0;
        if plan.status == TenantStatus::Active {
            tokio::time::sleep(SETTLED).await;
        }
        let there = tenant.at(plan.to.clone());
        for _ in 0..TRIES {
            inner.places.remove(&there).await?;
            inner.provision(&there).await?;
            failpoint("move.placed");
            let to = inner.places.handle(&there)?;
            let from = Snapshot::of(inner, tenant).await?;
            let copied = copy(&from, &to, Selection::default(), Neighbours::GoOn)
                .await
                .map_err(|error| LifecycleError::Seed(error.into()))?;
            failpoint("move.copied");
            let from = Snapshot::of(inner, tenant).await?;
            if look(&from).await? == copied {
                let version = &inner.tenant_version;
                inner.catalog.store().switch(plan, version).await?;
                inner.catalog.forget(tenant.id(), tenant.code().as_str());
                failpoint("move.switched");
                return Ok(());
            }
        }
        Err(DbError::Busy.into())
    }
}

/// Removes the place where the tenant is not, and lets it work again.
async fn end(inner: &Inner, tenant: &Tenant, plan: &Move) -> Result<(), LifecycleError> {
    let now = inner.catalog.store().by_id(plan.tenant).await?;
    let is_there = now.is_some_and(|now| *now.placement() == plan.to);
    let left = if is_there { &plan.from } else { &plan.to };
    inner.places.remove(&tenant.at(left.clone())).await?;
    failpoint("move.removed");
    inner.catalog.store().end_move(plan).await?;
    inner.catalog.forget(tenant.id(), tenant.code().as_str());
    let now = inner.catalog.store().by_id(plan.tenant).await?;
    inner.places.follow(plan.tenant, now.as_ref());
    Ok(())
}

/// Ends the moves that killed processes left half done.
pub(super) async fn recover(inner: &Inner) -> Result<(), LifecycleError> {
    for found in inner.catalog.store().moves().await? {
        let Some(_lock) = TenantLock::try_take(inner, found.tenant).await? else {
            continue; // somebody is at it
        };
        let moves = inner.catalog.store().moves().await?;
        let still = moves.into_iter().find(|one| one.tenant == found.tenant);
        let tenant = inner.catalog.store().by_id(found.tenant).await?;
        if let (Some(still), Some(tenant)) = (still, tenant) {
            match end(inner, &tenant, &still).await {
                Ok(()) => tracing::info!(tenant = %tenant.code(), "ended an unfinished move"),
                Err(error) => {
                    tracing::warn!(tenant = %tenant.code(), %error, "an unfinished move cannot be ended");
                }
            }
        }
    }
    Ok(())
}
