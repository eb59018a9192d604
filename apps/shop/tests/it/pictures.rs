//! Pictures of products: uploaded, shown, and gone with what they are of.

use std::{io::Write, net::TcpStream, sync::Arc};

use serde_json::{Value, json};

use crate::support::{
    A_SECOND, Answer, Client, Place, Server, Shop, form_with_picture, jpeg, log_in, png, shared,
    text, unique, until,
};

/// A product of the shop's, by its path in the API.
async fn stocked(shop: &Shop) -> String {
    let product = shop.stock("Spade", &unique("S"), "1").await;
    format!("/api/products/{}", text(&product["id"]))
}

async fn upload(client: &Client, product: &str, picture: Vec<u8>) -> Answer {
    let path = format!("{product}/picture");
    client.raw("PUT", &path, "text/html", picture).await
}

/// What a shop has in files, unfinished or not.
fn files_of(shop: &Shop) -> Vec<String> {
    shop.server()
        .place()
        .files_in(&format!("files/{}", shop.id))
}

#[tokio::test]
async fn a_picture_is_uploaded_shown_replaced_and_removed() {
    let shop = Shop::shared().await;
    let path = stocked(&shop).await;
    let before = shop.visitor().get(&path).await.is(200).json();
    assert!(before.get("picture").is_none());
    for part in ["picture", "thumbnail"] {
        let none = shop.visitor().get(&format!("{path}/{part}")).await;
        none.problem(404, "not-found");
    }
    let staff = shop.as_user(&shop.hire("staff").await);
    let first = jpeg(1000, 500);
    let shown = upload(&staff, &path, first.clone()).await.is(200).json();
    let version = text(&shown["picture"]);
    assert_eq!(
        shop.visitor().get(&path).await.json()["picture"],
        shown["picture"]
    );

    // the type is what it is, and not what was said
    let whole = shop.visitor().get(&format!("{path}/picture")).await.is(200);
    assert_eq!(
        (whole.header("content-type"), &whole.body),
        (Some("image/jpeg"), &first)
    );
    assert_eq!(whole.header("x-content-type-options"), Some("nosniff"));
    let small = shop
        .visitor()
        .get(&format!("{path}/thumbnail"))
        .await
        .is(200);
    let small = image::load_from_memory(&small.body).unwrap();
    assert_eq!((small.width(), small.height()), (480, 240));

    // a part, and nothing for whoever has it
    let part = shop.visitor().with("range", "bytes=10-19");
    let part = part.get(&format!("{path}/picture")).await.is(206);
    assert_eq!(part.body, first[10..20]);
    let range = format!("bytes 10-19/{}", first.len());
    assert_eq!(part.header("content-range"), Some(range.as_str()));
    let known = shop
        .visitor()
        .with("if-none-match", whole.header("etag").unwrap());
    let answer = known.get(&format!("{path}/picture")).await.is(304);
    assert!(answer.body.is_empty());
    assert_eq!(answer.header("etag"), whole.header("etag"));

    // on the storefront
    let page = shop.by_host().browser().get("/").await.page(200);
    let source = format!("{path}/thumbnail?v={version}");
    assert!(page.contains(&format!("<img src=\"{source}\"")), "{page}");
    shop.by_host().browser().get(&source).await.is(200);

    // another takes its place, and nothing of the first is left
    let second = png(20, 30);
    let shown = upload(&staff, &path, second.clone()).await.is(200).json();
    assert_ne!(text(&shown["picture"]), version);
    let answer = known.get(&format!("{path}/picture")).await.is(200);
    assert_eq!(
        (answer.header("content-type"), &answer.body),
        (Some("image/png"), &second)
    );
    assert_eq!(files_of(&shop).len(), 2, "{:?}", files_of(&shop));
    let removed = staff
        .delete(&format!("{path}/picture"))
        .await
        .is(200)
        .json();
    assert_eq!(removed, before);
    shop.visitor()
        .get(&format!("{path}/picture"))
        .await
        .problem(404, "not-found");
    assert_eq!(files_of(&shop), [""; 0]);

    // it goes with its product
    upload(&staff, &path, second).await.is(200);
    staff.delete(&path).await.is(204);
    shop.visitor()
        .get(&format!("{path}/picture"))
        .await
        .problem(404, "not-found");
    assert_eq!(files_of(&shop), [""; 0]);
}

