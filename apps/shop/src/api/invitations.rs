//! Asking people to join the shop.

use axum::{extract::State, http::StatusCode};
use chrono::{DateTime, Utc};
use futures_util::FutureExt;
use serde::{Deserialize, Serialize};
use tenantry::{
    Tenancy, Tenant,
    db::TenantDb,
    routing::{Can, ClientAddress, CurrentUser, Json, Path, Problem, Result, Site},
    tenant::Plan,
    users::{Invitation, Links, NewPerson, Passwords, Purpose, User},
};
use uuid::Uuid;

use super::{
    account::stranger,
    auth::Items,
    users::{known_role, may_appoint},
};
use crate::{
    access::{Invite, ManageKeys, STAFF, by},
    mails,
    models::staff::Person,
    plans::{self, Counted},
    validate::{self, Errors},
};

#[derive(Serialize)]
pub(crate) struct Invited {
    id: Uuid,
    email: String,
    role: String,
    created_at: DateTime<Utc>,
    expires_at: DateTime<Utc>,
}

impl From<Invitation> for Invited {
    fn from(invitation: Invitation) -> Self {
        Self {
            id: invitation.id,
            email: invitation.email,
            role: invitation.role,
            created_at: invitation.created_at,
            expires_at: invitation.expires_at,
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct Wanted {
    email: String,
    role: Option<String>,
}

#[derive(Serialize)]
pub(crate) struct Sent {
    id: Uuid,
    email: String,
    role: String,
    expires_at: DateTime<Utc>,
}

pub(crate) async fn list(_: Can<ManageKeys>, db: TenantDb) -> Result<Json<Items<Invited>>> {
    let invitations = Links::on(&db).invitations().await?;
    let items = invitations.into_iter().map(Invited::from).collect();
    Ok(Json(Items { items }))
}

pub(crate) async fn create(
    can: Can<Invite>,
    current: CurrentUser,
    tenancy: Tenancy,
    tenant: Tenant,
    address: ClientAddress,
    State(site): State<Site>,
    Json(wanted): Json<Wanted>,
) -> Result<(StatusCode, Json<Sent>)> {
    let mut errors = Errors::default();
    let email = errors.check("email", validate::email(&wanted.email));
    let role = wanted.role.unwrap_or_else(|| STAFF.into());
    let role = errors.check("role", known_role(&role));
    let (Some(email), Some(role)) = (email, role) else {
        return Err(errors.into());
    };
    may_appoint(&can.permissions, &role)?;
    let links = Links::on(&can.db).by(by(&current, address));
    let link = links.invite(&email, &role, Some(current.user.id)).await?;
    let sent = Sent {
        id: link.id,
        email: link.email.clone(),
        role,
        expires_at: link.expires_at,
    };
    mails::link(&tenancy, &tenant, &site, Purpose::Invitation, link);
    Ok((StatusCode::CREATED, Json(sent)))
}

pub(crate) async fn withdraw(
    _: Can<ManageKeys>,
    current: CurrentUser,
    db: TenantDb,
    address: ClientAddress,
    Path(id): Path<Uuid>,
) -> Result<StatusCode> {
    let links = Links::on(&db).by(by(&current, address));
    links.withdraw(id).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize)]
pub(crate) struct Acceptance {
    pub(crate) link: String,
    pub(crate) password: String,
    pub(crate) first_name: String,
    #[serde(default)]
    pub(crate) last_name: String,
}

pub(crate) async fn accept(
    State(site): State<Site>,
    tenancy: Tenancy,
    tenant: Tenant,
    plan: Plan,
    db: TenantDb,
    address: ClientAddress,
    Json(acceptance): Json<Acceptance>,
) -> Result<(StatusCode, Json<Person>)> {
    let user = join(
        &tenancy.passwords().of(&tenant),
        &plan,
        db,
        address,
        acceptance,
    )
    .await?;
    mails::welcome(&tenancy, &tenant, &site, &user);
    Ok((StatusCode::CREATED, Json(user.into())))
}

/// Makes the account that somebody was invited to have.
pub(crate) async fn join(
    passwords: &Passwords,
    plan: &Plan,
    db: TenantDb,
    address: ClientAddress,
    acceptance: Acceptance,
) -> Result<User> {
    let link = &acceptance.link;
    let email = Links::on(&db).look_at(Purpose::Invitation, link).await?;
    let mut errors = Errors::default();
    let known = [email.as_str(), &acceptance.first_name];
    let password = errors.check(
        "password",
        validate::new_password(&acceptance.password, &known),
    );
    let first_name = errors.check("first_name", validate::text(&acceptance.first_name, 100));
    let last_name = validate::optional_text(&acceptance.last_name, 100);
    let last_name = errors.check("last_name", last_name);
    let (Some(password), Some(first_name), Some(last_name)) = (password, first_name, last_name)
    else {
        return Err(errors.into());
    };
    let person = NewPerson {
        password,
        first_name,
        last_name,
    };
    let links = Links::on(&db).by(stranger(address));
    let plan = plan.clone();
    links
        .accept_if(passwords, link, person, |tx| {
            async move { plans::require::<Problem>(tx, &plan, Counted::Users).await }.boxed()
        })
        .await
}
