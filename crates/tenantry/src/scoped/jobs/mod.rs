//! What a tenant has to do later: jobs, in its own database.
//!
//! A job is enqueued in the transaction of what it is about, and is there if and only if that is
//! committed. A [`Worker`] gives each tenant its turn, and hands a job to its handler together with
//! the tenant: without one there is no [`JobContext`], and no handler runs.
//!
//! A job runs at least once. When a worker dies, or its tenant's database does not answer, it is run
//! again. What a handler does beyond the tenant's database it does so that twice is as once, by the
//! job's [id](JobContext::id), which stays the same; what it does in there it commits together with the
//! job's end ([`JobContext::finish_in`]), and so exactly once.
//!
//! ```
//! use serde::{Deserialize, Serialize};
//! use tenantry::{Tenancy, Tenant, scoped::jobs::{EnqueueError, Job, JobContext, Jobs, Worker}};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Recount { shelf: String }
//!
//! impl Job for Recount {
//!     const KIND: &'static str = "recount";
//! }
//!
//! fn jobs() -> Jobs {
//!     Jobs::new().job(|job: JobContext, recount: Recount| async move {
//!         let mut tx = job.db().begin();
//!         tx.query("UPDATE shelves SET counted = true WHERE name = $1")
//!             .bind(&recount.shelf).execute().await?;
//!         job.finish_in(tx).await
//!     })
//! }
//!
//! async fn later(tenancy: &Tenancy, acme: &Tenant) -> Result<(), EnqueueError> {
//!     let mut tx = tenancy.db(acme).await?.begin();
//!     tx.query("UPDATE shelves SET counted = false").execute().await?;
//!     tenancy.jobs(acme).enqueue(&mut tx, Recount { shelf: "A".into() }).await?;
//!     Ok(tx.commit().await?)
//! }
//!
//! async fn work(tenancy: &Tenancy) {
//!     Worker::new(tenancy, jobs()).run(std::future::pending()).await;
//! }
//! ```

mod context;
mod handlers;
mod lease;
mod queue;
mod ring;
mod schedule;
mod turn;
mod worker;

use std::{fmt, str::FromStr, time::Duration};

use chrono::{DateTime, Utc};
use serde::{Serialize, de::DeserializeOwned};
use uuid::Uuid;

pub use context::JobContext;
pub use handlers::{Jobs, Share};
pub use queue::{Counts, EnqueueError, Enqueued, Filter, Queue};
pub use schedule::{BadSchedule, Schedule};
pub use worker::{Tally, Worker};

use crate::{
    db::{DbError, FromRow, Row},
    migrate::Migrations,
    trace,
};

/// The topic in which [those who listen](crate::scoped::live) hear how far jobs are that
/// [tell](JobContext::progress): `{"id": …, "kind": …, "status": …, "progress": {"done": …, "of": …,
/// "note": …}}`.
pub const TOPIC: &str = "jobs";

pub(crate) fn migrations() -> Migrations {
    Migrations::new().sql("tenantry_0006_jobs", include_str!("0001_jobs.sql"))
}

/// Something to be done later, as it is written down until then.
pub trait Job: Serialize + DeserializeOwned + Send + 'static {
    /// What it is called in the database, for as long as any of it may be there.
    const KIND: &'static str;
    /// How often it is tried before it is dead.
    const MAX_ATTEMPTS: i32 = 10;
    /// What is higher goes first, within a tenant.
    const PRIORITY: i16 = 0;
    /// How long one attempt may take.
    const TIMEOUT: Duration = Duration::from_secs(60 * 60);

    /// How long after a failed attempt, which is the first or the `attempt`th, it is tried again. It is
    /// then spread by a half, so that those that failed together do not come back together. Two
    /// seconds, doubled each time, and an hour at most, unless told.
    #[must_use]
    fn backoff(attempt: i32) -> Duration {
        let doubled = u32::try_from(attempt.saturating_sub(1))
            .unwrap_or(0)
            .min(11);
        Duration::from_secs((2_u64 << doubled).min(60 * 60))
    }
}

/// A job to be enqueued; any [`Job`] is one.
#[derive(Debug, Clone)]
pub struct NewJob<J> {
    payload: J,
    priority: i16,
    run_at: Option<DateTime<Utc>>,
    max_attempts: i32,
    unique: Option<String>,
}

impl<J: Job> NewJob<J> {
    /// As its kind says, as soon as can be.
    #[must_use]
    pub fn new(payload: J) -> Self {
        Self {
            payload,
            priority: J::PRIORITY,
            run_at: None,
            max_attempts: J::MAX_ATTEMPTS,
            unique: None,
        }
    }

    /// Not before then.
    #[must_use]
    pub fn at(mut self, at: DateTime<Utc>) -> Self {
        self.run_at = Some(at);
        self
    }

    /// What is higher goes first, within a tenant.
    #[must_use]
    pub fn priority(mut self, priority: i16) -> Self {
        self.priority = priority;
        self
    }

