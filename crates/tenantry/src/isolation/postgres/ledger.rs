//! Migrating one schema, and what its ledger says.

use std::collections::HashMap;

use sqlparser::{ast::Statement, dialect::PostgreSqlDialect, parser::Parser};
use tokio_postgres::Client;

use super::{as_owner, ask, ask_one, foreign, say, secure};
use crate::{
    db::{
        AUDIT_TABLE, DbError,
        postgres::{
            Server,
            scope::{CATALOG_SCHEMA, ROWS_SCHEMA, TENANT_COLUMN, literal, quoted},
        },
    },
    migrate::{Ledger, MigrateError, Migrations},
};

/// Tells what would be applied to the schema, and changes nothing.
pub(crate) async fn pending(
    server: &Server,
    database: &str,
    schema: &str,
    migrations: &Migrations,
) -> Result<Ledger, MigrateError> {
    let client = as_owner(server, database, schema).await?;
    Ledger::compare(migrations, read(&client, schema).await?)
}

/// Applies what is pending in the schema, all of it or nothing, and tells what it was.
pub(crate) async fn apply(
    server: &Server,
    database: &str,
    schema: &str,
    migrations: &Migrations,
) -> Result<Ledger, MigrateError> {
    let client = as_owner(server, database, schema).await?;
    let ledger = Ledger::compare(migrations, read(&client, schema).await?)?;
    if ledger.pending.is_empty() {
        return Ok(ledger);
    }
    // two that migrate the same schema do it one after the other, and the second finds it done
    let lock = format!(
        "SELECT pg_advisory_xact_lock(hashtext({}))",
        literal(&format!("tenantry:{schema}"))
    );
    say(&client, &lock).await?;
    say(
        &client,
        "CREATE TABLE IF NOT EXISTS tenantry_migrations (
            name text PRIMARY KEY, checksum text NOT NULL,
            applied_at timestamptz NOT NULL DEFAULT now())",
    )
    .await?;
    let ledger = Ledger::compare(migrations, read(&client, schema).await?)?;
    let shared = schema == ROWS_SCHEMA;
    for migration in migrations.iter() {
        if !ledger.pending.iter().any(|name| *name == migration.name) {
            continue;
        }
        let failed = |source| MigrateError::Failed {
            name: migration.name.to_string(),
            source: if shared { nobodys(source) } else { source },
        };
        if shared && changes_rows(&migration.sql) {
            let unforce = unforce(&client).await?;
            say(&client, &unforce).await.map_err(failed)?;
        }
        let sql = if shared {
            let led = foreign::led(&client).await?;
            let version = secure::server_version(&client).await?;
            foreign::rewrite(&migration.sql, led, version)
                .map_err(|what| failed(DbError::Engine(Box::new(what))))?
        } else {
            migration.sql.as_ref().into()
        };
        say(&client, &sql).await.map_err(failed)?;
        let record = format!(
            "INSERT INTO tenantry_migrations (name, checksum) VALUES ({}, {})",
            literal(&migration.name),
            literal(&migration.checksum)
        );
        say(&client, &record).await.map_err(failed)?;
        if shared {
            secure_all(server, &client).await.map_err(failed)?;
        }
    }
    // the catalog is the library's alone
    if !shared && schema != CATALOG_SCHEMA {
        say(&client, &grants(server, schema)).await?;
    }
    say(&client, "COMMIT").await?;
    Ok(ledger)
}

async fn read(client: &Client, schema: &str) -> Result<HashMap<String, String>, DbError> {
    let name = format!("{}.tenantry_migrations", quoted(schema));
    let exists = ask_one(client, "SELECT to_regclass($1) IS NOT NULL", &[&name]).await?;
    if !exists.get::<_, bool>(0) {
        return Ok(HashMap::new());
    }
    let rows = ask(
        client,
        "SELECT name, checksum FROM tenantry_migrations",
        &[],
    )
    .await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// What a statement fails with that gives shared tables rows of no tenant.
fn nobodys(error: DbError) -> DbError {
    match error {
        DbError::NotNull(what) if what.columns.iter().eq([TENANT_COLUMN]) => {
            DbError::Engine(Box::new(secure::Unsupported {
                what: format!("table {} would get rows of no tenant", what.table),
                hint: "tenants share it, and a migration is for all of them: give each its rows when it is made, by create_with, or afterwards in its own scope",
            }))
        }
        other => other,
    }
}

/// Whether a migration may touch rows besides tables: whatever is not plainly about tables alone.
fn changes_rows(sql: &str) -> bool {
    Parser::parse_sql(&PostgreSqlDialect {}, sql).map_or(true, |statements| {
        !statements.iter().all(|statement| match statement {
            Statement::CreateTable(create) => create.query.is_none(),
            Statement::AlterTable(_)
            | Statement::AlterIndex { .. }
            | Statement::AlterView { .. }
            | Statement::Comment { .. }
            | Statement::CreateDomain(_)
            | Statement::CreateExtension(_)
            | Statement::CreateFunction(_)
            | Statement::CreateIndex(_)
            | Statement::CreateSequence { .. }
            | Statement::CreateTrigger(_)
            | Statement::CreateType { .. }
            | Statement::CreateView(_)
            | Statement::Drop { .. }
            | Statement::DropFunction(_)
            | Statement::DropTrigger(_) => true,
            _ => false,
        })
    })
}

/// Lets the owner at every tenant's rows until the end of this transaction, which others only see
/// with the policies forced again.
async fn unforce(client: &Client) -> Result<String, DbError> {
    let sql = "SELECT format('ALTER TABLE %s NO FORCE ROW LEVEL SECURITY', c.oid::regclass)
             FROM pg_class c WHERE c.relnamespace = current_schema()::regnamespace
                AND c.relkind IN ('r', 'p') AND c.relforcerowsecurity";
    let rows = ask(client, sql, &[]).await?;
    let statements: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    Ok(statements.join("; "))
}

async fn secure_all(server: &Server, client: &Client) -> Result<(), DbError> {
    // a table on which a deferred check is still to be made cannot be altered
    say(client, "SET CONSTRAINTS ALL IMMEDIATE").await?;
    let steps = secure::plan(client, server.roles())
        .await
        .map_err(|error| match error {
            secure::SecureError::Db(error) => error,
            secure::SecureError::Unsupported(what) => DbError::Engine(Box::new(what)),
        })?;
    for step in steps {
        say(client, &step.sql).await?;
    }
    let sequences = format!(
        "GRANT USAGE ON ALL SEQUENCES IN SCHEMA {ROWS_SCHEMA} TO {}",
        quoted(&server.roles().app)
    );
    say(client, &sequences).await
}

/// What requests may do in a schema: everything with rows, nothing with tables.
fn grants(server: &Server, schema: &str) -> String {
    let (schema, app) = (quoted(schema), quoted(&server.roles().app));
    format!(
        "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {schema} TO {app};
         REVOKE ALL ON TABLE {schema}.tenantry_migrations FROM {app};
         DO $$ BEGIN
             IF to_regclass('{schema}.{AUDIT_TABLE}') IS NOT NULL THEN
                 REVOKE UPDATE, DELETE ON TABLE {schema}.{AUDIT_TABLE} FROM {app};
             END IF;
         END $$;
         GRANT USAGE ON ALL SEQUENCES IN SCHEMA {schema} TO {app}"
    )
}
