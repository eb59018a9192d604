//! What shops use is counted, each for itself, and written down; metrics and reports tell it.

use std::sync::Arc;

use serde_json::Value;

use crate::support::{A_SECOND, Place, Server, Setup, Shop, until};

/// A server that writes down every second what is used, with that in its environment besides.
fn quick(place: &Arc<Place>, environment: &[(&str, &str)]) -> Arc<Server> {
    let quick = [("SHOP_USAGE_INTERVAL", "1")];
    Server::start(place, &[&quick[..], environment].concat())
}

fn usage(place: &Place, words: &[&str]) -> Vec<Value> {
    let told = place.run(&[&["usage", "--json"][..], words].concat()).ok();
    told.json().as_array().unwrap().clone()
}

/// How many requests of a shop are written down.
fn requests(place: &Place, shop: &Shop) -> u64 {
    let told = usage(place, &["--tenant", &shop.code]);
    assert!(told.len() <= 1 && told.iter().all(|one| one["code"] == *shop.code));
    told.first()
        .map_or(0, |one| one["requests"].as_u64().unwrap())
}

async fn ask(shop: &Shop, times: usize) {
    for _ in 0..times {
        shop.visitor().get("/api/products").await.is(200);
    }
}

#[tokio::test]
async fn what_shops_use_is_told_of_each() {
    let place = Place::elsewhere();
    let server = quick(&place, &[]);
    let (acme, globex) = (Shop::open(&server).await, Shop::open(&server).await);
    // each has signed in once by now
    ask(&acme, 5).await;
    ask(&globex, 2).await;
    acme.visitor().get("/api/nothing").await.is(404);
    until(A_SECOND * 20, "it is written down", || async {
        requests(&place, &acme) == 7 && requests(&place, &globex) == 3
    })
    .await;
    let all = usage(&place, &["--all"]);
    let of = |shop: &Shop| all.iter().find(|one| one["code"] == *shop.code).unwrap();
    for shop in [&acme, &globex] {
        let one = of(shop);
        assert_eq!(one["tenant"], *shop.id);
        assert!(one["db_seconds"].as_f64().unwrap() > 0.0, "{one}");
        assert!(one["statements"].as_u64().unwrap() > 0, "{one}");
        assert!(one["bytes_out"].as_u64().unwrap() > 0, "{one}");
        assert!(one["bytes_in"].as_u64().unwrap() > 20, "{one}");
    }
    assert!(of(&acme)["statements"].as_u64() > of(&globex)["statements"].as_u64());

    // those who manage a shop see its own
    let own = async |shop: &Shop| {
        let told = shop.as_owner().get("/api/usage").await.is(200).json();
        told["used"]["requests"].as_u64().unwrap()
    };
    assert!(own(&acme).await >= 7);
    until(A_SECOND * 20, "the other has used less", || async {
        (3..10).contains(&own(&globex).await)
    })
    .await;
    let staff = acme.hire("staff").await;
    let refused = acme.as_user(&staff).get("/api/usage").await;
    refused.problem(403, "forbidden");
    let visitor = acme.visitor().get("/api/usage").await;
    visitor.problem(401, "authentication-required");

    let shown = place.run(&["tenant", "show", &acme.code, "--json"]).ok();
    assert!(shown.json()["used"]["requests"].as_u64().unwrap() >= 7);
    assert_eq!(shown.json()["real"]["jobs"]["dead"], 0);
    let by_hour = usage(&place, &["--tenant", &acme.code, "--by", "hour"]);
    assert!(!by_hour.is_empty() && by_hour.iter().all(|one| one["code"] == *acme.code));
    let past = usage(&place, &["--month", "2020-01"]);
    assert!(past.is_empty());
    place.run(&["usage", "--tenant", "nobody"]).refuses(3);
    place.run(&["usage", "--json", "--csv"]).refuses(2);
    place.run(&["usage", "--month", "2020-13"]).refuses(2);
}

