//! Migrations: what a tenant's database, and the central one, are made of.
//!
//! They are written once, as plain single-tenant SQL in the common subset of SQLite and
//! PostgreSQL, and applied to each tenant in a transaction of its own. A ledger in the same
//! database tells which are applied, so a tenant carries its own version wherever it goes.

mod ledger;

pub(crate) use ledger::{Ledger, apply_to_sqlite, pending_on_sqlite};

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use crate::db::DbError;

/// An ordered list of migrations.
///
/// ```
/// use tenantry::migrate::Migrations;
///
/// let migrations = Migrations::new()
///     .sql("0001_products", "CREATE TABLE products (id uuid PRIMARY KEY, name text NOT NULL)")
///     .sql("0002_price", "ALTER TABLE products ADD COLUMN price numeric(12, 2)");
/// assert_eq!(migrations.names().last(), Some("0002_price"));
/// ```
#[derive(Debug, Clone, Default)]
pub struct Migrations(Vec<Migration>);

#[derive(Debug, Clone)]
pub(crate) struct Migration {
    pub(crate) name: Cow<'static, str>,
    pub(crate) sql: Cow<'static, str>,
    pub(crate) checksum: String,
}

impl Migrations {
    /// An empty list.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a migration of SQL statements. Once it has been applied anywhere its text must not
    /// change: that is found by its checksum, and refused.
    ///
    /// # Panics
    /// When `name` does not sort after the name before it, which is a mistake in the program.
    #[must_use]
    pub fn sql(
        mut self,
        name: impl Into<Cow<'static, str>>,
        sql: impl Into<Cow<'static, str>>,
    ) -> Self {
        let (name, sql) = (name.into(), sql.into());
        if let Some(last) = self.0.last() {
            assert!(
                last.name < name,
                "migration {name:?} must sort after {:?}",
                last.name
            );
        }
        self.0.push(Migration {
            checksum: hex::encode(Sha256::digest(sql.as_bytes())),
            name,
            sql,
        });
        self
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|migration| migration.name.as_ref())
    }

    /// Both lists, these first.
    pub(crate) fn followed_by(mut self, others: Self) -> Self {
        self.0.extend(others.0);
        self
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Migration> {
        self.0.iter()
    }

    /// What a database at the end of this list is labelled with: the last name, and a digest of
    /// all names.
    #[must_use]
    pub fn version(&self) -> String {
        let mut digest = Sha256::new();
        for name in self.names() {
            digest.update(name);
            digest.update([0]);
        }
        let last = self.names().last().unwrap_or("empty");
        format!("{last}@{}", &hex::encode(digest.finalize())[..8])
    }

    /// A digest of all names and texts.
    pub(crate) fn fingerprint(&self) -> String {
        let mut digest = Sha256::new();
        for migration in &self.0 {
            digest.update(&*migration.name);
            digest.update(&migration.checksum);
        }
        hex::encode(&digest.finalize()[..8])
    }
}

/// Why a database could not be migrated. It is as it was before.
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
    /// A migration's statements failed.
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
