//! A place of a test's own: a database, roles and a login that no other test has.

use std::{
    net::SocketAddr,
    path::Path,
    sync::atomic::{AtomicU32, Ordering},
};

use tempfile::TempDir;
use tenantry::{
    Config, OpenError, Tenancy, Tenant,
    db::{DbError, TenantDb},
    lifecycle::NewTenant,
    migrate::Migrations,
    tenant::Isolation,
    testing::Postgres,
};
use tokio::net::{TcpListener, TcpStream};

/// The isolations that are on a server.
pub(crate) const ON_SERVERS: [Isolation; 3] =
    [Isolation::Rows, Isolation::Schema, Isolation::Database];

pub(crate) struct Place {
    pub(crate) tenancy: Tenancy,
    pub(crate) ground: Ground,
}

/// Where a deployment can be set up: nothing is there yet.
pub(crate) struct Ground {
    pub(crate) server: &'static Postgres,
    pub(crate) database: String,
    /// Roles are the whole server's, so each place is a project of its own.
    pub(crate) project: String,
    pub(crate) login: String,
    folder: TempDir,
}

impl Ground {
    /// A database that an ordinary login owns.
    pub(crate) async fn new() -> Self {
        Self::with("CREATEROLE CREATEDB").await
    }

    pub(crate) async fn with(attributes: &str) -> Self {
        Self::on(Postgres::shared(), attributes).await
    }

    pub(crate) async fn on(server: &'static Postgres, attributes: &str) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let project = format!("p{number}");
        let login = format!("login_{number}");
        let database = server.database().await;
        server
            .execute(
                "postgres",
                &format!("CREATE ROLE {login} LOGIN {attributes}; ALTER DATABASE {database} OWNER TO {login}"),
            )
            .await;
        Self {
            server,
            database,
            project,
            login,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// Where another deployment of the same project can be set up, by the same login.
    pub(crate) async fn beside(&self) -> Self {
        let database = self.server.database().await;
        let give = format!("ALTER DATABASE {database} OWNER TO {}", self.login);
        self.server.execute("postgres", &give).await;
        Self {
            server: self.server,
            database,
            project: self.project.clone(),
            login: self.login.clone(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn url(&self) -> String {
        self.server.url_as(&self.login, &self.database)
    }

    pub(crate) fn config(&self) -> Config {
        self.config_in(self.folder())
    }

    fn config_in(&self, folder: &Path) -> Config {
        Config::new(folder)
            .project(&self.project)
            .database_url(self.url())
            .most_connections(8.try_into().unwrap())
    }

    pub(crate) async fn set_up(&self, migrations: &Migrations) -> Result<Tenancy, OpenError> {
        Tenancy::set_up(self.config().tenant_migrations(migrations.clone())).await
    }

    /// The same, with another's data folder.
    pub(crate) async fn set_up_in(
        &self,
        folder: &Path,
        migrations: &Migrations,
    ) -> Result<Tenancy, OpenError> {
        Tenancy::set_up(self.config_in(folder).tenant_migrations(migrations.clone())).await
    }

    /// What there really is, as the superuser sees it.
    pub(crate) async fn root(&self) -> tokio_postgres::Client {
        self.server.client(&self.database).await
    }
}

/// Stands between clients and a server: whoever connects is handed over with a connection to that.
pub(crate) async fn between(
    server: SocketAddr,
    connected: impl Fn(TcpStream, TcpStream) + Send + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            let server = TcpStream::connect(server).await.unwrap();
            for stream in [&client, &server] {
                stream.set_nodelay(true).unwrap();
            }
            connected(client, server);
        }
    }));
    address
}

impl Place {
    pub(crate) async fn new(migrations: Migrations) -> Self {
        Self::with(migrations, |config| config).await
    }

    pub(crate) async fn with(
        migrations: Migrations,
        configured: impl FnOnce(Config) -> Config,
    ) -> Self {
        let ground = Ground::new().await;
        let config = configured(ground.config().tenant_migrations(migrations));
        Self {
            tenancy: Tenancy::set_up(config).await.unwrap(),
            ground,
        }
    }

    pub(crate) async fn tenant(&self, code: &str, isolation: Isolation) -> Tenant {
        let new = NewTenant::new(code.parse().unwrap(), code).isolation(isolation);
        self.tenancy.create(new).await.unwrap()
    }

    /// Two tenants, `a` and `b`, and their databases.
    pub(crate) async fn pair(&self, isolation: Isolation) -> [(Tenant, TenantDb); 2] {
        let mut both = Vec::new();
        for name in ["a", "b"] {
            let tenant = self.tenant(&format!("{isolation}-{name}"), isolation).await;
            let db = self.tenancy.db(&tenant).await.unwrap();
            both.push((tenant, db));
        }
        both.try_into().unwrap_or_else(|_| unreachable!())
    }

    /// The database and the schema in which a tenant's tables are.
    pub(crate) fn whereabouts(&self, tenant: &Tenant) -> (String, String) {
        let id = tenant.id().as_uuid().simple();
        let home = self.ground.database.clone();
        match tenant.isolation() {
            Isolation::Schema => (home, format!("t_{id}")),
            Isolation::Database => (format!("{}_t_{id}", self.ground.project), "tenant".into()),
            _ => (home, "tenant_rows".into()),
        }
    }

    /// The superuser, where the tenant's tables are.
    pub(crate) async fn root_of(&self, tenant: &Tenant) -> tokio_postgres::Client {
        let (database, schema) = self.whereabouts(tenant);
        let client = self.ground.server.client(&database).await;
        client
            .batch_execute(&format!("SET search_path = {schema}"))
            .await
            .unwrap();
        client
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // its connections make room for other tests
        self.tenancy.close();
    }
}

/// The texts of a query's first column.
pub(crate) async fn texts(db: &TenantDb, sql: &str) -> Result<Vec<String>, DbError> {
    let rows = db.query(sql).all::<(String,)>().await?;
    Ok(rows.into_iter().map(|row| row.0).collect())
}
