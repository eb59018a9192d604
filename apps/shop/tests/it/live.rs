//! What happens in a shop is heard by those who look at it, and by nobody else.

use std::time::{Duration, Instant};

use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest},
};

use crate::support::{A_SECOND, Payload, Place, Shop, log_in, shared, text, unique, until};

/// How long whoever hears nothing had time to.
const A_WHILE: Duration = Duration::from_millis(700);

const EVENTS: &str = "/api/products/events";

#[tokio::test]
async fn a_change_is_heard_in_every_process_and_in_no_other_shop() {
    let place = Place::new();
    let (here, there) = (place.serve(), place.serve());
    let acme = Shop::open_as(&here, "acme", "the password").await;
    let globex = Shop::open_as(&here, "globex", "another password").await;
    until(A_SECOND, "both know both", || async {
        there.tenant("globex").get("/api/shop").await.status == 200
    })
    .await;
    let mut listeners = [
        acme.visitor().listen(EVENTS).await,
        acme.by_host().listen(EVENTS).await,
        there.tenant("acme").listen(EVENTS).await,
    ];
    let mut strangers = [
        globex.visitor().listen(EVENTS).await,
        there.tenant("globex").listen(EVENTS).await,
    ];
    let spade = text(&acme.stock("Spade", "S", "1").await["id"]);
    let path = format!("/api/products/{spade}");
    let owner = acme.as_owner();
    owner.patch(&path, json!({ "price": "2" })).await.is(200);
    // what fails is no news
    let twice = json!({ "name": "Another", "code": "S" });
    owner.post("/api/products", twice).await.is(409);
    owner.delete(&path).await.is(204);
    for heard in &mut listeners {
        for change in ["added", "changed", "removed"] {
            let data = json!({ "id": spade, "change": change });
            heard.is_next("products", data).await;
        }
    }
    for heard in &mut strangers {
        assert!(heard.is_silent(A_WHILE).await);
    }
    // who would hear their own
    let hoe = text(&globex.stock("Hoe", "H", "1").await["id"]);
    for heard in &mut strangers {
        let data = json!({ "id": hoe, "change": "added" });
        heard.is_next("products", data).await;
    }
    for heard in &mut listeners {
        assert!(heard.is_silent(A_WHILE).await);
    }
}

#[tokio::test]
async fn an_import_is_followed_by_those_who_may() {
    let server = shared();
    let (ours, theirs) = (Shop::open(&server).await, Shop::open(&server).await);
    let visitor = ours.visitor().get("/api/jobs/events").await;
    visitor.problem(401, "authentication-required");
    let stranger = ours.visitor().bearer(&theirs.owner.token);
    let stranger = stranger.get("/api/jobs/events").await;
    stranger.problem(401, "invalid-token");
    let mut heard = ours.as_owner().listen("/api/jobs/events").await;
    let mut elsewhere = theirs.as_owner().listen("/api/jobs/events").await;
    let csv = "name,code\nSpade,S\nHoe,H\n";
    let import = Payload::Bytes("text/csv", csv.into());
    let owner = ours.as_owner();
    let job = owner.send("POST", "/api/products/import", import);
    let job = text(&job.await.is(202).json()["id"]);
    loop {
        let (topic, data) = heard.next().await.unwrap();
        assert_eq!((topic.as_str(), &data["id"]), ("jobs", &json!(job)));
        assert_eq!(data["kind"], "import-products");
        if data["status"] == "done" {
            assert_eq!(data["progress"]["done"], 2);
            break;
        }
    }
    assert!(elsewhere.is_silent(A_WHILE).await);
}

#[tokio::test]
async fn it_ends_when_the_shop_is_suspended_and_when_the_process_ends() {
    let place = Place::new();
    let server = place.serve();
    let acme = Shop::open_as(&server, "acme", "the password").await;
    let globex = Shop::open_as(&server, "globex", "another password").await;
    let mut heard = acme.visitor().listen(EVENTS).await;
    let mut socket = open(&acme, None).await.unwrap();
    assert_eq!(said(&mut socket).await.unwrap()["event"], "ready");
    let mut other = globex.visitor().listen(EVENTS).await;
    place.run(&["tenant", "suspend", "acme"]).ok();
    assert_eq!(heard.next().await, None);
    assert_eq!(said(&mut socket).await, None);
    let refused = acme.visitor().get(EVENTS).await;
    refused.problem(503, "tenant-suspended");
    assert!(other.is_silent(A_WHILE).await);
    let asked = Instant::now();
    server.terminate();
    assert_eq!(other.next().await, None);
    assert!(server.wait(Duration::from_secs(20)).success());
    // nobody was waited for until they were cut off
    assert!(asked.elapsed() < Duration::from_secs(9));
}

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn open(shop: &Shop, origin: Option<&str>) -> Result<Socket, Error> {
    let url = format!("ws://{}/api/products/socket", shop.server().addr());
    let mut request = url.into_client_request().unwrap();
    let headers = request.headers_mut();
    let host = format!("{}.localhost:{}", shop.code, shop.server().port());
    headers.insert("host", host.parse().unwrap());
    if let Some(origin) = origin {
        headers.insert("origin", origin.parse().unwrap());
    }
    Ok(connect_async(request).await?.0)
}

