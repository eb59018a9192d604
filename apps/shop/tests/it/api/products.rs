use serde_json::{Value, json};

use super::{has_fields, is_now};
use crate::support::{Shop, shared};

async fn price_of(shop: &Shop, price: Value) -> crate::support::Answer {
    let code = crate::support::unique("priced");
    let new = json!({ "name": "Spade", "code": code, "price": price });
    shop.as_owner().post("/api/products", new).await
}

#[tokio::test]
async fn products_are_made_shown_changed_and_removed() {
    let shop = Shop::shared().await;
    let staff = shop.hire("staff").await;
    let by = shop.as_user(&staff);
    let new = json!({ "name": " Spade ", "code": "S-1", "price": "36.9" });
    let answer = by.post("/api/products", new).await.is(201);
    let spade = answer.json();
    has_fields(
        &spade,
        &["id", "name", "code", "price", "added_by", "added_on"],
    );
    assert_eq!(
        (&spade["name"], &spade["code"]),
        (&json!("Spade"), &json!("S-1"))
    );
    assert_eq!(
        (&spade["price"], &spade["added_by"]),
        (&json!("36.90"), &json!(staff.id))
    );
    is_now(&spade["added_on"]);
    let path = format!("/api/products/{}", spade["id"].as_str().unwrap());
    assert_eq!(answer.header("location"), Some(path.as_str()));
    assert_eq!(shop.visitor().get(&path).await.is(200).json(), spade);

    // a PATCH changes what it names
    let patched = by
        .patch(&path, json!({ "price": "40" }))
        .await
        .is(200)
        .json();
    let mut expected = spade.clone();
    expected["price"] = json!("40.00");
    assert_eq!(patched, expected);
    assert_eq!(by.patch(&path, json!({})).await.is(200).json(), expected);

    // a PUT says everything, and what is left out is as in a new one
    by.put(&path, json!({ "price": "1" }))
        .await
        .invalid(&["name"]);
    let put = by
        .put(&path, json!({ "name": "Fork", "code": "F-1" }))
        .await
        .is(200)
        .json();
    expected["name"] = json!("Fork");
    expected["code"] = json!("F-1");
    expected["price"] = json!("0.00");
    assert_eq!(put, expected);
    assert_eq!(shop.visitor().get(&path).await.is(200).json(), expected);

    by.delete(&path).await.is(204);
    shop.visitor().get(&path).await.problem(404, "not-found");
    by.delete(&path).await.problem(404, "not-found");
    by.patch(&path, json!({})).await.problem(404, "not-found");
    by.put(&path, json!({ "name": "X", "code": "X" }))
        .await
        .problem(404, "not-found");
}

#[tokio::test]
async fn visitors_only_look() {
    let shop = Shop::shared().await;
    let spade = shop.stock("Spade", "S", "1").await;
    let path = format!("/api/products/{}", spade["id"].as_str().unwrap());
    let visitor = shop.visitor();
    let new = json!({ "name": "X", "code": "X" });
    for answer in [
        visitor.post("/api/products", new.clone()).await,
        visitor.put(&path, new.clone()).await,
        visitor.patch(&path, new).await,
        visitor.delete(&path).await,
    ] {
        answer.problem(401, "authentication-required");
    }
    assert_eq!(visitor.get(&path).await.is(200).json(), spade);
}

#[tokio::test]
async fn a_code_is_one_products_of_a_shop_and_free_in_another() {
    let server = shared();
    let (one, two) = (Shop::open(&server).await, Shop::open(&server).await);
    one.stock("Spade", "S", "1").await;
    let fork = one.stock("Fork", "F", "1").await;
    two.stock("Spoon", "S", "2").await;
    let by = one.as_owner();
    let again = json!({ "name": "Saw", "code": " S " });
    by.post("/api/products", again.clone())
        .await
        .problem(409, "code-taken");
    let path = format!("/api/products/{}", fork["id"].as_str().unwrap());
    by.put(&path, again).await.problem(409, "code-taken");
    by.patch(&path, json!({ "code": "S" }))
        .await
        .problem(409, "code-taken");
    assert_eq!(by.get(&path).await.json(), fork);
    by.patch(&path, json!({ "code": "F" })).await.is(200);
    one.stock("Saw", "s", "1").await; // codes are told apart by case
}

