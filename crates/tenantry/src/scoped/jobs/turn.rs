//! A tenant's turn: its jobs are taken and run, one after the other, until its time is over or there is
//! none.

use std::{
    any::Any,
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use chrono::{DateTime, Utc};
use tokio::{sync::watch, task::JoinError};
use tracing::{Instrument, field::Empty};
use uuid::Uuid;

use super::{
    JobContext, JobError, Jobs, TOPIC, Tally,
    context::{Inner, Progress},
    handlers::Handler,
    lease::{self, Ending, How, Taken},
    queue::hint_lock,
    schedule,
};
use crate::{
    Tenancy, Tenant,
    db::{DbError, Quantity, TenantDb},
    jitter::jittered,
    tenant::{TenantId, TenantStatus},
    trace::{self, Exported},
};

/// How often a job that runs is looked after.
const LOOK: Duration = Duration::from_millis(500);

/// How long a handler may take to stop when it is told to.
const STOPPING: Duration = Duration::from_secs(10);

/// How often its end is tried to be written when the database does not answer.
const TRIES: u32 = 6;

/// How long what has ended is kept, unless purged.
const KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// What all turns of a worker share.
pub(super) struct Shared {
    pub(super) tenancy: Tenancy,
    pub(super) jobs: Jobs,
    pub(super) take_sql: String,
    pub(super) take_one_sql: String,
    pub(super) fingerprint: String,
    pub(super) lease: Duration,
    pub(super) slice: Duration,
    pub(super) sweep: Duration,
    pub(super) phase: watch::Receiver<Phase>,
    pub(super) tally: Counters,
    pub(super) known: Mutex<HashMap<TenantId, Known>>,
}

/// How far a worker is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Phase {
    Working,
    /// Nothing is begun any more.
    Ending,
    /// What runs is given back.
    Releasing,
}

/// What need not be asked of a tenant's database again.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Known {
    next_tick: Option<DateTime<Utc>>,
    seen_to: Option<Instant>,
}

#[derive(Default)]
pub(super) struct Counters {
    done: AtomicU64,
    again: AtomicU64,
    dead: AtomicU64,
    cancelled: AtomicU64,
    lost: AtomicU64,
}

impl Counters {
    pub(super) fn tally(&self) -> Tally {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        Tally {
            done: read(&self.done),
            again: read(&self.again),
            dead: read(&self.dead),
            cancelled: read(&self.cancelled),
            lost: read(&self.lost),
        }
    }

    fn count(&self, how: Option<&How>, finished: bool) {
        let count = match how {
            Some(How::Done) => &self.done,
            Some(How::Again { .. }) => &self.again,
            Some(How::Dead { .. }) => &self.dead,
            Some(How::Cancelled) => &self.cancelled,
            None if finished => &self.done,
            Some(How::Released) | None => &self.lost,
        };
        count.fetch_add(1, Ordering::Relaxed);
    }
}

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Its time was over; there may be more.
    More,
    /// There is nothing to do now, and the catalog knows until when.
    Idle,
    /// There is something, and not for this worker now: somebody enqueues, as many run as may, or it is
    /// of a kind that this program does not know.
    Blocked,
    /// The tenant's database did not do it.
    Failed,
    /// The tenant does not work.
    Gone,
}

/// Has a tenant's turn, or works off all it has, or only one job.
pub(super) async fn turn(
    shared: &Shared,
    tenant: &Tenant,
    slice: Option<Duration>,
    only: Option<Uuid>,
) -> Turn {
    match have_turn(shared, tenant, slice, only).await {
        Ok(turn) => turn,
        Err(error) => {
            let (code, id) = (tenant.code(), tenant.id());
            tracing::warn!(tenant = %code, tenant_id = %id, %error, "a tenant's jobs cannot be worked on now");
            Turn::Failed
        }
    }
}

