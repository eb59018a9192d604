use std::{
    fs::{self, File, TryLockError},
    path::{Path, PathBuf},
    time::Duration,
};

use tokio::runtime::Handle;
use tokio_postgres::SimpleQueryMessage;

use crate::{
    central::Central,
    db::{
        DbError,
        postgres::{Server, owners::OwnerConn, translate},
    },
    tenancy::Inner,
    tenant::TenantId,
};

/// The right to work on one tenant's making or erasing, among all processes that share the
/// catalog. It ends with the process that holds it, however that ends.
pub(super) enum TenantLock {
    /// A lock on a file, where the catalog is a file.
    File {
        /// Removed at the end.
        path: PathBuf,
        /// Unlocked by being closed.
        _file: File,
    },
    /// A transaction that holds an advisory lock, where the catalog is on a server: it lasts
    /// behind a pooler, too.
    Server {
        /// Rolled back at the end.
        client: Option<OwnerConn>,
    },
}

/// Who sweeps holds a lock for a moment, and a server takes a moment to see that a connection has
/// ended: so one that is held is tried again this often.
const TRIES: u32 = 8;
const BETWEEN: Duration = Duration::from_millis(10);

impl TenantLock {
    /// Takes the lock, unless somebody has it.
    pub(super) async fn try_take(tenancy: &Inner, id: TenantId) -> Result<Option<Self>, DbError> {
        for _ in 1..TRIES {
            if let Some(lock) = Self::try_once(tenancy, id).await? {
                return Ok(Some(lock));
            }
            tokio::time::sleep(BETWEEN).await;
        }
        Self::try_once(tenancy, id).await
    }

    /// As [`try_take`](Self::try_take), without waiting.
    pub(super) async fn try_once(tenancy: &Inner, id: TenantId) -> Result<Option<Self>, DbError> {
        match &tenancy.central {
            Central::File { .. } => Self::on_file(tenancy, id),
            Central::Server(server) => Self::on_server(server, id).await,
        }
    }

    async fn on_server(server: &Server, id: TenantId) -> Result<Option<Self>, DbError> {
        let client = server.owner(&server.home()).await?;
        let (high, low) = id.as_uuid().as_u64_pair();
        let key = (high ^ low).cast_signed();
        let sql = format!("BEGIN; SELECT pg_try_advisory_xact_lock({key})");
        let said = client.simple_query(&sql).await.map_err(translate)?;
        let taken = said.iter().any(
            |message| matches!(message, SimpleQueryMessage::Row(row) if row.get(0) == Some("t")),
        );
        let client = Some(client);
        // one that is not taken is rolled back as well
        let lock = Self::Server { client };
        Ok(taken.then_some(lock))
    }

    fn on_file(tenancy: &Inner, id: TenantId) -> Result<Option<Self>, DbError> {
        let failed = |error| DbError::Engine(Box::new(error));
        let folder = tenancy.data.join("locks");
        fs::create_dir_all(&folder).map_err(failed)?;
        let path = folder.join(format!("{id}.lock"));
        let file = File::create(&path).map_err(failed)?;
        match file.try_lock() {
            // whoever held it may have removed it in between: then it is the lock of nothing
            Ok(()) if !is_at(&file, &path) => Ok(None),
            Ok(()) => Ok(Some(Self::File { path, _file: file })),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }
}

/// Whether the open file is the one that the path names now.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;

    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(named)) => (open.dev(), open.ino()) == (named.dev(), named.ino()),
        _ => false,
    }
}

/// Elsewhere a file that is open cannot be removed.
#[cfg(not(unix))]
fn is_at(_: &File, _: &Path) -> bool {
    true
}

/// Removes the lock files that killed processes left behind.
pub(super) fn sweep(tenancy: &Inner) -> Result<(), DbError> {
    let failed = |error| DbError::Engine(Box::new(error));
    let entries = match fs::read_dir(tenancy.data.join("locks")) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        entries => entries.map_err(failed)?,
    };
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        let id = name.to_str().and_then(|name| name.strip_suffix(".lock"));
        if let Some(id) = id.and_then(|id| id.parse().ok()) {
            // held by nobody, it goes as it is let go
            drop(TenantLock::on_file(tenancy, id)?);
        }
    }
    Ok(())
}

impl Drop for TenantLock {
    fn drop(&mut self) {
        match self {
            Self::File { path, .. } => drop(fs::remove_file(path)),
            Self::Server { client } => {
                if let (Some(client), Ok(runtime)) = (client.take(), Handle::try_current()) {
                    drop(runtime.spawn(client.roll_back()));
                }
            }
        }
    }
}
