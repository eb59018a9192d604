use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// The identity of a tenant: a UUIDv7, given once and never changed.
///
/// Places on disk and in databases are named by the id, so that renaming a tenant moves nothing.
///
/// ```
/// use tenantry::tenant::TenantId;
///
/// let id = TenantId::generate();
/// assert_eq!(id.to_string().parse(), Ok(id));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct TenantId(Uuid);

impl TenantId {
    /// A new id. Ids made later sort after earlier ones.
    #[must_use]
    pub fn generate() -> Self {
        Self(Uuid::now_v7())
    }

    /// The id as a plain UUID.
    #[must_use]
    pub const fn as_uuid(&self) -> &Uuid {
        &self.0
    }

    /// Two hexadecimal digits that spread ids evenly over 256 folders.
    ///
    /// They are the last two: the first ones of a UUIDv7 are its time and hardly differ.
    pub(crate) fn shard(&self) -> String {
        format!("{:02x}", self.0.as_bytes()[15])
    }
}

impl From<Uuid> for TenantId {
    fn from(uuid: Uuid) -> Self {
        Self(uuid)
    }
}

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for TenantId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}
