//! The company that a request is for.

use chrono::{DateTime, Utc};
use serde::Serialize;
use tenantry::{
    Tenant,
    policy::Principal,
    routing::{Can, Json},
};
use uuid::Uuid;

use crate::actions::ReadCompany;

#[derive(Serialize)]
pub(crate) struct Company {
    id: Uuid,
    code: String,
    name: String,
    plan: String,
    created_at: DateTime<Utc>,
    /// What whoever asks is in it.
    role: String,
}

pub(crate) async fn show(can: Can<ReadCompany>, tenant: Tenant) -> Json<Company> {
    let role = match can.permissions.principal() {
        Principal::User { roles, .. } => roles.join(", "),
        _ => String::new(),
    };
    Json(Company {
        id: *tenant.id().as_uuid(),
        code: tenant.code().to_string(),
        name: tenant.name().into(),
        plan: tenant.plan().into(),
        created_at: tenant.created_at(),
        role,
    })
}
