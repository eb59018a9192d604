//! Migrating one schema, and what its ledger says.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use sqlparser::{ast::Statement, dialect::PostgreSqlDialect, parser::Parser};
use tokio_postgres::{Client, SimpleQueryMessage};

use super::{as_owner, ask, ask_one, at_once::Alike, foreign, say, secure};
use crate::{
    db::{
        AUDIT_TABLE, DbError,
        postgres::{
            Server,
            scope::{self, CATALOG_SCHEMA, ROWS_SCHEMA, TENANT_COLUMN, literal, quoted},
            translate,
        },
    },
    migrate::{Dialect, Ledger, MigrateError, Migration, Migrations, Progress},
    tenant::{Isolation, TenantId},
};

/// How long a migration waits for those who use a table, before it lets them go first: meanwhile
/// everybody who comes after it waits as well.
pub(super) const LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '3s'";
/// How often it tries, and how long after.
const TRIES: u32 = 5;
const BETWEEN: Duration = Duration::from_millis(500);

/// Makes the ledger, where there is none.
pub(super) const TABLE: &str = "CREATE TABLE IF NOT EXISTS tenantry_migrations (
    name text PRIMARY KEY, checksum text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())";

/// Which functions have run for which of the tenants that share tables.
const FUNCTIONS: &str = "CREATE TABLE IF NOT EXISTS tenantry_functions (
    tenant_id uuid, name text, PRIMARY KEY (tenant_id, name))";

/// Tells what would be applied to the schema, and changes nothing.
pub(crate) async fn pending(
    server: &Server,
    database: &str,
    schema: &str,
    migrations: &Migrations,
) -> Result<Ledger, MigrateError> {
    let client = as_owner(server, database, schema).await?;
    let name = format!("{}.tenantry_migrations", quoted(schema));
    let exists = ask_one(&client, "SELECT to_regclass($1) IS NOT NULL", &[&name]).await?;
    let applied = if exists.get(0) {
        let sql = "SELECT name, checksum FROM tenantry_migrations";
        let rows = ask(&client, sql, &[]).await?;
        rows.iter().map(|row| (row.get(0), row.get(1))).collect()
    } else {
        HashMap::new()
    };
    say(&client, "ROLLBACK").await?;
    client.ended();
    Ledger::compare(migrations, Dialect::Postgres, applied)
}

/// Applies what is pending in the schema up to the next function: to a new schema all of it in one
/// transaction, later ones in one each. A table that stays in use is tried again for a while.
pub(crate) async fn apply(
    server: &Server,
    database: &str,
    schema: &str,
    migrations: &Migrations,
) -> Result<Progress, MigrateError> {
    let mut progress = Progress::default();
    let mut tries = 0;
    loop {
        match apply_next(server, database, schema, migrations, &mut progress).await {
            Ok(true) => return Ok(progress),
            Ok(false) => {}
            Err(
                MigrateError::Db(DbError::Busy)
                | MigrateError::Failed {
                    source: DbError::Busy,
                    ..
                },
            ) if tries < TRIES => {
                tries += 1;
                tokio::time::sleep(BETWEEN).await;
            }
            Err(error) => return Err(error),
        }
    }
}

