use std::{fmt, net::SocketAddr, num::NonZeroUsize, path::PathBuf, sync::Arc, time::Duration};

use crate::{
    catalog::schema,
    migrate::Migrations,
    policy::Policies,
    resources,
    scoped::{
        files::{self, FileStore},
        jobs, live,
        mail::{EmlFiles, Mailer, TenantSmtp},
        settings::{Groups, Key, Settings},
    },
    tenant::{Isolation, Limits, Plan, Plans},
    users,
};

/// What the library itself keeps in each tenant.
fn own_migrations() -> Migrations {
    users::migrations()
        .followed_by(resources::migrations())
        .followed_by(files::migrations())
        .followed_by(jobs::migrations())
}

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
    pub(crate) project: String,
    pub(crate) database_url: Option<String>,
    pub(crate) servers: Vec<(String, String)>,
    pub(crate) isolation: Option<Isolation>,
    pub(crate) tenant_migrations: Migrations,
    pub(crate) central_migrations: Migrations,
    pub(crate) most_open_files: NonZeroUsize,
    pub(crate) most_connections: NonZeroUsize,
    pub(crate) longest_connection: Duration,
    pub(crate) statement_timeout: Duration,
    pub(crate) pooler: bool,
    #[cfg(feature = "redis")]
    pub(crate) redis_url: Option<String>,
    pub(crate) files: FileStore,
    pub(crate) mailer: ByMailer,
    pub(crate) writes_mail: bool,
    pub(crate) mail_address: String,
    pub(crate) policies: Option<Policies>,
    pub(crate) pending: usize,
    pub(crate) credential_tables: Vec<String>,
    pub(crate) personal_columns: Vec<(String, String)>,
    pub(crate) base_host: Option<String>,
    pub(crate) name_servers: Vec<SocketAddr>,
    pub(crate) settings: Groups,
    pub(crate) keys: Vec<Key>,
    pub(crate) plans: Plans,
    pub(crate) most_listeners: usize,
    pub(crate) tenant_smtp: TenantSmtp,
    pub(crate) development: bool,
    pub(crate) usage_interval: Duration,
    pub(crate) busiest_tenants: usize,
}

/// A mailer, which need not say what it is.
#[derive(Clone)]
pub(crate) struct ByMailer(pub(crate) Arc<dyn Mailer>);

impl fmt::Debug for ByMailer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mailer")
    }
}

impl Config {
    /// A deployment on SQLite under the folder `data`.
    pub fn new(data: impl Into<PathBuf>) -> Self {
        let data = data.into();
        Self {
            #[cfg(feature = "redis")]
            redis_url: None,
            files: FileStore::default(),
            mailer: ByMailer(Arc::new(EmlFiles::new(data.join("mail")))),
            writes_mail: true,
            mail_address: "no-reply@localhost".into(),
            data,
            project: "tenantry".into(),
            database_url: None,
            servers: Vec::new(),
            isolation: None,
            tenant_migrations: own_migrations(),
            policies: None,
            pending: 0,
            central_migrations: Migrations::new(),
            most_open_files: const { NonZeroUsize::new(256).unwrap() },
            most_connections: const { NonZeroUsize::new(16).unwrap() },
            longest_connection: Duration::from_secs(30 * 60),
            statement_timeout: Duration::from_secs(30),
            pooler: false,
            credential_tables: Vec::new(),
            personal_columns: Vec::new(),
            base_host: None,
            name_servers: Vec::new(),
            settings: Groups::default(),
            keys: Vec::new(),
            plans: Plans::default(),
            most_listeners: live::MOST_LISTENERS,
            tenant_smtp: TenantSmtp::default(),
            development: false,
            usage_interval: Duration::from_secs(30),
            busiest_tenants: 20,
        }
    }

    /// The deployment's name, by which its roles and databases on a server are called:
    /// `<project>_owner`, `<project>_app`, `<project>_t_<id>`; and the records by which tenants show
    /// that [domains](crate::domains) are theirs: `_<project>.<host>`. `tenantry` unless told.
    #[must_use]
    pub fn project(mut self, project: impl Into<String>) -> Self {
        self.project = project.into();
        self
    }

    /// Keeps the catalog on PostgreSQL, and places tenants there: `postgres://…`, as libpq has it.
    #[must_use]
    pub fn database_url(mut self, url: impl Into<String>) -> Self {
        self.database_url = Some(url.into());
        self
    }

    /// A further server on which tenants can be placed, under a name of its own.
    #[must_use]
    pub fn server(mut self, name: impl Into<String>, url: impl Into<String>) -> Self {
        self.servers.push((name.into(), url.into()));
        self
    }

