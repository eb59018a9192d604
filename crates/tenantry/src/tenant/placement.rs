use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::UnknownWord;

/// How a tenant's data is kept apart from every other's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Isolation {
    /// A SQLite file of its own.
    File,
    /// Rows in tables that it shares with others, behind row-level security, on PostgreSQL.
    Rows,
    /// A schema of its own, on PostgreSQL.
    Schema,
    /// A database of its own, on PostgreSQL.
    Database,
}

impl Isolation {
    /// Every one there is.
    pub const ALL: [Self; 4] = [Self::File, Self::Rows, Self::Schema, Self::Database];

    /// The word that stands in the catalog, in flags and in outputs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Rows => "rows",
            Self::Schema => "schema",
            Self::Database => "database",
        }
    }
}

impl fmt::Display for Isolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for Isolation {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        Self::ALL
            .into_iter()
            .find(|isolation| isolation.as_str() == text)
            .ok_or_else(|| UnknownWord {
                given: text.into(),
                expected: "file, rows, schema, database",
            })
    }
}

/// Where one tenant lives.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Placement {
    /// The means that keeps it apart.
    pub isolation: Isolation,
    /// The server's name in the catalog; `local` is the one the deployment began with.
    pub server: String,
}

impl Placement {
    /// A place of that kind on that server.
    pub fn new(isolation: Isolation, server: impl Into<String>) -> Self {
        Self {
            isolation,
            server: server.into(),
        }
    }
}