/// Applies the next, and tells whether it was the last.
async fn apply_next(
    server: &Server,
    database: &str,
    schema: &str,
    migrations: &Migrations,
    progress: &mut Progress,
) -> Result<bool, MigrateError> {
    let client = server.owner(database).await?;
    let begin = format!(
        "{}; {}; {LOCK_TIMEOUT}; {TABLE}; SELECT name, checksum FROM tenantry_migrations",
        scope::owner(server, schema),
        lock(schema),
    );
    let applied = read(&client, &begin).await?;
    let is_new = applied.is_empty();
    let ledger = Ledger::compare(migrations, Dialect::Postgres, applied.clone())?;
    progress.ahead = ledger.ahead;
    let shared = schema == ROWS_SCHEMA;
    if progress.applied.is_empty() && !is_new && !shared && !ledger.ahead {
        progress.alike = Alike::new(&applied, &ledger.pending, migrations);
    }
    let mut done = Vec::new();
    for name in &ledger.pending {
        let Some(migration) = migrations.get(name) else {
            break;
        };
        let Some(sql) = migration.postgres() else {
            if done.is_empty() {
                progress.function = Some(name.clone());
            }
            break;
        };
        let failed = |source| MigrateError::Failed {
            name: name.clone(),
            source,
        };
        let record = record_of(migration);
        if shared {
            apply_shared(server, &client, sql, &record)
                .await
                .map_err(|source| failed(nobodys(source)))?;
        } else {
            // the end of a comment is the end of its line
            let mut all = format!("{sql}\n;{record}");
            // the catalog is the library's alone
            if schema != CATALOG_SCHEMA && (is_new || makes_tables(sql)) {
                all.push(';');
                all.push_str(&grants(server, schema));
            }
            if !is_new {
                all.push_str("; COMMIT");
            }
            say(&client, &all).await.map_err(failed)?;
        }
        done.push(name.clone());
        if !is_new {
            break;
        }
    }
    if is_new || shared || done.is_empty() {
        let failed = |source| match done.last() {
            // a deferred constraint speaks up at the end
            Some(name) => MigrateError::Failed {
                name: name.clone(),
                source,
            },
            None => MigrateError::Db(source),
        };
        say(&client, "COMMIT").await.map_err(failed)?;
    }
    client.ended();
    let is_last = progress.function.is_some() || done.len() == ledger.pending.len();
    progress.applied.extend(done);
    Ok(is_last)
}

async fn apply_shared(
    server: &Server,
    client: &Client,
    sql: &str,
    record: &str,
) -> Result<(), DbError> {
    if changes_rows(sql) {
        let unforce = unforce(client).await?;
        say(client, &unforce).await?;
    }
    let led = foreign::led(client).await?;
    let version = secure::server_version(client).await?;
    let sql =
        foreign::rewrite(sql, led, version).map_err(|what| DbError::Engine(Box::new(what)))?;
    say(client, &sql).await?;
    say(client, record).await?;
    secure_all(server, client).await
}

/// Two that migrate the same schema do it one after the other, and the second finds it done.
pub(super) fn lock(schema: &str) -> String {
    let name = literal(&format!("tenantry:{schema}"));
    format!("SELECT pg_advisory_xact_lock(hashtext({name}))")
}

/// Notes that it is applied.
pub(super) fn record_of(migration: &Migration) -> String {
    format!(
        "INSERT INTO tenantry_migrations (name, checksum) VALUES ({}, {})",
        literal(&migration.name),
        literal(migration.checksum(Dialect::Postgres))
    )
}

/// Begins by saying several statements, the last of which reads the ledger.
async fn read(client: &Client, sql: &str) -> Result<HashMap<String, String>, DbError> {
    let mut applied = HashMap::new();
    for message in client.simple_query(sql).await.map_err(translate)? {
        if let SimpleQueryMessage::Row(row) = message
            && let (Ok(Some(name)), Ok(Some(checksum))) =
                (row.try_get("name"), row.try_get("checksum"))
        {
            applied.insert(name.to_owned(), checksum.to_owned());
        }
    }
    Ok(applied)
}

/// What a function's transaction says of itself: first who the owner is and that it has run, which
/// fails when it has, or waits for whoever is at it; then who asks again.
pub(crate) fn record(
    server: &Server,
    isolation: Isolation,
    name: &str,
    id: TenantId,
) -> Vec<String> {
    let (owner, app) = (quoted(&server.roles().owner), quoted(&server.roles().app));
    let insert = match isolation {
        Isolation::Rows => format!(
            "INSERT INTO tenantry_functions (tenant_id, name) VALUES ('{id}', {})",
            literal(name)
        ),
        _ => format!(
            "INSERT INTO tenantry_migrations (name, checksum) VALUES ({}, 'function')",
            literal(name)
        ),
    };
    vec![
        format!("SET LOCAL ROLE {owner}"),
        insert,
        format!("SET LOCAL ROLE {app}"),
    ]
}

