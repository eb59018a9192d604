//! The table: each route with who may use it and what it is given.

use serde_json::json;
use tenantry::routing::Kind;

use self::Who::{Anyone, SignedIn};
use crate::support::{Answer, Client, Payload, Shop};

/// Who may make a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    Anyone,
    SignedIn,
}

/// What the `{id}` in a path is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    Nothing,
    Product,
    User,
}

/// Makes the body of a request out of the shop that it is good for and a word of its own.
pub(super) type Body = fn(&Shop, &str) -> Payload;

pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) who: Who,
    pub(super) of: Of,
    pub(super) body: Body,
    /// The answer to somebody who may.
    pub(super) success: u16,
}

const fn central(method: &'static str, path: &'static str, body: Body, success: u16) -> Entry {
    Entry {
        kind: Kind::Central,
        method,
        path,
        who: Anyone,
        of: Of::Nothing,
        body,
        success,
    }
}

const fn tenant(
    method: &'static str,
    path: &'static str,
    who: Who,
    of: Of,
    body: Body,
    success: u16,
) -> Entry {
    Entry {
        kind: Kind::Tenant,
        method,
        path,
        who,
        of,
        body,
        success,
    }
}

pub(super) const MATRIX: &[Entry] = &[
    central("GET", "/", nothing, 200),
    central("POST", "/shops", shop_form, 201),
    central("POST", "/api/shops", shop, 201),
    tenant("GET", "/", Anyone, Of::Nothing, nothing, 200),
    tenant("GET", "/sign-in", Anyone, Of::Nothing, nothing, 200),
    tenant("POST", "/sign-in", Anyone, Of::Nothing, login_form, 303),
    tenant("POST", "/sign-out", Anyone, Of::Nothing, empty_form, 303),
    tenant("GET", "/products/new", SignedIn, Of::Nothing, nothing, 200),
    tenant(
        "POST",
        "/products",
        SignedIn,
        Of::Nothing,
        product_form,
        303,
    ),
    tenant(
        "GET",
        "/products/{id}/edit",
        SignedIn,
        Of::Product,
        nothing,
        200,
    ),
    tenant(
        "POST",
        "/products/{id}",
        SignedIn,
        Of::Product,
        product_form,
        303,
    ),
    tenant(
        "POST",
        "/products/{id}/delete",
        SignedIn,
        Of::Product,
        empty_form,
        303,
    ),
    tenant("GET", "/api/shop", Anyone, Of::Nothing, nothing, 200),
    tenant("PATCH", "/api/shop", SignedIn, Of::Nothing, tagline, 200),
    tenant("POST", "/api/auth/login", Anyone, Of::Nothing, login, 200),
    tenant(
        "POST",
        "/api/auth/logout",
        SignedIn,
        Of::Nothing,
        nothing,
        204,
    ),
    tenant(
        "POST",
        "/api/auth/logout-all",
        SignedIn,
        Of::Nothing,
        nothing,
        204,
    ),
    tenant("GET", "/api/auth/me", SignedIn, Of::Nothing, nothing, 200),
    tenant("GET", "/api/users", SignedIn, Of::Nothing, nothing, 200),
    tenant("POST", "/api/users", SignedIn, Of::Nothing, user, 201),
    tenant("GET", "/api/users/{id}", SignedIn, Of::User, nothing, 200),
    tenant(
        "PATCH",
        "/api/users/{id}",
        SignedIn,
        Of::User,
        first_name,
        200,
    ),
    tenant(
        "DELETE",
        "/api/users/{id}",
        SignedIn,
        Of::User,
        nothing,
        204,
    ),
    tenant("GET", "/api/products", Anyone, Of::Nothing, nothing, 200),
    tenant("POST", "/api/products", SignedIn, Of::Nothing, product, 201),
    tenant(
        "GET",
        "/api/products/{id}",
        Anyone,
        Of::Product,
        nothing,
        200,
    ),
    tenant(
        "PUT",
        "/api/products/{id}",
        SignedIn,
        Of::Product,
        product,
        200,
    ),
    tenant(
        "PATCH",
        "/api/products/{id}",
        SignedIn,
        Of::Product,
        product,
        200,
    ),
    tenant(
        "DELETE",
        "/api/products/{id}",
        SignedIn,
        Of::Product,
        nothing,
        204,
    ),
];

