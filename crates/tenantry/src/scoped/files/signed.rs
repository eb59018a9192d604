use std::{fmt, time::Duration};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chrono::{DateTime, SubsecRound, Utc};
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha2::Sha256;
use uuid::Uuid;

use super::{FileError, FileName, Files};
use crate::{
    db::{DbError, TenantDb},
    migrate::Migrations,
    tenant::TenantStatus,
};

pub(crate) fn migrations() -> Migrations {
    Migrations::new().sql("tenantry_0003_files", include_str!("0001_files.sql"))
}

/// That whoever has it may read one file of one tenant, until a moment: what stands in a link after
/// the question mark.
#[derive(Clone, PartialEq, Eq, Deserialize)]
pub struct Signature {
    /// Until when, in seconds since 1970.
    expires: i64,
    signature: String,
}

impl Signature {
    /// It as the query of a URL.
    #[must_use]
    pub fn query(&self) -> String {
        format!("expires={}&signature={}", self.expires, self.signature)
    }

    /// The moment from which it is good no more.
    #[must_use]
    pub fn expires_at(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(self.expires, 0).unwrap_or(DateTime::<Utc>::MAX_UTC)
    }
}

/// Whoever has it may read the file, so it is not for logs.
impl fmt::Debug for Signature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signature")
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

impl Files {
    /// Lets whoever is given it read a file for that long, without being anybody. It is for this
    /// tenant, by its id: it outlives another code, and a clone does not take it.
    ///
    /// # Errors
    /// When the tenant's database fails.
    pub async fn sign(&self, name: &FileName, life: Duration) -> Result<Signature, FileError> {
        let life = i64::try_from(life.as_secs()).unwrap_or(i64::MAX);
        let expires = Utc::now().timestamp().saturating_add(life);
        let db = self.tenancy.db(&self.here().await?).await?;
        let secret = match keys(&db).await?.into_iter().next() {
            Some(secret) => secret,
            None => new_key(&db).await?,
        };
        let signed = self.mac(&secret, name, expires)?.finalize().into_bytes();
        Ok(Signature {
            expires,
            signature: BASE64_URL_SAFE_NO_PAD.encode(signed),
        })
    }

    /// Whether a signature is good here and now for that file: it was made by this tenant, for this
    /// name, has not expired, and the tenant is at work.
    ///
    /// # Errors
    /// [`FileError::Signature`] when it is not; and when that cannot be told.
    pub async fn verify(&self, name: &FileName, signature: &Signature) -> Result<(), FileError> {
        if Utc::now().timestamp() >= signature.expires {
            return Err(FileError::Signature);
        }
        let now = match self.here().await {
            Ok(now) if now.status() == TenantStatus::Active => now,
            Ok(_) | Err(FileError::NoTenant) => return Err(FileError::Signature),
            Err(error) => return Err(error),
        };
        let given = BASE64_URL_SAFE_NO_PAD.decode(&signature.signature);
        let given = given.map_err(|_| FileError::Signature)?;
        let db = self.tenancy.db(&now).await?;
        for secret in keys(&db).await? {
            let mac = self.mac(&secret, name, signature.expires)?;
            // compares in a time that does not tell how much of it was right
            if mac.verify_slice(&given).is_ok() {
                return Ok(());
            }
        }
        Err(FileError::Signature)
    }

    /// Ends all that was signed, whoever has it.
    ///
    /// # Errors
    /// When the tenant's database fails.
    pub async fn forget_signatures(&self) -> Result<(), FileError> {
        let db = self.tenancy.db(&self.here().await?).await?;
        db.query("DELETE FROM file_keys").execute().await?;
        Ok(())
    }

    fn mac(&self, secret: &[u8], name: &FileName, expires: i64) -> Result<Hmac<Sha256>, FileError> {
        let mac = Hmac::<Sha256>::new_from_slice(secret);
        let mut mac = mac.map_err(|error| DbError::Engine(Box::new(error)))?;
        // the name comes last, and all before it is of fixed length
        mac.update(b"tenantry file 1\0");
        mac.update(self.tenant.id().as_uuid().as_bytes());
        mac.update(&expires.to_be_bytes());
        mac.update(name.as_str().as_bytes());
        Ok(mac)
    }
}

/// Two processes may have made one each: then both are good, and the earlier signs.
async fn keys(db: &TenantDb) -> Result<Vec<Vec<u8>>, DbError> {
    let found: Vec<(Vec<u8>,)> = db
        .query("SELECT secret FROM file_keys ORDER BY created_at, id")
        .all()
        .await?;
    Ok(found.into_iter().map(|(secret,)| secret).collect())
}

async fn new_key(db: &TenantDb) -> Result<Vec<u8>, DbError> {
    let mut secret = vec![0; 32];
    getrandom::fill(&mut secret).map_err(|error| DbError::Engine(Box::new(error)))?;
    db.query("INSERT INTO file_keys (id, secret, created_at) VALUES ($1, $2, $3)")
        .bind(Uuid::now_v7())
        .bind(secret.clone())
        .bind(Utc::now().trunc_subsecs(6))
        .execute()
        .await?;
    Ok(secret)
}
