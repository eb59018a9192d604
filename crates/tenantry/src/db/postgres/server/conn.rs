//! One connection, and its place among those that may be open.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

use tokio::task::JoinHandle;
use tokio_postgres::{CancelToken, Client};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::PATIENCE;
use crate::db::postgres::statements::Statements;

/// A connection, and what is prepared on it.
pub(in crate::db::postgres) struct Conn {
    pub(in crate::db::postgres) client: Client,
    pub(in crate::db::postgres) statements: Statements,
    pub(super) database: Arc<str>,
    pub(super) cancel: CancelToken,
    pub(super) born: Instant,
    pub(super) task: JoinHandle<()>,
    pub(super) room: Room,
}

/// One of the connections that may be open at once.
pub(in crate::db::postgres) struct Room(pub(super) Arc<AtomicUsize>);

impl Drop for Room {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Conn {
    /// Closes it without a word.
    pub(in crate::db::postgres) fn hang_up(&self) {
        self.task.abort();
    }

    /// Cancels what is said on it.
    pub(in crate::db::postgres) async fn cancel(&self, tls: MakeRustlsConnect) {
        // one that cannot be reached has ended, or will
        drop(self.cancel.cancel_query(tls).await);
    }

    /// Ends the connection, waits until the server has been told, and leaves its room.
    pub(in crate::db::postgres) async fn close(self) -> Room {
        let Self {
            client,
            task,
            room,
            statements,
            ..
        } = self;
        drop((statements, client));
        let abort = task.abort_handle();
        if tokio::time::timeout(PATIENCE, task).await.is_err() {
            abort.abort();
        }
        room
    }
}
