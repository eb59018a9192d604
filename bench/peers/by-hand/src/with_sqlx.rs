//! On sqlx.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::get,
};
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use sqlx::{FromRow, PgPool, PgTransaction, postgres::PgPoolOptions};
use uuid::Uuid;

use crate::shared::{Failure, Tenants, failed, tenant};

#[derive(Serialize, Deserialize, FromRow)]
pub struct Product {
    pub id: Uuid,
    pub name: String,
    pub code: String,
    pub price: Decimal,
    pub added_by: Option<Uuid>,
    pub added_on: DateTime<Utc>,
}

type Answer<T> = Result<T, StatusCode>;

struct App {
    pool: PgPool,
    tenants: Tenants,
}

impl App {
    async fn new(url: &str, connections: u32) -> Result<Arc<Self>, Failure> {
        let pool = PgPoolOptions::new()
            .max_connections(connections)
            // a connection is not asked whether it is there each time, as nobody else here does
            .test_before_acquire(false)
            .connect(url)
            .await?;
        let tenants = sqlx::query_as("SELECT code, id FROM tenants")
            .fetch_all(&pool)
            .await?;
        Ok(Arc::new(Self {
            pool,
            tenants: tenants.into_iter().collect(),
        }))
    }

    /// A transaction in which policies let only the tenant's rows through.
    async fn begin_for(&self, tenant: Uuid) -> sqlx::Result<PgTransaction<'static>> {
        let mut transaction = self.pool.begin().await?;
        // until the transaction ends, as SET LOCAL does, which takes no parameter
        sqlx::query("SELECT set_config('app.tenant_id', $1, true)")
            .bind(tenant.to_string())
            .execute(&mut *transaction)
            .await?;
        Ok(transaction)
    }
}

pub async fn plain(url: &str, connections: u32) -> Result<Router, Failure> {
    Ok(Router::new()
        .route("/api/products", get(list).post(add))
        .with_state(App::new(url, connections).await?))
}

pub async fn with_policies(url: &str, connections: u32) -> Result<Router, Failure> {
    Ok(Router::new()
        .route("/api/products", get(list_by_policies).post(add_by_policies))
        .with_state(App::new(url, connections).await?))
}

async fn list(State(app): State<Arc<App>>, headers: HeaderMap) -> Answer<Json<Vec<Product>>> {
    let tenant = tenant(&app.tenants, &headers)?;
    let products = sqlx::query_as(
        "SELECT id, name, code, price, added_by, added_on \
         FROM products WHERE tenant_id = $1 ORDER BY name LIMIT 20",
    )
    .bind(tenant)
    .fetch_all(&app.pool)
    .await;
    products.map(Json).map_err(failed)
}

async fn list_by_policies(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
) -> Answer<Json<Vec<Product>>> {
    let tenant = tenant(&app.tenants, &headers)?;
    let mut transaction = app.begin_for(tenant).await.map_err(failed)?;
    let products = sqlx::query_as(
        "SELECT id, name, code, price, added_by, added_on FROM products ORDER BY name LIMIT 20",
    )
    .fetch_all(&mut *transaction)
    .await
    .map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    Ok(Json(products))
}

async fn add(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Json(product): Json<Product>,
) -> Answer<(StatusCode, Json<Product>)> {
    let tenant = tenant(&app.tenants, &headers)?;
    let transaction = app.pool.begin().await.map_err(failed)?;
    insert(transaction, tenant, &product)
        .await
        .map_err(failed)?;
    Ok((StatusCode::CREATED, Json(product)))
}

async fn add_by_policies(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Json(product): Json<Product>,
) -> Answer<(StatusCode, Json<Product>)> {
    let tenant = tenant(&app.tenants, &headers)?;
    let transaction = app.begin_for(tenant).await.map_err(failed)?;
    insert(transaction, tenant, &product)
        .await
        .map_err(failed)?;
    Ok((StatusCode::CREATED, Json(product)))
}

/// Adds it, and commits.
async fn insert(
    mut transaction: PgTransaction<'static>,
    tenant: Uuid,
    product: &Product,
) -> sqlx::Result<()> {
    sqlx::query(
        "INSERT INTO products (tenant_id, id, name, code, price, added_by, added_on) \
         VALUES ($1, $2, $3, $4, $5, $6, $7)",
    )
    .bind(tenant)
    .bind(product.id)
    .bind(&product.name)
    .bind(&product.code)
    .bind(product.price)
    .bind(product.added_by)
    .bind(product.added_on)
    .execute(&mut *transaction)
    .await?;
    transaction.commit().await
}
