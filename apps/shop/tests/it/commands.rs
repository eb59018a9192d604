//! The command line as scripts use it: exit codes, data on stdout and all else on stderr.

mod serving;
mod tools;

use serde_json::{Value, json};

use crate::support::{PASSWORD, Place, Server, Setup, Shop, log_in, on_files};

const WITH_OWNER: [&str; 3] = [
    "--owner-email",
    "owner@example.com",
    "--owner-password-stdin",
];

fn place_with(codes: &[&str]) -> std::sync::Arc<Place> {
    let place = Place::new();
    create(&place, codes);
    place
}

fn create(place: &Place, codes: &[&str]) {
    for code in codes {
        place.run(&["tenant", "create", code, "--name", "X"]).ok();
    }
}

fn codes(place: &Place) -> Vec<String> {
    let listed = place.run(&["tenant", "list", "--json"]).ok().json();
    let code = |tenant: &Value| tenant["code"].as_str().unwrap().to_owned();
    listed.as_array().unwrap().iter().map(code).collect()
}

#[tokio::test]
async fn a_tenant_that_is_created_can_be_used_by_its_owner() {
    let place = Place::new();
    let create = [
        &["tenant", "create", "acme", "--name", "Acme Ltd"][..],
        &WITH_OWNER,
    ]
    .concat();
    let created = place.run_with_input(&create, &format!("{PASSWORD}\n")).ok();
    assert_eq!(created.stdout.trim(), "http://acme.localhost:8000");
    let server = place.serve();
    let owner = log_in(&server.tenant("acme"), "owner@example.com", PASSWORD).await;
    let me = server
        .tenant("acme")
        .bearer(&owner)
        .get("/api/auth/me")
        .await
        .is(200)
        .json();
    assert_eq!(me["role"], "owner");
    assert_eq!(
        server.host("acme").get("/api/shop").await.json()["name"],
        "Acme Ltd"
    );
}

#[test]
fn a_create_that_is_refused_makes_nothing() {
    let place = place_with(&["acme"]);
    let too_long = "a".repeat(64);
    let create = |code| ["tenant", "create", code, "--name", "X"];
    place.run(&create("acme")).refuses(4);
    for bad in ["Acme", "www", "x'; DROP", "a_b", &too_long] {
        place.run(&create(bad)).refuses(2);
    }
    place.run(&["tenant", "create", "new"]).refuses(2);
    place
        .run(&["tenant", "create", "new", "--name", ""])
        .refuses(2);
    for (email, password) in [
        ("nobody", PASSWORD),
        ("a@example.com", "short"),
        ("a@b.c", "\n"),
    ] {
        let owner = ["--owner-email", email, "--owner-password-stdin"];
        place
            .run_with_input(&[&create("new")[..], &owner].concat(), password)
            .refuses(2);
    }
    // without a terminal there is nobody to ask for a password
    let asks = [&create("new")[..], &WITH_OWNER[..2]].concat();
    let refused = place.run(&asks).refuses(2);
    assert!(
        refused.stderr.contains("--owner-password-stdin"),
        "{refused:?}"
    );
    assert_eq!(codes(&place), ["acme"]);
    if !on_files() {
        return;
    }
    assert_eq!(
        place
            .files_in("tenants")
            .iter()
            .filter(|file| file.ends_with(".db"))
            .count(),
        1
    );
}

