use std::{
    future::Future,
    ops::ControlFlow,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures_util::Stream;
use tokio::{
    sync::{mpsc, oneshot},
    task::JoinHandle,
};

use super::{
    blocking::{CancelOnDrop, not_ended},
    database::Lease,
    error::is_interruption,
    statement::{Attempt, only_reads, run},
};
use crate::db::{
    DbError, FromRow, Value, engine::Lease as AnyLease, meter::Account, timeout::Timeout,
};

/// How many rows are read ahead of a slow reader.
const AHEAD: usize = 256;

/// Rows as they are read, by a thread that waits for whoever takes them. Dropping them stops it.
pub(crate) struct Rows<T> {
    rows: mpsc::Receiver<Result<T, DbError>>,
    /// Asked at the end of the rows: they also end when the thread panics, or never begins.
    thread: Option<JoinHandle<()>>,
    _cancel: CancelOnDrop,
}

/// Runs the statement on the lease, which is sent `home` at the end with whether the transaction
/// on it is still good.
fn start<T: FromRow + Send + 'static>(
    mut lease: Lease,
    sql: Arc<str>,
    params: Arc<[Value]>,
    home: Option<oneshot::Sender<(AnyLease, bool)>>,
) -> Rows<T> {
    let (sender, rows) = mpsc::channel(AHEAD);
    let cancel = CancelOnDrop::default();
    let watched = cancel.watched();
    let thread = tokio::task::spawn_blocking(move || {
        let only_read = lease.only_reads();
        let result = lease.conn().and_then(|conn| {
            watched.run(conn, |conn| {
                run(conn, only_read, &sql, &params, |row| {
                    let row = T::from_row(row);
                    // who reads slowly does not make the statement slow
                    let sent = conn.not_timed(|| sender.blocking_send(row));
                    Ok(sent.map_or(ControlFlow::Break(()), ControlFlow::Continue))
                })
            })
        });
        let failure = match result {
            Ok(Attempt::Done(_)) => None,
            Ok(Attempt::NeedsWriter) => Some(DbError::Denied(
                "a stream reads; write with execute(), or stream in a transaction".into(),
            )),
            Err(error) => Some(error),
        };
        // What was stopped because nobody wants its rows did not fail, unless it is a write: that
        // is missing, and SQLite undoes the whole transaction when it interrupts one.
        let good = match &failure {
            None => true,
            Some(DbError::Aborted) => lease.conn().is_ok_and(|conn| only_reads(conn, &sql)),
            Some(error) => is_interruption(error) && lease.in_transaction(),
        };
        // the connection is home before the reader learns that the stream has ended
        match home {
            Some(home) => drop(home.send((AnyLease::Sqlite(lease), good))),
            None => drop(lease),
        }
        if let Some(error) = failure {
            drop(sender.blocking_send(Err(error)));
        }
    });
    Rows {
        rows,
        thread: Some(thread),
        _cancel: cancel,
    }
}

/// Streams within a transaction that has begun.
pub(crate) fn stream_within<T: FromRow + Send + 'static>(
    lease: Lease,
    sql: Arc<str>,
    params: Arc<[Value]>,
    home: oneshot::Sender<(AnyLease, bool)>,
) -> Rows<T> {
    start(lease, sql, params, Some(home))
}

pub(crate) async fn start_alone<T: FromRow + Send + 'static>(
    database: &Arc<super::Database>,
    (account, timeout): (&Account, Timeout),
    sql: Arc<str>,
    params: Arc<[Value]>,
) -> Result<Rows<T>, DbError> {
    let lease = database
        .borrow(super::Access::Read, account, timeout)
        .await?;
    Ok(start(lease, sql, params, None))
}

impl<T> Stream for Rows<T> {
    type Item = Result<T, DbError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(row) = ready!(self.rows.poll_recv(context)) {
            return Poll::Ready(Some(row));
        }
        let Some(thread) = &mut self.thread else {
            return Poll::Ready(None);
        };
        let ended = ready!(Pin::new(thread).poll(context));
        self.thread = None;
        Poll::Ready(ended.err().map(|error| Err(not_ended(error))))
    }
}
