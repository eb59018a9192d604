use serde_json::json;

use super::has_fields;
use crate::support::{Client, PASSWORD, Shop, log_in, shared, unique};

fn login(email: &str, password: &str) -> serde_json::Value {
    json!({ "email": email, "password": password })
}

#[tokio::test]
async fn a_login_gives_a_token_that_says_who_one_is() {
    let shop = Shop::shared().await;
    let body = login("  OWNER@Example.com ", PASSWORD);
    let answer = shop
        .visitor()
        .post("/api/auth/login", body)
        .await
        .is(200)
        .json();
    has_fields(&answer, &["token", "expires_at", "user"]);
    let expires = chrono::DateTime::parse_from_rfc3339(answer["expires_at"].as_str().unwrap());
    assert!(expires.unwrap() > chrono::Utc::now());
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
    has_fields(&answer["user"], &fields);

    let token = answer["token"].as_str().unwrap();
    for scheme in ["Bearer", "bearer", "Token", "TOKEN"] {
        let by = shop
            .visitor()
            .with("authorization", &format!("{scheme} {token}"));
        assert_eq!(by.get("/api/auth/me").await.is(200).json(), answer["user"]);
    }
    let session = shop.session_of(&shop.owner).await;
    let browser = shop.by_host().cookie(&session);
    browser.get("/api/auth/me").await.is(200);
    // neither is good in the other's place
    let crossed = shop.by_host().cookie(token).get("/api/auth/me").await;
    crossed.problem(401, "authentication-required");
    let crossed = shop.by_host().bearer(&session).get("/api/auth/me").await;
    crossed.problem(401, "invalid-token");
}

#[tokio::test]
async fn a_refused_login_does_not_tell_why() {
    let shop = Shop::shared().await;
    let gone = shop.hire("staff").await;
    let path = format!("/api/users/{}", gone.id);
    shop.as_owner()
        .patch(&path, json!({ "active": false }))
        .await
        .is(200);
    let answers = [
        shop.visitor()
            .post("/api/auth/login", login("nobody@example.com", PASSWORD))
            .await,
        shop.visitor()
            .post(
                "/api/auth/login",
                login("owner@example.com", "wrong password"),
            )
            .await,
        shop.visitor()
            .post("/api/auth/login", login(&gone.email, PASSWORD))
            .await,
        shop.visitor().post("/api/auth/login", login("", "")).await,
        shop.visitor()
            .post("/api/auth/login", login("a\0b", &"x".repeat(5000)))
            .await,
    ];
    for answer in &answers {
        answer.problem(401, "invalid-credentials");
        answer.same_as(&answers[0]);
    }
    shop.visitor()
        .post("/api/auth/login", login("owner@example.com", PASSWORD))
        .await
        .is(200);
}

#[tokio::test]
async fn tokens_that_are_none_are_refused() {
    let shop = Shop::shared().await;
    let good = &shop.owner.token;
    shop.as_owner().get("/api/auth/me").await.is(200);
    shop.visitor()
        .get("/api/auth/me")
        .await
        .problem(401, "authentication-required");
    let last = if good.ends_with('A') { "B" } else { "A" };
    let altered = format!("{}{last}", &good[..good.len() - 1]);
    let cut = &good[..good.len() - 1];
    let bad = [
        "",
        "x",
        "tnt_",
        "tnt_%00%00%00%00",
        &altered,
        cut,
        &format!("{good} {good}"),
    ];
    for token in bad {
        let answer = shop.visitor().bearer(token).get("/api/auth/me").await;
        answer.problem(401, "invalid-token");
        assert_eq!(answer.header("www-authenticate"), Some("Bearer"));
    }
    for scheme in ["Basic", "Bearer:", ""] {
        let by = shop
            .visitor()
            .with("authorization", &format!("{scheme} {good}"));
        by.get("/api/auth/me").await.problem(401, "invalid-token");
    }
}

async fn works(shop: &Shop, token: &str) -> bool {
    let me = shop.visitor().bearer(token).get("/api/auth/me").await;
    if me.status != 200 {
        me.problem(401, "invalid-token");
    }
    me.status == 200
}

#[tokio::test]
async fn logout_ends_one_token_and_logout_all_every_one_of_the_user() {
    let shop = Shop::shared().await;
    let other = shop.hire("staff").await;
    let [one, two, three] = [
        shop.log_in(&shop.owner).await,
        shop.log_in(&shop.owner).await,
        shop.log_in(&shop.owner).await,
    ];
    let as_one: Client = shop.visitor().bearer(&one);
    as_one.post("/api/auth/logout", json!({})).await.is(204);
    assert!(!works(&shop, &one).await && works(&shop, &two).await && works(&shop, &three).await);
    as_one
        .post("/api/auth/logout", json!({}))
        .await
        .problem(401, "invalid-token");

    let as_two = shop.visitor().bearer(&two);
    as_two.post("/api/auth/logout-all", json!({})).await.is(204);
    assert!(!works(&shop, &two).await && !works(&shop, &three).await);
    assert!(
        works(&shop, &other.token).await,
        "another user is signed out too"
    );
    shop.log_in(&shop.owner).await;
}

#[tokio::test]
async fn an_address_is_somebody_else_in_every_shop() {
    let server = shared();
    let one = Shop::open_as(&server, &unique("one"), "the first password").await;
    let two = Shop::open_as(&server, &unique("two"), "the second password").await;
    assert_eq!(one.owner.email, two.owner.email);
    log_in(&one.visitor(), "owner@example.com", "the first password").await;
    log_in(&two.visitor(), "owner@example.com", "the second password").await;
    let crossed = login("owner@example.com", "the second password");
    one.visitor()
        .post("/api/auth/login", crossed)
        .await
        .problem(401, "invalid-credentials");

    // what one changes is nothing to the other
    let change = json!({ "current": "the first password", "new": "the third password" });
    one.as_owner()
        .post("/api/auth/password", change)
        .await
        .is(204);
    log_in(&one.visitor(), "owner@example.com", "the third password").await;
    assert!(works(&two, &two.owner.token).await);
    log_in(&two.visitor(), "owner@example.com", "the second password").await;
}
