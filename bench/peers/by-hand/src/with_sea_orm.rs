//! On SeaORM.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::get,
};
use chrono::{DateTime, Utc};
use rust_decimal::Decimal;
use sea_orm::{
    ActiveModelTrait, ColumnTrait, ConnectOptions, ConnectionTrait, Database, DatabaseConnection,
    DatabaseTransaction, DbBackend, DbErr, DerivePartialModel, EntityTrait, QueryFilter,
    QueryOrder, QuerySelect, Set, Statement, TransactionTrait,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::shared::{Failure, Tenants, failed, tenant};

mod tenants {
    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "tenants")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        #[sea_orm(unique)]
        pub code: String,
    }

    impl ActiveModelBehavior for ActiveModel {}
}

mod products {
    use sea_orm::entity::prelude::*;

    #[sea_orm::model]
    #[derive(Clone, Debug, PartialEq, Eq, DeriveEntityModel)]
    #[sea_orm(table_name = "products")]
    pub struct Model {
        #[sea_orm(primary_key, auto_increment = false)]
        pub tenant_id: Uuid,
        #[sea_orm(primary_key, auto_increment = false)]
        pub id: Uuid,
        pub name: String,
        pub code: String,
        #[sea_orm(column_type = "Decimal(Some((12, 2)))")]
        pub price: Decimal,
        pub added_by: Option<Uuid>,
        pub added_on: DateTimeUtc,
    }

    impl ActiveModelBehavior for ActiveModel {}
}

/// What is told of a product, and read.
#[derive(Serialize, Deserialize, DerivePartialModel)]
#[sea_orm(entity = "products::Entity")]
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
    db: DatabaseConnection,
    tenants: Tenants,
}

impl App {
    async fn new(url: &str, connections: u32) -> Result<Arc<Self>, Failure> {
        let mut options = ConnectOptions::new(url);
        options
            .max_connections(connections)
            // a connection is not asked whether it is there each time, as nobody else here does
            .test_before_acquire(false);
        let db = Database::connect(options).await?;
        let tenants = tenants::Entity::find().all(&db).await?;
        Ok(Arc::new(Self {
            db,
            tenants: tenants.into_iter().map(|one| (one.code, one.id)).collect(),
        }))
    }

    /// A transaction in which policies let only the tenant's rows through.
    async fn begin_for(&self, tenant: Uuid) -> Result<DatabaseTransaction, DbErr> {
        let transaction = self.db.begin().await?;
        // until the transaction ends, as SET LOCAL does, which takes no parameter
        let set = Statement::from_sql_and_values(
            DbBackend::Postgres,
            "SELECT set_config('app.tenant_id', $1, true)",
            [tenant.to_string().into()],
        );
        transaction.execute_raw(set).await?;
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
    let products = products::Entity::find()
        .filter(products::Column::TenantId.eq(tenant))
        .order_by_asc(products::Column::Name)
        .limit(20)
        .into_partial_model()
        .all(&app.db)
        .await;
    products.map(Json).map_err(failed)
}

async fn list_by_policies(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
) -> Answer<Json<Vec<Product>>> {
    let tenant = tenant(&app.tenants, &headers)?;
    let transaction = app.begin_for(tenant).await.map_err(failed)?;
    let products = products::Entity::find()
        .order_by_asc(products::Column::Name)
        .limit(20)
        .into_partial_model()
        .all(&transaction)
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
    let transaction = app.db.begin().await.map_err(failed)?;
    let product = insert(transaction, tenant, product).await.map_err(failed)?;
    Ok((StatusCode::CREATED, Json(product)))
}

async fn add_by_policies(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Json(product): Json<Product>,
) -> Answer<(StatusCode, Json<Product>)> {
    let tenant = tenant(&app.tenants, &headers)?;
    let transaction = app.begin_for(tenant).await.map_err(failed)?;
    let product = insert(transaction, tenant, product).await.map_err(failed)?;
    Ok((StatusCode::CREATED, Json(product)))
}

/// Adds it, and commits: as it is there then, which SeaORM has told by the same statement.
async fn insert(
    transaction: DatabaseTransaction,
    tenant: Uuid,
    product: Product,
) -> Result<Product, DbErr> {
    let new = products::ActiveModel {
        tenant_id: Set(tenant),
        id: Set(product.id),
        name: Set(product.name),
        code: Set(product.code),
        price: Set(product.price),
        added_by: Set(product.added_by),
        added_on: Set(product.added_on),
    };
    let added = new.insert(&transaction).await?;
    transaction.commit().await?;
    Ok(Product {
        id: added.id,
        name: added.name,
        code: added.code,
        price: added.price,
        added_by: added.added_by,
        added_on: added.added_on,
    })
}
