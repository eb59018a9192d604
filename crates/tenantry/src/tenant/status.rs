use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::UnknownWord;

/// What may be done with a tenant now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum TenantStatus {
    /// Made before anybody wanted it: to everyone there is no such tenant, until it is taken.
    Pending,
    /// Being made. To everyone but its maker there is no such tenant yet.
    Creating,
    /// At work.
    Active,
    /// Stopped by an operator: it exists, keeps its data, and answers 503.
    Suspended,
    /// Deleted by an operator: to everyone there is no such tenant any more, and until its grace
    /// ends it can be brought back.
    Deleted,
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

    /// Whether there is no such tenant any more, though it may be brought back.
    pub(crate) fn is_gone(self) -> bool {
        matches!(self, Self::Deleted | Self::Deleting)
    }

    /// Whether somebody is at work on a tenant with this status, or was when it died.
    pub(crate) fn is_unfinished(self) -> bool {
        matches!(self, Self::Creating | Self::Deleting)
    }

    /// The word that stands in the catalog and in outputs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Creating => "creating",
            Self::Active => "active",
            Self::Suspended => "suspended",
            Self::Deleted => "deleted",
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
            Self::Pending,
            Self::Creating,
            Self::Active,
            Self::Suspended,
            Self::Deleted,
            Self::Deleting,
        ]
        .into_iter()
        .find(|status| status.as_str() == text)
        .ok_or_else(|| UnknownWord {
            given: text.into(),
            expected: "pending, creating, active, suspended, deleted, deleting",
        })
    }
}
