use tenantry::{Tenancy, lifecycle::LifecycleError, tenant::TenantCode};

use crate::{Application, Context, Error, context::find, printer};

/// From what to what.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Prints the URL that it has now. The old code is free for another tenant at once. Domains stay with it.

Examples:
  {app} tenant rename acme acme-eu")]
pub(crate) struct Args {
    /// The tenant
    code: TenantCode,
    /// Its new code
    new: TenantCode,
}

pub(super) async fn run<A: Application>(
    args: &Args,
    context: &Context,
    tenancy: &Tenancy,
) -> Result<(), Error> {
    let tenant = find(tenancy, &args.code).await?;
    tenancy.rename(&tenant, &args.new).await.map_err(|error| {
        let about = match error {
            LifecycleError::CodeTaken => &args.new,
            _ => &args.code,
        };
        Error::lifecycle(about, error)
    })?;
    printer::note(format_args!("{} is now {}", args.code, args.new));
    let tenant = find(tenancy, &args.new).await?;
    printer::data(context.site::<A>().tenant_url(&tenant))
}
