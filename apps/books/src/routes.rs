use axum::http::Method;
use tenantry::{
    resources::Writable,
    routing::{Routes, resource},
};

use crate::{
    AppState, api, health,
    models::{customer::Customer, invoice::Invoice, line::Line, payment::Payment},
    pages,
};

const GET: Method = Method::GET;
const POST: Method = Method::POST;
const PUT: Method = Method::PUT;
const PATCH: Method = Method::PATCH;
const DELETE: Method = Method::DELETE;

/// Every route of the books. A test goes through this list and fails when one of them is not tried
/// across tenants.
pub fn routes() -> Routes<AppState> {
    let routes = Routes::new()
        .problem_page(pages::problem)
        // the deployment
        .unresolved(GET, "/healthz", health::alive)
        .unresolved(GET, "/readyz", health::ready)
        .unresolved(GET, "/assets/style.css", pages::assets::style)
        .unresolved(GET, "/assets/favicon.svg", pages::assets::favicon)
        // people and their companies
        .central(GET, "/", pages::front::show)
        .central(GET, "/register", pages::front::register)
        .central(POST, "/register", pages::front::open_account)
        .central(GET, "/sign-in", pages::sign_in::show)
        .central(POST, "/sign-in", pages::sign_in::sign_in)
        .central(POST, "/sign-out", pages::sign_in::sign_out)
        .central(GET, "/forgotten", pages::password::ask)
        .central(POST, "/forgotten", pages::password::mail)
        .central(GET, "/new-password", pages::password::show)
        .central(POST, "/new-password", pages::password::set)
        .central(GET, "/companies", pages::companies::list)
        .central(POST, "/companies", pages::companies::create)
        .central(POST, "/api/auth/register", api::auth::register)
        .central(POST, "/api/auth/login", api::auth::login)
        .central(POST, "/api/auth/logout", api::auth::logout)
        .central(POST, "/api/auth/forgot", api::auth::forgot)
        .central(POST, "/api/auth/reset", api::auth::reset)
        .central(POST, "/api/auth/password", api::account::change_password)
        .central(POST, "/api/auth/totp", api::account::begin_totp)
        .central(POST, "/api/auth/totp/confirm", api::account::confirm_totp)
        .central(DELETE, "/api/auth/totp", api::account::remove_totp)
        .central(GET, "/api/auth/me", api::auth::me)
        .central(GET, "/api/companies", api::companies::list)
        .central(POST, "/api/companies", api::companies::create)
        // a company's pages
        .tenant(GET, "/", pages::companies::home)
        .tenant(GET, "/invoices", pages::invoices::list)
        .tenant(GET, "/invoices/new", pages::drafts::blank)
        .tenant(POST, "/invoices", pages::drafts::create)
        .tenant(GET, "/invoices/{invoice}", pages::invoices::show)
        .tenant(GET, "/invoices/{invoice}/print", pages::invoices::print)
        .tenant(POST, "/invoices/{invoice}/send", pages::invoices::send)
        .tenant(POST, "/invoices/{invoice}/void", pages::invoices::void)
        .tenant(POST, "/invoices/{invoice}/payments", pages::invoices::pay)
        .tenant(GET, "/invoices/{invoice}/edit", pages::drafts::edit)
        .tenant(POST, "/invoices/{invoice}", pages::drafts::update)
        .tenant(POST, "/invoices/{invoice}/delete", pages::drafts::delete)
        .tenant(POST, "/invoices/{invoice}/lines", pages::drafts::add_line)
        .tenant(POST, "/invoices/{invoice}/lines/{line}", pages::drafts::update_line)
        .tenant(POST, "/invoices/{invoice}/lines/{line}/delete", pages::drafts::delete_line)
        .tenant(GET, "/customers", pages::customers::list)
        .tenant(GET, "/customers/new", pages::customers::blank)
        .tenant(POST, "/customers", pages::customers::create)
        .tenant(GET, "/customers/{customer}", pages::customers::edit)
        .tenant(POST, "/customers/{customer}", pages::customers::update)
        .tenant(POST, "/customers/{customer}/delete", pages::customers::delete)
        .tenant(GET, "/members", pages::members::list)
        .tenant(POST, "/members/{member}", pages::members::update)
        .tenant(POST, "/members/{member}/remove", pages::members::remove)
        .tenant(POST, "/ownership", pages::members::transfer)
        .tenant(POST, "/leave", pages::members::leave)
        .tenant(POST, "/invitations", pages::members::invite)
        .tenant(POST, "/invitations/{id}/withdraw", pages::members::withdraw)
        .tenant(GET, "/invitation", pages::invitation::show)
        .tenant(POST, "/invitation", pages::invitation::join)
        // a company's API
        .tenant(GET, "/api", api::company::show)
        .tenant(GET, "/api/company", api::company::show)
        .tenant(GET, "/api/members", api::members::list)
        .tenant(PATCH, "/api/members/{id}", api::members::update)
        .tenant(DELETE, "/api/members/{id}", api::members::remove)
        .tenant(GET, "/api/invitations", api::members::invitations)
        .tenant(POST, "/api/invitations", api::members::invite)
        .tenant(POST, "/api/invitations/accept", api::members::accept)
        .tenant(DELETE, "/api/invitations/{id}", api::members::withdraw)
        .tenant(POST, "/api/ownership", api::members::transfer)
        .tenant(POST, "/api/leave", api::members::leave)
        .tenant(POST, "/api/invoices/{invoice}/send", api::invoices::send)
        .tenant(POST, "/api/invoices/{invoice}/void", api::invoices::void);
    let routes = of::<Customer>(routes, "/api/customers", "customer");
    let routes = of::<Invoice>(routes, "/api/invoices", "invoice");
    let routes = of::<Line>(routes, "/api/invoices/{invoice}/lines", "line");
    of::<Payment>(routes, "/api/invoices/{invoice}/payments", "payment")
}

/// What every resource can be asked for.
fn of<W: Writable>(routes: Routes<AppState>, path: &str, one: &str) -> Routes<AppState> {
    let one = format!("{path}/{{{one}}}");
    routes
        .tenant(GET, path, resource::list::<W>)
        .tenant(POST, path, resource::create::<W>)
        .tenant(GET, &one, resource::show::<W>)
        .tenant(PUT, &one, resource::replace::<W>)
        .tenant(PATCH, &one, resource::update::<W>)
        .tenant(DELETE, &one, resource::delete::<W>)
}
