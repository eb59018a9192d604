//! What every engine can do, and which one does it.

use std::{any::Any, sync::Arc};

use tokio::sync::oneshot;

use super::{
    DbError, FromRow, Value,
    meter::{Account, Quantity},
    pipeline::Step,
    postgres,
    query::Rows,
    sqlite,
    timeout::Timeout,
    transaction::Lock,
};

/// A database behind a handle, and on whose account it goes what is done on it.
#[derive(Clone)]
pub(crate) struct Engine {
    pub(crate) kind: Kind,
    pub(super) account: Account,
    timeout: Timeout,
}

/// Which of the engines it is.
#[derive(Clone)]
pub(crate) enum Kind {
    Sqlite(Arc<sqlite::Database>),
    Postgres(Arc<postgres::Scope>),
}

/// A connection on which a transaction is.
pub(crate) enum Lease {
    Sqlite(sqlite::Lease),
    Postgres(postgres::Lease),
}

impl Engine {
    /// A file, used on nobody's account.
    pub(crate) fn sqlite(database: Arc<sqlite::Database>) -> Self {
        Self {
            kind: Kind::Sqlite(database),
            account: Account::NOBODY,
            timeout: Timeout::AsConnected,
        }
    }

    /// A scope on a server, used on nobody's account.
    pub(crate) fn postgres(scope: impl Into<Arc<postgres::Scope>>) -> Self {
        Self {
            kind: Kind::Postgres(scope.into()),
            account: Account::NOBODY,
            timeout: Timeout::AsConnected,
        }
    }

    /// The same, used on that account.
    pub(crate) fn on(self, account: Account) -> Self {
        Self { account, ..self }
    }

    /// The same, with statements that take no longer.
    pub(crate) fn within(self, timeout: Timeout) -> Self {
        let timeout = match &self.kind {
            Kind::Sqlite(_) => timeout,
            Kind::Postgres(scope) => timeout.unless(scope.server.statement_timeout()),
        };
        Self { timeout, ..self }
    }

    /// Counts a statement with the rows that it returned or changed.
    fn counted<T>(&self, result: &Result<(Vec<T>, u64), DbError>) {
        self.account.add(Quantity::Statements, 1);
        if let Ok((_, rows)) = result {
            self.account.add(Quantity::Rows, *rows);
        }
    }