#[tokio::test]
async fn bills_have_no_formulas_and_outlive_the_shop() {
    let place = Place::elsewhere();
    let server = quick(&place, &[]);
    let acme = Shop::open(&server).await;
    let evil = serde_json::json!({ "name": "=HYPERLINK(\"http://example.com\",\"a,b\")" });
    acme.as_owner().patch("/api/shop", evil).await.is(200);
    until(A_SECOND * 20, "it is written down", || async {
        requests(&place, &acme) == 2
    })
    .await;
    let csv = || place.run(&["usage", "--all", "--csv"]).ok().stdout;
    let told = csv();
    let mut lines = told.lines();
    let head = lines.next().unwrap();
    assert!(
        head.starts_with("tenant,code,name,status,begins,requests,"),
        "{head}"
    );
    let row = lines.next().unwrap();
    let name = "\"'=HYPERLINK(\"\"http://example.com\"\",\"\"a,b\"\")\"";
    assert!(row.contains(name), "{row}");
    assert_eq!(lines.next(), None);

    server.terminate();
    server.wait(A_SECOND * 20);
    let erased = place.run(&["tenant", "erase", &acme.code, "--yes"]).ok();
    let kept = &erased.json()[0]["removed"]["usage_kept"];
    assert!(kept.as_u64().unwrap() >= 1, "{kept}");
    let told = usage(&place, &["--all"]);
    assert_eq!(told.len(), 1);
    assert_eq!(
        (&told[0]["status"], &told[0]["requests"]),
        (&"erased".into(), &2.into())
    );
    assert_eq!(told[0]["code"], *acme.code);
}

/// Whatever is killed, nothing that was written down is lost or counted twice, and what was not is at
/// most what was used since.
#[tokio::test]
async fn a_server_that_is_killed_loses_no_more_than_the_last_moments() {
    let place = Place::elsewhere();
    let server = quick(&place, &[]);
    let acme = Shop::open(&server).await;
    ask(&acme, 9).await;
    until(A_SECOND * 20, "it is written down", || async {
        requests(&place, &acme) == 10
    })
    .await;
    ask(&acme, 7).await;
    server.kill();
    let kept = requests(&place, &acme);
    assert!((10..=17).contains(&kept), "{kept}");

    // who is told to end writes down all of it
    let next = Server::start(&place, &[]);
    let there = next.tenant(&acme.code);
    for _ in 0..5 {
        there.get("/api/products").await.is(200);
    }
    assert_eq!(requests(&place, &acme), kept, "half a minute is not over");
    next.terminate();
    assert!(next.wait(A_SECOND * 20).success());
    assert_eq!(requests(&place, &acme), kept + 5);
}

/// The lines of metrics that begin so.
fn lines<'t>(text: &'t str, begin: &str) -> Vec<&'t str> {
    text.lines()
        .filter(|line| line.starts_with(begin))
        .collect()
}

