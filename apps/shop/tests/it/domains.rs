//! Hosts that shops have of their own: added and shown to be theirs, and where requests for them go.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::support::{
    A_SECOND, Client, PASSWORD, Payload, Place, Server, Shop, names, on_files, publish,
    serve_with_names, shared, text, unique, until,
};

/// A host that is this test's own.
fn host() -> String {
    format!("{}.example", unique("shop"))
}

/// Somebody at any host.
fn at(server: &Arc<Server>, host: &str) -> Client {
    let port = server.port();
    server.central().with("host", &format!("{host}:{port}"))
}

/// What a server answers at a host.
async fn code_at(server: &Arc<Server>, host: &str) -> Option<String> {
    let answer = at(server, host).get("/api/shop").await;
    match answer.status {
        200 => Some(text(&answer.json()["code"])),
        404 => {
            answer.problem(404, "tenant-not-found");
            None
        }
        _ => panic!("{host}: {answer:?}"),
    }
}

async fn is_soon(servers: &[Arc<Server>], host: &str, code: Option<&str>) {
    for server in servers {
        until(A_SECOND, &format!("{host} is {code:?}"), || async {
            code_at(server, host).await.as_deref() == code
        })
        .await;
    }
}

/// Makes a host the shop's own, by its API.
async fn own(shop: &Shop, host: &str) {
    let owner = shop.as_owner();
    let claim = owner
        .post("/api/domains", json!({ "host": host }))
        .await
        .is(201);
    publish(&claim.json());
    verify(&owner, host).await.is(200);
}

async fn verify(client: &Client, host: &str) -> crate::support::Answer {
    let path = format!("/api/domains/{host}/verify");
    client.send("POST", &path, Payload::Nothing).await
}

async fn set_primary(shop: &Shop, host: &str) {
    let path = format!("/api/domains/{host}/primary");
    let set = shop
        .as_owner()
        .send("PUT", &path, Payload::Nothing)
        .await
        .is(200);
    assert_eq!(set.json()["primary"], true);
}

/// Fails unless the answer sends one there for good.
#[track_caller]
fn moved(answer: &crate::support::Answer, place: &str) {
    assert_eq!(
        (answer.status, answer.header("location")),
        (301, Some(place))
    );
}

