//! Work on a connection, off the threads that serve requests, that ends when nobody waits for it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::InterruptHandle;
use tokio::task::JoinError;

use super::{connection::Conn, database::Lease};
use crate::db::DbError;

/// Runs `work` on the lease's connection and gives both back.
///
/// When the returned future is dropped before it ends, the running statement is interrupted and
/// the lease goes home by itself. The outer error means that the lease is gone (a panic in
/// `work`, or a runtime that shuts down).
pub(super) async fn on_lease<R: Send + 'static>(
    mut lease: Lease,
    work: impl FnOnce(&Conn) -> Result<R, DbError> + Send + 'static,
) -> Result<(Lease, Result<R, DbError>), DbError> {
    let cancel = CancelOnDrop::default();
    let watched = cancel.watched();
    let joined = tokio::task::spawn_blocking(move || {
        let result = lease.conn().and_then(|conn| watched.run(conn, work));
        (lease, result)
    })
    .await;
    joined.map_err(not_ended)
}

/// Why work on a blocking thread did not come to its end.
pub(crate) fn not_ended(error: JoinError) -> DbError {
    if error.is_panic() {
        DbError::Engine(Box::new(error))
    } else {
        DbError::Closed
    }
}

#[derive(Default)]
enum Progress {
    #[default]
    Waiting,
    Running(InterruptHandle),
    Ended,
    Abandoned,
}

fn lock(progress: &Mutex<Progress>) -> MutexGuard<'_, Progress> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Work that is stopped when its [`CancelOnDrop`] is dropped.
pub(super) struct Watched(Arc<Mutex<Progress>>);

impl Watched {
    /// Does the work, unless nobody waits for it any more: that is [`DbError::Aborted`].
    pub(super) fn run<R>(
        &self,
        conn: &Conn,
        work: impl FnOnce(&Conn) -> Result<R, DbError>,
    ) -> Result<R, DbError> {
        {
            let mut progress = lock(&self.0);
            if matches!(*progress, Progress::Abandoned) {
                return Err(DbError::Aborted);
            }
            *progress = Progress::Running(conn.raw().get_interrupt_handle());
        }
        // ended on unwinding too, so that no later statement is interrupted in its place
        let _running = EndOnDrop(&self.0);
        work(conn)
    }
}

struct EndOnDrop<'a>(&'a Mutex<Progress>);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        *lock(self.0) = Progress::Ended;
    }
}

/// Held by whoever waits: once it is dropped, the work is not begun, or its statement interrupted.
#[derive(Default)]
pub(super) struct CancelOnDrop(Arc<Mutex<Progress>>);

impl CancelOnDrop {
    pub(super) fn watched(&self) -> Watched {
        Watched(self.0.clone())
    }
}

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        // held while interrupting: the connection cannot pass to somebody else in between
        let mut progress = lock(&self.0);
        match &*progress {
            Progress::Running(handle) => handle.interrupt(),
            Progress::Waiting => *progress = Progress::Abandoned,
            Progress::Ended | Progress::Abandoned => {}
        }
    }
}
