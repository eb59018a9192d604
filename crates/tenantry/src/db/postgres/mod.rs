//! The PostgreSQL engine, through `tokio-postgres`.
//!
//! A scoped statement takes one round trip: the transaction that enters the scope, the statement,
//! and the commit are sent back to back. That is safe because the statement was prepared before: a
//! prepare in between would be awaited, and the commit overtake what it was for.

mod constraints;
mod error;
mod lex;
mod rewrite;
pub(crate) mod scope;
pub(crate) mod server;
mod statements;
mod stream;
mod tls;
mod value;
mod vet;

use std::{
    any::Any,
    borrow::Cow,
    future::poll_fn,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Poll,
};

use futures_util::{
    TryStreamExt,
    future::{MaybeDone, join3, maybe_done},
};
use tokio_postgres::{Client, Statement, types::Type};

pub(crate) use error::translate;
pub(crate) use scope::Scope;
pub(crate) use server::{Lease, Server};
pub(super) use stream::{Rows, start_alone, stream_within};
pub(super) use value::read_column;

use self::{
    error::is_stale,
    server::Conn,
    value::{Bound, type_of},
};
use super::{DbError, FromRow, Row, Value, pipeline::Step, row::RowInner};

/// What a statement gave: rows as far as they were wanted, and how many there were or changed.
type Answer<T> = (Vec<T>, u64);

/// A failure, and whether the statement can be prepared anew and tried again.
struct Failure {
    error: DbError,
    stale: bool,
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self {
            stale: is_stale(&error),
            error: translate(error),
        }
    }
}

impl From<DbError> for Failure {
    fn from(error: DbError) -> Self {
        Self {
            error,
            stale: false,
        }
    }
}

/// Runs one statement in the scope, by itself, and reads up to `most` of its rows.
pub(super) async fn fetch<T: FromRow>(
    scope: &Scope,
    sql: &Arc<str>,
    params: &[Value],
    most: usize,
) -> Result<Answer<T>, DbError> {
    let mut lease = borrow(scope).await?;
    lease.busy = true;
    let mut result = alone(scope, &mut lease, sql, params, most).await;
    if result.as_ref().is_err_and(|failure| failure.stale) {
        // on the same connection: another may have it prepared as it was, too
        lease.conn()?.statements.forget(scope, sql);
        result = alone(scope, &mut lease, sql, params, most).await;
    }
    settle(lease, result).await
}

/// Gives the connection back, and says in full what went wrong.
async fn settle<T>(mut lease: Lease, result: Result<T, Failure>) -> Result<T, DbError> {
    lease.busy = false;
    match result {
        Ok(answer) => Ok(answer),
        Err(Failure { error, .. }) => {
            let server = lease.server().clone();
            lease.give_back_after(&error);
            Err(constraints::complete(&server, error).await)
        }
    }
}

async fn alone<T: FromRow>(
    scope: &Scope,
    lease: &mut Lease,
    sql: &Arc<str>,
    params: &[Value],
    most: usize,
) -> Result<Answer<T>, Failure> {
    let how = ready(scope, lease, sql, params).await?;
    let client = &lease.conn()?.client;
    if scope.is_connection {
        return how.fetch(client, params, most).await;
    }
    // In this order, in one poll: all three are on their way before any answer is.
    let (begun, answer, ended) = join3(
        client.batch_execute(&scope.begin),
        how.fetch(client, params, most),
        client.batch_execute("COMMIT"),
    )
    .await;
    begun?;
    let answer = answer?;
    ended?;
    Ok(answer)
}

/// Runs several statements in one transaction, sent together.
pub(super) async fn run_pipeline(
    scope: &Scope,
    mut steps: Vec<Step>,
) -> Result<Vec<Box<dyn Any + Send>>, DbError> {
    let mut lease = borrow(scope).await?;
    lease.busy = true;
    let mut result = pipelined(scope, &mut lease, &mut steps).await;
    if result.as_ref().is_err_and(|failure| failure.stale) {
        for step in &mut steps {
            lease.conn()?.statements.forget(scope, &step.sql);
            step.sink.clear();
        }
        result = pipelined(scope, &mut lease, &mut steps).await;
    }
    let counts = settle(lease, result).await?;
    let finish = |(step, count): (Step, u64)| step.sink.finish(count);
    Ok(steps.into_iter().zip(counts).map(finish).collect())
}