    /// How new tenants are kept apart unless told otherwise; by `file` on SQLite and `rows` on
    /// PostgreSQL unless told here.
    #[must_use]
    pub fn isolation(mut self, isolation: Isolation) -> Self {
        self.isolation = Some(isolation);
        self
    }

    pub(crate) fn default_isolation(&self) -> Isolation {
        self.isolation.unwrap_or(match self.database_url {
            Some(_) => Isolation::Rows,
            None => Isolation::File,
        })
    }

    /// What a tenant's database is made of, besides its users.
    #[must_use]
    pub fn tenant_migrations(mut self, migrations: Migrations) -> Self {
        self.tenant_migrations = own_migrations().followed_by(migrations);
        self
    }

    /// Who may do what in a tenant.
    #[must_use]
    pub fn policies(mut self, policies: Policies) -> Self {
        self.policies = Some(policies);
        self
    }

    /// How many tenants are kept ready before anybody wants them, by a task in the background; none
    /// unless told. [`Tenancy::create`](crate::Tenancy::create) then has only to seed one. It is for
    /// processes that serve.
    #[must_use]
    pub fn pending_tenants(mut self, ready: usize) -> Self {
        self.pending = ready;
        self
    }

    /// What the application's shared tables are made of.
    #[must_use]
    pub fn central_migrations(mut self, migrations: Migrations) -> Self {
        self.central_migrations = migrations;
        self
    }

    /// What the central database is made of, by name: the library's own migrations, then the
    /// application's.
    #[must_use]
    pub fn central_migration_names(&self) -> Vec<String> {
        schema::sqlite()
            .names()
            .chain(self.central_migrations.names())
            .map(Into::into)
            .collect()
    }

    /// How many tenants' files are kept open when nobody uses them; 256 unless told. One takes
    /// about 200 KiB and three file descriptors, five when it is written to.
    #[must_use]
    pub fn most_open_files(mut self, most: NonZeroUsize) -> Self {
        self.most_open_files = most;
        self
    }

    /// How many connections are opened to each server, over all of its databases together; 16
    /// unless told. From eight on, some of them are shared by brief reads: as many as the machine has
    /// processors, one in eight at most. Besides, one listens, and one is opened for the time of each tenant that is
    /// made, migrated or erased.
    #[must_use]
    pub fn most_connections(mut self, most: NonZeroUsize) -> Self {
        self.most_connections = most;
        self
    }

    /// How many may [listen](crate::scoped::live) in each tenant, in a process; 1,000 unless told.
    #[must_use]
    pub fn most_listeners(mut self, most: usize) -> Self {
        self.most_listeners = most;
        self
    }

    /// How old a connection gets before it is replaced; half an hour unless told. A backend's
    /// memory grows with the schemas it has touched.
    #[must_use]
    pub fn longest_connection(mut self, life: Duration) -> Self {
        self.longest_connection = life;
        self
    }

    /// How long a tenant's statement may take where its [limits](Limits) say nothing of it; 30 seconds
    /// unless told. It is [`DbError::Timeout`](crate::db::DbError::Timeout) then. Jobs and migrations
    /// take as long as they take.
    #[must_use]
    pub fn statement_timeout(mut self, timeout: Duration) -> Self {
        self.statement_timeout = timeout;
        self
    }

    /// Where what is [cached](crate::scoped::cache) is kept for all processes:
    /// `redis://[user:password@]host[:port][/db]`, or `rediss://` for TLS. Unless told, each process
    /// keeps its own.
    #[cfg(feature = "redis")]
    #[must_use]
    pub fn redis(mut self, url: impl Into<String>) -> Self {
        self.redis_url = Some(url.into());
        self
    }

    /// Where tenants' [files](crate::scoped::files) are kept; under `files` in the data folder unless
    /// told.
    ///
    /// ```
    /// use tenantry::{Config, scoped::files::FileStore};
    ///
    /// let config = Config::new("./data");
    /// let config = match std::env::var("FILES_URL") {
    ///     Ok(url) => config.files_in(FileStore::at(&url)?), // s3://bucket/prefix
    ///     Err(_) => config,
    /// };
    /// # drop(config);
    /// # Ok::<_, tenantry::scoped::files::FileStoreError>(())
    /// ```
    #[must_use]
    pub fn files_in(mut self, store: FileStore) -> Self {
        self.files = store;
        self
    }