#[test]
fn lists_are_for_people_or_for_programs() {
    let place = Place::new();
    for looking in [
        &["tenant", "list"][..],
        &["tenant", "list", "--json"],
        &["tenant", "show", "acme"],
        &["user", "list", "--tenant", "acme"],
    ] {
        let nothing = place.run(looking).refuses(1);
        assert!(nothing.stderr.contains("nothing in"), "{}", nothing.stderr);
    }
    place.run(&["migrate", "--all"]).ok();
    assert_eq!(place.run(&["tenant", "list"]).ok().stdout, "");
    assert_eq!(
        place.run(&["tenant", "list", "--json"]).ok().json(),
        json!([])
    );
    place
        .run(&["tenant", "create", "zoo", "--name", "Zoo"])
        .ok();
    place
        .run(&["tenant", "create", "acme", "--name", "Ac\u{1b}[31mme"])
        .ok();
    let people = place.run(&["tenant", "list"]).ok();
    assert!(
        people.stdout.find("acme") < people.stdout.find("zoo"),
        "{people:?}"
    );
    assert!(
        !people.stdout.contains('\u{1b}'),
        "a name speaks to the terminal: {people:?}"
    );

    let listed = place.run(&["tenant", "list", "--json"]).ok().json();
    let acme = &listed[0];
    let fields = [
        "code",
        "created_at",
        "id",
        "isolation",
        "name",
        "plan",
        "schema_version",
        "server",
        "status",
        "url",
    ];
    let mut found: Vec<_> = acme.as_object().unwrap().keys().collect();
    found.sort();
    assert_eq!(found, fields);
    assert_eq!(
        (&acme["code"], &acme["status"]),
        (&json!("acme"), &json!("active"))
    );
    assert_eq!(acme["url"], "http://acme.localhost:8000");

    let shown = place.run(&["tenant", "show", "acme", "--json"]).ok().json();
    for field in fields {
        assert_eq!(shown[field], acme[field], "{field}");
    }
    assert!(
        place
            .run(&["tenant", "show", "acme"])
            .ok()
            .stdout
            .contains("acme")
    );
}

#[test]
fn a_tenant_is_suspended_resumed_and_renamed() {
    let place = place_with(&["acme", "zoo"]);
    let status = || place.run(&["tenant", "show", "acme", "--json"]).ok().json()["status"].clone();
    for _ in 0..2 {
        place.run(&["tenant", "suspend", "acme"]).ok();
        assert_eq!(status(), "suspended");
    }
    for _ in 0..2 {
        place.run(&["tenant", "resume", "acme"]).ok();
        assert_eq!(status(), "active");
    }
    let files = place.files_in("tenants");
    place.run(&["tenant", "rename", "acme", "zoo"]).refuses(4);
    place.run(&["tenant", "rename", "acme", "WWW"]).refuses(2);
    let renamed = place.run(&["tenant", "rename", "acme", "bee"]).ok();
    assert_eq!(renamed.stdout.trim(), "http://bee.localhost:8000");
    assert_eq!(codes(&place), ["bee", "zoo"]);
    let databases = |files: Vec<String>| -> Vec<_> {
        files
            .into_iter()
            .filter(|file| file.ends_with(".db"))
            .collect()
    };
    assert_eq!(
        databases(place.files_in("tenants")),
        databases(files),
        "data moved"
    );
}

#[test]
fn nothing_is_deleted_without_a_yes() {
    let place = place_with(&["acme", "zoo"]);
    let refused = place.run(&["tenant", "delete", "acme"]).refuses(4);
    assert!(refused.stderr.contains("--yes"), "no hint: {refused:?}");
    // an answer that is piped in is none: there is no terminal
    place
        .run_with_input(&["tenant", "delete", "acme"], "acme\nyes\n")
        .refuses(4);
    assert_eq!(codes(&place), ["acme", "zoo"]);

    let id = place.run(&["tenant", "show", "acme", "--json"]).ok().json()["id"].clone();
    let deleted = place.run(&["tenant", "delete", "acme", "--yes"]).ok();
    assert_eq!(deleted.stdout, "");
    assert_eq!(codes(&place), ["zoo"]);
    // it can be brought back, and then be erased
    place.run(&["tenant", "restore", "nope"]).refuses(3);
    let listed = place.run(&["tenant", "list", "--deleted", "--json"]).ok();
    assert_eq!(listed.json()[0]["id"], id);
    let back = place.run(&["tenant", "restore", "acme"]).ok();
    assert_eq!(back.stdout.trim(), "http://acme.localhost:8000");
    assert_eq!(codes(&place), ["acme", "zoo"]);
    place.run(&["tenant", "delete", "acme", "--yes"]).ok();
    place.run(&["tenant", "erase", "acme"]).refuses(4);
    let due = place
        .run(&["tenant", "erase", "--due", "--yes"])
        .ok()
        .json();
    assert_eq!(due, json!([]), "its grace has not ended");
    let erased = place.run(&["tenant", "erase", "acme", "--yes"]).ok().json();
    assert_eq!(
        (&erased[0]["tenant"], &erased[0]["code"]),
        (&id, &json!("acme"))
    );
    assert_eq!(erased[0]["removed"]["rows"]["users"], 0);
    assert!(erased[0]["finished_at"].is_string(), "{erased}");
    place.run(&["tenant", "restore", "acme"]).refuses(3);
    place
        .run(&["tenant", "delete", "zoo", "--grace-days", "0", "--yes"])
        .ok();
    let due = place
        .run(&["tenant", "erase", "--due", "--yes"])
        .ok()
        .json();
    assert_eq!(due[0]["code"], "zoo");
    let left = place
        .files_in("")
        .into_iter()
        .filter(|file| file.contains(id.as_str().unwrap()));
    assert_eq!(left.count(), 0);
}

