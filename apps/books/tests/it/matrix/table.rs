//! The table: each route with who may use it and what it is given.

use serde_json::json;
use tenantry::routing::Kind;

use self::{
    Of::{Customer, Draft, Invitation, Line, Link, Member, Nothing, Payment, Sent},
    Who::{Anyone, Owner, SignedIn, Viewer},
};
use crate::support::{Answer, Client, PASSWORD, Payload};

/// Who may make a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    Anyone,
    /// With an account, and no company.
    SignedIn,
    /// A company's owner, who may do the most.
    Owner,
    /// A member who is not the owner.
    Viewer,
}

/// What the parameters in a path are of, from the outermost on, or what the body names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    Nothing,
    Customer,
    Draft,
    Line,
    Sent,
    Payment,
    Member,
    Invitation,
    /// The secret that an invitation is mailed with.
    Link,
}

impl Of {
    /// How many ids it takes to say which one.
    pub(super) fn depth(self) -> usize {
        match self {
            Nothing => 0,
            Line | Payment => 2,
            _ => 1,
        }
    }

    /// Ids that nobody has.
    pub(super) fn missing(self) -> Vec<String> {
        match self {
            Link => vec![format!("tnm_{}", "x".repeat(43))],
            other => (0..other.depth())
                .map(|_| uuid::Uuid::now_v7().to_string())
                .collect(),
        }
    }

    /// What is said of another company's, and of one that nobody has.
    pub(super) fn refusal(self) -> &'static str {
        if self == Link {
            "tenant-not-found"
        } else {
            "not-found"
        }
    }
}

/// What a body is made of.
pub(super) struct Given<'g> {
    /// A word of its own.
    pub(super) word: &'g str,
    /// A customer of the company that is asked.
    pub(super) customer: &'g str,
    /// What it is [of](Of).
    pub(super) ids: &'g [String],
}

pub(super) type Body = fn(&Given<'_>) -> Payload;

pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) method: &'static str,
    path: &'static str,
    pub(super) who: Who,
    pub(super) of: Of,
    body: Body,
    /// The answer to somebody who may.
    pub(super) success: u16,
}

const fn central(
    method: &'static str,
    path: &'static str,
    who: Who,
    body: Body,
    success: u16,
) -> Entry {
    let (kind, of) = (Kind::Central, Nothing);
    Entry {
        kind,
        method,
        path,
        who,
        of,
        body,
        success,
    }
}

const fn tenant(
    method: &'static str,
    path: &'static str,
    of: Of,
    body: Body,
    success: u16,
) -> Entry {
    let (kind, who) = (Kind::Tenant, Owner);
    Entry {
        kind,
        method,
        path,
        who,
        of,
        body,
        success,
    }
}

const fn by(who: Who, entry: Entry) -> Entry {
    Entry { who, ..entry }
}

