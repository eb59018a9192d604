//! The means by which a tenant's data is kept apart: where it is, how it comes and goes.

pub(crate) mod file;
pub(crate) mod postgres;

use std::{
    collections::HashMap,
    panic::AssertUnwindSafe,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures_util::{FutureExt, future::BoxFuture};
use lru::LruCache;
use tokio::sync::OnceCell;

use self::{
    file::Files,
    postgres::at_once::{self, Alike},
};
use crate::{
    db::{
        Db, DbError, Engine, TenantDb,
        postgres::{Scope, Server, scope},
    },
    migrate::{
        Ledger, MigrateError, Migration, Migrations, Progress, apply_to_sqlite, pending_on_sqlite,
    },
    tenant::{Isolation, Placement, Tenant, TenantId, TenantStatus},
};

/// The name of the server that a deployment began with.
pub(crate) const LOCAL: &str = "local";

/// Lists the tenants that share tables on the server of that name.
pub(crate) type Sharing<'s> =
    &'s (dyn Fn(&str) -> BoxFuture<'s, Result<Vec<TenantId>, DbError>> + Send + Sync);

/// Every place where tenants are: the folder of files, and the servers.
pub(crate) struct Places {
    files: Files,
    servers: HashMap<String, Arc<Server>>,
    /// Scopes on servers that are in use, or were lately. One whose tenant is gone stays closed.
    scopes: Mutex<LruCache<TenantId, Arc<OnServer>>>,
    migrations: Arc<Migrations>,
    /// How the schema was that was migrated last.
    alike: Mutex<Option<Alike>>,
}

/// A tenant's scope on a server, and whether its migrations have been seen to.
struct OnServer {
    placement: Placement,
    scope: Arc<Scope>,
    migrated: OnceCell<()>,
}

/// How many scopes on servers are kept when nobody uses them. One is some hundred bytes.
const SCOPES: usize = 10_000;

impl Places {
    pub(crate) fn new(
        files: Files,
        servers: HashMap<String, Arc<Server>>,
        migrations: Arc<Migrations>,
    ) -> Self {
        Self {
            files,
            servers,
            scopes: Mutex::new(LruCache::unbounded()),
            migrations,
            alike: Mutex::default(),
        }
    }

    pub(crate) fn files(&self) -> &Files {
        &self.files
    }

    pub(crate) fn migrations(&self) -> &Arc<Migrations> {
        &self.migrations
    }

    pub(crate) fn servers(&self) -> impl Iterator<Item = &Arc<Server>> {
        self.servers.values()
    }

    pub(crate) fn named_servers(&self) -> impl Iterator<Item = (&str, &Arc<Server>)> {
        self.servers
            .iter()
            .map(|(name, server)| (name.as_str(), server))
    }

    /// Whether a tenant can be placed so.
    pub(crate) fn has(&self, isolation: Isolation, server: &str) -> bool {
        match isolation {
            Isolation::File => server == LOCAL,
            _ => self.servers.contains_key(server),
        }
    }

    fn server(&self, tenant: &Tenant) -> Result<&Arc<Server>, DbError> {
        let name = &tenant.placement().server;
        self.servers
            .get(name)
            .ok_or_else(|| DbError::Missing(format!("no server {name} is configured")))
    }

    /// What the tenant's handle speaks to. Whoever uses it first in this process sees to its
    /// migrations: `migrated` is asked to.
    pub(crate) async fn engine<F>(
        &self,
        tenant: &Tenant,
        migrated: impl FnOnce() -> F,
    ) -> Result<Engine, DbError>
    where
        F: Future<Output = Result<(), DbError>>,
    {
        if tenant.isolation() == Isolation::File {
            let file = self.files.open(tenant.id())?;
            if !file.migrated.initialized() {
                // boxed, as below: what is done once is no part of every request's future
                Box::pin(file.migrated.get_or_try_init(migrated)).await?;
            }
            return Ok(Engine::sqlite(file.database.clone()));
        }
        let on_server = self.on_server(tenant)?;
        if !on_server.migrated.initialized() {
            let first_use = async || {
                self.check_whose(tenant).await?;
                migrated().await
            };
            Box::pin(on_server.migrated.get_or_try_init(first_use)).await?;
        }
        Ok(Engine::postgres(on_server.scope.clone()))
    }

