//! The people of a shop: made, changed and removed. They are listed and shown as any resource is.

use crate::{
    access::{ADMIN, CreatePerson, DeletePerson, OWNER, STAFF, UpdatePerson, acting},
    mails,
    models::staff::{Person, lock_owners, require_an_owner},
    pages::storefront::FirstNames,
    plans::{self, Counted},
    validate::{self, Errors},
};
use axum::{
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde::Deserialize;
use tenantry::{
    Tenancy, Tenant,
    db::TenantDb,
    policy::Permissions,
    routing::{Action, Can, ClientAddress, CurrentUser, Json, Problem, Result, Site},
    scoped::cache::TenantCache,
    users::{Audit, Event, NewUser, User, UserChange, Users},
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

pub(crate) async fn create(
    can: Can<CreatePerson>,
    State(site): State<Site>,
    current: CurrentUser,
    tenancy: Tenancy,
    tenant: Tenant,
    address: ClientAddress,
    Json(new): Json<NewPerson>,
) -> Result<Response> {
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
    may_appoint(&can.permissions, &role)?;
    let new = NewUser {
        email,
        password,
        first_name,
        last_name,
        role,
    };
    let hash = tenancy.passwords().of(&tenant).hash(&new.password).await?;
    let mut tx = can.db.begin();
    let user = Users::on(&mut tx).create_hashed(new, hash).await?;
    plans::require::<Problem>(&mut tx, can.permissions.plan(), Counted::Users).await?;
    let event = acting(Event::new("user-created", &current.user), &current);
    let event = event.about_user(&user).detail(&user.role);
    Audit::on(&mut tx).record(event.from(address.0)).await?;
    tx.commit().await?;
    mails::welcome(&tenancy, &tenant, &site, &user);
    let location = [(header::LOCATION, format!("/api/users/{}", user.id))];
    Ok((StatusCode::CREATED, location, Json(Person::from(user))).into_response())
}

pub(crate) async fn update(
    can: Can<UpdatePerson>,
    current: CurrentUser,
    (tenancy, tenant): (Tenancy, Tenant),
    mut db: TenantDb,
    address: ClientAddress,
    cache: TenantCache,
    Json(change): Json<PersonChange>,
) -> Result<Json<Person>> {
    let id = can.node.object.id;
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
    let fields = sent(&change);
    can.permissions
        .require_on(UpdatePerson::NAME, &can.node, &fields)?;
    if id == current.user.id {
        not_ones_own(&user, &change)?;
    }
    if let Some(role) = &change.role {
        may_appoint(&can.permissions, role)?;
    }
    let hash = match &change.password {
        Some(password) => Some(tenancy.passwords().of(&tenant).hash(password).await?),
        None => None,
    };
    let detail = changes(&user, &change);
    let mut tx = db.begin();
    lock_owners(&mut tx).await?;
    // they may have been made an owner meanwhile
    can.again(&mut tx, &fields).await?;
    let user = Users::on(&mut tx).change_hashed(id, change, hash).await?;
    require_an_owner(&mut tx).await?;
    let event = acting(Event::new("user-changed", &current.user), &current);
    let event = event.about_user(&user).detail(detail).from(address.0);
    Audit::on(&mut tx).record(event).await?;
    tx.commit().await?;
    // under its old name somebody is shown for a minute at most, where nobody is told
    if cache.remove(&FirstNames).await.is_err() {
        tracing::warn!("the first names are old until they expire");
    }
    Ok(Json(user.into()))
}

/// The fields that are to be changed.
fn sent(change: &UserChange) -> Vec<&'static str> {
    [
        ("email", change.email.is_some()),
        ("password", change.password.is_some()),
        ("first_name", change.first_name.is_some()),
        ("last_name", change.last_name.is_some()),
        ("role", change.role.is_some()),
        ("active", change.active.is_some()),
    ]
    .into_iter()
    .filter_map(|(field, is_sent)| is_sent.then_some(field))
    .collect()
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
    can: Can<DeletePerson>,
    current: CurrentUser,
    db: TenantDb,
    address: ClientAddress,
) -> Result<StatusCode> {
    let id = can.node.object.id;
    let mut tx = db.begin();
    lock_owners(&mut tx).await?;
    can.again(&mut tx, &[]).await?;
    let user = Users::on(&mut tx).get(id).await?;
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

/// Whether whoever asks may give somebody that role.
pub(crate) fn may_appoint(permissions: &Permissions, role: &str) -> Result<()> {
    if role == OWNER {
        permissions.require("appointOwner", &[])?;
    }
    Ok(())
}
