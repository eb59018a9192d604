use serde_json::json;

use super::{has_fields, is_now};
use crate::support::{Client, PASSWORD, Person, Shop, log_in, unique};

fn path(person: &Person) -> String {
    format!("/api/users/{}", person.id)
}

fn new(email: &str, role: &str) -> serde_json::Value {
    json!({ "email": email, "password": PASSWORD, "first_name": "Ann", "role": role })
}

#[tokio::test]
async fn users_are_made_shown_changed_and_removed() {
    let shop = Shop::shared().await;
    let owner = shop.as_owner();
    let body = json!({
        "email": "Ann@Example.com", "password": "her password", "first_name": " Ann ",
        "last_name": "Smith",
    });
    let answer = owner.post("/api/users", body).await.is(201);
    let ann = answer.json();
    let fields = [
        "id",
        "email",
        "first_name",
        "last_name",
        "role",
        "active",
        "created_at",
        "email_verified",
    ];
    has_fields(&ann, &fields);
    is_now(&ann["created_at"]);
    assert_eq!(
        (&ann["email"], &ann["role"]),
        (&json!("ann@example.com"), &json!("staff"))
    );
    assert_eq!(
        (&ann["first_name"], &ann["active"]),
        (&json!("Ann"), &json!(true))
    );
    let path = format!("/api/users/{}", ann["id"].as_str().unwrap());
    assert_eq!(answer.header("location"), Some(path.as_str()));
    assert_eq!(owner.get(&path).await.is(200).json(), ann);

    let change = json!({ "email": "anne@example.com", "role": "admin" });
    let changed = owner.patch(&path, change).await.is(200).json();
    assert_eq!(
        (&changed["email"], &changed["role"]),
        (&json!("anne@example.com"), &json!("admin"))
    );
    assert_eq!(changed["last_name"], "Smith");
    log_in(&shop.visitor(), "anne@example.com", "her password").await;

    owner.delete(&path).await.is(204);
    owner.get(&path).await.problem(404, "not-found");
    owner.delete(&path).await.problem(404, "not-found");
    owner
        .patch(&path, json!({}))
        .await
        .problem(404, "not-found");
}

#[tokio::test]
async fn an_address_is_one_users_whatever_its_case() {
    let shop = Shop::shared().await;
    let (ann, bob) = (shop.hire("staff").await, shop.hire("staff").await);
    let owner = shop.as_owner();
    let again = owner
        .post("/api/users", new(&ann.email.to_uppercase(), "staff"))
        .await;
    again.problem(409, "email-taken");
    let change = json!({ "email": ann.email });
    owner
        .patch(&path(&bob), change.clone())
        .await
        .problem(409, "email-taken");
    owner.patch(&path(&ann), change).await.is(200);
}

#[tokio::test]
async fn anybody_of_the_shop_sees_its_users_and_nobody_else_does() {
    let shop = Shop::shared().await;
    let staff = shop.hire("staff").await;
    for path in ["/api/users", &path(&staff), &path(&shop.owner)] {
        shop.as_user(&staff).get(path).await.is(200);
        shop.visitor()
            .get(path)
            .await
            .problem(401, "authentication-required");
    }
}

#[tokio::test]
async fn staff_do_not_write_users_not_even_themselves() {
    let shop = Shop::shared().await;
    let (staff, other) = (shop.hire("staff").await, shop.hire("staff").await);
    let by = shop.as_user(&staff);
    by.post("/api/users", new("x@example.com", "staff"))
        .await
        .problem(403, "forbidden");
    for person in [&staff, &other, &shop.owner] {
        let change = json!({ "role": "owner" });
        by.patch(&path(person), change)
            .await
            .problem(403, "forbidden");
        by.patch(&path(person), json!({ "first_name": "X" }))
            .await
            .problem(403, "forbidden");
        by.delete(&path(person)).await.problem(403, "forbidden");
    }
    let me = by.get("/api/auth/me").await.is(200).json();
    assert_eq!(me["role"], "staff");
}

