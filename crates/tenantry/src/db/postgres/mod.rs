//! The PostgreSQL engine, through `tokio-postgres`.
//!
//! A scoped statement takes one round trip: the transaction that enters the scope, the statement,
//! and the commit are sent back to back. That is safe because the statement was prepared before: a
//! prepare in between would be awaited, and the commit overtake what it was for.

mod constraints;
mod error;
mod lanes;
mod lex;
pub(crate) mod owners;
mod rewrite;
pub(crate) mod scope;
pub(crate) mod server;
mod statements;
mod stream;
mod tls;
mod turns;
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
    statements::{Found, Needs, Prepared},
    value::{Bound, type_of},
};
use super::{
    DbError, FromRow, Row, Value,
    meter::Account,
    pipeline::Step,
    row::{RowInner, Seen},
    timeout::Timeout,
};

/// What a statement gave: rows as far as they were wanted, and how many there were or changed.
type Answer<T> = (Vec<T>, u64);

/// A failure, and whether the statement can be prepared anew and tried again.
struct Failure {
    error: DbError,
    stale: bool,
    /// Whether its answer was not waited for.
    left: bool,
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        Self {
            stale: is_stale(&error),
            left: false,
            error: translate(error),
        }
    }
}

impl From<DbError> for Failure {
    fn from(error: DbError) -> Self {
        Self {
            error,
            stale: false,
            left: false,
        }
    }
}

/// Runs one statement in the scope, by itself, and reads up to `most` of its rows.
pub(super) async fn fetch<T: FromRow>(
    scope: &Scope,
    (account, timeout): (&Account, Timeout),
    sql: &Arc<str>,
    params: &[Value],
    most: usize,
) -> Result<Answer<T>, DbError> {
    scope.check_open()?;
    if let Some(answer) = lanes::fetch(scope, (account, timeout), sql, params, most).await {
        return Ok(answer);
    }
    let mut lease = borrow(scope, account).await?;
    lease.busy = true;
    let mut result = alone((scope, timeout), &mut lease, sql, params, most).await;
    if result.as_ref().is_err_and(|failure| failure.stale) {
        // on the same connection: another may have it prepared as it was, too
        lease.conn()?.statements.forget(scope, sql);
        result = alone((scope, timeout), &mut lease, sql, params, most).await;
    }
    settle(scope, lease, result).await
}

/// Gives the connection back, and says in full what went wrong.
async fn settle<T>(
    scope: &Scope,
    mut lease: Lease,
    result: Result<T, Failure>,
) -> Result<T, DbError> {
    // what was left in the middle is closed, and not lent again
    lease.busy = result.as_ref().is_err_and(|failure| failure.left);
    match result {
        Ok(answer) => Ok(answer),
        Err(Failure { error, .. }) => {
            let server = lease.server().clone();
            lease.give_back_after(&error);
            let error = Box::pin(constraints::complete(&server, error)).await;
            Err(scope.explain(error))
        }
    }
}

async fn alone<T: FromRow>(
    (scope, timeout): (&Scope, Timeout),
    lease: &mut Lease,
    sql: &Arc<str>,
    params: &[Value],
    most: usize,
) -> Result<Answer<T>, Failure> {
    let how = ready(scope, lease, sql, params).await?;
    let client = &lease.conn()?.client;
    match timeout {
        Timeout::AsConnected if scope.is_connection || how.is_complete() => {
            return how.fetch(client, params, most).await;
        }
        // No transaction tells the server how long it may take, so it is left when that is over. The
        // connection is closed then: a cancellation could meet what is said on it next.
        Timeout::After(longest)
            if how.is_complete() && longest < scope.server.statement_timeout() =>
        {
            let answer = how.fetch(client, params, most);
            let answer = tokio::time::timeout(longest, answer).await;
            return answer.unwrap_or(Err(Failure {
                error: DbError::Timeout,
                stale: false,
                left: true,
            }));
        }
        _ => {}
    }
    let begin = scope.begin_within(timeout);
    // In this order, in one poll: all three are on their way before any answer is.
    let (begun, answer, ended) = join3(
        client.batch_execute(&begin),
        how.fetch(client, params, most),
        client.batch_execute("COMMIT"),
    )
    .await;
    begun?;
    let answer = answer?;
    ended?;
    Ok(answer)
}

