//! By tenantry, as an application uses it.

use axum::{Router, http::Method};
use tenantry::{
    Tenancy,
    db::TenantDb,
    routing::{Json, Resolvers, Result, Routes},
};

use super::Serve;
use crate::{
    Error,
    data::{LIST, Product},
    stack,
};

pub(super) async fn router(serve: &Serve) -> Result<Router, Error> {
    let config = stack::config(&serve.data, &serve.project, &serve.url, serve.pool);
    let tenancy = Tenancy::open(config).await?;
    let resolvers = Resolvers::new()
        .subdomain("localhost")
        .header("Tenant-Code");
    Ok(Routes::new()
        .tenant(Method::GET, "/api/products", list)
        .into_router(tenancy, resolvers, ()))
}

async fn list(db: TenantDb) -> Result<Json<Vec<Product>>> {
    Ok(Json(db.query(LIST).all().await?))
}
