//! What shops pay for. One on no plan has no limit.

use tenantry::{
    Config,
    db::{Executor, TenantScope},
    tenant::{Plan, PlanLimit},
};

use crate::models::staff::lock_owners;

const PRODUCTS: &str = "products";
const USERS: &str = "users";

pub(crate) fn register(config: Config) -> Config {
    config
        .plan(
            Plan::new("free")
                .with_limit(PRODUCTS, 10)
                .with_limit(USERS, 3),
        )
        .plan(Plan::new("standard"))
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
