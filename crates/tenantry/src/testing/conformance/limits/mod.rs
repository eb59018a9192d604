//! A noisy tenant is kept to its limits, and another does not notice.

mod connections;
mod requests;
mod stored;
mod times;

use std::time::Duration;

use axum::{
    body::Body,
    http::{HeaderMap, Method, Request, StatusCode},
};
use http_body_util::BodyExt;
use serde_json::Value;
use tower::ServiceExt;

use super::{A_WHILE, AT_ONCE, Case, ENDLESS, Place, add_note, at_once, count_notes, list, soon};
use crate::{
    Tenancy, Tenant,
    db::TenantDb,
    routing::{Resolvers, Result, Routes},
    tenant::{Limits, Plan, Rate},
};

pub(super) const CASES: [&[Case]; 4] = [
    requests::CASES,
    connections::CASES,
    times::CASES,
    stored::CASES,
];

/// Opens the place anew, with `acme` on a plan that has those limits and `globex` on none.
async fn limited(place: &mut Place, limits: Limits) -> (Tenant, Tenant) {
    place.tenant("acme").await;
    let globex = place.tenant("globex").await;
    let plans = place.config().plan(Plan::new("small").with_limits(limits));
    place.reopen_as(plans.plan(Plan::new("large"))).await;
    (on(place, "small").await, globex)
}

/// Puts `acme` on a plan.
async fn on(place: &Place, plan: &str) -> Tenant {
    let tenancy = place.tenancy();
    let acme = place.tenant("acme").await;
    tenancy.set_plan(&acme, plan).await.unwrap();
    place.tenant("acme").await
}

/// What is asked over HTTP.
struct App(axum::Router);

struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl App {
    fn of(tenancy: &Tenancy, routes: Routes) -> Self {
        let resolvers = Resolvers::new().header("Tenant-Code").host("localhost");
        Self(routes.into_router(tenancy.clone(), resolvers, ()))
    }

    /// Asks for an answer, of which the body may still come.
    async fn begin(&self, code: &str, path: &str) -> axum::response::Response {
        let request = Request::builder()
            .method(Method::GET)
            .uri(path)
            .header("host", "localhost");
        let request = match code {
            "" => request,
            code => request.header("tenant-code", code),
        };
        let request = request.body(Body::empty()).unwrap();
        self.0.clone().oneshot(request).await.unwrap()
    }

    async fn get(&self, code: &str, path: &str) -> Answer {
        let (parts, body) = self.begin(code, path).await.into_parts();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: body.collect().await.unwrap().to_bytes().into(),
        }
    }
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    fn problem(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    /// Fails unless the tenant is told that it was too much; returns when it may come back.
    #[track_caller]
    fn is_too_much(&self) -> Duration {
        assert_eq!(self.status, StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(self.problem()["type"], "/problems/too-many-requests");
        let seconds = self.header("retry-after").unwrap();
        Duration::from_secs(seconds.parse().unwrap())
    }
}
