//! One file: a writer, a few readers, and the lending of them.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connection::{Conn, Create, Owner};
use crate::db::{
    DbError,
    meter::{Account, Clock},
    timeout::Timeout,
};

const READERS: usize = 4;

/// How long a caller waits for its turn on a file.
const PATIENCE: Duration = Duration::from_secs(10);

/// An open SQLite file. Connections are opened as they are needed and kept until it is dropped.
///
/// Dropping the last owner closes the connections; nothing else does, so none can be closed while
/// somebody uses it.
pub(crate) struct Database {
    path: PathBuf,
    create: Create,
    owner: Owner,
    writer: Arc<Semaphore>,
    readers: Arc<Semaphore>,
    idle: Mutex<Idle>,
}

#[derive(Default)]
struct Idle {
    writer: Option<Conn>,
    readers: Vec<Conn>,
}

/// What a connection is borrowed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

impl Database {
    /// The file at `path`, for the application's statements.
    pub(crate) fn new(path: &Path, create: Create) -> Arc<Self> {
        Self::owned_by(Owner::Application, path, create)
    }

    /// The central file at `path`, for the catalog's statements.
    pub(crate) fn for_catalog(path: &Path) -> Arc<Self> {
        Self::owned_by(Owner::Catalog, path, Create::Never)
    }

    fn owned_by(owner: Owner, path: &Path, create: Create) -> Arc<Self> {
        Arc::new(Self {
            owner,
            path: path.into(),
            create,
            writer: Arc::new(Semaphore::new(1)),
            readers: Arc::new(Semaphore::new(READERS)),
            idle: Mutex::default(),
        })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Ends it: from now on every use of it is [`DbError::Closed`].
    pub(crate) fn close(&self) {
        self.writer.close();
        self.readers.close();
        let idle = std::mem::take(&mut *self.idle());
        drop_elsewhere(idle);
    }

    /// As [`close`](Self::close), and its idle connections are closed when this returns.
    pub(crate) fn close_here(&self) {
        self.writer.close();
        self.readers.close();
        drop(std::mem::take(&mut *self.idle()));
    }

    pub(super) async fn borrow(
        self: &Arc<Self>,
        access: Access,
        account: &Account,
        timeout: Timeout,
    ) -> Result<Lease, DbError> {
        let waiting = account.wait();
        let slots = match access {
            Access::Read => &self.readers,
            Access::Write => &self.writer,
        };
        let turn = tokio::time::timeout(PATIENCE, slots.clone().acquire_owned()).await;
        Ok(Lease {
            database: self.clone(),
            access,
            longest: timeout.longest(),
            conn: None,
            _turn: turn
                .map_err(|_| DbError::Busy)?
                .map_err(|_| DbError::Closed)?,
            _loan: waiting.lent(),
        })
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        drop_elsewhere(std::mem::take(&mut *self.idle()));
    }
}

/// Closing a connection checkpoints its file, so it is not done on a thread that serves requests.
fn drop_elsewhere(idle: Idle) {
    if idle.writer.is_none() && idle.readers.is_empty() {
        return;
    }
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn_blocking(move || drop(idle))),
        Err(_) => drop(idle),
    }
}

/// A connection on loan, with its turn in the queue. It goes back by being dropped, with whatever
/// transaction was left open on it rolled back.
pub(crate) struct Lease {
    database: Arc<Database>,
    access: Access,
    /// How long a statement may take.
    longest: Option<Duration>,
    conn: Option<Conn>,
    _turn: OwnedSemaphorePermit,
    _loan: Clock,
}

impl Lease {
    pub(super) fn only_reads(&self) -> bool {
        self.access == Access::Read
    }

    /// The connection, opened now if none was idle. It blocks.
    pub(super) fn conn(&mut self) -> Result<&Conn, DbError> {
        let conn = match self.conn.take() {
            Some(conn) => conn,
            None => self.take_or_open()?,
        };
        let conn = self.conn.insert(conn);
        conn.stop_after(self.longest);
        Ok(conn)
    }

    fn take_or_open(&self) -> Result<Conn, DbError> {
        let idle = match self.access {
            Access::Read => self.database.idle().readers.pop(),
            Access::Write => self.database.idle().writer.take(),
        };
        idle.map_or_else(
            || {
                let database = &self.database;
                Conn::open(
                    &database.path,
                    database.create,
                    database.owner,
                    self.only_reads(),
                )
            },
            Ok,
        )
    }

    /// Whether a transaction is open, which dropping the lease would roll back.
    pub(crate) fn in_transaction(&self) -> bool {
        self.conn
            .as_ref()
            .is_some_and(|conn| !conn.raw().is_autocommit())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(conn) = self.conn.take() else { return };
        if !conn.raw().is_autocommit() && conn.control("ROLLBACK").is_err() {
            return; // a connection in an unknown state is not lent again
        }
        let mut idle = self.database.idle();
        // asked under the lock, which closing takes after it has closed this
        if self.database.writer.is_closed() {
            return;
        }
        match self.access {
            Access::Read => idle.readers.push(conn),
            Access::Write => idle.writer = Some(conn),
        }
    }
}
