//! Which columns a unique constraint is over, where row-level security keeps PostgreSQL from
//! telling.

use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
};

use super::{
    error::translate,
    scope::{ROWS_SCHEMA, TENANT_COLUMN},
    server::Server,
};
use crate::db::{DbError, Violation};

/// The columns of the shared tables' unique constraints, by the constraint's name, without the
/// tenant's.
#[derive(Default)]
pub(super) struct Constraints(RwLock<HashMap<String, Vec<String>>>);

impl Constraints {
    fn get(&self, name: &str) -> Option<Vec<String>> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.get(name).cloned()
    }
}

/// Adds to a violation what columns it is about, where PostgreSQL keeps that to itself because a
/// policy is on the table: in the shared tables. It is asked for once for each constraint, on a connection beside the pool: the one that failed may be in a transaction
/// that can answer nothing more.
pub(super) async fn complete(server: &Server, error: DbError) -> DbError {
    let DbError::Unique(violation) = error else {
        return error;
    };
    let Some(name) = violation
        .constraint
        .clone()
        .filter(|_| violation.columns.is_empty())
    else {
        return DbError::Unique(violation);
    };
    if server.constraints().get(&name).is_none()
        && let Err(error) = load(server).await
    {
        tracing::warn!(%error, "a constraint's columns cannot be looked up");
    }
    DbError::Unique(Violation {
        columns: server.constraints().get(&name).unwrap_or_default(),
        ..violation
    })
}

async fn load(server: &Server) -> Result<(), DbError> {
    let client = server.connect(&server.home()).await?;
    let sql = format!(
        "SELECT i.relname::text, ARRAY(
            SELECT a.attname::text FROM unnest(x.indkey::int2[]) WITH ORDINALITY k(num, n)
                JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = k.num
            WHERE k.n <= x.indnkeyatts AND a.attname <> '{TENANT_COLUMN}' ORDER BY k.n)
         FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid
         WHERE x.indisunique AND i.relnamespace = '{ROWS_SCHEMA}'::regnamespace"
    );
    let rows = client.query_typed(&sql, &[]).await.map_err(translate)?;
    let mut known = server
        .constraints()
        .0
        .write()
        .unwrap_or_else(PoisonError::into_inner);
    *known = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    Ok(())
}
