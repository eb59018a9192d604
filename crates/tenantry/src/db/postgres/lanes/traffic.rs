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

/// How long others are measured against the quickest read, as the server may be farther away than it was.
const KEPT: Duration = Duration::from_secs(10);

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
    took: Duration,
    since: Instant,
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
        self.quickest.map(|quickest| quickest.took)
    }

    /// Notes how long a read took that had the lane to itself.
    pub(super) fn took_alone(&mut self, took: Duration) {
        let since = Instant::now();
        let is_beaten = self
            .quickest
            .is_none_or(|before| took <= before.took || since - before.since > KEPT);
        if is_beaten {
            self.quickest = Some(Quickest { took, since });
        }
    }

    /// When it became the turn of a read that began to wait then.
    pub(super) fn begun(&self, since: Instant) -> Instant {
        self.answered.max(since)
    }

    /// Takes out a read whose answer came.
    pub(super) fn leave(&mut self, number: u64, now: Instant) {
        self.answered = now;
        self.under_way.retain(|read| read.number != number);
    }
}
