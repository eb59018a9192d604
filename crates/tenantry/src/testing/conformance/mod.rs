//! What holds on every isolation: one body for each case, run on all of them.
//!
//! A case fails by panicking. What an isolation cannot do is a typed error, and a case too.

#![expect(clippy::unwrap_used, reason = "a case fails by panicking")]

mod accounts;
mod cache;
mod clones;
mod concurrency;
mod constraints;
mod copies;
mod domains;
mod files;
mod jobs;
mod lifecycle;
mod limits;
mod live;
mod mail;
mod members;
mod migrations;
mod people;
mod resources;
mod scope;
mod settings;
mod statements;
mod streams;
mod tokens;
mod transactions;
mod triggers;
mod upkeep;
mod usage;
mod users;
mod values;

use std::time::Duration;

use futures_util::future::BoxFuture;

use super::Place;
use crate::{
    db::{CentralDb, DbError, FromRow, Row, TenantDb},
    migrate::Migrations,
    tenant::Isolation,
};

/// One thing that holds.
#[derive(Clone, Copy)]
pub struct Case {
    /// Its theme and what it says, as `values::decimals_are_kept_to_the_digit`.
    pub name: &'static str,
    /// Runs it in a place of its own, made by [`place`]. It panics when the case does not hold.
    pub run: fn(Place) -> BoxFuture<'static, ()>,
}

impl std::fmt::Debug for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

/// Every case.
pub fn cases() -> impl Iterator<Item = Case> {
    let data: [&[Case]; 14] = [
        values::CASES,
        statements::CASES,
        constraints::CASES,
        transactions::CASES,
        triggers::CASES,
        streams::CASES,
        scope::CASES,
        concurrency::CASES,
        lifecycle::CASES,
        copies::CASES,
        clones::CASES,
        upkeep::CASES,
        users::CASES,
        tokens::CASES,
    ];
    data.into_iter()
        .chain(migrations::CASES)
        .chain(people::CASES)
        .chain([
            members::CASES,
            accounts::CASES,
            cache::CASES,
            mail::CASES,
            live::CASES,
            usage::CASES,
        ])
        .chain(resources::CASES)
        .chain(settings::CASES)
        .chain(domains::CASES)
        .chain(files::CASES)
        .chain(jobs::CASES)
        .chain(limits::CASES)
        .flatten()
        .copied()
}

/// A place for one case.
///
/// # Panics
/// When it cannot be set up.
pub async fn place(isolation: Isolation) -> Place {
    Place::copied(isolation, tables(), central_tables()).await
}

/// A place that shares neither roles nor the names of databases with others.
async fn place_apart(isolation: Isolation) -> Place {
    Place::with_central(isolation, tables(), central_tables()).await
}

fn tables() -> Migrations {
    Migrations::new().sql("0001_tables", include_str!("tables.sql"))
}

fn central_tables() -> Migrations {
    Migrations::new().sql(
        "0001_notices",
        "CREATE TABLE notices (id bigint PRIMARY KEY, text text NOT NULL)",
    )
}

/// The list of a file's cases, from the functions that they are.
macro_rules! list {
    ($theme:literal: $($case:ident),+ $(,)?) => {
        pub(super) const CASES: &[super::Case] = &[$(super::Case {
            name: concat!($theme, "::", stringify!($case)),
            run: |place| Box::pin($case(place)),
        }),+];
    };
}
use list;

/// Takes minutes unless it is stopped.
const ENDLESS: &str = "WITH RECURSIVE n(i) AS (
        SELECT CAST(1 AS bigint) UNION ALL SELECT i + 1 FROM n WHERE i < 10000000000
    ) SELECT count(*) FROM n";

/// Long enough for a statement to be under way.
const A_WHILE: Duration = Duration::from_millis(100);

/// What must happen at once happens within this, however busy the machine is.
const AT_ONCE: Duration = Duration::from_secs(30);

/// The same, for what must happen within a second by itself.
const SOON: Duration = Duration::from_secs(10);

async fn at_once<F: Future>(future: F) -> F::Output {
    let outcome = tokio::time::timeout(AT_ONCE, future).await;
    outcome.expect("it happens at once")
}

/// Waits until `condition` holds.
async fn soon<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    if tokio::time::timeout(SOON, waiting).await.is_err() {
        panic!("{what}: it does not come about");
    }
}

async fn add_note(db: &TenantDb, id: i64, text: &str) {
    db.query("INSERT INTO notes (id, text) VALUES ($1, $2)")
        .bind(id)
        .bind(text)
        .execute()
        .await
        .unwrap();
}

async fn add_notes(db: &TenantDb, count: i64) {
    let added = db
        .query(
            "WITH RECURSIVE n(i) AS (
                SELECT CAST(1 AS bigint) UNION ALL SELECT i + 1 FROM n WHERE i < $1
             ) INSERT INTO notes (id, text) SELECT i, 'note' FROM n",
        )
        .bind(count)
        .execute()
        .await
        .unwrap();
    assert_eq!(i64::try_from(added).unwrap(), count);
}

async fn note(db: &TenantDb, id: i64) -> Option<String> {
    db.query("SELECT text FROM notes WHERE id = $1")
        .bind(id)
        .optional::<(String,)>()
        .await
        .unwrap()
        .map(|(text,)| text)
}

async fn count_notes(db: &TenantDb) -> i64 {
    db.query("SELECT count(*) FROM notes")
        .scalar()
        .await
        .unwrap()
}

async fn count_notices(central: &CentralDb) -> i64 {
    central
        .query("SELECT count(*) FROM notices")
        .scalar()
        .await
        .unwrap()
}

/// A row whose reading panics.
#[derive(Debug)]
struct Panics;

impl FromRow for Panics {
    fn from_row(_: &Row<'_>) -> Result<Self, DbError> {
        panic_quietly()
    }
}

/// Panics as the case wants it, which nobody needs to read.
fn panic_quietly() -> ! {
    std::panic::resume_unwind(Box::new("as the case wants it"))
}
