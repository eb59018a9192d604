use std::{fmt, num::NonZeroUsize, path::PathBuf, sync::Arc};

use crate::{
    catalog::{self, Catalog, Change, Store},
    db::{
        CentralDb, Db, DbError, Engine, TenantDb,
        sqlite::{self, Create, Database},
    },
    isolation::file::Files,
    lifecycle,
    migrate::{MigrateError, Migrations, apply_to_sqlite, pending_on_sqlite},
    tenant::{Isolation, Tenant, TenantCode, TenantId},
    users::{self, Passwords},
};

/// What a deployment is made of.
///
/// ```
/// use tenantry::{Config, migrate::Migrations};
///
/// let config = Config::new("./data")
///     .tenant_migrations(Migrations::new().sql("0001_notes", "CREATE TABLE notes (text text NOT NULL)"));
/// ```
#[derive(Debug, Clone)]
pub struct Config {
    pub(crate) data: PathBuf,
    pub(crate) tenant_migrations: Migrations,
    pub(crate) central_migrations: Migrations,
    pub(crate) most_open_files: NonZeroUsize,
}

impl Config {
    /// A deployment on SQLite under the folder `data`.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        Self {
            data: data.into(),
            tenant_migrations: users::migrations(),
            central_migrations: catalog::migrations(),
            most_open_files: const { NonZeroUsize::new(256).unwrap() },
        }
    }

    /// What a tenant's database is made of, besides its users.
    #[must_use]
    pub fn tenant_migrations(mut self, migrations: Migrations) -> Self {
        self.tenant_migrations = users::migrations().followed_by(migrations);
        self
    }

    /// What the application's shared tables are made of.
    #[must_use]
    pub fn central_migrations(mut self, migrations: Migrations) -> Self {
        self.central_migrations = catalog::migrations().followed_by(migrations);
        self
    }

    /// What the central database is made of, by name: the library's own migrations, then the
    /// application's.
    pub fn central_migration_names(&self) -> impl Iterator<Item = &str> {
        self.central_migrations.names()
    }

    /// How many tenants' files are kept open when nobody uses them; 256 unless told. One takes
    /// about 200 KiB and three file descriptors, five when it is written to.
    #[must_use]
    pub fn most_open_files(mut self, most: NonZeroUsize) -> Self {
        self.most_open_files = most;
        self
    }
}

/// The tenants of one deployment: the handle from which everything else is had. Cheap to clone.
///
/// ```
/// use tenantry::{Config, Tenancy, lifecycle::NewTenant};
/// # tokio::runtime::Runtime::new().unwrap().block_on(async {
/// # let folder = tempfile::tempdir().unwrap();
/// let tenancy = Tenancy::set_up(Config::new(folder.path())).await?;
/// let acme = tenancy.create(NewTenant::new("acme".parse()?, "Acme")).await?;
///
/// let users: i64 = tenancy.db(&acme).await?
///     .query("SELECT count(*) FROM users").scalar().await?;
/// assert_eq!(users, 0);
/// # tenancy.close();
/// # Ok::<_, Box<dyn std::error::Error>>(()) }).unwrap();
/// ```
#[derive(Clone)]
pub struct Tenancy(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) data: PathBuf,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) files: Files,
    pub(crate) passwords: Passwords,
    central: Arc<Database>,
    central_migrations: Arc<Migrations>,
    pub(crate) tenant_migrations: Arc<Migrations>,
    pub(crate) tenant_version: String,
}

impl Tenancy {
    /// Opens a deployment that is set up. Operations that a killed process left half done are
    /// finished or undone.
    ///
    /// # Errors
    /// [`OpenError::Pending`] when the central database is not there or not up to date.
    pub async fn open(config: Config) -> Result<Self, OpenError> {
        let (tenancy, pending) = Self::inspect(config).await?;
        if !pending.is_empty() {
            return Err(OpenError::Pending(pending));
        }
        tenancy.start().await
    }

    /// Opens a deployment, and first makes it or brings its central database up to date.
    ///
    /// # Errors
    /// When the place cannot be written, or a migration fails.
    pub async fn set_up(config: Config) -> Result<Self, OpenError> {
        for folder in ["tenants", "locks"] {
            std::fs::create_dir_all(config.data.join(folder)).map_err(|source| {
                OpenError::Folder {
                    path: config.data.clone(),
                    source,
                }
            })?;
        }
        let tenancy = Self::prepare(config, Create::IfMissing)?;
        apply_to_sqlite(&tenancy.0.central, &tenancy.0.central_migrations).await?;
        tenancy.start().await
    }

    /// Looks at a deployment as it stands, and tells which migrations its central database lacks.
    /// Nothing is made, brought up to date, finished or undone, and what other processes change is
    /// not followed: it is for reports, not for serving.
    ///
    /// # Errors
    /// [`OpenError::NotSetUp`] when there is no central database.
    pub async fn inspect(config: Config) -> Result<(Self, Vec<String>), OpenError> {
        let tenancy = Self::prepare(config, Create::Never)?;
        if !tenancy.0.data.join("central.db").exists() {
            return Err(OpenError::NotSetUp(tenancy.0.data.clone()));
        }
        let ledger = pending_on_sqlite(&tenancy.0.central, &tenancy.0.central_migrations).await?;
        Ok((tenancy, ledger.pending))
    }

    fn prepare(config: Config, create: Create) -> Result<Self, OpenError> {
        sqlite::assert_safe_version()?;
        let central = Database::new(&config.data.join("central.db"), create);
        // the catalog's connections may write its tables, the application's may not
        let store = Store::new(Db::new(Engine::Sqlite(Database::for_catalog(
            &config.data.join("central.db"),
        ))));
        let tenant_migrations = Arc::new(config.tenant_migrations);
        Ok(Self(Arc::new(Inner {
            catalog: Catalog::new(store),
            files: Files::new(
                &config.data,
                tenant_migrations.clone(),
                config.most_open_files,
            ),
            passwords: Passwords::new(),
            central,
            central_migrations: Arc::new(config.central_migrations),
            tenant_version: tenant_migrations.version(),
            tenant_migrations,
            data: config.data,
        })))
    }

