//! What the shop has used: told to those who manage it.

use chrono::{DateTime, Datelike, NaiveTime, Utc};
use serde::Serialize;
use tenantry::{
    routing::{Can, Json, Result},
    usage::{Amounts, By, TenantUsage},
};

use crate::access::ChangeShop;

#[derive(Serialize)]
pub(crate) struct Shown {
    /// Since when: the first of the month, in UTC.
    since: DateTime<Utc>,
    used: Amounts,
    /// The most bytes that were seen.
    stored: Stored,
}

#[derive(Serialize, Default)]
struct Stored {
    database: u64,
    files: u64,
}

/// This month, up to the last half minute.
pub(crate) async fn show(_: Can<ChangeShop>, usage: TenantUsage) -> Result<Json<Shown>> {
    let now = Utc::now();
    let today = now.date_naive();
    let first = today.with_day(1).unwrap_or(today);
    let since = first.and_time(NaiveTime::MIN).and_utc();
    let used = usage.between(since..now, By::Whole).await?;
    let used = used.into_iter().next();
    Ok(Json(Shown {
        since,
        used: used.as_ref().map(|one| one.amounts).unwrap_or_default(),
        stored: used.map_or_else(Stored::default, |one| Stored {
            database: one.database_bytes,
            files: one.file_bytes,
        }),
    }))
}
