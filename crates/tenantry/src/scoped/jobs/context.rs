use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use chrono::Utc;
use tokio::sync::watch;
use uuid::Uuid;

use super::{JobError, Queue, TOPIC};
use crate::{
    Tenancy, Tenant,
    db::{DbError, TenantDb, TenantTx},
    scoped::{files::Files, mail::Mail},
    trace,
};

/// What a handler works with: the tenant whose job it is, and what that tenant has. There is nothing in
/// it by which another tenant could be reached.
#[derive(Clone)]
pub struct JobContext(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) tenancy: Tenancy,
    pub(super) tenant: Tenant,
    pub(super) db: TenantDb,
    pub(super) id: Uuid,
    pub(super) kind: Arc<str>,
    pub(super) lease: Uuid,
    pub(super) attempt: i32,
    pub(super) trace: Option<Arc<str>>,
    pub(super) progress: Mutex<Progress>,
    pub(super) cancelled: watch::Receiver<bool>,
    pub(super) finished: AtomicBool,
}

/// How far a job is, and whether that is written down.
#[derive(Debug, Clone, Default)]
pub(super) struct Progress {
    pub(super) done: i64,
    pub(super) of: Option<i64>,
    pub(super) note: String,
    pub(super) is_new: bool,
}

impl Progress {
    /// Whether there is anything to say.
    pub(super) fn is_told(&self) -> bool {
        self.done != 0 || self.of.is_some() || !self.note.is_empty()
    }

    /// How those who listen hear of it.
    pub(super) fn said(&self, id: Uuid, kind: &str, status: &str) -> serde_json::Value {
        serde_json::json!({
            "id": id,
            "kind": kind,
            "status": status,
            "progress": { "done": self.done, "of": self.of, "note": self.note },
        })
    }
}

impl JobContext {
    /// The tenant whose job it is.
    #[must_use]
    pub fn tenant(&self) -> &Tenant {
        &self.0.tenant
    }

    /// The tenant's database.
    #[must_use]
    pub fn db(&self) -> &TenantDb {
        &self.0.db
    }

    /// The tenant's files.
    #[must_use]
    pub fn files(&self) -> Files {
        self.0.tenancy.files(&self.0.tenant)
    }

    /// Mail in the tenant's name.
    #[must_use]
    pub fn mail(&self) -> Mail {
        self.0.tenancy.mail(&self.0.tenant)
    }

    /// The tenant's queue. What is enqueued by it belongs to the same trace.
    #[must_use]
    pub fn queue(&self) -> Queue {
        let queue = self.0.tenancy.jobs(&self.0.tenant);
        queue.traced(self.0.trace.clone())
    }

    /// The job's id, the same at every attempt: the key by which what was done already is known.
    #[must_use]
    pub fn id(&self) -> Uuid {
        self.0.id
    }

    /// Which attempt it is; 1 is the first.
    #[must_use]
    pub fn attempt(&self) -> i32 {
        self.0.attempt
    }

    /// The trace of the request that enqueued it.
    #[must_use]
    pub fn trace(&self) -> Option<&str> {
        self.0.trace.as_deref().map(trace::id_of)
    }

    /// Tells how far it is. It is written down twice a second at most, and at the end.
    pub fn progress(&self, done: i64, of: Option<i64>, note: impl Into<String>) {
        let mut progress = self
            .0
            .progress
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *progress = Progress {
            done,
            of,
            note: note.into().replace('\0', ""),
            is_new: true,
        };
    }

    /// Whether it is to stop: somebody cancelled it. A handler that does not look is cut off a while
    /// later.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        *self.0.cancelled.borrow()
    }

    /// Waits until it is to stop.
    pub async fn cancelled(&self) {
        let mut cancelled = self.0.cancelled.clone();
        if cancelled.wait_for(|cancelled| *cancelled).await.is_err() {
            std::future::pending::<()>().await;
        }
    }

    /// Commits the transaction, and in it that the job is done: both or neither. It is the last thing
    /// that a handler does.
    ///
    /// # Errors
    /// When the job is not this worker's any more, because it was away for too long and another has it;
    /// and when the database fails. Then nothing of the transaction is done.
    pub async fn finish_in(&self, mut tx: TenantTx) -> Result<(), JobError> {
        if !tx.is_on(&self.0.db) {
            return Err(JobError::for_good("the transaction is another tenant's"));
        }
        let progress = self.0.told();
        let ended = tx
            .query(
                "UPDATE jobs SET status = 'done', finished_at = $3, lease = NULL, lease_until = NULL,
                    last_error = NULL, cancelling = $4, progress = $5, progress_of = $6,
                    progress_note = $7
                 WHERE id = $1 AND lease = $2 AND status = 'running'",
            )
            .bind(self.0.id)
            .bind(self.0.lease)
            .bind(Utc::now())
            .bind(false)
            .bind(progress.done)
            .bind(progress.of)
            .bind(&progress.note)
            .execute()
            .await?;
        if ended == 0 {
            tx.rollback().await?;
            return Err(JobError::again(DbError::NotFound));
        }
        if progress.is_told() {
            let said = progress.said(self.0.id, &self.0.kind, "done");
            drop(tx.publish(TOPIC, &said));
        }
        tx.commit().await?;
        self.0.finished.store(true, Ordering::Release);
        Ok(())
    }
}

impl Inner {
    /// How far it is.
    pub(super) fn told(&self) -> Progress {
        self.progress
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// How far it is, where that was not taken yet.
    pub(super) fn news(&self) -> Option<Progress> {
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        if !progress.is_new {
            return None;
        }
        progress.is_new = false;
        Some(progress.clone())
    }
}

impl fmt::Debug for JobContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JobContext")
            .field("tenant", &self.0.tenant.id())
            .field("id", &self.0.id)
            .field("attempt", &self.0.attempt)
            .finish_non_exhaustive()
    }
}
