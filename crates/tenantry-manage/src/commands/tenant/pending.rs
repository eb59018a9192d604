use serde_json::json;
use tenantry::Tenancy;

use crate::{Error, printer};

/// How many, and whether to make them.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Such a tenant has its place with all migrations, and no code: to everyone there is none. `tenant
create` and the application's own sign-up take one and have only to seed it. A server with --pending
N keeps so many ready by itself.

Examples:
  {app} tenant pending
  {app} tenant pending --fill 100                 before a day when many come
  {app} tenant pending --drop")]
pub(crate) struct Args {
    /// Make tenants until so many are ready
    #[arg(long, value_name = "N", conflicts_with = "drop")]
    fill: Option<u16>,
    /// Remove all of them
    #[arg(long)]
    drop: bool,
    /// Tell it as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(args: &Args, tenancy: &Tenancy) -> Result<(), Error> {
    if let Some(ready) = args.fill {
        let made = tenancy.fill_pending(ready.into()).await;
        printer::note(format_args!("{} made", made.map_err(Error::Pending)?));
    }
    if args.drop {
        let dropped = tenancy.drop_pending().await;
        printer::note(format_args!("{} removed", dropped.map_err(Error::Pending)?));
    }
    let ready = tenancy.pending_tenants().await.map_err(Error::Pending)?;
    match args.json {
        true => printer::json(&json!({ "ready": ready })),
        false => printer::data(format_args!("{ready} ready")),
    }
}
