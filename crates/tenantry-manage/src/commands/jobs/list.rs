use chrono::SecondsFormat;
use serde::Serialize;
use tenantry::{
    Tenancy,
    scoped::jobs::{Filter, JobInfo, JobStatus},
    tenant::TenantCode,
};

use super::{One, failed};
use crate::{Error, printer, table::Table, whom::Whom};

/// Which to list.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Each tenant's jobs are in its own database, which is opened for it.

Examples:
  {app} jobs list --tenant acme
  {app} jobs list --all --status dead
  {app} jobs list --all --status dead --json | jq -r '.[] | .last_error' | sort | uniq -c")]
pub(crate) struct Args {
    #[command(flatten)]
    whom: Whom,
    /// Only those that are queued, running, done, dead or cancelled
    #[arg(long)]
    status: Option<JobStatus>,
    /// Only those of this kind
    #[arg(long)]
    kind: Option<String>,
    /// At most so many of each tenant
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: u16,
    /// List them as JSON, with everything that is known
    #[arg(long)]
    json: bool,
}

/// Which to show.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  {app} jobs show 0190c2a4-6d3e-7bb1-9d0c-1d6c9d9a4b11 --tenant acme")]
pub(crate) struct ShowArgs {
    #[command(flatten)]
    one: One,
    /// Tell it as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct View {
    tenant: TenantCode,
    #[serde(flatten)]
    job: JobInfo,
}

pub(super) async fn run(args: &Args, tenancy: &Tenancy) -> Result<(), Error> {
    let filter = Filter {
        status: args.status,
        kind: args.kind.clone(),
        id: None,
    };
    let mut views = Vec::new();
    for tenant in args.whom.tenants(tenancy).await? {
        let queue = tenancy.jobs(&tenant);
        let jobs = queue.list(&filter, None, args.limit.into()).await;
        let jobs = jobs.map_err(|source| failed(&tenant, source))?;
        views.extend(jobs.into_iter().map(|job| View {
            tenant: tenant.code().clone(),
            job,
        }));
    }
    if args.json {
        return printer::json(&views);
    }
    let mut table = Table::new([
        "TENANT", "ID", "KIND", "STATUS", "ATTEMPTS", "RUN AT", "TOLD",
    ]);
    for View { tenant, job } in &views {
        table.row([
            tenant.as_str(),
            &job.id.to_string(),
            &job.kind,
            job.status.as_str(),
            &format!("{}/{}", job.attempts, job.max_attempts),
            &job.run_at.to_rfc3339_opts(SecondsFormat::Secs, true),
            &told(job),
        ]);
    }
    if table.is_empty() {
        printer::note("there are no such jobs");
    }
    printer::table(&table)
}

/// The last that is known of it.
fn told(job: &JobInfo) -> String {
    let far = match job.progress_of {
        Some(of) => format!("{}/{of} ", job.progress),
        None => String::new(),
    };
    let words = match (job.status, &job.last_error) {
        (JobStatus::Dead | JobStatus::Queued, Some(error)) => error,
        _ => &job.progress_note,
    };
    format!("{far}{words}")
}

pub(super) async fn show(args: &ShowArgs, tenancy: &Tenancy) -> Result<(), Error> {
    let queue = args.one.queue(tenancy).await?;
    let job = args.one.find(&queue).await?;
    if args.json {
        return printer::json(&job);
    }
    let time = |at: chrono::DateTime<chrono::Utc>| at.to_rfc3339_opts(SecondsFormat::Millis, true);
    let lines = [
        ("id", job.id.to_string()),
        ("kind", job.kind.clone()),
        ("status", job.status.to_string()),
        (
            "attempts",
            format!("{} of {}", job.attempts, job.max_attempts),
        ),
        ("priority", job.priority.to_string()),
        ("enqueued", time(job.created_at)),
        ("run at", time(job.run_at)),
        ("ended", job.finished_at.map(time).unwrap_or_default()),
        ("told", told(&job)),
        ("last error", job.last_error.clone().unwrap_or_default()),
        ("unique key", job.unique_key.clone().unwrap_or_default()),
        ("trace", job.trace.clone().unwrap_or_default()),
        ("payload", job.payload.to_string()),
    ];
    let text: Vec<String> = lines
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name:<11} {value}"))
        .collect();
    printer::data(text.join("\n"))
}
