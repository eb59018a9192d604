//! Operators, and how they stand in for users.

use serde_json::json;

use crate::support::{Client, PASSWORD, Payload, Shop, session_in, text, unique, until};

async fn operator(shop: &Shop, role: &str) -> Client {
    let email = format!("{}@operators.example.com", unique("kim"));
    let create = [
        "console",
        "user",
        "create",
        &email,
        "--name",
        "Kim",
        "--role",
        role,
        "--password-stdin",
    ];
    shop.server().place().run_with_input(&create, PASSWORD).ok();
    let login = json!({ "email": email, "password": PASSWORD });
    let answer = shop
        .server()
        .central()
        .post("/api/operators/login", login)
        .await
        .is(200);
    shop.server()
        .central()
        .bearer(&text(&answer.json()["token"]))
}

#[tokio::test]
async fn an_operator_stands_in_for_a_user_and_all_can_read_it() {
    let shop = Shop::shared().await;
    let wanted = json!({ "tenant": shop.code, "email": shop.owner.email, "reason": "ticket 7" });
    let viewer = operator(&shop, "viewer").await;
    let refused = viewer
        .post("/api/operators/impersonations", wanted.clone())
        .await;
    refused.problem(403, "forbidden");
    let support = operator(&shop, "support").await;
    let no_reason = json!({ "tenant": shop.code, "email": shop.owner.email, "reason": " " });
    support
        .post("/api/operators/impersonations", no_reason)
        .await
        .invalid(&["reason"]);
    let link = support
        .post("/api/operators/impersonations", wanted)
        .await
        .is(201)
        .json();
    let url = text(&link["url"]);
    let (_, secret) = url.split_once("?link=").unwrap();
    let browser = shop.by_host().browser();
    browser
        .get(&format!("/impersonate?link={secret}"))
        .await
        .page(200);
    let fields = [("link", secret)];
    let begun = browser.form("/impersonate", &fields).await;
    begun.redirects_to("/");
    browser.form("/impersonate", &fields).await.page(401);
    let session = session_in(&begun);
    let standing_in = browser.cookie(&session);
    // nobody's theme is before what must be seen
    let theme = json!({ "layout": "a theme around {{ content }}" });
    shop.as_owner().put("/api/theme", theme).await.is(200);
    let dressed = browser.get("/").await.page(200);
    assert!(dressed.contains("a theme around"), "{dressed}");
    let page = standing_in.get("/").await.page(200);
    assert!(!page.contains("a theme around"), "{page}");
    assert!(
        page.contains("stands in for") && page.contains("Stop standing in"),
        "{page}"
    );
    let name = unique("by-operator");
    let product = [("name", name.as_str()), ("code", &name), ("price", "1")];
    standing_in
        .form("/products", &product)
        .await
        .redirects_to("/");
    // but not what would outlast it
    let by_api = shop.by_host().cookie(&session);
    let theme = by_api.put("/api/theme", json!({})).await;
    theme.problem(403, "forbidden");
    let removed = standing_in.form("/settings/theme/remove", &[]).await;
    removed.page(403);
    let password = json!({ "current": shop.owner.password, "new": "quite another one" });
    by_api
        .post("/api/auth/password", password)
        .await
        .problem(403, "forbidden");
    let path = format!("/api/users/{}", shop.owner.id);
    let spade = shop.stock("Spade", &unique("S"), "1").await;
    let picture = format!("/api/products/{}/picture/link", text(&spade["id"]));
    for (method, path, body) in [
        (
            "POST",
            "/api/keys",
            json!({ "name": "x", "scopes": ["products:write"] }),
        ),
        (
            "POST",
            "/api/invitations",
            json!({ "email": "eve@example.com" }),
        ),
        ("POST", "/api/auth/totp", json!({})),
        (
            "POST",
            "/api/auth/totp/confirm",
            json!({ "code": "000000" }),
        ),
        (
            "POST",
            "/api/users",
            json!({ "email": "eve@example.com", "password": PASSWORD, "first_name": "Eve" }),
        ),
        ("PATCH", &path, json!({ "password": "quite another one" })),
        ("PATCH", &path, json!({ "email": "eve@example.com" })),
        ("POST", &picture, json!({})),
    ] {
        let refused = by_api.send(method, path, Payload::Json(body)).await;
        refused.problem(403, "forbidden");
    }
    standing_in.form("/sign-out", &[]).await.redirects_to("/");
    standing_in
        .get("/products/new")
        .await
        .redirects_to("/sign-in");
    let log = shop.as_owner().get("/api/audit").await.is(200).json();
    let entries = log["items"].as_array().unwrap();
    let asked = entries
        .iter()
        .find(|entry| entry["action"] == "impersonation-asked")
        .unwrap();
    assert_eq!(
        (&asked["detail"], &asked["actor"]["kind"]),
        (&json!("ticket 7"), &json!("operator"))
    );
    let ended = entries
        .iter()
        .find(|entry| entry["action"] == "impersonation-ended")
        .unwrap();
    assert_eq!(ended["actor"]["kind"], "operator");
    assert_eq!(ended["subject"], json!(shop.owner.email));
    let added = entries
        .iter()
        .find(|entry| entry["action"] == "product-added" && entry["subject"] == json!(name))
        .unwrap();
    assert_eq!(added["actor"]["name"], json!(shop.owner.email));
    assert!(added["operator"].is_string());
    let log = support.get("/api/operators/audit").await.is(200).json();
    let entries = log["items"].as_array().unwrap();
    let of_ours: Vec<_> = entries
        .iter()
        .filter(|entry| entry["tenant"] == json!(shop.code))
        .collect();
    assert_eq!(of_ours.len(), 3, "asked, begun, ended: {log}");
    for entry in of_ours {
        assert_eq!(entry["subject"], json!(shop.owner.email));
        assert_eq!(entry["address"], "127.0.0.1");
    }
}

#[tokio::test]
async fn a_disabled_operator_is_out_at_once() {
    let shop = Shop::shared().await;
    let kim = operator(&shop, "admin").await;
    let me = kim.get("/api/operators/me").await.is(200).json();
    let disable = ["console", "user", "disable", &text(&me["email"])];
    shop.server().place().run(&disable).ok();
    until(crate::support::A_SECOND, "the operator is out", || async {
        kim.get("/api/operators/me").await.status == 401
    })
    .await;
    let nobody = ["console", "user", "disable", "nobody@example.com"];
    shop.server().place().run(&nobody).refuses(1);
}
