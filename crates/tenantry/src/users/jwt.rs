use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::{
    SignInError, SignedIn, User,
    person::{self, Person as _},
};
use crate::{
    db::{DbError, FromRow, Row, TenantDb},
    tenant::Tenant,
};

/// The one algorithm; whatever else a token says it is signed with is refused.
const ALGORITHM: Algorithm = Algorithm::HS256;

/// How long JWTs live.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct JwtPolicy {
    /// How long an access token is good for. 15 minutes.
    pub access_life: TimeDelta,
    /// How long a refresh token is good for. 14 days.
    pub refresh_life: TimeDelta,
    /// How long somebody stays signed in at most, however often they refresh. 90 days.
    pub longest_life: TimeDelta,
    /// How long a key signs before a new one is made. 90 days. What it has signed stays good.
    pub key_life: TimeDelta,
    /// How many sign-ins a user may have, at least one; a further one ends the oldest. 50.
    pub most_per_user: i64,
}

impl Default for JwtPolicy {
    fn default() -> Self {
        Self {
            access_life: TimeDelta::minutes(15),
            refresh_life: TimeDelta::days(14),
            longest_life: TimeDelta::days(90),
            key_life: TimeDelta::days(90),
            most_per_user: 50,
        }
    }
}

/// An access token, and the refresh token for the next.
#[derive(Clone)]
#[non_exhaustive]
pub struct JwtPair {
    /// What the bearer shows.
    pub access: String,
    /// What the next pair is had for, once.
    pub refresh: String,
    /// When the access token ends.
    pub expires_at: DateTime<Utc>,
}

/// Whom an access token speaks for.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct JwtUser {
    /// The user.
    pub user: User,
    /// The sign-in that it comes from, which can be ended.
    pub family: Uuid,
}

/// The JSON Web Tokens of one tenant's users
/// ([RFC 7519](https://www.rfc-editor.org/rfc/rfc7519)).
///
/// Keys are the tenant's own, in its own database, and the tenant's id is the audience: one of
/// another tenant is signed with another key and made for another audience. A token speaks for its
/// user only while that account is active and the sign-in it comes from was not ended.
///
/// A refresh token is good once. When it is shown again, somebody has a copy of it, and the whole
/// family that came from the same sign-in ends.
#[derive(Debug)]
pub struct Jwts<'d> {
    db: &'d TenantDb,
    audience: String,
    policy: JwtPolicy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Use {
    Access,
    Refresh,
}

#[derive(Debug, Serialize, Deserialize)]
struct Claims {
    aud: String,
    sub: Uuid,
    exp: i64,
    iat: i64,
    jti: Uuid,
    /// The family.
    fam: Uuid,
    /// What it is for: one is never taken for the other.
    #[serde(rename = "use")]
    purpose: Use,
}

struct Key {
    id: Uuid,
    secret: Vec<u8>,
    created_at: DateTime<Utc>,
}

impl FromRow for Key {
    fn from_row(row: &Row<'_>) -> Result<Self, DbError> {
        Ok(Self {
            id: row.field(0, "id")?,
            secret: row.field(1, "secret")?,
            created_at: row.field(2, "created_at")?,
        })
    }
}

/// What a token names, with the key it says it is signed with.
struct Named {
    user: User,
    family: Uuid,
    secret: Vec<u8>,
    expires_at: DateTime<Utc>,
}

impl FromRow for Named {
    fn from_row(row: &Row<'_>) -> Result<Self, DbError> {
        Ok(Self {
            user: User::from_row(row)?,
            family: row.field(User::WIDTH, "family")?,
            secret: row.field(User::WIDTH + 1, "secret")?,
            expires_at: row.field(User::WIDTH + 2, "expires_at")?,
        })
    }
}

impl<'d> Jwts<'d> {
    /// The JWTs of `tenant`, whose database `db` is, with the default policy.
    #[must_use]
    pub fn on(db: &'d TenantDb, tenant: &Tenant) -> Self {
        Self::with(db, tenant, JwtPolicy::default())
    }

    /// The JWTs of `tenant`, whose database `db` is, with another policy.
    #[must_use]
    pub fn with(db: &'d TenantDb, tenant: &Tenant, policy: JwtPolicy) -> Self {
        Self {
            db,
            audience: tenant.id().to_string(),
            policy,
        }
    }

    /// Whether `token` looks like a JWT, so that it is to be asked about here.
    #[must_use]
    pub fn is_one(token: &str) -> bool {
        token.starts_with("eyJ") && token.split('.').count() == 3
    }

