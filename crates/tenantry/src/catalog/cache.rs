use std::{
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
    time::Duration,
};

use moka::sync;

use crate::tenant::{DomainName, Tenant, TenantCode, TenantId};

/// How old an entry gets when nobody says that it changed.
pub(super) const LIFE: Duration = Duration::from_secs(30);
/// The same where nobody can say so.
pub(super) const SHORT_LIFE: Duration = Duration::from_millis(500);
const MOST_KNOWN: u64 = 200_000;
/// Codes and hosts of which there is no tenant are remembered too, but anybody can make them up.
const MOST_UNKNOWN: u64 = 10_000;

/// What is known of tenants by code and by domain, including that there is none.
pub(super) struct Cache {
    known: sync::Cache<TenantCode, Tenant>,
    unknown: sync::Cache<TenantCode, ()>,
    /// Whose a domain is. Changes are told by tenant, so their records stand apart.
    owners: sync::Cache<DomainName, TenantId>,
    of_owners: sync::Cache<TenantId, Tenant>,
    nobodys: sync::Cache<DomainName, ()>,
    /// Counts what was forgotten, so that an answer fetched before is not kept after.
    generation: AtomicU64,
    /// Whether what is known may be answered from.
    trusted: AtomicBool,
}

impl Cache {
    pub(super) fn new(life: Duration) -> Self {
        Self {
            known: cache(MOST_KNOWN, life),
            unknown: cache(MOST_UNKNOWN, life),
            owners: cache(MOST_KNOWN, life),
            of_owners: cache(MOST_KNOWN, life),
            nobodys: cache(MOST_UNKNOWN, life),
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

    /// Whose the domain is, whatever the tenant's status.
    pub(super) fn owner(&self, host: &DomainName) -> Option<Option<Tenant>> {
        if !self.trusted.load(Ordering::SeqCst) {
            return None;
        }
        match self.owners.get(host) {
            Some(id) => self.of_owners.get(&id).map(Some),
            None => self.nobodys.get(host).map(|()| None),
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
            self.forget_code(code);
        }
    }

    /// The same of a domain.
    pub(super) fn insert_owner(&self, host: &DomainName, found: Option<Tenant>, seen: u64) {
        if self.generation() != seen {
            return;
        }
        let id = found.as_ref().map(Tenant::id);
        match found {
            Some(tenant) => {
                self.of_owners.insert(tenant.id(), tenant.clone());
                self.owners.insert(host.clone(), tenant.id());
                self.nobodys.invalidate(host);
            }
            None => {
                self.owners.invalidate(host);
                self.nobodys.insert(host.clone(), ());
            }
        }
        if self.generation() != seen {
            self.forget_host(host);
            id.inspect(|id| self.of_owners.invalidate(id));
        }
    }

    /// Forgets a tenant, by the code or the domain that its change was told with.
    pub(super) fn forget(&self, id: TenantId, word: &str) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.of_owners.invalidate(&id);
        // of the two a word can be one at most: a domain has a dot in it
        if let Ok(code) = TenantCode::new(word) {
            self.forget_code(&code);
        } else if let Ok(host) = DomainName::new(word) {
            self.forget_host(&host);
        }
    }

    fn forget_code(&self, code: &TenantCode) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.known.invalidate(code);
        self.unknown.invalidate(code);
    }

    fn forget_host(&self, host: &DomainName) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.owners.invalidate(host);
        self.nobodys.invalidate(host);
    }

    pub(super) fn set_trusted(&self, trusted: bool) {
        self.forget_all();
        self.trusted.store(trusted, Ordering::SeqCst);
    }

    pub(super) fn forget_all(&self) {
        self.generation.fetch_add(1, Ordering::SeqCst);
        self.known.invalidate_all();
        self.unknown.invalidate_all();
        self.owners.invalidate_all();
        self.of_owners.invalidate_all();
        self.nobodys.invalidate_all();
    }
}

fn cache<K, V>(most: u64, life: Duration) -> sync::Cache<K, V>
where
    K: std::hash::Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    sync::Cache::builder()
        .max_capacity(most)
        .time_to_live(life)
        .build()
}
