//! Online shops, one per tenant: users inside tenants, subdomain and header routing.
//!
//! Handlers are written as if there were one shop. `routes` lists them, `models` holds the
//! statements, `api` and `pages` what is said over HTTP.

mod access;
mod amount;
mod api;
mod application;
mod bare;
mod demo;
mod health;
mod jobs;
mod mails;
mod models;
mod pages;
mod pictures;
mod plans;
mod routes;
mod tasks;
mod texts;
mod themes;
mod validate;
mod views;

pub use application::Shop;
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
