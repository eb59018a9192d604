use std::collections::BTreeSet;

use serde_json::json;

use super::has_fields;
use crate::support::{Answer, Client, Shop, unique};

async fn page(client: &Client, list: &str, query: &str, cursor: Option<&str>) -> Answer {
    let cursor = cursor
        .map(|cursor| format!("&cursor={cursor}"))
        .unwrap_or_default();
    client.get(&format!("{list}?{query}{cursor}")).await.is(200)
}

fn next(page: &Answer) -> Option<String> {
    page.json()["next"].as_str().map(str::to_owned)
}

/// One field of all items, page after page.
async fn all(client: &Client, list: &str, query: &str, field: &str) -> Vec<String> {
    let (mut found, mut cursor) = (Vec::new(), None);
    loop {
        let page = page(client, list, query, cursor.as_deref()).await;
        found.extend(page.each(field));
        cursor = next(&page);
        if cursor.is_none() {
            return found;
        }
    }
}

#[tokio::test]
async fn a_list_has_items_and_the_next_cursor() {
    let shop = Shop::shared().await;
    let empty = shop.visitor().get("/api/products").await.is(200).json();
    assert_eq!(empty, json!({ "items": [], "next": null }));
    let spade = shop.stock("Spade", "S", "1").await;
    let one = shop.visitor().get("/api/products").await.is(200).json();
    assert_eq!(one, json!({ "items": [spade], "next": null }));
    shop.stock("Fork", "F", "1").await;
    let first = shop
        .visitor()
        .get("/api/products?limit=1")
        .await
        .is(200)
        .json();
    has_fields(&first, &["items", "next"]);
    assert!(first["next"].is_string());
    // a page that is just full is the last one
    let both = shop
        .visitor()
        .get("/api/products?limit=2")
        .await
        .is(200)
        .json();
    assert!(both["next"].is_null());
}

#[tokio::test]
async fn limits_are_from_1_to_200_and_50_unless_told() {
    let shop = Shop::shared().await;
    for number in 0..51 {
        shop.stock("Spade", &format!("S-{number}"), "1").await;
    }
    let length = async |query: &str| {
        shop.visitor()
            .get(&format!("/api/products?{query}"))
            .await
            .ids()
            .len()
    };
    assert_eq!(length("").await, 50);
    assert_eq!(length("limit=1").await, 1);
    assert_eq!(length("limit=200").await, 51);
    for bad in [
        "0",
        "201",
        "-1",
        "",
        "x",
        "1.5",
        "99999999999999999999",
        "%00",
    ] {
        for list in ["/api/products", "/api/users"] {
            shop.as_owner()
                .get(&format!("{list}?limit={bad}"))
                .await
                .invalid(&["limit"]);
        }
    }
}

#[tokio::test]
async fn every_order_is_kept_both_ways_across_pages_and_ties() {
    let shop = Shop::shared().await;
    let stock = [
        ("Apple", "c-10", "10"),
        ("Pear", "c-2", "9"),
        ("Apple", "c-3", "9.00"),
        ("apple", "c-4", "100.5"),
        ("Zucchini", "C-5", "0.5"),
        ("Äpfel", "c-6", "1000"),
        ("Apple", "c-7", "9"),
    ];
    for (name, code, price) in stock {
        shop.stock(name, code, price).await;
    }
    let visitor = shop.visitor();
    let by_number = |text: &String| (text.parse::<f64>().unwrap() * 100.0) as i64;
    for order in ["name", "code", "price", "added_on"] {
        let up = all(
            &visitor,
            "/api/products",
            &format!("limit=2&order={order}"),
            order,
        )
        .await;
        assert_eq!(up.len(), stock.len(), "{order}");
        if order == "price" {
            assert!(up.is_sorted_by_key(by_number), "{up:?}");
        } else {
            assert!(up.is_sorted(), "{order}: {up:?}");
        }
        let forth = all(
            &visitor,
            "/api/products",
            &format!("limit=2&order={order}"),
            "id",
        )
        .await;
        let mut back = all(
            &visitor,
            "/api/products",
            &format!("limit=3&order=-{order}"),
            "id",
        )
        .await;
        back.reverse();
        assert_eq!(forth, back, "{order}");
        assert_eq!(forth.iter().collect::<BTreeSet<_>>().len(), stock.len());
    }
    let unordered = all(&visitor, "/api/products", "limit=2", "id").await;
    assert_eq!(
        unordered,
        all(&visitor, "/api/products", "order=name", "id").await
    );

    for _ in 0..3 {
        shop.hire("staff").await;
    }
    for order in ["email", "first_name", "last_name", "created_at"] {
        let owner = shop.as_owner();
        let up = all(
            &owner,
            "/api/users",
            &format!("limit=1&order={order}"),
            order,
        )
        .await;
        assert!(up.len() == 4 && up.is_sorted(), "{order}: {up:?}");
        let forth = all(
            &owner,
            "/api/users",
            &format!("limit=3&order={order}"),
            "id",
        )
        .await;
        let mut back = all(
            &owner,
            "/api/users",
            &format!("limit=1&order=-{order}"),
            "id",
        )
        .await;
        back.reverse();
        assert_eq!(forth, back, "{order}");
    }
}

