//! A process that dies half way through making or deleting a tenant. Only debug builds can be told
//! where to die.

#![cfg(debug_assertions)]

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use serde_json::json;

use crate::support::{
    A_SECOND, Client, Payload, Place, Server, Shop, log_in, on_files, opening, until,
};

const PASSWORD: &str = "the owner's password";

/// Somebody who uses another tenant all the while, and would notice.
struct Neighbour {
    stop: Arc<AtomicBool>,
    at_work: tokio::task::JoinHandle<u32>,
}

impl Neighbour {
    fn of(shop: &Shop) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, client) = (stop.clone(), shop.as_owner());
        let at_work = tokio::spawn(async move {
            let mut done = 0;
            while !stopped.load(Ordering::Relaxed) {
                work(&client).await;
                done += 1;
            }
            done
        });
        Self { stop, at_work }
    }

    /// Fails if anything went wrong for it.
    async fn noticed_nothing(self) {
        self.stop.store(true, Ordering::Relaxed);
        assert!(self.at_work.await.unwrap() > 0);
    }
}

async fn work(client: &Client) {
    let new = json!({ "name": "Spade", "code": "S" });
    let made = client.post("/api/products", new).await.is(201).json();
    let path = format!("/api/products/{}", made["id"].as_str().unwrap());
    client.get(&path).await.is(200);
    client.delete(&path).await.is(204);
}

const CREATE: [&str; 7] = [
    "tenant",
    "create",
    "x",
    "--name=X",
    "--owner-email",
    "owner@example.com",
    "--owner-password-stdin",
];

/// What the catalog has of the tenant.
fn status(place: &Place) -> Option<String> {
    let listed = place.run(&["tenant", "list", "--json"]).ok().json();
    let found = listed
        .as_array()
        .unwrap()
        .iter()
        .find(|tenant| tenant["code"] == "x");
    found.map(|tenant| tenant["status"].as_str().unwrap().to_owned())
}

/// Fails unless the tenant is there and works.
async fn is_whole(server: &Arc<Server>) {
    let place = server.place();
    assert_eq!(status(place).as_deref(), Some("active"));
    let owner = log_in(&server.tenant("x"), "owner@example.com", PASSWORD).await;
    work(&server.tenant("x").bearer(&owner)).await;
}

/// Fails unless nothing is left of the tenant.
async fn is_gone(server: &Arc<Server>) {
    let place = server.place();
    assert_eq!(status(place), None);
    let shown = place.run(&["tenant", "list", "--json"]).ok().json();
    let ids: Vec<_> = shown
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t["id"].as_str().unwrap())
        .collect();
    let of_nobody: Vec<_> = place
        .files_in("tenants")
        .into_iter()
        .filter(|file| !ids.iter().any(|id| file.contains(id)))
        .collect();
    assert!(of_nobody.is_empty(), "left over: {of_nobody:?}");
    until(A_SECOND, "the tenant is gone", || async {
        server.tenant("x").get("/api/shop").await.status == 404
    })
    .await;
}

/// Fails unless the code can be had, by a tenant that has nothing of the one before.
async fn is_free(server: &Arc<Server>) {
    let place = server.place();
    place.run_with_input(&CREATE, PASSWORD).ok();
    until(A_SECOND, "the new tenant is there", || async {
        server.tenant("x").get("/api/shop").await.status == 200
    })
    .await;
    assert_eq!(server.tenant("x").get("/api/products").await.ids().len(), 0);
    is_whole(server).await;
}

async fn server_with_a_neighbour() -> (Arc<Server>, Shop) {
    let server = Place::elsewhere().serve();
    let shop = Shop::open(&server).await;
    server.tenant("x").get("/api/shop").await.is(404);
    (server, shop)
}

async fn a_create_that_is_killed(point: &str) {
    if point == "create.copied" && !on_files() {
        return; // nothing is copied there
    }
    let (server, shop) = server_with_a_neighbour().await;
    let place = server.place().clone();
    let neighbour = Neighbour::of(&shop);
    let (there, point) = (place.clone(), point.to_owned());
    let killed = tokio::task::spawn_blocking({
        let point = point.clone();
        move || there.run_until_killed(&CREATE, PASSWORD, &point)
    });
    killed.await.unwrap().killed();
    if point == "create.activated" {
        // it was done, and only nobody was told
        until(A_SECOND, "the tenant is there", || async {
            server.tenant("x").get("/api/shop").await.status == 200
        })
        .await;
        is_whole(&server).await;
        place.run(&["tenant", "erase", "x", "--yes"]).ok();
    } else {
        // half made, it is nobody's
        server
            .tenant("x")
            .get("/api/shop")
            .await
            .problem(404, "tenant-not-found");
    }
    is_gone(&server).await;
    is_free(&server).await;
    neighbour.noticed_nothing().await;
    place.run(&["check"]).ok();
}

