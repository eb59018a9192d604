//! Adding and changing products, in a browser.

use axum::{
    extract::{DefaultBodyLimit, FromRequest, Multipart, Request},
    http::StatusCode,
    response::{IntoResponse, Redirect, Response},
};
use serde::Deserialize;
use tenantry::{
    Tenant,
    db::TenantDb,
    policy::Permissions,
    resources::{self, Match, Writable},
    routing::{CurrentUser, Form, Problem, Result, resource},
    scoped::files::Files,
};
use uuid::Uuid;

use super::{form_errors, html, shop_view, viewer};
use crate::{
    access::{CreateProduct, DeleteProduct, Page, UpdateProduct},
    amount::Amount,
    models::product::{NewProduct, Product},
    pictures,
    views::{FieldErrors, ProductForm},
};

#[derive(Default, Deserialize)]
pub(crate) struct Submitted {
    name: String,
    code: String,
    price: String,
}

impl Submitted {
    fn of(product: Product) -> Self {
        Self {
            name: product.name,
            code: product.code,
            price: product.price.to_string(),
        }
    }
}

/// What a form is shown with.
struct Seen<'r> {
    tenant: &'r Tenant,
    db: &'r TenantDb,
    current: &'r CurrentUser,
    permissions: &'r Permissions,
    /// The product that is changed, unless one is added.
    id: Option<Uuid>,
    /// The version of its picture, where it has one.
    picture: Option<Uuid>,
}

pub(crate) async fn blank(
    Page(can): Page<CreateProduct>,
    current: CurrentUser,
    tenant: Tenant,
) -> Result<Response> {
    let seen = Seen {
        tenant: &tenant,
        db: &can.db,
        current: &current,
        permissions: &can.permissions,
        id: None,
        picture: None,
    };
    let empty = Submitted::default();
    form(StatusCode::OK, seen, empty, FieldErrors::default()).await
}

pub(crate) async fn edit(
    Page(can): Page<UpdateProduct>,
    current: CurrentUser,
    tenant: Tenant,
) -> Result<Response> {
    let product = can.node.object;
    let seen = Seen {
        tenant: &tenant,
        db: &can.db,
        current: &current,
        permissions: &can.permissions,
        id: Some(product.id),
        picture: product.picture,
    };
    let fields = Submitted::of(product);
    form(StatusCode::OK, seen, fields, FieldErrors::default()).await
}

pub(crate) async fn create(
    Page(can): Page<CreateProduct>,
    current: CurrentUser,
    tenant: Tenant,
    Form(submitted): Form<Submitted>,
) -> Result<Response> {
    let made = match read(&submitted) {
        Ok(new) => {
            let new = vec![(new, FIELDS.map(Into::into).to_vec())];
            let made = resources::create::<Product>(&can.db, &can.permissions, &[], new, None);
            made.await.map(drop).map_err(Problem::from)
        }
        Err(problem) => Err(problem),
    };
    let seen = Seen {
        tenant: &tenant,
        db: &can.db,
        current: &current,
        permissions: &can.permissions,
        id: None,
        picture: None,
    };
    saved(made, seen, submitted).await
}

pub(crate) async fn update(
    Page(can): Page<UpdateProduct>,
    current: CurrentUser,
    tenant: Tenant,
    Form(submitted): Form<Submitted>,
) -> Result<Response> {
    let (id, picture) = (can.node.object.id, can.node.object.picture);
    let (db, by) = (&can.db, &can.permissions);
    let changed = match read(&submitted) {
        Ok(new) => {
            let apply = |product: &mut Product| product.replace(new);
            let changed = resources::change(db, by, &[id], &Match::Anything, &FIELDS, apply).await;
            changed.map(drop).map_err(Problem::from)
        }
        Err(problem) => Err(problem),
    };
    let seen = Seen {
        tenant: &tenant,
        db,
        current: &current,
        permissions: by,
        id: Some(id),
        picture,
    };
    saved(changed, seen, submitted).await
}

