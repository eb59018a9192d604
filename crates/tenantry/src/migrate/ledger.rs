//! Which migrations are applied to one database, and applying the others.

use std::{collections::HashMap, sync::Arc};

use rusqlite::Connection;

use super::{Dialect, MigrateError, Migration, Migrations, list::is_ours};
use crate::{
    db::{
        AUDIT_TABLE,
        sqlite::{self, Database},
    },
    isolation::postgres::at_once::Alike,
};

/// How a database stands to a list of migrations.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// Names of the list that are not applied, in its order.
    pub(crate) pending: Vec<String>,
    /// Whether something is applied that the list does not have: a newer program was here.
    pub(crate) ahead: bool,
}

impl Ledger {
    /// Holds the names and checksums that are applied against the list.
    ///
    /// The library's migrations and the application's come in two rows: each may grow at its end,
    /// and neither in between.
    pub(crate) fn compare(
        migrations: &Migrations,
        dialect: Dialect,
        mut applied: HashMap<String, String>,
    ) -> Result<Self, MigrateError> {
        let mut pending = Vec::new();
        // the last that is applied, of the library's and of the application's
        let mut last = [None, None];
        for migration in migrations.iter().rev() {
            let last = &mut last[usize::from(migration.is_ours())];
            match applied.remove(migration.name.as_ref()) {
                Some(checksum) if checksum == migration.checksum(dialect) => {
                    last.get_or_insert(&migration.name);
                }
                Some(_) => {
                    return Err(MigrateError::Changed {
                        name: migration.name.to_string(),
                    });
                }
                None => {
                    if let Some(applied) = last {
                        return Err(MigrateError::OutOfOrder {
                            name: migration.name.to_string(),
                            applied: applied.to_string(),
                        });
                    }
                    pending.push(migration.name.to_string());
                }
            }
        }
        pending.reverse();
        // what a newer program has applied stands after everything that is known here
        let mut unknown: Vec<String> = applied.into_keys().collect();
        unknown.sort();
        for name in &unknown {
            let after = migrations
                .iter()
                .rfind(|known| known.is_ours() == is_ours(name));
            if after.is_some_and(|known| name.as_str() < known.name.as_ref()) {
                return Err(MigrateError::Gone { name: name.clone() });
            }
        }
        Ok(Self {
            pending,
            ahead: !unknown.is_empty(),
        })
    }
}

/// What was applied to a database, up to its next function.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Names of those that were applied now.
    pub(crate) applied: Vec<String>,
    /// The function that comes next, if it is not the end.
    pub(crate) function: Option<String>,
    /// Whether a newer program was here.
    pub(crate) ahead: bool,
    /// How a schema was found, where others may be alike.
    pub(crate) alike: Option<Alike>,
}

/// Tells what would be applied, and changes nothing.
pub(crate) async fn pending_on_sqlite(
    database: &Arc<Database>,
    migrations: &Arc<Migrations>,
) -> Result<Ledger, MigrateError> {
    let migrations = migrations.clone();
    sqlite::trusted(database, move |connection| {
        Ok(compare(connection, &migrations))
    })
    .await?
}

/// Applies what is pending up to the next function: a file's first migrations in one transaction,
/// later ones in one each.
pub(crate) async fn apply_to_sqlite(
    database: &Arc<Database>,
    migrations: &Arc<Migrations>,
) -> Result<Progress, MigrateError> {
    let migrations = migrations.clone();
    sqlite::trusted(database, move |connection| {
        Ok(apply(connection, &migrations))
    })
    .await?
}

fn apply(connection: &Connection, migrations: &Migrations) -> Result<Progress, MigrateError> {
    let mut progress = Progress::default();
    loop {
        // without taking the file's write lock
        let ledger = compare(connection, migrations)?;
        progress.ahead = ledger.ahead;
        let Some(next) = ledger.pending.first().and_then(|name| migrations.get(name)) else {
            return Ok(progress);
        };
        if next.function().is_some() {
            progress.function = Some(next.name.to_string());
            return Ok(progress);
        }
        let rebuilds = next.rebuilds();
        if rebuilds {
            foreign_keys(connection, false)?;
        }
        // the caller's lease rolls back what is left open on a failure
        let applied = in_transaction(connection, migrations, rebuilds);
        if rebuilds {
            if !connection.is_autocommit() {
                connection
                    .execute_batch("ROLLBACK")
                    .map_err(sqlite::translate)?;
            }
            foreign_keys(connection, true)?;
        }
        progress.applied.extend(applied?);
    }
}

fn foreign_keys(connection: &Connection, on: bool) -> Result<(), MigrateError> {
    Ok(connection
        .pragma_update(None, "foreign_keys", on)
        .map_err(sqlite::translate)?)
}

