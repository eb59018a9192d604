use std::time::Duration;

use serde::Serialize;
use tenantry::{
    Tenancy,
    db::DbError,
    tenant::{Rate, TenantCode},
};

use crate::{Error, commands::size, context::find, printer, table::Table};

/// Whose, and how.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Limits are those of the tenant's plan: `tenant plan CODE PLAN` puts it on another, and every process
knows that within a second. A tenant that is to have limits of its own is on a plan of its own.
What of requests and database time is used each process that serves counts for itself, so it is told
in answers (`RateLimit`) and not here.

Examples:
  {app} tenant limits acme
  {app} tenant limits acme --json | jq .storage")]
pub(crate) struct Args {
    /// The tenant
    code: TenantCode,
    /// Tell it as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Shown<'a> {
    plan: &'a str,
    requests: Option<RateShown>,
    concurrent: Option<ConcurrentShown>,
    database_time: Option<DatabaseTimeShown>,
    statement_timeout_ms: Option<u128>,
    storage: Used,
    jobs: Option<RateShown>,
    jobs_waiting: Used,
}

#[derive(Serialize)]
struct RateShown {
    per_second: f64,
    burst: u32,
}

impl From<Rate> for RateShown {
    fn from(rate: Rate) -> Self {
        Self {
            per_second: rate.each_second(),
            burst: rate.burst(),
        }
    }
}

#[derive(Serialize)]
struct ConcurrentShown {
    most: u32,
    wait_ms: u128,
}

#[derive(Serialize)]
struct DatabaseTimeShown {
    ms_per_second: u128,
    burst_ms: u128,
}

/// What is counted for all processes.
#[derive(Serialize)]
struct Used {
    used: u64,
    most: Option<u64>,
}

pub(super) async fn run(args: &Args, tenancy: &Tenancy) -> Result<(), Error> {
    let tenant = find(tenancy, &args.code).await?;
    let limits = tenancy.limits(&tenant);
    let failed = |source| Error::Tenant {
        code: args.code.clone(),
        source,
    };
    let files = tenancy.files(&tenant).usage().await;
    let bytes = files
        .map_err(|error| failed(DbError::Engine(Box::new(error))))?
        .bytes;
    let waiting = tenancy.jobs(&tenant).counts().await.map_err(failed)?.queued;
    let shown = Shown {
        plan: tenant.plan(),
        requests: limits.requests.map(Into::into),
        concurrent: limits.concurrent.map(|concurrent| ConcurrentShown {
            most: concurrent.most,
            wait_ms: concurrent.wait.as_millis(),
        }),
        database_time: limits.database_time.map(|time| DatabaseTimeShown {
            ms_per_second: time.per_second.as_millis(),
            burst_ms: time.burst.as_millis(),
        }),
        statement_timeout_ms: limits.statement_timeout.map(|longest| longest.as_millis()),
        storage: Used {
            used: bytes,
            most: limits.storage,
        },
        jobs: limits.jobs.map(Into::into),
        jobs_waiting: Used {
            used: waiting.unsigned_abs(),
            most: limits.jobs_waiting,
        },
    };
    if args.json {
        return printer::json(&shown);
    }
    let or_none = |text: Option<String>| text.unwrap_or_else(|| "no limit".into());
    let mut table = Table::new(["LIMIT", "AT MOST", "USED"]);
    for (what, most, used) in [
        (
            "requests",
            limits.requests.map(|rate| rate.to_string()),
            None,
        ),
        (
            "concurrent requests",
            limits.concurrent.map(|concurrent| {
                format!(
                    "{}, others wait for {}",
                    concurrent.most,
                    time(concurrent.wait)
                )
            }),
            None,
        ),
        (
            "database time",
            limits.database_time.map(|share| {
                format!(
                    "{} a second, {} at once",
                    time(share.per_second),
                    time(share.burst)
                )
            }),
            None,
        ),
        ("statement", limits.statement_timeout.map(time), None),
        (
            "files",
            limits.storage.map(size::for_people),
            Some(size::for_people(bytes)),
        ),
        (
            "jobs enqueued",
            limits.jobs.map(|rate| rate.to_string()),
            None,
        ),
        (
            "jobs waiting",
            limits.jobs_waiting.map(|most| most.to_string()),
            Some(waiting.to_string()),
        ),
    ] {
        table.row([what, &or_none(most), &used.unwrap_or_default()]);
    }
    printer::table(&table)
}

fn time(time: Duration) -> String {
    match (time.as_secs(), time.subsec_millis()) {
        (seconds, 0) => format!("{seconds} s"),
        _ => format!("{} ms", time.as_millis()),
    }
}
