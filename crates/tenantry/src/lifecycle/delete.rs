use std::{collections::BTreeMap, time::Duration};

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::{LifecycleError, lock::TenantLock, recover::finish};
use crate::{
    Tenancy,
    catalog::{self, Deletion},
    db::{DbError, transfer},
    failpoint::failpoint,
    tenant::{Isolation, Tenant, TenantCode, TenantId, TenantStatus},
};

/// By when whoever follows the catalog has heard of a change.
const HEARD: Duration = catalog::INTERVAL.saturating_mul(2);

/// How long a deleted tenant can be brought back, unless told otherwise.
pub const GRACE: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// A tenant that is deleted and not erased yet.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Deleted {
    /// The tenant, with a code that stands for the one it had.
    pub tenant: Tenant,
    /// The code it had, which others may have now.
    pub code: TenantCode,
    /// Its status before.
    pub was: TenantStatus,
    /// When it was deleted.
    pub at: DateTime<Utc>,
    /// When its grace ends.
    pub erase_after: DateTime<Utc>,
}

impl From<Deletion> for Deleted {
    fn from(deletion: Deletion) -> Self {
        Self {
            tenant: deletion.tenant,
            code: deletion.code,
            was: deletion.status,
            at: deletion.at,
            erase_after: deletion.erase_after,
        }
    }
}

/// What was erased of a tenant, and when: a record for whoever has to prove it.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct Certificate {
    /// Whose data it was.
    pub tenant: TenantId,
    /// The code it was known by.
    pub code: String,
    /// The name it had for people.
    pub name: String,
    /// What kept its data apart.
    pub isolation: String,
    /// The server that it was on.
    pub server: String,
    /// What was removed.
    pub removed: Removed,
    /// When it was begun; from then on nobody could reach any of it.
    pub begun_at: DateTime<Utc>,
    /// When all of it was gone; nothing as long as it is not.
    pub finished_at: Option<DateTime<Utc>>,
}

/// What is removed of a tenant.
#[derive(Debug, Clone, Default, Serialize, serde::Deserialize)]
#[non_exhaustive]
pub struct Removed {
    /// How many rows there were in each of its tables; nothing where its database was missing or
    /// could not be read.
    pub rows: Option<BTreeMap<String, i64>>,
    /// How many bytes its database took, where that could be told.
    pub bytes: Option<u64>,
    /// How many files it had beside: mail, and whatever else is kept by tenant.
    pub files: u64,
    /// How many bytes those had.
    #[serde(default)]
    pub file_bytes: u64,
    /// How many domains it had claimed, which are anybody's again.
    #[serde(default)]
    pub domains: u64,
    /// Of how many groups of settings it had said something.
    #[serde(default)]
    pub settings: u64,
    /// For how many hours and days it stays written down what it [used](crate::usage): nothing but
    /// numbers, of which bills are made.
    #[serde(default)]
    pub usage_kept: u64,
    /// Where its database was.
    pub place: String,
}

impl Tenancy {
    /// Deletes a tenant: from this moment on nobody finds it any more, and its code is free. For
    /// `grace` it can be [brought back](Self::restore), and after that it is to be
    /// [erased](Self::erase), which is no one's work by itself.
    ///
    /// # Errors
    /// [`LifecycleError::NotPossible`] when it is not there; [`LifecycleError::UnderWay`] when
    /// another process is at it.
    pub async fn delete(
        &self,
        tenant: &Tenant,
        grace: Duration,
    ) -> Result<Deleted, LifecycleError> {
        let inner = &self.0;
        let _lock = TenantLock::try_take(inner, tenant.id())
            .await?
            .ok_or(LifecycleError::UnderWay)?;
        let grace = chrono::Duration::from_std(grace).unwrap_or(chrono::Duration::MAX);
        let after = Utc::now()
            .checked_add_signed(grace)
            .filter(|after| after.timestamp() < LAST_SECOND)
            .or_else(|| DateTime::from_timestamp(LAST_SECOND, 0))
            .unwrap_or_default();
        if !inner.catalog.store().delete(tenant, after).await? {
            return Err(LifecycleError::NotPossible);
        }
        inner.catalog.forget(tenant.id(), tenant.code().as_str());
        inner.places.follow(tenant.id(), None);
        failpoint("delete.deleted");
        self.deleted()
            .await?
            .into_iter()
            .find(|deleted| deleted.tenant.id() == tenant.id())
            .ok_or(LifecycleError::NotPossible)
    }

