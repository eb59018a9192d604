//! Backups, taken and restored by hand.

use std::{fs, path::Path, process::Command, sync::Arc};

use serde_json::json;

use crate::support::{
    A_SECOND, PASSWORD, Place, Server, log_in, on_databases, on_files, png, until,
};

fn create(place: &Place, code: &str) {
    let create = [
        "tenant",
        "create",
        code,
        "--name",
        "A shop",
        "--owner-email",
        "owner@example.com",
        "--owner-password-stdin",
    ];
    place.run_with_input(&create, PASSWORD).ok();
}

/// The token of the owner of a shop that has a product of that code.
async fn with_a_product(server: &Arc<Server>, shop: &str, product: &str) -> String {
    create(server.place(), shop);
    until(A_SECOND, "it is there", || async {
        server.tenant(shop).get("/api/shop").await.status == 200
    })
    .await;
    let token = log_in(&server.tenant(shop), "owner@example.com", PASSWORD).await;
    let new = json!({ "name": product, "code": product, "price": "9.90" });
    let owner = server.tenant(shop).bearer(&token);
    owner.post("/api/products", new).await.is(201);
    token
}

async fn products(server: &Arc<Server>, shop: &str) -> Vec<String> {
    until(A_SECOND, "it is there", || async {
        server.tenant(shop).get("/api/products").await.status == 200
    })
    .await;
    let products = server.tenant(shop).get("/api/products").await;
    products.each("code")
}

fn list(place: &Place) -> Vec<(String, String, String)> {
    let listed = place.run(&["tenant", "list", "--json"]).ok().json();
    let word = |one: &serde_json::Value, key: &str| one[key].as_str().unwrap().to_owned();
    let listed = listed.as_array().unwrap().iter();
    listed
        .map(|one| (word(one, "id"), word(one, "code"), word(one, "status")))
        .collect()
}

fn no_orphans(place: &Place) {
    let deleted = place
        .run(&["tenant", "list", "--deleted", "--json"])
        .ok()
        .json();
    let deleted = deleted.as_array().unwrap().iter();
    let ids: Vec<String> = deleted
        .map(|one| one["id"].as_str().unwrap().to_owned())
        .chain(list(place).into_iter().map(|(id, _, _)| id))
        .collect();
    let left: Vec<_> = place
        .files_in("tenants")
        .into_iter()
        .filter(|file| !ids.iter().any(|id| file.contains(id)))
        .collect();
    assert_eq!(left, [""; 0]);
    for folder in ["snapshots", "locks"] {
        assert_eq!(place.files_in(folder), [""; 0]);
    }
    // databases are on a server that other tests' deployments have theirs on
    if !on_databases() {
        place.run(&["check", "--deep"]).ok();
    }
}

/// A deployment of three shops, one stopped and one deleted, and a backup of it.
struct Backed {
    server: Arc<Server>,
    folder: String,
    token: String,
}

impl Backed {
    async fn up() -> Self {
        let server = Place::new().serve();
        let token = with_a_product(&server, "acme", "ANVIL").await;
        let owner = server.tenant("acme").bearer(&token);
        let theme = json!({ "layout": "In a theme: {{ content }}" });
        owner.put("/api/theme", theme).await.is(200);
        let logo = owner.raw("PUT", "/api/theme/logo", "image/png", png(3, 2));
        logo.await.is(200);
        with_a_product(&server, "globex", "GIZMO").await;
        with_a_product(&server, "gone", "GHOST").await;
        let place = server.place();
        place.run(&["tenant", "suspend", "globex"]).ok();
        place.run(&["tenant", "delete", "gone", "--yes"]).ok();
        let operator = [
            "console",
            "user",
            "create",
            "op@example.com",
            "--role",
            "admin",
        ];
        place
            .run_with_input(
                &[&operator[..], &["--name=Op", "--password-stdin"]].concat(),
                PASSWORD,
            )
            .ok();
        let folder = place.path("backup").to_str().unwrap().to_owned();
        let taken = place.run(&["backup", "--out", &folder]).ok();
        assert_eq!(taken.stdout.trim(), folder);
        Self {
            server,
            folder,
            token,
        }
    }

