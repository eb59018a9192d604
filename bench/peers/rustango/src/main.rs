//! The benchmark's endpoint on rustango, as `cargo rustango new --template tenant` lays it out.

mod make_tenants;
mod models;
mod views;

use std::process::ExitCode;

use axum::{Router, routing::get};
use rustango::{manage::Cli, tenancy::TenantPoolsConfig};

use self::{
    make_tenants::make_tenants,
    views::{add, add_by_pool, list, list_by_pool},
};

// Errors print with Display, so a multi-line CLI error reads as lines.
#[rustango::main]
async fn main() -> ExitCode {
    match run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("Error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), Box<dyn std::error::Error>> {
    let cli = Cli::new().tenancy();
    let cli = match std::env::var("TUNED_FOR_TENANTS") {
        Err(_) => cli.api(Router::new().route("/api/products", get(list).post(add))),
        Ok(tenants) => {
            let routes = get(list_by_pool).post(add_by_pool);
            cli.api(Router::new().route("/api/products", routes))
                .with_tenant_pools(TenantPoolsConfig {
                    // a pool that makes room for another is connected anew when it is next asked for
                    max_cached_scoped_pools: tenants.parse()?,
                    // each of them may have that many
                    scoped_pool_max_connections: 1,
                    database_pool_idle_timeout: None,
                    database_pool_max_lifetime: None,
                    ..TenantPoolsConfig::default()
                })
        }
    };
    cli.with_health()
        .with_tenant_provisioning("migrations")
        .command(
            "make-tenants",
            "Make the tenants that the input names, one a line, each with its schema",
            make_tenants,
        )
        .with_settings_from_env()
        .run()
        .await
}