/// Applies the next migration, or the first of them all together; none when another process has
/// been quicker.
fn in_transaction(
    connection: &Connection,
    migrations: &Migrations,
    rebuilds: bool,
) -> Result<Vec<String>, MigrateError> {
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
    let is_new: bool = connection
        .query_row(
            "SELECT NOT EXISTS (SELECT 1 FROM tenantry_migrations)",
            [],
            |row| row.get(0),
        )
        .map_err(sqlite::translate)?;
    let ledger = compare(connection, migrations)?;
    let mut applied = Vec::new();
    for name in &ledger.pending {
        let Some(migration) = migrations.get(name) else {
            break;
        };
        // what another process has begun with may be of another kind than what was seen before
        if migration.rebuilds() != rebuilds || !apply_one(connection, migration)? {
            break;
        }
        applied.push(name.clone());
        if !is_new {
            break;
        }
    }
    if rebuilds && let Some(name) = applied.first() {
        keys_hold(connection, name)?;
    }
    keep_audit(connection).map_err(sqlite::translate)?;
    connection
        .execute_batch("COMMIT")
        .map_err(|error| match applied.last() {
            // a deferred foreign key speaks up at the end
            Some(name) => MigrateError::Failed {
                name: name.clone(),
                source: sqlite::translate(error),
            },
            None => sqlite::translate(error).into(),
        })?;
    Ok(applied)
}

/// Applies one, unless it is a function.
fn apply_one(connection: &Connection, migration: &Migration) -> Result<bool, MigrateError> {
    let failed = |error| MigrateError::Failed {
        name: migration.name.to_string(),
        source: sqlite::translate(error),
    };
    let Some(sql) = migration.sqlite() else {
        return Ok(false);
    };
    connection.execute_batch(sql).map_err(failed)?;
    connection
        .execute(
            "INSERT INTO tenantry_migrations (name, checksum, applied_at) VALUES (?1, ?2, now())",
            (&migration.name, migration.checksum(Dialect::Sqlite)),
        )
        .map_err(failed)?;
    Ok(true)
}

/// Refuses what leaves a foreign key that points nowhere.
fn keys_hold(connection: &Connection, name: &str) -> Result<(), MigrateError> {
    let broken: bool = connection
        .query_row(
            "SELECT EXISTS (SELECT 1 FROM pragma_foreign_key_check)",
            [],
            |row| row.get(0),
        )
        .map_err(sqlite::translate)?;
    if broken {
        return Err(MigrateError::Failed {
            name: name.into(),
            source: crate::db::DbError::ForeignKey,
        });
    }
    Ok(())
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

fn compare(connection: &Connection, migrations: &Migrations) -> Result<Ledger, MigrateError> {
    let applied = read(connection).map_err(sqlite::translate)?;
    Ledger::compare(migrations, Dialect::Sqlite, applied)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn list(names: &[&str]) -> Migrations {
        names.iter().fold(Migrations::new(), |list, name| {
            let one = Migrations::new().sql((*name).to_owned(), "SELECT 1");
            list.followed_by(one)
        })
    }

    fn compared(names: &[&str], applied: &[&str]) -> Result<Ledger, MigrateError> {
        let list = list(names);
        let sum = list
            .iter()
            .next()
            .map(|one| one.checksum(Dialect::Sqlite).to_owned());
        let applied = applied
            .iter()
            .map(|name| ((*name).to_owned(), sum.clone().unwrap_or_default()));
        Ledger::compare(&list, Dialect::Sqlite, applied.collect())
    }

    #[test]
    fn pending_ones_are_at_the_end_of_each_row() {
        let ours_grew = ["tenantry_0001_a", "tenantry_0002_b", "0001_c", "0002_d"];
        let ledger = compared(&ours_grew, &["tenantry_0001_a", "0001_c"]).unwrap();
        assert_eq!(ledger.pending, ["tenantry_0002_b", "0002_d"]);
        assert!(!ledger.ahead);
    }

    #[test]
    fn a_new_one_before_an_applied_one_is_refused() {
        match compared(&["0001_a", "0002_b", "0003_c"], &["0001_a", "0003_c"]) {
            Err(MigrateError::OutOfOrder { name, applied }) => {
                assert_eq!((name.as_str(), applied.as_str()), ("0002_b", "0003_c"));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn one_that_is_gone_is_refused_and_a_newer_one_is_not() {
        match compared(&["0001_a", "0003_c"], &["0001_a", "0002_b", "0003_c"]) {
            Err(MigrateError::Gone { name }) => assert_eq!(name, "0002_b"),
            other => panic!("{other:?}"),
        }
        let newer = ["tenantry_0001_x", "tenantry_0002_y", "0001_a", "0002_b"];
        let ledger = compared(&["tenantry_0001_x", "0001_a"], &newer).unwrap();
        assert!(ledger.ahead && ledger.pending.is_empty());
    }
}
