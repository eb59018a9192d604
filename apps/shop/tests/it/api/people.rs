//! Invitations, mailed links, JWTs, keys, sessions, second factors, and the log.

use serde_json::{Value, json};

use crate::support::{PASSWORD, Payload, Shop, link_in_mail, log_in, session_in, text, unique};

async fn actions(shop: &Shop) -> Vec<String> {
    let log = shop
        .as_owner()
        .get("/api/audit?limit=200")
        .await
        .is(200)
        .json();
    let entries = log["items"].as_array().unwrap();
    entries.iter().map(|entry| text(&entry["action"])).collect()
}

#[tokio::test]
async fn somebody_is_invited_and_joins() {
    let shop = Shop::shared().await;
    let owner = shop.as_owner();
    let email = format!("{}@example.com", unique("bob"));
    let wanted = json!({ "email": email, "role": "staff" });
    let sent = owner
        .post("/api/invitations", wanted.clone())
        .await
        .is(201)
        .json();
    let open = owner.get("/api/invitations").await.is(200).json();
    assert_eq!(open["items"][0]["id"], sent["id"]);
    let link = link_in_mail(&shop, &email).await;
    let page = shop
        .by_host()
        .browser()
        .get(&format!("/invitation?link={link}"))
        .await;
    assert!(page.page(200).contains("Join this shop"));
    let accept =
        |password: &str| json!({ "link": link, "password": password, "first_name": "Bob" });
    let weak = shop
        .visitor()
        .post("/api/invitations/accept", accept("password1"))
        .await;
    weak.invalid(&["password"]);
    let bob = shop
        .visitor()
        .post("/api/invitations/accept", accept(PASSWORD))
        .await
        .is(201);
    assert_eq!(
        (&bob.json()["role"], &bob.json()["email_verified"]),
        (&json!("staff"), &json!(true))
    );
    let again = shop
        .visitor()
        .post("/api/invitations/accept", accept(PASSWORD))
        .await;
    again.problem(401, "invalid-token");
    log_in(&shop.visitor(), &email, PASSWORD).await;
    let twice = owner.post("/api/invitations", wanted).await;
    twice.problem(409, "email-taken");
    let log = actions(&shop).await;
    assert_eq!(log[..3], ["signed-in", "joined", "invited"]);
}

#[tokio::test]
async fn staff_invite_nobody_and_admins_no_owner() {
    let shop = Shop::shared().await;
    let (admin, staff) = (shop.hire("admin").await, shop.hire("staff").await);
    let wanted =
        |role: &str| json!({ "email": format!("{}@example.com", unique("x")), "role": role });
    let (admin, staff) = (shop.as_user(&admin), shop.as_user(&staff));
    staff
        .post("/api/invitations", wanted("staff"))
        .await
        .problem(403, "forbidden");
    for path in ["/api/invitations", "/api/keys", "/api/audit"] {
        staff.get(path).await.problem(403, "forbidden");
    }
    admin
        .post("/api/invitations", wanted("owner"))
        .await
        .problem(403, "forbidden");
    admin
        .post("/api/invitations", wanted("admin"))
        .await
        .is(201);
    shop.as_owner()
        .post("/api/invitations", wanted("owner"))
        .await
        .is(201);
}

#[tokio::test]
async fn nobody_raises_their_own_role() {
    let shop = Shop::shared().await;
    for (role, to) in [("staff", "admin"), ("staff", "owner"), ("admin", "owner")] {
        let person = shop.hire(role).await;
        let change = json!({ "role": to });
        let path = format!("/api/users/{}", person.id);
        shop.as_user(&person)
            .patch(&path, change)
            .await
            .problem(403, "forbidden");
        let me = shop
            .as_user(&person)
            .get("/api/auth/me")
            .await
            .is(200)
            .json();
        assert_eq!(me["role"], role);
    }
}

