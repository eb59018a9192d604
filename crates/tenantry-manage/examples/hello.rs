//! The smallest application there is to copy from: one table, one route, and the whole command
//! line.
//!
//! ```console
//! $ cargo run -p tenantry-manage --example hello -- demo
//! $ cargo run -p tenantry-manage --example hello
//! $ curl http://ann.localhost:8000/greetings
//! ```

use std::process::ExitCode;

use axum::http::Method;
use tenantry::{
    Tenancy,
    db::TenantDb,
    lifecycle::{NewTenant, SeedError},
    migrate::Migrations,
    routing::{Json, Result, Routes, Site},
    users::{NewUser, Users},
};
use tenantry_manage::{Application, Owner};

struct Hello;

impl Application for Hello {
    const NAME: &'static str = "hello";
    const ABOUT: &'static str = "Greetings, a book of them per tenant";
    const VERSION: &'static str = env!("CARGO_PKG_VERSION");
    const ROLES: &'static [&'static str] = &["owner", "guest"];

    fn tenant_migrations() -> Migrations {
        Migrations::new().sql(
            "0001_greetings",
            "CREATE TABLE greetings (id uuid PRIMARY KEY DEFAULT (gen_random_uuid()), text text NOT NULL)",
        )
    }

    fn router(tenancy: Tenancy, site: Site) -> axum::Router {
        Routes::new()
            .tenant(Method::GET, "/greetings", greetings)
            .central(
                Method::GET,
                "/",
                async || "Each tenant has its own /greetings.\n",
            )
            .into_router(tenancy, site.resolvers(), ())
    }

    async fn seed(
        tenancy: Tenancy,
        mut db: TenantDb,
        owner: Option<Owner>,
    ) -> Result<(), SeedError> {
        db.query("INSERT INTO greetings (text) VALUES ($1)")
            .bind("Hello")
            .execute()
            .await?;
        if let Some(Owner { email, password }) = owner {
            let new = NewUser {
                email,
                password,
                first_name: String::new(),
                last_name: String::new(),
                role: "owner".into(),
            };
            Users::on(&mut db).create(tenancy.passwords(), new).await?;
        }
        Ok(())
    }

    async fn demo(tenancy: Tenancy, site: Site) -> Result<String, SeedError> {
        let new = NewTenant::new("ann".parse()?, "Ann's");
        let seed = {
            let tenancy = tenancy.clone();
            move |db| Self::seed(tenancy, db, None)
        };
        let (tenant, ()) = tenancy.create_with(new, seed).await?;
        Ok(site.url(&tenant, "/greetings"))
    }
}

async fn greetings(db: TenantDb) -> Result<Json<Vec<String>>> {
    let greetings: Vec<(String,)> = db
        .query("SELECT text FROM greetings ORDER BY text")
        .all()
        .await?;
    Ok(Json(greetings.into_iter().map(|(text,)| text).collect()))
}

fn main() -> ExitCode {
    tenantry_manage::run::<Hello>()
}
