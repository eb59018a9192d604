//! The database handle: statements, rows, transactions; and the engines below it.
//!
//! SQL is the common subset of SQLite and PostgreSQL, with `$1`, `$2`, … for parameters. Texts are
//! compared as they stand, `LIKE` minds case, `now()` and `gen_random_uuid()` exist everywhere.
//!
//! Some of what both engines accept they do not mean alike, and SQLite cannot be brought to it.
//! Say it so that they do:
//!
//! - A column of decimals is compared and ordered by value, and its `sum` is exact. What is
//!   *computed* from decimals (`sum(price)`, `coalesce(price, 0)`, `price * 2`) is a text or a
//!   floating-point number to SQLite, and so compared and ordered: not in `HAVING`, `WHERE` or
//!   `ORDER BY`. Decimals are bound, not written out: a literal is a floating-point number.
//! - `ORDER BY` of what may be NULL says `NULLS FIRST` or `NULLS LAST`, and `LIKE` with a pattern
//!   that escapes says `ESCAPE`.
//! - `CAST` is for numbers and texts. A division by zero is NULL on SQLite, and an integer that
//!   overflows becomes a floating-point number.

use std::collections::HashSet;

mod engine;
mod error;
mod event;
mod handle;
pub(crate) mod meter;
mod pipeline;
pub(crate) mod postgres;
mod query;
mod row;
mod sea;
pub(crate) mod sqlite;
mod timeout;
mod transaction;
pub(crate) mod transfer;
mod value;

/// The log of a tenant: what is in it is neither changed nor removed.
pub(crate) const AUDIT_TABLE: &str = "audit_log";

pub(crate) use engine::{Engine, Kind as EngineKind};
pub use error::{DbError, Violation};
pub use event::Event;
pub(crate) use event::{Outlet, Tell};
pub use handle::{
    CentralDb, CentralScope, CentralTx, Db, Executor, Savepoint, TenantDb, TenantScope, TenantTx,
    Tx,
};
pub use meter::{Amounts, Meter, Quantity};
pub use pipeline::{Answers, Pipeline, PipelineQuery, Slot};
pub use query::{Query, RowStream};
pub use row::{AnyRow, FromRow, Row};
pub use tenantry_macros::FromRow;
pub(crate) use timeout::Timeout;
pub use value::{FromValue, Value, ValueError, ValueRef};

/// Whether the table is one of those. A name is the same in whatever case it is said: it is to SQLite, and to
/// PostgreSQL unless it is quoted.
pub(crate) fn is_among(tables: &HashSet<String>, table: &str) -> bool {
    tables.iter().any(|one| one.eq_ignore_ascii_case(table))
}
