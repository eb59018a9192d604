//! Who is a member of a company.

use askama::Template;
use axum::{
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use tenantry::{
    Tenancy, Tenant,
    accounts::{Member, MemberInvitation, OWNER},
    routing::{Can, CurrentMember, Form, Path, Result, Site},
};
use uuid::Uuid;

use super::{Fields, Frame, Given, Submitted, html};
use crate::{
    actions::{ManageMembers, ReadMembers, TransferOwnership},
    api::members::{self, NewInvitation, ROLES, RoleChange},
    validate,
};

#[derive(Template)]
#[template(path = "members.html")]
struct Page {
    frame: Frame,
    members: Vec<Member>,
    invitations: Vec<MemberInvitation>,
    can_manage: bool,
    can_transfer: bool,
    roles: [&'static str; 3],
    form: Submitted,
}

async fn page(
    status: StatusCode,
    frame: Frame,
    tenancy: &Tenancy,
    tenant: &Tenant,
    form: Submitted,
) -> Result<Response> {
    let can_manage = frame.may("manageMembers");
    let here = tenancy.members(tenant);
    let page = Page {
        members: here.list().await?,
        invitations: if can_manage {
            here.invitations().await?
        } else {
            Vec::new()
        },
        can_manage,
        can_transfer: frame.may("transferOwnership"),
        roles: ROLES,
        form,
        frame,
    };
    html(status, &page)
}

pub(crate) async fn list(
    frame: Frame,
    _: Can<ReadMembers>,
    tenancy: Tenancy,
    tenant: Tenant,
) -> Result<Response> {
    let form = Submitted::default();
    page(StatusCode::OK, frame, &tenancy, &tenant, form).await
}

#[derive(Deserialize)]
pub(crate) struct RoleForm {
    role: String,
}

pub(crate) async fn update(
    frame: Frame,
    _: Can<ManageMembers>,
    tenancy: Tenancy,
    tenant: Tenant,
    Path(id): Path<Uuid>,
    Form(given): Form<RoleForm>,
) -> Result<Response> {
    let change = RoleChange { role: given.role };
    validate::check(&change)?;
    tenancy.members(&tenant).set_role(id, &change.role).await?;
    Ok(frame.to("/members"))
}

pub(crate) async fn remove(
    frame: Frame,
    _: Can<ManageMembers>,
    tenancy: Tenancy,
    tenant: Tenant,
    Path(id): Path<Uuid>,
) -> Result<Response> {
    tenancy.members(&tenant).remove(id).await?;
    Ok(frame.to("/members"))
}

#[derive(Deserialize)]
pub(crate) struct SuccessorForm {
    to: Uuid,
}

pub(crate) async fn transfer(
    frame: Frame,
    can: Can<TransferOwnership>,
    tenancy: Tenancy,
    tenant: Tenant,
    Form(successor): Form<SuccessorForm>,
) -> Result<Response> {
    let from = can.permissions.principal().id().unwrap_or_default();
    let here = tenancy.members(&tenant);
    here.transfer(from, successor.to, "admin").await?;
    Ok(frame.to("/members"))
}

pub(crate) async fn leave(
    member: CurrentMember,
    tenancy: Tenancy,
    tenant: Tenant,
) -> Result<Response> {
    tenancy.members(&tenant).remove(member.account.id).await?;
    Ok(Redirect::to("/companies").into_response())
}

pub(crate) async fn invite(
    frame: Frame,
    can: Can<ManageMembers>,
    tenancy: Tenancy,
    tenant: Tenant,
    State(site): State<Site>,
    Form(fields): Form<Fields>,
) -> Result<Response> {
    let given = Given::new(fields);
    let new = NewInvitation {
        email: given.text("email"),
        role: given.text("role"),
    };
    let by = can.permissions.principal().id().unwrap_or_default();
    let asked = async {
        validate::check(&new)?;
        members::ask_to_join(&tenancy, &tenant, &site, &new, by).await
    };
    match asked.await {
        Ok(_) => Ok(frame.to("/members")),
        Err(problem) => {
            let status = problem.status();
            let form = given.again(problem)?;
            page(status, frame, &tenancy, &tenant, form).await
        }
    }
}

pub(crate) async fn withdraw(
    frame: Frame,
    _: Can<ManageMembers>,
    tenancy: Tenancy,
    tenant: Tenant,
    Path(id): Path<Uuid>,
) -> Result<Response> {
    tenancy.members(&tenant).withdraw(id).await?;
    Ok(frame.to("/members"))
}