async fn have_turn(
    shared: &Shared,
    tenant: &Tenant,
    slice: Option<Duration>,
    only: Option<Uuid>,
) -> Result<Turn, DbError> {
    let now = shared.tenancy.0.catalog.store().by_id(tenant.id()).await?;
    let Some(tenant) = now.filter(|now| now.status() == TenantStatus::Active) else {
        return Ok(Turn::Gone);
    };
    let db = shared.tenancy.db(&tenant).await?.unhurried();
    let next_tick = see_to(shared, &tenant, &db).await?;
    let begun = Instant::now();
    let mut ending: Option<Ending> = None;
    let mut first = true;
    loop {
        let taken = take_next(shared, &tenant, &db, ending.take(), first, only).await?;
        first = false;
        let Some(taken) = taken else { break };
        ending = run(shared, &tenant, &db, taken).await;
        let is_over = slice.is_some_and(|slice| begun.elapsed() >= slice);
        if is_over || only.is_some() || *shared.phase.borrow() > Phase::Working {
            if let Some(ending) = &ending {
                write_end(shared, &tenant, &db, ending).await?;
            }
            return Ok(Turn::More);
        }
    }
    settle(shared, &tenant, &db, next_tick).await
}

/// Sees to the tenant's schedules and to what is to be forgotten, and tells when the next schedule is
/// due.
async fn see_to(
    shared: &Shared,
    tenant: &Tenant,
    db: &TenantDb,
) -> Result<Option<DateTime<Utc>>, DbError> {
    let lock = || shared.known.lock().unwrap_or_else(PoisonError::into_inner);
    let known = lock().get(&tenant.id()).copied().unwrap_or_default();
    let now = Utc::now();
    let is_fresh = known
        .seen_to
        .is_some_and(|at| at.elapsed() < shared.sweep / 2);
    if is_fresh && known.next_tick.is_none_or(|next| next > now) {
        return Ok(known.next_tick);
    }
    let queue = shared.tenancy.jobs(tenant);
    let next_tick = schedule::enqueue_due(&queue, db, &shared.jobs.schedules, now).await?;
    if !is_fresh {
        let kept = chrono::Duration::from_std(KEPT).unwrap_or_default();
        db.query("DELETE FROM jobs WHERE finished_at < $1 AND status IN ('done', 'cancelled')")
            .bind(now - kept)
            .execute()
            .await?;
    }
    let seen_to = if is_fresh {
        known.seen_to
    } else {
        Some(Instant::now())
    };
    lock().insert(tenant.id(), Known { next_tick, seen_to });
    Ok(next_tick)
}

/// Tells the catalog when the tenant is to be looked at again. See [`queue::hint`](super::queue::hint)
/// for why nothing is missed.
async fn settle(
    shared: &Shared,
    tenant: &Tenant,
    db: &TenantDb,
    next_tick: Option<DateTime<Utc>>,
) -> Result<Turn, DbError> {
    let mut tx = db.begin();
    match tx.lock_if_free(hint_lock(tenant.id())).await {
        Ok(()) => {}
        Err(DbError::Busy) => return Ok(Turn::Blocked),
        Err(error) => return Err(error),
    }
    let (queued, running): (Option<DateTime<Utc>>, Option<DateTime<Utc>>) = tx
        .query(
            "SELECT (SELECT min(run_at) FROM jobs WHERE status = 'queued'),
                (SELECT min(lease_until) FROM jobs WHERE status = 'running')",
        )
        .one()
        .await?;
    let now = Utc::now();
    let anyway = now + jittered(shared.sweep.mul_f64(0.75)..shared.sweep);
    let next = [queued, running, next_tick].into_iter().flatten().min();
    let next = next.map_or(anyway, |next| next.min(anyway));
    if next <= now {
        tx.rollback().await?;
        return Ok(Turn::Blocked);
    }
    let store = shared.tenancy.0.catalog.store();
    store
        .set_due(tenant.id(), next, &shared.fingerprint)
        .await?;
    // nothing was written; what counts is that the lock was held until now
    tx.rollback().await?;
    Ok(Turn::Idle)
}

async fn take_next(
    shared: &Shared,
    tenant: &Tenant,
    db: &TenantDb,
    ending: Option<Ending>,
    first: bool,
    only: Option<Uuid>,
) -> Result<Option<Taken>, DbError> {
    let taken = lease::take_next(shared, tenant, db, ending.as_ref(), first, only).await;
    if let (Err(_), Some(ending)) = (&taken, &ending) {
        // what was done is not to be done again because of what comes next
        write_end(shared, tenant, db, ending).await?;
    }
    taken
}