async fn pipelined(
    scope: &Scope,
    lease: &mut Lease,
    steps: &mut [Step],
) -> Result<Vec<u64>, Failure> {
    let texts: Vec<Arc<str>> = steps.iter().map(|step| step.sql.clone()).collect();
    let mut hows = Vec::with_capacity(texts.len());
    // `iter_mut`, as a future that is awaited across threads may not share a sink
    for (sql, step) in texts.iter().zip(steps.iter_mut()) {
        hows.push(ready(scope, lease, sql, &step.params).await?);
    }
    let client = &lease.conn()?.client;
    let unsent = AtomicBool::new(false);
    let statements = hows.iter().zip(steps).map(|(how, step)| {
        let (params, sink, unsent) = (&step.params, &mut step.sink, &unsent);
        async move {
            let result = how.run(client, params, |row| sink.row(row)).await;
            unsent.fetch_or(result.is_err(), Ordering::Relaxed);
            result
        }
    });
    let (begun, counts, ended) = join3(
        client.batch_execute(&scope.begin),
        in_order(statements),
        // What cannot be sent (a wrong parameter) fails when it is first polled, so before this:
        // then the others must not be done either.
        async {
            let failed = unsent.load(Ordering::Relaxed);
            client
                .batch_execute(if failed { "ROLLBACK" } else { "COMMIT" })
                .await
        },
    )
    .await;
    begun?;
    let counts = counts.into_iter().collect::<Result<_, _>>()?;
    ended?;
    Ok(counts)
}

/// Awaits futures together, polling them in their order: what each sends when it is first polled
/// goes out in that order.
async fn in_order<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut futures: Vec<Pin<Box<MaybeDone<F>>>> =
        futures.map(|future| Box::pin(maybe_done(future))).collect();
    poll_fn(|context| {
        let mut all = Poll::Ready(());
        for future in &mut futures {
            if future.as_mut().poll(context).is_pending() {
                all = Poll::Pending;
            }
        }
        all
    })
    .await;
    futures
        .iter_mut()
        .filter_map(|future| future.as_mut().take_output())
        .collect()
}

/// Runs `prelude`, then the statement, within a transaction that goes on.
pub(super) async fn fetch_within<T: FromRow>(
    scope: &Scope,
    mut lease: Lease,
    prelude: Vec<String>,
    sql: &Arc<str>,
    params: &[Value],
    most: usize,
) -> (Lease, Result<Answer<T>, DbError>) {
    lease.busy = true;
    lease.open = true;
    let begins = matches!(prelude.as_slice(), [begin] if **begin == *scope.begin);
    let prelude = prelude.join("; ");
    let mut result = within(scope, &mut lease, &prelude, sql, params, most).await;
    if result.as_ref().is_err_and(|failure| failure.stale)
        && let Ok(conn) = lease.conn()
    {
        conn.statements.forget(scope, sql);
        // nothing of the transaction is lost when it begins again with its first statement
        if begins && conn.client.batch_execute("ROLLBACK").await.is_ok() {
            result = within(scope, &mut lease, &prelude, sql, params, most).await;
        }
    }
    lease.busy = false;
    match result {
        Ok(answer) => (lease, Ok(answer)),
        Err(failure) => {
            let error = constraints::complete(lease.server(), failure.error).await;
            (lease, Err(error))
        }
    }
}

async fn within<T: FromRow>(
    scope: &Scope,
    lease: &mut Lease,
    prelude: &str,
    sql: &Arc<str>,
    params: &[Value],
    most: usize,
) -> Result<Answer<T>, Failure> {
    let pooler = lease.pooler();
    let conn = lease.conn()?;
    let how = if pooler {
        How::Unnamed(prepared_text(scope, sql)?)
    } else if let Some(statement) = conn.statements.get(scope, sql) {
        How::Named(statement)
    } else {
        if !prelude.is_empty() {
            conn.client.batch_execute(prelude).await?;
        }
        let statement = prepare(scope, conn, sql, params).await?;
        return How::Named(statement)
            .fetch(&conn.client, params, most)
            .await;
    };
    if prelude.is_empty() {
        return how.fetch(&conn.client, params, most).await;
    }
    let (begun, answer) = futures_util::future::join(
        conn.client.batch_execute(prelude),
        how.fetch(&conn.client, params, most),
    )
    .await;
    begun?;
    answer
}

/// Says something within a transaction: savepoints and their ends, or its own end.
pub(super) async fn control(
    mut lease: Lease,
    statements: Vec<String>,
) -> (Lease, Result<(), DbError>) {
    lease.busy = true;
    lease.open = true;
    let result = match lease.conn() {
        Ok(conn) => conn
            .client
            .batch_execute(&statements.join("; "))
            .await
            .map_err(translate),
        Err(error) => Err(error),
    };
    lease.busy = false;
    let result = match result {
        Ok(()) => Ok(()),
        // a deferred constraint speaks up at the end
        Err(error) => Err(constraints::complete(lease.server(), error).await),
    };
    (lease, result)
}

