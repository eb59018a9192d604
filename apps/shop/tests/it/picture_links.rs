//! Signed links to pictures: for whoever has one, for as long as it says, and for nothing else.

use std::sync::Arc;

use chrono::{DateTime, TimeDelta, Utc};
use serde_json::{Value, json};

use crate::support::{
    A_SECOND, Client, Payload, Server, Shop, jpeg, log_in, png, shared, text, unique, until,
};

/// A product of the shop's with that picture, by its path in the API.
async fn pictured(shop: &Shop, picture: &[u8]) -> String {
    let product = shop.stock("Spade", &unique("S"), "1").await;
    let path = format!("/api/products/{}", text(&product["id"]));
    upload(&shop.as_owner(), &path, picture).await;
    path
}

async fn upload(client: &Client, product: &str, picture: &[u8]) {
    let path = format!("{product}/picture");
    client.raw("PUT", &path, "", picture).await.is(200);
}

/// A link to a product's picture: where it leads on the shop's host.
async fn link(client: &Client, product: &str, wanted: Value) -> String {
    let path = format!("{product}/picture/link");
    let made = client.post(&path, wanted).await.is(201).json();
    on_host(&text(&made["url"]))
}

fn on_host(url: &str) -> String {
    let (_, path) = url.split_once("/files/").unwrap();
    format!("/files/{path}")
}

/// The picture that the link shows to somebody who is nobody.
async fn shown(client: &Client, link: &str) -> Vec<u8> {
    client.get(link).await.is(200).body
}

#[tokio::test]
async fn whoever_has_a_link_sees_the_picture() {
    let shop = Shop::shared().await;
    let picture = jpeg(1000, 500);
    let path = pictured(&shop, &picture).await;
    let staff = shop.as_user(&shop.hire("staff").await);
    let made = staff
        .send("POST", &format!("{path}/picture/link"), Payload::Nothing)
        .await
        .is(201)
        .json();
    let url = text(&made["url"]);
    let base = format!(
        "http://{}.localhost:{}/files/",
        shop.code,
        shop.server().port()
    );
    assert!(url.starts_with(&base), "{url}");
    let expires: DateTime<Utc> = text(&made["expires_at"]).parse().unwrap();
    let life = expires - Utc::now();
    let hour = TimeDelta::minutes(59)..=TimeDelta::hours(1);
    assert!(hour.contains(&life), "{life}");

    let answer = shop.by_host().get(&on_host(&url)).await.is(200);
    assert_eq!(
        (answer.header("content-type"), &answer.body),
        (Some("image/jpeg"), &picture)
    );
    assert_eq!(answer.header("cache-control"), Some("private, no-cache"));
    let part = shop.by_host().with("range", "bytes=10-19");
    assert_eq!(part.get(&on_host(&url)).await.is(206).body, picture[10..20]);
    let small = link(&staff, &path, json!({ "size": "small" })).await;
    let small = image::load_from_memory(&shown(&shop.by_host(), &small).await).unwrap();
    assert_eq!((small.width(), small.height()), (480, 240));

    // it is to this picture, and not to what comes in its place
    upload(&staff, &path, &png(3, 3)).await;
    let gone = shop.by_host().get(&on_host(&url)).await;
    gone.problem(404, "not-found");
    let now = link(&staff, &path, json!({})).await;
    assert_eq!(shown(&shop.by_host(), &now).await, png(3, 3));
    staff.delete(&format!("{path}/picture")).await.is(200);
    shop.by_host().get(&now).await.problem(404, "not-found");
}

