//! A tenant's data as it is at one moment, to be read while others go on writing.

use std::{
    collections::HashSet,
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, backup::Backup};

use crate::{
    central::{Central, FILE},
    db::{
        Db, DbError, Engine, TenantDb,
        sqlite::{self, Create, Database},
        transfer::Whose,
    },
    isolation::file::Write,
    migrate::{MigrateError, Migrations, pending_on_sqlite},
    tenancy::Inner,
    tenant::{Isolation, Tenant, TenantId},
};

/// What a snapshot is read by. On a server it is a transaction's; of a file it is a copy, that is
/// gone when this is dropped.
pub(super) struct Snapshot {
    db: TenantDb,
    copy: Option<Arc<Copied>>,
}

/// A copy of a file, that others leave alone as long as this process lives.
struct Copied {
    path: PathBuf,
    database: Arc<Database>,
    _held: File,
}

impl Snapshot {
    /// Of a tenant that is up to date.
    pub(super) async fn of(inner: &Inner, tenant: &Tenant) -> Result<Self, DbError> {
        if tenant.isolation() != Isolation::File {
            return Ok(Self {
                db: inner.places.handle(tenant)?,
                copy: None,
            });
        }
        let from = inner.places.files().path(tenant.id());
        Self::of_file(inner, from, Owner::Tenant).await
    }

    /// Of a tenant's file that nobody has open, wherever it is.
    pub(super) async fn of_copy(inner: &Inner, file: &Path) -> Result<Self, DbError> {
        Self::of_file(inner, file.into(), Owner::Nobody).await
    }

    /// Of the central database: by the first the catalog's tables are read, by the other the
    /// application's shared ones.
    pub(super) async fn of_central(inner: &Inner) -> Result<(Self, Self), DbError> {
        if let Central::Server(_) = &inner.central {
            let part = |whose| Self {
                db: inner.central.part(whose),
                copy: None,
            };
            return Ok((part(Whose::Catalog), part(Whose::Central)));
        }
        let from = inner.data.join(FILE);
        let catalog = Self::of_file(inner, from, Owner::Catalog).await?;
        let application = Self {
            db: catalog.db.clone(),
            copy: catalog.copy.clone(),
        };
        Ok((catalog, application))
    }

    async fn of_file(inner: &Inner, from: PathBuf, owner: Owner) -> Result<Self, DbError> {
        let folder = folder(inner);
        let path = folder.join(format!("{}.db", TenantId::generate()));
        let to = path.clone();
        let held = tokio::task::spawn_blocking(move || {
            fs::create_dir_all(folder).map_err(sqlite::failed)?;
            match owner {
                // it may be where nothing can be written
                Owner::Nobody => copy_plainly(&from, &to),
                Owner::Tenant | Owner::Catalog => copy(&from, &to),
            }
        })
        .await
        .map_err(|_| DbError::Closed)??;
        let database = match owner {
            Owner::Catalog => Database::for_catalog(&path),
            Owner::Tenant | Owner::Nobody => Database::new(&path, Create::Never),
        };
        Ok(Self {
            db: Db::new(Engine::sqlite(database.clone())),
            copy: Some(Arc::new(Copied {
                path,
                database,
                _held: held,
            })),
        })
    }

    pub(super) fn db(&self) -> &TenantDb {
        &self.db
    }

    /// Whether it is a file that has those migrations, all of them and no others.
    pub(super) async fn is_file_of(
        &self,
        migrations: &Arc<Migrations>,
    ) -> Result<bool, MigrateError> {
        let Some(copy) = &self.copy else {
            return Ok(false);
        };
        let ledger = pending_on_sqlite(&copy.database, migrations).await?;
        Ok(ledger.pending.is_empty() && !ledger.ahead)
    }

    /// Writes the file that it is into another, without the rows of some tables: no byte of them is in
    /// it.
    pub(super) fn written_without(self, tables: HashSet<String>) -> Write {
        Box::new(move |to| {
            let copy = self.copy.ok_or(DbError::Closed)?;
            copy.database.close_here();
            sqlite::copy_without(&copy.path, to, &tables)
        })
    }
}

/// Whose a file is that is copied.
#[derive(Debug, Clone, Copy)]
enum Owner {
    Tenant,
    Catalog,
    Nobody,
}

impl Drop for Copied {
    fn drop(&mut self) {
        self.database.close_here();
        remove(&self.path);
    }
}

fn copy_plainly(from: &Path, to: &Path) -> Result<File, DbError> {
    let held = File::create_new(to).map_err(sqlite::failed)?;
    held.lock().map_err(sqlite::failed)?;
    if let Err(error) = fs::copy(from, to) {
        remove(to);
        return Err(sqlite::failed(error));
    }
    Ok(held)
}

/// Copies a file as it is at one moment, page by page, without keeping anybody from writing.
pub(super) fn copy(from: &Path, to: &Path) -> Result<File, DbError> {
    let held = File::create_new(to).map_err(sqlite::failed)?;
    held.lock().map_err(sqlite::failed)?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let copied = || {
        let from = Connection::open_with_flags(from, flags)?;
        from.busy_timeout(Duration::from_secs(10))?;
        let mut to = Connection::open(to)?;
        // all at once: in between it would begin anew whenever somebody writes
        Backup::new(&from, &mut to)?.run_to_completion(i32::MAX, Duration::from_millis(20), None)
    };
    copied().map_err(|error| {
        remove(to);
        sqlite::translate(error)
    })?;
    Ok(held)
}

fn folder(inner: &Inner) -> PathBuf {
    inner.data.join("snapshots")
}

fn remove(path: &Path) {
    for suffix in ["", "-wal", "-shm", "-journal"] {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        drop(fs::remove_file(PathBuf::from(name)));
    }
}

/// Removes the copies that killed processes left behind.
pub(super) fn sweep(inner: &Inner) {
    for entry in fs::read_dir(folder(inner)).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.extension().is_some_and(|end| end == "db")
            && File::open(&path).is_ok_and(|file| file.try_lock().is_ok())
        {
            remove(&path);
        }
    }
}
