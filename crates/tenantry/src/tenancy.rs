use std::{
    collections::{HashMap, HashSet},
    fmt,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use chrono::Utc;

use crate::{
    Config,
    catalog::{self, Catalog, Listener, Store},
    central::Central,
    db::{
        CentralDb, Db, DbError, TenantDb, Timeout,
        meter::Account,
        postgres::{Server, server::Options},
        sqlite::{self, Create},
    },
    domains::NameServers,
    isolation::{
        LOCAL, Places,
        file::Files,
        postgres::{self, Finding, SetUpError},
    },
    lifecycle,
    migrate::{MigrateError, Migrations},
    policy::{OwnPolicies, OwnPolicyError, Permissions, Policies, Principal},
    scoped::{
        cache::{Cache, CacheError, CentralCache, Kept, TenantCache},
        files::{FileError, FileStore, Files as FilesOf, Usage},
        jobs::Queue,
        limits::Limiter,
        live,
        mail::{Mail, Mailer, TenantMailers},
        settings::{Groups, Keys, TenantSettings},
    },
    tenant::{Isolation, Plan, Plans, Tenant, TenantCode, TenantId},
    usage::{self, Answers, Ledger, Meters},
    users::{Guard, Passwords},
};

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
    pub(crate) files: FileStore,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) places: Places,
    pub(crate) cache: Kept,
    pub(crate) passwords: Passwords,
    pub(crate) guard: Guard,
    pub(crate) limiter: Limiter,
    pub(crate) statement_timeout: Duration,
    pub(crate) mailer: Arc<dyn Mailer>,
    pub(crate) mail_address: String,
    pub(crate) writes_mail: bool,
    pub(crate) policies: Option<Policies>,
    pub(crate) project: String,
    pub(crate) base_host: Option<String>,
    pub(crate) name_servers: NameServers,
    pub(crate) central: Central,
    pub(crate) default_isolation: Isolation,
    central_migrations: Migrations,
    pub(crate) tenant_version: String,
    pub(crate) credential_tables: Vec<String>,
    pub(crate) personal_columns: Vec<(String, String)>,
    pub(crate) settings: Groups,
    pub(crate) keys: Keys,
    pub(crate) plans: Plans,
    pub(crate) live: Arc<live::Hub>,
    pub(crate) tenant_mailers: TenantMailers,
    pub(crate) development: bool,
    pub(crate) meters: Meters,
    pub(crate) answers: Answers,
    pub(crate) ledger: Mutex<Ledger>,
    pub(crate) usage_writer: usage::Writer,
    usage_interval: Duration,
    /// Tenants whose migrations were begun because somebody used them.
    pub(crate) migrating: Mutex<HashSet<TenantId>>,
    /// Told when a tenant that was made ahead is taken.
    pub(crate) pool: lifecycle::Taken,
    /// Told when there is something to do for workers in this process.
    pub(crate) work: tokio::sync::Notify,
    pending: usize,
    closed: AtomicBool,
}

