//! The cases about what is cached, with Redis before them; and what becomes of an application when
//! that goes away.
#![cfg(test)]

use std::time::Duration;

use tenantry::{
    Tenancy,
    db::{DbError, TenantScope},
    scoped::cache::CacheKey,
    tenant::Isolation,
    testing::{Redis, conformance},
};

/// Those that the processes' own memory passes as well.
#[tokio::test(flavor = "multi_thread")]
async fn the_cases_hold_in_redis() {
    let redis = Redis::start();
    let cases: Vec<_> = conformance::cases()
        .filter(|case| case.name.starts_with("cache::"))
        .collect();
    assert!(!cases.is_empty());
    for isolation in [Isolation::File, Isolation::Rows] {
        for case in &cases {
            let mut place = conformance::place(isolation).await;
            place.reopen_as(place.config().redis(redis.url())).await;
            println!("{isolation}: {}", case.name);
            (case.run)(place).await;
        }
    }
}

struct Note;

impl CacheKey for Note {
    type Scope = TenantScope;
    type Value = String;
    const NAME: &'static str = "note";
    const LIFE: Duration = Duration::from_secs(600);
}

async fn loaded(tenancy: &Tenancy, text: &str) -> String {
    let tenant = tenancy
        .tenant(&"acme".parse().unwrap())
        .await
        .unwrap()
        .unwrap();
    let cache = tenancy.cache(&tenant);
    let loaded = cache.get_or_load(&Note, async { Ok::<_, DbError>(text.to_owned()) });
    loaded.await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn processes_share_it_and_deployments_do_not() {
    let redis = Redis::start();
    let mut place = conformance::place(Isolation::File).await;
    place.reopen_as(place.config().redis(redis.url())).await;
    place.tenant("acme").await;
    let other = Tenancy::open(place.config().redis(redis.url()))
        .await
        .unwrap();
    assert_eq!(loaded(place.tenancy(), "first").await, "first");
    assert_eq!(loaded(&other, "second").await, "first");
    other.close();
    let mut elsewhere = conformance::place(Isolation::File).await;
    elsewhere
        .reopen_as(elsewhere.config().redis(redis.url()))
        .await;
    elsewhere.tenant("acme").await;
    assert_eq!(loaded(elsewhere.tenancy(), "elsewhere").await, "elsewhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_it_everything_is_loaded() {
    let redis = Redis::start();
    let mut place = conformance::place(Isolation::File).await;
    place.reopen_as(place.config().redis(redis.url())).await;
    let tenant = place.tenant("acme").await;
    assert_eq!(loaded(place.tenancy(), "first").await, "first");
    assert_eq!(
        loaded(place.tenancy(), "second").await,
        "first",
        "it is kept"
    );
    drop(redis);
    assert_eq!(loaded(place.tenancy(), "third").await, "third");
    let cache = place.tenancy().cache(&tenant);
    assert_eq!(cache.get(&Note).await, None);
    assert!(
        cache.clear().await.is_err(),
        "nobody is told that it is gone"
    );
    assert!(cache.remove(&Note).await.is_err());
}
