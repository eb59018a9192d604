//! One connection to one file: how it is opened, and what may be said on it.

use std::{
    path::Path,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rusqlite::{
    Connection, OpenFlags,
    config::DbConfig,
    hooks::{AuthAction, AuthContext, Authorization},
    limits::Limit,
};

use super::{
    error::{is_interruption, translate},
    functions::Clock,
};
use crate::db::{AUDIT_TABLE, DbError};

/// The first SQLite without the bug that can lose commits when a write-ahead log is reset while
/// another connection writes (<https://www.sqlite.org/wal.html#walresetbug>).
const OLDEST_SAFE: (i32, &str) = (3_051_003, "3.51.3");

/// How long a statement waits for another process' lock.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);

/// A configured connection. What is said on it is untrusted unless said [`Self::trusted`]ly.
pub(super) struct Conn {
    raw: Connection,
    trusted: Arc<AtomicBool>,
    clock: Clock,
    deadline: Deadline,
}

/// Until when the statement that runs may take. SQLite asks now and then.
#[derive(Clone, Default)]
struct Deadline(Arc<Mutex<Times>>);

#[derive(Default)]
struct Times {
    /// How long each statement may take.
    longest: Option<Duration>,
    /// When the one that runs is to end, where one is timed.
    end: Option<Instant>,
    /// How often it may still be asked, where it is to be brief.
    questions: Option<u32>,
}

/// How many steps of SQLite's are taken between two questions: well below a millisecond.
const BETWEEN_QUESTIONS: i32 = 1_000;

/// How many questions long what is brief may be. By steps and not by the clock, so that the same
/// statement on the same data always is brief, or never is.
const BRIEF: u32 = 5;

impl Deadline {
    fn lock(&self) -> MutexGuard<'_, Times> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_over(&self) -> bool {
        self.lock().end.is_some_and(|end| Instant::now() >= end)
    }

    /// SQLite's question whether to stop.
    fn answer(&self) -> bool {
        let mut times = self.lock();
        if let Some(questions) = &mut times.questions {
            *questions = questions.saturating_sub(1);
            if *questions == 0 {
                return true;
            }
        }
        drop(times);
        self.is_over()
    }
}

/// What came of a read that was to be brief.
pub(super) enum Brief<R> {
    Ended(Result<R, DbError>),
    /// It was not brief, and was stopped.
    Long,
    /// It would have had to wait for another process.
    Busy,
}

/// A statement that is timed, until this is dropped.
pub(super) struct Timed<'c>(&'c Deadline);

impl Timed<'_> {
    /// Whether it took longer than it may.
    pub(super) fn is_over(&self) -> bool {
        self.0.is_over()
    }
}

impl Drop for Timed<'_> {
    fn drop(&mut self) {
        self.0.lock().end = None;
    }
}

/// Until this is dropped nothing is waited for, and what is not brief is stopped.
struct Hurry<'c>(&'c Conn);

impl Drop for Hurry<'_> {
    fn drop(&mut self) {
        self.0.deadline.lock().questions = None;
        // it only notes the number
        drop(self.0.raw.busy_timeout(BUSY_TIMEOUT));
    }
}

/// Trust placed for as long as this exists.
struct Trust<'a> {
    trusted: &'a AtomicBool,
    before: bool,
}

impl<'a> Trust<'a> {
    fn place(trusted: &'a AtomicBool) -> Self {
        Self {
            trusted,
            before: trusted.swap(true, Ordering::Relaxed),
        }
    }
}

impl Drop for Trust<'_> {
    fn drop(&mut self) {
        self.trusted.store(self.before, Ordering::Relaxed);
    }
}

/// Whether opening may make the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Create {
    /// A missing file is an error: a file that vanished must not come back empty.
    Never,
    /// A missing file is made.
    IfMissing,
}

/// Whose statements a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    /// An application's: the library's own tables cannot be written.
    Application,
    /// The catalog's.
    Catalog,
}

impl Conn {
    pub(super) fn open(
        path: &Path,
        create: Create,
        owner: Owner,
        read_only: bool,
    ) -> Result<Self, DbError> {
        assert_safe_version()?;
        let mut flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        if create == Create::IfMissing {
            flags |= OpenFlags::SQLITE_OPEN_CREATE;
        }
        let raw = Connection::open_with_flags(path, flags).map_err(translate)?;
        let trusted = Arc::new(AtomicBool::new(true));
        let clock = Clock::default();
        configure(&raw, read_only, owner, &trusted, &clock).map_err(translate)?;
        let deadline = Deadline::default();
        let asked = deadline.clone();
        raw.progress_handler(BETWEEN_QUESTIONS, Some(move || asked.answer()))
            .map_err(translate)?;
        trusted.store(false, Ordering::Relaxed);
        Ok(Self {
            raw,
            trusted,
            clock,
            deadline,
        })
    }

    /// The connection as application code may use it.
    pub(super) fn raw(&self) -> &Connection {
        &self.raw
    }

    /// The connection for the library's own statements: transactions, migrations, bookkeeping.
    ///
    /// They must not be prepared into the connection's cache: who says the same text later gets a
    /// cached statement as it is, and the authorizer is not asked again.
    pub(super) fn trusted<R>(&self, work: impl FnOnce(&Connection) -> R) -> R {
        // given back on unwinding too: the connection may be lent again
        let _trust = Trust::place(&self.trusted);
        work(&self.raw)
    }