#[tokio::test]
async fn orders_that_are_none_are_refused() {
    let shop = Shop::shared().await;
    let orders = [
        "",
        "-",
        "--name",
        "id",
        "NAME",
        "name,price",
        "name;--",
        "password_hash",
        "%00",
    ];
    for order in orders {
        let (products, users) = ("/api/products?order=", "/api/users?order=");
        shop.visitor()
            .get(&format!("{products}{order}"))
            .await
            .invalid(&["order"]);
        shop.as_owner()
            .get(&format!("{users}{order}"))
            .await
            .invalid(&["order"]);
    }
}

#[tokio::test]
async fn a_walk_through_the_pages_neither_repeats_nor_skips_while_others_add_and_remove() {
    let shop = Shop::shared().await;
    let mut kept = Vec::new();
    let mut doomed = Vec::new();
    for number in 0..12 {
        // three names only: most are ties
        let name = ["Apple", "Banana", "Cherry"][number % 3];
        let product = shop.stock(name, &format!("c-{number}"), "1").await;
        let list = if number % 4 == 3 {
            &mut doomed
        } else {
            &mut kept
        };
        list.push(product["id"].as_str().unwrap().to_owned());
    }
    for order in ["name", "-name", "price", "-added_on"] {
        let query = format!("limit=2&order={order}");
        let (mut seen, mut cursor) = (Vec::new(), None);
        loop {
            let page = page(&shop.visitor(), "/api/products", &query, cursor.as_deref()).await;
            seen.extend(page.ids());
            // before, at and after where the walk is; and the item that the cursor points to
            for name in ["AAA", "Banana", "ZZZ"] {
                shop.stock(name, &unique("meanwhile"), "1").await;
            }
            if let Some(id) = doomed.pop() {
                shop.as_owner().delete(&format!("/api/products/{id}")).await;
            }
            if let Some(last) = seen.last().filter(|last| !kept.contains(last)) {
                shop.as_owner()
                    .delete(&format!("/api/products/{last}"))
                    .await;
            }
            // newest first, nothing that is added comes later; by name it ends too
            cursor = next(&page).filter(|_| seen.len() < 500);
            let all_seen = kept.iter().all(|id| seen.contains(id));
            if cursor.is_none() || (all_seen && order != "-added_on") {
                break;
            }
        }
        let unique: BTreeSet<_> = seen.iter().collect();
        assert_eq!(unique.len(), seen.len(), "{order}: repeated");
        assert!(
            kept.iter().all(|id| unique.contains(id)),
            "{order}: skipped"
        );
    }
}

#[tokio::test]
async fn a_cursor_is_good_for_its_own_list_and_order_only() {
    let shop = Shop::shared().await;
    for code in ["a", "b", "c"] {
        shop.stock("Spade", code, "1").await;
    }
    shop.hire("staff").await;
    let owner = shop.as_owner();
    let cursor = next(&page(&owner, "/api/products", "limit=1&order=name", None).await).unwrap();
    page(&owner, "/api/products", "limit=1&order=name", Some(&cursor)).await;
    let half = &cursor[..cursor.len() / 2];
    let twice = format!("{cursor}{cursor}");
    for (list, query, cursor) in [
        ("/api/products", "order=-name", cursor.as_str()),
        ("/api/products", "order=price", &cursor),
        ("/api/users", "order=first_name", &cursor),
        ("/api/products", "order=name", half),
        ("/api/products", "order=name", &twice),
        ("/api/products", "order=name", ""),
        ("/api/products", "order=name", "%00"),
        ("/api/products", "order=name", "....."),
    ] {
        owner
            .get(&format!("{list}?{query}&cursor={cursor}"))
            .await
            .invalid(&["cursor"]);
    }
}

