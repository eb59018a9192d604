use std::collections::BTreeSet;

use axum::{
    Router,
    handler::Handler,
    http::Method,
    routing::{MethodFilter, any, on},
};

use super::{
    Problem, Resolvers, Site,
    dispatch::{self, Cookies, PageOf},
    session::Cookie,
};
use crate::Tenancy;

/// What a route has to do with tenants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// It is there on the central host, for no tenant.
    Central,
    /// It is a tenant's; without one it is 404 `tenant-required`.
    Tenant,
    /// It is there for both; its handler can take an `Option<Tenant>`.
    Universal,
    /// It is answered before a tenant is looked for, whatever the host: health, static files.
    Unresolved,
}

/// A route as it was listed.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub struct RouteInfo {
    /// The path, in axum's notation.
    pub path: String,
    /// The method.
    pub method: String,
    /// What it has to do with tenants.
    pub kind: Kind,
}

/// The routes of an application: a table for the central host and one for tenants' hosts, and the
/// list of both, so that a test can see that it leaves none out.
///
/// The same path may stand in both tables, with different handlers: `/` is one page for visitors
/// of the deployment and another for those of a shop.
#[must_use]
pub struct Routes<S = ()> {
    central: Router<S>,
    tenant: Router<S>,
    unresolved: Router<S>,
    list: Vec<RouteInfo>,
    page: Option<PageOf>,
    cookies: Cookies,
}

impl<S: Clone + Send + Sync + 'static> Routes<S> {
    /// None yet.
    pub fn new() -> Self {
        Self {
            central: Router::new(),
            tenant: Router::new(),
            unresolved: Router::new(),
            list: Vec::new(),
            page: None,
            cookies: Cookies::default(),
        }
    }

    /// A route of the central host.
    ///
    /// # Panics
    /// When the path is malformed or the method unusual, here and below.
    pub fn central<H: Handler<T, S>, T: 'static>(
        mut self,
        method: Method,
        path: &str,
        handler: H,
    ) -> Self {
        self.central = add(self.central, &method, path, handler);
        self.listed(&method, path, Kind::Central)
    }

    /// A route of every tenant.
    pub fn tenant<H: Handler<T, S>, T: 'static>(
        mut self,
        method: Method,
        path: &str,
        handler: H,
    ) -> Self {
        self.tenant = add(self.tenant, &method, path, handler);
        self.listed(&method, path, Kind::Tenant)
    }

    /// A route of the central host and of every tenant.
    pub fn universal<H: Handler<T, S>, T: 'static>(
        mut self,
        method: Method,
        path: &str,
        handler: H,
    ) -> Self {
        self.central = add(self.central, &method, path, handler.clone());
        self.tenant = add(self.tenant, &method, path, handler);
        self.listed(&method, path, Kind::Universal)
    }

    /// A route that is answered before a tenant is looked for.
    pub fn unresolved<H: Handler<T, S>, T: 'static>(
        mut self,
        method: Method,
        path: &str,
        handler: H,
    ) -> Self {
        self.unresolved = add(self.unresolved, &method, path, handler);
        self.listed(&method, path, Kind::Unresolved)
    }

    /// Shows problems as pages to those who ask for HTML, on paths outside `/api/`.
    pub fn problem_page(mut self, page: fn(&Problem) -> axum::response::Response) -> Self {
        self.page = Some(page);
        self
    }

    /// Keeps [sessions](super::BrowserSession) with browsers, on the hosts of tenants.
    pub fn sessions(mut self, site: &Site) -> Self {
        self.cookies.session = Some(Cookie::of(site));
        self
    }

    /// Keeps [sessions](super::AccountSession) with browsers of people who stand outside of tenants,
    /// on every host of the deployment's own. From there nobody is sent to a tenant's primary domain, where
    /// there is none; links of a [`Site`] still lead there.
    pub fn account_sessions(mut self, site: &Site) -> Self {
        self.cookies.account = Some(Cookie::of(site));
        self
    }

    /// Every route, in the order given.
    #[must_use]
    pub fn list(&self) -> &[RouteInfo] {
        &self.list
    }

    fn listed(mut self, method: &Method, path: &str, kind: Kind) -> Self {
        self.list.push(RouteInfo {
            path: path.into(),
            method: method.to_string(),
            kind,
        });
        self
    }

    /// The application as a service.
    pub fn into_router(self, tenancy: Tenancy, resolvers: Resolvers, state: S) -> Router {
        let paths = |wanted: &[Kind]| -> BTreeSet<&str> {
            self.list
                .iter()
                .filter(|route| wanted.contains(&route.kind))
                .map(|route| route.path.as_str())
                .collect()
        };
        let mut central = self.central;
        for path in paths(&[Kind::Tenant]).difference(&paths(&[Kind::Central, Kind::Universal])) {
            central = central.route(path, any(async || Problem::tenant_required()));
        }
        dispatch::assemble(
            central.with_state(state.clone()),
            self.tenant.with_state(state.clone()),
            self.unresolved.with_state(state),
            tenancy,
            resolvers,
            self.page,
            self.cookies,
        )
    }
}

impl<S: Clone + Send + Sync + 'static> Default for Routes<S> {
    fn default() -> Self {
        Self::new()
    }
}

fn add<H: Handler<T, S>, T: 'static, S: Clone + Send + Sync + 'static>(
    router: Router<S>,
    method: &Method,
    path: &str,
    handler: H,
) -> Router<S> {
    let filter = MethodFilter::try_from(method.clone());
    assert!(filter.is_ok(), "{method} cannot be routed");
    match filter {
        Ok(filter) => router.route(path, on(filter, handler)),
        Err(_) => router,
    }
}
