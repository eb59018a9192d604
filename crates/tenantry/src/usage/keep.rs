//! Usage is written down.

use std::{
    sync::{PoisonError, Weak},
    time::Duration,
};

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Mutex;
use uuid::Uuid;

use super::{
    Ledger,
    ledger::{Busiest, start_of_hour},
};
use crate::{Tenancy, catalog::Written, db::DbError, lifecycle, tenancy::Inner};

/// How long hours are kept, until each day becomes one row: what is asked by the hour is of late.
const HOURS_KEPT: TimeDelta = TimeDelta::days(92);

/// Of so many tenants it is looked at a time how many bytes they have.
const SAMPLED: usize = 20;

/// How long the end of a process waits for it.
const ENDING: Duration = Duration::from_secs(5);

/// What of this process' usage is on its way into the catalog.
pub(crate) struct Writer {
    id: Uuid,
    sending: Mutex<Sending>,
}

#[derive(Default)]
struct Sending {
    batch: i64,
    /// What is sent as that batch, until it is known to be there. It is not changed meanwhile: it may
    /// have arrived though nobody said so.
    rows: Option<Vec<Written>>,
}

impl Writer {
    pub(crate) fn new() -> Self {
        Self {
            id: Uuid::now_v7(),
            sending: Mutex::default(),
        }
    }
}

impl Tenancy {
    /// Writes down what tenants have used in this process and that is not written down yet. It is done
    /// by itself twice a minute, and by [`shut_down`](Self::shut_down).
    ///
    /// What cannot be written is kept and tried with the next; nothing is written twice.
    ///
    /// # Errors
    /// When the catalog cannot be written.
    pub async fn persist_usage(&self) -> Result<(), DbError> {
        let inner = &self.0;
        let writer = &inner.usage_writer;
        let mut sending = writer.sending.lock().await;
        loop {
            let is_new = sending.rows.is_none();
            if is_new {
                let rows = {
                    let mut ledger = self.ledger();
                    ledger.collect(&inner.meters, Utc::now());
                    ledger.take_unsent()
                };
                if rows.is_empty() {
                    return Ok(());
                }
                sending.batch += 1;
                sending.rows = Some(rows);
            }
            let batch = sending.batch;
            if let Some(rows) = &sending.rows {
                let store = inner.catalog.store();
                store.add_usage(writer.id, batch, rows).await?;
            }
            sending.rows = None;
            if is_new {
                return Ok(());
            }
        }
    }

    /// Tells other processes [what happened](crate::scoped::live), writes down what tenants have used, and
    /// then ends it as [`close`](Self::close) does: for the end
    /// of a process. What cannot be written within five seconds is lost, which is logged.
    pub async fn shut_down(&self) {
        self.tell_all().await;
        let written = tokio::time::timeout(ENDING, self.persist_usage()).await;
        match written {
            Ok(Ok(()) | Err(DbError::Closed)) => {}
            Ok(Err(error)) => tracing::error!(%error, "what tenants used last is lost"),
            Err(_) => {
                tracing::error!("what tenants used last is lost: the catalog does not answer");
            }
        }
        self.close();
    }

    /// What tenants have used in this process: the [busiest](crate::Config::busiest_tenants) by
    /// themselves, and all others as one.
    #[must_use]
    pub fn busiest(&self) -> Busiest {
        let mut ledger = self.ledger();
        ledger.collect(&self.0.meters, Utc::now());
        ledger.busiest()
    }

    fn ledger(&self) -> std::sync::MutexGuard<'_, Ledger> {
        self.0.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks how many bytes some of those have that have done something.
    async fn sample_stored(&self) -> Result<(), DbError> {
        let inner = &self.0;
        let some = {
            let mut ledger = self.ledger();
            ledger.collect(&inner.meters, Utc::now());
            ledger.unsampled(SAMPLED)
        };
        for id in some {
            let tenant = inner.catalog.store().by_id(id).await?;
            let Some(tenant) = tenant.filter(|tenant| !tenant.status().is_gone()) else {
                continue;
            };
            // where a tenant shares tables nobody knows; what is away is asked again
            let Ok(database) = self.size(&tenant).await else {
                continue;
            };
            let Ok(files) = lifecycle::count_files(inner, id).await else {
                continue;
            };
            let stored = [database.unwrap_or(0), files.bytes];
            self.ledger().note_stored(id, stored);
        }
        Ok(())
    }
}

/// Writes down what is used, for as long as the tenancy exists: at least so often, and when an hour
/// ends.
pub(crate) async fn keep(tenancy: Weak<Inner>, every: Duration) {
    let mut rolled_up: Option<DateTime<Utc>> = None;
    loop {
        tokio::time::sleep(every.min(until_next_hour(Utc::now()))).await;
        let Some(inner) = tenancy.upgrade().filter(|inner| !inner.is_closed()) else {
            return;
        };
        let tenancy = Tenancy(inner);
        let done = async {
            tenancy.sample_stored().await?;
            tenancy.persist_usage().await?;
            let hour = start_of_hour(Utc::now());
            if rolled_up != Some(hour) {
                let store = tenancy.0.catalog.store();
                while store.roll_up_usage(hour - HOURS_KEPT).await? {}
                rolled_up = Some(hour);
            }
            Ok(())
        };
        match done.await {
            Ok(()) => {}
            Err(DbError::Closed) => return,
            Err(error) => {
                tracing::warn!(%error, "what tenants use cannot be written down now");
            }
        }
    }
}

fn until_next_hour(now: DateTime<Utc>) -> Duration {
    let next = start_of_hour(now) + TimeDelta::hours(1);
    (next - now).to_std().unwrap_or_default()
}
