use std::sync::Arc;

use serde_json::{Value, json};

use super::{Answer, Client, PASSWORD, Server, unique};

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

/// What somebody is signed in with: programs show one, browsers the other.
#[derive(Debug, Clone)]
pub(crate) struct Pass {
    pub(crate) token: String,
    pub(crate) session: String,
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

    /// Signs somebody in with a browser, and returns what its cookie holds.
    pub(crate) async fn session_of(&self, person: &Person) -> String {
        let fields = [
            ("email", person.email.as_str()),
            ("password", &person.password),
        ];
        let answer = self.by_host().browser().form("/sign-in", &fields).await;
        answer.redirects_to("/");
        session_in(&answer)
    }

    /// The owner, in a browser.
    pub(crate) async fn owners_browser(&self) -> Client {
        let session = self.session_of(&self.owner).await;
        self.by_host().browser().cookie(&session)
    }

    /// Both of what somebody may be signed in with.
    pub(crate) async fn pass(&self, person: &Person) -> Pass {
        Pass {
            token: self.log_in(person).await,
            session: self.session_of(person).await,
        }
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

/// What the latest mail of a shop to that address has in its link; awaited, as mail goes out beside
/// the answer.
pub(crate) async fn link_in_mail(shop: &Shop, to: &str) -> String {
    let folder = shop.server.place().data().join("mail").join(&shop.id);
    for _ in 0..200 {
        let mut mails: Vec<_> = std::fs::read_dir(&folder)
            .into_iter()
            .flatten()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|kind| kind == "eml"))
            .collect();
        mails.sort();
        let link = mails.iter().rev().find_map(|path| {
            let text = std::fs::read_to_string(path).unwrap();
            let is_theirs = text.contains(&format!("To: {to}\r\n"));
            let (_, link) = text.split_once("?link=").filter(|_| is_theirs)?;
            Some(link.split_whitespace().next()?.to_owned())
        });
        if let Some(link) = link {
            return link;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("no link was mailed to {to}")
}

/// The id of a mail of a shop's to that address, which has a link in it.
pub(crate) async fn mail_with(shop: &Shop, to: &str) -> String {
    link_in_mail(shop, to).await;
    let folder = shop.server.place().data().join("mail").join(&shop.id);
    let files = std::fs::read_dir(folder).unwrap();
    let paths = files.map(|entry| entry.unwrap().path());
    let is_it = |path: &std::path::PathBuf| {
        std::fs::read_to_string(path).is_ok_and(|text| text.contains(&format!("To: {to}\r\n")))
    };
    let path = paths.into_iter().find(is_it).unwrap();
    path.file_stem().unwrap().to_str().unwrap().to_owned()
}

/// The session that an answer gives to the browser.
#[track_caller]
pub(crate) fn session_in(answer: &Answer) -> String {
    let cookie = answer.header("set-cookie").expect(&answer.asked);
    let session = cookie
        .strip_prefix("session=")
        .and_then(|rest| rest.split(';').next());
    session.expect(cookie).to_owned()
}

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}