#[tokio::test]
async fn a_forgotten_password_is_set_by_a_mailed_link() {
    let shop = Shop::shared().await;
    let person = shop.hire("staff").await;
    let ask = |email: &str| json!({ "email": email });
    let known = shop
        .visitor()
        .post("/api/auth/password/forgot", ask(&person.email))
        .await;
    let unknown = shop
        .visitor()
        .post("/api/auth/password/forgot", ask("eve@example.com"))
        .await;
    known.clone().is(202).same_as(&unknown);
    let link = link_in_mail(&shop, &person.email).await;
    let browser = shop.by_host().browser();
    let page = browser.get(&format!("/reset-password?link={link}")).await;
    page.page(200);
    let fields = [("link", link.as_str()), ("password", "quite another one")];
    browser.form("/reset-password", &fields).await.page(200);
    browser.form("/reset-password", &fields).await.page(401);
    // wherever they were signed in, that has ended
    let before = shop.as_user(&person).get("/api/auth/me").await;
    before.problem(401, "invalid-token");
    let old = json!({ "email": person.email, "password": PASSWORD });
    let old = shop.visitor().post("/api/auth/login", old).await;
    old.problem(401, "invalid-credentials");
    log_in(&shop.visitor(), &person.email, "quite another one").await;
    shop.as_owner().get("/api/auth/me").await.is(200); // and nobody else
}

#[tokio::test]
async fn an_address_is_changed_by_a_link_to_the_new_one() {
    let shop = Shop::shared().await;
    let person = shop.hire("staff").await;
    let new = format!("{}@example.com", unique("new"));
    let me = shop.as_user(&person);
    let change = |password: &str| json!({ "email": new, "password": password });
    me.post("/api/auth/email", change("wrong"))
        .await
        .problem(401, "invalid-credentials");
    me.post("/api/auth/email", change(PASSWORD)).await.is(202);
    assert_eq!(me.get("/api/auth/me").await.json()["email"], person.email);
    let link = json!({ "link": link_in_mail(&shop, &new).await });
    let changed = shop
        .visitor()
        .post("/api/auth/email/confirm", link.clone())
        .await
        .is(200);
    assert_eq!(changed.json()["email"], new);
    assert_eq!(changed.json()["email_verified"], true);
    let again = shop.visitor().post("/api/auth/email/confirm", link).await;
    again.problem(401, "invalid-token");
}

#[tokio::test]
async fn jwts_are_refreshed_once_and_end() {
    let shop = Shop::shared().await;
    let login = json!({ "email": shop.owner.email, "password": shop.owner.password });
    let first = shop
        .visitor()
        .post("/api/auth/jwt", login.clone())
        .await
        .is(200)
        .json();
    let by = |pair: &Value| shop.visitor().bearer(&text(&pair["access"]));
    let refresh = |pair: &Value| json!({ "refresh": pair["refresh"] });
    by(&first).get("/api/auth/me").await.is(200);
    let as_access = shop.visitor().bearer(&text(&first["refresh"]));
    as_access
        .get("/api/auth/me")
        .await
        .problem(401, "invalid-token");
    let second = shop
        .visitor()
        .post("/api/auth/jwt/refresh", refresh(&first))
        .await
        .is(200)
        .json();
    let reused = shop
        .visitor()
        .post("/api/auth/jwt/refresh", refresh(&first))
        .await;
    reused.problem(401, "invalid-token");
    by(&second)
        .get("/api/auth/me")
        .await
        .problem(401, "invalid-token");
    let other = shop
        .visitor()
        .post("/api/auth/jwt", login)
        .await
        .is(200)
        .json();
    by(&other)
        .send("POST", "/api/auth/logout", Payload::Nothing)
        .await
        .is(204);
    by(&other)
        .get("/api/auth/me")
        .await
        .problem(401, "invalid-token");
    for malformed in ["eyJ.eyJ.eyJ", "a.b.c", "eyJhbGciOiJub25lIn0.e30."] {
        let answer = shop.visitor().bearer(malformed).get("/api/auth/me").await;
        answer.problem(401, "invalid-token");
    }
}

