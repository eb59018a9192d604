//! Whose turn it is to have a connection: none has them all, and those who wait are served tenant by
//! tenant.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use tokio::sync::oneshot;

use crate::{db::DbError, tenant::TenantId};

/// A bounded number of turns, shared by tenants.
///
/// A tenant has at most [half](Self::share) of them at a time, however many are free: who comes next is
/// not to wait for statements of one tenant's alone. Those who wait are served in the order in which
/// they came within a tenant, and one for each tenant after the other. What belongs to none, such as
/// the catalog, is one of them, and may have all.
pub(super) struct Turns {
    /// How many one tenant has at most.
    share: usize,
    queue: Mutex<Queue>,
}

/// Whose turn. Nothing stands for what belongs to no tenant.
pub(super) type Whose = Option<TenantId>;

struct Queue {
    free: usize,
    of: HashMap<Whose, Line>,
    /// Those for whom somebody waits, in the order in which they are served next.
    ring: VecDeque<Whose>,
    closed: bool,
}

/// What one has, and who waits for more.
#[derive(Default)]
struct Line {
    held: usize,
    waiting: VecDeque<oneshot::Sender<Turn>>,
}

/// A turn. Dropped, it is the next one's.
pub(super) struct Turn {
    turns: Arc<Turns>,
    whose: Whose,
}

impl Drop for Turn {
    fn drop(&mut self) {
        let given = {
            let mut queue = self.turns.lock();
            queue.free += 1;
            queue.ended(self.whose);
            self.turns.give(&mut queue)
        };
        hand_over(given);
    }
}

impl Turns {
    pub(super) fn new(all: usize) -> Arc<Self> {
        Arc::new(Self {
            // a statement can be said beside a transaction that is open
            share: (all / 2).max(2).min(all),
            queue: Mutex::new(Queue {
                free: all,
                of: HashMap::new(),
                ring: VecDeque::new(),
                closed: false,
            }),
        })
    }

    /// A turn, when it comes within that time.
    ///
    /// # Errors
    /// [`DbError::Busy`] when it does not, [`DbError::Closed`].
    pub(super) async fn take(
        self: &Arc<Self>,
        whose: Whose,
        patience: Duration,
    ) -> Result<Turn, DbError> {
        let coming = {
            let mut queue = self.lock();
            if queue.closed {
                return Err(DbError::Closed);
            }
            // Whoever waits does so because nothing is free, or has as many as may be. So nobody
            // else is passed over.
            if queue.free > 0 && self.may_have_more(&queue, whose) {
                return Ok(self.begin(&mut queue, whose));
            }
            queue.wait(whose)
        };
        match tokio::time::timeout(patience, coming).await {
            Ok(turn) => turn.map_err(|_| DbError::Closed),
            Err(_) => Err(DbError::Busy),
        }
    }

    /// Gives no turns any more. Those who wait are told.
    pub(super) fn close(&self) {
        let mut queue = self.lock();
        queue.closed = true;
        queue.ring.clear();
        for line in queue.of.values_mut() {
            line.waiting.clear();
        }
    }

    fn may_have_more(&self, queue: &Queue, whose: Whose) -> bool {
        let held = queue.of.get(&whose).map_or(0, |line| line.held);
        whose.is_none() || held < self.share
    }

    fn begin(self: &Arc<Self>, queue: &mut Queue, whose: Whose) -> Turn {
        queue.free -= 1;
        queue.of.entry(whose).or_default().held += 1;
        Turn {
            turns: self.clone(),
            whose,
        }
    }

