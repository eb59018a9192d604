use std::time::Duration;

use chrono::{TimeDelta, Utc};
use serde::Serialize;
use tenantry::{
    Tenancy, Tenant,
    db::DbError,
    lifecycle::FailedMigration,
    scoped::jobs::Counts,
    tenant::{TenantCode, TenantStatus},
    usage::{By, Quantity, Used},
};

use crate::{Error, commands::size, context::find, pattern::Pattern, printer};

/// A job that waits for longer than that is nobody's.
const OVERDUE: Duration = Duration::from_secs(15 * 60);

/// So many requests may fail of a hundred, and so many at all, before somebody is to look.
const FAILING: (u64, u64) = (1, 10);

/// Of whom, and how.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
It looks whether each tenant's database answers and has all migrations, for jobs that are dead or wait for
longer than a quarter of an hour, for settings that cannot be read, and at what failed within a day. A
tenant that is suspended is told as it is. Those that are not well are exit code 5.

Examples:
  {app} tenant health acme
  {app} tenant health --all
  {app} tenant health --all --json | jq '.[] | select(.problems != []) | .code'")]
pub(crate) struct Args {
    /// The tenant
    #[arg(required_unless_present_any = ["all", "patterns"], conflicts_with_all = ["all", "patterns"])]
    code: Option<TenantCode>,
    /// Only those with this code, with * for anything; may be repeated
    #[arg(long = "tenant", value_name = "PATTERN", conflicts_with = "all")]
    patterns: Vec<Pattern>,
    /// All that are active or suspended
    #[arg(long)]
    all: bool,
    /// Tell it as JSON
    #[arg(long)]
    json: bool,
}

/// How a tenant is.
#[derive(Serialize)]
struct Health {
    code: TenantCode,
    status: TenantStatus,
    /// What somebody should look at; nothing when it is well.
    problems: Vec<String>,
    /// Whether its database is there and answers.
    reachable: bool,
    /// The migrations that it lacks, where that could be told.
    pending: Option<Vec<String>>,
    jobs: Option<Counts>,
    /// How many of those that are queued wait for too long.
    overdue: Option<u64>,
    database_bytes: Option<u64>,
    /// Nothing where they cannot be counted.
    file_bytes: Option<u64>,
    /// What it used within a day, as far as it is written down.
    last_day: Option<Used>,
}

pub(super) async fn run(args: &Args, tenancy: &Tenancy) -> Result<(), Error> {
    let tenants = match &args.code {
        Some(code) => vec![find(tenancy, code).await?],
        None => some(args, tenancy).await?,
    };
    let failures = tenancy.failed_migrations().await.map_err(Error::Catalog)?;
    let mut all = Vec::new();
    for tenant in &tenants {
        let failure = failures.iter().find(|one| one.tenant == tenant.id());
        let health = look_at(tenancy, tenant, failure).await;
        if !args.json {
            print(&health)?;
        }
        all.push(health);
    }
    if args.json {
        printer::json(&all)?;
    }
    match all.iter().filter(|one| !one.problems.is_empty()).count() {
        0 => Ok(()),
        ill => Err(Error::NotWell { ill, of: all.len() }),
    }
}

async fn some(args: &Args, tenancy: &Tenancy) -> Result<Vec<Tenant>, Error> {
    let mut tenants = tenancy.tenants().await.map_err(Error::Catalog)?;
    tenants.retain(|tenant| {
        matches!(
            tenant.status(),
            TenantStatus::Active | TenantStatus::Suspended
        )
    });
    for pattern in &args.patterns {
        if !tenants.iter().any(|tenant| pattern.matches(tenant.code())) {
            return Err(Error::NoMatch(pattern.clone()));
        }
    }
    tenants.retain(|tenant| args.all || args.patterns.iter().any(|one| one.matches(tenant.code())));
    Ok(tenants)
}

