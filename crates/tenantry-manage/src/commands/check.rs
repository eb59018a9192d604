use serde::Serialize;
use tenantry::{OpenError, Tenancy, Tenant, db::DbError};

use crate::{Application, Context, Error, printer};

/// What to look at, and how to tell.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
It compares what the catalog says with what there is: every tenant's database is opened. Problems
are exit code 4.

Examples:
  {app} check
  {app} check --json | jq '.findings[] | select(.ok | not)'")]
pub(crate) struct Args {
    /// Tell it as JSON
    #[arg(long)]
    json: bool,
}

/// What was looked at, and how it is.
#[derive(Debug, Serialize)]
struct Finding {
    ok: bool,
    subject: String,
    detail: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    mend: Option<String>,
}

#[derive(Serialize)]
struct Report<'a> {
    ok: bool,
    findings: &'a [Finding],
}

pub(super) async fn run<A: Application>(args: &Args, context: &Context) -> Result<(), Error> {
    let findings = match Tenancy::inspect(context.config::<A>()?).await {
        Ok((tenancy, pending)) => {
            let findings = look(&tenancy, &pending, A::NAME).await;
            tenancy.close();
            findings?
        }
        Err(error) => vec![unopened(&error, A::NAME)],
    };
    let problems = findings.iter().filter(|finding| !finding.ok).count();
    if args.json {
        printer::json(&Report {
            ok: problems == 0,
            findings: &findings,
        })?;
    } else {
        findings.iter().try_for_each(print)?;
    }
    match problems {
        0 => Ok(()),
        some => Err(Error::Problems(some)),
    }
}

async fn look(tenancy: &Tenancy, pending: &[String], app: &str) -> Result<Vec<Finding>, Error> {
    let mut findings = vec![
        ok("SQLite", "of a version that is safe to use"),
        if pending.is_empty() {
            ok("central", "up to date")
        } else {
            let lacks = format!("lacks migrations: {}", pending.join(", "));
            problem("central", lacks, format!("{app} migrate --all"))
        },
    ];
    let tenants = match tenancy.tenants().await {
        // a central database without its first migration has no catalog, and no tenants
        Err(_) if !pending.is_empty() => Vec::new(),
        tenants => tenants.map_err(Error::Catalog)?,
    };
    if pending.is_empty() && tenancy.is_being_restored().await.map_err(Error::Catalog)? {
        findings.push(problem(
            "restore",
            "of a backup, which was begun and has not ended".into(),
            format!("{app} restore DIR, the same once more, goes on with it"),
        ));
    }
    let audited = tenancy.audit().await.map_err(Error::Catalog)?;
    findings.extend(
        audited
            .into_iter()
            .map(|found| problem("isolation", found.what, found.mend)),
    );
    for tenant in &tenants {
        findings.push(look_at(tenancy, tenant, app).await);
    }
    Ok(findings)
}

async fn look_at(tenancy: &Tenancy, tenant: &Tenant, app: &str) -> Finding {
    let code = tenant.code().as_str();
    if !tenant.status().is_visible() {
        return ok(
            code,
            &format!("{}; the next start ends that", tenant.status()),
        );
    }
    let present = match tenancy.is_present(tenant).await {
        Ok(present) => present,
        Err(error) => {
            return problem(
                code,
                error.to_string(),
                "see that its server is there".into(),
            );
        }
    };
    if !present {
        let place = tenancy.location(tenant);
        return problem(
            code,
            format!("its database is missing: {place}"),
            format!("bring the file back from a backup, or {app} tenant delete {code}"),
        );
    }
    let current = tenant.schema_version() == tenancy.tenant_version();
    match tenancy.pending(tenant).await {
        Ok(pending) if pending.is_empty() && current => ok(code, "present, up to date"),
        Ok(pending) if pending.is_empty() => ok(
            code,
            "present; the catalog has it at another version, and it lacks nothing",
        ),
        Ok(pending) => {
            let unknown = if current {
                ", which the catalog does not know"
            } else {
                ""
            };
            problem(
                code,
                format!("lacks migrations{unknown}: {}", pending.join(", ")),
                format!("{app} migrate --tenant {code}"),
            )
        }
        Err(error) => problem(
            code,
            error.to_string(),
            format!("{app} tenant show {code} tells where it is; bring it back from a backup"),
        ),
    }
}

fn unopened(error: &OpenError, app: &str) -> Finding {
    let mend = match error {
        OpenError::NotSetUp(_) => {
            format!("{app} migrate --all sets it up; --data DIR names another place")
        }
        OpenError::Db(DbError::Busy) => "try again".into(),
        _ => "bring central.db back from a backup, and see that it can be read and written".into(),
    };
    problem("central", error.to_string(), mend)
}

fn ok(subject: &str, detail: &str) -> Finding {
    Finding {
        ok: true,
        subject: subject.into(),
        detail: detail.into(),
        mend: None,
    }
}

fn problem(subject: &str, detail: String, mend: String) -> Finding {
    Finding {
        ok: false,
        subject: subject.into(),
        detail,
        mend: Some(mend),
    }
}

fn print(finding: &Finding) -> Result<(), Error> {
    let mark = if finding.ok { "ok     " } else { "PROBLEM" };
    printer::data(format_args!(
        "{mark}  {}: {}",
        finding.subject, finding.detail
    ))?;
    match &finding.mend {
        Some(mend) => printer::data(format_args!("         mend: {mend}")),
        None => Ok(()),
    }
}