#[tokio::test]
async fn admins_write_users_but_owners() {
    let shop = Shop::shared().await;
    let (admin, staff) = (shop.hire("admin").await, shop.hire("staff").await);
    let by = shop.as_user(&admin);
    by.post("/api/users", new("o@example.com", "owner"))
        .await
        .problem(403, "forbidden");
    let made = by
        .post("/api/users", new("a@example.com", "admin"))
        .await
        .is(201)
        .json();
    by.delete(&format!("/api/users/{}", made["id"].as_str().unwrap()))
        .await
        .is(204);
    by.patch(&path(&staff), json!({ "role": "admin" }))
        .await
        .is(200);
    by.patch(&path(&staff), json!({ "role": "owner" }))
        .await
        .problem(403, "forbidden");
    by.patch(&path(&admin), json!({ "role": "owner" }))
        .await
        .problem(403, "forbidden");
    for change in [
        json!({ "role": "staff" }),
        json!({ "password": "taken over by admin" }),
        json!({ "email": "taken@example.com" }),
        json!({ "active": false }),
        json!({}),
    ] {
        by.patch(&path(&shop.owner), change)
            .await
            .problem(403, "forbidden");
    }
    by.delete(&path(&shop.owner))
        .await
        .problem(403, "forbidden");
    shop.log_in(&shop.owner).await;
    shop.as_owner()
        .patch(&path(&admin), json!({ "role": "owner" }))
        .await
        .is(200);
}

