//! Adding and changing products, in a browser.

use axum::{
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use tenantry::{
    Tenant,
    db::TenantDb,
    routing::{ClientAddress, CurrentUser, Form, Path, Problem, Result},
};
use uuid::Uuid;

use super::{form_errors, html, shop_view, viewer};
use crate::{
    access::Editor,
    amount::Amount,
    api::products::{change, make, remove, validated},
    models::product::{Product, ProductFields},
    views::{FieldErrors, ProductForm},
};

#[derive(Default, Deserialize)]
pub(crate) struct Submitted {
    name: String,
    code: String,
    price: String,
}

pub(crate) async fn blank(
    Editor(current): Editor,
    tenant: Tenant,
    db: TenantDb,
) -> Result<Response> {
    let empty = Submitted::default();
    form(
        StatusCode::OK,
        &tenant,
        &db,
        &current,
        None,
        empty,
        FieldErrors::default(),
    )
    .await
}

pub(crate) async fn edit(
    Editor(current): Editor,
    tenant: Tenant,
    db: TenantDb,
    Path(id): Path<Uuid>,
) -> Result<Response> {
    let product = Product::get(&db, id).await?;
    let fields = Submitted {
        name: product.name,
        code: product.code,
        price: product.price.to_string(),
    };
    form(
        StatusCode::OK,
        &tenant,
        &db,
        &current,
        Some(id),
        fields,
        FieldErrors::default(),
    )
    .await
}

pub(crate) async fn create(
    Editor(current): Editor,
    tenant: Tenant,
    db: TenantDb,
    address: ClientAddress,
    Form(submitted): Form<Submitted>,
) -> Result<Response> {
    let made = match read(&submitted) {
        Ok(fields) => make(&db, Some(&current), address, fields).await,
        Err(problem) => Err(problem),
    };
    saved(made, &tenant, &db, &current, None, submitted).await
}

pub(crate) async fn update(
    Editor(current): Editor,
    tenant: Tenant,
    db: TenantDb,
    address: ClientAddress,
    Path(id): Path<Uuid>,
    Form(submitted): Form<Submitted>,
) -> Result<Response> {
    Product::get(&db, id).await?;
    let changed = match read(&submitted) {
        Ok(fields) => change(&db, Some(&current), address, id, fields.into()).await,
        Err(problem) => Err(problem),
    };
    saved(changed, &tenant, &db, &current, Some(id), submitted).await
}

pub(crate) async fn delete(
    Editor(current): Editor,
    db: TenantDb,
    address: ClientAddress,
    Path(id): Path<Uuid>,
) -> Result<Redirect> {
    remove(&db, Some(&current), address, id).await?;
    Ok(Redirect::to("/"))
}

fn read(submitted: &Submitted) -> Result<ProductFields> {
    let price = match submitted.price.trim() {
        "" => Ok(Amount::default()),
        // as people write it in half of the world
        text => text.replace(',', ".").parse(),
    };
    match price {
        Ok(Amount(price)) => validated(&submitted.name, &submitted.code, price),
        Err(error) => Err(Problem::invalid_field("price", error.to_string())),
    }
}

/// To the storefront after a success; back to the form with what is wrong otherwise.
async fn saved(
    outcome: Result<Product>,
    tenant: &Tenant,
    db: &TenantDb,
    current: &CurrentUser,
    id: Option<Uuid>,
    submitted: Submitted,
) -> Result<Response> {
    let problem = match outcome {
        Ok(_) => return Ok(Redirect::to("/").into_response()),
        Err(problem) => problem,
    };
    match form_errors(&problem, "is the code of another product") {
        Some(errors) => form(problem.status(), tenant, db, current, id, submitted, errors).await,
        None => Err(problem),
    }
}

async fn form(
    status: StatusCode,
    tenant: &Tenant,
    db: &TenantDb,
    current: &CurrentUser,
    id: Option<Uuid>,
    fields: Submitted,
    errors: FieldErrors,
) -> Result<Response> {
    let page = ProductForm {
        shop: shop_view(tenant, db).await?,
        viewer: viewer(current),
        id: id.map(|id| id.to_string()),
        name: fields.name,
        code: fields.code,
        price: fields.price,
        errors,
    };
    html(status, &page)
}