#[rustfmt::skip] // one line each is easier to compare with the routes
pub(super) const MATRIX: &[Entry] = &[
    central("GET", "/", Anyone, nothing, 200),
    central("GET", "/register", Anyone, nothing, 200),
    central("POST", "/register", Anyone, person_form, 303),
    central("GET", "/sign-in", Anyone, nothing, 200),
    central("POST", "/sign-in", Anyone, wrong_login_form, 401),
    central("POST", "/sign-out", Anyone, empty_form, 303),
    central("GET", "/forgotten", Anyone, nothing, 200),
    central("POST", "/forgotten", Anyone, address_form, 202),
    central("GET", "/new-password", Anyone, nothing, 401),
    central("POST", "/new-password", Anyone, wrong_link_form, 401),
    central("GET", "/companies", SignedIn, nothing, 200),
    central("POST", "/companies", SignedIn, company_form, 303),
    central("POST", "/api/auth/register", Anyone, person, 201),
    central("POST", "/api/auth/login", Anyone, wrong_login, 401),
    central("POST", "/api/auth/logout", SignedIn, nothing, 204),
    central("POST", "/api/auth/forgot", Anyone, address, 202),
    central("POST", "/api/auth/reset", Anyone, wrong_link, 401),
    central("POST", "/api/auth/password", SignedIn, new_password, 204),
    central("POST", "/api/auth/totp", SignedIn, nothing, 200),
    central("POST", "/api/auth/totp/confirm", SignedIn, wrong_code, 422),
    central("DELETE", "/api/auth/totp", SignedIn, proof, 204),
    central("GET", "/api/auth/me", SignedIn, nothing, 200),
    central("GET", "/api/companies", SignedIn, nothing, 200),
    central("POST", "/api/companies", SignedIn, company, 201),
    tenant("GET", "/", Nothing, nothing, 303),
    tenant("GET", "/invoices", Nothing, nothing, 200),
    tenant("GET", "/invoices/new", Nothing, nothing, 200),
    tenant("POST", "/invoices", Nothing, draft_form, 303),
    tenant("GET", "/invoices/{invoice}", Sent, nothing, 200),
    tenant("GET", "/invoices/{invoice}/print", Sent, nothing, 200),
    tenant("POST", "/invoices/{invoice}/send", Draft, empty_form, 303),
    tenant("POST", "/invoices/{invoice}/void", Sent, empty_form, 303),
    tenant("POST", "/invoices/{invoice}/payments", Sent, payment_form, 303),
    tenant("GET", "/invoices/{invoice}/edit", Draft, nothing, 200),
    tenant("POST", "/invoices/{invoice}", Draft, draft_form, 303),
    tenant("POST", "/invoices/{invoice}/delete", Draft, empty_form, 303),
    tenant("POST", "/invoices/{invoice}/lines", Draft, line_form, 303),
    tenant("POST", "/invoices/{invoice}/lines/{line}", Line, line_form, 303),
    tenant("POST", "/invoices/{invoice}/lines/{line}/delete", Line, empty_form, 303),
    tenant("GET", "/customers", Nothing, nothing, 200),
    tenant("GET", "/customers/new", Nothing, nothing, 200),
    tenant("POST", "/customers", Nothing, customer_form, 303),
    tenant("GET", "/customers/{customer}", Customer, nothing, 200),
    tenant("POST", "/customers/{customer}", Customer, customer_form, 303),
    tenant("POST", "/customers/{customer}/delete", Customer, empty_form, 303),
    tenant("GET", "/members", Nothing, nothing, 200),
    tenant("POST", "/members/{member}", Member, role_form, 303),
    tenant("POST", "/members/{member}/remove", Member, empty_form, 303),
    tenant("POST", "/ownership", Member, successor_form, 303),
    by(Viewer, tenant("POST", "/leave", Nothing, empty_form, 303)),
    tenant("POST", "/invitations", Nothing, invitation_form, 303),
    tenant("POST", "/invitations/{id}/withdraw", Invitation, empty_form, 303),
    by(Anyone, tenant("GET", "/invitation?link={link}", Link, nothing, 200)),
    by(Anyone, tenant("POST", "/invitation", Link, join_form, 303)),
    tenant("GET", "/api", Nothing, nothing, 200),
    tenant("GET", "/api/company", Nothing, nothing, 200),
    tenant("GET", "/api/members", Nothing, nothing, 200),
    tenant("PATCH", "/api/members/{id}", Member, role, 204),
    tenant("DELETE", "/api/members/{id}", Member, nothing, 204),
    tenant("GET", "/api/invitations", Nothing, nothing, 200),
    tenant("POST", "/api/invitations", Nothing, invitation, 201),
    by(Anyone, tenant("POST", "/api/invitations/accept", Link, join, 204)),
    tenant("DELETE", "/api/invitations/{id}", Invitation, nothing, 204),
    tenant("POST", "/api/ownership", Member, successor, 204),
    by(Viewer, tenant("POST", "/api/leave", Nothing, nothing, 204)),
    tenant("POST", "/api/invoices/{invoice}/send", Draft, nothing, 200),
    tenant("POST", "/api/invoices/{invoice}/void", Sent, nothing, 200),
    tenant("GET", "/api/customers", Nothing, nothing, 200),
    tenant("POST", "/api/customers", Nothing, customer, 201),
    tenant("GET", "/api/customers/{customer}", Customer, nothing, 200),
    tenant("PUT", "/api/customers/{customer}", Customer, customer, 200),
    tenant("PATCH", "/api/customers/{customer}", Customer, customer, 200),
    tenant("DELETE", "/api/customers/{customer}", Customer, nothing, 204),
    tenant("GET", "/api/invoices", Nothing, nothing, 200),
    tenant("POST", "/api/invoices", Nothing, draft, 201),
    tenant("GET", "/api/invoices/{invoice}", Sent, nothing, 200),
    tenant("PUT", "/api/invoices/{invoice}", Draft, draft, 200),
    tenant("PATCH", "/api/invoices/{invoice}", Draft, draft, 200),
    tenant("DELETE", "/api/invoices/{invoice}", Draft, nothing, 204),
    tenant("GET", "/api/invoices/{invoice}/lines", Draft, nothing, 200),
    tenant("POST", "/api/invoices/{invoice}/lines", Draft, line, 201),
    tenant("GET", "/api/invoices/{invoice}/lines/{line}", Line, nothing, 200),
    tenant("PUT", "/api/invoices/{invoice}/lines/{line}", Line, line, 200),
    tenant("PATCH", "/api/invoices/{invoice}/lines/{line}", Line, line, 200),
    tenant("DELETE", "/api/invoices/{invoice}/lines/{line}", Line, nothing, 204),
    tenant("GET", "/api/invoices/{invoice}/payments", Sent, nothing, 200),
    tenant("POST", "/api/invoices/{invoice}/payments", Sent, payment, 201),
    tenant("GET", "/api/invoices/{invoice}/payments/{payment}", Payment, nothing, 200),
    tenant("PUT", "/api/invoices/{invoice}/payments/{payment}", Payment, payment, 200),
    tenant("PATCH", "/api/invoices/{invoice}/payments/{payment}", Payment, payment, 200),
    tenant("DELETE", "/api/invoices/{invoice}/payments/{payment}", Payment, nothing, 204),
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

fn nothing(_: &Given<'_>) -> Payload {
    Payload::Nothing
}

fn empty_form(_: &Given<'_>) -> Payload {
    Payload::Form(Vec::new())
}

fn form<const N: usize>(fields: [(&'static str, &str); N]) -> Payload {
    let fields = fields.map(|(name, value)| (name, value.to_owned()));
    Payload::Form(fields.into())
}

fn person(given: &Given<'_>) -> Payload {
    let email = format!("{}@example.com", given.word);
    Payload::Json(json!({ "email": email, "password": PASSWORD, "first_name": given.word }))
}

fn person_form(given: &Given<'_>) -> Payload {
    let email = format!("{}@example.com", given.word);
    form([
        ("email", &email),
        ("password", PASSWORD),
        ("first_name", given.word),
    ])
}

fn wrong_login(given: &Given<'_>) -> Payload {
    let email = format!("{}@example.com", given.word);
    Payload::Json(json!({ "email": email, "password": "nobody has this" }))
}

fn wrong_login_form(given: &Given<'_>) -> Payload {
    let email = format!("{}@example.com", given.word);
    form([("email", &email), ("password", "nobody has this")])
}

fn address(given: &Given<'_>) -> Payload {
    Payload::Json(json!({ "email": format!("{}@example.com", given.word) }))
}

fn address_form(given: &Given<'_>) -> Payload {
    form([("email", &format!("{}@example.com", given.word))])
}

fn wrong_link(_: &Given<'_>) -> Payload {
    Payload::Json(json!({ "link": "tnp_none", "password": PASSWORD }))
}

fn wrong_link_form(_: &Given<'_>) -> Payload {
    form([("link", "tnp_none"), ("password", PASSWORD)])
}

fn new_password(_: &Given<'_>) -> Payload {
    Payload::Json(json!({ "current": PASSWORD, "new": "quite another one" }))
}

fn wrong_code(_: &Given<'_>) -> Payload {
    Payload::Json(json!({ "code": "000000" }))
}

/// The second factor is taken away where there is none, too.
fn proof(_: &Given<'_>) -> Payload {
    Payload::Json(json!({ "password": PASSWORD, "code": "000000" }))
}

fn company(given: &Given<'_>) -> Payload {
    Payload::Json(json!({ "code": given.word, "name": given.word }))
}

fn company_form(given: &Given<'_>) -> Payload {
    form([("code", given.word), ("name", given.word)])
}

fn customer(given: &Given<'_>) -> Payload {
    Payload::Json(json!({ "name": given.word }))
}

fn customer_form(given: &Given<'_>) -> Payload {
    form([("name", given.word)])
}

fn draft(given: &Given<'_>) -> Payload {
    Payload::Json(json!({ "customer_id": given.customer, "note": given.word }))
}

fn draft_form(given: &Given<'_>) -> Payload {
    form([
        ("customer_id", given.customer),
        ("issued_on", "2026-02-01"),
        ("due_on", "2026-02-15"),
        ("currency", "EUR"),
        ("note", given.word),
    ])
}

fn line(given: &Given<'_>) -> Payload {
    Payload::Json(json!({ "text": given.word, "quantity": "3", "unit_price": "9.99" }))
}

fn line_form(given: &Given<'_>) -> Payload {
    form([
        ("text", given.word),
        ("quantity", "3"),
        ("unit_price", "9.99"),
    ])
}

fn payment(given: &Given<'_>) -> Payload {
    Payload::Json(json!({ "amount": "1.00", "note": given.word }))
}

fn payment_form(given: &Given<'_>) -> Payload {
    form([
        ("amount", "1.00"),
        ("paid_on", "2026-02-03"),
        ("note", given.word),
    ])
}

fn role(_: &Given<'_>) -> Payload {
    Payload::Json(json!({ "role": "bookkeeper" }))
}

fn role_form(_: &Given<'_>) -> Payload {
    form([("role", "bookkeeper")])
}

fn successor(given: &Given<'_>) -> Payload {
    Payload::Json(json!({ "to": given.ids[0] }))
}

fn successor_form(given: &Given<'_>) -> Payload {
    form([("to", &given.ids[0])])
}

fn invitation(given: &Given<'_>) -> Payload {
    let email = format!("{}@example.com", given.word);
    Payload::Json(json!({ "email": email, "role": "viewer" }))
}

fn invitation_form(given: &Given<'_>) -> Payload {
    let email = format!("{}@example.com", given.word);
    form([("email", &email), ("role", "viewer")])
}

fn join(given: &Given<'_>) -> Payload {
    let link = &given.ids[0];
    Payload::Json(json!({ "link": link, "password": PASSWORD, "first_name": given.word }))
}

fn join_form(given: &Given<'_>) -> Payload {
    form([
        ("link", &given.ids[0]),
        ("password", PASSWORD),
        ("first_name", given.word),
    ])
}

impl Entry {
    pub(super) fn body(&self, given: &Given<'_>) -> Payload {
        (self.body)(given)
    }

    pub(super) fn is_page(&self) -> bool {
        self.path != "/api" && !self.path.starts_with("/api/")
    }

    /// The path with these in it.
    pub(super) fn path(&self, ids: &[String]) -> String {
        let mut ids = ids.iter();
        let mut path = String::new();
        for (number, part) in self.path.split(['{', '}']).enumerate() {
            match number % 2 {
                0 => path.push_str(part),
                _ => path.push_str(ids.next().expect("an id for each parameter")),
            }
        }
        path
    }

    /// The client as the kind that the route is for.
    pub(super) fn client(&self, client: &Client) -> Client {
        if self.is_page() {
            client.browser()
        } else {
            client.clone()
        }
    }

    /// The client with the token as that kind of client shows it.
    pub(super) fn signed_in(&self, client: &Client, token: &str) -> Client {
        if self.is_page() {
            self.client(client).account_cookie(token)
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
    pub(super) fn not_let_in(&self, answer: &Answer) {
        if self.is_page() {
            assert_eq!(answer.status, 303, "{}: {}", answer.asked, answer.text());
            let place = answer.header("location").unwrap_or_default();
            let to_sign_in = place == "/sign-in" || place.starts_with("/sign-in?next=");
            assert!(to_sign_in, "{}: {place}", answer.asked);
        } else {
            answer.problem(401, "authentication-required");
        }
    }

    pub(super) fn name(&self) -> (&str, &str, Kind) {
        let path = self.path.split('?').next().unwrap_or(self.path);
        (self.method, path, self.kind)
    }

    /// Whether there is a page there with and without a company.
    pub(super) fn is_on_both(&self) -> bool {
        self.path == "/"
    }
}
