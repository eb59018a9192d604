//! Pictures of products, and their end. All else about products is as of any resource.

use axum::{
    body::Body,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use tenantry::{
    resources::Shown,
    routing::{Can, Item, Json, Problem, Result, files, resource},
    scoped::files::Files,
};

use crate::{
    access::UpdateProduct,
    models::product::Product,
    pictures::{self, Size},
};

pub(crate) async fn delete(
    item: Item<Product>,
    files: Files,
    headers: HeaderMap,
) -> Result<StatusCode> {
    let product = item.node.object.id;
    let gone = resource::delete(item, headers).await?;
    pictures::forget(&files, product, None).await;
    Ok(gone)
}

pub(crate) async fn picture(
    item: Item<Product>,
    files: Files,
    headers: HeaderMap,
) -> Result<Response> {
    shown(&item.node.object, Size::Original, &files, &headers).await
}

pub(crate) async fn thumbnail(
    item: Item<Product>,
    files: Files,
    headers: HeaderMap,
) -> Result<Response> {
    shown(&item.node.object, Size::Small, &files, &headers).await
}

async fn shown(
    product: &Product,
    size: Size,
    files: &Files,
    headers: &HeaderMap,
) -> Result<Response> {
    let version = product.picture.ok_or_else(Problem::not_found)?;
    let name = pictures::name(product.id, version, size)?;
    files::answer(files, &name, headers).await
}

pub(crate) async fn set_picture(
    can: Can<UpdateProduct>,
    files: Files,
    body: Body,
) -> Result<Json<Shown<Product>>> {
    let product = can.node.object.id;
    let by = can.permissions.clone();
    let bytes = body.into_data_stream();
    let node = pictures::set(files, can.db, by, product, bytes).await?;
    Ok(Json(Shown::to(node, &can.permissions)))
}

pub(crate) async fn remove_picture(
    can: Can<UpdateProduct>,
    files: Files,
) -> Result<Json<Shown<Product>>> {
    let product = can.node.object.id;
    let node = pictures::remove(&files, &can.db, &can.permissions, product).await?;
    Ok(Json(Shown::to(node, &can.permissions)))
}
