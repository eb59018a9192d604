use std::{fmt, sync::Arc, time::Duration};

use chrono::{DateTime, SubsecRound, Utc};
use serde::Serialize;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::{COLUMNS, Job, JobInfo, JobStatus, NewJob};
use crate::{
    Tenancy, Tenant,
    db::{DbError, TenantDb, TenantTx},
    tenant::TenantId,
};

/// What one tenant has to do later.
#[derive(Clone)]
pub struct Queue {
    tenancy: Tenancy,
    tenant: Tenant,
    trace: Option<Arc<str>>,
}

/// What became of a job that was to be enqueued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Enqueued {
    /// Its id; or that of the one that is there by its unique key.
    pub id: Uuid,
    /// Whether there was none by its unique key.
    pub is_new: bool,
}

/// Why a job was not enqueued.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnqueueError {
    /// As many wait as may, by the tenant's [limits](crate::tenant::Limits).
    #[error("there are {most} jobs that wait, and may be no more")]
    Full {
        /// How many may wait.
        most: u64,
    },
    /// So many were enqueued of late as may be, by the tenant's limits.
    #[error("too many jobs were enqueued; wait for {} s", .0.as_secs() + 1)]
    TooMany(Duration),
    /// The database failed, or the transaction is another tenant's.
    #[error(transparent)]
    Db(#[from] DbError),
}

/// Which jobs are meant.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Those that stand so.
    pub status: Option<JobStatus>,
    /// Those of this kind.
    pub kind: Option<String>,
    /// The one.
    pub id: Option<Uuid>,
}

/// How many jobs there are, by how they stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Counts {
    /// Those that wait.
    pub queued: i64,
    /// Those that a worker has.
    pub running: i64,
    /// Those that are done and not forgotten yet.
    pub done: i64,
    /// Those that failed for good.
    pub dead: i64,
    /// Those that were cancelled.
    pub cancelled: i64,
}

/// The lock of a tenant's hint: who enqueues holds it with others, who says that nothing is due holds
/// it alone.
pub(super) fn hint_lock(id: TenantId) -> i64 {
    lock_key("tenantry:jobs:hint", id)
}

/// The lock of those who take a tenant's jobs, one after the other.
pub(super) fn take_lock(id: TenantId) -> i64 {
    lock_key("tenantry:jobs:take", id)
}

fn lock_key(what: &str, id: TenantId) -> i64 {
    let digest = Sha256::new()
        .chain_update(what)
        .chain_update(id.as_uuid())
        .finalize();
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    i64::from_be_bytes(first)
}

/// Has the catalog know that the tenant has work by then, before the transaction says so.
///
/// The hint must never be later than the first of the tenant's jobs, or that waits until the tenant is
/// looked at anyway. It is moved on by workers only, which hold the lock alone, look at the queue and
/// write what they saw before they let go of it. Who enqueues holds the lock, with others, from before
/// the hint is looked at until the transaction ends. So either a worker sees the job, or who enqueues
/// sees what the worker wrote; and a hint that is early enough need not be written again. Whoever dies
/// before the commit leaves a hint too many. A file has one writer: there its transaction is the lock.
pub(super) async fn hint(
    tenancy: &Tenancy,
    tenant: TenantId,
    tx: &mut TenantTx,
    at: DateTime<Utc>,
) -> Result<(), DbError> {
    tx.lock_shared(hint_lock(tenant)).await?;
    let store = tenancy.0.catalog.store();
    if store.due_at(tenant).await?.is_none_or(|due| due > at) {
        store.due_by(tenant, at).await?;
    }
    Ok(())
}

impl Queue {
    pub(crate) fn of(tenancy: &Tenancy, tenant: &Tenant) -> Self {
        Self {
            tenancy: tenancy.clone(),
            tenant: tenant.clone(),
            trace: None,
        }
    }

