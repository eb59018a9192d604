use std::{panic::AssertUnwindSafe, sync::Arc};

use chrono::{SubsecRound, Utc};
use futures_util::FutureExt;
use tracing::Instrument;
use uuid::Uuid;

use super::{
    LifecycleError, SeedError,
    lock::TenantLock,
    recover::{finish, recover_one},
    rollout::KeptConnections,
};
use crate::{
    Tenancy,
    catalog::Change,
    central::Central,
    db::TenantDb,
    failpoint::failpoint,
    isolation::{LOCAL, file::Write},
    tenancy::Inner,
    tenant::{Isolation, Placement, Record, Tenant, TenantCode, TenantId, TenantStatus},
};

/// A tenant to be made.
#[derive(Debug, Clone)]
pub struct NewTenant {
    code: TenantCode,
    name: String,
    isolation: Option<Isolation>,
    server: String,
    owner: Option<Uuid>,
}

impl NewTenant {
    /// A tenant that is kept apart as the deployment's configuration has it.
    pub fn new(code: TenantCode, name: impl Into<String>) -> Self {
        Self {
            code,
            name: name.into(),
            isolation: None,
            server: LOCAL.into(),
            owner: None,
        }
    }

    /// Another means to keep it apart.
    #[must_use]
    pub fn isolation(mut self, isolation: Isolation) -> Self {
        self.isolation = Some(isolation);
        self
    }

    /// On another server than the one the deployment began with.
    #[must_use]
    pub fn server(mut self, name: impl Into<String>) -> Self {
        self.server = name.into();
        self
    }

    /// Owned by an account, of those that stand [outside of tenants](crate::accounts): there is the
    /// tenant with its owner, or neither.
    #[must_use]
    pub fn owner(mut self, account_id: Uuid) -> Self {
        self.owner = Some(account_id);
        self
    }

    pub(super) fn isolation_in(&self, inner: &Inner) -> Isolation {
        self.isolation.unwrap_or(inner.default_isolation)
    }
}

impl Tenancy {
    /// Makes a tenant, empty.
    ///
    /// # Errors
    /// [`LifecycleError::CodeTaken`]; and when its place cannot be made.
    pub async fn create(&self, new: NewTenant) -> Result<Tenant, LifecycleError> {
        self.create_with(new, |_| async { Ok(()) })
            .await
            .map(|(tenant, ())| tenant)
    }

    /// Makes a tenant, and lets `seed` put into its database what it must have from the start (its
    /// first user, say). Nobody sees the tenant before that is done; when it fails, there is none.
    ///
    /// It goes on to its end when the returned future is dropped.
    ///
    /// # Errors
    /// [`LifecycleError::CodeTaken`]; [`LifecycleError::Seed`] with what `seed` returned; and when
    /// its place cannot be made.
    pub async fn create_with<T, F, Fut>(
        &self,
        new: NewTenant,
        seed: F,
    ) -> Result<(Tenant, T), LifecycleError>
    where
        T: Send + 'static,
        F: FnOnce(TenantDb) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, SeedError>> + Send,
    {
        self.create_for(new, None, move |_, db| seed(db)).await
    }

    /// As [`create_with`](Self::create_with), where what is put there is not only in the database, and may
    /// be a `file` that is written before.
    pub(super) async fn create_for<T, F, Fut>(
        &self,
        new: NewTenant,
        file: Option<Write>,
        seed: F,
    ) -> Result<(Tenant, T), LifecycleError>
    where
        T: Send + 'static,
        F: FnOnce(Tenant, TenantDb) -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, SeedError>> + Send,
    {
        let tenancy = self.clone();
        tokio::spawn(async move { tenancy.create_here(new, file, seed).await }.in_current_span())
            .await
            .unwrap_or(Err(LifecycleError::ShuttingDown))
    }