    fn place(&self) -> &Arc<Place> {
        self.server.place()
    }

    /// Fails unless the whole is there as it was.
    async fn is_whole_in(&self, there: &Arc<Place>) {
        assert_eq!(list(there), list(self.place()));
        let operators = there.run(&["console", "user", "list"]).ok().stdout;
        assert!(operators.contains("op@example.com"), "{operators}");
        no_orphans(there);
        let server = there.serve();
        assert_eq!(products(&server, "acme").await, ["ANVIL"]);
        let page = server.host("acme").browser().get("/").await.page(200);
        assert!(page.contains("In a theme: "), "{page}");
        server.tenant("acme").get("/theme/logo").await.is(200);
        // who was signed in is so again
        let owner = server.tenant("acme").bearer(&self.token);
        owner.get("/api/auth/me").await.is(200);
        server
            .tenant("globex")
            .get("/api/shop")
            .await
            .problem(503, "tenant-suspended");
        there.run(&["tenant", "restore", "gone"]).ok();
        assert_eq!(products(&server, "gone").await, ["GHOST"]);
    }
}

#[tokio::test]
async fn the_whole_is_restored_into_an_empty_place() {
    let backed = Backed::up().await;
    // what comes later is not in it
    with_a_product(&backed.server, "later", "LATER").await;
    backed
        .place()
        .run(&["tenant", "erase", "later", "--yes"])
        .ok();
    let there = Place::elsewhere();
    let told = there.run(&["restore", &backed.folder]).ok();
    assert!(told.stderr.contains("3 tenants"), "{told:?}");
    backed.is_whole_in(&there).await;
    // and never over anything
    there.run(&["restore", &backed.folder]).refuses(4);
    backed.place().run(&["restore", &backed.folder]).refuses(4);
    assert_eq!(products(&backed.server, "acme").await, ["ANVIL"]);
}

#[tokio::test]
async fn one_tenant_is_restored_beside_itself_or_as_itself() {
    let backed = Backed::up().await;
    let (place, folder) = (backed.place(), backed.folder.as_str());
    let restore = ["restore", folder, "--tenant", "acme"];
    place.run(&restore).refuses(4);
    place
        .run(&["restore", folder, "--tenant", "nope"])
        .refuses(3);
    let owner = backed.server.tenant("acme").bearer(&backed.token);
    let new = json!({ "name": "Brick", "code": "BRICK", "price": "1.00" });
    owner.post("/api/products", new).await.is(201);

    let beside = [&restore[..], &["--as", "acme-before"]].concat();
    place.run(&beside).ok();
    assert_eq!(products(&backed.server, "acme-before").await, ["ANVIL"]);
    assert_eq!(products(&backed.server, "acme").await.len(), 2);
    // a token of the one is none of the other's, and its people can sign in anew
    let theirs = backed.server.tenant("acme-before").bearer(&backed.token);
    theirs
        .get("/api/auth/me")
        .await
        .problem(401, "invalid-token");
    owner.get("/api/auth/me").await.is(200);
    log_in(
        &backed.server.tenant("acme-before"),
        "owner@example.com",
        PASSWORD,
    )
    .await;

    // what was erased does not come back as if it had not been
    let id = list(place)
        .into_iter()
        .find(|(_, code, _)| code == "acme")
        .unwrap()
        .0;
    place.run(&["tenant", "erase", "acme", "--yes"]).ok();
    place.run(&restore).ok();
    let again = list(place)
        .into_iter()
        .find(|(_, code, _)| code == "acme")
        .unwrap()
        .0;
    assert_ne!(again, id);
    assert_eq!(products(&backed.server, "acme").await, ["ANVIL"]);
    no_orphans(place);

    // elsewhere it is what it was
    let one = place.path("one").to_str().unwrap().to_owned();
    place
        .run(&["backup", "--tenant", "acme-before", "--out", &one])
        .ok();
    let there = Place::elsewhere();
    there.run(&["migrate", "--all"]).ok();
    there.run(&["restore", &one]).refuses(1);
    there
        .run(&["restore", &one, "--tenant", "acme-before"])
        .ok();
    let ids = |place: &Place| {
        let found = list(place)
            .into_iter()
            .find(|(_, code, _)| code == "acme-before");
        found.unwrap().0
    };
    assert_eq!(ids(&there), ids(place));
    no_orphans(&there);
}

