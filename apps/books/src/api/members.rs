//! The members of a company: who they are, and who joins and leaves.

use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
};
use chrono::{DateTime, Utc};
use garde::Validate;
use serde::{Deserialize, Serialize};
use tenantry::{
    Tenancy, Tenant,
    accounts::{Account, Member, MemberError, MemberInvitation, OWNER},
    routing::{Can, CurrentAccount, CurrentMember, Json, Path, Problem, Result, Site},
    users,
};
use uuid::Uuid;

use crate::{
    actions::{ManageMembers, ReadMembers, TransferOwnership},
    mails,
    validate::{self, Valid},
};

/// What a member can be made; an owner is made by passing the company on.
pub(crate) const ROLES: [&str; 3] = ["viewer", "bookkeeper", "admin"];

fn known_role(role: &str, (): &()) -> garde::Result {
    // that of the owner is refused in words of its own
    if ROLES.contains(&role) || role == OWNER {
        return Ok(());
    }
    Err(garde::Error::new(format!(
        "must be one of {}",
        ROLES.join(", ")
    )))
}

#[derive(Serialize)]
struct MemberView {
    id: Uuid,
    email: String,
    first_name: String,
    last_name: String,
    role: String,
}

impl From<Member> for MemberView {
    fn from(member: Member) -> Self {
        Self {
            id: member.account.id,
            email: member.account.email,
            first_name: member.account.first_name,
            last_name: member.account.last_name,
            role: member.role,
        }
    }
}

#[derive(Serialize)]
struct InvitationView {
    id: Uuid,
    email: String,
    role: String,
    expires_at: DateTime<Utc>,
}

impl From<MemberInvitation> for InvitationView {
    fn from(invitation: MemberInvitation) -> Self {
        Self {
            id: invitation.id,
            email: invitation.email,
            role: invitation.role,
            expires_at: invitation.expires_at,
        }
    }
}

#[derive(Serialize)]
struct Items<T> {
    items: Vec<T>,
    next: Option<String>,
}

fn items<T, U: From<T> + Serialize>(list: Vec<T>) -> Response {
    let items: Vec<U> = list.into_iter().map(U::from).collect();
    Json(Items { items, next: None }).into_response()
}

pub(crate) async fn list(
    _: Can<ReadMembers>,
    tenancy: Tenancy,
    tenant: Tenant,
) -> Result<Response> {
    let members = tenancy.members(&tenant).list().await?;
    Ok(items::<_, MemberView>(members))
}

#[derive(Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct RoleChange {
    #[garde(custom(known_role))]
    pub(crate) role: String,
}

