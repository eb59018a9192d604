//! How a job becomes a worker's and is let go of again: the statements.
//!
//! Whoever takes a job is given a lease, a new one each time. Only by it the job's row is written until
//! it ends, so that a worker that was away for too long writes nothing over what the next has done.

use chrono::{DateTime, Utc};
use uuid::Uuid;

use super::{
    TOPIC,
    context::Progress,
    queue::{hint, take_lock},
    turn::Shared,
};
use crate::{
    Tenant,
    db::{DbError, TenantDb, TenantTx},
};

/// A job that is this worker's.
pub(super) struct Taken {
    pub(super) id: Uuid,
    pub(super) lease: Uuid,
    pub(super) kind: String,
    pub(super) payload: String,
    pub(super) attempt: i32,
    pub(super) max_attempts: i32,
    pub(super) trace: Option<String>,
    pub(super) progress: Progress,
}

/// What a job that is this worker's comes to.
pub(super) struct Ending {
    pub(super) id: Uuid,
    pub(super) lease: Uuid,
    pub(super) kind: String,
    pub(super) how: How,
    pub(super) progress: Progress,
}

#[derive(Debug)]
pub(super) enum How {
    Done,
    Again {
        error: String,
        at: DateTime<Utc>,
    },
    Dead {
        error: String,
    },
    Cancelled,
    /// It was not this attempt's fault, which does not count.
    Released,
}

/// The statement that takes a job, for these kinds: the most urgent that is due, or the one of an id.
///
/// Those who take a tenant's jobs do so one after the other, so that no two take the same one and no
/// more run at a time than may.
///
/// `coalesce` keeps SQLite from looking for all that are due by the index of times, and then sorting
/// them, at each job of ninety thousand: it is to go by the index that has them in their order, and
/// take the first.
pub(super) fn take_sql<'k>(kinds: impl Iterator<Item = &'k str>, only: bool) -> String {
    let first = if only { 6 } else { 5 };
    let mut places: Vec<String> = kinds
        .enumerate()
        .map(|(number, _)| format!("${}", first + number))
        .collect();
    if places.is_empty() {
        places.push("NULL".into());
    }
    let one = if only { "AND id = $5" } else { "" };
    format!(
        "UPDATE jobs SET status = 'running', lease = $2, lease_until = $3, attempts = attempts + 1
         WHERE id = (SELECT id FROM jobs WHERE status = 'queued' AND coalesce(run_at, run_at) <= $1 {one}
                AND kind IN ({}) ORDER BY priority DESC, run_at, id LIMIT 1)
            AND (SELECT count(*) FROM jobs WHERE status = 'running') < $4
         RETURNING id, kind, payload, attempts, max_attempts, trace, progress, progress_of",
        places.join(", ")
    )
}

/// Ends what the worker had, if it had anything, and takes the next: in one transaction.
pub(super) async fn take_next(
    shared: &Shared,
    tenant: &Tenant,
    db: &TenantDb,
    ending: Option<&Ending>,
    first: bool,
    only: Option<Uuid>,
) -> Result<Option<Taken>, DbError> {
    let now = Utc::now();
    let mut tx = db.begin();
    tx.lock_alone(take_lock(tenant.id())).await?;
    if let Some(ending) = ending {
        end(shared, tenant, &mut tx, ending).await?;
    }
    if first {
        take_back(&mut tx, now).await?;
    }
    let lease = Uuid::now_v7();
    let sql = match only {
        Some(_) => &shared.take_one_sql,
        None => &shared.take_sql,
    };
    // the one that is meant need not be due
    let due = only.map_or(now, |_| {
        DateTime::<Utc>::from_timestamp(253_402_300_799, 0).unwrap_or(now)
    });
    let mut query = tx
        .query(sql)
        .bind(due)
        .bind(lease)
        .bind(now + shared.lease)
        .bind(i64::from((shared.jobs.share)(tenant).at_once.max(1)));
    if let Some(id) = only {
        query = query.bind(id);
    }
    let kinds = shared.jobs.handlers.keys();
    type Columns = (
        Uuid,
        String,
        String,
        i32,
        i32,
        Option<String>,
        i64,
        Option<i64>,
    );
    let row: Option<Columns> = kinds
        .fold(query, |query, kind| query.bind(*kind))
        .optional()
        .await?;
    tx.commit().await?;
    Ok(row.map(
        |(id, kind, payload, attempt, max_attempts, trace, done, of)| Taken {
            id,
            lease,
            kind,
            payload,
            attempt,
            max_attempts,
            trace,
            progress: Progress {
                done,
                of,
                ..Progress::default()
            },
        },
    ))
}

