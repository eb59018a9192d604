//! What mailed links open, and where one is asked for.

use axum::{extract::State, http::StatusCode, response::Response};
use serde::Deserialize;
use tenantry::{
    Tenancy, Tenant,
    db::TenantDb,
    routing::{ClientAddress, Form, Problem, Query, Result, Site},
    tenant::Plan,
    users::{Links, Purpose},
};

use super::{form_errors, html, shop_view};
use crate::{
    api::{
        account,
        invitations::{self, Acceptance},
    },
    mails,
    views::{FieldErrors, Step, StepForm},
};

#[derive(Deserialize)]
pub(crate) struct Link {
    #[serde(default)]
    link: String,
}

#[derive(Deserialize)]
pub(crate) struct Address {
    email: String,
}

#[derive(Deserialize)]
pub(crate) struct Password {
    #[serde(default)]
    link: String,
    password: String,
}

async fn page(
    status: StatusCode,
    tenant: &Tenant,
    db: &TenantDb,
    (title, lede): (&str, &str),
    form: Option<StepForm>,
) -> Result<Response> {
    let step = Step {
        shop: shop_view(tenant, db).await?,
        title: title.into(),
        lede: lede.into(),
        form,
    };
    html(status, &step)
}

/// What is wrong, beside the form's fields; or another problem than the form's.
fn refused(problem: Problem) -> Result<(StatusCode, FieldErrors)> {
    match form_errors(&problem, "") {
        Some(errors) => Ok((problem.status(), errors)),
        None => Err(problem),
    }
}

const OVER: &str = "This link is not good, or no longer";

/// Says that a link is of no use, and how to come by another; or another problem than that.
async fn over(
    problem: Problem,
    tenant: &Tenant,
    db: &TenantDb,
    what_next: &str,
    form: Option<StepForm>,
) -> Result<Response> {
    if problem.slug() != "invalid-token" {
        return Err(problem);
    }
    page(problem.status(), tenant, db, (OVER, what_next), form).await
}

const MAIL_ANOTHER: &str = "It is good once, and for an hour. Have another mailed to you.";
const ASK_TO_BE_ASKED: &str =
    "It is good once, and for a week. Ask whoever invited you for another.";
const CONFIRM_AGAIN: &str =
    "It is good once, and for a day. Sign in, and have another mailed to you.";

const FORGOTTEN: (&str, &str) = (
    "Forgot your password?",
    "Say which address you sign in with, and a link to set a new one is mailed there.",
);

fn address_form(errors: FieldErrors) -> StepForm {
    StepForm {
        action: "/forgot-password",
        button: "Mail me a link",
        email: true,
        errors,
        ..StepForm::default()
    }
}

pub(crate) async fn forgotten(tenant: Tenant, db: TenantDb) -> Result<Response> {
    let form = address_form(FieldErrors::default());
    page(StatusCode::OK, &tenant, &db, FORGOTTEN, Some(form)).await
}

pub(crate) async fn ask_for_password(
    tenancy: Tenancy,
    tenant: Tenant,
    db: TenantDb,
    address: ClientAddress,
    State(site): State<Site>,
    Form(Address { email }): Form<Address>,
) -> Result<Response> {
    if let Err(problem) =
        account::ask_for_password(&tenancy, &tenant, &db, &site, address, &email).await
    {
        let (status, errors) = refused(problem)?;
        return page(status, &tenant, &db, FORGOTTEN, Some(address_form(errors))).await;
    }
    let done = (
        "Look into your mail",
        "If somebody here has that address, a link is on its way to it.",
    );
    page(StatusCode::ACCEPTED, &tenant, &db, done, None).await
}

const NEW_PASSWORD: (&str, &str) = (
    "Set a new password",
    "It is the one you sign in with from now on. Wherever you are signed in, that ends.",
);

fn password_form(link: String, errors: FieldErrors) -> StepForm {
    StepForm {
        action: "/reset-password",
        link: Some(link),
        button: "Set password",
        password: true,
        errors,
        ..StepForm::default()
    }
}