#[tokio::test]
async fn what_is_damaged_is_not_touched() {
    let backed = Backed::up().await;
    let folder = Path::new(&backed.folder);
    backed
        .place()
        .run(&["restore", "--verify", &backed.folder])
        .ok();
    let mut files: Vec<_> = ["manifest.json", "catalog.archive", "central.archive"]
        .map(|name| folder.join(name))
        .into();
    files.extend(
        fs::read_dir(folder.join("tenants"))
            .unwrap()
            .map(|one| one.unwrap().path()),
    );
    assert_eq!(files.len(), 6);
    for file in files {
        let good = fs::read(&file).unwrap();
        let mut bad = good.clone();
        let at = bad.len() / 2;
        bad[at] ^= 1;
        fs::write(&file, bad).unwrap();
        let there = Place::elsewhere();
        there.run(&["restore", &backed.folder]).refuses(1);
        assert_eq!(list(&there), []);
        assert_eq!(there.files_in("tenants"), [""; 0]);
        backed
            .place()
            .run(&["restore", "--verify", &backed.folder])
            .refuses(1);
        fs::remove_file(&file).unwrap();
        there.run(&["restore", &backed.folder]).refuses(1);
        assert_eq!(list(&there), []);
        fs::write(&file, good).unwrap();
    }
    let there = Place::elsewhere();
    there.run(&["restore", &backed.folder]).ok();
    let nothing = there.path("nothing");
    there
        .run(&["restore", nothing.to_str().unwrap()])
        .refuses(1);
}

#[tokio::test]
async fn a_tenant_that_cannot_be_read_is_named_and_the_others_are_in_it() {
    if !on_files() {
        return; // there is no file to break
    }
    let place = Place::new();
    for code in ["one", "two", "three"] {
        create(&place, code);
    }
    let broken = list(&place)
        .into_iter()
        .find(|(_, code, _)| code == "two")
        .unwrap()
        .0;
    let file = place
        .files_in("tenants")
        .into_iter()
        .find(|file| file.contains(&broken))
        .unwrap();
    fs::write(place.data().join("tenants").join(file), "no database").unwrap();
    let folder = place.path("backup");
    let taken = place
        .run(&["backup", "--out", folder.to_str().unwrap()])
        .exits(5);
    assert!(taken.stderr.contains("two: "), "{taken:?}");
    let there = Place::elsewhere();
    there.run(&["restore", folder.to_str().unwrap()]).ok();
    let codes: Vec<String> = list(&there).into_iter().map(|(_, code, _)| code).collect();
    assert_eq!(codes, ["one", "three"]);
}

/// Runs it where no file can become larger than that, as on a disk that is full.
fn with_little_room(place: &Place, arguments: &[&str], kib: u32) -> std::process::Output {
    let command = place.command(arguments);
    let mut little = Command::new("bash");
    little
        .args([
            "-c",
            &format!("trap '' XFSZ; ulimit -f {kib}; exec \"$0\" \"$@\""),
        ])
        .arg(command.get_program())
        .args(command.get_args());
    if let Some(folder) = command.get_current_dir() {
        little.current_dir(folder);
    }
    little.output().unwrap()
}