    /// Gives what is free to those who wait, as far as they may have it.
    fn give(self: &Arc<Self>, queue: &mut Queue) -> Vec<(oneshot::Sender<Turn>, Turn)> {
        let mut given = Vec::new();
        // of those who may have no more, since somebody had one
        let mut passed = 0;
        while queue.free > 0
            && passed < queue.ring.len()
            && let Some(whose) = queue.ring.pop_front()
        {
            if !self.may_have_more(queue, whose) {
                queue.ring.push_back(whose);
                passed += 1;
                continue;
            }
            let Some(next) = queue.next(whose) else {
                continue;
            };
            passed = 0;
            let turn = self.begin(queue, whose);
            if queue
                .of
                .get(&whose)
                .is_some_and(|line| !line.waiting.is_empty())
            {
                queue.ring.push_back(whose);
            }
            given.push((next, turn));
        }
        given
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Not under the lock: whoever went away meanwhile drops the turn, which is the next one's then.
fn hand_over(given: Vec<(oneshot::Sender<Turn>, Turn)>) {
    for (next, turn) in given {
        drop(next.send(turn));
    }
}

impl Queue {
    fn wait(&mut self, whose: Whose) -> oneshot::Receiver<Turn> {
        let (sender, coming) = oneshot::channel();
        let line = self.of.entry(whose).or_default();
        if line.waiting.is_empty() {
            self.ring.push_back(whose);
        }
        // those who went away take no room
        if line.waiting.len() == line.waiting.capacity() {
            line.waiting.retain(|waiting| !waiting.is_closed());
        }
        line.waiting.push_back(sender);
        coming
    }

    /// The next of those who wait, and have not gone away.
    fn next(&mut self, whose: Whose) -> Option<oneshot::Sender<Turn>> {
        let line = self.of.get_mut(&whose)?;
        while let Some(next) = line.waiting.pop_front() {
            if !next.is_closed() {
                return Some(next);
            }
        }
        self.forget_idle(whose);
        None
    }

    fn ended(&mut self, whose: Whose) {
        if let Some(line) = self.of.get_mut(&whose) {
            line.held -= 1;
        }
        self.forget_idle(whose);
    }

    fn forget_idle(&mut self, whose: Whose) {
        let is_idle = |line: &Line| line.held == 0 && line.waiting.is_empty();
        if self.of.get(&whose).is_some_and(is_idle) {
            self.of.remove(&whose);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::VecDeque, sync::Arc, time::Duration};

    use futures_util::{FutureExt, future::BoxFuture};
    use proptest::prelude::*;

    use super::{Turn, Turns, Whose};
    use crate::{db::DbError, tenant::TenantId};

    const LONG: Duration = Duration::from_secs(60);

    type Coming = BoxFuture<'static, Result<Turn, DbError>>;

    fn wait(turns: &Arc<Turns>, whose: Whose) -> Coming {
        let turns = turns.clone();
        let mut coming = async move { turns.take(whose, LONG).await }.boxed();
        assert!(coming.as_mut().now_or_never().is_none(), "it waits");
        coming
    }

    async fn have(turns: &Arc<Turns>, whose: Whose) -> Turn {
        let turn = turns.take(whose, LONG).now_or_never();
        turn.expect("it is there").unwrap()
    }

    #[tokio::test]
    async fn nobody_has_more_than_half_and_all_wait_in_turn() {
        let turns = Turns::new(4);
        let [noisy, one, other] = [(); 3].map(|()| Some(TenantId::generate()));
        let first = have(&turns, noisy).await;
        let _second = have(&turns, noisy).await;
        let mut many: VecDeque<_> = (0..5).map(|_| wait(&turns, noisy)).collect();
        // half of them are for others, whoever waits
        let _third = have(&turns, one).await;
        let fourth = have(&turns, other).await;
        let mut next = wait(&turns, one);
        drop(fourth);
        assert!(
            next.as_mut().now_or_never().is_some(),
            "not the noisy one's"
        );
        drop(first);
        let third = many.pop_front().unwrap().now_or_never();
        assert!(third.is_some());
        // one who went away is passed over
        many.pop_front();
        let mut left = many.pop_front().unwrap();
        assert!(left.as_mut().now_or_never().is_none(), "as many as may be");
        drop(third);
        assert!(left.now_or_never().is_some());
    }

    #[tokio::test]
    async fn what_belongs_to_no_tenant_may_have_all() {
        let turns = Turns::new(4);
        let mut all = Vec::new();
        for _ in 0..4 {
            all.push(have(&turns, None).await);
        }
        let busy = turns.take(None, Duration::from_millis(1)).await;
        assert!(matches!(busy, Err(DbError::Busy)));
        let waiting = wait(&turns, Some(TenantId::generate()));
        turns.close();
        assert!(matches!(waiting.await, Err(DbError::Closed)));
        assert!(turns.lock().closed);
    }

    /// What can happen.
    #[derive(Debug, Clone)]
    enum Step {
        Ask(usize),
        End(usize),
        GoAway(usize),
    }

    fn steps() -> impl Strategy<Value = Vec<Step>> {
        let step = prop_oneof![
            (0_usize..4).prop_map(Step::Ask),
            (0_usize..99).prop_map(Step::End),
            (0_usize..99).prop_map(Step::GoAway),
        ];
        prop::collection::vec(step, 0..200)
    }

    proptest! {
        #[test]
        fn no_turn_is_lost_or_given_twice(all in 1_usize..8, steps in steps()) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let turns = Turns::new(all);
                let tenants: Vec<Whose> =
                    (0..4).map(|at| (at > 0).then(TenantId::generate)).collect();
                let (mut held, mut waiting) = (Vec::new(), Vec::<(usize, Coming)>::new());
                for step in steps {
                    match step {
                        Step::Ask(who) => {
                            let (turns, whose) = (turns.clone(), tenants[who]);
                            waiting.push((who, async move { turns.take(whose, LONG).await }.boxed()));
                        }
                        Step::End(at) if !held.is_empty() => drop(held.swap_remove(at % held.len())),
                        Step::GoAway(at) if !waiting.is_empty() => {
                            drop(waiting.swap_remove(at % waiting.len()));
                        }
                        _ => {}
                    }
                    // in any order: whose turn has come is settled already
                    let mut left = Vec::new();
                    for (who, mut coming) in waiting.drain(..) {
                        match coming.as_mut().now_or_never() {
                            Some(turn) => held.push((who, turn.unwrap())),
                            None => left.push((who, coming)),
                        }
                    }
                    waiting = left;
                    let of = |who: usize| held.iter().filter(|(one, _)| *one == who).count();
                    let may_more = |who: usize| who == 0 || of(who) < turns.share;
                    prop_assert!(held.len() <= all);
                    prop_assert!((1..4).all(|who| of(who) <= turns.share));
                    // nothing is free that somebody who waits could have
                    let hungry = waiting.iter().any(|(who, _)| may_more(*who));
                    prop_assert!(held.len() == all || !hungry, "{held} of {all}", held = held.len());
                }
                drop((held, waiting));
                let queue = turns.lock();
                prop_assert!(queue.free == all && queue.of.values().all(|line| line.held == 0));
                Ok(())
            })?;
        }
    }
}
