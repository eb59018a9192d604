//! Which tenants have something on a server.

use super::{as_owner, ask, place::marked, say};
use crate::{
    db::{
        DbError,
        postgres::{
            Server,
            scope::{ROWS_SCHEMA, TENANT_COLUMN, literal, quoted},
        },
    },
    tenant::{Isolation, TenantId},
};

/// How long a shared table that is in use is waited for.
const PATIENCE: &str = "2s";

/// Every place and every tenant's rows that this deployment's owner has on the server, whoever they
/// are of.
pub(crate) async fn places(server: &Server) -> Result<Vec<(Isolation, TenantId)>, DbError> {
    let client = server.connect(&server.home()).await?;
    let owner = &server.roles().owner;
    let mut found = Vec::new();
    let schemas = "SELECT substr(nspname, 3)::text FROM pg_namespace
         WHERE nspname ~ '^t_[0-9a-f]{32}$' AND pg_get_userbyid(nspowner) = $1";
    for row in ask(&client, schemas, &[owner]).await? {
        found.extend(parsed(Isolation::Schema, row.get(0)));
    }
    let databases = "SELECT right(datname, 32)::text FROM pg_database
         WHERE left(datname, -32) = $2 AND right(datname, 32) ~ '^[0-9a-f]{32}$'
            AND pg_get_userbyid(datdba) = $1
            AND shobj_description(oid, 'pg_database') = $3";
    let before = format!("{}_t_", server.project());
    let ours = marked(server);
    for row in ask(&client, databases, &[owner, &before, &ours]).await? {
        found.extend(parsed(Isolation::Database, row.get(0)));
    }
    let tables = "SELECT c.relname::text FROM pg_class c
            JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = $2 AND NOT a.attisdropped
         WHERE c.relnamespace = to_regnamespace($1) AND c.relkind IN ('r', 'p')
            AND NOT c.relispartition AND c.relname NOT LIKE 'tenantry\\_%' ORDER BY c.relname";
    let mut shared: Vec<String> = Vec::new();
    for row in ask(&client, tables, &[ROWS_SCHEMA, TENANT_COLUMN]).await? {
        shared.extend(whose_rows(server, row.get(0)).await?);
    }
    shared.sort();
    shared.dedup();
    found.extend(shared.iter().filter_map(|id| parsed(Isolation::Rows, id)));
    Ok(found)
}

fn parsed(isolation: Isolation, id: &str) -> Option<(Isolation, TenantId)> {
    Some((isolation, id.parse().ok()?))
}

/// Whose rows there are in a shared table. Even its owner sees those of one tenant alone, unless the
/// table says otherwise: that is said in a transaction of its own, in which the table is locked, and
/// which is undone. The ids are found by skipping from one to the next in the index that begins
/// with them.
async fn whose_rows(server: &Server, table: &str) -> Result<Vec<String>, DbError> {
    let client = as_owner(server, &server.home(), ROWS_SCHEMA).await?;
    let (table, column) = (quoted(table), quoted(TENANT_COLUMN));
    let past = format!(
        "SET LOCAL lock_timeout = {}; ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY",
        literal(PATIENCE)
    );
    let skip = format!(
        "WITH RECURSIVE t(id) AS (
            (SELECT {column} FROM {table} ORDER BY {column} LIMIT 1)
            UNION ALL
            SELECT (SELECT {column} FROM {table} WHERE {column} > t.id ORDER BY {column} LIMIT 1)
            FROM t WHERE t.id IS NOT NULL
        ) SELECT id::text FROM t WHERE id IS NOT NULL"
    );
    let looked = async {
        say(&client, &past).await?;
        ask(&client, &skip, &[]).await
    }
    .await;
    // it ends here or with the connection, and in both cases nothing of it stays
    say(&client, "ROLLBACK").await?;
    client.ended();
    Ok(looked?.iter().map(|row| row.get(0)).collect())
}
