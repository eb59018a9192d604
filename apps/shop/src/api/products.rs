//! Pictures of products, links to them, and their end. All else about products is as of any resource.

use std::time::Duration;

use axum::{
    body::Body,
    extract::State,
    http::{HeaderMap, StatusCode},
    response::Response,
};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tenantry::{
    Tenant,
    resources::Shown,
    routing::{Can, Item, Json, Problem, Result, Site, files, resource},
    scoped::files::{FileName, Files},
};

use crate::{
    access::{SharePicture, UpdateProduct},
    models::product::Product,
    pictures::{self, Size},
};

/// For how long a link is good, in seconds, unless told; and for how long at most.
const LINK_LIFE: u64 = 60 * 60;
const LONGEST_LINK_LIFE: u64 = 7 * 24 * 60 * 60;

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
    let name = name_of(product, size)?;
    files::answer(files, &name, headers).await
}

fn name_of(product: &Product, size: Size) -> Result<FileName> {
    let version = product.picture.ok_or_else(Problem::not_found)?;
    pictures::name(product.id, version, size)
}

/// What link is wanted; what is left out is as by default.
#[derive(Default, Deserialize)]
pub(crate) struct WantedLink {
    #[serde(default)]
    size: Size,
    /// For how many seconds.
    expires_in: Option<u64>,
}

#[derive(Serialize)]
pub(crate) struct PictureLink {
    url: String,
    expires_at: DateTime<Utc>,
}

/// A link to the picture as it is now, for whoever has it: another picture has another link.
pub(crate) async fn link_picture(
    can: Can<SharePicture>,
    tenant: Tenant,
    files: Files,
    State(site): State<Site>,
    wanted: Option<Json<WantedLink>>,
) -> Result<(StatusCode, Json<PictureLink>)> {
    let Json(wanted) = wanted.unwrap_or_default();
    let life = wanted.expires_in.unwrap_or(LINK_LIFE);
    if !(1..=LONGEST_LINK_LIFE).contains(&life) {
        return Err(Problem::invalid_field(
            "expires_in",
            format!("must be 1 to {LONGEST_LINK_LIFE} seconds"),
        ));
    }
    let name = name_of(&can.node.object, wanted.size)?;
    let signature = files.sign(&name, Duration::from_secs(life)).await?;
    let path = format!("/files/{}?{}", name.in_url(), signature.query());
    let link = PictureLink {
        url: site.url(&tenant, &path),
        expires_at: signature.expires_at(),
    };
    Ok((StatusCode::CREATED, Json(link)))
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
