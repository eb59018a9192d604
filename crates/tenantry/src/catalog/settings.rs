//! What each tenant has said of its settings.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use chrono::Utc;
use moka::sync;
use serde_json::{Map, Value};
use uuid::Uuid;

use super::Store;
use crate::{
    db::{DbError, FromRow, Row},
    tenant::TenantId,
};

/// A group of a tenant's settings, as it is kept.
#[derive(Debug, Clone)]
pub(crate) struct Kept {
    pub(crate) fields: Map<String, Value>,
    /// Another one whenever it is written.
    pub(crate) version: Uuid,
}

/// The same, with whose it is.
#[derive(Debug, Clone)]
pub(crate) struct KeptOf {
    pub(crate) tenant: TenantId,
    pub(crate) name: String,
    pub(crate) kept: Kept,
}

/// All groups of a tenant's, by name.
pub(crate) type KeptGroups = Arc<BTreeMap<String, Kept>>;

const COLUMNS: &str = "tenant_id, name, value, version";

/// What a tenant must be for its settings to be written.
const IS_THERE: &str =
    "SELECT 1 FROM tenantry_tenants t WHERE t.id = $1 AND t.status NOT IN ('deleted', 'deleting')";

impl Store {
    pub(super) async fn settings(&self, id: TenantId) -> Result<KeptGroups, DbError> {
        let found: Vec<KeptOf> = self
            .0
            .query(&format!(
                "SELECT {COLUMNS} FROM tenantry_settings WHERE tenant_id = $1"
            ))
            .bind(*id.as_uuid())
            .all()
            .await?;
        let groups = found.into_iter().map(|one| (one.name, one.kept));
        Ok(Arc::new(groups.collect()))
    }

    /// All that a tenant has said, as it is kept.
    pub(crate) async fn settings_of(
        &self,
        id: TenantId,
    ) -> Result<BTreeMap<String, Map<String, Value>>, DbError> {
        let all = self.settings(id).await?;
        let fields = all
            .iter()
            .map(|(name, kept)| (name.clone(), kept.fields.clone()));
        Ok(fields.collect())
    }

    pub(crate) async fn setting(&self, id: TenantId, name: &str) -> Result<Option<Kept>, DbError> {
        let found: Option<KeptOf> = self
            .0
            .query(&format!(
                "SELECT {COLUMNS} FROM tenantry_settings WHERE tenant_id = $1 AND name = $2"
            ))
            .bind(*id.as_uuid())
            .bind(name)
            .optional()
            .await?;
        Ok(found.map(|one| one.kept))
    }

    /// Writes a group, where it still is of the version that was `seen`: its new version, or none.
    pub(crate) async fn put_setting(
        &self,
        id: TenantId,
        name: &str,
        text: &str,
        seen: Option<Uuid>,
    ) -> Result<Option<Uuid>, DbError> {
        let version = Uuid::now_v7();
        let query = match seen {
            None => self.0.query(&format!(
                "INSERT INTO tenantry_settings (tenant_id, name, value, version, changed_at)
                 SELECT t.id, $2, $3, $4, $5 FROM tenantry_tenants t WHERE t.id = $1
                    AND EXISTS ({IS_THERE})
                 ON CONFLICT (tenant_id, name) DO NOTHING"
            )),
            Some(_) => self.0.query(&format!(
                "UPDATE tenantry_settings SET value = $3, version = $4, changed_at = $5
                 WHERE tenant_id = $1 AND name = $2 AND version = $6 AND EXISTS ({IS_THERE})"
            )),
        };
        let query = query
            .bind(*id.as_uuid())
            .bind(name)
            .bind(text)
            .bind(version)
            .bind(Utc::now());
        let written = match seen {
            None => query.execute().await?,
            Some(seen) => query.bind(seen).execute().await?,
        };
        Ok((written == 1).then_some(version))
    }

