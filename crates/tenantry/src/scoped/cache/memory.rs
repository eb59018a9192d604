//! What is kept in this process.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bytes::Bytes;
use moka::{Expiry, sync::Cache};

use crate::tenant::TenantId;

/// How many tenants are remembered to have been cleared. Beyond that all are.
const MOST_CLEARED: usize = 100_000;
/// What an entry takes besides its key and its value, roughly.
const OVERHEAD: usize = 200;

/// A scope's key, and which of the times between two clearings it is from.
type Key = (Option<TenantId>, u64, Arc<str>);

#[derive(Clone)]
struct Entry {
    bytes: Bytes,
    life: Duration,
}

/// Values by scope and key, bounded in bytes.
pub(super) struct Memory {
    entries: Cache<Key, Entry>,
    cleared: Mutex<Cleared>,
}

/// Who was cleared. What was kept before is not found any more, nor is what somebody began to load before
/// and keeps after.
#[derive(Default)]
struct Cleared {
    last: u64,
    by_scope: HashMap<Option<TenantId>, u64>,
    /// That of all who are not in the list.
    others: u64,
}

struct Lives;

impl Expiry<Key, Entry> for Lives {
    fn expire_after_create(&self, _: &Key, entry: &Entry, _: Instant) -> Option<Duration> {
        Some(entry.life)
    }

    fn expire_after_update(
        &self,
        _: &Key,
        entry: &Entry,
        _: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        Some(entry.life)
    }
}

impl Memory {
    pub(super) fn new(most_bytes: u64) -> Self {
        Self {
            entries: Cache::builder()
                .max_capacity(most_bytes)
                .weigher(|(_, _, key): &Key, entry: &Entry| {
                    let bytes = key.len() + entry.bytes.len() + OVERHEAD;
                    u32::try_from(bytes).unwrap_or(u32::MAX)
                })
                .expire_after(Lives)
                .build(),
            cleared: Mutex::default(),
        }
    }

    fn cleared(&self) -> MutexGuard<'_, Cleared> {
        self.cleared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time that it is for the scope.
    pub(super) fn time(&self, scope: Option<TenantId>) -> u64 {
        let cleared = self.cleared();
        let time = cleared.by_scope.get(&scope);
        time.copied().unwrap_or(cleared.others)
    }

    pub(super) fn get(&self, scope: Option<TenantId>, time: u64, key: &str) -> Option<Bytes> {
        let found = self.entries.get(&(scope, time, key.into()));
        found.map(|entry| entry.bytes)
    }

    pub(super) fn put(
        &self,
        scope: Option<TenantId>,
        time: u64,
        key: &str,
        bytes: Bytes,
        life: Duration,
    ) {
        self.entries
            .insert((scope, time, key.into()), Entry { bytes, life });
    }

    pub(super) fn remove(&self, scope: Option<TenantId>, time: u64, key: &str) {
        self.entries.invalidate(&(scope, time, key.into()));
    }

    /// Lets nothing of the scope be found any more. What there is goes when it has expired, or when
    /// there is need for its room.
    pub(super) fn clear(&self, scope: Option<TenantId>) {
        let mut cleared = self.cleared();
        cleared.last += 1;
        let now = cleared.last;
        if cleared.by_scope.len() >= MOST_CLEARED {
            cleared.by_scope.clear();
            cleared.others = now;
        }
        cleared.by_scope.insert(scope, now);
    }
}
