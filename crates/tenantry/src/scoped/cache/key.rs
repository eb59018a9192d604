use std::{borrow::Cow, time::Duration};

use serde::{Serialize, de::DeserializeOwned};

/// What something is kept under: a type that says what the value is, whose it is, and for how long it
/// is good.
///
/// Whose it is is [`TenantScope`](crate::db::TenantScope) or [`CentralScope`](crate::db::CentralScope),
/// and a [`Cache`](super::Cache) takes keys of its own scope alone. So what is one tenant's does not
/// compile where it would be kept for all, nor the reverse.
pub trait CacheKey {
    /// Whose it is.
    type Scope;
    /// What is kept. A value that was kept by another version of the program, and cannot be read any
    /// more, is none.
    type Value: Serialize + DeserializeOwned;
    /// What tells keys of this type from those of others.
    const NAME: &'static str;
    /// For how long it is good, from when it was put there; at most 30 days.
    const LIFE: Duration;

    /// What tells it from others of its type; empty where there is one alone.
    fn text(&self) -> Cow<'_, str> {
        Cow::Borrowed("")
    }
}

/// The key within a scope, of one of its records. No text can be so that two keys are taken for one.
pub(super) fn full<K: CacheKey>(record: &str, key: &K) -> String {
    format!("{record}:{}:{}:{}", K::NAME.len(), K::NAME, key.text())
}
