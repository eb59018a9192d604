use std::panic::resume_unwind;

use serde::Serialize;
use tenantry::{OpenError, Tenancy, Tenant, migrate::MigrateError, tenant::TenantCode};
use tokio::task::JoinSet;

use super::{Args, select};
use crate::{Application, Context, Error, printer};

/// What became of it.
#[derive(Serialize)]
struct Report<'a> {
    central: Applied<'a>,
    tenants: Vec<Applied<'a>>,
    /// Tenants that were not tried because others failed.
    left: usize,
}

#[derive(Serialize)]
struct Applied<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'a TenantCode>,
    applied: &'a [String],
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Default)]
struct Outcome {
    done: Vec<(TenantCode, Vec<String>)>,
    failed: Vec<(TenantCode, MigrateError)>,
    left: usize,
}

pub(super) async fn run<A: Application>(args: &Args, context: &Context) -> Result<(), Error> {
    let central = lacking::<A>(context).await?;
    let tenancy = Tenancy::set_up(context.config::<A>()?).await?;
    if !args.json && !central.is_empty() {
        tell("central", &central)?;
    }
    let outcome = apply(args, &tenancy).await;
    tenancy.close();
    let outcome = outcome?;
    if args.json {
        printer::json(&Report::new(&central, &outcome))?;
    }
    if !outcome.failed.is_empty() {
        return Err(Error::SomeTenants {
            tried: outcome.done.len() + outcome.failed.len(),
            failed: outcome.failed,
            left: outcome.left,
        });
    }
    let changed = outcome
        .done
        .iter()
        .filter(|(_, applied)| !applied.is_empty())
        .count();
    match (central.is_empty(), changed) {
        (true, 0) => printer::note("nothing to apply"),
        (false, 0) => {}
        (_, 1) => printer::note("1 tenant is brought up to date"),
        (_, many) => printer::note(format_args!("{many} tenants are brought up to date")),
    }
    Ok(())
}

/// What the central database lacks.
async fn lacking<A: Application>(context: &Context) -> Result<Vec<String>, Error> {
    let config = context.config::<A>()?;
    match Tenancy::inspect(config.clone()).await {
        Ok((tenancy, pending)) => {
            tenancy.close();
            Ok(pending)
        }
        Err(OpenError::NotSetUp(folder)) => {
            printer::note(format_args!("setting up {}", folder.display()));
            Ok(config.central_migration_names())
        }
        Err(other) => Err(other.into()),
    }
}

/// Migrates tenants, some at a time. After a failure those that were begun are still ended.
async fn apply(args: &Args, tenancy: &Tenancy) -> Result<Outcome, Error> {
    let mut waiting = select::candidates(tenancy, &args.patterns)
        .await?
        .into_iter();
    let mut running = JoinSet::new();
    let mut outcome = Outcome::default();
    loop {
        let goes_on = args.keep_going || outcome.failed.is_empty();
        while goes_on && running.len() < usize::from(args.parallel) {
            let Some(tenant) = waiting.next() else { break };
            running.spawn(one(tenancy.clone(), tenant));
        }
        let (code, result) = match running.join_next().await {
            None => break,
            Some(Ok(ended)) => ended,
            Some(Err(died)) => resume_unwind(died.into_panic()),
        };
        match result {
            Ok(applied) => {
                if !args.json && !applied.is_empty() {
                    tell(code.as_str(), &applied)?;
                }
                outcome.done.push((code, applied));
            }
            Err(error) => outcome.failed.push((code, error)),
        }
    }
    outcome.left = waiting.len();
    Ok(outcome)
}

async fn one(tenancy: Tenancy, tenant: Tenant) -> (TenantCode, Result<Vec<String>, MigrateError>) {
    let result = tenancy.migrate(&tenant).await;
    (tenant.code().clone(), result)
}

fn tell(database: &str, applied: &[String]) -> Result<(), Error> {
    printer::data(format_args!("{database}: applied {}", applied.join(", ")))
}

impl<'a> Report<'a> {
    fn new(central: &'a [String], outcome: &'a Outcome) -> Self {
        let done = outcome.done.iter().map(|(code, applied)| Applied {
            code: Some(code),
            applied,
            error: None,
        });
        let failed = outcome.failed.iter().map(|(code, error)| Applied {
            code: Some(code),
            applied: &[],
            error: Some(error.to_string()),
        });
        Self {
            central: Applied {
                code: None,
                applied: central,
                error: None,
            },
            tenants: done.chain(failed).collect(),
            left: outcome.left,
        }
    }
}