    /// Signs a user in: the first pair of a new family.
    ///
    /// # Errors
    /// [`DbError::NotFound`] when there is no such user, or they may not sign in.
    pub async fn issue(&self, user_id: Uuid) -> Result<JwtPair, DbError> {
        self.issue_if(user_id, None).await
    }

    /// The first pair of a new family, for somebody who has just signed in.
    ///
    /// # Errors
    /// [`SignInError::InvalidCredentials`] when their password was changed meanwhile, or they may no
    /// longer sign in.
    pub async fn issue_to(&self, who: &SignedIn) -> Result<JwtPair, SignInError> {
        self.issue_if(who.user.id, Some(&who.hash))
            .await
            .map_err(person::too_late)
    }

    async fn issue_if(&self, user_id: Uuid, checked: Option<&str>) -> Result<JwtPair, DbError> {
        let now = Utc::now().trunc_subsecs(6);
        let key = self.signing_key(now).await?;
        let (family, current) = (Uuid::now_v7(), Uuid::now_v7());
        let mut tx = self.db.begin();
        person::hold::<_, User>(&mut tx, user_id, checked).await?;
        tx.query("DELETE FROM jwt_families WHERE expires_at <= $1")
            .bind(now)
            .execute()
            .await?;
        tx.query(
            "DELETE FROM jwt_families WHERE id IN (
                SELECT id FROM jwt_families WHERE user_id = $1 ORDER BY id DESC
                LIMIT 1000 OFFSET $2)",
        )
        .bind(user_id)
        .bind(self.policy.most_per_user.max(1) - 1)
        .execute()
        .await?;
        tx.query(
            "INSERT INTO jwt_families (id, user_id, current, created_at, expires_at)
             VALUES ($1, $2, $3, $4, $5)",
        )
        .bind(family)
        .bind(user_id)
        .bind(current)
        .bind(now)
        .bind(now + self.policy.longest_life)
        .execute()
        .await?;
        tx.commit().await?;
        self.pair(
            &key,
            user_id,
            family,
            current,
            now,
            now + self.policy.longest_life,
        )
    }

    /// Whom an access token speaks for: nobody when it is malformed, of another tenant, expired,
    /// signed otherwise or for another use, or its sign-in was ended.
    ///
    /// # Errors
    /// When the database fails; which must be taken as a refusal.
    pub async fn authenticate(&self, access: &str) -> Result<Option<JwtUser>, DbError> {
        let verified = self.verify(access, Use::Access).await?;
        Ok(verified.map(|(named, _)| JwtUser {
            user: named.user,
            family: named.family,
        }))
    }

    /// The next pair for a refresh token, which is used up; `None` when it is not good. One that was
    /// used before ends its family.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn refresh(&self, refresh: &str) -> Result<Option<JwtPair>, DbError> {
        let Some((named, claims)) = self.verify(refresh, Use::Refresh).await? else {
            return Ok(None);
        };
        let now = Utc::now().trunc_subsecs(6);
        let key = self.signing_key(now).await?;
        let next = Uuid::now_v7();
        // of two who show it at once, one is too late
        let renewed = self
            .db
            .query("UPDATE jwt_families SET current = $3 WHERE id = $1 AND current = $2")
            .bind(named.family)
            .bind(claims.jti)
            .bind(next)
            .execute()
            .await?;
        if renewed == 0 {
            self.end(named.family).await?;
            tracing::warn!(user = %named.user.id, "a refresh token was shown again; its family is ended");
            return Ok(None);
        }
        let id = named.user.id;
        self.pair(&key, id, named.family, next, now, named.expires_at)
            .map(Some)
    }

    /// Ends a sign-in: its access and refresh tokens are good no more.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn end(&self, family: Uuid) -> Result<(), DbError> {
        self.db
            .query("DELETE FROM jwt_families WHERE id = $1")
            .bind(family)
            .execute()
            .await
            .map(drop)
    }

    /// Makes a new key, with which all is signed from now on. What older keys have signed stays
    /// good until it expires.
    ///
    /// # Errors
    /// When the database fails or the system has no randomness.
    pub async fn rotate_key(&self) -> Result<(), DbError> {
        self.new_key(Utc::now().trunc_subsecs(6)).await.map(drop)
    }

    /// Ends all that was signed, for everybody: after a key was seen by others.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn forget_keys(&self) -> Result<(), DbError> {
        self.db
            .query("DELETE FROM jwt_keys")
            .execute()
            .await
            .map(drop)
    }

    async fn signing_key(&self, now: DateTime<Utc>) -> Result<Key, DbError> {
        let latest: Option<Key> = self
            .db
            .query(
                "SELECT id, secret, created_at FROM jwt_keys ORDER BY created_at DESC, id DESC LIMIT 1",
            )
            .optional()
            .await?;
        match latest {
            Some(key) if now - key.created_at < self.policy.key_life => Ok(key),
            _ => self.new_key(now).await,
        }
    }

    async fn new_key(&self, now: DateTime<Utc>) -> Result<Key, DbError> {
        let mut secret = vec![0; 32];
        getrandom::fill(&mut secret).map_err(|error| DbError::Engine(Box::new(error)))?;
        let key = Key {
            id: Uuid::now_v7(),
            secret,
            created_at: now,
        };
        let mut tx = self.db.begin();
        // nothing that they have signed can still be good
        tx.query("DELETE FROM jwt_keys WHERE created_at < $1")
            .bind(now - self.policy.key_life - self.policy.longest_life)
            .execute()
            .await?;
        tx.query("INSERT INTO jwt_keys (id, secret, created_at) VALUES ($1, $2, $3)")
            .bind(key.id)
            .bind(key.secret.clone())
            .bind(key.created_at)
            .execute()
            .await?;
        tx.commit().await?;
        Ok(key)
    }

    fn pair(
        &self,
        key: &Key,
        user_id: Uuid,
        family: Uuid,
        current: Uuid,
        now: DateTime<Utc>,
        family_end: DateTime<Utc>,
    ) -> Result<JwtPair, DbError> {
        let sign = |purpose, jti, end: DateTime<Utc>| {
            let claims = Claims {
                aud: self.audience.clone(),
                sub: user_id,
                exp: end.timestamp(),
                iat: now.timestamp(),
                jti,
                fam: family,
                purpose,
            };
            let mut header = Header::new(ALGORITHM);
            header.kid = Some(key.id.to_string());
            jsonwebtoken::encode(&header, &claims, &EncodingKey::from_secret(&key.secret))
                .map_err(|error| DbError::Engine(Box::new(error)))
        };
        let access_end = (now + self.policy.access_life).min(family_end);
        let refresh_end = (now + self.policy.refresh_life).min(family_end);
        Ok(JwtPair {
            access: sign(Use::Access, Uuid::now_v7(), access_end)?,
            refresh: sign(Use::Refresh, current, refresh_end)?,
            expires_at: access_end.trunc_subsecs(0),
        })
    }

    /// What a token says, if all of it holds. What it says unverified is used for one thing: to
    /// look up what it has to be verified with.
    async fn verify(&self, token: &str, purpose: Use) -> Result<Option<(Named, Claims)>, DbError> {
        let Ok(header) = jsonwebtoken::decode_header(token) else {
            return Ok(None);
        };
        let key = header.kid.and_then(|kid| kid.parse::<Uuid>().ok());
        let claimed = jsonwebtoken::dangerous::insecure_decode_claims::<Claims>(token).ok();
        let (Some(key), Some(claimed)) = (key, claimed) else {
            return Ok(None);
        };
        let named: Option<Named> = self
            .db
            .query(
                "SELECT u.id, u.email, u.first_name, u.last_name, u.role, u.active, u.created_at,
                    u.email_verified_at, f.id AS family, k.secret, f.expires_at
                 FROM jwt_families f
                 JOIN users u ON u.id = f.user_id
                 JOIN jwt_keys k ON k.id = $2
                 WHERE f.id = $1 AND f.expires_at > $3 AND u.active",
            )
            .bind(claimed.fam)
            .bind(key)
            .bind(Utc::now())
            .optional()
            .await?;
        let Some(named) = named else {
            return Ok(None);
        };
        let mut validation = Validation::new(ALGORITHM);
        validation.leeway = 0;
        validation.set_audience(&[&self.audience]);
        validation.set_required_spec_claims(&["exp", "aud", "sub"]);
        let key = DecodingKey::from_secret(&named.secret);
        let Ok(verified) = jsonwebtoken::decode::<Claims>(token, &key, &validation) else {
            return Ok(None);
        };
        let claims = verified.claims;
        let holds =
            claims.purpose == purpose && claims.sub == named.user.id && claims.fam == named.family;
        Ok(holds.then_some((named, claims)))
    }
}
