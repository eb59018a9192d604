//! Which migrations are applied to one database, and applying the others.

use std::{collections::HashMap, sync::Arc};

use rusqlite::Connection;

use super::{MigrateError, Migration, Migrations};
use crate::db::{
    AUDIT_TABLE,
    sqlite::{self, Database},
};

/// How a database stands to a list of migrations.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Names of the list that are not applied.
    pub(crate) pending: Vec<String>,
    /// Whether something is applied that the list does not have: a newer program was here.
    pub(crate) ahead: bool,
}

impl Ledger {
    /// Holds the names and checksums that are applied against the list.
    pub(crate) fn compare(
        migrations: &Migrations,
        mut applied: HashMap<String, String>,
    ) -> Result<Self, MigrateError> {
        let mut pending = Vec::new();
        for migration in migrations.iter() {
            match applied.remove(migration.name.as_ref()) {
                None => pending.push(migration.name.to_string()),
                Some(checksum) if checksum == migration.checksum => {}
                Some(_) => {
                    return Err(MigrateError::Changed {
                        name: migration.name.to_string(),
                    });
                }
            }
        }
        Ok(Self {
            pending,
            ahead: !applied.is_empty(),
        })
    }
}

/// Tells what would be applied, and changes nothing.
pub(crate) async fn pending_on_sqlite(
    database: &Arc<Database>,
    migrations: &Arc<Migrations>,
) -> Result<Ledger, MigrateError> {
    let migrations = migrations.clone();
    sqlite::trusted(database, move |connection| {
        Ok(compare(connection, &migrations).map(|(ledger, _)| ledger))
    })
    .await?
}

/// Applies what is pending, all of it or nothing, and tells what it was.
pub(crate) async fn apply_to_sqlite(
    database: &Arc<Database>,
    migrations: &Arc<Migrations>,
) -> Result<Ledger, MigrateError> {
    let migrations = migrations.clone();
    sqlite::trusted(database, move |connection| {
        let (ledger, pending) = match compare(connection, &migrations) {
            Ok(found) => found,
            Err(error) => return Ok(Err(error)),
        };
        if pending.is_empty() {
            return Ok(Ok(ledger)); // without taking the file's write lock
        }
        Ok(in_transaction(connection, &migrations))
    })
    .await?
}

fn in_transaction(
    connection: &Connection,
    migrations: &Migrations,
) -> Result<Ledger, MigrateError> {
    connection
        .execute_batch(
            "BEGIN IMMEDIATE;
             CREATE TABLE IF NOT EXISTS tenantry_migrations (
                name TEXT NOT NULL PRIMARY KEY,
                checksum TEXT NOT NULL,
                applied_at TEXT NOT NULL
             ) STRICT;",
        )
        .map_err(sqlite::translate)?;
    // the caller's lease rolls back what is left open on a failure
    let (ledger, pending) = compare(connection, migrations)?;
    for migration in pending {
        let failed = |error| MigrateError::Failed {
            name: migration.name.to_string(),
            source: sqlite::translate(error),
        };
        connection
            .execute_batch(&sqlite::ddl::for_sqlite(&migration.sql))
            .map_err(failed)?;
        connection
            .execute(
                "INSERT INTO tenantry_migrations (name, checksum, applied_at)
                 VALUES (?1, ?2, now())",
                (&migration.name, &migration.checksum),
            )
            .map_err(failed)?;
    }
    keep_audit(connection).map_err(sqlite::translate)?;
    connection
        .execute_batch("COMMIT")
        .map_err(sqlite::translate)?;
    Ok(ledger)
}

/// The authorizer refuses to change or remove what was written down, but is not asked about what a
/// `REPLACE` removes: triggers are.
fn keep_audit(connection: &Connection) -> rusqlite::Result<()> {
    if !connection.table_exists(None, AUDIT_TABLE)? {
        return Ok(());
    }
    for (what, event) in [("unchanged", "UPDATE"), ("kept", "DELETE")] {
        connection.execute_batch(&format!(
            "CREATE TRIGGER IF NOT EXISTS {AUDIT_TABLE}_{what} BEFORE {event} ON {AUDIT_TABLE} BEGIN
                SELECT RAISE(ABORT, 'what was written down stays as it is');
             END"
        ))?;
    }
    Ok(())
}

fn compare<'m>(
    connection: &Connection,
    migrations: &'m Migrations,
) -> Result<(Ledger, Vec<&'m Migration>), MigrateError> {
    let applied = read(connection).map_err(sqlite::translate)?;
    let ledger = Ledger::compare(migrations, applied)?;
    let pending = migrations
        .iter()
        .filter(|migration| ledger.pending.iter().any(|name| *name == migration.name))
        .collect();
    Ok((ledger, pending))
}

fn read(connection: &Connection) -> rusqlite::Result<HashMap<String, String>> {
    if !connection.table_exists(None, "tenantry_migrations")? {
        return Ok(HashMap::new());
    }
    connection
        .prepare("SELECT name, checksum FROM tenantry_migrations")?
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect()
}
