use std::fmt;

use super::ValueError;

/// What a statement, a transaction or a database handle can fail with, on any engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DbError {
    /// A row was required and there is none. A row of another tenant is none.
    #[error("no such row")]
    NotFound,
    /// One row was required and there are more.
    #[error("more than one row")]
    TooManyRows,
    /// A unique constraint, or a primary key, does not allow the row.
    #[error("unique constraint on {0}")]
    Unique(Violation),
    /// A foreign key points nowhere, or something still points to the row.
    #[error("foreign key constraint")]
    ForeignKey,
    /// A column that must not be NULL would be.
    #[error("{0} must not be NULL")]
    NotNull(Violation),
    /// A check constraint does not allow the row.
    #[error("check constraint {0}")]
    Check(String),
    /// A value does not have the column's type.
    #[error("a value does not have its column's type: {0}")]
    Datatype(String),
    /// The parameters bound are not those that the statement has.
    #[error("the statement has {expected} parameters and {given} are bound")]
    Parameters {
        /// How many the statement has.
        expected: usize,
        /// How many were bound.
        given: usize,
    },
    /// A bound text contains a NUL character, which PostgreSQL cannot store.
    #[error("text must not contain a NUL character")]
    NulInText,
    /// A row has no column of that name or position.
    #[error("the row has no column {0}")]
    NoColumn(String),
    /// A column is not what the caller asked for.
    #[error("column {column}: {source}")]
    Decode {
        /// The column's name.
        column: String,
        /// What is wrong with it.
        source: ValueError,
    },
    /// The statement does what a handle may not: reach another database, change the schema, set
    /// an option, or begin a transaction by hand.
    #[error("the statement is not allowed on this handle: {0}")]
    Denied(String),
    /// The statement is wrong SQL, or names what does not exist.
    #[error("the statement is not valid: {0}")]
    Statement(String),
    /// An earlier statement of the transaction failed or was cancelled; only a rollback (or one
    /// to a savepoint) is possible now.
    #[error("the transaction was aborted by an earlier failure")]
    Aborted,
    /// The database was busy for longer than the deployment allows to wait.
    #[error("the database is busy")]
    Busy,
    /// The statement took longer than it may, by the tenant's [limits](crate::tenant::Limits) or the
    /// [deployment](crate::Config::statement_timeout), and was stopped. What it would have changed is
    /// not changed.
    #[error("the statement took longer than it may")]
    Timeout,
    /// The handle outlived its tenant's presence here: the tenancy was closed, or the tenant was
    /// deleted or moved.
    #[error("the database handle is closed")]
    Closed,
    /// The tenant's database is not where the catalog says.
    #[error("the database is missing: {0}")]
    Missing(String),
    /// The disk or a quota is full.
    #[error("the storage is full")]
    Full,
    /// The database cannot be reached, or the connection to it ended. Whether a write that was
    /// under way has been done is not known.
    #[error("the database cannot be reached: {0}")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// Anything else the engine reports.
    #[error("the database failed: {0}")]
    Engine(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl DbError {
    /// Whether a unique constraint over exactly these columns of `table` was violated.
    ///
    /// ```
    /// # use tenantry::db::DbError;
    /// fn slug(error: &DbError) -> &'static str {
    ///     if error.is_unique("products", &["code"]) { "code-taken" } else { "internal" }
    /// }
    /// ```
    #[must_use]
    pub fn is_unique(&self, table: &str, columns: &[&str]) -> bool {
        matches!(self, Self::Unique(violation)
            if violation.table == table && violation.columns.iter().eq(columns))
    }
}

/// Which constraint was violated, by its table and columns.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Violation {
    /// The table.
    pub table: String,
    /// The columns, in the constraint's order; empty where the engine does not tell.
    pub columns: Vec<String>,
    /// The constraint's name, where the engine tells it.
    pub constraint: Option<String>,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", self.table, self.columns.join(", "))
    }
}
