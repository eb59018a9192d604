use axum::{
    Router,
    http::{HeaderValue, StatusCode, header},
    middleware,
    response::IntoResponse,
};
use tenantry::{
    Config, Tenancy,
    db::TenantDb,
    lifecycle::SeedError,
    migrate::Migrations,
    policy::{Policies, PolicyError},
    routing::{Problem, Resolvers, Site},
    scoped::mail::MailSettings,
};
use tenantry_manage::{Application, Owner, People};
use tower_http::{csrf::CsrfLayer, set_header::SetResponseHeaderLayer};

use crate::{
    AppState, demo,
    models::{customer::Customer, invoice::Invoice, line::Line, payment::Payment},
    pages, routes, validate,
};

/// The books, for their command line.
#[derive(Debug)]
pub struct Books;

impl Application for Books {
    const NAME: &'static str = "books";
    const ABOUT: &'static str = "Bookkeeping for companies, each with members and books of its own";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const ROLES: &'static [&'static str] = &["owner", "admin", "bookkeeper", "viewer"];
    const PEOPLE: People = People::Outside;

    fn configure(config: Config) -> Config {
        config.settings::<MailSettings>()
    }

    fn policies() -> Option<Result<Policies, PolicyError>> {
        let policies = Policies::new(
            include_str!("../policies/books.cedarschema"),
            include_str!("../policies/books.cedar"),
        );
        let known = |policies: Policies| {
            policies
                .with_own()
                .resource::<Customer>()?
                .resource::<Invoice>()?
                .resource::<Line>()?
                .resource::<Payment>()
        };
        Some(policies.and_then(known))
    }

    fn site(site: Site) -> Site {
        let resolvers = Resolvers::new()
            .host(site.host())
            .path("/c", "")
            .path("/api/companies", "/api")
            .header("Tenant-Code");
        site.tenants_by(resolvers)
    }

    fn check_email(email: &str) -> Result<(), SeedError> {
        validate::email(email, &()).map_err(|error| error.message().into())
    }

    fn check_password(password: &str) -> Result<(), SeedError> {
        validate::password(password, &()).map_err(|error| error.message().into())
    }

    fn tenant_migrations() -> Migrations {
        Migrations::new().sql(
            "0001_books",
            include_str!("../migrations/tenant/0001_books.sql"),
        )
    }

    fn router(tenancy: Tenancy, site: Site) -> Router {
        let header = |name, value| {
            SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
        };
        routes()
            .account_sessions(&site)
            .into_router(tenancy, site.resolvers(), AppState { site })
            .layer(middleware::from_fn(pages::sign_in_first))
            .layer(CsrfLayer::new().with_rejection_response(|_| {
                Problem::new(
                    StatusCode::FORBIDDEN,
                    "cross-origin",
                    "The request comes from a page of another site.",
                )
                .into_response()
            }))
            .layer(header(header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
            .layer(header(header::REFERRER_POLICY, "same-origin"))
            // answers show secrets, or what only one reader may see
            .layer(header(header::CACHE_CONTROL, "no-store"))
    }

    async fn seed(_: Tenancy, _: TenantDb, _: Option<Owner>) -> Result<(), SeedError> {
        Ok(()) // books begin empty, and whoever owns them is made a member besides
    }

    async fn demo(tenancy: Tenancy, site: Site) -> Result<String, SeedError> {
        demo::fill(&tenancy, &site).await
    }
}
