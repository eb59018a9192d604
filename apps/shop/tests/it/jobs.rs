//! What shops do later: products are imported, the stock is reported, workers are killed meanwhile.

use std::{
    process::{Child, Stdio},
    sync::Arc,
    time::Duration,
};

use serde_json::Value;

use crate::support::{A_SECOND, Answer, Place, Server, Shop, shared, text, until};

const CSV: &str = "text/csv";

/// So many products, each named by a word.
fn products(word: &str, from: usize, count: usize) -> String {
    let rows = (from..from + count).map(|n| format!("{word} {n},{word}-{n},{n}.50\n"));
    format!("name,code,price\n{}", rows.collect::<String>())
}

async fn import(shop: &Shop, csv: impl Into<Vec<u8>>) -> Answer {
    let owner = shop.as_owner();
    owner.raw("POST", "/api/products/import", CSV, csv).await
}

async fn imported(shop: &Shop, csv: impl Into<Vec<u8>>) -> String {
    text(&import(shop, csv).await.is(202).json()["id"])
}

async fn job(shop: &Shop, id: &str) -> Value {
    let path = format!("/api/jobs/{id}");
    shop.as_owner().get(&path).await.is(200).json()
}

async fn becomes(shop: &Shop, id: &str, status: &str) -> Value {
    until(A_SECOND * 20, status, || async {
        job(shop, id).await["status"] == status
    })
    .await;
    job(shop, id).await
}

async fn names(shop: &Shop) -> Vec<String> {
    let mut names = Vec::new();
    let mut path = "/api/products?limit=200".to_owned();
    loop {
        let page = shop.visitor().get(&path).await.is(200).json();
        let items = page["items"].as_array().unwrap();
        names.extend(items.iter().map(|item| text(&item["name"])));
        match page["next"].as_str() {
            Some(next) => path = format!("/api/products?limit=200&cursor={next}"),
            None => return names,
        }
    }
}

/// A deployment whose server leaves jobs to others.
fn without_workers() -> (Arc<Place>, Arc<Server>) {
    let place = Place::elsewhere();
    let server = Server::start(&place, &[("SHOP_WORKERS", "0")]);
    (place, server)
}

