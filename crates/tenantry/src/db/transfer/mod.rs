//! A tenant's rows on their way from one place to another, whatever keeps each apart.
//!
//! What a place has is read from the database itself ([`Structure`]), its rows in one snapshot and
//! in an order that is the same everywhere, tables before those that point to them. Values are said
//! so that both engines mean the same ([`Cell`]), and taken by a tenant's handle, in its scope: no
//! more can be written by it than by the application. What triggers did when a row was written first is among
//! what is carried, so they are not to do it again ([`Trigger`]).

mod cell;
mod load;
mod postgres;
mod read;
mod sqlite;

pub(crate) use cell::Cell;
pub(crate) use load::{LoadError, Loader, Neighbours, counts};
pub(crate) use postgres::triggers as triggers_on_server;
pub(crate) use read::{Item, Selection, read};

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use super::{DbError, EngineKind, TenantDb};

/// Whose tables are meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whose {
    /// A tenant's.
    Tenant,
    /// The catalog's.
    Catalog,
    /// The application's shared ones.
    Central,
}

/// Of the catalog's tables, what belongs to this one deployment: how it was made, what its processes
/// tell each other, and what was restored into it.
const NOT_CARRIED: [&str; 6] = [
    "tenantry_changes",
    "tenantry_due",
    "tenantry_events",
    "tenantry_migrations",
    "tenantry_restores",
    "tenantry_usage_writers",
];

/// The tables of a tenant's place, those before that others point to.
#[derive(Debug, Clone)]
pub(crate) struct Structure {
    pub(crate) tables: Vec<Table>,
}

#[derive(Debug, Clone)]
pub(crate) struct Table {
    pub(crate) name: String,
    pub(crate) columns: Vec<Column>,
    /// The columns of its primary key, or all where it has none.
    pub(super) key: Vec<String>,
    pub(super) points: Vec<Points>,
}

/// A foreign key.
#[derive(Debug, Clone)]
pub(super) struct Points {
    pub(super) columns: Vec<String>,
    pub(super) to: String,
}

#[derive(Debug, Clone)]
pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    /// PostgreSQL's name of its type, where it is there.
    pub(super) declared: String,
    pub(super) nullable: bool,
    /// The sequence that its values come from unless they are given.
    pub(super) counted: Option<Counter>,
}

/// A sequence that counts up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counter {
    /// The greatest number that it gives and its column takes.
    pub(super) most: i64,
    /// What it gave last, if anything.
    pub(super) last: Option<i64>,
}

/// A trigger of the application's.
#[derive(Debug, Clone)]
pub(crate) struct Trigger {
    table: String,
    name: String,
    on_insert: bool,
    on_update: bool,
    pub(crate) on_delete: bool,
    /// What keeps it quiet, and what makes it as it was.
    pub(crate) quiet: String,
    pub(crate) again: String,
}

/// PostgreSQL's setting that is `on` while rows are carried or taken away. A trigger that mentions it minds that
/// by itself.
pub(crate) const CARRYING: &str = "tenantry.carrying";

/// A virtual table that has something which would not be carried, nor filled anew.
pub(crate) async fn left_behind(db: &TenantDb) -> Result<Option<String>, DbError> {
    match &db.engine().kind {
        EngineKind::Sqlite(database) => sqlite::left_behind(database).await,
        EngineKind::Postgres(_) => Ok(None),
    }
}

/// The triggers that would hear of rows that are carried.
async fn triggers(db: &TenantDb, whose: Whose) -> Result<Vec<Trigger>, DbError> {
    match &db.engine().kind {
        // its own keep it whole
        _ if whose == Whose::Catalog => Ok(Vec::new()),
        EngineKind::Sqlite(database) => sqlite::triggers(database).await,
        EngineKind::Postgres(scope) => postgres::triggers_of(scope, whose).await,
    }
}

/// What a column's values are to both engines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Boolean,
    Integer,
    Real,
    Bytes,
    /// Everything else has a text that is the same on both.
    Text,
}

impl Structure {
    /// The structure of the place that the handle speaks to.
    pub(crate) async fn of(db: &TenantDb) -> Result<Self, DbError> {
        Self::of_part(db, Whose::Tenant).await
    }

    /// The structure of a part of what the handle speaks to.
    pub(crate) async fn of_part(db: &TenantDb, whose: Whose) -> Result<Self, DbError> {
        let tables = match &db.engine().kind {
            EngineKind::Sqlite(database) => sqlite::tables(database, whose).await?,
            EngineKind::Postgres(scope) => postgres::tables(scope, whose).await?,
        };
        Ok(Self {
            tables: in_order(tables),
        })
    }

    /// Whether rows of the table point to rows that come later, so that they are written once more.
    fn points_ahead(&self, name: &str) -> bool {
        let place = |name: &str| self.tables.iter().position(|table| table.name == name);
        let points = self.table(name).map_or(&[][..], |table| &table.points);
        points.iter().any(|one| place(&one.to) >= place(name))
    }

    pub(crate) fn table(&self, name: &str) -> Option<&Table> {
        self.tables.iter().find(|table| table.name == name)
    }
}

/// Tables after those that they point to, as far as there is such an order, and else by name.
fn in_order(mut tables: Vec<Table>) -> Vec<Table> {
    tables.sort_by(|a, b| a.name.cmp(&b.name));
    let mut ordered: Vec<Table> = Vec::new();
    let mut placed: HashSet<String> = HashSet::new();
    while !tables.is_empty() {
        let is_there = |table: &Table, points: &Points| {
            points.to == table.name
                || placed.contains(&points.to)
                || !tables.iter().any(|other| other.name == points.to)
        };
        let is_ready = |table: &Table| table.points.iter().all(|one| is_there(table, one));
        // in a circle the first that can point to the others later; or else just the first
        let can_wait = |table: &Table| {
            let nullable = |name: &String| {
                table
                    .columns
                    .iter()
                    .any(|one| one.name == *name && one.nullable)
            };
            table
                .points
                .iter()
                .all(|points| is_there(table, points) || points.columns.iter().any(nullable))
        };
        let at = tables
            .iter()
            .position(is_ready)
            .or_else(|| tables.iter().position(can_wait))
            .unwrap_or(0);
        let table = tables.remove(at);
        placed.insert(table.name.clone());
        ordered.push(table);
    }
    ordered
}
