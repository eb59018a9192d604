use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use serde::Serialize;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{sleep, timeout},
};
use uuid::Uuid;

use super::{
    Jobs,
    lease::take_sql,
    ring::Ring,
    turn::{Counters, Phase, Shared, Turn, turn},
};
use crate::{Tenancy, Tenant, db::DbError, tenant::TenantId};

/// How many tenants' turns are planned ahead.
const AHEAD: i64 = 5_000;

/// The catalog is not asked more often than this, however much is enqueued.
const LEAST: Duration = Duration::from_millis(20);

/// How often it is looked whether there are tenants of whom nothing is known.
const UNKNOWN: Duration = Duration::from_secs(30);

/// Runs the jobs of all tenants, each in its turn. Any number of them work beside each other, in one
/// process or several.
pub struct Worker {
    tenancy: Tenancy,
    jobs: Jobs,
    slots: usize,
    lease: Duration,
    slice: Duration,
    poll: Duration,
    sweep: Duration,
    grace: Duration,
}

/// What a worker has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Tally {
    /// Jobs that are done.
    pub done: u64,
    /// Attempts that failed, and are followed by another.
    pub again: u64,
    /// Jobs that are dead.
    pub dead: u64,
    /// Jobs that were cancelled while they ran.
    pub cancelled: u64,
    /// Attempts that were cut off: given back at the worker's end, or another worker's by then.
    pub lost: u64,
}

impl Worker {
    /// One that does what the application says.
    #[must_use]
    pub fn new(tenancy: &Tenancy, jobs: Jobs) -> Self {
        Self {
            tenancy: tenancy.clone(),
            jobs,
            slots: 4,
            lease: Duration::from_secs(30),
            slice: Duration::from_millis(20),
            poll: Duration::from_millis(500),
            sweep: Duration::from_secs(60 * 60),
            grace: Duration::from_secs(10),
        }
    }

    /// How many tenants have their turn at a time; 4 unless told.
    #[must_use]
    pub fn slots(mut self, slots: usize) -> Self {
        self.slots = slots.max(1);
        self
    }

