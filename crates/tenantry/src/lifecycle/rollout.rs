//! Bringing tenants up to date: one, or as many as there are.

use std::{
    collections::HashMap,
    num::NonZeroUsize,
    sync::{Arc, PoisonError},
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use futures_util::future::BoxFuture;
use tokio::task::JoinSet;
use tracing::Instrument;

use crate::{
    Tenancy,
    db::DbError,
    failpoint::failpoint,
    migrate::{MigrateError, Progress},
    tenancy::Inner,
    tenant::{Isolation, Tenant, TenantId},
};

/// How long somebody who uses a tenant waits for its migrations, and how often it is looked
/// whether they are done.
const PATIENCE: Duration = Duration::from_secs(10);
const LOOK: Duration = Duration::from_millis(20);

/// The catalog is told of the tenants that are done when they are so many, or after that long:
/// their own ledgers know, so none is lost with the process.
const TOLD_AT_ONCE: usize = 100;
const TOLD_AFTER: Duration = Duration::from_millis(500);

/// How many tenants are brought up to date.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Rollout {
    /// How many at a time.
    pub parallel: NonZeroUsize,
    /// How many first: only when all of them have succeeded, the others are begun. Tenants that
    /// share tables count as one.
    pub canary: usize,
    /// Whether others are begun after one has failed. It does not hold for canaries.
    pub keep_going: bool,
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            parallel: NonZeroUsize::MIN,
            canary: 0,
            keep_going: false,
        }
    }
}

/// What became of a tenant, or of all that share tables.
#[derive(Debug)]
#[non_exhaustive]
pub struct Migrated {
    /// The tenant; or all of those asked for that share tables on one server.
    pub tenants: Vec<Tenant>,
    /// What was applied, or why it was not.
    pub result: Result<Vec<String>, MigrateError>,
}

/// A tenant whose last migration failed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct FailedMigration {
    /// The tenant.
    pub tenant: TenantId,
    /// The migration, where it was one that failed.
    pub migration: Option<String>,
    /// What was said.
    pub error: String,
    /// When that was.
    pub at: DateTime<Utc>,
}

impl Inner {
    /// Makes a tenant's place, migrated and empty of rows.
    pub(crate) async fn provision(&self, tenant: &Tenant) -> Result<(), MigrateError> {
        self.places
            .provision(tenant, &|server| self.sharing(server))
            .await
    }

    /// Makes a tenant's place on a server with those migrations alone.
    pub(crate) async fn provision_with(
        &self,
        tenant: &Tenant,
        applied: &[String],
    ) -> Result<(), MigrateError> {
        self.places
            .provision_with(tenant, applied, &|server| self.sharing(server))
            .await
    }

    async fn apply(&self, tenant: &Tenant) -> Result<Progress, MigrateError> {
        self.places
            .migrate(tenant, &|server| self.sharing(server))
            .await
    }

    fn sharing(&self, server: &str) -> BoxFuture<'_, Result<Vec<TenantId>, DbError>> {
        let server = server.to_owned();
        Box::pin(async move { self.catalog.store().sharing(&server).await })
    }
}

impl Tenancy {
    /// Brings one tenant up to date, and tells which migrations were applied. Tenants that share
    /// tables are brought up to date together.
    ///
    /// # Errors
    /// When one fails. Nothing of that one is left, and those before it stay applied.
    pub async fn migrate(&self, tenant: &Tenant) -> Result<Vec<String>, MigrateError> {
        let outcome = self.migrate_one(tenant).await;
        self.note(tenant, &outcome).await?;
        let progress = outcome?;
        if !progress.ahead && tenant.schema_version() != self.0.tenant_version {
            self.tell(
                tenant.isolation() == Isolation::Rows,
                std::slice::from_ref(tenant),
            )
            .await?;
        }
        Ok(progress.applied)
    }

    async fn migrate_one(&self, tenant: &Tenant) -> Result<Progress, MigrateError> {
        let progress = match self.0.places.migrate_at_once(tenant).await {
            Some(progress) => progress,
            None if !self.is_present(tenant).await? => {
                return Err(DbError::Missing(self.location(tenant)).into());
            }
            None => self.0.apply(tenant).await?,
        };
        failpoint("migrate.applied");
        Ok(progress)
    }