    /// What mail is handed over to; unless told, it is written to files under `mail` in the data
    /// folder.
    #[must_use]
    pub fn mailer(mut self, mailer: impl Mailer) -> Self {
        self.mailer = ByMailer(Arc::new(mailer));
        self.writes_mail = false;
        self
    }

    /// The address that mail comes from; `no-reply@localhost` unless told.
    #[must_use]
    pub fn mail_address(mut self, address: impl Into<String>) -> Self {
        self.mail_address = address.into();
        self
    }

    /// The host that is the deployment's own, with all below it: no tenant can claim it as a
    /// [domain](crate::domains).
    #[must_use]
    pub fn base_host(mut self, host: &str) -> Self {
        self.base_host = Some(host.to_ascii_lowercase());
        self
    }

    /// The name servers that are asked whose a domain is; the system's unless told. They should be
    /// reached over a network that nobody tampers with: their word is taken.
    #[must_use]
    pub fn name_servers(mut self, servers: impl IntoIterator<Item = SocketAddr>) -> Self {
        self.name_servers = servers.into_iter().collect();
        self
    }

    /// The application's tables whose rows let somebody in, or are a secret of one tenant: they are
    /// left out of clones and archives, as the library's own are.
    #[must_use]
    pub fn credential_tables<T: Into<String>>(
        mut self,
        tables: impl IntoIterator<Item = T>,
    ) -> Self {
        self.credential_tables = tables.into_iter().map(Into::into).collect();
        self
    }

    /// The application's columns that tell who somebody is, by table: an archive that is to tell
    /// nobody's has something else in them, as it has for users.
    #[must_use]
    pub fn personal_columns<T: Into<String>>(
        mut self,
        columns: impl IntoIterator<Item = (T, T)>,
    ) -> Self {
        let columns = columns.into_iter();
        self.personal_columns = columns
            .map(|(table, name)| (table.into(), name.into()))
            .collect();
        self
    }

    /// Registers settings that each tenant has: see [`scoped::settings`](crate::scoped::settings).
    ///
    /// # Panics
    /// When other settings have the name, or it is none.
    #[must_use]
    pub fn settings<T: Settings>(mut self) -> Self {
        self.settings.add::<T>();
        self
    }

    /// The keys that tenants' secrets are sealed with: the first seals, all of them open. Unless told
    /// they are in the file `keys` in the data folder, which is made when a secret is sealed first.
    /// Several machines need the same.
    #[must_use]
    pub fn keys(mut self, keys: impl IntoIterator<Item = Key>) -> Self {
        self.keys = keys.into_iter().collect();
        self
    }

    /// Registers a plan that tenants can be on. One whose name is empty holds for those on none; unless
    /// told that has no limits. Once there are any, a tenant can be put on no other.
    #[must_use]
    pub fn plan(mut self, plan: Plan) -> Self {
        self.plans.add(plan);
        self
    }

    /// How much of the deployment a tenant may take whose plan says nothing of it;
    /// [`Limits::default`] unless told.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.plans.limit_others(limits);
        self
    }

    /// Which SMTP servers tenants may name, where the application lets them
    /// ([`MailSettings`](crate::scoped::mail::MailSettings)); those on the internet unless told.
    #[must_use]
    pub fn tenant_smtp(mut self, allowed: TenantSmtp) -> Self {
        self.tenant_smtp = allowed;
        self
    }

    /// Says that this is for development: then what was mailed can be
    /// [read](crate::Tenancy::outbox) by whoever comes. It is not unless told.
    #[must_use]
    pub fn development(mut self, development: bool) -> Self {
        self.development = development;
        self
    }

    /// How often what tenants [use](crate::usage) is written down; every 30 seconds unless told, and
    /// every minute at least. A process that dies loses what it counted since.
    #[must_use]
    pub fn usage_interval(mut self, interval: Duration) -> Self {
        const LEAST: Duration = Duration::from_millis(10);
        self.usage_interval = interval.clamp(LEAST, Duration::from_secs(60));
        self
    }

    /// How many tenants [metrics](crate::Tenancy::busiest) tell apart; 20 unless told. However many
    /// there are, there is no line more.
    #[must_use]
    pub fn busiest_tenants(mut self, most: usize) -> Self {
        self.busiest_tenants = most;
        self
    }

    /// Says that a pooler in transaction mode stands before the servers: then no statement is
    /// prepared by name. Nobody can listen through it either, so what other processes change in the
    /// catalog is known half a second later.
    #[must_use]
    pub fn pooler(mut self, pooler: bool) -> Self {
        self.pooler = pooler;
        self
    }
}
