//! The companies that somebody is a member of, and new ones.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use garde::Validate;
use serde::{Deserialize, Serialize};
use tenantry::{
    Tenancy, Tenant,
    accounts::OWNER,
    lifecycle::NewTenant,
    routing::{CurrentAccount, Json, Problem, Result, Site},
    tenant::{TenantCode, TenantStatus},
};
use uuid::Uuid;

use crate::validate::{self, Valid};

/// A company, as one of its members sees it among others.
#[derive(Debug, Serialize)]
pub(crate) struct CompanyView {
    pub(crate) id: Uuid,
    pub(crate) code: String,
    pub(crate) name: String,
    pub(crate) status: TenantStatus,
    pub(crate) url: String,
    pub(crate) role: String,
}

impl CompanyView {
    fn new(tenant: &Tenant, site: &Site, role: String) -> Self {
        Self {
            id: *tenant.id().as_uuid(),
            code: tenant.code().to_string(),
            name: tenant.name().into(),
            status: tenant.status(),
            url: site.tenant_url(tenant),
            role,
        }
    }
}

#[derive(Serialize)]
pub(crate) struct Companies {
    items: Vec<CompanyView>,
    next: Option<String>,
}

#[derive(Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewCompany {
    #[garde(skip)]
    pub(crate) code: String,
    #[garde(custom(validate::line))]
    pub(crate) name: String,
}

/// Those of one account, by code.
pub(crate) async fn of(
    tenancy: &Tenancy,
    site: &Site,
    account_id: Uuid,
) -> Result<Vec<CompanyView>> {
    let tenants = tenancy.accounts().tenants_of(account_id).await?;
    let view = |(tenant, role): (Tenant, String)| CompanyView::new(&tenant, site, role);
    Ok(tenants.into_iter().map(view).collect())
}

/// Makes a company, owned by the account.
pub(crate) async fn found(tenancy: &Tenancy, new: NewCompany, account_id: Uuid) -> Result<Tenant> {
    validate::check(&new)?;
    let code = TenantCode::new(&new.code);
    let code = code.map_err(|error| Problem::invalid_field("code", error.to_string()))?;
    let new = NewTenant::new(code, new.name.trim()).owner(account_id);
    Ok(tenancy.create(new).await?)
}

pub(crate) async fn list(
    tenancy: Tenancy,
    State(site): State<Site>,
    CurrentAccount(account): CurrentAccount,
) -> Result<Json<Companies>> {
    let items = of(&tenancy, &site, account.id).await?;
    Ok(Json(Companies { items, next: None }))
}

pub(crate) async fn create(
    tenancy: Tenancy,
    State(site): State<Site>,
    CurrentAccount(account): CurrentAccount,
    Valid(new): Valid<NewCompany>,
) -> Result<Response> {
    let tenant = found(&tenancy, new, account.id).await?;
    let at = site.path(&tenant, "/api");
    let view = CompanyView::new(&tenant, &site, OWNER.into());
    Ok((StatusCode::CREATED, [(header::LOCATION, at)], Json(view)).into_response())
}