/// Writes a job's end, and tries again where the database is away for a moment. What cannot be written
/// is found when the lease ends, and the job is run again.
async fn write_end(
    shared: &Shared,
    tenant: &Tenant,
    db: &TenantDb,
    ending: &Ending,
) -> Result<(), DbError> {
    let mut tried = 0;
    loop {
        match lease::let_go(shared, tenant, db, ending).await {
            Err(DbError::Busy | DbError::Unavailable(_) | DbError::Full) if tried < TRIES => {
                tokio::time::sleep(Duration::from_millis(100) * 2_u32.pow(tried)).await;
                tried += 1;
            }
            other => return other,
        }
    }
}

/// A handler that ends with its handle.
struct AtWork(tokio::task::JoinHandle<Result<(), JobError>>);

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Runs a job. What is to be written of its end, if anything is.
async fn run(shared: &Shared, tenant: &Tenant, db: &TenantDb, taken: Taken) -> Option<Ending> {
    let handler = shared.jobs.handlers.get(taken.kind.as_str())?.clone();
    // as if it were an error, so that no filter leaves its lines without their tenant
    let span = tracing::error_span!(
        "job",
        otel.kind = Empty,
        tenant = %tenant.code(),
        tenant_id = %tenant.id(),
        kind = taken.kind,
        job = %taken.id,
        attempt = taken.attempt,
        trace = Empty,
    );
    let (id, kept) = (taken.id, taken.trace.as_deref());
    let exported = Exported::job(&span, tenant, &taken.kind, id, taken.attempt, kept);
    let trace: Option<Arc<str>> = match &exported {
        Some(exported) => Some(exported.trace()),
        None => kept.map(Into::into),
    };
    span.record("trace", trace.as_deref().map_or("", trace::id_of));
    let (stop, cancelled) = watch::channel(false);
    let inner = Arc::new(Inner {
        tenancy: shared.tenancy.clone(),
        tenant: tenant.clone(),
        db: db.clone(),
        id: taken.id,
        kind: taken.kind.as_str().into(),
        lease: taken.lease,
        attempt: taken.attempt,
        trace,
        progress: Mutex::new(Progress {
            is_new: false,
            ..taken.progress.clone()
        }),
        cancelled,
        finished: AtomicBool::new(false),
    });
    let begun = Instant::now();
    let how = {
        let (context, payload) = (JobContext(inner.clone()), taken.payload.clone());
        let run = handler.run.clone();
        // where the handler panics is within the task, whatever it does first
        let at_work = AtWork(tokio::spawn(
            async move { run(context, payload).await }.instrument(span.clone()),
        ));
        let watched = watch_over(shared, tenant, &inner, &taken, &handler, &stop, at_work);
        watched.instrument(span.clone()).await
    };
    let finished = inner.finished.load(Ordering::Acquire);
    let how = how.filter(|_| !finished);
    shared.tally.count(how.as_ref(), finished);
    let meter = shared.tenancy.meter(tenant);
    meter.add_time(Quantity::JobTime, begun.elapsed());
    let is_done = finished || matches!(how, Some(How::Done));
    let what = match is_done {
        true => Quantity::JobsDone,
        false => Quantity::JobsFailed,
    };
    meter.add(what, 1);
    let _entered = span.entered();
    if let Some(exported) = exported {
        exported.ended(match &how {
            Some(How::Again { .. }) => Some("retried"),
            Some(How::Dead { .. }) => Some("dead"),
            Some(How::Done | How::Cancelled | How::Released) | None => None,
        });
    }
    match &how {
        Some(How::Again { error, at }) => {
            tracing::warn!(error, %at, "a job failed, and is tried again");
        }
        Some(How::Dead { error }) => tracing::error!(error, "a job failed for good"),
        Some(How::Done | How::Cancelled | How::Released) | None => {
            tracing::debug!("a job has ended");
        }
    }
    Some(Ending {
        id: taken.id,
        kind: taken.kind,
        lease: taken.lease,
        how: how?,
        progress: inner.told(),
    })
}