#[tokio::test]
async fn a_domain_is_added_on_the_command_line_and_every_server_knows_it_within_a_second() {
    let place = Place::new();
    let servers = [serve_with_names(&place), serve_with_names(&place)];
    let [here, there] = &servers;
    Shop::open_as(here, "acme", PASSWORD).await;
    Shop::open_as(here, "globex", PASSWORD).await;
    let (host, second) = (host(), host());
    let addr = names().addr().to_string();
    let run = |arguments: &[&str]| {
        let asked = [&["tenant", "domain"], arguments, &["--name-servers", &addr]].concat();
        place.run(&asked)
    };
    is_soon(&servers, &host, None).await;

    // claimed, which is nothing yet
    let added = run(&["add", "acme", &host.to_uppercase()]).ok();
    let line = added.stdout.trim();
    assert!(
        line.starts_with(&format!("_shop.{host}. TXT \"shop-verification=")),
        "{line}"
    );
    let early = run(&["verify", "acme", &host]).refuses(4);
    assert!(early.stderr.contains(&format!("_shop.{host}")), "{early:?}");
    assert!(early.stderr.contains("hint"), "{early:?}");
    run(&["primary", "acme", &host]).refuses(4);
    is_soon(&servers, &host, None).await;

    let claim = run(&["add", "acme", &host, "--json"]).ok().json();
    assert_eq!(claim["verified"], false);
    assert!(
        line.ends_with(&format!("\"{}\"", text(&claim["record"]["value"]))),
        "{line}"
    );
    publish(&claim);
    run(&["verify", "acme", &host]).ok();
    is_soon(&servers, &host, Some("acme")).await;
    is_soon(&servers, &format!("www.{host}"), None).await;

    // it is one tenant's alone
    let taken = run(&["add", "globex", &host]).refuses(4);
    assert!(taken.stderr.contains("another tenant"), "{taken:?}");
    assert!(!taken.stderr.contains("acme"), "{taken:?}");

    let claim = run(&["add", "acme", &second, "--json"]).ok().json();
    publish(&claim);
    assert_eq!(
        run(&["verify", "acme", &second, "--json"]).ok().json()["verified"],
        true
    );
    let url = format!("http://{host}:8000");
    assert_eq!(run(&["primary", "acme", &host]).ok().stdout.trim(), url);
    assert_eq!(run(&["primary", "acme"]).ok().stdout.trim(), host);

    // what is elsewhere is sent there, with path and query
    for server in &servers {
        let to = format!("http://{host}:{}/sign-in?a=b&c=%2Fd", server.port());
        for elsewhere in ["acme.localhost".to_owned(), second.clone()] {
            let from = at(server, &elsewhere);
            until(A_SECOND, "it is the primary one", || async {
                from.get("/sign-in").await.status == 301
            })
            .await;
            moved(&from.get("/sign-in?a=b&c=%2Fd").await, &to);
        }
        at(server, &host).browser().get("/sign-in").await.is(200);
        server.tenant("acme").get("/sign-in").await.is(200);
        server.host("acme").get("/api/shop").await.is(200);
    }

    // it is told everywhere
    let shown = place.run(&["tenant", "show", "acme", "--json"]).ok().json();
    assert_eq!(shown["url"], url);
    let hosts: Vec<_> = shown["domains"].as_array().unwrap().iter().collect();
    assert_eq!(hosts.len(), 2);
    let primary = |one: &&&Value| one["primary"] == true;
    assert_eq!(hosts.iter().find(primary).unwrap()["host"], json!(host));
    let shown = place.run(&["tenant", "show", "acme"]).ok().stdout;
    assert!(shown.contains(&format!("{host}, primary")), "{shown}");
    let listed = place.run(&["tenant", "list", "--json"]).ok().json();
    let urls: Vec<String> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|one| text(&one["url"]))
        .collect();
    assert_eq!(urls, [url.as_str(), "http://globex.localhost:8000"]);
    let listed = run(&["list", "acme"]).ok().stdout;
    assert!(
        listed.contains(&host) && listed.contains("primary"),
        "{listed}"
    );
    assert_eq!(run(&["list", "globex", "--json"]).ok().json(), json!([]));

    // a rename breaks nothing
    let renamed = place.run(&["tenant", "rename", "acme", "zenith"]).ok();
    assert_eq!(renamed.stdout.trim(), url);
    is_soon(&servers, &host, Some("zenith")).await;
    moved(
        &there.host("zenith").get("/?q=x").await,
        &format!("http://{host}:{}/?q=x", there.port()),
    );

    run(&["primary", "zenith", "--none"]).ok();
    until(A_SECOND, "none is the primary one", || async {
        there.host("zenith").get("/").await.status == 200
    })
    .await;

    run(&["remove", "zenith", &host]).ok();
    is_soon(&servers, &host, None).await;
    is_soon(&servers, &second, Some("zenith")).await;

    place.run(&["tenant", "suspend", "zenith"]).ok();
    until(A_SECOND, "it is suspended", || async {
        at(there, &second).get("/api/shop").await.status == 503
    })
    .await;
    at(there, &second)
        .get("/api/shop")
        .await
        .problem(503, "tenant-suspended");
}

