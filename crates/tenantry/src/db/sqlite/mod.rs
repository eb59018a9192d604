//! The SQLite engine: a file per database, through `rusqlite`.

mod blocking;
mod connection;
mod database;
pub(crate) mod ddl;
mod error;
mod functions;
mod statement;
mod stream;
mod transaction;

use std::{ops::ControlFlow, sync::Arc};

pub(crate) use connection::{Create, assert_safe_version};
pub(crate) use database::Database;
pub(super) use statement::read_column;
pub(super) use stream::{Rows, start_alone};
pub(super) use transaction::Transaction;

pub(crate) use error::translate;

use self::{
    blocking::on_lease,
    database::Access,
    statement::{Attempt, looks_like_a_read, run},
};
use super::{DbError, FromRow, Value};

/// Runs one statement by itself and reads up to `most` of its rows.
pub(super) async fn fetch<T: FromRow + Send + 'static>(
    database: &Arc<Database>,
    sql: Arc<str>,
    params: Arc<[Value]>,
    most: usize,
) -> Result<(Vec<T>, u64), DbError> {
    let mut access = if looks_like_a_read(&sql) {
        Access::Read
    } else {
        Access::Write
    };
    loop {
        let lease = database.borrow(access).await?;
        let only_read = lease.only_reads();
        let (sql, params) = (sql.clone(), params.clone());
        let (_lease, attempt) = on_lease(lease, move |conn| {
            collect(|each| run(conn, only_read, &sql, &params, each), most)
        })
        .await?;
        match attempt? {
            Attempt::Done(answer) => return Ok(answer),
            Attempt::NeedsWriter => access = Access::Write,
        }
    }
}

type Each<'a> = &'a mut dyn FnMut(&super::Row<'_>) -> Result<ControlFlow<()>, DbError>;

/// Collects up to `most` rows of a run. A statement is always run to its end, so that a write
/// with RETURNING is done whole however few rows are wanted.
fn collect<T: FromRow>(
    run: impl FnOnce(Each<'_>) -> Result<Attempt<u64>, DbError>,
    most: usize,
) -> Result<Attempt<(Vec<T>, u64)>, DbError> {
    let mut rows = Vec::new();
    let attempt = run(&mut |row| {
        if rows.len() < most {
            rows.push(T::from_row(row)?);
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(match attempt {
        Attempt::Done(count) => Attempt::Done((rows, count)),
        Attempt::NeedsWriter => Attempt::NeedsWriter,
    })
}

/// Runs the library's own work on the file's writer.
pub(crate) async fn trusted<R: Send + 'static>(
    database: &Arc<Database>,
    work: impl FnOnce(&rusqlite::Connection) -> Result<R, DbError> + Send + 'static,
) -> Result<R, DbError> {
    let lease = database.borrow(Access::Write).await?;
    let (lease, result) = on_lease(lease, move |conn| {
        conn.set_clock();
        let result = conn.trusted(work);
        if !conn.raw().is_autocommit() {
            conn.control("ROLLBACK")?;
        }
        result
    })
    .await?;
    drop(lease);
    result
}
