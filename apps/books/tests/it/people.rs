//! Accounts: making one, signing in and out, a forgotten password.

use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;
use totp_rs::{Builder, Secret};

use crate::support::{Company, PASSWORD, Payload, link_mailed, register, shared, text, unique};

#[tokio::test]
async fn an_account_is_made_once_for_an_address() {
    let server = shared();
    let person = register(&server, "ann").await;
    let central = server.central();
    let me = central
        .bearer(&person.token)
        .get("/api/auth/me")
        .await
        .is(200)
        .json();
    assert_eq!(me["email"], person.email.as_str());
    assert_eq!(me["companies"], json!([]));
    let again = json!({
        "email": person.email.to_uppercase(), "password": PASSWORD, "first_name": "Ann",
    });
    let taken = central.post("/api/auth/register", again).await;
    taken.problem(409, "email-taken");
    let wrong = json!({ "email": "none", "password": "short", "first_name": "" });
    let refused = central.post("/api/auth/register", wrong).await;
    refused.invalid(&["email", "first_name", "password"]);
    let malformed = central
        .raw("POST", "/api/auth/register", "application/json", "{")
        .await;
    malformed.problem(400, "malformed");
}

#[tokio::test]
async fn who_signs_out_is_nobody() {
    let server = shared();
    let person = register(&server, "ann").await;
    let central = server.central();
    let login = |password: &str| json!({ "email": person.email, "password": password });
    let wrong = central
        .post("/api/auth/login", login("something else"))
        .await;
    wrong.problem(401, "invalid-credentials");
    let token = central.post("/api/auth/login", login(PASSWORD)).await;
    let token = text(&token.is(200).json()["token"]);
    let signed_in = central.bearer(&token);
    signed_in.post("/api/auth/logout", json!({})).await.is(204);
    signed_in
        .get("/api/auth/me")
        .await
        .problem(401, "invalid-token");
    // the other one lives on
    central
        .bearer(&person.token)
        .get("/api/auth/me")
        .await
        .is(200);
}

#[tokio::test]
async fn a_forgotten_password_is_set_anew_by_a_mailed_link() {
    let server = shared();
    let person = register(&server, "ann").await;
    let central = server.central();
    let forgot = |email: &str| json!({ "email": email });
    let known = central
        .post("/api/auth/forgot", forgot(&person.email))
        .await;
    let unknown = format!("{}@example.com", unique("nobody"));
    let unknown = central.post("/api/auth/forgot", forgot(&unknown)).await;
    known.clone().is(202);
    known.same_as(&unknown);
    let link = link_mailed(&server, "central", &person.email).await;
    let reset = |password: &str| json!({ "link": link, "password": password });
    let short = central.post("/api/auth/reset", reset("short")).await;
    short.invalid(&["password"]);
    let new = "a new password of hers";
    central.post("/api/auth/reset", reset(new)).await.is(204);
    let again = central.post("/api/auth/reset", reset(new)).await;
    again.problem(401, "invalid-token");
    // what was signed in is out
    let before = central.bearer(&person.token).get("/api/auth/me").await;
    before.problem(401, "invalid-token");
    let login = |password: &str| json!({ "email": person.email, "password": password });
    let old = central.post("/api/auth/login", login(PASSWORD)).await;
    old.problem(401, "invalid-credentials");
    central.post("/api/auth/login", login(new)).await.is(200);
}

#[tokio::test]
async fn a_company_has_an_address_of_its_own() {
    let server = shared();
    let person = register(&server, "ann").await;
    let central = server.central().bearer(&person.token);
    let code = unique("own");
    let new = |code: &str| json!({ "code": code, "name": "Own" });
    let made = central.post("/api/companies", new(&code)).await.is(201);
    let at = format!("/api/companies/{code}");
    assert_eq!(made.header("location"), Some(&*at));
    central.get(&at).await.is(200);
    let taken = central.post("/api/companies", new(&code)).await;
    taken.problem(409, "code-taken");
    for bad in ["", "a b", "Ä", "-x", "www"] {
        central
            .post("/api/companies", new(bad))
            .await
            .invalid(&["code"]);
    }
    let me = central.get("/api/auth/me").await.is(200).json();
    assert_eq!(me["companies"][0]["role"], "owner");
    let url = format!("http://localhost:{}/c/{code}", server.port());
    assert_eq!(me["companies"][0]["url"], url);
}

