//! From a request to the handler of the right table: the tenant is found here, once.

use std::{convert::Infallible, panic::AssertUnwindSafe, sync::Arc, time::Instant};

use axum::{
    Router,
    body::Body,
    extract::{Request, State},
    http::{HeaderMap, StatusCode, header},
    middleware::{self, Next},
    response::{IntoResponse, Response},
};
use futures_util::FutureExt;
use tower::ServiceExt;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::{
    Instrument,
    field::{Empty, display},
};

use super::{
    Problem, Resolvers, limits, metered,
    observed::{self, NoteRoute, Observed},
    resolver::Claim,
    session::Cookie,
};
use crate::{
    Tenancy,
    policy::People,
    tenant::{Tenant, TenantStatus},
    trace::{self, Exported},
};

/// How a problem is shown to people.
pub(super) type PageOf = fn(&Problem) -> Response;

/// What a request was found to be for. Extractors read it.
#[derive(Clone)]
pub(super) struct Resolved {
    pub(super) tenancy: Tenancy,
    pub(super) tenant: Option<Tenant>,
    /// How it was found.
    pub(super) resolvers: Arc<Resolvers>,
    /// The path as it was asked for, before the tenant was taken out of it.
    pub(super) path: Arc<str>,
    pub(super) account_cookie: Option<Cookie>,
    /// What the request belongs to, with all that is done later because of it.
    pub(super) trace: Arc<str>,
}

impl Resolved {
    /// Whether people stand outside of tenants here.
    pub(super) fn has_people_outside(&self) -> bool {
        let policies = self.tenancy.policies();
        policies.is_some_and(|policies| policies.0.people == People::Outside)
    }
}

/// The sessions that are kept with browsers.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cookies {
    /// Of users inside tenants, on tenants' hosts.
    pub(super) session: Option<Cookie>,
    /// Of people outside of tenants.
    pub(super) account: Option<Cookie>,
}

struct Tables {
    central: Router,
    tenant: Router,
    tenancy: Tenancy,
    resolvers: Arc<Resolvers>,
    cookie: Option<Cookie>,
    account_cookie: Option<Cookie>,
}

pub(super) fn assemble(
    central: Router,
    tenant: Router,
    unresolved: Router,
    tenancy: Tenancy,
    resolvers: Resolvers,
    page: Option<PageOf>,
    cookies: Cookies,
) -> Router {
    let Cookies {
        session: cookie,
        account: account_cookie,
    } = cookies;
    let closed = |router: Router| {
        // where there are no routes nothing can be laid around them
        let noting = match router.has_routes() {
            true => router.route_layer(NoteRoute),
            false => router,
        };
        noting
            .fallback(async || Problem::not_found())
            .method_not_allowed_fallback(async || Problem::method_not_allowed())
    };
    let resolvers = Arc::new(resolvers);
    let tables = Arc::new(Tables {
        central: closed(central),
        tenant: closed(tenant),
        tenancy: tenancy.clone(),
        resolvers: resolvers.clone(),
        cookie,
        account_cookie,
    });
    let everything = unresolved
        .method_not_allowed_fallback(async || Problem::method_not_allowed())
        .layer(axum::Extension(Resolved {
            tenancy,
            tenant: None,
            resolvers,
            path: "".into(),
            account_cookie,
            trace: "".into(),
        }))
        .fallback(move |request: Request| dispatch(tables.clone(), request))
        .layer(CatchPanicLayer::custom(|_| {
            Problem::failed().into_response()
        }));
    match page {
        Some(page) => everything.layer(middleware::from_fn_with_state(page, show_page)),
        None => everything,
    }
}

async fn dispatch(tables: Arc<Tables>, request: Request) -> Response {
    let begun = Instant::now();
    let answers = &tables.tenancy.0.answers;
    let _under_way = answers.begin();
    let method = request.method().clone();
    let (word, headers) = (observed::word(&method), request.headers());
    let id = observed::id_of(headers);
    let traceparent = observed::traceparent(headers);
    // what is done later because of it is found by this
    let trace = traceparent.and_then(observed::trace_of);
    let trace = trace.unwrap_or_else(|| id.clone());
    // as if it were an error, so that no filter leaves its lines without their tenant; and without the
    // path, in which there may be what nobody else is to know
    let span = tracing::error_span!(
        "request",
        otel.kind = Empty,
        tenant = Empty,
        tenant_id = Empty,
        %method,
        route = Empty,
        request_id = %id,
        trace = (!trace::MAY_BE_EXPORTED).then(|| display(&trace)),
    );
    let exported = Exported::request(&span, word, observed::is_tls(headers), traceparent);
    let trace = exported.as_ref().map_or(trace, Exported::trace);
    if trace::MAY_BE_EXPORTED {
        span.record("trace", display(trace::id_of(&trace)));
    }
    let observed = Observed::of(&span, exported);
    let handling = handle(&tables, request, trace, &observed);
    let answering = async {
        // a panic is answered, counted and told of here, where it is known whose it is
        let handled = AssertUnwindSafe(handling).catch_unwind().await;
        let mut response = handled.unwrap_or_else(|_| Problem::failed().into_response());
        let (status, took) = (response.status().as_u16(), begun.elapsed());
        answers.count(word, observed.route(), status, took);
        tracing::debug!(status, took_ms = took.as_secs_f64() * 1e3, "answered");
        observed.answered(status);
        if let Some(id) = observed::header(&id) {
            response.headers_mut().insert(observed::REQUEST_ID, id);
        }
        response
    };
    answering.instrument(span).await
}

