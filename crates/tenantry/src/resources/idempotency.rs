use chrono::{SubsecRound, TimeDelta, Utc};
use serde_json::Value as Json;
use sha2::{Digest, Sha256};

use super::ResourceError;
use crate::{
    db::{DbError, TenantTx},
    policy::Permissions,
};

/// How long an answer is kept.
const KEPT: TimeDelta = TimeDelta::hours(24);

/// What a client calls one request by, so that sending it again does it no second time
/// ([draft-ietf-httpapi-idempotency-key-header](https://datatracker.ietf.org/doc/draft-ietf-httpapi-idempotency-key-header/)).
/// It is good for a day, for whoever used it first.
#[derive(Debug, Clone)]
pub struct IdempotencyKey {
    key: String,
    request: Vec<u8>,
}

/// What a request that may have been done before is answered with.
#[derive(Debug)]
pub enum Answered<T> {
    /// It was done now.
    Now(T),
    /// It had been done: what was answered then.
    Before(Json),
}

impl IdempotencyKey {
    /// A key of one request, which is recognised by its digest.
    #[must_use]
    pub fn new(key: &str, request: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in request {
            hash.update(part.len().to_le_bytes());
            hash.update(part);
        }
        Self {
            key: key.to_owned(),
            request: hash.finalize().to_vec(),
        }
    }

    /// Takes the key within the transaction that does what was requested; or gives what was answered
    /// when it had been done. Whoever comes at the same time waits for the other's end.
    pub(crate) async fn take(
        &self,
        tx: &mut TenantTx,
        by: &Permissions,
    ) -> Result<Option<Json>, ResourceError> {
        let now = Utc::now().trunc_subsecs(6);
        tx.query("DELETE FROM idempotency_keys WHERE created_at < $1")
            .bind(now - KEPT)
            .execute()
            .await?;
        let taken = tx
            .query(
                "INSERT INTO idempotency_keys (principal, key, request, created_at)
                 VALUES ($1, $2, $3, $4) ON CONFLICT (principal, key) DO NOTHING",
            )
            .bind(who(by))
            .bind(&self.key)
            .bind(self.request.clone())
            .bind(now)
            .execute()
            .await?;
        if taken == 1 {
            return Ok(None);
        }
        let (request, answer): (Vec<u8>, Option<Json>) = tx
            .query("SELECT request, answer FROM idempotency_keys WHERE principal = $1 AND key = $2")
            .bind(who(by))
            .bind(&self.key)
            .one()
            .await?;
        if request != self.request {
            return Err(ResourceError::KeyReused);
        }
        // it is written in the transaction that takes the key, so it is there
        answer.map(Some).ok_or(ResourceError::Db(DbError::Busy))
    }

    /// Keeps what is answered.
    pub(crate) async fn keep(
        &self,
        tx: &mut TenantTx,
        by: &Permissions,
        answer: Json,
    ) -> Result<(), DbError> {
        tx.query("UPDATE idempotency_keys SET answer = $3 WHERE principal = $1 AND key = $2")
            .bind(who(by))
            .bind(&self.key)
            .bind(answer)
            .execute()
            .await
            .map(drop)
    }
}

fn who(by: &Permissions) -> String {
    let id = by.principal().id().map(|id| id.to_string());
    format!("{}:{}", by.principal().type_name(), id.unwrap_or_default())
}