    /// Writes down a failure, so that whoever looks later knows of it.
    async fn note(
        &self,
        tenant: &Tenant,
        outcome: &Result<Progress, MigrateError>,
    ) -> Result<(), DbError> {
        match outcome {
            // that this process ends is no failure of the tenant's
            Ok(_) | Err(MigrateError::Db(DbError::Closed)) => Ok(()),
            Err(error) => {
                let name = error.migration().unwrap_or_default();
                let store = self.0.catalog.store();
                let said = error.to_string();
                match store.note_failure(tenant.id(), name, &said).await {
                    Err(DbError::ForeignKey) => Ok(()), // erased meanwhile
                    other => other,
                }
            }
        }
    }

    /// Tells the catalog that tenants are up to date.
    async fn tell(&self, shared: bool, tenants: &[Tenant]) -> Result<(), DbError> {
        let catalog = &self.0.catalog;
        let version = &self.0.tenant_version;
        let ids: Vec<TenantId> = tenants.iter().map(Tenant::id).collect();
        match tenants.first() {
            Some(tenant) if shared => {
                let server = &tenant.placement().server;
                catalog.store().mark_rows(server, version).await?;
                catalog.forget_all();
            }
            _ => {
                catalog.store().mark(&ids, version).await?;
                for tenant in tenants {
                    catalog.forget(tenant.id(), tenant.code().as_str());
                }
            }
        }
        catalog.store().forget_failures(&ids).await
    }

    /// Brings a tenant up to date because somebody uses it. What is begun goes on when the user
    /// goes, and is begun once however many there are.
    pub(crate) async fn migrate_in_time(&self, tenant: &Tenant) -> Result<(), DbError> {
        let begun = {
            let mut migrating = self
                .0
                .migrating
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            migrating.insert(tenant.id())
        };
        let deadline = Instant::now() + PATIENCE;
        if !begun {
            // whoever waited long enough finds out by asking again
            while self.is_migrating(tenant.id()) {
                if Instant::now() > deadline {
                    return Err(DbError::Busy);
                }
                tokio::time::sleep(LOOK).await;
            }
        }
        let (tenancy, tenant) = (self.clone(), tenant.clone());
        let migrating = async move {
            let _ends = Ends(tenancy.0.clone(), tenant.id());
            tenancy.migrate(&tenant).await
        };
        let work = tokio::spawn(migrating.in_current_span());
        let left = deadline.saturating_duration_since(Instant::now());
        match tokio::time::timeout(left, work).await {
            Err(_) => Err(DbError::Busy),
            Ok(Err(_)) => Err(DbError::Closed),
            Ok(Ok(Err(MigrateError::Db(error)))) => Err(error),
            Ok(Ok(Err(other))) => Err(DbError::Engine(Box::new(other))),
            Ok(Ok(Ok(_))) => Ok(()),
        }
    }

    fn is_migrating(&self, id: TenantId) -> bool {
        let migrating = self
            .0
            .migrating
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        migrating.contains(&id)
    }

