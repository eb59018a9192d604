//! Traces are exported to a collector: what each request and job was, whose it was, and nothing that
//! somebody else should not see.

mod collector;

use std::{
    net::TcpListener,
    process::{Child, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use self::collector::{CONSUMER, Collector, ERROR, Exported, SERVER, UNSET};
use crate::support::{A_SECOND, Place, Server, Shop, text, until};

/// As often as what was told before it ends is to be seen at once.
const AT_ONCE: (&str, &str) = ("OTEL_BSP_SCHEDULE_DELAY", "50");

fn serve(place: &Arc<Place>, url: &str, more: &[(&str, &str)]) -> Arc<Server> {
    let told = [
        ("SHOP_OTLP_ENDPOINT", url),
        ("SHOP_LOG_FORMAT", "json"),
        ("RUST_LOG", "debug"),
        AT_ONCE,
    ];
    Server::start(place, &[&told[..], more].concat())
}

fn lines(server: &Server) -> Vec<Value> {
    let said = server.stderr();
    said.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// A trace of somebody else's, by a number.
fn trace(whose: u32, number: u32) -> String {
    format!("{:016x}{:016x}", 0xabc0_u32 + whose, number + 1)
}

const SPAN: &str = "00f067aa0ba902b7";

fn traceparent(trace: &str) -> String {
    format!("00-{trace}-{SPAN}-01")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_request_is_a_span_of_its_tenants_and_tells_no_more() {
    let collector = Collector::start();
    let place = Place::elsewhere();
    let server = serve(&place, &collector.url(), &[]);
    let shops = [Shop::open(&server).await, Shop::open(&server).await];
    let product = [
        shops[0].stock("Spade", "s", "1").await,
        shops[1].stock("Rake", "r", "1").await,
    ];
    // of both at a time, each with a trace of its own
    let mut work = Vec::new();
    for number in 0..30_u32 {
        for whose in 0..2_u32 {
            let shop = &shops[whose as usize];
            let parent = traceparent(&trace(whose, number));
            let client = shop.as_owner().with("traceparent", &parent);
            let id = text(&product[whose as usize]["id"]);
            work.push(tokio::spawn(async move {
                match number % 3 {
                    0 => client.get("/api/products?q=hunter2").await.is(200),
                    1 => client.get(&format!("/api/products/{id}")).await.is(200),
                    _ => client.post("/api/products", json!({})).await.is(422),
                }
            }));
        }
    }
    for one in work {
        one.await.unwrap();
    }
    let central = server
        .central()
        .with("traceparent", &traceparent(&trace(2, 0)));
    central.get("/nowhere").await.is(404);
    until(A_SECOND * 10, "all is exported", || async {
        collector.traced("000000000000abc").len() == 61
    })
    .await;

    for whose in 0..2_u32 {
        let shop = &shops[whose as usize];
        let own = collector.traced(&trace(whose, 0)[..16]);
        assert_eq!(own.len(), 30);
        for number in 0..30 {
            let id = trace(whose, number);
            let span = own.iter().find(|span| span.trace == id).expect(&id);
            let (name, route, status) = match number % 3 {
                0 => ("GET /api/products", "/api/products", 200),
                1 => ("GET /api/products/{id}", "/api/products/{id}", 200),
                _ => ("POST /api/products", "/api/products", 422),
            };
            assert_eq!((span.name.as_str(), span.kind), (name, SERVER));
            assert_eq!((span.parent.as_str(), span.status), (SPAN, UNSET));
            let method = name.split(' ').next().unwrap();
            // this and nothing else
            let expected = json!({
                "http.request.method": method,
                "http.response.status_code": status,
                "http.route": route,
                "tenantry.tenant": shop.code,
                "tenantry.tenant_id": shop.id,
                "url.scheme": "http",
            });
            assert_eq!(span.attributes, expected);
            assert_eq!((span.events, span.links), (0, 0));
        }
    }
    // and what is no tenant's says of none
    let nobodys = &collector.traced(&trace(2, 0))[0];
    let expected = json!({
        "http.request.method": "GET",
        "http.response.status_code": 404,
        "url.scheme": "http",
    });
    assert_eq!(
        (nobodys.name.as_str(), &nobodys.attributes),
        ("GET", &expected)
    );
}

#[tokio::test]
async fn the_log_has_the_traces_that_are_exported() {
    let collector = Collector::start();
    let place = Place::elsewhere();
    let server = serve(&place, &collector.url(), &[]);
    let shop = Shop::open(&server).await;
    let visitor = |id: &str| shop.visitor().with("x-request-id", id);
    visitor("alone").get("/api/products").await.is(200);
    let parent = traceparent(&trace(0, 0));
    let told = visitor("told").with("traceparent", &parent);
    told.get("/api/products").await.is(200);
    // what is no traceparent as a whole is nobody's child
    let half = format!("00-{}-0000000000000000-01", trace(0, 1));
    let wrong = visitor("wrong").with("traceparent", &half);
    wrong.get("/api/products").await.is(200);
    for (id, is_told) in [("alone", false), ("told", true), ("wrong", false)] {
        let mut trace = String::new();
        until(A_SECOND * 5, "it is in the log", || {
            let lines = lines(&server);
            let own: Vec<_> = lines
                .iter()
                .filter(|line| line["request_id"] == id)
                .collect();
            trace = own
                .first()
                .map(|line| text(&line["trace"]))
                .unwrap_or_default();
            assert!(own.iter().all(|line| line["trace"] == trace.as_str()));
            assert!(own.iter().all(|line| line.get("otel.kind").is_none()));
            let is_there = !own.is_empty();
            async move { is_there }
        })
        .await;
        assert_eq!(trace == self::trace(0, 0), is_told, "{id}: {trace}");
        until(A_SECOND * 5, "it is exported", || async {
            !collector.traced(&trace).is_empty()
        })
        .await;
        let span = &collector.traced(&trace)[0];
        assert_eq!(span.parent, if is_told { SPAN } else { "" });
        assert_eq!(span.attributes["tenantry.tenant"], shop.code.as_str());
    }
    assert!(collector.traced(&trace(0, 1)).is_empty());
}

fn worker(place: &Place, url: &str) -> Child {
    let mut command = place.command(&["worker", "--otlp-endpoint", url]);
    command.envs([AT_ONCE]).stdout(Stdio::null());
    command.stderr(Stdio::null()).spawn().unwrap()
}

/// The spans of a trace, once there is one of a job.
async fn with_job(collector: &Collector, trace: &str) -> (Exported, Exported) {
    until(A_SECOND * 20, "the job's span is exported", || async {
        collector.traced(trace).len() == 2
    })
    .await;
    let (job, request) = collector
        .traced(trace)
        .into_iter()
        .partition::<Vec<_>, _>(|span| span.kind == CONSUMER);
    (request[0].clone(), job[0].clone())
}

#[tokio::test]
async fn a_job_is_below_the_request_that_wanted_it() {
    let collector = Collector::start();
    let place = Place::elsewhere();
    let url = collector.url();
    let server = serve(&place, &url, &[("SHOP_WORKERS", "0")]);
    let shops = [Shop::open(&server).await, Shop::open(&server).await];
    let mut wanted = Vec::new();
    for (whose, shop) in (0..).zip(&shops) {
        let parent = traceparent(&trace(whose, 0));
        let owner = shop.as_owner().with("traceparent", &parent);
        let csv = "name,code,price\nMug,mug,1\n";
        let answer = owner
            .raw("POST", "/api/products/import", "text/csv", csv)
            .await;
        wanted.push(text(&answer.is(202).json()["id"]));
    }
    // what is kept with them is more than the trace, and nobody is told more
    let listed = place.run(&["jobs", "list", "--tenant", &shops[0].code, "--json"]);
    assert_eq!(listed.ok().json()[0]["trace"], trace(0, 0));
    // of another process
    let mut working = worker(&place, &url);
    for ((whose, shop), id) in (0..).zip(&shops).zip(&wanted) {
        let (request, job) = with_job(&collector, &trace(whose, 0)).await;
        assert_eq!(request.name, "POST /api/products/import");
        assert_eq!((request.kind, request.parent.as_str()), (SERVER, SPAN));
        assert_eq!(job.name, "process import-products");
        assert_eq!(
            (job.kind, &job.parent, job.status),
            (CONSUMER, &request.span, UNSET)
        );
        let expected = json!({
            "messaging.destination.name": "import-products",
            "messaging.message.id": id,
            "messaging.operation.name": "process",
            "messaging.operation.type": "process",
            "messaging.system": "tenantry",
            "tenantry.job.attempt": 1,
            "tenantry.tenant": shop.code,
            "tenantry.tenant_id": shop.id,
        });
        assert_eq!(job.attributes, expected);
    }
    working.kill().unwrap();
    working.wait().unwrap();
}

#[tokio::test]
async fn a_job_is_logged_with_the_trace_of_its_request() {
    let collector = Collector::start();
    let place = Place::elsewhere();
    let server = serve(&place, &collector.url(), &[]);
    let shop = Shop::open(&server).await;
    let owner = shop.as_owner().with("x-request-id", "wanted");
    let csv = "name,code,price\nMug,mug,1\n";
    let answer = owner
        .raw("POST", "/api/products/import", "text/csv", csv)
        .await;
    let id = answer.is(202).json()["id"].clone();
    until(A_SECOND * 20, "the job's end is told", || async {
        let lines = lines(&server);
        let mut own = lines.iter().filter(|line| line["job"] == id);
        own.any(|line| line["message"] == "a job has ended")
    })
    .await;
    let all = lines(&server);
    let of = |name: &str, value: &Value| {
        let line = all.iter().find(|line| line[name] == *value);
        text(&line.unwrap()["trace"])
    };
    let trace = of("request_id", &json!("wanted"));
    assert_eq!(of("job", &id), trace);
    let (request, job) = with_job(&collector, &trace).await;
    assert_eq!((request.parent.as_str(), &job.parent), ("", &request.span));
}

#[tokio::test]
async fn what_fails_is_told_without_words() {
    let collector = Collector::start();
    let place = Place::elsewhere();
    let server = serve(&place, &collector.url(), &[]);
    let shop = Shop::open(&server).await;
    place.run(&["tenant", "suspend", &shop.code]).ok();
    let parent = traceparent(&trace(0, 0));
    until(A_SECOND * 5, "it is suspended", || async {
        let visitor = shop.visitor().with("traceparent", &parent);
        visitor.get("/api/products").await.status == 503
    })
    .await;
    until(A_SECOND * 5, "it is exported", || async {
        let spans = collector.traced(&trace(0, 0));
        spans.iter().any(|span| span.status == ERROR)
    })
    .await;
    let spans = collector.traced(&trace(0, 0));
    let failed = spans.iter().find(|span| span.status == ERROR).unwrap();
    assert_eq!(failed.attributes["http.response.status_code"], 503);
    assert_eq!(failed.attributes["error.type"], "503");
    assert_eq!((failed.message.as_str(), failed.events), ("", 0));
}

#[tokio::test]
async fn no_secret_is_exported() {
    let collector = Collector::start();
    let place = Place::elsewhere();
    let server = serve(&place, &collector.url(), &[]);
    let shop = Shop::open(&server).await;
    let session = shop.session_of(&shop.owner).await;
    let visitor = shop
        .visitor()
        .with("x-request-id", "hunter2-as-id")
        .with("user-agent", "hunter2-as-agent")
        .with("tracestate", "vendor=hunter2")
        .with("baggage", "user=hunter2")
        .with("traceparent", &traceparent(&trace(0, 0)));
    visitor.get("/api/products?q=hunter2-asked").await.is(200);
    visitor.get("/hunter2-nowhere").await.is(404);
    let wrong = json!({ "email": "hunter2@example.com", "password": "hunter2" });
    visitor.post("/api/auth/login", wrong).await.is(401);
    until(A_SECOND * 5, "it is exported", || async {
        collector.traced(&trace(0, 0)).len() == 3
    })
    .await;
    let bytes = collector.bytes();
    let has = |text: &str| {
        bytes
            .windows(text.len())
            .any(|part| part == text.as_bytes())
    };
    // what is meant to be there is found so
    assert!(has(&shop.code) && has("/api/auth/login"));
    for secret in [
        "hunter2",
        &shop.owner.token,
        &shop.owner.password,
        &shop.owner.email,
        &session,
    ] {
        assert!(!has(secret), "{secret} is exported");
    }
}

#[tokio::test]
async fn what_is_left_is_exported_at_the_end() {
    let collector = Collector::start();
    let place = Place::elsewhere();
    let never = ("OTEL_BSP_SCHEDULE_DELAY", "3600000");
    let server = serve(&place, &collector.url(), &[never]);
    let shop = Shop::open(&server).await;
    for number in 0..40 {
        let parent = traceparent(&trace(0, number));
        let visitor = shop.visitor().with("traceparent", &parent);
        visitor.get("/api/products").await.is(200);
    }
    assert!(collector.traced("").is_empty());
    server.terminate();
    assert!(server.wait(A_SECOND * 15).success());
    assert_eq!(collector.traced(&trace(0, 0)[..16]).len(), 40);
}

/// How long each of so many requests takes at most.
async fn slowest(shop: &Shop, count: usize) -> Duration {
    let mut slowest = Duration::ZERO;
    for _ in 0..count {
        let begun = Instant::now();
        shop.visitor().get("/api/products").await.is(200);
        slowest = slowest.max(begun.elapsed());
    }
    slowest
}

fn told(server: &Server, message: &str) -> usize {
    let lines = lines(server);
    let is_it = |line: &&Value| {
        line["message"]
            .as_str()
            .is_some_and(|it| it.contains(message))
    };
    lines.iter().filter(is_it).count()
}

#[tokio::test]
async fn nobody_waits_for_a_collector_that_is_not_there() {
    // a port where nobody is
    let port = Collector::free_port();
    let place = Place::elsewhere();
    let server = serve(&place, &format!("http://127.0.0.1:{port}"), &[]);
    let shop = Shop::open(&server).await;
    until(A_SECOND * 10, "it is told", || async {
        told(&server, "traces cannot be exported") > 0
    })
    .await;
    for _ in 0..10 {
        assert!(slowest(&shop, 10).await < A_SECOND * 2);
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // once, however often
    assert_eq!(told(&server, "traces cannot be exported"), 1);
    let collector = Collector::start_on(port);
    until(A_SECOND * 20, "they are exported again", || async {
        shop.visitor().get("/api/products").await.is(200);
        !collector.traced("").is_empty() && told(&server, "traces are exported again") == 1
    })
    .await;
    drop(collector);
    until(A_SECOND * 20, "it is told again", || async {
        shop.visitor().get("/api/products").await.is(200);
        told(&server, "traces cannot be exported") == 2
    })
    .await;
    let begun = Instant::now();
    server.terminate();
    assert!(server.wait(A_SECOND * 15).success());
    assert!(begun.elapsed() < A_SECOND * 8, "{:?}", begun.elapsed());
    assert_eq!(told(&server, "traces were not exported"), 1);
}

#[tokio::test]
async fn nobody_waits_for_a_collector_that_does_not_answer() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let place = Place::elsewhere();
    let little_room = [
        ("OTEL_BSP_MAX_QUEUE_SIZE", "8"),
        ("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4"),
    ];
    let server = serve(&place, &url, &little_room);
    let shop = Shop::open(&server).await;
    // more than there is room for
    assert!(slowest(&shop, 60).await < A_SECOND * 2);
    // they are in its hands
    let (taken, _) = silent.accept().unwrap();
    assert!(slowest(&shop, 20).await < A_SECOND * 2);
    assert_eq!(told(&server, "dropped a Span due to queue full"), 1);
    let begun = Instant::now();
    server.terminate();
    assert!(server.wait(A_SECOND * 20).success());
    let took = begun.elapsed();
    assert!((A_SECOND * 4..A_SECOND * 9).contains(&took), "{took:?}");
    assert_eq!(
        told(&server, "the last traces may not have been exported"),
        1
    );
    drop(taken);
}

#[tokio::test]
async fn opentelemetrys_own_variables_are_taken() {
    let collector = Collector::start();
    let place = Place::elsewhere();
    let standard = |more: &[(&str, &str)]| {
        let url = collector.url();
        let told = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", url.as_str()),
            ("OTEL_EXPORTER_OTLP_HEADERS", "x-key=sesame"),
            AT_ONCE,
        ];
        Server::start(&place, &[&told[..], more].concat())
    };
    let server = standard(&[]);
    let shop = Shop::open(&server).await;
    let asked = async |server: &Arc<Server>, number| {
        let parent = traceparent(&trace(0, number));
        let visitor = server.tenant(&shop.code).with("traceparent", &parent);
        visitor.get("/api/products").await.is(200);
        server.terminate();
        assert!(server.wait(A_SECOND * 15).success());
        collector.traced(&trace(0, number))
    };
    let first = asked(&server, 0).await;
    assert_eq!(first[0].key.as_deref(), Some("sesame"));
    assert_eq!(first[0].resource["service.name"], "shop");
    assert_eq!(
        first[0].resource["service.version"],
        env!("CARGO_PKG_VERSION")
    );

    let named = standard(&[
        ("OTEL_SERVICE_NAME", "north"),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "deployment.environment.name=try",
        ),
        ("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip"),
    ]);
    let second = asked(&named, 1).await;
    assert_eq!(second[0].resource["service.name"], "north");
    assert_eq!(second[0].resource["deployment.environment.name"], "try");

    for off in [
        ("OTEL_TRACES_SAMPLER", "always_off"),
        ("OTEL_SDK_DISABLED", "true"),
    ] {
        assert!(asked(&standard(&[off]), 2).await.is_empty(), "{off:?}");
    }
    // whoever began it decides whether it is looked at
    let client = standard(&[]);
    let unseen = format!("00-{}-{SPAN}-00", trace(0, 3));
    let visitor = client.tenant(&shop.code).with("traceparent", &unseen);
    visitor.get("/api/products").await.is(200);
    assert_eq!(asked(&client, 4).await.len(), 1);
    assert!(collector.traced(&trace(0, 3)).is_empty());
}

#[test]
fn what_is_no_collector_is_refused() {
    let place = Place::new();
    let wrong = ["serve", "--otlp-endpoint", "http://:hunter2@localhost"];
    let refused = place.run(&wrong).refuses(2);
    assert!(refused.stderr.contains("--otlp-endpoint"), "{refused:?}");
    assert!(!refused.stderr.contains("hunter2"), "{refused:?}");
}
