//! The database handle: statements, rows, transactions; and the engines below it.
//!
//! SQL is the common subset of SQLite and PostgreSQL, with `$1`, `$2`, … for parameters. Texts are
//! compared as they stand, `LIKE` minds case, `now()` and `gen_random_uuid()` exist everywhere.

mod error;
mod handle;
mod query;
mod row;
mod sea;
pub(crate) mod sqlite;
mod value;

pub use error::{DbError, Violation};
pub(crate) use handle::Engine;
pub use handle::{
    CentralDb, CentralScope, CentralTx, Db, Executor, Savepoint, TenantDb, TenantScope, TenantTx,
    Tx,
};
pub use query::{Query, RowStream};
pub use row::{FromRow, Row};
pub use tenantry_macros::FromRow;
pub use value::{FromValue, Value, ValueError, ValueRef};