#[tokio::test]
async fn a_shop_keeps_an_active_owner() {
    let shop = Shop::shared().await;
    let owner = shop.as_owner();
    let alone = path(&shop.owner);
    let ways_out = [json!({ "role": "admin" }), json!({ "active": false })];
    for change in &ways_out {
        owner
            .patch(&alone, change.clone())
            .await
            .problem(409, "last-owner");
    }
    owner.delete(&alone).await.problem(409, "last-owner");
    let me = owner.get("/api/auth/me").await.is(200).json();
    assert_eq!(
        (&me["role"], &me["active"]),
        (&json!("owner"), &json!(true))
    );

    // another owner who may not sign in is none
    let second = shop.hire("owner").await;
    owner
        .patch(&path(&second), json!({ "active": false }))
        .await
        .is(200);
    owner
        .patch(&alone, ways_out[0].clone())
        .await
        .problem(409, "last-owner");
    owner
        .patch(&path(&second), json!({ "active": true }))
        .await
        .is(200);
    owner.patch(&alone, ways_out[0].clone()).await.is(200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_owners_who_remove_each_other_at_once_leave_one() {
    let shop = Shop::shared().await;
    for _ in 0..5 {
        let second = shop.hire("owner").await;
        let (by_first, by_second) = (shop.as_owner(), shop.as_user(&second));
        let (first_path, second_path) = (path(&shop.owner), path(&second));
        let demote = |by: Client, path: String| {
            tokio::spawn(async move { by.patch(&path, json!({ "role": "staff" })).await.status })
        };
        let one = demote(by_first, second_path.clone());
        let two = demote(by_second.clone(), first_path.clone());
        let statuses = [one.await.unwrap(), two.await.unwrap()];
        let worked = statuses.iter().filter(|status| **status == 200).count();
        assert_eq!(worked, 1, "{statuses:?}");
        if statuses[1] == 200 {
            by_second
                .patch(&first_path, json!({ "role": "owner" }))
                .await
                .is(200);
        }
        shop.as_owner().delete(&second_path).await.is(204);
    }
}

#[tokio::test]
async fn who_is_deactivated_or_removed_is_out_at_once() {
    let shop = Shop::shared().await;
    let (ann, bob) = (shop.hire("staff").await, shop.hire("staff").await);
    let owner = shop.as_owner();
    shop.as_user(&ann).get("/api/auth/me").await.is(200);
    owner
        .patch(&path(&ann), json!({ "active": false }))
        .await
        .is(200);
    shop.as_user(&ann)
        .get("/api/auth/me")
        .await
        .problem(401, "invalid-token");
    owner
        .patch(&path(&ann), json!({ "active": true }))
        .await
        .is(200);
    shop.as_user(&ann)
        .get("/api/auth/me")
        .await
        .problem(401, "invalid-token");
    shop.log_in(&ann).await;

    shop.as_user(&bob).get("/api/auth/me").await.is(200);
    owner.delete(&path(&bob)).await.is(204);
    shop.as_user(&bob)
        .get("/api/auth/me")
        .await
        .problem(401, "invalid-token");
}

#[tokio::test]
async fn a_change_of_role_counts_at_once() {
    let shop = Shop::shared().await;
    let ann = shop.hire("staff").await;
    let by = shop.as_user(&ann);
    let change = json!({ "profile": { "currency": "USD" } });
    by.patch("/api/shop", change.clone())
        .await
        .problem(403, "forbidden");
    shop.as_owner()
        .patch(&path(&ann), json!({ "role": "admin" }))
        .await
        .is(200);
    by.patch("/api/shop", change.clone()).await.is(200);
    shop.as_owner()
        .patch(&path(&ann), json!({ "role": "staff" }))
        .await
        .is(200);
    by.patch("/api/shop", change)
        .await
        .problem(403, "forbidden");
}

#[tokio::test]
async fn a_new_password_ends_every_token_and_the_old_password() {
    let shop = Shop::shared().await;
    let ann = shop.hire("staff").await;
    shop.as_user(&ann).get("/api/auth/me").await.is(200);
    let change = json!({ "password": "a new password" });
    shop.as_owner().patch(&path(&ann), change).await.is(200);
    shop.as_user(&ann)
        .get("/api/auth/me")
        .await
        .problem(401, "invalid-token");
    let old = json!({ "email": ann.email, "password": ann.password });
    shop.visitor()
        .post("/api/auth/login", old)
        .await
        .problem(401, "invalid-credentials");
    log_in(&shop.visitor(), &ann.email, "a new password").await;
}

#[tokio::test]
async fn the_products_of_somebody_who_left_stay() {
    let shop = Shop::shared().await;
    let ann = shop.hire("staff").await;
    let new = json!({ "name": "Spade", "code": "S" });
    let product = shop
        .as_user(&ann)
        .post("/api/products", new)
        .await
        .is(201)
        .json();
    assert_eq!(product["added_by"], ann.id);
    shop.as_owner().delete(&path(&ann)).await.is(204);
    let left = format!("/api/products/{}", product["id"].as_str().unwrap());
    assert!(shop.visitor().get(&left).await.is(200).json()["added_by"].is_null());
}

#[tokio::test]
async fn what_is_wrong_with_a_user_is_told_by_field() {
    let shop = Shop::shared().await;
    let owner = shop.as_owner();
    let bad = json!({ "email": "x", "password": "short", "first_name": "", "role": "king" });
    let fields = ["email", "first_name", "password", "role"];
    owner.post("/api/users", bad.clone()).await.invalid(&fields);
    owner
        .post("/api/users", json!({}))
        .await
        .invalid(&["email"]);
    let ann = shop.hire("staff").await;
    let before = owner.get(&path(&ann)).await.json();
    owner.patch(&path(&ann), bad).await.invalid(&fields);
    owner
        .patch(&path(&ann), json!({ "active": "yes" }))
        .await
        .invalid(&["active"]);
    assert_eq!(owner.get(&path(&ann)).await.json(), before);
    let long = json!({ "email": format!("{}@example.com", unique(&"e".repeat(250))) });
    owner.patch(&path(&ann), long).await.invalid(&["email"]);
}
