//! The catalog: who the tenants are and where each lives.
//!
//! It is asked on every request and changes seldom, so answers come from memory. What one process
//! changes the others learn within [`watch::INTERVAL`] by following the log of changes; entries
//! also die of age, in case nothing can be learned.

mod cache;
mod census;
mod domains;
mod due;
mod events;
mod operations;
mod restores;
pub(crate) mod schema;
mod settings;
mod store;
mod usage;
mod watch;

use std::sync::Arc;

use cache::{Cache, LIFE, SHORT_LIFE};
pub use census::Census;
pub(crate) use domains::Claimed;
pub(crate) use events::SAID;
pub(crate) use operations::{Deletion, Move};
use settings::Remembered;
pub(crate) use settings::{Kept, KeptGroups, KeptOf};
pub(crate) use store::{Change, Store};
pub(crate) use usage::Written;
pub(crate) use watch::{INTERVAL, Listener, listen, watch};

use crate::{
    db::DbError,
    tenant::{DomainName, Tenant, TenantCode, TenantId},
};

pub(crate) struct Catalog {
    store: Store,
    cache: Cache,
    settings: Remembered,
}

impl Catalog {
    /// The catalog in `store`; what other processes change there is heard of, or it is not.
    pub(crate) fn new(store: Store, heard: bool) -> Arc<Self> {
        let life = if heard { LIFE } else { SHORT_LIFE };
        Arc::new(Self {
            store,
            cache: Cache::new(life),
            settings: Remembered::new(life),
        })
    }

    pub(crate) fn store(&self) -> &Store {
        &self.store
    }

    /// The tenant of that code, if the outside may know of it: not while it is being made, nor
    /// once it is being erased.
    pub(crate) async fn by_code(&self, code: &TenantCode) -> Result<Option<Tenant>, DbError> {
        if let Some(known) = self.cache.get(code) {
            return Ok(known);
        }
        let seen = self.cache.generation();
        // what is seldom asked is no part of every request's future
        let found = Box::pin(self.store.by_code(code))
            .await?
            .filter(|tenant| tenant.status().is_visible());
        self.cache.insert(code, found.clone(), seen);
        Ok(found)
    }

    /// The tenant that has shown the host to be its own, if the outside may know of it.
    pub(crate) async fn by_host(&self, host: &DomainName) -> Result<Option<Tenant>, DbError> {
        let found = match self.cache.owner(host) {
            Some(known) => known,
            None => {
                let seen = self.cache.generation();
                let found = Box::pin(self.store.by_host(host)).await?;
                self.cache.insert_owner(host, found.clone(), seen);
                found
            }
        };
        Ok(found.filter(|tenant| tenant.status().is_visible()))
    }

    /// Changes a tenant, and forgets what was known of it here.
    pub(crate) async fn change(&self, id: TenantId, change: Change<'_>) -> Result<bool, DbError> {
        let codes = self.store.change(id, change).await?;
        for code in &codes {
            self.cache.forget(id, code);
        }
        Ok(!codes.is_empty())
    }

    /// Forgets a tenant, by the code or the domain that is concerned.
    pub(crate) fn forget(&self, id: TenantId, word: &str) {
        self.cache.forget(id, word);
    }

    /// What a tenant has said of its settings.
    pub(crate) async fn settings(&self, id: TenantId) -> Result<KeptGroups, DbError> {
        self.settings.get(&self.store, id).await
    }

    pub(crate) fn forget_settings(&self, id: TenantId) {
        self.settings.forget(id);
    }

    pub(crate) fn forget_all(&self) {
        self.cache.forget_all();
        self.settings.forget_all();
    }

    /// Whether changes are heard of. While they are not, nothing is answered from memory.
    pub(crate) fn set_hearing(&self, hearing: bool) {
        self.cache.set_trusted(hearing);
        self.settings.set_trusted(hearing);
    }
}
