//! Accounts: making one, signing in and out, a forgotten password.

use serde_json::json;

use crate::support::{PASSWORD, link_mailed, register, shared, text, unique};

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
