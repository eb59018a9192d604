//! Somebody's own account: their password and second factor.

use axum::http::StatusCode;
use garde::Validate;
use serde::{Deserialize, Serialize};
use tenantry::{
    Tenancy,
    accounts::Account,
    routing::{ClientAddress, CurrentAccount, Json, Problem, Result},
    users::Attempt,
};

use crate::validate::{self, Valid};

/// What authenticators call the account's place.
const ISSUER: &str = "Books";

/// Before what a token should not be enough for.
async fn confirm(
    tenancy: &Tenancy,
    account: &Account,
    password: &str,
    code: Option<&str>,
    address: ClientAddress,
) -> Result<()> {
    let attempt = Attempt {
        email: "",
        password,
        code,
        address: address.0,
    };
    Ok(tenancy.accounts().confirm(account, attempt).await?)
}

#[derive(Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct PasswordChange {
    #[garde(skip)]
    current: String,
    #[garde(custom(validate::password))]
    new: String,
    /// Of the second factor, where there is one.
    #[garde(skip)]
    code: Option<String>,
}

/// Sets another password, which ends all that the account is signed in with.
pub(crate) async fn change_password(
    tenancy: Tenancy,
    CurrentAccount(account): CurrentAccount,
    address: ClientAddress,
    Valid(change): Valid<PasswordChange>,
) -> Result<StatusCode> {
    let code = change.code.as_deref();
    confirm(&tenancy, &account, &change.current, code, address).await?;
    let accounts = tenancy.accounts();
    accounts.set_password(account.id, &change.new).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Serialize)]
pub(crate) struct NewFactor {
    secret: String,
    uri: String,
}

/// A second factor, which counts when it is confirmed.
pub(crate) async fn begin_totp(
    tenancy: Tenancy,
    CurrentAccount(account): CurrentAccount,
) -> Result<Json<NewFactor>> {
    let accounts = tenancy.accounts();
    let factor = accounts.begin_second_factor(&account, ISSUER).await?;
    let factor = factor.ok_or_else(|| {
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

#[derive(Deserialize)]
pub(crate) struct Code {
    code: String,
}

#[derive(Serialize)]
pub(crate) struct RecoveryCodes {
    recovery_codes: Vec<String>,
}

pub(crate) async fn confirm_totp(
    tenancy: Tenancy,
    CurrentAccount(account): CurrentAccount,
    Json(Code { code }): Json<Code>,
) -> Result<Json<RecoveryCodes>> {
    let accounts = tenancy.accounts();
    let codes = accounts.confirm_second_factor(&account, &code).await?;
    let recovery_codes =
        codes.ok_or_else(|| Problem::invalid_field("code", "is not the one of now"))?;
    Ok(Json(RecoveryCodes { recovery_codes }))
}

#[derive(Deserialize)]
pub(crate) struct Proof {
    password: String,
    code: String,
}

pub(crate) async fn remove_totp(
    tenancy: Tenancy,
    CurrentAccount(account): CurrentAccount,
    address: ClientAddress,
    Json(proof): Json<Proof>,
) -> Result<StatusCode> {
    let code = Some(proof.code.as_str());
    confirm(&tenancy, &account, &proof.password, code, address).await?;
    tenancy.accounts().remove_second_factor(&account).await?;
    Ok(StatusCode::NO_CONTENT)
}
