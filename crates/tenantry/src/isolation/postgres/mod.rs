//! Tenants on PostgreSQL: their rows in shared tables, a schema each, or a database each.

pub(crate) mod at_once;
mod audit;
mod foreign;
mod ledger;
mod place;
mod secure;
mod set_up;
mod survey;

pub use audit::Finding;
pub(crate) use audit::audit;
pub(crate) use ledger::{apply, make_functions, pending, ran, ran_for_all, record};
pub(crate) use place::{check_whose, exists, provision, remove, size};
pub(crate) use set_up::{SetUpError, is_set_up, set_up};
pub(crate) use survey::places;

use tokio_postgres::{
    Client, Row,
    types::{ToSql, Type},
};

use crate::db::{
    DbError,
    postgres::{Server, owners::OwnerConn, scope, translate},
};

/// A connection of the library's own, in a transaction as the owner of a schema's tables.
pub(crate) async fn as_owner(
    server: &Server,
    database: &str,
    schema: &str,
) -> Result<OwnerConn, DbError> {
    let client = server.owner(database).await?;
    say(&client, &scope::owner(server, schema)).await?;
    Ok(client)
}

pub(crate) async fn say(client: &Client, sql: &str) -> Result<(), DbError> {
    client.batch_execute(sql).await.map_err(translate)
}

/// Asks something, with texts for parameters. Behind a pooler every question may go to another
/// backend, so nothing is prepared by name.
pub(crate) async fn ask(client: &Client, sql: &str, params: &[&str]) -> Result<Vec<Row>, DbError> {
    let params: Vec<(&(dyn ToSql + Sync), Type)> = params
        .iter()
        .map(|param| (param as &(dyn ToSql + Sync), Type::TEXT))
        .collect();
    client.query_typed(sql, &params).await.map_err(translate)
}

/// Asks for what is one row.
pub(crate) async fn ask_one(client: &Client, sql: &str, params: &[&str]) -> Result<Row, DbError> {
    let mut rows = ask(client, sql, params).await?;
    rows.pop().ok_or(DbError::NotFound)
}
