use tenantry::Tenancy;

use super::view::View;
use crate::{Application, Context, Error, printer, table::Table};

/// How to list them.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Those being made or erased at this moment are listed too.

Examples:
  {app} tenant list
  {app} tenant list --json | jq -r '.[] | select(.status == \"suspended\") | .code'")]
pub(crate) struct Args {
    /// List them as JSON, with everything the catalog knows
    #[arg(long)]
    json: bool,
    /// Those that are deleted and can be brought back
    #[arg(long)]
    deleted: bool,
}

pub(super) async fn run<A: Application>(
    args: &Args,
    context: &Context,
    tenancy: &Tenancy,
) -> Result<(), Error> {
    if args.deleted {
        return super::delete::list(args.json, tenancy).await;
    }
    let tenants = tenancy.tenants().await.map_err(Error::Catalog)?;
    let site = context.site::<A>();
    if args.json {
        let views: Vec<View<'_>> = tenants
            .iter()
            .map(|tenant| View::new(tenant, &site))
            .collect();
        return printer::json(&views);
    }
    let mut table = Table::new(["CODE", "NAME", "STATUS", "ISOLATION", "URL"]);
    for tenant in &tenants {
        table.row([
            tenant.code().as_str(),
            tenant.name(),
            tenant.status().as_str(),
            tenant.isolation().as_str(),
            &site.tenant_url(tenant),
        ]);
    }
    if table.is_empty() {
        printer::note("there are no tenants yet");
    }
    printer::table(&table)
}