pub(crate) async fn delete(Page(can): Page<DeleteProduct>, files: Files) -> Result<Redirect> {
    let id = can.node.object.id;
    resources::remove::<Product>(&can.db, &can.permissions, &[id], &Match::Anything).await?;
    pictures::forget(&files, id, None).await;
    Ok(Redirect::to("/"))
}

pub(crate) async fn set_picture(
    Page(can): Page<UpdateProduct>,
    current: CurrentUser,
    tenant: Tenant,
    files: Files,
    mut request: Request,
) -> Result<Response> {
    // what is too large is answered as that
    DefaultBodyLimit::disable().apply(&mut request);
    let product = can.node.object;
    let picture = async {
        let sent = Multipart::from_request(request, &()).await;
        let mut sent = sent.map_err(|error| broken(&error))?;
        while let Some(field) = sent.next_field().await.map_err(|error| broken(&error))? {
            if field.name() == Some("picture") && field.file_name().is_some_and(|it| !it.is_empty())
            {
                let (db, by) = (can.db.clone(), can.permissions.clone());
                return pictures::set(files, db, by, product.id, field).await;
            }
        }
        Err(Problem::invalid_field("picture", "choose a file first"))
    };
    let problem = match picture.await {
        Ok(_) => return Ok(Redirect::to("/").into_response()),
        Err(problem) => problem,
    };
    let errors = match problem.slug() {
        "payload-too-large" => Problem::invalid_field("picture", "has more than 10 MiB"),
        _ => problem.clone(),
    };
    let Some(errors) = form_errors(&errors, "") else {
        return Err(problem);
    };
    let seen = Seen {
        tenant: &tenant,
        db: &can.db,
        current: &current,
        permissions: &can.permissions,
        id: Some(product.id),
        picture: product.picture,
    };
    form(problem.status(), seen, Submitted::of(product), errors).await
}

pub(super) fn broken(error: &impl std::fmt::Display) -> Problem {
    tracing::debug!(%error, "a form with a file cannot be read");
    Problem::new(
        StatusCode::BAD_REQUEST,
        "malformed",
        "The form did not arrive as a whole.",
    )
}

pub(crate) async fn remove_picture(
    Page(can): Page<UpdateProduct>,
    files: Files,
) -> Result<Redirect> {
    let id = can.node.object.id;
    pictures::remove(&files, &can.db, &can.permissions, id).await?;
    Ok(Redirect::to(&format!("/products/{id}/edit")))
}

/// What the form has.
const FIELDS: [&str; 3] = ["name", "code", "price"];

fn read(submitted: &Submitted) -> Result<NewProduct> {
    let price = match submitted.price.trim() {
        "" => Ok(Amount::default()),
        // as people write it in half of the world
        text => text.replace(',', ".").parse(),
    };
    let price = price.map_err(|error| Problem::invalid_field("price", format!("{error}")))?;
    let new = NewProduct {
        name: submitted.name.clone(),
        code: submitted.code.clone(),
        price,
    };
    resource::validated(new)
}

/// To the storefront after a success; back to the form with what is wrong otherwise.
async fn saved(outcome: Result<()>, seen: Seen<'_>, submitted: Submitted) -> Result<Response> {
    let problem = match outcome {
        Ok(()) => return Ok(Redirect::to("/").into_response()),
        Err(problem) => problem,
    };
    match form_errors(&problem, "is the code of another product") {
        Some(errors) => form(problem.status(), seen, submitted, errors).await,
        None => Err(problem),
    }
}

async fn form(
    status: StatusCode,
    seen: Seen<'_>,
    fields: Submitted,
    errors: FieldErrors,
) -> Result<Response> {
    let page = ProductForm {
        shop: shop_view(seen.tenant, seen.db).await?,
        viewer: viewer(seen.current, seen.permissions),
        id: seen.id.map(|id| id.to_string()),
        picture: seen.picture.map(|version| version.to_string()),
        name: fields.name,
        code: fields.code,
        price: fields.price,
        errors,
    };
    html(status, &page)
}
