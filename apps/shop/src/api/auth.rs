//! Signing in and out.

use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tenantry::{
    Tenancy,
    db::TenantDb,
    routing::{CurrentUser, Json, Result},
    users::{Tokens, Users},
};

use crate::models::staff::Person;

#[derive(Deserialize)]
pub(crate) struct Login {
    email: String,
    password: String,
}

#[derive(Serialize)]
pub(crate) struct LoggedIn {
    token: String,
    expires_at: DateTime<Utc>,
    user: Person,
}

pub(crate) async fn login(
    tenancy: Tenancy,
    mut db: TenantDb,
    Json(login): Json<Login>,
) -> Result<Json<LoggedIn>> {
    let user = Users::on(&mut db)
        .sign_in(tenancy.passwords(), &login.email, &login.password)
        .await?;
    let token = Tokens::on(&db).issue(user.id).await?;
    Ok(Json(LoggedIn {
        token: token.secret,
        expires_at: token.expires_at,
        user: user.into(),
    }))
}

pub(crate) async fn logout(current: CurrentUser, db: TenantDb) -> Result<StatusCode> {
    Tokens::on(&db).revoke(current.token_id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn logout_all(current: CurrentUser, db: TenantDb) -> Result<StatusCode> {
    Tokens::on(&db).revoke_all(current.user.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn me(current: CurrentUser) -> Json<Person> {
    Json(current.user.into())
}