async fn a_delete_that_is_killed(point: &str) {
    let (server, shop) = server_with_a_neighbour().await;
    let place = server.place().clone();
    place.run_with_input(&CREATE, PASSWORD).ok();
    until(A_SECOND, "the tenant is there", || async {
        server.tenant("x").get("/api/shop").await.status == 200
    })
    .await;
    is_whole(&server).await; // so that its file is open there
    let neighbour = Neighbour::of(&shop);
    let (there, point) = (place.clone(), point.to_owned());
    let killed = tokio::task::spawn_blocking(move || {
        there.run_until_killed(&["tenant", "erase", "x", "--yes"], "", &point)
    });
    killed.await.unwrap().killed();
    // from the first moment on it is nobody's
    until(A_SECOND, "the tenant is gone", || async {
        server.tenant("x").get("/api/shop").await.status == 404
    })
    .await;
    is_gone(&server).await;
    is_free(&server).await;
    neighbour.noticed_nothing().await;
    place.run(&["check"]).ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_killed_once_recorded_is_undone() {
    a_create_that_is_killed("create.recorded").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_killed_while_its_file_is_made_is_undone() {
    a_create_that_is_killed("create.copied").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_killed_with_its_file_made_is_undone() {
    a_create_that_is_killed("create.placed").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_killed_once_seeded_is_undone() {
    a_create_that_is_killed("create.seeded").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_create_killed_once_active_is_done() {
    a_create_that_is_killed("create.activated").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delete_killed_once_recorded_is_finished() {
    a_delete_that_is_killed("delete.recorded").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delete_killed_with_its_files_gone_is_finished() {
    a_delete_that_is_killed("delete.removed").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delete_killed_once_forgotten_is_done() {
    a_delete_that_is_killed("delete.forgotten").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_killed_while_it_opens_a_shop_leaves_none() {
    let place = Place::elsewhere();
    let doomed = Server::start(&place, &[("TENANTRY_KILL_AT", "create.seeded")]);
    let central = doomed.central();
    let new = opening("x", PASSWORD);
    let answer = central
        .try_send("POST", "/api/shops", Payload::Json(new))
        .await;
    assert!(answer.is_err(), "{answer:?}");
    assert_eq!(doomed.wait(Duration::from_secs(5)).code(), None);

    let server = place.serve();
    is_gone(&server).await;
    is_free(&server).await;
}

/// The owner's token, of a tenant that has a product.
async fn with_a_product(server: &Arc<Server>) -> String {
    let place = server.place();
    place.run_with_input(&CREATE, PASSWORD).ok();
    until(A_SECOND, "the tenant is there", || async {
        server.tenant("x").get("/api/shop").await.status == 200
    })
    .await;
    let token = log_in(&server.tenant("x"), "owner@example.com", PASSWORD).await;
    let new = json!({ "name": "Anvil", "code": "ANVIL", "price": "9.90" });
    let owner = server.tenant("x").bearer(&token);
    owner.post("/api/products", new).await.is(201);
    token
}

/// Fails unless exactly these tenants are there, and no file of anybody else.
fn only_these(place: &Place, codes: &[&str]) {
    let listed = place.run(&["tenant", "list", "--json"]).ok().json();
    let listed = listed.as_array().unwrap();
    let found: Vec<_> = listed
        .iter()
        .map(|one| one["code"].as_str().unwrap())
        .collect();
    assert_eq!(found, codes);
    let left: Vec<_> = place
        .files_in("tenants")
        .into_iter()
        .filter(|file| {
            !listed
                .iter()
                .any(|one| file.contains(one["id"].as_str().unwrap()))
        })
        .collect();
    assert_eq!(left, [""; 0]);
    assert_eq!(place.files_in("snapshots"), [""; 0]);
    place.run(&["check", "--deep"]).ok();
}

#[tokio::test]
async fn a_clone_or_an_import_that_is_killed_leaves_nothing() {
    let server = Place::elsewhere().serve();
    let place = server.place();
    with_a_product(&server).await;
    let archive = place.path("x.archive");
    let archive = archive.to_str().unwrap();
    place.run(&["tenant", "export", "x", "--out", archive]).ok();
    let clone = ["tenant", "clone", "x", "y"];
    let import = ["tenant", "import", archive, "--code", "y"];
    let cloning = match on_files() {
        true => &["file.written", "clone.copied"][..],
        false => &["clone.copied"],
    };
    for (command, points) in [(&clone[..], cloning), (&import[..], &["import.loaded"])] {
        let points = ["create.recorded", "create.placed"].iter().chain(points);
        for point in points.chain(&["create.seeded"]) {
            place.run_until_killed(command, "", point).killed();
            only_these(place, &["x"]);
        }
        place.run(command).ok();
        only_these(place, &["x", "y"]);
        until(A_SECOND, "it is there", || async {
            server.tenant("y").get("/api/shop").await.status == 200
        })
        .await;
        let products = server.tenant("y").get("/api/products").await.each("code");
        assert_eq!(products, ["ANVIL"]);
        log_in(&server.tenant("y"), "owner@example.com", PASSWORD).await;
        place.run(&["tenant", "erase", "y", "--yes"]).ok();
    }
}

#[tokio::test]
async fn a_move_that_is_killed_is_undone_or_ended() {
    if on_files() {
        return; // there is no other place
    }
    let server = Place::elsewhere().serve();
    let place = server.place();
    let token = with_a_product(&server).await;
    let isolation =
        || place.run(&["tenant", "show", "x", "--json"]).ok().json()["isolation"].clone();
    let works = || async {
        until(A_SECOND, "it is there", || async {
            server.tenant("x").get("/api/shop").await.status == 200
        })
        .await;
        let owner = server.tenant("x").bearer(&token);
        let products = owner.get("/api/products").await.each("code");
        assert_eq!(products, ["ANVIL"]);
        work(&owner).await;
    };
    let first = isolation();
    for to in ["file", "rows", "schema", "database", "file"] {
        for point in ["move.recorded", "move.placed", "move.copied"] {
            if isolation() == to {
                continue;
            }
            let before = isolation();
            place.move_to("x", to, Some(point)).killed();
            // the next command that starts undoes it
            assert_eq!(isolation(), before, "{point}");
            works().await;
            only_these(place, &["x"]);
        }
        if isolation() != to {
            let point = if to == "rows" {
                "move.switched"
            } else {
                "move.removed"
            };
            place.move_to("x", to, Some(point)).killed();
            assert_eq!(isolation(), to, "{point}");
            works().await;
            only_these(place, &["x"]);
        }
    }
    let first = first.as_str().unwrap();
    place.move_to("x", first, None).ok();
    works().await;
    only_these(place, &["x"]);
}

#[tokio::test]
async fn a_soft_delete_that_is_killed_is_done() {
    let server = Place::elsewhere().serve();
    let place = server.place();
    with_a_product(&server).await;
    let delete = ["tenant", "delete", "x", "--yes"];
    place
        .run_until_killed(&delete, "", "delete.deleted")
        .killed();
    until(A_SECOND, "the tenant is gone", || async {
        server.tenant("x").get("/api/shop").await.status == 404
    })
    .await;
    place.run(&["tenant", "restore", "x"]).ok();
    until(A_SECOND, "the tenant is back", || async {
        server.tenant("x").get("/api/shop").await.status == 200
    })
    .await;
    is_whole(&server).await;
}

/// The locks that are left when a command died at that point and another one followed.
fn locks_after(point: &str) -> Vec<String> {
    let place = Place::elsewhere();
    if point.starts_with("create") {
        place.run_until_killed(&CREATE, PASSWORD, point).killed();
    } else {
        place.run_with_input(&CREATE, PASSWORD).ok();
        let delete = ["tenant", "erase", "x", "--yes"];
        place.run_until_killed(&delete, "", point).killed();
    }
    place.run(&["tenant", "list"]).ok();
    place.files_in("locks")
}

#[test]
fn no_lock_outlives_work_that_was_ended_by_another() {
    for point in [
        "create.recorded",
        "create.seeded",
        "delete.recorded",
        "delete.removed",
    ] {
        assert_eq!(locks_after(point), [""; 0], "after {point}");
    }
}

#[test]
fn no_lock_outlives_work_that_was_done() {
    for point in ["create.activated", "delete.forgotten"] {
        assert_eq!(locks_after(point), [""; 0], "after {point}");
    }
}

#[tokio::test]
async fn what_is_made_ahead_and_killed_leaves_nothing() {
    let server = Place::elsewhere().serve();
    let place = server.place();
    let fill = ["tenant", "pending", "--fill", "2"];
    let ready = || place.run(&["tenant", "pending", "--json"]).ok().json()["ready"].clone();
    for point in ["pending.recorded", "pending.placed"] {
        place.run_until_killed(&fill, "", point).killed();
        assert_eq!(ready(), 0, "{point}");
        place.run(&["check", "--deep"]).ok();
    }
    place.run(&fill).ok();
    assert_eq!(ready(), 2);
    // one that was taken by who died is nobody's, and the next is whole
    place
        .run_until_killed(&CREATE, PASSWORD, "pending.claimed")
        .killed();
    is_free_again(&server).await;
    assert_eq!(ready(), 0);
    place.run(&["tenant", "pending", "--fill", "1"]).ok();
    place.run(&["tenant", "pending", "--drop"]).ok();
    assert_eq!(ready(), 0);
    only_these(place, &["x"]);
}

async fn is_free_again(server: &Arc<Server>) {
    assert_eq!(status(server.place()), None);
    is_free(server).await;
}
