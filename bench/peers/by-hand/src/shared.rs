//! What all have that serve a database: settings, and tenants in memory.

use std::{collections::HashMap, error::Error, str::FromStr};

use axum::http::{HeaderMap, StatusCode};
use uuid::Uuid;

pub type Failure = Box<dyn Error + Send + Sync>;

/// What the environment says.
pub fn setting(name: &str) -> Result<String, Failure> {
    std::env::var(name).map_err(|error| format!("{name}: {error}").into())
}

pub fn number<T: FromStr<Err: Error>>(name: &str) -> Result<T, Failure> {
    let value = setting(name)?;
    value
        .parse()
        .map_err(|error| format!("{name}: {error}").into())
}

/// The tenants' ids by code. They are few and seldom change: they are in memory.
pub type Tenants = HashMap<String, Uuid>;

/// The code that the header names.
pub fn code(headers: &HeaderMap) -> Result<&str, StatusCode> {
    headers
        .get("tenant-code")
        .and_then(|code| code.to_str().ok())
        .ok_or(StatusCode::NOT_FOUND)
}

/// The tenant that the header names.
pub fn tenant(tenants: &Tenants, headers: &HeaderMap) -> Result<Uuid, StatusCode> {
    tenants
        .get(code(headers)?)
        .copied()
        .ok_or(StatusCode::NOT_FOUND)
}

/// For `map_err`.
pub fn failed<E>(_: E) -> StatusCode {
    StatusCode::INTERNAL_SERVER_ERROR
}
