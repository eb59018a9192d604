//! Browsers' sessions, on `tower-sessions`, with a store made from the request's tenant.

use async_trait::async_trait;
use axum::{
    Router,
    extract::FromRequestParts,
    http::{HeaderMap, header, request::Parts},
    response::Response,
};
use chrono::{DateTime, TimeDelta, Utc};
use serde::{Deserialize, Serialize};
use tower::{Layer, ServiceExt};
use tower_sessions::{
    Expiry, Session, SessionManagerLayer, SessionStore,
    cookie::{SameSite, time},
    session::{Id, Record},
    session_store,
};
use uuid::Uuid;

use super::{Problem, Site};
use crate::{
    Tenancy,
    db::DbError,
    operators::Impersonation,
    tenant::Tenant,
    users::{KeptSession, Sessions, SignedIn},
};

/// How long a session is good for after it was last used.
const LIFE: TimeDelta = TimeDelta::days(14);
/// How long it is good for at most.
const LONGEST_LIFE: TimeDelta = TimeDelta::days(90);
/// How much later a use must be than the last recorded one to prolong it.
const REFRESH_INTERVAL: TimeDelta = TimeDelta::hours(12);

const USER: &str = "user";
const SESSION: &str = "session";
const AGENT: &str = "agent";
const SINCE: &str = "since";
const SEEN: &str = "seen";
const IMPERSONATION: &str = "impersonation";
/// For what password it is given: on its way to the store, and kept nowhere.
const CHECKED: &str = "checked";

/// How the cookie is set.
#[derive(Debug, Clone, Copy)]
pub(super) struct Cookie {
    is_https: bool,
}

impl Cookie {
    pub(super) fn of(site: &Site) -> Self {
        Self {
            is_https: site.is_https(),
        }
    }

    /// Whether browsers send it over TLS alone.
    pub(super) fn is_https(self) -> bool {
        self.is_https
    }

    /// Without a domain, so that it goes to this tenant's host and no other; the prefix makes
    /// browsers see to it
    /// ([RFC 6265bis](https://datatracker.ietf.org/doc/html/draft-ietf-httpbis-rfc6265bis), 4.1.3.2).
    fn name(self) -> &'static str {
        if self.is_https {
            "__Host-session"
        } else {
            "session"
        }
    }

    /// Answers the request with `table`, with the tenant's sessions at hand.
    pub(super) async fn serve(
        self,
        table: Router,
        tenancy: Tenancy,
        tenant: Tenant,
        request: axum::extract::Request,
    ) -> Response {
        let layer = SessionManagerLayer::new(Store { tenancy, tenant })
            .with_name(self.name())
            .with_secure(self.is_https)
            .with_http_only(true)
            .with_same_site(SameSite::Lax)
            .with_path("/")
            .with_expiry(Expiry::OnInactivity(life()));
        match layer.layer(table).oneshot(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        }
    }
}

/// The sessions of one tenant.
#[derive(Debug)]
struct Store {
    tenancy: Tenancy,
    tenant: Tenant,
}

#[async_trait]
impl SessionStore for Store {
    async fn create(&self, record: &mut Record) -> session_store::Result<()> {
        let checked = record.data.remove(CHECKED);
        let checked = checked.as_ref().and_then(|hash| hash.as_str());
        let kept = kept(Uuid::now_v7(), record)?;
        let db = self.tenancy.db(&self.tenant).await.map_err(backend)?;
        let sessions = Sessions::on(&db);
        let id = record.id.to_string();
        let created = sessions.create(&id, &kept, checked).await;
        created.map_err(backend)
    }

    async fn save(&self, record: &Record) -> session_store::Result<()> {
        let kept = kept(Uuid::nil(), record)?;
        let db = self.tenancy.db(&self.tenant).await.map_err(backend)?;
        let sessions = Sessions::on(&db);
        let saved = sessions.save(&record.id.to_string(), &kept).await;
        saved.map_err(backend)
    }

    async fn load(&self, id: &Id) -> session_store::Result<Option<Record>> {
        let db = self.tenancy.db(&self.tenant).await.map_err(backend)?;
        let kept = Sessions::on(&db).load(&id.to_string()).await;
        let Some(kept) = kept.map_err(backend)? else {
            return Ok(None);
        };
        let mut data: std::collections::HashMap<String, serde_json::Value> =
            serde_json::from_value(kept.data)
                .map_err(|error| session_store::Error::Decode(error.to_string()))?;
        data.insert(SESSION.into(), kept.id.to_string().into());
        if let Some(user) = kept.user_id {
            data.insert(USER.into(), user.to_string().into());
        }
        Ok(Some(Record {
            id: *id,
            data,
            expiry_date: time::OffsetDateTime::from_unix_timestamp(kept.expires_at.timestamp())
                .map_err(|error| session_store::Error::Decode(error.to_string()))?,
        }))
    }

    async fn delete(&self, id: &Id) -> session_store::Result<()> {
        let db = self.tenancy.db(&self.tenant).await.map_err(backend)?;
        let deleted = Sessions::on(&db).delete(&id.to_string()).await;
        deleted.map_err(backend)
    }
}

fn backend(error: DbError) -> session_store::Error {
    session_store::Error::Backend(error.to_string())
}

/// What is kept of a record: who and from where in columns, the rest as it is.
fn kept(id: Uuid, record: &Record) -> session_store::Result<KeptSession> {
    let mut data = record.data.clone();
    data.remove(SESSION);
    data.remove(CHECKED);
    let text = |value: Option<serde_json::Value>| {
        value.and_then(|value| value.as_str().map(str::to_owned))
    };
    let user = text(data.remove(USER));
    let end = DateTime::from_timestamp(record.expiry_date.unix_timestamp(), 0);
    Ok(KeptSession {
        id,
        user_id: user.and_then(|user| user.parse().ok()),
        agent: text(data.remove(AGENT)).unwrap_or_default(),
        data: serde_json::to_value(data)
            .map_err(|error| session_store::Error::Encode(error.to_string()))?,
        expires_at: end
            .ok_or_else(|| session_store::Error::Encode("the time is out of range".into()))?,
    })
}