#[tokio::test]
async fn links_are_made_by_who_works_there_and_only_as_permitted() {
    let shop = Shop::shared().await;
    let path = pictured(&shop, &png(2, 2)).await;
    let (owner, at) = (shop.as_owner(), format!("{path}/picture/link"));
    let nobody = shop.visitor().post(&at, json!({})).await;
    nobody.problem(401, "authentication-required");
    // a program changes products, and gives nothing away
    let new = json!({ "name": "importer", "scopes": ["products:write"] });
    let key = owner.post("/api/keys", new).await.is(201).json();
    let key = shop.visitor().bearer(&text(&key["secret"]));
    key.post(&at, json!({})).await.problem(403, "forbidden");
    upload(&key, &path, &png(2, 2)).await;

    for (wanted, field) in [
        (json!({ "expires_in": 0 }), "expires_in"),
        (json!({ "expires_in": 7 * 24 * 60 * 60 + 1 }), "expires_in"),
        (json!({ "expires_in": -1 }), "expires_in"),
        (json!({ "size": "huge" }), "size"),
    ] {
        owner.post(&at, wanted).await.invalid(&[field]);
    }
    let broken = owner.raw("POST", &at, "application/json", "{").await;
    assert_eq!(broken.status, 400, "{}", broken.text());
    let words = owner.raw("POST", &at, "text/plain", "{}").await;
    assert_eq!(words.status, 415, "{}", words.text());
    let longest = json!({ "expires_in": 7 * 24 * 60 * 60 });
    owner.post(&at, longest).await.is(201);

    let plain = shop.stock("Plain", &unique("P"), "1").await;
    let none = format!("/api/products/{}/picture/link", text(&plain["id"]));
    let none = owner.post(&none, json!({})).await;
    none.problem(404, "not-found");
}

/// A shop, and its clone: with the same products, and the same pictures under the same names.
async fn twins(server: &Arc<Server>) -> (Shop, String) {
    let shop = Shop::open(server).await;
    let twin = unique("twin");
    pictured(&shop, &png(5, 4)).await;
    let place = server.place();
    place.run(&["tenant", "clone", &shop.code, &twin]).ok();
    until(A_SECOND, "the clone is there", || async {
        server.tenant(&twin).get("/api/shop").await.status == 200
    })
    .await;
    (shop, twin)
}

#[tokio::test]
async fn a_link_of_one_tenant_is_none_of_another() {
    let server = shared();
    let (shop, twin) = twins(&server).await;
    let product = shop.visitor().get("/api/products").await.ids().remove(0);
    let path = format!("/api/products/{product}");
    let email = shop.owner.email.as_str();
    let token = log_in(&server.tenant(&twin), email, &shop.owner.password).await;
    let ours = link(&shop.as_owner(), &path, json!({})).await;
    let theirs = link(&server.tenant(&twin).bearer(&token), &path, json!({})).await;
    let (our_name, their_name) = (ours.split_once('?'), theirs.split_once('?'));
    let (our_name, their_name) = (our_name.unwrap().0, their_name.unwrap().0);
    // what each link leads to is there in both, so that nothing but the signature stands in between
    assert_eq!(our_name, their_name);

    for (code, own, other) in [(&shop.code, &ours, &theirs), (&twin, &theirs, &ours)] {
        for client in [server.tenant(code), server.host(code)] {
            assert_eq!(shown(&client, own).await, png(5, 4));
            client.get(other).await.problem(403, "invalid-link");
            // nor is it good together with being signed in
            let somebody = client.bearer(&token);
            somebody.get(other).await.problem(403, "invalid-link");
        }
    }
    let both = server.host(&twin).with("tenant-code", &shop.code);
    both.get(&ours).await.problem(400, "tenant-conflict");
    server
        .central()
        .get(&ours)
        .await
        .problem(404, "tenant-required");
    // the page that says so does not tell whose it is
    let page = server.host(&twin).browser().get(&ours).await.page(403);
    assert!(!page.contains(&shop.code), "{page}");
}

