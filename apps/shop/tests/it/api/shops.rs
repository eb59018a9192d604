use serde_json::json;

use super::{has_fields, is_now};
use crate::support::{PASSWORD, Shop, opening, shared, unique};

#[tokio::test]
async fn a_shop_is_opened_with_its_owner() {
    let server = shared();
    let code = unique("new");
    let answer = server
        .central()
        .post("/api/shops", opening(&code, PASSWORD))
        .await
        .is(201);
    let url = format!("http://{code}.localhost:{}", server.port());
    assert_eq!(answer.header("location"), Some(url.as_str()));
    let shop = answer.json();
    has_fields(&shop, &["id", "code", "name", "url", "owner"]);
    assert_eq!(shop["code"], code);
    assert_eq!(shop["name"], format!("Shop {code}"));
    assert_eq!(shop["url"], url);
    assert_eq!(shop["owner"]["role"], "owner");
    assert_eq!(shop["owner"]["email"], "owner@example.com");
    assert!(!answer.text().contains(PASSWORD));

    let shown = server.host(&code).get("/api/shop").await.is(200).json();
    has_fields(&shown, &["id", "code", "name", "created_at", "profile"]);
    has_fields(&shown["profile"], &["tagline", "currency"]);
    assert_eq!(shown["id"], shop["id"]);
    assert_eq!(
        shown["profile"],
        json!({ "tagline": null, "currency": "EUR" })
    );
    is_now(&shown["created_at"]);
}

#[tokio::test]
async fn a_code_is_one_shops() {
    let shop = Shop::shared().await;
    let central = shop.server().central();
    let again = central
        .post("/api/shops", opening(&shop.code, "another password"))
        .await;
    again.problem(409, "code-taken");
    shop.log_in(&shop.owner).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_who_want_a_code_at_once_one_gets_it() {
    let server = shared();
    for _ in 0..3 {
        let code = unique("wanted");
        let wanting = (0..6).map(|number| {
            let (central, code) = (server.central(), code.clone());
            tokio::spawn(async move {
                let password = format!("the password {number}");
                let answer = central.post("/api/shops", opening(&code, &password)).await;
                (answer, password)
            })
        });
        let mut winner = None;
        for task in wanting.collect::<Vec<_>>() {
            let (answer, password) = task.await.unwrap();
            if answer.status == 201 {
                assert!(winner.replace(password).is_none(), "two have {code}");
            } else {
                answer.problem(409, "code-taken");
            }
        }
        let password = winner.expect("somebody has it");
        let login = json!({ "email": "owner@example.com", "password": password });
        server
            .tenant(&code)
            .post("/api/auth/login", login)
            .await
            .is(200);
    }
}

#[tokio::test]
async fn what_is_wrong_with_a_new_shop_is_told_by_field() {
    let central = shared().central();
    let nothing_right = json!({
        "code": "UP", "name": " ",
        "owner": { "email": "nobody", "password": "short", "first_name": "" },
    });
    let answer = central.post("/api/shops", nothing_right).await;
    let fields = [
        "code",
        "name",
        "owner.email",
        "owner.first_name",
        "owner.password",
    ];
    answer.invalid(&fields);
    central
        .post("/api/shops", json!({}))
        .await
        .invalid(&["code"]);
    let mut no_email = opening(&unique("no-email"), PASSWORD);
    no_email["owner"].as_object_mut().unwrap().remove("email");
    central
        .post("/api/shops", no_email)
        .await
        .invalid(&["owner.email"]);
}

#[tokio::test]
async fn owners_and_admins_change_the_shop_and_nobody_else() {
    let shop = Shop::shared().await;
    let (admin, staff) = (shop.hire("admin").await, shop.hire("staff").await);
    let change = json!({ "name": "  Ünïcode & Söhne ", "profile": { "tagline": "für alle" } });
    shop.visitor()
        .patch("/api/shop", change.clone())
        .await
        .problem(401, "authentication-required");
    shop.as_user(&staff)
        .patch("/api/shop", change.clone())
        .await
        .problem(403, "forbidden");
    let changed = shop
        .as_user(&admin)
        .patch("/api/shop", change)
        .await
        .is(200)
        .json();
    assert_eq!(changed["name"], "Ünïcode & Söhne");
    assert_eq!(
        changed["profile"],
        json!({ "tagline": "für alle", "currency": "EUR" })
    );
    assert_eq!(shop.visitor().get("/api/shop").await.json(), changed);

    // what is not named stays, and null takes away
    let change = json!({ "profile": { "tagline": null, "currency": "USD" } });
    let changed = shop
        .as_owner()
        .patch("/api/shop", change)
        .await
        .is(200)
        .json();
    assert_eq!(changed["name"], "Ünïcode & Söhne");
    assert_eq!(
        changed["profile"],
        json!({ "tagline": null, "currency": "USD" })
    );
    let unchanged = shop
        .as_owner()
        .patch("/api/shop", json!({}))
        .await
        .is(200)
        .json();
    assert_eq!(unchanged, changed);
}

#[tokio::test]
async fn a_change_of_the_shop_is_whole_or_nothing() {
    let shop = Shop::shared().await;
    let before = shop.visitor().get("/api/shop").await.json();
    let change = json!({ "name": "", "profile": { "tagline": "new", "currency": "euro" } });
    let answer = shop.as_owner().patch("/api/shop", change).await;
    answer.invalid(&["name", "profile.currency"]);
    assert_eq!(shop.visitor().get("/api/shop").await.json(), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_who_change_different_things_of_a_shop_at_once_both_have_their_way() {
    let shop = Shop::shared().await;
    for round in 1..=20 {
        let currency = ["USD", "CHF"][round % 2];
        let changes = [
            json!({ "profile": { "tagline": format!("round {round}") } }),
            json!({ "profile": { "currency": currency } }),
        ];
        let tasks = changes.map(|change| {
            let client = shop.as_owner();
            tokio::spawn(async move { client.patch("/api/shop", change).await.is(200) })
        });
        for task in tasks {
            task.await.unwrap();
        }
        let kept = shop.visitor().get("/api/shop").await.json();
        let expected = json!({ "tagline": format!("round {round}"), "currency": currency });
        assert_eq!(kept["profile"], expected);
    }
}