#[tokio::test]
async fn tokens_and_sessions_are_listed_and_ended_one_by_one() {
    let shop = Shop::shared().await;
    let person = shop.hire("staff").await;
    let me = shop.as_user(&person);
    let named = json!({ "email": person.email, "password": PASSWORD, "name": "till" });
    let till = shop
        .visitor()
        .post("/api/auth/login", named)
        .await
        .is(200)
        .json();
    let tokens = me.get("/api/auth/tokens").await.is(200).json();
    let tokens = tokens["items"].as_array().unwrap();
    assert_eq!(tokens.len(), 2);
    let listed = tokens.iter().find(|token| token["name"] == "till").unwrap();
    assert_eq!(listed["current"], false);
    me.delete(&format!("/api/auth/tokens/{}", text(&listed["id"])))
        .await
        .is(204);
    let ended = shop
        .visitor()
        .bearer(&text(&till["token"]))
        .get("/api/auth/me")
        .await;
    ended.problem(401, "invalid-token");

    let fields = [("email", person.email.as_str()), ("password", PASSWORD)];
    let phone = shop.by_host().browser().with("user-agent", "Phone");
    let cookie = session_in(&phone.form("/sign-in", &fields).await);
    let sessions = me.get("/api/auth/sessions").await.is(200).json();
    assert_eq!(sessions["items"][0]["agent"], "Phone");
    let id = text(&sessions["items"][0]["id"]);
    let colleague = shop
        .as_owner()
        .delete(&format!("/api/auth/sessions/{id}"))
        .await;
    colleague.problem(404, "not-found");
    phone.cookie(&cookie).get("/products/new").await.page(200);
    me.delete(&format!("/api/auth/sessions/{id}")).await.is(204);
    phone
        .cookie(&cookie)
        .get("/products/new")
        .await
        .redirects_to("/sign-in");
}

#[tokio::test]
async fn a_session_gets_another_name_at_sign_in() {
    let shop = Shop::shared().await;
    let first = shop.session_of(&shop.owner).await;
    let fields = [
        ("email", shop.owner.email.as_str()),
        ("password", &shop.owner.password),
    ];
    let planted = shop.by_host().browser().cookie(&first);
    let second = session_in(&planted.form("/sign-in", &fields).await);
    assert_ne!(first, second);
    planted.get("/products/new").await.redirects_to("/sign-in");
    shop.by_host()
        .browser()
        .cookie(&second)
        .get("/products/new")
        .await
        .page(200);
}

#[tokio::test]
async fn a_program_does_what_its_key_is_for() {
    let shop = Shop::shared().await;
    let owner = shop.as_owner();
    let make = |scopes: &[&str]| json!({ "name": "till", "scopes": scopes });
    owner
        .post("/api/keys", make(&["everything"]))
        .await
        .invalid(&["scopes"]);
    owner
        .post("/api/keys", make(&[]))
        .await
        .invalid(&["scopes"]);
    let made = owner
        .post("/api/keys", make(&["products:write"]))
        .await
        .is(201)
        .json();
    let till = shop.visitor().bearer(&text(&made["secret"]));
    let product = json!({ "name": "Spade", "code": unique("spade"), "price": "1" });
    let added = till.post("/api/products", product).await.is(201).json();
    assert_eq!(added["added_by"], Value::Null);
    for path in ["/api/users", "/api/keys", "/api/auth/me", "/api/audit"] {
        till.get(path).await.problem(403, "forbidden");
    }
    let reader = owner
        .post("/api/keys", make(&["users:read"]))
        .await
        .is(201)
        .json();
    let reader = shop.visitor().bearer(&text(&reader["secret"]));
    reader.get("/api/users").await.is(200);
    reader
        .post("/api/products", json!({}))
        .await
        .problem(403, "forbidden");
    let listed = owner.get("/api/keys").await.is(200).text();
    assert!(!listed.contains(&text(&made["secret"])));
    owner
        .delete(&format!("/api/keys/{}", text(&made["id"])))
        .await
        .is(204);
    till.post("/api/products", json!({}))
        .await
        .problem(401, "invalid-token");
}