/// Ends what the worker had, in a transaction of its own.
pub(super) async fn let_go(
    shared: &Shared,
    tenant: &Tenant,
    db: &TenantDb,
    ending: &Ending,
) -> Result<(), DbError> {
    let mut tx = db.begin();
    end(shared, tenant, &mut tx, ending).await?;
    tx.commit().await
}

async fn end(
    shared: &Shared,
    tenant: &Tenant,
    tx: &mut TenantTx,
    ending: &Ending,
) -> Result<(), DbError> {
    let now = Utc::now();
    let (status, again_at, error) = match &ending.how {
        How::Done => ("done", None, None),
        How::Again { error, at } => ("queued", Some(*at), Some(error.as_str())),
        How::Dead { error } => ("dead", None, Some(error.as_str())),
        How::Cancelled => ("cancelled", None, None),
        How::Released => ("queued", Some(now), None),
    };
    if let Some(at) = again_at {
        hint(&shared.tenancy, tenant.id(), tx, at).await?;
    }
    let written = tx
        .query(
            "UPDATE jobs SET status = $3, run_at = coalesce($4, run_at), attempts = attempts - $5,
                last_error = CASE WHEN $3 = 'done' THEN NULL ELSE coalesce($6, last_error) END,
                finished_at = $7, lease = NULL, lease_until = NULL, cancelling = $8,
                progress = $9, progress_of = $10, progress_note = $11
             WHERE id = $1 AND lease = $2 AND status = 'running'",
        )
        .bind(ending.id)
        .bind(ending.lease)
        .bind(status)
        .bind(again_at)
        .bind(i32::from(matches!(ending.how, How::Released)))
        .bind(error)
        .bind(again_at.is_none().then_some(now))
        .bind(false)
        .bind(ending.progress.done)
        .bind(ending.progress.of)
        .bind(&ending.progress.note)
        .execute()
        .await?;
    if written == 0 {
        tracing::warn!(job = %ending.id, "a job that has ended is another worker's by now");
    } else if ending.progress.is_told() {
        let said = ending.progress.said(ending.id, &ending.kind, status);
        tx.publish(TOPIC, &said)?;
    }
    Ok(())
}

/// Takes back what workers had that are gone. It counts as an attempt: what ends its worker each time
/// must end, too. The catalog's hint is not later than the lease's end, and needs no other.
async fn take_back(tx: &mut TenantTx, now: DateTime<Utc>) -> Result<(), DbError> {
    let back = tx
        .query(
            "UPDATE jobs SET
                status = CASE WHEN cancelling THEN 'cancelled'
                    WHEN attempts >= max_attempts THEN 'dead' ELSE 'queued' END,
                finished_at = CASE WHEN cancelling OR attempts >= max_attempts THEN $1
                    ELSE finished_at END,
                last_error = 'its worker ended, or did not answer for too long',
                lease = NULL, lease_until = NULL
             WHERE status = 'running' AND lease_until < $1",
        )
        .bind(now)
        .execute()
        .await?;
    if back > 0 {
        tracing::warn!(
            jobs = back,
            "jobs are taken back from a worker that is gone"
        );
    }
    Ok(())
}

/// Goes on having a job, and tells how far it is: whether it is to stop. None where it is this worker's
/// no more.
pub(super) async fn keep(
    db: &TenantDb,
    id: Uuid,
    lease: Uuid,
    until: DateTime<Utc>,
    progress: &Progress,
) -> Result<Option<bool>, DbError> {
    let row: Option<(bool,)> = db
        .query(
            "UPDATE jobs SET lease_until = $3, progress = $4, progress_of = $5, progress_note = $6
             WHERE id = $1 AND lease = $2 AND status = 'running' RETURNING cancelling",
        )
        .bind(id)
        .bind(lease)
        .bind(until)
        .bind(progress.done)
        .bind(progress.of)
        .bind(&progress.note)
        .optional()
        .await?;
    Ok(row.map(|(cancelling,)| cancelling))
}

/// As [`keep`], without writing anything.
pub(super) async fn look(db: &TenantDb, id: Uuid, lease: Uuid) -> Result<Option<bool>, DbError> {
    let row: Option<(bool,)> = db
        .query("SELECT cancelling FROM jobs WHERE id = $1 AND lease = $2 AND status = 'running'")
        .bind(id)
        .bind(lease)
        .optional()
        .await?;
    Ok(row.map(|(cancelling,)| cancelling))
}
