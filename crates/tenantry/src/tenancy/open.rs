//! How a deployment is opened, and made where there is none.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, atomic::AtomicBool},
};

use chrono::Utc;

use super::{Inner, Tenancy};
#[cfg(feature = "redis")]
use crate::scoped::cache::CacheError;
use crate::{
    Config,
    catalog::{self, Catalog, Listener, Store},
    central::Central,
    db::{
        DbError,
        postgres::{Server, server::Options},
        sqlite::{self, Create},
    },
    domains::NameServers,
    isolation::{
        LOCAL, Places,
        file::Files,
        postgres::{self, SetUpError},
    },
    lifecycle,
    migrate::MigrateError,
    scoped::{cache::Kept, limits::Limiter, live, mail::TenantMailers, settings::Keys},
    usage::{self, Answers, Ledger, Meters},
    users::{Guard, Passwords},
};

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
        files.set_hearing(!config.pooler);
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
