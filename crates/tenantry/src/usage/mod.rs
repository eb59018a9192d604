//! What each tenant uses: requests, time and rows of its database, bytes, files, jobs, mail.
//!
//! Every handle that is made for a tenant carries the tenant's [`Meter`], and whatever is done on it
//! is counted there: statements and connections by the data layer itself, so that nothing an
//! application does escapes it. What the library does of its own accord (migrations, backups, exports)
//! is on nobody's account.
//!
//! What was counted is written into the catalog twice a minute, by the hour. A process that dies loses
//! what it counted since it last did, at most the last minute; nothing is written twice. Hours become
//! days after 92 days. It is what bills are made of, so it stays when a tenant is erased.

mod answers;
mod keep;
mod ledger;
mod meters;

use std::{ops::Range, sync::Arc};

use chrono::{DateTime, Months, NaiveTime, TimeDelta, Utc};
use serde::Serialize;

pub(crate) use keep::{Writer, keep};
pub(crate) use ledger::Ledger;
pub(crate) use meters::Meters;

pub(crate) use self::answers::Answers;
pub use self::{answers::RouteAnswers, ledger::Busiest};
use crate::{Tenancy, Tenant, catalog::Written, db::DbError, tenant::TenantId};
pub use crate::{
    catalog::Census,
    db::{Amounts, Meter, Quantity},
};

/// What a tenant has used in some time.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Used {
    /// Who.
    pub tenant: TenantId,
    /// When that time begins. It lasts as [asked](By).
    pub begins: DateTime<Utc>,
    /// How much.
    #[serde(flatten)]
    pub amounts: Amounts,
    /// How many bytes its database had at most, as far as it was looked: once in each hour in which
    /// the tenant did something. Nothing where it shares tables with others.
    pub database_bytes: u64,
    /// How many bytes its files had at most, as far as it was looked.
    pub file_bytes: u64,
}

impl From<Written> for Used {
    fn from(written: Written) -> Self {
        let [database_bytes, file_bytes] = written.stored;
        Self {
            tenant: written.tenant,
            begins: written.begins,
            amounts: written.amounts,
            database_bytes,
            file_bytes,
        }
    }
}

/// What one tenant has used. In a handler it is an argument.
#[derive(Debug, Clone)]
pub struct TenantUsage {
    tenancy: Tenancy,
    id: TenantId,
}

impl TenantUsage {
    /// What the tenant has used between two moments; as [`Tenancy::usage`].
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn between(
        &self,
        between: Range<DateTime<Utc>>,
        by: By,
    ) -> Result<Vec<Used>, DbError> {
        self.tenancy.usage(Some(self.id), between, by).await
    }
}

/// The connections of this process to one server.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Pool {
    /// The server's name in the deployment; `local` is the one that it began with.
    pub server: String,
    /// How many are on loan.
    pub lent: usize,
    /// How many are open and nobody has them.
    pub idle: usize,
    /// How many wait for one.
    pub waiting: usize,
    /// How many are open for brief reads of many tenants, one behind the other. They are never on loan.
    pub shared: usize,
    /// How many reads were answered on them.
    pub shared_reads: u64,
}

/// For which spans of time it is told what was used. All of them are in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum By {
    /// For each hour. Of more than 92 days ago there are only days.
    Hour,
    /// For each day.
    Day,
    /// For each month.
    Month,
    /// All of it together.
    Whole,
}

impl By {
    /// When the span ends that begins or goes on at that moment.
    fn end(self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let day = at.date_naive();
        let midnight = |day: chrono::NaiveDate| day.and_time(NaiveTime::MIN).and_utc();
        match self {
            Self::Hour => Some(ledger::start_of_hour(at) + TimeDelta::hours(1)),
            Self::Day => day.succ_opt().map(midnight),
            Self::Month => {
                let first = chrono::Datelike::with_day(&day, 1)?;
                Some(midnight(first.checked_add_months(Months::new(1))?))
            }
            Self::Whole => None,
        }
    }
}