fn value(text: &str, line: &str) -> f64 {
    let found = lines(text, line);
    assert_eq!(found.len(), 1, "{line}: {text}");
    found[0].rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn metrics_tell_each_tenants_own_by_its_id() {
    let place = Place::elsewhere();
    let server = place.serve();
    let (acme, globex) = (Shop::open(&server).await, Shop::open(&server).await);
    ask(&acme, 5).await;
    ask(&globex, 2).await;
    let told = server.central().get("/metrics").await.is(200);
    let kind = told.header("content-type").unwrap();
    assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
    let told = told.text();
    let of = |shop: &Shop| {
        let line = format!("tenantry_tenant_requests_total{{tenant=\"{}\"}}", shop.id);
        value(&told, &line)
    };
    assert_eq!((of(&acme), of(&globex)), (6.0, 3.0));
    assert_eq!(
        value(&told, "tenantry_tenant_requests_total{tenant=\"other\"}"),
        0.0
    );
    assert_eq!(value(&told, "tenantry_requests_total "), 9.0);
    assert_eq!(lines(&told, "tenantry_tenant_requests_total").len(), 3);
    let code = format!("code=\"{}\",tenant=\"{}\"", acme.code, acme.id);
    assert!(told.contains(&code), "{told}");
    let route =
        "tenantry_http_requests_total{method=\"GET\",route=\"/api/products\",status=\"2xx\"}";
    assert_eq!(value(&told, route), 7.0);
    let took =
        "tenantry_http_request_seconds_bucket{le=\"+Inf\",method=\"GET\",route=\"/api/products\"}";
    assert_eq!(value(&told, took), 7.0);
    assert_eq!(value(&told, "tenantry_tenants{status=\"active\"}"), 2.0);
    assert_eq!(value(&told, "tenantry_catalog_up"), 1.0);
    // whatever is asked for, there is no line more
    for path in ["/a", "/b", "/c"] {
        acme.visitor().get(path).await.is(404);
    }
    let later = server.central().get("/metrics").await.is(200).text();
    let none = "tenantry_http_requests_total{method=\"GET\",route=\"none\",status=\"4xx\"}";
    assert_eq!(value(&later, none), 3.0);
    // of a tenant's host it is a path like any other
    let there = acme.by_host().get("/metrics").await;
    there.same_as(&acme.by_host().get("/nothing").await);
    // a new code is the same tenant
    place.run(&["tenant", "rename", &acme.code, "renamed"]).ok();
    until(A_SECOND * 5, "the code is known", || async {
        let told = server.central().get("/metrics").await.is(200).text();
        told.contains(&format!("code=\"renamed\",tenant=\"{}\"", acme.id))
    })
    .await;
    let told = server.central().get("/metrics").await.is(200).text();
    assert_eq!(lines(&told, "tenantry_tenant_requests_total").len(), 3);
}

const TOKEN: &str = "a token of enough characters";

#[tokio::test]
async fn metrics_are_for_whoever_may_read_them() {
    let place = Place::new();
    let token = TOKEN.replace(' ', "-");
    let server = Server::start(&place, &[("SHOP_METRICS_TOKEN", &token)]);
    let central = server.central();
    central.get("/metrics").await.is(401);
    central.bearer("another").get("/metrics").await.is(401);
    central.bearer(&token).get("/metrics").await.is(200);

    // a port of their own, and nowhere else
    let own = Server::start(&place, &[("SHOP_METRICS_ADDR", "127.0.0.1:0")]);
    until(A_SECOND * 10, "it tells where metrics are", || async {
        own.stderr().contains("/metrics\n")
    })
    .await;
    let told = own.stderr();
    let (_, rest) = told.split_once("metrics on ").expect(&told);
    let url = rest.split_whitespace().next().unwrap();
    let http = tenantry_trial::http().build().unwrap();
    let answer = http.get(url).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert!(answer.text().await.unwrap().contains("tenantry_tenants"));
    own.central().get("/metrics").await.is(404);

    let place = Place::of(Setup {
        profile: Some("production"),
        ..Setup::default()
    });
    place.run(&["migrate", "--all"]).ok();
    let server = Server::start(&place, &[]);
    let there = server.central().get("/metrics").await;
    there.same_as(&server.central().get("/nothing").await);
    let server = Server::start(&place, &[("SHOP_METRICS_TOKEN", &token)]);
    server.central().get("/metrics").await.is(401);
    server
        .central()
        .bearer(&token)
        .get("/metrics")
        .await
        .is(200);

    let short = place.command(&["tenant", "list"]);
    let mut short = short;
    let refused = short.env("SHOP_METRICS_TOKEN", "short").output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(
        said.contains("hidden") && !said.contains("\"short\""),
        "{said}"
    );
}

#[tokio::test]
async fn the_health_of_tenants_is_told() {
    let place = Place::elsewhere();
    let server = place.serve();
    let (acme, globex) = (Shop::open(&server).await, Shop::open(&server).await);
    let told = place
        .run(&["tenant", "health", "--all", "--json"])
        .ok()
        .json();
    assert_eq!(told.as_array().unwrap().len(), 2);
    for one in told.as_array().unwrap() {
        assert_eq!(one["problems"], serde_json::json!([]), "{one}");
        assert_eq!(one["reachable"], true);
    }
    place.run(&["tenant", "plan", &globex.code, ""]).ok();
    // a job that fails for good
    let own = place.run(&["tenant", "health", &acme.code]).ok();
    assert!(own.stdout.contains("well") && !own.stdout.contains(&globex.code));
    place.run(&["tenant", "health", "nobody"]).refuses(3);
    place.run(&["tenant", "health"]).refuses(2);
    let sql =
        "INSERT INTO jobs (id, kind, payload, status, priority, run_at, attempts, max_attempts,
            cancelling, progress, progress_note, created_at)
        VALUES (gen_random_uuid(), 'x', '{}', 'dead', 0, now(), 1, 1, false, 0, '', now())";
    place.run(&["sql", "--tenant", &acme.code, "-c", sql]).ok();
    let ill = place.run(&["tenant", "health", "--all", "--json"]).exits(5);
    for one in ill.json().as_array().unwrap() {
        let expected = usize::from(one["code"] == *acme.code);
        assert_eq!(one["problems"].as_array().unwrap().len(), expected, "{one}");
    }
}