#[tokio::test]
async fn a_link_is_good_for_what_it_says_and_nothing_else() {
    let shop = Shop::shared().await;
    let path = pictured(&shop, &png(5, 4)).await;
    let other = pictured(&shop, &png(6, 4)).await;
    let owner = shop.as_owner();
    let good = link(&owner, &path, json!({})).await;
    let small = link(&owner, &path, json!({ "size": "small" })).await;
    let other = link(&owner, &other, json!({})).await;
    let visitor = shop.by_host();
    assert_eq!(shown(&visitor, &good).await, png(5, 4));
    assert_eq!(shown(&visitor, &other).await, png(6, 4));

    let (name, query) = good.split_once('?').unwrap();
    let (expires, signature) = query.split_once('&').unwrap();
    let moment: i64 = expires.trim_start_matches("expires=").parse().unwrap();
    let at = |link: &str| link.split_once('?').unwrap().0.to_owned();
    let first = signature.trim_start_matches("signature=");
    let turned = if first.starts_with('A') { "B" } else { "A" };
    let turned = format!("{turned}{}", &first[1..]);
    let none = name.replace("original", "none");
    let refused = visitor.get(&format!("{name}?{expires}")).await;
    refused.problem(403, "invalid-link");
    for link in [
        name.to_owned(),
        format!("{name}?{signature}"),
        format!("{name}?{expires}&signature="),
        format!("{name}?{expires}&signature={}", &first[1..]),
        format!("{name}?{expires}&signature={turned}"),
        format!("{name}?{expires}&signature={first}A"),
        format!("{name}?{expires}&signature=%00"),
        format!("{name}?expires={}&{signature}", moment + 1),
        format!("{name}?expires={}&{signature}", moment - 1),
        format!("{name}?expires={}&{signature}", i64::MAX),
        format!("{name}?expires={}&{signature}", i64::MIN),
        format!("{name}?expires=never&{signature}"),
        format!("{name}?{expires}&{expires}&{signature}"),
        // another file of the same picture, another picture's, and none at all
        format!("{}?{query}", at(&small)),
        format!("{}?{query}", at(&other)),
        format!("{none}?{query}"),
        format!(
            "{}?{query}",
            name.to_uppercase().replace("/FILES", "/files")
        ),
    ] {
        visitor.get(&link).await.same_as(&refused);
    }
    // what is no name of a file is nowhere
    for crooked in ["/files/..%2Fx", "/files/%2Fetc%2Fpasswd", "/files/"] {
        let nowhere = visitor.get(&format!("{crooked}?{query}")).await;
        nowhere.problem(404, "not-found");
    }
    for method in ["PUT", "POST", "DELETE"] {
        let refused = visitor.send(method, &good, Payload::Nothing).await;
        assert_eq!(refused.status, 405, "{method}");
    }
    assert_eq!(shown(&visitor, &good).await, png(5, 4));
}

#[tokio::test]
async fn a_link_expires() {
    let shop = Shop::shared().await;
    let path = pictured(&shop, &png(5, 4)).await;
    let owner = shop.as_owner();
    let long = link(&owner, &path, json!({})).await;
    let short = link(&owner, &path, json!({ "expires_in": 3 })).await;
    let visitor = shop.by_host();
    assert_eq!(shown(&visitor, &short).await, png(5, 4));
    until(A_SECOND * 10, "it is good no more", || async {
        visitor.get(&short).await.status == 403
    })
    .await;
    let late = visitor.get(&short).await;
    late.problem(403, "invalid-link");
    assert_eq!(shown(&visitor, &long).await, png(5, 4));
}

#[tokio::test]
async fn a_link_goes_with_its_tenant() {
    let server = shared();
    let shop = Shop::open(&server).await;
    let path = pictured(&shop, &png(5, 4)).await;
    let link_of = link(&shop.as_owner(), &path, json!({})).await;
    let place = server.place();
    let is = async |client: &Client, status: u16| {
        until(A_SECOND, &format!("it is {status}"), || async {
            client.get(&link_of).await.status == status
        })
        .await;
    };
    is(&shop.by_host(), 200).await;
    place.run(&["tenant", "suspend", &shop.code]).ok();
    is(&shop.by_host(), 503).await;
    let stopped = shop.by_host().get(&link_of).await;
    stopped.problem(503, "tenant-suspended");
    place.run(&["tenant", "resume", &shop.code]).ok();
    is(&shop.by_host(), 200).await;

    let renamed = unique("renamed");
    place.run(&["tenant", "rename", &shop.code, &renamed]).ok();
    is(&server.host(&renamed), 200).await;
    is(&shop.by_host(), 404).await;
    assert_eq!(shown(&server.host(&renamed), &link_of).await, png(5, 4));
    let again = server.tenant(&renamed).bearer(&shop.owner.token);
    let again = again.post(&format!("{path}/picture/link"), json!({})).await;
    let url = text(&again.is(201).json()["url"]);
    assert!(
        url.starts_with(&format!("http://{renamed}.localhost:")),
        "{url}"
    );
    // whoever takes the old code is somebody else
    let taken = Shop::open_as(&server, &shop.code, "the password of others").await;
    taken
        .by_host()
        .get(&link_of)
        .await
        .problem(403, "invalid-link");

    place.run(&["tenant", "delete", &renamed, "--yes"]).ok();
    is(&server.host(&renamed), 404).await;
    let gone = server.host(&renamed).get(&link_of).await;
    gone.problem(404, "tenant-not-found");
}
