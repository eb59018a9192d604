//! `--plan` and `--status`: what would be applied, and how everybody stands. Nothing is changed.

use std::collections::HashMap;

use chrono::{DateTime, Utc};
use serde::Serialize;
use tenantry::{
    Config, OpenError, Tenancy, Tenant,
    db::DbError,
    migrate::MigrateError,
    tenant::{TenantCode, TenantId},
};

use super::{Args, select};
use crate::{Application, Context, Error, printer, table::Table};

#[derive(Serialize)]
struct Report {
    central: Central,
    /// The version that tenants would have.
    #[serde(skip_serializing_if = "Option::is_none")]
    schema_version: Option<String>,
    tenants: Vec<Line>,
}

#[derive(Serialize)]
struct Central {
    set_up: bool,
    pending: Vec<String>,
}

#[derive(Serialize)]
struct Line {
    code: TenantCode,
    /// As the catalog has it.
    schema_version: String,
    /// By the tenant's own ledger; nothing when that cannot be read.
    pending: Option<Vec<String>>,
    error: Option<String>,
    /// What its last migration failed with, if it has not succeeded since.
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<LastFailure>,
}

#[derive(Clone, Serialize)]
struct LastFailure {
    migration: Option<String>,
    error: String,
    at: DateTime<Utc>,
}

pub(super) async fn run<A: Application>(args: &Args, context: &Context) -> Result<(), Error> {
    let config = context.config::<A>()?;
    let (report, failed) = match Tenancy::inspect(config.clone()).await {
        Ok((tenancy, pending)) => {
            let surveyed = survey(args, &tenancy, pending).await;
            tenancy.close();
            surveyed?
        }
        Err(OpenError::NotSetUp(folder)) => {
            printer::note(format_args!(
                "nothing is set up in {} yet",
                folder.display()
            ));
            (Report::of_nothing(&config), Vec::new())
        }
        Err(other) => return Err(other.into()),
    };
    if args.json {
        printer::json(&report)?;
    } else {
        print(args, &report)?;
    }
    match failed.is_empty() {
        true => Ok(()),
        false => Err(Error::SomeTenants {
            tried: report.tenants.len(),
            failed,
            left: 0,
        }),
    }
}

type Failed = Vec<(TenantCode, MigrateError)>;

async fn survey(
    args: &Args,
    tenancy: &Tenancy,
    pending: Vec<String>,
) -> Result<(Report, Failed), Error> {
    let found = match args.status {
        true => select::matching(tenancy, args).await,
        false => select::candidates(tenancy, args).await,
    };
    let tenants = match found {
        // a central database without its first migration has no catalog, and no tenants
        Err(Error::Catalog(_)) if !pending.is_empty() => Vec::new(),
        found => found?,
    };
    let mut failures: HashMap<_, _> = match tenants.is_empty() {
        true => HashMap::new(),
        false => last_failures(tenancy).await?,
    };
    let mut failed = Vec::new();
    let mut lines = Vec::new();
    for tenant in &tenants {
        let known = tenant.schema_version() == tenancy.tenant_version();
        let lacks = match known && args.patterns.is_empty() && !args.failed {
            true => Ok(Vec::new()),
            false => tenancy.pending(tenant).await,
        };
        let mut line = Line::new(tenant, &lacks);
        line.failed = failures.remove(&tenant.id());
        if let Err(error) = lacks {
            failed.push((tenant.code().clone(), error));
        }
        if args.status
            || line
                .pending
                .as_ref()
                .is_none_or(|pending| !pending.is_empty())
        {
            lines.push(line);
        }
    }
    let report = Report {
        central: Central {
            set_up: true,
            pending,
        },
        schema_version: Some(tenancy.tenant_version().into()),
        tenants: lines,
    };
    Ok((report, failed))
}

async fn last_failures(tenancy: &Tenancy) -> Result<HashMap<TenantId, LastFailure>, Error> {
    let failures = match tenancy.failed_migrations().await {
        // a catalog that is not up to date has no place for them
        Err(DbError::Statement(_)) => Vec::new(),
        failures => failures.map_err(Error::Catalog)?,
    };
    Ok(failures
        .into_iter()
        .map(|failure| {
            let last = LastFailure {
                migration: failure.migration,
                error: failure.error,
                at: failure.at,
            };
            (failure.tenant, last)
        })
        .collect())
}

fn print(args: &Args, report: &Report) -> Result<(), Error> {
    let mut table = Table::new(["DATABASE", "VERSION", "LACKS"]);
    let central = &report.central.pending;
    if args.status || !central.is_empty() {
        let version = if report.central.set_up {
            ""
        } else {
            "not set up"
        };
        table.row(["central", version, &lacks(Some(central))]);
    }
    for line in &report.tenants {
        let mut lacks = lacks(line.pending.as_deref());
        if line.failed.is_some() {
            lacks.push_str(" (failed)");
        }
        table.row([line.code.as_str(), &line.schema_version, &lacks]);
    }
    if table.is_empty() {
        printer::note("nothing to apply");
    }
    printer::table(&table)?;
    for line in &report.tenants {
        if let Some(failed) = &line.failed {
            let at = failed.at.format("%F %T UTC");
            printer::note(format_args!(
                "{} failed at {at}: {}",
                line.code, failed.error
            ));
        }
    }
    Ok(())
}

fn lacks(pending: Option<&[String]>) -> String {
    match pending {
        None => "unknown".into(),
        Some([]) => "-".into(),
        Some(pending) => pending.join(", "),
    }
}

impl Report {
    /// Of a place where nothing is set up.
    fn of_nothing(config: &Config) -> Self {
        Self {
            central: Central {
                set_up: false,
                pending: config.central_migration_names(),
            },
            schema_version: None,
            tenants: Vec::new(),
        }
    }
}

impl Line {
    fn new(tenant: &Tenant, lacks: &Result<Vec<String>, MigrateError>) -> Self {
        Self {
            code: tenant.code().clone(),
            schema_version: tenant.schema_version().into(),
            pending: lacks.as_ref().ok().cloned(),
            error: lacks.as_ref().err().map(ToString::to_string),
            failed: None,
        }
    }
}
