//! What is cached is kept in Redis, where the program is told so: one cache for all processes, each
//! tenant's for itself.

use std::sync::Arc;

use serde_json::json;
use tenantry::testing::Redis;

use crate::support::{Place, Server, Shop, unique};

fn serve(place: &Arc<Place>, redis: &Redis) -> Arc<Server> {
    Server::start(place, &[("SHOP_REDIS_URL", &redis.url())])
}

/// Whether the storefront says who added what there is.
async fn is_added_by(server: &Arc<Server>, code: &str, name: &str) -> bool {
    let page = server.host(code).browser().get("/").await.page(200);
    assert!(page.contains("Added by "), "{page}");
    page.contains(&format!("Added by {name} "))
}

/// Gives the owner another first name past the program that serves, which is told of nothing.
fn rename_unseen(place: &Place, code: &str, name: &str) {
    let sql = format!("UPDATE users SET first_name = '{name}'");
    place.run(&["sql", "--tenant", code, "-c", &sql]).ok();
}

#[tokio::test]
async fn processes_have_one_cache_where_it_is_in_redis() {
    let redis = Redis::start();
    let place = Place::new();
    let [here, there] = [serve(&place, &redis), serve(&place, &redis)];
    // beside them one that keeps its own
    let alone = place.serve();
    let shop = Shop::open(&here).await;
    shop.stock("Spade", "S-1", "1").await;
    assert!(is_added_by(&here, &shop.code, "Olive").await);
    rename_unseen(&place, &shop.code, "Octavia");
    // one has never asked for it, and shows what the other has cached
    assert!(is_added_by(&there, &shop.code, "Olive").await);
    assert!(is_added_by(&alone, &shop.code, "Octavia").await);
    // and what one removes is removed for both
    let path = format!("/api/users/{}", shop.owner.id);
    let renamed = json!({ "first_name": "Ophelia" });
    shop.as_owner().patch(&path, renamed).await.is(200);
    assert!(is_added_by(&there, &shop.code, "Ophelia").await);
    assert!(is_added_by(&here, &shop.code, "Ophelia").await);
    assert!(is_added_by(&alone, &shop.code, "Octavia").await);
}

#[tokio::test]
async fn each_tenant_finds_its_own_in_redis() {
    let redis = Redis::start();
    let place = Place::new();
    let server = serve(&place, &redis);
    let (ours, theirs) = (Shop::open(&server).await, Shop::open(&server).await);
    for (shop, name) in [(&ours, "Olive"), (&theirs, "Theodora")] {
        shop.stock("Spade", "S-1", "1").await;
        let path = format!("/api/users/{}", shop.owner.id);
        let renamed = json!({ "first_name": name });
        shop.as_owner().patch(&path, renamed).await.is(200);
        assert!(is_added_by(&server, &shop.code, name).await);
    }
    let kept = redis.everything();
    let names: Vec<_> = kept
        .iter()
        .filter(|(key, _)| key.contains("first-names"))
        .collect();
    assert_eq!(names.len(), 2, "{kept:?}");
    for (shop, other, name) in [(&ours, &theirs, "Olive"), (&theirs, &ours, "Theodora")] {
        let of: Vec<_> = names
            .iter()
            .filter(|(key, _)| key.contains(&format!("{{{}}}", shop.id)))
            .collect();
        assert_eq!(of.len(), 1, "{kept:?}");
        let (_, value) = of[0];
        assert!(
            value.contains(name) && value.contains(&shop.owner.id),
            "{value}"
        );
        assert!(!value.contains(&other.owner.id), "{value}");
    }

    // a clone has the same people, and none of what was cached of them
    let twin = unique("twin");
    place.run(&["tenant", "clone", &ours.code, &twin]).ok();
    rename_unseen(&place, &twin, "Ottilie");
    assert!(is_added_by(&server, &twin, "Ottilie").await);
    assert!(is_added_by(&server, &ours.code, "Olive").await);
}

#[tokio::test]
async fn redis_is_checked_and_not_needed() {
    let redis = Redis::start();
    let place = Place::new();
    let server = serve(&place, &redis);
    let shop = Shop::open(&server).await;
    shop.stock("Spade", "S-1", "1").await;
    assert!(is_added_by(&server, &shop.code, "Olive").await);
    let url = redis.url();
    let well = place.run(&["check", "--redis-url", &url]).ok();
    let told = format!("cache: kept in Redis, at {url}");
    assert!(well.stdout.contains(&told), "{well:?}");
    // it knows no such user
    let stranger = url.replace("://", "://stranger:hunter2@");
    let refused = place.run(&["check", "--redis-url", &stranger]).exits(4);
    let all = format!("{}{}", refused.stdout, refused.stderr);
    assert!(all.contains("PROBLEM  cache: "), "{all}");
    assert!(all.contains(&url) && !all.contains("hunter2"), "{all}");

    drop(redis);
    rename_unseen(&place, &shop.code, "Octavia");
    assert!(is_added_by(&server, &shop.code, "Octavia").await);
    let gone = place
        .run(&["check", "--json", "--redis-url", &url])
        .exits(4);
    let findings = gone.json()["findings"].clone();
    let bad: Vec<_> = findings
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["ok"] == false)
        .collect();
    assert_eq!(bad.len(), 1, "{findings}");
    assert_eq!(bad[0]["subject"], "cache");
    // who starts without it is told, and serves
    let late = Server::start(&place, &[("SHOP_REDIS_URL", &url)]);
    assert!(is_added_by(&late, &shop.code, "Octavia").await);
    assert!(
        late.stderr().contains("nothing is cached"),
        "{}",
        late.stderr()
    );
}

#[test]
fn a_url_that_is_none_is_refused() {
    let place = Place::new();
    let wrong = place.run(&["check", "--redis-url", "http://:hunter2@localhost"]);
    let wrong = wrong.refuses(2);
    assert!(wrong.stderr.contains("--redis-url"), "{wrong:?}");
    assert!(!wrong.stderr.contains("hunter2"), "{wrong:?}");
}
