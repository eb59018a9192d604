use axum::http::Method;
use tenantry::routing::Routes;

use crate::{AppState, api, health, pages};

/// Every route of the shop. A test goes through this list and fails when one of them is not tried
/// across tenants.
pub fn routes() -> Routes<AppState> {
    const GET: Method = Method::GET;
    const POST: Method = Method::POST;
    const PUT: Method = Method::PUT;
    const PATCH: Method = Method::PATCH;
    const DELETE: Method = Method::DELETE;

    Routes::new()
        .problem_page(pages::problem)
        // the deployment
        .unresolved(GET, "/healthz", health::alive)
        .unresolved(GET, "/readyz", health::ready)
        .unresolved(GET, "/assets/style.css", pages::assets::style)
        .unresolved(GET, "/assets/favicon.svg", pages::assets::favicon)
        .central(GET, "/", pages::landing::show)
        .central(POST, "/shops", pages::landing::create)
        .central(POST, "/api/shops", api::shops::create)
        // a shop's pages
        .tenant(GET, "/", pages::storefront::show)
        .tenant(GET, "/sign-in", pages::sign_in::show)
        .tenant(POST, "/sign-in", pages::sign_in::sign_in)
        .tenant(POST, "/sign-out", pages::sign_in::sign_out)
        .tenant(GET, "/products/new", pages::products::blank)
        .tenant(POST, "/products", pages::products::create)
        .tenant(GET, "/products/{id}/edit", pages::products::edit)
        .tenant(POST, "/products/{id}", pages::products::update)
        .tenant(POST, "/products/{id}/delete", pages::products::delete)
        // a shop's API
        .tenant(GET, "/api/shop", api::shop::show)
        .tenant(PATCH, "/api/shop", api::shop::update)
        .tenant(POST, "/api/auth/login", api::auth::login)
        .tenant(POST, "/api/auth/logout", api::auth::logout)
        .tenant(POST, "/api/auth/logout-all", api::auth::logout_all)
        .tenant(GET, "/api/auth/me", api::auth::me)
        .tenant(GET, "/api/users", api::users::list)
        .tenant(POST, "/api/users", api::users::create)
        .tenant(GET, "/api/users/{id}", api::users::show)
        .tenant(PATCH, "/api/users/{id}", api::users::update)
        .tenant(DELETE, "/api/users/{id}", api::users::delete)
        .tenant(GET, "/api/products", api::products::list)
        .tenant(POST, "/api/products", api::products::create)
        .tenant(GET, "/api/products/{id}", api::products::show)
        .tenant(PUT, "/api/products/{id}", api::products::replace)
        .tenant(PATCH, "/api/products/{id}", api::products::update)
        .tenant(DELETE, "/api/products/{id}", api::products::delete)
}
