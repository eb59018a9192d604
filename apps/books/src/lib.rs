//! Bookkeeping for companies, one per tenant: people outside of tenants, path and header routing,
//! policies.
//!
//! Handlers are written as if there were one company. `routes` lists them, `models` says what is kept
//! and how it is changed, `policies/` who may, `api` and `pages` what is said over HTTP.

mod actions;
mod api;
mod application;
mod demo;
mod health;
mod mails;
mod models;
mod pages;
mod routes;
mod validate;

pub use application::Books;
pub use routes::routes;

use tenantry::routing::Site;

/// What handlers know besides their request.
#[derive(Debug, Clone)]
pub struct AppState {
    /// Where the deployment is on the web.
    pub site: Site,
}

impl axum::extract::FromRef<AppState> for Site {
    fn from_ref(state: &AppState) -> Self {
        state.site.clone()
    }
}
