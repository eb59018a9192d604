//! The log of the program: every line of a request or a job says whose it is.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::support::{A_SECOND, Place, Server, Shop, until};

/// A server that says all it has to say, an object on each line.
fn talkative(place: &Arc<Place>) -> Arc<Server> {
    let environment = [("SHOP_LOG_FORMAT", "json"), ("RUST_LOG", "debug")];
    Server::start(place, &environment)
}

/// Every line so far, each of which must be an object.
fn lines(server: &Server) -> Vec<Value> {
    let said = server.stderr();
    let parsed = said.lines().map(|line| {
        let value: Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        assert!(
            value["timestamp"].is_string() && value["level"].is_string(),
            "{line}"
        );
        value
    });
    parsed.collect()
}

fn of(lines: &[Value], name: &str, begin: &str) -> Vec<Value> {
    let is_one = |line: &&Value| line[name].as_str().is_some_and(|id| id.starts_with(begin));
    lines.iter().filter(is_one).cloned().collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_line_of_a_request_names_its_tenant_and_no_secret() {
    let place = Place::elsewhere();
    let server = talkative(&place);
    let (acme, globex) = (Shop::open(&server).await, Shop::open(&server).await);
    let session = acme.session_of(&acme.owner).await;
    // many at a time, of both
    let mut work = Vec::new();
    for (shop, whose) in [(&acme, "acme"), (&globex, "globex")] {
        for number in 0..20 {
            let client = shop.as_owner();
            let client = client.with("x-request-id", &format!("{whose}-{number}"));
            work.push(tokio::spawn(async move {
                let answer = client.get("/api/products").await.is(200);
                let id = format!("{whose}-{number}");
                assert_eq!(answer.header("x-request-id"), Some(id.as_str()));
                client.get("/api/products/nonsense?a=1").await.is(404);
                let new = json!({ "name": "Spade", "code": format!("s{number}") });
                client.post("/api/products", new).await.is(201);
                client.post("/api/products", json!({})).await.is(422);
            }));
        }
    }
    for one in work {
        one.await.unwrap();
    }
    // an id that is none is not taken
    let odd = acme.visitor().with("x-request-id", "a b\"}");
    let made = odd.get("/api/products").await.is(200);
    let made = made.header("x-request-id").unwrap().to_owned();
    assert!(made.len() == 32 && made.bytes().all(|byte| byte.is_ascii_hexdigit()));
    until(A_SECOND * 5, "it is told", || async {
        !of(&lines(&server), "request_id", &made).is_empty()
    })
    .await;

    let all = lines(&server);
    for (shop, whose) in [(&acme, "acme-"), (&globex, "globex-")] {
        let own = of(&all, "request_id", whose);
        assert!(own.len() >= 80, "{}", own.len());
        for line in &own {
            assert_eq!(line["tenant"], *shop.code, "{line}");
            assert_eq!(line["tenant_id"], *shop.id, "{line}");
            assert!(line["method"].is_string(), "{line}");
        }
        let answered: Vec<_> = own
            .iter()
            .filter(|line| line["message"] == "answered")
            .collect();
        assert_eq!(answered.len(), 80);
        assert!(answered.iter().all(|line| {
            line["route"]
                .as_str()
                .is_some_and(|route| route == "/api/products" || route == "/api/products/{id}")
                && line["status"].is_u64()
        }));
    }
    // and the other way round: what names a tenant is of nobody else's request
    for line in of(&all, "tenant", &acme.code) {
        let id = line["request_id"].as_str().unwrap_or_default();
        assert!(!id.starts_with("globex-"), "{line}");
    }
    let said = server.stderr();
    for secret in [
        &acme.owner.token,
        &globex.owner.token,
        &session,
        &acme.owner.password,
    ] {
        assert!(!said.contains(secret.as_str()), "a secret is in the log");
    }
}

#[tokio::test]
async fn the_lines_of_a_job_lead_to_the_request_that_wanted_it() {
    let place = Place::elsewhere();
    let server = talkative(&place);
    let (acme, globex) = (Shop::open(&server).await, Shop::open(&server).await);
    let mut ids = Vec::new();
    for (shop, id) in [(&acme, "wanted-by-acme"), (&globex, "wanted-by-globex")] {
        let client = shop.as_owner().with("x-request-id", id);
        let csv = "name,code,price\nMug,mug,1\n";
        let job = client
            .raw("POST", "/api/products/import", "text/csv", csv)
            .await;
        ids.push((shop, id, job.is(202).json()["id"].clone()));
    }
    for (shop, id, job) in ids {
        until(A_SECOND * 20, "the job's end is told", || async {
            lines(&server)
                .iter()
                .any(|line| line["job"] == job && line["message"] == "a job has ended")
        })
        .await;
        let all = lines(&server);
        let own: Vec<_> = all.iter().filter(|line| line["job"] == job).collect();
        for line in &own {
            assert_eq!(line["tenant"], *shop.code, "{line}");
            assert_eq!(line["tenant_id"], *shop.id, "{line}");
            assert_eq!(line["kind"], "import-products", "{line}");
            assert_eq!(line["trace"], id, "{line}");
        }
        // by which the lines of the request are found, too
        let both = of(&all, "trace", id);
        assert!(both.iter().any(|line| line["request_id"] == id), "{id}");
    }
}

#[tokio::test]
async fn people_are_told_whose_a_line_is_as_well() {
    let place = Place::elsewhere();
    let server = Server::start(&place, &[("RUST_LOG", "tenantry=debug")]);
    let shop = Shop::open(&server).await;
    let client = shop.visitor().with("x-request-id", "find-me");
    client.get("/api/products").await.is(200);
    until(A_SECOND * 5, "it is told", || async {
        server.stderr().contains("find-me")
    })
    .await;
    let said = server.stderr();
    let line = said.lines().find(|line| line.contains("find-me")).unwrap();
    assert!(
        line.contains(&shop.code) && line.contains(&shop.id),
        "{line}"
    );
    place
        .run(&["tenant", "list", "--log-format", "xml"])
        .refuses(2);
}
