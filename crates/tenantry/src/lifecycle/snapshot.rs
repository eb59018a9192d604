//! A tenant's data as it is at one moment, to be read while others go on writing.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use rusqlite::{Connection, OpenFlags, backup::Backup};

use crate::{
    db::{
        Db, DbError, Engine, TenantDb,
        sqlite::{self, Create, Database},
    },
    tenancy::Inner,
    tenant::{Isolation, Tenant, TenantId},
};

/// What a snapshot is read by. On a server it is a transaction's; of a file it is a copy, that is
/// gone when this is dropped.
pub(super) struct Snapshot {
    db: TenantDb,
    _copy: Option<Copied>,
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
                _copy: None,
            });
        }
        let folder = folder(inner);
        let path = folder.join(format!("{}.db", TenantId::generate()));
        let (from, to) = (inner.places.files().path(tenant.id()), path.clone());
        let held = tokio::task::spawn_blocking(move || {
            fs::create_dir_all(folder).map_err(failed)?;
            copy(&from, &to)
        })
        .await
        .map_err(|_| DbError::Closed)??;
        let database = Database::new(&path, Create::Never);
        Ok(Self {
            db: Db::new(Engine::Sqlite(database.clone())),
            _copy: Some(Copied {
                path,
                database,
                _held: held,
            }),
        })
    }

    pub(super) fn db(&self) -> &TenantDb {
        &self.db
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        self.database.close_here();
        remove(&self.path);
    }
}

/// Copies a file as it is at one moment, page by page, without keeping anybody from writing.
fn copy(from: &Path, to: &Path) -> Result<File, DbError> {
    let held = File::create_new(to).map_err(failed)?;
    held.lock().map_err(failed)?;
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

fn failed(error: std::io::Error) -> DbError {
    DbError::Engine(Box::new(error))
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
