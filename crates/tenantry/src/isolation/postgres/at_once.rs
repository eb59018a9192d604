//! What is common, in one message instead of one for each step: a schema that is new, and one that
//! is like the one before it.
//!
//! Nothing is taken on trust: the message fails as a whole where things are otherwise, and the
//! caller goes step by step, which tells what is wrong.

use std::{collections::HashMap, sync::Arc};

use super::{
    ledger::{LOCK_TIMEOUT, TABLE, grants, lock, makes_tables, record_of},
    say,
};
use crate::{
    db::{
        DbError,
        postgres::{
            Server,
            scope::{self, NOT_WAITING, literal, quoted},
        },
    },
    migrate::Migrations,
    tenant::TenantId,
};
use sha2::{Digest, Sha256};

/// How a schema was found when it was migrated: many others are like it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Alike {
    /// What its ledger said, in short.
    ledger: String,
    pending: Arc<[String]>,
}

impl Alike {
    /// None where a function is pending, which no message can be.
    pub(super) fn new(
        applied: &HashMap<String, String>,
        pending: &[String],
        migrations: &Migrations,
    ) -> Option<Self> {
        let is_sql = |name: &String| {
            migrations
                .get(name)
                .is_some_and(|one| one.postgres().is_some())
        };
        pending.iter().all(is_sql).then(|| Self {
            ledger: digest(applied),
            pending: pending.into(),
        })
    }
}

/// What [`LEDGER`] computes in the database.
fn digest(applied: &HashMap<String, String>) -> String {
    let mut lines: Vec<String> = applied
        .iter()
        .map(|(name, checksum)| format!("{name} {checksum}\n"))
        .collect();
    lines.sort_unstable();
    hex::encode(Sha256::digest(lines.concat()))
}

const LEDGER: &str = "SELECT encode(sha256(convert_to(coalesce(string_agg(
    line, '' ORDER BY line COLLATE \"C\"), ''), 'UTF8')), 'hex')
    FROM (SELECT name || ' ' || checksum || E'\\n' AS line FROM tenantry_migrations) lines";

/// Applies to a schema what was pending in one that is like it, each in a transaction of its own, and
/// tells what that was. None when it is not like it, or when something fails.
pub(crate) async fn apply(
    server: &Server,
    database: &str,
    schema: &str,
    migrations: &Migrations,
    alike: &Alike,
) -> Option<Vec<String>> {
    let begin = scope::owner(server, schema);
    // divides by zero where the ledger says something else
    let mut message = format!(
        "{begin}; {}; {LOCK_TIMEOUT}; SELECT 1 / (({LEDGER}) = {})::int",
        lock(schema),
        literal(&alike.ledger),
    );
    for (number, name) in alike.pending.iter().enumerate() {
        let migration = migrations.get(name)?;
        let sql = migration.postgres()?;
        if number > 0 {
            message.push_str(&format!(
                "; COMMIT; {begin}; {}; {LOCK_TIMEOUT}",
                lock(schema)
            ));
        }
        // the end of a comment is the end of its line
        message.push_str(&format!("; {sql}\n; {}", record_of(migration)));
        if makes_tables(sql) {
            message.push_str(&format!("; {}", grants(server, schema)));
        }
    }
    message.push_str("; COMMIT");
    say_as_owner(server, database, &message).await.ok()?;
    Some(alike.pending.to_vec())
}

/// Makes the tenant's schema, with all migrations up to the first function. Unless it is to be
/// lasting by itself, it is when the catalog on the same server next says something of the tenant.
pub(crate) async fn provision(
    server: &Server,
    id: TenantId,
    migrations: &Migrations,
    lasting: bool,
) -> Result<(), DbError> {
    let schema = scope::schema_name(id);
    let name = quoted(&schema);
    let mut message = format!(
        "{}; CREATE SCHEMA {name}; GRANT USAGE ON SCHEMA {name} TO {}; {TABLE}",
        scope::owner(server, &schema),
        quoted(&server.roles().app),
    );
    for migration in migrations.iter() {
        let Some(sql) = migration.postgres() else {
            break;
        };
        message.push_str(&format!("; {sql}\n; {}", record_of(migration)));
    }
    message.push_str(&format!("; {}", grants(server, &schema)));
    if !lasting {
        message.push_str(&format!("; {NOT_WAITING}"));
    }
    message.push_str("; COMMIT");
    say_as_owner(server, &server.home(), &message).await
}

async fn say_as_owner(server: &Server, database: &str, message: &str) -> Result<(), DbError> {
    let client = server.owner(database).await?;
    let said = say(&client, message).await;
    if said.is_ok() || say(&client, "ROLLBACK").await.is_ok() {
        client.ended();
    }
    said
}
