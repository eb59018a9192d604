use axum::http::Method;
use tenantry::routing::{Routes, resource};

use crate::{
    AppState, api, health,
    models::{product::Product, staff::Person},
    pages,
};

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
        // what was mailed, in development
        .central(GET, "/dev/mail", pages::dev_mail::list)
        .central(GET, "/dev/mail/{id}", pages::dev_mail::show)
        .tenant(GET, "/dev/mail", pages::dev_mail::list)
        .tenant(GET, "/dev/mail/{id}", pages::dev_mail::show)
        // those who run the deployment
        .central(POST, "/api/operators/login", api::operators::login)
        .central(POST, "/api/operators/logout", api::operators::logout)
        .central(GET, "/api/operators/me", api::operators::me)
        .central(POST, "/api/operators/totp", api::operators::begin_totp)
        .central(POST, "/api/operators/totp/confirm", api::operators::confirm_totp)
        .central(POST, "/api/operators/impersonations", api::operators::impersonate)
        .central(GET, "/api/operators/audit", api::operators::audit)
        // a shop's pages
        .tenant(GET, "/", pages::storefront::show)
        .tenant(GET, "/sign-in", pages::sign_in::show)
        .tenant(POST, "/sign-in", pages::sign_in::sign_in)
        .tenant(POST, "/sign-out", pages::sign_in::sign_out)
        .tenant(GET, "/forgot-password", pages::links::forgotten)
        .tenant(POST, "/forgot-password", pages::links::ask_for_password)
        .tenant(GET, "/reset-password", pages::links::new_password)
        .tenant(POST, "/reset-password", pages::links::set_password)
        .tenant(GET, "/invitation", pages::links::invited)
        .tenant(POST, "/invitation", pages::links::join)
        .tenant(GET, "/confirm-email", pages::links::email)
        .tenant(POST, "/confirm-email", pages::links::confirm_email)
        .tenant(GET, "/impersonate", pages::stand_in::show)
        .tenant(POST, "/impersonate", pages::stand_in::begin)
        .tenant(GET, "/products/new", pages::products::blank)
        .tenant(POST, "/products", pages::products::create)
        .tenant(GET, "/products/{id}/edit", pages::products::edit)
        .tenant(POST, "/products/{id}", pages::products::update)
        .tenant(POST, "/products/{id}/delete", pages::products::delete)
        .tenant(POST, "/products/{id}/picture", pages::products::set_picture)
        .tenant(POST, "/products/{id}/picture/delete", pages::products::remove_picture)
        // a shop's API
        .tenant(GET, "/api/shop", api::shop::show)
        .tenant(PATCH, "/api/shop", api::shop::update)
        .tenant(GET, "/api/settings", api::settings::list)
        .tenant(PATCH, "/api/settings/{group}", api::settings::update)
        .tenant(DELETE, "/api/settings/{group}", api::settings::reset)
        .tenant(GET, "/api/usage", api::usage::show)
        .tenant(POST, "/api/auth/login", api::auth::login)
        .tenant(POST, "/api/auth/logout", api::auth::logout)
        .tenant(POST, "/api/auth/logout-all", api::auth::logout_all)
        .tenant(GET, "/api/auth/me", api::auth::me)
        .tenant(POST, "/api/auth/jwt", api::auth::jwt)
        .tenant(POST, "/api/auth/jwt/refresh", api::auth::jwt_refresh)
        .tenant(GET, "/api/auth/tokens", api::auth::tokens)
        .tenant(DELETE, "/api/auth/tokens/{id}", api::auth::revoke_token)
        .tenant(GET, "/api/auth/sessions", api::auth::sessions)
        .tenant(DELETE, "/api/auth/sessions/{id}", api::auth::revoke_session)
        .tenant(POST, "/api/auth/password", api::account::change_password)
        .tenant(POST, "/api/auth/password/forgot", api::account::forgot_password)
        .tenant(POST, "/api/auth/password/reset", api::account::reset_password)
        .tenant(POST, "/api/auth/email", api::account::change_email)
        .tenant(POST, "/api/auth/email/verify", api::account::verify_email)
        .tenant(POST, "/api/auth/email/confirm", api::account::confirm_email)
        .tenant(POST, "/api/auth/totp", api::account::begin_totp)
        .tenant(POST, "/api/auth/totp/confirm", api::account::confirm_totp)
        .tenant(DELETE, "/api/auth/totp", api::account::remove_totp)
        .tenant(GET, "/api/invitations", api::invitations::list)
        .tenant(POST, "/api/invitations", api::invitations::create)
        .tenant(POST, "/api/invitations/accept", api::invitations::accept)
        .tenant(DELETE, "/api/invitations/{id}", api::invitations::withdraw)
        .tenant(GET, "/api/keys", api::keys::list)
        .tenant(POST, "/api/keys", api::keys::create)
        .tenant(DELETE, "/api/keys/{id}", api::keys::revoke)
        .tenant(GET, "/api/domains", api::domains::list)
        .tenant(POST, "/api/domains", api::domains::add)
        .tenant(DELETE, "/api/domains/{host}", api::domains::remove)
        .tenant(POST, "/api/domains/{host}/verify", api::domains::verify)
        .tenant(PUT, "/api/domains/{host}/primary", api::domains::set_primary)
        .tenant(DELETE, "/api/domains/{host}/primary", api::domains::clear_primary)
        .tenant(GET, "/api/audit", api::audit::list)
        .tenant(GET, "/api/users", resource::list::<Person>)
        .tenant(POST, "/api/users", api::users::create)
        .tenant(GET, "/api/users/{id}", resource::show::<Person>)
        .tenant(PATCH, "/api/users/{id}", api::users::update)
        .tenant(DELETE, "/api/users/{id}", api::users::delete)
        .tenant(GET, "/api/products", resource::list::<Product>)
        .tenant(POST, "/api/products", resource::create::<Product>)
        .tenant(POST, "/api/products/import", api::jobs::import_products)
        .tenant(GET, "/api/jobs/{id}", api::jobs::show)
        .tenant(GET, "/api/products/{id}", resource::show::<Product>)
        .tenant(PUT, "/api/products/{id}", resource::replace::<Product>)
        .tenant(PATCH, "/api/products/{id}", resource::update::<Product>)
        .tenant(DELETE, "/api/products/{id}", api::products::delete)
        .tenant(GET, "/api/products/{id}/picture", api::products::picture)
        .tenant(PUT, "/api/products/{id}/picture", api::products::set_picture)
        .tenant(DELETE, "/api/products/{id}/picture", api::products::remove_picture)
        .tenant(GET, "/api/products/{id}/thumbnail", api::products::thumbnail)
}