    /// Runs one statement by itself and reads up to `most` of its rows.
    pub(super) async fn fetch<T: FromRow + Send + 'static>(
        &self,
        sql: Arc<str>,
        params: Vec<Value>,
        most: usize,
    ) -> Result<(Vec<T>, u64), DbError> {
        let (account, timeout) = (&self.account, self.timeout);
        let result = match &self.kind {
            Kind::Sqlite(database) => {
                sqlite::fetch(database, (account, timeout), sql, params, most).await
            }
            Kind::Postgres(scope) => {
                postgres::fetch(scope, (account, timeout), &sql, &params, most).await
            }
        };
        self.counted(&result);
        result
    }

    pub(super) async fn stream<T: FromRow + Send + 'static>(
        &self,
        sql: Arc<str>,
        params: Arc<[Value]>,
    ) -> Result<Rows<T>, DbError> {
        let (account, timeout) = (&self.account, self.timeout);
        account.add(Quantity::Statements, 1);
        Ok(match &self.kind {
            Kind::Sqlite(database) => {
                Rows::Sqlite(sqlite::start_alone(database, (account, timeout), sql, params).await?)
            }
            Kind::Postgres(scope) => {
                Rows::Postgres(postgres::start_alone(scope, (account, timeout), sql, params).await?)
            }
        })
    }

    pub(super) async fn run_pipeline(
        &self,
        steps: Vec<Step>,
    ) -> Result<Vec<Box<dyn Any + Send>>, DbError> {
        let (account, timeout) = (&self.account, self.timeout);
        account.add(Quantity::Statements, steps.len() as u64);
        let (answers, rows) = match &self.kind {
            Kind::Sqlite(database) => {
                sqlite::run_pipeline(database, (account, timeout), steps).await?
            }
            Kind::Postgres(scope) => {
                postgres::run_pipeline(scope, (account, timeout), steps).await?
            }
        };
        account.add(Quantity::Rows, rows);
        Ok(answers)
    }

    /// How a transaction begins.
    pub(super) fn begin(&self) -> String {
        match &self.kind {
            Kind::Sqlite(_) => "BEGIN IMMEDIATE".into(),
            Kind::Postgres(scope) => scope.begin_within(self.timeout).into(),
        }
    }

    /// What is said in a transaction to hold a lock. A file's writer holds every lock.
    pub(super) fn lock(&self, how: Lock, key: i64) -> Vec<String> {
        match (&self.kind, how) {
            (Kind::Sqlite(_), _) => Vec::new(),
            (Kind::Postgres(_), Lock::Shared) => {
                vec![format!("SELECT pg_advisory_xact_lock_shared({key})")]
            }
            (Kind::Postgres(_), Lock::Alone) => {
                vec![format!("SELECT pg_advisory_xact_lock({key})")]
            }
            // whoever waited for it would have all others wait behind
            (Kind::Postgres(_), Lock::IfFree) => vec![
                "SET LOCAL lock_timeout = '2ms'".into(),
                format!("SELECT pg_advisory_xact_lock({key})"),
                "SET LOCAL lock_timeout = 0".into(),
            ],
        }
    }

    /// Whether both speak to the same tenant's database.
    pub(super) fn is_place_of(&self, other: &Self) -> bool {
        match (&self.kind, &other.kind) {
            (Kind::Sqlite(one), Kind::Sqlite(other)) => one.path() == other.path(),
            (Kind::Postgres(one), Kind::Postgres(other)) => one.is_scope_of(other),
            _ => false,
        }
    }

    pub(super) async fn borrow(&self) -> Result<Lease, DbError> {
        let account = &self.account;
        Ok(match &self.kind {
            Kind::Sqlite(database) => {
                Lease::Sqlite(sqlite::borrow_writer(database, (account, self.timeout)).await?)
            }
            Kind::Postgres(scope) => Lease::Postgres(postgres::borrow(scope, account).await?),
        })
    }

    /// Runs one statement of a transaction. The outer error means that the connection is lost.
    pub(super) async fn fetch_within<T: FromRow + Send + 'static>(
        &self,
        lease: Lease,
        prelude: Vec<String>,
        sql: Arc<str>,
        params: Arc<[Value]>,
        most: usize,
    ) -> Result<(Lease, Result<(Vec<T>, u64), DbError>), DbError> {
        let (lease, result) = match (&self.kind, lease) {
            (_, Lease::Sqlite(lease)) => {
                let (lease, result) =
                    sqlite::fetch_within(lease, prelude, sql, params, most).await?;
                (Lease::Sqlite(lease), result)
            }
            (Kind::Postgres(scope), Lease::Postgres(lease)) => {
                let (lease, result) =
                    postgres::fetch_within(scope, lease, prelude, &sql, &params, most).await;
                (Lease::Postgres(lease), result)
            }
            (Kind::Sqlite(_), Lease::Postgres(_)) => return Err(DbError::Closed),
        };
        self.counted(&result);
        Ok((lease, result))
    }

    pub(super) fn stream_within<T: FromRow + Send + 'static>(
        &self,
        lease: Lease,
        sql: Arc<str>,
        params: Arc<[Value]>,
        home: oneshot::Sender<(Lease, bool)>,
    ) -> Rows<T> {
        self.account.add(Quantity::Statements, 1);
        match (&self.kind, lease) {
            (_, Lease::Sqlite(lease)) => {
                Rows::Sqlite(sqlite::stream_within(lease, sql, params, home))
            }
            (Kind::Postgres(scope), Lease::Postgres(lease)) => {
                Rows::Postgres(postgres::stream_within(scope, lease, sql, params, home))
            }
            (Kind::Sqlite(_), Lease::Postgres(_)) => Rows::Nothing,
        }
    }
}

impl Lease {
    pub(super) async fn control(
        self,
        statements: Vec<String>,
    ) -> Result<(Self, Result<(), DbError>), DbError> {
        match self {
            Self::Sqlite(lease) => {
                let (lease, result) = sqlite::control(lease, statements).await?;
                Ok((Self::Sqlite(lease), result))
            }
            Self::Postgres(lease) => {
                let (lease, result) = postgres::control(lease, statements).await;
                Ok((Self::Postgres(lease), result))
            }
        }
    }

    /// Gives it back after its transaction has ended.
    pub(super) fn ended(self) {
        match self {
            Self::Sqlite(lease) => drop(lease),
            Self::Postgres(lease) => lease.ended(),
        }
    }

    pub(super) async fn roll_back(self) -> Result<(), DbError> {
        let (lease, result) = match self {
            Self::Sqlite(lease) if !lease.in_transaction() => return Ok(()),
            lease => lease.control(vec!["ROLLBACK".into()]).await?,
        };
        if result.is_ok() {
            lease.ended();
        }
        result
    }

    /// Rolls back without anybody waiting for it, and not on this thread if it can be helped.
    pub(super) fn roll_back_later(self) {
        match (tokio::runtime::Handle::try_current(), self) {
            (Ok(runtime), Self::Sqlite(lease)) if lease.in_transaction() => {
                drop(runtime.spawn_blocking(move || drop(lease)));
            }
            (Ok(runtime), lease @ Self::Postgres(_)) => {
                drop(runtime.spawn(lease.roll_back()));
            }
            (_, lease) => drop(lease),
        }
    }
}
