//! A tenant's place on a server: made, looked for, and removed.

use std::sync::Arc;

use tokio_postgres::{Client, Row, types::Type};

use super::{as_owner, ask, ask_one, ledger::LOCK_TIMEOUT, say};
use crate::{
    db::{
        DbError,
        postgres::{
            Server,
            scope::{self, DATABASE_SCHEMA, ROWS_SCHEMA, literal, quoted},
        },
        transfer::{CARRYING, triggers_on_server},
    },
    tenant::{Isolation, TenantId},
};

/// How many tables are dropped at a time: each takes locks, of which a server has not many.
const DROPPED_AT_ONCE: usize = 50;

/// Makes the tenant's place, where it has one of its own, empty of tables. It can be done again
/// after a failure.
pub(crate) async fn provision(
    server: &Arc<Server>,
    isolation: Isolation,
    id: TenantId,
) -> Result<(), DbError> {
    let (owner, app) = (quoted(&server.roles().owner), quoted(&server.roles().app));
    match isolation {
        // its tables come first, and are there
        Isolation::Rows => Ok(()),
        Isolation::Schema => {
            let client = server.owner(&server.home()).await?;
            let sql = format!(
                "BEGIN; SET LOCAL ROLE {owner}; \
                 CREATE SCHEMA IF NOT EXISTS {name}; GRANT USAGE ON SCHEMA {name} TO {app}; COMMIT",
                name = quoted(&scope::schema_name(id))
            );
            say(&client, &sql).await?;
            client.ended();
            Ok(())
        }
        Isolation::Database => {
            let database = scope::database_name(server, id);
            if let Some(comment) = comment_on(server, &database).await? {
                is_ours(server, &database, comment.as_deref())?;
            } else {
                let client = server.connect(&server.home()).await?;
                let name = quoted(&database);
                say(
                    &client,
                    &format!("CREATE DATABASE {name} OWNER {owner} TEMPLATE template0"),
                )
                .await?;
            }
            let client = server.connect(&database).await?;
            let sql = format!(
                "BEGIN; SET LOCAL ROLE {owner};
                 REVOKE CONNECT, TEMPORARY ON DATABASE {name} FROM PUBLIC;
                 GRANT CONNECT ON DATABASE {name} TO {app};
                 CREATE SCHEMA IF NOT EXISTS {DATABASE_SCHEMA};
                 GRANT USAGE ON SCHEMA {DATABASE_SCHEMA} TO {app};
                 {mark};
                 COMMIT",
                name = quoted(&database),
                mark = mark(server, &database),
            );
            say(&client, &sql).await
        }
        Isolation::File => Err(not_here()),
    }
}

/// Whether the tenant's place is there.
pub(crate) async fn exists(
    server: &Arc<Server>,
    isolation: Isolation,
    id: TenantId,
) -> Result<bool, DbError> {
    match isolation {
        Isolation::Rows => schema_exists(server, ROWS_SCHEMA).await,
        Isolation::Schema => schema_exists(server, &scope::schema_name(id)).await,
        Isolation::Database => database_exists(server, &scope::database_name(server, id)).await,
        Isolation::File => Err(not_here()),
    }
}

/// Refuses a database of the tenant's name that another deployment has for its own. A copy of this
/// one's catalog, say, names the same tenants, whose databases are the server's.
pub(crate) async fn check_whose(server: &Arc<Server>, id: TenantId) -> Result<(), DbError> {
    let database = scope::database_name(server, id);
    match comment_on(server, &database).await? {
        Some(comment) => is_ours(server, &database, comment.as_deref()),
        None => Ok(()),
    }
}

/// The database's comment, if there is the database.
async fn comment_on(
    server: &Arc<Server>,
    database: &str,
) -> Result<Option<Option<String>>, DbError> {
    let sql = "SELECT pg_catalog.shobj_description(oid, 'pg_database')
        FROM pg_catalog.pg_database WHERE datname = $1";
    let rows = ask_pooled(server, sql, database).await?;
    Ok(rows.first().map(|row| row.get(0)))
}