/// A connection on which a transaction can be begun.
pub(super) async fn borrow(scope: &Scope) -> Result<Lease, DbError> {
    scope.check_open()?;
    scope.server.borrow(&scope.database).await
}

/// The text that is sent for `sql`, if it may be said at all.
fn prepared_text<'s>(scope: &Scope, sql: &'s str) -> Result<Cow<'s, str>, DbError> {
    if scope.trusted {
        return Ok(sql.into());
    }
    vet::vet(sql)?;
    Ok(if scope.shared {
        rewrite::for_rows(sql)
    } else {
        sql.into()
    })
}

/// Prepares the statement, within the scope: names are looked up when it is prepared.
async fn prepare(
    scope: &Scope,
    conn: &mut Conn,
    sql: &Arc<str>,
    params: &[Value],
) -> Result<Statement, Failure> {
    let text = prepared_text(scope, sql)?;
    let mut statement = conn.client.prepare(&text).await?;
    if let Some(types) = better_types(statement.params(), params) {
        statement = conn.client.prepare_typed(&text, &types).await?;
    }
    conn.statements.put(scope, sql, statement.clone());
    Ok(statement)
}

/// PostgreSQL takes a parameter of which nothing tells the type for a text (`SELECT $1`). Where
/// something else is bound to it, it is told.
fn better_types(inferred: &[Type], params: &[Value]) -> Option<Vec<Type>> {
    let better = |(ty, value): (&Type, &Value)| match value {
        Value::Null | Value::Text(_) => ty.clone(),
        _ if *ty == Type::TEXT => type_of(value),
        _ => ty.clone(),
    };
    let types: Vec<Type> = inferred.iter().zip(params).map(better).collect();
    (types.len() == params.len() && types != inferred).then_some(types)
}

/// The statement, prepared if it was not: what is sent together must need no answer in between.
async fn ready<'s>(
    scope: &Scope,
    lease: &mut Lease,
    sql: &'s Arc<str>,
    params: &[Value],
) -> Result<How<'s>, Failure> {
    if lease.pooler() {
        return Ok(How::Unnamed(prepared_text(scope, sql)?));
    }
    let conn = lease.conn()?;
    if let Some(statement) = conn.statements.get(scope, sql) {
        return Ok(How::Named(statement));
    }
    let prepared = match conn.client.batch_execute(&scope.begin).await {
        Ok(()) => prepare(scope, conn, sql, params).await,
        Err(error) => Err(error.into()),
    };
    // whatever was wrong, the next borrower finds no transaction
    conn.client.batch_execute("ROLLBACK").await?;
    Ok(How::Named(prepared?))
}

/// A statement as it is sent.
enum How<'s> {
    Named(Statement),
    /// With the types of its parameters told, as nothing was prepared that could infer them.
    Unnamed(Cow<'s, str>),
}

impl How<'_> {
    /// Runs it, hands each row to `each`, and tells how many rows there were or changed.
    ///
    /// Everything is sent when this is first polled.
    async fn run(
        &self,
        client: &Client,
        params: &[Value],
        mut each: impl FnMut(&Row<'_>) -> Result<(), DbError>,
    ) -> Result<u64, Failure> {
        let stream = match self {
            Self::Named(statement) => {
                let expected = statement.params().len();
                if expected != params.len() {
                    let given = params.len();
                    return Err(DbError::Parameters { expected, given }.into());
                }
                client
                    .query_raw(statement, params.iter().map(Bound))
                    .await?
            }
            Self::Unnamed(sql) => {
                let typed = params.iter().map(|value| (Bound(value), type_of(value)));
                client.query_typed_raw(sql, typed).await?
            }
        };
        let mut stream = pin!(stream);
        let mut wrong = None;
        // read to its end whatever is wrong, so that nothing of it is left on the connection
        while let Some(row) = stream.try_next().await? {
            if wrong.is_none() {
                wrong = each(&Row(RowInner::Postgres(&row))).err();
            }
        }
        match wrong {
            Some(error) => Err(error.into()),
            None => Ok(stream.rows_affected().unwrap_or(0)),
        }
    }

    async fn fetch<T: FromRow>(
        &self,
        client: &Client,
        params: &[Value],
        most: usize,
    ) -> Result<Answer<T>, Failure> {
        let mut rows = Vec::new();
        let count = self
            .run(client, params, |row| {
                if rows.len() < most {
                    rows.push(T::from_row(row)?);
                }
                Ok(())
            })
            .await?;
        Ok((rows, count))
    }
}
