use std::sync::{
    Arc,
    atomic::{AtomicU32, Ordering},
};

use serde_json::{Value, json};

use super::{Client, Server};

/// The password of everybody whose password does not matter.
pub(crate) const PASSWORD: &str = "correct horse battery";

/// A word that nobody else uses in this run.
pub(crate) fn unique(word: &str) -> String {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    format!("{word}-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}

/// A shop, and its owner signed in.
#[derive(Debug)]
pub(crate) struct Shop {
    server: Arc<Server>,
    pub(crate) id: String,
    pub(crate) code: String,
    pub(crate) owner: Person,
}

/// Somebody who works at a shop, signed in.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    pub(crate) id: String,
    pub(crate) email: String,
    pub(crate) password: String,
    pub(crate) token: String,
}

impl Shop {
    /// Opens a shop that is this test's own.
    pub(crate) async fn open(server: &Arc<Server>) -> Self {
        Self::open_as(server, &unique("shop"), PASSWORD).await
    }

    /// Opens a shop by its code. Its owner is `owner@example.com`.
    pub(crate) async fn open_as(server: &Arc<Server>, code: &str, password: &str) -> Self {
        let opened = server
            .central()
            .post("/api/shops", opening(code, password))
            .await
            .is(201);
        let (shop, email) = (opened.json(), "owner@example.com");
        let token = log_in(&server.tenant(code), email, password).await;
        Self {
            server: server.clone(),
            id: text(&shop["id"]),
            code: code.into(),
            owner: Person {
                id: text(&shop["owner"]["id"]),
                email: email.into(),
                password: password.into(),
                token,
            },
        }
    }

    /// Opens a shop on the shared server.
    pub(crate) async fn shared() -> Self {
        Self::open(&super::shared()).await
    }

    pub(crate) fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// Somebody who is not signed in.
    pub(crate) fn visitor(&self) -> Client {
        self.server.tenant(&self.code)
    }

    /// Somebody who is not signed in, and names the shop by its host.
    pub(crate) fn by_host(&self) -> Client {
        self.server.host(&self.code)
    }

    pub(crate) fn as_owner(&self) -> Client {
        self.as_user(&self.owner)
    }

    pub(crate) fn as_user(&self, person: &Person) -> Client {
        self.visitor().bearer(&person.token)
    }

    pub(crate) async fn log_in(&self, person: &Person) -> String {
        log_in(&self.visitor(), &person.email, &person.password).await
    }

    /// Adds somebody of that role, and signs them in.
    pub(crate) async fn hire(&self, role: &str) -> Person {
        let (email, password) = (format!("{}@example.com", unique(role)), PASSWORD);
        let new = json!({
            "email": email, "password": password, "first_name": "Pat", "role": role,
        });
        let added = self.as_owner().post("/api/users", new).await.is(201).json();
        let token = log_in(&self.visitor(), &email, password).await;
        Person {
            id: text(&added["id"]),
            email,
            password: password.into(),
            token,
        }
    }

    /// Adds a product, as the owner.
    pub(crate) async fn stock(&self, name: &str, code: &str, price: &str) -> Value {
        let new = json!({ "name": name, "code": code, "price": price });
        self.as_owner()
            .post("/api/products", new)
            .await
            .is(201)
            .json()
    }
}

/// The body that opens a shop.
pub(crate) fn opening(code: &str, password: &str) -> Value {
    json!({
        "code": code,
        "name": format!("Shop {code}"),
        "owner": { "email": "owner@example.com", "password": password, "first_name": "Olive" },
    })
}

pub(crate) async fn log_in(shop: &Client, email: &str, password: &str) -> String {
    let login = json!({ "email": email, "password": password });
    let answer = shop.post("/api/auth/login", login).await.is(200).json();
    text(&answer["token"])
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
