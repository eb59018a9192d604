use axum::{
    Router,
    http::{HeaderValue, StatusCode, header},
    response::IntoResponse,
};
use tenantry::{
    Config, Tenancy, Tenant,
    db::TenantDb,
    lifecycle::SeedError,
    migrate::Migrations,
    policy::{Policies, PolicyError},
    routing::{Problem, Resolvers, Site},
    scoped::{jobs::Jobs, mail::MailSettings},
    users::{NewUser, Users},
};
use tenantry_manage::{Application, Owner, Task};
use tower_http::{csrf::CsrfLayer, set_header::SetResponseHeaderLayer};

use crate::{
    AppState, access, demo, jobs,
    models::{front::Front, theme::Theme},
    plans, routes, tasks,
    texts::OwnTexts,
    themes, validate,
};

/// The shop, for its command line.
#[derive(Debug)]
pub struct Shop;

impl Application for Shop {
    const NAME: &'static str = "shop";
    const ABOUT: &'static str = "Online shops, each in a database of its own";
    const ROLES: &'static [&'static str] = &["owner", "admin", "staff"];

    const VERSION: &'static str = env!("CARGO_PKG_VERSION");

    fn check_email(email: &str) -> Result<(), SeedError> {
        validate::email(email)?;
        Ok(())
    }

    fn check_password(password: &str) -> Result<(), SeedError> {
        validate::new_password(password, &[])?;
        Ok(())
    }

    fn tenant_migrations() -> Migrations {
        Migrations::new()
            .sql(
                "0001_shop",
                include_str!("../migrations/tenant/0001_shop.sql"),
            )
            .sql(
                "0002_pictures",
                include_str!("../migrations/tenant/0002_pictures.sql"),
            )
            .sql(
                "0003_theme_faults",
                include_str!("../migrations/tenant/0003_theme_faults.sql"),
            )
    }

    fn configure(config: Config) -> Config {
        let config = config
            .settings::<Front>()
            .settings::<MailSettings>()
            .settings::<Theme>();
        plans::register(config.settings::<OwnTexts>())
    }

    fn policies() -> Option<Result<Policies, PolicyError>> {
        Some(access::policies())
    }

    fn tasks() -> Vec<Task> {
        vec![tasks::reprice(), tasks::stock_report()]
    }

    fn jobs(site: Site) -> Jobs {
        jobs::jobs(site)
    }

    fn site(site: Site) -> Site {
        let resolvers = Resolvers::new()
            .subdomain(site.host())
            .domain()
            .header("Tenant-Code");
        site.tenants_by(resolvers)
    }

    fn router(tenancy: Tenancy, site: Site) -> Router {
        let header = |name, value| {
            SetResponseHeaderLayer::if_not_present(name, HeaderValue::from_static(value))
        };
        routes()
            .sessions(&site)
            .into_router(tenancy, site.resolvers(), AppState { site })
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

    async fn seed(
        tenancy: Tenancy,
        mut db: TenantDb,
        owner: Option<Owner>,
    ) -> Result<(), SeedError> {
        let Some(owner) = owner else { return Ok(()) };
        let new = NewUser {
            first_name: owner.email.split('@').next().unwrap_or("Owner").into(),
            email: owner.email,
            password: owner.password,
            last_name: String::new(),
            role: "owner".into(),
        };
        Users::on(&mut db).create(tenancy.passwords(), new).await?;
        Ok(())
    }

    async fn notes(tenancy: &Tenancy, tenant: &Tenant) -> Result<Vec<String>, SeedError> {
        let (settings, db) = (tenancy.settings(tenant), tenancy.db(tenant).await?);
        let fault = themes::fault(&settings, &db).await?;
        Ok(fault.map(|fault| fault.to_string()).into_iter().collect())
    }

    async fn demo(tenancy: Tenancy, site: Site) -> Result<String, SeedError> {
        demo::fill(&tenancy, &site).await
    }
}
