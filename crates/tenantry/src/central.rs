//! The central database: the catalog, and the tables that belong to no tenant.

use std::{path::Path, sync::Arc};

use crate::{
    catalog::schema,
    db::{
        CentralDb, Db, DbError, Engine, TenantDb,
        postgres::{
            Scope, Server,
            scope::{CATALOG_SCHEMA, CENTRAL_SCHEMA},
        },
        sqlite::{Create, Database},
        transfer::Whose,
    },
    isolation::postgres,
    migrate::{MigrateError, Migrations, Progress, apply_to_sqlite, pending_on_sqlite},
};

/// The file that it is, where it is one, in the data folder.
pub(crate) const FILE: &str = "central.db";

pub(crate) enum Central {
    File {
        application: Arc<Database>,
        catalog: Arc<Database>,
        present: bool,
    },
    Server(Arc<Server>),
}

impl Central {
    pub(crate) fn file(data: &Path, create: Create) -> Self {
        let path = data.join(FILE);
        Self::File {
            present: path.exists(),
            application: Database::new(&path, create),
            // its connections may write the catalog's tables, the application's may not
            catalog: Database::for_catalog(&path),
        }
    }

    /// What tells it from other deployments' that have something in the same folder.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::File { .. } => FILE.into(),
            Self::Server(server) => server.address(),
        }
    }

    /// The handle to the catalog's tables.
    pub(crate) fn catalog(&self) -> CentralDb {
        Db::new(match self {
            Self::File { catalog, .. } => Engine::sqlite(catalog.clone()),
            Self::Server(server) => Engine::postgres(Scope::catalog(server)),
        })
    }

    /// The handle to the application's shared tables.
    pub(crate) fn application(&self) -> CentralDb {
        Db::new(match self {
            Self::File { application, .. } => Engine::sqlite(application.clone()),
            Self::Server(server) => Engine::postgres(Scope::central(server)),
        })
    }

    /// A handle to one part of it, to carry all of that.
    pub(crate) fn part(&self, whose: Whose) -> TenantDb {
        Db::new(match (self, whose) {
            // one writer, whose every row is the library's to carry
            (Self::File { catalog, .. }, _) => Engine::sqlite(catalog.clone()),
            (Self::Server(server), Whose::Catalog) => Engine::postgres(Scope::catalog(server)),
            (Self::Server(server), _) => Engine::postgres(Scope::central(server)),
        })
    }

    /// Whether anything has been set up.
    pub(crate) async fn is_present(&self) -> Result<bool, DbError> {
        match self {
            Self::File { present, .. } => Ok(*present),
            Self::Server(server) => postgres::is_set_up(server).await,
        }
    }

    /// Applies what is pending.
    ///
    /// # Errors
    /// Also when a migration is a function, which are for tenants.
    pub(crate) async fn migrate(&self, application: &Migrations) -> Result<(), MigrateError> {
        match self {
            Self::File {
                application: file, ..
            } => {
                let all = Arc::new(schema::sqlite().followed_by(application.clone()));
                no_function(apply_to_sqlite(file, &all).await?)
            }
            Self::Server(server) => {
                let home = server.home();
                postgres::apply(server, &home, CATALOG_SCHEMA, &schema::postgres()).await?;
                no_function(postgres::apply(server, &home, CENTRAL_SCHEMA, application).await?)
            }
        }
    }

    /// Tells what is pending.
    pub(crate) async fn pending(
        &self,
        application: &Migrations,
    ) -> Result<Vec<String>, MigrateError> {
        match self {
            Self::File {
                application: file, ..
            } => {
                let all = Arc::new(schema::sqlite().followed_by(application.clone()));
                Ok(pending_on_sqlite(file, &all).await?.pending)
            }
            Self::Server(server) => {
                let home = server.home();
                let catalog = schema::postgres();
                let mut all = postgres::pending(server, &home, CATALOG_SCHEMA, &catalog)
                    .await?
                    .pending;
                let own = postgres::pending(server, &home, CENTRAL_SCHEMA, application).await?;
                all.extend(own.pending);
                Ok(all)
            }
        }
    }

    pub(crate) fn close(&self) {
        match self {
            Self::File {
                application,
                catalog,
                ..
            } => {
                application.close();
                catalog.close();
            }
            Self::Server(server) => server.close(),
        }
    }
}

fn no_function(progress: Progress) -> Result<(), MigrateError> {
    match progress.function {
        None => Ok(()),
        Some(name) => Err(MigrateError::Failed {
            name,
            source: DbError::Engine("functions are for tenants, not for shared tables".into()),
        }),
    }
}