    /// Brings many tenants up to date, some at a time, and tells `each` what became of whom as it
    /// happens. Returns how many were not begun because others failed.
    ///
    /// It can be dropped or killed at any point and done again: each migration of each tenant is
    /// applied whole or not at all, and what is applied is known to the tenant itself.
    ///
    /// # Errors
    /// When the catalog cannot be written.
    pub async fn migrate_all(
        &self,
        tenants: Vec<Tenant>,
        rollout: Rollout,
        mut each: impl FnMut(Migrated),
    ) -> Result<usize, DbError> {
        let _kept = KeptConnections::of(self);
        let mut waiting = units(tenants).into_iter();
        let mut canaries = rollout.canary;
        let mut failed = false;
        let mut running = JoinSet::new();
        let mut done = Done::new();
        loop {
            while (!failed || (rollout.keep_going && canaries == 0))
                && running.len() < rollout.parallel.get()
            {
                if canaries > 0 && done.begun >= canaries {
                    // the last of them has to have ended before anybody else begins
                    if !running.is_empty() {
                        break;
                    }
                    canaries = 0;
                }
                let Some(unit) = waiting.next() else { break };
                done.begun += 1;
                let tenancy = self.clone();
                running.spawn(async move {
                    let outcome = match unit.first() {
                        Some(tenant) => tenancy.migrate_one(tenant).await,
                        None => Ok(Progress::default()),
                    };
                    (unit, outcome)
                });
            }
            let (tenants, outcome) = match running.join_next().await {
                None => break,
                Some(Ok(ended)) => ended,
                Some(Err(died)) => std::panic::resume_unwind(died.into_panic()),
            };
            // those who share tables fail as one, and are tried again as one
            if let Some(tenant) = tenants.first() {
                self.note(tenant, &outcome).await?;
            }
            let result = match outcome {
                Ok(progress) => {
                    if !progress.ahead {
                        done.add(self, &tenants).await?;
                    }
                    Ok(progress.applied)
                }
                Err(error) => {
                    failed = true;
                    Err(error)
                }
            };
            each(Migrated { tenants, result });
        }
        done.tell(self).await?;
        Ok(waiting.map(|unit| unit.len()).sum())
    }

    /// The tenants whose last migration failed.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn failed_migrations(&self) -> Result<Vec<FailedMigration>, DbError> {
        let failures = self.0.catalog.store().failures().await?;
        Ok(failures
            .into_iter()
            .map(|(id, migration, error, at)| FailedMigration {
                tenant: id.into(),
                migration: Some(migration).filter(|name| !name.is_empty()),
                error,
                at,
            })
            .collect())
    }
}

/// Ends the note that a tenant is being migrated, however that ends.
struct Ends(Arc<Inner>, TenantId);

impl Drop for Ends {
    fn drop(&mut self) {
        let mut migrating = self
            .0
            .migrating
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        migrating.remove(&self.1);
    }
}

/// Connections as the owner of tables, kept from one tenant to the next.
pub(super) struct KeptConnections(Arc<Inner>);

impl KeptConnections {
    pub(super) fn of(tenancy: &Tenancy) -> Self {
        for server in tenancy.0.places.servers() {
            server.keep_owners(true);
        }
        Self(tenancy.0.clone())
    }
}

impl Drop for KeptConnections {
    fn drop(&mut self) {
        for server in self.0.places.servers() {
            server.keep_owners(false);
        }
    }
}

/// What is migrated as one: a tenant, or all that share tables on a server.
fn units(tenants: Vec<Tenant>) -> Vec<Vec<Tenant>> {
    let mut units: Vec<Vec<Tenant>> = Vec::new();
    let mut shared: HashMap<String, usize> = HashMap::new();
    for tenant in tenants {
        if tenant.isolation() == Isolation::Rows {
            let at = *shared
                .entry(tenant.placement().server.clone())
                .or_insert(units.len());
            if let Some(unit) = units.get_mut(at) {
                unit.push(tenant);
                continue;
            }
        }
        units.push(vec![tenant]);
    }
    units
}

/// Tenants that are up to date, and of which the catalog has not been told yet.
struct Done {
    begun: usize,
    tenants: Vec<Tenant>,
    since: Instant,
}

impl Done {
    fn new() -> Self {
        Self {
            begun: 0,
            tenants: Vec::new(),
            since: Instant::now(),
        }
    }

    async fn add(&mut self, tenancy: &Tenancy, tenants: &[Tenant]) -> Result<(), DbError> {
        if tenants
            .first()
            .is_some_and(|one| one.isolation() == Isolation::Rows)
        {
            return tenancy.tell(true, tenants).await;
        }
        self.tenants.extend_from_slice(tenants);
        if self.tenants.len() >= TOLD_AT_ONCE || self.since.elapsed() > TOLD_AFTER {
            self.tell(tenancy).await?;
        }
        Ok(())
    }

    async fn tell(&mut self, tenancy: &Tenancy) -> Result<(), DbError> {
        let tenants = std::mem::take(&mut self.tenants);
        self.since = Instant::now();
        match tenants.is_empty() {
            true => Ok(()),
            false => tenancy.tell(false, &tenants).await,
        }
    }
}
