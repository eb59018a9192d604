//! What is cached: each tenant's for itself.

use std::{
    borrow::Cow,
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use tokio::sync::Notify;

use super::{A_WHILE, Place, at_once, list, soon};
use crate::{
    db::{CentralScope, DbError, TenantScope},
    scoped::cache::{CacheKey, TenantCache},
};

list! { "cache":
    the_same_key_in_two_tenants, what_is_shared_is_nobodys, cleared_alone, loaded_once,
    a_failed_load_keeps_nothing, a_load_that_is_cancelled_is_run_by_the_next,
    what_is_removed_or_cleared_while_it_is_loaded_is_not_kept, it_expires,
    what_cannot_be_read_is_not_there, what_is_too_large_is_not_kept,
    forgotten_when_the_tenant_is_not_what_it_was,
}

/// A note by name.
struct Note(&'static str);

impl CacheKey for Note {
    type Scope = TenantScope;
    type Value = String;
    const NAME: &'static str = "note";
    const LIFE: Duration = Duration::from_secs(600);

    fn text(&self) -> Cow<'_, str> {
        self.0.into()
    }
}

/// Under the name of notes, and of another type.
struct Number(&'static str);

impl CacheKey for Number {
    type Scope = TenantScope;
    type Value = u64;
    const NAME: &'static str = "note";
    const LIFE: Duration = Duration::from_secs(600);

    fn text(&self) -> Cow<'_, str> {
        self.0.into()
    }
}

struct Brief;

impl CacheKey for Brief {
    type Scope = TenantScope;
    type Value = String;
    const NAME: &'static str = "brief";
    const LIFE: Duration = Duration::from_millis(300);
}

struct Notice;

impl CacheKey for Notice {
    type Scope = CentralScope;
    type Value = String;
    const NAME: &'static str = "note";
    const LIFE: Duration = Duration::from_secs(600);
}

async fn cache_of(place: &Place, code: &str) -> TenantCache {
    place.tenancy().cache(&place.tenant(code).await)
}

async fn kept(cache: &TenantCache, name: &'static str) -> Option<String> {
    cache.get(&Note(name)).await
}

async fn the_same_key_in_two_tenants(place: Place) {
    let (acme, globex) = (
        cache_of(&place, "acme").await,
        cache_of(&place, "globex").await,
    );
    acme.put(&Note("n"), &"acme's".into()).await;
    assert_eq!(kept(&acme, "n").await.as_deref(), Some("acme's"));
    assert_eq!(kept(&globex, "n").await, None);
    let loaded = globex.get_or_load(&Note("n"), async { Ok::<_, DbError>("globex's".into()) });
    assert_eq!(loaded.await.unwrap(), "globex's");
    assert_eq!(kept(&acme, "n").await.as_deref(), Some("acme's"));
    globex.remove(&Note("n")).await.unwrap();
    assert_eq!(kept(&acme, "n").await.as_deref(), Some("acme's"));
    acme.remove(&Note("n")).await.unwrap();
    assert_eq!(kept(&acme, "n").await, None);
}

async fn what_is_shared_is_nobodys(place: Place) {
    let acme = cache_of(&place, "acme").await;
    let central = place.tenancy().central_cache();
    central.put(&Notice, &"for all".into()).await;
    assert_eq!(kept(&acme, "").await, None);
    acme.put(&Note(""), &"acme's".into()).await;
    assert_eq!(central.get(&Notice).await.as_deref(), Some("for all"));
    acme.clear().await.unwrap();
    assert_eq!(central.get(&Notice).await.as_deref(), Some("for all"));
    central.clear().await.unwrap();
    assert_eq!(central.get(&Notice).await, None);
}

async fn cleared_alone(place: Place) {
    let (acme, globex) = (
        cache_of(&place, "acme").await,
        cache_of(&place, "globex").await,
    );
    for cache in [&acme, &globex] {
        for name in ["a", "b"] {
            cache.put(&Note(name), &name.into()).await;
        }
    }
    acme.clear().await.unwrap();
    for name in ["a", "b"] {
        assert_eq!(kept(&acme, name).await, None);
        assert_eq!(kept(&globex, name).await.as_deref(), Some(name));
    }
    acme.put(&Note("a"), &"again".into()).await;
    assert_eq!(kept(&acme, "a").await.as_deref(), Some("again"));
}

async fn loaded_once(place: Place) {
    let (acme, globex) = (
        cache_of(&place, "acme").await,
        cache_of(&place, "globex").await,
    );
    let loads = AtomicUsize::new(0);
    let load = async |whose: &'static str| {
        loads.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep(A_WHILE).await;
        Ok::<_, DbError>(whose.to_owned())
    };
    let ours = (0..20).map(|_| acme.get_or_load(&Note("n"), load("acme's")));
    let theirs = (0..20).map(|_| globex.get_or_load(&Note("n"), load("globex's")));
    let (ours, theirs) = tokio::join!(join_all(ours), join_all(theirs));
    assert!(ours.into_iter().all(|one| one.unwrap() == "acme's"));
    assert!(theirs.into_iter().all(|one| one.unwrap() == "globex's"));
    assert_eq!(loads.load(Ordering::SeqCst), 2, "once for each tenant");
}

