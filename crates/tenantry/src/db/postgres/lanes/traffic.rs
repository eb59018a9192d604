//! Who is in a lane, what is prepared there, and how quick it is.

use std::{
    collections::VecDeque,
    sync::Arc,
    time::{Duration, Instant},
};

use lru::LruCache;

use super::DEPTH;
use crate::{
    db::postgres::{
        Scope,
        statements::{MOST_OF_SCHEMAS, Prepared},
    },
    tenant::TenantId,
};

/// How long the quickest read is looked for anew, as the server may be farther away than it was. Others
/// are measured against the quickest of this time and of the one before.
const SPAN: Duration = Duration::from_secs(5);

/// Who is in a lane, and what is known of it.
pub(super) struct Traffic {
    pub(super) prepared: LruCache<(Option<Arc<str>>, Arc<str>), Known>,
    pub(super) under_way: VecDeque<Read>,
    next: u64,
    /// When the last answer came.
    answered: Instant,
    quickest: Option<Quickest>,
    pub(super) is_preparing: bool,
    pub(super) is_given_up: bool,
}

/// How long the quickest read took lately, of those that had the lane to themselves when they came.
#[derive(Clone, Copy)]
struct Quickest {
    /// Since then.
    since: Instant,
    now: Duration,
    /// In the time before, so that one that is slow does not stand for all because it came first.
    before: Duration,
}

impl Quickest {
    /// With another.
    fn and(self, took: Duration, at: Instant) -> Self {
        match at.duration_since(self.since) > SPAN {
            true => Self {
                since: at,
                now: took,
                before: self.now,
            },
            false => Self {
                now: self.now.min(took),
                ..self
            },
        }
    }
}

/// What is known of a statement.
#[derive(Clone)]
pub(super) enum Known {
    /// It was said once, which is not worth being prepared for it.
    Once,
    /// It is being prepared.
    Coming,
    /// It needs a transaction.
    Not,
    Prepared(Prepared),
}

/// A read that is under way.
pub(super) struct Read {
    pub(super) number: u64,
    pub(super) whose: TenantId,
    pub(super) sql: Arc<str>,
    pub(super) since: Instant,
}

impl Traffic {
    /// Of a lane that has just been opened.
    pub(super) fn new() -> Self {
        Self {
            prepared: LruCache::new(MOST_OF_SCHEMAS),
            under_way: VecDeque::with_capacity(DEPTH),
            next: 0,
            answered: Instant::now(),
            quickest: None,
            is_preparing: false,
            is_given_up: false,
        }
    }

    /// Puts a read behind the others.
    pub(super) fn enter(&mut self, whose: TenantId, sql: &Arc<str>, since: Instant) -> u64 {
        let number = self.next;
        self.next += 1;
        self.under_way.push_back(Read {
            number,
            whose,
            sql: sql.clone(),
            since,
        });
        number
    }

    /// Has the statement prepared anew.
    pub(super) fn forget(&mut self, scope: &Scope, sql: &Arc<str>) {
        self.prepared.pop(&(scope.schema.clone(), sql.clone()));
    }

    /// How long the quickest read took.
    pub(super) fn quickest(&self) -> Option<Duration> {
        let quickest = self.quickest.as_ref();
        quickest.map(|quickest| quickest.now.min(quickest.before))
    }

    /// How long a read took that came then and has its answer now, from when it was its turn. Unknown where
    /// somebody before it has not looked yet.
    pub(super) fn took(
        &mut self,
        (number, since): (u64, Instant),
        was_alone: bool,
        now: Instant,
    ) -> Option<Duration> {
        if was_alone {
            // its turn was at once, though others who came later may have looked at their answers before it
            let took = now.duration_since(since);
            self.took_alone(took, now);
            return Some(took);
        }
        let is_first = self.under_way.front().map(|read| read.number) == Some(number);
        is_first.then(|| now.duration_since(self.begun(since)))
    }

    /// Notes how long a read took that had the lane to itself.
    fn took_alone(&mut self, took: Duration, at: Instant) {
        let first = Quickest {
            since: at,
            now: took,
            before: took,
        };
        self.quickest = Some(
            self.quickest
                .map_or(first, |quickest| quickest.and(took, at)),
        );
    }

    /// When it became the turn of a read that began to wait then.
    pub(super) fn begun(&self, since: Instant) -> Instant {
        self.answered.max(since)
    }

    /// Takes out a read whose answer came.
    pub(super) fn leave(&mut self, number: u64, now: Instant) {
        // of those behind it nobody's turn has ended
        if self.under_way.front().map(|read| read.number) == Some(number) {
            self.answered = now;
        }
        self.under_way.retain(|read| read.number != number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_quickest_is_of_the_time_now_and_of_that_before() {
        let begun = Instant::now();
        let mut traffic = Traffic::new();
        assert_eq!(traffic.quickest(), None);
        // seconds, milliseconds, and what is the quickest then
        for (at, took, quickest) in [
            (0, 3, 3),
            (1, 1, 1),
            (2, 9, 1),
            // the first of another time is not by itself what all are measured against
            (60, 15, 1),
            (61, 2, 1),
            (66, 4, 2),
            (72, 8, 4),
            (73, 7, 4),
            (79, 8, 7),
        ] {
            let at = begun + Duration::from_secs(at);
            traffic.took_alone(Duration::from_millis(took), at);
            let expected = Some(Duration::from_millis(quickest));
            assert_eq!(traffic.quickest(), expected, "{took} ms");
        }
    }
    #[test]
    fn whoever_looks_late_was_not_quick() {
        let (whose, sql) = (TenantId::generate(), "SELECT 1".into());
        let begun = Instant::now();
        let at = |milliseconds| begun + Duration::from_millis(milliseconds);
        let mut traffic = Traffic::new();
        let first = traffic.enter(whose, &sql, at(0));
        let second = traffic.enter(whose, &sql, at(1));
        // both are answered, and the second looks first
        assert_eq!(traffic.took((second, at(1)), false, at(5)), None);
        traffic.leave(second, at(5));
        let took = Some(Duration::from_millis(6));
        assert_eq!(traffic.took((first, at(0)), true, at(6)), took);
        assert_eq!(traffic.quickest(), took);
    }
}
