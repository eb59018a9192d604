//! What each tenant has taken in this process, and whether it may have more.

use std::{
    array,
    collections::HashMap,
    pin::pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::sync::Notify;

use super::bucket::{Bucket, Terms};
use crate::tenant::{Concurrent, DatabaseTime, Limits, Rate, TenantId};

/// Among how many locks the tenants are spread.
const SHARDS: usize = 16;

/// From how many tenants of a shard on it is looked who is at rest.
const FEW: usize = 64;

/// When whoever finds no room among those under way is told to come back: nobody knows when one ends.
const SOON: Duration = Duration::from_secs(1);

/// What each tenant has taken, in this process.
///
/// Only a tenant that was found gets an entry, and one whose buckets are full is as one without: such
/// entries go whenever there are twice as many as were left the last time.
pub(crate) struct Limiter {
    shards: [Mutex<Shard>; SHARDS],
}

struct Shard {
    tenants: HashMap<TenantId, Arc<Taken>>,
    /// At how many it is looked next who is at rest.
    sweep_at: usize,
}

/// What a tenant has taken.
struct Taken {
    buckets: Mutex<Buckets>,
    running: AtomicU32,
    waiting: AtomicU32,
    /// Told when one of those that run has ended.
    ended: Notify,
    refused: [AtomicU64; 3],
}

struct Buckets {
    requests: Bucket,
    database_time: Bucket,
    jobs: Bucket,
    /// How long the database had worked for it when that was last looked at, if it was.
    worked: Option<Duration>,
}

/// What there was too much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Limit {
    Requests(Rate),
    Concurrent(Concurrent),
    DatabaseTime(DatabaseTime),
}

/// That a tenant has too much of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) limit: Limit,
    /// When to come back.
    pub(crate) wait: Duration,
    /// When all of it is there again.
    pub(crate) full_in: Duration,
}

/// How a tenant stands to the limit of its requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) rate: Rate,
    pub(crate) left: u64,
    pub(crate) full_in: Duration,
}

/// A request that may go on.
#[derive(Default)]
pub(crate) struct Admitted {
    /// To be kept until its answer has ended.
    pub(crate) slot: Option<Slot>,
    pub(crate) standing: Option<Standing>,
}

/// That a request is under way.
pub(crate) struct Slot(Arc<Taken>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::AcqRel);
        self.0.ended.notify_one();
    }
}

/// How often a tenant was refused something, and how much it takes: in this process, and since it was
/// last at rest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Use {
    /// How many requests are under way.
    pub running: u32,
    /// How many wait to be.
    pub waiting: u32,
    /// How many were refused as there were too many of late.
    pub refused_requests: u64,
    /// How many as there were too many at a time.
    pub refused_concurrent: u64,
    /// How many as the database had worked for too long.
    pub refused_database_time: u64,
}

impl Limiter {
    pub(crate) fn new() -> Self {
        let shard = |_| {
            Mutex::new(Shard {
                tenants: HashMap::new(),
                sweep_at: FEW,
            })
        };
        Self {
            shards: array::from_fn(shard),
        }
    }

    /// Lets a request of the tenant's go on, or tells what there is too much of. `worked` tells how long
    /// the database has worked for it so far.
    pub(crate) async fn admit(
        &self,
        id: TenantId,
        limits: &Limits,
        worked: impl FnOnce() -> Duration,
    ) -> Result<Admitted, Refusal> {
        let rates = limits.requests.is_some() || limits.database_time.is_some();
        if !rates && limits.concurrent.is_none() {
            return Ok(Admitted::default());
        }
        let taken = self.taken(id);
        let standing = match rates {
            true => taken.take(limits, worked)?,
            false => None,
        };
        let slot = match limits.concurrent {
            Some(concurrent) => Some(taken.slot(concurrent).await?),
            None => None,
        };
        Ok(Admitted { slot, standing })
    }

    /// Takes one of the jobs that the tenant may enqueue, or tells how long to wait.
    pub(crate) fn take_job(&self, id: TenantId, rate: Rate) -> Result<(), Duration> {
        let taken = self.taken(id);
        let mut buckets = taken.buckets();
        buckets.jobs.take(Instant::now(), rate.into())
    }

    /// What the tenant takes.
    pub(crate) fn used(&self, id: TenantId) -> Use {
        let known = self.shard(id).tenants.get(&id).cloned();
        known.map_or_else(Use::default, |taken| taken.used())
    }