fn worker(place: &Place) -> Child {
    let mut command = place.command(&["worker", "--lease", "2"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

#[tokio::test]
async fn products_are_imported() {
    let shop = Shop::shared().await;
    shop.stock("Old", "pen-7", "1.00").await;
    let mut csv = products("pen", 0, 250);
    csv.push_str(
        "No price,x1,-3\n,x2,1\nNo number,x3,much\n\"Quoted, with comma\",x4,2\nDefault,x5,\n",
    );
    let accepted = import(&shop, csv).await.is(202);
    let id = text(&accepted.json()["id"]);
    assert_eq!(
        accepted.header("location"),
        Some(format!("/api/jobs/{id}").as_str())
    );
    let done = becomes(&shop, &id, "done").await;
    assert_eq!(done["progress"]["done"], 255);
    assert_eq!(done["progress"]["of"], 255);
    let note = text(&done["progress"]["note"]);
    assert!(
        note.starts_with("250 added, 1 changed, 4 refused"),
        "{note}"
    );
    for line in ["line 252:", "line 253:", "line 254:"] {
        assert!(note.contains(line), "{note}");
    }
    assert!(!note.contains("line 255:"), "{note}");
    let names = names(&shop).await;
    assert_eq!(names.len(), 251);
    assert!(names.iter().any(|name| name == "Quoted, with comma"));
    assert!(
        !names.iter().any(|name| name == "Old"),
        "it is changed by its code"
    );
}

#[tokio::test]
async fn what_cannot_be_imported_is_refused() {
    let shop = Shop::shared().await;
    let owner = shop.as_owner();
    let path = "/api/products/import";
    let answer = owner.raw("POST", path, "application/json", "{}").await;
    answer.problem(415, "unsupported-media-type");
    for wrong in [&b""[..], b"Mug,mug,1", b"name,price\n", b"name,code\n\xff"] {
        import(&shop, wrong).await.problem(422, "invalid");
    }
    let large = products("x", 0, 100_000);
    import(&shop, large).await.problem(413, "too-large");
    let visitor = shop
        .visitor()
        .raw("POST", path, CSV, products("x", 0, 1))
        .await;
    visitor.problem(401, "authentication-required");
    assert!(names(&shop).await.is_empty());
}

#[tokio::test]
async fn the_stock_is_reported_to_owners() {
    let shop = Shop::shared().await;
    shop.stock("Mug", "mug", "4.50").await;
    shop.stock("Pen", "pen", "1.25").await;
    let place = shared().place().clone();
    place
        .run(&["run", "stock-report", "--tenant", &shop.code])
        .ok();
    let folder = place.data().join("mail").join(&shop.id);
    until(A_SECOND * 20, "the report is mailed", || async {
        std::fs::read_dir(&folder)
            .into_iter()
            .flatten()
            .any(|mail| {
                let text = std::fs::read_to_string(mail.unwrap().path()).unwrap_or_default();
                text.contains("To: owner@example.com")
                    && text.contains("2 products")
                    && text.contains("5.75")
            })
    })
    .await;
}

#[tokio::test]
async fn jobs_are_told_by_commands() {
    let (place, server) = without_workers();
    let (acme, globex) = (Shop::open(&server).await, Shop::open(&server).await);
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let traced = acme
        .as_owner()
        .with("traceparent", &format!("00-{trace}-00f067aa0ba902b7-01"));
    let answer = traced
        .raw("POST", "/api/products/import", CSV, products("a", 0, 3))
        .await;
    let id = text(&answer.is(202).json()["id"]);
    let run = |words: &[&str]| place.run(words);

    let listed = run(&["jobs", "list", "--tenant", &acme.code, "--json"])
        .ok()
        .json();
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert_eq!(listed[0]["id"], id.as_str());
    assert_eq!(listed[0]["trace"], trace);
    assert_eq!(listed[0]["tenant"], acme.code.as_str());
    let theirs = run(&["jobs", "list", "--tenant", &globex.code, "--json"])
        .ok()
        .json();
    assert_eq!(theirs.as_array().unwrap().len(), 0);
    run(&["jobs", "list"]).refuses(2);
    run(&["jobs", "list", "--tenant", "nobody"]).refuses(3);
    run(&["jobs", "show", &id, "--tenant", &globex.code]).refuses(1);
    run(&["jobs", "cancel", &id, "--tenant", &globex.code]).refuses(1);
    run(&["jobs", "run", &id, "--tenant", &globex.code]).refuses(1);
    let shown = run(&["jobs", "show", &id, "--tenant", &acme.code]).ok();
    assert!(shown.stdout.contains("import-products"), "{}", shown.stdout);

    run(&["jobs", "cancel", &id, "--tenant", &acme.code]).ok();
    run(&["jobs", "cancel", &id, "--tenant", &acme.code]).refuses(4);
    run(&["jobs", "run", "--tenant", &acme.code]).ok();
    assert_eq!(job(&acme, &id).await["status"], "cancelled");
    run(&["jobs", "retry", &id, "--tenant", &globex.code]).refuses(1);
    run(&["jobs", "retry", &id, "--tenant", &acme.code]).ok();
    let told = run(&["jobs", "run", &id, "--tenant", &acme.code, "--json"]).ok();
    assert_eq!(told.json()["done"], 1);
    assert_eq!(job(&acme, &id).await["status"], "done");
    assert_eq!(names(&acme).await.len(), 3);

    run(&["jobs", "purge", "--tenant", &acme.code]).refuses(4);
    run(&["jobs", "purge", "--all", "--older-than", "1", "--yes"]).ok();
    assert_eq!(job(&acme, &id).await["status"], "done");
    run(&["jobs", "purge", "--tenant", &globex.code, "--yes"]).ok();
    assert_eq!(job(&acme, &id).await["status"], "done");
    run(&["jobs", "purge", "--tenant", &acme.code, "--yes"]).ok();
    acme.as_owner()
        .get(&format!("/api/jobs/{id}"))
        .await
        .problem(404, "not-found");
}

#[tokio::test]
async fn a_worker_ends_when_it_is_told() {
    let (place, server) = without_workers();
    let shop = Shop::open(&server).await;
    let id = imported(&shop, products("a", 0, 5)).await;
    let mut child = worker(&place);
    becomes(&shop, &id, "done").await;
    let pid = child.id().to_string();
    std::process::Command::new("kill")
        .args(["-TERM", &pid])
        .status()
        .unwrap();
    until(A_SECOND * 15, "it ends", || {
        let ended = child.try_wait().unwrap();
        async move { ended.is_some() }
    })
    .await;
    assert!(child.wait().unwrap().success());
}

/// Whatever moment workers are killed at, each shop has in the end what it imported, and nothing else.
#[tokio::test]
async fn workers_that_are_killed_lose_nothing() {
    const SHOPS: usize = 3;
    const JOBS: usize = 8;
    const EACH: usize = 120;
    let (place, server) = without_workers();
    let mut shops = Vec::new();
    for _ in 0..SHOPS {
        shops.push(Shop::open(&server).await);
    }
    let mut jobs = Vec::new();
    for number in 0..JOBS {
        for shop in &shops {
            let csv = products(&shop.code, number * EACH, EACH);
            jobs.push((shop, imported(shop, csv).await));
        }
    }
    let pauses = uuid::Uuid::now_v7().into_bytes();
    for pause in &pauses[8..] {
        let mut workers = [worker(&place), worker(&place)];
        // from before it has begun anything to when some are done
        tokio::time::sleep(Duration::from_millis(150 + u64::from(*pause) * 4)).await;
        for child in &mut workers {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }
    let mut last = worker(&place);
    let ended = async {
        for (shop, id) in &jobs {
            until(A_SECOND * 60, "it is done", || async {
                job(shop, id).await["status"] == "done"
            })
            .await;
        }
    };
    ended.await;
    last.kill().unwrap();
    last.wait().unwrap();
    for shop in &shops {
        let names = names(shop).await;
        assert_eq!(names.len(), JOBS * EACH, "each once");
        let own = format!("{} ", shop.code);
        assert!(
            names.iter().all(|name| name.starts_with(&own)),
            "of another shop"
        );
    }
}
