use std::{fmt, path::PathBuf, sync::Arc};

use tempfile::TempDir;
use tokio::sync::OnceCell;

use super::Postgres;
use crate::{
    Config, Tenancy, Tenant,
    db::{TenantDb, postgres::scope::ROWS_SCHEMA},
    isolation::postgres,
    lifecycle::{LifecycleError, NewTenant},
    migrate::Migrations,
    scoped::files::FileStore,
    tenant::{Isolation, TenantCode},
};

/// A deployment of its own for one test, gone when it is dropped.
///
/// What goes wrong in it is a panic, which is how a test fails.
#[derive(Debug)]
pub struct Place {
    tenancy: Tenancy,
    isolation: Isolation,
    tenant_migrations: Migrations,
    central_migrations: Migrations,
    folder: TempDir,
    /// The database that the catalog is in, where it is not a file, and what its roles are called by.
    database: Option<(String, String)>,
    files: Option<FilesElsewhere>,
}

/// Where the files of a place's tenants are, if not in its folder: somewhere where a test sees what of
/// them is on the disk.
#[derive(Clone)]
pub struct FilesElsewhere {
    /// The store.
    pub store: FileStore,
    /// The folder that has a folder for each tenant that has files.
    pub folder: PathBuf,
    /// Finds what there is of uploads that are not whole: a path for each.
    pub unfinished: Arc<dyn Fn() -> Vec<PathBuf> + Send + Sync>,
}

impl fmt::Debug for FilesElsewhere {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FilesElsewhere")
            .field("store", &self.store)
            .field("folder", &self.folder)
            .finish_non_exhaustive()
    }
}

/// What the roles of places are called by that have the same.
const ROLES: &str = "places";

impl Place {
    /// A deployment whose tenants are kept apart by `isolation` and have what `migrations` make.
    ///
    /// # Panics
    /// When it cannot be set up.
    pub async fn with(isolation: Isolation, migrations: Migrations) -> Self {
        Self::with_central(isolation, migrations, Migrations::new()).await
    }

    /// As [`with`](Self::with), and with shared tables.
    ///
    /// # Panics
    /// When it cannot be set up.
    pub async fn with_central(
        isolation: Isolation,
        tenant_migrations: Migrations,
        central_migrations: Migrations,
    ) -> Self {
        let database = match isolation {
            Isolation::File => None,
            // roles are the server's, not a database's: each place has its own
            _ => {
                let name = Postgres::shared().database().await;
                Some((name.clone(), name))
            }
        };
        Self::in_database(isolation, tenant_migrations, central_migrations, database).await
    }

    /// As [`with_central`](Self::with_central), for hundreds of places that have the same: the first
    /// of them is what the databases of all others are copied from. Roles are those of all.
    pub(super) async fn copied(
        isolation: Isolation,
        tenant_migrations: Migrations,
        central_migrations: Migrations,
    ) -> Self {
        static ROWS: OnceCell<String> = OnceCell::const_new();
        static SCHEMAS: OnceCell<String> = OnceCell::const_new();
        let first = match isolation {
            Isolation::Rows => &ROWS,
            Isolation::Schema => &SCHEMAS,
            // files have a template already, and databases are told apart by the roles' name
            Isolation::File | Isolation::Database => {
                return Self::with_central(isolation, tenant_migrations, central_migrations).await;
            }
        };
        let server = Postgres::shared();
        let first = first
            .get_or_init(|| async {
                let name = server.database().await;
                let folder = tempfile::tempdir().expect("a temporary folder can be made");
                let database = (name.clone(), ROLES.into());
                let tenants = tenant_migrations.clone();
                let tenancy = set_up(config(
                    &folder,
                    Some(&database),
                    tenants,
                    &central_migrations,
                ))
                .await;
                if isolation == Isolation::Rows {
                    let places = &tenancy.0.places;
                    for server in places.servers() {
                        let home = server.home();
                        let made = postgres::apply(server, &home, ROWS_SCHEMA, places.migrations());
                        made.await.expect("tables can be made");
                    }
                }
                tenancy.close();
                name
            })
            .await;
        let database = (server.copy(first).await, ROLES.into());
        Self::in_database(
            isolation,
            tenant_migrations,
            central_migrations,
            Some(database),
        )
        .await
    }

