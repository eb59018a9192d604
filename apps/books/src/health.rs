//! Whether the program lives, and whether it can serve.

use tenantry::{db::CentralDb, routing::Result};

pub(crate) async fn alive() -> &'static str {
    "ok\n"
}

pub(crate) async fn ready(central: CentralDb) -> Result<&'static str> {
    central.query("SELECT 1").execute().await?;
    Ok("ok\n")
}
