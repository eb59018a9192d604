//! The endpoint, served in each of the ways that are compared.

pub(crate) mod files;
mod limit;
mod tenancy;

use std::{collections::HashMap, io::Read, path::PathBuf, thread};

use axum::{
    Router,
    http::{HeaderMap, StatusCode},
};
use clap::{Args, ValueEnum};
use tokio::net::TcpListener;
use tokio_postgres::NoTls;
use uuid::Uuid;

use self::files::Threads;
use crate::{Error, report::print};

#[derive(Args)]
pub(crate) struct Serve {
    which: Way,
    #[arg(long, default_value = "")]
    url: String,
    #[arg(long, default_value = "")]
    project: String,
    #[arg(long)]
    data: PathBuf,
    /// How many connections, or files, may be open
    #[arg(long)]
    pool: usize,
}

/// A way to serve it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Way {
    /// By hand, with nothing that the task does not need
    Limit,
    /// The same, where reads share connections
    LimitSharing,
    /// By tenantry, in whichever isolation the tenants have
    Tenancy,
    /// By hand on SQLite, on threads for what waits
    Files,
    /// By hand on SQLite, on the runtime's own threads
    FilesInline,
    /// By tenantry on files
    TenancyFiles,
}

pub(crate) async fn serve(serve: Serve) -> Result<(), Error> {
    let router = match serve.which {
        Way::Limit => limit::router(&serve.url, serve.pool).await?,
        Way::LimitSharing => limit::sharing(&serve.url, serve.pool).await?,
        Way::Tenancy => tenancy::on_postgres(&serve).await?,
        Way::Files => files::router(&serve.data, serve.pool, Threads::Blocking)?,
        Way::FilesInline => files::router(&serve.data, serve.pool, Threads::Own)?,
        Way::TenancyFiles => tenancy::on_files(&serve).await?,
    };
    let doing = Error::io("serving");
    let listener = TcpListener::bind("127.0.0.1:0").await.map_err(&doing)?;
    print(format_args!("{}\n", listener.local_addr().map_err(&doing)?));
    // whoever started it holds the other end, and lets go in whatever way it ends
    thread::spawn(|| {
        drop(std::io::stdin().read_to_end(&mut Vec::new()));
        std::process::exit(0);
    });
    axum::serve(listener, router).await.map_err(&doing)
}

/// The tenants of the plain tables by code, as whoever has no catalog would keep them.
type Tenants = HashMap<String, Uuid>;

async fn tenants(url: &str) -> Result<Tenants, Error> {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await?;
    drop(tokio::spawn(connection));
    let rows = client.query("SELECT code, id FROM tenants", &[]).await?;
    Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
}

/// The tenant that the header names.
fn tenant(tenants: &Tenants, headers: &HeaderMap) -> Result<Uuid, StatusCode> {
    headers
        .get("tenant-code")
        .and_then(|code| tenants.get(code.to_str().ok()?))
        .copied()
        .ok_or(StatusCode::NOT_FOUND)
}

fn routed<S: Clone + Send + Sync + 'static>(
    products: axum::routing::MethodRouter<S>,
    state: S,
) -> Router {
    Router::new()
        .route("/api/products", products)
        .with_state(state)
}