    async fn in_database(
        isolation: Isolation,
        tenant_migrations: Migrations,
        central_migrations: Migrations,
        database: Option<(String, String)>,
    ) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let config = config(
            &folder,
            database.as_ref(),
            tenant_migrations.clone(),
            &central_migrations,
        );
        Self {
            tenancy: set_up(config).await,
            isolation,
            tenant_migrations,
            central_migrations,
            folder,
            database,
            files: None,
        }
    }

    /// The same, with its tenants' files elsewhere.
    ///
    /// # Panics
    /// When it cannot be opened.
    pub async fn with_files(mut self, files: FilesElsewhere) -> Self {
        self.files = Some(files);
        self.reopen().await;
        self
    }

    /// The folder that has a folder for each tenant that has files.
    pub(super) fn files(&self) -> PathBuf {
        match &self.files {
            None => self.folder.path().join("files"),
            Some(elsewhere) => elsewhere.folder.clone(),
        }
    }

    /// What there is of uploads that are not whole, where that is in no tenant's folder.
    pub(super) fn unfinished(&self) -> Vec<PathBuf> {
        let elsewhere = self.files.as_ref();
        elsewhere.map_or_else(Vec::new, |files| (files.unfinished)())
    }

    /// The deployment.
    #[must_use]
    pub fn tenancy(&self) -> &Tenancy {
        &self.tenancy
    }

    /// The folder of the deployment's data.
    #[must_use]
    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// What keeps this place's tenants apart.
    #[must_use]
    pub fn isolation(&self) -> Isolation {
        self.isolation
    }

    /// What the deployment was made of.
    #[must_use]
    pub fn config(&self) -> Config {
        self.config_with(self.tenant_migrations.clone())
    }

    /// The same deployment, as a program with other migrations of the tenants would have it.
    #[must_use]
    pub fn config_with(&self, tenant_migrations: Migrations) -> Config {
        let config = config(
            &self.folder,
            self.database.as_ref(),
            tenant_migrations,
            &self.central_migrations,
        );
        match &self.files {
            None => config,
            Some(files) => config.files_in(files.store.clone()),
        }
    }

    /// A tenant to be made here.
    ///
    /// # Panics
    /// When `code` is not valid.
    #[must_use]
    pub fn new_tenant(&self, code: &str) -> NewTenant {
        NewTenant::new(valid(code), code).isolation(self.isolation)
    }

    /// The tenant of that code, made when there is none.
    ///
    /// # Panics
    /// When it cannot be made.
    pub async fn tenant(&self, code: &str) -> Tenant {
        let found = self.tenancy.tenant(&valid(code)).await;
        match found.expect("the catalog can be read") {
            Some(tenant) => tenant,
            None => match self.tenancy.create(self.new_tenant(code)).await {
                // somebody else in the same test was faster
                Err(LifecycleError::CodeTaken) => Box::pin(self.tenant(code)).await,
                made => made.expect("a tenant can be made"),
            },
        }
    }

    /// The database of the tenant of that code, which is made when there is none.
    ///
    /// # Panics
    /// When it cannot be made or opened.
    pub async fn db(&self, code: &str) -> TenantDb {
        let tenant = self.tenant(code).await;
        let db = self.tenancy.db(&tenant).await;
        db.expect("a tenant's database can be opened")
    }

    /// The same deployment once more, as another process of the same program has it.
    ///
    /// # Panics
    /// When it cannot be opened.
    pub async fn beside(&self) -> Tenancy {
        set_up(self.config()).await
    }

    /// Closes the deployment and opens it anew, as when the program is started again.
    ///
    /// # Panics
    /// When it cannot be opened.
    pub async fn reopen(&mut self) {
        self.reopen_as(self.config()).await;
    }

    /// Closes the deployment and opens it anew, as when another version of the program is started.
    ///
    /// # Panics
    /// When it cannot be opened.
    pub async fn reopen_as(&mut self, config: Config) {
        self.tenancy.close();
        self.tenancy = set_up(config).await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.tenancy.close();
        if let Some((database, _)) = &self.database {
            Postgres::shared().drop_later(database);
        }
    }
}

fn config(
    folder: &TempDir,
    database: Option<&(String, String)>,
    tenants: Migrations,
    central: &Migrations,
) -> Config {
    let config = Config::new(folder.path())
        .tenant_migrations(tenants)
        .central_migrations(central.clone());
    match database {
        None => config,
        Some((database, project)) => config
            .project(project)
            .database_url(Postgres::shared().url(database)),
    }
}

async fn set_up(config: Config) -> Tenancy {
    let tenancy = Tenancy::set_up(config).await;
    tenancy.expect("a deployment can be set up")
}

fn valid(code: &str) -> TenantCode {
    code.parse().expect("a valid code")
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, sync::mpsc, thread};

    use super::{Place, Postgres};
    use crate::{migrate::Migrations, tenant::Isolation, testing::postgres::drop_databases};

    /// Thousands of tests would fill the disk otherwise.
    #[tokio::test]
    async fn databases_go_with_their_place_where_room_is_short() {
        let root = Postgres::shared().client("postgres").await;
        let databases = async |home: &str| -> i64 {
            let sql = "SELECT count(*) FROM pg_database
                       WHERE datname = $1 OR starts_with(datname, $1 || '_t_')";
            root.query_one(sql, &[&home]).await.unwrap().get(0)
        };
        let place = Place::with(Isolation::Database, Migrations::new()).await;
        let other = Place::with(Isolation::Database, Migrations::new()).await;
        let [of_place, of_other] = [&place, &other].map(|one| one.database.clone().unwrap().0);
        for (one, home) in [(&place, &of_place), (&other, &of_other)] {
            one.db("acme").await;
            assert_eq!(databases(home).await, 2, "its home, and a tenant's");
        }
        // it is closed already when it says that nobody needs them
        place.tenancy().close();
        for (home, is_short, left) in [(&of_place, false, 2), (&of_place, true, 0)] {
            let url = Postgres::shared().url("postgres");
            let (sender, names) = mpsc::channel();
            sender.send(home.clone()).unwrap();
            drop(sender);
            let looked = thread::spawn(move || {
                let looked = Cell::new(0);
                drop_databases(&url, &names, || {
                    looked.set(looked.get() + 1);
                    is_short
                });
                looked.get()
            });
            assert_eq!(looked.join().unwrap(), 1);
            assert_eq!(databases(&of_place).await, left);
        }
        assert_eq!(databases(&of_other).await, 2);
        drop((place, other));
    }
}
