//! The SQLite engine: a file per database, through `rusqlite`.

mod blocking;
mod connection;
mod database;
pub(crate) mod ddl;
mod error;
mod functions;
pub(crate) mod schema;
mod statement;
mod stream;
mod without;

use std::{any::Any, ops::ControlFlow, sync::Arc};

pub(crate) use blocking::not_ended;
pub(crate) use connection::{Create, assert_safe_version};
pub(crate) use database::Database;
pub(crate) use database::Lease;
pub(super) use statement::read_column;
pub(super) use stream::{Rows, start_alone, stream_within};

pub(crate) use error::{failed, translate};
pub(crate) use without::copy_without;

use self::{
    blocking::on_lease,
    connection::Conn,
    database::Access,
    statement::{Attempt, looks_like_a_read, run},
};
use super::{DbError, FromRow, Value, meter::Account, pipeline::Step, timeout::Timeout};

/// Runs one statement by itself and reads up to `most` of its rows.
///
/// A read that is brief is done on the thread that asks: handing it to another and back takes longer
/// than most reads do.
pub(super) async fn fetch<T: FromRow + Send + 'static>(
    database: &Arc<Database>,
    (account, timeout): (&Account, Timeout),
    sql: Arc<str>,
    params: Vec<Value>,
    most: usize,
) -> Result<(Vec<T>, u64), DbError> {
    let access = match looks_like_a_read(&sql) {
        true => Access::Read,
        false => Access::Write,
    };
    let mut lease = database.borrow(access, account, timeout).await?;
    let mut needs_writer = false;
    if access == Access::Read {
        let read = |conn: &Conn| collect(|each| run(conn, true, &sql, &params, each), most);
        match lease.briefly(&sql, read).transpose()? {
            Some(Attempt::Done(answer)) => return Ok(answer),
            Some(Attempt::NeedsWriter) => needs_writer = true,
            None => {}
        }
    }
    let params: Arc<[Value]> = params.into();
    loop {
        if needs_writer {
            drop(lease);
            lease = database.borrow(Access::Write, account, timeout).await?;
        }
        let only_read = lease.only_reads();
        let (sql, params) = (sql.clone(), params.clone());
        let (back, attempt) = on_lease(lease, move |conn| {
            collect(|each| run(conn, only_read, &sql, &params, each), most)
        })
        .await?;
        match attempt? {
            Attempt::Done(answer) => return Ok(answer),
            Attempt::NeedsWriter => (lease, needs_writer) = (back, true),
        }
    }
}

/// Runs one statement that writes, without waiting for the disk: the file's log is written in order, so it
/// is lasting when what is written next is.
pub(super) async fn execute_ahead(
    database: &Arc<Database>,
    sql: Arc<str>,
    params: Arc<[Value]>,
) -> Result<(), DbError> {
    let lease = database
        .borrow(Access::Write, &Account::NOBODY, Timeout::Never)
        .await?;
    let (lease, done) = on_lease(lease, move |conn| {
        conn.control("PRAGMA synchronous = NORMAL")?;
        let done = run(conn, false, &sql, &params, &mut |_: &super::Row<'_>| {
            Ok(ControlFlow::Continue(()))
        });
        // whatever became of it: all else is waited for, also where this was interrupted
        let full = || conn.control("PRAGMA synchronous = FULL");
        full().or_else(|_| full())?;
        done
    })
    .await?;
    drop(lease);
    done.map(drop)
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

/// Runs several statements in one transaction: on a reader when all only read. Their answers, and how
/// many rows they returned or changed.
pub(super) async fn run_pipeline(
    database: &Arc<Database>,
    (account, timeout): (&Account, Timeout),
    mut steps: Vec<Step>,
) -> Result<(Vec<Box<dyn Any + Send>>, u64), DbError> {
    let mut access = if steps.iter().all(|step| looks_like_a_read(&step.sql)) {
        Access::Read
    } else {
        Access::Write
    };
    loop {
        let lease = database.borrow(access, account, timeout).await?;
        let only_read = lease.only_reads();
        let (lease, result) = on_lease(lease, move |conn| {
            conn.control(if only_read {
                "BEGIN"
            } else {
                "BEGIN IMMEDIATE"
            })?;
            let mut counts = Vec::new();
            for step in &mut steps {
                let sink = &mut step.sink;
                let attempt = run(conn, only_read, &step.sql, &step.params, |row| {
                    sink.row(row).map(ControlFlow::Continue)
                })?;
                match attempt {
                    Attempt::Done(count) => counts.push(count),
                    // found before it has done anything
                    Attempt::NeedsWriter => {
                        conn.control("ROLLBACK")?;
                        return Ok((steps, None));
                    }
                }
            }
            conn.control("COMMIT")?;
            Ok((steps, Some(counts)))
        })
        .await?;
        drop(lease);
        match result? {
            (steps, Some(counts)) => {
                let rows = counts.iter().sum();
                let finish = |(step, count): (Step, u64)| step.sink.finish(count);
                let answers = steps.into_iter().zip(counts).map(finish).collect();
                return Ok((answers, rows));
            }
            // what was read before is read again
            (back, None) => {
                steps = back.into_iter().map(Step::again).collect();
                access = Access::Write;
            }
        }
    }
}

/// The writer, for a transaction.
pub(super) async fn borrow_writer(
    database: &Arc<Database>,
    (account, timeout): (&Account, Timeout),
) -> Result<Lease, DbError> {
    database.borrow(Access::Write, account, timeout).await
}

/// Runs one statement of a transaction, after `prelude`.
pub(super) async fn fetch_within<T: FromRow + Send + 'static>(
    lease: Lease,
    prelude: Vec<String>,
    sql: Arc<str>,
    params: Arc<[Value]>,
    most: usize,
) -> Result<(Lease, Result<(Vec<T>, u64), DbError>), DbError> {
    on_lease(lease, move |conn| {
        prelude.iter().try_for_each(|sql| conn.control(sql))?;
        match collect(|each| run(conn, false, &sql, &params, each), most)? {
            Attempt::Done(answer) => Ok(answer),
            Attempt::NeedsWriter => Err(DbError::Aborted),
        }
    })
    .await
}

/// Says something within a transaction.
pub(super) async fn control(
    lease: Lease,
    statements: Vec<String>,
) -> Result<(Lease, Result<(), DbError>), DbError> {
    on_lease(lease, move |conn| {
        statements.iter().try_for_each(|sql| conn.control(sql))
    })
    .await
}

/// Runs the library's own work on the file's writer.
pub(crate) async fn trusted<R: Send + 'static>(
    database: &Arc<Database>,
    work: impl FnOnce(&rusqlite::Connection) -> Result<R, DbError> + Send + 'static,
) -> Result<R, DbError> {
    let lease = database
        .borrow(Access::Write, &Account::NOBODY, Timeout::Never)
        .await?;
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