#[test]
fn mistakes_on_the_command_line_are_told_apart() {
    let place = Place::new();
    place
        .run(&["tenant", "create", "acme", "--name", "Acme"])
        .ok();
    let domain = |arguments: &[&str]| place.run(&[&["tenant", "domain"], arguments].concat());
    domain(&["add", "globex", "shop.example"]).refuses(3);
    domain(&["list", "globex"]).refuses(3);
    for wrong in [
        "localhost",
        "192.0.2.1",
        "https://shop.example",
        "a_b.example",
    ] {
        domain(&["add", "acme", wrong]).refuses(2);
    }
    for own in ["acme.localhost", "a.b.localhost"] {
        let refused = domain(&["add", "acme", own]).refuses(2);
        assert!(refused.stderr.contains("hint"), "{refused:?}");
    }
    domain(&["verify", "acme", "shop.example"]).refuses(1);
    domain(&["remove", "acme", "shop.example"]).refuses(1);
    domain(&["add", "acme", "shop.example"]).ok();
    // a name server that is not there
    let nobody = [
        "verify",
        "acme",
        "shop.example",
        "--name-servers",
        "127.0.0.1:1",
    ];
    let refused = domain(&nobody).refuses(1);
    assert!(refused.stderr.contains("--name-servers"), "{refused:?}");
    domain(&["verify", "acme", "shop.example", "--name-servers", "x"]).refuses(2);
    let clone = place.run(&["tenant", "clone", "acme", "copy"]).ok();
    assert_eq!(clone.stdout.trim(), "http://copy.localhost:8000");
    assert_eq!(domain(&["list", "copy", "--json"]).ok().json(), json!([]));
    assert_eq!(
        domain(&["list", "acme", "--json"]).ok().json()[0]["host"],
        "shop.example"
    );
    domain(&["primary", "acme"]).ok();
    if on_files() {
        let erased = place.run(&["tenant", "erase", "acme", "--yes"]).ok();
        assert!(erased.stdout.contains("\"domains\": 1"), "{erased:?}");
    }
}

#[tokio::test]
async fn owners_see_to_their_domains_themselves() {
    let server = shared();
    let (shop, other) = (Shop::open(&server).await, Shop::open(&server).await);
    let (host, owner) = (host(), shop.as_owner());
    let new = json!({ "host": host });
    for client in [
        shop.as_user(&shop.hire("staff").await),
        other.as_user(&shop.owner),
    ] {
        let refused = client.post("/api/domains", new.clone()).await;
        assert!([401, 403].contains(&refused.status), "{refused:?}");
        assert!([401, 403].contains(&client.get("/api/domains").await.status));
    }
    for wrong in [
        "",
        "localhost",
        "acme.localhost",
        "http://x.example",
        "192.0.2.1",
    ] {
        let answer = owner.post("/api/domains", json!({ "host": wrong })).await;
        answer.invalid(&["host"]);
    }
    let claim = owner.post("/api/domains", new.clone()).await.is(201).json();
    assert_eq!(claim["record"]["name"], json!(format!("_shop.{host}")));
    assert_eq!(claim["record"]["type"], "TXT");
    let missing = verify(&owner, &host).await;
    missing.problem(409, "domain-record-missing");
    assert!(missing.text().contains(&text(&claim["record"]["value"])));
    let path = format!("/api/domains/{host}/primary");
    let early = owner.send("PUT", &path, Payload::Nothing).await;
    early.problem(409, "domain-not-verified");

    // the other claims it too, and shows nothing
    other
        .as_owner()
        .post("/api/domains", new.clone())
        .await
        .is(201);
    publish(&claim);
    verify(&other.as_owner(), &host)
        .await
        .problem(409, "domain-record-missing");
    assert_eq!(verify(&owner, &host).await.is(200).json()["verified"], true);
    assert_eq!(
        code_at(&server, &host).await.as_deref(),
        Some(shop.code.as_str())
    );
    verify(&other.as_owner(), &host)
        .await
        .problem(409, "domain-record-missing");
    let third = Shop::open(&server).await;
    let taken = third.as_owner().post("/api/domains", new).await;
    taken.problem(409, "domain-taken");
    assert!(!taken.text().contains(&shop.code), "{taken:?}");

    set_primary(&shop, &host).await;
    let listed = owner.get("/api/domains").await.is(200).json();
    assert_eq!(listed["items"][0]["primary"], true);
    let path = format!("/api/domains/{host}");
    owner.delete(&path).await.is(204);
    assert_eq!(code_at(&server, &host).await, None);
    owner.delete(&path).await.problem(404, "not-found");
    let log = owner.get("/api/audit?limit=10").await.is(200).json();
    let done = log["items"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["subject"] == json!(host));
    let done: Vec<String> = done.map(|one| text(&one["action"])).collect();
    let expected = [
        "domain-removed",
        "domain-made-primary",
        "domain-verified",
        "domain-added",
    ];
    assert_eq!(done, expected);
}