/// Makes the list of the functions that have run for tenants in shared tables.
pub(crate) async fn make_functions(server: &Server) -> Result<(), DbError> {
    let client = as_owner(server, &server.home(), ROWS_SCHEMA).await?;
    say(&client, &format!("{FUNCTIONS}; COMMIT")).await?;
    client.ended();
    Ok(())
}

/// Which tenants it has run for.
pub(crate) async fn ran(server: &Server, name: &str) -> Result<HashSet<TenantId>, DbError> {
    let client = as_owner(server, &server.home(), ROWS_SCHEMA).await?;
    let sql = "SELECT tenant_id::text FROM tenantry_functions WHERE name = $1";
    let rows = ask(&client, sql, &[name]).await?;
    say(&client, "COMMIT").await?;
    client.ended();
    Ok(rows
        .iter()
        .filter_map(|row| row.get::<_, &str>(0).parse().ok())
        .collect())
}

/// Notes that a function has run for all tenants that share tables.
pub(crate) async fn ran_for_all(server: &Server, name: &str) -> Result<(), DbError> {
    let client = as_owner(server, &server.home(), ROWS_SCHEMA).await?;
    let sql = format!(
        "INSERT INTO tenantry_migrations (name, checksum) VALUES ({name}, 'function')
            ON CONFLICT DO NOTHING; COMMIT",
        name = literal(name)
    );
    say(&client, &sql).await?;
    client.ended();
    Ok(())
}

/// Whether a migration may make what the request role has no rights to yet.
pub(super) fn makes_tables(sql: &str) -> bool {
    Parser::parse_sql(&PostgreSqlDialect {}, sql).map_or(true, |statements| {
        !statements.iter().all(|statement| {
            matches!(
                statement,
                Statement::AlterTable(_)
                    | Statement::CreateIndex(_)
                    | Statement::Insert(_)
                    | Statement::Update(_)
                    | Statement::Delete(_)
                    | Statement::Comment { .. }
                    | Statement::Drop { .. }
            )
        })
    })
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
///
/// What there is in the schema is asked of what depends on it. `ON ALL TABLES IN SCHEMA` reads the
/// whole of `pg_class`, once for each kind of table: with thousands of schemas that takes longer than
/// all else together.
pub(super) fn grants(server: &Server, schema: &str) -> String {
    let (schema, app) = (quoted(schema), quoted(&server.roles().app));
    format!(
        "DO $$ DECLARE
             tables text; sequences text;
         BEGIN
             SELECT string_agg(c.oid::regclass::text, ', ') FILTER (WHERE c.relkind <> 'S'),
                    string_agg(c.oid::regclass::text, ', ') FILTER (WHERE c.relkind = 'S')
             INTO tables, sequences
             FROM pg_depend d JOIN pg_class c ON c.oid = d.objid
             WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_namespace'::regclass
                AND d.refobjid = {name}::regnamespace AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S');
             IF tables IS NOT NULL THEN
                 EXECUTE 'GRANT SELECT, INSERT, UPDATE, DELETE ON TABLE ' || tables || {to};
             END IF;
             IF sequences IS NOT NULL THEN
                 EXECUTE 'GRANT USAGE ON SEQUENCE ' || sequences || {to};
             END IF;
             REVOKE ALL ON TABLE {schema}.tenantry_migrations FROM {app};
             IF to_regclass('{schema}.{AUDIT_TABLE}') IS NOT NULL THEN
                 REVOKE UPDATE, DELETE ON TABLE {schema}.{AUDIT_TABLE} FROM {app};
             END IF;
         END $$",
        name = literal(&schema),
        to = literal(&format!(" TO {app}")),
    )
}
