use chrono::{DateTime, Datelike, NaiveTime, SecondsFormat, Utc};
use serde::Serialize;
use tenantry::{
    Tenancy,
    scoped::jobs::Counts,
    tenant::TenantCode,
    usage::{By, Quantity, Used},
};

use super::{domain::Shown as DomainShown, view::View};
use crate::{Application, Context, Error, commands::size, context::find, printer};

/// Which, and how.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
What the catalog says and what there is are told apart, because they can differ: after a file was
lost or brought back, say.

Examples:
  {app} tenant show acme
  {app} tenant show acme --json | jq .real.present")]
pub(crate) struct Args {
    /// The tenant
    code: TenantCode,
    /// Tell it as JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    catalog: View<'a>,
    domains: Vec<DomainShown>,
    location: String,
    real: Real,
    /// What it used this month, as far as it is written down.
    used: Option<Used>,
}

/// What was found at the location.
#[derive(Serialize)]
struct Real {
    present: bool,
    bytes: Option<u64>,
    /// How many files it has besides; nothing when they cannot be counted.
    files: Option<u64>,
    /// How many bytes those have.
    file_bytes: Option<u64>,
    /// Where those are that the application keeps.
    files_location: String,
    /// Why they cannot be counted.
    files_error: Option<String>,
    /// The migrations it lacks by its own ledger; nothing when that cannot be read.
    pending: Option<Vec<String>>,
    error: Option<String>,
    /// Why its last migration failed, if it did.
    failed: Option<String>,
    /// Of which groups of settings it has said something.
    settings: Vec<&'static str>,
    /// The settings that cannot be read, and why.
    broken_settings: Vec<String>,
    /// What the application has to say of it.
    notes: Vec<String>,
    /// Its jobs; nothing when its database cannot be asked.
    jobs: Option<Counts>,
    /// How many messages are in its folder, where mail is written to files.
    mails: u64,
}

pub(super) async fn run<A: Application>(
    args: &Args,
    context: &Context,
    tenancy: &Tenancy,
) -> Result<(), Error> {
    let tenant = find(tenancy, &args.code).await?;
    let location = tenancy.location(&tenant);
    let present = tenancy.is_present(&tenant).await.map_err(Error::Catalog)?;
    let (pending, error) = match present {
        true => match tenancy.pending(&tenant).await {
            Ok(pending) => (Some(pending), None),
            Err(error) => (None, Some(error.to_string())),
        },
        false => (None, None),
    };
    let failures = tenancy.failed_migrations().await.map_err(Error::Catalog)?;
    let failure = failures.into_iter().find(|one| one.tenant == tenant.id());
    let (files, files_error) = match tenancy.count_files(&tenant).await {
        Ok(files) => (Some(files), None),
        Err(error) => (None, Some(error.to_string())),
    };
    let settings = tenancy.settings(&tenant).shown().await;
    let settings = settings.map_err(|error| Error::settings(&args.code, error))?;
    let broken = settings.iter().filter_map(|group| group.error.clone());
    let notes = match pending.as_deref() {
        Some([]) => A::notes(tenancy, &tenant)
            .await
            .unwrap_or_else(|error| vec![format!("cannot be told: {error}")]),
        _ => Vec::new(),
    };
    // one that lacks migrations is not brought up to date by looking at it
    let jobs = match pending.as_ref().is_some_and(Vec::is_empty) {
        true => tenancy.jobs(&tenant).counts().await.ok(),
        false => None,
    };
    let month = month_of(Utc::now());
    let used = tenancy.usage(Some(tenant.id()), month..Utc::now(), By::Whole);
    let used = used.await.map_err(Error::Catalog)?.into_iter().next();
    let own_files = match files {
        Some(_) => tenancy.files(&tenant).usage().await.ok(),
        None => None,
    };
    let real = Real {
        notes,
        jobs,
        mails: files
            .zip(own_files)
            .map_or(0, |(all, own)| all.files.saturating_sub(own.files)),
        broken_settings: broken.collect(),
        settings: settings
            .iter()
            .filter(|group| !group.told.is_empty())
            .map(|group| group.name)
            .collect(),
        present,
        files: files.map(|files| files.files),
        file_bytes: files.map(|files| files.bytes),
        files_location: tenancy.files_location(&tenant),
        files_error,
        failed: failure.map(|one| one.error),
        bytes: tenancy.size(&tenant).await.map_err(Error::Catalog)?,
        pending,
        error,
    };
    let domains = tenancy.domains(&tenant).list().await;
    let domains = domains.map_err(Error::Catalog)?.into_iter();
    let domains: Vec<DomainShown> = domains.map(Into::into).collect();
    let site = context.site::<A>();
    if args.json {
        return printer::json(&Shown {
            catalog: View::new(&tenant, &site),
            domains,
            location,
            real,
            used,
        });
    }
    let url = site.tenant_url(&tenant);
    let created = tenant
        .created_at()
        .to_rfc3339_opts(SecondsFormat::AutoSi, true);
    let id = tenant.id().to_string();
    printer::data("The catalog says")?;
    for (what, is) in [
        ("id", id.as_str()),
        ("code", tenant.code().as_str()),
        ("name", tenant.name()),
        ("status", tenant.status().as_str()),
        ("plan", tenant.plan()),
        ("isolation", tenant.isolation().as_str()),
        ("server", &tenant.placement().server),
        ("url", &url),
        ("schema version", tenant.schema_version()),
        ("created at", &created),
        ("location", &location),
    ] {
        printer::data(format_args!("  {what:<15} {is}"))?;
    }
    for domain in &domains {
        let is = format_args!("{}, {}", domain.host, domain.state());
        printer::data(format_args!("  {:<15} {is}", "domain"))?;
    }
    printer::data("There is")?;
    printer::data(format_args!("  {:<15} {}", "database", database(&real)))?;
    printer::data(format_args!("  {:<15} {}", "files", files_of(&real)))?;
    printer::data(format_args!("  {:<15} {}", "migrations", migrations(&real)))?;
    printer::data(format_args!("  {:<15} {}", "settings", settings_of(&real)))?;
    printer::data(format_args!("  {:<15} {}", "jobs", jobs_of(&real)))?;
    if real.mails > 0 {
        let mails = format_args!("{} of the files", real.mails);
        printer::data(format_args!("  {:<15} {mails}", "mail"))?;
    }
    for error in &real.broken_settings {
        printer::data(format_args!("  {:<15} {error}", "BROKEN"))?;
    }
    for note in &real.notes {
        printer::data(format_args!("  {:<15} {note}", "note"))?;
    }
    if let Some(error) = &real.failed {
        printer::data(format_args!("  {:<15} {error}", "last failure"))?;
    }
    let Some(used) = used else { return Ok(()) };
    printer::data("It used this month")?;
    for (what, is) in used_of(&used) {
        printer::data(format_args!("  {what:<15} {is}"))?;
    }
    Ok(())
}

