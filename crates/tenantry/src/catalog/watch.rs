use std::{sync::Weak, time::Duration};

use crate::{
    db::DbError,
    tenancy::Inner,
    tenant::{TenantId, TenantStatus},
};

/// How often the log of changes is looked at.
pub(crate) const INTERVAL: Duration = Duration::from_millis(200);

/// Follows what other processes change, for as long as the tenancy exists.
pub(crate) async fn watch(tenancy: Weak<Inner>, mut seen: i64) {
    let mut ticks = tokio::time::interval(INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(tenancy) = tenancy.upgrade() else {
            return;
        };
        match follow(&tenancy, seen).await {
            Ok(latest) => seen = latest,
            Err(DbError::Closed) => return,
            Err(error) => {
                tracing::warn!(%error, "the catalog's changes cannot be followed");
                // better slow than wrong
                tenancy.catalog.forget_all();
            }
        }
    }
}

async fn follow(tenancy: &Inner, seen: i64) -> Result<i64, DbError> {
    let store = tenancy.catalog.store();
    let changes = store.changes_after(seen).await?;
    let Some((first, ..)) = changes.first() else {
        return Ok(seen);
    };
    if *first > seen + 1 {
        tenancy.catalog.forget_all(); // what lies between has been pruned
    }
    let mut latest = seen;
    for (seq, id, code) in changes {
        latest = seq;
        tenancy.catalog.forget(&code);
        let id = TenantId::from(id);
        if tenancy.files.is_open(id) && gone(tenancy, id).await? {
            tenancy.files.close(id);
        }
    }
    Ok(latest)
}

async fn gone(tenancy: &Inner, id: TenantId) -> Result<bool, DbError> {
    let tenant = tenancy.catalog.store().by_id(id).await?;
    Ok(tenant.is_none_or(|tenant| tenant.status() == TenantStatus::Deleting))
}
