//! On diesel, by diesel-async and the pool that its documentation names first.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::get,
};
use chrono::{DateTime, Utc};
use diesel::{
    ExpressionMethods, Insertable, QueryDsl, QueryResult, Queryable, Selectable, SelectableHelper,
    declare_sql_function,
};
use diesel_async::{
    AsyncConnection, AsyncPgConnection, RunQueryDsl,
    pooled_connection::{
        AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod,
        deadpool::{Object, Pool},
    },
};
use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::shared::{Failure, Tenants, failed, tenant};

diesel::table! {
    tenants (id) {
        id -> Uuid,
        code -> Text,
    }
}

diesel::table! {
    products (tenant_id, id) {
        tenant_id -> Uuid,
        id -> Uuid,
        name -> Text,
        code -> Text,
        price -> Numeric,
        added_by -> Nullable<Uuid>,
        added_on -> Timestamptz,
    }
}

#[declare_sql_function]
extern "SQL" {
    fn set_config(
        name: diesel::sql_types::Text,
        value: diesel::sql_types::Text,
        is_local: diesel::sql_types::Bool,
    ) -> diesel::sql_types::Text;
}

#[derive(Serialize, Deserialize, Queryable, Selectable, Insertable)]
#[diesel(table_name = products, check_for_backend(diesel::pg::Pg))]
struct Product {
    id: Uuid,
    name: String,
    code: String,
    price: Decimal,
    added_by: Option<Uuid>,
    added_on: DateTime<Utc>,
}

type Answer<T> = Result<T, StatusCode>;

struct App {
    pool: Pool<AsyncPgConnection>,
    tenants: Tenants,
}

impl App {
    async fn new(url: &str, connections: usize) -> Result<Arc<Self>, Failure> {
        let mut config = ManagerConfig::default();
        // a connection is not asked whether it is there each time, as nobody else here does
        config.recycling_method = RecyclingMethod::Fast;
        let manager = AsyncDieselConnectionManager::new_with_config(url, config);
        let pool: Pool<AsyncPgConnection> = Pool::builder(manager).max_size(connections).build()?;
        let tenants: Vec<(String, Uuid)> = tenants::table
            .select((tenants::code, tenants::id))
            .load(&mut pool.get().await?)
            .await?;
        Ok(Arc::new(Self {
            pool,
            tenants: tenants.into_iter().collect(),
        }))
    }

    async fn connection(&self) -> Answer<Object<AsyncPgConnection>> {
        let connection = self.pool.get().await;
        connection.map_err(|_| StatusCode::SERVICE_UNAVAILABLE)
    }
}

pub async fn plain(url: &str, connections: usize) -> Result<Router, Failure> {
    Ok(Router::new()
        .route("/api/products", get(list).post(add))
        .with_state(App::new(url, connections).await?))
}

pub async fn with_policies(url: &str, connections: usize) -> Result<Router, Failure> {
    Ok(Router::new()
        .route("/api/products", get(list_by_policies).post(add_by_policies))
        .with_state(App::new(url, connections).await?))
}

async fn list(State(app): State<Arc<App>>, headers: HeaderMap) -> Answer<Json<Vec<Product>>> {
    let tenant = tenant(&app.tenants, &headers)?;
    let mut connection = app.connection().await?;
    let products = products::table
        .filter(products::tenant_id.eq(tenant))
        .order(products::name)
        .limit(20)
        .select(Product::as_select())
        .load(&mut connection)
        .await;
    products.map(Json).map_err(failed)
}

async fn list_by_policies(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
) -> Answer<Json<Vec<Product>>> {
    let tenant = tenant(&app.tenants, &headers)?;
    let mut connection = app.connection().await?;
    let products: QueryResult<_> = connection
        .transaction(async |connection| {
            be(connection, tenant).await?;
            products::table
                .order(products::name)
                .limit(20)
                .select(Product::as_select())
                .load(connection)
                .await
        })
        .await;
    products.map(Json).map_err(failed)
}

async fn add(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Json(product): Json<Product>,
) -> Answer<(StatusCode, Json<Product>)> {
    let tenant = tenant(&app.tenants, &headers)?;
    let mut connection = app.connection().await?;
    let added: QueryResult<()> = connection
        .transaction(async |connection| insert(connection, tenant, &product).await)
        .await;
    added.map_err(failed)?;
    Ok((StatusCode::CREATED, Json(product)))
}

async fn add_by_policies(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Json(product): Json<Product>,
) -> Answer<(StatusCode, Json<Product>)> {
    let tenant = tenant(&app.tenants, &headers)?;
    let mut connection = app.connection().await?;
    let added: QueryResult<()> = connection
        .transaction(async |connection| {
            be(connection, tenant).await?;
            insert(connection, tenant, &product).await
        })
        .await;
    added.map_err(failed)?;
    Ok((StatusCode::CREATED, Json(product)))
}

/// Has policies let only the tenant's rows through.
async fn be(connection: &mut AsyncPgConnection, tenant: Uuid) -> QueryResult<()> {
    // until the transaction ends, as SET LOCAL does, which takes no parameter
    diesel::select(set_config("app.tenant_id", tenant.to_string(), true))
        .execute(connection)
        .await?;
    Ok(())
}

async fn insert(
    connection: &mut AsyncPgConnection,
    tenant: Uuid,
    product: &Product,
) -> QueryResult<()> {
    diesel::insert_into(products::table)
        .values((products::tenant_id.eq(tenant), product))
        .execute(connection)
        .await?;
    Ok(())
}