    async fn create_here<T, F, Fut>(
        &self,
        new: NewTenant,
        file: Option<Write>,
        seed: F,
    ) -> Result<(Tenant, T), LifecycleError>
    where
        F: FnOnce(Tenant, TenantDb) -> Fut,
        Fut: Future<Output = Result<T, SeedError>>,
    {
        let inner = &self.0;
        let owner = new.owner;
        let draft = record(inner, new);
        let placement = draft.placement();
        if !inner.places.has(placement.isolation, &placement.server) {
            return Err(LifecycleError::NoPlace(placement.clone()));
        }
        let _kept = KeptConnections::of(self);
        // of one that was made ahead another process may have the file open
        let ahead = match file {
            None => self.claim(&draft).await?,
            Some(_) => None,
        };
        let (draft, lock, is_placed) = match ahead {
            Some((claimed, lock)) => (claimed, lock, true),
            None => {
                let lock = self.reserve(&draft).await?;
                (draft, lock, false)
            }
        };
        failpoint("create.recorded");
        let made = async {
            if let Some(write) = file {
                let brought = inner.places.files().bring(draft.id(), write).await;
                brought.map_err(|error| LifecycleError::Seed(error.into()))?;
            } else if !is_placed {
                inner.provision(&draft).await?;
            }
            failpoint("create.placed");
            let db = self.db(&draft).await?;
            let seeded = seeding(seed, draft.clone(), db)
                .await
                .map_err(LifecycleError::Seed)?;
            if let Some(owner) = owner {
                let founded = self.members(&draft).found(owner).await;
                founded.map_err(|error| LifecycleError::Seed(error.into()))?;
            }
            failpoint("create.seeded");
            let active = Change::Status(TenantStatus::Active, &[TenantStatus::Creating]);
            inner.catalog.change(draft.id(), active).await?;
            failpoint("create.activated");
            let tenant = inner.catalog.store().by_id(draft.id()).await?;
            Ok((tenant.ok_or(LifecycleError::NotPossible)?, seeded))
        }
        .await;
        if made.is_err() {
            finish(inner, &draft, &lock).await?;
        }
        made
    }

    /// Writes the tenant into the catalog as one that is being made.
    pub(super) async fn reserve(&self, draft: &Tenant) -> Result<TenantLock, LifecycleError> {
        let inner = &self.0;
        let lock = TenantLock::try_take(inner, draft.id())
            .await?
            .ok_or(LifecycleError::UnderWay)?;
        let taken = |error: &crate::db::DbError| error.is_unique("tenantry_tenants", &["code"]);
        let insert = async || {
            let placement = draft.placement();
            let ahead = match &inner.central {
                // nothing of the tenant lasts unless this does
                Central::Server(_) => {
                    placement.server == LOCAL
                        && matches!(placement.isolation, Isolation::Rows | Isolation::Schema)
                }
                // if the power fails now, what may be left is a file that nobody has used
                Central::File { .. } => placement.isolation == Isolation::File,
            };
            match ahead {
                true => inner.catalog.store().insert_ahead(draft).await,
                false => inner.catalog.store().insert(draft).await,
            }
        };
        match insert().await {
            Err(error) if taken(&error) => {}
            other => return Ok(other.map(|()| lock)?),
        }
        // taken, but perhaps by one that a killed process left half made or half erased
        let holder = inner.catalog.store().by_code(draft.code()).await?;
        if let Some(holder) = holder.filter(|holder| holder.status().is_unfinished()) {
            recover_one(inner, &holder).await?;
        }
        match insert().await {
            Err(error) if taken(&error) => Err(LifecycleError::CodeTaken),
            other => Ok(other.map(|()| lock)?),
        }
    }
}

/// A panic is a failure like any other: what was made so far is taken back.
async fn seeding<T, F, Fut>(seed: F, tenant: Tenant, db: TenantDb) -> Result<T, SeedError>
where
    F: FnOnce(Tenant, TenantDb) -> Fut,
    Fut: Future<Output = Result<T, SeedError>>,
{
    AssertUnwindSafe(async { seed(tenant, db).await })
        .catch_unwind()
        .await
        .unwrap_or_else(|_| Err("the seeding panicked".into()))
}

fn record(inner: &Arc<Inner>, new: NewTenant) -> Tenant {
    let isolation = new.isolation_in(inner);
    Tenant::new(Record {
        id: TenantId::generate(),
        code: new.code,
        name: new.name,
        status: TenantStatus::Creating,
        placement: Placement {
            isolation,
            server: new.server,
        },
        schema_version: inner.tenant_version.clone(),
        created_at: Utc::now().trunc_subsecs(6),
        plan: String::new(),
        primary_domain: None,
    })
}