    /// How long a job stays a worker's that is not heard of; 30 seconds unless told, and a second at
    /// least. Clocks of machines that work together should not differ by as much.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = lease.max(Duration::from_secs(1));
        self
    }

    /// How long a turn is: a job that is begun ends, and no other is begun after that time. 20 ms
    /// unless told.
    #[must_use]
    pub fn slice(mut self, slice: Duration) -> Self {
        self.slice = slice;
        self
    }

    /// How often the catalog is asked who has something to do; every half second unless told. What is
    /// enqueued in this process is known at once.
    #[must_use]
    pub fn poll(mut self, poll: Duration) -> Self {
        self.poll = poll.max(LEAST);
        self
    }

    /// How long a tenant is not looked at of whom the catalog says that nothing is due; an hour unless
    /// told. It mends what was lost with the catalog.
    #[must_use]
    pub fn sweep(mut self, sweep: Duration) -> Self {
        self.sweep = sweep.max(Duration::from_secs(1));
        self
    }

    /// How long what runs may go on when the worker is to end, before it is given back; 10 seconds
    /// unless told.
    #[must_use]
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    fn shared(&self) -> (Arc<Shared>, watch::Sender<Phase>) {
        let (phases, phase) = watch::channel(Phase::Working);
        let shared = Shared {
            tenancy: self.tenancy.clone(),
            take_sql: take_sql(self.jobs.kinds(), false),
            take_one_sql: take_sql(self.jobs.kinds(), true),
            fingerprint: self.jobs.fingerprint(),
            jobs: self.jobs.clone(),
            lease: self.lease,
            slice: self.slice,
            sweep: self.sweep,
            phase,
            tally: Counters::default(),
            known: std::sync::Mutex::default(),
        };
        (Arc::new(shared), phases)
    }

    /// Works until `stop` comes about, then lets what runs end for the [grace](Self::grace), and gives
    /// back what has not. Tells what it did.
    ///
    /// It goes on while databases are away. It ends by itself when the tenancy is closed.
    pub async fn run(self, stop: impl Future<Output = ()>) -> Tally {
        let (shared, phases) = self.shared();
        let mut turns = JoinSet::new();
        {
            let working = self.work(&shared, &mut turns);
            tokio::select! {
                () = working => {}
                () = stop => {}
            }
        }
        phases.send_replace(Phase::Ending);
        if timeout(self.grace, all_of(&mut turns)).await.is_err() {
            tracing::info!(turns = turns.len(), "what still runs is given back");
            phases.send_replace(Phase::Releasing);
            drop(timeout(self.grace.max(Duration::from_secs(2)), all_of(&mut turns)).await);
        }
        shared.tally.tally()
    }

    async fn work(&self, shared: &Arc<Shared>, turns: &mut JoinSet<(TenantId, Turn)>) {
        let tenancy = &self.tenancy;
        let mut ring = Ring::new();
        let mut asked: Option<Instant> = None;
        let mut unknown: Option<Instant> = None;
        let mut woken = false;
        let mut told = false;
        loop {
            if tenancy.0.is_closed() {
                return;
            }
            if !told {
                // schedules are a program's: what another has looked at is looked at anew
                let store = tenancy.0.catalog.store();
                told = store.due_by_schedules(&shared.fingerprint).await.is_ok();
            }
            if unknown.is_none_or(|at| at.elapsed() >= UNKNOWN.min(self.sweep))
                && let Ok(found) = tenancy.0.catalog.store().due_unknown().await
            {
                unknown = Some(Instant::now());
                woken |= found > 0;
            }
            let least = if woken { LEAST } else { self.poll };
            if asked.is_none_or(|at| at.elapsed() >= least) {
                woken = false;
                asked = Some(Instant::now());
                match tenancy.0.catalog.store().due(AHEAD).await {
                    Ok(due) => ring.update(
                        due.into_iter()
                            .map(|due| (due.tenant.id(), due.tenant, due.at)),
                    ),
                    Err(DbError::Closed) => return,
                    Err(error) => {
                        tracing::warn!(%error, "it cannot be asked who has something to do");
                    }
                }
            }
            while turns.len() < self.slots
                && let Some((id, tenant)) = ring.next(|tenant| (shared.jobs.share)(tenant).at_once)
            {
                let shared = shared.clone();
                turns.spawn(async move { (id, one_turn(&shared, &tenant).await) });
            }
            let now = Instant::now();
            let next_poll = asked.map_or(now, |at| at + if woken { LEAST } else { self.poll });
            let until = ring.wakes().map_or(next_poll, |wakes| wakes.min(next_poll));
            tokio::select! {
                Some(ended) = turns.join_next() => {
                    if let Ok((id, ended)) = ended {
                        ring.ended(id, ended);
                    }
                }
                () = tenancy.0.work.notified(), if !woken => woken = true,
                () = sleep(until.saturating_duration_since(now).max(Duration::from_millis(1))) => {}
            }
        }
    }

    /// Works off what a tenant has to do now, or only the one job, due or not; and tells what was done.
    ///
    /// # Errors
    /// When the tenant's database fails.
    pub async fn work_off(&self, tenant: &Tenant, only: Option<Uuid>) -> Result<Tally, DbError> {
        let (shared, _phases) = self.shared();
        match turn(&shared, tenant, None, only).await {
            Turn::Failed => Err(DbError::Busy),
            _ => Ok(shared.tally.tally()),
        }
    }
}

async fn one_turn(shared: &Shared, tenant: &Tenant) -> Turn {
    let weight = u32::from((shared.jobs.share)(tenant).weight.max(1));
    turn(shared, tenant, Some(shared.slice * weight), None).await
}

async fn all_of(turns: &mut JoinSet<(TenantId, Turn)>) {
    while turns.join_next().await.is_some() {}
}

impl fmt::Debug for Worker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Worker")
            .field("slots", &self.slots)
            .field("jobs", &self.jobs)
            .finish_non_exhaustive()
    }
}
