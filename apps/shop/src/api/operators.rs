//! For those who run the deployment, on the central host.

use axum::{
    extract::{FromRequestParts, State},
    http::{StatusCode, header, request::Parts},
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tenantry::{
    Tenancy,
    db::DbError,
    operators::{Operator, OperatorEntry},
    resources,
    routing::{ClientAddress, Json, Problem, Query, Result, Site},
    tenant::TenantCode,
    users::{Attempt, Users},
};
use uuid::Uuid;

use crate::validate;

/// The operator who makes the request, and the token that said so.
pub(crate) struct CurrentOperator(Operator, String);

impl<S: Sync> FromRequestParts<S> for CurrentOperator {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self> {
        let tenancy = Tenancy::from_request_parts(parts, state).await?;
        let Some(value) = parts.headers.get(header::AUTHORIZATION) else {
            return Err(Problem::authentication_required());
        };
        let secret = value
            .to_str()
            .ok()
            .and_then(|text| text.split_once(' '))
            .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
            .map(|(_, secret)| secret.trim().to_owned())
            .ok_or_else(Problem::invalid_token)?;
        let operator = tenancy.operators().authenticate(&secret).await?;
        operator
            .map(|operator| Self(operator, secret))
            .ok_or_else(Problem::invalid_token)
    }
}

#[derive(Serialize)]
pub(crate) struct Shown {
    id: Uuid,
    email: String,
    name: String,
    role: &'static str,
}

impl From<Operator> for Shown {
    fn from(operator: Operator) -> Self {
        Self {
            id: operator.id,
            email: operator.email,
            name: operator.name,
            role: operator.role.as_str(),
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct Login {
    email: String,
    password: String,
    code: Option<String>,
}

#[derive(Serialize)]
pub(crate) struct LoggedIn {
    token: String,
    expires_at: DateTime<Utc>,
    operator: Shown,
}

pub(crate) async fn login(
    tenancy: Tenancy,
    address: ClientAddress,
    Json(login): Json<Login>,
) -> Result<Json<LoggedIn>> {
    let attempt = Attempt {
        email: &login.email,
        password: &login.password,
        code: login.code.as_deref(),
        address: address.0,
    };
    let (operator, token) = tenancy.operators().sign_in(attempt).await?;
    Ok(Json(LoggedIn {
        token: token.secret,
        expires_at: token.expires_at,
        operator: operator.into(),
    }))
}

pub(crate) async fn logout(
    CurrentOperator(_, secret): CurrentOperator,
    tenancy: Tenancy,
) -> Result<StatusCode> {
    tenancy.operators().sign_out(&secret).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn me(CurrentOperator(operator, _): CurrentOperator) -> Json<Shown> {
    Json(operator.into())
}

#[derive(Serialize)]
pub(crate) struct NewFactor {
    secret: String,
    uri: String,
}

pub(crate) async fn begin_totp(
    CurrentOperator(operator, _): CurrentOperator,
    tenancy: Tenancy,
    State(site): State<Site>,
) -> Result<Json<NewFactor>> {
    let begun = tenancy
        .operators()
        .begin_second_factor(&operator, site.host())
        .await?;
    let factor = begun.ok_or_else(|| {
        Problem::new(
            StatusCode::CONFLICT,
            "second-factor-on",
            "There is a second factor already.",
        )
    })?;
    Ok(Json(NewFactor {
        secret: factor.secret,
        uri: factor.uri,
    }))
}

#[derive(Deserialize)]
pub(crate) struct Code {
    code: String,
}

#[derive(Serialize)]
pub(crate) struct RecoveryCodes {
    recovery_codes: Vec<String>,
}

pub(crate) async fn confirm_totp(
    CurrentOperator(operator, _): CurrentOperator,
    tenancy: Tenancy,
    Json(Code { code }): Json<Code>,
) -> Result<Json<RecoveryCodes>> {
    let recovery_codes = tenancy
        .operators()
        .confirm_second_factor(&operator, &code)
        .await?
        .ok_or_else(|| Problem::invalid_field("code", "is not the one of now"))?;
    Ok(Json(RecoveryCodes { recovery_codes }))
}

#[derive(Deserialize)]
pub(crate) struct StandIn {
    tenant: String,
    email: String,
    reason: String,
}

#[derive(Serialize)]
pub(crate) struct StandInLink {
    url: String,
    expires_at: DateTime<Utc>,
    until: DateTime<Utc>,
}

pub(crate) async fn impersonate(
    CurrentOperator(operator, _): CurrentOperator,
    tenancy: Tenancy,
    State(site): State<Site>,
    address: ClientAddress,
    Json(wanted): Json<StandIn>,
) -> Result<(StatusCode, Json<StandInLink>)> {
    let reason = validate::text(&wanted.reason, 200)
        .map_err(|error| Problem::invalid_field("reason", error))?;
    let code = TenantCode::new(&wanted.tenant)
        .map_err(|error| Problem::invalid_field("tenant", error.to_string()))?;
    let tenant = tenancy
        .tenant(&code)
        .await?
        .ok_or_else(Problem::tenant_not_found)?;
    let mut db = tenancy.db(&tenant).await?;
    let user = match Users::on(&mut db).by_email(&wanted.email).await {
        Err(DbError::NotFound) => {
            return Err(Problem::invalid_field("email", "is nobody's in that shop"));
        }
        found => found?,
    };
    let link = tenancy
        .operators()
        .impersonate(&operator, &tenant, &user, &reason, address.0)
        .await?;
    let url = site.url(&tenant, &format!("/impersonate?link={}", link.secret));
    let shown = StandInLink {
        url,
        expires_at: link.expires_at,
        until: link.until,
    };
    Ok((StatusCode::CREATED, Json(shown)))
}

#[derive(Deserialize)]
pub(crate) struct Wanted {
    limit: Option<u32>,
    cursor: Option<Uuid>,
}

#[derive(Serialize)]
pub(crate) struct Entry {
    id: Uuid,
    at: DateTime<Utc>,
    action: String,
    operator: String,
    tenant: String,
    subject: String,
    detail: String,
    address: String,
}

impl From<OperatorEntry> for Entry {
    fn from(entry: OperatorEntry) -> Self {
        Self {
            id: entry.id,
            at: entry.at,
            action: entry.action,
            operator: entry.operator,
            tenant: entry.tenant,
            subject: entry.subject,
            detail: entry.detail,
            address: entry.address,
        }
    }
}

#[derive(Serialize)]
pub(crate) struct Page {
    items: Vec<Entry>,
    next: Option<Uuid>,
}

pub(crate) async fn audit(
    _: CurrentOperator,
    tenancy: Tenancy,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Page>> {
    let limit = resources::limit(wanted.limit)?;
    let mut entries = tenancy
        .operators()
        .audit(wanted.cursor, i64::from(limit) + 1)
        .await?;
    let more = entries.len() > limit as usize;
    entries.truncate(limit as usize);
    Ok(Json(Page {
        next: entries.last().filter(|_| more).map(|entry| entry.id),
        items: entries.into_iter().map(Entry::from).collect(),
    }))
}
