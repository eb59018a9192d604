//! What the tests stand on. A test reads `acme.by(&pat).get("/api/invoices").await.is(200)`.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use serde_json::{Value, json};

pub(crate) use tenantry_trial::{A_SECOND, Answer, PASSWORD, Payload, unique, until};

/// The program that is tried.
#[derive(Debug)]
pub(crate) struct Program;

impl tenantry_trial::Program for Program {
    const NAME: &'static str = "books";
    const PATH: &'static str = env!("CARGO_BIN_EXE_books");
}

pub(crate) type Client = tenantry_trial::Client<Program>;
pub(crate) type Place = tenantry_trial::Place<Program>;
pub(crate) type Server = tenantry_trial::Server<Program>;

/// A server for all tests that leave others' companies alone. It is started when somebody first asks,
/// and ends when nobody has it any more.
pub(crate) fn shared() -> Arc<Server> {
    static SHARED: Mutex<Weak<Server>> = Mutex::new(Weak::new());
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let server = Place::new().serve();
        *shared = Arc::downgrade(&server);
        server
    })
}

/// Somebody with an account, signed in. Programs show the token in a header and browsers in a cookie.
#[derive(Debug, Clone)]
pub(crate) struct Person {
    pub(crate) id: String,
    pub(crate) email: String,
    pub(crate) token: String,
}

/// Somebody new.
pub(crate) async fn register(server: &Arc<Server>, name: &str) -> Person {
    let email = format!("{}@example.com", unique(name));
    let new = json!({ "email": email, "password": PASSWORD, "first_name": name });
    let made = server.central().post("/api/auth/register", new).await;
    let made = made.is(201).json();
    Person {
        id: text(&made["account"]["id"]),
        email,
        token: text(&made["token"]),
    }
}

/// How a request says which company it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Header,
    Path,
}

impl Way {
    pub(crate) const BOTH: [Self; 2] = [Self::Header, Self::Path];

    /// The client and the path with which the company's `path` is asked for.
    pub(crate) fn to(self, server: &Arc<Server>, code: &str, path: &str) -> (Client, String) {
        match self {
            Self::Header => (server.tenant(code), path.to_owned()),
            Self::Path => (server.central(), in_path(code, path)),
        }
    }
}

fn in_path(code: &str, path: &str) -> String {
    match path.strip_prefix("/api") {
        Some(rest) if rest.is_empty() || rest.starts_with(['/', '?']) => {
            format!("/api/companies/{code}{rest}")
        }
        _ => format!("/c/{code}{}", path.strip_suffix('/').unwrap_or(path)),
    }
}

/// A company, and its owner.
#[derive(Debug)]
pub(crate) struct Company {
    server: Arc<Server>,
    pub(crate) id: String,
    pub(crate) code: String,
    pub(crate) owner: Person,
}

impl Company {
    /// Begins one with an owner of its own.
    pub(crate) async fn begin(server: &Arc<Server>) -> Self {
        let owner = register(server, "olive").await;
        Self::of(server, &owner).await
    }

    /// Begins one on the shared server.
    pub(crate) async fn shared() -> Self {
        Self::begin(&shared()).await
    }

    /// Begins one for somebody.
    pub(crate) async fn of(server: &Arc<Server>, owner: &Person) -> Self {
        let code = unique("company");
        let new = json!({ "code": code, "name": format!("The {code}") });
        let central = server.central().bearer(&owner.token);
        let made = central.post("/api/companies", new).await.is(201).json();
        Self {
            server: server.clone(),
            id: text(&made["id"]),
            code,
            owner: owner.clone(),
        }
    }

    /// The same, on a server that was started anew.
    pub(crate) fn on(self, server: &Arc<Server>) -> Self {
        Self {
            server: server.clone(),
            ..self
        }
    }

    pub(crate) fn server(&self) -> &Arc<Server> {
        &self.server
    }

    /// Somebody who is not signed in.
    pub(crate) fn visitor(&self) -> Client {
        self.server.tenant(&self.code)
    }

