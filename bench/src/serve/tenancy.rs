//! By tenantry, as an application uses it.

use axum::{
    Router,
    http::{Method, StatusCode},
};
use tenantry::{
    Config, Tenancy,
    db::TenantDb,
    routing::{Json, Resolvers, Result, Routes},
};

use super::Serve;
use crate::{
    Error,
    data::{INSERT, LIST, Product},
    files, stack,
};

pub(super) async fn on_postgres(serve: &Serve) -> Result<Router, Error> {
    let config = stack::config(&serve.data, &serve.project, &serve.url, serve.pool);
    router(config).await
}

pub(super) async fn on_files(serve: &Serve) -> Result<Router, Error> {
    router(files::config(&serve.data, serve.pool)).await
}

async fn router(config: Config) -> Result<Router, Error> {
    let tenancy = Tenancy::open(config).await?;
    let resolvers = Resolvers::new()
        .subdomain("localhost")
        .header("Tenant-Code");
    Ok(Routes::new()
        .tenant(Method::GET, "/api/products", list)
        .tenant(Method::POST, "/api/products", add)
        .into_router(tenancy, resolvers, ()))
}

async fn list(db: TenantDb) -> Result<Json<Vec<Product>>> {
    Ok(Json(db.query(LIST).all().await?))
}

async fn add(db: TenantDb, Json(product): Json<Product>) -> Result<(StatusCode, Json<Product>)> {
    db.query(INSERT)
        .bind(product.id)
        .bind(&product.name)
        .bind(&product.code)
        .bind(product.price)
        .bind(product.added_by)
        .bind(product.added_on)
        .execute()
        .await?;
    Ok((StatusCode::CREATED, Json(product)))
}
