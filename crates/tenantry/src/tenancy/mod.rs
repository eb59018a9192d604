//! [`Tenancy`]: the deployment, from which everything else is had.

mod open;

use std::{
    collections::HashSet,
    fmt,
    path::PathBuf,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

pub use open::OpenError;

use crate::{
    catalog::Catalog,
    central::Central,
    db::{CentralDb, Db, DbError, TenantDb, Timeout, meter::Account},
    domains::NameServers,
    isolation::{
        Places,
        postgres::{self, Finding},
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

    /// Who may do what in a tenant, where the application [said](crate::Config::policies).
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

impl fmt::Debug for Tenancy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tenancy")
            .field("data", &self.0.data)
            .finish_non_exhaustive()
    }
}