    /// Somebody, by their token.
    pub(crate) fn by(&self, person: &Person) -> Client {
        self.visitor().bearer(&person.token)
    }

    pub(crate) fn as_owner(&self) -> Client {
        self.by(&self.owner)
    }

    /// Somebody in a browser, who names companies in the path.
    pub(crate) fn browser(&self, person: &Person) -> Client {
        let browser = self.server.central().browser();
        browser.account_cookie(&person.token)
    }

    /// The path of a page of the company's.
    pub(crate) fn page(&self, path: &str) -> String {
        in_path(&self.code, path)
    }

    /// Runs a command about it, which must be done.
    pub(crate) fn command(&self, before: &[&str], after: &[&str]) {
        let all = [before, &[self.code.as_str()], after].concat();
        self.server.place().run(&all).ok();
    }

    /// Makes somebody a member: they are invited, and accept.
    pub(crate) async fn admit(&self, person: &Person, role: &str) {
        let link = self.invite(&person.email, role).await;
        let accept = json!({ "link": link });
        let client = self.by(person);
        client.post("/api/invitations/accept", accept).await.is(204);
    }

    /// Somebody new, of that role.
    pub(crate) async fn hire(&self, role: &str) -> Person {
        let person = register(&self.server, role).await;
        self.admit(&person, role).await;
        person
    }

    /// What an invitation to that address has in its link.
    pub(crate) async fn invite(&self, email: &str, role: &str) -> String {
        let new = json!({ "email": email, "role": role });
        self.as_owner().post("/api/invitations", new).await.is(201);
        link_mailed(&self.server, &self.id, email).await
    }

    /// Makes something, as somebody.
    pub(crate) async fn make(&self, by: &Person, path: &str, new: Value) -> Value {
        self.by(by).post(path, new).await.is(201).json()
    }

    /// A customer's id.
    pub(crate) async fn customer(&self, name: &str) -> String {
        let new = json!({ "name": name, "iban": "DE89370400440532013000" });
        id(&self.make(&self.owner, "/api/customers", new).await)
    }

    /// A draft's id, without lines, made by somebody.
    pub(crate) async fn draft_by(&self, by: &Person, note: &str) -> String {
        let customer = self.customer(note).await;
        let new = json!({ "customer_id": customer, "note": note });
        id(&self.make(by, "/api/invoices", new).await)
    }

    pub(crate) async fn draft(&self, note: &str) -> String {
        self.draft_by(&self.owner, note).await
    }

    /// A line's id.
    pub(crate) async fn line(&self, invoice: &str, text: &str) -> String {
        let new = json!({ "text": text, "quantity": "2", "unit_price": "50.00" });
        let path = format!("/api/invoices/{invoice}/lines");
        id(&self.make(&self.owner, &path, new).await)
    }

    /// An invoice's id, over 100.00, that was sent.
    pub(crate) async fn sent(&self, note: &str) -> String {
        let invoice = self.draft(note).await;
        self.line(&invoice, note).await;
        let path = format!("/api/invoices/{invoice}/send");
        self.as_owner().post(&path, json!({})).await.is(200);
        invoice
    }

    /// A payment's id.
    pub(crate) async fn payment(&self, invoice: &str, amount: &str) -> String {
        let path = format!("/api/invoices/{invoice}/payments");
        let new = json!({ "amount": amount });
        id(&self.make(&self.owner, &path, new).await)
    }

    /// An object, as the owner sees it.
    pub(crate) async fn show(&self, path: &str) -> Value {
        self.as_owner().get(path).await.is(200).json()
    }
}

/// What the latest mail of a company's, or of the deployment's, to that address has in its link;
/// awaited, as mail goes out beside the answer.
pub(crate) async fn link_mailed(server: &Server, scope: &str, to: &str) -> String {
    let folder = server.place().data().join("mail").join(scope);
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

pub(crate) fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

pub(crate) fn id(object: &Value) -> String {
    text(&object["id"])
}
