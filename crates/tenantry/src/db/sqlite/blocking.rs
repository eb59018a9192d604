//! Work on a connection, off the threads that serve requests, that ends when nobody waits for it.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::InterruptHandle;

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
    let progress = cancel.0.clone();
    let joined = tokio::task::spawn_blocking(move || {
        let result = lease.conn().and_then(|conn| {
            if !start(&progress, conn) {
                return Err(DbError::Aborted);
            }
            // ended on unwinding too, so that no later statement is interrupted in its place
            let _running = EndOnDrop(&progress);
            work(conn)
        });
        (lease, result)
    })
    .await;
    joined.map_err(|error| {
        if error.is_panic() {
            DbError::Engine(Box::new(error))
        } else {
            DbError::Closed
        }
    })
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

fn start(progress: &Mutex<Progress>, conn: &Conn) -> bool {
    let mut progress = lock(progress);
    if matches!(*progress, Progress::Abandoned) {
        return false;
    }
    *progress = Progress::Running(conn.raw().get_interrupt_handle());
    true
}

struct EndOnDrop<'a>(&'a Mutex<Progress>);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        *lock(self.0) = Progress::Ended;
    }
}

#[derive(Default)]
struct CancelOnDrop(Arc<Mutex<Progress>>);

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