    /// Refuses a database that another deployment has for its own.
    async fn check_whose(&self, tenant: &Tenant) -> Result<(), DbError> {
        match tenant.isolation() {
            Isolation::Database => postgres::check_whose(self.server(tenant)?, tenant.id()).await,
            _ => Ok(()),
        }
    }

    fn on_server(&self, tenant: &Tenant) -> Result<Arc<OnServer>, DbError> {
        let id = tenant.id();
        let mut scopes = self.scopes();
        // one that was moved is looked for anew, by whoever knows of it and by whoever does not yet
        if let Some(known) = scopes
            .get(&id)
            .filter(|known| known.placement == *tenant.placement())
        {
            return Ok(known.clone());
        }
        let on_server = Arc::new(OnServer {
            placement: tenant.placement().clone(),
            scope: Arc::new(self.scope(tenant)?),
            migrated: OnceCell::new(),
        });
        scopes.push(id, on_server.clone());
        // as with files: one in use stays, so that it can be closed
        let mut in_use = 0;
        while scopes.len() > SCOPES && in_use < 8 {
            let Some((id, idle)) = scopes.pop_lru() else {
                break;
            };
            if Arc::strong_count(&idle) > 1 || Arc::strong_count(&idle.scope) > 1 {
                scopes.push(id, idle);
                in_use += 1;
            }
        }
        Ok(on_server)
    }

    fn scope(&self, tenant: &Tenant) -> Result<Scope, DbError> {
        let (server, id) = (self.server(tenant)?, tenant.id());
        Ok(match tenant.isolation() {
            Isolation::Schema => Scope::schema(server, id),
            Isolation::Database => Scope::database(server, id),
            Isolation::Rows | Isolation::File => Scope::rows(server, id),
        })
    }

    /// A handle of the library's own to the tenant's place, whoever may use it and whatever its
    /// version is.
    pub(crate) fn handle(&self, tenant: &Tenant) -> Result<TenantDb, DbError> {
        Ok(Db::new(match tenant.isolation() {
            Isolation::File => Engine::sqlite(self.files.open(tenant.id())?.database.clone()),
            _ => Engine::postgres(self.scope(tenant)?),
        }))
    }

    fn scopes(&self) -> MutexGuard<'_, LruCache<TenantId, Arc<OnServer>>> {
        self.scopes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anybody here may have a handle to the tenant's data.
    pub(crate) fn is_open(&self, id: TenantId) -> bool {
        self.files.is_open(id) || self.scopes().contains(&id)
    }

    /// Ends the handles to the tenant's data that there are here, but for those to where it is now.
    pub(crate) fn follow(&self, id: TenantId, now: Option<&Tenant>) {
        let placement = now
            .filter(|tenant| {
                !matches!(
                    tenant.status(),
                    TenantStatus::Deleted | TenantStatus::Deleting
                )
            })
            .map(Tenant::placement);
        if placement.is_none_or(|placement| placement.isolation != Isolation::File) {
            self.files.close(id);
        }
        let mut scopes = self.scopes();
        let Some(on_server) = scopes.get(&id) else {
            return;
        };
        match placement {
            None => on_server.scope.close(),
            // one that was closed when its tenant went is no more when that came back
            Some(placement) if on_server.placement != *placement || on_server.scope.is_closed() => {
                on_server.scope.close();
                scopes.pop(&id);
            }
            Some(_) => {}
        }
    }

    /// Makes the tenant's place, migrated and empty of rows.
    pub(crate) async fn provision(
        &self,
        tenant: &Tenant,
        sharing: Sharing<'_>,
    ) -> Result<(), MigrateError> {
        match tenant.isolation() {
            Isolation::File => {
                self.files.provision(tenant.id()).await?;
                // the template ends where functions begin
                if self.migrations.iter().all(|one| one.function().is_none()) {
                    return Ok(());
                }
            }
            isolation => {
                let server = self.server(tenant)?;
                let lasting = tenant.placement().server != LOCAL;
                let at_once = isolation == Isolation::Schema
                    && at_once::provision(server, tenant.id(), &self.migrations, lasting)
                        .await
                        .is_ok();
                if !at_once {
                    postgres::provision(server, isolation, tenant.id()).await?;
                } else if self.migrations.iter().all(|one| one.function().is_none()) {
                    return Ok(());
                }
            }
        }
        self.migrate(tenant, sharing).await.map(drop)
    }