/// One without a comment was made a moment ago, by a process that was killed then.
fn is_ours(server: &Server, database: &str, comment: Option<&str>) -> Result<(), DbError> {
    match comment {
        Some(comment) if comment != marked(server) => Err(DbError::Denied(format!(
            "the database {database} is another deployment's: it is marked as \"{comment}\" \
             (if it is this one's, say: {})",
            mark(server, database)
        ))),
        _ => Ok(()),
    }
}

/// What says that a database is this deployment's.
pub(super) fn marked(server: &Server) -> String {
    format!("tenantry: a tenant of {}", server.deployment())
}

fn mark(server: &Server, database: &str) -> String {
    format!(
        "COMMENT ON DATABASE {} IS {}",
        quoted(database),
        literal(&marked(server))
    )
}

/// How many bytes the tenant's tables take on the disk, where that can be told: rows in shared
/// tables cannot be told apart so.
pub(crate) async fn size(
    server: &Server,
    isolation: Isolation,
    id: TenantId,
) -> Result<Option<u64>, DbError> {
    let (sql, name) = match isolation {
        Isolation::Schema => (
            "SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class
             WHERE relnamespace = to_regnamespace($1::text) AND relkind IN ('r', 'm', 'S')",
            quoted(&scope::schema_name(id)),
        ),
        Isolation::Database => (
            "SELECT pg_database_size(datname) FROM pg_database WHERE datname = $1::text",
            scope::database_name(server, id),
        ),
        Isolation::Rows | Isolation::File => return Ok(None),
    };
    let client = server.connect(&server.home()).await?;
    let rows = ask(&client, sql, &[&name]).await?;
    let bytes = rows.first().and_then(|row| row.get::<_, Option<i64>>(0));
    Ok(bytes.and_then(|bytes| u64::try_from(bytes).ok()))
}

/// Removes all that the tenant has. Nothing there is fine too.
pub(crate) async fn remove(
    server: &Arc<Server>,
    isolation: Isolation,
    id: TenantId,
) -> Result<(), DbError> {
    match isolation {
        Isolation::Rows => remove_rows(server, id).await,
        Isolation::Schema => remove_schema(server, &scope::schema_name(id)).await,
        Isolation::Database => {
            let database = scope::database_name(server, id);
            check_whose(server, id).await?;
            server.leave(&database);
            let client = server.connect(&server.home()).await?;
            let sql = format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", quoted(&database));
            say(&client, &sql).await
        }
        Isolation::File => Err(not_here()),
    }
}

async fn schema_exists(server: &Arc<Server>, schema: &str) -> Result<bool, DbError> {
    let sql = "SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1)";
    is_there(server, sql, schema).await
}

async fn database_exists(server: &Arc<Server>, database: &str) -> Result<bool, DbError> {
    let sql = "SELECT EXISTS (SELECT FROM pg_catalog.pg_database WHERE datname = $1)";
    is_there(server, sql, database).await
}

async fn is_there(server: &Arc<Server>, sql: &str, name: &str) -> Result<bool, DbError> {
    let rows = ask_pooled(server, sql, name).await?;
    Ok(rows.first().is_some_and(|row| row.get(0)))
}

/// Asks on one of the connections that requests have: it is asked for each tenant that is used for the
/// first time, and a connection that is opened for it would take longer than all the rest.
async fn ask_pooled(server: &Arc<Server>, sql: &str, name: &str) -> Result<Vec<Row>, DbError> {
    match server.ask(sql, &[(&name, Type::TEXT)]).await {
        Err(error)
            if !matches!(
                error,
                DbError::Busy | DbError::Closed | DbError::Unavailable(_)
            ) =>
        {
            // where nothing has been set up there are no such connections, as their role is missing
            let client = server.owner(&server.home()).await?;
            let rows = ask(&client, sql, &[name]).await?;
            client.ended();
            Ok(rows)
        }
        asked => asked,
    }
}

