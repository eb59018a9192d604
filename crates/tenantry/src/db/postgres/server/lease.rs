//! A connection on loan, and how it goes back.

use std::sync::Arc;

use tokio::runtime::Handle;

use super::{Conn, Server};
use crate::db::{DbError, meter::Clock, postgres::turns::Turn};

/// A connection on loan, with its turn in the queue.
///
/// It goes back by being dropped, but not while it is [`busy`](Self::busy) or its transaction
/// [`open`](Self::open): whoever was cancelled in the middle of something leaves a connection of
/// which nobody knows what it will say next. Such a one is cancelled and closed.
pub(crate) struct Lease {
    pub(super) server: Arc<Server>,
    pub(super) conn: Option<Box<Conn>>,
    pub(super) database: Arc<str>,
    pub(in crate::db::postgres) busy: bool,
    /// Whether a transaction has been begun on it that has not been seen to end.
    pub(in crate::db::postgres) open: bool,
    pub(super) turn: Option<Turn>,
    pub(super) _loan: Clock,
}

impl Lease {
    /// Gives it back after its transaction has ended.
    pub(crate) fn ended(mut self) {
        self.open = false;
    }

    /// Gives it back, unless the failure was the connection's own.
    pub(in crate::db::postgres) fn give_back_after(mut self, error: &DbError) {
        if matches!(error, DbError::Unavailable(_)) {
            self.conn = None;
        }
    }

    pub(in crate::db::postgres) fn conn(&mut self) -> Result<&mut Conn, DbError> {
        self.conn.as_deref_mut().ok_or(DbError::Closed)
    }

    pub(in crate::db::postgres) fn server(&self) -> &Arc<Server> {
        &self.server
    }

    pub(in crate::db::postgres) fn pooler(&self) -> bool {
        self.server.has_pooler()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let mut pool = self.server.pool();
        pool.end_loan(&self.database);
        let Some(conn) = self.conn.take() else { return };
        if !self.busy && !self.open {
            if !conn.client.is_closed() && !self.server.is_closed() {
                pool.idle.push(conn);
                drop(pool);
                self.server.returned.notify_waiters();
            }
            return;
        }
        drop(pool);
        // A pooler ends the statement when its client goes. Being asked to besides, PgBouncer
        // before 1.19 dies of it when the asking connection is closed first.
        let tls = (!self.pooler()).then(|| self.server.tls.clone());
        let turn = self.turn.take();
        if let Ok(runtime) = Handle::try_current() {
            drop(runtime.spawn(async move {
                match tls {
                    Some(tls) => conn.cancel(tls).await,
                    None => conn.task.abort(),
                }
                drop(conn.close().await);
                // the next in the queue finds room
                drop(turn);
            }));
        }
    }
}
