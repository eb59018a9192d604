//! Tenants that are made before anybody wants them.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use chrono::{SubsecRound, Utc};
use uuid::Uuid;

use super::{LifecycleError, lock::TenantLock, recover::finish, rollout::KeptConnections};
use crate::{
    Tenancy,
    catalog::Change,
    failpoint::failpoint,
    isolation::LOCAL,
    tenancy::Inner,
    tenant::{Placement, Record, Tenant, TenantCode, TenantId, TenantStatus},
};

/// How often it is looked whether there are enough, where nobody says that one was taken.
const LOOK: Duration = Duration::from_secs(5);

/// How often another is tried when somebody was quicker.
const TRIES: usize = 16;

impl Tenancy {
    /// How many tenants are ready to be had at once, at the program's version and kept apart as new
    /// ones are unless told otherwise.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn pending_tenants(&self) -> Result<usize, LifecycleError> {
        let inner = &self.0;
        let all = inner.catalog.store().pending().await?;
        Ok(all.iter().filter(|one| is_ready(inner, one)).count())
    }

    /// Makes tenants before anybody wants them, until so many are ready, and returns how many it
    /// made: each a place with all migrations, and empty. [`create`](Self::create) takes one and
    /// gives it its code and name, and has only to seed it. To everyone but `create` there are no
    /// such tenants.
    ///
    /// What an older version of the program has made is migrated first. Of several processes one
    /// makes them, and the others make none meanwhile.
    ///
    /// # Errors
    /// As [`create`](Self::create).
    pub async fn fill_pending(&self, ready: usize) -> Result<usize, LifecycleError> {
        let inner = &self.0;
        // an id that no tenant has
        let Some(_lock) = TenantLock::try_take(inner, Uuid::nil().into()).await? else {
            return Ok(0);
        };
        for old in inner.catalog.store().pending().await? {
            if !is_ready(inner, &old) && old.placement().isolation == inner.default_isolation {
                self.renew(&old).await?;
            }
        }
        let _kept = KeptConnections::of(self);
        let mut made = 0;
        while self.pending_tenants().await? < ready && !inner.is_closed() {
            self.make_pending().await?;
            made += 1;
        }
        Ok(made)
    }

    /// Removes all tenants that nobody has taken, and returns how many.
    ///
    /// # Errors
    /// As [`erase`](Self::erase).
    pub async fn drop_pending(&self) -> Result<usize, LifecycleError> {
        let inner = &self.0;
        let mut dropped = 0;
        for one in inner.catalog.store().pending().await? {
            let Some(lock) = TenantLock::try_take(inner, one.id()).await? else {
                continue; // somebody takes it
            };
            let going = Change::Status(TenantStatus::Deleting, &[TenantStatus::Pending]);
            if inner.catalog.change(one.id(), going).await? {
                finish(inner, &one, &lock).await?;
                dropped += 1;
            }
        }
        Ok(dropped)
    }

    /// Brings one that an older version of the program has made up to date.
    async fn renew(&self, old: &Tenant) -> Result<(), LifecycleError> {
        let Some(_lock) = TenantLock::try_take(&self.0, old.id()).await? else {
            return Ok(());
        };
        self.migrate(old).await?;
        Ok(())
    }

    async fn make_pending(&self) -> Result<(), LifecycleError> {
        let inner = &self.0;
        let id = TenantId::generate();
        let code = format!("pending-{}", id.as_uuid().simple());
        let draft = Tenant::new(Record {
            id,
            code: TenantCode::new(&code)
                .map_err(|error| crate::db::DbError::Engine(Box::new(error)))?,
            name: String::new(),
            status: TenantStatus::Creating,
            placement: Placement::new(inner.default_isolation, LOCAL),
            schema_version: inner.tenant_version.clone(),
            created_at: Utc::now().trunc_subsecs(6),
            plan: String::new(),
            primary_domain: None,
        });
        let lock = self.reserve(&draft).await?;
        failpoint("pending.recorded");
        let made = async {
            inner.provision(&draft).await?;
            failpoint("pending.placed");
            let ready = Change::Status(TenantStatus::Pending, &[TenantStatus::Creating]);
            inner.catalog.change(id, ready).await?;
            Ok(())
        }
        .await;
        if made.is_err() {
            finish(inner, &draft, &lock).await?;
        }
        made
    }

    /// Takes one that is ready and as `wanted`, and gives it its code and name: the tenant, which is
    /// being made from now on, and the lock on it. None where there is none.
    pub(super) async fn claim(
        &self,
        wanted: &Tenant,
    ) -> Result<Option<(Tenant, TenantLock)>, LifecycleError> {
        let inner = &self.0;
        for _ in 0..TRIES {
            let ready = inner.catalog.store().ready(wanted, TRIES).await?;
            if ready.is_empty() {
                return Ok(None);
            }
            // not all of them the same one
            let first = usize::from(wanted.id().as_uuid().as_bytes()[15]) % ready.len();
            let Some(one) = ready.into_iter().cycle().nth(first) else {
                return Ok(None);
            };
            // the lock first: who finds it being made without one undoes it
            let Some(lock) = TenantLock::try_once(inner, one.id()).await? else {
                continue;
            };
            let claimed = inner.catalog.store().claim(one.id(), wanted).await;
            match claimed {
                Ok(true) => {}
                Ok(false) => continue, // somebody was quicker
                Err(error) if error.is_unique("tenantry_tenants", &["code"]) => {
                    // by one half made, perhaps: which is found out the long way
                    return Ok(None);
                }
                Err(error) => return Err(error.into()),
            }
            failpoint("pending.claimed");
            inner.pool.notify_one();
            let claimed = inner.catalog.store().by_id(one.id()).await?;
            let claimed = claimed.ok_or(LifecycleError::NotPossible)?;
            if !self.is_present(&claimed).await? {
                // its place was taken away by hand
                inner.provision(&claimed).await?;
            }
            return Ok(Some((claimed, lock)));
        }
        Ok(None)
    }
}

fn is_ready(inner: &Inner, one: &Tenant) -> bool {
    one.schema_version() == inner.tenant_version
        && *one.placement() == Placement::new(inner.default_isolation, LOCAL)
}

/// Keeps so many ready, for as long as the tenancy exists.
pub(crate) async fn keep_ready(tenancy: Weak<Inner>, ready: usize) {
    loop {
        let Some(inner) = tenancy.upgrade() else {
            return;
        };
        if inner.is_closed() {
            return;
        }
        let taken = inner.pool.clone();
        if let Err(error) = Tenancy(inner).fill_pending(ready).await {
            tracing::warn!(%error, "tenants cannot be made ahead");
        }
        drop(tokio::time::timeout(LOOK, taken.notified()).await);
    }
}

/// Told when one was taken.
pub(crate) type Taken = Arc<tokio::sync::Notify>;