    /// How often it is tried before it is dead; once at least.
    #[must_use]
    pub fn max_attempts(mut self, most: i32) -> Self {
        self.max_attempts = most.max(1);
        self
    }

    /// Only where the tenant has no other job by this key that waits or runs.
    #[must_use]
    pub fn unique(mut self, key: impl Into<String>) -> Self {
        self.unique = Some(key.into());
        self
    }
}

impl<J: Job> From<J> for NewJob<J> {
    fn from(payload: J) -> Self {
        Self::new(payload)
    }
}

/// How it stands with a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum JobStatus {
    /// It waits for its time, its turn, or for being tried again.
    Queued,
    /// A worker has it.
    Running,
    /// It is done.
    Done,
    /// It failed as often as it may, or for good. It stays until somebody retries or purges it.
    Dead,
    /// Somebody did not want it any more.
    Cancelled,
}

impl JobStatus {
    /// All there are.
    pub const ALL: [Self; 5] = [
        Self::Queued,
        Self::Running,
        Self::Done,
        Self::Dead,
        Self::Cancelled,
    ];

    /// The word for it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Done => "done",
            Self::Dead => "dead",
            Self::Cancelled => "cancelled",
        }
    }
}

impl fmt::Display for JobStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for JobStatus {
    type Err = NoStatus;

    fn from_str(text: &str) -> Result<Self, NoStatus> {
        let found = Self::ALL.into_iter().find(|one| one.as_str() == text);
        found.ok_or_else(|| NoStatus(text.into()))
    }
}

/// A word for no status of a job.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("must be queued, running, done, dead or cancelled, and not {0:?}")]
pub struct NoStatus(String);

/// A job, as its tenant's database has it.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct JobInfo {
    /// What it is known by, at every attempt.
    pub id: Uuid,
    /// What is to be done.
    pub kind: String,
    /// What its handler is given.
    pub payload: serde_json::Value,
    /// How it stands.
    pub status: JobStatus,
    /// What is higher goes first.
    pub priority: i16,
    /// When it is to be run, or was.
    pub run_at: DateTime<Utc>,
    /// How often it was begun.
    pub attempts: i32,
    /// How often it is tried.
    pub max_attempts: i32,
    /// The key that no other that waits or runs has.
    pub unique_key: Option<String>,
    /// Whether it was told to stop, and has not yet.
    pub cancelling: bool,
    /// How far it is, in units of its own.
    pub progress: i64,
    /// How far it is to come, where that is known.
    pub progress_of: Option<i64>,
    /// How it goes, in words.
    pub progress_note: String,
    /// Why the last attempt failed.
    pub last_error: Option<String>,
    /// The trace of the request that enqueued it.
    pub trace: Option<String>,
    /// When it was enqueued.
    pub created_at: DateTime<Utc>,
    /// When it was done, dead or cancelled.
    pub finished_at: Option<DateTime<Utc>>,
}

/// What a [`JobInfo`] is read from.
const COLUMNS: &str = "id, kind, payload, status, priority, run_at, attempts, max_attempts, unique_key, \
     cancelling, progress, progress_of, progress_note, last_error, trace, created_at, finished_at";

impl FromRow for JobInfo {
    fn from_row(row: &Row<'_>) -> Result<Self, DbError> {
        let status: String = row.at(3)?;
        let payload: String = row.at(2)?;
        Ok(Self {
            id: row.at(0)?,
            kind: row.at(1)?,
            payload: serde_json::from_str(&payload).unwrap_or(serde_json::Value::String(payload)),
            status: status
                .parse()
                .map_err(|error: NoStatus| DbError::Engine(Box::new(error)))?,
            priority: row.at(4)?,
            run_at: row.at(5)?,
            attempts: row.at(6)?,
            max_attempts: row.at(7)?,
            unique_key: row.at(8)?,
            cancelling: row.at(9)?,
            progress: row.at(10)?,
            progress_of: row.at(11)?,
            progress_note: row.at(12)?,
            last_error: row.at(13)?,
            trace: row
                .at::<Option<String>>(14)?
                .map(|kept| trace::id_of(&kept).to_owned()),
            created_at: row.at(15)?,
            finished_at: row.at(16)?,
        })
    }
}

/// Why an attempt at a job did not succeed. Any error becomes one that is worth another attempt.
#[derive(Debug)]
pub struct JobError {
    pub(crate) what: Box<dyn std::error::Error + Send + Sync>,
    pub(crate) again: bool,
}

impl JobError {
    /// It may succeed another time.
    pub fn again(what: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self {
            what: what.into(),
            again: true,
        }
    }

    /// It would fail each time: the job is dead.
    pub fn for_good(what: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self {
            what: what.into(),
            again: false,
        }
    }
}

impl<E: std::error::Error + Send + Sync + 'static> From<E> for JobError {
    fn from(error: E) -> Self {
        Self::again(error)
    }
}

impl fmt::Display for JobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.what.fmt(f)
    }
}
