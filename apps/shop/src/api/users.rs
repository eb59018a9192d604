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
    routing::{ClientAddress, Json, Path, Problem, Query, Result},
    users::{Audit, Event, NewUser, User, UserChange, Users},
};
use uuid::Uuid;

use crate::{
    access::{ADMIN, Colleague, Managing, OWNER, STAFF, acting, in_person},
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
    _: Colleague,
    tenant: Tenant,
    db: TenantDb,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Page<Person>>> {
    listing::page(&tenant, &db, &wanted).await.map(Json)
}

pub(crate) async fn show(
    _: Colleague,
    mut db: TenantDb,
    Path(id): Path<Uuid>,
) -> Result<Json<Person>> {
    let user = Users::on(&mut db).get(id).await?;
    Ok(Json(user.into()))
}

pub(crate) async fn create(
    Managing(current): Managing,
    tenancy: Tenancy,
    db: TenantDb,
    address: ClientAddress,
    Json(new): Json<NewPerson>,
) -> Result<Response> {
    in_person(&current)?;
    let role = new.role.unwrap_or_else(|| STAFF.into());
    let mut errors = Errors::default();
    let email = errors.check("email", validate::email(&new.email));
    let known = [new.email.as_str(), &new.first_name];
    let password = errors.check("password", validate::new_password(&new.password, &known));
    let first_name = errors.check("first_name", validate::text(&new.first_name, 100));
    let last_name = errors.check("last_name", validate::optional_text(&new.last_name, 100));
    let role = errors.check("role", known_role(&role));
    let (Some(email), Some(password), Some(first_name), Some(last_name), Some(role)) =
        (email, password, first_name, last_name, role)
    else {
        return Err(errors.into());
    };
    may_touch(&current.user, &role)?;
    let new = NewUser {
        email,
        password,
        first_name,
        last_name,
        role,
    };
    let hash = tenancy.passwords().hash(&new.password).await?;
    let mut tx = db.begin();
    let user = Users::on(&mut tx).create_hashed(new, hash).await?;
    let event = acting(Event::new("user-created", &current.user), &current);
    let event = event.about_user(&user).detail(&user.role);
    Audit::on(&mut tx).record(event.from(address.0)).await?;
    tx.commit().await?;
    let location = [(header::LOCATION, format!("/api/users/{}", user.id))];
    Ok((StatusCode::CREATED, location, Json(Person::from(user))).into_response())
}

pub(crate) async fn update(
    Managing(current): Managing,
    tenancy: Tenancy,
    mut db: TenantDb,
    address: ClientAddress,
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
        password: check("password", change.password, |password| {
            validate::new_password(password, &[])
        }),
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
    may_touch(&current.user, &user.role)?;
    if change.password.is_some()
        || change.email.is_some()
        || change.role.is_some()
        || change.active.is_some()
    {
        in_person(&current)?;
    }
    if id == current.user.id {
        not_ones_own(&user, &change)?;
    }
    if let Some(role) = &change.role {
        may_touch(&current.user, role)?;
    }
    let hash = match &change.password {
        Some(password) => Some(tenancy.passwords().hash(password).await?),
        None => None,
    };
    let detail = changes(&user, &change);
    let mut tx = db.begin();
    lock_owners(&mut tx).await?;
    // they may have been made an owner meanwhile
    may_touch(&current.user, &Users::on(&mut tx).get(id).await?.role)?;
    let user = Users::on(&mut tx).change_hashed(id, change, hash).await?;
    require_an_owner(&mut tx).await?;
    let event = acting(Event::new("user-changed", &current.user), &current);
    let event = event.about_user(&user).detail(detail).from(address.0);
    Audit::on(&mut tx).record(event).await?;
    tx.commit().await?;
    Ok(Json(user.into()))
}

/// A session that was left open is not enough to take an account over: one's own address and
/// password are changed where the old password is asked for.
fn not_ones_own(user: &User, change: &UserChange) -> Result<()> {
    let mut errors = Errors::default();
    let other_email = |email: &String| email.to_lowercase() != user.email;
    if change.email.as_ref().is_some_and(other_email) {
        errors.add(
            "email",
            "is your own: POST /api/auth/email changes it, with your password",
        );
    }
    if change.password.is_some() {
        errors.add(
            "password",
            "is your own: POST /api/auth/password changes it, with the old one",
        );
    }
    errors.finish()
}

/// What is changed, in words: a password by no more than that.
fn changes(before: &User, change: &UserChange) -> String {
    let mut said = Vec::new();
    let mut differs = |what: &str, old: &str, new: &Option<String>| {
        if let Some(new) = new.as_ref().filter(|new| *new != old) {
            said.push(format!("{what}: {old} -> {new}"));
        }
    };
    differs("role", &before.role, &change.role);
    differs("email", &before.email, &change.email);
    differs("first name", &before.first_name, &change.first_name);
    differs("last name", &before.last_name, &change.last_name);
    let active = change.active.map(|active| active.to_string());
    differs("active", &before.active.to_string(), &active);
    if change.password.is_some() {
        said.push("password".into());
    }
    said.join(", ")
}

pub(crate) async fn delete(
    Managing(current): Managing,
    mut db: TenantDb,
    address: ClientAddress,
    Path(id): Path<Uuid>,
) -> Result<StatusCode> {
    let user = Users::on(&mut db).get(id).await?;
    may_touch(&current.user, &user.role)?;
    let mut tx = db.begin();
    lock_owners(&mut tx).await?;
    may_touch(&current.user, &Users::on(&mut tx).get(id).await?.role)?;
    Users::on(&mut tx).delete(id).await?;
    require_an_owner(&mut tx).await?;
    let event = acting(Event::new("user-deleted", &current.user), &current);
    let event = event.about_user(&user).from(address.0);
    Audit::on(&mut tx).record(event).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) fn known_role(role: &str) -> Result<String, String> {
    if [OWNER, ADMIN, STAFF].contains(&role) {
        Ok(role.into())
    } else {
        Err("must be owner, admin or staff".into())
    }
}

/// Whether `by` may make or change somebody with that role.
pub(crate) fn may_touch(by: &User, role: &str) -> Result<()> {
    if role == OWNER && by.role != OWNER {
        return Err(Problem::forbidden());
    }
    Ok(())
}