/// Routes that have no place in the table, and why. This list only shrinks.
pub(super) const EXCEPTIONS: &[(&str, &str, &str)] = &[
    (
        "GET",
        "/healthz",
        "says that the program lives, whatever the host",
    ),
    (
        "GET",
        "/readyz",
        "says whether the program can serve, whatever the host",
    ),
    (
        "GET",
        "/assets/style.css",
        "a file in the program, the same for everybody",
    ),
    (
        "GET",
        "/assets/favicon.svg",
        "a file in the program, the same for everybody",
    ),
];

fn nothing(_: &Shop, _: &str) -> Payload {
    Payload::Nothing
}

fn empty_form(_: &Shop, _: &str) -> Payload {
    Payload::Form(Vec::new())
}

fn shop(_: &Shop, word: &str) -> Payload {
    Payload::Json(json!({
        "code": word,
        "name": word,
        "owner": { "email": "owner@example.com", "password": "long enough", "first_name": "O" },
    }))
}

fn shop_form(_: &Shop, word: &str) -> Payload {
    let word = word.to_owned();
    Payload::Form(vec![
        ("name", word.clone()),
        ("code", word.clone()),
        ("first_name", word),
        ("email", "owner@example.com".into()),
        ("password", "long enough".into()),
    ])
}

fn login(shop: &Shop, _: &str) -> Payload {
    Payload::Json(json!({ "email": shop.owner.email, "password": shop.owner.password }))
}

fn login_form(shop: &Shop, _: &str) -> Payload {
    let owner = &shop.owner;
    Payload::Form(vec![
        ("email", owner.email.clone()),
        ("password", owner.password.clone()),
    ])
}

fn tagline(_: &Shop, word: &str) -> Payload {
    Payload::Json(json!({ "profile": { "tagline": word } }))
}

pub(super) fn user(_: &Shop, word: &str) -> Payload {
    Payload::Json(json!({
        "email": format!("{word}@example.com"), "password": "long enough", "first_name": word,
    }))
}

fn first_name(_: &Shop, word: &str) -> Payload {
    Payload::Json(json!({ "first_name": word }))
}

pub(super) fn product(_: &Shop, word: &str) -> Payload {
    Payload::Json(json!({ "name": word, "code": word, "price": "3.00" }))
}

fn product_form(_: &Shop, word: &str) -> Payload {
    let word = word.to_owned();
    Payload::Form(vec![
        ("name", word.clone()),
        ("code", word),
        ("price", "3.00".into()),
    ])
}

impl Entry {
    pub(super) fn is_page(&self) -> bool {
        !self.path.starts_with("/api/")
    }

    /// The request, as the kind of client makes it that the route is for.
    pub(super) async fn by(&self, client: &Client, id: &str, body: Payload) -> Answer {
        let client = if self.is_page() {
            client.browser()
        } else {
            client.clone()
        };
        client
            .send(self.method, &self.path.replace("{id}", id), body)
            .await
    }

    /// The client with the token as that kind of client shows it.
    pub(super) fn signed_in(&self, client: &Client, token: &str) -> Client {
        if self.is_page() {
            client.cookie(token)
        } else {
            client.bearer(token)
        }
    }

    /// Fails unless the answer is that refusal: a problem, or a page about it.
    #[track_caller]
    pub(super) fn refused(&self, answer: &Answer, status: u16, slug: &str) {
        if self.is_page() {
            answer.page(status);
        } else {
            answer.problem(status, slug);
        }
    }

    /// Fails unless whoever asked is told to sign in.
    #[track_caller]
    pub(super) fn not_let_in(&self, answer: &Answer, slug: &str) {
        if self.is_page() {
            answer.redirects_to("/sign-in");
        } else {
            answer.problem(401, slug);
        }
    }

    pub(super) fn name(&self) -> (&str, &str, Kind) {
        (self.method, self.path, self.kind)
    }
}
