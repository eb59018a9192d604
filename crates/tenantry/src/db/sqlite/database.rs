//! One file: a writer, a few readers, and the lending of them.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connection::{Brief, Conn, Create, Owner};
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
    /// Reads that were found not to be brief.
    long: HashSet<Arc<str>>,
    /// Until when no read is done where it is asked.
    elsewhere_until: Option<Instant>,
}

/// How many of them are remembered.
const MOST_LONG: usize = 64;

/// How long a read that is few steps may take and still be brief. A single step may be a comparison of two
/// long texts, which nothing can stop.
const SLOW: Duration = Duration::from_millis(10);

/// After one that took longer, how many times as long all reads of the file are done elsewhere: whatever a
/// tenant has in its rows, it keeps a thread that serves others for no more than a tenth of the time.
const REST: u32 = 9;

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

    /// Does a read here and now, on a connection that is open already. `None` where there is none, or
    /// the read is not brief, or another process is in its way: nothing has come of it then, and it is
    /// to be done on a thread that may be kept waiting.
    pub(super) fn briefly<R>(
        &mut self,
        sql: &Arc<str>,
        read: impl FnOnce(&Conn) -> Result<R, DbError>,
    ) -> Option<Result<R, DbError>> {
        let idle = {
            let mut idle = self.database.idle();
            if idle.long.contains(sql) {
                return None;
            }
            if let Some(until) = idle.elsewhere_until {
                if Instant::now() < until {
                    return None;
                }
                idle.elsewhere_until = None;
            }
            idle.readers.pop()?
        };
        let conn = self.conn.insert(idle);
        conn.stop_after(self.longest);
        let begun = Instant::now();
        let brief = conn.briefly(read);
        let took = begun.elapsed();
        if took > SLOW {
            self.database.idle().elsewhere_until = Some(begun + took * (1 + REST));
        }
        match brief {
            Brief::Ended(done) => Some(done),
            Brief::Busy => None,
            Brief::Long => {
                let long = &mut self.database.idle().long;
                if long.len() >= MOST_LONG {
                    long.clear();
                }
                long.insert(sql.clone());
                None
            }
        }
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

#[cfg(test)]
mod tests {
    use std::{
        panic::AssertUnwindSafe,
        sync::Arc,
        time::{Duration, Instant},
    };

    use futures_util::FutureExt;

    use super::{Access, Create, Database};
    use crate::db::{DbError, Value, meter::Account, query::First, sqlite, timeout::Timeout};

    /// Counts far beyond what is brief.
    const LONG: &str =
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000)
        SELECT count(*) FROM n";

    async fn count(database: &Arc<Database>, sql: &str, timeout: Timeout) -> Result<i64, DbError> {
        let (account, params) = (&Account::NOBODY, Vec::<Value>::new());
        let asked = (account, timeout);
        let (rows, _) = sqlite::fetch::<First<i64>>(database, asked, sql.into(), params, 1).await?;
        Ok(rows.into_iter().next().ok_or(DbError::NotFound)?.0)
    }

    #[tokio::test]
    async fn a_brief_read_is_done_where_it_is_asked_and_a_long_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::new(&folder.path().join("a.db"), Create::IfMissing);
        let asked = |sql| count(&database, sql, Timeout::AsConnected);
        // opening a file waits for the disk
        let mut first = Box::pin(asked("SELECT 1"));
        assert!(first.as_mut().now_or_never().is_none());
        assert_eq!(first.await.unwrap(), 1);
        assert_eq!(asked("SELECT 2").now_or_never().unwrap().unwrap(), 2);
        for _ in 0..2 {
            let mut long = Box::pin(asked(LONG));
            assert!(long.as_mut().now_or_never().is_none());
            assert_eq!(long.await.unwrap(), 50_000);
            assert!(database.idle().long.contains(LONG));
        }
        assert_eq!(asked("SELECT 3").now_or_never().unwrap().unwrap(), 3);
        // it is stopped by its own time and by nothing else, on whichever thread
        let in_no_time = Timeout::After(Duration::ZERO);
        let late = count(&database, LONG, in_no_time).await;
        assert!(matches!(late, Err(DbError::Timeout)), "{late:?}");
        assert_eq!(asked(LONG).await.unwrap(), 50_000);
    }

    #[tokio::test]
    async fn after_a_step_that_takes_long_reads_are_done_elsewhere_for_a_while() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::new(&folder.path().join("a.db"), Create::IfMissing);
        let asked = |sql| count(&database, sql, Timeout::AsConnected);
        asked("SELECT 1").await.unwrap();
        let slow = "SELECT count(*) FROM (SELECT hex(zeroblob(20000)) AS a)
            WHERE a LIKE '%' || substr(hex(zeroblob(1000)), 1, 1500) || '1%'";
        assert_eq!(asked(slow).now_or_never().unwrap().unwrap(), 0);
        for sql in [slow, "SELECT 2"] {
            let mut next = Box::pin(asked(sql));
            assert!(next.as_mut().now_or_never().is_none(), "{sql}");
            next.await.unwrap();
        }
        database.idle().elsewhere_until = Some(Instant::now());
        assert_eq!(asked("SELECT 3").now_or_never().unwrap().unwrap(), 3);
    }

    #[tokio::test]
    async fn a_connection_is_as_before_whatever_became_of_a_brief_read() {
        let folder = tempfile::tempdir().unwrap();
        let database = Database::new(&folder.path().join("a.db"), Create::IfMissing);
        let whole = Timeout::AsConnected;
        count(&database, "SELECT 1", whole).await.unwrap();
        let patience = "PRAGMA busy_timeout";
        for fails in [false, true] {
            let lease = database.borrow(Access::Read, &Account::NOBODY, whole);
            let mut lease = lease.await.unwrap();
            let read = AssertUnwindSafe(|| {
                lease.briefly(&"SELECT 1".into(), |conn| {
                    let waits: i64 =
                        conn.trusted(|raw| raw.query_row(patience, (), |row| row.get(0)).unwrap());
                    assert!(!fails, "as a type that cannot be read might");
                    Ok(waits)
                })
            });
            let read = std::panic::catch_unwind(read);
            assert_eq!(read.is_err(), fails);
            if let Ok(read) = read {
                assert_eq!(read.unwrap().unwrap(), 0, "it waits for nobody");
            }
            drop(lease);
            {
                let idle = database.idle();
                let conn = idle.readers.last().unwrap();
                let waits: i64 =
                    conn.trusted(|raw| raw.query_row(patience, (), |row| row.get(0)).unwrap());
                assert_eq!(waits, 5_000);
            }
            assert_eq!(count(&database, LONG, whole).await.unwrap(), 50_000);
        }
    }
}
