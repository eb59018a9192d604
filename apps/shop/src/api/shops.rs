//! Opening a shop, on the central host.

use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::{Deserialize, Serialize};
use tenantry::{
    Tenancy, Tenant,
    lifecycle::{LifecycleError, NewTenant},
    routing::{Json, Problem, Result, Site},
    tenant::TenantCode,
    users::{NewUser, User, Users},
};
use uuid::Uuid;

use crate::{
    access::OWNER,
    mails,
    models::staff::Person,
    validate::{self, Errors},
};

#[derive(Deserialize)]
pub(crate) struct NewShop {
    pub(crate) code: String,
    pub(crate) name: String,
    pub(crate) owner: NewOwner,
}

#[derive(Deserialize)]
pub(crate) struct NewOwner {
    pub(crate) email: String,
    pub(crate) password: String,
    pub(crate) first_name: String,
    #[serde(default)]
    pub(crate) last_name: String,
}

#[derive(Serialize)]
struct CreatedShop {
    id: Uuid,
    code: String,
    name: String,
    url: String,
    owner: Person,
}

pub(crate) async fn create(
    tenancy: Tenancy,
    State(site): State<Site>,
    Json(new): Json<NewShop>,
) -> Result<Response> {
    let (tenant, owner) = open_shop(&tenancy, &site, new).await?;
    let url = site.tenant_url(&tenant);
    let created = CreatedShop {
        id: *tenant.id().as_uuid(),
        code: tenant.code().to_string(),
        name: tenant.name().into(),
        url: url.clone(),
        owner: owner.into(),
    };
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, url)],
        Json(created),
    )
        .into_response())
}

/// Makes the shop with its owner, or nothing.
pub(crate) async fn open_shop(
    tenancy: &Tenancy,
    site: &Site,
    new: NewShop,
) -> Result<(Tenant, User)> {
    let (code, name, owner) = validated(new)?;
    // before anything is made: hashing takes long, and whoever floods it should leave no trace
    if tenancy.tenant(&code).await?.is_some() {
        return Err(LifecycleError::CodeTaken.into());
    }
    let hash = tenancy.passwords().hash(&owner.password).await?;
    let (tenant, owner) = tenancy
        .create_with(NewTenant::new(code, name), |mut db| async move {
            Ok(Users::on(&mut db).create_hashed(owner, hash).await?)
        })
        .await
        .map_err(Problem::from)?;
    mails::welcome(tenancy, &tenant, site, &owner);
    Ok((tenant, owner))
}

fn validated(new: NewShop) -> Result<(TenantCode, String, NewUser)> {
    let mut errors = Errors::default();
    let code = errors.check("code", TenantCode::new(&new.code));
    let name = errors.check("name", validate::text(&new.name, 200));
    let email = errors.check("owner.email", validate::email(&new.owner.email));
    let password = errors.check(
        "owner.password",
        validate::new_password(
            &new.owner.password,
            &[&new.owner.email, &new.owner.first_name],
        ),
    );
    let first_name = errors.check(
        "owner.first_name",
        validate::text(&new.owner.first_name, 100),
    );
    let last_name = validate::optional_text(&new.owner.last_name, 100);
    let last_name = errors.check("owner.last_name", last_name);
    match (code, name, email, password, first_name, last_name) {
        (
            Some(code),
            Some(name),
            Some(email),
            Some(password),
            Some(first_name),
            Some(last_name),
        ) => {
            let owner = NewUser {
                email,
                password,
                first_name,
                last_name,
                role: OWNER.into(),
            };
            Ok((code, name, owner))
        }
        _ => Err(errors.into()),
    }
}
