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
}

impl Isolation {
    /// The word that stands in the catalog, in flags and in outputs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
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
        match text {
            "file" => Ok(Self::File),
            _ => Err(UnknownWord {
                given: text.into(),
                expected: "file",
            }),
        }
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