    /// The tenants that are deleted and not erased yet, the latest first.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn deleted(&self) -> Result<Vec<Deleted>, DbError> {
        let found = self.0.catalog.store().deletions().await?;
        Ok(found.into_iter().map(Into::into).collect())
    }

    /// Brings a deleted tenant back as it was, under the code it had or another.
    ///
    /// # Errors
    /// [`LifecycleError::CodeTaken`] when somebody has the code by now;
    /// [`LifecycleError::NotPossible`] when it is not deleted, or erased by now.
    pub async fn restore(
        &self,
        deleted: &Deleted,
        code: Option<&TenantCode>,
    ) -> Result<Tenant, LifecycleError> {
        let inner = &self.0;
        let id = deleted.tenant.id();
        let _lock = TenantLock::try_take(inner, id)
            .await?
            .ok_or(LifecycleError::UnderWay)?;
        let code = code.unwrap_or(&deleted.code);
        match inner.catalog.store().restore(id, code).await {
            Ok(true) => {}
            Ok(false) => return Err(LifecycleError::NotPossible),
            Err(error) if error.is_unique("tenantry_tenants", &["code"]) => {
                return Err(LifecycleError::CodeTaken);
            }
            Err(error) => return Err(error.into()),
        }
        inner.catalog.forget(id, code.as_str());
        let tenant = inner.catalog.store().by_id(id).await?;
        inner.places.follow(id, tenant.as_ref());
        tenant.ok_or(LifecycleError::NotPossible)
    }

    /// Erases a tenant with everything it has, deleted before or not. From its first moment on
    /// nobody finds the tenant any more, and it cannot be undone. What is in the operators' log
    /// stays there.
    ///
    /// It goes on to its end when the returned future is dropped, and at the next start when the
    /// process dies.
    ///
    /// # Errors
    /// [`LifecycleError::NotPossible`] when it is not there; [`LifecycleError::UnderWay`] when
    /// another process is at it; [`LifecycleError::Files`] when its files are not in the data folder, and
    /// where they are cannot be asked, with nothing touched.
    pub async fn erase(&self, tenant: &Tenant) -> Result<Certificate, LifecycleError> {
        let (tenancy, tenant) = (self.clone(), tenant.clone());
        tokio::spawn(async move {
            let inner = &tenancy.0;
            let lock = TenantLock::try_take(inner, tenant.id())
                .await?
                .ok_or(LifecycleError::UnderWay)?;
            // where it is now: it may have been moved since
            let now = inner.catalog.store().by_id(tenant.id()).await?;
            let now = now.ok_or(LifecycleError::NotPossible)?;
            let removed = tenancy.what_goes(&now).await?;
            let said = serde_json::to_string(&removed).map_err(|e| DbError::Engine(e.into()))?;
            if !inner.catalog.store().begin_erasure(&now, &said).await? {
                return Err(LifecycleError::NotPossible);
            }
            inner.catalog.forget(now.id(), now.code().as_str());
            failpoint("delete.recorded");
            if now.isolation() == Isolation::File && now.status() != TenantStatus::Deleted {
                // A server of another process goes on with the file until it has heard of this;
                // what it acknowledges until then should not be in a file that is gone.
                tokio::time::sleep(HEARD).await;
            }
            finish(inner, &now, &lock).await?;
            tenancy
                .certificates()
                .await?
                .into_iter()
                .find(|certificate| certificate.tenant == now.id())
                .ok_or(LifecycleError::NotPossible)
        })
        .await
        .unwrap_or(Err(LifecycleError::ShuttingDown))
    }

    /// What was erased, the latest first.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn certificates(&self) -> Result<Vec<Certificate>, DbError> {
        let erasures = self.0.catalog.store().erasures().await?;
        Ok(erasures
            .into_iter()
            .map(|erasure| Certificate {
                tenant: erasure.tenant,
                code: erasure.code,
                name: erasure.name,
                isolation: erasure.isolation,
                server: erasure.server,
                removed: serde_json::from_str(&erasure.removed).unwrap_or_default(),
                begun_at: erasure.begun_at,
                finished_at: erasure.finished_at,
            })
            .collect())
    }

    async fn usage_kept(&self, tenant: &Tenant) -> u64 {
        // with what was used here until now
        if let Err(error) = self.persist_usage().await {
            tracing::warn!(%error, "what tenants use cannot be written down now");
        }
        let count = self.0.catalog.store().count_usage(tenant.id()).await;
        count.unwrap_or(0)
    }

    async fn what_goes(&self, tenant: &Tenant) -> Result<Removed, LifecycleError> {
        let rows = async {
            if !self.is_present(tenant).await? {
                return Err(DbError::Missing(self.location(tenant)));
            }
            transfer::counts(&self.0.places.handle(tenant)?).await
        };
        // where they cannot be counted they cannot be removed either
        let files = super::folders::count_what_goes(&self.0, tenant.id()).await?;
        let settings = self.0.catalog.store().settings_of(tenant.id()).await;
        Ok(Removed {
            rows: rows.await.ok(),
            bytes: self.size(tenant).await.ok().flatten(),
            files: files.files,
            file_bytes: files.bytes,
            domains: self
                .0
                .catalog
                .store()
                .domains(tenant.id())
                .await
                .map_or(0, |domains| domains.len() as u64),
            settings: settings.map_or(0, |all| all.len() as u64),
            usage_kept: self.usage_kept(tenant).await,
            place: self.location(tenant),
        })
    }
}

/// The last second of the year 9999, beyond which no time can be stored.
const LAST_SECOND: i64 = 253_402_300_799;