#[tokio::test]
async fn a_full_disk_leaves_no_backup_and_no_tenant() {
    let backed = Backed::up().await;
    let place = backed.place();
    let again = place.path("again");
    let arguments = ["backup", "--out", again.to_str().unwrap()];
    let full = with_little_room(place, &arguments, 1);
    assert_eq!(full.status.code(), Some(1), "{full:?}");
    assert!(!again.exists());
    place.run(&arguments).ok();
    if on_files() {
        // room for the catalog's log, and not for a shop's file
        let there = Place::elsewhere();
        there.run(&["migrate", "--all"]).ok();
        let full = with_little_room(&there, &["restore", &backed.folder], 100);
        assert_eq!(full.status.code(), Some(1), "{full:?}");
        assert_eq!(list(&there), []);
        there.run(&["restore", &backed.folder]).ok();
        backed.is_whole_in(&there).await;
    }
}

/// Where databases are named by tenants, a deployment beside has its own under the same names.
#[tokio::test]
async fn what_another_deployment_has_is_left_alone() {
    if !on_databases() {
        return; // nothing of theirs is on the server by a tenant's name alone
    }
    let backed = Backed::up().await;
    let again = backed.place().path("again");
    let again = again.to_str().unwrap();
    backed.place().run(&["backup", "--out", again]).ok();
    let beside = Place::new();
    beside.run(&["restore", again]).refuses(4);
    drop(beside.serve());
    // each is there, and up to date
    backed.place().run(&["check"]).ok();
    let there = Place::elsewhere();
    there.run(&["restore", again]).ok();
    backed.is_whole_in(&there).await;
}

#[cfg(debug_assertions)]
#[tokio::test]
async fn a_backup_that_is_killed_is_none_and_can_be_taken_again() {
    let backed = Backed::up().await;
    let place = backed.place();
    let again = place.path("again");
    let arguments = ["backup", "--out", again.to_str().unwrap()];
    for point in [
        "backup.begun",
        "backup.central",
        "backup.tenant",
        "backup.manifest",
    ] {
        place.run_until_killed(&arguments, "", point).killed();
        assert!(!again.exists(), "{point}");
        no_orphans(place);
    }
    place
        .run_until_killed(&arguments, "", "backup.renamed")
        .killed();
    place
        .run(&["restore", "--verify", again.to_str().unwrap()])
        .ok();
    place.run(&arguments).refuses(4);
    assert!(!place.path("again.part").exists());
    let there = Place::elsewhere();
    there.run(&["restore", again.to_str().unwrap()]).ok();
    backed.is_whole_in(&there).await;
}

#[cfg(debug_assertions)]
#[tokio::test]
async fn a_restore_that_is_killed_is_gone_on_with() {
    let backed = Backed::up().await;
    let there = Place::elsewhere();
    let arguments = ["restore", &backed.folder];
    let placed = if on_files() {
        "file.written"
    } else {
        "restore.placed"
    };
    let mut before = 0;
    for point in [
        "restore.begun",
        "restore.recorded",
        placed,
        "restore.loaded",
        "restore.tenant",
        "restore.central",
    ] {
        there.run_until_killed(&arguments, "", point).killed();
        // nobody is served by half of it, and it is told
        let listed = list(&there);
        assert!(
            listed.iter().all(|(_, _, status)| status == "suspended"),
            "{point}: {listed:?}"
        );
        assert!(listed.len() >= before, "{point}: what was restored stays");
        before = listed.len();
        let told = there.run(&["check"]).exits(4);
        assert!(told.stdout.contains("restore"), "{told:?}");
    }
    there.run(&arguments).ok();
    backed.is_whole_in(&there).await;

    let there = Place::elsewhere();
    there
        .run_until_killed(&arguments, "", "restore.done")
        .killed();
    backed.is_whole_in(&there).await;

    // of one tenant nothing is left
    let place = backed.place();
    let beside = [
        "restore",
        &backed.folder,
        "--tenant",
        "acme",
        "--as",
        "beside",
    ];
    let known = list(place);
    for point in ["restore.recorded", placed, "restore.loaded"] {
        place.run_until_killed(&beside, "", point).killed();
        assert_eq!(list(place), known, "{point}");
        no_orphans(place);
    }
    place.run(&beside).ok();
    assert_eq!(list(place).len(), known.len() + 1);
}
