//! What is kept for a while, so that it need not be asked for again: each tenant's for itself, and
//! what is shared by all for itself.
//!
//! A value is kept under a [`CacheKey`], whose type says what it is and whose. The tenant is in
//! every key, by its id and by what its record says: when it gets another code, name, plan or
//! primary domain, what was made of the old one is not found any more, in any process.
//!
//! ```
//! # use std::time::Duration;
//! # use tenantry::{Tenancy, Tenant, db::{DbError, TenantScope}, scoped::cache::CacheKey};
//! struct HowManyProducts;
//!
//! impl CacheKey for HowManyProducts {
//!     type Scope = TenantScope;
//!     type Value = i64;
//!     const NAME: &'static str = "how-many-products";
//!     const LIFE: Duration = Duration::from_secs(60);
//! }
//!
//! async fn how_many(tenancy: &Tenancy, tenant: &Tenant) -> Result<i64, DbError> {
//!     let db = tenancy.db(tenant).await?;
//!     tenancy
//!         .cache(tenant)
//!         .get_or_load(&HowManyProducts, async {
//!             db.query("SELECT count(*) FROM products").scalar().await
//!         })
//!         .await
//! }
//! ```
//!
//! It is kept in the process, or with the feature `redis` in Redis, for all processes
//! (`Config::redis`). Where that cannot be reached, nothing is found and nothing is
//! kept, which is logged: an application goes on without.

mod flight;
mod key;
mod memory;
#[cfg(feature = "redis")]
mod redis;

use std::{fmt, marker::PhantomData, time::Duration};

use bytes::Bytes;
use sha2::{Digest, Sha256};

pub use self::key::CacheKey;
use self::{
    flight::{Flight, Flights},
    memory::Memory,
};
use crate::{
    Tenancy,
    db::{CentralScope, Quantity, TenantScope, meter::Account},
    tenant::{Tenant, TenantId},
};

/// How many bytes are kept in a process.
const MOST_BYTES: u64 = 64 << 20;
/// How many bytes a value has at most; a larger one is not kept.
const LARGEST: usize = 1 << 20;
const LONGEST: Duration = Duration::from_secs(30 * 24 * 3600);

/// Why the cache could not be cleared.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// It cannot be reached.
    #[error("the cache cannot be reached: {0}")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// All that is kept, of the deployment.
pub(crate) struct Kept {
    flights: Flights,
    memory: Memory,
    #[cfg(feature = "redis")]
    redis: Option<redis::Redis>,
}

/// The time that it is for a scope, from one clearing to the next.
enum Time {
    Memory(u64),
    #[cfg(feature = "redis")]
    Redis(String),
    /// Nothing can be kept.
    #[cfg(feature = "redis")]
    Unknown,
}

/// What tells a flight from others'.
fn flight_key(scope: Option<TenantId>, key: &str) -> String {
    match scope {
        Some(id) => format!("{id} {key}"),
        None => format!("central {key}"),
    }
}

impl Kept {
    pub(crate) fn in_memory() -> Self {
        Self {
            flights: Flights::default(),
            memory: Memory::new(MOST_BYTES),
            #[cfg(feature = "redis")]
            redis: None,
        }
    }

    /// In Redis at that URL, where `deployment` tells it from others there.
    #[cfg(feature = "redis")]
    pub(crate) fn in_redis(url: &str, deployment: &str) -> Result<Self, CacheError> {
        let digest = hex::encode(&Sha256::digest(deployment)[..8]);
        Ok(Self {
            redis: Some(redis::Redis::new(url, format!("tenantry:{digest}"))?),
            ..Self::in_memory()
        })
    }

    async fn get(&self, scope: Option<TenantId>, key: &str) -> (Time, Option<Bytes>) {
        #[cfg(feature = "redis")]
        if let Some(redis) = &self.redis {
            return match redis.get(scope, key).await {
                Ok((time, found)) => (Time::Redis(time), found),
                Err(error) => {
                    tracing::warn!(%error, "nothing is found in the cache");
                    (Time::Unknown, None)
                }
            };
        }
        let time = self.memory.time(scope);
        (Time::Memory(time), self.memory.get(scope, time, key))
    }

