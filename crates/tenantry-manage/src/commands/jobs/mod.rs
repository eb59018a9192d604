//! `jobs`: what tenants have to do later.

mod change;
mod list;
mod run;

use tenantry::{
    Tenancy, Tenant,
    db::DbError,
    scoped::jobs::{JobInfo, Queue},
    tenant::TenantCode,
};
use uuid::Uuid;

use crate::{Application, Context, Error, context::find};

/// What can be done with jobs.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// List jobs, the latest first
    List(list::Args),
    /// Tell everything about a job
    Show(list::ShowArgs),
    /// Have jobs that are dead or cancelled tried anew
    Retry(change::RetryArgs),
    /// Forget jobs that have ended
    Purge(change::PurgeArgs),
    /// Not have a job done: one that runs is told to stop
    Cancel(change::CancelArgs),
    /// Run what a tenant has due, or one job, here and now
    Run(run::Args),
}

impl Command {
    pub(super) fn only_looks(&self) -> bool {
        matches!(self, Self::List(_) | Self::Show(_))
    }
}

/// One job.
#[derive(Debug, clap::Args)]
pub(crate) struct One {
    /// The job, as `jobs list` tells it
    id: Uuid,
    /// Whose it is
    #[arg(long, value_name = "CODE")]
    tenant: TenantCode,
}

impl One {
    async fn queue(&self, tenancy: &Tenancy) -> Result<Queue, Error> {
        Ok(tenancy.jobs(&find(tenancy, &self.tenant).await?))
    }

    async fn find(&self, queue: &Queue) -> Result<JobInfo, Error> {
        let found = queue.get(self.id).await;
        found
            .map_err(|source| failed(queue.tenant(), source))?
            .ok_or_else(|| Error::NoJob {
                tenant: self.tenant.clone(),
                id: self.id,
            })
    }
}

fn failed(tenant: &Tenant, source: DbError) -> Error {
    Error::Tenant {
        code: tenant.code().clone(),
        source,
    }
}

pub(super) async fn run<A: Application>(
    command: Command,
    context: &Context,
    tenancy: &Tenancy,
) -> Result<(), Error> {
    match command {
        Command::List(args) => list::run(&args, tenancy).await,
        Command::Show(args) => list::show(&args, tenancy).await,
        Command::Retry(args) => change::retry(&args, tenancy).await,
        Command::Purge(args) => change::purge(&args, tenancy).await,
        Command::Cancel(args) => change::cancel(&args, tenancy).await,
        Command::Run(args) => run::run::<A>(&args, context, tenancy).await,
    }
}
