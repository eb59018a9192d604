//! One's own account: password, address, second factor.
//!
//! Whatever needs no credential answers the same whoever asks for whom.

use axum::{extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};
use tenantry::{
    Tenancy, Tenant,
    db::TenantDb,
    routing::{ClientAddress, CurrentUser, Json, Problem, Result, Site},
    users::{Actor, Attempt, Audit, By, Event, Links, Purpose, SecondFactors, UserChange, Users},
};

use crate::{
    access::{acting, by, in_person},
    mails,
    models::staff::Person,
    validate,
};

#[derive(Deserialize)]
pub(crate) struct NewPassword {
    current: String,
    new: String,
    code: Option<String>,
}

/// Who changes a password says the old one: a session that was left open is not enough.
async fn confirm(
    tenancy: &Tenancy,
    tenant: &Tenant,
    current: &CurrentUser,
    password: &str,
    code: Option<&str>,
    address: ClientAddress,
) -> Result<()> {
    in_person(current)?;
    let attempt = Attempt {
        email: &current.user.email,
        password,
        code,
        address: address.0,
    };
    tenancy.confirm(tenant, &current.user, attempt).await?;
    Ok(())
}

pub(crate) async fn change_password(
    current: CurrentUser,
    tenancy: Tenancy,
    tenant: Tenant,
    db: TenantDb,
    address: ClientAddress,
    Json(change): Json<NewPassword>,
) -> Result<StatusCode> {
    let known = validate::known(&current.user);
    let new = validate::new_password(&change.new, &known)
        .map_err(|error| Problem::invalid_field("new", error))?;
    let code = change.code.as_deref();
    confirm(&tenancy, &tenant, &current, &change.current, code, address).await?;
    let hash = tenancy.passwords().of(&tenant).hash(&new).await?;
    let mut tx = db.begin();
    let user = Users::on(&mut tx)
        .change_hashed(current.user.id, UserChange::default(), Some(hash))
        .await?;
    let event = acting(Event::new("password-changed", &user), &current);
    Audit::on(&mut tx).record(event.from(address.0)).await?;
    tx.commit().await?;
    let what = "Your password was changed, and you were signed out everywhere.";
    mails::notice(&tenancy, &tenant, &user, &user.email, what);
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
pub(crate) struct Address {
    email: String,
}

pub(crate) async fn forgot_password(
    tenancy: Tenancy,
    tenant: Tenant,
    db: TenantDb,
    address: ClientAddress,
    State(site): State<Site>,
    Json(Address { email }): Json<Address>,
) -> Result<StatusCode> {
    ask_for_password(&tenancy, &tenant, &db, &site, address, &email).await?;
    Ok(StatusCode::ACCEPTED)
}

/// Mails a link for a new password, if there is anybody of that address. Nothing tells which.
pub(crate) async fn ask_for_password(
    tenancy: &Tenancy,
    tenant: &Tenant,
    db: &TenantDb,
    site: &Site,
    address: ClientAddress,
    email: &str,
) -> Result<()> {
    let email = validate::email(email).map_err(|error| Problem::invalid_field("email", error))?;
    tenancy
        .may_mail(tenant, &email, address.0)
        .map_err(Problem::too_many_requests)?;
    if let Some(link) = Links::on(db).reset_password(&email).await? {
        mails::link(tenancy, tenant, site, Purpose::ResetPassword, link);
    }
    Ok(())
}

#[derive(Deserialize)]
pub(crate) struct Reset {
    link: String,
    password: String,
}

pub(crate) async fn reset_password(
    tenancy: Tenancy,
    tenant: Tenant,
    db: TenantDb,
    address: ClientAddress,
    Json(reset): Json<Reset>,
) -> Result<StatusCode> {
    set_password(&tenancy, &tenant, db, address, &reset.link, &reset.password).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whoever uses a link, of whom nothing else is known.
pub(super) fn stranger(address: ClientAddress) -> By {
    By::new(Actor::Stranger(String::new())).from(address.0)
}

/// Sets the password that a link was mailed for.
pub(crate) async fn set_password(
    tenancy: &Tenancy,
    tenant: &Tenant,
    db: TenantDb,
    address: ClientAddress,
    link: &str,
    password: &str,
) -> Result<()> {
    let email = Links::on(&db).look_at(Purpose::ResetPassword, link).await?;
    let password = validate::new_password(password, &[&email])
        .map_err(|error| Problem::invalid_field("password", error))?;
    let user = Links::on(&db)
        .by(stranger(address))
        .set_password(&tenancy.passwords().of(tenant), link, &password)
        .await?;
    let what = "A new password was set, and you were signed out everywhere.";
    mails::notice(tenancy, tenant, &user, &user.email, what);
    Ok(())
}

#[derive(Deserialize)]
pub(crate) struct NewAddress {
    email: String,
    password: String,
    code: Option<String>,
}

pub(crate) async fn change_email(
    current: CurrentUser,
    tenancy: Tenancy,
    tenant: Tenant,
    db: TenantDb,
    address: ClientAddress,
    State(site): State<Site>,
    Json(change): Json<NewAddress>,
) -> Result<StatusCode> {
    let email =
        validate::email(&change.email).map_err(|error| Problem::invalid_field("email", error))?;
    let code = change.code.as_deref();
    confirm(&tenancy, &tenant, &current, &change.password, code, address).await?;
    tenancy
        .may_mail(&tenant, &email, address.0)
        .map_err(Problem::too_many_requests)?;
    let link = Links::on(&db).change_email(current.user.id, &email).await?;
    mails::link(&tenancy, &tenant, &site, Purpose::ChangeEmail, link);
    Ok(StatusCode::ACCEPTED)
}

pub(crate) async fn verify_email(
    current: CurrentUser,
    tenancy: Tenancy,
    tenant: Tenant,
    db: TenantDb,
    address: ClientAddress,
    State(site): State<Site>,
) -> Result<StatusCode> {
    tenancy
        .may_mail(&tenant, &current.user.email, address.0)
        .map_err(Problem::too_many_requests)?;
    let link = Links::on(&db).verify_email(current.user.id).await?;
    mails::link(&tenancy, &tenant, &site, Purpose::VerifyEmail, link);
    Ok(StatusCode::ACCEPTED)
}

#[derive(Deserialize)]
pub(crate) struct Link {
    link: String,
}

pub(crate) async fn confirm_email(
    tenancy: Tenancy,
    tenant: Tenant,
    db: TenantDb,
    address: ClientAddress,
    Json(Link { link }): Json<Link>,
) -> Result<Json<Person>> {
    let user = use_email_link(&tenancy, &tenant, db, address, &link).await?;
    Ok(Json(user.into()))
}

pub(crate) async fn use_email_link(
    tenancy: &Tenancy,
    tenant: &Tenant,
    db: TenantDb,
    address: ClientAddress,
    link: &str,
) -> Result<tenantry::users::User> {
    let links = Links::on(&db).by(stranger(address));
    let (before, user) = links.confirm_email(link).await?;
    if before != user.email {
        let what = format!("Your address was changed to {}.", user.email);
        mails::notice(tenancy, tenant, &user, &before, &what);
    }
    Ok(user)
}

#[derive(Serialize)]
pub(crate) struct NewFactor {
    secret: String,
    uri: String,
}

#[derive(Deserialize)]
pub(crate) struct Code {
    code: String,
}

#[derive(Serialize)]
pub(crate) struct RecoveryCodes {
    recovery_codes: Vec<String>,
}

pub(crate) async fn begin_totp(
    current: CurrentUser,
    tenant: Tenant,
    db: TenantDb,
) -> Result<Json<NewFactor>> {
    in_person(&current)?;
    let factor = SecondFactors::on(&db)
        .begin(&current.user, tenant.name())
        .await?
        .ok_or_else(|| {
            Problem::new(
                StatusCode::CONFLICT,
                "second-factor-on",
                "There is a second factor already. Take it away first.",
            )
        })?;
    Ok(Json(NewFactor {
        secret: factor.secret,
        uri: factor.uri,
    }))
}

pub(crate) async fn confirm_totp(
    current: CurrentUser,
    db: TenantDb,
    address: ClientAddress,
    Json(Code { code }): Json<Code>,
) -> Result<Json<RecoveryCodes>> {
    in_person(&current)?;
    let recovery_codes = SecondFactors::on(&db)
        .by(by(&current, address))
        .confirm(current.user.id, &code)
        .await?
        .ok_or_else(|| Problem::invalid_field("code", "is not the one of now"))?;
    Ok(Json(RecoveryCodes { recovery_codes }))
}

#[derive(Deserialize)]
pub(crate) struct Proof {
    password: String,
    code: String,
}

pub(crate) async fn remove_totp(
    current: CurrentUser,
    tenancy: Tenancy,
    tenant: Tenant,
    db: TenantDb,
    address: ClientAddress,
    Json(proof): Json<Proof>,
) -> Result<StatusCode> {
    let code = Some(proof.code.as_str());
    confirm(&tenancy, &tenant, &current, &proof.password, code, address).await?;
    SecondFactors::on(&db)
        .by(by(&current, address))
        .remove(current.user.id)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