    /// Makes the tenant's place on a server with those migrations alone.
    pub(crate) async fn provision_with(
        &self,
        tenant: &Tenant,
        applied: &[String],
        sharing: Sharing<'_>,
    ) -> Result<(), MigrateError> {
        let some = Arc::new(self.migrations.only(applied));
        postgres::provision(self.server(tenant)?, tenant.isolation(), tenant.id()).await?;
        self.migrate_by(&some, tenant, sharing).await.map(drop)
    }

    /// Removes all that the tenant has in its place. Nothing there is fine too.
    pub(crate) async fn remove(&self, tenant: &Tenant) -> Result<(), DbError> {
        if tenant.isolation() != Isolation::File {
            // also where there was no handle: none shall come
            self.on_server(tenant)?.scope.close();
        }
        match tenant.isolation() {
            Isolation::File => self.files.remove(tenant.id()).await,
            isolation => postgres::remove(self.server(tenant)?, isolation, tenant.id()).await,
        }
    }

    /// Applies what is pending for the tenant; with shared tables, for all that share them, whom
    /// `sharing` lists.
    pub(crate) async fn migrate(
        &self,
        tenant: &Tenant,
        sharing: Sharing<'_>,
    ) -> Result<Progress, MigrateError> {
        self.migrate_by(&self.migrations, tenant, sharing).await
    }

    async fn migrate_by(
        &self,
        migrations: &Arc<Migrations>,
        tenant: &Tenant,
        sharing: Sharing<'_>,
    ) -> Result<Progress, MigrateError> {
        self.check_whose(tenant).await?;
        let mut all = Progress::default();
        loop {
            let progress = if tenant.isolation() == Isolation::File {
                let file = self.files.open(tenant.id())?;
                apply_to_sqlite(&file.database, migrations).await?
            } else {
                let server = self.server(tenant)?;
                let (database, schema) = schema_of(server, tenant);
                let progress = postgres::apply(server, &database, &schema, migrations).await?;
                if let Some(alike) = &progress.alike {
                    *self.alike() = Some(alike.clone());
                }
                progress
            };
            all.applied.extend(progress.applied);
            all.ahead = progress.ahead;
            let Some(name) = progress.function else {
                return Ok(all);
            };
            self.run_function(tenant, &name, sharing).await?;
            all.applied.push(name);
        }
    }

    /// Applies what is pending for the tenant at once, where its place is like the one before it. None
    /// when it is not, or when something fails: then nothing is known, and it is to be
    /// [migrated](Self::migrate) step by step.
    pub(crate) async fn migrate_at_once(&self, tenant: &Tenant) -> Option<Progress> {
        if !matches!(tenant.isolation(), Isolation::Schema | Isolation::Database) {
            return None;
        }
        let alike = self.alike().clone()?;
        self.check_whose(tenant).await.ok()?;
        let server = self.server(tenant).ok()?;
        let (database, schema) = schema_of(server, tenant);
        let applied = at_once::apply(server, &database, &schema, &self.migrations, &alike).await?;
        Some(Progress {
            applied,
            ..Progress::default()
        })
    }

    fn alike(&self) -> MutexGuard<'_, Option<Alike>> {
        self.alike.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs the function that a migration is, once for each tenant that it is for.
    async fn run_function(
        &self,
        tenant: &Tenant,
        name: &str,
        sharing: Sharing<'_>,
    ) -> Result<(), MigrateError> {
        let failed = |source| MigrateError::Failed {
            name: name.into(),
            source,
        };
        if tenant.isolation() != Isolation::Rows {
            let db = self.handle(tenant)?.unhurried();
            let record = self.record(tenant, name, tenant.id())?;
            return self.in_transaction(&db, record, name).await.map_err(failed);
        }
        let server = self.server(tenant)?;
        postgres::make_functions(server).await?;
        let ran = postgres::ran(server, name).await?;
        for id in sharing(&tenant.placement().server).await? {
            if !ran.contains(&id) {
                let db = Db::new(Engine::postgres(Scope::rows(server, id))).unhurried();
                let record = self.record(tenant, name, id)?;
                self.in_transaction(&db, record, name)
                    .await
                    .map_err(failed)?;
            }
        }
        Ok(postgres::ran_for_all(server, name).await?)
    }