async fn a_failed_load_keeps_nothing(place: Place) {
    let acme = cache_of(&place, "acme").await;
    let failed = acme.get_or_load(&Note("n"), async { Err::<String, _>(DbError::Busy) });
    assert!(matches!(failed.await, Err(DbError::Busy)));
    assert_eq!(kept(&acme, "n").await, None);
    let loaded = acme.get_or_load(&Note("n"), async { Ok::<_, DbError>("there".into()) });
    assert_eq!(loaded.await.unwrap(), "there");
}

async fn a_load_that_is_cancelled_is_run_by_the_next(place: Place) {
    let acme = cache_of(&place, "acme").await;
    let begun = Notify::new();
    let never = acme.get_or_load(&Note("n"), async {
        begun.notify_one();
        std::future::pending::<Result<String, DbError>>().await
    });
    let next = async {
        begun.notified().await;
        let waiting = acme.get_or_load(&Note("n"), async { Ok::<_, DbError>("next".into()) });
        at_once(waiting).await.unwrap()
    };
    // the first is dropped while the second waits for it
    let first = async { tokio::time::timeout(A_WHILE, never).await.unwrap_err() };
    let (_, loaded) = tokio::join!(first, next);
    assert_eq!(loaded, "next");
}

async fn what_is_removed_or_cleared_while_it_is_loaded_is_not_kept(place: Place) {
    let acme = cache_of(&place, "acme").await;
    for all in [false, true] {
        let begun = Notify::new();
        let done = Notify::new();
        let loading = acme.get_or_load(&Note("n"), async {
            begun.notify_one();
            done.notified().await;
            Ok::<_, DbError>("of before".into())
        });
        let changing = async {
            begun.notified().await;
            match all {
                true => acme.clear().await.unwrap(),
                false => acme.remove(&Note("n")).await.unwrap(),
            }
            // nor does anybody get it who comes afterwards
            let later = acme.get_or_load(&Note("n"), async { Ok::<_, DbError>("now".into()) });
            assert_eq!(at_once(later).await.unwrap(), "now", "cleared: {all}");
            acme.remove(&Note("n")).await.unwrap();
            done.notify_one();
        };
        let (loaded, ()) = tokio::join!(loading, changing);
        assert_eq!(loaded.unwrap(), "of before");
        assert_eq!(kept(&acme, "n").await, None, "cleared: {all}");
    }
}

async fn it_expires(place: Place) {
    let acme = cache_of(&place, "acme").await;
    acme.put(&Brief, &"soon gone".into()).await;
    acme.put(&Note("n"), &"stays".into()).await;
    soon("it expires", async || acme.get(&Brief).await.is_none()).await;
    assert_eq!(kept(&acme, "n").await.as_deref(), Some("stays"));
}

async fn what_cannot_be_read_is_not_there(place: Place) {
    let acme = cache_of(&place, "acme").await;
    acme.put(&Note("n"), &"no number".into()).await;
    assert_eq!(acme.get(&Number("n")).await, None);
    let loaded = acme.get_or_load(&Number("n"), async { Ok::<_, DbError>(7) });
    assert_eq!(loaded.await.unwrap(), 7);
    assert_eq!(acme.get(&Number("n")).await, Some(7));
}

async fn what_is_too_large_is_not_kept(place: Place) {
    let acme = cache_of(&place, "acme").await;
    let large = "x".repeat(2 << 20);
    let loaded = acme.get_or_load(&Note("n"), async { Ok::<_, DbError>(large.clone()) });
    assert_eq!(loaded.await.unwrap(), large);
    assert_eq!(kept(&acme, "n").await, None);
}

async fn forgotten_when_the_tenant_is_not_what_it_was(place: Place) {
    let tenant = place.tenant("acme").await;
    let (acme, globex) = (
        cache_of(&place, "acme").await,
        cache_of(&place, "globex").await,
    );
    for cache in [&acme, &globex] {
        cache.put(&Note("n"), &"http://acme.localhost".into()).await;
    }
    let tenancy = place.tenancy();
    let new = "renamed".parse().unwrap();
    tenancy.rename(&tenant, &new).await.unwrap();
    let renamed = cache_of(&place, "renamed").await;
    assert_eq!(kept(&renamed, "n").await, None, "it names the old address");
    renamed
        .put(&Note("n"), &"http://renamed.localhost".into())
        .await;
    assert!(
        kept(&cache_of(&place, "renamed").await, "n")
            .await
            .is_some()
    );
    assert!(kept(&globex, "n").await.is_some());
    tenancy.erase(&tenant).await.unwrap();
    assert_eq!(kept(&renamed, "n").await, None);
    assert!(kept(&globex, "n").await.is_some());
    // whoever has the code afterwards has nothing of it
    let next = cache_of(&place, "renamed").await;
    assert_eq!(kept(&next, "n").await, None);
}