    async fn put(
        &self,
        scope: Option<TenantId>,
        time: &Time,
        key: &str,
        bytes: &Bytes,
        life: Duration,
    ) {
        if bytes.len() > LARGEST {
            tracing::debug!(key, bytes = bytes.len(), "too large to be kept");
            return;
        }
        let life = life.min(LONGEST);
        match time {
            Time::Memory(time) => self.memory.put(scope, *time, key, bytes.clone(), life),
            #[cfg(feature = "redis")]
            Time::Redis(time) => {
                if let Some(redis) = &self.redis
                    && let Err(error) = redis.put(scope, time, key, bytes, life).await
                {
                    tracing::warn!(%error, "nothing is kept in the cache");
                }
            }
            #[cfg(feature = "redis")]
            Time::Unknown => {}
        }
    }

    /// Keeps what was loaded, unless it was removed meanwhile.
    async fn land(
        &self,
        flight: &Flight<'_>,
        scope: Option<TenantId>,
        time: &Time,
        key: &str,
        bytes: &Bytes,
        life: Duration,
    ) {
        match time {
            Time::Memory(time) if bytes.len() <= LARGEST => {
                let life = life.min(LONGEST);
                let put = || self.memory.put(scope, *time, key, bytes.clone(), life);
                flight.land(put);
            }
            time if flight.land(|| {}) => self.put(scope, time, key, bytes, life).await,
            _ => {}
        }
    }

    async fn remove(&self, scope: Option<TenantId>, key: &str) -> Result<(), CacheError> {
        self.flights.cancel(&flight_key(scope, key), || {
            self.memory.remove(scope, self.memory.time(scope), key);
        });
        #[cfg(feature = "redis")]
        if let Some(redis) = &self.redis {
            return redis.remove(scope, key).await;
        }
        Ok(())
    }

    async fn clear(&self, scope: Option<TenantId>) -> Result<(), CacheError> {
        // whoever comes after it does not wait for what was begun before
        self.flights.cancel_all(&flight_key(scope, ""));
        #[cfg(feature = "redis")]
        if let Some(redis) = &self.redis {
            return redis.clear(scope).await;
        }
        self.memory.clear(scope);
        Ok(())
    }

    /// Whether it is there to be read and written.
    pub(crate) async fn reach(&self) -> Result<(), CacheError> {
        #[cfg(feature = "redis")]
        if let Some(redis) = &self.redis {
            return redis.reach().await;
        }
        Ok(())
    }

    /// The tenant is gone.
    pub(crate) async fn forget(&self, id: TenantId) {
        if let Err(error) = self.clear(Some(id)).await {
            tracing::warn!(%error, tenant_id = %id, "what the cache has of the tenant stays until it expires");
        }
    }
}

/// What is kept of one tenant, or of what is shared by all.
///
/// It is had by [`Tenancy::cache`] and [`Tenancy::central_cache`], and in a handler as an argument.
pub struct Cache<S> {
    tenancy: Tenancy,
    scope: Option<TenantId>,
    /// What tells the tenant's record from those before and after it.
    record: String,
    account: Account,
    whose: PhantomData<fn() -> S>,
}

/// What is kept of one tenant.
pub type TenantCache = Cache<TenantScope>;

/// What is kept of what belongs to no tenant.
pub type CentralCache = Cache<CentralScope>;

impl TenantCache {
    pub(crate) fn new(tenancy: &Tenancy, tenant: &Tenant) -> Self {
        Self {
            tenancy: tenancy.clone(),
            scope: Some(tenant.id()),
            record: digest(tenant),
            account: Account::of(tenancy.meter(tenant)),
            whose: PhantomData,
        }
    }
}

impl CentralCache {
    pub(crate) fn central(tenancy: &Tenancy) -> Self {
        Self {
            tenancy: tenancy.clone(),
            scope: None,
            record: String::new(),
            account: Account::NOBODY,
            whose: PhantomData,
        }
    }
}

impl<S> Cache<S> {
    fn kept(&self) -> &Kept {
        &self.tenancy.0.cache
    }

    /// What is kept under the key.
    pub async fn get<K: CacheKey<Scope = S>>(&self, key: &K) -> Option<K::Value> {
        let (_, found) = self
            .kept()
            .get(self.scope, &key::full(&self.record, key))
            .await;
        self.counted(found.and_then(|bytes| serde_json::from_slice(&bytes).ok()))
    }

