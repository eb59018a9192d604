//! Hosts that tenants have of their own: whose they are, and that nobody else's data is found there.

mod claims;
mod lifecycle;
mod primary;

use axum::{
    Router,
    body::{Body, to_bytes},
    extract::State,
    http::{HeaderMap, HeaderName, HeaderValue, Method, Request, header},
};
use tower::ServiceExt;

use super::{Case, Place};
use crate::{
    Tenancy, Tenant,
    domains::{Domain, DomainError},
    routing::{AccountSession, CurrentAccount, CurrentUser, Result, Routes, Site},
    tenant::DomainName,
    testing::NameServer,
};

pub(super) const CASES: [&[Case]; 3] = [claims::CASES, primary::CASES, lifecycle::CASES];

/// A deployment with a name server that it asks.
struct World {
    place: Place,
    names: NameServer,
}

const SHOP: &str = "shop.example";

fn host(text: &str) -> DomainName {
    text.parse().unwrap()
}

fn site() -> Site {
    let site = Site::new("localhost").port(8000);
    let resolvers = site.resolvers().header("Tenant-Code");
    site.tenants_by(resolvers)
}

async fn who(tenant: Tenant) -> String {
    tenant.code().to_string()
}

async fn url(tenant: Tenant, State(site): State<Site>) -> String {
    site.url(&tenant, "/a?b=c")
}

async fn account(CurrentAccount(account): CurrentAccount) -> String {
    account.email
}

async fn sign_in(
    session: AccountSession,
    tenancy: Tenancy,
    headers: HeaderMap,
) -> Result<[(HeaderName, HeaderValue); 1]> {
    let id = headers["account"].to_str().unwrap().parse().unwrap();
    session.sign_in(&tenancy.accounts().issue(id).await?).await
}

async fn me(CurrentUser { user, .. }: CurrentUser) -> String {
    user.email
}

fn routes() -> Routes<Site> {
    Routes::new()
        .tenant(Method::GET, "/who", who)
        .tenant(Method::POST, "/who", who)
        .tenant(Method::GET, "/api/who", who)
        .tenant(Method::GET, "/url", url)
        .tenant(Method::GET, "/me", me)
        .universal(Method::GET, "/api/account", account)
        .universal(Method::POST, "/api/sign-in", sign_in)
        .tenant(Method::GET, "/.well-known/acme-challenge/x", who)
}

fn serve(routes: Routes<Site>, tenancy: &Tenancy) -> Router {
    routes.into_router(tenancy.clone(), site().resolvers(), site())
}

/// What was answered.
#[derive(Debug, PartialEq, Eq)]
struct Answer {
    status: u16,
    location: Option<String>,
    body: String,
}

async fn send(
    tenancy: &Tenancy,
    method: &str,
    at: &str,
    path: &str,
    more: &[(&str, &str)],
) -> Answer {
    send_to(serve(routes(), tenancy), method, at, path, more).await
}

async fn send_to(
    router: Router,
    method: &str,
    at: &str,
    path: &str,
    more: &[(&str, &str)],
) -> Answer {
    let mut request = Request::builder()
        .method(method)
        .uri(path)
        .header("host", at);
    for (name, value) in more {
        request = request.header(*name, *value);
    }
    let request = request.body(Body::empty()).unwrap();
    let answer = router.oneshot(request).await.unwrap();
    let location = answer.headers().get(header::LOCATION);
    Answer {
        status: answer.status().as_u16(),
        location: location.map(|value| value.to_str().unwrap().to_owned()),
        body: {
            let body = to_bytes(answer.into_body(), 1 << 16).await.unwrap();
            String::from_utf8(body.to_vec()).unwrap()
        },
    }
}

async fn get(tenancy: &Tenancy, at: &str, path: &str) -> Answer {
    send(tenancy, "GET", at, path, &[]).await
}

/// Whose a host is, as far as requests tell.
async fn whose(tenancy: &Tenancy, at: &str) -> Option<String> {
    let answer = get(tenancy, at, "/api/who").await;
    match answer.status {
        200 => Some(answer.body),
        404 if answer.body.contains("tenant-not-found") => None,
        _ => panic!("{at}: {answer:?}"),
    }
}

impl World {
    async fn of(mut place: Place) -> Self {
        let names = NameServer::start();
        let config = place.config().base_host("localhost");
        place.reopen_as(config.name_servers([names.addr()])).await;
        Self { place, names }
    }

    fn tenancy(&self) -> &Tenancy {
        self.place.tenancy()
    }

    /// The same deployment in another process.
    async fn beside(&self) -> Tenancy {
        let config = self.place.config().name_servers([self.names.addr()]);
        Tenancy::set_up(config).await.unwrap()
    }

    async fn claim(&self, code: &str, name: &str) -> Domain {
        let tenant = self.place.tenant(code).await;
        self.tenancy()
            .domains(&tenant)
            .claim(&host(name))
            .await
            .unwrap()
    }

    /// Sets what shows that these are who they say they are, and nothing else.
    fn publish(&self, claims: &[&Domain]) {
        let values = claims.iter().map(|one| one.record.value.as_str());
        self.names.set(&claims[0].record.name, values);
    }

    async fn verify(&self, code: &str, name: &str) -> Result<Domain, DomainError> {
        let tenant = self.place.tenant(code).await;
        self.tenancy().domains(&tenant).verify(&host(name)).await
    }

    /// Makes a host a tenant's own.
    async fn own(&self, code: &str, name: &str) -> Tenant {
        let claim = self.claim(code, name).await;
        self.publish(&[&claim]);
        self.verify(code, name).await.unwrap();
        self.place.tenant(code).await
    }

    async fn own_primary(&self, code: &str, name: &str) -> Tenant {
        let tenant = self.own(code, name).await;
        let domains = self.tenancy().domains(&tenant);
        assert!(domains.set_primary(&host(name)).await.unwrap().is_primary);
        self.place.tenant(code).await
    }
}