impl Inner {
    pub(crate) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }
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
        make_folders(&config.data).map_err(|source| OpenError::Folder {
            path: config.data.clone(),
            source,
        })?;
        let tenancy = Self::prepare(config, Create::IfMissing)?;
        let data = &tenancy.0.data;
        lifecycle::sign_folder(data, &tenancy.0.central.name()).map_err(|source| {
            OpenError::Folder {
                path: data.clone(),
                source,
            }
        })?;
        for server in tenancy.0.places.servers() {
            postgres::set_up(server)
                .await
                .map_err(|error| match error {
                    SetUpError::Needs(statements) => OpenError::NeedsRoles(statements),
                    SetUpError::Db(error) => OpenError::Db(error),
                })?;
        }
        tenancy
            .0
            .central
            .migrate(&tenancy.0.central_migrations)
            .await?;
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
        if !tenancy.0.central.is_present().await? {
            return Err(OpenError::NotSetUp(tenancy.0.data.clone()));
        }
        let pending = tenancy
            .0
            .central
            .pending(&tenancy.0.central_migrations)
            .await?;
        Ok((tenancy, pending))
    }

    fn prepare(config: Config, create: Create) -> Result<Self, OpenError> {
        sqlite::assert_safe_version()?;
        let default_isolation = config.default_isolation();
        let mut options = Options {
            project: config.project.clone(),
            deployment: None,
            most_connections: config.most_connections,
            longest_life: config.longest_connection,
            statement_timeout: config.statement_timeout,
            pooler: config.pooler,
        };
        let mut servers = HashMap::new();
        let central = match config.database_url {
            None => {
                let folder = std::path::absolute(&config.data).unwrap_or(config.data.clone());
                options.deployment = Some(folder.display().to_string());
                Central::file(&config.data, create)
            }
            Some(url) => {
                let server = Server::new(&url, options.clone())?;
                options.deployment = Some(server.home().to_string());
                servers.insert(LOCAL.into(), server.clone());
                Central::Server(server)
            }
        };
        for (name, url) in config.servers {
            servers.insert(name, Server::new(&url, options.clone())?);
        }
        #[cfg(not(feature = "redis"))]
        let cache = Kept::in_memory();
        #[cfg(feature = "redis")]
        let cache = match &config.redis_url {
            None => Kept::in_memory(),
            Some(url) => {
                let deployment = match &central {
                    Central::Server(_) => central.name(),
                    Central::File { .. } => std::path::absolute(&config.data)
                        .unwrap_or_else(|_| config.data.clone())
                        .display()
                        .to_string(),
                };
                Kept::in_redis(url, &deployment).map_err(OpenError::Cache)?
            }
        };
        let migrations = Arc::new(config.tenant_migrations);
        let files = Files::new(&config.data, migrations.clone(), config.most_open_files);
        Ok(Self(Arc::new(Inner {
            catalog: Catalog::new(Store::new(central.catalog()), !config.pooler),
            central,
            cache,
            default_isolation,
            passwords: Passwords::new(),
            guard: Guard::new(),
            limiter: Limiter::new(),
            statement_timeout: config.statement_timeout,
            mailer: config.mailer.0,
            mail_address: config.mail_address,
            writes_mail: config.writes_mail,
            policies: config.policies,
            project: config.project,
            base_host: config.base_host,
            name_servers: NameServers(config.name_servers),
            central_migrations: config.central_migrations,
            tenant_version: migrations.version(),
            places: Places::new(files, servers, migrations),
            keys: Keys::new(config.keys, &config.data),
            settings: config.settings,
            plans: config.plans,
            live: Arc::new(live::Hub::new(config.most_listeners)),
            tenant_mailers: TenantMailers::new(config.tenant_smtp),
            development: config.development,
            data: config.data,
            files: config.files,
            credential_tables: config.credential_tables,
            personal_columns: config.personal_columns,
            meters: Meters::default(),
            answers: Answers::default(),
            ledger: Mutex::new(Ledger::new(config.busiest_tenants, Utc::now())),
            usage_writer: usage::Writer::new(),
            usage_interval: config.usage_interval,
            migrating: Mutex::default(),
            pool: lifecycle::Taken::default(),
            work: tokio::sync::Notify::new(),
            pending: config.pending,
            closed: AtomicBool::new(false),
        })))
    }

    async fn start(self) -> Result<Self, OpenError> {
        let weak = Arc::downgrade(&self.0);
        match &self.0.central {
            Central::File { .. } => {
                let seen = self.0.catalog.store().latest_change().await?;
                drop(tokio::spawn(catalog::watch(weak, seen)));
            }
            // who listens behind a pooler hears nothing
            Central::Server(server) if server.has_pooler() => {}
            Central::Server(server) => {
                let listener = Listener::connect(server).await?;
                drop(tokio::spawn(catalog::listen(
                    weak,
                    server.clone(),
                    listener,
                )));
            }
        }
        live::begin(&self).await?;
        lifecycle::recover(&self).await;
        let weak = Arc::downgrade(&self.0);
        drop(tokio::spawn(usage::keep(weak, self.0.usage_interval)));
        if self.0.pending > 0 {
            let weak = Arc::downgrade(&self.0);
            drop(tokio::spawn(lifecycle::keep_ready(weak, self.0.pending)));
        }
        Ok(self)
    }

    /// The tenant of that code, unless it is still being made or already being erased.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn tenant(&self, code: &TenantCode) -> Result<Option<Tenant>, DbError> {
        self.0.catalog.by_code(code).await
    }

    /// The tenant of that id, whatever its status; read from the catalog itself.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn tenant_by_id(&self, id: TenantId) -> Result<Option<Tenant>, DbError> {
        self.0.catalog.store().by_id(id).await
    }

    /// The tenant as it is now, whatever its code.
    pub(crate) async fn as_it_is_now(&self, tenant: &Tenant) -> Result<Option<Tenant>, DbError> {
        match self.tenant(tenant.code()).await? {
            Some(now) if now.id() == tenant.id() => Ok(Some(now)),
            // it has another code by now, or none
            _ => self.tenant_by_id(tenant.id()).await,
        }
    }

    /// Every tenant, whatever its status, ordered by code; read from the catalog itself. Those that
    /// are deleted [stand apart](Self::deleted).
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn tenants(&self) -> Result<Vec<Tenant>, DbError> {
        self.0.catalog.store().all().await
    }

    /// The tenant's database. Migrations that it lacks are applied first. A statement takes as long as
    /// the tenant's [limits](crate::tenant::Limits) allow; in a [job](crate::scoped::jobs) as long as the
    /// job.
    ///
    /// # Errors
    /// When its database is missing, or a migration fails; [`DbError::Busy`] when one takes longer
    /// than somebody waits. It goes on then.
    pub async fn db(&self, tenant: &Tenant) -> Result<TenantDb, DbError> {
        let migrated = || async {
            // a missing file says so itself; of shared tables nothing would be missing
            if tenant.isolation() != Isolation::File && !self.is_present(tenant).await? {
                return Err(DbError::Missing(self.location(tenant)));
            }
            if tenant.schema_version() == self.0.tenant_version {
                return Ok(());
            }
            self.migrate_in_time(tenant).await
        };
        let engine = self.0.places.engine(tenant, migrated).await?;
        let limits = self.0.plans.limits(tenant.plan());
        let longest = limits.statement_timeout.unwrap_or(self.0.statement_timeout);
        let engine = engine.on(Account::of(self.meter(tenant)));
        let engine = engine.within(Timeout::After(longest));
        Ok(Db::new(engine).telling(self.outlet(tenant)))
    }

    /// The migrations that the tenant lacks, by its own ledger.
    ///
    /// # Errors
    /// When its database cannot be read, or an applied migration was changed.
    pub async fn pending(&self, tenant: &Tenant) -> Result<Vec<String>, MigrateError> {
        Ok(self.0.places.pending(tenant).await?.pending)
    }

    /// Looks for what weakens the wall between tenants on the servers: roles that no policy binds,
    /// tables without their policy, keys that span tenants. Empty when all is as it must be.
    ///
    /// # Errors
    /// When a server cannot be asked.
    pub async fn audit(&self) -> Result<Vec<Finding>, DbError> {
        let mut findings = Vec::new();
        for server in self.0.places.servers() {
            findings.extend(postgres::audit(server).await?);
        }
        Ok(findings)
    }

    /// The tenants that the catalog does not know to be up to date: one query, however many there
    /// are.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn behind(&self) -> Result<Vec<Tenant>, DbError> {
        self.0.catalog.store().behind(&self.0.tenant_version).await
    }

    /// How new tenants are kept apart unless told otherwise.
    #[must_use]
    pub fn default_isolation(&self) -> Isolation {
        self.0.default_isolation
    }

    /// The version that an up-to-date tenant has.
    #[must_use]
    pub fn tenant_version(&self) -> &str {
        &self.0.tenant_version
    }

    /// The application's shared tables, which belong to no tenant.
    ///
    /// **This is the one way out of the tenants' scopes.** Nothing of a tenant can be reached by
    /// it, but what is written here all tenants share. Its few callers say so, as `clippy.toml` demands.
    #[must_use]
    pub fn central(&self) -> CentralDb {
        self.0.central.application()
    }

    /// Hashing and checking of passwords, bounded for the whole process.
    #[must_use]
    pub fn passwords(&self) -> &Passwords {
        &self.0.passwords
    }

    /// Who may do what in a tenant, where the application [said](Config::policies).
    #[must_use]
    pub fn policies(&self) -> Option<&Policies> {
        self.0.policies.as_ref()
    }

    /// What somebody may do in a tenant. `impersonated` says that an operator stands in for them.
    ///
    /// # Errors
    /// When the application has no policies, or those of the tenant's own cannot be read.
    pub async fn permissions(
        &self,
        tenant: &Tenant,
        principal: Principal,
        impersonated: bool,
    ) -> Result<Permissions, DbError> {
        let failed = |error: Box<dyn std::error::Error + Send + Sync>| DbError::Engine(error);
        let policies =
            self.0.policies.as_ref().ok_or_else(|| {
                failed("the deployment has no policies: see Config::policies".into())
            })?;
        let overlay = if policies.0.has_own() {
            let db = self.db(tenant).await?;
            let own = OwnPolicies::on(policies, &db).overlay().await;
            own.map_err(|error| match error {
                OwnPolicyError::Db(error) => error,
                other => failed(Box::new(other)),
            })?
        } else {
            None
        };
        let permissions = Permissions::new(policies, overlay, tenant, principal, impersonated);
        Ok(permissions
            .map_err(|error| failed(error.into()))?
            .on_plan(self.plan(tenant)))
    }

    /// Mail in the tenant's name.
    #[must_use]
    pub fn mail(&self, tenant: &Tenant) -> Mail {
        Mail::of(self, tenant)
    }

    /// What is kept for the tenant for a while.
    #[must_use]
    pub fn cache(&self, tenant: &Tenant) -> TenantCache {
        Cache::new(self, tenant)
    }

    /// What is kept for a while of what belongs to no tenant.
    #[must_use]
    pub fn central_cache(&self) -> CentralCache {
        Cache::central(self)
    }

    /// Whether what is cached can be read and written, where it is kept in Redis; else it always can.
    /// An application goes on without.
    ///
    /// # Errors
    /// When it cannot be reached.
    pub async fn reach_cache(&self) -> Result<(), CacheError> {
        self.0.cache.reach().await
    }

    /// The tenant's files.
    #[must_use]
    pub fn files(&self, tenant: &Tenant) -> FilesOf {
        FilesOf::of(self, tenant)
    }

    /// What the tenant has for what it pays. On a plan that the application has not registered nothing
    /// is allowed, unless it has registered none at all.
    #[must_use]
    pub fn plan(&self, tenant: &Tenant) -> Plan {
        self.0.plans.get(tenant.plan())
    }

    /// The names of the plans that the application has registered.
    #[must_use]
    pub fn plan_names(&self) -> Vec<&str> {
        self.0.plans.names()
    }

    /// The tenant's settings.
    #[must_use]
    pub fn settings(&self, tenant: &Tenant) -> TenantSettings {
        TenantSettings::of(self, tenant)
    }

    /// What the tenant has to do later.
    #[must_use]
    pub fn jobs(&self, tenant: &Tenant) -> Queue {
        Queue::of(self, tenant)
    }

    /// Whether mail is written to files instead of being sent, because the application said nothing
    /// else: right where people try things out, and nowhere else.
    #[must_use]
    pub fn writes_mail_to_files(&self) -> bool {
        self.0.writes_mail
    }

    /// How many tenants' files are open in this process.
    #[must_use]
    pub fn open_files(&self) -> usize {
        self.0.places.files().count_open()
    }

    /// How many connections to servers are open in this process, besides the one that listens.
    #[must_use]
    pub fn open_connections(&self) -> usize {
        self.0
            .places
            .servers()
            .map(|server| server.count_open())
            .sum()
    }

    /// Whether the tenant's database is where the catalog says.
    ///
    /// # Errors
    /// When its server cannot be asked.
    pub async fn is_present(&self, tenant: &Tenant) -> Result<bool, DbError> {
        // in shared tables there is nothing of a tenant's own but its record
        let recorded = tenant.isolation() != Isolation::Rows
            || self
                .0
                .catalog
                .store()
                .by_id(tenant.id())
                .await?
                .is_some_and(|now| now.placement() == tenant.placement());
        Ok(recorded && self.0.places.exists(tenant).await?)
    }

    /// How many bytes the tenant's database takes; none where it is missing, and where it cannot be
    /// told from other tenants'.
    ///
    /// # Errors
    /// When its server cannot be asked.
    pub async fn size(&self, tenant: &Tenant) -> Result<Option<u64>, DbError> {
        self.0.places.size(tenant).await
    }

    /// How many files the tenant has besides its database, mail that was written to the data folder
    /// among them, and how many bytes they have.
    ///
    /// # Errors
    /// When they are not in the data folder, and where they are cannot be asked.
    pub async fn count_files(&self, tenant: &Tenant) -> Result<Usage, FileError> {
        lifecycle::count_files(&self.0, tenant.id()).await
    }

    /// Where the tenant's [files](Self::files) are, for people.
    #[must_use]
    pub fn files_location(&self, tenant: &Tenant) -> String {
        self.0.files.place(&self.0.data, tenant.id())
    }

    /// Where the tenant's database is, for people.
    #[must_use]
    pub fn location(&self, tenant: &Tenant) -> String {
        self.0.places.location(tenant)
    }

    /// Ends it, for every clone: from now on each handle's use is [`DbError::Closed`].
    pub fn close(&self) {
        self.0.closed.store(true, Ordering::Relaxed);
        self.0.pool.notify_one();
        self.0.live.close();
        self.0.central.close();
        self.0.places.close();
    }
}

/// A new data folder is nobody else's: it has everybody's data, and what was mailed.
fn make_folders(data: &Path) -> std::io::Result<()> {
    if !data.exists() {
        std::fs::create_dir_all(data)?;
        #[cfg(unix)]
        std::fs::set_permissions(data, std::os::unix::fs::PermissionsExt::from_mode(0o700))?;
    }
    for folder in ["tenants", "locks"] {
        std::fs::create_dir_all(data.join(folder))?;
    }
    Ok(())
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
    /// The URL of what is cached is none.
    #[cfg(feature = "redis")]
    #[error(transparent)]
    Cache(CacheError),
    /// The folder cannot be made.
    #[error("{}: {source}", path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The login may not make the roles that a deployment needs: somebody who may has to say these
    /// statements.
    #[error("the database login may not create the deployment's roles")]
    NeedsRoles(Vec<String>),
    /// A migration of the central database failed.
    #[error("the central database: {0}")]
    Migrate(#[from] MigrateError),
    /// The central database cannot be used.
    #[error("the central database: {0}")]
    Db(#[from] DbError),
}