/// What is said next; none when the other side has ended it.
async fn said(socket: &mut Socket) -> Option<Value> {
    loop {
        let message = tokio::time::timeout(A_SECOND * 20, socket.next());
        match message.await.expect("something is said")?.unwrap() {
            Message::Text(text) => return Some(serde_json::from_str(&text).unwrap()),
            Message::Close(_) => return None,
            _ => {}
        }
    }
}

#[tokio::test]
async fn a_socket_hears_the_same_and_not_from_other_sites_pages() {
    let server = shared();
    let (ours, theirs) = (Shop::open(&server).await, Shop::open(&server).await);
    let own_page = format!("http://{}.localhost:{}", ours.code, server.port());
    let mut socket = open(&ours, Some(&own_page)).await.unwrap();
    let mut stranger = open(&theirs, None).await.unwrap();
    for socket in [&mut socket, &mut stranger] {
        let ready = json!({ "event": "ready", "data": null });
        assert_eq!(said(socket).await, Some(ready));
    }
    let spade = text(&ours.stock("Spade", "S", "1").await["id"]);
    let news = said(&mut socket).await.unwrap();
    let data = json!({ "id": spade, "change": "added" });
    assert_eq!(news, json!({ "event": "products", "data": data }));
    let silent = tokio::time::timeout(A_WHILE, stranger.next()).await;
    assert!(silent.is_err());
    let others = format!("http://{}.localhost:{}", theirs.code, server.port());
    for origin in [others.as_str(), "https://example.com", "null"] {
        match open(&ours, Some(origin)).await {
            Err(Error::Http(answer)) => assert_eq!(answer.status(), 403, "{origin}"),
            other => panic!("{origin}: {:?}", other.map(drop)),
        }
    }
    let plain = ours.visitor().get("/api/products/socket").await;
    plain.problem(426, "websocket-required");
}

/// 200 of them over 20 shops, unless `TENANTRY_STREAMS` says how many.
#[tokio::test]
async fn many_listen_in_bounded_memory_and_all_are_let_go() {
    let streams: usize =
        std::env::var("TENANTRY_STREAMS").map_or(200, |streams| streams.parse().unwrap());
    let server = Place::new().serve();
    let mut shops = Vec::new();
    for _ in 0..streams.div_ceil(10) {
        shops.push(Shop::open_as(&server, &unique("crowd"), "the password").await);
    }
    let before = server.peak_memory();
    let mut heard = Vec::new();
    for number in 0..streams {
        heard.push(shops[number % shops.len()].visitor().listen(EVENTS).await);
    }
    for shop in &shops {
        shop.stock("Spade", "S", "1").await;
    }
    for events in &mut heard {
        let (topic, data) = events.next().await.unwrap();
        assert_eq!(
            (topic.as_str(), &data["change"]),
            ("products", &json!("added"))
        );
    }
    let each = (server.peak_memory() - before) / 1024 / streams as u64;
    println!("{streams} listen, with {each} KiB each");
    let asked = Instant::now();
    server.terminate();
    for events in &mut heard {
        assert_eq!(events.next().await, None);
    }
    assert!(server.wait(Duration::from_secs(20)).success());
    println!("all were let go in {:?}", asked.elapsed());
    assert!(each < 200, "{each} KiB for each");
}

#[tokio::test]
async fn whoever_is_signed_out_hears_no_more_of_imports() {
    let server = shared();
    let ours = Shop::open(&server).await;
    let email = ours.owner.email.clone();
    let token = log_in(&ours.visitor(), &email, &ours.owner.password).await;
    let leaver = ours.visitor().bearer(&token);
    let mut ends = leaver.listen("/api/jobs/events").await;
    let mut stays = ours.as_owner().listen("/api/jobs/events").await;
    leaver.post("/api/auth/logout", json!({})).await.is(204);
    // it is looked at every 20 seconds
    assert!(ends.ends_within(A_SECOND * 45).await);
    assert!(stays.is_silent(A_WHILE).await);
}