    /// What is enqueued by it belongs to this trace, usually a request's: its id, or a whole
    /// [`traceparent`](https://www.w3.org/TR/trace-context/#traceparent-header), below whose span those of
    /// the jobs are exported.
    #[must_use]
    pub fn traced(mut self, trace: Option<Arc<str>>) -> Self {
        self.trace = trace;
        self
    }

    /// The tenant.
    #[must_use]
    pub fn tenant(&self) -> &Tenant {
        &self.tenant
    }

    async fn db(&self) -> Result<TenantDb, DbError> {
        self.tenancy.db(&self.tenant).await
    }

    /// Enqueues a job, if and when the transaction is committed.
    ///
    /// # Errors
    /// [`EnqueueError::Full`] and [`EnqueueError::TooMany`] beyond the tenant's limits, with the
    /// transaction as it was; [`DbError::Denied`] when the transaction is another tenant's; and when it
    /// cannot be written.
    pub async fn enqueue<J: Job>(
        &self,
        tx: &mut TenantTx,
        job: impl Into<NewJob<J>>,
    ) -> Result<Enqueued, EnqueueError> {
        let job = job.into();
        let payload = serde_json::to_string(&job.payload);
        let payload = payload.map_err(|error| DbError::Engine(Box::new(error)))?;
        let row = Written {
            kind: J::KIND,
            payload,
            priority: job.priority,
            run_at: job.run_at,
            max_attempts: job.max_attempts,
            unique: job.unique,
        };
        self.require_room(tx).await?;
        Ok(self.write(tx, row).await?)
    }

