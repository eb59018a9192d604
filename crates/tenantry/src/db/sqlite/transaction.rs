use std::sync::Arc;

use tokio::sync::oneshot;

use super::{
    Database,
    blocking::on_lease,
    collect,
    connection::Conn,
    database::{Access, Lease},
    statement::{Attempt, run},
    stream::{self, Rows},
};
use crate::db::{DbError, FromRow, Value};

/// A transaction that begins with its first statement and behaves as PostgreSQL's do: after a
/// failure only a rollback is possible.
pub(crate) struct Transaction {
    database: Arc<Database>,
    state: State,
    /// Savepoints dropped without being released; rolled back before anything else is done.
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

impl Transaction {
    pub(crate) fn new(database: Arc<Database>) -> Self {
        Self {
            database,
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
        self.on_connection(move |conn| {
            match collect(|each| run(conn, false, &sql, &params, each), most)? {
                Attempt::Done(answer) => Ok(answer),
                Attempt::NeedsWriter => Err(DbError::Aborted),
            }
        })
        .await
    }

    pub(crate) async fn stream<T: FromRow + Send + 'static>(
        &mut self,
        sql: Arc<str>,
        params: Arc<[Value]>,
    ) -> Result<Rows<T>, DbError> {
        // begins, and undoes what is pending
        self.on_connection(|_| Ok(())).await?;
        let State::Open(lease) = std::mem::replace(&mut self.state, State::Lost) else {
            return Err(DbError::Aborted);
        };
        let (home, returns) = oneshot::channel();
        self.state = State::Streaming(returns);
        Ok(stream::start(lease, sql, params, Some(home)))
    }

    /// Runs `work`; a failure aborts the transaction.
    async fn on_connection<R: Send + 'static>(
        &mut self,
        work: impl FnOnce(&Conn) -> Result<R, DbError> + Send + 'static,
    ) -> Result<R, DbError> {
        let undo = self.settle().await?;
        let (lease, begin) = match std::mem::replace(&mut self.state, State::Lost) {
            State::Fresh => (self.database.borrow(Access::Write).await, true),
            State::Open(lease) => (Ok(lease), false),
            State::Failed(lease) if undo.is_some() => (Ok(lease), false),
            other => {
                self.state = other;
                return Err(DbError::Aborted);
            }
        };
        let lease = match lease {
            Ok(lease) => lease,
            Err(error) => {
                self.state = State::Fresh;
                return Err(error);
            }
        };
        let (lease, result) = on_lease(lease, move |conn| {
            if begin {
                conn.begin()?;
            }
            if let Some(depth) = undo {
                conn.control(&format!("ROLLBACK TO s{depth}"))?;
                conn.control(&format!("RELEASE s{depth}"))?;
            }
            work(conn)
        })
        .await?;
        self.state = match result {
            Ok(_) => State::Open(lease),
            Err(_) => State::Failed(lease),
        };
        result
    }

    /// Takes back the connection from a stream, and tells which savepoint is to be undone.
    async fn settle(&mut self) -> Result<Option<u32>, DbError> {
        if let State::Streaming(returns) = &mut self.state {
            self.state = match returns.await {
                Ok((lease, true)) => State::Open(lease),
                Ok((lease, false)) => State::Failed(lease),
                Err(_) => State::Lost,
            };
        }
        Ok(self.pending.take())
    }

    /// Begins a savepoint and returns its number.
    pub(crate) async fn savepoint(&mut self) -> Result<u32, DbError> {
        let depth = self.depth + 1;
        self.on_connection(move |conn| conn.control(&format!("SAVEPOINT s{depth}")))
            .await?;
        self.depth = depth;
        Ok(depth)
    }

    pub(crate) async fn release(&mut self, depth: u32) -> Result<(), DbError> {
        let result = self
            .on_connection(move |conn| conn.control(&format!("RELEASE s{depth}")))
            .await;
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
        let undo = self.settle().await?;
        if matches!(self.state, State::Fresh) {
            return Ok(());
        }
        self.pending = undo;
        self.on_connection(|conn| conn.control("COMMIT")).await
    }

    pub(crate) async fn rollback(mut self) -> Result<(), DbError> {
        self.settle().await?;
        match std::mem::replace(&mut self.state, State::Lost) {
            State::Open(lease) | State::Failed(lease) => {
                let (_lease, result) = on_lease(lease, |conn| {
                    if conn.raw().is_autocommit() {
                        return Ok(());
                    }
                    conn.control("ROLLBACK")
                })
                .await?;
                result
            }
            _ => Ok(()),
        }
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        let (State::Open(lease) | State::Failed(lease)) =
            std::mem::replace(&mut self.state, State::Lost)
        else {
            return;
        };
        // rolling back may have to write; not on this thread if it can be helped
        match tokio::runtime::Handle::try_current() {
            Ok(runtime) if lease.in_transaction() => {
                drop(runtime.spawn_blocking(move || drop(lease)));
            }
            _ => drop(lease),
        }
    }
}
