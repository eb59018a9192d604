//! The benchmark's endpoint, as one would write it on a library that knows no tenants: each once with
//! `WHERE tenant_id = …`, and once behind row-level security.

mod shared;
mod with_diesel;
mod with_sea_orm;
mod with_sqlx;
mod with_sqlx_files;

use tokio::net::TcpListener;

use self::shared::{Failure, number, setting};

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let which = std::env::args().nth(1).unwrap_or_default();
    let url = || setting("DATABASE_URL");
    let router = match which.as_str() {
        "sqlx" => with_sqlx::plain(&url()?, number("CONNECTIONS")?).await?,
        "sqlx-rls" => with_sqlx::with_policies(&url()?, number("CONNECTIONS")?).await?,
        "sea-orm" => with_sea_orm::plain(&url()?, number("CONNECTIONS")?).await?,
        "sea-orm-rls" => with_sea_orm::with_policies(&url()?, number("CONNECTIONS")?).await?,
        "diesel" => with_diesel::plain(&url()?, number("CONNECTIONS")?).await?,
        "diesel-rls" => with_diesel::with_policies(&url()?, number("CONNECTIONS")?).await?,
        "sqlx-files" => with_sqlx_files::router(setting("FOLDER")?.into(), number("OPEN_FILES")?)?,
        other => return Err(format!("there is no `{other}`").into()),
    };
    let listener = TcpListener::bind(("127.0.0.1", number("PORT")?)).await?;
    Ok(axum::serve(listener, router).await?)
}