#[tokio::test]
async fn a_cursor_that_was_tampered_with_does_no_harm() {
    use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
    let shop = Shop::shared().await;
    let forged = |order: &str, key: &str, id: &str| {
        let cursor = json!({
            "tenant": shop.id, "list": "products", "order": order, "key": key, "id": id,
        });
        BASE64_URL_SAFE_NO_PAD.encode(cursor.to_string())
    };
    let nil = uuid::Uuid::nil().to_string();
    for (order, key, id) in [
        ("price", "x", nil.as_str()),
        ("added_on", "yesterday", &nil),
        ("name", "a\0b", &nil),
        ("name", "a", "x"),
        ("price", "1' OR '1'='1", &nil),
    ] {
        let path = format!(
            "/api/products?order={order}&cursor={}",
            forged(order, key, id)
        );
        shop.visitor().get(&path).await.invalid(&["cursor"]);
    }
    let path = format!(
        "/api/products?order=name&cursor={}",
        forged("name", "'; --", &nil)
    );
    shop.visitor().get(&path).await.is(200);
}

#[tokio::test]
async fn a_search_takes_every_character_as_it_is() {
    let shop = Shop::shared().await;
    for (name, code) in [
        ("100% wool", "w-1"),
        ("100 wool", "w-2"),
        ("under_score", "u-1"),
        ("underXscore", "u-2"),
        (r"back\slash", "b-1"),
        ("ÄRGER übermut", "z-1"),
        ("O'Brien \"quoted\"", "z-2"),
        ("ΣΊΣΥΦΟΣ", "z-3"),
    ] {
        shop.stock(name, code, "1").await;
    }
    for (q, expected) in [
        ("%25", &["w-1"][..]),
        ("_", &["u-1"]),
        ("%5C", &["b-1"]),
        ("%5C%25", &[]),
        ("ärger", &["z-1"]),
        ("%C3%9CBERMUT", &["z-1"]),
        ("UNDER_", &["u-1"]),
        ("o%27brien", &["z-2"]),
        ("%22", &["z-2"]),
        ("σίσυφος", &["z-3"]),
        ("W-2", &["w-2"]),
        ("%20wool%20", &["w-2", "w-1"]),
        ("nothing-like-it", &[]),
        ("%27%20OR%201%3D1%20--", &[]),
    ] {
        let found = shop
            .visitor()
            .get(&format!("/api/products?q={q}"))
            .await
            .each("code");
        assert_eq!(found, expected, "{q}");
    }
    let everything = shop.visitor().get("/api/products?q=%20").await.ids();
    assert_eq!(everything.len(), 8);
    // with pages: what is looked for stays looked for
    let first = page(&shop.visitor(), "/api/products", "q=wool&limit=1", None).await;
    let cursor = next(&first);
    let second = page(
        &shop.visitor(),
        "/api/products",
        "q=wool&limit=1",
        cursor.as_deref(),
    )
    .await;
    assert_eq!(
        (first.each("code"), second.each("code")),
        (vec!["w-2".into()], vec!["w-1".into()])
    );
    assert_eq!(next(&second), None);
    shop.visitor()
        .get("/api/products?q=a%00b")
        .await
        .invalid(&["q"]);
    for (length, is_taken) in [(200, true), (201, false)] {
        let path = format!("/api/products?q={}", "%C3%A4".repeat(length));
        let answer = shop.visitor().get(&path).await;
        if is_taken {
            assert_eq!(answer.each("code"), [""; 0]);
        } else {
            answer.invalid(&["q"]);
        }
    }
    let owner = shop.as_owner().get("/api/users?q=OLIVE").await;
    assert_eq!(owner.each("email"), ["owner@example.com"]);
}