async fn look_at(tenancy: &Tenancy, tenant: &Tenant, failure: Option<&FailedMigration>) -> Health {
    let mut health = Health {
        code: tenant.code().clone(),
        status: tenant.status(),
        problems: Vec::new(),
        reachable: false,
        pending: None,
        jobs: None,
        overdue: None,
        database_bytes: tenancy.size(tenant).await.ok().flatten(),
        file_bytes: None,
        last_day: None,
    };
    let problems = &mut health.problems;
    match tenancy.is_present(tenant).await {
        Ok(true) => {}
        Ok(false) => problems.push(format!(
            "its database is missing: {}",
            tenancy.location(tenant)
        )),
        Err(error) => problems.push(format!("its server does not answer: {error}")),
    }
    if problems.is_empty() {
        match tenancy.pending(tenant).await {
            Ok(pending) => {
                if !pending.is_empty() {
                    problems.push(format!("it lacks migrations: {}", pending.join(", ")));
                }
                health.pending = Some(pending);
            }
            Err(error) => problems.push(format!("its migrations are unknown: {error}")),
        }
    }
    if let Some(failure) = failure {
        let name = failure.migration.as_deref().unwrap_or("of an unknown name");
        problems.push(format!("its migration {name} failed: {}", failure.error));
    }
    // one that lacks migrations is not brought up to date by looking at it
    if health.pending.as_ref().is_some_and(Vec::is_empty) {
        match jobs(tenancy, tenant).await {
            Ok((counts, overdue)) => {
                health.reachable = true;
                if counts.dead > 0 {
                    problems.push(format!("{} of its jobs are dead", counts.dead));
                }
                if overdue > 0 && tenant.status() == TenantStatus::Active {
                    problems.push(format!("{overdue} of its jobs wait for too long"));
                }
                health.jobs = Some(counts);
                health.overdue = Some(overdue);
            }
            Err(error) => problems.push(format!("its database does not answer: {error}")),
        }
    }
    match tenancy.settings(tenant).shown().await {
        Ok(groups) => problems.extend(groups.into_iter().filter_map(|group| group.error)),
        Err(error) => problems.push(format!("its settings cannot be read: {error}")),
    }
    match tenancy.count_files(tenant).await {
        Ok(files) => health.file_bytes = Some(files.bytes),
        Err(error) => problems.push(format!("its files cannot be counted: {error}")),
    }
    if !tenancy.plan(tenant).is_known() {
        problems.push(format!(
            "it is on the plan {:?}, which nobody knows",
            tenant.plan()
        ));
    }
    let now = Utc::now();
    let day = now - TimeDelta::days(1)..now;
    match tenancy.usage(Some(tenant.id()), day, By::Whole).await {
        Ok(used) => health.last_day = used.into_iter().next(),
        Err(error) => problems.push(format!("what it used is unknown: {error}")),
    }
    if let Some(used) = &health.last_day {
        let get = |quantity| used.amounts.get(quantity);
        let (requests, failed) = (get(Quantity::Requests), get(Quantity::RequestsFailed));
        let (share, least) = FAILING;
        if failed >= least && failed * 100 > requests * share {
            problems.push(format!("{failed} of its {requests} requests failed"));
        }
        let mails = get(Quantity::MailsFailed);
        if mails > 0 {
            problems.push(format!("{mails} of its mails could not be sent"));
        }
    }
    health
}

async fn jobs(tenancy: &Tenancy, tenant: &Tenant) -> Result<(Counts, u64), DbError> {
    let queue = tenancy.jobs(tenant);
    Ok((queue.counts().await?, queue.overdue(OVERDUE).await?))
}

fn print(health: &Health) -> Result<(), Error> {
    let jobs = health.jobs.map_or("unknown".into(), |jobs| {
        format!(
            "{} queued, {} running, {} dead",
            jobs.queued, jobs.running, jobs.dead
        )
    });
    let database = health.database_bytes.map_or("?".into(), size::for_people);
    let files = health.file_bytes.map_or("?".into(), size::for_people);
    let well = if health.problems.is_empty() {
        "well"
    } else {
        "NOT WELL"
    };
    printer::data(format_args!(
        "{}: {well}, {}; jobs: {jobs}; database {database}, files {files}",
        health.code, health.status
    ))?;
    let mut problems = health.problems.iter();
    problems.try_for_each(|problem| printer::data(format_args!("  {problem}")))
}