/// Waits for a handler's end, keeps its job meanwhile, and cuts it off where it must stop. None where
/// there is nothing to be written of it.
async fn watch_over(
    shared: &Shared,
    tenant: &Tenant,
    inner: &Inner,
    taken: &Taken,
    handler: &Handler,
    stop: &watch::Sender<bool>,
    mut at_work: AtWork,
) -> Option<How> {
    let begun = Instant::now();
    let every = LOOK.min(shared.lease / 4);
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + every, every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut phase = shared.phase.clone();
    let mut kept = Instant::now();
    let mut told_to_stop: Option<Instant> = None;
    loop {
        let changed = async {
            // without its worker a job runs to its end
            if phase
                .wait_for(|phase| *phase == Phase::Releasing)
                .await
                .is_err()
            {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            ended = &mut at_work.0 => return outcome(ended, taken, handler, told_to_stop.is_some()),
            () = changed => return Some(How::Released),
            _ = ticks.tick() => {}
        }
        if inner.finished.load(Ordering::Acquire) {
            continue;
        }
        if !is_active(shared, tenant).await {
            tracing::info!(
                "the tenant was stopped, and so is its job; it is run again when it works"
            );
            return None;
        }
        if begun.elapsed() > handler.timeout {
            let error = JobError::again(format!("it took longer than {:?}", handler.timeout));
            return Some(failed(&error, taken, handler));
        }
        if told_to_stop.is_some_and(|at| at.elapsed() > STOPPING) {
            return Some(How::Cancelled);
        }
        let news = inner.news();
        let asked = if news.is_some() || kept.elapsed() >= shared.lease / 4 {
            let until = Utc::now() + shared.lease;
            let progress = inner.told();
            let asked_at = Instant::now();
            let asked = lease::keep(&inner.db, taken.id, taken.lease, until, &progress).await;
            if asked.is_ok() {
                kept = asked_at;
                if news.is_some() {
                    let said = progress.said(taken.id, &taken.kind, "running");
                    drop(inner.tenancy.live(tenant).publish(TOPIC, &said));
                }
            }
            asked
        } else {
            lease::look(&inner.db, taken.id, taken.lease).await
        };
        match asked {
            Ok(Some(false)) => {}
            Ok(Some(true)) => {
                told_to_stop.get_or_insert_with(Instant::now);
                stop.send_replace(true);
            }
            Ok(None) => {
                // either it has ended by itself just now, or another worker has it
                let ended = tokio::time::timeout(LOOK, &mut at_work.0).await;
                if !inner.finished.load(Ordering::Acquire) {
                    tracing::warn!("a job is this worker's no more, and is cut off");
                }
                drop(ended);
                return None;
            }
            Err(error) if kept.elapsed() >= shared.lease => {
                tracing::warn!(%error, "a job cannot be kept, and is cut off");
                return None;
            }
            Err(error) => tracing::debug!(%error, "a job cannot be looked after now"),
        }
    }
}

async fn is_active(shared: &Shared, tenant: &Tenant) -> bool {
    let is_it = |now: &Tenant| {
        now.id() == tenant.id()
            && now.status() == TenantStatus::Active
            && now.placement() == tenant.placement()
    };
    match shared.tenancy.as_it_is_now(tenant).await {
        Ok(now) => now.is_some_and(|now| is_it(&now)),
        // who cannot be asked says nothing against it
        Err(_) => true,
    }
}

fn outcome(
    ended: Result<Result<(), JobError>, JoinError>,
    taken: &Taken,
    handler: &Handler,
    told_to_stop: bool,
) -> Option<How> {
    let error = match ended {
        Ok(Ok(())) => return Some(How::Done),
        Ok(Err(_)) if told_to_stop => return Some(How::Cancelled),
        Ok(Err(error)) => error,
        Err(died) => match died.try_into_panic() {
            Ok(panic) => JobError::again(format!("it panicked: {}", said(&*panic))),
            Err(_) => return None,
        },
    };
    Some(failed(&error, taken, handler))
}

fn said(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("without a word")
}

fn failed(error: &JobError, taken: &Taken, handler: &Handler) -> How {
    let text = in_words(error);
    if !error.again || taken.attempt >= taken.max_attempts {
        return How::Dead { error: text };
    }
    let wait = (handler.backoff)(taken.attempt);
    let wait = jittered(wait.mul_f64(0.5)..wait.mul_f64(1.5));
    How::Again {
        error: text,
        at: Utc::now() + wait,
    }
}

/// The error with what it came from, no longer than somebody reads.
fn in_words(error: &JobError) -> String {
    let mut text = error.to_string();
    let mut source = error.what.source();
    while let Some(next) = source {
        let next_text = next.to_string();
        if !text.contains(&next_text) {
            text.push_str(": ");
            text.push_str(&next_text);
        }
        source = next.source();
    }
    text.replace('\0', "").chars().take(2000).collect()
}
