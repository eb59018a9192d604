//! By hand, with nothing that the task does not need: whatever serves the same with tenancy can
//! hope to come near.

use std::{
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::get,
};
use deadpool_postgres::{Manager, Pool};
use tokio_postgres::{Client, NoTls, Row, Statement};
use uuid::Uuid;

use super::{Tenants, routed, tenant, tenants};
use crate::{
    Error,
    data::{INSERT_OF_TENANT, LIST_OF_TENANT, Product},
};

struct Limit {
    pool: Pool,
    tenants: Tenants,
    shared: Shared,
}

/// Connections that reads do not have to themselves, with the statement of the list.
#[derive(Default)]
struct Shared {
    all: Vec<(Client, Statement)>,
    next: AtomicUsize,
}

impl Shared {
    async fn open(url: &str) -> Result<Self, Error> {
        let processors = thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let mut all = Vec::new();
        for _ in 0..processors {
            let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
            drop(tokio::spawn(connection));
            let statement = client.prepare(LIST_OF_TENANT).await?;
            all.push((client, statement));
        }
        let next = AtomicUsize::new(0);
        Ok(Self { all, next })
    }

    /// The next of them in turn; none where each read has a connection of its own.
    fn next(&self) -> Option<&(Client, Statement)> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        self.all.get(turn.checked_rem(self.all.len())?)
    }
}

/// Each request has one of the pool's connections.
pub(super) async fn router(url: &str, pool: usize) -> Result<Router, Error> {
    with(url, pool, Shared::default()).await
}

/// All reads share as many connections as there are processors.
pub(super) async fn sharing(url: &str, pool: usize) -> Result<Router, Error> {
    with(url, pool, Shared::open(url).await?).await
}

async fn with(url: &str, pool: usize, shared: Shared) -> Result<Router, Error> {
    let manager = Manager::new(url.parse()?, NoTls);
    let limit = Limit {
        pool: Pool::builder(manager).max_size(pool).build()?,
        tenants: tenants(url).await?,
        shared,
    };
    Ok(routed(get(list).post(add), Arc::new(limit)))
}

async fn list(
    State(limit): State<Arc<Limit>>,
    headers: HeaderMap,
) -> Result<Json<Vec<Product>>, StatusCode> {
    let tenant = tenant(&limit.tenants, &headers)?;
    if let Some((client, statement)) = limit.shared.next() {
        return listed(client, statement, tenant).await;
    }
    let client = limit
        .pool
        .get()
        .await
        .map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    let statement = client
        .prepare_cached(LIST_OF_TENANT)
        .await
        .map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?;
    listed(&client, &statement, tenant).await
}

async fn listed(
    client: &Client,
    statement: &Statement,
    tenant: Uuid,
) -> Result<Json<Vec<Product>>, StatusCode> {
    let failed = |_| StatusCode::INTERNAL_SERVER_ERROR;
    let rows = client.query(statement, &[&tenant]).await.map_err(failed)?;
    let products: Result<_, _> = rows.iter().map(read).collect();
    products.map(Json).map_err(failed)
}

async fn add(
    State(limit): State<Arc<Limit>>,
    headers: HeaderMap,
    Json(product): Json<Product>,
) -> Result<(StatusCode, Json<Product>), StatusCode> {
    let tenant = tenant(&limit.tenants, &headers)?;
    let mut client = limit
        .pool
        .get()
        .await
        .map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    let failed = |_| StatusCode::INTERNAL_SERVER_ERROR;
    let statement = client
        .prepare_cached(INSERT_OF_TENANT)
        .await
        .map_err(failed)?;
    let transaction = client.transaction().await.map_err(failed)?;
    let Product {
        id,
        name,
        code,
        price,
        added_by,
        added_on,
    } = &product;
    transaction
        .execute(
            &statement,
            &[&tenant, id, name, code, price, added_by, added_on],
        )
        .await
        .map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    Ok((StatusCode::CREATED, Json(product)))
}

fn read(row: &Row) -> Result<Product, tokio_postgres::Error> {
    Ok(Product {
        id: row.try_get(0)?,
        name: row.try_get(1)?,
        code: row.try_get(2)?,
        price: row.try_get(3)?,
        added_by: row.try_get(4)?,
        added_on: row.try_get(5)?,
    })
}
