//! Migrations: what a tenant's database, and the central one, are made of.
//!
//! They are written once, as plain single-tenant SQL in the common subset of SQLite and
//! PostgreSQL, and applied to each tenant, each in a transaction of its own. A ledger in the same
//! database tells which are applied, so a tenant carries its own version wherever it goes.
//!
//! What SQL cannot do is a [function](Migrations::function), and where the engines cannot share a
//! text each has its own, a [twin](Migrations::twins).

mod ledger;
mod list;

pub(crate) use ledger::{Ledger, Progress, apply_to_sqlite, pending_on_sqlite};
pub(crate) use list::{Dialect, Migration};
pub use list::{Migrations, Stepping};

use crate::db::DbError;

/// Why a database could not be migrated. What was applied before the migration that failed stays;
/// of that one nothing does.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MigrateError {
    /// A migration's text is not the one that was applied.
    #[error(
        "migration {name} was changed after it had been applied \
         (restore its text, and write what is new as a further migration)"
    )]
    Changed {
        /// Its name.
        name: String,
    },
    /// A migration is applied that the program no longer has, though it has later ones.
    #[error(
        "migration {name} is applied, and the program does not have it any more \
         (bring it back: what was applied anywhere stays in the list)"
    )]
    Gone {
        /// Its name.
        name: String,
    },
    /// A migration came into the list before one that is applied.
    #[error(
        "migration {name} is new, and stands before {applied}, which is applied \
         (give it a name that sorts after all others)"
    )]
    OutOfOrder {
        /// Its name.
        name: String,
        /// One that stands after it and is applied.
        applied: String,
    },
    /// A migration's statements failed, or its function did.
    #[error("migration {name}: {source}")]
    Failed {
        /// Its name.
        name: String,
        /// What the database said.
        source: DbError,
    },
    /// The ledger could not be read or written.
    #[error(transparent)]
    Db(#[from] DbError),
}

impl MigrateError {
    /// The migration that it is about, if it is about one.
    #[must_use]
    pub fn migration(&self) -> Option<&str> {
        match self {
            Self::Changed { name }
            | Self::Gone { name }
            | Self::OutOfOrder { name, .. }
            | Self::Failed { name, .. } => Some(name),
            Self::Db(_) => None,
        }
    }
}
