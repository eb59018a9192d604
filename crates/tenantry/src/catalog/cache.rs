use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use moka::sync;

use crate::tenant::{Tenant, TenantCode};

/// How old an entry gets when nobody says that it changed.
pub(super) const LIFE: Duration = Duration::from_secs(30);
/// The same where nobody can say so.
pub(super) const SHORT_LIFE: Duration = Duration::from_millis(500);
const MOST_KNOWN: u64 = 200_000;
/// Codes of which there is no tenant are remembered too, but anybody can make them up.
const MOST_UNKNOWN: u64 = 10_000;

/// What is known of tenants by code, including that there is none.
pub(super) struct Cache {
    known: sync::Cache<TenantCode, Tenant>,
    unknown: sync::Cache<TenantCode, ()>,
    /// Counts what was forgotten, so that an answer fetched before is not kept after.
    generation: AtomicU64,
    /// Whether what is known may be answered from.
    trusted: AtomicBool,
}

impl Cache {
    pub(super) fn new(life: Duration) -> Self {
        Self {
            known: sync::Cache::builder()
                .max_capacity(MOST_KNOWN)
                .time_to_live(life)
                .build(),
            unknown: sync::Cache::builder()
                .max_capacity(MOST_UNKNOWN)
                .time_to_live(life)
                .build(),
            generation: AtomicU64::new(0),
            trusted: AtomicBool::new(true),
        }
    }

    pub(super) fn get(&self, code: &TenantCode) -> Option<Option<Tenant>> {
        if !self.trusted.load(Ordering::SeqCst) {
            return None;
        }
        match self.known.get(code) {
            Some(tenant) => Some(Some(tenant)),
            None => self.unknown.get(code).map(|()| None),
        }
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::SeqCst)
    }

    /// Keeps an answer, unless something was forgotten since `seen`.
    pub(super) fn insert(&self, code: &TenantCode, found: Option<Tenant>, seen: u64) {
        if self.generation() != seen {
            return;
        }
        match found {
            Some(tenant) => self.known.insert(code.clone(), tenant),
            None => self.unknown.insert(code.clone(), ()),
        }
        if self.generation() != seen {
            self.forget(code.as_str());
        }
    }

    pub(super) fn forget(&self, code: &str) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        if let Ok(code) = TenantCode::new(code) {
            self.known.invalidate(&code);
            self.unknown.invalidate(&code);
        }
    }

    pub(super) fn set_trusted(&self, trusted: bool) {
        self.forget_all();
        self.trusted.store(trusted, Ordering::SeqCst);
    }

    pub(super) fn forget_all(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.known.invalidate_all();
        self.unknown.invalidate_all();
    }
}