    /// What notes, in the function's own transaction, that it has run.
    fn record(&self, tenant: &Tenant, name: &str, id: TenantId) -> Result<Vec<String>, DbError> {
        Ok(match tenant.isolation() {
            Isolation::File => vec![format!(
                "INSERT INTO tenantry_migrations (name, checksum, applied_at)
                 VALUES ({}, 'function', now())",
                scope::literal(name)
            )],
            isolation => postgres::record(self.server(tenant)?, isolation, name, id),
        })
    }

    async fn in_transaction(
        &self,
        db: &TenantDb,
        record: Vec<String>,
        name: &str,
    ) -> Result<(), DbError> {
        let Some(function) = self.migrations.get(name).and_then(Migration::function) else {
            return Ok(());
        };
        let mut tx = db.begin();
        match tx.say(record).await {
            // another process has been quicker
            Err(DbError::Unique(_)) => return tx.rollback().await,
            other => other?,
        }
        let done = AssertUnwindSafe(function.run(&mut tx)).catch_unwind().await;
        match done {
            Ok(Ok(())) => tx.commit().await,
            Ok(Err(error)) => {
                tx.rollback().await?;
                Err(match error.downcast::<DbError>() {
                    Ok(error) => *error,
                    Err(error) => DbError::Engine(error),
                })
            }
            Err(_) => Err(DbError::Engine("its function panicked".into())),
        }
    }

    /// Tells what is pending for the tenant.
    pub(crate) async fn pending(&self, tenant: &Tenant) -> Result<Ledger, MigrateError> {
        if tenant.isolation() == Isolation::File {
            let file = self.files.open(tenant.id())?;
            return pending_on_sqlite(&file.database, &self.migrations).await;
        }
        let server = self.server(tenant)?;
        let (database, schema) = schema_of(server, tenant);
        postgres::pending(server, &database, &schema, &self.migrations).await
    }

    /// Whether the tenant's place is there.
    pub(crate) async fn exists(&self, tenant: &Tenant) -> Result<bool, DbError> {
        match tenant.isolation() {
            Isolation::File => Ok(self.files.path(tenant.id()).exists()),
            isolation => postgres::exists(self.server(tenant)?, isolation, tenant.id()).await,
        }
    }

    /// How many bytes the tenant's data takes, where that can be told.
    pub(crate) async fn size(&self, tenant: &Tenant) -> Result<Option<u64>, DbError> {
        match tenant.isolation() {
            Isolation::File => Ok(self.files.size(tenant.id())),
            isolation => postgres::size(self.server(tenant)?, isolation, tenant.id()).await,
        }
    }

    /// Where the tenant's data is, for people.
    pub(crate) fn location(&self, tenant: &Tenant) -> String {
        match (tenant.isolation(), self.server(tenant)) {
            (Isolation::File, _) => self.files.path(tenant.id()).display().to_string(),
            (_, Err(error)) => error.to_string(),
            (_, Ok(server)) => {
                let (database, schema) = schema_of(server, tenant);
                format!("database {database}, schema {schema}")
            }
        }
    }

    pub(crate) fn close(&self) {
        self.files.close_all();
        for server in self.servers.values() {
            server.close();
        }
    }
}

/// The database and the schema that the tenant's tables are in.
fn schema_of(server: &Server, tenant: &Tenant) -> (String, String) {
    let id = tenant.id();
    match tenant.isolation() {
        Isolation::Schema => (server.home().to_string(), scope::schema_name(id)),
        Isolation::Database => (
            scope::database_name(server, id),
            scope::DATABASE_SCHEMA.into(),
        ),
        Isolation::Rows | Isolation::File => (server.home().to_string(), scope::ROWS_SCHEMA.into()),
    }
}
