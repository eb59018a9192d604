//! What was done in the shop, for its owners and admins.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use tenantry::{
    db::TenantDb,
    resources,
    routing::{Can, Json, Query, Result},
    users::{Audit, AuditEntry},
};
use uuid::Uuid;

use crate::access::ReadLog;

#[derive(Deserialize)]
pub(crate) struct Wanted {
    limit: Option<u32>,
    cursor: Option<Uuid>,
}

#[derive(Serialize)]
pub(crate) struct Entry {
    id: Uuid,
    at: DateTime<Utc>,
    action: String,
    actor: Actor,
    subject: String,
    detail: String,
    address: String,
    operator: Option<String>,
}

#[derive(Serialize)]
struct Actor {
    kind: &'static str,
    name: String,
}

impl From<AuditEntry> for Entry {
    fn from(entry: AuditEntry) -> Self {
        Self {
            id: entry.id,
            at: entry.at,
            action: entry.action,
            actor: Actor {
                kind: entry.actor.kind(),
                name: entry.actor.name().into(),
            },
            subject: entry.subject,
            detail: entry.detail,
            address: entry.address,
            operator: entry.operator,
        }
    }
}

#[derive(Serialize)]
pub(crate) struct Page {
    items: Vec<Entry>,
    next: Option<Uuid>,
}

pub(crate) async fn list(
    _: Can<ReadLog>,
    mut db: TenantDb,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Page>> {
    let limit = resources::limit(wanted.limit)?;
    let mut entries = Audit::on(&mut db)
        .list(wanted.cursor, i64::from(limit) + 1)
        .await?;
    let more = entries.len() > limit as usize;
    entries.truncate(limit as usize);
    Ok(Json(Page {
        next: entries.last().filter(|_| more).map(|entry| entry.id),
        items: entries.into_iter().map(Entry::from).collect(),
    }))
}