#[tokio::test]
async fn where_a_picture_was_taken_is_told_to_nobody() {
    let shop = Shop::shared().await;
    let path = stocked(&shop).await;
    let plain = jpeg(40, 20);
    let said =
        b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0 at home";
    let length = u16::try_from(said.len() + 2).unwrap().to_be_bytes();
    let picture = [&plain[..2], &[0xff, 0xe1], &length, said, &plain[2..]].concat();
    upload(&shop.as_owner(), &path, picture).await.is(200);
    let whole = shop.visitor().get(&format!("{path}/picture")).await.is(200);
    assert!(!whole.text().contains("at home"));
    let small = shop.visitor().get(&format!("{path}/thumbnail")).await;
    // it still is turned
    let small = image::load_from_memory(&small.is(200).body).unwrap();
    assert_eq!((small.width(), small.height()), (20, 40));
    let folder = shop.server().place().data().join("files").join(&shop.id);
    for file in files_of(&shop) {
        let kept = std::fs::read(folder.join(&file)).unwrap();
        assert!(!kept.windows(7).any(|some| some == b"at home"), "{file}");
    }
}

#[tokio::test]
async fn visitors_look_at_pictures_and_change_none() {
    let shop = Shop::shared().await;
    let path = stocked(&shop).await;
    upload(&shop.as_owner(), &path, png(2, 2)).await.is(200);
    let kept = shop.visitor().get(&path).await.json();
    let refused = upload(&shop.visitor(), &path, png(3, 3)).await;
    refused.problem(401, "authentication-required");
    let refused = shop.visitor().delete(&format!("{path}/picture")).await;
    refused.problem(401, "authentication-required");
    // a key for something else
    let new = json!({ "name": "reader", "scopes": ["users:read"] });
    let key = shop.as_owner().post("/api/keys", new).await.is(201).json();
    let key = shop.visitor().bearer(&text(&key["secret"]));
    upload(&key, &path, png(3, 3))
        .await
        .problem(403, "forbidden");
    assert_eq!(shop.visitor().get(&path).await.json(), kept);
}

#[tokio::test]
async fn what_is_no_picture_is_refused_and_leaves_nothing() {
    let shop = Shop::shared().await;
    let path = stocked(&shop).await;
    let owner = shop.as_owner();
    let mut broken = png(200, 200);
    broken.truncate(300);
    let script = b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>";
    for (what, bytes) in [
        ("nothing", Vec::new()),
        ("words", b"words".to_vec()),
        ("a page", b"<!DOCTYPE html><script>1</script>".to_vec()),
        ("a drawing with a script", script.to_vec()),
        ("half a picture", broken),
        ("too wide", png(12_001, 1)),
    ] {
        let refused = upload(&owner, &path, bytes).await;
        assert_eq!(refused.status, 422, "{what}: {}", refused.text());
        refused.invalid(&["picture"]);
    }
    let large = upload(&owner, &path, vec![0; (10 << 20) + 1]).await;
    large.problem(413, "payload-too-large");
    until(A_SECOND, "nothing is left", || async {
        files_of(&shop).is_empty()
    })
    .await;
    assert!(
        shop.visitor()
            .get(&path)
            .await
            .json()
            .get("picture")
            .is_none()
    );
}

