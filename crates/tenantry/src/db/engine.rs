//! What every engine can do, and which one does it.

use std::{any::Any, sync::Arc};

use tokio::sync::oneshot;

use super::{
    DbError, FromRow, Value, pipeline::Step, postgres, query::Rows, sqlite, transaction::Lock,
};

/// A database behind a handle.
#[derive(Clone)]
pub(crate) enum Engine {
    Sqlite(Arc<sqlite::Database>),
    Postgres(Arc<postgres::Scope>),
}

/// A connection on which a transaction is.
pub(crate) enum Lease {
    Sqlite(sqlite::Lease),
    Postgres(postgres::Lease),
}

impl Engine {
    /// Runs one statement by itself and reads up to `most` of its rows.
    pub(super) async fn fetch<T: FromRow + Send + 'static>(
        &self,
        sql: Arc<str>,
        params: Vec<Value>,
        most: usize,
    ) -> Result<(Vec<T>, u64), DbError> {
        match self {
            Self::Sqlite(database) => sqlite::fetch(database, sql, params.into(), most).await,
            Self::Postgres(scope) => postgres::fetch(scope, &sql, &params, most).await,
        }
    }

    pub(super) async fn stream<T: FromRow + Send + 'static>(
        &self,
        sql: Arc<str>,
        params: Arc<[Value]>,
    ) -> Result<Rows<T>, DbError> {
        Ok(match self {
            Self::Sqlite(database) => {
                Rows::Sqlite(sqlite::start_alone(database, sql, params).await?)
            }
            Self::Postgres(scope) => {
                Rows::Postgres(postgres::start_alone(scope, sql, params).await?)
            }
        })
    }

    pub(super) async fn run_pipeline(
        &self,
        steps: Vec<Step>,
    ) -> Result<Vec<Box<dyn Any + Send>>, DbError> {
        match self {
            Self::Sqlite(database) => sqlite::run_pipeline(database, steps).await,
            Self::Postgres(scope) => postgres::run_pipeline(scope, steps).await,
        }
    }

    /// How a transaction begins.
    pub(super) fn begin(&self) -> &str {
        match self {
            Self::Sqlite(_) => "BEGIN IMMEDIATE",
            Self::Postgres(scope) => scope.begin(),
        }
    }

    /// What is said in a transaction to hold a lock. A file's writer holds every lock.
    pub(super) fn lock(&self, how: Lock, key: i64) -> Vec<String> {
        match (self, how) {
            (Self::Sqlite(_), _) => Vec::new(),
            (Self::Postgres(_), Lock::Shared) => {
                vec![format!("SELECT pg_advisory_xact_lock_shared({key})")]
            }
            (Self::Postgres(_), Lock::Alone) => {
                vec![format!("SELECT pg_advisory_xact_lock({key})")]
            }
            // whoever waited for it would have all others wait behind
            (Self::Postgres(_), Lock::IfFree) => vec![
                "SET LOCAL lock_timeout = '2ms'".into(),
                format!("SELECT pg_advisory_xact_lock({key})"),
                "SET LOCAL lock_timeout = 0".into(),
            ],
        }
    }

    /// Whether both speak to the same tenant's database.
    pub(super) fn is_place_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Sqlite(one), Self::Sqlite(other)) => one.path() == other.path(),
            (Self::Postgres(one), Self::Postgres(other)) => one.is_scope_of(other),
            _ => false,
        }
    }

    pub(super) async fn borrow(&self) -> Result<Lease, DbError> {
        Ok(match self {
            Self::Sqlite(database) => Lease::Sqlite(sqlite::borrow_writer(database).await?),
            Self::Postgres(scope) => Lease::Postgres(postgres::borrow(scope).await?),
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
        match (self, lease) {
            (_, Lease::Sqlite(lease)) => {
                let (lease, result) =
                    sqlite::fetch_within(lease, prelude, sql, params, most).await?;
                Ok((Lease::Sqlite(lease), result))
            }
            (Self::Postgres(scope), Lease::Postgres(lease)) => {
                let (lease, result) =
                    postgres::fetch_within(scope, lease, prelude, &sql, &params, most).await;
                Ok((Lease::Postgres(lease), result))
            }
            (Self::Sqlite(_), Lease::Postgres(_)) => Err(DbError::Closed),
        }
    }

    pub(super) fn stream_within<T: FromRow + Send + 'static>(
        &self,
        lease: Lease,
        sql: Arc<str>,
        params: Arc<[Value]>,
        home: oneshot::Sender<(Lease, bool)>,
    ) -> Rows<T> {
        match (self, lease) {
            (_, Lease::Sqlite(lease)) => {
                Rows::Sqlite(sqlite::stream_within(lease, sql, params, home))
            }
            (Self::Postgres(scope), Lease::Postgres(lease)) => {
                Rows::Postgres(postgres::stream_within(scope, lease, sql, params, home))
            }
            (Self::Sqlite(_), Lease::Postgres(_)) => Rows::Nothing,
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
