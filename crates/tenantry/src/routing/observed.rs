//! What is told of requests: by which id each is known, and which route it took.

use std::{
    sync::{Arc, OnceLock},
    task::{Context, Poll},
};

use axum::{
    extract::{MatchedPath, Request},
    http::{HeaderMap, HeaderName, HeaderValue, Method},
};
use tower::{Layer, Service};
use tracing::Span;
use uuid::{Uuid, fmt::Simple};

use crate::{
    tenant::Tenant,
    trace::{self, Exported},
};

/// By which id a request is known: in its answer, and in the lines of the log.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is taken from a request.
const LONGEST: usize = 64;

/// What stands for all paths that no route has.
const NO_ROUTE: &str = "none";

/// The id that the request says it has, if that is one, or else one of its own: letters, digits, and
/// what stands between them in ids.
pub(super) fn id_of(headers: &HeaderMap) -> Arc<str> {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let told = headers.get(REQUEST_ID).and_then(|value| {
        let bytes = value.as_bytes();
        let is_one = (1..=LONGEST).contains(&bytes.len()) && bytes.iter().copied().all(is_plain);
        value.to_str().ok().filter(|_| is_one)
    });
    told.map_or_else(made_id, Into::into)
}

fn made_id() -> Arc<str> {
    let mut text = [0; Simple::LENGTH];
    (&*Uuid::now_v7().simple().encode_lower(&mut text)).into()
}

/// What the request says of what it is part of ([W3C](https://www.w3.org/TR/trace-context/)).
pub(super) fn traceparent(headers: &HeaderMap) -> Option<&str> {
    headers.get("traceparent")?.to_str().ok()
}

/// The trace that the request says it belongs to.
pub(super) fn trace_of(traceparent: &str) -> Option<Arc<str>> {
    let (_version, rest) = traceparent.split_once('-')?;
    let id = rest.split('-').next()?;
    trace::is_id(id, 32).then(|| id.into())
}

/// Whether it came over TLS, to whatever stands before the application.
pub(super) fn is_tls(headers: &HeaderMap) -> bool {
    let told = headers.get("x-forwarded-proto");
    told.is_some_and(|told| told.as_bytes() == b"https")
}

/// The id as it goes into the answer.
pub(super) fn header(id: &str) -> Option<HeaderValue> {
    HeaderValue::from_str(id).ok()
}

/// Where it is written what becomes known of a request, to be in the lines of the log from then on, and in
/// what is exported.
#[derive(Clone)]
pub(super) struct Observed {
    /// As it was listed, without what stands for its parameters in this request.
    route: Arc<OnceLock<MatchedPath>>,
    span: Span,
    exported: Option<Exported>,
}

impl Observed {
    pub(super) fn of(span: &Span, exported: Option<Exported>) -> Self {
        Self {
            route: Arc::default(),
            span: span.clone(),
            exported,
        }
    }

    pub(super) fn route(&self) -> &str {
        self.route.get().map_or(NO_ROUTE, MatchedPath::as_str)
    }

    /// Tells whose the request is.
    pub(super) fn belongs_to(&self, tenant: &Tenant) {
        self.span.record("tenant", tenant.code().as_str());
        let id = tracing::field::display(tenant.id());
        self.span.record("tenant_id", id);
        if let Some(exported) = &self.exported {
            exported.belongs_to(tenant);
        }
    }

    fn takes(&self, route: &MatchedPath) {
        self.span.record("route", route.as_str());
        if let Some(exported) = &self.exported {
            exported.takes(route.as_str());
        }
        // nobody writes it a second time
        let _ = self.route.set(route.clone());
    }

    /// Tells how it was answered.
    pub(super) fn answered(&self, status: u16) {
        if let Some(exported) = &self.exported {
            exported.answered(status);
        }
    }
}

/// Writes down which route a request takes.
#[derive(Clone)]
pub(super) struct NoteRoute;

#[derive(Clone)]
pub(super) struct Noting<S>(S);

impl<S> Layer<S> for NoteRoute {
    type Service = Noting<S>;

    fn layer(&self, inner: S) -> Noting<S> {
        Noting(inner)
    }
}

impl<S: Service<Request>> Service<Request> for Noting<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> S::Future {
        let extensions = request.extensions();
        if let (Some(matched), Some(observed)) = (
            extensions.get::<MatchedPath>(),
            extensions.get::<Observed>(),
        ) {
            observed.takes(matched);
        }
        self.0.call(request)
    }
}

/// The method, if it is one of those that are usual.
pub(super) fn word(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_taken_if_it_can_be_one() {
        let of = |told: &[u8]| {
            let mut headers = HeaderMap::new();
            headers.insert(REQUEST_ID, HeaderValue::from_bytes(told).unwrap());
            id_of(&headers)
        };
        for fine in ["a", "4bf92f3577b34da6", "A-b_c.9", &"x".repeat(64)] {
            assert_eq!(&*of(fine.as_bytes()), fine);
        }
        for wrong in [
            "",
            " ",
            "a b",
            "a\"b",
            "a{tenant=b}",
            "ä",
            &"x".repeat(65),
            "a,b",
        ] {
            let made = of(wrong.as_bytes());
            assert_eq!(made.len(), 32, "{wrong}");
            assert_ne!(&*made, wrong);
        }
        assert_ne!(id_of(&HeaderMap::new()), id_of(&HeaderMap::new()));
    }
}