    fn shard(&self, id: TenantId) -> MutexGuard<'_, Shard> {
        // the end of an id is as good as random
        let last = id.as_uuid().as_bytes()[15];
        let shard = &self.shards[usize::from(last) % SHARDS];
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn taken(&self, id: TenantId) -> Arc<Taken> {
        let mut shard = self.shard(id);
        if let Some(known) = shard.tenants.get(&id) {
            return known.clone();
        }
        let now = Instant::now();
        if shard.tenants.len() >= shard.sweep_at {
            shard.tenants.retain(|_, taken| !is_at_rest(taken, now));
            shard.tenants.shrink_to(FEW);
            shard.sweep_at = (2 * shard.tenants.len()).max(FEW);
        }
        let taken = Arc::new(Taken::new(now));
        shard.tenants.insert(id, taken.clone());
        taken
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        let lock = |shard: &Mutex<Shard>| shard.lock().unwrap().tenants.len();
        self.shards.iter().map(lock).sum()
    }
}

/// Whether it would be the same if it were forgotten. Under the shard's lock nobody new gets to know it.
fn is_at_rest(taken: &Arc<Taken>, now: Instant) -> bool {
    Arc::strong_count(taken) == 1 && {
        let buckets = taken.buckets();
        let all = [&buckets.requests, &buckets.database_time, &buckets.jobs];
        all.into_iter().all(|bucket| bucket.is_full(now))
    }
}

impl Taken {
    fn new(now: Instant) -> Self {
        Self {
            buckets: Mutex::new(Buckets {
                requests: Bucket::full(now),
                database_time: Bucket::full(now),
                jobs: Bucket::full(now),
                worked: None,
            }),
            running: AtomicU32::new(0),
            waiting: AtomicU32::new(0),
            ended: Notify::new(),
            refused: Default::default(),
        }
    }

    fn buckets(&self) -> MutexGuard<'_, Buckets> {
        self.buckets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a request, where the database has not worked for too long.
    fn take(
        &self,
        limits: &Limits,
        worked: impl FnOnce() -> Duration,
    ) -> Result<Option<Standing>, Refusal> {
        let mut buckets = self.buckets();
        let now = Instant::now();
        if let Some(time) = limits.database_time {
            let terms = Terms::from(time);
            // asked under the lock, so that it is charged once
            let worked = worked();
            let before = buckets.worked.replace(worked).unwrap_or(worked);
            let new = worked.saturating_sub(before);
            let bucket = &mut buckets.database_time;
            bucket.spend(now, terms, new.as_secs_f64());
            if let Err(wait) = bucket.check(now, terms) {
                let full_in = bucket.standing().1;
                return Err(self.refuse(Limit::DatabaseTime(time), wait, full_in));
            }
        }
        let Some(rate) = limits.requests else {
            return Ok(None);
        };
        let bucket = &mut buckets.requests;
        let tried = bucket.take(now, rate.into());
        let (left, full_in) = bucket.standing();
        if let Err(wait) = tried {
            return Err(self.refuse(Limit::Requests(rate), wait, full_in));
        }
        Ok(Some(Standing {
            rate,
            // rounded down
            left: left as u64,
            full_in,
        }))
    }

    fn refuse(&self, limit: Limit, wait: Duration, full_in: Duration) -> Refusal {
        let counter = match limit {
            Limit::Requests(_) => 0,
            Limit::Concurrent(_) => 1,
            Limit::DatabaseTime(_) => 2,
        };
        self.refused[counter].fetch_add(1, Ordering::Relaxed);
        Refusal {
            limit,
            wait,
            full_in,
        }
    }

    /// Begins one more, when there is room.
    async fn slot(self: &Arc<Self>, concurrent: Concurrent) -> Result<Slot, Refusal> {
        let Concurrent { most, wait } = concurrent;
        // those who wait come first
        if self.waiting.load(Ordering::Acquire) == 0
            && let Some(slot) = self.begin(most)
        {
            return Ok(slot);
        }
        let refused = || Err(self.refuse(Limit::Concurrent(concurrent), SOON, SOON));
        if wait.is_zero() {
            return refused();
        }
        let Some(_waiting) = Waiting::begin(self, most) else {
            return refused();
        };
        let room = async {
            loop {
                let mut ended = pin!(self.ended.notified());
                // from here on nothing is missed
                ended.as_mut().enable();
                if let Some(slot) = self.begin(most) {
                    return slot;
                }
                ended.await;
            }
        };
        match tokio::time::timeout(wait, room).await {
            Ok(slot) => Ok(slot),
            Err(_) => refused(),
        }
    }

    fn begin(self: &Arc<Self>, most: u32) -> Option<Slot> {
        count_up(&self.running, most).then(|| Slot(self.clone()))
    }

    fn used(&self) -> Use {
        let [requests, concurrent, database_time] =
            [0, 1, 2].map(|at: usize| self.refused[at].load(Ordering::Relaxed));
        Use {
            running: self.running.load(Ordering::Relaxed),
            waiting: self.waiting.load(Ordering::Relaxed),
            refused_requests: requests,
            refused_concurrent: concurrent,
            refused_database_time: database_time,
        }
    }
}

/// One who waits, until this is dropped.
struct Waiting<'t>(&'t Taken);