    /// Writes a group whose secrets are sealed anew, of a tenant that may be deleted: whether it was
    /// still as it was `seen`.
    pub(crate) async fn seal_setting(
        &self,
        id: TenantId,
        name: &str,
        text: &str,
        seen: Option<Uuid>,
    ) -> Result<bool, DbError> {
        let written = self
            .0
            .query(
                "UPDATE tenantry_settings SET value = $3, version = $4
                 WHERE tenant_id = $1 AND name = $2 AND version = $5",
            )
            .bind(*id.as_uuid())
            .bind(name)
            .bind(text)
            .bind(Uuid::now_v7())
            .bind(seen)
            .execute()
            .await?;
        Ok(written == 1)
    }

    /// Removes a group: whether there was one.
    pub(crate) async fn remove_setting(&self, id: TenantId, name: &str) -> Result<bool, DbError> {
        let removed = self
            .0
            .query("DELETE FROM tenantry_settings WHERE tenant_id = $1 AND name = $2")
            .bind(*id.as_uuid())
            .bind(name)
            .execute()
            .await?;
        Ok(removed > 0)
    }

    /// Whether any secret was ever sealed that is still there.
    pub(crate) async fn has_sealed(&self) -> Result<bool, DbError> {
        let found: i64 = self
            .0
            .query("SELECT count(*) FROM tenantry_settings WHERE value LIKE '%\"$sealed\"%'")
            .scalar()
            .await?;
        Ok(found > 0)
    }

    /// The first group with a secret in it, after that one.
    pub(crate) async fn sealed_after(
        &self,
        after: Option<&(Uuid, String)>,
    ) -> Result<Option<KeptOf>, DbError> {
        let (id, name) = after.map_or((Uuid::nil(), ""), |(id, name)| (*id, name.as_str()));
        self.0
            .query(&format!(
                "SELECT {COLUMNS} FROM tenantry_settings
                 WHERE value LIKE '%\"$sealed\"%'
                    AND (tenant_id > $1 OR (tenant_id = $1 AND name > $2))
                 ORDER BY tenant_id, name LIMIT 1"
            ))
            .bind(id)
            .bind(name)
            .optional()
            .await
    }
}

impl FromRow for KeptOf {
    fn from_row(row: &Row<'_>) -> Result<Self, DbError> {
        let text: String = row.at(2)?;
        let fields = serde_json::from_str(&text).map_err(|error| DbError::Engine(error.into()))?;
        Ok(Self {
            tenant: row.at::<Uuid>(0)?.into(),
            name: row.at(1)?,
            kept: Kept {
                fields,
                version: row.at(3)?,
            },
        })
    }
}

const MOST: u64 = 50_000;

/// What is known of tenants' settings, including that they have said nothing.
pub(super) struct Remembered {
    known: sync::Cache<TenantId, KeptGroups>,
    /// Counts what was forgotten, so that an answer fetched before is not kept after.
    generation: AtomicU64,
    /// Whether what is known may be answered from.
    trusted: AtomicBool,
}

impl Remembered {
    pub(super) fn new(life: Duration) -> Self {
        Self {
            known: sync::Cache::builder()
                .max_capacity(MOST)
                .time_to_live(life)
                .build(),
            generation: AtomicU64::new(0),
            trusted: AtomicBool::new(true),
        }
    }

    pub(super) async fn get(&self, store: &Store, id: TenantId) -> Result<KeptGroups, DbError> {
        if self.trusted.load(Ordering::SeqCst)
            && let Some(known) = self.known.get(&id)
        {
            return Ok(known);
        }
        let seen = self.generation.load(Ordering::SeqCst);
        let found = store.settings(id).await?;
        let is_current = || self.generation.load(Ordering::SeqCst) == seen;
        if is_current() {
            self.known.insert(id, found.clone());
            if !is_current() {
                self.known.invalidate(&id);
            }
        }
        Ok(found)
    }

    pub(super) fn forget(&self, id: TenantId) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.known.invalidate(&id);
    }

    pub(super) fn forget_all(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.known.invalidate_all();
    }

    pub(super) fn set_trusted(&self, trusted: bool) {
        self.forget_all();
        self.trusted.store(trusted, Ordering::SeqCst);
    }
}