/// The browser's session with the request's tenant: by it somebody is signed in and out.
///
/// Its cookie goes to this tenant's host and no other, scripts cannot read it, and over TLS it is
/// called `__Host-session`. It is there on routes of tenants of an application that said
/// [`Routes::sessions`](super::Routes::sessions).
#[derive(Debug, Clone)]
pub struct BrowserSession {
    session: Session,
    agent: String,
}

/// Who a session is for.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) id: Uuid,
    pub(super) user_id: Uuid,
    pub(super) impersonation: Option<Impersonated>,
}

/// That an operator acts in a user's place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Impersonated {
    /// The operator's address.
    pub operator: String,
    /// Why.
    pub reason: String,
    /// Until when.
    pub until: DateTime<Utc>,
}

impl BrowserSession {
    /// Signs a user in. The session gets another identifier, so that one that somebody else had
    /// put into the browser is of no use to them.
    ///
    /// # Errors
    /// `invalid-credentials` when their password was changed meanwhile, or they may no longer sign
    /// in; when the database fails.
    pub async fn sign_in(&self, who: &SignedIn) -> Result<(), Problem> {
        self.begin(who.user.id).await?;
        self.put(CHECKED, &who.hash).await?;
        let written = self.session.save().await;
        self.session.remove_value(CHECKED).await.map_err(failed)?;
        if let Err(tower_sessions::session::Error::Store(session_store::Error::Backend(why))) =
            &written
            && *why == DbError::NotFound.to_string()
        {
            self.session.clear().await;
            return Err(Problem::invalid_credentials());
        }
        written.map_err(failed)
    }

    async fn begin(&self, user_id: Uuid) -> Result<(), Problem> {
        let since = Utc::now();
        self.session.clear().await;
        self.session.cycle_id().await.map_err(failed)?;
        self.put(USER, user_id).await?;
        self.put(AGENT, &self.agent).await?;
        self.put(SINCE, since).await?;
        self.put(SEEN, since).await
    }

    /// Lets an operator act in a user's place, until that ends.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn impersonate(&self, impersonation: &Impersonation) -> Result<(), Problem> {
        self.begin(impersonation.user_id).await?;
        let by = Impersonated {
            operator: impersonation.operator.clone(),
            reason: impersonation.reason.clone(),
            until: impersonation.until,
        };
        self.put(IMPERSONATION, by).await?;
        let end = time::OffsetDateTime::from_unix_timestamp(impersonation.until.timestamp());
        let end = end.map_err(|error| Problem::internal(&error))?;
        self.session.set_expiry(Some(Expiry::AtDateTime(end)));
        Ok(())
    }

    /// Signs whoever is signed in out, and forgets the session.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn sign_out(&self) -> Result<(), Problem> {
        self.session.flush().await.map_err(failed)
    }

    /// Who is signed in, if anybody.
    pub(super) async fn signed_in(&self) -> Result<Option<Known>, Problem> {
        let Some(user_id) = self.get::<Uuid>(USER).await? else {
            return Ok(None);
        };
        let Some(id) = self.get(SESSION).await? else {
            return Ok(None);
        };
        let now = Utc::now();
        let impersonation: Option<Impersonated> = self.get(IMPERSONATION).await?;
        let since: Option<DateTime<Utc>> = self.get(SINCE).await?;
        let is_over = impersonation.as_ref().is_some_and(|by| by.until <= now)
            || since.is_none_or(|since| now - since >= LONGEST_LIFE);
        if is_over {
            self.session.flush().await.map_err(failed)?;
            return Ok(None);
        }
        let seen: Option<DateTime<Utc>> = self.get(SEEN).await?;
        if impersonation.is_none() && seen.is_none_or(|seen| now - seen >= REFRESH_INTERVAL) {
            // what is written is prolonged
            self.put(SEEN, now).await?;
        }
        Ok(Some(Known {
            id,
            user_id,
            impersonation,
        }))
    }

    async fn get<T: serde::de::DeserializeOwned>(&self, key: &str) -> Result<Option<T>, Problem> {
        self.session.get(key).await.map_err(failed)
    }

    async fn put(&self, key: &str, value: impl Serialize) -> Result<(), Problem> {
        self.session.insert(key, value).await.map_err(failed)
    }
}

fn life() -> time::Duration {
    time::Duration::seconds(LIFE.num_seconds())
}

pub(super) fn failed(error: tower_sessions::session::Error) -> Problem {
    match error {
        tower_sessions::session::Error::Store(error) => {
            tracing::warn!(%error, "sessions are unavailable");
            Problem::unavailable()
        }
        other => Problem::internal(&other),
    }
}

/// What the browser calls itself, for its user to know it by.
fn agent(headers: &HeaderMap) -> String {
    headers
        .get(header::USER_AGENT)
        .and_then(|value| value.to_str().ok())
        .map(|text| text.chars().take(200).collect())
        .unwrap_or_default()
}

impl<S: Sync> FromRequestParts<S> for BrowserSession {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let session = parts.extensions.get::<Session>().cloned();
        let session = session.ok_or_else(|| {
            tracing::error!("there are no sessions here: does the application say Routes::sessions, and is the route a tenant's?");
            Problem::failed()
        })?;
        Ok(Self {
            session,
            agent: agent(&parts.headers),
        })
    }
}
