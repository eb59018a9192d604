//! An entry of the table: a route, who may use it, and what it is given.

use tenantry::routing::Kind;

use self::Who::Anyone;
use crate::support::{Answer, Client, Pass, Payload, Shop};

/// Who may make a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Who {
    Anyone,
    SignedIn,
    /// One of those who run the deployment.
    Operator,
}

/// What the `{id}` in a path is of, or what the body carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Of {
    Nothing,
    Product,
    /// A product with a picture.
    Pictured,
    /// Products that are imported.
    Import,
    User,
    Key,
    /// A host that the tenant has claimed, and whose record says so.
    Claim,
    /// One that is the tenant's.
    Domain,
    Invitation,
    Token,
    Session,
    /// What was mailed, where that is written to files.
    Mail,
    /// From here on, secrets.
    InvitationLink,
    PasswordLink,
    EmailLink,
    StandInLink,
    Refresh,
    /// A signed link to a picture: its path below `/files/`, with the query.
    PictureLink,
}

impl Of {
    fn is_secret(self) -> bool {
        use Of::{EmailLink, InvitationLink, PasswordLink, Refresh, StandInLink};
        [
            InvitationLink,
            PasswordLink,
            EmailLink,
            StandInLink,
            Refresh,
        ]
        .contains(&self)
    }

    /// One that nobody has.
    pub(super) fn missing(self) -> String {
        if self.is_secret() {
            format!("tnl_{}", "x".repeat(43))
        } else if self == Self::PictureLink {
            let id = uuid::Uuid::now_v7();
            format!(
                "products/{id}/{id}/original?expires=4102444800&signature={}",
                "x".repeat(43)
            )
        } else if matches!(self, Self::Claim | Self::Domain) {
            format!("{}.example", uuid::Uuid::now_v7())
        } else {
            uuid::Uuid::now_v7().to_string()
        }
    }

    /// What is said of another tenant's, and of one that nobody has.
    pub(super) fn refusal(self) -> (u16, &'static str) {
        if self.is_secret() {
            (401, "invalid-token")
        } else if self == Self::PictureLink {
            (403, "invalid-link")
        } else {
            (404, "not-found")
        }
    }
}

/// Makes the body of a request out of the shop that it is good for, a word of its own, and what it
/// is [of](Of): an id, a secret, or the address of whoever asks.
pub(super) type Body = fn(&Shop, &str, &str) -> Payload;

pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) who: Who,
    pub(super) of: Of,
    body: Body,
    /// The answer to somebody who may.
    pub(super) success: u16,
}

pub(super) const fn central(
    method: &'static str,
    path: &'static str,
    body: Body,
    success: u16,
) -> Entry {
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

pub(super) const fn operator(
    method: &'static str,
    path: &'static str,
    body: Body,
    success: u16,
) -> Entry {
    Entry {
        who: Who::Operator,
        ..central(method, path, body, success)
    }
}

pub(super) const fn tenant(
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

impl Entry {
    pub(super) fn body(&self, shop: &Shop, word: &str, of: &str) -> Payload {
        (self.body)(shop, word, of)
    }

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
        let client = if self.success == 101 {
            as_socket(&client)
        } else {
            client
        };
        client
            .send(
                self.method,
                &self
                    .path
                    .replace("{id}", id)
                    .replace("{host}", id)
                    .replace("{*name}", id),
                body,
            )
            .await
    }

    /// The client with the token as that kind of client shows it.
    pub(super) fn signed_in(&self, client: &Client, pass: &Pass) -> Client {
        if self.is_page() {
            client.cookie(&pass.session)
        } else {
            client.bearer(&pass.token)
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
        let path = self.path.split('?').next().unwrap_or(self.path);
        // every shop has the same groups of settings: none is another's by its name
        let path = match path {
            "/api/settings/storefront" => "/api/settings/{group}",
            other => other,
        };
        (self.method, path, self.kind)
    }
}

/// The same, who would go on over a WebSocket.
fn as_socket(client: &Client) -> Client {
    client
        .with("connection", "upgrade")
        .with("upgrade", "websocket")
        .with("sec-websocket-version", "13")
        .with("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==")
}