impl Tenancy {
    /// What the tenant has used in this process so far, as it is being counted.
    ///
    /// ```
    /// # use tenantry::{Tenancy, Tenant, db::DbError, usage::Quantity};
    /// # async fn example(tenancy: &Tenancy, acme: &Tenant) -> Result<(), DbError> {
    /// let before = tenancy.meter(acme).amounts();
    /// tenancy.db(acme).await?.query("SELECT 1").scalar::<i64>().await?;
    /// let used = tenancy.meter(acme).amounts().since(&before);
    /// assert_eq!(used.get(Quantity::Statements), 1);
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn meter(&self, tenant: &Tenant) -> Arc<Meter> {
        self.0.meters.of(tenant.id())
    }

    /// What the tenant has used, as it is written down.
    #[must_use]
    pub fn usage_of(&self, tenant: &Tenant) -> TenantUsage {
        TenantUsage {
            tenancy: self.clone(),
            id: tenant.id(),
        }
    }

    /// How requests were answered in this process, by method and route: as many as the application has,
    /// and one for what is none.
    #[must_use]
    pub fn answers(&self) -> Vec<RouteAnswers> {
        self.0.answers.all()
    }

    /// How many requests have no answer yet in this process.
    #[must_use]
    pub fn requests_under_way(&self) -> u64 {
        self.0.answers.under_way()
    }

    /// How many connections to each server this process has.
    #[must_use]
    pub fn pools(&self) -> Vec<Pool> {
        let servers = self.0.places.named_servers();
        let mut pools: Vec<Pool> = servers
            .map(|(name, server)| {
                let (lent, idle, waiting) = server.count_lent();
                let (shared, shared_reads) = server.count_shared();
                Pool {
                    server: name.into(),
                    lent,
                    idle,
                    waiting,
                    shared,
                    shared_reads,
                }
            })
            .collect();
        pools.sort_by(|one, other| one.server.cmp(&other.server));
        pools
    }

    /// How it stands with all tenants together: one query, however many there are.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn census(&self) -> Result<Census, DbError> {
        self.0.catalog.store().census(&self.0.tenant_version).await
    }

    /// What was used between two moments, as it is written down: by all processes, up to the last half
    /// minute. Of one tenant, or of all that used anything, also of those that are erased by now;
    /// ordered by time.
    ///
    /// What is written down of an hour counts where the hour begins, and of a day where that is all
    /// there is.
    ///
    /// # Errors
    /// When the catalog cannot be read.
    pub async fn usage(
        &self,
        tenant: Option<TenantId>,
        between: Range<DateTime<Utc>>,
        by: By,
    ) -> Result<Vec<Used>, DbError> {
        let store = self.0.catalog.store();
        let Range { start, end } = between;
        if by == By::Hour {
            let rows = store.usage_rows(tenant, start, end).await?;
            return Ok(rows.into_iter().map(Into::into).collect());
        }
        let Some((first, last)) = store.usage_range().await? else {
            return Ok(Vec::new());
        };
        let mut all = Vec::new();
        let mut at = match by {
            // where it begins is what was asked for
            By::Whole => start,
            _ => start.max(first),
        };
        let end = end.min(last + TimeDelta::hours(1));
        while at < end {
            let next = by.end(at).map_or(end, |next| next.min(end));
            let begins = match by {
                By::Whole => at,
                _ => span_of(by, at),
            };
            let rows = store.usage_sums(tenant, at, next).await?;
            all.extend(rows.into_iter().map(|row| Used {
                begins,
                ..row.into()
            }));
            at = next;
        }
        Ok(all)
    }
}

/// When the span begins that goes on at that moment.
fn span_of(by: By, at: DateTime<Utc>) -> DateTime<Utc> {
    let day = at.date_naive();
    let day = match by {
        By::Month => chrono::Datelike::with_day(&day, 1).unwrap_or(day),
        _ => day,
    };
    day.and_time(NaiveTime::MIN).and_utc()
}