#[tokio::test]
async fn attempts_are_limited_and_a_stranger_is_told_when_to_come_back() {
    let server = crate::support::Place::new().serve();
    let shop = Shop::open(&server).await;
    let login = |password: &str| json!({ "email": shop.owner.email, "password": password });
    let mut refused = None;
    for _ in 0..20 {
        let answer = shop.visitor().post("/api/auth/login", login("wrong")).await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
        answer.problem(401, "invalid-credentials");
    }
    let refused = refused.expect("it is limited");
    refused.problem(429, "too-many-requests");
    let wait: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait), "{wait}");
    // nobody else is kept out, and who is in stays in
    let other = Shop::open(&server).await;
    other.log_in(&other.owner).await;
    shop.as_owner().get("/api/auth/me").await.is(200);
}

#[tokio::test]
async fn secrets_are_kept_in_no_cache() {
    let shop = Shop::shared().await;
    let person = shop.hire("staff").await;
    let login = json!({ "email": person.email, "password": person.password });
    let uncached = |answer: crate::support::Answer| {
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        answer
    };
    uncached(shop.visitor().post("/api/auth/login", login).await.is(200));
    let me = shop.as_user(&person);
    uncached(me.post("/api/auth/totp", json!({})).await.is(200));
    let key = json!({ "name": "x", "scopes": ["products:write"] });
    let made = shop.as_owner().post("/api/keys", key).await.is(201);
    uncached(made);
    let pages = shop.by_host().browser();
    uncached(pages.get("/reset-password?link=tnl_nothing").await);
    // what is the same for everybody may be kept
    let style = pages.get("/assets/style.css").await.is(200);
    assert_ne!(style.header("cache-control"), Some("no-store"));
}

#[tokio::test]
async fn a_link_that_is_over_tells_how_to_have_another() {
    let shop = Shop::shared().await;
    let pages = shop.by_host().browser();
    for (path, what_next) in [
        ("reset-password", "Mail me a link"),
        ("invitation", "Ask whoever invited you"),
    ] {
        let page = pages.get(&format!("/{path}?link=tnl_abcdefghij")).await;
        let page = page.page(401);
        assert!(
            page.contains("no longer") && page.contains(what_next),
            "{page}"
        );
    }
    let fields = [("link", "tnl_abcdefghij")];
    let page = pages.form("/confirm-email", &fields).await.page(401);
    assert!(page.contains("Sign in, and have another"), "{page}");
}

#[tokio::test]
async fn ones_own_password_and_address_need_the_old_password() {
    let shop = Shop::shared().await;
    let owner = shop.as_owner();
    let path = format!("/api/users/{}", shop.owner.id);
    let change = json!({ "password": "quite another one", "email": "eve@example.com" });
    owner
        .patch(&path, change.clone())
        .await
        .invalid(&["email", "password"]);
    let same = json!({ "email": shop.owner.email, "first_name": "Ann" });
    owner.patch(&path, same).await.is(200);
    // others' they may
    let person = shop.hire("staff").await;
    let path = format!("/api/users/{}", person.id);
    let change = json!({ "password": "quite another one" });
    owner.patch(&path, change).await.is(200);
}

#[tokio::test]
async fn confirming_with_a_password_is_no_sign_in() {
    let shop = Shop::shared().await;
    let person = shop.hire("staff").await;
    let client = shop.as_user(&person);
    let before = actions(&shop).await;
    let change = json!({ "current": "wrong", "new": "quite another one" });
    client
        .post("/api/auth/password", change)
        .await
        .problem(401, "invalid-credentials");
    let change = json!({ "current": person.password, "new": "quite another one" });
    client.post("/api/auth/password", change).await.is(204);
    let after = actions(&shop).await;
    let new = &after[..after.len() - before.len()];
    assert_eq!(new, ["password-changed", "confirmation-failed"]);
}
