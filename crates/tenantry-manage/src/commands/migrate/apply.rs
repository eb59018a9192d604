use serde::Serialize;
use tenantry::{
    OpenError, Tenancy,
    lifecycle::{Migrated, Rollout},
    migrate::MigrateError,
    tenant::TenantCode,
};

use super::{Args, select};
use crate::{Application, Context, Error, printer, progress::Progress};

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
        printer::data(told("central", &central))?;
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

async fn apply(args: &Args, tenancy: &Tenancy) -> Result<Outcome, Error> {
    let tenants = select::candidates(tenancy, args).await?;
    let mut rollout = Rollout::default();
    rollout.parallel = usize::from(args.parallel)
        .try_into()
        .unwrap_or(rollout.parallel);
    rollout.canary = args.canary;
    rollout.keep_going = args.keep_going;
    let mut outcome = Outcome::default();
    let mut progress = Progress::new("migrating", tenants.len(), !args.json);
    let mut told = Ok(());
    let left = tenancy
        .migrate_all(tenants, rollout, |migrated| {
            let telling = tell(&migrated, &mut progress);
            told = std::mem::replace(&mut told, Ok(())).and(telling);
            outcome.add(migrated);
        })
        .await;
    progress.end();
    outcome.left = left.map_err(Error::Catalog)?;
    told.map(|()| outcome)
}

/// Tells of a tenant when it is done. Who watches a bar wants to know of failures only.
fn tell(migrated: &Migrated, progress: &mut Progress) -> Result<(), Error> {
    let who = match migrated.tenants.as_slice() {
        [] => return Ok(()),
        [tenant] => tenant.code().to_string(),
        [tenant, others @ ..] => {
            let others = others.len();
            format!("{} and {others} more in shared tables", tenant.code())
        }
    };
    progress.advance(migrated.tenants.len());
    match &migrated.result {
        Err(error) => {
            progress.say(format_args!("{who}: failed: {error}"));
            Ok(())
        }
        Ok(applied) if !applied.is_empty() => progress.line(told(&who, applied)),
        Ok(_) => Ok(()),
    }
}

fn told(database: &str, applied: &[String]) -> String {
    format!("{database}: applied {}", applied.join(", "))
}

impl Outcome {
    fn add(&mut self, migrated: Migrated) {
        let codes = migrated.tenants.iter().map(|tenant| tenant.code().clone());
        match migrated.result {
            Ok(applied) => self.done.extend(codes.map(|code| (code, applied.clone()))),
            // those who share tables fail as one
            Err(error) => self.failed.extend(codes.take(1).zip([error])),
        }
    }
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