#[tokio::test]
async fn a_picture_is_chosen_in_a_form() {
    let shop = Shop::shared().await;
    let api = stocked(&shop).await;
    let page = api.trim_start_matches("/api").to_owned();
    let browser = shop.owners_browser().await;
    let form = browser.get(&format!("{page}/edit")).await.page(200);
    assert!(form.contains("enctype=\"multipart/form-data\""), "{form}");
    assert!(!form.contains("<img"), "{form}");
    let post = format!("{page}/picture");
    let sent = browser
        .send("POST", &post, form_with_picture(&png(4, 4)))
        .await;
    sent.redirects_to("/");
    let shown = shop.visitor().get(&format!("{api}/picture")).await.is(200);
    assert_eq!(shown.body, png(4, 4));
    let form = browser.get(&format!("{page}/edit")).await.page(200);
    assert!(
        form.contains("<img") && form.contains("Replace picture"),
        "{form}"
    );
    // what is wrong stands beside the field
    let wrong = browser
        .send("POST", &post, form_with_picture(b"words"))
        .await;
    let wrong = wrong.page(422);
    assert!(
        wrong.contains("must be a picture") && wrong.contains("Spade"),
        "{wrong}"
    );
    let large = browser
        .send("POST", &post, form_with_picture(&vec![0; 11 << 20]))
        .await;
    assert!(large.page(413).contains("has more than 10 MiB"));
    let none = b"--line\r\nContent-Disposition: form-data; name=\"picture\"; filename=\"\"\r\n\r\n\r\n--line--\r\n";
    let none = browser
        .raw("POST", &post, "multipart/form-data; boundary=line", *none)
        .await;
    assert!(none.page(422).contains("choose a file first"));
    let cut = browser
        .raw("POST", &post, "multipart/form-data; boundary=line", "--li")
        .await;
    cut.page(400);
    assert_eq!(
        shop.visitor().get(&format!("{api}/picture")).await.body,
        png(4, 4)
    );
    browser
        .form(&format!("{post}/delete"), &[])
        .await
        .redirects_to(&format!("{page}/edit"));
    shop.visitor()
        .get(&format!("{api}/picture"))
        .await
        .problem(404, "not-found");
    assert_eq!(files_of(&shop), [""; 0]);
}

