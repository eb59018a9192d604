//! What is kept in Redis, or whatever speaks its protocol, for all processes.

use std::time::Duration;

use bytes::Bytes;
use redis::{AsyncCommands, Client, Script, aio::ConnectionManager, aio::ConnectionManagerConfig};
use tokio::sync::OnceCell;

use super::CacheError;
use crate::tenant::TenantId;

/// How long it is waited for: a cache that is slower than what it saves is none.
const PATIENCE: Duration = Duration::from_millis(500);
/// How long it is remembered that a scope was cleared: longer than anything is kept.
const REMEMBERED: Duration = Duration::from_secs(31 * 24 * 3600);

/// Tells the time that it is for the scope, and what is kept under the key. What was kept before the
/// scope was cleared is under another time, so nobody finds it.
const GET: &str = "local time = redis.call('GET', KEYS[1]) or '0'
return {time, redis.call('GET', KEYS[1] .. ':' .. time .. ':' .. ARGV[1])}";

pub(super) struct Redis {
    client: Client,
    connection: OnceCell<ConnectionManager>,
    /// What tells the deployment's keys from others'.
    prefix: String,
}

fn failed(error: redis::RedisError) -> CacheError {
    CacheError::Unavailable(Box::new(error))
}

impl Redis {
    /// No connection is made yet.
    pub(super) fn new(url: &str, prefix: String) -> Result<Self, CacheError> {
        Ok(Self {
            client: Client::open(url).map_err(failed)?,
            connection: OnceCell::new(),
            prefix,
        })
    }

    async fn connection(&self) -> Result<ConnectionManager, CacheError> {
        let connect = async || {
            let config = ConnectionManagerConfig::new()
                .set_connection_timeout(Some(PATIENCE))
                .set_response_timeout(Some(PATIENCE))
                .set_number_of_retries(1);
            ConnectionManager::new_with_config(self.client.clone(), config).await
        };
        let connection = self.connection.get_or_try_init(connect).await;
        connection.cloned().map_err(failed)
    }

    /// All keys of a scope have it in braces, so that they are on one node of a cluster.
    fn scope(&self, scope: Option<TenantId>) -> String {
        match scope {
            Some(id) => format!("{}:{{{id}}}", self.prefix),
            None => format!("{}:{{central}}", self.prefix),
        }
    }

    pub(super) async fn get(
        &self,
        scope: Option<TenantId>,
        key: &str,
    ) -> Result<(String, Option<Bytes>), CacheError> {
        let mut connection = self.connection().await?;
        let (time, found): (String, Option<Vec<u8>>) = Script::new(GET)
            .key(self.scope(scope))
            .arg(key)
            .invoke_async(&mut connection)
            .await
            .map_err(failed)?;
        Ok((time, found.map(Bytes::from)))
    }

    pub(super) async fn put(
        &self,
        scope: Option<TenantId>,
        time: &str,
        key: &str,
        bytes: &[u8],
        life: Duration,
    ) -> Result<(), CacheError> {
        let mut connection = self.connection().await?;
        let key = format!("{}:{time}:{key}", self.scope(scope));
        let life = u64::try_from(life.as_millis()).unwrap_or(u64::MAX).max(1);
        connection
            .pset_ex::<_, _, ()>(key, bytes, life)
            .await
            .map_err(failed)
    }

    /// Writes and reads what is nobody's, as an application does it.
    pub(super) async fn reach(&self) -> Result<(), CacheError> {
        let key = "reached";
        let (time, _) = self.get(None, key).await?;
        self.put(None, &time, key, b"", Duration::from_secs(1))
            .await
    }

    pub(super) async fn remove(
        &self,
        scope: Option<TenantId>,
        key: &str,
    ) -> Result<(), CacheError> {
        let (time, found) = self.get(scope, key).await?;
        if found.is_none() {
            return Ok(());
        }
        let mut connection = self.connection().await?;
        let key = format!("{}:{time}:{key}", self.scope(scope));
        connection.del::<_, ()>(key).await.map_err(failed)
    }

    pub(super) async fn clear(&self, scope: Option<TenantId>) -> Result<(), CacheError> {
        let mut connection = self.connection().await?;
        let key = self.scope(scope);
        let seconds = i64::try_from(REMEMBERED.as_secs()).unwrap_or(i64::MAX);
        redis::pipe()
            .incr(&key, 1)
            .ignore()
            .expire(&key, seconds)
            .ignore()
            .query_async(&mut connection)
            .await
            .map_err(failed)
    }
}