#[tokio::test]
async fn links_are_at_the_primary_domain() {
    let server = shared();
    let shop = Shop::open(&server).await;
    let host = host();
    own(&shop, &host).await;
    let asked = json!({ "email": shop.owner.email });
    let mailed = async |beginning: String| {
        let asked = asked.clone();
        shop.visitor()
            .post("/api/auth/password/forgot", asked)
            .await
            .is(202);
        let folder = server.place().data().join("mail").join(&shop.id);
        until(A_SECOND * 10, &format!("{beginning} is mailed"), || async {
            let mails = std::fs::read_dir(&folder).into_iter().flatten();
            let texts = mails.map(|one| std::fs::read_to_string(one.unwrap().path()));
            let mut texts = texts.filter_map(Result::ok);
            texts.any(|text| text.contains(&beginning))
        })
        .await;
    };
    let port = server.port();
    mailed(format!(
        "http://{}.localhost:{port}/reset-password?link=",
        shop.code
    ))
    .await;
    set_primary(&shop, &host).await;
    mailed(format!("http://{host}:{port}/reset-password?link=")).await;
}

#[tokio::test]
async fn who_is_let_in_by_one_shop_is_nobody_on_anothers_domain() {
    let server = shared();
    let (ours, theirs) = (Shop::open(&server).await, Shop::open(&server).await);
    let (our_host, their_host) = (host(), host());
    own(&ours, &our_host).await;
    own(&theirs, &their_host).await;
    let (our_pass, their_pass) = (
        ours.pass(&ours.owner).await,
        theirs.pass(&theirs.owner).await,
    );
    for (host, own, other) in [
        (&our_host, &our_pass, &their_pass),
        (&their_host, &their_pass, &our_pass),
    ] {
        let there = at(&server, host);
        let me = "/api/auth/me";
        there
            .bearer(&other.token)
            .get(me)
            .await
            .problem(401, "invalid-token");
        there.bearer(&own.token).get(me).await.is(200);
        let page = "/products/new";
        there
            .cookie(&other.session)
            .browser()
            .get(page)
            .await
            .redirects_to("/sign-in");
        there.cookie(&own.session).browser().get(page).await.is(200);
    }
    // whoever names another shop besides is refused
    let both = at(&server, &our_host).with("tenant-code", &theirs.code);
    both.get("/api/shop").await.problem(400, "tenant-conflict");
    let same = at(&server, &our_host).with("tenant-code", &ours.code);
    same.get("/api/shop").await.is(200);
}

#[tokio::test]
async fn a_removed_domain_is_anothers_when_they_show_it() {
    let server = shared();
    let (first, second) = (Shop::open(&server).await, Shop::open(&server).await);
    let host = host();
    own(&first, &host).await;
    set_primary(&first, &host).await;
    let pass = first.pass(&first.owner).await;
    let path = format!("/api/domains/{host}");
    first.as_owner().delete(&path).await.is(204);
    first.by_host().get("/").await.is(200);
    own(&second, &host).await;
    assert_eq!(
        code_at(&server, &host).await.as_deref(),
        Some(second.code.as_str())
    );
    let there = at(&server, &host);
    there
        .bearer(&pass.token)
        .get("/api/auth/me")
        .await
        .problem(401, "invalid-token");
    first
        .as_owner()
        .delete(&path)
        .await
        .problem(404, "not-found");
    assert_eq!(
        code_at(&server, &host).await.as_deref(),
        Some(second.code.as_str())
    );
}
