//! A transaction, the same on every engine: it begins with its first statement, and after a
//! failure only a rollback is possible.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::{DbError, Engine, FromRow, Value, engine::Lease, query::Rows};

pub(crate) struct Transaction {
    engine: Engine,
    state: State,
    /// The outermost savepoint dropped without being released; rolled back before anything else.
    pending: Option<u32>,
    depth: u32,
}

enum State {
    /// Nothing has been said yet.
    Fresh,
    Open(Lease),
    /// A stream of rows has the connection and sends it back when it ends.
    Streaming(oneshot::Receiver<(Lease, bool)>),
    /// Open, but a statement failed.
    Failed(Lease),
    /// The connection is gone: a cancelled statement took it home.
    Lost,
}

/// How a lock is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lock {
    Shared,
    Alone,
    IfFree,
}

impl Transaction {
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Holds an advisory lock until the end.
    pub(crate) async fn lock(&mut self, how: Lock, key: i64) -> Result<(), DbError> {
        self.control(self.engine.lock(how, key)).await
    }

    pub(crate) fn new(engine: Engine) -> Self {
        Self {
            engine,
            state: State::Fresh,
            pending: None,
            depth: 0,
        }
    }

    pub(crate) async fn fetch<T: FromRow + Send + 'static>(
        &mut self,
        sql: Arc<str>,
        params: Arc<[Value]>,
        most: usize,
    ) -> Result<(Vec<T>, u64), DbError> {
        let (lease, prelude) = self.take().await?;
        let (lease, result) = self
            .engine
            .fetch_within(lease, prelude, sql, params, most)
            .await?;
        self.put_back(lease, &result);
        result
    }

    pub(crate) async fn stream<T: FromRow + Send + 'static>(
        &mut self,
        sql: Arc<str>,
        params: Arc<[Value]>,
    ) -> Result<Rows<T>, DbError> {
        self.control(Vec::new()).await?;
        let State::Open(lease) = std::mem::replace(&mut self.state, State::Lost) else {
            return Err(DbError::Aborted);
        };
        let (home, returns) = oneshot::channel();
        self.state = State::Streaming(returns);
        Ok(self.engine.stream_within(lease, sql, params, home))
    }

    /// Says `statements` of our own, after what has to be said before them.
    pub(super) async fn control(&mut self, statements: Vec<String>) -> Result<(), DbError> {
        let (lease, mut prelude) = self.take().await?;
        prelude.extend(statements);
        if prelude.is_empty() {
            self.state = State::Open(lease);
            return Ok(());
        }
        let (lease, result) = lease.control(prelude).await?;
        self.put_back(lease, &result);
        result
    }

    /// The connection, and what has to be said on it first: the beginning, or the undoing of a
    /// dropped savepoint. It is lost if the caller is cancelled before it puts it back.
    async fn take(&mut self) -> Result<(Lease, Vec<String>), DbError> {
        self.settle().await;
        match std::mem::replace(&mut self.state, State::Lost) {
            State::Fresh => match self.engine.borrow().await {
                Ok(lease) => Ok((lease, vec![self.engine.begin()])),
                Err(error) => {
                    self.state = State::Fresh;
                    Err(error)
                }
            },
            State::Open(lease) => Ok((lease, self.undo())),
            State::Failed(lease) if self.pending.is_some() => Ok((lease, self.undo())),
            other => {
                self.state = other;
                Err(DbError::Aborted)
            }
        }
    }

    fn put_back<T>(&mut self, lease: Lease, result: &Result<T, DbError>) {
        self.state = match result {
            Ok(_) => State::Open(lease),
            Err(_) => State::Failed(lease),
        };
    }

    fn undo(&mut self) -> Vec<String> {
        self.pending
            .take()
            .map(|depth| vec![format!("ROLLBACK TO s{depth}"), format!("RELEASE s{depth}")])
            .unwrap_or_default()
    }

    /// Takes the connection back from a stream.
    async fn settle(&mut self) {
        if let State::Streaming(returns) = &mut self.state {
            self.state = match returns.await {
                Ok((lease, true)) => State::Open(lease),
                Ok((lease, false)) => State::Failed(lease),
                Err(_) => State::Lost,
            };
        }
    }

    /// Begins a savepoint and returns its number.
    pub(crate) async fn savepoint(&mut self) -> Result<u32, DbError> {
        let depth = self.depth + 1;
        self.control(vec![format!("SAVEPOINT s{depth}")]).await?;
        self.depth = depth;
        Ok(depth)
    }

    pub(crate) async fn release(&mut self, depth: u32) -> Result<(), DbError> {
        let result = self.control(vec![format!("RELEASE s{depth}")]).await;
        match result {
            Ok(()) => self.depth = depth - 1,
            Err(_) => self.abandon(depth),
        }
        result
    }

    /// Notes that the savepoint is to be rolled back before anything else happens.
    pub(crate) fn abandon(&mut self, depth: u32) {
        self.depth = depth - 1;
        self.pending = Some(self.pending.map_or(depth, |other| other.min(depth)));
    }

    pub(crate) async fn commit(mut self) -> Result<(), DbError> {
        self.settle().await;
        if matches!(self.state, State::Fresh) {
            return Ok(());
        }
        self.control(vec!["COMMIT".into()]).await?;
        // ended: dropping it has nothing to undo
        if let State::Open(lease) = std::mem::replace(&mut self.state, State::Fresh) {
            lease.ended();
        }
        Ok(())
    }

    pub(crate) async fn rollback(mut self) -> Result<(), DbError> {
        self.settle().await;
        match std::mem::replace(&mut self.state, State::Lost) {
            State::Open(lease) | State::Failed(lease) => lease.roll_back().await,
            _ => Ok(()),
        }
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        if let State::Open(lease) | State::Failed(lease) =
            std::mem::replace(&mut self.state, State::Lost)
        {
            lease.roll_back_later();
        }
    }
}
