//! Several processes on one place, and how they end.

use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::Arc,
    time::Duration,
};

use serde_json::json;

use crate::support::{
    A_SECOND, Payload, Place, Server, Shop, log_in, opening, text, unique, until,
};

/// Fails unless both servers answer so for the tenant within a second.
async fn both_answer(servers: &[Arc<Server>; 2], code: &str, status: u16) {
    for server in servers {
        for client in [server.tenant(code), server.host(code)] {
            until(A_SECOND, &format!("{code} is {status}"), || async {
                client.get("/api/shop").await.status == status
            })
            .await;
        }
    }
}

#[tokio::test]
async fn what_one_process_changes_the_others_obey_within_a_second() {
    let place = Place::new();
    let servers = [place.serve(), place.serve()];
    let [here, there] = &servers;
    // both know already that there is no such shop
    both_answer(&servers, "acme", 404).await;

    let acme = Shop::open_as(here, "acme", "the password").await;
    both_answer(&servers, "acme", 200).await;
    let token = log_in(&there.tenant("acme"), "owner@example.com", "the password").await;
    here.tenant("acme")
        .bearer(&token)
        .get("/api/auth/me")
        .await
        .is(200);
    let spade = acme.stock("Spade", "S", "1").await;
    let path = format!("/api/products/{}", text(&spade["id"]));
    assert_eq!(there.tenant("acme").get(&path).await.is(200).json(), spade);

    let renamed = json!({ "name": "Another name" });
    acme.as_owner().patch("/api/shop", renamed).await.is(200);
    until(A_SECOND, "the name is new", || async {
        there.tenant("acme").get("/api/shop").await.json()["name"] == "Another name"
    })
    .await;

    place.run(&["tenant", "suspend", "acme"]).ok();
    both_answer(&servers, "acme", 503).await;
    place.run(&["tenant", "resume", "acme"]).ok();
    both_answer(&servers, "acme", 200).await;

    place.run(&["tenant", "rename", "acme", "zenith"]).ok();
    both_answer(&servers, "zenith", 200).await;
    both_answer(&servers, "acme", 404).await;
    for server in &servers {
        let zenith = server.tenant("zenith").bearer(&token);
        assert_eq!(zenith.get(&path).await.is(200).json(), spade);
        zenith.get("/api/auth/me").await.is(200);
    }

    // the code is free, and whoever takes it is somebody else
    Shop::open_as(there, "acme", "the new one's password").await;
    both_answer(&servers, "acme", 200).await;
    for server in &servers {
        let acme = server.tenant("acme");
        acme.get(&path).await.problem(404, "not-found");
        acme.bearer(&token)
            .get("/api/auth/me")
            .await
            .problem(401, "invalid-token");
    }

    place.run(&["tenant", "delete", "zenith", "--yes"]).ok();
    both_answer(&servers, "zenith", 404).await;
    both_answer(&servers, "acme", 200).await;
}

#[tokio::test]
async fn an_account_made_or_changed_on_the_command_line_works_at_once() {
    let place = Place::new();
    let server = place.serve();
    let shop = Shop::open(&server).await;
    let of = ["--tenant", &shop.code, "--password-stdin"];
    let create = [
        &["user", "create", "ann@example.com", "--role", "staff"][..],
        &of,
    ]
    .concat();
    place.run_with_input(&create, "her password\n").ok();
    let token = log_in(&shop.visitor(), "ann@example.com", "her password").await;
    let ann = shop.visitor().bearer(&token);
    ann.get("/api/auth/me").await.is(200);

    let change = [&["user", "password", "ann@example.com"][..], &of].concat();
    place.run_with_input(&change, "another password\n").ok();
    ann.get("/api/auth/me").await.problem(401, "invalid-token");
    log_in(&shop.visitor(), "ann@example.com", "another password").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn servers_and_commands_at_once_do_not_get_in_each_others_way() {
    let place = Place::new();
    let servers = [place.serve(), place.serve()];
    let shop = Arc::new(Shop::open(&servers[0]).await);
    let mut work = Vec::new();
    for server in servers {
        let shop = shop.clone();
        work.push(tokio::spawn(async move {
            let client = server.tenant(&shop.code).bearer(&shop.owner.token);
            for _ in 0..40 {
                let new = json!({ "name": "Spade", "code": unique("busy") });
                client.post("/api/products", new).await.is(201);
            }
            for _ in 0..3 {
                Shop::open(&server).await;
            }
        }));
    }
    let commands = place.clone();
    work.push(tokio::task::spawn_blocking(move || {
        for number in 0..4 {
            let code = format!("by-command-{number}");
            commands
                .run(&["tenant", "create", &code, "--name", "X"])
                .ok();
            commands.run(&["tenant", "suspend", &code]).ok();
            commands.run(&["tenant", "delete", &code, "--yes"]).ok();
        }
    }));
    for task in work {
        task.await.unwrap();
    }
    let made = shop.visitor().get("/api/products?limit=200").await.ids();
    assert_eq!(made.len(), 80);
    let shops = place.run(&["tenant", "list", "--json"]).ok().json();
    let shops = shops.as_array().unwrap();
    assert!(
        shops.len() == 7 && shops.iter().all(|shop| shop["status"] == "active"),
        "{shops:?}"
    );
    place.run(&["check"]).ok();
}

#[tokio::test]
async fn sigterm_lets_a_request_under_way_end_and_exits_0() {
    let server = Place::new().serve();
    let shop = Shop::open(&server).await;
    let body = json!({ "name": "Spade", "code": "S" }).to_string();
    let head = format!(
        "POST /api/products HTTP/1.1\r\nHost: {}.localhost\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        shop.code,
        shop.owner.token,
        body.len(),
    );
    let mut stream = TcpStream::connect(server.addr()).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&body.as_bytes()[..5]).unwrap();
    // a second connection that only stands open must not keep it
    let idle = TcpStream::connect(server.addr()).unwrap();
    shop.visitor().get("/api/shop").await.is(200); // so that both have been accepted
    server.terminate();
    let told = Duration::from_secs(5);
    until(told, "it says that it stops", || async {
        server.stderr().contains("stopping")
    })
    .await;
    until(told, "nobody else gets in", || async {
        TcpStream::connect(server.addr()).is_err()
    })
    .await;

    stream.write_all(&body.as_bytes()[5..]).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    let status = server.wait(Duration::from_secs(5));
    assert_eq!(status.code(), Some(0), "{}", server.stderr());
    drop(idle);

    let again = server.place().serve();
    let products = again.tenant(&shop.code).get("/api/products").await;
    assert_eq!(products.each("code"), ["S"]);
}

