//! The people of a shop. Any of them may see them; owners and admins may change them, and only an
//! owner may make or unmake an owner.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use tenantry::{
    Tenancy, Tenant,
    db::TenantDb,
    routing::{CurrentUser, Json, Path, Problem, Query, Result},
    users::{NewUser, User, UserChange, Users},
};
use uuid::Uuid;

use crate::{
    access::{ADMIN, Manager, OWNER, STAFF},
    listing::{self, Page, Wanted},
    models::staff::{Person, lock_owners, require_an_owner},
    validate::{self, Errors},
};

#[derive(Deserialize)]
pub(crate) struct NewPerson {
    email: String,
    password: String,
    first_name: String,
    #[serde(default)]
    last_name: String,
    role: Option<String>,
}

#[derive(Deserialize)]
pub(crate) struct PersonChange {
    email: Option<String>,
    password: Option<String>,
    first_name: Option<String>,
    last_name: Option<String>,
    role: Option<String>,
    active: Option<bool>,
}

pub(crate) async fn list(
    _: CurrentUser,
    tenant: Tenant,
    db: TenantDb,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Page<Person>>> {
    listing::page(&tenant, &db, &wanted).await.map(Json)
}

pub(crate) async fn show(
    _: CurrentUser,
    mut db: TenantDb,
    Path(id): Path<Uuid>,
) -> Result<Json<Person>> {
    let user = Users::on(&mut db).get(id).await?;
    Ok(Json(user.into()))
}

pub(crate) async fn create(
    Manager(by): Manager,
    tenancy: Tenancy,
    mut db: TenantDb,
    Json(new): Json<NewPerson>,
) -> Result<Response> {
    let role = new.role.unwrap_or_else(|| STAFF.into());
    let mut errors = Errors::default();
    let email = errors.check("email", validate::email(&new.email));
    let password = errors.check("password", validate::password(&new.password));
    let first_name = errors.check("first_name", validate::text(&new.first_name, 100));
    let last_name = errors.check("last_name", validate::optional_text(&new.last_name, 100));
    let role = errors.check("role", known_role(&role));
    let (Some(email), Some(password), Some(first_name), Some(last_name), Some(role)) =
        (email, password, first_name, last_name, role)
    else {
        return Err(errors.into());
    };
    may_touch(&by, &role)?;
    let new = NewUser {
        email,
        password,
        first_name,
        last_name,
        role,
    };
    let user = Users::on(&mut db).create(tenancy.passwords(), new).await?;
    let location = [(header::LOCATION, format!("/api/users/{}", user.id))];
    Ok((StatusCode::CREATED, location, Json(Person::from(user))).into_response())
}

pub(crate) async fn update(
    Manager(by): Manager,
    tenancy: Tenancy,
    mut db: TenantDb,
    Path(id): Path<Uuid>,
    Json(change): Json<PersonChange>,
) -> Result<Json<Person>> {
    let user = Users::on(&mut db).get(id).await?;
    let mut errors = Errors::default();
    let mut check =
        |field: &str, value: Option<String>, rule: fn(&str) -> Result<String, String>| {
            value.and_then(|value| errors.check(field, rule(&value)))
        };
    let change = UserChange {
        email: check("email", change.email, validate::email),
        password: check("password", change.password, validate::password),
        first_name: check("first_name", change.first_name, |name| {
            validate::text(name, 100)
        }),
        last_name: check("last_name", change.last_name, |name| {
            validate::optional_text(name, 100)
        }),
        role: check("role", change.role, known_role),
        active: change.active,
    };
    errors.finish()?;
    may_touch(&by, &user.role)?;
    if let Some(role) = &change.role {
        may_touch(&by, role)?;
    }
    let mut tx = db.begin();
    lock_owners(&mut tx).await?;
    let user = Users::on(&mut tx)
        .change(tenancy.passwords(), id, change)
        .await?;
    require_an_owner(&mut tx).await?;
    tx.commit().await?;
    Ok(Json(user.into()))
}

pub(crate) async fn delete(
    Manager(by): Manager,
    mut db: TenantDb,
    Path(id): Path<Uuid>,
) -> Result<StatusCode> {
    let user = Users::on(&mut db).get(id).await?;
    may_touch(&by, &user.role)?;
    let mut tx = db.begin();
    lock_owners(&mut tx).await?;
    Users::on(&mut tx).delete(id).await?;
    require_an_owner(&mut tx).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

fn known_role(role: &str) -> Result<String, String> {
    if [OWNER, ADMIN, STAFF].contains(&role) {
        Ok(role.into())
    } else {
        Err("must be owner, admin or staff".into())
    }
}

/// Whether `by` may make or change somebody with that role.
fn may_touch(by: &User, role: &str) -> Result<()> {
    if role == OWNER && by.role != OWNER {
        return Err(Problem::forbidden());
    }
    Ok(())
}