/// Begins an upload, byte by byte, and does not end it.
fn begin(shop: &Shop, path: &str, length: usize) -> TcpStream {
    let mut stream = TcpStream::connect(shop.server().addr()).unwrap();
    let head = format!(
        "PUT {path}/picture HTTP/1.1\r\nHost: localhost\r\nTenant-Code: {}\r\n\
         Authorization: Bearer {}\r\nContent-Length: {length}\r\n\r\n",
        shop.code, shop.owner.token
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(&vec![1; length / 2]).unwrap();
    stream
}

#[tokio::test]
async fn an_upload_that_is_cancelled_leaves_nothing() {
    let shop = Shop::shared().await;
    let path = stocked(&shop).await;
    upload(&shop.as_owner(), &path, png(2, 2)).await.is(200);
    let before = files_of(&shop);
    let cancelled = begin(&shop, &path, 8 << 20);
    until(A_SECOND, "it is under way", || async {
        files_of(&shop).len() > before.len()
    })
    .await;
    drop(cancelled);
    until(A_SECOND, "nothing is left of it", || async {
        files_of(&shop) == before
    })
    .await;
    let kept = shop.visitor().get(&format!("{path}/picture")).await.is(200);
    assert_eq!(kept.body, png(2, 2));
}

#[tokio::test]
async fn an_upload_of_a_server_that_is_killed_is_seen_by_nobody() {
    let server = Place::new().serve();
    let shop = Shop::open(&server).await;
    let path = stocked(&shop).await;
    upload(&shop.as_owner(), &path, png(2, 2)).await.is(200);
    let before = files_of(&shop).len();
    let begun = begin(&shop, &path, 8 << 20);
    until(A_SECOND, "it is under way", || async {
        files_of(&shop).len() > before
    })
    .await;
    server.kill();
    drop(begun);
    let again = server.place().serve();
    let kept = again
        .tenant(&shop.code)
        .get(&format!("{path}/picture"))
        .await;
    assert_eq!(kept.is(200).body, png(2, 2));
    // the owner was welcomed, by mail
    assert_eq!(
        shown(server.place(), &shop.code)["real"]["files"],
        before + 1
    );
    again.place().run(&["check", "--deep"]).ok();
}

#[tokio::test]
async fn a_disk_that_is_full_is_said_and_nothing_is_lost() {
    let place = Place::new();
    place.run(&["migrate", "--all"]).ok();
    let server = Server::start_with_little_room(&place, 4 << 10);
    let shop = Shop::open(&server).await;
    let path = stocked(&shop).await;
    upload(&shop.as_owner(), &path, png(2, 2)).await.is(200);
    let before = files_of(&shop);
    let full = upload(&shop.as_owner(), &path, vec![1; 6 << 20]).await;
    full.problem(507, "storage-full");
    until(A_SECOND, "nothing is left of it", || async {
        files_of(&shop) == before
    })
    .await;
    let kept = shop.visitor().get(&format!("{path}/picture")).await.is(200);
    assert_eq!(kept.body, png(2, 2));
    upload(&shop.as_owner(), &path, png(3, 3)).await.is(200);
}

#[tokio::test]
async fn uploads_take_little_memory() {
    const UPLOADS: usize = 8;
    let server = Place::new().serve();
    let shop = Shop::open(&server).await;
    let mut paths = Vec::new();
    for _ in 0..UPLOADS {
        paths.push(stocked(&shop).await);
    }
    let before = server.peak_memory();
    // each is 9 MiB of what is no picture: taken in as a whole, looked at, and refused
    let uploads = paths.iter().map(|path| {
        let (owner, path) = (shop.as_owner(), path.clone());
        tokio::spawn(async move { upload(&owner, &path, vec![1; 9 << 20]).await })
    });
    for answer in uploads.collect::<Vec<_>>() {
        answer.await.unwrap().invalid(&["picture"]);
    }
    // and what is far too large is not taken in
    let huge = upload(&shop.as_owner(), &paths[0], vec![1; 30 << 20]).await;
    huge.problem(413, "payload-too-large");
    let grown = server.peak_memory() - before;
    println!("{} KiB for {UPLOADS} uploads at once", grown / 1024);
    assert!(grown < 48 << 20, "{grown} bytes");
}

fn shown(place: &Place, code: &str) -> Value {
    place.run(&["tenant", "show", code, "--json"]).ok().json()
}

async fn picture_in(server: &Arc<Server>, code: &str, path: &str) -> Vec<u8> {
    until(A_SECOND, "the shop is there", || async {
        server.tenant(code).get("/api/shop").await.status == 200
    })
    .await;
    let picture = server.tenant(code).get(&format!("{path}/picture")).await;
    picture.is(200).body
}

#[tokio::test]
async fn pictures_go_where_their_shop_goes() {
    let server = shared();
    let (shop, place) = (Shop::open(&server).await, server.place());
    let path = stocked(&shop).await;
    let picture = jpeg(700, 500);
    upload(&shop.as_owner(), &path, picture.clone())
        .await
        .is(200);
    until(
        A_SECOND,
        "the picture and the welcome are counted",
        || async { shown(place, &shop.code)["real"]["files"] == 2 + 1 },
    )
    .await;
    let there = shown(place, &shop.code);
    assert!(there["real"]["file_bytes"].as_u64().unwrap() > picture.len() as u64);

    let (renamed, clone, copy) = (unique("renamed"), unique("clone"), unique("copy"));
    place.run(&["tenant", "rename", &shop.code, &renamed]).ok();
    assert_eq!(picture_in(&server, &renamed, &path).await, picture);
    place.run(&["tenant", "clone", &renamed, &clone]).ok();
    assert_eq!(picture_in(&server, &clone, &path).await, picture);
    let archive = place.path(&unique("archive"));
    let archive = archive.to_str().unwrap();
    place
        .run(&["tenant", "export", &renamed, "--out", archive])
        .ok();
    place
        .run(&["tenant", "import", archive, "--code", &copy])
        .ok();
    assert_eq!(picture_in(&server, &copy, &path).await, picture);

    // each has its own
    let email = "owner@example.com";
    let token = log_in(&server.tenant(&clone), email, &shop.owner.password).await;
    let theirs = server.tenant(&clone).bearer(&token);
    theirs.delete(&format!("{path}/picture")).await.is(200);
    assert_eq!(picture_in(&server, &renamed, &path).await, picture);
    assert_eq!(picture_in(&server, &copy, &path).await, picture);
    let erased = place.run(&["tenant", "erase", &copy, "--yes"]).ok();
    assert_eq!(erased.json()[0]["removed"]["files"], 2);
    let id = shown(place, &renamed)["id"].as_str().unwrap().to_owned();
    assert_eq!(id, shop.id);
    assert_eq!(files_of(&shop).len(), 2);
}