pub(crate) async fn update(
    _: Can<ManageMembers>,
    tenancy: Tenancy,
    tenant: Tenant,
    Path(id): Path<Uuid>,
    Valid(change): Valid<RoleChange>,
) -> Result<StatusCode> {
    tenancy.members(&tenant).set_role(id, &change.role).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(crate) async fn remove(
    _: Can<ManageMembers>,
    tenancy: Tenancy,
    tenant: Tenant,
    Path(id): Path<Uuid>,
) -> Result<StatusCode> {
    tenancy.members(&tenant).remove(id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whoever is a member, of their own accord, any more.
pub(crate) async fn leave(
    member: CurrentMember,
    tenancy: Tenancy,
    tenant: Tenant,
) -> Result<StatusCode> {
    tenancy.members(&tenant).remove(member.account.id).await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct Successor {
    /// The member who is to own the company.
    #[garde(skip)]
    pub(crate) to: Uuid,
}

/// Passes the company on; who had it is an admin from then on.
pub(crate) async fn transfer(
    can: Can<TransferOwnership>,
    tenancy: Tenancy,
    tenant: Tenant,
    Valid(successor): Valid<Successor>,
) -> Result<StatusCode> {
    let from = can.permissions.principal().id().unwrap_or_default();
    let members = tenancy.members(&tenant);
    members.transfer(from, successor.to, "admin").await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewInvitation {
    #[garde(custom(validate::email))]
    pub(crate) email: String,
    #[garde(custom(known_role))]
    pub(crate) role: String,
}

/// Mails an invitation to whoever has that address.
pub(crate) async fn ask_to_join(
    tenancy: &Tenancy,
    tenant: &Tenant,
    site: &Site,
    new: &NewInvitation,
    by: Uuid,
) -> Result<Uuid> {
    let members = tenancy.members(tenant);
    let link = members.invite(&new.email, &new.role, by).await?;
    let id = link.id;
    mails::invitation(tenancy, tenant, site, link);
    Ok(id)
}

pub(crate) async fn invite(
    can: Can<ManageMembers>,
    tenancy: Tenancy,
    tenant: Tenant,
    State(site): State<Site>,
    Valid(new): Valid<NewInvitation>,
) -> Result<Response> {
    let by = can.permissions.principal().id().unwrap_or_default();
    let id = ask_to_join(&tenancy, &tenant, &site, &new, by).await?;
    let open = tenancy.members(&tenant).invitations().await?;
    let made = open.into_iter().find(|invitation| invitation.id == id);
    let made = made.ok_or_else(Problem::unavailable)?;
    Ok((StatusCode::CREATED, Json(InvitationView::from(made))).into_response())
}

pub(crate) async fn invitations(
    _: Can<ManageMembers>,
    tenancy: Tenancy,
    tenant: Tenant,
) -> Result<Response> {
    let open = tenancy.members(&tenant).invitations().await?;
    Ok(items::<_, InvitationView>(open))
}

pub(crate) async fn withdraw(
    _: Can<ManageMembers>,
    tenancy: Tenancy,
    tenant: Tenant,
    Path(id): Path<Uuid>,
) -> Result<StatusCode> {
    tenancy.members(&tenant).withdraw(id).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Whoever accepts: with their account, or with what makes one.
#[derive(Deserialize, Validate)]
#[serde(deny_unknown_fields)]
pub(crate) struct Acceptance {
    #[garde(skip)]
    pub(crate) link: String,
    #[serde(default)]
    #[garde(inner(custom(validate::password)))]
    pub(crate) password: Option<String>,
    #[serde(default)]
    #[garde(inner(custom(validate::line)))]
    pub(crate) first_name: Option<String>,
    #[serde(default)]
    #[garde(inner(custom(validate::optional_line)))]
    pub(crate) last_name: Option<String>,
}

/// Makes whoever has the invitation a member. To everybody else there is no such company, as their
/// asking must not tell that there is.
pub(crate) async fn join(
    tenancy: &Tenancy,
    tenant: &Tenant,
    account: Option<Account>,
    acceptance: Acceptance,
) -> Result<Account> {
    let members = tenancy.members(tenant);
    let link = &acceptance.link;
    if members.invited(link).await?.is_none() {
        return Err(Problem::tenant_not_found());
    }
    let joined = match account {
        Some(account) => members.accept(link, &account).await.map(|()| account),
        None => {
            let required = |field: &str| Problem::invalid_field(field, "is required");
            let person = users::NewPerson {
                password: acceptance.password.ok_or_else(|| required("password"))?,
                first_name: acceptance
                    .first_name
                    .ok_or_else(|| required("first_name"))?,
                last_name: acceptance.last_name.unwrap_or_default(),
            };
            members.accept_new(link, person).await
        }
    };
    joined.map_err(|error| match error {
        MemberError::Invalid => Problem::tenant_not_found(),
        other => other.into(),
    })
}

pub(crate) async fn accept(
    tenancy: Tenancy,
    tenant: Tenant,
    account: Option<CurrentAccount>,
    Valid(acceptance): Valid<Acceptance>,
) -> Result<StatusCode> {
    let account = account.map(|CurrentAccount(account)| account);
    join(&tenancy, &tenant, account, acceptance).await?;
    Ok(StatusCode::NO_CONTENT)
}