/// Runs several statements in one transaction, sent together. Their answers, and how many rows they
/// returned or changed.
pub(super) async fn run_pipeline(
    scope: &Scope,
    (account, timeout): (&Account, Timeout),
    mut steps: Vec<Step>,
) -> Result<(Vec<Box<dyn Any + Send>>, u64), DbError> {
    let mut lease = borrow(scope, account).await?;
    lease.busy = true;
    let mut result = pipelined((scope, timeout), &mut lease, &mut steps).await;
    if result.as_ref().is_err_and(|failure| failure.stale) {
        for step in &mut steps {
            lease.conn()?.statements.forget(scope, &step.sql);
            step.sink.clear();
        }
        result = pipelined((scope, timeout), &mut lease, &mut steps).await;
    }
    let counts = settle(scope, lease, result).await?;
    let rows = counts.iter().sum();
    let finish = |(step, count): (Step, u64)| step.sink.finish(count);
    let answers = steps.into_iter().zip(counts).map(finish).collect();
    Ok((answers, rows))
}

async fn pipelined(
    (scope, timeout): (&Scope, Timeout),
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
    let begin = scope.begin_within(timeout);
    let (begun, counts, ended) = join3(
        client.batch_execute(&begin),
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
    let begins = matches!(prelude.as_slice(), [begin] if begin.starts_with(&*scope.begin));
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
            let error = Box::pin(constraints::complete(lease.server(), failure.error)).await;
            (lease, Err(scope.explain(error)))
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
    let named = |statement| {
        let needs = Needs::Transaction;
        How::Named(Prepared { statement, needs }, scope)
    };
    let how = if pooler {
        How::Unnamed(prepared_text(scope, sql)?)
    } else if let Some(statement) = conn.statements.get(scope, sql) {
        named(statement)
    } else {
        if !prelude.is_empty() {
            conn.client.batch_execute(prelude).await?;
        }
        let statement = Box::pin(prepare(scope, conn, sql, params)).await?;
        return named(statement).fetch(&conn.client, params, most).await;
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
        Err(error) => Err(Box::pin(constraints::complete(lease.server(), error)).await),
    };
    (lease, result)
}

/// A connection on which a transaction can be begun.
pub(super) async fn borrow(scope: &Scope, account: &Account) -> Result<Lease, DbError> {
    scope.check_open()?;
    let prefer = scope.is_schema().then_some(&*scope.begin);
    let (server, waiting) = (&scope.server, account.wait());
    server
        .borrow(&scope.database, scope.whose, prefer, waiting)
        .await
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
    scope: &'s Scope,
    lease: &mut Lease,
    sql: &'s Arc<str>,
    params: &[Value],
) -> Result<How<'s>, Failure> {
    if lease.pooler() {
        return Ok(How::Unnamed(prepared_text(scope, sql)?));
    }
    let conn = lease.conn()?;
    let worth = match conn.statements.find(scope, sql) {
        Found::Prepared(prepared) => return Ok(How::Named(prepared, scope)),
        Found::Worth => true,
        Found::Nothing => false,
    };
    // what is seldom needed is no part of every request's future
    let prepared = Box::pin(prepare_alone(scope, conn, sql, params, worth)).await?;
    Ok(How::Named(prepared, scope))
}

/// Prepares a statement that is to be said by itself: so that it needs no transaction, where that is
/// worth it and can be done.
async fn prepare_alone(
    scope: &Scope,
    conn: &mut Conn,
    sql: &Arc<str>,
    params: &[Value],
    worth: bool,
) -> Result<Prepared, Failure> {
    let text = prepared_text(scope, sql)?;
    if worth {
        let complete = complete(scope, &conn.client, &text, params).await?;
        // in a schema it is prepared for that schema even so
        if complete.is_some() || !scope.is_schema() {
            conn.statements.put_alone(scope, sql, complete.clone());
        }
        if let Some(prepared) = complete {
            return Ok(prepared);
        }
    }
    let mut statement = prepare_outside(scope, conn, &text, &[]).await?;
    if let Some(types) = better_types(statement.params(), params) {
        statement = prepare_outside(scope, conn, &text, &types).await?;
    }
    let prepared = Prepared {
        statement,
        needs: Needs::Transaction,
    };
    if worth && scope.is_schema() {
        conn.statements
            .put_alone(scope, sql, Some(prepared.clone()));
    } else {
        conn.statements.put(scope, sql, prepared.statement.clone());
    }
    Ok(prepared)
}