pub(crate) async fn new_password(
    tenant: Tenant,
    db: TenantDb,
    Query(Link { link }): Query<Link>,
) -> Result<Response> {
    let looked = Links::on(&db).look_at(Purpose::ResetPassword, &link).await;
    if let Err(error) = looked {
        let form = Some(address_form(FieldErrors::default()));
        return over(error.into(), &tenant, &db, MAIL_ANOTHER, form).await;
    }
    let form = password_form(link, FieldErrors::default());
    page(StatusCode::OK, &tenant, &db, NEW_PASSWORD, Some(form)).await
}

pub(crate) async fn set_password(
    tenancy: Tenancy,
    tenant: Tenant,
    db: TenantDb,
    address: ClientAddress,
    Form(Password { link, password }): Form<Password>,
) -> Result<Response> {
    let set = account::set_password(&tenancy, &tenant, db.clone(), address, &link, &password).await;
    if let Err(problem) = set {
        let (status, errors) = match refused(problem) {
            Ok(refused) => refused,
            Err(problem) => {
                let form = Some(address_form(FieldErrors::default()));
                return over(problem, &tenant, &db, MAIL_ANOTHER, form).await;
            }
        };
        let form = password_form(link, errors);
        return page(status, &tenant, &db, NEW_PASSWORD, Some(form)).await;
    }
    let done = ("Your password is set", "You can sign in with it now.");
    page(StatusCode::OK, &tenant, &db, done, None).await
}

const INVITED: (&str, &str) = (
    "Join this shop",
    "Choose a password, and say what you are called.",
);

fn invitation_form(link: String, first_name: String, errors: FieldErrors) -> StepForm {
    StepForm {
        action: "/invitation",
        link: Some(link),
        button: "Join",
        password: true,
        first_name: Some(first_name),
        errors,
        ..StepForm::default()
    }
}

pub(crate) async fn invited(
    tenant: Tenant,
    db: TenantDb,
    Query(Link { link }): Query<Link>,
) -> Result<Response> {
    let looked = Links::on(&db).look_at(Purpose::Invitation, &link).await;
    if let Err(error) = looked {
        return over(error.into(), &tenant, &db, ASK_TO_BE_ASKED, None).await;
    }
    let form = invitation_form(link, String::new(), FieldErrors::default());
    page(StatusCode::OK, &tenant, &db, INVITED, Some(form)).await
}

pub(crate) async fn join(
    State(site): State<Site>,
    tenancy: Tenancy,
    tenant: Tenant,
    plan: Plan,
    db: TenantDb,
    address: ClientAddress,
    Form(acceptance): Form<Acceptance>,
) -> Result<Response> {
    let (link, first_name) = (acceptance.link.clone(), acceptance.first_name.clone());
    let passwords = tenancy.passwords().of(&tenant);
    let joined = invitations::join(&passwords, &plan, db.clone(), address, acceptance).await;
    let user = match joined {
        Ok(user) => user,
        Err(problem) => {
            let (status, errors) = match refused(problem) {
                Ok(refused) => refused,
                Err(problem) => return over(problem, &tenant, &db, ASK_TO_BE_ASKED, None).await,
            };
            let form = invitation_form(link, first_name, errors);
            return page(status, &tenant, &db, INVITED, Some(form)).await;
        }
    };
    mails::welcome(&tenancy, &tenant, &site, &user);
    let done = (
        "Welcome",
        "You can sign in now, with the address this was mailed to.",
    );
    page(StatusCode::CREATED, &tenant, &db, done, None).await
}

pub(crate) async fn email(
    tenant: Tenant,
    db: TenantDb,
    Query(Link { link }): Query<Link>,
) -> Result<Response> {
    let what = (
        "Confirm your address",
        "This shows that the address the link was mailed to is yours.",
    );
    let form = StepForm {
        action: "/confirm-email",
        link: Some(link),
        button: "It is mine",
        ..StepForm::default()
    };
    page(StatusCode::OK, &tenant, &db, what, Some(form)).await
}

pub(crate) async fn confirm_email(
    tenancy: Tenancy,
    tenant: Tenant,
    db: TenantDb,
    address: ClientAddress,
    Form(Link { link }): Form<Link>,
) -> Result<Response> {
    let used = account::use_email_link(&tenancy, &tenant, db.clone(), address, &link).await;
    if let Err(problem) = used {
        return over(problem, &tenant, &db, CONFIRM_AGAIN, None).await;
    }
    let done = (
        "Your address is confirmed",
        "It is the one you sign in with.",
    );
    page(StatusCode::OK, &tenant, &db, done, None).await
}