impl<'t> Waiting<'t> {
    fn begin(taken: &'t Taken, most: u32) -> Option<Self> {
        count_up(&taken.waiting, most).then(|| Self(taken))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::AcqRel);
    }
}

/// One more, unless there are as many.
fn count_up(count: &AtomicU32, most: u32) -> bool {
    let next = |count: u32| (count < most).then_some(count + 1);
    let counted = count.fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
    counted.is_ok()
}

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use super::{Limit, Limiter, Refusal};
    use crate::tenant::{Limits, Rate, TenantId};

    async fn refused(limiter: &Limiter, id: TenantId, limits: &Limits) -> Option<Refusal> {
        let admitted = limiter.admit(id, limits, Duration::default).await;
        admitted.err()
    }

    #[tokio::test]
    async fn memory_is_bounded_by_those_who_take_something() {
        let limiter = Limiter::new();
        let quick = Limits::none().with_requests(Rate::per_second(1_000_000));
        for _ in 0..100_000 {
            let id = TenantId::generate();
            assert!(refused(&limiter, id, &quick).await.is_none());
        }
        assert!(limiter.len() < 10_000, "{}", limiter.len());
        // whoever has taken something is not forgotten with the others
        let slow = Limits::none().with_requests(Rate::per_minute(1));
        let id = TenantId::generate();
        assert!(refused(&limiter, id, &slow).await.is_none());
        for _ in 0..100_000 {
            refused(&limiter, TenantId::generate(), &quick).await;
        }
        assert!(refused(&limiter, id, &slow).await.is_some());
        assert!(limiter.len() < 10_000, "{}", limiter.len());
        assert_eq!(limiter.used(id).refused_requests, 1);
        // nor whoever is under way
        let one = Limits::none().with_concurrent(1, Duration::ZERO);
        let busy = TenantId::generate();
        let running = limiter.admit(busy, &one, Duration::default).await.ok();
        for _ in 0..100_000 {
            refused(&limiter, TenantId::generate(), &quick).await;
        }
        assert!(refused(&limiter, busy, &one).await.is_some());
        drop(running);
        assert!(refused(&limiter, busy, &one).await.is_none());
    }

    #[tokio::test]
    async fn without_limits_nothing_is_kept() {
        let limiter = Limiter::new();
        for _ in 0..10 {
            let id = TenantId::generate();
            assert!(refused(&limiter, id, &Limits::none()).await.is_none());
        }
        assert_eq!(limiter.len(), 0);
    }

    #[tokio::test]
    async fn database_time_is_charged_once_and_only_what_is_new() {
        let limiter = Limiter::new();
        let id = TenantId::generate();
        let limits = Limits::none()
            .with_database_time(Duration::from_millis(100), Duration::from_millis(500));
        // what was before it was first looked at is not charged
        for worked in [7000, 7200, 7400, 7400, 7400] {
            let worked = Duration::from_millis(worked);
            assert!(limiter.admit(id, &limits, || worked).await.is_ok());
        }
        let worked = Duration::from_secs(8);
        let refusal = limiter.admit(id, &limits, || worked).await.err().unwrap();
        assert!(matches!(refusal.limit, Limit::DatabaseTime(_)));
        let wait = refusal.wait.as_secs_f64();
        assert!((4.0..6.0).contains(&wait), "{wait}");
        assert!(refusal.full_in >= refusal.wait);
        let other = TenantId::generate();
        assert!(
            limiter
                .admit(other, &limits, Duration::default)
                .await
                .is_ok()
        );
    }

    #[tokio::test]
    async fn whoever_waits_is_served_in_turn_and_a_bounded_number_does() {
        let limiter = Arc::new(Limiter::new());
        let id = TenantId::generate();
        let limits = Limits::none().with_concurrent(2, Duration::from_secs(60));
        let admit = || async { limiter.admit(id, &limits, Duration::default).await };
        let first = admit().await.ok().unwrap();
        let second = admit().await.ok().unwrap();
        let waiting: Vec<_> = (0..2)
            .map(|_| {
                let limiter = limiter.clone();
                tokio::spawn(async move {
                    let admitted = limiter.admit(id, &limits, Duration::default).await;
                    admitted.is_ok()
                })
            })
            .collect();
        while limiter.used(id).waiting < 2 {
            tokio::task::yield_now().await;
        }
        assert!(admit().await.is_err(), "as many wait as may");
        // one who goes away leaves its place, and what it was told to the next
        waiting[0].abort();
        while limiter.used(id).waiting == 2 {
            tokio::task::yield_now().await;
        }
        drop(first);
        let [_, last] = <[_; 2]>::try_from(waiting).ok().unwrap();
        assert!(last.await.unwrap());
        drop(second);
        let used = limiter.used(id);
        assert_eq!((used.running, used.waiting), (0, 0));
        assert_eq!(used.refused_concurrent, 1);
    }
}
