//! Tenants' tables come up to date, each in one piece, and never backwards.

mod applied;
mod functions;
mod rollouts;

use futures_util::future::join_all;
use rust_decimal::Decimal;

use super::{
    Case, Place, add_note, central_tables, count_notes, list, note, panic_quietly, tables,
};
use crate::{
    Tenancy,
    db::DbError,
    lifecycle::Rollout,
    migrate::{MigrateError, Migrations},
    tenant::{Isolation, Tenant},
};

pub(super) const CASES: [&[Case]; 3] = [functions::CASES, rollouts::CASES, applied::CASES];

fn and(name: &'static str, sql: &'static str) -> Migrations {
    tables().sql(name, sql)
}

async fn program(place: &Place, migrations: Migrations) -> Tenancy {
    let tenancy = Tenancy::set_up(place.config_with(migrations)).await;
    tenancy.unwrap()
}

async fn count(tenancy: &Tenancy, tenant: &Tenant, table: &str) -> Result<i64, DbError> {
    let db = tenancy.db(tenant).await?;
    let ask = db.query(&format!("SELECT count(*) FROM {table}"));
    ask.scalar().await
}

async fn current(tenancy: &Tenancy, tenant: &Tenant) -> Tenant {
    let found = tenancy.tenant(tenant.code()).await;
    found.unwrap().unwrap()
}

const TAGS: &str = "CREATE TABLE tags (id bigint PRIMARY KEY, name text NOT NULL UNIQUE);
    ALTER TABLE notes ADD COLUMN tag bigint REFERENCES tags (id);
    CREATE INDEX notes_tag ON notes (tag)";

fn is_failure(migrated: Result<Vec<String>, MigrateError>, of: &str) {
    match migrated {
        Err(MigrateError::Failed { name, .. }) => assert_eq!(name, of),
        other => panic!("{other:?}"),
    }
}
