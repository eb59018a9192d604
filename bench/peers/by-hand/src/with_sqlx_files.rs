//! On sqlx and SQLite, with a file for each tenant and the least lately used of them closed.

use std::{
    collections::HashSet,
    fs,
    num::NonZeroUsize,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::get,
};
use lru::LruCache;
use rust_decimal::Decimal;
use sqlx::{
    Row, SqlitePool,
    sqlite::{
        SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
    },
};

use crate::{
    shared::{Failure, code, failed},
    with_sqlx::Product,
};

struct App {
    folder: PathBuf,
    tenants: HashSet<String>,
    open: Mutex<LruCache<String, SqlitePool>>,
}

pub fn router(folder: PathBuf, most: NonZeroUsize) -> Result<Router, Failure> {
    let names = fs::read_dir(&folder)?
        .flatten()
        .map(|entry| entry.file_name());
    let tenants = names.filter_map(|name| Some(name.to_str()?.strip_suffix(".db")?.to_owned()));
    let app = App {
        tenants: tenants.collect(),
        folder,
        open: Mutex::new(LruCache::new(most)),
    };
    Ok(Router::new()
        .route("/api/products", get(list).post(add))
        .with_state(Arc::new(app)))
}

impl App {
    /// The pool of the tenant's file, which is opened when it is first asked.
    fn of(&self, headers: &HeaderMap) -> Result<SqlitePool, StatusCode> {
        let code = code(headers)?;
        if !self.tenants.contains(code) {
            return Err(StatusCode::NOT_FOUND);
        }
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = open.get(code) {
            return Ok(found.clone());
        }
        let options = SqliteConnectOptions::new()
            .filename(self.folder.join(code).with_extension("db"))
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .pragma("cache_size", "-1024");
        let pool = SqlitePoolOptions::new()
            // as all by hand have: each further one is a thread more, and a file has one writer
            .max_connections(1)
            .test_before_acquire(false)
            .connect_lazy_with(options);
        // not `close`, which would fail whoever is about to use it: it closes when the last lets go
        drop(open.push(code.to_owned(), pool.clone()));
        Ok(pool)
    }
}

async fn list(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
) -> Result<Json<Vec<Product>>, StatusCode> {
    let pool = app.of(&headers)?;
    let products = sqlx::query(
        "SELECT id, name, code, price, added_by, added_on FROM products ORDER BY name LIMIT 20",
    )
    .try_map(read)
    .fetch_all(&pool)
    .await;
    products.map(Json).map_err(failed)
}

async fn add(
    State(app): State<Arc<App>>,
    headers: HeaderMap,
    Json(product): Json<Product>,
) -> Result<(StatusCode, Json<Product>), StatusCode> {
    let pool = app.of(&headers)?;
    let mut transaction = pool.begin().await.map_err(failed)?;
    sqlx::query(
        "INSERT INTO products (id, name, code, price, added_by, added_on) \
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(product.id)
    .bind(&product.name)
    .bind(&product.code)
    .bind(product.price.to_string())
    .bind(product.added_by)
    .bind(product.added_on)
    .execute(&mut *transaction)
    .await
    .map_err(failed)?;
    transaction.commit().await.map_err(failed)?;
    Ok((StatusCode::CREATED, Json(product)))
}

fn read(row: SqliteRow) -> sqlx::Result<Product> {
    let price: &str = row.try_get(3)?;
    Ok(Product {
        id: row.try_get(0)?,
        name: row.try_get(1)?,
        code: row.try_get(2)?,
        price: price
            .parse::<Decimal>()
            .map_err(|error| sqlx::Error::Decode(error.into()))?,
        added_by: row.try_get(4)?,
        added_on: row.try_get(5)?,
    })
}