/// Prepares a plain read so that it is in its scope without a transaction around it: with the
/// schema's name before each table, or with the scope's beginning and the tenant's id within.
/// `None` where that is not certain to be the same.
///
/// What is wrong with it comes to light here or not at all. Outside of a transaction the path leads
/// to no tenant's rows, so what was overlooked would find none.
async fn complete(
    scope: &Scope,
    client: &Client,
    text: &str,
    params: &[Value],
) -> Result<Option<Prepared>, Failure> {
    let mut params = params.to_vec();
    let (text, needs) = if let Some(schema) = &scope.schema {
        let Some(text) = rewrite::for_schema(text, schema) else {
            return Ok(None);
        };
        (text, Needs::Nothing)
    } else if let Some(tenant) = &scope.tenant {
        let Some((text, tables)) = rewrite::entering(text, params.len() + 1) else {
            return Ok(None);
        };
        if !are_tables(client, &tables).await? {
            return Ok(None);
        }
        params.push(tenant.clone());
        (text, Needs::Tenant)
    } else {
        return Ok(None);
    };
    let mut prepared = client.prepare(&text).await;
    if let Ok(statement) = &prepared
        && let Some(types) = better_types(statement.params(), &params)
    {
        prepared = client.prepare_typed(&text, &types).await;
    }
    match prepared {
        Ok(statement) => Ok(Some(Prepared { statement, needs })),
        Err(error) if error.as_db_error().is_some() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether all of these are plain tables: what a view reads might be read before the scope is
/// entered, and partitions be left out before it is.
async fn are_tables(client: &Client, names: &[String]) -> Result<bool, Failure> {
    let row = client
        .query_one(
            "SELECT count(*) FROM pg_catalog.pg_class
             WHERE relnamespace = pg_catalog.to_regnamespace($1) AND relname = ANY ($2)
                AND relkind = 'r'",
            &[&scope::ROWS_SCHEMA, &names],
        )
        .await?;
    Ok(usize::try_from(row.get::<_, i64>(0)) == Ok(names.len()))
}

/// Prepares the statement in a transaction of its own, in one round trip.
async fn prepare_outside(
    scope: &Scope,
    conn: &Conn,
    text: &str,
    types: &[Type],
) -> Result<Statement, Failure> {
    let (begun, prepared, ended) = join3(
        conn.client.batch_execute(&scope.begin),
        conn.client.prepare_typed(text, types),
        // whatever was wrong, the next borrower finds no transaction
        conn.client.batch_execute("ROLLBACK"),
    )
    .await;
    begun?;
    ended?;
    Ok(prepared?)
}

/// A statement as it is sent.
enum How<'s> {
    Named(Prepared, &'s Scope),
    /// With the types of its parameters told, as nothing was prepared that could infer them.
    Unnamed(Cow<'s, str>),
}

impl How<'_> {
    /// Whether it is in its scope without a transaction around it.
    fn is_complete(&self) -> bool {
        matches!(self, Self::Named(prepared, _) if prepared.needs != Needs::Transaction)
    }

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
            Self::Named(prepared, scope) => {
                let tenant = match prepared.needs {
                    Needs::Tenant => scope.tenant.as_ref(),
                    _ => None,
                };
                let expected = prepared.statement.params().len() - usize::from(tenant.is_some());
                if expected != params.len() {
                    let given = params.len();
                    return Err(DbError::Parameters { expected, given }.into());
                }
                let all: Vec<Bound<'_>> = params.iter().chain(tenant).map(Bound).collect();
                client.query_raw(&prepared.statement, all).await?
            }
            Self::Unnamed(sql) => {
                let typed = params.iter().map(|value| (Bound(value), type_of(value)));
                Box::pin(client.query_typed_raw(sql, typed)).await?
            }
        };
        let mut stream = pin!(stream);
        let (mut wrong, seen) = (None, Seen::default());
        // read to its end whatever is wrong, so that nothing of it is left on the connection
        while let Some(row) = stream.try_next().await? {
            if wrong.is_none() {
                wrong = each(&Row::new(RowInner::Postgres(&row), &seen)).err();
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