/// What an authenticator shows for a secret, so many seconds from now.
fn code_in(secret: &str, seconds: u64) -> String {
    let secret = Secret::try_from_base32(secret).unwrap().as_bytes().to_vec();
    let codes = Builder::new()
        .with_secret(secret.into_boxed_slice())
        .build();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    codes.unwrap().generate(now.as_secs() + seconds).to_string()
}

#[tokio::test]
async fn who_has_a_second_factor_needs_it_everywhere() {
    let server = shared();
    let person = register(&server, "ann").await;
    let central = server.central();
    let me = central.bearer(&person.token);
    let begun = me.post("/api/auth/totp", json!({})).await.is(200).json();
    let secret = text(&begun["secret"]);
    let login =
        |code: Option<&str>| json!({ "email": person.email, "password": PASSWORD, "code": code });
    // it does not count before it is confirmed
    central.post("/api/auth/login", login(None)).await.is(200);
    let code = json!({ "code": code_in(&secret, 0) });
    let confirmed = me.post("/api/auth/totp/confirm", code).await.is(200);
    let recovery = text(&confirmed.json()["recovery_codes"][0]);
    let again = me.post("/api/auth/totp", json!({})).await;
    again.problem(409, "second-factor-on");

    let without = central.post("/api/auth/login", login(None)).await;
    without.problem(401, "second-factor-required");
    central
        .post("/api/auth/login", login(Some(&recovery)))
        .await
        .is(200);
    let used = central
        .post("/api/auth/login", login(Some(&recovery)))
        .await;
    used.problem(401, "second-factor-required");
    let browser = central.browser();
    let form = |code| {
        [
            ("email", &*person.email),
            ("password", PASSWORD),
            ("code", code),
        ]
    };
    let asked = browser.form("/sign-in", &form("")).await;
    assert!(asked.header("set-cookie").is_none());
    assert!(asked.page(401).contains("name=\"code\""));
    let next = code_in(&secret, 30);
    browser
        .form("/sign-in", &form(&next))
        .await
        .redirects_to("/companies");

    let change = json!({ "current": PASSWORD, "new": "quite another one" });
    let without = me.post("/api/auth/password", change).await;
    without.problem(401, "second-factor-required");
    let second = text(&confirmed.json()["recovery_codes"][1]);
    let proof = json!({ "password": PASSWORD, "code": second });
    let removed = me
        .send("DELETE", "/api/auth/totp", Payload::Json(proof))
        .await;
    removed.is(204);
    central.post("/api/auth/login", login(None)).await.is(200);
}

#[tokio::test]
async fn another_password_needs_the_old_one_and_ends_what_is_signed_in() {
    let server = shared();
    let person = register(&server, "ann").await;
    let central = server.central();
    let me = central.bearer(&person.token);
    let change = |current: &str, new: &str| json!({ "current": current, "new": new });
    let wrong = me
        .post("/api/auth/password", change("wrong", "quite another one"))
        .await;
    wrong.problem(401, "invalid-credentials");
    let short = me
        .post("/api/auth/password", change(PASSWORD, "short"))
        .await;
    short.invalid(&["new"]);
    let changed = me
        .post("/api/auth/password", change(PASSWORD, "quite another one"))
        .await;
    changed.is(204);
    me.get("/api/auth/me").await.problem(401, "invalid-token");
    let login = json!({ "email": person.email, "password": "quite another one" });
    central.post("/api/auth/login", login).await.is(200);
}

#[tokio::test]
async fn what_is_said_is_kept_in_no_cache() {
    let company = Company::shared().await;
    let customer = company.customer("c").await;
    let owner = company.as_owner();
    let login = json!({ "email": company.owner.email, "password": PASSWORD });
    let central = company.server().central();
    for answer in [
        central.post("/api/auth/login", login).await,
        central
            .bearer(&company.owner.token)
            .post("/api/auth/totp", json!({}))
            .await,
        owner.get(&format!("/api/customers/{customer}")).await,
        owner.get("/api/customers").await,
        company
            .browser(&company.owner)
            .get(&company.page("/customers"))
            .await,
        central.browser().get("/new-password?link=tnp_none").await,
        central.browser().get(&company.page("/customers")).await,
    ] {
        assert_eq!(
            answer.header("cache-control"),
            Some("no-store"),
            "{}",
            answer.asked
        );
    }
    // what is the same for everybody may be kept
    let style = central.get("/assets/style.css").await.is(200);
    assert_ne!(style.header("cache-control"), Some("no-store"));
}
