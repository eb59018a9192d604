use std::{
    ops::ControlFlow,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use futures_util::Stream;
use tokio::sync::{mpsc, oneshot};

use super::{
    database::Lease,
    statement::{Attempt, run},
};
use crate::db::{DbError, FromRow, Value};

/// How many rows are read ahead of a slow reader.
const AHEAD: usize = 256;

/// Rows as they are read, by a thread that waits for whoever takes them.
pub(crate) struct Rows<T>(mpsc::Receiver<Result<T, DbError>>);

/// Runs the statement on the lease, which is sent `home` at the end with whether all went well.
pub(crate) fn start<T: FromRow + Send + 'static>(
    mut lease: Lease,
    sql: Arc<str>,
    params: Arc<[Value]>,
    home: Option<oneshot::Sender<(Lease, bool)>>,
) -> Rows<T> {
    let (sender, receiver) = mpsc::channel(AHEAD);
    tokio::task::spawn_blocking(move || {
        let only_read = lease.only_reads();
        let result = lease.conn().and_then(|conn| {
            run(conn, only_read, &sql, &params, |row| {
                let sent = sender.blocking_send(T::from_row(row));
                Ok(sent.map_or(ControlFlow::Break(()), ControlFlow::Continue))
            })
        });
        let failure = match result {
            Ok(Attempt::Done(_)) => None,
            Ok(Attempt::NeedsWriter) => Some(DbError::Denied(
                "a stream reads; write with execute(), or stream in a transaction".into(),
            )),
            Err(error) => Some(error),
        };
        let well = failure.is_none();
        // the connection is home before the reader learns that the stream has ended
        match home {
            Some(home) => drop(home.send((lease, well))),
            None => drop(lease),
        }
        if let Some(error) = failure {
            drop(sender.blocking_send(Err(error)));
        }
    });
    Rows(receiver)
}

pub(crate) async fn start_alone<T: FromRow + Send + 'static>(
    database: &Arc<super::Database>,
    sql: Arc<str>,
    params: Arc<[Value]>,
) -> Result<Rows<T>, DbError> {
    let lease = database.borrow(super::Access::Read).await?;
    Ok(start(lease, sql, params, None))
}

impl<T> Stream for Rows<T> {
    type Item = Result<T, DbError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context)
    }
}
