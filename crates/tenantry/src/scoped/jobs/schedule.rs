use std::{fmt, str::FromStr, time::Duration};

use chrono::{DateTime, Utc};
use croner::Cron;
use sha2::{Digest, Sha256};

use super::{handlers::Scheduled, queue::Queue};
use crate::{
    Tenant,
    db::{DbError, TenantDb},
};

/// When something is due again and again: a cron pattern of five fields, as `0 2 * * 1-5`, in UTC.
#[derive(Clone)]
pub struct Schedule {
    cron: Box<Cron>,
    text: String,
    spread: Duration,
}

/// A text that says no schedule.
#[derive(Debug, thiserror::Error)]
#[error("{text:?} is no schedule like \"0 2 * * *\": {why}")]
pub struct BadSchedule {
    text: String,
    why: String,
}

/// A time at which something was due.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tick {
    pub(super) at: DateTime<Utc>,
}

impl Schedule {
    /// Spreads it: each tenant has its own moment within that time after it is due, always the same.
    /// Thousands of tenants are not opened in one second then.
    #[must_use]
    pub fn spread(mut self, over: Duration) -> Self {
        self.spread = over;
        self
    }

    /// How much later it is due for that tenant.
    fn later(&self, tenant: &Tenant, name: &str) -> chrono::Duration {
        let digest = Sha256::new()
            .chain_update(name)
            .chain_update(tenant.id().as_uuid())
            .finalize();
        let part = u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]]);
        let later = self
            .spread
            .mul_f64(f64::from(part) / (f64::from(u32::MAX) + 1.0));
        chrono::Duration::from_std(later).unwrap_or_default()
    }

    /// The first time after that one.
    #[must_use]
    pub fn after(&self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.cron.find_next_occurrence(&time, false).ok()
    }

    /// The last time that is not after that one.
    #[must_use]
    pub fn until(&self, time: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.cron.find_previous_occurrence(&time, true).ok()
    }
}

impl FromStr for Schedule {
    type Err = BadSchedule;

    fn from_str(text: &str) -> Result<Self, BadSchedule> {
        let cron = Cron::from_str(text).map_err(|error| BadSchedule {
            text: text.into(),
            why: error.to_string(),
        })?;
        Ok(Self {
            cron: Box::new(cron),
            text: text.into(),
            spread: Duration::ZERO,
        })
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Schedule({})", self.text)
    }
}

/// Enqueues what is due by the schedules and was not yet, and tells when the next is.
///
/// Who notes that a time was seen to enqueues its job in the same transaction: of several workers one
/// does. A schedule that was never seen here is seen to from now on.
pub(super) async fn enqueue_due(
    queue: &Queue,
    db: &TenantDb,
    schedules: &[Scheduled],
    now: DateTime<Utc>,
) -> Result<Option<DateTime<Utc>>, DbError> {
    let tenant = queue.tenant();
    let mut next = None;
    let mine: Vec<&Scheduled> = schedules.iter().filter(|one| (one.whose)(tenant)).collect();
    if mine.is_empty() {
        return Ok(None);
    }
    let seen: Vec<(String, DateTime<Utc>)> = db
        .query("SELECT name, last_tick FROM job_schedules")
        .all()
        .await?;
    for one in mine {
        let later = one.when.later(tenant, one.name);
        let last = seen.iter().find(|(name, _)| name == one.name);
        if let Some(at) = one.when.until(now - later)
            && last.is_none_or(|(_, seen)| *seen < at)
        {
            let mut tx = db.begin();
            let noted = tx
                .query(
                    "INSERT INTO job_schedules (name, last_tick) VALUES ($1, $2)
                     ON CONFLICT (name) DO UPDATE SET last_tick = excluded.last_tick
                     WHERE job_schedules.last_tick < excluded.last_tick",
                )
                .bind(one.name)
                .bind(at)
                .execute()
                .await?;
            if noted > 0 && last.is_some() {
                let job = (one.job)(Tick { at: at + later });
                let job = job.map_err(|error| DbError::Engine(Box::new(error)))?;
                queue.write(&mut tx, job).await?;
            }
            tx.commit().await?;
        }
        let then = one.when.after(now - later).map(|at| at + later);
        next = [next, then].into_iter().flatten().min();
    }
    Ok(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn times_before_and_after() {
        let nightly: Schedule = "0 2 * * *".parse().unwrap();
        let at = |text| Some(time(text));
        assert_eq!(
            nightly.until(time("2026-03-05T02:00:00Z")),
            at("2026-03-05T02:00:00Z")
        );
        assert_eq!(
            nightly.until(time("2026-03-05T01:59:59Z")),
            at("2026-03-04T02:00:00Z")
        );
        assert_eq!(
            nightly.after(time("2026-03-05T02:00:00Z")),
            at("2026-03-06T02:00:00Z")
        );
    }

    #[test]
    fn what_is_no_pattern_is_refused() {
        for text in ["", "nightly", "61 * * * *", "* * *"] {
            assert!(text.parse::<Schedule>().is_err(), "{text}");
        }
    }
}