#[test]
fn what_is_about_no_tenant_is_3() {
    let place = place_with(&["acme"]);
    for command in [
        &["tenant", "show", "nope"][..],
        &["tenant", "show", "nope", "--json"],
        &["tenant", "suspend", "nope"],
        &["tenant", "resume", "nope"],
        &["tenant", "rename", "nope", "other"],
        &["tenant", "delete", "nope", "--yes"],
        &["user", "list", "--tenant", "nope"],
        &[
            "user",
            "create",
            "a@example.com",
            "--tenant",
            "nope",
            "--role",
            "staff",
            "--password-stdin",
        ],
        &[
            "user",
            "password",
            "a@example.com",
            "--tenant",
            "nope",
            "--password-stdin",
        ],
        &["migrate", "--tenant", "nope"],
        &["migrate", "--tenant", "no*", "--plan"],
    ] {
        let refused = place.run_with_input(command, "long enough\n").refuses(3);
        assert!(refused.stderr.contains("no"), "{refused:?}");
    }
}

#[test]
fn wrong_usage_is_2_and_help_is_0() {
    let place = Place::new();
    for command in [
        &["nonsense"][..],
        &["tenant"],
        &["tenant", "nonsense"],
        &["tenant", "list", "--nonsense"],
        &["tenant", "show"],
        &["tenant", "show", "NOT A CODE"],
        &["tenant", "show", "../../etc/passwd"],
        &["user", "list"],
        &[
            "user",
            "create",
            "a@example.com",
            "--tenant",
            "acme",
            "--role",
            "king",
        ],
        &["migrate", "--plan", "--status"],
        &["migrate", "--all", "--tenant", "a"],
        &["migrate", "--parallel", "0"],
        &["tenant", "list", "--profile", "party"],
        &["tenant", "list", "--host", "not a host"],
        &["tenant", "list", "--isolation", "none"],
        &["serve", "--addr", "127.0.0.1:99999"],
    ] {
        place.run(command).refuses(2);
    }
    for command in [
        &["--help"][..],
        &["tenant", "--help"],
        &["tenant", "create", "--help"],
    ] {
        let help = place.run(command).ok();
        assert!(help.stdout.contains("Usage"), "{help:?}");
        assert_eq!(help.stderr, "");
    }
    assert!(place.run(&["--version"]).ok().stdout.starts_with("shop "));
    assert!(!place.data().exists(), "nothing of that makes a place");
}

#[tokio::test]
async fn users_are_made_and_listed_and_given_passwords() {
    let place = place_with(&["acme"]);
    let of = ["--tenant", "acme", "--password-stdin"];
    let create = |email, role| [&["user", "create", email, "--role", role][..], &of].concat();
    let made = place
        .run_with_input(&create("Ann@Example.com", "owner"), "her password\n")
        .ok();
    let id: uuid::Uuid = made.stdout.trim().parse().unwrap();
    place
        .run_with_input(&create("bob@example.com", "staff"), "his password")
        .ok();
    place
        .run_with_input(&create("ann@example.com", "staff"), "her password")
        .refuses(1);
    place
        .run_with_input(&create("nobody", "staff"), "long enough")
        .refuses(2);
    place
        .run_with_input(&create("c@example.com", "staff"), "short")
        .refuses(2);
    place.run(&create("c@example.com", "staff")[..7]).refuses(2);

    let listed = place
        .run(&["user", "list", "--tenant", "acme", "--json"])
        .ok()
        .json();
    assert_eq!(listed[0]["id"], json!(id));
    assert_eq!(listed[0]["email"], "ann@example.com");
    assert_eq!(
        (&listed[0]["role"], &listed[1]["role"]),
        (&json!("owner"), &json!("staff"))
    );
    let people = place.run(&["user", "list", "--tenant", "acme"]).ok().stdout;
    assert!(people.contains("ann@example.com") && people.contains("bob@example.com"));
    assert!(!(people + &listed.to_string()).contains("argon2"));

    let set = |email| [&["user", "password", email][..], &of].concat();
    place
        .run_with_input(&set("ANN@example.com"), "another password")
        .ok();
    place
        .run_with_input(&set("nobody@example.com"), "another password")
        .refuses(1);
    place
        .run_with_input(&set("ann@example.com"), "short")
        .refuses(2);
    let server = place.serve();
    log_in(
        &server.tenant("acme"),
        "ann@example.com",
        "another password",
    )
    .await;
    log_in(&server.tenant("acme"), "bob@example.com", "his password").await;
}

