//! The central host's page, where a visitor opens a shop.

use axum::{extract::State, http::StatusCode, response::Response};
use serde::Deserialize;
use tenantry::{
    Tenancy,
    routing::{Form, Result, Site},
};

use super::{form_errors, html};
use crate::{
    api::shops::{NewOwner, NewShop, open_shop},
    views::{Created, Landing, ShopForm},
};

#[derive(Deserialize)]
pub(crate) struct Submitted {
    name: String,
    code: String,
    first_name: String,
    email: String,
    password: String,
}

pub(crate) async fn show(State(site): State<Site>) -> Result<Response> {
    let landing = Landing {
        form: ShopForm::default(),
        suffix: site.around_code().1,
    };
    html(StatusCode::OK, &landing)
}

pub(crate) async fn create(
    tenancy: Tenancy,
    State(site): State<Site>,
    Form(submitted): Form<Submitted>,
) -> Result<Response> {
    let new = NewShop {
        // people write names as they please; the address has one spelling
        code: submitted.code.trim().to_lowercase(),
        name: submitted.name.clone(),
        owner: NewOwner {
            email: submitted.email.clone(),
            password: submitted.password,
            first_name: submitted.first_name.clone(),
            last_name: String::new(),
        },
    };
    match open_shop(&tenancy, &site, new).await {
        Ok((tenant, owner)) => html(
            StatusCode::CREATED,
            &Created {
                name: tenant.name().into(),
                url: site.tenant_url(&tenant),
                email: owner.email,
            },
        ),
        Err(problem) => {
            let Some(errors) = form_errors(&problem, "is taken by another shop") else {
                return Err(problem);
            };
            let landing = Landing {
                form: ShopForm {
                    name: submitted.name,
                    code: submitted.code,
                    first_name: submitted.first_name,
                    email: submitted.email,
                    errors,
                },
                suffix: site.around_code().1,
            };
            html(problem.status(), &landing)
        }
    }
}