    /// Says a statement of the library's own. A transaction's beginning is what `now()` is in it.
    pub(super) fn control(&self, sql: &str) -> Result<(), DbError> {
        self.trusted(|raw| raw.execute_batch(sql))
            .map_err(translate)?;
        if sql.starts_with("BEGIN") {
            self.clock.set();
        }
        Ok(())
    }

    /// Says how long each statement may take from now on.
    pub(super) fn stop_after(&self, longest: Option<Duration>) {
        self.deadline.lock().longest = longest;
    }

    /// Begins a statement, which is stopped when it takes too long.
    pub(super) fn timed(&self) -> Timed<'_> {
        let mut times = self.deadline.lock();
        times.end = times.longest.map(|longest| Instant::now() + longest);
        drop(times);
        Timed(&self.deadline)
    }

    /// Does a read that is stopped when it turns out not to be brief, and waits for nobody.
    pub(super) fn briefly<R>(&self, read: impl FnOnce(&Self) -> Result<R, DbError>) -> Brief<R> {
        if let Err(error) = self.raw.busy_timeout(Duration::ZERO) {
            return Brief::Ended(Err(translate(error)));
        }
        // as before on unwinding too: the connection may be lent again
        let hurry = Hurry(self);
        self.deadline.lock().questions = Some(BRIEF);
        let done = read(self);
        let stopped = self.deadline.lock().questions == Some(0);
        drop(hurry);
        match done {
            Err(error) if stopped && is_interruption(&error) => Brief::Long,
            Err(DbError::Busy) => Brief::Busy,
            done => Brief::Ended(done),
        }
    }

    /// Does something within a statement that is none of its time.
    pub(super) fn not_timed<R>(&self, work: impl FnOnce() -> R) -> R {
        if self.deadline.lock().end.is_none() {
            return work();
        }
        let begun = Instant::now();
        let done = work();
        if let Some(end) = &mut self.deadline.lock().end {
            *end += begun.elapsed();
        }
        done
    }

    /// Notes the time that `now()` is, unless a transaction has noted it at its beginning.
    pub(super) fn set_clock(&self) {
        if self.raw.is_autocommit() {
            self.clock.set();
        }
    }
}

/// Refuses a SQLite with a known way to lose data.
pub(crate) fn assert_safe_version() -> Result<(), DbError> {
    if rusqlite::version_number() < OLDEST_SAFE.0 {
        return Err(DbError::Engine(
            format!(
                "SQLite {} can lose data; at least {} is needed",
                rusqlite::version(),
                OLDEST_SAFE.1
            )
            .into(),
        ));
    }
    Ok(())
}

fn configure(
    raw: &Connection,
    read_only: bool,
    owner: Owner,
    trusted: &Arc<AtomicBool>,
    clock: &Clock,
) -> rusqlite::Result<()> {
    raw.busy_timeout(BUSY_TIMEOUT)?;
    raw.set_prepared_statement_cache_capacity(64);
    raw.pragma_update(None, "journal_mode", "WAL")?;
    // what is acknowledged survives a power cut
    raw.pragma_update(None, "synchronous", "FULL")?;
    raw.pragma_update(None, "foreign_keys", true)?;
    // what a REPLACE removes is told to triggers, too
    raw.pragma_update(None, "recursive_triggers", true)?;
    raw.pragma_update(None, "cache_size", -1024)?;
    // as PostgreSQL's LIKE
    raw.pragma_update(None, "case_sensitive_like", true)?;
    raw.pragma_update(None, "query_only", read_only)?;
    raw.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    raw.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    // a string in double quotes is a mistake, not a string
    raw.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    raw.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
    raw.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
    super::functions::register(raw, clock)?;
    let trusted = trusted.clone();
    raw.authorizer(Some(move |context: AuthContext<'_>| {
        authorize(&context, owner, trusted.load(Ordering::Relaxed))
    }))
}

/// What a statement may do: read and write rows of this file's tables, and no more. The rest is
/// what PostgreSQL's request role may not do either.
fn authorize(context: &AuthContext<'_>, owner: Owner, trusted: bool) -> Authorization {
    match context.action {
        AuthAction::Attach { .. } | AuthAction::Detach { .. } => Authorization::Deny,
        _ if trusted => Authorization::Allow,
        AuthAction::Insert { table_name }
        | AuthAction::Update { table_name, .. }
        | AuthAction::Delete { table_name }
            if owner == Owner::Application && table_name.starts_with("tenantry_") =>
        {
            Authorization::Deny
        }
        // what was written down stays as it is
        AuthAction::Update { table_name, .. } | AuthAction::Delete { table_name }
            if table_name == AUDIT_TABLE =>
        {
            Authorization::Deny
        }
        AuthAction::Function { function_name }
            if function_name.eq_ignore_ascii_case("load_extension") =>
        {
            Authorization::Deny
        }
        // full text asks whether others have written meanwhile
        AuthAction::Pragma {
            pragma_name: "data_version",
            pragma_value: None,
        }
        | AuthAction::Select
        | AuthAction::Read { .. }
        | AuthAction::Recursive
        | AuthAction::Function { .. }
        | AuthAction::Insert { .. }
        | AuthAction::Update { .. }
        | AuthAction::Delete { .. } => Authorization::Allow,
        _ => Authorization::Deny,
    }
}