#[test]
fn what_is_up_to_date_has_nothing_to_migrate() {
    let place = place_with(&["acme", "zoo"]);
    for command in [
        &["migrate"][..],
        &["migrate", "--all"],
        &["migrate", "--tenant", "a*"],
    ] {
        place.run(command).ok();
    }
    for survey in ["--plan", "--status"] {
        place.run(&["migrate", survey]).ok();
        assert!(
            place
                .run(&["migrate", survey, "--json"])
                .ok()
                .json()
                .is_object()
        );
    }
    let status = place.run(&["migrate", "--status", "--json"]).ok().json();
    let tenants = status["tenants"].as_array().unwrap();
    assert_eq!(tenants.len(), 2);
    assert!(
        tenants.iter().all(|tenant| tenant["pending"] == json!([])),
        "{status}"
    );
}

#[test]
fn when_some_tenants_fail_it_is_5_and_each_is_named() {
    if !on_files() {
        return; // it is by breaking a file that one is made to fail
    }
    let place = place_with(&["acme", "broken", "zoo"]);
    let shown = place
        .run(&["tenant", "show", "broken", "--json"])
        .ok()
        .json();
    let location = shown["location"].as_str().unwrap();
    std::fs::write(location, "this is no database, whatever it is".repeat(1000)).unwrap();
    let partly = place
        .run(&["migrate", "--tenant", "*", "--keep-going"])
        .exits(5);
    assert!(partly.stderr.contains("broken"), "{partly:?}");
    assert!(!partly.stderr.contains("zoo"), "{partly:?}");

    // it is kept who failed, and only those are tried again
    let status = place.run(&["migrate", "--status", "--failed", "--json"]);
    let status = status.exits(5).json();
    assert_eq!(status["tenants"].as_array().unwrap().len(), 1, "{status}");
    assert_eq!(status["tenants"][0]["code"], "broken");
    assert!(
        status["tenants"][0]["failed"]["error"].is_string(),
        "{status}"
    );
    place.run(&["migrate", "--failed"]).exits(5);
    place
        .run(&["migrate", "--tenant", "*", "--exclude", "bro*"])
        .ok();
    let canary = [
        "migrate",
        "--tenant",
        "*",
        "--canary",
        "2",
        "--keep-going",
        "--json",
    ];
    let report = place.run(&canary).exits(5).json();
    assert_eq!(report["left"], 1, "{report}");

    let check = place.run(&["check"]).exits(4);
    assert!(check.stdout.contains("broken"), "{check:?}");
    let report = place.run(&["check", "--json"]).exits(4).json();
    assert_eq!(report["ok"], false);
    place.run(&["tenant", "delete", "broken", "--yes"]).ok();
    let report = place.run(&["check", "--json"]).ok().json();
    assert_eq!(report["ok"], true);
}

#[tokio::test]
async fn a_tenant_whose_file_is_lost_is_told_and_does_not_hurt_the_others() {
    if !on_files() {
        return;
    }
    let place = Place::new();
    let server = place.serve();
    let (lost, other) = (Shop::open(&server).await, Shop::open(&server).await);
    drop(server);
    // one that works on jobs would have the file open already
    let server = Server::start(&place, &[("SHOP_WORKERS", "0")]);
    let shown = place
        .run(&["tenant", "show", &lost.code, "--json"])
        .ok()
        .json();
    std::fs::remove_file(shown["location"].as_str().unwrap()).unwrap();
    let check = place.run(&["check"]).exits(4);
    assert!(check.stdout.contains(&lost.code), "{check:?}");
    server
        .tenant(&lost.code)
        .get("/api/products")
        .await
        .problem(503, "unavailable");
    server
        .tenant(&other.code)
        .get("/api/products")
        .await
        .is(200);
    place.run(&["tenant", "delete", &lost.code, "--yes"]).ok();
    place.run(&["check"]).ok();
}