    /// Requires that the tenant may enqueue one more. What is done by a schedule is not counted, and one
    /// that is there already by its unique key is.
    async fn require_room(&self, tx: &mut TenantTx) -> Result<(), EnqueueError> {
        let (id, limits) = (self.tenant.id(), self.tenancy.limits(&self.tenant));
        if let Some(most) = limits.jobs_waiting {
            self.require_own(tx).await?;
            // of two who enqueue at once the other counts after the first has ended
            tx.lock_alone(lock_key("tenantry:jobs:room", id)).await?;
            let sql = "SELECT count(*) FROM (
                    SELECT 1 FROM jobs WHERE status = 'queued' LIMIT $1
                ) AS waiting";
            let limit = i64::try_from(most).unwrap_or(i64::MAX);
            let waiting: i64 = tx.query(sql).bind(limit).scalar().await?;
            if waiting.unsigned_abs() >= most {
                return Err(EnqueueError::Full { most });
            }
        }
        match limits.jobs {
            Some(rate) => {
                let taken = self.tenancy.0.limiter.take_job(id, rate);
                taken.map_err(EnqueueError::TooMany)
            }
            None => Ok(()),
        }
    }

    async fn require_own(&self, tx: &mut TenantTx) -> Result<(), DbError> {
        let own = self.db().await?;
        match tx.is_on(&own) {
            true => Ok(()),
            false => Err(DbError::Denied(
                "a job is enqueued in a transaction of its tenant's, and this is not".into(),
            )),
        }
    }

    /// Enqueues a job in a transaction of its own.
    ///
    /// # Errors
    /// As [`enqueue`](Self::enqueue).
    pub async fn enqueue_alone<J: Job>(
        &self,
        job: impl Into<NewJob<J>> + Send,
    ) -> Result<Enqueued, EnqueueError> {
        let mut tx = self.db().await?.begin();
        let enqueued = self.enqueue(&mut tx, job).await?;
        tx.commit().await?;
        self.tenancy.0.work.notify_one();
        Ok(enqueued)
    }

    pub(super) async fn write(&self, tx: &mut TenantTx, row: Written) -> Result<Enqueued, DbError> {
        self.require_own(tx).await?;
        let now = Utc::now().trunc_subsecs(6);
        let (id, run_at) = (Uuid::now_v7(), row.run_at.unwrap_or(now));
        hint(&self.tenancy, self.tenant.id(), tx, run_at).await?;
        let is_new = tx
            .query(
                "INSERT INTO jobs (id, kind, payload, status, priority, run_at, attempts, max_attempts,
                    unique_key, cancelling, progress, progress_note, trace, created_at)
                 VALUES ($1, $2, $3, 'queued', $4, $5, 0, $6, $7, $8, 0, '', $9, $10)
                 ON CONFLICT (unique_key) WHERE status IN ('queued', 'running') DO NOTHING",
            )
            .bind(id)
            .bind(row.kind)
            .bind(row.payload)
            .bind(row.priority)
            .bind(run_at)
            .bind(row.max_attempts)
            .bind(row.unique.as_deref())
            .bind(false)
            .bind(self.trace.as_deref())
            .bind(now)
            .execute()
            .await?
            > 0;
        self.tenancy.0.work.notify_one();
        if is_new {
            return Ok(Enqueued { id, is_new });
        }
        let id = tx
            .query(
                "SELECT id FROM jobs WHERE unique_key = $1 AND status IN ('queued', 'running')
                 ORDER BY id LIMIT 1",
            )
            .bind(row.unique.as_deref())
            .optional::<(Uuid,)>()
            .await?
            // it was there a moment ago, and what it stood for is done
            .map_or(id, |(id,)| id);
        Ok(Enqueued { id, is_new })
    }

    /// The job of that id.
    ///
    /// # Errors
    /// When it cannot be read.
    pub async fn get(&self, id: Uuid) -> Result<Option<JobInfo>, DbError> {
        let db = self.db().await?;
        db.query(&format!("SELECT {COLUMNS} FROM jobs WHERE id = $1"))
            .bind(id)
            .optional()
            .await
    }

    /// The jobs that are meant, the latest first: at most so many, and older than `before`.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn list(
        &self,
        filter: &Filter,
        before: Option<Uuid>,
        most: usize,
    ) -> Result<Vec<JobInfo>, DbError> {
        let (condition, values) = filter.condition(2);
        let db = self.db().await?;
        let sql = format!(
            "SELECT {COLUMNS} FROM jobs WHERE id < $1 AND {condition} ORDER BY id DESC LIMIT {most}"
        );
        let query = db.query(&sql).bind(before.unwrap_or(Uuid::max()));
        values
            .into_iter()
            .fold(query, |query, value| query.bind(value))
            .all()
            .await
    }

    /// How many jobs there are.
    ///
    /// # Errors
    /// When they cannot be counted.
    pub async fn counts(&self) -> Result<Counts, DbError> {
        let db = self.db().await?;
        let rows: Vec<(String, i64)> = db
            .query("SELECT status, count(*) FROM jobs GROUP BY status")
            .all()
            .await?;
        let of = |status: JobStatus| {
            let found = rows.iter().find(|(word, _)| word == status.as_str());
            found.map_or(0, |(_, count)| *count)
        };
        Ok(Counts {
            queued: of(JobStatus::Queued),
            running: of(JobStatus::Running),
            done: of(JobStatus::Done),
            dead: of(JobStatus::Dead),
            cancelled: of(JobStatus::Cancelled),
        })
    }

    /// How many jobs wait for longer than that.
    ///
    /// # Errors
    /// When they cannot be counted.
    pub async fn overdue(&self, by: Duration) -> Result<u64, DbError> {
        let by = chrono::Duration::from_std(by).unwrap_or(chrono::Duration::days(365_000));
        let Some(before) = Utc::now().checked_sub_signed(by) else {
            return Ok(0);
        };
        let count: i64 = self
            .db()
            .await?
            .query("SELECT count(*) FROM jobs WHERE status = 'queued' AND run_at < $1")
            .bind(before)
            .scalar()
            .await?;
        Ok(u64::try_from(count).unwrap_or(0))
    }

    /// Has those of the jobs that are meant and are dead or cancelled tried anew, from the first
    /// attempt; and returns how many those are. One whose unique key another has by now stays.
    ///
    /// # Errors
    /// When they cannot be written.
    pub async fn retry(&self, filter: &Filter) -> Result<u64, DbError> {
        let now = Utc::now();
        let (condition, values) = filter.condition(3);
        let mut tx = self.db().await?.begin();
        hint(&self.tenancy, self.tenant.id(), &mut tx, now).await?;
        let sql = format!(
            "UPDATE jobs SET status = 'queued', run_at = $1, attempts = 0, finished_at = NULL,
                cancelling = $2
             WHERE status IN ('dead', 'cancelled') AND {condition}
                AND (unique_key IS NULL OR (NOT EXISTS (SELECT 1 FROM jobs other
                        WHERE other.unique_key = jobs.unique_key
                            AND other.status IN ('queued', 'running'))
                    AND NOT EXISTS (SELECT 1 FROM jobs later
                        WHERE later.unique_key = jobs.unique_key AND later.id > jobs.id
                            AND later.status IN ('dead', 'cancelled'))))"
        );
        let query = tx.query(&sql).bind(now).bind(false);
        let retried = values
            .into_iter()
            .fold(query, |query, value| query.bind(value))
            .execute()
            .await?;
        tx.commit().await?;
        self.tenancy.0.work.notify_one();
        Ok(retried)
    }

    /// Forgets those of the jobs that are meant and have ended since longer than that: done, dead or
    /// cancelled. Returns how many those were.
    ///
    /// # Errors
    /// When they cannot be removed.
    pub async fn purge(&self, filter: &Filter, age: Duration) -> Result<u64, DbError> {
        let age = chrono::Duration::from_std(age).unwrap_or(chrono::Duration::days(365_000));
        let Some(before) = Utc::now().checked_sub_signed(age) else {
            return Ok(0);
        };
        let (condition, values) = filter.condition(2);
        let db = self.db().await?;
        let sql = format!("DELETE FROM jobs WHERE finished_at <= $1 AND {condition}");
        let query = db.query(&sql).bind(before);
        values
            .into_iter()
            .fold(query, |query, value| query.bind(value))
            .execute()
            .await
    }

    /// Does not have a job done: at once where it waits, and else its handler is told. Whether there
    /// was one that waits or runs.
    ///
    /// # Errors
    /// When it cannot be written.
    pub async fn cancel(&self, id: Uuid) -> Result<bool, DbError> {
        let changed = self
            .db()
            .await?
            .query(
                "UPDATE jobs SET cancelling = $2,
                    finished_at = CASE WHEN status = 'queued' THEN $3 ELSE finished_at END,
                    status = CASE WHEN status = 'queued' THEN 'cancelled' ELSE status END
                 WHERE id = $1 AND status IN ('queued', 'running')",
            )
            .bind(id)
            .bind(true)
            .bind(Utc::now())
            .execute()
            .await?;
        Ok(changed > 0)
    }
}

/// A job as it is written down.
pub(super) struct Written {
    pub(super) kind: &'static str,
    pub(super) payload: String,
    pub(super) priority: i16,
    pub(super) run_at: Option<DateTime<Utc>>,
    pub(super) max_attempts: i32,
    pub(super) unique: Option<String>,
}

impl Filter {
    /// The one of that id.
    #[must_use]
    pub fn id(id: Uuid) -> Self {
        Self {
            id: Some(id),
            ..Self::default()
        }
    }

    /// As a condition whose first parameter has that number, and its values.
    fn condition(&self, first: usize) -> (String, Vec<crate::db::Value>) {
        let wanted: [(&str, Option<crate::db::Value>); 3] = [
            ("status", self.status.map(|status| status.as_str().into())),
            ("kind", self.kind.as_deref().map(Into::into)),
            ("id", self.id.map(Into::into)),
        ];
        let mut text = "1 = 1".to_owned();
        let mut values = Vec::new();
        for (column, value) in wanted {
            if let Some(value) = value {
                text.push_str(&format!(" AND jobs.{column} = ${}", first + values.len()));
                values.push(value);
            }
        }
        (text, values)
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue")
            .field("tenant", &self.tenant.id())
            .finish_non_exhaustive()
    }
}