    fn counted<T>(&self, found: Option<T>) -> Option<T> {
        let what = match found {
            Some(_) => Quantity::CacheHits,
            None => Quantity::CacheMisses,
        };
        self.account.add(what, 1);
        found
    }

    /// Keeps a value under the key, instead of what was there.
    pub async fn put<K: CacheKey<Scope = S>>(&self, key: &K, value: &K::Value) {
        let full = key::full(&self.record, key);
        let (time, _) = self.kept().get(self.scope, &full).await;
        if let Some(bytes) = encoded::<K>(value) {
            let kept = self.kept();
            kept.put(self.scope, &time, &full, &bytes, K::LIFE).await;
        }
    }

    /// What is kept under the key; otherwise what `load` returns, which is kept from then on, unless it
    /// was removed or cleared meanwhile. Of many who want it at once in a process, one loads it.
    ///
    /// # Errors
    /// Those of `load`. Nothing is kept then.
    pub async fn get_or_load<K: CacheKey<Scope = S>, E>(
        &self,
        key: &K,
        load: impl Future<Output = Result<K::Value, E>>,
    ) -> Result<K::Value, E> {
        let full = key::full(&self.record, key);
        let kept = self.kept();
        let (time, found) = kept.get(self.scope, &full).await;
        let found = found.and_then(|bytes| serde_json::from_slice(&bytes).ok());
        if let Some(value) = self.counted(found) {
            return Ok(value);
        }
        let flight = kept.flights.join(flight_key(self.scope, &full));
        let (mut load, mut own) = (Some(Box::pin(load)), None);
        let loaded = flight.once(async {
            let Some(load) = load.take() else {
                return Ok(Bytes::new());
            };
            let value = load.await?;
            let bytes = encoded::<K>(&value);
            own = Some(value);
            if let Some(bytes) = &bytes {
                kept.land(&flight, self.scope, &time, &full, bytes, K::LIFE)
                    .await;
            }
            Ok(bytes.unwrap_or_default())
        });
        let loaded = loaded.await?;
        match (own, load) {
            (Some(value), _) => Ok(value),
            (None, Some(load)) => match serde_json::from_slice(&loaded) {
                Ok(value) => Ok(value),
                // it is of a kind that cannot be kept: everybody loads it
                Err(_) => load.await,
            },
            (None, None) => unreachable!("what was loaded here is here"),
        }
    }

    /// Keeps nothing under the key any more.
    ///
    /// # Errors
    /// When it cannot be reached: then it may still be there.
    pub async fn remove<K: CacheKey<Scope = S>>(&self, key: &K) -> Result<(), CacheError> {
        self.kept()
            .remove(self.scope, &key::full(&self.record, key))
            .await
    }

    /// Keeps nothing of this scope any more. Others' stays. In the process, unless it is kept in Redis.
    ///
    /// # Errors
    /// As [`remove`](Self::remove).
    pub async fn clear(&self) -> Result<(), CacheError> {
        self.kept().clear(self.scope).await
    }
}

fn digest(tenant: &Tenant) -> String {
    let domain = tenant.primary_domain().map(ToString::to_string);
    let domain = domain.unwrap_or_default();
    let record = [
        tenant.code().as_str(),
        tenant.name(),
        tenant.plan(),
        &domain,
    ];
    let mut digest = Sha256::new();
    for text in record {
        digest.update((text.len() as u64).to_be_bytes());
        digest.update(text);
    }
    hex::encode(&digest.finalize()[..8])
}

fn encoded<K: CacheKey>(value: &K::Value) -> Option<Bytes> {
    match serde_json::to_vec(value) {
        Ok(bytes) => Some(bytes.into()),
        Err(error) => {
            tracing::error!(%error, key = K::NAME, "a value cannot be kept");
            None
        }
    }
}

impl<S> Clone for Cache<S> {
    fn clone(&self) -> Self {
        Self {
            tenancy: self.tenancy.clone(),
            scope: self.scope,
            record: self.record.clone(),
            account: self.account.clone(),
            whose: PhantomData,
        }
    }
}

impl<S> fmt::Debug for Cache<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cache").finish_non_exhaustive()
    }
}
