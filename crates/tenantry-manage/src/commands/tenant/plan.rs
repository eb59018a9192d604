use tenantry::{Tenancy, tenant::TenantCode};

use crate::{Error, context::find, printer};

/// Which plan.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
A plan says what a tenant may have: the application's limits and features, and what its policies ask
for. Where the application has registered plans it is one of those. An empty one is none. Every process
knows it within a second.

Examples:
  {app} tenant plan acme               which it is on
  {app} tenant plan acme trial
  {app} tenant plan acme \"\"            on none")]
pub(crate) struct Args {
    /// The tenant
    code: TenantCode,
    /// The plan that it is to be on
    plan: Option<String>,
}

pub(super) async fn run(args: &Args, tenancy: &Tenancy) -> Result<(), Error> {
    let tenant = find(tenancy, &args.code).await?;
    let Some(plan) = &args.plan else {
        if tenant.plan().is_empty() {
            printer::note(format_args!("{} is on no plan", args.code));
            return Ok(());
        }
        return printer::data(tenant.plan());
    };
    tenancy
        .set_plan(&tenant, plan)
        .await
        .map_err(|error| Error::lifecycle(&args.code, error))?;
    if plan.is_empty() {
        printer::note(format_args!("{} is on no plan now", args.code));
    } else {
        printer::note(format_args!("{} is on the plan {plan} now", args.code));
    }
    Ok(())
}
