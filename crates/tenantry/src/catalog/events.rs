//! What happened in tenants, on its way from one process to the others.

use std::sync::Arc;

use uuid::Uuid;

use super::Store;
use crate::{
    db::{DbError, Event, FromRow, Row},
    tenant::TenantId,
};

/// The numbers grow in the order in which others see them: there is one writer.
pub(super) const SQLITE: &str = "
CREATE TABLE tenantry_events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    process TEXT NOT NULL,
    tenant_id TEXT NOT NULL,
    topic TEXT NOT NULL,
    data TEXT NOT NULL
) STRICT;
";

/// On PostgreSQL a lock sees to that. It is taken before the first number is, and let go of when all
/// can be seen. The notification says only that there is something: whoever may notify may be anybody
/// who has a login, and who writes here is the library alone.
pub(super) const POSTGRES: &str = "
CREATE TABLE tenantry_events (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    process uuid NOT NULL,
    tenant_id uuid NOT NULL,
    topic text NOT NULL,
    data text NOT NULL
);
CREATE FUNCTION tenantry_order_events() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_advisory_xact_lock(7310872, 1);
    RETURN NULL;
END $$;
CREATE TRIGGER tenantry_events_ordered BEFORE INSERT ON tenantry_events
    FOR EACH STATEMENT EXECUTE FUNCTION tenantry_order_events();
CREATE FUNCTION tenantry_tell_events() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('tenantry', 'events');
    RETURN NULL;
END $$;
CREATE TRIGGER tenantry_events_told AFTER INSERT ON tenantry_events
    FOR EACH STATEMENT EXECUTE FUNCTION tenantry_tell_events();
";

/// What is notified when there are events.
pub(crate) const SAID: &str = "events";

/// How many are kept for those who are behind.
const KEPT: i64 = 20_000;
/// How many are read at a time.
const AT_ONCE: i64 = 1000;

/// What a process has told the others: an event of a tenant, or that it could not tell all.
#[derive(Debug, Clone)]
pub(crate) struct Posted {
    pub(crate) seq: i64,
    pub(crate) process: Uuid,
    /// None: somebody's, it is not known whose.
    pub(crate) of: Option<(TenantId, Event)>,
}

impl FromRow for Posted {
    fn from_row(row: &Row<'_>) -> Result<Self, DbError> {
        let tenant: Uuid = row.at(2)?;
        let topic: Arc<str> = row.at::<String>(3)?.into();
        let data: Arc<str> = row.at::<String>(4)?.into();
        Ok(Self {
            seq: row.at(0)?,
            process: row.at(1)?,
            of: (!tenant.is_nil()).then(|| (tenant.into(), Event::read(topic, data))),
        })
    }
}

impl Store {
    /// Tells other processes what happened; none of `events` stands for what was forgotten.
    pub(crate) async fn post_events(
        &self,
        process: Uuid,
        events: &[Option<(TenantId, Event)>],
    ) -> Result<(), DbError> {
        let mut pipeline = self.0.pipeline();
        for event in events {
            let (tenant, topic, data) = match event {
                Some((tenant, event)) => (*tenant.as_uuid(), event.topic(), event.data()),
                None => (Uuid::nil(), "", ""),
            };
            let _ = pipeline
                .query(
                    "INSERT INTO tenantry_events (process, tenant_id, topic, data)
                     VALUES ($1, $2, $3, $4)",
                )
                .bind(process)
                .bind(tenant)
                .bind(topic)
                .bind(data)
                .execute();
        }
        pipeline.run().await.map(drop)
    }

    /// Forgets those that everybody has read by now.
    pub(crate) async fn prune_events(&self) -> Result<(), DbError> {
        self.0
            .query(
                "DELETE FROM tenantry_events
                 WHERE seq <= (SELECT max(seq) FROM tenantry_events) - $1",
            )
            .bind(KEPT)
            .execute()
            .await
            .map(drop)
    }

    /// The next of them after that number.
    pub(crate) async fn events_after(&self, seq: i64) -> Result<Vec<Posted>, DbError> {
        self.0
            .query(
                "SELECT seq, process, tenant_id, topic, data FROM tenantry_events
                 WHERE seq > $1 ORDER BY seq LIMIT $2",
            )
            .bind(seq)
            .bind(AT_ONCE)
            .all()
            .await
    }

    /// The numbers of the first and the latest that are kept.
    pub(crate) async fn kept_events(&self) -> Result<Option<(i64, i64)>, DbError> {
        let (first, latest): (Option<i64>, Option<i64>) = self
            .0
            .query("SELECT min(seq), max(seq) FROM tenantry_events")
            .one()
            .await?;
        Ok(first.zip(latest))
    }
}