    async fn start(self) -> Result<Self, OpenError> {
        let seen = self.0.catalog.store().latest_change().await?;
        drop(tokio::spawn(catalog::watch(Arc::downgrade(&self.0), seen)));
        lifecycle::recover(&self).await;
        Ok(self)
    }

    /// The tenant of that code, unless it is still being made or already being erased.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn tenant(&self, code: &TenantCode) -> Result<Option<Tenant>, DbError> {
        self.0.catalog.by_code(code).await
    }

    /// Every tenant, whatever its status, ordered by code; read from the catalog itself.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn tenants(&self) -> Result<Vec<Tenant>, DbError> {
        self.0.catalog.store().all().await
    }

    /// The tenant's database. Migrations that it lacks are applied first.
    ///
    /// # Errors
    /// When its database is missing, or a migration fails.
    pub async fn db(&self, tenant: &Tenant) -> Result<TenantDb, DbError> {
        match tenant.isolation() {
            Isolation::File => {
                let file = self.0.files.open(tenant.id())?;
                file.migrated
                    .get_or_try_init(|| self.migrate_if_behind(tenant, &file.database))
                    .await?;
                Ok(Db::new(Engine::Sqlite(file.database.clone())))
            }
        }
    }

    async fn migrate_if_behind(
        &self,
        tenant: &Tenant,
        database: &Arc<Database>,
    ) -> Result<(), DbError> {
        if tenant.schema_version() == self.0.tenant_version {
            return Ok(());
        }
        let ledger = apply_to_sqlite(database, &self.0.tenant_migrations)
            .await
            .map_err(|error| match error {
                MigrateError::Db(error) => error,
                other => DbError::Engine(Box::new(other)),
            })?;
        if !ledger.ahead {
            let version = Change::SchemaVersion(&self.0.tenant_version);
            self.0.catalog.change(tenant.id(), version).await?;
        }
        Ok(())
    }

    /// Brings one tenant up to date, and tells which migrations were applied.
    ///
    /// # Errors
    /// When one fails; the tenant is then as it was before.
    pub async fn migrate(&self, tenant: &Tenant) -> Result<Vec<String>, MigrateError> {
        let file = self.0.files.open(tenant.id())?;
        let ledger = apply_to_sqlite(&file.database, &self.0.tenant_migrations).await?;
        if !ledger.ahead && tenant.schema_version() != self.0.tenant_version {
            let version = Change::SchemaVersion(&self.0.tenant_version);
            self.0.catalog.change(tenant.id(), version).await?;
        }
        Ok(ledger.pending)
    }

    /// The migrations that the tenant lacks, by its own ledger.
    ///
    /// # Errors
    /// When its database cannot be read, or an applied migration was changed.
    pub async fn pending(&self, tenant: &Tenant) -> Result<Vec<String>, MigrateError> {
        let file = self.0.files.open(tenant.id())?;
        let ledger = pending_on_sqlite(&file.database, &self.0.tenant_migrations).await?;
        Ok(ledger.pending)
    }

    /// The tenants that the catalog does not know to be up to date: one query, however many there
    /// are.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn behind(&self) -> Result<Vec<Tenant>, DbError> {
        self.0.catalog.store().behind(&self.0.tenant_version).await
    }

    /// The version that an up-to-date tenant has.
    #[must_use]
    pub fn tenant_version(&self) -> &str {
        &self.0.tenant_version
    }

    /// The application's shared tables, which belong to no tenant.
    ///
    /// **This is the one way out of the tenants' scopes.** Nothing of a tenant can be reached by
    /// it, but what is written here all tenants share. Its few callers are named in `clippy.toml`.
    #[must_use]
    pub fn central(&self) -> CentralDb {
        Db::new(Engine::Sqlite(self.0.central.clone()))
    }

    /// Hashing and checking of passwords, bounded for the whole process.
    #[must_use]
    pub fn passwords(&self) -> &Passwords {
        &self.0.passwords
    }

    /// How many tenants' files are open in this process.
    #[must_use]
    pub fn open_files(&self) -> usize {
        self.0.files.count_open()
    }

    /// Whether the tenant's database is where the catalog says.
    #[must_use]
    pub fn is_present(&self, tenant: &Tenant) -> bool {
        self.0.files.path(tenant.id()).exists()
    }

    /// Where the tenant's database is, for people.
    #[must_use]
    pub fn location(&self, id: TenantId) -> String {
        self.0.files.path(id).display().to_string()
    }

    /// Ends it, for every clone: from now on each handle's use is [`DbError::Closed`].
    pub fn close(&self) {
        self.0.files.close_all();
        self.0.central.close();
        self.0.catalog.close();
    }
}

impl fmt::Debug for Tenancy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tenancy")
            .field("data", &self.0.data)
            .finish_non_exhaustive()
    }
}

/// Why a deployment could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// There is nothing yet.
    #[error("nothing is set up in {} yet", .0.display())]
    NotSetUp(PathBuf),
    /// The central database lacks migrations.
    #[error("the central database lacks migrations: {}", .0.join(", "))]
    Pending(Vec<String>),
    /// The folder cannot be made.
    #[error("{}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A migration of the central database failed.
    #[error("the central database: {0}")]
    Migrate(#[from] MigrateError),
    /// The central database cannot be used.
    #[error("the central database: {0}")]
    Db(#[from] DbError),
}
