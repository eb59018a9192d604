use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures_util::Stream;
use tokio::{
    sync::{mpsc, oneshot},
    task::{JoinError, JoinHandle},
};

use super::{Lease, Scope, control, fetch_within, lex};
use crate::db::{
    DbError, FromRow, Row, Value, engine::Lease as AnyLease, meter::Account, row::Ignored,
    timeout::Timeout,
};

/// How many rows are fetched at a time.
const BATCH: usize = 256;

/// How long a statement that nobody waits for any more may take to end by itself.
const GRACE: Duration = Duration::from_millis(100);

/// Rows as they are read, by a task that waits for whoever takes them.
pub(crate) struct Rows<T> {
    rows: mpsc::Receiver<Result<T, DbError>>,
    task: Option<JoinHandle<()>>,
}

impl<T> Stream for Rows<T> {
    type Item = Result<T, DbError>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if let Some(row) = ready!(self.rows.poll_recv(context)) {
            return Poll::Ready(Some(row));
        }
        // An end that is none: a row that panicked while it was read, or the runtime's end.
        let Some(task) = &mut self.task else {
            return Poll::Ready(None);
        };
        let ended = ready!(Pin::new(task).poll(context));
        self.task = None;
        Poll::Ready(match ended.map_err(JoinError::try_into_panic) {
            Ok(()) => None,
            Err(Ok(panic)) => std::panic::resume_unwind(panic),
            Err(Err(_)) => Some(Err(DbError::Closed)),
        })
    }
}

/// Streams by a cursor, in a transaction of its own.
pub(crate) async fn start_alone<T: FromRow + Send + 'static>(
    scope: &Scope,
    (account, timeout): (&Account, Timeout),
    sql: Arc<str>,
    params: Arc<[Value]>,
) -> Result<Rows<T>, DbError> {
    if writes(&sql) {
        return Err(DbError::Denied(
            "a stream reads; write with execute(), or stream in a transaction".into(),
        ));
    }
    let lease = super::borrow(scope, account).await?;
    let prelude = vec![scope.begin_within(timeout).into()];
    Ok(start(scope.clone(), lease, prelude, sql, params, None))
}

/// Streams by a cursor, within a transaction that has begun. The connection is sent `home` at the
/// end, with whether all went well.
pub(crate) fn stream_within<T: FromRow + Send + 'static>(
    scope: &Scope,
    lease: Lease,
    sql: Arc<str>,
    params: Arc<[Value]>,
    home: oneshot::Sender<(AnyLease, bool)>,
) -> Rows<T> {
    start(scope.clone(), lease, Vec::new(), sql, params, Some(home))
}

fn start<T: FromRow + Send + 'static>(
    scope: Scope,
    lease: Lease,
    prelude: Vec<String>,
    sql: Arc<str>,
    params: Arc<[Value]>,
    home: Option<oneshot::Sender<(AnyLease, bool)>>,
) -> Rows<T> {
    let (sender, receiver) = mpsc::channel(BATCH);
    let task = tokio::spawn(async move {
        let is_alone = home.is_none();
        let reading = read(&scope, lease, prelude, &sql, &params, &sender);
        // A statement that nobody waits for any more is stopped, as any other. One that is about to end
        // is let do so, as its connection is good then; so is one that a transaction goes on after.
        let left = async {
            sender.closed().await;
            tokio::time::sleep(GRACE).await;
        };
        let (lease, result) = tokio::select! {
            biased;
            done = reading => done,
            () = left, if is_alone => return,
        };
        let well = result.is_ok();
        // the connection is home before the reader learns that the stream has ended
        match home {
            Some(home) => drop(home.send((AnyLease::Postgres(lease), well))),
            None => {
                let (lease, ended) = control(lease, vec!["ROLLBACK".into()]).await;
                if ended.is_ok() {
                    lease.ended();
                }
            }
        }
        if let Err(error) = result {
            drop(sender.send(Err(error)).await);
        }
    });
    Rows {
        rows: receiver,
        task: Some(task),
    }
}

async fn read<T: FromRow + Send + 'static>(
    scope: &Scope,
    lease: Lease,
    prelude: Vec<String>,
    sql: &Arc<str>,
    params: &[Value],
    sender: &mpsc::Sender<Result<T, DbError>>,
) -> (Lease, Result<(), DbError>) {
    if let Err(error) = super::prepared_text(scope, sql) {
        return (lease, Err(error));
    }
    if writes(sql) {
        // no cursor can be had for these
        let (lease, answer) =
            fetch_within::<Tried<T>>(scope, lease, prelude, sql, params, usize::MAX).await;
        let sent = match answer {
            Ok((rows, _)) => send(sender, rows).await,
            Err(error) => return (lease, Err(error)),
        };
        drop(sent); // whoever wants no more rows has the write all the same
        return (lease, Ok(()));
    }
    // vetted above; the cursor's own statements are ours
    let trusted = Scope {
        trusted: true,
        ..scope.clone()
    };
    let declare: Arc<str> = format!("DECLARE tenantry_rows NO SCROLL CURSOR FOR {sql}").into();
    let (mut lease, mut result) =
        fetch_within::<Ignored>(&trusted, lease, prelude, &declare, params, 0).await;
    let fetch: Arc<str> = format!("FETCH FORWARD {BATCH} FROM tenantry_rows").into();
    // what a FETCH returns depends on the cursor it was prepared for
    if let Ok(conn) = lease.conn() {
        conn.statements.forget(&trusted, &fetch);
    }
    while result.is_ok() {
        let (back, batch) =
            fetch_within::<Tried<T>>(&trusted, lease, Vec::new(), &fetch, &[], usize::MAX).await;
        lease = back;
        match batch {
            Ok((rows, count)) => {
                result = Ok((Vec::new(), count));
                let wanted = send(sender, rows).await.is_ok();
                if !wanted || count < BATCH as u64 {
                    return control(lease, vec!["CLOSE tenantry_rows".into()]).await;
                }
            }
            Err(error) => result = Err(error),
        }
    }
    (lease, result.map(drop))
}

/// A row, or why it cannot be read: those before and after it are read all the same.
struct Tried<T>(Result<T, DbError>);

impl<T: FromRow> FromRow for Tried<T> {
    fn from_row(row: &Row<'_>) -> Result<Self, DbError> {
        Ok(Self(T::from_row(row)))
    }
}

/// Sends the rows, unless nobody wants them any more.
async fn send<T>(
    sender: &mpsc::Sender<Result<T, DbError>>,
    rows: Vec<Tried<T>>,
) -> Result<(), mpsc::error::SendError<Result<T, DbError>>> {
    for Tried(row) in rows {
        sender.send(row).await?;
    }
    Ok(())
}

/// Whether the statement changes rows, by its words.
fn writes(sql: &str) -> bool {
    lex::tokens(sql).is_ok_and(|tokens| {
        let mut words = tokens.iter().map(|(token, _)| token);
        let write = |token: &lex::Token<'_>| {
            ["insert", "update", "delete", "merge"]
                .iter()
                .any(|word| token.is(word))
        };
        match words.next() {
            Some(first) if first.is("with") => words.any(write),
            Some(first) => write(first),
            None => false,
        }
    })
}
