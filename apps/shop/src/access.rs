//! Who may: a handler that needs a permission names it as an argument, and cannot be called
//! without. What is permitted to whom stands in `policies/shop.cedar`.

use axum::{
    extract::FromRequestParts,
    http::request::Parts,
    response::{IntoResponse, Redirect, Response},
};
use tenantry::{
    policy::{Permissions, Policies, PolicyError, Principal},
    routing::{Action, Can, ClientAddress, CurrentUser, Problem},
    users::{By, Event},
};

use crate::models::{product::Product, staff::Person};

pub(crate) const OWNER: &str = "owner";
pub(crate) const ADMIN: &str = "admin";
pub(crate) const STAFF: &str = "staff";

/// What a program's key may be for.
pub(crate) const SCOPES: &[&str] = &["products:write", "users:read"];

pub(crate) fn policies() -> Result<Policies, PolicyError> {
    Policies::new(
        include_str!("../policies/shop.cedarschema"),
        include_str!("../policies/shop.cedar"),
    )?
    .resource::<Product>()?
    .object::<Person>()
}

/// To add a product.
pub(crate) struct CreateProduct;

impl Action for CreateProduct {
    type On = ();
    const NAME: &'static str = "createProduct";
}

/// To have products imported, and to see how far that is.
pub(crate) struct ImportProducts;

impl Action for ImportProducts {
    type On = ();
    const NAME: &'static str = "importProducts";
}

/// To change a product.
pub(crate) struct UpdateProduct;

impl Action for UpdateProduct {
    type On = Product;
    const NAME: &'static str = "updateProduct";
}

/// To remove a product.
pub(crate) struct DeleteProduct;

impl Action for DeleteProduct {
    type On = Product;
    const NAME: &'static str = "deleteProduct";
}

/// To let whoever has a link look at a product's picture.
pub(crate) struct SharePicture;

impl Action for SharePicture {
    type On = Product;
    const NAME: &'static str = "sharePicture";
}

/// To give somebody an account.
pub(crate) struct CreatePerson;

impl Action for CreatePerson {
    type On = ();
    const NAME: &'static str = "createPerson";
}

/// To change somebody's account.
pub(crate) struct UpdatePerson;

impl Action for UpdatePerson {
    type On = Person;
    const NAME: &'static str = "updatePerson";
}

/// To remove somebody's account.
pub(crate) struct DeletePerson;

impl Action for DeletePerson {
    type On = Person;
    const NAME: &'static str = "deletePerson";
}

/// To ask somebody to join.
pub(crate) struct Invite;

impl Action for Invite {
    type On = ();
    const NAME: &'static str = "invite";
}

/// To make and revoke keys for programs, and invitations.
pub(crate) struct ManageKeys;

impl Action for ManageKeys {
    type On = ();
    const NAME: &'static str = "manageKeys";
}

/// To add, verify and remove the shop's domains.
pub(crate) struct ManageDomains;

impl Action for ManageDomains {
    type On = ();
    const NAME: &'static str = "manageDomains";
}

/// To see what was done.
pub(crate) struct ReadLog;

impl Action for ReadLog {
    type On = ();
    const NAME: &'static str = "readLog";
}

/// To change the shop's name and profile.
pub(crate) struct ChangeShop;

impl Action for ChangeShop {
    type On = ();
    const NAME: &'static str = "changeShop";
}

/// As [`Can`], for pages: who is not signed in is sent to where one does.
pub(crate) struct Page<A: Action>(pub(crate) Can<A>);

impl<A: Action, S: Sync> FromRequestParts<S> for Page<A> {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let permissions = Permissions::from_request_parts(parts, state).await;
        let permissions = permissions.map_err(IntoResponse::into_response)?;
        match Can::from_request_parts(parts, state).await {
            Ok(can) => Ok(Self(can)),
            Err(_) if *permissions.principal() == Principal::Anonymous => {
                Err(Redirect::to("/sign-in").into_response())
            }
            Err(problem) => Err(problem.into_response()),
        }
    }
}

/// Notes that an operator did it, where one stands in for the user.
pub(crate) fn acting(event: Event, current: &CurrentUser) -> Event {
    let operator = current.impersonated.as_ref();
    event.by_operator(operator.map(|by| by.operator.clone()))
}

/// Who acts, for what is written down of it.
pub(crate) fn by(current: &CurrentUser, address: ClientAddress) -> By {
    let operator = current.impersonated.as_ref();
    By::new(&current.user)
        .from(address.0)
        .operator(operator.map(|by| by.operator.clone()))
}

/// Refuses an operator who stands in for the user what would outlast that: accounts, passwords,
/// keys.
pub(crate) fn in_person(current: &CurrentUser) -> Result<(), Problem> {
    match current.impersonated {
        Some(_) => Err(Problem::forbidden()),
        None => Ok(()),
    }
}
