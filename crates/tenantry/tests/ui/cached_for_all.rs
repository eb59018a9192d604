// What is one tenant's is not kept for all, nor what is all's for one.

use std::time::Duration;

use tenantry::{
    db::{CentralScope, TenantScope},
    scoped::cache::{CacheKey, CentralCache, TenantCache},
};

struct Prices;

impl CacheKey for Prices {
    type Scope = TenantScope;
    type Value = Vec<String>;
    const NAME: &'static str = "prices";
    const LIFE: Duration = Duration::from_secs(60);
}

struct Currencies;

impl CacheKey for Currencies {
    type Scope = CentralScope;
    type Value = Vec<String>;
    const NAME: &'static str = "currencies";
    const LIFE: Duration = Duration::from_secs(60);
}

async fn leak(tenants: TenantCache, central: CentralCache) {
    tenants.get(&Prices).await;
    central.get(&Currencies).await;
    central.put(&Prices, &Vec::new()).await;
    tenants.get(&Currencies).await;
}

fn main() {}