/// Deletes the tenant's rows from every table, in one statement: foreign keys are looked at when it
/// ends, so tables can refer to each other in any order, and in circles. Where triggers write others, once more;
/// and where they keep some, or refuse it, without those.
async fn remove_rows(server: &Arc<Server>, id: TenantId) -> Result<(), DbError> {
    if !schema_exists(server, ROWS_SCHEMA).await? {
        return Ok(());
    }
    let client = as_owner(server, &server.home(), ROWS_SCHEMA).await?;
    // the owner, too, sees only the tenant that the scope names
    let scope = format!("SET LOCAL tenantry.tenant = '{id}'; SET LOCAL {CARRYING} = 'on'");
    say(&client, &format!("{scope}; SET CONSTRAINTS ALL IMMEDIATE")).await?;
    let tables = table_names(&client, ROWS_SCHEMA).await?;
    let functions = "DO $$ BEGIN IF to_regclass('tenantry_functions') IS NOT NULL THEN
            DELETE FROM tenantry_functions WHERE tenant_id = tenantry.current_tenant();
        END IF; END $$";
    say(&client, functions).await?;
    if tables.is_empty() {
        return say(&client, "COMMIT").await;
    }
    let each = |what: fn(usize, String) -> String, between: &str| {
        let tables = tables.iter().map(|table| quoted(table)).enumerate();
        let said: Vec<String> = tables.map(|(number, table)| what(number, table)).collect();
        said.join(between)
    };
    let deletions = each(
        |number, table| format!("d{number} AS (DELETE FROM {table})"),
        ", ",
    );
    let left = each(|_, table| format!("EXISTS (SELECT FROM {table})"), " OR ");
    let (delete, look) = (format!("WITH {deletions} SELECT"), format!("SELECT {left}"));
    say(&client, "SAVEPOINT whole").await?;
    let mut outcome = delete_all(&client, &delete, &look).await;
    if let Ok(true) = outcome {
        // what was written meanwhile
        outcome = delete_all(&client, &delete, &look).await;
    }
    match outcome {
        Ok(false) => {}
        Err(
            error @ (DbError::Busy | DbError::Closed | DbError::Timeout | DbError::Unavailable(_)),
        ) => return Err(error),
        Ok(true) | Err(_) => {
            // with it go the locks that others would have to wait for longer
            say(&client, "ROLLBACK TO whole").await?;
            let triggers = triggers_on_server(&client).await?;
            let triggers: Vec<_> = triggers.iter().filter(|one| one.on_delete).collect();
            say(&client, LOCK_TIMEOUT).await?;
            for trigger in &triggers {
                say(&client, &trigger.quiet).await?;
            }
            say(&client, "SET LOCAL lock_timeout TO DEFAULT").await?;
            if delete_all(&client, &delete, &look).await? {
                return Err(DbError::Engine("rows are kept that are deleted".into()));
            }
            for trigger in &triggers {
                say(&client, &trigger.again).await?;
            }
        }
    }
    say(&client, "COMMIT").await
}

/// Whether something is left.
async fn delete_all(client: &Client, delete: &str, look: &str) -> Result<bool, DbError> {
    say(client, delete).await?;
    Ok(ask_one(client, look, &[]).await?.get(0))
}

async fn remove_schema(server: &Arc<Server>, schema: &str) -> Result<(), DbError> {
    if !schema_exists(server, schema).await? {
        return Ok(());
    }
    let client = as_owner(server, &server.home(), schema).await?;
    let tables = table_names(&client, schema).await?;
    for some in tables.chunks(DROPPED_AT_ONCE) {
        let names: Vec<String> = some
            .iter()
            .map(|table| format!("{}.{}", quoted(schema), quoted(table)))
            .collect();
        let begin = scope::owner(server, schema);
        say(
            &client,
            &format!(
                "DROP TABLE IF EXISTS {} CASCADE; COMMIT; {begin}",
                names.join(", ")
            ),
        )
        .await?;
    }
    let sql = format!("DROP SCHEMA IF EXISTS {} CASCADE; COMMIT", quoted(schema));
    say(&client, &sql).await
}

async fn table_names(client: &Client, schema: &str) -> Result<Vec<String>, DbError> {
    let sql = "SELECT c.relname::text FROM pg_class c
         WHERE c.relnamespace = $1::regnamespace AND c.relkind IN ('r', 'p')
            AND NOT c.relispartition AND (c.relname NOT LIKE 'tenantry\\_%' OR $1 <> $2)
         ORDER BY c.relname";
    let rows = ask(client, sql, &[&quoted(schema), &quoted(ROWS_SCHEMA)]).await?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

fn not_here() -> DbError {
    DbError::Engine("a file is not on a server".into())
}
