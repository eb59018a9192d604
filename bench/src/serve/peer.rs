//! By hand, on sqlx.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::get,
};
use sqlx::{PgPool, postgres::PgPoolOptions};

use super::{Tenants, routed, tenant, tenants};
use crate::{
    Error,
    data::{INSERT_OF_TENANT, LIST_OF_TENANT, Product},
};

struct Peer {
    pool: PgPool,
    tenants: Tenants,
}

pub(super) async fn router(url: &str, pool: usize, ping: bool) -> Result<Router, Error> {
    let options = PgPoolOptions::new()
        .max_connections(u32::try_from(pool).unwrap_or(u32::MAX))
        .test_before_acquire(ping);
    let peer = Peer {
        pool: options.connect(url).await?,
        tenants: tenants(url).await?,
    };
    Ok(routed(get(list).post(add), Arc::new(peer)))
}

async fn list(
    State(peer): State<Arc<Peer>>,
    headers: HeaderMap,
) -> Result<Json<Vec<Product>>, StatusCode> {
    let tenant = tenant(&peer.tenants, &headers)?;
    let products = sqlx::query_as(LIST_OF_TENANT)
        .bind(tenant)
        .fetch_all(&peer.pool)
        .await;
    products
        .map(Json)
        .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)
}

async fn add(
    State(peer): State<Arc<Peer>>,
    headers: HeaderMap,
    Json(product): Json<Product>,
) -> Result<(StatusCode, Json<Product>), StatusCode> {
    let tenant = tenant(&peer.tenants, &headers)?;
    let failed = |_| StatusCode::INTERNAL_SERVER_ERROR;
    let mut transaction = peer.pool.begin().await.map_err(failed)?;
    sqlx::query(INSERT_OF_TENANT)
        .bind(tenant)
        .bind(product.id)
        .bind(&product.name)
        .bind(&product.code)
        .bind(product.price)
        .bind(product.added_by)
        .bind(product.added_on)
        .execute(&mut *transaction)
        .await
        .map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    Ok((StatusCode::CREATED, Json(product)))
}