#[tokio::test]
async fn prices_are_exact_to_the_cent() {
    let shop = Shop::shared().await;
    for (given, kept) in [
        (json!("9.90"), "9.90"),
        (json!("9.9"), "9.90"),
        (json!(9.9), "9.90"),
        (json!(9), "9.00"),
        (json!("0"), "0.00"),
        (json!("-0"), "0.00"),
        (json!("0.10"), "0.10"),
        (json!(0.07), "0.07"),
        (json!("10.500"), "10.50"),
        (json!("9999999999.99"), "9999999999.99"),
    ] {
        let product = price_of(&shop, given.clone()).await.is(201).json();
        assert_eq!(product["price"], kept, "{given}");
        let path = format!("/api/products/{}", product["id"].as_str().unwrap());
        assert_eq!(
            shop.visitor().get(&path).await.json()["price"],
            kept,
            "{given}"
        );
    }
    let new = json!({ "name": "Free", "code": "free" });
    let free = shop
        .as_owner()
        .post("/api/products", new)
        .await
        .is(201)
        .json();
    assert_eq!(free["price"], "0.00");
}

#[tokio::test]
async fn prices_that_cannot_be_kept_are_refused() {
    let shop = Shop::shared().await;
    for bad in [
        json!("0.001"),
        json!(0.001),
        json!("-0.01"),
        json!(-1),
        json!("10000000000"),
        json!("9999999999.999"),
        json!(1e30),
        json!("1e400"),
        json!("99999999999999999999999999999999999999"),
        json!("0.00000000000000000000000000000000000001"),
        json!("9.99999999999999999999999999999999999999"),
        json!(1e-40),
        json!("NaN"),
        json!("Infinity"),
        json!("1,50"),
        json!("1_000"),
        json!("€ 5"),
        json!("٣"),
        json!(""),
        json!(" "),
        json!(true),
        json!([]),
        json!({ "amount": 1 }),
    ] {
        let answer = price_of(&shop, bad.clone()).await;
        assert_eq!(answer.status, 422, "{bad}: {}", answer.text());
        answer.invalid(&["price"]);
    }
    assert_eq!(shop.visitor().get("/api/products").await.ids().len(), 0);
}

#[tokio::test]
async fn what_is_wrong_with_a_product_is_told_by_field() {
    let shop = Shop::shared().await;
    let by = shop.as_owner();
    let bad = json!({ "name": " ", "code": "c".repeat(65), "price": "-1" });
    by.post("/api/products", bad)
        .await
        .invalid(&["code", "name", "price"]);
    by.post("/api/products", json!({ "name": "X" }))
        .await
        .invalid(&["code"]);
    by.post("/api/products", json!({ "name": 5, "code": "X" }))
        .await
        .invalid(&["name"]);
    let longest = json!({ "name": "ü".repeat(200), "code": "ü".repeat(64) });
    by.post("/api/products", longest).await.is(201);
    let longer = json!({ "name": "ü".repeat(201), "code": "ü".repeat(64) });
    by.post("/api/products", longer).await.invalid(&["name"]);
}

#[tokio::test]
async fn ids_that_are_none_are_not_found() {
    let shop = Shop::shared().await;
    let by = shop.as_owner();
    for id in [
        "x",
        "0",
        "00000000-0000-0000-0000-000000000000",
        "..%2f..",
        "%27%20OR%201=1",
    ] {
        for list in ["/api/products", "/api/users"] {
            let path = format!("{list}/{id}");
            by.get(&path).await.problem(404, "not-found");
            by.delete(&path).await.problem(404, "not-found");
            by.patch(&path, json!({})).await.problem(404, "not-found");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_who_change_different_fields_at_once_both_have_their_way() {
    let shop = Shop::shared().await;
    let product = shop.stock("Spade", "S", "0").await;
    let path = format!("/api/products/{}", product["id"].as_str().unwrap());
    let changing = |field: &'static str| {
        let (client, path) = (shop.as_owner(), path.clone());
        async move |value: String| client.patch(&path, json!({ field: value })).await.is(200)
    };
    for round in 1..=20 {
        let (name, price) = (format!("Spade {round}"), format!("{round}.00"));
        let (rename, reprice) = (changing("name"), changing("price"));
        let (first, second) = (name.clone(), price.clone());
        let tasks = [
            tokio::spawn(async move { rename(first).await }),
            tokio::spawn(async move { reprice(second).await }),
        ];
        for task in tasks {
            task.await.unwrap();
        }
        let kept = shop.visitor().get(&path).await.json();
        assert_eq!(
            (&kept["name"], &kept["price"]),
            (&json!(name), &json!(price))
        );
    }
}
