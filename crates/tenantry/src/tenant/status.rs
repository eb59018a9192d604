use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::UnknownWord;

/// What may be done with a tenant now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum TenantStatus {
    /// Being made. To everyone but its maker there is no such tenant yet.
    Creating,
    /// At work.
    Active,
    /// Stopped by an operator: it exists, keeps its data, and answers 503.
    Suspended,
    /// Being erased. To everyone there is no such tenant any more.
    Deleting,
}

impl TenantStatus {
    /// The statuses of tenants that the outside knows of.
    pub(crate) const VISIBLE: &'static [Self] = &[Self::Active, Self::Suspended];

    /// Whether the outside knows of a tenant with this status.
    #[must_use]
    pub fn is_visible(self) -> bool {
        Self::VISIBLE.contains(&self)
    }
    /// The word that stands in the catalog and in outputs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Creating => "creating",
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Deleting => "deleting",
        }
    }
}

impl fmt::Display for TenantStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for TenantStatus {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Self, UnknownWord> {
        [
            Self::Creating,
            Self::Active,
            Self::Suspended,
            Self::Deleting,
        ]
        .into_iter()
        .find(|status| status.as_str() == text)
        .ok_or_else(|| UnknownWord {
            given: text.into(),
            expected: "creating, active, suspended, deleting",
        })
    }
}
