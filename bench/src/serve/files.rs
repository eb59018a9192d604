//! By hand on SQLite, with a file for each tenant and the least lately used of them closed.

use std::{
    collections::HashSet,
    fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::{
    Json, Router,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::get,
};
use chrono::{DateTime, Utc};
use lru::LruCache;
use rusqlite::{Connection, Row, types::Type};
use rust_decimal::Decimal;
use uuid::Uuid;

use super::routed;
use crate::{
    Error,
    data::{INSERT, LIST, Product},
};

/// Where the work is done that waits for a disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Threads {
    /// On those that are for it: the runtime's others go on meanwhile.
    Blocking,
    /// On the runtime's own, where whoever else is on the same waits too.
    Own,
}

type Opened = Arc<Mutex<Connection>>;

struct Files {
    folder: PathBuf,
    tenants: HashSet<String>,
    open: Mutex<LruCache<String, Opened>>,
    threads: Threads,
}

/// Where a tenant's file is.
pub(crate) fn path(folder: &Path, code: &str) -> PathBuf {
    folder.join(format!("{code}.db"))
}

/// Opens a tenant's file, as tenantry does.
pub(crate) fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "cache_size", -1024)?;
    Ok(connection)
}

pub(super) fn router(folder: &Path, most: usize, threads: Threads) -> Result<Router, Error> {
    let entries = fs::read_dir(folder).map_err(Error::io("looking for the tenants' files"))?;
    let names = entries.flatten().map(|entry| entry.file_name());
    let tenants = names.filter_map(|name| Some(name.to_str()?.strip_suffix(".db")?.to_owned()));
    let files = Files {
        folder: folder.to_owned(),
        tenants: tenants.collect(),
        open: Mutex::new(LruCache::new(
            NonZeroUsize::new(most).unwrap_or(NonZeroUsize::MIN),
        )),
        threads,
    };
    Ok(routed(get(list).post(add), Arc::new(files)))
}

impl Files {
    fn all_open(&self) -> MutexGuard<'_, LruCache<String, Opened>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The tenant's file, opened now if it is not.
    fn of(&self, code: &str) -> rusqlite::Result<Opened> {
        if let Some(found) = self.all_open().get(code) {
            return Ok(found.clone());
        }
        let opened = Arc::new(Mutex::new(open(&path(&self.folder, code))?));
        // whoever it takes the place of is closed when the lock is let go
        let closed = self.all_open().push(code.to_owned(), opened.clone());
        drop(closed);
        Ok(opened)
    }

    /// Does something with the file of the tenant that the header names.
    async fn with<T: Send + 'static>(
        self: Arc<Self>,
        headers: &HeaderMap,
        work: impl FnOnce(&mut Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, StatusCode> {
        let code = headers
            .get("tenant-code")
            .and_then(|code| code.to_str().ok());
        let code = code.filter(|code| self.tenants.contains(*code));
        let code = code.ok_or(StatusCode::NOT_FOUND)?.to_owned();
        let threads = self.threads;
        let work = move || {
            let file = self.of(&code)?;
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            work(&mut file)
        };
        let failed = |_: rusqlite::Error| StatusCode::INTERNAL_SERVER_ERROR;
        match threads {
            Threads::Own => work().map_err(failed),
            Threads::Blocking => {
                let done = tokio::task::spawn_blocking(work).await;
                done.map_err(|_| StatusCode::INTERNAL_SERVER_ERROR)?
                    .map_err(failed)
            }
        }
    }
}

async fn list(
    State(files): State<Arc<Files>>,
    headers: HeaderMap,
) -> Result<Json<Vec<Product>>, StatusCode> {
    let products = files.with(&headers, |file| {
        let mut statement = file.prepare_cached(LIST)?;
        let rows = statement.query_map([], read)?;
        rows.collect()
    });
    products.await.map(Json)
}

async fn add(
    State(files): State<Arc<Files>>,
    headers: HeaderMap,
    Json(product): Json<Product>,
) -> Result<(StatusCode, Json<Product>), StatusCode> {
    let added = files.with(&headers, |file| {
        let transaction = file.transaction()?;
        insert(&transaction, &product)?;
        transaction.commit()?;
        Ok(product)
    });
    Ok((StatusCode::CREATED, Json(added.await?)))
}

/// Adds a product to a tenant's file.
pub(crate) fn insert(file: &Connection, product: &Product) -> rusqlite::Result<()> {
    let mut statement = file.prepare_cached(INSERT)?;
    statement.execute((
        product.id.as_bytes(),
        &product.name,
        &product.code,
        product.price.to_string(),
        product.added_by.as_ref().map(Uuid::as_bytes),
        product.added_on.to_rfc3339(),
    ))?;
    Ok(())
}

fn read(row: &Row<'_>) -> rusqlite::Result<Product> {
    Ok(Product {
        id: Uuid::from_bytes(row.get(0)?),
        name: row.get(1)?,
        code: row.get(2)?,
        price: price(row.get_ref(3)?.as_str()?)?,
        added_by: row.get::<_, Option<_>>(4)?.map(Uuid::from_bytes),
        added_on: moment(row.get_ref(5)?.as_str()?)?,
    })
}

fn price(text: &str) -> rusqlite::Result<Decimal> {
    text.parse().map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(
            3,
            Type::Text,
            Box::<rust_decimal::Error>::new(error),
        )
    })
}

fn moment(text: &str) -> rusqlite::Result<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(text)
        .map(|moment| moment.to_utc())
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(5, Type::Text, Box::new(error)))
}
