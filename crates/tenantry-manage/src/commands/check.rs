use serde::Serialize;
use tenantry::{OpenError, Tenancy, Tenant, db::DbError, lifecycle::LifecycleError};
use url::Url;

use crate::{Application, Context, Error, confirm::Yes, printer};

/// What to look at, and how to tell.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
It compares what the catalog says with what there is: every tenant's database is opened. With
--deep also what there is with what the catalog says: files, schemas, databases and rows of nobody
are named. In shared tables that takes a look past the wall between tenants, for which each table is
locked for a moment. Problems are exit code 4.

--mend removes what is nobody's, once it is listed and confirmed; not databases, nothing on
--servers, and no files at --files-url, because another deployment could have them. A catalog that was brought back from a time
before does not know who came later: then their data is all that is left of them.

Examples:
  {app} check
  {app} check --deep
  {app} check --deep --mend
  {app} check --json | jq '.findings[] | select(.ok | not)'")]
pub(crate) struct Args {
    /// Look also for what belongs to nobody
    #[arg(long)]
    deep: bool,
    /// Remove what belongs to nobody
    #[arg(long, requires = "deep")]
    mend: bool,
    #[command(flatten)]
    yes: Yes,
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
            let findings = async {
                if args.mend && pending.is_empty() {
                    mend(&tenancy, args.yes).await?;
                }
                let mut findings = look(&tenancy, &pending, A::NAME, args.deep).await?;
                if let Some(url) = &context.settings.redis_url {
                    findings.push(look_at_cache(&tenancy, url).await);
                }
                Ok::<_, Error>(findings)
            }
            .await;
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

/// Removes what is nobody's, where it can be this deployment's alone.
async fn mend(tenancy: &Tenancy, yes: Yes) -> Result<(), Error> {
    let mut orphans = tenancy.orphans().await.map_err(orphans_unknown)?;
    orphans.retain(|orphan| orphan.is_removable);
    if orphans.is_empty() {
        return Ok(());
    }
    printer::note("These belong to no tenant that the catalog knows:");
    for orphan in &orphans {
        printer::note(format_args!("  {}", orphan.what));
    }
    let _confirmed = yes.or_ask_for("the word", "remove", "They will be gone for good.")?;
    for orphan in &orphans {
        match tenancy.remove_orphan(orphan).await {
            Ok(true) => printer::note(format_args!("removed: {}", orphan.what)),
            Ok(false) => {} // gone meanwhile, or known
            // it is still there to be found
            Err(error) => printer::note(format_args!("not removed: {}: {error}", orphan.what)),
        }
    }
    Ok(())
}

fn orphans_unknown(error: LifecycleError) -> Error {
    match error {
        LifecycleError::Db(error) => Error::Catalog(error),
        other => Error::Orphans(other),
    }
}

async fn look(
    tenancy: &Tenancy,
    pending: &[String],
    app: &str,
    deep: bool,
) -> Result<Vec<Finding>, Error> {
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
        if pending.is_empty() {
            findings.extend(look_at_settings(tenancy, tenant, app).await?);
        }
    }
    if deep && pending.is_empty() {
        let orphans = tenancy.orphans().await.map_err(orphans_unknown)?;
        if orphans.is_empty() {
            findings.push(ok(
                "orphans",
                "none: everything there is belongs to a tenant",
            ));
        }
        findings.extend(orphans.into_iter().map(|orphan| {
            let mend = match orphan.is_removable {
                true => format!("{app} check --deep --mend removes it"),
                false => "remove it by hand, once no other deployment has it".into(),
            };
            problem("orphans", format!("of nobody: {}", orphan.what), mend)
        }));
    }
    Ok(findings)
}

/// Whether Redis is there.
async fn look_at_cache(tenancy: &Tenancy, url: &str) -> Finding {
    let place = without_password(url);
    match tenancy.reach_cache().await {
        Ok(()) => ok("cache", &format!("kept in Redis, at {place}")),
        Err(error) => problem(
            "cache",
            format!("it is to be kept in Redis, at {place}: {error}"),
            "see that Redis is there and lets us in; until then nothing is cached, and all else works"
                .into(),
        ),
    }
}

fn without_password(url: &str) -> String {
    // one that cannot be read is not told: who knows what of it is the password
    let Ok(url) = Url::parse(url) else {
        return "the URL that was given".into();
    };
    let host = url.host_str().unwrap_or_default();
    let port = url
        .port()
        .map(|port| format!(":{port}"))
        .unwrap_or_default();
    format!("{}://{host}{port}{}", url.scheme(), url.path())
}

/// What is wrong with a tenant's settings and plan.
async fn look_at_settings(
    tenancy: &Tenancy,
    tenant: &Tenant,
    app: &str,
) -> Result<Vec<Finding>, Error> {
    let code = tenant.code();
    let shown = tenancy.settings(tenant).shown().await;
    let shown = shown.map_err(|error| Error::settings(code, error))?;
    let broken = shown.into_iter().filter_map(|group| {
        let mend = format!(
            "{app} tenant settings {code} set, or reset {}; where a key is missing, bring it back",
            group.name
        );
        Some(problem(code.as_str(), group.error?, mend))
    });
    let mut findings: Vec<Finding> = broken.collect();
    if !tenancy.plan(tenant).is_known() {
        let plans = tenancy.plan_names().join(", ");
        findings.push(problem(
            code.as_str(),
            format!("it is on the plan {:?}, which nobody knows", tenant.plan()),
            format!("{app} tenant plan {code} PLAN, with one of: {plans}"),
        ));
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
            format!(
                "bring it back from a backup, or {app} tenant erase {code}, and then \
                 {app} restore DIR --tenant {code}"
            ),
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
