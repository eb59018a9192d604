use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use futures_util::future::BoxFuture;
use sha2::{Digest, Sha256};

use super::{Job, JobContext, JobError, NewJob, Schedule, queue::Written, schedule::Tick};
use crate::Tenant;

/// What an application can do later: a handler for each kind of job, when what is done again and again
/// is due, and how much of the workers a tenant may have.
#[derive(Clone)]
pub struct Jobs {
    pub(super) handlers: BTreeMap<&'static str, Handler>,
    pub(super) schedules: Vec<Scheduled>,
    pub(super) share: Arc<dyn Fn(&Tenant) -> Share + Send + Sync>,
}

/// What a kind of job is done by.
#[derive(Clone)]
pub(super) struct Handler {
    pub(super) run: Arc<Run>,
    pub(super) timeout: Duration,
    pub(super) backoff: fn(i32) -> Duration,
}

type Run = dyn Fn(JobContext, String) -> BoxFuture<'static, Result<(), JobError>> + Send + Sync;

/// A job that comes again and again.
#[derive(Clone)]
pub(super) struct Scheduled {
    pub(super) name: &'static str,
    pub(super) when: Schedule,
    pub(super) whose: Arc<dyn Fn(&Tenant) -> bool + Send + Sync>,
    pub(super) job: Arc<dyn Fn(Tick) -> Result<Written, serde_json::Error> + Send + Sync>,
}

/// How much of the workers a tenant may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// How many of its jobs run at a time, over all processes.
    pub at_once: u16,
    /// How long a turn of its is, against others': with 2 it has twice the time.
    pub weight: u16,
}

impl Default for Share {
    fn default() -> Self {
        Self {
            at_once: 2,
            weight: 1,
        }
    }
}

impl Default for Jobs {
    fn default() -> Self {
        Self {
            handlers: BTreeMap::new(),
            schedules: Vec::new(),
            share: Arc::new(|_| Share::default()),
        }
    }
}

impl Jobs {
    /// Nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds the handler of a kind of job. It is given the tenant's context, and what was enqueued.
    ///
    /// # Panics
    /// When there is one of that kind already, which is a mistake in the program.
    #[must_use]
    pub fn job<J, F, Fut>(mut self, handler: F) -> Self
    where
        J: Job,
        F: Fn(JobContext, J) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), JobError>> + Send + 'static,
    {
        let run = move |context, payload: String| -> BoxFuture<'static, _> {
            match serde_json::from_str(&payload) {
                Ok(payload) => Box::pin(handler(context, payload)),
                Err(error) => Box::pin(async move {
                    Err(JobError::for_good(format!(
                        "the payload cannot be read: {error}"
                    )))
                }),
            }
        };
        let handler = Handler {
            run: Arc::new(run),
            timeout: J::TIMEOUT,
            backoff: J::backoff,
        };
        let before = self.handlers.insert(J::KIND, handler);
        assert!(before.is_none(), "{} has two handlers", J::KIND);
        self
    }

    /// Has a job enqueued in every tenant whenever it is time, under a name that it keeps. Where the one
    /// before has not ended, none is; of times that nobody was there for, it is done once.
    ///
    /// ```
    /// # use tenantry::scoped::jobs::{Job, Jobs};
    /// # use serde::{Deserialize, Serialize};
    /// #[derive(Serialize, Deserialize)]
    /// struct Report;
    ///
    /// impl Job for Report {
    ///     const KIND: &'static str = "report";
    /// }
    ///
    /// let jobs = Jobs::new().schedule("nightly-report", "0 2 * * *".parse()?, || Report);
    /// # Ok::<(), tenantry::scoped::jobs::BadSchedule>(())
    /// ```
    ///
    /// # Panics
    /// When there is one of that name already, which is a mistake in the program.
    #[must_use]
    pub fn schedule<J: Job>(
        self,
        name: &'static str,
        when: Schedule,
        job: impl Fn() -> J + Send + Sync + 'static,
    ) -> Self {
        self.schedule_for(name, when, |_| true, job)
    }

    /// As [`schedule`](Self::schedule), in those tenants only.
    ///
    /// # Panics
    /// As [`schedule`](Self::schedule).
    #[must_use]
    pub fn schedule_for<J: Job>(
        mut self,
        name: &'static str,
        when: Schedule,
        whose: impl Fn(&Tenant) -> bool + Send + Sync + 'static,
        job: impl Fn() -> J + Send + Sync + 'static,
    ) -> Self {
        assert!(
            self.schedules.iter().all(|one| one.name != name),
            "{name} is two schedules"
        );
        self.schedules.push(Scheduled {
            name,
            when,
            whose: Arc::new(whose),
            job: Arc::new(move |tick| {
                let new = NewJob::new(job());
                Ok(Written {
                    kind: J::KIND,
                    payload: serde_json::to_string(&new.payload)?,
                    priority: new.priority,
                    run_at: Some(tick.at),
                    max_attempts: new.max_attempts,
                    unique: Some(format!("schedule:{name}")),
                })
            }),
        });
        self
    }

    /// Says how much of the workers a tenant may have, by its plan for one. Two jobs at a time and one
    /// part of the time, unless told.
    #[must_use]
    pub fn share(mut self, share: impl Fn(&Tenant) -> Share + Send + Sync + 'static) -> Self {
        self.share = Arc::new(share);
        self
    }

    /// The kinds of jobs that have a handler.
    pub fn kinds(&self) -> impl Iterator<Item = &'static str> {
        self.handlers.keys().copied()
    }

    /// The schedules: their names and when they are due.
    pub fn schedules(&self) -> impl Iterator<Item = (&'static str, &Schedule)> {
        self.schedules.iter().map(|one| (one.name, &one.when))
    }

    /// Whether there is nothing to do later.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.handlers.is_empty() && self.schedules.is_empty()
    }

    /// What programs with the same schedules have in common.
    pub(super) fn fingerprint(&self) -> String {
        let mut digest = Sha256::new();
        for one in &self.schedules {
            digest.update(format!("{}\0{}\0", one.name, one.when));
        }
        hex::encode(&digest.finalize()[..8])
    }
}

impl fmt::Debug for Jobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.handlers.keys()).finish()
    }
}