#[tokio::test]
async fn ctrl_c_ends_it_too() {
    let server = Place::new().serve();
    server.interrupt();
    assert_eq!(server.wait(Duration::from_secs(5)).code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_loses_nothing_that_was_acknowledged() {
    let place = Place::new();
    let server = place.serve();
    let shop = Arc::new(Shop::open(&server).await);
    let writers: Vec<_> = (0..4)
        .map(|writer| {
            let shop = shop.clone();
            tokio::spawn(async move {
                let (client, mut acknowledged) = (shop.as_owner(), Vec::new());
                for number in 0.. {
                    let code = format!("{writer}-{number}");
                    let new = json!({ "name": "Spade", "code": code });
                    match client
                        .try_send("POST", "/api/products", Payload::Json(new))
                        .await
                    {
                        Ok(answer) => drop(answer.is(201)),
                        Err(_) => break,
                    }
                    acknowledged.push(code);
                }
                acknowledged
            })
        })
        .collect();
    // and a shop that is being opened
    let central = server.central();
    let opened = tokio::spawn(async move {
        let mut opened = Vec::new();
        loop {
            let code = unique("opened");
            let new = Payload::Json(opening(&code, "the password"));
            match central.try_send("POST", "/api/shops", new).await {
                Ok(answer) => drop(answer.is(201)),
                Err(_) => return opened,
            }
            opened.push(code);
        }
    });
    until(Duration::from_secs(20), "enough is written", || async {
        shop.visitor()
            .get("/api/products?limit=60")
            .await
            .ids()
            .len()
            == 60
    })
    .await;
    server.kill();

    let mut acknowledged = Vec::new();
    for writer in writers {
        acknowledged.extend(writer.await.unwrap());
    }
    let opened = opened.await.unwrap();
    let again = place.serve();
    let client = again.tenant(&shop.code);
    for code in acknowledged {
        let found = client
            .get(&format!("/api/products?q={code}"))
            .await
            .each("code");
        assert!(found.contains(&code), "{code} is lost");
    }
    for code in opened {
        log_in(&again.tenant(&code), "owner@example.com", "the password").await;
    }
    place.run(&["check"]).ok();
    for found in place
        .run(&["tenant", "list", "--json"])
        .ok()
        .json()
        .as_array()
        .unwrap()
    {
        assert_eq!(found["status"], "active", "{found}");
    }
}

#[tokio::test]
async fn an_address_that_is_taken_is_told_and_harms_nobody() {
    let server = Place::new().serve();
    let shop = Shop::open(&server).await;
    let place = Place::new();
    let taken = place
        .run(&["serve", "--addr", &server.addr().to_string()])
        .refuses(1);
    assert!(
        taken.stderr.contains(&server.port().to_string()),
        "{taken:?}"
    );
    shop.visitor().get("/api/shop").await.is(200);
    place.run(&["serve", "--addr", "nonsense"]).refuses(2);
}

#[tokio::test]
async fn proxies_are_believed_when_they_are_trusted() {
    let place = Place::new();
    for (trusted, address, sees_acme) in [
        ("", "127.0.0.1", false),
        ("192.0.2.0/24", "127.0.0.1", false),
        ("127.0.0.0/8,10.0.0.0/8", "198.51.100.1", true),
    ] {
        let server = Server::start(&place, &[("SHOP_TRUST_PROXY", trusted)]);
        let shop = Shop::open(&server).await;
        let visitor = shop
            .visitor()
            .with("x-forwarded-for", "6.6.6.6, 198.51.100.1, 10.1.2.3");
        let wrong = json!({ "email": shop.owner.email, "password": "wrong" });
        let refused = visitor.post("/api/auth/login", wrong).await;
        refused.problem(401, "invalid-credentials");
        let log = shop.as_owner().get("/api/audit").await.is(200).json();
        let failed = log["items"].as_array().unwrap().iter();
        let failed: Vec<_> = failed
            .filter(|entry| entry["action"] == "sign-in-failed")
            .map(|entry| text(&entry["address"]))
            .collect();
        assert_eq!(failed, [address], "trusting {trusted:?}");
        let host = format!("{}.localhost", shop.code);
        let by_proxy = server.central().with("x-forwarded-host", &host);
        let answer = by_proxy.get("/api/shop").await;
        if sees_acme {
            assert_eq!(answer.is(200).json()["code"], json!(shop.code));
        } else {
            answer.problem(404, "tenant-required");
        }
        server.terminate();
    }
    let wrong = ["check", "--trust-proxy", "10.0.0.0/99"];
    place.run(&wrong).refuses(2);
}
