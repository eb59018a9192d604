use tenantry::{Tenancy, scoped::jobs::Worker, tenant::TenantCode};
use uuid::Uuid;

use super::failed;
use crate::{Application, Context, Error, context::find, printer};

/// What to run.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without an id it runs what is due, until there is nothing. With one it runs that job, due or not. Workers
that are at it go on meanwhile; no job is run by two.

Examples:
  {app} jobs run --tenant acme
  {app} jobs run 0190c2a4-6d3e-7bb1-9d0c-1d6c9d9a4b11 --tenant acme")]
pub(crate) struct Args {
    /// The job; all that are due, unless told
    id: Option<Uuid>,
    /// Whose they are
    #[arg(long, value_name = "CODE")]
    tenant: TenantCode,
    /// Tell it as JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run<A: Application>(
    args: &Args,
    context: &Context,
    tenancy: &Tenancy,
) -> Result<(), Error> {
    let jobs = A::jobs(context.site::<A>());
    if jobs.is_empty() {
        return Err(Error::NoJobs);
    }
    let tenant = find(tenancy, &args.tenant).await?;
    let failed = |source| failed(&tenant, source);
    if let Some(id) = args.id {
        let found = tenancy.jobs(&tenant).get(id).await.map_err(failed)?;
        found.ok_or_else(|| Error::NoJob {
            tenant: args.tenant.clone(),
            id,
        })?;
    }
    let tally = Worker::new(tenancy, jobs).work_off(&tenant, args.id).await;
    let tally = tally.map_err(failed)?;
    match args.json {
        true => printer::json(&tally)?,
        false => printer::data(format_args!(
            "{} done, {} to be tried again, {} dead, {} cancelled",
            tally.done, tally.again, tally.dead, tally.cancelled
        ))?,
    }
    match tally.again + tally.dead {
        0 => Ok(()),
        failed => Err(Error::JobsFailed(failed)),
    }
}