fn month_of(now: DateTime<Utc>) -> DateTime<Utc> {
    let day = now.date_naive();
    let first = day.with_day(1).unwrap_or(day);
    first.and_time(NaiveTime::MIN).and_utc()
}

fn used_of(used: &Used) -> Vec<(&'static str, String)> {
    let get = |quantity| used.amounts.get(quantity);
    let bytes = |quantity| size::for_people(get(quantity));
    let seconds = |quantity| format!("{:.3} s", used.amounts.time(quantity).as_secs_f64());
    vec![
        (
            "requests",
            format!(
                "{}, {} failed",
                get(Quantity::Requests),
                get(Quantity::RequestsFailed)
            ),
        ),
        (
            "database",
            format!(
                "{} of time, {} statements, {} rows",
                seconds(Quantity::DbTime),
                get(Quantity::Statements),
                get(Quantity::Rows)
            ),
        ),
        (
            "traffic",
            format!(
                "{} in, {} out",
                bytes(Quantity::BytesIn),
                bytes(Quantity::BytesOut)
            ),
        ),
        (
            "files",
            format!(
                "{} put, {} in, {} out",
                get(Quantity::FilesPut),
                bytes(Quantity::FileBytesIn),
                bytes(Quantity::FileBytesOut)
            ),
        ),
        (
            "jobs",
            format!(
                "{} done, {} failed, {}",
                get(Quantity::JobsDone),
                get(Quantity::JobsFailed),
                seconds(Quantity::JobTime)
            ),
        ),
        (
            "mail",
            format!(
                "{} sent, {} failed",
                get(Quantity::MailsSent),
                get(Quantity::MailsFailed)
            ),
        ),
        (
            "cache",
            format!(
                "{} found, {} not",
                get(Quantity::CacheHits),
                get(Quantity::CacheMisses)
            ),
        ),
    ]
}

fn jobs_of(real: &Real) -> String {
    match &real.jobs {
        None => "unknown".into(),
        Some(jobs) => format!(
            "{} queued, {} running, {} done, {} dead",
            jobs.queued, jobs.running, jobs.done, jobs.dead
        ),
    }
}

fn database(real: &Real) -> String {
    match (real.present, real.bytes) {
        (true, Some(bytes)) => format!("present, {}", size::for_people(bytes)),
        (true, None) => "present".into(),
        (false, _) => "MISSING".into(),
    }
}

fn files_of(real: &Real) -> String {
    let at = &real.files_location;
    match (real.files.zip(real.file_bytes), &real.files_error) {
        (Some((0, _)), _) => "none".into(),
        (Some((files, bytes)), _) => format!("{files}, {}, at {at}", size::for_people(bytes)),
        (None, Some(error)) => format!("unknown, at {at}: {error}"),
        (None, None) => "unknown".into(),
    }
}

fn settings_of(real: &Real) -> String {
    match real.settings.as_slice() {
        [] => "all by default".into(),
        some => some.join(", "),
    }
}

fn migrations(real: &Real) -> String {
    match (&real.pending, &real.error) {
        (Some(pending), _) if pending.is_empty() => "up to date".into(),
        (Some(pending), _) => format!("lacks {}", pending.join(", ")),
        (None, Some(error)) => format!("unknown: {error}"),
        (None, None) => "unknown".into(),
    }
}
