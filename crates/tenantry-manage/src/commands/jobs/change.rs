use std::time::Duration;

use tenantry::{
    Tenancy,
    scoped::jobs::{Filter, JobStatus},
};
use uuid::Uuid;

use super::{One, failed};
use crate::{Error, confirm::Yes, printer, whom::Whom};

/// Which to try anew.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Without an id all that are dead are tried anew, from their first attempt. One whose unique key another
job has by now stays as it is.

Examples:
  {app} jobs retry --all --kind import-products
  {app} jobs retry 0190c2a4-6d3e-7bb1-9d0c-1d6c9d9a4b11 --tenant acme")]
pub(crate) struct RetryArgs {
    /// The job; all that are dead, unless told
    id: Option<Uuid>,
    #[command(flatten)]
    whom: Whom,
    /// Only those of this kind
    #[arg(long)]
    kind: Option<String>,
}

/// Which to forget.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Jobs that are done or cancelled are forgotten by themselves after a week; those that are dead stay until
somebody retries or purges them.

Examples:
  {app} jobs purge --all --status dead --older-than 30
  {app} jobs purge --tenant acme --yes")]
pub(crate) struct PurgeArgs {
    #[command(flatten)]
    whom: Whom,
    /// Only those that are done, dead or cancelled
    #[arg(long)]
    status: Option<JobStatus>,
    /// Only those of this kind
    #[arg(long)]
    kind: Option<String>,
    /// Only those that ended longer ago than so many days
    #[arg(long, value_name = "DAYS", default_value_t = 0)]
    older_than: u32,
    #[command(flatten)]
    yes: Yes,
}

/// Which not to do.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  {app} jobs cancel 0190c2a4-6d3e-7bb1-9d0c-1d6c9d9a4b11 --tenant acme")]
pub(crate) struct CancelArgs {
    #[command(flatten)]
    one: One,
}

pub(super) async fn retry(args: &RetryArgs, tenancy: &Tenancy) -> Result<(), Error> {
    let filter = Filter {
        status: args.id.is_none().then_some(JobStatus::Dead),
        kind: args.kind.clone(),
        id: args.id,
    };
    let mut retried = 0;
    for tenant in args.whom.tenants(tenancy).await? {
        let done = tenancy.jobs(&tenant).retry(&filter).await;
        retried += done.map_err(|source| failed(&tenant, source))?;
    }
    match (args.id, retried) {
        (Some(id), 0) => Err(Error::NotRetried(id)),
        _ => printer::data(format_args!("{retried} to be tried anew")),
    }
}

pub(super) async fn purge(args: &PurgeArgs, tenancy: &Tenancy) -> Result<(), Error> {
    let tenants = args.whom.tenants(tenancy).await?;
    let which = args.status.map_or("ended", JobStatus::as_str);
    let meaning = format!(
        "Jobs that are {which} will be forgotten, of {} tenants.",
        tenants.len()
    );
    args.yes.or_ask_for("the word", "purge", &meaning)?;
    let filter = Filter {
        status: args.status,
        kind: args.kind.clone(),
        id: None,
    };
    let age = Duration::from_secs(u64::from(args.older_than) * 24 * 60 * 60);
    let mut purged = 0;
    for tenant in tenants {
        let done = tenancy.jobs(&tenant).purge(&filter, age).await;
        purged += done.map_err(|source| failed(&tenant, source))?;
    }
    printer::data(format_args!("{purged} forgotten"))
}

pub(super) async fn cancel(args: &CancelArgs, tenancy: &Tenancy) -> Result<(), Error> {
    let queue = args.one.queue(tenancy).await?;
    let cancelled = queue.cancel(args.one.id).await;
    if cancelled.map_err(|source| failed(queue.tenant(), source))? {
        let status = args.one.find(&queue).await?.status;
        return printer::data(match status {
            JobStatus::Running => "it is told to stop",
            _ => "cancelled",
        });
    }
    let job = args.one.find(&queue).await?;
    Err(Error::JobEnded {
        id: job.id,
        status: job.status,
    })
}
