//! Signing in and out, and what somebody is signed in with.

use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tenantry::{
    Tenancy, Tenant,
    db::TenantDb,
    routing::{ClientAddress, Credential, CurrentUser, Json, Path, Problem, Result},
    users::{Attempt, Jwts, SessionInfo, Sessions, SignedIn, TokenInfo, Tokens, Users},
};
use uuid::Uuid;

use crate::{models::staff::Person, validate};

#[derive(Deserialize)]
pub(crate) struct Login {
    email: String,
    password: String,
    /// Of the second factor, where there is one.
    code: Option<String>,
    /// What lists call the token.
    #[serde(default)]
    name: String,
}

#[derive(Serialize)]
pub(crate) struct LoggedIn {
    token: String,
    expires_at: DateTime<Utc>,
    user: Person,
}

async fn sign_in(
    tenancy: &Tenancy,
    tenant: &Tenant,
    login: &Login,
    address: ClientAddress,
) -> Result<SignedIn> {
    let attempt = Attempt {
        email: &login.email,
        password: &login.password,
        code: login.code.as_deref(),
        address: address.0,
    };
    Ok(tenancy.sign_in(tenant, attempt).await?)
}

pub(crate) async fn login(
    tenancy: Tenancy,
    tenant: Tenant,
    db: TenantDb,
    address: ClientAddress,
    Json(login): Json<Login>,
) -> Result<Json<LoggedIn>> {
    let name = validate::optional_text(&login.name, 100)
        .map_err(|error| Problem::invalid_field("name", error))?;
    let who = sign_in(&tenancy, &tenant, &login, address).await?;
    let token = Tokens::on(&db).issue_to(&who, &name).await?;
    Ok(Json(LoggedIn {
        token: token.secret,
        expires_at: token.expires_at,
        user: who.user.into(),
    }))
}

pub(crate) async fn logout(
    current: CurrentUser,
    tenant: Tenant,
    db: TenantDb,
) -> Result<StatusCode> {
    match current.credential {
        Credential::Token(id) => Tokens::on(&db).revoke(id).await?,
        Credential::Jwt(family) => Jwts::on(&db, &tenant).end(family).await?,
        Credential::Session(id) => Sessions::on(&db).revoke_of(current.user.id, id).await?,
        _ => return Err(Problem::forbidden()),
    }
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn logout_all(current: CurrentUser, mut db: TenantDb) -> Result<StatusCode> {
    Users::on(&mut db).end_access(current.user.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn me(current: CurrentUser) -> Json<Person> {
    Json(current.user.into())
}

#[derive(Serialize)]
pub(crate) struct Pair {
    access: String,
    refresh: String,
    expires_at: DateTime<Utc>,
}

#[derive(Deserialize)]
pub(crate) struct Refresh {
    refresh: String,
}

pub(crate) async fn jwt(
    tenancy: Tenancy,
    tenant: Tenant,
    db: TenantDb,
    address: ClientAddress,
    Json(login): Json<Login>,
) -> Result<Json<Pair>> {
    let who = sign_in(&tenancy, &tenant, &login, address).await?;
    let pair = Jwts::on(&db, &tenant).issue_to(&who).await?;
    Ok(Json(Pair {
        access: pair.access,
        refresh: pair.refresh,
        expires_at: pair.expires_at,
    }))
}

pub(crate) async fn jwt_refresh(
    tenant: Tenant,
    db: TenantDb,
    Json(Refresh { refresh }): Json<Refresh>,
) -> Result<Json<Pair>> {
    let pair = Jwts::on(&db, &tenant).refresh(&refresh).await?;
    let pair = pair.ok_or_else(Problem::invalid_token)?;
    Ok(Json(Pair {
        access: pair.access,
        refresh: pair.refresh,
        expires_at: pair.expires_at,
    }))
}

#[derive(Serialize)]
pub(crate) struct Items<T> {
    pub(crate) items: Vec<T>,
}

#[derive(Serialize)]
pub(crate) struct Token {
    id: Uuid,
    name: String,
    prefix: String,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    used_at: DateTime<Utc>,
    current: bool,
}

pub(crate) async fn tokens(current: CurrentUser, db: TenantDb) -> Result<Json<Items<Token>>> {
    let shown = |token: TokenInfo| Token {
        id: token.id,
        current: current.credential == Credential::Token(token.id),
        name: token.name,
        prefix: token.prefix,
        created_at: token.created_at,
        expires_at: token.expires_at,
        used_at: token.used_at,
    };
    let tokens = Tokens::on(&db).list(current.user.id).await?;
    let items = tokens.into_iter().map(shown).collect();
    Ok(Json(Items { items }))
}

pub(crate) async fn revoke_token(
    current: CurrentUser,
    db: TenantDb,
    Path(id): Path<Uuid>,
) -> Result<StatusCode> {
    Tokens::on(&db).revoke_of(current.user.id, id).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Serialize)]
pub(crate) struct Session {
    id: Uuid,
    agent: String,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
    used_at: DateTime<Utc>,
    current: bool,
}

pub(crate) async fn sessions(current: CurrentUser, db: TenantDb) -> Result<Json<Items<Session>>> {
    let shown = |session: SessionInfo| Session {
        id: session.id,
        current: current.credential == Credential::Session(session.id),
        agent: session.agent,
        created_at: session.created_at,
        expires_at: session.expires_at,
        used_at: session.used_at,
    };
    let sessions = Sessions::on(&db).list(current.user.id).await?;
    let items = sessions.into_iter().map(shown).collect();
    Ok(Json(Items { items }))
}

pub(crate) async fn revoke_session(
    current: CurrentUser,
    db: TenantDb,
    Path(id): Path<Uuid>,
) -> Result<StatusCode> {
    Sessions::on(&db).revoke_of(current.user.id, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
