//! How much of the deployment a tenant takes, so that none takes what others need.
//!
//! [`Limits`] stand in a [`Plan`](crate::tenant::Plan), or in the deployment's
//! [configuration](crate::Config::limits) for those whose plan has none. They are looked up with the
//! tenant at each request, so another plan holds within a second in every process.
//!
//! | | kept to | beyond it |
//! |---|---|---|
//! | `requests`, `concurrent`, `database_time` | by [`routing`](crate::routing), on routes of tenants | 429 `too-many-requests` with `Retry-After`, and `RateLimit` |
//! | `statement_timeout` | by the database, for each statement of a request | [`DbError::Timeout`](crate::db::DbError::Timeout), 504 `timeout` |
//! | `storage` | by [`Files::put`](crate::scoped::files::Files::put) | 403 `plan-limit` |
//! | `jobs`, `jobs_waiting` | by [`Queue::enqueue`](crate::scoped::jobs::Queue::enqueue) | [`EnqueueError`](crate::scoped::jobs::EnqueueError), 429 |
//!
//! Rates are counted **in each process by itself**: behind a balancer in front of three of them a
//! tenant has up to three times as much. What is stored, files and waiting jobs, is counted for all.
//!
//! Whatever the limits are, no tenant has more than half of a server's
//! [connections](crate::Config::most_connections), and those who wait for one are served in turn by
//! tenant.

mod bucket;
mod limiter;

pub use limiter::Use;
pub(crate) use limiter::{Admitted, Limit, Limiter, Refusal, Slot, Standing};

use crate::{
    Tenancy,
    tenant::{Limits, Tenant},
};

impl Tenancy {
    /// How much of the deployment the tenant may take, by its plan. How long a statement takes is always
    /// told: where no plan says so, the [deployment](crate::Config::statement_timeout) does.
    #[must_use]
    pub fn limits(&self, tenant: &Tenant) -> Limits {
        let mut limits = self.0.plans.limits(tenant.plan());
        let longest = &mut limits.statement_timeout;
        longest.get_or_insert(self.0.statement_timeout);
        limits
    }

    /// How much of it the tenant takes at the moment, and how often it was refused more: in this
    /// process, and since it was last at rest.
    #[must_use]
    pub fn limits_used(&self, tenant: &Tenant) -> Use {
        self.0.limiter.used(tenant.id())
    }
}
