//! The table: each route with who may use it and what it is given.

use serde_json::json;
use tenantry::routing::Kind;

use self::Who::{Anyone, SignedIn};
use crate::support::{Answer, Client, PASSWORD, Pass, Payload, Shop, form_with_picture, png};

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

const fn operator(method: &'static str, path: &'static str, body: Body, success: u16) -> Entry {
    Entry {
        who: Who::Operator,
        ..central(method, path, body, success)
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
    central("GET", "/dev/mail", nothing, 200),
    central("GET", "/dev/mail/{id}", nothing, 404),
    tenant("GET", "/dev/mail", Anyone, Of::Nothing, nothing, 200),
    tenant("GET", "/dev/mail/{id}", Anyone, Of::Mail, nothing, 200),
    central("POST", "/shops", shop_form, 201),
    central("POST", "/api/shops", shop, 201),
    central("POST", "/api/operators/login", wrong_login, 401),
    operator("POST", "/api/operators/logout", nothing, 204),
    operator("GET", "/api/operators/me", nothing, 200),
    operator("POST", "/api/operators/totp", nothing, 200),
    operator("POST", "/api/operators/totp/confirm", wrong_code, 422),
    operator("POST", "/api/operators/impersonations", stand_in, 201),
    operator("GET", "/api/operators/audit", nothing, 200),
    tenant("GET", "/", Anyone, Of::Nothing, nothing, 200),
    tenant("GET", "/sign-in", Anyone, Of::Nothing, nothing, 200),
    tenant("POST", "/sign-in", Anyone, Of::Nothing, login_form, 303),
    tenant("POST", "/sign-out", Anyone, Of::Nothing, empty_form, 303),
    tenant(
        "GET",
        "/theme/colours.css",
        Anyone,
        Of::Nothing,
        nothing,
        200,
    ),
    tenant("GET", "/theme/style.css", Anyone, Of::Nothing, nothing, 200),
    tenant("GET", "/theme/logo", Anyone, Of::Nothing, nothing, 200),
    tenant("GET", "/settings", SignedIn, Of::Nothing, nothing, 200),
    tenant(
        "POST",
        "/settings/profile",
        SignedIn,
        Of::Nothing,
        profile_form,
        303,
    ),
    tenant(
        "POST",
        "/settings/storefront",
        SignedIn,
        Of::Nothing,
        front_form,
        303,
    ),
    tenant(
        "POST",
        "/settings/mail",
        SignedIn,
        Of::Nothing,
        mail_form,
        303,
    ),
    tenant(
        "POST",
        "/settings/theme",
        SignedIn,
        Of::Nothing,
        theme_form,
        303,
    ),
    tenant(
        "POST",
        "/settings/theme/preview",
        SignedIn,
        Of::Nothing,
        theme_form,
        200,
    ),
    tenant(
        "POST",
        "/settings/theme/edit",
        SignedIn,
        Of::Nothing,
        theme_form,
        200,
    ),
    tenant(
        "POST",
        "/settings/logo",
        SignedIn,
        Of::Nothing,
        picture_form,
        303,
    ),
    tenant(
        "POST",
        "/settings/logo/remove",
        SignedIn,
        Of::Nothing,
        empty_form,
        303,
    ),
    tenant(
        "POST",
        "/settings/theme/remove",
        SignedIn,
        Of::Nothing,
        empty_form,
        303,
    ),
    tenant("GET", "/products/{id}", Anyone, Of::Product, nothing, 200),
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
    tenant(
        "POST",
        "/products/{id}/picture",
        SignedIn,
        Of::Product,
        picture_form,
        303,
    ),
    tenant(
        "POST",
        "/products/{id}/picture/delete",
        SignedIn,
        Of::Pictured,
        empty_form,
        303,
    ),
    tenant("GET", "/forgot-password", Anyone, Of::Nothing, nothing, 200),
    tenant(
        "POST",
        "/forgot-password",
        Anyone,
        Of::Nothing,
        address_form,
        202,
    ),
    tenant(
        "GET",
        "/reset-password?link={id}",
        Anyone,
        Of::PasswordLink,
        nothing,
        200,
    ),
    tenant(
        "POST",
        "/reset-password",
        Anyone,
        Of::PasswordLink,
        password_form,
        200,
    ),
    tenant(
        "GET",
        "/invitation?link={id}",
        Anyone,
        Of::InvitationLink,
        nothing,
        200,
    ),
    tenant(
        "POST",
        "/invitation",
        Anyone,
        Of::InvitationLink,
        join_form,
        201,
    ),
    tenant("GET", "/confirm-email", Anyone, Of::Nothing, nothing, 200),
    tenant(
        "POST",
        "/confirm-email",
        Anyone,
        Of::EmailLink,
        link_form,
        200,
    ),
    tenant("GET", "/impersonate", Anyone, Of::Nothing, nothing, 200),
    tenant(
        "POST",
        "/impersonate",
        Anyone,
        Of::StandInLink,
        link_form,
        303,
    ),
    tenant("POST", "/api/auth/jwt", Anyone, Of::Nothing, login, 200),
    tenant(
        "POST",
        "/api/auth/jwt/refresh",
        Anyone,
        Of::Refresh,
        refresh,
        200,
    ),
    tenant(
        "GET",
        "/api/auth/tokens",
        SignedIn,
        Of::Nothing,
        nothing,
        200,
    ),
    tenant(
        "DELETE",
        "/api/auth/tokens/{id}",
        SignedIn,
        Of::Token,
        nothing,
        204,
    ),
    tenant(
        "GET",
        "/api/auth/sessions",
        SignedIn,
        Of::Nothing,
        nothing,
        200,
    ),
    tenant(
        "DELETE",
        "/api/auth/sessions/{id}",
        SignedIn,
        Of::Session,
        nothing,
        204,
    ),
    tenant(
        "POST",
        "/api/auth/password",
        SignedIn,
        Of::Nothing,
        new_password,
        204,
    ),
    tenant(
        "POST",
        "/api/auth/password/forgot",
        Anyone,
        Of::Nothing,
        address,
        202,
    ),
    tenant(
        "POST",
        "/api/auth/password/reset",
        Anyone,
        Of::PasswordLink,
        password,
        204,
    ),
    tenant(
        "POST",
        "/api/auth/email",
        SignedIn,
        Of::Nothing,
        new_address,
        202,
    ),
    tenant(
        "POST",
        "/api/auth/email/verify",
        SignedIn,
        Of::Nothing,
        nothing,
        202,
    ),
    tenant(
        "POST",
        "/api/auth/email/confirm",
        Anyone,
        Of::EmailLink,
        link,
        200,
    ),
    tenant(
        "POST",
        "/api/auth/totp",
        SignedIn,
        Of::Nothing,
        nothing,
        200,
    ),
    tenant(
        "POST",
        "/api/auth/totp/confirm",
        SignedIn,
        Of::Nothing,
        wrong_code,
        422,
    ),
    tenant(
        "DELETE",
        "/api/auth/totp",
        SignedIn,
        Of::Nothing,
        proof,
        204,
    ),
    tenant(
        "GET",
        "/api/invitations",
        SignedIn,
        Of::Nothing,
        nothing,
        200,
    ),
    tenant(
        "POST",
        "/api/invitations",
        SignedIn,
        Of::Nothing,
        invited,
        201,
    ),
    tenant(
        "POST",
        "/api/invitations/accept",
        Anyone,
        Of::InvitationLink,
        join,
        201,
    ),
    tenant(
        "DELETE",
        "/api/invitations/{id}",
        SignedIn,
        Of::Invitation,
        nothing,
        204,
    ),
    tenant("GET", "/api/domains", SignedIn, Of::Nothing, nothing, 200),
    tenant(
        "POST",
        "/api/domains",
        SignedIn,
        Of::Nothing,
        new_domain,
        201,
    ),
    tenant(
        "DELETE",
        "/api/domains/{host}",
        SignedIn,
        Of::Domain,
        nothing,
        204,
    ),
    tenant(
        "POST",
        "/api/domains/{host}/verify",
        SignedIn,
        Of::Claim,
        nothing,
        200,
    ),
    tenant(
        "PUT",
        "/api/domains/{host}/primary",
        SignedIn,
        Of::Domain,
        nothing,
        200,
    ),
    tenant(
        "DELETE",
        "/api/domains/{host}/primary",
        SignedIn,
        Of::Domain,
        nothing,
        204,
    ),
    tenant("GET", "/api/keys", SignedIn, Of::Nothing, nothing, 200),
    tenant("POST", "/api/keys", SignedIn, Of::Nothing, new_key, 201),
    tenant("DELETE", "/api/keys/{id}", SignedIn, Of::Key, nothing, 204),
    tenant("GET", "/api/audit", SignedIn, Of::Nothing, nothing, 200),
    tenant("GET", "/api/shop", Anyone, Of::Nothing, nothing, 200),
    tenant("PATCH", "/api/shop", SignedIn, Of::Nothing, tagline, 200),
    tenant("GET", "/api/settings", SignedIn, Of::Nothing, nothing, 200),
    tenant(
        "PATCH",
        "/api/settings/storefront",
        SignedIn,
        Of::Nothing,
        announcement,
        200,
    ),
    tenant(
        "DELETE",
        "/api/settings/storefront",
        SignedIn,
        Of::Nothing,
        nothing,
        204,
    ),
    tenant("GET", "/api/theme", SignedIn, Of::Nothing, nothing, 200),
    tenant("PUT", "/api/theme", SignedIn, Of::Nothing, theme, 200),
    tenant(
        "PUT",
        "/api/theme/logo",
        SignedIn,
        Of::Nothing,
        picture,
        200,
    ),
    tenant(
        "DELETE",
        "/api/theme/logo",
        SignedIn,
        Of::Nothing,
        nothing,
        204,
    ),
    tenant("DELETE", "/api/theme", SignedIn, Of::Nothing, nothing, 204),
    tenant("GET", "/api/usage", SignedIn, Of::Nothing, nothing, 200),
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
    tenant("POST", "/api/users", SignedIn, Of::Nothing, new_user, 201),
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
    tenant(
        "POST",
        "/api/products",
        SignedIn,
        Of::Nothing,
        new_product,
        201,
    ),
    tenant(
        "POST",
        "/api/products/import",
        SignedIn,
        Of::Nothing,
        import,
        202,
    ),
    tenant(
        "GET",
        "/api/products/events",
        Anyone,
        Of::Nothing,
        nothing,
        200,
    ),
    tenant(
        "GET",
        "/api/products/socket",
        Anyone,
        Of::Nothing,
        nothing,
        101,
    ),
    tenant(
        "GET",
        "/api/jobs/events",
        SignedIn,
        Of::Nothing,
        nothing,
        200,
    ),
    tenant("GET", "/api/jobs/{id}", SignedIn, Of::Import, nothing, 200),
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
        new_product,
        200,
    ),
    tenant(
        "PATCH",
        "/api/products/{id}",
        SignedIn,
        Of::Product,
        new_product,
        200,
    ),
    tenant(
        "DELETE",
        "/api/products/{id}",
        SignedIn,
        Of::Pictured,
        nothing,
        204,
    ),
    tenant(
        "GET",
        "/api/products/{id}/picture",
        Anyone,
        Of::Pictured,
        nothing,
        200,
    ),
    tenant(
        "PUT",
        "/api/products/{id}/picture",
        SignedIn,
        Of::Pictured,
        picture,
        200,
    ),
    tenant(
        "DELETE",
        "/api/products/{id}/picture",
        SignedIn,
        Of::Pictured,
        nothing,
        200,
    ),
    tenant(
        "POST",
        "/api/products/{id}/picture/link",
        SignedIn,
        Of::Pictured,
        nothing,
        201,
    ),
    tenant(
        "GET",
        "/files/{*name}",
        Anyone,
        Of::PictureLink,
        nothing,
        200,
    ),
    tenant(
        "GET",
        "/api/products/{id}/thumbnail",
        Anyone,
        Of::Pictured,
        nothing,
        200,
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
    (
        "GET",
        "/assets/live.js",
        "a file in the program, the same for everybody",
    ),
];

fn announcement(_: &Shop, word: &str, _: &str) -> Payload {
    Payload::Json(json!({ "announcement": word }))
}

fn nothing(_: &Shop, _: &str, _: &str) -> Payload {
    Payload::Nothing
}

fn empty_form(_: &Shop, _: &str, _: &str) -> Payload {
    Payload::Form(Vec::new())
}

fn shop(_: &Shop, word: &str, _: &str) -> Payload {
    Payload::Json(json!({
        "code": word,
        "name": word,
        "owner": { "email": "owner@example.com", "password": "long enough", "first_name": "O" },
    }))
}

fn shop_form(_: &Shop, word: &str, _: &str) -> Payload {
    let word = word.to_owned();
    Payload::Form(vec![
        ("name", word.clone()),
        ("code", word.clone()),
        ("first_name", word),
        ("email", "owner@example.com".into()),
        ("password", "long enough".into()),
    ])
}

fn login(_: &Shop, _: &str, email: &str) -> Payload {
    Payload::Json(json!({ "email": email, "password": PASSWORD }))
}

fn login_form(_: &Shop, _: &str, email: &str) -> Payload {
    Payload::Form(vec![("email", email.into()), ("password", PASSWORD.into())])
}

fn tagline(_: &Shop, word: &str, _: &str) -> Payload {
    Payload::Json(json!({ "profile": { "tagline": word } }))
}

fn new_user(shop: &Shop, word: &str, _: &str) -> Payload {
    user(shop, word)
}

pub(super) fn user(_: &Shop, word: &str) -> Payload {
    Payload::Json(json!({
        "email": format!("{word}@example.com"), "password": "long enough", "first_name": word,
    }))
}

fn first_name(_: &Shop, word: &str, _: &str) -> Payload {
    Payload::Json(json!({ "first_name": word }))
}

fn new_product(shop: &Shop, word: &str, _: &str) -> Payload {
    product(shop, word)
}

pub(super) fn product(_: &Shop, word: &str) -> Payload {
    Payload::Json(json!({ "name": word, "code": word, "price": "3.00" }))
}

fn product_form(_: &Shop, word: &str, _: &str) -> Payload {
    let word = word.to_owned();
    Payload::Form(vec![
        ("name", word.clone()),
        ("code", word),
        ("price", "3.00".into()),
    ])
}

fn profile_form(_: &Shop, word: &str, _: &str) -> Payload {
    let currency = ("currency", "EUR".to_owned());
    Payload::Form(vec![
        ("name", word.to_owned()),
        ("tagline", word.to_owned()),
        currency,
    ])
}

fn front_form(_: &Shop, word: &str, _: &str) -> Payload {
    Payload::Form(vec![
        ("announcement", word.to_owned()),
        ("show_prices", "yes".to_owned()),
    ])
}

fn mail_form(_: &Shop, word: &str, _: &str) -> Payload {
    Payload::Form(vec![("from_name", word.to_owned())])
}

fn theme_form(_: &Shop, word: &str, _: &str) -> Payload {
    Payload::Form(vec![
        ("accent", "#a33".to_owned()),
        ("style", format!(".{word} {{ color: red }}")),
        ("layout", format!("<p>{word}</p>{{{{ content }}}}")),
    ])
}

pub(super) fn theme(_: &Shop, word: &str, _: &str) -> Payload {
    Payload::Json(json!({
        "accent": "#a33",
        "style": format!(".{word} {{ color: red }}"),
        "layout": format!("<p class=\"{word}\">{{{{ account }}}}</p>{{{{ content }}}}"),
        "front": format!("<p>{word}</p>{{{{ search }}}}{{% for product in products %}}\
            <a href=\"{{{{ product.url }}}}\">{{{{ product.name }}}}</a>{{% endfor %}}"),
    }))
}

fn picture(_: &Shop, _: &str, _: &str) -> Payload {
    Payload::Bytes("image/png", png(3, 2))
}

fn picture_form(_: &Shop, _: &str, _: &str) -> Payload {
    form_with_picture(&png(3, 2))
}

fn new_key(shop: &Shop, word: &str, _: &str) -> Payload {
    key(shop, word)
}

pub(super) fn key(_: &Shop, word: &str) -> Payload {
    Payload::Json(json!({ "name": word, "scopes": ["products:write"] }))
}

fn new_domain(_: &Shop, word: &str, _: &str) -> Payload {
    domain(word)
}

pub(super) fn domain(word: &str) -> Payload {
    Payload::Json(json!({ "host": format!("{word}.example") }))
}

fn invited(_: &Shop, word: &str, _: &str) -> Payload {
    invitation(word)
}

pub(super) fn invitation(word: &str) -> Payload {
    Payload::Json(json!({ "email": format!("{word}@example.com"), "role": "staff" }))
}

fn address(_: &Shop, _: &str, email: &str) -> Payload {
    Payload::Json(json!({ "email": email }))
}

fn address_form(_: &Shop, _: &str, email: &str) -> Payload {
    let email = if email.is_empty() {
        "owner@example.com"
    } else {
        email
    };
    Payload::Form(vec![("email", email.into())])
}

/// Nothing comes of it: the price is none, and it is told by the product's code.
pub(super) fn import(_: &Shop, word: &str, _: &str) -> Payload {
    let csv = format!("name,code,price\n{word},{word},-1\n");
    Payload::Bytes("text/csv", csv.into_bytes())
}

fn link(_: &Shop, _: &str, secret: &str) -> Payload {
    Payload::Json(json!({ "link": secret }))
}

fn link_form(_: &Shop, _: &str, secret: &str) -> Payload {
    Payload::Form(vec![("link", secret.into())])
}

fn refresh(_: &Shop, _: &str, secret: &str) -> Payload {
    Payload::Json(json!({ "refresh": secret }))
}

fn password(_: &Shop, _: &str, secret: &str) -> Payload {
    Payload::Json(json!({ "link": secret, "password": "quite another one" }))
}

fn password_form(_: &Shop, _: &str, secret: &str) -> Payload {
    let password = "quite another one".to_owned();
    Payload::Form(vec![("link", secret.into()), ("password", password)])
}

fn join(_: &Shop, word: &str, secret: &str) -> Payload {
    Payload::Json(json!({
        "link": secret, "password": "quite another one", "first_name": word,
    }))
}

fn join_form(_: &Shop, word: &str, secret: &str) -> Payload {
    Payload::Form(vec![
        ("link", secret.into()),
        ("password", "quite another one".into()),
        ("first_name", word.into()),
    ])
}

fn new_password(_: &Shop, _: &str, _: &str) -> Payload {
    Payload::Json(json!({ "current": PASSWORD, "new": "quite another one" }))
}

fn new_address(_: &Shop, word: &str, _: &str) -> Payload {
    let email = format!("{word}@new.example.com");
    Payload::Json(json!({ "email": email, "password": PASSWORD }))
}

fn wrong_code(_: &Shop, _: &str, _: &str) -> Payload {
    Payload::Json(json!({ "code": "000000" }))
}

/// The second factor is taken away where there is none, too.
fn proof(_: &Shop, _: &str, _: &str) -> Payload {
    Payload::Json(json!({ "password": PASSWORD, "code": "000000" }))
}

fn wrong_login(_: &Shop, _: &str, email: &str) -> Payload {
    Payload::Json(json!({ "email": email, "password": "no operator has this" }))
}

fn stand_in(shop: &Shop, _: &str, _: &str) -> Payload {
    Payload::Json(json!({
        "tenant": shop.code, "email": shop.owner.email, "reason": "to try it",
    }))
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