/// Finds the tenant, and has the right table answer.
async fn handle(
    tables: &Tables,
    request: Request,
    trace: Arc<str>,
    observed: &Observed,
) -> Response {
    let (mut parts, body) = request.into_parts();
    let tenant = match find(tables, tables.resolvers.resolve(&parts)).await {
        Ok(tenant) => tenant,
        Err(problem) => return problem.into_response(),
    };
    if let Some(tenant) = &tenant {
        observed.belongs_to(tenant);
        // nobody is sent to where their account's session is not
        let stays = tables.account_cookie.is_some() && !tables.resolvers.is_on_domain(&parts);
        let elsewhere = || tables.resolvers.elsewhere(&parts, tenant);
        if let Some((status, place)) = (!stays).then(elsewhere).flatten() {
            tracing::debug!(%place, "sent to the primary domain");
            return moved(status, &place);
        }
    }
    parts.extensions.insert(observed.clone());
    parts.extensions.insert(Resolved {
        tenancy: tables.tenancy.clone(),
        tenant: tenant.clone(),
        resolvers: tables.resolvers.clone(),
        path: parts.uri.path().into(),
        account_cookie: tables.account_cookie,
        trace,
    });
    if tenant.is_some()
        && let Some(rest) = tables.resolvers.without_tenant(&parts.uri)
    {
        parts.uri = rest;
    }
    answer(tables, tenant, Request::from_parts(parts, body)).await
}

/// The answer of the right table.
async fn answer(tables: &Tables, tenant: Option<Tenant>, request: Request) -> Response {
    let Some(tenant) = tenant else {
        return or_never(tables.central.clone().oneshot(request).await);
    };
    let meter = tables.tenancy.meter(&tenant);
    // what is refused is on nobody's account
    let admitted = match limits::admit(&tables.tenancy, &tenant, &meter).await {
        Ok(admitted) => admitted,
        Err(refused) => return refused,
    };
    let request = metered::request(request, &meter);
    let table = tables.tenant.clone();
    let answer = match tables.cookie {
        Some(cookie) => {
            let tenancy = tables.tenancy.clone();
            cookie.serve(table, tenancy, tenant, request).await
        }
        None => or_never(table.oneshot(request).await),
    };
    limits::answered(admitted, metered::response(answer, &meter))
}

fn or_never(answer: Result<Response, Infallible>) -> Response {
    match answer {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

async fn find(tables: &Tables, claim: Claim) -> Result<Option<Tenant>, Problem> {
    let tenancy = &tables.tenancy;
    let (found, named) = match claim {
        Claim::Central => return Ok(None),
        Claim::Code(code) => (tenancy.tenant(&code).await?, None),
        Claim::Domain(host, code) => (tenancy.tenant_by_domain(&host).await?, code),
        Claim::Nobody => return Err(Problem::tenant_not_found()),
        Claim::Conflict => return Err(Problem::tenant_conflict()),
    };
    let tenant = found.ok_or_else(Problem::tenant_not_found)?;
    if named.is_some_and(|code| code != *tenant.code()) {
        return Err(Problem::tenant_conflict());
    }
    match tenant.status() {
        TenantStatus::Active => Ok(Some(tenant)),
        TenantStatus::Suspended => Err(Problem::tenant_suspended()),
        TenantStatus::Pending
        | TenantStatus::Creating
        | TenantStatus::Deleted
        | TenantStatus::Deleting => Err(Problem::tenant_not_found()),
    }
}

/// To the tenant's primary domain. Nobody keeps that, because another can become the primary one: two
/// hosts that were each sent to the other once would be a circle.
fn moved(status: StatusCode, place: &str) -> Response {
    let kept = (header::CACHE_CONTROL, "no-store");
    (status, [kept, (header::LOCATION, place)]).into_response()
}

async fn show_page(State(page): State<PageOf>, request: Request, next: Next) -> Response {
    let wants = !request.uri().path().starts_with("/api/") && wants_html(request.headers());
    let response = next.run(request).await;
    if !wants {
        return response;
    }
    let Some(problem) = response.extensions().get::<Problem>() else {
        return response;
    };
    let mut shown = page(problem);
    *shown.status_mut() = problem.status();
    for name in [
        header::ALLOW,
        header::RETRY_AFTER,
        header::WWW_AUTHENTICATE,
        limits::POLICY,
        limits::LEFT,
    ] {
        if let Some(value) = response.headers().get(&name) {
            shown.headers_mut().insert(name, value.clone());
        }
    }
    shown.map(Body::new)
}

fn wants_html(headers: &HeaderMap) -> bool {
    headers
        .get(header::ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"))
}
