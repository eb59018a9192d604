//! What shops pay for. One on no plan has no limit but those that protect others.

use std::time::Duration;

use tenantry::{
    Config,
    db::{Executor, TenantScope},
    tenant::{Limits, Plan, PlanLimit, Rate},
};

use crate::models::staff::lock_owners;

const PRODUCTS: &str = "products";
const USERS: &str = "users";

pub(crate) fn register(config: Config) -> Config {
    config
        .plan(
            Plan::new("free")
                .with_limit(PRODUCTS, 10)
                .with_limit(USERS, 3)
                .with_limits(
                    Limits::default()
                        .with_requests(Rate::per_second(10).with_burst(100))
                        .with_concurrent(8, Duration::from_secs(1))
                        .with_database_time(Duration::from_millis(200), Duration::from_secs(5))
                        .with_storage(50 << 20)
                        .with_jobs(Rate::per_minute(10))
                        .with_jobs_waiting(20)
                        .with_statement_timeout(Duration::from_secs(5)),
                ),
        )
        .plan(
            Plan::new("standard").with_limits(
                Limits::default()
                    .with_requests(Rate::per_second(100).with_burst(1_000))
                    .with_concurrent(64, Duration::from_secs(2))
                    .with_database_time(Duration::from_secs(1), Duration::from_secs(30))
                    .with_storage(10 << 30)
                    .with_jobs(Rate::per_minute(300))
                    .with_jobs_waiting(10_000),
            ),
        )
}

/// What is counted.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Counted {
    Products,
    Users,
}

/// Requires that there are not more than the plan allows: asked after one was added, in the same
/// transaction, which lets no other one count until it has ended.
pub(crate) async fn require<E>(
    on: &mut impl Executor<TenantScope>,
    plan: &Plan,
    counted: Counted,
) -> Result<(), E>
where
    E: From<PlanLimit> + From<tenantry::db::DbError>,
{
    let (what, sql) = match counted {
        Counted::Products => (PRODUCTS, "SELECT count(*) FROM products"),
        Counted::Users => (USERS, "SELECT count(*) FROM users"),
    };
    if plan.limit(what).is_none() {
        return Ok(());
    }
    lock_owners(on).await?;
    let count: i64 = on.query(sql).scalar().await?;
    Ok(plan.check(what, count.unsigned_abs())?)
}
